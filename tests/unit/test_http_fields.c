/* LINK: http/fields */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>
#include <ctype.h>

#include "http/fields.h"

/* Where this fails after a change of rows: run src/http/fields_slots.py. */
static void
every_known_name_is_found_in_any_case(void **state)
{
	for (int id = 1; id < FIELD_COUNT; id++) {
		struct slice name = field_spelling(id);
		char upper[64], lower[64];
		for (size_t i = 0; i < name.n; i++) {
			upper[i] = (char)toupper((unsigned char)name.p[i]);
			lower[i] = (char)tolower((unsigned char)name.p[i]);
		}
		assert_int_equal(field_id_of(name), id);
		assert_int_equal(field_id_of(slice_of(upper, name.n)), id);
		assert_int_equal(field_id_of(slice_of(lower, name.n)), id);
	}
}

static void
a_name_that_differs_in_any_one_byte_is_another(void **state)
{
	for (int id = 1; id < FIELD_COUNT; id++) {
		struct slice name = field_spelling(id);
		char other[64];
		for (size_t i = 0; i < name.n; i++)
			for (int c = 0; c < 256; c++) {
				memcpy(other, name.p, name.n);
				if (tolower((unsigned char)other[i]) == tolower(c) && c < 128)
					continue;
				other[i] = (char)c;
				assert_int_not_equal(field_id_of(slice_of(other, name.n)), id);
			}
		assert_int_not_equal(field_id_of(slice_of(name.p, name.n - 1)), id);
	}
}

static void
strange_names_are_simply_unknown(void **state)
{
	assert_int_equal(field_id_of(SLICE_NONE), FIELD_OTHER);
	assert_int_equal(field_id_of(SLICE_LIT("")), FIELD_OTHER);
	assert_int_equal(field_id_of(SLICE_LIT("X-Shop-Cart")), FIELD_OTHER);
	assert_int_equal(field_id_of(SLICE_LIT("Content\rLength")), FIELD_OTHER);
	assert_int_equal(field_spelling(FIELD_OTHER).n, 0);
}

static void
the_table_tells_who_a_field_is_meant_for(void **state)
{
	assert_true(field_is(FIELD_CONNECTION, F_HOP));
	assert_true(field_is(FIELD_TRANSFER_ENCODING, F_HOP));
	assert_true(field_is(FIELD_HTTP2_SETTINGS, F_HOP));
	assert_false(field_is(FIELD_CONTENT_LENGTH, F_HOP));
	assert_true(field_is(FIELD_CACHE_CONTROL, F_LIST));
	assert_false(field_is(FIELD_SET_COOKIE, F_LIST));
	assert_true(field_is(FIELD_RATELIMIT, F_UNSTORED));
	assert_true(field_is(FIELD_X_FORWARDED_FOR, F_FORGED));
	assert_int_equal(field_flags(FIELD_OTHER), 0);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(every_known_name_is_found_in_any_case),
	    cmocka_unit_test(a_name_that_differs_in_any_one_byte_is_another),
	    cmocka_unit_test(strange_names_are_simply_unknown),
	    cmocka_unit_test(the_table_tells_who_a_field_is_meant_for),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
