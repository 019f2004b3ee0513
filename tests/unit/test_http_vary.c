/* LINK: http/vary http/negotiate http/head http/fields base/buf base/mem */
#include "http_usual.h"

#include <stdio.h>

#include "http/vary.h"

/* Whether a response with that Vary, fetched for one request, is for the other. */
static bool
is_for(const char *vary, const char *stored, const char *asking)
{
	struct head response = head_of(vary), first = head_of(stored), second = head_of(asking);
	struct buf key = {0}, other = {0}, like = {0};

	assert_true(vary_key(&response, &first, &key));
	assert_true(vary_matches(buf_slice(&key), &first));
	bool matches = vary_matches(buf_slice(&key), &second);
	assert_true(vary_key(&response, &second, &other));
	vary_key_like(buf_slice(&key), &second, &like);
	assert_true(slice_eq(buf_slice(&like), buf_slice(&other)));
	buf_fini(&key);
	buf_fini(&other);
	buf_fini(&like);
	return matches;
}

static void
a_request_must_agree_in_every_named_field(void **state)
{
	assert_true(is_for("X: y", "Foo: 1", "Foo: 2"));
	assert_true(is_for("Vary: Foo", "Foo: 1", "foo: 1\nOther: 3"));
	assert_false(is_for("Vary: Foo", "Foo: 1", "Foo: 2"));
	assert_false(is_for("Vary: Foo", "Foo: 1", "Foo: 12"));
	assert_false(is_for("Vary: Foo", "Foo: 12", "Foo: 1"));
	assert_true(is_for(
	    "Vary: Foo, Bar\nVary: Baz", "Foo: 1\nBar: a\nBaz: 7", "Baz: 7\nBar: a\nFoo: 1"));
	assert_false(is_for(
	    "Vary: Foo, Bar, Baz", "Foo: 1\nBar: abc\nBaz: 7", "Foo: 1\nBaz: 7\nBar: abcde"));
	assert_true(is_for("Vary: Foo, Bar, Baz", "Foo: 1\nBaz: 7", "Foo: 1\nBaz: 7"));
}

static void
what_depends_on_the_connection_is_not_to_be_stored(void **state)
{
	struct head request = head_of("Client-Cert: :YQ==:");
	struct head one = head_of("Vary: Foo, client-cert"),
		    other = head_of("Vary: Client-Cert-Chain");
	struct buf key = {0};

	assert_false(vary_key(&one, &request, &key));
	assert_false(vary_key(&other, &request, &key));
	assert_int_equal(key.n, 0);
	buf_fini(&key);
}

static void
absent_and_empty_are_different(void **state)
{
	assert_false(is_for("Vary: Foo", "X: y", "Foo: 1"));
	assert_false(is_for("Vary: Foo", "Foo: 1", "X: y"));
	assert_false(is_for("Vary: Foo", "Foo:", "X: y"));
	assert_false(is_for("Vary: Accept-Encoding", "Accept-Encoding:", "X: y"));
}

static void
what_connection_takes_away_counts_as_absent(void **state)
{
	struct head response = head_of("Vary: X-Country"), with = head_of("X-Country: fr"),
		    without = head_of("X: y");
	struct buf key = {0};

	with.fields[0].is_hop = true;
	assert_true(vary_key(&response, &with, &key));
	assert_true(vary_matches(buf_slice(&key), &without));
	with.fields[0].is_hop = false;
	assert_false(vary_matches(buf_slice(&key), &with));
	buf_fini(&key);
}

static void
spelling_that_means_nothing_does_not_count(void **state)
{
	assert_true(is_for("Vary: Foo", "Foo: 1, 2", "Foo: 1\nFoo: 2"));
	assert_true(is_for("Vary: Foo", "Foo: 1,2", "Foo:  1 ,\t2 "));
	assert_false(is_for("Vary: Foo", "Foo: 1 2", "Foo: 12"));
	assert_false(is_for("Vary: Foo", "Foo: 1  2", "Foo: 1 2"));
	assert_false(is_for("Vary: Foo", "Foo: \"a, b\"", "Foo: \"a,b\""));
	assert_false(is_for("Vary: Foo", "Foo: \"\\\", b\"", "Foo: \"\\\",b\""));
	assert_true(is_for(
	    "Vary: Accept-Language", "Accept-Language: en, de", "Accept-Language:  eN ,   De"));
	assert_false(
	    is_for("Vary: Accept-Language", "Accept-Language: en, de", "Accept-Language: de, en"));
	assert_true(is_for("Vary: Accept-Encoding", "Accept-Encoding: gzip, br;q=0.9",
	    "Accept-Encoding: br, gzip"));
	assert_false(
	    is_for("Vary: Accept-Encoding", "Accept-Encoding: gzip", "Accept-Encoding: gzip;q=0"));
}

static void
what_is_one_value_is_compared_byte_for_byte(void **state)
{
	assert_false(is_for("Vary: Cookie", "Cookie: a=1, 2", "Cookie: a=1,2"));
	assert_false(is_for("Vary: User-Agent", "User-Agent: (KHTML, x)", "User-Agent: (KHTML,x)"));
}

static void
an_accept_encoding_too_long_to_normalise_is_taken_as_it_stands(void **state)
{
	char one[400], two[400];

	memset(one, 'x', sizeof(one));
	memcpy(one, "Accept-Encoding: ", 17);
	one[399] = '\0';
	memcpy(two, one, sizeof(two));
	two[398] = 'y';
	assert_true(is_for("Vary: accept-encoding", one, one));
	assert_false(is_for("Vary: accept-encoding", one, two));
}

static void
the_key_does_not_depend_on_how_vary_is_written(void **state)
{
	struct head a = head_of("Vary: Foo, bar, foo"), b = head_of("Vary: , BAR\nVary: FOO");
	struct head request = head_of("Foo: 1\nBar: 2");
	struct buf x = {0}, y = {0};

	assert_true(vary_key(&a, &request, &x) && vary_key(&b, &request, &y));
	assert_true(slice_eq(buf_slice(&x), buf_slice(&y)));
	expect_text(buf_slice(&x), "bar\0012\nfoo\0011\n");
	buf_fini(&x);
	buf_fini(&y);
}

static void
a_star_anywhere_is_for_one_request_only(void **state)
{
	static const char *const stars[] = {"Vary: *", "Vary: *, *", "Vary: *\nVary: *",
	    "Vary: , *", "Vary:\nVary: *", "Vary: *, Foo", "Vary: Foo, *", "Vary: \"foo, *"};
	struct head request = head_of("Foo: 1");
	struct buf key = {0};

	for (size_t i = 0; i < sizeof(stars) / sizeof(*stars); i++) {
		struct head h = head_of(stars[i]);
		assert_true(vary_is_star(&h));
		assert_false(vary_key(&h, &request, &key));
	}
	struct head h = head_of("Vary: \"x, Cookie");
	assert_false(vary_key(&h, &request, &key));
	h = head_of("Vary: Foo");
	assert_false(vary_is_star(&h));
	buf_fini(&key);
}

static void
too_many_names_are_not_kept_apart(void **state)
{
	char vary[512] = "Vary: a0";
	struct head request = head_of("X: y");
	struct buf key = {0};

	for (int i = 1; i < 32; i++)
		snprintf(vary + strlen(vary), 16, ",a%d", i);
	struct head h = head_of(vary);
	assert_true(vary_key(&h, &request, &key));
	strcat(vary, ",b");
	h = head_of(vary);
	size_t before = key.n;
	assert_false(vary_key(&h, &request, &key));
	assert_int_equal(key.n, before);
	buf_fini(&key);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(a_request_must_agree_in_every_named_field),
	    cmocka_unit_test(what_depends_on_the_connection_is_not_to_be_stored),
	    cmocka_unit_test(absent_and_empty_are_different),
	    cmocka_unit_test(spelling_that_means_nothing_does_not_count),
	    cmocka_unit_test(what_is_one_value_is_compared_byte_for_byte),
	    cmocka_unit_test(an_accept_encoding_too_long_to_normalise_is_taken_as_it_stands),
	    cmocka_unit_test(the_key_does_not_depend_on_how_vary_is_written),
	    cmocka_unit_test(what_connection_takes_away_counts_as_absent),
	    cmocka_unit_test(a_star_anywhere_is_for_one_request_only),
	    cmocka_unit_test(too_many_names_are_not_kept_apart),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
