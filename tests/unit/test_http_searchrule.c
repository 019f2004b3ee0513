/* LINK: http/searchrule http/sf http/sf_bare http/head http/fields base/buf base/mem */
#include "http_usual.h"

#include <stdio.h>

#include "http/searchrule.h"

static const char *
rule(const char *fields)
{
	static char text[SEARCH_RULE_MAX + 1];
	struct head h = head_of(fields);
	struct buf b = {0};

	if (!search_rule_read(&h, &b)) {
		assert_int_equal(b.n, 0);
		buf_fini(&b);
		return "-";
	}
	memcpy(text, b.p, b.n);
	text[b.n] = '\0';
	buf_fini(&b);
	return text;
}

static const char *
simple(const char *says, const char *query)
{
	static char text[4096];
	struct buf b = {0};

	assert_true(search_simplify(slice_from(says), slice_from(query), &b));
	snprintf(text, sizeof(text), "%.*s", SLICE_FMT(buf_slice(&b)));
	buf_fini(&b);
	return text;
}

static bool
are_equal(const char *says, const char *a, const char *b)
{
	char first[4096];

	snprintf(first, sizeof(first), "%s", simple(says, a));
	return strcmp(first, simple(says, b)) == 0;
}

static void
a_rule_has_one_form(void **state)
{
	assert_string_equal(rule("No-Vary-Search: params=(\"b\" \"a\" \"b\")"), "pa,b,");
	assert_string_equal(rule("No-Vary-Search: except=(\"id\")"), "eid,");
	assert_string_equal(rule("No-Vary-Search: except=()"), "e");
	assert_string_equal(rule("No-Vary-Search: key-order"), "kp");
	assert_string_equal(rule("No-Vary-Search: key-order=?1;x, params=(\"a\";y)"), "kpa,");
	assert_string_equal(
	    rule("No-Vary-Search: key-order\nNo-Vary-Search: except=(\"q\")"), "keq,");
	assert_string_equal(
	    rule("No-Vary-Search: params=(\"%C3%A9+%e6%b0%97\")"), "p%C3%A9%20%E6%B0%97,");
	assert_string_equal(rule("No-Vary-Search: params=(\"a\"), new-word=1"), "pa,");
	assert_string_equal(rule("No-Vary-Search: params=(\"a\"), params=(\"b\")"), "pb,");
}

static void
what_is_no_rule_changes_nothing(void **state)
{
	static const char *const values[] = {"", "params=()", "key-order=?0", "unknown", "params",
	    "params=?0", "params=\"a\"", "params=(a)", "params=(\"a\" 1)", "except", "except=\"a\"",
	    "params=(\"a\"), except=(\"b\")", "params=(), except=()", "key-order=1", "key-order=()",
	    "params=(\"a\"", "params=(\"a\")x", "Params=(\"a\")"};
	char line[128];

	for (size_t i = 0; i < sizeof(values) / sizeof(*values); i++) {
		snprintf(line, sizeof(line), "No-Vary-Search: %s", values[i]);
		assert_string_equal(rule(line), "-");
	}
	assert_string_equal(rule("X: y"), "-");
}

static void
a_rule_that_is_too_long_counts_as_none(void **state)
{
	char line[2048] = "No-Vary-Search: params=(";

	for (int i = 0; i < 120; i++)
		snprintf(line + strlen(line), 16, "\"n%d\" ", 1000 + i);
	strcat(line, ")");
	assert_string_equal(rule(line), "-");
}

static void
parameters_that_do_not_count_are_left_out(void **state)
{
	assert_string_equal(simple("putm,", "utm=1&id=2&utm=3"), "id=2");
	assert_string_equal(simple("putm,", "%75tm=1&id=2"), "id=2");
	assert_string_equal(simple("putm,", "utm_source=1"), "utm_source=1");
	assert_string_equal(simple("eid,", "utm=1&id=2&q=3"), "id=2");
	assert_string_equal(simple("e", "utm=1&id=2"), "");
	assert_string_equal(simple("p,", "=1&a=2"), "a=2");
}

static void
the_order_of_names_may_not_count_that_of_values_does(void **state)
{
	assert_true(are_equal("kp", "b=2&a=1", "a=1&b=2"));
	assert_false(are_equal("kp", "a=1&a=2", "a=2&a=1"));
	assert_true(are_equal("kp", "a=1&b=0&a=2", "b=0&a=1&a=2"));
	assert_false(are_equal("px,", "b=2&a=1", "a=1&b=2"));
}

static void
spellings_of_one_form_are_equal(void **state)
{
	assert_true(are_equal("kp", "a=x", "%61=%78"));
	assert_true(are_equal("kp", "a=\xc3\xa9", "a=%c3%A9"));
	assert_true(are_equal("kp", "a=x&&&", "a=x"));
	assert_true(are_equal("kp", "a", "a="));
	assert_true(are_equal("kp", "a=+", "a=%20"));
	assert_true(are_equal("kp", "", "&"));
	assert_false(are_equal("kp", "a=%26b", "a=&b"));
	assert_false(are_equal("kp", "a%3D=b", "a==b"));
	assert_false(are_equal("kp", "a=%2", "a=%"));
	assert_true(are_equal("kp", "a=%2", "a=%252"));
}

static void
a_query_of_too_many_parameters_is_beyond_rules(void **state)
{
	char query[SEARCH_PARAMS_MAX * 2 + 8] = "";
	struct buf b = {0};

	for (int i = 0; i <= SEARCH_PARAMS_MAX; i++)
		strcat(query, "a&");
	assert_false(search_simplify(SLICE_LIT("kp"), slice_from(query), &b));
	query[SEARCH_PARAMS_MAX * 2] = '\0';
	assert_true(search_simplify(SLICE_LIT("kp"), slice_from(query), &b));
	buf_fini(&b);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(a_rule_has_one_form),
	    cmocka_unit_test(what_is_no_rule_changes_nothing),
	    cmocka_unit_test(a_rule_that_is_too_long_counts_as_none),
	    cmocka_unit_test(parameters_that_do_not_count_are_left_out),
	    cmocka_unit_test(the_order_of_names_may_not_count_that_of_values_does),
	    cmocka_unit_test(spellings_of_one_form_are_equal),
	    cmocka_unit_test(a_query_of_too_many_parameters_is_beyond_rules),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
