/* LINK: policy/ratelimit policy/limiter policy/limittable policy/window base/hash base/mem */
/* Random plays against a second, naive limiter that keeps every permit in a list and knows nothing
 * of rings, parts, shards or due times. Both must say the same at every step. */
#include "policy/ratelimit.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#define NOON_MS 43200000
#define KEYS 5
#define WAITERS 40
#define STEPS 30000

struct naive_permit {
	int64_t at_ms;
};

struct naive_key {
	struct naive_permit out[4096];
	unsigned n;
	int64_t begin_ms; /* of the first window, when the first of out[] was taken */
	struct limit_waiter *queue[WAITERS];
	unsigned waiting;
};

struct play {
	struct limit_conf conf;
	struct limit_table *t;
	struct limiter *l;
	int64_t now_ms;
	struct naive_key keys[KEYS];
	struct limit_waiter waiters[WAITERS];
	unsigned key_of[WAITERS];
	enum limit_end expected[WAITERS]; /* as the naive one has decided */
	int64_t queued_ms[WAITERS], granted_ms[WAITERS];
	uint32_t permits[WAITERS];
	unsigned woken;
};

static const char *const names[KEYS] = {"ann", "bob", "cat", "dan", "eve"};

static void
on_wake(struct limit_waiter *w, void *arg)
{
	((struct play *)arg)->woken++;
}

/* The naive limiter. */

static unsigned
parts(const struct play *p)
{
	return p->conf.segments == 0 ? 10 : p->conf.segments;
}

static bool
is_back(const struct play *p, const struct naive_key *k, int64_t at_ms)
{
	int64_t w = p->conf.window_ms, n = parts(p);
	int64_t part = (at_ms - k->begin_ms) * n / w, now = (p->now_ms - k->begin_ms) * n / w;

	if (p->conf.algorithm == LIMIT_FIXED_WINDOW)
		return p->now_ms >= k->begin_ms + w;
	if (p->conf.dotnet)
		return now >= part + n;
	if (p->conf.limit <= 64)
		return p->now_ms >= at_ms + w;
	return now >= part + n + 1;
}

static void
naive_advance(struct play *p, struct naive_key *k)
{
	unsigned kept = 0;

	for (unsigned i = 0; i < k->n; i++)
		if (!is_back(p, k, k->out[i].at_ms))
			k->out[kept++] = k->out[i];
	k->n = kept;
}

static void
naive_charge(struct play *p, struct naive_key *k, uint32_t permits)
{
	bool is_log =
	    p->conf.algorithm == LIMIT_SLIDING_WINDOW && !p->conf.dotnet && p->conf.limit <= 64;

	if (k->n == 0)
		k->begin_ms = p->now_ms;
	while (permits-- > 0) {
		assert_true(k->n < 4096);
		k->out[k->n++].at_ms = p->now_ms;
		if (is_log && k->n > p->conf.limit)
			memmove(k->out, k->out + 1, --k->n * sizeof(k->out[0]));
	}
}

static bool
naive_take(struct play *p, struct naive_key *k, uint32_t permits)
{
	if (k->n + permits > p->conf.limit)
		return false;
	naive_charge(p, k, permits);
	return true;
}

static void
naive_leave(struct play *p, struct naive_key *k, unsigned at, enum limit_end end)
{
	unsigned w = (unsigned)(k->queue[at] - p->waiters);

	p->expected[w] = end;
	p->granted_ms[w] = p->now_ms;
	memmove(&k->queue[at], &k->queue[at + 1], (--k->waiting - at) * sizeof(k->queue[0]));
	if (p->conf.count_all && (end == LIMIT_END_TIMEOUT || end == LIMIT_END_DISPLACED))
		naive_charge(p, k, p->permits[w]);
}

static void
naive_settle(struct play *p, struct naive_key *k)
{
	naive_advance(p, k);
	while (k->waiting > 0) {
		unsigned at = p->conf.newest_first ? k->waiting - 1 : 0;
		unsigned oldest = (unsigned)(k->queue[0] - p->waiters);

		if (naive_take(p, k, p->permits[k->queue[at] - p->waiters]))
			naive_leave(p, k, at, LIMIT_END_GRANTED);
		else if (p->conf.queue_timeout_ms > 0 &&
		    p->now_ms >= p->queued_ms[oldest] + p->conf.queue_timeout_ms)
			naive_leave(p, k, 0, LIMIT_END_TIMEOUT);
		else
			return;
	}
}

static uint64_t
naive_waiting_permits(const struct play *p, const struct naive_key *k)
{
	uint64_t sum = 0;

	for (unsigned i = 0; i < k->waiting; i++)
		sum += p->permits[k->queue[i] - p->waiters];
	return sum;
}

static enum limit_verdict
naive_ask(struct play *p, unsigned key, uint32_t permits, int waiter)
{
	struct naive_key *k = &p->keys[key];

	naive_settle(p, k);
	if ((k->waiting == 0 || p->conf.newest_first) && naive_take(p, k, permits))
		return LIMIT_ALLOWED;
	if (waiter >= 0 && permits <= p->conf.queue && permits <= p->conf.limit &&
	    (p->conf.newest_first || naive_waiting_permits(p, k) + permits <= p->conf.queue)) {
		while (naive_waiting_permits(p, k) + permits > p->conf.queue)
			naive_leave(p, k, 0, LIMIT_END_DISPLACED);
		k->queue[k->waiting++] = &p->waiters[waiter];
		p->expected[waiter] = LIMIT_END_WAITING;
		p->queued_ms[waiter] = p->now_ms;
		p->permits[waiter] = permits;
		p->key_of[waiter] = key;
		return LIMIT_QUEUED;
	}
	if (p->conf.count_all)
		naive_charge(p, k, permits);
	return LIMIT_REFUSED;
}

/* Gives back permits of one moment; of segments, of one part. */
static void
naive_refund(struct play *p, unsigned key, uint32_t permits, int64_t at_ms)
{
	struct naive_key *k = &p->keys[key];
	int64_t n = parts(p), w = p->conf.window_ms;
	bool by_part =
	    p->conf.algorithm == LIMIT_SLIDING_WINDOW && (p->conf.dotnet || p->conf.limit > 64);

	naive_settle(p, k);
	for (unsigned i = 0; i < k->n && permits > 0;) {
		int64_t a = k->out[i].at_ms;
		bool same = a == at_ms;

		if (at_ms < k->begin_ms)
			break;
		if (p->conf.algorithm == LIMIT_FIXED_WINDOW)
			same = true;
		else if (by_part)
			same = (a - k->begin_ms) * n / w == (at_ms - k->begin_ms) * n / w;
		if (same) {
			memmove(&k->out[i], &k->out[i + 1], (--k->n - i) * sizeof(k->out[0]));
			permits--;
		} else {
			i++;
		}
	}
	naive_settle(p, k);
}

/* The plays. */

static int
spare_waiter(const struct play *p)
{
	for (int i = 0; i < WAITERS; i++)
		if (p->waiters[i].end != LIMIT_END_WAITING)
			return i;
	return -1;
}

static void
step_ask(struct play *p)
{
	unsigned key = (unsigned)rand() % KEYS;
	int waiter = rand() % 2 ? spare_waiter(p) : -1;
	struct limit_ask ask = {.key = slice_from(names[key]),
	    .permits = rand() % 4 ? 1 : 1 + (uint32_t)rand() % (p->conf.limit / 2 + 1),
	    .now_ms = p->now_ms,
	    .waiter = waiter < 0 ? NULL : &p->waiters[waiter]};
	enum limit_verdict expected = naive_ask(p, key, ask.permits, waiter);
	struct naive_key *k = &p->keys[key];
	struct limit_answer a;

	limiter_ask(p->l, &ask, &a);
	assert_int_equal(a.verdict, expected);
	assert_int_equal(a.remaining, k->n >= p->conf.limit ? 0 : p->conf.limit - k->n);
	if (expected == LIMIT_REFUSED)
		assert_true(a.retry_ms >= a.reset_ms && a.retry_ms > 0);
	/* The first moment at which the naive one has a permit more is the one that was told. */
	if (a.remaining < p->conf.limit && a.verdict == LIMIT_REFUSED && k->waiting == 0) {
		struct naive_key before = *k;
		int64_t now_ms = p->now_ms;

		p->now_ms = now_ms + a.reset_ms - 1;
		naive_advance(p, k);
		assert_true(k->n + a.remaining >= p->conf.limit);
		p->now_ms++;
		naive_advance(p, k);
		assert_true(k->n + a.remaining < p->conf.limit);
		p->now_ms = now_ms;
		*k = before;
	}
}

static void
step_cancel(struct play *p)
{
	unsigned w = (unsigned)rand() % WAITERS;
	struct naive_key *k = &p->keys[p->key_of[w]];
	unsigned at = 0;
	bool was_waiting;

	if (p->expected[w] != LIMIT_END_WAITING)
		return;
	naive_settle(p, k);
	was_waiting = p->expected[w] == LIMIT_END_WAITING;
	if (was_waiting) {
		while (k->queue[at] != &p->waiters[w])
			at++;
		naive_leave(p, k, at, LIMIT_END_CANCELLED);
		naive_settle(p, k);
	} else if (p->expected[w] == LIMIT_END_GRANTED) {
		p->expected[w] = LIMIT_END_CANCELLED;
		naive_refund(p, p->key_of[w], p->permits[w], p->granted_ms[w]);
	}
	assert_int_equal(limiter_cancel(&p->waiters[w], p->now_ms), was_waiting);
}

static void
step_refund(struct play *p)
{
	unsigned key = (unsigned)rand() % KEYS;
	struct naive_key *k = &p->keys[key];
	uint32_t permits = 1 + (uint32_t)rand() % 3;
	int64_t at_ms = k->n > 0 ? k->out[(unsigned)rand() % k->n].at_ms : p->now_ms - 5;

	naive_refund(p, key, permits, at_ms);
	limiter_refund(p->l, slice_from(names[key]), permits, at_ms, p->now_ms);
}

static void
step_poll(struct play *p)
{
	int64_t next_ms = limit_table_poll(p->t, p->now_ms);

	for (unsigned i = 0; i < KEYS; i++)
		naive_settle(p, &p->keys[i]);
	assert_true(next_ms > p->now_ms);
}

static void
play(struct limit_conf conf)
{
	struct play *p = calloc(1, sizeof(*p));

	assert_non_null(p);
	p->conf = conf;
	p->now_ms = NOON_MS;
	p->t = limit_table_new(0, on_wake, p);
	p->l = limiter_get(p->t, "model", &conf);
	for (unsigned i = 0; i < STEPS; i++) {
		int what = rand() % 20;

		if (what < 3)
			p->now_ms += rand() % (conf.window_ms / 3);
		else if (what == 3)
			p->now_ms += rand() % 50 ? 1 : 3 * conf.window_ms;
		else if (what == 4)
			step_cancel(p);
		else if (what == 5)
			step_refund(p);
		else if (what == 6)
			step_poll(p);
		else
			step_ask(p);
		for (unsigned w = 0; w < WAITERS; w++)
			assert_int_equal(p->waiters[w].end, p->expected[w]);
	}
	assert_true(conf.queue == 0 || p->woken > 0);
	for (unsigned w = 0; w < WAITERS; w++)
		if (p->waiters[w].end == LIMIT_END_WAITING)
			limiter_cancel(&p->waiters[w], p->now_ms);
	limiter_unref(&p->l);
	limit_table_unref(&p->t);
	free(p);
}

static void
the_table_decides_as_a_naive_limiter_does(void **state)
{
	static const struct limit_conf kinds[] = {
	    {.algorithm = LIMIT_FIXED_WINDOW, .limit = 7, .window_ms = 100},
	    {.algorithm = LIMIT_SLIDING_WINDOW, .limit = 5, .window_ms = 97},
	    {.algorithm = LIMIT_SLIDING_WINDOW, .limit = 66, .window_ms = 1000, .segments = 3},
	    {.algorithm = LIMIT_SLIDING_WINDOW, .limit = 70, .window_ms = 997},
	    {.algorithm = LIMIT_SLIDING_WINDOW,
		.limit = 6,
		.window_ms = 100,
		.segments = 3,
		.dotnet = true},
	};

	srand(4);
	for (unsigned i = 0; i < sizeof(kinds) / sizeof(kinds[0]); i++)
		for (unsigned variant = 0; variant < 8; variant++) {
			struct limit_conf conf = kinds[i];

			conf.queue = variant == 0 ? 0 : 4 + conf.limit / 4;
			conf.newest_first = variant & 1;
			conf.queue_timeout_ms = variant & 2 ? conf.window_ms / 2 : 0;
			conf.count_all = variant & 4;
			play(conf);
		}
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(the_table_decides_as_a_naive_limiter_does),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
