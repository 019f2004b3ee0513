/* LINK: http/freshness http/cachecontrol http/sf http/sf_bare http/date http/head http/fields base/buf base/mem */
#include "http_usual.h"

#include "http/freshness.h"

static const struct life_policy plain = {
    .ttl_ms = LIFE_UNSET, .heuristic = true, .stale_if_error_ms = STALE_IF_ERROR_DEFAULT_MS};

static struct life
life_at(const struct head *h, const struct life_policy *p, int64_t now_ms, int64_t delay_ms)
{
	struct arrival arrival = {.now_ms = now_ms, .delay_ms = delay_ms};
	struct cache_control cc;
	struct life life;

	cache_control_of_response(h, &cc);
	life_of_response(h, &cc, p, &arrival, &life);
	return life;
}

static struct life
life_of(uint16_t status, const char *fields, const struct life_policy *p)
{
	struct head h = response_of(status, fields);

	return life_at(&h, p, NOON_MS, 0);
}

#define NOON "Date: Wed, 18 Nov 2026 12:00:00 GMT\n"

static void
the_most_specific_statement_of_a_life_counts(void **state)
{
	struct life l =
	    life_of(200, NOON "Cache-Control: max-age=1, s-maxage=3600\nExpires: 0", &plain);

	assert_int_equal(l.source, LIFE_S_MAXAGE);
	assert_int_equal(l.life_ms, 3600000);
	l = life_of(
	    200, NOON "Cache-Control: max-age=60\nExpires: Wed, 18 Nov 2026 13:00:00 GMT", &plain);
	assert_int_equal(l.source, LIFE_MAX_AGE);
	assert_int_equal(l.life_ms, 60000);
	l = life_of(200, NOON "Expires: Wed, 18 Nov 2026 13:00:00 GMT", &plain);
	assert_int_equal(l.source, LIFE_EXPIRES);
	assert_int_equal(l.life_ms, 3600000);
	l = life_of(200, NOON "CDN-Cache-Control: max-age=5\nCache-Control: s-maxage=9", &plain);
	assert_int_equal(l.source, LIFE_TARGETED);
	assert_int_equal(l.life_ms, 5000);
	l = life_of(
	    200, NOON "CDN-Cache-Control: foo\nExpires: Wed, 18 Nov 2026 13:00:00 GMT", &plain);
	assert_int_equal(l.source, LIFE_NONE);
}

static void
an_expires_that_is_no_date_or_not_after_date_is_past(void **state)
{
	static const char *const past[] = {"Expires: 0", "Expires: Wed, 18 Nov 2026 12:00:00 GMT",
	    "Expires: Wed, 18 Nov 2026 11:59:59 GMT", "Expires: Wed, 18 Nov 2026 13:00:00 UTC",
	    "Expires: Wed, 18 Nov 2026 13:00:00 GMT\nExpires: Wed, 18 Nov 2026 14:00:00 GMT",
	    "Expires:"};

	for (size_t i = 0; i < sizeof(past) / sizeof(*past); i++) {
		struct life l = life_of(200, past[i], &plain);
		assert_int_equal(l.source, LIFE_EXPIRES);
		assert_int_equal(l.life_ms, 0);
	}
	/* relative to Date, not to our clock */
	struct life l = life_of(200,
	    "Date: Wed, 18 Nov 2026 12:10:00 GMT\nExpires: Wed, 18 Nov 2026 12:05:00 GMT", &plain);
	assert_int_equal(l.life_ms, 0);
	l = life_of(200, "Date: foo\nExpires: Wed, 18 Nov 2026 12:00:10 GMT", &plain);
	assert_int_equal(l.life_ms, 10000);
}

static void
a_guess_is_a_tenth_and_at_most_ten_minutes(void **state)
{
	struct life l = life_of(200, NOON "Last-Modified: Wed, 18 Nov 2026 11:50:00 GMT", &plain);

	assert_int_equal(l.source, LIFE_HEURISTIC);
	assert_int_equal(l.life_ms, 60000);
	assert_true(l.by_route);
	l = life_of(404, NOON "Last-Modified: Wed, 18 Nov 2020 11:50:00 GMT", &plain);
	assert_int_equal(l.life_ms, HEURISTIC_MAX_MS);
	assert_int_equal(
	    life_of(201, NOON "Last-Modified: Wed, 18 Nov 2020 11:50:00 GMT", &plain).source,
	    LIFE_NONE);
	l = life_of(599, NOON "Last-Modified: Wed, 18 Nov 2020 11:50:00 GMT\nCache-Control: public",
	    &plain);
	assert_int_equal(l.source, LIFE_HEURISTIC);
	assert_false(l.by_route);
	l = life_of(200, NOON "Last-Modified: Wed, 18 Nov 2026 12:50:00 GMT", &plain);
	assert_int_equal(l.life_ms, 0);
	struct life_policy off = plain;
	off.heuristic = false;
	assert_int_equal(
	    life_of(200, NOON "Last-Modified: Wed, 18 Nov 2020 11:50:00 GMT", &off).source,
	    LIFE_NONE);
}

static void
the_first_age_counts_if_it_is_a_number(void **state)
{
	static const struct {
		const char *fields;
		int64_t age_s;
	} rows[] = {{"Age: 7200", 7200}, {"Age: abc", 0}, {"Age: -7200", 0}, {"Age: 7200.0", 0},
	    {"Age: 2147483647", INT32_MAX}, {"Age: 2147483648", INT32_MAX},
	    {"Age: 99999999999999999999", INT32_MAX}, {"Age: 7200, 0", 7200}, {"Age: 0, 7200", 0},
	    {"Age: 7200\nAge: 0", 7200}, {"Age: 0\nAge: 7200", 0}, {"Age: 0, 0", 0},
	    {"Age: 3600\nAge: 3600", 3600}, {"Age: 7200;foo=bar", 0}, {"Age: +5", 0}, {"Age:", 0},
	    {"X: y", 0}};

	for (size_t i = 0; i < sizeof(rows) / sizeof(*rows); i++)
		if (life_of(200, rows[i].fields, &plain).age_ms != rows[i].age_s * 1000)
			fail_msg("misread: %s", rows[i].fields);
}

static void
the_initial_age_is_the_greater_of_date_and_age(void **state)
{
	struct head h = head_of("Date: Wed, 18 Nov 2026 11:58:20 GMT\nAge: 30");

	assert_int_equal(life_at(&h, &plain, NOON_MS, 0).age_ms, 100000 - 999);
	h = head_of("Date: Wed, 18 Nov 2026 11:59:50 GMT\nAge: 30");
	assert_int_equal(life_at(&h, &plain, NOON_MS, 2500).age_ms, 32500);
	h = head_of("Date: Wed, 18 Nov 2026 12:10:00 GMT");
	assert_int_equal(life_at(&h, &plain, NOON_MS, 0).age_ms, 0);
	/* sent late in its second, received early in the next */
	h = head_of(NOON);
	assert_int_equal(life_at(&h, &plain, NOON_MS + 1020, 0).age_ms, 21);
}

static void
the_route_gives_a_life_where_the_origin_states_none(void **state)
{
	static const struct status_life by_status[] = {{404, 5000}, {503, 1000}};
	struct life_policy p = plain;

	p.ttl_ms = 600000;
	p.by_status = by_status;
	p.by_status_count = 2;
	struct life l = life_of(200, NOON "Last-Modified: Wed, 18 Nov 2020 11:50:00 GMT", &p);
	assert_int_equal(l.source, LIFE_ROUTE);
	assert_int_equal(l.life_ms, 600000);
	assert_true(l.by_route);
	assert_false(l.overrides);
	assert_int_equal(life_of(200, "Cache-Control: max-age=5", &p).life_ms, 5000);
	assert_int_equal(life_of(404, NOON, &p).life_ms, 5000);
	assert_int_equal(life_of(503, NOON, &p).source, LIFE_ROUTE_ERROR);
	assert_int_equal(life_of(500, NOON, &p).source, LIFE_NONE);
	assert_int_equal(life_of(302, NOON, &p).source, LIFE_NONE);
}

static void
a_route_that_overrides_wins_over_the_origin(void **state)
{
	struct life_policy p = plain;

	p.ttl_ms = 600000;
	p.overrides = true;
	struct life l = life_of(200, NOON "Cache-Control: no-cache, no-store, max-age=0", &p);
	assert_int_equal(l.source, LIFE_ROUTE);
	assert_int_equal(l.life_ms, 600000);
	assert_true(l.overrides && l.by_route);
	assert_false(l.no_cache);
	assert_int_equal(l.sie_ms, STALE_IF_ERROR_DEFAULT_MS);
	assert_int_equal(life_of(500, NOON "Cache-Control: max-age=3", &p).life_ms, 3000);
	assert_int_equal(life_of(200, NOON "Cache-Control: must-revalidate", &p).sie_ms, 0);
}

static void
stale_is_served_only_where_the_response_does_not_forbid_it(void **state)
{
	assert_int_equal(
	    life_of(200, "Cache-Control: max-age=2", &plain).sie_ms, STALE_IF_ERROR_DEFAULT_MS);
	assert_int_equal(life_of(200, "Cache-Control: max-age=2", &plain).swr_ms, 0);
	assert_int_equal(
	    life_of(200, "Cache-Control: max-age=2, must-revalidate", &plain).sie_ms, 0);
	assert_int_equal(
	    life_of(200, "Cache-Control: max-age=2, proxy-revalidate", &plain).sie_ms, 0);
	assert_int_equal(life_of(200, "Cache-Control: max-age=2, no-cache", &plain).sie_ms, 0);
	assert_int_equal(life_of(200, "Cache-Control: max-age=2, s-maxage=2", &plain).sie_ms, 0);
	assert_true(life_of(200, "Cache-Control: max-age=2, s-maxage=2", &plain).no_stale);
	assert_int_equal(
	    life_of(200, "Cache-Control: max-age=2, must-revalidate, stale-if-error=60", &plain)
		.sie_ms,
	    0);
	struct life l =
	    life_of(200, "Cache-Control: s-maxage=2, stale-while-revalidate=60", &plain);
	assert_int_equal(l.swr_ms, 60000);
	assert_int_equal(l.sie_ms, 0);
	assert_int_equal(
	    life_of(200, "Cache-Control: max-age=2, stale-if-error=0", &plain).sie_ms, 0);
	/* never fresh: not served stale by default */
	assert_int_equal(life_of(200, "Cache-Control: max-age=0\nETag: \"a\"", &plain).sie_ms, 0);
	assert_int_equal(
	    life_of(200, "Cache-Control: max-age=0, stale-if-error=9", &plain).sie_ms, 9000);
}

static void
jitter_only_shortens(void **state)
{
	assert_int_equal(life_with_jitter(100000, 10, 0), 100000);
	assert_int_equal(life_with_jitter(100000, 10, UINT32_MAX), 90001);
	assert_int_equal(life_with_jitter(100000, 0, UINT32_MAX), 100000);
	assert_int_equal(age_to_send_s(2999), 3);
	assert_int_equal(age_to_send_s(INT64_MAX / 2), INT32_MAX);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(the_most_specific_statement_of_a_life_counts),
	    cmocka_unit_test(an_expires_that_is_no_date_or_not_after_date_is_past),
	    cmocka_unit_test(a_guess_is_a_tenth_and_at_most_ten_minutes),
	    cmocka_unit_test(the_first_age_counts_if_it_is_a_number),
	    cmocka_unit_test(the_initial_age_is_the_greater_of_date_and_age),
	    cmocka_unit_test(the_route_gives_a_life_where_the_origin_states_none),
	    cmocka_unit_test(a_route_that_overrides_wins_over_the_origin),
	    cmocka_unit_test(stale_is_served_only_where_the_response_does_not_forbid_it),
	    cmocka_unit_test(jitter_only_shortens),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
