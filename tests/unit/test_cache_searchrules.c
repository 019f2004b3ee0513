/* LINK: cache/searchrules base/hash base/buf base/mem */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdio.h>

#include "cache/searchrules.h"
#include "http/searchrule.h"

static void
the_newest_rule_of_a_url_is_known(void **state)
{
	struct searchrules *s = searchrules_new();
	char space[SEARCH_RULE_MAX];

	assert_int_equal(searchrules_find(s, SLICE_LIT("http://a/x"), space).n, 0);
	searchrules_learn(s, SLICE_LIT("http://a/x"), SLICE_LIT("pa,"));
	searchrules_learn(s, SLICE_LIT("http://a/x"), SLICE_LIT("eb,"));
	assert_true(
	    slice_eq(searchrules_find(s, SLICE_LIT("http://a/x"), space), SLICE_LIT("eb,")));
	assert_int_equal(searchrules_find(s, SLICE_LIT("http://a/y"), space).n, 0);
	searchrules_free(&s);
}

static void
a_flood_of_urls_takes_no_more_room(void **state)
{
	struct searchrules *s = searchrules_new();
	char url[64], space[SEARCH_RULE_MAX];
	unsigned known = 0;

	for (unsigned i = 0; i < 10000; i++) {
		snprintf(url, sizeof(url), "http://a/%u", i);
		searchrules_learn(s, slice_from(url), SLICE_LIT("pa,"));
		assert_true(searchrules_find(s, slice_from(url), space).n == 3);
	}
	for (unsigned i = 0; i < 10000; i++) {
		snprintf(url, sizeof(url), "http://a/%u", i);
		known += searchrules_find(s, slice_from(url), space).n > 0;
	}
	assert_true(known > 0 && known <= 1024);
	searchrules_free(&s);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(the_newest_rule_of_a_url_is_known),
	    cmocka_unit_test(a_flood_of_urls_takes_no_more_room),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
