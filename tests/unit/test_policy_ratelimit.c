/* LINK: policy/ratelimit policy/limiter policy/limittable policy/window base/hash base/mem */
#include "policy/ratelimit.h"

#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#define NOON_MS 43200000
#define WAITERS 16

/* The play: one table, one limit, up to WAITERS requests that wait; wakes are noted in order. */
struct stage {
	struct limit_table *t;
	struct limiter *l;
	struct limit_answer last;
	struct limit_waiter waiters[WAITERS];
	struct limit_waiter *woken[64];
	unsigned wakes;
};

static void
on_wake(struct limit_waiter *w, void *arg)
{
	struct stage *st = arg;

	st->woken[st->wakes++ % 64] = w;
}

static void
stage_open(struct stage *st, struct limit_conf conf)
{
	memset(st, 0, sizeof(*st));
	st->t = limit_table_new(LIMIT_TABLE_BYTES_DEFAULT, on_wake, st);
	assert_non_null(st->t);
	st->l = limiter_get(st->t, "login", &conf);
}

static void
stage_close(struct stage *st)
{
	limiter_unref(&st->l);
	limit_table_unref(&st->t);
}

static enum limit_verdict
ask_for(struct stage *st, const char *key, uint32_t permits, int64_t now_ms, struct limit_waiter *w)
{
	struct limit_ask ask = {.key = slice_from(key),
	    .permits = permits,
	    .now_ms = now_ms,
	    .wall_ms = now_ms,
	    .waiter = w};

	limiter_ask(st->l, &ask, &st->last);
	return st->last.verdict;
}

static enum limit_verdict
ask(struct stage *st, const char *key, int64_t now_ms)
{
	return ask_for(st, key, 1, now_ms, NULL);
}

static enum limit_verdict
ask_or_wait(struct stage *st, unsigned waiter, uint32_t permits, int64_t now_ms)
{
	return ask_for(st, "ann", permits, now_ms, &st->waiters[waiter]);
}

static uint64_t
count(const struct stage *st, enum limit_count which)
{
	struct limit_counts c;

	limiter_read_counts(st->l, &c);
	return c.n[which];
}

#define assert_woken(st, nth, waiter, how)                                  \
	do {                                                                \
		assert_ptr_equal((st)->woken[nth], &(st)->waiters[waiter]); \
		assert_int_equal((st)->waiters[waiter].end, how);           \
	} while (0)

static const struct limit_conf API = {
    .algorithm = LIMIT_FIXED_WINDOW, .limit = 2, .window_ms = 1000, .queue = 3};

static void
each_key_has_its_own_permits(void **state)
{
	struct stage st;

	stage_open(&st, API);
	assert_int_equal(ask(&st, "ann", NOON_MS), LIMIT_ALLOWED);
	assert_int_equal(st.last.remaining, 1);
	assert_int_equal(ask(&st, "ann", NOON_MS + 100), LIMIT_ALLOWED);
	assert_int_equal(ask(&st, "bob", NOON_MS + 100), LIMIT_ALLOWED);
	assert_int_equal(ask(&st, "ann", NOON_MS + 300), LIMIT_REFUSED);
	assert_int_equal(st.last.remaining, 0);
	assert_int_equal(st.last.reset_ms, 700);
	assert_int_equal(st.last.retry_ms, 700);
	assert_int_equal(ask(&st, "ann", NOON_MS + 1000), LIMIT_ALLOWED);
	assert_int_equal(count(&st, LIMIT_COUNT_allowed), 4);
	assert_int_equal(count(&st, LIMIT_COUNT_refused), 1);
	stage_close(&st);
}

static void
the_boundary_serves_the_queue_first_and_newcomers_behind_it(void **state)
{
	struct stage st;

	stage_open(&st, API);
	ask_for(&st, "ann", 2, NOON_MS, NULL);
	assert_int_equal(ask_or_wait(&st, 0, 1, NOON_MS + 10), LIMIT_QUEUED);
	assert_int_equal(st.last.look_again_ms, NOON_MS + 1000);
	assert_int_equal(ask_or_wait(&st, 1, 1, NOON_MS + 20), LIMIT_QUEUED);
	assert_int_equal(limit_table_poll(st.t, NOON_MS + 999), NOON_MS + 1000);
	assert_int_equal(st.wakes, 0);
	/* nobody polled yet: the newcomer itself brings the boundary, and comes too late */
	assert_int_equal(ask(&st, "ann", NOON_MS + 1000), LIMIT_REFUSED);
	assert_int_equal(st.wakes, 2);
	assert_woken(&st, 0, 0, LIMIT_END_GRANTED);
	assert_woken(&st, 1, 1, LIMIT_END_GRANTED);
	assert_int_equal(st.waiters[1].answer.verdict, LIMIT_ALLOWED);
	assert_int_equal(st.waiters[1].answer.remaining, 0);
	assert_int_equal(limit_table_poll(st.t, NOON_MS + 1000), INT64_MAX);
	stage_close(&st);
}

static void
a_full_queue_refuses_the_newcomer_when_the_oldest_goes_first(void **state)
{
	struct stage st;

	stage_open(&st, API);
	ask_for(&st, "ann", 2, NOON_MS, NULL);
	assert_int_equal(ask_or_wait(&st, 0, 2, NOON_MS), LIMIT_QUEUED);
	assert_int_equal(ask_or_wait(&st, 1, 2, NOON_MS), LIMIT_REFUSED); /* 2 + 2 > 3 permits */
	assert_int_equal(st.last.retry_ms, 2000); /* behind the two that wait */
	assert_int_equal(ask_or_wait(&st, 2, 1, NOON_MS), LIMIT_QUEUED);
	assert_int_equal(ask_or_wait(&st, 3, 1, NOON_MS), LIMIT_REFUSED);
	limit_table_poll(st.t, NOON_MS + 1000);
	assert_int_equal(st.wakes, 1); /* the 2 permits went to the first */
	assert_woken(&st, 0, 0, LIMIT_END_GRANTED);
	limit_table_poll(st.t, NOON_MS + 2000);
	assert_woken(&st, 1, 2, LIMIT_END_GRANTED);
	stage_close(&st);
}

static void
a_large_waiter_at_the_head_is_not_overtaken_by_small_ones(void **state)
{
	struct limit_conf conf = {
	    .algorithm = LIMIT_SLIDING_WINDOW, .limit = 2, .window_ms = 1000, .queue = 3};
	struct stage st;

	stage_open(&st, conf);
	ask(&st, "ann", NOON_MS);
	ask(&st, "ann", NOON_MS + 500);
	ask_or_wait(&st, 0, 2, NOON_MS + 600);
	ask_or_wait(&st, 1, 1, NOON_MS + 600);
	assert_int_equal(limit_table_poll(st.t, NOON_MS + 1000), NOON_MS + 1500);
	assert_int_equal(st.wakes, 0);
	limit_table_poll(st.t, NOON_MS + 1500);
	assert_int_equal(st.wakes, 1);
	assert_woken(&st, 0, 0, LIMIT_END_GRANTED);
	limit_table_poll(st.t, NOON_MS + 2500);
	assert_woken(&st, 1, 1, LIMIT_END_GRANTED);
	stage_close(&st);
}

static void
newest_first_fails_the_oldest_and_serves_the_newest(void **state)
{
	struct limit_conf conf = API;
	struct stage st;

	conf.newest_first = true;
	stage_open(&st, conf);
	ask_for(&st, "ann", 2, NOON_MS, NULL);
	for (unsigned i = 0; i < 3; i++)
		assert_int_equal(ask_or_wait(&st, i, 1, NOON_MS), LIMIT_QUEUED);
	assert_int_equal(ask_or_wait(&st, 3, 2, NOON_MS + 1), LIMIT_QUEUED);
	assert_int_equal(st.wakes, 2);
	assert_woken(&st, 0, 0, LIMIT_END_DISPLACED);
	assert_woken(&st, 1, 1, LIMIT_END_DISPLACED);
	assert_int_equal(st.waiters[0].answer.verdict, LIMIT_REFUSED);
	assert_true(st.waiters[0].answer.retry_ms >= 999);
	assert_int_equal(ask_or_wait(&st, 4, 4, NOON_MS + 1), LIMIT_REFUSED); /* never fits */
	limit_table_poll(st.t, NOON_MS + 1000);
	assert_int_equal(st.wakes, 3);
	assert_woken(&st, 2, 3, LIMIT_END_GRANTED);
	limit_table_poll(st.t, NOON_MS + 2000);
	assert_woken(&st, 3, 2, LIMIT_END_GRANTED);
	assert_int_equal(count(&st, LIMIT_COUNT_displaced), 2);
	stage_close(&st);
}

static void
who_waited_long_enough_is_refused(void **state)
{
	struct limit_conf conf = API;
	struct stage st;

	conf.queue_timeout_ms = 300;
	stage_open(&st, conf);
	ask_for(&st, "ann", 2, NOON_MS, NULL);
	ask_or_wait(&st, 0, 1, NOON_MS + 100);
	assert_int_equal(st.last.look_again_ms, NOON_MS + 400);
	ask_or_wait(&st, 1, 1, NOON_MS + 800);
	assert_int_equal(limit_table_poll(st.t, NOON_MS + 399), NOON_MS + 400);
	assert_int_equal(st.wakes, 1); /* the second ask had come past the first one's deadline */
	assert_woken(&st, 0, 0, LIMIT_END_TIMEOUT);
	assert_int_equal(st.waiters[0].answer.retry_ms, 200);
	limit_table_poll(st.t, NOON_MS + 1000);
	assert_woken(&st, 1, 1, LIMIT_END_GRANTED);
	assert_int_equal(count(&st, LIMIT_COUNT_queue_timeout), 1);
	assert_int_equal(count(&st, LIMIT_COUNT_granted), 1);
	stage_close(&st);
}

static void
a_client_that_leaves_gives_its_place_to_another(void **state)
{
	struct stage st;

	stage_open(&st, API);
	ask_for(&st, "ann", 2, NOON_MS, NULL);
	ask_or_wait(&st, 0, 2, NOON_MS);
	ask_or_wait(&st, 1, 1, NOON_MS);
	assert_true(limiter_cancel(&st.waiters[0], NOON_MS + 1));
	assert_int_equal(st.waiters[0].end, LIMIT_END_CANCELLED);
	assert_int_equal(ask_or_wait(&st, 2, 2, NOON_MS + 2), LIMIT_QUEUED);
	limit_table_poll(st.t, NOON_MS + 1000);
	assert_int_equal(st.wakes, 1);
	assert_woken(&st, 0, 1, LIMIT_END_GRANTED);
	assert_true(limiter_cancel(&st.waiters[2], NOON_MS + 1001));
	assert_int_equal(limit_table_poll(st.t, NOON_MS + 5000), INT64_MAX);
	assert_int_equal(st.wakes, 1);
	stage_close(&st);
}

static void
a_client_that_leaves_as_it_is_granted_gives_the_permit_to_the_next(void **state)
{
	struct stage st;

	stage_open(&st, API);
	ask_for(&st, "ann", 2, NOON_MS, NULL);
	ask_or_wait(&st, 0, 2, NOON_MS);
	ask_or_wait(&st, 1, 1, NOON_MS);
	limit_table_poll(st.t, NOON_MS + 1000);
	assert_woken(&st, 0, 0, LIMIT_END_GRANTED);
	/* its wake is in the mailbox, and now the client goes */
	assert_false(limiter_cancel(&st.waiters[0], NOON_MS + 1000));
	assert_int_equal(st.waiters[0].end, LIMIT_END_CANCELLED);
	assert_int_equal(st.wakes, 2);
	assert_woken(&st, 1, 1, LIMIT_END_GRANTED);
	assert_int_equal(ask(&st, "ann", NOON_MS + 1001), LIMIT_ALLOWED);
	assert_int_equal(ask(&st, "ann", NOON_MS + 1001), LIMIT_REFUSED);
	stage_close(&st);
}

static void
a_refund_serves_the_queue(void **state)
{
	struct stage st;

	stage_open(&st, API);
	ask_for(&st, "ann", 2, NOON_MS, NULL);
	ask_or_wait(&st, 0, 1, NOON_MS + 5);
	limiter_refund(st.l, SLICE_LIT("ann"), 1, NOON_MS, NOON_MS + 10);
	assert_woken(&st, 0, 0, LIMIT_END_GRANTED);
	limiter_refund(st.l, SLICE_LIT("bob"), 1, NOON_MS, NOON_MS + 10); /* unknown: nothing */
	assert_int_equal(ask(&st, "ann", NOON_MS + 10), LIMIT_REFUSED);
	stage_close(&st);
}

static void
count_all_keeps_who_does_not_stop_knocking_out(void **state)
{
	struct limit_conf conf = {
	    .algorithm = LIMIT_SLIDING_WINDOW, .limit = 5, .window_ms = 300000, .count_all = true};
	struct stage st;
	int64_t now_ms = NOON_MS;

	stage_open(&st, conf);
	for (unsigned i = 0; i < 5; i++)
		assert_int_equal(ask(&st, "ann", now_ms), LIMIT_ALLOWED);
	for (unsigned i = 0; i < 50; i++)
		assert_int_equal(ask(&st, "ann", now_ms += 30000), LIMIT_REFUSED);
	assert_int_equal(st.last.retry_ms, 300000 - 4 * 30000);
	assert_int_equal(ask(&st, "ann", now_ms + st.last.retry_ms), LIMIT_ALLOWED);
	stage_close(&st);
}

static void
shadow_lets_pass_and_tells(void **state)
{
	struct limit_conf conf = API;
	struct stage st;

	conf.shadow = true;
	stage_open(&st, conf);
	assert_int_equal(ask_for(&st, "ann", 2, NOON_MS, NULL), LIMIT_ALLOWED);
	assert_false(st.last.shadow_refused);
	assert_int_equal(ask_or_wait(&st, 0, 1, NOON_MS), LIMIT_ALLOWED);
	assert_true(st.last.shadow_refused);
	assert_int_equal(st.last.remaining, 0);
	assert_int_equal(count(&st, LIMIT_COUNT_shadow_refused), 1);
	assert_int_equal(count(&st, LIMIT_COUNT_refused), 0);
	stage_close(&st);
}

static void
an_unchanged_limit_keeps_its_state_over_a_reload_and_a_changed_one_starts_anew(void **state)
{
	struct limit_conf changed = API;
	struct limiter *old;
	struct stage st;

	stage_open(&st, API);
	ask_for(&st, "ann", 2, NOON_MS, NULL);
	old = st.l;
	st.l = limiter_get(st.t, "login", &API);
	limiter_unref(&old);
	assert_int_equal(ask(&st, "ann", NOON_MS), LIMIT_REFUSED);
	old = st.l;
	changed.limit = 3;
	st.l = limiter_get(st.t, "login", &changed);
	limiter_unref(&old);
	assert_int_equal(ask(&st, "ann", NOON_MS), LIMIT_ALLOWED);
	assert_int_equal(st.last.remaining, 2);
	assert_int_equal(count(&st, LIMIT_COUNT_refused), 1); /* the counters went on */
	assert_int_equal(limit_table_measure(st.t).keys, 1);
	stage_close(&st);
}

static void
a_workers_clock_that_lags_does_not_turn_a_keys_time_back(void **state)
{
	struct stage st;

	stage_open(&st, API);
	ask_for(&st, "ann", 2, NOON_MS + 5, NULL);
	assert_int_equal(ask(&st, "ann", NOON_MS), LIMIT_REFUSED);
	assert_int_equal(st.last.reset_ms, 1000);
	stage_close(&st);
}

static void
peeking_decides_nothing(void **state)
{
	struct limit_answer a;
	struct stage st;

	stage_open(&st, API);
	assert_false(limiter_peek(st.l, SLICE_LIT("ann"), NOON_MS, &a));
	assert_int_equal(a.remaining, 2);
	ask(&st, "ann", NOON_MS);
	for (unsigned i = 0; i < 5; i++)
		assert_true(limiter_peek(st.l, SLICE_LIT("ann"), NOON_MS + 1, &a));
	assert_int_equal(a.remaining, 1);
	assert_int_equal(a.reset_ms, 999);
	stage_close(&st);
}

static void
a_conf_that_cannot_be_is_told_why(void **state)
{
	struct limit_conf conf = API;

	assert_null(limit_conf_problem(&conf));
	conf.limit = 0;
	assert_string_equal(limit_conf_problem(&conf), "limit must be at least 1");
	conf = API;
	conf.dotnet = true;
	assert_non_null(limit_conf_problem(&conf));
}

/* Four workers on one key. Each thread has its own waiter and its own mailbox. */
struct hammer {
	struct limit_table *t;
	struct limiter *l;
	_Atomic int64_t clock_ms;
	_Atomic unsigned through, finished;
	struct post {
		pthread_mutex_t lock;
		struct limit_waiter *mail;
	} posts[4];
};

static void
on_hammer_wake(struct limit_waiter *w, void *arg)
{
	struct hammer *h = arg;
	struct post *p = &h->posts[w->worker];

	pthread_mutex_lock(&p->lock);
	p->mail = w;
	pthread_mutex_unlock(&p->lock);
}

static struct limit_waiter *
post_take(struct post *p)
{
	struct limit_waiter *w;

	pthread_mutex_lock(&p->lock);
	w = p->mail;
	p->mail = NULL;
	pthread_mutex_unlock(&p->lock);
	return w;
}

/* One request from asking to its end; 1 when it passed. */
static unsigned
hammer_one(struct hammer *h, unsigned worker, struct limit_waiter *w, unsigned round)
{
	struct limit_answer a;
	struct limit_ask one = {
	    .key = SLICE_LIT("everybody"), .permits = 1, .now_ms = atomic_load(&h->clock_ms)};
	unsigned patience = round % 50;

	memset(w, 0, sizeof(*w));
	w->worker = worker;
	one.waiter = w;
	limiter_ask(h->l, &one, &a);
	if (a.verdict != LIMIT_QUEUED)
		return a.verdict == LIMIT_ALLOWED;
	for (;;) {
		if (post_take(&h->posts[worker]) != NULL)
			return w->end == LIMIT_END_GRANTED;
		if (patience-- == 0) {
			if (limiter_cancel(w, atomic_load(&h->clock_ms)))
				return 0;
			while (post_take(&h->posts[worker]) == NULL)
				continue;
			return w->end == LIMIT_END_GRANTED;
		}
		limit_table_poll(h->t, atomic_fetch_add(&h->clock_ms, 1));
	}
}

struct hammer_arg {
	struct hammer *h;
	unsigned worker;
};

static void *
hammer_run(void *arg)
{
	struct hammer_arg *me = arg;
	struct limit_waiter w;

	for (unsigned i = 0; i < 4000; i++)
		atomic_fetch_add(&me->h->through, hammer_one(me->h, me->worker, &w, i));
	atomic_fetch_add(&me->h->finished, 1);
	return NULL;
}

static void
four_workers_on_one_key_never_get_more_than_the_limit(void **state)
{
	struct limit_conf conf = {.algorithm = LIMIT_SLIDING_WINDOW,
	    .limit = 20,
	    .window_ms = 100,
	    .queue = 2,
	    .queue_timeout_ms = 40};
	struct hammer h = {.clock_ms = NOON_MS};
	struct hammer_arg args[4];
	struct limit_counts c;
	pthread_t threads[4];
	int64_t elapsed_ms;

	h.t = limit_table_new(0, on_hammer_wake, &h);
	h.l = limiter_get(h.t, "api", &conf);
	for (unsigned i = 0; i < 4; i++) {
		pthread_mutex_init(&h.posts[i].lock, NULL);
		args[i] = (struct hammer_arg){&h, i};
		assert_int_equal(pthread_create(&threads[i], NULL, hammer_run, &args[i]), 0);
	}
	for (unsigned i = 0; i < 4; i++)
		pthread_join(threads[i], NULL);
	limiter_read_counts(h.l, &c);
	elapsed_ms = atomic_load(&h.clock_ms) - NOON_MS;
	assert_in_range(h.through, 20, (uintmax_t)(elapsed_ms / 100 + 1) * 20);
	assert_int_equal(
	    c.n[LIMIT_COUNT_allowed] + c.n[LIMIT_COUNT_refused] + c.n[LIMIT_COUNT_queued], 16000);
	assert_int_equal(c.n[LIMIT_COUNT_queued],
	    c.n[LIMIT_COUNT_granted] + c.n[LIMIT_COUNT_queue_timeout] + c.n[LIMIT_COUNT_cancelled]);
	assert_int_equal(h.through,
	    c.n[LIMIT_COUNT_allowed] + c.n[LIMIT_COUNT_granted] - c.n[LIMIT_COUNT_refunded]);
	limiter_unref(&h.l);
	limit_table_unref(&h.t);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(each_key_has_its_own_permits),
	    cmocka_unit_test(the_boundary_serves_the_queue_first_and_newcomers_behind_it),
	    cmocka_unit_test(a_full_queue_refuses_the_newcomer_when_the_oldest_goes_first),
	    cmocka_unit_test(a_large_waiter_at_the_head_is_not_overtaken_by_small_ones),
	    cmocka_unit_test(newest_first_fails_the_oldest_and_serves_the_newest),
	    cmocka_unit_test(who_waited_long_enough_is_refused),
	    cmocka_unit_test(a_client_that_leaves_gives_its_place_to_another),
	    cmocka_unit_test(a_client_that_leaves_as_it_is_granted_gives_the_permit_to_the_next),
	    cmocka_unit_test(a_refund_serves_the_queue),
	    cmocka_unit_test(count_all_keeps_who_does_not_stop_knocking_out),
	    cmocka_unit_test(shadow_lets_pass_and_tells),
	    cmocka_unit_test(
		an_unchanged_limit_keeps_its_state_over_a_reload_and_a_changed_one_starts_anew),
	    cmocka_unit_test(a_workers_clock_that_lags_does_not_turn_a_keys_time_back),
	    cmocka_unit_test(peeking_decides_nothing),
	    cmocka_unit_test(a_conf_that_cannot_be_is_told_why),
	    cmocka_unit_test(four_workers_on_one_key_never_get_more_than_the_limit),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
