/* LINK: http/incremental http/sf http/sf_bare http/head http/fields base/buf base/mem */
#include "http_usual.h"

#include <stdio.h>

#include "http/incremental.h"

static void
only_one_true_boolean_says_so(void **state)
{
	static const char *const yes[] = {"?1", "?1;x", " ?1 ", "?1;a=42;b=\"x\""};
	static const char *const no[] = {
	    "?0", "1", "true", "\"?1\"", "?1, ?1", "(?1)", "?1;", "", "?1 x", "?2"};
	char line[64];
	struct head h;

	for (size_t i = 0; i < sizeof(yes) / sizeof(*yes); i++) {
		snprintf(line, sizeof(line), "Incremental: %s", yes[i]);
		h = head_of(line);
		assert_true(message_is_incremental(&h));
	}
	for (size_t i = 0; i < sizeof(no) / sizeof(*no); i++) {
		snprintf(line, sizeof(line), "Incremental: %s", no[i]);
		h = head_of(line);
		assert_false(message_is_incremental(&h));
	}
	h = head_of("Incremental: ?1\nIncremental: ?1");
	assert_false(message_is_incremental(&h));
	h = head_of("X: y");
	assert_false(message_is_incremental(&h));
}

int
main(void)
{
	const struct CMUnitTest tests[] = {cmocka_unit_test(only_one_true_boolean_says_so)};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
