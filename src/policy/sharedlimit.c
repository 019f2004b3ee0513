#include "policy/sharedlimit.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "policy/limitkey.h"
#include "policy/sharedkey.h"

#define TRY_AGAIN_MS 5	 /* while the link is new */
#define LEAVE_LOOK_MS 20 /* how often one that ends looks whether others still depend on it */

struct shared_limits {
	struct shared_link *link;
	struct loop *loop;
	struct shared_hub *hub;
	struct link trips, gifts;
	struct timer leave;
	void (*on_quiet)(void *arg);
	void *arg;
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
	uint32_t owed; /* told to Redis by a question that was not sent yet */
	size_t key_bytes;
	char key[];
};

/* Permits on their way back. */
struct gift {
	struct link link;
	struct shared_call call;
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
give_back(struct shared_limits *s, const struct sharedkey_visit *v)
{
	struct gift *gift = must_calloc(1, sizeof(*gift));

	gift->call.rule = v->l->rule;
	gift->call.wish = (struct limit_wish){.refund = v->back, .refund_ms = v->back_ms};
	gift->call.done = on_gift_answer;
	list_push_back(&s->gifts, &gift->link);
	if (!shared_link_send(s->link, &gift->call, v->l->name, v->key))
		on_gift_answer(&gift->call, NULL);
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
trip_new(struct shared_limits *s, const struct sharedkey_visit *v)
{
	struct trip *t = must_calloc(1, sizeof(*t) + v->key.n);

	t->all = s;
	t->l = v->l;
	t->hash = v->hash;
	t->key_bytes = v->key.n;
	if (v->key.n > 0)
		memcpy(t->key, v->key.p, v->key.n);
	timer_init(&t->rest, on_trip_rested, t);
	list_push_back(&s->trips, &t->link);
	return t;
}

/* --- a visit --- */

static bool
is_away(const struct shared_limits *all)
{
	return !shared_link_is_up(all->link) && !shared_link_is_new(all->link);
}

static void
visit_begin(struct sharedkey_visit *v, struct shared_limits *all, struct limiter *l,
    struct slice key, uint64_t hash, int64_t now_ms)
{
	struct limit_entry *e;

	*v = (struct sharedkey_visit){.all = all,
	    .hub = all->hub,
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
		sharedkey_open(v, e);
}

/* Sees to the key as planned. */
static void
visit_end(struct shared_limits *s, struct sharedkey_visit *v)
{
	struct trip *t = v->trip;
	bool is_new = v->next != NEXT_NOTHING && t == NULL;

	if (is_new)
		t = trip_new(s, v);
	if (v->next != NEXT_NOTHING) {
		t->serial = v->serial;
		v->st->tender = t;
		v->st->tender_of = s;
	}
	if (v->e != NULL)
		limit_shard_place(v->s, v->e);
	pthread_mutex_unlock(&v->s->lock);
	if (is_new)
		limiter_ref(t->l); /* whose visit it is holds one meanwhile */
	limit_wake_all(v->l->table, &v->woken);
	if (v->back > 0)
		give_back(s, v);
	if (v->next == NEXT_GO)
		trip_go(t, &v->wish);
	else if (v->next == NEXT_REST)
		timer_arm(t->all->loop, &t->rest, v->rest_until_ms);
	else
		trip_free(t);
}

/* --- trips, under way --- */

static void
trip_visit(struct trip *t, struct sharedkey_visit *v)
{
	visit_begin(
	    v, t->all, t->l, slice_of(t->key, t->key_bytes), t->hash, loop_now_ms(t->all->loop));
	v->trip = t;
}

static void
trip_end(struct trip *t, const struct limit_grant *g)
{
	struct sharedkey_visit v;

	t->is_under_way = false;
	trip_visit(t, &v);
	if (v.e != NULL && v.st->trip == t->serial)
		sharedkey_answer(&v, &t->call.wish, t->sent_ms, g);
	else if (g != NULL) /* the key was forgotten meanwhile */
		sharedkey_give_back(&v, g->granted + g->slice, g->now_ms);
	visit_end(t->all, &v);
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
	t->sent_ms = loop_now_ms(t->all->loop);
	if (shared_link_is_new(t->all->link)) {
		t->owed = wish->charge;
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
	struct sharedkey_visit v;

	trip_visit(t, &v);
	if (v.e != NULL && v.st->trip == t->serial) {
		v.st->owed += t->owed; /* of a question that was not sent */
		sharedkey_settle(&v);
	}
	t->owed = 0;
	visit_end(t->all, &v);
}

/* --- the end --- */

/* It goes unless somebody stands in line whom it is to serve. */
static void
trip_abandon(struct trip *t)
{
	struct shared_limits *s = t->all;
	struct sharedkey_visit v;

	if (t->is_under_way)
		return;
	trip_visit(t, &v);
	if (v.e != NULL && v.st->trip == t->serial && !sharedkey_abandon(&v))
		v.trip = NULL; /* it rests on */
	visit_end(s, &v);
}

static void
on_leave_look(void *arg)
{
	struct shared_limits *s = arg;

	LIST_EACH_SAFE (t, &s->trips, struct trip, link)
		trip_abandon(t);
	if (shared_limits_is_quiet(s))
		s->on_quiet(s->arg);
	else
		timer_arm(s->loop, &s->leave, loop_now_ms(s->loop) + LEAVE_LOOK_MS);
}

void
shared_limits_leave(struct shared_limits *s, void (*on_quiet)(void *arg), void *arg)
{
	s->on_quiet = on_quiet;
	s->arg = arg;
	timer_arm(s->loop, &s->leave, loop_now_ms(s->loop));
}

bool
shared_limits_is_quiet(const struct shared_limits *s)
{
	return list_is_empty(&s->trips) && list_is_empty(&s->gifts);
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
	timer_init(&s->leave, on_leave_look, s);
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
	timer_disarm(&s->leave);
	free(s);
}

void
shared_ask(struct shared_limits *s, struct limiter *l, const struct limit_ask *ask,
    struct limit_answer *out)
{
	uint64_t hash = limit_key_hash(l, ask->key);
	struct limit_entry *e;
	struct sharedkey_visit v;

	visit_begin(&v, s, l, ask->key, hash, ask->now_ms);
	if (v.e == NULL && (e = limit_shard_add(v.s, l, ask->key, hash, v.now_ms)) != NULL)
		sharedkey_open(&v, e);
	if (v.e != NULL)
		sharedkey_decide(&v, ask, out);
	else
		sharedkey_decide_untracked(&v, out);
	visit_end(s, &v);
}

void
shared_refund(struct shared_limits *s, struct limiter *l, struct slice key,
    const struct limit_answer *a, int64_t now_ms)
{
	struct sharedkey_visit v;

	if (a->shadow_refused)
		return; /* nothing was taken */
	visit_begin(&v, s, l, key, limit_key_hash(l, key), now_ms);
	sharedkey_refund(&v, a);
	visit_end(s, &v);
}

bool
shared_cancel(struct shared_limits *s, struct limit_waiter *w, int64_t now_ms)
{
	bool waiting;
	struct sharedkey_visit v;

	visit_begin(&v, s, w->limiter, w->key, w->hash, now_ms);
	waiting = w->end == LIMIT_END_WAITING;
	if (waiting) {
		sharedkey_leave(&v, w, LIMIT_END_CANCELLED);
		limit_count(v.l, v.s, LIMIT_COUNT_cancelled);
	} else if (w->end == LIMIT_END_GRANTED) {
		w->end = LIMIT_END_CANCELLED;
		if (!w->answer.shadow_refused)
			sharedkey_refund(&v, &w->answer);
	}
	visit_end(s, &v);
	return waiting;
}
