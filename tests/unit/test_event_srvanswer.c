/* LINK: event/srvanswer */
#include "event/srvanswer.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

/* One question for _a._b.c, an alias of 9 s, and two records: 10 5 80 x.c for 60 s, 20 0 81 . for 30 s. */
static const unsigned char message[] =
    "\0\1\x84\0\0\1\0\3\0\0\0\0"
    "\2_a\2_b\1c\0\0\x21\0\1"
    "\xc0\x0c\0\5\0\1\0\0\0\x9\0\2\xc0\x0c"
    "\xc0\x0c\0\x21\0\1\0\0\0\x3c\0\x0a\0\x0a\0\5\0\x50\1x\xc0\x12"
    "\xc0\x0c\0\x21\0\1\0\0\0\x1e\0\7\0\x14\0\0\0\x51\0";
#define SIZE (sizeof(message) - 1)

static struct srv_record out[SRV_RECORDS_MAX];
static uint32_t ttl_s;

static void
records_are_read_with_the_shortest_life_of_the_answer(void **state)
{
	assert_int_equal(srvanswer_parse(message, SIZE, out, &ttl_s), 2);
	assert_int_equal(ttl_s, 9);
	assert_int_equal(out[0].priority, 10);
	assert_int_equal(out[0].weight, 5);
	assert_int_equal(out[0].port, 80);
	assert_string_equal(out[0].host, "x.c");
	assert_int_equal(out[1].priority, 20);
	assert_string_equal(out[1].host, "");
}

static void
a_message_that_ends_early_is_none(void **state)
{
	for (size_t n = 0; n < SIZE; n++)
		assert_int_equal(srvanswer_parse(message, n, out, &ttl_s), -1);
}

static void
a_record_whose_length_is_not_its_own_is_none(void **state)
{
	unsigned char broken[SIZE];

	memcpy(broken, message, SIZE);
	broken[SIZE - 8]++; /* the last record's length */
	assert_int_equal(srvanswer_parse(broken, SIZE, out, &ttl_s), -1);
	broken[SIZE - 8] -= 2;
	assert_int_equal(srvanswer_parse(broken, SIZE, out, &ttl_s), -1);
}

static void
names_that_lead_in_a_circle_are_none(void **state)
{
	unsigned char broken[SIZE];

	memcpy(broken, message, SIZE);
	broken[12] = 0xc0;
	broken[13] = 12;
	assert_int_equal(srvanswer_parse(broken, SIZE, out, &ttl_s), -1);
}

static void
more_records_than_there_is_room_for_are_left_out(void **state)
{
	unsigned char many[12 + 40 * 18] = "\0\1\x84\0\0\0\0\x28\0\0\0";

	for (unsigned i = 0; i < 40; i++)
		memcpy(many + 12 + i * 18, "\0\0\x21\0\1\0\0\0\x3c\0\7\0\1\0\1\0\x50\0", 18);
	assert_int_equal(srvanswer_parse(many, sizeof(many), out, &ttl_s), SRV_RECORDS_MAX);
	assert_int_equal(ttl_s, 60);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(records_are_read_with_the_shortest_life_of_the_answer),
	    cmocka_unit_test(a_message_that_ends_early_is_none),
	    cmocka_unit_test(a_record_whose_length_is_not_its_own_is_none),
	    cmocka_unit_test(names_that_lead_in_a_circle_are_none),
	    cmocka_unit_test(more_records_than_there_is_room_for_are_left_out),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
