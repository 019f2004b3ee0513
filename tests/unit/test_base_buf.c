/* LINK: base/buf base/mem */
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#include "base/buf.h"

static void
expect(struct buf *b, const char *want)
{
	assert_int_equal(b->n, strlen(want));
	assert_memory_equal(b->p, want, b->n);
	buf_fini(b);
}

static void
a_number_is_written_with_its_sign(void **state)
{
	struct buf b = {0};

	buf_add_i64(&b, 0);
	buf_add_char(&b, ' ');
	buf_add_i64(&b, -412);
	buf_add_char(&b, ' ');
	buf_add_i64(&b, INT64_MIN);
	buf_add_char(&b, ' ');
	buf_add_u64(&b, UINT64_MAX);
	expect(&b, "0 -412 -9223372036854775808 18446744073709551615");
}

static void
every_number_of_digits_is_written(void **state)
{
	for (uint64_t v = 1, digits = 1; digits <= 19; digits++, v *= 10) {
		struct buf b = {0};
		char want[48];

		snprintf(want, sizeof(want), "%lu,%lu", v - 1, v);
		buf_add_u64(&b, v - 1);
		buf_add_char(&b, ',');
		buf_add_u64(&b, v);
		expect(&b, want);
	}
}

/* The format's bytes just fit, just do not, or find nothing allocated. */
static void
what_is_printed_is_whole_wherever_the_room_ends(void **state)
{
	for (size_t before = 0; before <= 512; before++) {
		struct buf b = {0};

		for (size_t i = 0; i < before; i++)
			buf_add_char(&b, 'x');
		buf_printf(&b, "%s-%d", "0123456789", 42);
		assert_int_equal(b.n, before + 13);
		assert_memory_equal(b.p + before, "0123456789-42", 13);
		buf_fini(&b);
	}
}

static void
a_list_is_cut_item_by_item(void **state)
{
	struct slice rest = SLICE_LIT("a,,bc,");

	assert_true(slice_eq(slice_cut(&rest, ','), SLICE_LIT("a")));
	assert_int_equal(slice_cut(&rest, ',').n, 0);
	assert_true(slice_eq(slice_cut(&rest, ','), SLICE_LIT("bc")));
	assert_int_equal(rest.n, 0);
	rest = SLICE_LIT("alone");
	assert_true(slice_eq(slice_cut(&rest, ','), SLICE_LIT("alone")));
	assert_int_equal(rest.n, 0);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(a_list_is_cut_item_by_item),
	    cmocka_unit_test(a_number_is_written_with_its_sign),
	    cmocka_unit_test(every_number_of_digits_is_written),
	    cmocka_unit_test(what_is_printed_is_whole_wherever_the_room_ends),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
