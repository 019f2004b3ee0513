/* LINK: cache/verdicts base/mem */
#include "cache/verdicts.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#define HASH UINT64_C(0xfedcba9876543210)

static void
what_was_noted_is_recalled(void **state)
{
	struct verdicts *v = verdicts_new();
	struct verdict_note note = {SOURCE_redis, 21, 599, 16777215}, out;

	assert_false(verdicts_recall(v, HASH, &out));
	verdicts_note(v, HASH, &note);
	assert_true(verdicts_recall(v, HASH, &out));
	assert_int_equal(out.source, SOURCE_redis);
	assert_int_equal(out.verdict, 21);
	assert_int_equal(out.status, 599);
	assert_int_equal(out.at_s, 16777215);
	verdicts_free(&v);
}

static void
the_newest_note_of_a_key_counts(void **state)
{
	struct verdicts *v = verdicts_new();
	struct verdict_note out;

	verdicts_note(v, HASH, &(struct verdict_note){SOURCE_origin, 8, 200, 1});
	verdicts_note(v, HASH, &(struct verdict_note){SOURCE_validated, 0, 304, 2});
	assert_true(verdicts_recall(v, HASH, &out));
	assert_int_equal(out.status, 304);
	verdicts_free(&v);
}

static void
another_key_in_the_same_place_is_not_taken_for_it(void **state)
{
	struct verdicts *v = verdicts_new();
	struct verdict_note out;

	verdicts_note(v, HASH, &(struct verdict_note){SOURCE_origin, 1, 200, 1});
	assert_false(verdicts_recall(v, HASH ^ UINT64_C(1) << 63, &out));
	verdicts_note(
	    v, HASH ^ UINT64_C(1) << 63, &(struct verdict_note){SOURCE_origin, 1, 200, 1});
	assert_false(verdicts_recall(v, HASH, &out));
	verdicts_free(&v);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(what_was_noted_is_recalled),
	    cmocka_unit_test(the_newest_note_of_a_key_counts),
	    cmocka_unit_test(another_key_in_the_same_place_is_not_taken_for_it),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
