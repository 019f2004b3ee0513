/* LINK: http/forwarded http/head http/fields base/buf base/mem */
#include "http_usual.h"

#include "http/forwarded.h"

static void
expect_outside(const char *lines, const char *want)
{
	struct head h = head_of(lines);
	struct buf b = {0};

	assert_true(forwarded_is_valid(&h));
	forwarded_add_outside(&h, &b);
	expect_text(buf_slice(&b), want);
	buf_fini(&b);
}

static bool
is_valid(const char *value)
{
	char line[256] = "Forwarded: ";
	struct head h;

	strncat(line, value, sizeof(line) - 20);
	h = head_of(line);
	return forwarded_is_valid(&h);
}

static void
all_but_who_asked_is_of_the_outside(void **state)
{
	expect_outside("Forwarded: for=192.0.2.1;proto=https;Host=\"a.test\"",
	    ";proto=https;host=\"a.test\",");
	expect_outside("Forwarded: for=_a;by=_b", ",");
	expect_outside("Forwarded: proto=http\nForwarded: host=b.test, secret=x",
	    ";proto=http,;host=b.test,;secret=x,");
	expect_outside("X: y", "");
}

static void
quotes_hide_separators(void **state)
{
	expect_outside("Forwarded: for=\"[2001:db8::1]:80\";host=\"a,b;c\"", ";host=\"a,b;c\",");
	expect_outside("Forwarded: host=\"a\\\"b\"", ";host=\"a\\\"b\",");
}

static void
what_is_malformed_is_told_apart(void **state)
{
	assert_true(is_valid("for=a; proto=b"));
	assert_true(is_valid(";;for=a;"));
	assert_false(is_valid("for"));
	assert_false(is_valid("for="));
	assert_false(is_valid("=a"));
	assert_false(is_valid("for=a b"));
	assert_false(is_valid("host=a:80"));
	assert_false(is_valid("for=\"a"));
	assert_false(is_valid("for=a, host"));
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(all_but_who_asked_is_of_the_outside),
	    cmocka_unit_test(quotes_hide_separators),
	    cmocka_unit_test(what_is_malformed_is_told_apart),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
