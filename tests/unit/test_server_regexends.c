/* LINK: server/regexends */
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#include "server/regexends.h"

static void
ends_are(const char *regex, const char *first, const char *last)
{
	char a[256], b[256];
	struct regex_ends ends = {.first = a, .last = b};

	regex_ends_find(regex, &ends);
	a[ends.first_len] = b[ends.last_len] = '\0';
	assert_string_equal(a, first);
	assert_string_equal(b, last);
}

static void
text_is_what_everything_begins_and_ends_with(void **state)
{
	ends_are("^/api/v1/.*", "/api/v1/", "");
	ends_are("/api/[0-9]+/parts$", "/api/", "/parts");
	ends_are("^/whole/path$", "/whole/path", "");
	ends_are(".*\\.css", "", ".css");
	ends_are("/a(b|c)d", "/a", "d");
	ends_are("/\\-x\\.y[^]]z", "/-x.y", "z");
	ends_are("(?<lang>de|en)/page", "", "/page");
	ends_are("/\\d+", "/", "");
}

static void
what_may_be_absent_is_no_part_of_it(void **state)
{
	ends_are("/api/?", "/api", "");
	ends_are("/ab*c", "/a", "c");
	ends_are("/ab{0,3}c", "/a", "c");
	ends_are("/ab+", "/a", "");
	ends_are("/ab.*cd?", "/ab", "");
	ends_are("(/a)?/b", "", "/b");
}

static void
where_it_is_not_plain_there_is_none(void **state)
{
	static const char *const regexes[] = {"/a|/b", "/a(b)|c", "(?i)/a", "/a(?i)b.*c",
	    "/a(?x) # (", "(*UTF)/a", "/\\Qa|b\\E", "/a\\x2fb", "/a\\x{2f}b", "/(a)\\1", "/a.*\\cA",
	    "/a^b", "/a$b", "/[[:alpha:]]x", "/a{x}b", "/a.*\\p{L}b", "/a(?#|", "/a\\Kb",
	    "/[a\\Q]\\E|/]"};

	for (size_t i = 0; i < sizeof(regexes) / sizeof(*regexes); i++)
		ends_are(regexes[i], "", "");
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(text_is_what_everything_begins_and_ends_with),
	    cmocka_unit_test(what_may_be_absent_is_no_part_of_it),
	    cmocka_unit_test(where_it_is_not_plain_there_is_none),
	};

	return cmocka_run_group_tests_name("server/regexends", tests, NULL, NULL);
}
