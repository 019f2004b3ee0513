/* LINK: policy/ratelimit policy/limiter policy/limittable policy/limitkey policy/window base/hash base/mem */
#include "policy/limittable.h"

#include <arpa/inet.h>
#include <malloc.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "policy/limitkey.h"

#define NOON_MS 43200000
#define MILLION 1000000u

static const struct limit_conf LOGIN = {
    .algorithm = LIMIT_SLIDING_WINDOW, .limit = 5, .window_ms = 300000};

static void
on_wake(struct limit_waiter *w, void *arg)
{
	(*(unsigned *)arg)++;
}

static struct limit_key
address(uint32_t a)
{
	struct sockaddr_in sa = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(a)};
	struct limit_key k = {0};

	limit_key_add_client(&k, (struct sockaddr *)&sa);
	return k;
}

static enum limit_verdict
ask_from(
    struct limiter *l, uint32_t a, int64_t now_ms, struct limit_key *room, struct limit_waiter *w)
{
	struct limit_answer answer;
	struct limit_ask ask = {.permits = 1, .now_ms = now_ms, .waiter = w};

	*room = address(a);
	ask.key = limit_key_slice(room);
	limiter_ask(l, &ask, &answer);
	return answer.verdict;
}

static enum limit_verdict
ask(struct limiter *l, uint32_t a, int64_t now_ms)
{
	struct limit_key room;

	return ask_from(l, a, now_ms, &room, NULL);
}

static uint64_t
count(const struct limiter *l, enum limit_count which)
{
	struct limit_counts c;

	limiter_read_counts(l, &c);
	return c.n[which];
}

static void
a_million_addresses_stay_within_the_bytes_and_forgive_no_offender(void **state)
{
	size_t before = mallinfo2().uordblks + mallinfo2().hblkhd;
	unsigned woken = 0;
	struct limit_table *t = limit_table_new(LIMIT_TABLE_BYTES_DEFAULT, on_wake, &woken);
	struct limiter *l = limiter_get(t, "login", &LOGIN);
	struct limit_table_size size;
	size_t after;

	for (uint32_t offender = 0; offender < 200; offender++)
		for (unsigned i = 0; i < 6; i++)
			ask(l, offender, NOON_MS);
	for (uint32_t i = 0; i < MILLION; i++)
		assert_int_equal(ask(l, 0x0a000000 + i, NOON_MS + i / 20), LIMIT_ALLOWED);
	size = limit_table_measure(t);
	after = mallinfo2().uordblks + mallinfo2().hblkhd;
	assert_in_range(size.bytes, size.max_bytes / 2, size.max_bytes);
	assert_true(after - before <= LIMIT_TABLE_BYTES_DEFAULT + 65536);
	for (uint32_t offender = 0; offender < 200; offender++)
		assert_int_equal(ask(l, offender, NOON_MS + 60000), LIMIT_REFUSED);
	assert_int_equal(count(l, LIMIT_COUNT_forgiven), 0);
	assert_in_range(count(l, LIMIT_COUNT_evicted), 800000, MILLION);
	limiter_unref(&l);
	limit_table_unref(&t);
}

static void
who_has_used_more_of_a_limit_is_remembered_longer(void **state)
{
	unsigned woken = 0;
	struct limit_table *t = limit_table_new(LIMIT_TABLE_BYTES_MIN, on_wake, &woken);
	struct limiter *l = limiter_get(t, "login", &LOGIN);

	for (unsigned i = 0; i < 4; i++)
		ask(l, 1, NOON_MS);
	for (uint32_t i = 0; i < 20000; i++)
		ask(l, 0x0a000000 + i, NOON_MS + 1);
	assert_int_equal(ask(l, 1, NOON_MS + 2), LIMIT_ALLOWED);
	assert_int_equal(ask(l, 1, NOON_MS + 2), LIMIT_REFUSED);
	limiter_unref(&l);
	limit_table_unref(&t);
}

static void
keys_whose_permits_are_back_go_first_and_nothing_is_lost(void **state)
{
	unsigned woken = 0;
	struct limit_table *t = limit_table_new(LIMIT_TABLE_BYTES_MIN, on_wake, &woken);
	struct limiter *l = limiter_get(t, "login", &LOGIN);
	uint32_t fits;

	for (fits = 0; count(l, LIMIT_COUNT_evicted) == 0; fits++)
		ask(l, fits, NOON_MS);
	/* another window, the same crowd's size: each finds the place of one that is idle now */
	for (uint32_t i = 0; i < fits - 1; i++)
		ask(l, 0x0a000000 + i, NOON_MS + 300000);
	assert_int_equal(count(l, LIMIT_COUNT_evicted), 1);
	limiter_unref(&l);
	limit_table_unref(&t);
}

static void
when_all_are_at_their_limit_the_one_that_still_knocks_is_kept(void **state)
{
	unsigned woken = 0;
	struct limit_table *t = limit_table_new(LIMIT_TABLE_BYTES_MIN, on_wake, &woken);
	struct limiter *l = limiter_get(t, "login", &LOGIN);

	for (unsigned i = 0; i < 6; i++)
		ask(l, 1, NOON_MS);
	for (uint32_t i = 0; i < 20000; i++) {
		for (unsigned k = 0; k < 5; k++)
			ask(l, 0x0a000000 + i, NOON_MS + i);
		if (i % 100 == 0)
			assert_int_equal(ask(l, 1, NOON_MS + i), LIMIT_REFUSED);
	}
	assert_true(count(l, LIMIT_COUNT_forgiven) > 0);
	limiter_unref(&l);
	limit_table_unref(&t);
}

/* Fills a table with keys that all have somebody waiting, then brings one more. */
static void
one_too_many(bool refuse, enum limit_verdict expected)
{
	struct limit_conf conf = {.algorithm = LIMIT_FIXED_WINDOW,
	    .limit = 1,
	    .window_ms = 1000,
	    .queue = 1,
	    .refuse_untracked = refuse};
	unsigned woken = 0, n = 0, most = 2000;
	struct limit_table *t = limit_table_new(LIMIT_TABLE_BYTES_MIN, on_wake, &woken);
	struct limiter *l = limiter_get(t, "api", &conf);
	struct limit_waiter *w = calloc(most, sizeof(*w));
	struct limit_key *keys = calloc(most, sizeof(*keys));

	for (; count(l, LIMIT_COUNT_untracked) == 0; n++) {
		enum limit_verdict v;

		assert_true(n < most);
		v = ask_from(l, n, NOON_MS, &keys[n], &w[n]);
		if (count(l, LIMIT_COUNT_untracked) > 0)
			assert_int_equal(v, expected);
		else
			assert_int_equal(ask_from(l, n, NOON_MS, &keys[n], &w[n]), LIMIT_QUEUED);
	}
	assert_int_equal(count(l, LIMIT_COUNT_forgiven), 0);
	limit_table_poll(t, NOON_MS + 1000);
	assert_int_equal(woken, n - 1); /* nobody who waited was forgotten */
	limiter_unref(&l);
	limit_table_unref(&t);
	free(w);
	free(keys);
}

static void
waiters_are_never_evicted_and_a_key_without_room_passes(void **state)
{
	one_too_many(false, LIMIT_ALLOWED);
}

static void
a_key_without_room_is_refused_where_the_limit_says_so(void **state)
{
	one_too_many(true, LIMIT_REFUSED);
}

static void
limits_share_a_table_and_not_their_keys(void **state)
{
	struct limit_conf one = {.algorithm = LIMIT_FIXED_WINDOW, .limit = 1, .window_ms = 1000};
	unsigned woken = 0;
	struct limit_table *t = limit_table_new(0, on_wake, &woken);
	struct limiter *a = limiter_get(t, "a", &one), *b = limiter_get(t, "b", &one);

	assert_int_equal(ask(a, 1, NOON_MS), LIMIT_ALLOWED);
	assert_int_equal(ask(b, 1, NOON_MS), LIMIT_ALLOWED);
	assert_int_equal(ask(a, 1, NOON_MS), LIMIT_REFUSED);
	limiter_unref(&a);
	assert_int_equal(limit_table_measure(t).keys, 1);
	assert_int_equal(ask(b, 1, NOON_MS), LIMIT_REFUSED);
	limiter_unref(&b);
	limit_table_unref(&t);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(a_million_addresses_stay_within_the_bytes_and_forgive_no_offender),
	    cmocka_unit_test(who_has_used_more_of_a_limit_is_remembered_longer),
	    cmocka_unit_test(keys_whose_permits_are_back_go_first_and_nothing_is_lost),
	    cmocka_unit_test(when_all_are_at_their_limit_the_one_that_still_knocks_is_kept),
	    cmocka_unit_test(waiters_are_never_evicted_and_a_key_without_room_passes),
	    cmocka_unit_test(a_key_without_room_is_refused_where_the_limit_says_so),
	    cmocka_unit_test(limits_share_a_table_and_not_their_keys),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
