/* LINK: upstream/latency */
#include "upstream/latency.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

static void
note(struct latency *l, int64_t us, unsigned times)
{
	for (unsigned i = 0; i < times; i++)
		latency_note(l, us);
}

/* What was said of true, which may be an eighth too much. */
static void
assert_about(int64_t said_us, int64_t true_us)
{
	assert_in_range(said_us, true_us, true_us + true_us / 8 + 1);
}

static void
a_quantile_is_never_too_low_and_an_eighth_too_high_at_most(void **state)
{
	for (int64_t us = 8; us < 60000000; us = us * 13 / 10 + 1) {
		struct latency l = {0};

		note(&l, us, 200);
		assert_about(latency_quantile_us(&l, 0.5), us);
		assert_about(latency_quantile_us(&l, 0.999), us);
	}
}

static void
the_slowest_part_lies_above(void **state)
{
	struct latency l = {0};

	note(&l, 2000, 470);
	note(&l, 90000, 30);
	assert_about(latency_quantile_us(&l, 0.9), 2000);
	assert_about(latency_quantile_us(&l, 0.95), 90000);
}

static void
a_few_answers_tell_nothing(void **state)
{
	struct latency l = {0};

	note(&l, 2000, LATENCY_LEAST - 1);
	assert_int_equal(latency_quantile_us(&l, 0.95), -1);
	note(&l, 2000, 1);
	assert_about(latency_quantile_us(&l, 0.95), 2000);
}

static void
what_was_long_ago_is_forgotten(void **state)
{
	struct latency l = {0};

	note(&l, 5000000, LATENCY_MOST);
	note(&l, 1000, 5 * LATENCY_MOST);
	assert_about(latency_quantile_us(&l, 0.95), 1000);
	assert_true(l.total < LATENCY_MOST);
}

static void
what_is_beyond_all_measure_is_counted_in_the_last_bucket(void **state)
{
	struct latency l = {0};

	note(&l, INT64_MAX, 150);
	note(&l, 0, 150);
	note(&l, -5, 150);
	assert_true(latency_quantile_us(&l, 0.6) <= 9);
	assert_true(latency_quantile_us(&l, 0.99) > 60000000);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(a_quantile_is_never_too_low_and_an_eighth_too_high_at_most),
	    cmocka_unit_test(the_slowest_part_lies_above),
	    cmocka_unit_test(a_few_answers_tell_nothing),
	    cmocka_unit_test(what_was_long_ago_is_forgotten),
	    cmocka_unit_test(what_is_beyond_all_measure_is_counted_in_the_last_bucket),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
