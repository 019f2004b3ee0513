/* LINK: http/sf http/sf_bare base/buf base/mem */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "http/sf.h"

static void
expect_text(struct slice got, const char *want)
{
	if (!slice_eq(got, slice_from(want)))
		fail_msg("got \"%.*s\", want \"%s\"", SLICE_FMT(got), want);
}

static void
a_list_gives_its_members_in_order(void **state)
{
	struct sf_walk w;
	struct sf_member m, p;
	struct sf_value v;

	sf_walk_init(&w,
	    SLICE_LIT("forebay; hit; ttl=-30 , \"Other Cache\";fwd=uri-miss,\t(a \"b\" 3);x, ?0, "
		      "@1659578233, -1.25"));
	assert_int_equal(sf_list_next(&w, &m), SF_MEMBER);
	expect_text(m.value.text, "forebay");
	assert_true(sf_param(&m, SLICE_LIT("hit"), &v) && v.type == SF_BOOLEAN && v.number == 1);
	assert_true(sf_param(&m, SLICE_LIT("ttl"), &v) && v.type == SF_INTEGER && v.number == -30);
	assert_false(sf_param(&m, SLICE_LIT("fwd"), &v));
	assert_int_equal(sf_list_next(&w, &m), SF_MEMBER);
	assert_int_equal(m.value.type, SF_STRING);
	expect_text(m.value.text, "Other Cache");
	assert_int_equal(sf_list_next(&w, &m), SF_MEMBER);
	assert_int_equal(m.value.type, SF_INNER);
	struct sf_walk inner;
	sf_walk_init(&inner, m.value.text);
	assert_int_equal(sf_inner_next(&inner, &p), SF_MEMBER);
	assert_int_equal(sf_inner_next(&inner, &p), SF_MEMBER);
	expect_text(p.value.text, "b");
	assert_int_equal(sf_inner_next(&inner, &p), SF_MEMBER);
	assert_int_equal(p.value.number, 3);
	assert_int_equal(sf_inner_next(&inner, &p), SF_END);
	assert_int_equal(sf_list_next(&w, &m), SF_MEMBER);
	assert_true(m.value.type == SF_BOOLEAN && m.value.number == 0);
	assert_int_equal(sf_list_next(&w, &m), SF_MEMBER);
	assert_true(m.value.type == SF_DATE && m.value.number == 1659578233);
	assert_int_equal(sf_list_next(&w, &m), SF_MEMBER);
	assert_true(m.value.type == SF_DECIMAL && m.value.number == -1250);
	assert_int_equal(sf_list_next(&w, &m), SF_END);
}

static void
the_last_of_equal_keys_counts(void **state)
{
	struct sf_member m;

	assert_true(sf_dict_get(SLICE_LIT("a=1, b;x=2, a=(3 4);q"), SLICE_LIT("a"), &m));
	assert_int_equal(m.value.type, SF_INNER);
	assert_true(sf_dict_get(SLICE_LIT("a=1, b;x=2"), SLICE_LIT("b"), &m));
	assert_true(m.value.type == SF_BOOLEAN && m.value.number == 1);
	assert_false(sf_dict_get(SLICE_LIT("a=1, b;x=2"), SLICE_LIT("c"), &m));
	assert_false(sf_dict_get(SLICE_LIT("a=1, &&&"), SLICE_LIT("a"), &m));
}

static void
what_does_not_fit_the_grammar_makes_the_field_bad(void **state)
{
	static const char *const bad_lists[] = {",", "a,", "a,,b", ", a", "a b", "\"open",
	    "\"tab\there\"", "\"\\x\"", "1.", "1.1234", "1234567890123456", "1234567890123.1",
	    "--1", "-", "+1", "?2", "?", ":a:", ":ab=c:", ":ab", ":a b:", "(a", "(a,b)", "(a\"b\")",
	    "a;", "a;A", "a;_x", "a;b=", "@1.5", "@", "%\"%FF\"", "%\"%ff\"", "%\"%c3\"",
	    "%\"%ed%a0%80\"", "%\"%2\"", "%x", "\xc3\xa4", "a;=1", "'a'", "=a", "\ta"};
	static const char *const bad_dicts[] = {"A=1", "a =1", "a= 1", "1=a", "a=1;", "a=1,",
	    "a=, b", "=1", "a==1", "MaX-aGe=3600", "max-age=10000, &&&&&"};

	for (size_t i = 0; i < sizeof(bad_lists) / sizeof(*bad_lists); i++)
		if (sf_list_is_valid(slice_from(bad_lists[i])))
			fail_msg("taken for a list: %s", bad_lists[i]);
	for (size_t i = 0; i < sizeof(bad_dicts) / sizeof(*bad_dicts); i++)
		if (sf_dict_is_valid(slice_from(bad_dicts[i])))
			fail_msg("taken for a dictionary: %s", bad_dicts[i]);
}

static void
odd_but_proper_fields_are_read(void **state)
{
	static const char *const lists[] = {"", "  ", " a ", "a ,\t b", "()", "( a  b )", "*x",
	    "a;*=1", "a;x_y.z-0", "-0", "00001", "999999999999999", "999999999999.999",
	    ":YQ==:", ":YQ:", "::", "\"\\\"\\\\\"", "%\"\"", "%\"f%c3%bc\"", "a:/b!#$",
	    "a;  b;c=?0"};

	for (size_t i = 0; i < sizeof(lists) / sizeof(*lists); i++)
		if (!sf_list_is_valid(slice_from(lists[i])))
			fail_msg("taken for bad: %s", lists[i]);
}

static void
an_item_stands_alone(void **state)
{
	struct sf_member m;

	assert_true(sf_item(SLICE_LIT(" ?1;x "), &m) && m.value.number == 1);
	assert_false(sf_item(SLICE_LIT("?1, ?0"), &m));
	assert_false(sf_item(SLICE_LIT("(a)"), &m));
	assert_false(sf_item(SLICE_LIT(""), &m));
	assert_false(sf_item(SLICE_NONE, &m));
}

static void
strings_and_bytes_come_back_as_they_were_written(void **state)
{
	struct buf b = {0};
	struct sf_member m;
	char text[32];
	uint8_t bytes[32];
	size_t n;

	sf_write_string(&b, SLICE_LIT("a \"b\" \\ c\x01"));
	expect_text(buf_slice(&b), "\"a \\\"b\\\" \\\\ c?\"");
	assert_true(sf_item(buf_slice(&b), &m));
	n = sf_string_copy(&m.value, text);
	expect_text(slice_of(text, n), "a \"b\" \\ c?");
	for (size_t len = 0; len < 7; len++) {
		b.n = 0;
		sf_write_bytes(&b, "\xff\x00ocean", len);
		assert_true(sf_item(buf_slice(&b), &m) && m.value.type == SF_BYTES);
		assert_true(sf_bytes_copy(&m.value, bytes, &n));
		assert_int_equal(n, len);
		assert_memory_equal(bytes, "\xff\x00ocean", len);
	}
	b.n = 0;
	sf_write_token_or_string(&b, SLICE_LIT("my cache"));
	sf_write_token_or_string(&b, SLICE_LIT("forebay"));
	expect_text(buf_slice(&b), "\"my cache\"forebay");
	buf_fini(&b);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(a_list_gives_its_members_in_order),
	    cmocka_unit_test(the_last_of_equal_keys_counts),
	    cmocka_unit_test(what_does_not_fit_the_grammar_makes_the_field_bad),
	    cmocka_unit_test(odd_but_proper_fields_are_read),
	    cmocka_unit_test(an_item_stands_alone),
	    cmocka_unit_test(strings_and_bytes_come_back_as_they_were_written),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
