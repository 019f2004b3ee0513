/* LINK: http/refresh */
#include "http/refresh.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#define HALF UINT32_C(0x7fffffff) /* -ln: 0.69 */

static void
the_die_is_weighed_by_what_the_fetch_took(void **state)
{
	struct refresh_view v = {.fetch_ms = 1000, .hits = 1, .kept_ms = 50000, .percent = 100};

	v.left_ms = 692;
	assert_true(refresh_is_early(&v, HALF));
	v.left_ms = 694;
	assert_false(refresh_is_early(&v, HALF));
	v.percent = 200;
	assert_true(refresh_is_early(&v, HALF));
	v.fetch_ms = 10;
	assert_false(refresh_is_early(&v, HALF));
}

static void
the_highest_die_never_does_and_the_lowest_does_from_afar(void **state)
{
	struct refresh_view v = {
	    .left_ms = 1, .fetch_ms = 1000, .hits = 1, .kept_ms = 1, .percent = 100};

	assert_false(refresh_is_early(&v, UINT32_MAX));
	v.left_ms = 22000;
	assert_true(refresh_is_early(&v, 0));
	assert_true(refresh_is_near(&v));
	v.left_ms = 23000; /* no die would: it need not be thrown */
	assert_false(refresh_is_near(&v));
	assert_false(refresh_is_early(&v, 0));
}

static void
what_was_asked_for_once_is_left_to_expire(void **state)
{
	struct refresh_view v = {.left_ms = 1, .fetch_ms = 1000, .kept_ms = 1, .percent = 100};

	assert_false(refresh_is_early(&v, 0));
	v.hits = 1;
	assert_true(refresh_is_early(&v, 0));
	v.percent = 0;
	assert_false(refresh_is_early(&v, 0));
}

static void
of_what_is_hot_the_gaps_between_hits_count_too(void **state)
{
	struct refresh_view v = {
	    .left_ms = 500, .fetch_ms = 1, .hits = 255, .kept_ms = 51200, .percent = 100};

	assert_false(refresh_is_early(&v, HALF));
	v.hits = 256; /* eight gaps of 200 ms: 1,601 ms * 0.69 */
	assert_true(refresh_is_early(&v, HALF));
	v.left_ms = 1200;
	assert_false(refresh_is_early(&v, HALF));
}

/* The odds that none of the hits refreshes before the end, when they come at equal gaps. */
static double
odds_of_missing(struct refresh_view v, int64_t life_ms, int64_t gap_ms)
{
	double odds = 1;

	for (int64_t at = gap_ms; at < life_ms; at += gap_ms) {
		double least = 1, most = 0;

		v.left_ms = life_ms - at;
		v.kept_ms = at;
		v.hits = (uint32_t)(at / gap_ms);
		for (int i = 0; i < 40; i++) { /* the die below which it does */
			double p = (least + most) / 2;
			if (refresh_is_early(&v, (uint32_t)(p * 4294967295.0)))
				most = p;
			else
				least = p;
		}
		odds *= 1 - most;
	}
	return odds;
}

static void
a_hot_object_hardly_ever_expires(void **state)
{
	struct refresh_view v = {.fetch_ms = 5, .percent = 100};

	assert_true(odds_of_missing(v, 60000, 200) < 1e-4);
	assert_true(odds_of_missing(v, 60000, 3000) > 0.9); /* it is not hot */
	v.fetch_ms = 2000;
	assert_true(odds_of_missing(v, 60000, 200) < 1e-4);
}

static void
a_life_slides_up_to_its_cap(void **state)
{
	assert_int_equal(life_slid_ms(0, 600, 3600), 600);
	assert_int_equal(life_slid_ms(500, 600, 3600), 1100);
	assert_int_equal(life_slid_ms(3500, 600, 3600), 3600);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(the_die_is_weighed_by_what_the_fetch_took),
	    cmocka_unit_test(the_highest_die_never_does_and_the_lowest_does_from_afar),
	    cmocka_unit_test(what_was_asked_for_once_is_left_to_expire),
	    cmocka_unit_test(of_what_is_hot_the_gaps_between_hits_count_too),
	    cmocka_unit_test(a_hot_object_hardly_ever_expires),
	    cmocka_unit_test(a_life_slides_up_to_its_cap),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
