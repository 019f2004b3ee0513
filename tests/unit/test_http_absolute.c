/* LINK: http/absolute */
#include "http/absolute.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>

#include <cmocka.h>

static void
expect(const char *base, const char *address, const char *wanted)
{
	struct absolute a;
	char text[256] = "no";

	if (absolute_read(base == NULL ? SLICE_NONE : slice_from(base), slice_from(address), &a))
		snprintf(text, sizeof(text), "%s %.*s %.*s", a.is_tls ? "tls" : "plain",
		    SLICE_FMT(a.host), SLICE_FMT(a.target));
	assert_string_equal(text, wanted);
}

static void
an_address_is_taken_apart(void **state)
{
	expect(NULL, "https://a.test/b?c#d", "tls a.test /b?c");
	expect(NULL, "HTTP://a.test:8080", "plain a.test:8080 /");
	expect(NULL, "http://[::1]:80/", "plain [::1]:80 /");
}

static void
a_path_belongs_to_the_base(void **state)
{
	expect("https://a.test", "/b", "tls a.test /b");
	expect("https://a.test/ignored", "/", "tls a.test /");
	expect(NULL, "/b", "no");
	expect("a.test", "/b", "no");
}

static void
what_is_neither_is_refused(void **state)
{
	expect("http://a.test", "", "no");
	expect("http://a.test", "b", "no");
	expect("http://a.test", "#top", "no");
	expect(NULL, "ftp://a.test/", "no");
	expect(NULL, "http://", "no");
	expect(NULL, "http:///b", "no");
	expect(NULL, "http://a.test?q", "no");
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(an_address_is_taken_apart),
	    cmocka_unit_test(a_path_belongs_to_the_base),
	    cmocka_unit_test(what_is_neither_is_refused),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
