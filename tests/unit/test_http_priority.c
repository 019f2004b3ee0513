/* LINK: http/priority http/sf http/sf_bare base/buf base/mem */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "http/priority.h"

static void
what_is_said_counts_and_what_is_not_is_usual(void **state)
{
	static const struct {
		const char *text;
		unsigned urgency;
		bool incremental;
	} rows[] = {{"u=0", 0, false}, {"u=7, i", 7, true}, {"i", 3, true}, {"i=?0,u=5", 5, false},
	    {"u=8", 3, false}, {"u=-1", 3, false}, {"u=1.5", 3, false}, {"u=a", 3, false},
	    {"u=1, u=2", 2, false}, {"x=9, u=4;y", 4, false}, {"", 3, false}, {"i=1", 3, false}};

	for (size_t i = 0; i < sizeof(rows) / sizeof(*rows); i++) {
		struct priority p = priority_usual;

		priority_read(slice_from(rows[i].text), &p);
		assert_int_equal(p.urgency, rows[i].urgency);
		assert_int_equal(p.is_incremental, rows[i].incremental);
		assert_true(p.is_told);
	}
}

static void
what_is_no_dictionary_says_nothing(void **state)
{
	struct priority p = {.urgency = 1, .is_incremental = true};

	priority_read(SLICE_LIT("u=0,,"), &p);
	priority_read(SLICE_LIT("=0"), &p);
	assert_int_equal(p.urgency, 1);
	assert_true(p.is_incremental && !p.is_told);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(what_is_said_counts_and_what_is_not_is_usual),
	    cmocka_unit_test(what_is_no_dictionary_says_nothing),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
