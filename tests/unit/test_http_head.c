/* LINK: http/head http/fields */
#include "http_usual.h"

static void
expect_members(const char *text, enum field_id id, const char *const *want)
{
	struct head h = head_of(text);
	struct list_walk w = {0};
	struct slice member;

	while (head_list_next(&h, id, &w, &member)) {
		assert_non_null(*want);
		expect_text(member, *want++);
	}
	assert_null(*want);
	assert_false(head_list_next(&h, id, &w, &member));
}
#define MEMBERS(...)              \
	(const char *const[])     \
	{                         \
		__VA_ARGS__, NULL \
	}

static void
a_list_goes_on_over_its_lines_and_empty_members_do_not_count(void **state)
{
	expect_members("Vary: a", FIELD_VARY, MEMBERS("a"));
	expect_members("Vary: ,a , ,b,\nX: y\nvary: \nVARY:c", FIELD_VARY, MEMBERS("a", "b", "c"));
	expect_members("Vary: , ,,", FIELD_VARY, MEMBERS(NULL));
	expect_members("X: y", FIELD_VARY, MEMBERS(NULL));
}

static void
a_comma_in_a_quoted_string_separates_nothing(void **state)
{
	expect_members("Cache-Control: private=\"a, b\", max-age=1", FIELD_CACHE_CONTROL,
	    MEMBERS("private=\"a, b\"", "max-age=1"));
	expect_members(
	    "Cache-Control: a=\"\\\", b\", c", FIELD_CACHE_CONTROL, MEMBERS("a=\"\\\", b\"", "c"));
	expect_members("Cache-Control: a=\"b, c\nCache-Control: d", FIELD_CACHE_CONTROL,
	    MEMBERS("a=\"b, c", "d"));
	expect_members("Cache-Control: a=\"\\", FIELD_CACHE_CONTROL, MEMBERS("a=\"\\"));
}

static void
a_backslash_in_an_entity_tag_escapes_nothing(void **state)
{
	expect_members("If-None-Match: \"a\\\", W/\"b,c\"", FIELD_IF_NONE_MATCH,
	    MEMBERS("\"a\\\"", "W/\"b,c\""));
}

static void
a_member_is_found_whole_and_in_any_case(void **state)
{
	struct head h = head_of("Connection: keep-alive\nConnection: x, Close");

	assert_true(head_list_has(&h, FIELD_CONNECTION, SLICE_LIT("close")));
	assert_true(head_list_has(&h, FIELD_CONNECTION, SLICE_LIT("Keep-Alive")));
	assert_false(head_list_has(&h, FIELD_CONNECTION, SLICE_LIT("clos")));
	assert_false(head_list_has(&h, FIELD_CONNECTION, SLICE_LIT("")));
}

static void
fields_are_found_by_name_known_or_not(void **state)
{
	struct head h = head_of("X-Own: 1\nAge: 2\nx-owN: 3\nX-Other: 4\nage: 5");
	const struct field *f = head_find_name(&h, SLICE_LIT("x-own"));

	expect_text(field_value(&h, f), "1");
	f = head_next_name(&h, f);
	expect_text(field_value(&h, f), "3");
	assert_null(head_next_name(&h, f));
	f = head_find_name(&h, SLICE_LIT("AGE"));
	assert_ptr_equal(f, head_find(&h, FIELD_AGE));
	expect_text(field_value(&h, head_next_name(&h, f)), "5");
	assert_null(head_next(&h, head_next(&h, f)));
	assert_null(head_find_name(&h, SLICE_LIT("X-Ow")));
	assert_null(head_find(&h, FIELD_VARY));
	assert_null(head_value(&h, FIELD_VARY).p);
}

static void
methods_are_case_sensitive_and_unknown_ones_promise_nothing(void **state)
{
	assert_int_equal(method_of(SLICE_LIT("GET")), METHOD_GET);
	assert_int_equal(method_of(SLICE_LIT("PURGE")), METHOD_PURGE);
	assert_int_equal(method_of(SLICE_LIT("get")), METHOD_OTHER);
	assert_int_equal(method_of(SLICE_LIT("GETS")), METHOD_OTHER);
	assert_true(method_is_safe(METHOD_HEAD));
	assert_false(method_is_safe(METHOD_DELETE));
	assert_true(method_is_idempotent(METHOD_DELETE));
	assert_false(method_is_idempotent(METHOD_POST));
	assert_false(method_is_safe(METHOD_OTHER));
	assert_false(method_is_idempotent(METHOD_OTHER));
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(a_list_goes_on_over_its_lines_and_empty_members_do_not_count),
	    cmocka_unit_test(a_comma_in_a_quoted_string_separates_nothing),
	    cmocka_unit_test(a_backslash_in_an_entity_tag_escapes_nothing),
	    cmocka_unit_test(a_member_is_found_whole_and_in_any_case),
	    cmocka_unit_test(fields_are_found_by_name_known_or_not),
	    cmocka_unit_test(methods_are_case_sensitive_and_unknown_ones_promise_nothing),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
