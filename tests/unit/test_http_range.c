/* LINK: http/range http/head http/fields base/buf base/mem */
#include "http_usual.h"

#include "http/range.h"

static struct ranges got;

static enum range_answer
judge(const char *range, uint64_t length)
{
	return range_judge(slice_from(range), length, &got);
}

static void
expect_part(unsigned i, uint64_t from, uint64_t to)
{
	assert_true(i < got.count);
	assert_int_equal(got.at[i].from, from);
	assert_int_equal(got.at[i].to, to);
}

static void
parts_are_found_in_the_order_asked(void **state)
{
	assert_int_equal(judge("bytes=0-1", 11), RANGE_PARTS);
	expect_part(0, 0, 1);
	assert_int_equal(judge("Bytes=1-", 11), RANGE_PARTS);
	expect_part(0, 1, 10);
	assert_int_equal(judge("bytes=-1", 11), RANGE_PARTS);
	expect_part(0, 10, 10);
	assert_int_equal(judge("bytes=-99", 11), RANGE_PARTS);
	expect_part(0, 0, 10);
	assert_int_equal(judge("bytes=5-99", 11), RANGE_PARTS);
	expect_part(0, 5, 10);
	assert_int_equal(judge("bytes= 7-8 ,, 0-0,99-100, -1", 11), RANGE_PARTS);
	assert_int_equal(got.count, 3);
	expect_part(0, 7, 8);
	expect_part(1, 0, 0);
	expect_part(2, 10, 10);
	assert_int_equal(judge("bytes=0-18446744073709551615", 11), RANGE_PARTS);
	expect_part(0, 0, 10);
}

static void
what_lies_behind_the_end_cannot_be_satisfied(void **state)
{
	assert_int_equal(judge("bytes=11-", 11), RANGE_UNSATISFIABLE);
	assert_int_equal(judge("bytes=11-12, 20-30", 11), RANGE_UNSATISFIABLE);
	assert_int_equal(judge("bytes=-0", 11), RANGE_UNSATISFIABLE);
}

static void
what_is_malformed_or_hostile_is_answered_in_full(void **state)
{
	static const char *const bad[] = {"", "bytes", "bytes=", "bytes=,", "bytes=a-b", "bytes=1",
	    "bytes=--1", "bytes=2-1", "bytes=+1-2", "bytes=0x1-2", "bytes=1 -2", "bytes=1- 2",
	    "bytes =0-1", "lines=0-1", "bytes=-", "bytes=0-1;2-3", "bytes=18446744073709551616-",
	    "bytes=0-1,x", "=0-1",
	    "bytes=0-0,1-1,2-2,3-3,4-4,5-5,6-6,7-7,8-8,9-9,20-20,20-20,20-20,20-20,20-20,20-20,10-"
	    "10"};

	for (size_t i = 0; i < sizeof(bad) / sizeof(*bad); i++)
		if (judge(bad[i], 11) != RANGE_WHOLE)
			fail_msg("taken for a range: %s", bad[i]);
	assert_int_equal(judge("bytes=0-1", 0), RANGE_WHOLE);
	assert_int_equal(range_judge(SLICE_NONE, 11, &got), RANGE_WHOLE);
}

static void
ranges_that_touch_are_joined_where_the_first_stood(void **state)
{
	assert_int_equal(judge("bytes=0-5,5-6", 20), RANGE_PARTS);
	assert_int_equal(got.count, 1);
	expect_part(0, 0, 6);
	assert_int_equal(judge("bytes=10-12, 0-1, 2-3, 15-16", 20), RANGE_PARTS);
	assert_int_equal(got.count, 3);
	expect_part(0, 10, 12);
	expect_part(1, 0, 3);
	expect_part(2, 15, 16);
	assert_int_equal(judge("bytes=18-19, 0-2, 8-9, 4-5, 2-8", 20), RANGE_PARTS);
	assert_int_equal(got.count, 2);
	expect_part(0, 18, 19);
	expect_part(1, 0, 9);
	assert_int_equal(
	    judge("bytes=0-,0-,0-,0-,0-,0-,0-,0-,0-,0-,0-,0-,0-,0-,0-,-20", 20), RANGE_PARTS);
	assert_int_equal(got.count, 1);
	expect_part(0, 0, 19);
}

static void
only_a_get_with_one_range_asks_for_parts(void **state)
{
	struct head h = head_of("Range: bytes=0-1");

	assert_int_equal(range_judge_request(&h, 11, &got), RANGE_PARTS);
	h.method = METHOD_HEAD;
	assert_int_equal(range_judge_request(&h, 11, &got), RANGE_WHOLE);
	h = head_of("Range: bytes=0-1\nRange: bytes=2-3");
	assert_int_equal(range_judge_request(&h, 11, &got), RANGE_WHOLE);
	h = head_of("X: y");
	assert_int_equal(range_judge_request(&h, 11, &got), RANGE_WHOLE);
}

static void
a_body_of_several_parts_is_as_long_as_announced(void **state)
{
	struct buf b = {0};
	struct slice boundary = SLICE_LIT("forebay-1"), type = SLICE_LIT("text/plain");

	assert_int_equal(judge("bytes=0-9, 100-250, -7", 1234), RANGE_PARTS);
	for (unsigned i = 0; i < got.count; i++) {
		multipart_part_head(&b, i == 0, boundary, type, &got.at[i], 1234);
		for (uint64_t k = got.at[i].from; k <= got.at[i].to; k++)
			buf_add_char(&b, 'x');
	}
	multipart_end(&b, boundary);
	assert_int_equal(b.n, multipart_length(&got, boundary, type, 1234));
	assert_true(slice_starts(buf_slice(&b),
	    SLICE_LIT("--forebay-1\r\nContent-Type: text/plain\r\nContent-Range: bytes "
		      "0-9/1234\r\n\r\nxx")));
	assert_true(slice_ends(buf_slice(&b), SLICE_LIT("x\r\n--forebay-1--\r\n")));
	b.n = 0;
	content_range_write_unsatisfied(&b, 11);
	expect_text(buf_slice(&b), "Content-Range: bytes */11\r\n");
	buf_fini(&b);
}

static void
an_origins_content_range_is_read_strictly(void **state)
{
	struct content_range cr;

	assert_true(
	    content_range_parse(SLICE_LIT("bytes 0-4/10"), &cr) && cr.has_range && cr.has_length);
	assert_int_equal(cr.range.to, 4);
	assert_int_equal(cr.length, 10);
	assert_true(content_range_parse(SLICE_LIT("bytes 0-4/*"), &cr) && !cr.has_length);
	assert_true(content_range_parse(SLICE_LIT("bytes */10"), &cr) && !cr.has_range);
	static const char *const bad[] = {"", "bytes", "bytes 0-4", "bytes 4-0/10", "bytes 0-10/10",
	    "bytes */*", "bytes  0-4/10", "bytes 0-4/10 ", "bytes=0-4/10", "bytes -4/10",
	    "bytes 0-/10", "lines 0-4/10", "0-4/10", "bytes 0-4/+10"};
	for (size_t i = 0; i < sizeof(bad) / sizeof(*bad); i++)
		if (content_range_parse(slice_from(bad[i]), &cr))
			fail_msg("taken for a Content-Range: %s", bad[i]);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(parts_are_found_in_the_order_asked),
	    cmocka_unit_test(what_lies_behind_the_end_cannot_be_satisfied),
	    cmocka_unit_test(what_is_malformed_or_hostile_is_answered_in_full),
	    cmocka_unit_test(ranges_that_touch_are_joined_where_the_first_stood),
	    cmocka_unit_test(only_a_get_with_one_range_asks_for_parts),
	    cmocka_unit_test(a_body_of_several_parts_is_as_long_as_announced),
	    cmocka_unit_test(an_origins_content_range_is_read_strictly),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
