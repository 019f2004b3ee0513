/* LINK: cache/fetchlock cache/redis cache/redis_get cache/redis_put cache/l2crew cache/l2breaker cache/l2value cache/l2value_read cache/l2wire cache/sharedlog cache/purgelog cache/key cache/object cache/body cache/slab http/vary http/negotiate http/head http/fields event/redisnet event/redisnet_call event/redisnet_node event/redisnet_map event/redisnode event/redisscout event/rediscluster event/redisio event/redisio_connect event/redisoutbox event/tlsclient event/tls event/tlsgreet event/tlssocket event/tlsstate event/tlswrite event/tlscontext event/tlsidentity event/tlstickets event/fileprint event/drain event/redisreply event/redisurl event/resolver event/address event/srvanswer event/lookup event/stream event/loop event/helpers event/mailbox base/clock base/buf base/mem base/thread base/log base/hash */
#include "cache/fetchlock.h"

#include <setjmp.h>
#include <stdarg.h>
#include <string.h>

#include <cmocka.h>

#include "base/log.h"
#include "cache/l2crew.h"
#include "cache/redis.h"
#include "event/mailbox.h"
#include "l2_cast.h"
#include "redis_server.h"

#define TIMEOUT_MS PATIENCE_MS
#define WAIT_MS (2 * PATIENCE_MS) /* nothing here waits so long */
#define SHORT_MS 300		  /* in vain */
#define LATE_MS 1500		  /* the connection is left only some times as long after it */
#define LOCK_MS 3000		  /* of a lock that is to expire: Redis answers within that */

/* The cast: a Redis, the tiers of three instances on one loop, and what each of them was told. */
struct actor {
	struct l2 *l2;
	struct fetchlock *lock;
	unsigned times;
	enum fetchlock_end end;
	bool then_free;
};

struct stage {
	struct loop *loop;
	struct resolver *resolver;
	struct redis_server server;
	struct l2_crew *crew;
	struct mailbox *mailbox;
	struct purgelog *local;
	struct sharedlog *log;
	struct actor a, b, c;
	char *text;
};

static const struct cache_key page = {4711, {"http://example.org/page", 23}};

static bool
is_up(void *arg)
{
	const struct l2_counters *c = l2_counters(((struct actor *)arg)->l2);

	return c->reads_up && c->writes_up;
}

static void
open_l2(struct stage *s, struct actor *a, int64_t timeout_ms)
{
	const struct l2_conf conf = {.url = s->server.url,
	    .prefix = "test",
	    .timeout_ms = timeout_ms,
	    .value_max_bytes = 1 << 20,
	    .write_queue_max_bytes = 4 << 20,
	    .log = s->log,
	    .crew = s->crew,
	    .reply_to = s->mailbox};
	const char *why;

	a->l2 = l2_new(s->loop, s->resolver, &conf, &why);
	assert_true(run_until(s->loop, is_up, a));
}

static int
set_stage(void **state)
{
	struct stage *s = calloc(1, sizeof(*s));

	log_set_path("/dev/null");
	s->loop = loop_new();
	s->resolver = resolver_new(s->loop, NULL);
	s->crew = l2_crew_new(64 << 20);
	s->mailbox = mailbox_new(s->loop);
	s->local = purgelog_new();
	s->log = sharedlog_new(s->local);
	sharedlog_enter(s->log, 7, 1);
	sharedlog_settle(s->log, true);
	sharedlog_grant(s->log, clock_mono_ms() + 3600 * 1000, 0);
	redis_server_init(&s->server);
	redis_server_start(&s->server, NULL);
	open_l2(s, &s->a, TIMEOUT_MS);
	open_l2(s, &s->b, TIMEOUT_MS);
	open_l2(s, &s->c, TIMEOUT_MS);
	*state = s;
	return 0;
}

static int
strike_stage(void **state)
{
	struct stage *s = *state;
	struct actor *actors[] = {&s->a, &s->b, &s->c};

	for (int i = 0; i < 3; i++) {
		fetchlock_free(&actors[i]->lock);
		l2_free(&actors[i]->l2);
	}
	l2_crew_stop(s->crew);
	mailbox_free(&s->mailbox);
	l2_crew_free(&s->crew);
	sharedlog_free(&s->log);
	purgelog_free(&s->local);
	resolver_free(&s->resolver);
	redis_server_kill(&s->server);
	loop_free(&s->loop);
	free(s->text);
	free(s);
	return 0;
}

/* One command about the key on a line of its own; the number in its answer. */
static long long
redis_about(struct stage *s, const char *verb, struct slice key, const char *rest)
{
	struct sockaddr_in at = {.sin_family = AF_INET,
	    .sin_port = htons(s->server.port),
	    .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
	int fd = socket(AF_INET, SOCK_STREAM, 0);
	char line[512];
	int n = snprintf(line, sizeof(line), "%s %.*s %s\r\n", verb, SLICE_FMT(key), rest);
	ssize_t got;

	assert_int_equal(connect(fd, (struct sockaddr *)&at, sizeof(at)), 0);
	assert_int_equal(write(fd, line, (size_t)n), n);
	got = read(fd, line, sizeof(line) - 1);
	assert_true(got > 1);
	line[got] = '\0';
	assert_int_not_equal(line[0], '-');
	close(fd);
	return atoll(line + 1);
}

static long long
redis(struct stage *s, const char *verb, const char *rest)
{
	char name[L2_LOCK_BYTES];

	return redis_about(s, verb, l2_lock_name(s->c.l2, page.text, name), rest);
}

/* The lock's name has that of the value in braces. */
static long long
value_bytes(struct stage *s)
{
	char name[L2_LOCK_BYTES];
	struct slice value = l2_lock_name(s->c.l2, page.text, name);

	value = slice_skip(value, slice_index(value, '{') + 1);
	value.n--;
	return redis_about(s, "STRLEN", value, "");
}

static void
on_told(void *arg, enum fetchlock_end end)
{
	struct actor *a = arg;

	a->times++;
	a->end = end;
	if (a->then_free)
		fetchlock_free(&a->lock);
}

static bool
was_told(void *arg)
{
	return ((struct actor *)arg)->times > 0;
}

static void
ask(struct stage *s, struct actor *a, int64_t wait_ms)
{
	a->times = 0;
	a->lock = fetchlock_ask(a->l2, s->loop, &page, wait_ms, on_told, a);
	assert_non_null(a->lock);
	assert_int_equal(a->times, 0);
}

static void
expect(struct stage *s, struct actor *a, enum fetchlock_end end)
{
	assert_true(run_until(s->loop, was_told, a));
	assert_int_equal(a->times, 1);
	assert_int_equal(a->end, end);
}

static bool
is_let_go(void *arg)
{
	return redis(arg, "EXISTS", "") == 0;
}

static bool
is_taken(void *arg)
{
	return redis(arg, "EXISTS", "") == 1;
}

/* --- the play --- */

static void
one_fetches_and_the_others_are_told_when_it_is_over(void **state)
{
	struct stage *s = *state;

	ask(s, &s->a, WAIT_MS);
	expect(s, &s->a, FETCHLOCK_MINE);
	ask(s, &s->b, WAIT_MS);
	ask(s, &s->c, WAIT_MS);
	s->c.then_free = true;
	assert_true(run_until(s->loop, is_taken, s));
	assert_int_equal(s->b.times, 0);
	fetchlock_free(&s->a.lock);
	expect(s, &s->b, FETCHLOCK_OVER);
	expect(s, &s->c, FETCHLOCK_OVER);
	assert_int_equal(redis(s, "EXISTS", ""), 0);
}

/* What the others look for is there when the lock is gone, be it as long as it may. */
static void
the_lock_goes_behind_what_was_written(void **state)
{
	struct stage *s = *state;
	const size_t n = 800000;
	struct l2_stamp stamp = l2_stamp(s->a.l2);
	struct object *o;

	s->text = text_of(n, true);
	ask(s, &s->a, WAIT_MS);
	expect(s, &s->a, FETCHLOCK_MINE);
	o = response_of(page.text, SLICE_NONE, slice_of(s->text, n), loop_now_ms(s->loop));
	l2_put(s->a.l2, o, &stamp);
	object_unref(&o);
	fetchlock_free(&s->a.lock);
	ask(s, &s->b, WAIT_MS);
	expect(s, &s->b, FETCHLOCK_OVER);
	assert_true(value_bytes(s) > 0);
}

static void
a_response_that_is_not_for_all_sends_everybody_off(void **state)
{
	struct stage *s = *state;

	ask(s, &s->a, WAIT_MS);
	expect(s, &s->a, FETCHLOCK_MINE);
	ask(s, &s->b, WAIT_MS);
	fetchlock_disband(s->a.lock, WAIT_MS);
	expect(s, &s->b, FETCHLOCK_UNSHARED);
	fetchlock_free(&s->a.lock);
	ask(s, &s->c, WAIT_MS);
	expect(s, &s->c, FETCHLOCK_UNSHARED);
}

static void
nobody_waits_for_the_dead_longer_than_for_the_living(void **state)
{
	struct stage *s = *state;
	int64_t began_ms;

	ask(s, &s->a, WAIT_MS);
	expect(s, &s->a, FETCHLOCK_MINE);
	began_ms = loop_now_ms(s->loop);
	ask(s, &s->b, SHORT_MS);
	expect(s, &s->b, FETCHLOCK_NONE);
	assert_true(clock_mono_ms() - began_ms >= SHORT_MS);
}

/* Its fetch took longer than the lock stands: by now it is another's. */
static void
a_lock_that_is_anothers_by_now_is_left_alone(void **state)
{
	struct stage *s = *state;

	ask(s, &s->a, LOCK_MS);
	expect(s, &s->a, FETCHLOCK_MINE);
	assert_true(run_until(s->loop, is_let_go, s)); /* by its expiry */
	ask(s, &s->b, WAIT_MS);
	expect(s, &s->b, FETCHLOCK_MINE);
	fetchlock_free(&s->a.lock);
	ask(s, &s->a, WAIT_MS); /* on the same line, behind that */
	assert_true(run_until(s->loop, is_taken, s));
	fetchlock_free(&s->b.lock);
	expect(s, &s->a, FETCHLOCK_OVER);
}

static void
who_gives_up_while_he_asks_leaves_no_lock(void **state)
{
	struct stage *s = *state;

	redis_server_stop(&s->server);
	ask(s, &s->a, WAIT_MS);
	fetchlock_free(&s->a.lock);
	ask(s, &s->b, WAIT_MS);
	s->b.then_free = true;
	redis_server_continue(&s->server);
	assert_true(
	    run_until(s->loop, was_told, &s->b)); /* whichever of the two lines is read first */
	assert_true(s->b.end == FETCHLOCK_OVER || s->b.end == FETCHLOCK_MINE);
	assert_int_equal(s->a.times, 0);
	assert_true(run_until(s->loop, is_let_go, s));
}

static void
a_redis_that_answers_late_is_no_lock_and_leaves_none(void **state)
{
	struct stage *s = *state;

	l2_free(&s->a.l2);
	open_l2(s, &s->a, LATE_MS);
	redis_server_stop(&s->server);
	ask(s, &s->a, WAIT_MS);
	expect(s, &s->a, FETCHLOCK_NONE);
	fetchlock_free(&s->a.lock);
	redis_server_continue(&s->server);
	assert_true(run_until(s->loop, is_let_go, s));
	ask(s, &s->b, WAIT_MS);
	expect(s, &s->b, FETCHLOCK_MINE);
}

static void
a_redis_that_is_away_is_no_lock(void **state)
{
	struct stage *s = *state;

	ask(s, &s->a, WAIT_MS);
	expect(s, &s->a, FETCHLOCK_MINE);
	ask(s, &s->b, WAIT_MS);
	redis_server_kill(&s->server);
	expect(s, &s->b, FETCHLOCK_NONE);
	assert_null(fetchlock_ask(s->c.l2, s->loop, &page, WAIT_MS, on_told, &s->c));
}

static void
what_is_not_a_lock_is_none(void **state)
{
	struct stage *s = *state;

	redis(s, "RPUSH", "else");
	ask(s, &s->a, WAIT_MS);
	expect(s, &s->a, FETCHLOCK_NONE);
}

static void
a_tier_that_goes_takes_its_locks_along(void **state)
{
	struct stage *s = *state;

	ask(s, &s->a, WAIT_MS);
	expect(s, &s->a, FETCHLOCK_MINE);
	ask(s, &s->b, WAIT_MS);
	s->b.then_free = true;
	assert_true(run_until(s->loop, is_taken, s));
	l2_free(&s->b.l2); /* a reload */
	expect(s, &s->b, FETCHLOCK_NONE);
	l2_free(&s->a.l2);
	assert_int_equal(s->a.times, 1);
	fetchlock_free(&s->a.lock);
}

#define STAGED(f) cmocka_unit_test_setup_teardown(f, set_stage, strike_stage)

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    STAGED(one_fetches_and_the_others_are_told_when_it_is_over),
	    STAGED(the_lock_goes_behind_what_was_written),
	    STAGED(a_response_that_is_not_for_all_sends_everybody_off),
	    STAGED(nobody_waits_for_the_dead_longer_than_for_the_living),
	    STAGED(a_lock_that_is_anothers_by_now_is_left_alone),
	    STAGED(who_gives_up_while_he_asks_leaves_no_lock),
	    STAGED(a_redis_that_answers_late_is_no_lock_and_leaves_none),
	    STAGED(a_redis_that_is_away_is_no_lock),
	    STAGED(what_is_not_a_lock_is_none),
	    STAGED(a_tier_that_goes_takes_its_locks_along),
	};

	return cmocka_run_group_tests_name("cache/fetchlock", tests, NULL, NULL);
}
