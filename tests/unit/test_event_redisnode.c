/* LINK: event/redisnode base/mem base/log base/buf base/clock */
#include "event/redisnode.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#define NOON_MS INT64_C(43200000)

static void
one_of_all_threads_asks_for_memory_now_and_then(void **state)
{
	struct redis_node *n = redis_node_of("127.0.0.1:1");

	assert_false(redis_node_wants_memory(n, NOON_MS)); /* the first call of all */
	assert_false(redis_node_wants_memory(n, NOON_MS + 999));
	assert_true(redis_node_wants_memory(n, NOON_MS + 1000));
	assert_false(redis_node_wants_memory(n, NOON_MS + 1000));
	assert_false(redis_node_wants_memory(n, NOON_MS + 1000 + REDIS_NODE_MEMORY_MS - 1));
	assert_true(redis_node_wants_memory(n, NOON_MS + 1000 + REDIS_NODE_MEMORY_MS));
}

static void
what_it_says_of_its_memory_is_read_as_far_as_it_makes_sense(void **state)
{
	static const struct {
		const char *info;
		int64_t memory, limit;
	} rows[] = {
	    {"# Memory\r\nused_memory:1048576\r\nused_memory_human:1.00M\r\nmaxmemory:0\r\n",
		1048576, 0},
	    {"maxmemory_human:1G\r\nmaxmemory:1073741824\r\nused_memory:7", 7, 1073741824},
	    {"used_memory:x\r\nmaxmemory:-1\r\n", -1, -1},
	    {"used_memory:99999999999999999999\r\n", -1, -1},
	    {"xused_memory:5\r\nused_memory", -1, -1},
	    {"", -1, -1},
	};
	struct redis_node *n = redis_node_of("127.0.0.1:2");

	assert_int_equal(n->memory_bytes, -1);
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		redis_node_take_memory(n, slice_from(rows[i].info));
		assert_int_equal(n->memory_bytes, rows[i].memory);
		assert_int_equal(n->memory_limit_bytes, rows[i].limit);
	}
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(one_of_all_threads_asks_for_memory_now_and_then),
	    cmocka_unit_test(what_it_says_of_its_memory_is_read_as_far_as_it_makes_sense),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
