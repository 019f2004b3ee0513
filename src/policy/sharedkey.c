#include "policy/sharedkey.h"

#include <assert.h>

#define CLOSE_MS 20 /* trips that follow within so long ask for larger slices */
#define SLICE_FIRST 4
#define SLICE_PARTS 8	   /* a slice is at most this part of an instance's share */
#define LOOK_AGAIN_MS 1000 /* while Redis is away and somebody waits */
#define REST_MOST_MS 10000 /* then a trip that was replaced goes, too */

/* --- a visit --- */

void
sharedkey_give_back(struct sharedkey_visit *v, uint32_t permits, int64_t booked_ms)
{
	if (permits == 0)
		return;
	if (v->back > 0 && v->back_ms != booked_ms)
		return; /* two in one visit: the older ones come back by themselves */
	v->back += permits;
	v->back_ms = booked_ms;
}

void
sharedkey_open(struct sharedkey_visit *v, struct limit_entry *e)
{
	v->e = e;
	v->st = limit_entry_shared(e);
	v->q = limit_entry_queue(e);
	v->now_ms = e->seen_ms = v->now_ms > e->seen_ms ? v->now_ms : e->seen_ms;
	window_advance(&v->l->rule, limit_entry_window(e), v->now_ms);
	if (v->st->in_hand > 0 && v->now_ms >= v->st->lease_ends_ms) {
		sharedkey_give_back(v, v->st->in_hand, v->st->booked_ms);
		v->st->in_hand = 0;
		v->st->slice /= 2;
	}
}

/* --- one permit --- */

/* How many permits may be out by this instance's own decisions. */
static uint32_t
share_of(const struct sharedkey_visit *v)
{
	unsigned instances = atomic_load_explicit(&v->hub->instances, memory_order_relaxed);
	uint32_t share = v->l->rule.limit / (instances == 0 ? 1 : instances);

	return share == 0 ? 1 : share;
}

static uint32_t
share_left(const struct sharedkey_visit *v)
{
	uint32_t share = share_of(v), used = window_used(&v->l->rule, limit_entry_window(v->e));

	return used >= share ? 0 : share - used;
}

/* How long until so many of the share are free. */
static int64_t
share_wait_ms(const struct sharedkey_visit *v, uint64_t permits)
{
	return window_wait_ms(&v->l->rule, limit_entry_window(v->e),
	    permits + v->l->rule.limit - share_of(v), v->now_ms);
}

/* Takes one from where there is one. *booked_out: when it was counted in Redis; 0 by share. */
static bool
take(struct sharedkey_visit *v, int64_t *booked_out)
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
from_now(const struct sharedkey_visit *v, int64_t at_ms)
{
	return at_ms > v->now_ms ? at_ms - v->now_ms : 0;
}

static void
fill_answer(const struct sharedkey_visit *v, enum limit_verdict verdict, struct limit_answer *out)
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
places(const struct sharedkey_visit *v)
{
	return v->l->conf.shadow ? 0 : v->l->conf.queue;
}

static struct limit_waiter *
line_oldest(const struct sharedkey_visit *v)
{
	return list_first(&v->q->waiters, struct limit_waiter, link);
}

void
sharedkey_leave(struct sharedkey_visit *v, struct limit_waiter *w, enum limit_end end)
{
	list_leave(&w->link);
	v->q->permits--;
	w->entry = NULL;
	w->end = end;
}

static void
grant(struct sharedkey_visit *v, struct limit_waiter *w, int64_t booked_ms)
{
	sharedkey_leave(v, w, LIMIT_END_GRANTED);
	fill_answer(v, LIMIT_ALLOWED, &w->answer);
	w->answer.booked_ms = booked_ms;
	limit_count(v->l, v->s, w->is_in_line ? LIMIT_COUNT_granted : LIMIT_COUNT_allowed);
	list_push_back(&v->woken, &w->link);
}

/* What a refusal costs, and what is answered. is_told: Redis has counted it already. */
static void
refuse(struct sharedkey_visit *v, bool is_told, enum limit_count as, struct limit_answer *out)
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
refuse_waiter(struct sharedkey_visit *v, struct limit_waiter *w, enum limit_end end)
{
	bool is_told = !v->by_share && places(v) == 0;

	sharedkey_leave(v, w, end);
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
line_next(const struct sharedkey_visit *v)
{
	if (v->l->conf.newest_first && !list_is_empty(&v->q->waiters))
		return CONTAINER_OF(v->q->waiters.prev, struct limit_waiter, link);
	return line_oldest(v);
}

/* Whether there is known to be no permit for anybody. */
static bool
is_known_empty(const struct sharedkey_visit *v)
{
	return v->by_share || v->now_ms < v->st->none_until_ms;
}

/* Of those whom the answer is about and who got nothing, the queue keeps what it has places for. Returns how many of the line
 * have been told. */
static uint64_t
sort_line(struct sharedkey_visit *v)
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
size_slice(struct sharedkey_visit *v)
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
plan_go(struct sharedkey_visit *v)
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
plan_rest(struct sharedkey_visit *v, int64_t until_ms)
{
	int64_t most_ms = v->now_ms + REST_MOST_MS;

	v->next = NEXT_REST;
	v->rest_until_ms = until_ms < most_ms ? until_ms : most_ms;
	v->st->rests_until_ms = v->rest_until_ms;
}

static int64_t
line_due_ms(const struct sharedkey_visit *v)
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
plan(struct sharedkey_visit *v, uint64_t told)
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
	st->trip = v->serial = atomic_fetch_add(&v->hub->serial, 1);
}

void
sharedkey_settle(struct sharedkey_visit *v)
{
	struct limit_waiter *w;
	int64_t booked_ms;

	while ((w = line_next(v)) != NULL && take(v, &booked_ms)) {
		grant(v, w, booked_ms);
		v->asked_for -= v->asked_for > 0;
	}
	plan(v, sort_line(v));
}

/* --- an answer of Redis --- */

/* What the answer says, kept for those who come later. */
static void
learn(struct sharedkey_visit *v, const struct limit_wish *wish, int64_t sent_ms,
    const struct limit_grant *g)
{
	struct limit_shared *st = v->st;
	int64_t lease_ms = g->lease_ms < SHARED_LEASE_MS ? g->lease_ms : SHARED_LEASE_MS;
	bool counts_all = wish->charge_rest;

	sharedkey_give_back(v, st->in_hand, st->booked_ms);
	st->booked_ms = g->now_ms;
	st->lease_ends_ms = sent_ms + lease_ms; /* it was counted after it was sent */
	st->in_hand = g->slice;
	st->remaining = g->remaining;
	st->reset_ms = v->now_ms + g->reset_ms;
	st->retry_ms = v->now_ms + g->retry_ms;
	/* what counts refusals has to ask for each */
	st->none_until_ms = g->remaining == 0 && !counts_all ? sent_ms + g->reset_ms : 0;
	v->fresh = g->granted;
	v->asked_for = wish->want;
}

/* Permits of clients who have left meanwhile. */
static void
keep_rest(struct sharedkey_visit *v)
{
	struct limit_shared *st = v->st;

	if (v->fresh > 0 && st->lease_ends_ms > v->now_ms)
		st->in_hand += v->fresh;
	else
		sharedkey_give_back(v, v->fresh, st->booked_ms);
	v->fresh = 0;
}

void
sharedkey_answer(struct sharedkey_visit *v, const struct limit_wish *wish, int64_t sent_ms,
    const struct limit_grant *g)
{
	struct limit_waiter *w;
	int64_t booked_ms;

	if (g == NULL) {
		v->by_share = true;
		v->st->owed += wish->charge;
		v->st->slice = 0;
		v->asked_for = wish->want;
	} else {
		learn(v, wish, sent_ms, g);
		v->by_share = false;
		while (v->fresh > 0 && (w = line_next(v)) != NULL && take(v, &booked_ms)) {
			grant(v, w, booked_ms);
			v->asked_for -= v->asked_for > 0;
		}
		keep_rest(v);
	}
	sharedkey_settle(v);
}

/* --- a request --- */

static void
join(struct sharedkey_visit *v, const struct limit_ask *ask, bool is_in_line)
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
stand_or_go(struct sharedkey_visit *v, const struct limit_ask *ask, struct limit_answer *out)
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

void
sharedkey_decide(struct sharedkey_visit *v, const struct limit_ask *ask, struct limit_answer *out)
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

void
sharedkey_decide_untracked(struct sharedkey_visit *v, struct limit_answer *out)
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

/* --- giving back --- */

void
sharedkey_refund(struct sharedkey_visit *v, const struct limit_answer *a)
{
	struct limit_shared *st = v->st;

	limit_count(v->l, v->s, LIMIT_COUNT_refunded);
	if (v->e == NULL) {
		if (a->booked_ms > 0)
			sharedkey_give_back(v, 1, a->booked_ms);
		return;
	}
	window_refund(&v->l->rule, limit_entry_window(v->e), 1, a->decided_ms);
	if (a->booked_ms == 0) {
		st->owed -= st->owed > 0;
	} else if (a->booked_ms == st->booked_ms && v->now_ms < st->lease_ends_ms) {
		st->in_hand++;
	} else {
		sharedkey_give_back(v, 1, a->booked_ms);
		st->none_until_ms = 0;
	}
	if (!st->is_asking && (v->q->permits > 0 || (st->in_hand > 0 && st->trip == 0)))
		sharedkey_settle(v);
}

bool
sharedkey_abandon(struct sharedkey_visit *v)
{
	struct limit_shared *st = v->st;

	sharedkey_give_back(v, st->in_hand, st->booked_ms);
	st->in_hand = 0;
	if (v->q->permits > 0)
		return false;
	st->trip = 0;
	return true;
}
