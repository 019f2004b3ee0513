/* LINK: http/cachestatus http/sf http/sf_bare http/head http/fields base/buf base/mem */
#include "http_usual.h"

#include "http/cachestatus.h"
#include "http/sf.h"

static void
expect_status(const char *fields, struct cache_status s, const char *want)
{
	struct head h = head_of(fields);
	struct buf b = {0};

	s.name = SLICE_LIT("forebay");
	cache_status_append(&b, &h, &s);
	expect_text(buf_slice(&b), want);
	assert_true(sf_list_is_valid(buf_slice(&b)));
	buf_fini(&b);
}

static void
a_hit_says_what_is_left_of_its_life(void **state)
{
	expect_status("X: y", (struct cache_status){.ttl_s = 30}, "forebay; hit; ttl=30");
	expect_status("X: y",
	    (struct cache_status){.ttl_s = -412, .stored = true, .fwd_status = 200},
	    "forebay; hit; ttl=-412");
}

static void
a_forwarded_request_says_why_and_what_became_of_it(void **state)
{
	expect_status("X: y",
	    (struct cache_status){.fwd = CACHE_FWD_URI_MISS,
		.fwd_status = 200,
		.stored = true,
		.ttl_s = 600,
		.detail = SLICE_LIT("l2-miss")},
	    "forebay; fwd=uri-miss; fwd-status=200; stored; ttl=600; detail=l2-miss");
	expect_status("X: y",
	    (struct cache_status){.fwd = CACHE_FWD_STALE,
		.collapsed = true,
		.ttl_s = CACHE_TTL_NONE,
		.key = SLICE_LIT("http://a/\"b\""),
		.detail = SLICE_LIT("not a token")},
	    "forebay; fwd=stale; collapsed; key=\"http://a/\\\"b\\\"\"; detail=\"not a token\"");
}

static void
the_caches_behind_us_are_named_first(void **state)
{
	expect_status(
	    "Cache-Status: Origin; hit, \"CDN\"; fwd=miss\nCache-Status: broken;;\nCache-Status:",
	    (struct cache_status){.ttl_s = 1},
	    "Origin; hit, \"CDN\"; fwd=miss, forebay; hit; ttl=1");
}

static void
the_words_are_those_nginx_uses(void **state)
{
	assert_string_equal(cache_word_name(CACHE_WORD_REVALIDATED), "REVALIDATED");
	assert_string_equal(cache_word_name(CACHE_WORD_MISS), "MISS");
	assert_string_equal(cache_fwd_token(CACHE_FWD_VARY_MISS), "vary-miss");
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(a_hit_says_what_is_left_of_its_life),
	    cmocka_unit_test(a_forwarded_request_says_why_and_what_became_of_it),
	    cmocka_unit_test(the_caches_behind_us_are_named_first),
	    cmocka_unit_test(the_words_are_those_nginx_uses),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
