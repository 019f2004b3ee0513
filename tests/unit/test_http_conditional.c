/* LINK: http/conditional http/date http/head http/fields base/buf base/mem */
#include "http_usual.h"

#include <stdio.h>

#include "http/conditional.h"

#define MODIFIED "Wed, 18 Nov 2026 11:00:00 GMT"

static enum condition
judge(const char *fields, const char *etag, int64_t modified_s)
{
	struct head h = head_of(fields);
	struct validators v = {
	    .etag = slice_from(etag), .modified_s = modified_s, .date_s = NOON_S};

	return condition_judge(&h, &v, 200, NOON_S);
}

static void
a_client_that_has_it_is_told_so(void **state)
{
	static const struct {
		const char *inm, *etag;
		bool same;
	} rows[] = {{"\"abcdef\"", "\"abcdef\"", true}, {"W/\"abcdef\"", "\"abcdef\"", true},
	    {"\"abcdef\"", "W/\"abcdef\"", true},
	    {"\"1234\", \"abcdef\", \"5678\"", "\"abcdef\"", true},
	    {"\"1234\",\"5678\", W/\"abcdef\"", "\"abcdef\"", true},
	    {"\"abcdef\xc3\xbc\"", "\"abcdef\xc3\xbc\"", true}, {"*", "\"abcdef\"", true},
	    {"*", "", true}, {"abcdef", "abcdef", true}, {"w/\"abcdef\"", "w/\"abcdef\"", true},
	    {"W\"abcdef\"", "W\"abcdef\"", true}, {"W\\\"abcdef\"", "W\\\"abcdef\"", true},
	    {"\"a,b\"", "\"a,b\"", true}, {"\"a\\\", \"b\"", "\"b\"", true},
	    {"abcdef", "\"abcdef\"", false}, {"\"abcdef\"", "abcdef", false},
	    {"\"abc\"", "\"abcdef\"", false}, {"\"abcdef\"", "", false}, {"", "", false}};

	for (size_t i = 0; i < sizeof(rows) / sizeof(*rows); i++) {
		char fields[128];
		snprintf(fields, sizeof(fields), "If-None-Match: %s", rows[i].inm);
		enum condition want = rows[i].same ? CONDITION_NOT_MODIFIED : CONDITION_SEND;
		if (judge(fields, rows[i].etag, DATE_NONE) != want)
			fail_msg("%s against %s", rows[i].inm, rows[i].etag);
	}
}

static void
dates_are_compared_where_there_is_no_tag_to_compare(void **state)
{
	int64_t modified_s = NOON_S - 3600;

	assert_int_equal(
	    judge("If-Modified-Since: " MODIFIED, "", modified_s), CONDITION_NOT_MODIFIED);
	assert_int_equal(
	    judge("If-Modified-Since: Wednesday, 18-Nov-26 11:00:00 GMT", "", modified_s),
	    CONDITION_NOT_MODIFIED);
	assert_int_equal(judge("If-Modified-Since: " MODIFIED, "", modified_s + 1), CONDITION_SEND);
	assert_int_equal(judge("If-Modified-Since: yesterday", "", modified_s), CONDITION_SEND);
	/* without Last-Modified, Date says since when it has been so */
	assert_int_equal(judge("If-Modified-Since: Wed, 18 Nov 2026 12:00:00 GMT", "", DATE_NONE),
	    CONDITION_NOT_MODIFIED);
	assert_int_equal(judge("If-Modified-Since: " MODIFIED, "", DATE_NONE), CONDITION_SEND);
	/* the tag decides, whatever the date says */
	assert_int_equal(
	    judge("If-None-Match: \"a\"\nIf-Modified-Since: " MODIFIED, "\"a\"", NOON_S),
	    CONDITION_NOT_MODIFIED);
	assert_int_equal(
	    judge("If-None-Match: \"b\"\nIf-Modified-Since: " MODIFIED, "\"a\"", modified_s),
	    CONDITION_SEND);
}

static void
conditions_for_the_origin_go_to_the_origin(void **state)
{
	assert_int_equal(judge("If-Match: \"a\"", "\"a\"", DATE_NONE), CONDITION_FORWARD);
	assert_int_equal(
	    judge("If-Unmodified-Since: " MODIFIED, "\"a\"", DATE_NONE), CONDITION_FORWARD);
}

static void
an_error_is_sent_whatever_the_condition(void **state)
{
	struct head h = head_of("If-None-Match: *");
	struct validators v = {
	    .etag = SLICE_LIT("\"a\""), .modified_s = DATE_NONE, .date_s = NOON_S};

	assert_int_equal(condition_judge(&h, &v, 404, NOON_S), CONDITION_SEND);
	assert_int_equal(condition_judge(&h, &v, 204, NOON_S), CONDITION_NOT_MODIFIED);
}

static void
a_range_continues_only_the_very_same_bytes(void **state)
{
	static const struct {
		const char *fields, *etag;
		int64_t modified_s;
		bool holds;
	} rows[] = {{"X: y", "", DATE_NONE, true}, {"If-Range: \"a\"", "\"a\"", DATE_NONE, true},
	    {"If-Range: \"a\"", "W/\"a\"", DATE_NONE, false},
	    {"If-Range: W/\"a\"", "W/\"a\"", DATE_NONE, false},
	    {"If-Range: W/\"a\"", "\"a\"", DATE_NONE, false},
	    {"If-Range: a", "a", DATE_NONE, false},
	    {"If-Range: " MODIFIED, "", NOON_S - 3600, true},
	    {"If-Range: " MODIFIED, "", NOON_S - 3601, false},
	    {"If-Range: " MODIFIED, "", DATE_NONE, false},
	    {"If-Range: Wed, 18 Nov 2026 12:00:00 GMT", "", NOON_S, false},
	    {"If-Range:", "\"a\"", NOON_S, false}};

	for (size_t i = 0; i < sizeof(rows) / sizeof(*rows); i++) {
		struct head h = head_of(rows[i].fields);
		struct validators v = {.etag = slice_from(rows[i].etag),
		    .modified_s = rows[i].modified_s,
		    .date_s = NOON_S};
		if (range_condition_holds(&h, &v, NOON_S) != rows[i].holds)
			fail_msg("misjudged: %s", rows[i].fields);
	}
}

static void
a_304_leaves_out_what_describes_the_content(void **state)
{
	struct head h = head_of(
	    "ETag: \"a\"\nContent-Type: text/html\nContent-Length: 5\nLast-Modified: " MODIFIED
	    "\nCache-Control: max-age=5\nX-Own: 1");
	static const bool goes[] = {true, false, false, false, true, true};

	for (unsigned i = 0; i < h.count; i++)
		assert_int_equal(field_goes_in_304(&h, &h.fields[i]), goes[i]);
	h = head_of("Last-Modified: " MODIFIED);
	assert_true(field_goes_in_304(&h, &h.fields[0]));
}

static void
the_origin_is_asked_with_its_own_words(void **state)
{
	struct head h = head_of("ETag: abc\nLast-Modified: Wed, 18 NOV 2026 11:00:00 GMT");
	struct buf b = {0};

	assert_true(conditional_write(&h, &b));
	expect_text(buf_slice(&b),
	    "If-None-Match: abc\r\nIf-Modified-Since: Wed, 18 NOV 2026 11:00:00 GMT\r\n");
	h = head_of("X: y");
	assert_false(conditional_write(&h, &b));
	buf_fini(&b);
}

static bool
is_about(const char *stored, const char *fresh)
{
	struct head a = head_of(stored), b = response_of(304, fresh);

	return not_modified_is_about(&a, &b);
}

static void
a_304_about_something_else_is_recognised(void **state)
{
	assert_true(is_about("ETag: \"a\"", "X: y"));
	assert_true(is_about("ETag: \"a\"", "ETag: W/\"a\""));
	assert_false(is_about("ETag: \"a\"", "ETag: \"b\""));
	assert_true(is_about("Last-Modified: " MODIFIED, "Last-Modified: " MODIFIED));
	assert_false(
	    is_about("Last-Modified: " MODIFIED, "Last-Modified: Wed, 18 Nov 2026 11:00:01 GMT"));
}

static void
a_head_tells_whether_the_stored_get_is_still_good(void **state)
{
	struct head stored = head_of("ETag: \"a\"");
	struct head same = head_of("ETag: \"a\"\nContent-Length: 5"),
		    other = head_of("ETag: \"b\"");
	struct head longer = head_of("ETag: \"a\"\nContent-Length: 6"),
		    silent = head_of("Content-Length: 5");
	struct head gone = response_of(410, "ETag: \"a\"");

	assert_int_equal(head_judge(&stored, 5, &same), HEAD_SAYS_SAME);
	assert_int_equal(head_judge(&stored, 5, &other), HEAD_SAYS_CHANGED);
	assert_int_equal(head_judge(&stored, 5, &longer), HEAD_SAYS_CHANGED);
	assert_int_equal(head_judge(&stored, LENGTH_UNKNOWN, &longer), HEAD_SAYS_SAME);
	assert_int_equal(head_judge(&stored, 5, &silent), HEAD_SAYS_NOTHING);
	assert_int_equal(head_judge(&stored, 5, &gone), HEAD_SAYS_NOTHING);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(a_client_that_has_it_is_told_so),
	    cmocka_unit_test(dates_are_compared_where_there_is_no_tag_to_compare),
	    cmocka_unit_test(conditions_for_the_origin_go_to_the_origin),
	    cmocka_unit_test(an_error_is_sent_whatever_the_condition),
	    cmocka_unit_test(a_range_continues_only_the_very_same_bytes),
	    cmocka_unit_test(a_304_leaves_out_what_describes_the_content),
	    cmocka_unit_test(the_origin_is_asked_with_its_own_words),
	    cmocka_unit_test(a_304_about_something_else_is_recognised),
	    cmocka_unit_test(a_head_tells_whether_the_stored_get_is_still_good),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
