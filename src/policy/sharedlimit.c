#include "policy/sharedlimit.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "policy/limitkey.h"
#include "policy/limittable.h"

#define CLOSE_MS 20 /* trips that follow within so long ask for larger slices */
#define SLICE_FIRST 4
#define SLICE_PARTS 8	   /* a slice is at most this part of an instance's share */
#define LOOK_AGAIN_MS 1000 /* while Redis is away and somebody waits */
#define REST_MOST_MS 10000 /* then a trip that was replaced goes, too */
#define TRY_AGAIN_MS 5	   /* while the link is new */

struct shared_limits {
	struct shared_link *link;
	struct loop *loop;
	struct shared_hub *hub;
	struct link trips, gifts;
};

/* Somebody looks after a key: on the way to Redis, or resting until there is something to do. */
struct trip {
	struct link link;
	struct shared_limits *all;
	struct limiter *l; /* own reference, from the end of the visit that made it */
	uint64_t hash, serial;
	struct timer rest;
	struct shared_call call;
	bool is_under_way;
	int64_t sent_ms;
	uint32_t owed; /* told to Redis by this trip */
	size_t key_bytes;
	char key[];
};

/* Permits on their way back. */
struct gift {
	struct link link;
	struct shared_call call;
};

enum next { NEXT_NOTHING, NEXT_GO, NEXT_REST };

/* One visit of one key: everything between visit_begin() and visit_end() is under the shard's lock. */
struct visit {
	struct shared_limits *all;
	struct limiter *l;
	struct limit_shard *s;
	struct limit_entry *e; /* NULL: not remembered */
	struct limit_shared *st;
	struct limit_queue *q;
	struct slice key;
	uint64_t hash;
	int64_t now_ms, wall_ms;
	bool by_share;	    /* Redis is away: decided here */
	uint32_t fresh;	    /* permits that Redis has just given for those in line */
	uint32_t asked_for; /* of the line, from its head: Redis' answer is about them */
	struct link woken;
	/* what is done after it */
	uint32_t back; /* permits to give back, booked at back_ms */
	int64_t back_ms;
	enum next next;
	struct trip
	    *trip; /* who does it: the one whose visit it is, or who rests; NULL: a new one */
	uint64_t serial;
	int64_t rest_until_ms;
	struct limit_wish wish;
};

static void trip_go(struct trip *t, const struct limit_wish *wish);

/* --- giving back --- */

static void
on_gift_answer(struct shared_call *c, const struct limit_grant *g)
{
	struct gift *gift = CONTAINER_OF(c, struct gift, call);

	list_leave(&gift->link);
	free(gift);
}

/* If it does not arrive, they come back by themselves in time. */
static void
give_back(const struct visit *v)
{
	struct gift *gift = must_calloc(1, sizeof(*gift));

	gift->call.rule = v->l->rule;
	gift->call.wish = (struct limit_wish){.refund = v->back, .refund_ms = v->back_ms};
	gift->call.done = on_gift_answer;
	list_push_back(&v->all->gifts, &gift->link);
	if (!shared_link_send(v->all->link, &gift->call, v->l->name, v->key))
		on_gift_answer(&gift->call, NULL);
}

static void
set_back(struct visit *v, uint32_t permits, int64_t booked_ms)
{
	if (permits == 0)
		return;
	if (v->back > 0 && v->back_ms != booked_ms)
		return; /* two in one visit: the older ones come back by themselves */
	v->back += permits;
	v->back_ms = booked_ms;
}

/* --- trips --- */

static void
trip_free(struct trip *t)
{
	if (t == NULL)
		return;
	assert(!t->is_under_way);
	timer_disarm(&t->rest);
	list_leave(&t->link);
	limiter_unref(&t->l);
	free(t);
}

static void on_trip_rested(void *arg);
static void on_trip_answer(struct shared_call *c, const struct limit_grant *g);

static struct trip *
trip_new(const struct visit *v)
{
	struct trip *t = must_calloc(1, sizeof(*t) + v->key.n);

	t->all = v->all;
	t->l = v->l;
	t->hash = v->hash;
	t->key_bytes = v->key.n;
	if (v->key.n > 0)
		memcpy(t->key, v->key.p, v->key.n);
	timer_init(&t->rest, on_trip_rested, t);
	list_push_back(&v->all->trips, &t->link);
	return t;
}

/* --- a visit --- */

static bool
is_away(const struct shared_limits *all)
{
	return !shared_link_is_up(all->link) && !shared_link_is_new(all->link);
}

static void
visit_open(struct visit *v, struct limit_entry *e)
{
	v->e = e;
	v->st = limit_entry_shared(e);
	v->q = limit_entry_queue(e);
	v->now_ms = e->seen_ms = v->now_ms > e->seen_ms ? v->now_ms : e->seen_ms;
	window_advance(&v->l->rule, limit_entry_window(e), v->now_ms);
	if (v->st->in_hand > 0 && v->now_ms >= v->st->lease_ends_ms) {
		set_back(v, v->st->in_hand, v->st->booked_ms);
		v->st->in_hand = 0;
		v->st->slice /= 2;
	}
}

static void
visit_begin(struct visit *v, struct shared_limits *all, struct limiter *l, struct slice key,
    uint64_t hash, int64_t now_ms)
{
	struct limit_entry *e;

	*v = (struct visit){.all = all,
	    .l = l,
	    .key = key,
	    .hash = hash,
	    .now_ms = now_ms,
	    .wall_ms = loop_wall_ms(all->loop),
	    .by_share = is_away(all),
	    .s = limit_shard_of(l->table, hash)};
	list_init(&v->woken);
	pthread_mutex_lock(&v->s->lock);
	e = limit_shard_find(v->s, l, key, hash);
	if (e != NULL)
		visit_open(v, e);
}

/* Sees to the key as planned. */
static void
visit_end(struct visit *v)
{
	struct trip *t = v->trip;
	bool is_new = v->next != NEXT_NOTHING && t == NULL;

	if (is_new)
		t = trip_new(v);
	if (v->next != NEXT_NOTHING) {
		t->serial = v->serial;
		v->st->tender = t;
		v->st->tender_of = v->all;
	}
	if (v->e != NULL)
		limit_shard_place(v->s, v->e);
	pthread_mutex_unlock(&v->s->lock);
	if (is_new)
		limiter_ref(t->l); /* whose visit it is holds one meanwhile */
	limit_wake_all(v->l->table, &v->woken);
	if (v->back > 0)
		give_back(v);
	if (v->next == NEXT_GO)
		trip_go(t, &v->wish);
	else if (v->next == NEXT_REST)
		timer_arm(t->all->loop, &t->rest, v->rest_until_ms);
	else
		trip_free(t);
}

/* --- one permit --- */

/* How many permits may be out by this instance's own decisions. */
static uint32_t
share_of(const struct visit *v)
{
	unsigned instances = atomic_load_explicit(&v->all->hub->instances, memory_order_relaxed);
	uint32_t share = v->l->rule.limit / (instances == 0 ? 1 : instances);

	return share == 0 ? 1 : share;
}

static uint32_t
share_left(const struct visit *v)
{
	uint32_t share = share_of(v), used = window_used(&v->l->rule, limit_entry_window(v->e));

	return used >= share ? 0 : share - used;
}

/* How long until so many of the share are free. */
static int64_t
share_wait_ms(const struct visit *v, uint64_t permits)
{
	return window_wait_ms(&v->l->rule, limit_entry_window(v->e),
	    permits + v->l->rule.limit - share_of(v), v->now_ms);
}

/* Takes one from where there is one. *booked_out: when it was counted in Redis; 0 by share. */
static bool
take(struct visit *v, int64_t *booked_out)
{
	struct limit_shared *st = v->st;

	*booked_out = st->booked_ms;
	if (v->fresh > 0) {
		v->fresh--;
	} else if (st->in_hand > 0) {
		st->in_hand--;
		limit_count(v->l, v->s, LIMIT_COUNT_leased);
	} else if (v->by_share && share_left(v) > 0) {
		*booked_out = 0;
		st->owed++;
		limit_count(v->l, v->s, LIMIT_COUNT_by_share);
	} else {
		return false;
	}
	window_charge(&v->l->rule, limit_entry_window(v->e), 1, v->now_ms, v->wall_ms);
	return true;
}

static int64_t
from_now(const struct visit *v, int64_t at_ms)
{
	return at_ms > v->now_ms ? at_ms - v->now_ms : 0;
}

static void
fill_answer(const struct visit *v, enum limit_verdict verdict, struct limit_answer *out)
{
	const struct limit_shared *st = v->st;
	uint32_t limit = v->l->rule.limit;
	uint64_t left = (uint64_t)st->remaining + st->in_hand + v->fresh;

	*out = (struct limit_answer){.verdict = verdict,
	    .limit = limit,
	    .window_ms = v->l->rule.window_ms,
	    .decided_ms = v->now_ms};
	if (v->by_share) {
		out->remaining = share_left(v);
		if (out->remaining < share_of(v))
			out->reset_ms = share_wait_ms(v, (uint64_t)out->remaining + 1);
		if (verdict == LIMIT_REFUSED)
			out->retry_ms = share_wait_ms(v, v->q->permits + 1);
		return;
	}
	out->remaining = left > limit ? limit : (uint32_t)left;
	out->reset_ms = from_now(v, st->reset_ms);
	if (verdict == LIMIT_REFUSED) {
		out->retry_ms = v->q->permits > 0 ? from_now(v, st->retry_ms) : out->reset_ms;
		if (out->retry_ms < out->reset_ms)
			out->retry_ms = out->reset_ms;
	}
}

/* --- the line --- */

static uint32_t
places(const struct visit *v)
{
	return v->l->conf.shadow ? 0 : v->l->conf.queue;
}

static struct limit_waiter *
line_oldest(const struct visit *v)
{
	return list_first(&v->q->waiters, struct limit_waiter, link);
}

static void
line_leave(struct visit *v, struct limit_waiter *w, enum limit_end end)
{
	list_leave(&w->link);
	v->q->permits--;
	w->entry = NULL;
	w->end = end;
}

static void
grant(struct visit *v, struct limit_waiter *w, int64_t booked_ms)
{
	line_leave(v, w, LIMIT_END_GRANTED);
	fill_answer(v, LIMIT_ALLOWED, &w->answer);
	w->answer.booked_ms = booked_ms;
	limit_count(v->l, v->s, w->is_in_line ? LIMIT_COUNT_granted : LIMIT_COUNT_allowed);
	list_push_back(&v->woken, &w->link);
}

/* What a refusal costs, and what is answered. is_told: Redis has counted it already. */
static void
refuse(struct visit *v, bool is_told, enum limit_count as, struct limit_answer *out)
{
	const struct limit_conf *conf = &v->l->conf;

	if (conf->count_all) {
		window_charge(&v->l->rule, limit_entry_window(v->e), 1, v->now_ms, v->wall_ms);
		v->st->owed += !is_told;
	}
	if (v->by_share)
		limit_count(v->l, v->s, LIMIT_COUNT_by_share);
	fill_answer(v, LIMIT_REFUSED, out);
	limit_count(v->l, v->s, conf->shadow ? LIMIT_COUNT_shadow_refused : as);
	if (conf->shadow) {
		out->verdict = LIMIT_ALLOWED;
		out->shadow_refused = true;
	}
}

static void
refuse_waiter(struct visit *v, struct limit_waiter *w, enum limit_end end)
{
	bool is_told = !v->by_share && places(v) == 0;

	line_leave(v, w, end);
	refuse(v, is_told,
	    end == LIMIT_END_TIMEOUT	     ? LIMIT_COUNT_queue_timeout
		: end == LIMIT_END_DISPLACED ? LIMIT_COUNT_displaced
					     : LIMIT_COUNT_refused,
	    &w->answer);
	if (w->answer.verdict == LIMIT_ALLOWED)
		w->end = LIMIT_END_GRANTED; /* shadow */
	list_push_back(&v->woken, &w->link);
}

static struct limit_waiter *
line_next(const struct visit *v)
{
	if (v->l->conf.newest_first && !list_is_empty(&v->q->waiters))
		return CONTAINER_OF(v->q->waiters.prev, struct limit_waiter, link);
	return line_oldest(v);
}

/* Whether there is known to be no permit for anybody. */
static bool
is_known_empty(const struct visit *v)
{
	return v->by_share || v->now_ms < v->st->none_until_ms;
}

/* Of those whom the answer is about and who got nothing, the queue keeps what it has places for. Returns how many of the line
 * have been told. */
static uint64_t
sort_line(struct visit *v)
{
	uint64_t known =
	    is_known_empty(v) || v->asked_for > v->q->permits ? v->q->permits : v->asked_for;
	uint64_t most = places(v), at = 0, kept = 0;
	bool newest_first = v->l->conf.newest_first;

	LIST_EACH_SAFE (w, &v->q->waiters, struct limit_waiter, link) {
		if (at++ == known)
			break;
		if (newest_first ? at + most <= known : at > most) {
			refuse_waiter(
			    v, w, w->is_in_line ? LIMIT_END_DISPLACED : LIMIT_END_REFUSED);
			continue;
		}
		if (w->deadline_ms <= v->now_ms) {
			refuse_waiter(v, w, LIMIT_END_TIMEOUT);
			continue;
		}
		kept++;
		if (!w->is_in_line)
			limit_count(v->l, v->s, LIMIT_COUNT_queued);
		w->is_in_line = true;
	}
	return kept;
}

/* --- what comes next --- */

/* Trips close upon each other: the key is hot, and a larger slice saves the next ones. */
static void
size_slice(struct visit *v)
{
	struct limit_shared *st = v->st;
	uint32_t most = share_of(v) / SLICE_PARTS;

	if (v->l->rule.limit < SHARED_LEASE_LEAST || v->l->rule.kind == WINDOW_LOG)
		return;
	if (v->now_ms - st->asked_ms > CLOSE_MS)
		st->slice /= 2;
	else
		st->slice = st->slice == 0 ? SLICE_FIRST : st->slice * 2;
	if (st->slice > most)
		st->slice = most;
}

static void
plan_go(struct visit *v)
{
	struct limit_shared *st = v->st;
	uint32_t used = window_used(&v->l->rule, limit_entry_window(v->e));

	size_slice(v);
	st->asked_ms = v->now_ms;
	st->is_asking = true;
	v->next = NEXT_GO;
	v->wish = (struct limit_wish){.want = (uint32_t)v->q->permits,
	    .charge = st->owed < used ? st->owed : used,
	    .charge_rest = v->l->conf.count_all && places(v) == 0,
	    .slice = st->slice,
	    .share = v->l->rule.limit / share_of(v) * 2,
	    .behind = (uint64_t)places(v) + 1};
	st->owed = 0;
}

static void
plan_rest(struct visit *v, int64_t until_ms)
{
	int64_t most_ms = v->now_ms + REST_MOST_MS;

	v->next = NEXT_REST;
	v->rest_until_ms = until_ms < most_ms ? until_ms : most_ms;
	v->st->rests_until_ms = v->rest_until_ms;
}

static int64_t
line_due_ms(const struct visit *v)
{
	int64_t due_ms = v->st->none_until_ms, deadline_ms = line_oldest(v)->deadline_ms;

	if (v->by_share) {
		int64_t wait_ms = share_wait_ms(v, 1);

		due_ms = v->now_ms + (wait_ms < LOOK_AGAIN_MS ? wait_ms : LOOK_AGAIN_MS);
	}
	return due_ms < deadline_ms ? due_ms : deadline_ms;
}

/* Who looks after the key from now on, if there is anything to look after. told: so many of the line know that they wait. */
static void
plan(struct visit *v, uint64_t told)
{
	struct limit_shared *st = v->st;

	if (v->trip == NULL && st->trip != 0 && st->tender_of == v->all)
		v->trip = st->tender;
	st->is_asking = false;
	st->trip = 0;
	if (v->q->permits == 0 && st->in_hand == 0)
		return;
	if (v->q->permits == 0)
		plan_rest(v, st->lease_ends_ms);
	else if (told < v->q->permits || !is_known_empty(v))
		plan_go(v);
	else
		plan_rest(v, line_due_ms(v));
	st->trip = v->serial = atomic_fetch_add(&v->all->hub->serial, 1);
}

/* Serves the line from what there is, and plans for the rest. */
static void
settle(struct visit *v)
{
	struct limit_waiter *w;
	int64_t booked_ms;

	while ((w = line_next(v)) != NULL && take(v, &booked_ms)) {
		grant(v, w, booked_ms);
		v->asked_for -= v->asked_for > 0;
	}
	plan(v, sort_line(v));
}

/* --- trips, under way --- */

/* What the answer says, kept for those who come later. */
static void
learn(struct visit *v, const struct trip *t, const struct limit_grant *g)
{
	struct limit_shared *st = v->st;
	int64_t lease_ms = g->lease_ms < SHARED_LEASE_MS ? g->lease_ms : SHARED_LEASE_MS;
	bool counts_all = t->call.wish.charge_rest;

	set_back(v, st->in_hand, st->booked_ms);
	st->booked_ms = g->now_ms;
	st->lease_ends_ms = t->sent_ms + lease_ms; /* it was counted after it was sent */
	st->in_hand = g->slice;
	st->remaining = g->remaining;
	st->reset_ms = v->now_ms + g->reset_ms;
	st->retry_ms = v->now_ms + g->retry_ms;
	/* what counts refusals has to ask for each */
	st->none_until_ms = g->remaining == 0 && !counts_all ? t->sent_ms + g->reset_ms : 0;
	v->fresh = g->granted;
	v->asked_for = t->call.wish.want;
}

/* Permits of clients who have left meanwhile. */
static void
keep_rest(struct visit *v)
{
	struct limit_shared *st = v->st;

	if (v->fresh > 0 && st->lease_ends_ms > v->now_ms)
		st->in_hand += v->fresh;
	else
		set_back(v, v->fresh, st->booked_ms);
	v->fresh = 0;
}

static void
serve_answer(struct visit *v, const struct trip *t, const struct limit_grant *g)
{
	struct limit_waiter *w;
	int64_t booked_ms;

	if (g == NULL) {
		v->by_share = true;
		v->st->owed += t->owed;
		v->st->slice = 0;
		v->asked_for = t->call.wish.want;
	} else {
		learn(v, t, g);
		v->by_share = false;
		while (v->fresh > 0 && (w = line_next(v)) != NULL && take(v, &booked_ms)) {
			grant(v, w, booked_ms);
			v->asked_for -= v->asked_for > 0;
		}
		keep_rest(v);
	}
	settle(v);
}

static void
trip_visit(struct trip *t, struct visit *v)
{
	visit_begin(
	    v, t->all, t->l, slice_of(t->key, t->key_bytes), t->hash, loop_now_ms(t->all->loop));
	v->trip = t;
}

static void
trip_end(struct trip *t, const struct limit_grant *g)
{
	struct visit v;

	t->is_under_way = false;
	trip_visit(t, &v);
	if (v.e != NULL && v.st->trip == t->serial)
		serve_answer(&v, t, g);
	else if (g != NULL) /* the key was forgotten meanwhile */
		set_back(&v, g->granted + g->slice, g->now_ms);
	visit_end(&v);
}

static void
on_trip_answer(struct shared_call *c, const struct limit_grant *g)
{
	trip_end(CONTAINER_OF(c, struct trip, call), g);
}

static void
trip_go(struct trip *t, const struct limit_wish *wish)
{
	timer_disarm(&t->rest);
	t->call.rule = t->l->rule;
	t->call.wish = *wish;
	t->call.done = on_trip_answer;
	t->owed = wish->charge;
	t->sent_ms = loop_now_ms(t->all->loop);
	if (shared_link_is_new(t->all->link)) {
		timer_arm(t->all->loop, &t->rest, t->sent_ms + TRY_AGAIN_MS);
		return;
	}
	t->is_under_way =
	    shared_link_send(t->all->link, &t->call, t->l->name, slice_of(t->key, t->key_bytes));
	if (!t->is_under_way)
		trip_end(t, NULL);
}

static void
on_trip_rested(void *arg)
{
	struct trip *t = arg;
	struct visit v;

	trip_visit(t, &v);
	if (v.e != NULL && v.st->trip == t->serial) {
		v.st->owed += t->owed; /* of a question that was not sent */
		settle(&v);
	}
	t->owed = 0;
	visit_end(&v);
}

/* --- the whole --- */

struct shared_limits *
shared_limits_new(struct shared_link *link)
{
	struct shared_limits *s = must_calloc(1, sizeof(*s));

	s->link = link;
	s->loop = shared_link_loop(link);
	s->hub = shared_link_hub(link);
	list_init(&s->trips);
	list_init(&s->gifts);
	return s;
}

void
shared_limits_free(struct shared_limits **sp)
{
	struct shared_limits *s = *sp;

	*sp = NULL;
	if (s == NULL)
		return;
	LIST_EACH_SAFE (t, &s->trips, struct trip, link) {
		if (t->is_under_way)
			list_leave(&t->call.link);
		t->is_under_way = false;
		trip_free(t);
	}
	LIST_EACH_SAFE (gift, &s->gifts, struct gift, link) {
		list_leave(&gift->call.link);
		on_gift_answer(&gift->call, NULL);
	}
	free(s);
}

static void
join(struct visit *v, const struct limit_ask *ask, bool is_in_line)
{
	struct limit_waiter *w = ask->waiter;
	int64_t timeout_ms = v->l->conf.queue_timeout_ms;

	assert(w != NULL && w->end != LIMIT_END_WAITING && ask->permits == 1);
	w->end = LIMIT_END_WAITING;
	w->limiter = v->l;
	w->entry = v->e;
	w->key = ask->key;
	w->hash = v->hash;
	w->permits = 1;
	w->is_in_line = is_in_line;
	w->deadline_ms = timeout_ms == 0 ? INT64_MAX : v->now_ms + timeout_ms;
	list_push_back(&v->q->waiters, &w->link);
	v->q->permits++;
	if (is_in_line)
		limit_count(v->l, v->s, LIMIT_COUNT_queued);
}

/* There is none, that is known: a place in the queue, or no. */
static enum limit_verdict
stand_or_go(struct visit *v, const struct limit_ask *ask, struct limit_answer *out)
{
	uint64_t most = places(v);

	if (most == 0 || (v->q->permits >= most && !v->l->conf.newest_first)) {
		if (!v->by_share)
			limit_count(v->l, v->s, LIMIT_COUNT_foreknown);
		refuse(v, false, LIMIT_COUNT_refused, out);
		return out->verdict;
	}
	while (v->q->permits >= most)
		refuse_waiter(v, line_oldest(v), LIMIT_END_DISPLACED);
	join(v, ask, true);
	if (v->st->trip == 0 || line_due_ms(v) < v->st->rests_until_ms)
		plan(v, v->q->permits);
	return LIMIT_QUEUED;
}

static void
decide(struct visit *v, const struct limit_ask *ask, struct limit_answer *out)
{
	int64_t booked_ms;

	if ((v->q->permits == 0 || v->l->conf.newest_first) && take(v, &booked_ms)) {
		limit_count(v->l, v->s, LIMIT_COUNT_allowed);
		fill_answer(v, LIMIT_ALLOWED, out);
		out->booked_ms = booked_ms;
		return;
	}
	if (!v->st->is_asking && is_known_empty(v)) {
		if (stand_or_go(v, ask, out) != LIMIT_QUEUED)
			return;
	} else {
		join(v, ask, false);
		if (!v->st->is_asking)
			plan(v, 0);
	}
	*out = (struct limit_answer){.verdict = LIMIT_QUEUED, .look_again_ms = INT64_MAX};
}

/* The table has no room for the key. */
static void
decide_untracked(struct visit *v, struct limit_answer *out)
{
	const struct limit_conf *conf = &v->l->conf;
	bool refuses = conf->refuse_untracked && !conf->shadow;

	*out = (struct limit_answer){.verdict = refuses ? LIMIT_REFUSED : LIMIT_ALLOWED,
	    .limit = conf->limit,
	    .window_ms = conf->window_ms,
	    .remaining = refuses ? 0 : conf->limit,
	    .decided_ms = v->now_ms};
	if (refuses)
		out->reset_ms = out->retry_ms = conf->window_ms;
	limit_count(v->l, v->s, LIMIT_COUNT_untracked);
}

void
shared_ask(struct shared_limits *s, struct limiter *l, const struct limit_ask *ask,
    struct limit_answer *out)
{
	uint64_t hash = limit_key_hash(l, ask->key);
	struct limit_entry *e;
	struct visit v;

	visit_begin(&v, s, l, ask->key, hash, ask->now_ms);
	if (v.e == NULL && (e = limit_shard_add(v.s, l, ask->key, hash, v.now_ms)) != NULL)
		visit_open(&v, e);
	if (v.e != NULL)
		decide(&v, ask, out);
	else
		decide_untracked(&v, out);
	visit_end(&v);
}

/* The permit goes to who is next, or back to Redis. */
static void
refund(struct visit *v, const struct limit_answer *a)
{
	struct limit_shared *st = v->st;

	limit_count(v->l, v->s, LIMIT_COUNT_refunded);
	if (v->e == NULL) {
		if (a->booked_ms > 0)
			set_back(v, 1, a->booked_ms);
		return;
	}
	window_refund(&v->l->rule, limit_entry_window(v->e), 1, a->decided_ms);
	if (a->booked_ms == 0) {
		st->owed -= st->owed > 0;
	} else if (a->booked_ms == st->booked_ms && v->now_ms < st->lease_ends_ms) {
		st->in_hand++;
	} else {
		set_back(v, 1, a->booked_ms);
		st->none_until_ms = 0;
	}
	if (!st->is_asking && (v->q->permits > 0 || (st->in_hand > 0 && st->trip == 0)))
		settle(v);
}

void
shared_refund(struct shared_limits *s, struct limiter *l, struct slice key,
    const struct limit_answer *a, int64_t now_ms)
{
	struct visit v;

	if (a->shadow_refused)
		return; /* nothing was taken */
	visit_begin(&v, s, l, key, limit_key_hash(l, key), now_ms);
	refund(&v, a);
	visit_end(&v);
}

bool
shared_cancel(struct shared_limits *s, struct limit_waiter *w, int64_t now_ms)
{
	bool waiting;
	struct visit v;

	visit_begin(&v, s, w->limiter, w->key, w->hash, now_ms);
	waiting = w->end == LIMIT_END_WAITING;
	if (waiting) {
		line_leave(&v, w, LIMIT_END_CANCELLED);
		limit_count(v.l, v.s, LIMIT_COUNT_cancelled);
	} else if (w->end == LIMIT_END_GRANTED) {
		w->end = LIMIT_END_CANCELLED;
		if (!w->answer.shadow_refused)
			refund(&v, &w->answer);
	}
	visit_end(&v);
	return waiting;
}
