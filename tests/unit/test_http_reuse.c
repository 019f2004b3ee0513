/* LINK: http/reuse http/cachestatus http/cachecontrol http/sf http/sf_bare http/head http/fields base/buf base/mem */
#include "http_usual.h"

#include "http/reuse.h"

static struct cache_control cc;

static struct reuse_request
asking(const char *fields)
{
	struct head h = head_of(fields);

	cache_control_of_request(&h, &cc);
	return (struct reuse_request){.cc = &cc,
	    .may_revalidate = true,
	    .has_cookie = head_has(&h, FIELD_COOKIE),
	    .has_authorization = head_has(&h, FIELD_AUTHORIZATION)};
}

/* A response with a life of 100 s, of that age. */
static struct reuse_stored
aged(int64_t age_s)
{
	return (struct reuse_stored){.age_ms = age_s * 1000, .life_ms = 100000};
}

static enum reuse
judge(struct reuse_stored s, const char *fields)
{
	struct reuse_request r = asking(fields);

	return reuse_judge(&s, &r);
}

static void
fresh_is_served_and_stale_is_validated(void **state)
{
	assert_int_equal(judge(aged(99), ""), REUSE_IS_FRESH);
	assert_int_equal(judge(aged(100), ""), REUSE_IS_EXPIRED);
	assert_int_equal(reuse_action(REUSE_IS_EXPIRED), REUSE_VALIDATE);
	assert_int_equal(reuse_word(REUSE_IS_FRESH), CACHE_WORD_HIT);
	struct reuse_stored s = aged(1);
	s.no_cache = true;
	assert_int_equal(judge(s, ""), REUSE_IS_NO_CACHE);
}

static void
stale_is_served_behind_a_refresh_within_its_window(void **state)
{
	struct reuse_stored s = aged(103);

	s.swr_ms = 4000;
	assert_int_equal(judge(s, ""), REUSE_IS_WHILE_REVALIDATE);
	s.age_ms = 104000;
	assert_int_equal(judge(s, ""), REUSE_IS_EXPIRED);
}

static void
a_soft_purge_makes_stale_at_once(void **state)
{
	struct reuse_stored s = aged(5);

	s.soft_purged = true;
	assert_int_equal(judge(s, ""), REUSE_IS_EXPIRED);
	s.swr_ms = 1000;
	assert_int_equal(judge(s, ""), REUSE_IS_WHILE_REVALIDATE);
	assert_int_equal(judge(s, "Cache-Control: max-age=50"), REUSE_IS_WHILE_REVALIDATE);
}

static void
clients_may_force_a_validation_where_the_route_heeds_them(void **state)
{
	static const struct {
		const char *fields;
		enum reuse want;
	} rows[] = {{"Cache-Control: no-cache", REUSE_IS_REQUEST_NO_CACHE},
	    {"Pragma: no-cache", REUSE_IS_REQUEST_NO_CACHE},
	    {"Cache-Control: max-age=0", REUSE_IS_REQUEST_MAX_AGE},
	    {"Cache-Control: max-age=49", REUSE_IS_REQUEST_MAX_AGE},
	    {"Cache-Control: max-age=50", REUSE_IS_FRESH},
	    {"Cache-Control: min-fresh=51", REUSE_IS_REQUEST_MIN_FRESH},
	    {"Cache-Control: min-fresh=50", REUSE_IS_FRESH},
	    {"Cache-Control: nothing-to-see-here", REUSE_IS_FRESH}};

	for (size_t i = 0; i < sizeof(rows) / sizeof(*rows); i++) {
		struct reuse_stored s = aged(50);
		struct reuse_request r = asking(rows[i].fields);
		if (reuse_judge(&s, &r) != rows[i].want)
			fail_msg("%s: %s", rows[i].fields, reuse_text(reuse_judge(&s, &r)));
		r.may_revalidate = false;
		assert_int_equal(reuse_judge(&s, &r), REUSE_IS_FRESH);
	}
}

static void
a_reload_spares_what_is_immutable(void **state)
{
	struct reuse_stored s = aged(50);

	s.immutable = true;
	assert_int_equal(judge(s, "Cache-Control: max-age=0"), REUSE_IS_FRESH);
	assert_int_equal(judge(s, "Cache-Control: no-cache"), REUSE_IS_REQUEST_NO_CACHE);
	s.age_ms = 100000;
	assert_int_equal(judge(s, "Cache-Control: max-age=0"), REUSE_IS_REQUEST_MAX_AGE);
}

static void
max_stale_is_granted_unless_the_response_forbids(void **state)
{
	struct reuse_stored s = aged(600);

	assert_int_equal(judge(s, "Cache-Control: max-stale=1000"), REUSE_IS_MAX_STALE);
	assert_int_equal(judge(s, "Cache-Control: max-stale"), REUSE_IS_MAX_STALE);
	assert_int_equal(judge(s, "Cache-Control: max-stale=499"), REUSE_IS_EXPIRED);
	s.no_stale = true;
	assert_int_equal(judge(s, "Cache-Control: max-stale"), REUSE_IS_EXPIRED);
}

static void
only_if_cached_never_asks_the_origin(void **state)
{
	assert_int_equal(judge(aged(5), "Cache-Control: only-if-cached"), REUSE_IS_FRESH);
	assert_int_equal(
	    judge(aged(500), "Cache-Control: only-if-cached"), REUSE_IS_ONLY_IF_CACHED);
	assert_int_equal(reuse_action(REUSE_IS_ONLY_IF_CACHED), REUSE_REFUSE);
}

static void
a_guessed_life_is_not_for_requests_with_credentials(void **state)
{
	struct reuse_stored s = aged(5);

	assert_int_equal(judge(s, "Cookie: a=b"), REUSE_IS_FRESH);
	s.by_route = true;
	assert_int_equal(judge(s, "Cookie: a=b"), REUSE_IS_COOKIE);
	assert_int_equal(judge(s, "Authorization: x"), REUSE_IS_AUTHORIZATION);
	struct reuse_request r = asking("Cookie: a=b");
	assert_false(reuse_on_error(&s, &r));
	r.cookies_covered = true;
	assert_int_equal(reuse_judge(&s, &r), REUSE_IS_FRESH);
}

static void
a_failing_origin_is_covered_within_the_window(void **state)
{
	struct reuse_stored s = aged(150);
	struct reuse_request r = asking("");

	assert_false(reuse_on_error(&s, &r));
	s.sie_ms = 50001;
	assert_true(reuse_on_error(&s, &r));
	s.sie_ms = 50000;
	assert_false(reuse_on_error(&s, &r));
	s = aged(5);
	assert_true(reuse_on_error(&s, &r));
	s.no_cache = true;
	assert_false(reuse_on_error(&s, &r));
	s = aged(5);
	s.soft_purged = true;
	assert_false(reuse_on_error(&s, &r));
	assert_true(status_is_failure(503));
	assert_false(status_is_failure(501));
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(fresh_is_served_and_stale_is_validated),
	    cmocka_unit_test(stale_is_served_behind_a_refresh_within_its_window),
	    cmocka_unit_test(a_soft_purge_makes_stale_at_once),
	    cmocka_unit_test(clients_may_force_a_validation_where_the_route_heeds_them),
	    cmocka_unit_test(a_reload_spares_what_is_immutable),
	    cmocka_unit_test(max_stale_is_granted_unless_the_response_forbids),
	    cmocka_unit_test(only_if_cached_never_asks_the_origin),
	    cmocka_unit_test(a_guessed_life_is_not_for_requests_with_credentials),
	    cmocka_unit_test(a_failing_origin_is_covered_within_the_window),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
