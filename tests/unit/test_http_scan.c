/* LINK: */
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "http/scan.h"

#define BYTES 70 /* four steps of sixteen, and some */

/* On the heap, so that a sanitizer sees what is read beyond the end. */
static void
expect_same(const char *bytes, size_t n)
{
	char *p = malloc(n + 1);

	memcpy(p, bytes, n);
	p = realloc(p, n > 0 ? n : 1);
	assert_int_equal(scan_value(p, n), scan_plain(p, n, SCAN_VALUE));
	assert_int_equal(scan_target(p, n), scan_plain(p, n, SCAN_TARGET));
	assert_int_equal(scan_path(p, n), scan_plain(p, n, SCAN_PATH));
	for (size_t line = 0; line <= n; line++) {
		const char *colon = memchr(p, ':', line);

		assert_int_equal(
		    scan_colon(p, line, n), colon == NULL ? line : (size_t)(colon - p));
	}
	free(p);
}

static void
every_byte_stops_the_wide_scan_where_it_stops_the_plain_one(void **state)
{
	char bytes[BYTES];

	for (size_t n = 0; n <= BYTES; n++)
		for (size_t at = 0; at <= n; at++)
			for (int c = 0; c < 256; c++) {
				memset(bytes, 'a', n);
				if (at < n)
					bytes[at] = (char)c;
				if (at < n || c == 0)
					expect_same(bytes, n);
			}
}

static void
the_first_of_several_counts(void **state)
{
	char bytes[BYTES];

	srandom(20261121);
	for (int round = 0; round < 100000; round++) {
		size_t n = (size_t)random() % (BYTES + 1);

		for (size_t i = 0; i < n; i++)
			bytes[i] = random() % 8 == 0 ? (char)random() : 'a';
		expect_same(bytes, n);
	}
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(every_byte_stops_the_wide_scan_where_it_stops_the_plain_one),
	    cmocka_unit_test(the_first_of_several_counts),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
