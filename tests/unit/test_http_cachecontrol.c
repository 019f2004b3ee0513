/* LINK: http/cachecontrol http/sf http/sf_bare http/head http/fields base/buf base/mem */
#include "http_usual.h"

#include <stdio.h>

#include "http/cachecontrol.h"

static struct cache_control
response(const char *fields)
{
	struct head h = head_of(fields);
	struct cache_control cc;

	cache_control_of_response(&h, &cc);
	return cc;
}

static struct cache_control
request(const char *fields)
{
	struct head h = head_of(fields);
	struct cache_control cc;

	cache_control_of_request(&h, &cc);
	return cc;
}

static void
directives_are_found_in_any_case_and_on_any_line(void **state)
{
	struct cache_control cc =
	    response("Cache-Control: foobar, MaX-aGe=3600 ,,public\n"
		     "cache-control: No-StOrE, s-maxage=\"60\", stale-while-revalidate=5");

	assert_int_equal(cc.source, CC_FROM_CACHE_CONTROL);
	assert_int_equal(cc.max_age_s, 3600);
	assert_int_equal(cc.s_maxage_s, 60);
	assert_int_equal(cc.stale_while_revalidate_s, 5);
	assert_int_equal(cc.stale_if_error_s, CC_NONE);
	assert_true(cc.is_public && cc.no_store);
	assert_false(cc.is_private);
	assert_int_equal(response("Age: 1").source, CC_FROM_NOTHING);
	assert_int_equal(response("Age: 1").max_age_s, CC_NONE);
}

static void
a_lifetime_that_is_no_number_is_zero(void **state)
{
	static const char *const bad[] = {"max-age=-3600", "max-age='3600'", "max-age=3600.0",
	    "max-age=a3600", "max-age=3600a", "max-age=+5", "max-age=0x5", "max-age= 5",
	    "max-age =5", "max-age=5 0", "max-age", "max-age=", "max-age=\"5", "max-age=\"5\"x",
	    "max-age=\" 5\"", "max-age=1h"};

	for (size_t i = 0; i < sizeof(bad) / sizeof(*bad); i++) {
		struct head h = {0};
		char text[64];
		snprintf(text, sizeof(text), "Cache-Control: %s", bad[i]);
		h = head_of(text);
		struct cache_control cc;
		cache_control_of_response(&h, &cc);
		if (cc.max_age_s != 0)
			fail_msg("%s gives %d", bad[i], cc.max_age_s);
	}
	assert_int_equal(response("Cache-Control: stale-if-error=x").stale_if_error_s, CC_NONE);
}

static void
great_numbers_are_clamped_and_zeros_in_front_do_no_harm(void **state)
{
	assert_int_equal(response("Cache-Control: max-age=2147483648").max_age_s, CC_MAX_S);
	assert_int_equal(
	    response("Cache-Control: max-age=99999999999999999999999").max_age_s, CC_MAX_S);
	assert_int_equal(response("Cache-Control: max-age=003600").max_age_s, 3600);
}

static void
of_two_lifetimes_the_first_counts(void **state)
{
	assert_int_equal(response("Cache-Control: max-age=1, max-age=1800").max_age_s, 1);
	assert_int_equal(
	    response("Cache-Control: max-age=1800\nCache-Control: max-age=1").max_age_s, 1800);
	assert_int_equal(response("Cache-Control: max-age=x, max-age=1").max_age_s, 0);
}

static void
what_stands_in_quotes_is_no_directive(void **state)
{
	struct cache_control cc =
	    response("Cache-Control: extension=\"max-age=3600, no-store\", max-age=1");

	assert_int_equal(cc.max_age_s, 1);
	assert_false(cc.no_store);
	assert_false(response("Cache-Control: a=\"\\\", no-store\"").no_store);
}

static void
what_restricts_is_believed_in_any_form(void **state)
{
	assert_true(response("Cache-Control: no-store=x").no_store);
	assert_true(response("Cache-Control: no-store x").no_store);
	assert_true(response("Cache-Control: no-store =\"y\"").no_store);
	assert_true(response("Cache-Control: a=\"never closed, no-store").no_store);
	assert_true(response("Cache-Control: private=\"\"").is_private);
	assert_true(response("Cache-Control: private=\"a b:c\"").is_private);
	assert_true(response("Cache-Control: no-cache = \"a\"").no_cache);
}

static void
names_narrow_no_cache_and_private_to_these_fields(void **state)
{
	struct cache_control cc = response(
	    "Cache-Control: no-cache=\"a, Set-Cookie\", private=x-user\nCache-Control: max-age=5");

	assert_false(cc.no_cache || cc.is_private);
	assert_true(cache_control_names(&cc, SLICE_LIT("A")));
	assert_true(cache_control_names(&cc, SLICE_LIT("set-cookie")));
	assert_true(cache_control_names(&cc, SLICE_LIT("X-User")));
	assert_false(cache_control_names(&cc, SLICE_LIT("X")));
	assert_false(cache_control_names(&cc, SLICE_LIT("")));
	cc = response("Cache-Control: no-cache=a, no-cache=b, no-cache=c, no-cache=d, no-cache=e");
	assert_true(cc.no_cache);
}

static void
the_first_valid_targeted_field_counts_alone(void **state)
{
	struct cache_control cc =
	    response("Cache-Control: no-store\nCDN-Cache-Control: foobar, max-age=10000;x=1");

	assert_int_equal(cc.source, CC_FROM_TARGETED);
	assert_int_equal(cc.max_age_s, 10000);
	assert_false(cc.no_store);
	cc = response("CDN-Cache-Control: max-age=5\nForebay-Cache-Control: private");
	assert_true(cc.is_private);
	assert_int_equal(cc.max_age_s, CC_NONE);
	assert_int_equal(response("CDN-Cache-Control: max-age=99999999999").max_age_s, CC_MAX_S);
	assert_int_equal(response("CDN-Cache-Control: max-age=-1").max_age_s, 0);
	assert_false(response("CDN-Cache-Control: no-store=?0, max-age=1").no_store);
}

static void
a_targeted_field_that_does_not_parse_is_as_if_absent(void **state)
{
	static const char *const bad[] = {"max-age=10000, &&&&&", "max-age=\"10000\"",
	    "max-age =100", "max-age= 100", "MaX-aGe=3600", "", "max-age=1.5"};

	for (size_t i = 0; i < sizeof(bad) / sizeof(*bad); i++) {
		char text[96];
		struct cache_control cc;
		snprintf(
		    text, sizeof(text), "CDN-Cache-Control: %s\nCache-Control: no-store", bad[i]);
		struct head h = head_of(text);
		cache_control_of_response(&h, &cc);
		if (cc.source != CC_FROM_CACHE_CONTROL || !cc.no_store)
			fail_msg("believed: %s", bad[i]);
	}
}

static void
a_request_is_read_with_its_own_rules(void **state)
{
	assert_int_equal(request("Cache-Control: max-stale").max_stale_s, CC_MAX_S);
	assert_int_equal(request("Cache-Control: max-stale=5").max_stale_s, 5);
	assert_int_equal(request("Cache-Control: max-stale=x").max_stale_s, CC_NONE);
	assert_int_equal(request("Cache-Control: x, min-fresh=3").min_fresh_s, 3);
	assert_true(request("Cache-Control: only-if-cached").only_if_cached);
	assert_true(request("Pragma: no-cache").no_cache);
	assert_true(request("Pragma: foo, No-Cache").no_cache);
	assert_false(request("Pragma: foo").no_cache);
	assert_false(request("Pragma: no-cache\nCache-Control: foo").no_cache);
	assert_int_equal(request("CDN-Cache-Control: max-age=0").max_age_s, CC_NONE);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(directives_are_found_in_any_case_and_on_any_line),
	    cmocka_unit_test(a_lifetime_that_is_no_number_is_zero),
	    cmocka_unit_test(great_numbers_are_clamped_and_zeros_in_front_do_no_harm),
	    cmocka_unit_test(of_two_lifetimes_the_first_counts),
	    cmocka_unit_test(what_stands_in_quotes_is_no_directive),
	    cmocka_unit_test(what_restricts_is_believed_in_any_form),
	    cmocka_unit_test(names_narrow_no_cache_and_private_to_these_fields),
	    cmocka_unit_test(the_first_valid_targeted_field_counts_alone),
	    cmocka_unit_test(a_targeted_field_that_does_not_parse_is_as_if_absent),
	    cmocka_unit_test(a_request_is_read_with_its_own_rules),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
