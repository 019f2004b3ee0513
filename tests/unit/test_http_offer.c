/* LINK: http/offer http/negotiate http/head http/fields base/buf base/mem */
#include "http_usual.h"

#include <stdio.h>

#include "http/offer.h"

static const char *const languages[] = {"de", "en", "fr-CH"};

static const char *
chosen(const char *field, const char *name, const char *const *values, unsigned count)
{
	struct head h = head_of(field);
	int n = offer_choose(&h, slice_from(name), values, count);

	return n == OFFER_NONE ? "-" : values[n];
}

static const char *
language(const char *wish)
{
	static char line[256];

	snprintf(line, sizeof(line), "Accept-Language: %s", wish);
	return chosen(line, "accept-language", languages, 3);
}

static void
the_greatest_wish_is_met(void **state)
{
	assert_string_equal(language("en"), "en");
	assert_string_equal(language("de;q=0.5, en;q=0.7"), "en");
	assert_string_equal(language("fr;q=0.5, de;q=1.0"), "de");
	assert_string_equal(language("es, EN;q=0.1"), "en");
}

static void
the_sites_order_decides_between_equal_wishes(void **state)
{
	assert_string_equal(language("en, de"), "de");
	assert_string_equal(language("de, en"), "de");
}

static void
a_language_stands_for_its_subtags_and_they_for_it(void **state)
{
	assert_string_equal(language("en-GB"), "en");
	assert_string_equal(language("en-GB, en;q=0.8, de;q=0.9"), "en");
	assert_string_equal(language("fr"), "fr-CH");
	assert_string_equal(language("fr-FR"), "-");
	assert_string_equal(language("eng"), "-");
}

static void
what_is_refused_is_not_chosen(void **state)
{
	assert_string_equal(language("en;q=0, en-GB"), "-");
	assert_string_equal(language("de;q=0, *"), "en");
	assert_string_equal(language("*;q=0"), "-");
	assert_string_equal(language("*;q=0.1, fr-CH;q=0.2"), "fr-CH");
}

static void
nothing_is_chosen_for_who_wishes_nothing(void **state)
{
	assert_string_equal(chosen("X: y", "Accept-Language", languages, 3), "-");
	assert_string_equal(language(""), "-");
	assert_string_equal(language("es"), "-");
	assert_string_equal(language("en;q=2"), "-");
	assert_string_equal(chosen("Accept-Language: en\nConnection: accept-language",
				"accept-language", languages, 3),
	    "-");
}

static void
types_codings_and_other_fields_have_their_own_ways(void **state)
{
	static const char *const types[] = {"text/html", "application/json"};
	static const char *const codings[] = {"br", "gzip"};
	static const char *const devices[] = {"phone", "desk"};

	assert_string_equal(
	    chosen("Accept: application/*", "accept", types, 2), "application/json");
	assert_string_equal(chosen("Accept: */*", "accept", types, 2), "text/html");
	assert_string_equal(chosen("Accept: image/png", "accept", types, 2), "-");
	assert_string_equal(
	    chosen("Accept-Encoding: gzip, deflate, br", "accept-encoding", codings, 2), "br");
	assert_string_equal(
	    chosen("Accept-Encoding: gzip;q=1, br;q=0.9", "accept-encoding", codings, 2), "gzip");
	assert_string_equal(
	    chosen("Accept-Encoding: identity", "accept-encoding", codings, 2), "-");
	assert_string_equal(chosen("X-Device: DESK", "x-device", devices, 2), "desk");
	assert_string_equal(chosen("X-Device: desk2", "x-device", devices, 2), "-");
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(the_greatest_wish_is_met),
	    cmocka_unit_test(the_sites_order_decides_between_equal_wishes),
	    cmocka_unit_test(a_language_stands_for_its_subtags_and_they_for_it),
	    cmocka_unit_test(what_is_refused_is_not_chosen),
	    cmocka_unit_test(nothing_is_chosen_for_who_wishes_nothing),
	    cmocka_unit_test(types_codings_and_other_fields_have_their_own_ways),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
