/* LINK: policy/limitscript policy/window event/drain event/tlscontext event/tlsidentity event/tlstickets event/fileprint event/tls event/tlsgreet event/tlssocket event/tlsstate event/tlswrite event/tlsclient event/redisio event/redisio_connect event/redisoutbox event/redisreply event/redisurl event/resolver event/address event/srvanswer event/lookup event/stream event/loop base/clock base/buf base/mem base/log base/hash */
/* The script on a real Redis beside policy/window.c: the same requests, at the time Redis says it was. */
#include "policy/limitscript.h"

#include <setjmp.h>
#include <stdarg.h>
#include <string.h>

#include <cmocka.h>

#include "event/redisio.h"
#include "redis_server.h"

#define STEPS 4000
#define DAY_MS 86400000

struct stage {
	struct loop *loop;
	struct resolver *resolver;
	struct redis_server server;
	struct redisio *io;
	/* the play */
	struct window_rule rule;
	struct window *window;
	int64_t offset_ms; /* how far we have moved Redis' time */
	struct limit_wish wish;
	struct limit_grant grant;
	bool answered, is_whole;
	int64_t times_ms[8]; /* at which permits were taken, for refunds */
	unsigned times;
};

static bool
is_up(void *arg)
{
	return redisio_is_up(((struct stage *)arg)->io);
}

static int
open_stage(void **state)
{
	struct stage *s = calloc(1, sizeof(*s));
	struct redisio_conf conf = {.connect_ms = 5000,
	    .silent_ms = 5000,
	    .in_flight_max = 16,
	    .queue_max_bytes = 1 << 20,
	    .reply_max_bytes = 4096};
	const char *why;

	s->loop = loop_new();
	s->resolver = resolver_new(s->loop, NULL);
	redis_server_init(&s->server);
	redis_server_start(&s->server, NULL);
	conf.url = s->server.url;
	s->io = redisio_new(s->loop, s->resolver, &conf, NULL, NULL, &why);
	*state = s;
	return run_until(s->loop, is_up, s) ? 0 : -1;
}

static int
close_stage(void **state)
{
	struct stage *s = *state;

	redisio_free(&s->io);
	redis_server_kill(&s->server);
	resolver_free(&s->resolver);
	loop_free(&s->loop);
	free(s);
	return 0;
}

static void
on_grant(void *arg, enum redisio_end end, const struct redis_reply *reply)
{
	struct stage *s = arg;

	assert_int_equal(end, REDISIO_ANSWERED);
	s->answered = true;
	loop_stop(s->loop);
	s->is_whole = reply_is_error(reply, "NOSCRIPT");
	if (!s->is_whole) {
		if (reply->type == REPLY_ERROR)
			fail_msg("%.*s", SLICE_FMT(reply->text));
		assert_true(limit_grant_read(reply, &s->grant));
	}
}

static void
send_once(struct stage *s, struct slice key)
{
	struct limit_words w;

	limit_words_write(&w, s->is_whole, key, &s->rule, &s->wish, s->offset_ms);
	s->answered = false;
	assert_int_equal(
	    redisio_send(s->io,
		&(struct redisio_command){
		    .argv = w.argv, .argc = w.argc, .timeout_ms = 5000, .done = on_grant, .arg = s},
		NULL),
	    REDISIO_SENT);
	loop_run(s->loop);
	assert_true(s->answered);
}

/* What is asked is asked by the script's hash, and whole where Redis does not know it. */
static void
ask(struct stage *s, struct slice key)
{
	s->is_whole = false;
	send_once(s, key);
	if (s->is_whole)
		send_once(s, key);
}

/* The same by policy/window.c. */
static void
check(struct stage *s)
{
	const struct window_rule *r = &s->rule;
	const struct limit_wish *wish = &s->wish;
	const struct limit_grant *g = &s->grant;
	int64_t now_ms = g->now_ms;
	uint32_t granted = 0, remaining;

	window_advance(r, s->window, now_ms);
	if (wish->refund > 0)
		window_refund(r, s->window, wish->refund, wish->refund_ms);
	if (wish->charge > 0)
		window_charge(r, s->window, wish->charge, now_ms, now_ms);
	for (uint32_t i = 0; i < wish->want; i++) {
		if (window_take(r, s->window, 1, now_ms, now_ms))
			granted++;
		else if (wish->charge_rest)
			window_charge(r, s->window, 1, now_ms, now_ms);
	}
	if (g->slice > 0) {
		assert_int_equal(granted, wish->want);
		assert_true(g->slice <= wish->slice);
		assert_true(window_take(r, s->window, g->slice, now_ms, now_ms));
	}
	remaining = window_remaining(r, s->window);
	assert_int_equal(g->granted, granted);
	assert_int_equal(g->remaining, remaining);
	assert_int_equal(g->reset_ms,
	    remaining == r->limit ? 0
				  : window_wait_ms(r, s->window, (uint64_t)remaining + 1, now_ms));
	assert_int_equal(g->retry_ms, window_wait_ms(r, s->window, wish->behind, now_ms));
}

static void
wish_something(struct stage *s)
{
	s->wish = (struct limit_wish){.want = (uint32_t)rand() % 4,
	    .charge = rand() % 10 == 0 ? (uint32_t)rand() % 5 : 0,
	    .charge_rest = rand() % 2,
	    .slice = rand() % 8 == 0 ? (uint32_t)rand() % s->rule.limit : 0,
	    .share = 1 + (uint32_t)rand() % 3,
	    .behind = 1 + (uint64_t)rand() % (2 * s->rule.limit)};
	if (rand() % 8 == 0 && s->times > 0) {
		s->wish.refund = 1 + (uint32_t)rand() % 3;
		s->wish.refund_ms = s->times_ms[(unsigned)rand() % (s->times < 8 ? s->times : 8)];
	}
}

static void
move_time(struct stage *s)
{
	int what = rand() % 20;

	if (what < 4)
		s->offset_ms += rand() % (s->rule.window_ms / 3);
	else if (what == 4)
		s->offset_ms += rand() % 20 ? 1 : 3 * s->rule.window_ms;
}

static void
play(struct stage *s, struct window_rule rule)
{
	char name[LIMIT_SCRIPT_KEY_BYTES], other[LIMIT_SCRIPT_KEY_BYTES];
	struct slice key;

	s->rule = rule;
	s->times = 0;
	s->window = calloc(1, window_state_bytes(&rule));
	key = limit_script_key(SLICE_LIT("test"), "model", &rule, SLICE_LIT("ann"), name);
	rule.limit++;
	limit_script_key(SLICE_LIT("test"), "model", &rule, SLICE_LIT("ann"), other);
	assert_string_not_equal(name, other);
	for (unsigned i = 0; i < STEPS; i++) {
		move_time(s);
		wish_something(s);
		ask(s, key);
		check(s);
		if (s->grant.granted > 0)
			s->times_ms[s->times++ % 8] = s->grant.now_ms;
	}
	free(s->window);
}

static void
the_script_decides_as_the_window_does(void **state)
{
	static const struct window_rule rules[] = {
	    {.kind = WINDOW_FIXED, .limit = 7, .window_ms = 2000},
	    {.kind = WINDOW_FIXED, .limit = 20, .window_ms = 3000, .align_clock = true},
	    {.kind = WINDOW_LOG, .limit = 5, .window_ms = 1997},
	    {.kind = WINDOW_LOG, .limit = 64, .window_ms = DAY_MS},
	    {.kind = WINDOW_SEGMENTS, .limit = 70, .segments = 10, .window_ms = 9973},
	    {.kind = WINDOW_SEGMENTS, .limit = 30, .segments = 1, .window_ms = 2000},
	    {.kind = WINDOW_SEGMENTS, .limit = 100, .segments = 1000, .window_ms = 365LL * DAY_MS},
	    {.kind = WINDOW_DOTNET, .limit = 12, .segments = 3, .window_ms = 3000},
	};

	srand(11);
	for (unsigned i = 0; i < sizeof(rules) / sizeof(rules[0]); i++)
		play(*state, rules[i]);
}

static void
a_slice_is_good_no_longer_than_its_part_of_the_window(void **state)
{
	struct stage *s = *state;
	char name[LIMIT_SCRIPT_KEY_BYTES];
	struct slice key;

	s->rule = window_rule_sliding(1000, 60000, 0, false);
	key = limit_script_key(SLICE_LIT("test"), "slices", &s->rule, SLICE_LIT("ann"), name);
	s->wish = (struct limit_wish){.want = 1, .slice = 100, .share = 2};
	ask(s, key);
	assert_int_equal(s->grant.granted, 1);
	assert_int_equal(s->grant.slice, 100);
	assert_int_equal(s->grant.remaining, 899);
	assert_true(s->grant.lease_ms > 5000 && s->grant.lease_ms <= 6000);
	s->wish.slice = 5000;
	ask(s, key);
	assert_int_equal(s->grant.slice, 449); /* half of what is left */
	s->rule = window_rule_sliding(10, 60000, 0, false);
	key = limit_script_key(SLICE_LIT("test"), "slices", &s->rule, SLICE_LIT("ann"), name);
	s->wish = (struct limit_wish){.want = 1};
	ask(s, key);
	assert_int_equal(s->grant.lease_ms, 0);
}

/* No permit comes back sooner for it, and none a day later than it should. */
static void
a_clock_of_redis_that_was_set_back_shuts_nobody_out(void **state)
{
	static const struct window_rule rules[] = {
	    {.kind = WINDOW_FIXED, .limit = 7, .window_ms = 2000},
	    {.kind = WINDOW_FIXED, .limit = 20, .window_ms = 3000, .align_clock = true},
	    {.kind = WINDOW_LOG, .limit = 5, .window_ms = 1997},
	    {.kind = WINDOW_SEGMENTS, .limit = 70, .segments = 10, .window_ms = 9973},
	    {.kind = WINDOW_DOTNET, .limit = 12, .segments = 3, .window_ms = 3000},
	};
	struct stage *s = *state;
	char name[LIMIT_SCRIPT_KEY_BYTES];
	struct slice key;

	for (unsigned i = 0; i < sizeof(rules) / sizeof(rules[0]); i++) {
		s->rule = rules[i];
		key = limit_script_key(SLICE_LIT("test"), "back", &s->rule, SLICE_LIT("ann"), name);
		s->wish = (struct limit_wish){.want = s->rule.limit};
		s->offset_ms = DAY_MS;
		ask(s, key);
		assert_int_equal(s->grant.granted, s->rule.limit);
		s->wish.want = 1;
		s->offset_ms = 0;
		ask(s, key);
		assert_true(s->rule.align_clock || s->grant.granted == 0);
		assert_true(s->grant.reset_ms <= 2 * s->rule.window_ms);
		s->offset_ms += s->grant.reset_ms;
		ask(s, key);
		assert_int_equal(s->grant.granted, 1);
	}
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test_setup_teardown(
		the_script_decides_as_the_window_does, open_stage, close_stage),
	    cmocka_unit_test_setup_teardown(
		a_slice_is_good_no_longer_than_its_part_of_the_window, open_stage, close_stage),
	    cmocka_unit_test_setup_teardown(
		a_clock_of_redis_that_was_set_back_shuts_nobody_out, open_stage, close_stage),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
