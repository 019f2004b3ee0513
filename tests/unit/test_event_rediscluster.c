/* LINK: event/rediscluster event/redisreply base/buf base/mem base/log base/clock */
#include "event/rediscluster.h"

#include <setjmp.h>
#include <stdarg.h>
#include <string.h>

#include <cmocka.h>

/* The specification's own example, and what redis-cli CLUSTER KEYSLOT says of the others. */
static void
a_key_has_the_slot_that_redis_gives_it(void **state)
{
	static const struct {
		const char *key;
		unsigned slot;
	} keys[] = {{"123456789", 12739}, {"foo", 12182}, {"{foo}bar", 12182},
	    {"a{foo}{zap}", 12182}, {"foo{}bar", 14292}, {"foo{{bar}}zap", 4015}, {"", 0},
	    {"{foo", 13308}};

	for (size_t i = 0; i < sizeof(keys) / sizeof(keys[0]); i++)
		assert_int_equal(redis_slot(slice_from(keys[i].key)), keys[i].slot);
}

static void
the_key_of_a_command_is_found_where_it_stands(void **state)
{
	static const struct {
		const char *words[6], *key;
	} commands[] = {
	    {{"GET", "a"}, "a"},
	    {{"evalsha", "sha", "1", "k", "x"}, "k"},
	    {{"EVAL", "return 1", "0", "x"}, NULL},
	    {{"XREAD", "COUNT", "9", "STREAMS", "s", "$"}, "s"},
	    {{"CONFIG", "GET", "maxmemory"}, NULL},
	    {{"XINFO", "STREAM", "s"}, "s"},
	    {{"PING"}, NULL},
	};

	for (size_t i = 0; i < sizeof(commands) / sizeof(commands[0]); i++) {
		struct slice argv[6], key;
		unsigned n = 0;

		for (; n < 6 && commands[i].words[n] != NULL; n++)
			argv[n] = slice_from(commands[i].words[n]);
		key = redis_command_key(argv, n);
		assert_int_equal(key.p == NULL, commands[i].key == NULL);
		assert_true(key.p == NULL || slice_eq(key, slice_from(commands[i].key)));
	}
}

static struct redis_reply
error(const char *text)
{
	return (struct redis_reply){.type = REPLY_ERROR, .text = slice_from(text)};
}

static void
a_redirection_is_read_and_nothing_else_is_taken_for_one(void **state)
{
	static const char *const bad[] = {"MOVED", "MOVED 1", "MOVED 16384 h:1", "MOVED x h:1",
	    "MOVED 1 h", "MOVED 1 h:0", "MOVED 1 h:65536", "MOVEDX 1 h:1", "TRYAGAIN 1 h:1"};
	struct redis_reply r = error("MOVED 3999 127.0.0.1:6381");
	struct redis_redirect to;

	assert_true(redis_redirect_read(&r, &to));
	assert_false(to.is_ask);
	assert_int_equal(to.slot, 3999);
	assert_int_equal(to.port, 6381);
	assert_true(slice_eq(to.host, SLICE_LIT("127.0.0.1")));
	r = error("ASK 0 ::1:7000");
	assert_true(redis_redirect_read(&r, &to));
	assert_true(to.is_ask);
	assert_true(slice_eq(to.host, SLICE_LIT("::1")));
	r = error("MOVED 5 :7000");
	assert_true(redis_redirect_read(&r, &to));
	assert_int_equal(to.host.n, 0);
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		r = error(bad[i]);
		assert_false(redis_redirect_read(&r, &to));
	}
}

static void
note_range(void *arg, const struct redis_range *range)
{
	unsigned *seen = arg;

	*seen += range->last - range->first + 1;
	assert_int_equal(range->port, 7000);
}

static void
a_map_is_taken_as_a_whole_or_not_at_all(void **state)
{
	struct replies *from = replies_new(1 << 16);
	struct redis_reply *reply;
	unsigned seen = 0;
	const char good[] =
	    "*2\r\n"
	    "*3\r\n:0\r\n:8191\r\n*3\r\n$9\r\n127.0.0.1\r\n:7000\r\n$2\r\nid\r\n"
	    "*4\r\n:8192\r\n:16383\r\n*2\r\n$-1\r\n:7000\r\n*2\r\n$1\r\nr\r\n:7001\r\n";
	const char bad[] = "*2\r\n"
			   "*3\r\n:0\r\n:8191\r\n*3\r\n$9\r\n127.0.0.1\r\n:7000\r\n$2\r\nid\r\n"
			   "*3\r\n:8192\r\n:16384\r\n*2\r\n$1\r\nh\r\n:7000\r\n";

	replies_feed(from, good, sizeof(good) - 1);
	replies_feed(from, bad, sizeof(bad) - 1);
	assert_int_equal(replies_next(from, &reply), REPLIES_ONE);
	assert_true(redis_map_read(reply, note_range, &seen));
	assert_int_equal(seen, REDIS_SLOTS);
	redis_reply_free(&reply);
	assert_int_equal(replies_next(from, &reply), REPLIES_ONE);
	assert_false(redis_map_read(reply, note_range, &seen));
	assert_int_equal(seen, REDIS_SLOTS);
	redis_reply_free(&reply);
	replies_free(&from);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(a_key_has_the_slot_that_redis_gives_it),
	    cmocka_unit_test(the_key_of_a_command_is_found_where_it_stands),
	    cmocka_unit_test(a_redirection_is_read_and_nothing_else_is_taken_for_one),
	    cmocka_unit_test(a_map_is_taken_as_a_whole_or_not_at_all),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
