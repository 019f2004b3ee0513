/* LINK: policy/sharedkey policy/ratelimit policy/limiter policy/limittable policy/window base/hash base/mem */
/* Three instances and one Redis, played by policy/window.c, with trips that take their time, are lost on either way, or are
 * given up: whatever happens, no window sees more permits of Redis used than the limit. */
#include "policy/sharedkey.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#define NOON_MS 43200000
#define INSTANCES 3
#define TRIPS 64
#define STEPS 60000
#define WAY_MS 4 /* a way to Redis or back takes less */

struct trip {
	enum { FREE, RESTING, THERE, BACK } state;
	uint64_t serial;
	int64_t due_ms, sent_ms;
	bool is_lost; /* no answer will come: given up when due */
	struct limit_wish wish;
	struct limit_grant grant;
};

struct instance {
	struct shared_hub hub;
	struct limit_table *table;
	struct limiter *limiter;
	struct trip trips[TRIPS];
};

struct play {
	struct window_rule rule;
	struct window *redis;
	int64_t origin_ms, now_ms; /* one clock: that they differ is hidden by the ways */
	struct instance instances[INSTANCES];
	struct limit_answer *held; /* some answers, to be given back */
	int64_t *used_ms;	   /* when permits of Redis were used, in order */
	unsigned used, leased;
};

static const struct slice key = {"ann", 3};

static void
wake_nobody(struct limit_waiter *w, void *arg)
{
}

/* Redis. */

static int64_t
lease_ms(const struct play *p)
{
	const struct window_rule *r = &p->rule;
	int64_t part = (p->now_ms - p->origin_ms) * r->segments / r->window_ms + 1;

	if (r->kind == WINDOW_LOG)
		return 0;
	if (r->kind == WINDOW_FIXED)
		return p->origin_ms + r->window_ms - p->now_ms;
	return p->origin_ms + (part * r->window_ms + r->segments - 1) / r->segments - p->now_ms;
}

static void
add(struct play *p, uint32_t permits)
{
	if (permits == 0)
		return;
	if (window_used(&p->rule, p->redis) == 0)
		p->origin_ms = p->now_ms;
	window_charge(&p->rule, p->redis, permits, p->now_ms, 0);
}

static void
redis_does(struct play *p, const struct limit_wish *wish, struct limit_grant *g)
{
	const struct window_rule *r = &p->rule;
	uint32_t left;

	window_advance(r, p->redis, p->now_ms);
	if (wish->refund > 0)
		window_refund(r, p->redis, wish->refund, wish->refund_ms);
	add(p, wish->charge);
	left = window_remaining(r, p->redis);
	*g = (struct limit_grant){
	    .granted = wish->want < left ? wish->want : left, .now_ms = p->now_ms};
	add(p, g->granted);
	left = window_remaining(r, p->redis);
	if (g->granted == wish->want && wish->slice > 0)
		g->slice = wish->slice < left / wish->share ? wish->slice : left / wish->share;
	add(p, g->slice);
	g->remaining = window_remaining(r, p->redis);
	if (g->remaining < r->limit)
		g->reset_ms = window_wait_ms(r, p->redis, (uint64_t)g->remaining + 1, p->now_ms);
	g->retry_ms = window_wait_ms(r, p->redis, wish->behind, p->now_ms);
	g->lease_ms = lease_ms(p);
}

/* What policy/sharedlimit.c does around a visit. */

static void
begin(struct play *p, struct instance *n, struct sharedkey_visit *v, bool by_share)
{
	uint64_t hash = limit_key_hash(n->limiter, key);
	struct limit_entry *e;

	*v = (struct sharedkey_visit){.all = (const void *)n,
	    .hub = &n->hub,
	    .l = n->limiter,
	    .key = key,
	    .hash = hash,
	    .now_ms = p->now_ms,
	    .by_share = by_share,
	    .s = limit_shard_of(n->table, hash)};
	list_init(&v->woken);
	pthread_mutex_lock(&v->s->lock);
	e = limit_shard_find(v->s, n->limiter, key, hash);
	if (e == NULL)
		e = limit_shard_add(v->s, n->limiter, key, hash, p->now_ms);
	assert_non_null(e);
	sharedkey_open(v, e);
}

static void
use(struct play *p, const struct limit_answer *a)
{
	if (a->booked_ms == 0)
		return; /* by share */
	p->used_ms[p->used++] = p->now_ms;
	p->held[(unsigned)rand() % 8] = *a;
}

static struct trip *
spare_trip(struct instance *n)
{
	for (unsigned i = 0; i < TRIPS; i++)
		if (n->trips[i].state == FREE)
			return &n->trips[i];
	fail_msg("more trips than one key can need");
	return NULL;
}

static void
end(struct play *p, struct instance *n, struct sharedkey_visit *v)
{
	struct trip *t = v->next != NEXT_NOTHING && v->trip == NULL ? spare_trip(n) : v->trip;
	struct limit_waiter *w;
	struct limit_grant ignored;

	if (v->next != NEXT_NOTHING) {
		t->serial = v->serial;
		v->st->tender = t;
		v->st->tender_of = n;
	}
	limit_shard_place(v->s, v->e);
	pthread_mutex_unlock(&v->s->lock);
	while ((w = list_first(&v->woken, struct limit_waiter, link)) != NULL) {
		list_leave(&w->link);
		if (w->end == LIMIT_END_GRANTED)
			use(p, &w->answer);
		free(w);
	}
	if (v->back > 0 && rand() % 4 > 0)
		redis_does(p,
		    &(struct limit_wish){.refund = v->back, .refund_ms = v->back_ms, .behind = 1},
		    &ignored);
	if (t == NULL)
		return;
	t->state = v->next == NEXT_GO ? THERE : v->next == NEXT_REST ? RESTING : FREE;
	if (t->state == RESTING)
		t->due_ms = v->rest_until_ms;
	if (t->state != THERE)
		return;
	t->wish = v->wish;
	t->sent_ms = p->now_ms;
	t->due_ms = p->now_ms + rand() % WAY_MS;
	t->is_lost = false;
}

static void
trip_is_due(struct play *p, struct instance *n, struct trip *t)
{
	bool was_resting = t->state == RESTING;
	struct sharedkey_visit v;

	if (t->state == THERE) {
		bool never_arrives = rand() % 50 == 0;

		t->is_lost = never_arrives || rand() % 50 == 0;
		if (!never_arrives)
			redis_does(p, &t->wish, &t->grant);
		t->state = BACK;
		t->due_ms = p->now_ms + rand() % WAY_MS;
		return;
	}
	begin(p, n, &v, false);
	v.trip = t;
	if (v.st->trip != t->serial)
		assert_true(was_resting);
	else if (was_resting)
		sharedkey_settle(&v);
	else
		sharedkey_answer(&v, &t->wish, t->sent_ms, t->is_lost ? NULL : &t->grant);
	p->leased += !was_resting && !t->is_lost ? t->grant.slice : 0;
	end(p, n, &v);
}

static void
somebody_comes(struct play *p)
{
	struct instance *n = &p->instances[rand() % INSTANCES];
	struct limit_waiter *w = calloc(1, sizeof(*w));
	struct limit_ask ask = {.key = key, .permits = 1, .waiter = w};
	struct sharedkey_visit v;
	struct limit_answer a;

	list_init(&w->link);
	begin(p, n, &v, false);
	sharedkey_decide(&v, &ask, &a);
	end(p, n, &v);
	if (a.verdict == LIMIT_ALLOWED)
		use(p, &a);
	if (a.verdict != LIMIT_QUEUED)
		free(w);
}

/* The permit counts as never used then. */
static void
one_is_given_back(struct play *p)
{
	struct limit_answer a = p->held[(unsigned)rand() % 8];
	struct instance *n = &p->instances[rand() % INSTANCES];
	struct sharedkey_visit v;
	unsigned i = p->used;

	while (i > 0 && p->used_ms[i - 1] != a.decided_ms)
		i--;
	if (a.booked_ms == 0 || i == 0)
		return;
	memmove(&p->used_ms[i - 1], &p->used_ms[i], (p->used-- - i) * sizeof(p->used_ms[0]));
	for (i = 0; i < 8; i++)
		if (p->held[i].decided_ms == a.decided_ms)
			p->held[i] = (struct limit_answer){0};
	begin(p, n, &v, false);
	sharedkey_refund(&v, &a);
	end(p, n, &v);
}

/* Who is on the way when all is done. */
static unsigned
trips_do_what_is_due(struct play *p)
{
	unsigned under_way = 0;

	for (unsigned i = 0; i < INSTANCES; i++)
		for (unsigned k = 0; k < TRIPS; k++) {
			struct trip *t = &p->instances[i].trips[k];

			if (t->state != FREE && t->due_ms <= p->now_ms)
				trip_is_due(p, &p->instances[i], t);
			under_way += t->state == THERE || t->state == BACK;
		}
	return under_way;
}

static void
time_passes(struct play *p)
{
	p->now_ms += rand() % 2;
	if (trips_do_what_is_due(p) == 0 && rand() % 200 == 0)
		p->now_ms += rand() % (2 * p->rule.window_ms);
}

/* A fixed window lets twice the limit pass over its boundary, and no more. */
static void
check(const struct play *p)
{
	uint64_t most = p->rule.kind == WINDOW_FIXED ? 2 * (uint64_t)p->rule.limit : p->rule.limit;
	unsigned first = 0, fullest = 0;

	for (unsigned i = 0; i < p->used; i++) {
		while (p->used_ms[i] - p->used_ms[first] >= p->rule.window_ms - 2 * WAY_MS)
			first++;
		if (i - first + 1 > fullest)
			fullest = i - first + 1;
	}
	assert_in_range(fullest, p->rule.limit * 9 / 10, most);
}

static void
play(struct limit_conf conf)
{
	struct play *p = calloc(1, sizeof(*p));

	p->now_ms = NOON_MS;
	p->held = calloc(8, sizeof(*p->held));
	p->used_ms = calloc(STEPS, sizeof(*p->used_ms));
	for (unsigned i = 0; i < INSTANCES; i++) {
		struct instance *n = &p->instances[i];

		atomic_init(&n->hub.instances, INSTANCES);
		atomic_init(&n->hub.serial, 1);
		n->table = limit_table_new(0, wake_nobody, NULL);
		n->limiter = limiter_get(n->table, "one", &conf);
	}
	p->rule = p->instances[0].limiter->rule;
	p->redis = calloc(1, window_state_bytes(&p->rule));
	for (unsigned i = 0; i < STEPS; i++) {
		somebody_comes(p);
		if (rand() % 50 == 0)
			one_is_given_back(p);
		if (rand() % 3 == 0)
			time_passes(p);
	}
	check(p);
	assert_true(conf.limit < SHARED_LEASE_LEAST || p->leased > 0);
	for (unsigned i = 0; i < 10000; i++) /* everybody is told in the end */
		time_passes(p);
	for (unsigned i = 0; i < INSTANCES; i++) {
		limiter_unref(&p->instances[i].limiter);
		limit_table_unref(&p->instances[i].table);
	}
	free(p->redis);
	free(p->used_ms);
	free(p->held);
	free(p);
}

static void
no_window_sees_more_than_the_limit(void **state)
{
	static const struct limit_conf kinds[] = {
	    {.algorithm = LIMIT_FIXED_WINDOW, .limit = 20, .window_ms = 300},
	    {.algorithm = LIMIT_SLIDING_WINDOW, .limit = 20, .window_ms = 300},
	    {.algorithm = LIMIT_SLIDING_WINDOW, .limit = 80, .window_ms = 500},
	    {.algorithm = LIMIT_FIXED_WINDOW, .limit = 1000, .window_ms = 1500},
	    {.algorithm = LIMIT_SLIDING_WINDOW, .limit = 1000, .window_ms = 1500},
	    {.algorithm = LIMIT_SLIDING_WINDOW, .limit = 1500, .window_ms = 2500, .segments = 3},
	};

	srand(5);
	for (unsigned i = 0; i < sizeof(kinds) / sizeof(kinds[0]); i++)
		for (unsigned variant = 0; variant < 4; variant++) {
			struct limit_conf conf = kinds[i];

			conf.shared = true;
			conf.queue = variant & 1 ? 6 : 0;
			conf.newest_first = variant & 2;
			conf.queue_timeout_ms = 50;
			play(conf);
		}
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(no_window_sees_more_than_the_limit),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
