/* LINK: http/date */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdlib.h>

#include "http/date.h"

#define NOW_S 1795000000 /* 2026-11-18 */

static int64_t
parse(const char *s)
{
	return date_parse(slice_from(s), NOW_S);
}

static void
the_three_forms_of_rfc_9110_are_the_same_moment(void **state)
{
	assert_int_equal(parse("Sun, 06 Nov 1994 08:49:37 GMT"), 784111777);
	assert_int_equal(parse("Sunday, 06-Nov-94 08:49:37 GMT"), 784111777);
	assert_int_equal(parse("Sun Nov  6 08:49:37 1994"), 784111777);
}

static void
wrong_case_is_understood(void **state)
{
	assert_int_equal(parse("THU, 18 Aug 2050 02:01:18 GMT"), 2544400878);
	assert_int_equal(parse("Thu, 18 AUG 2050 02:01:18 GMT"), 2544400878);
	assert_int_equal(parse("Thu, 18 Aug 2050 02:01:18 gMT"), 2544400878);
	assert_int_equal(parse("Thursday, 18-Aug-50 02:01:18 GMT"), 2544400878);
	assert_int_equal(parse("Thu Aug 18 02:01:18 2050"), 2544400878);
}

static void
what_is_none_of_the_three_forms_is_no_date(void **state)
{
	static const char *const bad[] = {"", "0", "-1", "Thu, 18 Aug 2050 02:01:18 UTC",
	    "Thu, 18 Aug 2050 02:01:18 AEST", "Thu, 18 Aug 50 02:01:18 GMT",
	    "Thu 18 Aug 2050 02:01:18 GMT", "Thu, 18  Aug  2050 02:01:18 GMT",
	    "Thu, 18-Aug-2050 02:01:18 GMT", "Thu, 18 Aug 2050 02.01.18 GMT",
	    "Thu, 18 Aug 2050 2:01:18 GMT", "Thu, 18 Aug 2050 02:01:18 GMT ",
	    "Thx, 18 Aug 2050 02:01:18 GMT", "Thu, 31 Sep 2050 02:01:18 GMT",
	    "Thu, 29 Feb 2100 02:01:18 GMT", "Thu, 00 Feb 2100 02:01:18 GMT",
	    "Thu, 18 Aug 2050 24:01:18 GMT", "Thu, 18 Aug 2050 02:60:18 GMT",
	    "Thu, 18 Aug 2050 02:01:61 GMT", "Thu, 18 Aug 2050 +2:01:18 GMT",
	    "Thu, 18 Aug -050 02:01:18 GMT", "Thu Aug 8  02:01:18 2050",
	    "Thurday, 18-Aug-50 02:01:18 GMT", "\x14hu, 18 Aug 2050 02:01:18 GMT",
	    "Thu, 18 A\x15g 2050 02:01:18 GMT"};

	for (size_t i = 0; i < sizeof(bad) / sizeof(*bad); i++)
		if (parse(bad[i]) != DATE_NONE)
			fail_msg("taken for a date: %s", bad[i]);
}

static void
a_year_of_two_digits_lies_at_most_fifty_years_ahead(void **state)
{
	assert_int_equal(parse("Friday, 01-Jan-76 00:00:00 GMT"), 3345062400);
	assert_int_equal(parse("Saturday, 01-Jan-77 00:00:00 GMT"), 220924800);
	/* near the end of a century, a small number is in the next one */
	assert_int_equal(
	    date_parse(SLICE_LIT("Friday, 01-Jan-10 00:00:00 GMT"), 4070908800 /* 2099 */),
	    4417977600);
}

static void
years_beyond_32_bits_are_understood(void **state)
{
	assert_int_equal(parse("Tue, 19 Jan 2038 14:14:08 GMT"), 2147523248);
	assert_int_equal(parse("Sun, 21 Nov 2286 04:46:39 GMT"), 10000039599);
	assert_int_equal(parse("Thu, 01 Jan 1970 00:00:00 GMT"), 0);
	assert_int_equal(parse("Wed, 31 Dec 1969 23:59:59 GMT"), -1);
}

static void
what_is_written_is_read_back(void **state)
{
	char out[DATE_LEN];

	date_format(784111777, out);
	assert_memory_equal(out, "Sun, 06 Nov 1994 08:49:37 GMT", DATE_LEN);
	date_format(-1, out);
	assert_memory_equal(out, "Wed, 31 Dec 1969 23:59:59 GMT", DATE_LEN);
	date_format(INT64_MAX, out);
	assert_memory_equal(out, "Fri, 31 Dec 9999 23:59:59 GMT", DATE_LEN);
	for (int64_t s = -60000000000; s < 250000000000; s += 86399 * 7001) {
		date_format(s, out);
		assert_int_equal(date_parse(slice_of(out, DATE_LEN), NOW_S), s);
	}
}

static void
a_date_that_was_read_before_is_the_same_again(void **state)
{
	static const char *const texts[] = {"Sun, 06 Nov 1994 08:49:37 GMT",
	    "Sun, 06 Nov 1994 08:49:37 GMT", "Sun, 06 Nov 1994 08:49:38 GMT",
	    "Sun, 06 Nov 1994 08:49:3x GMT", "Sun, 06 Nov 1994 08:49:38 GMT",
	    "sun, 06 nov 1994 08:49:38 gmt", "Sunday, 06-Nov-94 08:49:37 GMT", "",
	    "Sun Nov  6 08:49:37 1994", "Sun, 06 Nov 1994 08:49:37 GMT"};
	struct date_memo memo = {0};

	for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]); i++)
		assert_int_equal(date_parse_again(&memo, slice_from(texts[i]), NOW_S),
		    date_parse(slice_from(texts[i]), NOW_S));
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(the_three_forms_of_rfc_9110_are_the_same_moment),
	    cmocka_unit_test(wrong_case_is_understood),
	    cmocka_unit_test(what_is_none_of_the_three_forms_is_no_date),
	    cmocka_unit_test(a_year_of_two_digits_lies_at_most_fifty_years_ahead),
	    cmocka_unit_test(years_beyond_32_bits_are_understood),
	    cmocka_unit_test(what_is_written_is_read_back),
	    cmocka_unit_test(a_date_that_was_read_before_is_the_same_again),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
