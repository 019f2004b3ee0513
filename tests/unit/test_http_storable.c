/* LINK: http/storable http/freshness http/vary http/negotiate http/cachecontrol http/sf http/sf_bare http/date http/head http/fields base/buf base/mem */
#include "http_usual.h"

#include "http/storable.h"

struct play {
	const char *request, *response;
	uint16_t status;    /* 0: 200 */
	enum method method; /* METHOD_OTHER: GET */
	struct life_policy lives;
	struct store_policy policy;
	const char *path;
};

static const struct life_policy plain = {
    .ttl_ms = LIFE_UNSET, .heuristic = true, .stale_if_error_ms = STALE_IF_ERROR_DEFAULT_MS};

static enum store_verdict
judge(struct play p)
{
	struct head request = head_of(p.request != NULL ? p.request : "");
	struct head response = response_of(p.status != 0 ? p.status : 200, p.response);
	struct arrival arrival = {.now_ms = NOON_MS};
	struct cache_control request_cc, cc;
	struct life life;

	if (p.lives.ttl_ms == 0)
		p.lives = plain;
	if (p.policy.max_object_bytes == 0)
		p.policy.max_object_bytes = 1 << 20;
	cache_control_of_request(&request, &request_cc);
	cache_control_of_response(&response, &cc);
	life_of_response(&response, &cc, &p.lives, &arrival, &life);
	struct store_ask ask = {.method = p.method == METHOD_OTHER ? METHOD_GET : p.method,
	    .has_authorization = head_has(&request, FIELD_AUTHORIZATION),
	    .has_cookie = head_has(&request, FIELD_COOKIE),
	    .path = slice_from(p.path != NULL ? p.path : ""),
	    .request_cc = &request_cc,
	    .response = &response,
	    .cc = &cc,
	    .life = &life,
	    .policy = &p.policy,
	    .body_bytes = 100};
	return store_judge(&ask);
}

static void
expect_rows(const struct play *rows, size_t n, const enum store_verdict *want)
{
	for (size_t i = 0; i < n; i++)
		if (judge(rows[i]) != want[i])
			fail_msg("%s -> %s: %s, want %s", rows[i].request, rows[i].response,
			    store_verdict_detail(judge(rows[i])), store_verdict_detail(want[i]));
}

#define COUNT(a) (sizeof(a) / sizeof(*(a)))

static void
any_final_status_with_a_life_is_stored(void **state)
{
	static const uint16_t statuses[] = {200, 203, 204, 299, 301, 302, 303, 307, 308, 400, 401,
	    404, 410, 499, 500, 502, 503, 504, 599};

	for (size_t i = 0; i < COUNT(statuses); i++)
		assert_int_equal(judge((struct play){.status = statuses[i],
				     .response = "Cache-Control: max-age=60"}),
		    STORE_STORED);
	static const uint16_t special[] = {304, 407, 412, 416};
	for (size_t i = 0; i < COUNT(special); i++)
		assert_int_equal(judge((struct play){.status = special[i],
				     .response = "Cache-Control: max-age=60"}),
		    STORE_STATUS_SPECIAL);
	assert_int_equal(
	    judge((struct play){.status = 206, .response = "Cache-Control: max-age=60"}),
	    STORE_PARTIAL);
	assert_int_equal(
	    judge((struct play){.status = 103, .response = "Cache-Control: max-age=60"}),
	    STORE_INTERIM);
	assert_int_equal(
	    judge((struct play){.status = 500, .response = "ETag: \"a\""}), STORE_STATUS);
	assert_int_equal(
	    judge((struct play){.method = METHOD_POST, .response = "Cache-Control: max-age=60"}),
	    STORE_METHOD);
}

static void
what_the_origin_forbids_is_not_stored(void **state)
{
	static const struct play rows[] = {
	    {.response = "Cache-Control: max-age=60\nCache-Control: no-store"},
	    {.response = "Cache-Control: private, max-age=60"},
	    {.response = "Cache-Control: private=\"x\", max-age=60"},
	    {.response = "Cache-Control: max-age=60, no-store, must-understand"},
	    {.status = 599, .response = "Cache-Control: max-age=60, no-store, must-understand"},
	    {.response = "Cache-Control: max-age=60\nVary: Foo\nVary: , *"},
	    {.response = "Cache-Control: no-store\nCDN-Cache-Control: max-age=60"},
	    {.response = "Cache-Control: max-age=60\nCDN-Cache-Control: private"},
	    {.request = "Cache-Control: no-store", .response = "Cache-Control: max-age=60"},
	};
	static const enum store_verdict want[] = {STORE_NO_STORE, STORE_PRIVATE, STORE_STORED,
	    STORE_STORED, STORE_NOT_UNDERSTOOD, STORE_VARY_STAR, STORE_STORED, STORE_PRIVATE,
	    STORE_REQUEST_NO_STORE};

	expect_rows(rows, COUNT(rows), want);
}

static void
what_can_never_answer_is_not_stored(void **state)
{
	static const struct play rows[] = {
	    {.response = "X: y"},
	    {.response = "ETag: \"a\""},
	    {.response = "Last-Modified: no date"},
	    {.response = "Cache-Control: max-age=0"},
	    {.response = "Cache-Control: max-age=0\nETag: \"a\""},
	    {.response = "Cache-Control: max-age=60\nAge: 61"},
	    {.response = "Expires: 0"},
	    {.response = "Cache-Control: max-age=60, no-cache"},
	    {.response = "Cache-Control: no-cache\nETag: \"a\""},
	    {.response = "Cache-Control: max-age=0, stale-while-revalidate=9"},
	};
	static const enum store_verdict want[] = {STORE_NO_FRESHNESS, STORE_STORED,
	    STORE_NO_FRESHNESS, STORE_EXPIRED, STORE_STORED, STORE_EXPIRED, STORE_EXPIRED,
	    STORE_NO_VALIDATOR, STORE_STORED, STORE_STORED};

	expect_rows(rows, COUNT(rows), want);
}

static void
a_request_with_authorization_needs_the_origins_word(void **state)
{
#define WHO "Authorization: FOO"
	static const struct play rows[] = {
	    {.request = WHO, .response = "Cache-Control: max-age=60"},
	    {.request = WHO, .response = "Cache-Control: max-age=60, public"},
	    {.request = WHO, .response = "Cache-Control: max-age=60, must-revalidate"},
	    {.request = WHO, .response = "Cache-Control: s-maxage=60"},
	    {.request = WHO,
		.response = "Cache-Control: max-age=60",
		.policy = {.authorization_covered = true}},
	    {.request = WHO,
		.response = "Cache-Control: no-store, must-revalidate",
		.lives = {.ttl_ms = 60000, .overrides = true}},
	};
	static const enum store_verdict want[] = {STORE_AUTHORIZATION, STORE_STORED, STORE_STORED,
	    STORE_STORED, STORE_STORED, STORE_AUTHORIZATION};

	expect_rows(rows, COUNT(rows), want);
}

static void
the_routes_life_is_not_for_a_request_with_a_cookie(void **state)
{
#define ROUTE                   \
	{                       \
		.ttl_ms = 60000 \
	}
	static const struct play rows[] = {
	    {.request = "Cookie: a=b", .response = "X: y", .lives = ROUTE},
	    {.request = "Cookie: a=b", .response = "Cache-Control: public", .lives = ROUTE},
	    {.request = "Cookie: a=b",
		.response = "X: y",
		.lives = ROUTE,
		.policy = {.cookies_covered = true}},
	    {.request = "Cookie: a=b", .response = "Cache-Control: max-age=60"},
	    {.request = "Cookie: a=b", .response = "Last-Modified: Wed, 18 Nov 2020 11:50:00 GMT"},
	    {.request = "Cookie: a=b", .response = "ETag: \"mine\""},
	    {.request = "Cookie: a=b",
		.response = "Cache-Control: private",
		.lives = {.ttl_ms = 60000, .overrides = true}},
	    {.response = "Cache-Control: private, no-store",
		.lives = {.ttl_ms = 60000, .overrides = true}},
	};
	static const enum store_verdict want[] = {STORE_COOKIE, STORE_STORED, STORE_STORED,
	    STORE_STORED, STORE_COOKIE, STORE_COOKIE, STORE_COOKIE, STORE_STORED};

	expect_rows(rows, COUNT(rows), want);
}

static void
a_response_that_sets_a_cookie_is_the_routes_decision(void **state)
{
#define SETS "Cache-Control: public, max-age=60\nSet-Cookie: a=b"
	static const struct play rows[] = {
	    {.response = SETS},
	    {.response = SETS, .policy = {.set_cookie = SET_COOKIE_STRIP}},
	    {.response = SETS, .policy = {.set_cookie = SET_COOKIE_STORE}},
	    {.response = SETS, .lives = {.ttl_ms = 60000, .overrides = true}},
	    {.response = "Cache-Control: max-age=60, no-cache=\"Set-Cookie\"\nSet-Cookie: a=b"},
	};
	static const enum store_verdict want[] = {
	    STORE_SET_COOKIE, STORE_STORED, STORE_STORED, STORE_SET_COOKIE, STORE_STORED};

	expect_rows(rows, COUNT(rows), want);
}

static void
what_is_larger_than_the_limit_is_not_stored(void **state)
{
	assert_int_equal(judge((struct play){.response = "Cache-Control: max-age=60",
			     .policy = {.max_object_bytes = 99}}),
	    STORE_TOO_LARGE);
}

static void
a_page_under_a_files_name_lives_only_by_the_origins_word(void **state)
{
	const struct life_policy ttl = {.ttl_ms = 60000};
	const struct play rows[] = {
	    {.response = "Content-Type: text/html", .lives = ttl, .path = "http://a/account/x.css"},
	    {.response = "Content-Type: text/html; charset=utf-8",
		.lives = ttl,
		.path = "http://a/account;x.JPG"},
	    {.response = "Content-Type: text/html\nCache-Control: max-age=60",
		.lives = ttl,
		.path = "http://a/account/x.css"},
	    {.response = "Content-Type: text/css", .lives = ttl, .path = "http://a/account/x.css"},
	    {.response = "Content-Type: text/html", .lives = ttl, .path = "http://a.css/account"},
	    {.response = "Content-Type: text/html", .lives = ttl, .path = "http://a/x.css/page"},
	    {.response = "Content-Type: text/html", .lives = ttl, .path = "http://a/x.html"},
	    {.response = "Content-Type: text/html", .lives = ttl, .path = "http://a/css"},
	};
	static const enum store_verdict want[COUNT(rows)] = {STORE_PATH_TYPE, STORE_PATH_TYPE};

	for (size_t i = 2; i < COUNT(rows); i++)
		assert_int_equal(judge(rows[i]), STORE_STORED);
	expect_rows(rows, 2, want);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(a_page_under_a_files_name_lives_only_by_the_origins_word),
	    cmocka_unit_test(any_final_status_with_a_life_is_stored),
	    cmocka_unit_test(what_the_origin_forbids_is_not_stored),
	    cmocka_unit_test(what_can_never_answer_is_not_stored),
	    cmocka_unit_test(a_request_with_authorization_needs_the_origins_word),
	    cmocka_unit_test(the_routes_life_is_not_for_a_request_with_a_cookie),
	    cmocka_unit_test(a_response_that_sets_a_cookie_is_the_routes_decision),
	    cmocka_unit_test(what_is_larger_than_the_limit_is_not_stored),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
