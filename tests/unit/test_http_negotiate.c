/* LINK: http/negotiate http/head http/fields */
#include "http_usual.h"

#include "http/negotiate.h"

static const uint8_t order[] = {ENC_BR, ENC_GZIP, 0};
#define ALL (ENC_IDENTITY | ENC_BR | ENC_GZIP)

static enum encoding
choose(const char *fields, uint8_t available)
{
	struct head h = head_of(fields);
	struct accept_encoding a;

	accept_encoding_read(&h, &a);
	return accept_encoding_choose(&a, order, available);
}

static void
the_greatest_q_wins_and_then_our_order(void **state)
{
	assert_int_equal(choose("Accept-Encoding: gzip, deflate, br", ALL), ENC_BR);
	assert_int_equal(choose("Accept-Encoding: gzip;q=1.0, br;q=0.9", ALL), ENC_GZIP);
	assert_int_equal(choose("Accept-Encoding: X-GZIP", ALL), ENC_GZIP);
	assert_int_equal(choose("Accept-Encoding: gzip\nAccept-Encoding: br", ALL), ENC_BR);
	assert_int_equal(choose("Accept-Encoding: br, gzip", ENC_IDENTITY | ENC_GZIP), ENC_GZIP);
	assert_int_equal(choose("Accept-Encoding: *", ALL), ENC_BR);
	assert_int_equal(choose("Accept-Encoding: br;q=0, *", ALL), ENC_GZIP);
	assert_int_equal(choose("Accept-Encoding: gzip;q=0.001", ALL), ENC_GZIP);
}

static void
identity_is_for_who_did_not_ask_or_prefers_it(void **state)
{
	assert_int_equal(choose("X: y", ALL), ENC_IDENTITY);
	assert_int_equal(choose("Accept-Encoding:", ALL), ENC_IDENTITY);
	assert_int_equal(choose("Accept-Encoding: deflate", ALL), ENC_IDENTITY);
	assert_int_equal(choose("Accept-Encoding: gzip;q=0", ALL), ENC_IDENTITY);
	assert_int_equal(choose("Accept-Encoding: gzip;q=0.5, identity", ALL), ENC_IDENTITY);
	assert_int_equal(choose("Accept-Encoding: identity;q=0, *;q=0", ALL), ENC_IDENTITY);
	assert_int_equal(
	    choose("Accept-Encoding: gzip;q=2, br;q=x, zstd;q=0.1234, gzip;q=", ALL), ENC_IDENTITY);
	assert_int_equal(choose("Accept-Encoding: identity;q=0, gzip;q=0.1", ALL), ENC_GZIP);
}

static void
expect_normal(const char *fields, const char *want)
{
	struct head h = head_of(fields);
	char out[ACCEPT_ENCODING_MAX];
	size_t n = accept_encoding_normal(&h, out);

	assert_true(n <= sizeof(out));
	expect_text(slice_of(out, n), want);
}

static void
clients_that_accept_the_same_have_one_normal_form(void **state)
{
	expect_normal("Accept-Encoding: gzip, deflate, br, zstd", "gzip, br, zstd, deflate");
	expect_normal(
	    "Accept-Encoding: br;q=0.2,DEFLATE ,x-gzip, zstd, deflate", "gzip, br, zstd, deflate");
	expect_normal("Accept-Encoding: identity", "");
	expect_normal("Accept-Encoding: gzip;q=0", "");
	expect_normal("X: y", "");
	expect_normal("Accept-Encoding: gzip, identity;q=0", "gzip, identity;q=0");
	expect_normal("Accept-Encoding: *", "gzip, br, zstd, *");
	expect_normal(
	    "Accept-Encoding: deflate;q=0, *, gzip;q=0", "br, zstd, *, gzip;q=0, deflate;q=0");
	expect_normal("Accept-Encoding: *;q=0", "identity;q=0");
	expect_normal("Accept-Encoding: \"gzip, br\", gzip", "gzip");
}

static void
the_coding_of_a_body_is_known_or_opaque(void **state)
{
	struct head h = head_of("Content-Encoding: GZIP");

	assert_int_equal(encoding_of_body(&h), ENC_GZIP);
	h = head_of("X: y");
	assert_int_equal(encoding_of_body(&h), ENC_IDENTITY);
	h = head_of("Content-Encoding: identity, br");
	assert_int_equal(encoding_of_body(&h), ENC_BR);
	h = head_of("Content-Encoding: gzip, br");
	assert_int_equal(encoding_of_body(&h), ENC_OTHER);
	h = head_of("Content-Encoding: deflate");
	assert_int_equal(encoding_of_body(&h), ENC_OTHER);
}

static void
types_match_patterns_without_case(void **state)
{
	struct slice html = media_type_of(SLICE_LIT("Text/HTML ; charset=utf-8"));

	expect_text(html, "Text/HTML");
	assert_true(media_type_matches(html, SLICE_LIT("text/html")));
	assert_true(media_type_matches(html, SLICE_LIT("text/*")));
	assert_true(media_type_matches(html, SLICE_LIT("*")));
	assert_false(media_type_matches(html, SLICE_LIT("text/htm")));
	assert_false(media_type_matches(SLICE_LIT("textual/x"), SLICE_LIT("text/*")));
	assert_true(media_type_matches(SLICE_LIT("application/problem+json"), SLICE_LIT("+json")));
	assert_false(media_type_matches(SLICE_LIT("application/json"), SLICE_LIT("+json")));
	assert_false(media_type_matches(SLICE_LIT(""), SLICE_LIT("*")));
}

static void
errors_are_html_only_for_who_prefers_it(void **state)
{
	struct head h =
	    head_of("Accept: text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8");

	assert_true(accept_prefers_html(&h));
	h = head_of("Accept: */*");
	assert_false(accept_prefers_html(&h));
	h = head_of("X: y");
	assert_false(accept_prefers_html(&h));
	h = head_of("Accept: application/json, text/plain, */*");
	assert_false(accept_prefers_html(&h));
	h = head_of("Accept: text/*;q=0.5, text/html;q=0.1, application/json;q=0.3");
	assert_false(accept_prefers_html(&h));
	assert_int_equal(accept_quality(&h, SLICE_LIT("text/html")), 100);
	assert_int_equal(accept_quality(&h, SLICE_LIT("text/css")), 500);
	assert_int_equal(accept_quality(&h, SLICE_LIT("image/png")), 0);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(the_greatest_q_wins_and_then_our_order),
	    cmocka_unit_test(identity_is_for_who_did_not_ask_or_prefers_it),
	    cmocka_unit_test(clients_that_accept_the_same_have_one_normal_form),
	    cmocka_unit_test(the_coding_of_a_body_is_known_or_opaque),
	    cmocka_unit_test(types_match_patterns_without_case),
	    cmocka_unit_test(errors_are_html_only_for_who_prefers_it),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
