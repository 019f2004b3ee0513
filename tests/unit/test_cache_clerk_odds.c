/* LINK: cache/clerk cache/clerk_wait cache/clerk_intent cache/clerk_talk cache/clerk_follow cache/logscript cache/logbook cache/journal cache/sharedlog cache/purgelog cache/key cache/object cache/body cache/slab event/redisnet event/redisnet_call event/redisnet_node event/redisnet_map event/redisnode event/redisscout event/rediscluster event/redisio event/redisio_connect event/redisoutbox event/tlsclient event/tls event/tlsgreet event/tlssocket event/tlsstate event/tlswrite event/tlscontext event/tlsidentity event/tlstickets event/fileprint event/drain event/redisreply event/redisurl event/resolver event/address event/srvanswer event/lookup event/stream event/mailbox event/loop base/clock base/buf base/mem base/thread base/log base/hash */
/* What a Redis may do that the clerk does not expect of it: refuse, forget, hold what is not ours, have its clock set. */
#include "cache/clerk.h"

#include <malloc.h>

#include "clerk_stage.h"

#define NEVER "9999999999999" /* ms since 1970: the year 2286 */
#define LONG_AGO_MANY 5500    /* purges: more than are told again */

struct moment {
	int64_t at_ms;
};

static bool
has_come(void *arg)
{
	return clock_mono_ms() >= ((struct moment *)arg)->at_ms;
}

static void
let_pass(struct stage *s, int64_t ms)
{
	struct moment m = {clock_mono_ms() + ms};

	assert_true(run_until(s->loop, has_come, &m));
}

/* The number behind "name:" in INFO. */
static long long
info(struct stage *s, const char *name)
{
	struct sockaddr_in at = {.sin_family = AF_INET,
	    .sin_port = htons(s->server.port),
	    .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
	int fd = socket(AF_INET, SOCK_STREAM, 0);
	char text[16384] = "";
	size_t n = 0;
	ssize_t got;

	assert_int_equal(connect(fd, (struct sockaddr *)&at, sizeof(at)), 0);
	assert_int_equal(write(fd, "INFO stats\r\nQUIT\r\n", 18), 18);
	while ((got = read(fd, text + n, sizeof(text) - 1 - n)) > 0)
		n += (size_t)got;
	close(fd);
	assert_non_null(strstr(text, name));
	return atoll(strstr(text, name) + strlen(name) + 1);
}

/* So many purges, all of them told. */
static void
purge_many(struct stage *s, struct instance *i, unsigned count)
{
	char url[32];

	for (unsigned k = 0; k < count; k++) {
		snprintf(url, sizeof(url), "/many/%u", k);
		take(i, url);
		if (k % 500 == 499)
			await(s, has_told_all, i);
	}
	await(s, has_told_all, i);
}

static uint64_t epoch_before;

static bool
is_in_another_epoch(void *arg)
{
	return status(arg).epoch != epoch_before && is_connected(arg);
}

static bool
has_applied_one(void *arg)
{
	return status(arg).metrics.applied == 1;
}

static bool
has_applied_two(void *arg)
{
	return status(arg).metrics.applied == 2;
}

static bool
has_applied_four(void *arg)
{
	return status(arg).metrics.applied == 4;
}

static void
writes_while_redis_is_away_leave_nothing_behind(void **state)
{
	struct stage *s = *state;
	struct purge p = {.kind = PURGE_TAG, .what = SLICE_LIT("x")};
	size_t before;

	redis_server_kill(&s->server);
	await(s, is_away, &s->a);
	purge(s, &s->a, "/page", false);
	before = mallinfo2().uordblks;
	for (int k = 0; k < 20000; k++) {
		struct clerk_intent *i = clerk_intent(s->a.clerk, &p, 1);

		clerk_intent_end(s->a.clerk, &i, clerk_take(s->a.clerk, &p, 1));
	}
	purge(s, &s->a, "/page", false); /* behind them in the clerk's mail */
	assert_true(mallinfo2().uordblks < before + (1 << 20));
}

/* What Redis refuses is told as noted: only its death would show. */
static void
writes_while_redis_refuses_leave_little_behind(void **state)
{
	struct stage *s = *state;
	struct purge p = {.kind = PURGE_TAG, .what = SLICE_LIT("x")};
	size_t before;

	s->a.timeout_ms = SHORT_MS;
	use(s, &s->a, s->server.url, false, true);
	await(s, is_connected, &s->a);
	redis(s, "CONFIG SET maxmemory 1");
	purge(s, &s->a, "/page", false);
	before = mallinfo2().uordblks;
	for (int k = 0; k < 40000; k++) {
		struct clerk_intent *i = clerk_intent(s->a.clerk, &p, 1);

		clerk_intent_end(s->a.clerk, &i, clerk_take(s->a.clerk, &p, 1));
		if (k % 200 == 0)
			purge(s, &s->a, "/page", false);
	}
	purge(s, &s->a, "/page", false);
	assert_true(mallinfo2().uordblks < before + (4 << 20));
	redis(s, "CONFIG SET maxmemory 0");
	await(s, has_told_all, &s->a);
}

static void
an_intent_may_be_longer_than_a_command(void **state)
{
	struct stage *s = *state;
	struct purge items[40];
	char text[1000];
	struct clerk_intent *intent;

	memset(text, 'x', sizeof(text));
	for (int k = 0; k < 40; k++)
		items[k] = (struct purge){.kind = PURGE_TAG, .what = slice_of(text, sizeof(text))};
	intent = clerk_intent(s->a.clerk, items, 40);
	purge_told(s, &s->a, "/else"); /* behind it in the clerk's mail */
	assert_int_equal(intents_of(s, &s->a), 40);
	clerk_intent_end(s->a.clerk, &intent, 0);
	purge_told(s, &s->a, "/else");
	assert_int_equal(intents_of(s, &s->a), 0);
}

static bool
was_refused(void *arg)
{
	return log_lines_with("refused") > 0;
}

static void
a_log_that_may_not_be_read_is_not_asked_without_end(void **state)
{
	struct stage *s = *state;
	long long connections;
	char url[128];

	start_redis(s);
	redis(s, "ACL SETUSER forebay on >secret ~* +@all -xread");
	snprintf(url, sizeof(url), "redis://forebay:secret@127.0.0.1:%u/0", s->server.port);
	connections = info(s, "total_connections_received");
	use(s, &s->a, url, false, true);
	await(s, was_refused, &s->a);
	let_pass(s, 2000);
	assert_true(info(s, "total_connections_received") - connections < 20);
	assert_int_equal(log_lines_with("refused"), 1);
	redis(s, "ACL SETUSER forebay +xread");
	purge_everywhere(s, &s->a, "/page");
	await(s, is_connected, &s->a);
}

static bool
has_dropped_all_since(struct instance *i, uint64_t head)
{
	return purgelog_judge_parts(i->local, other, SLICE_NONE, head) == PURGE_GONE;
}

/* Who has read it drops what it has; who was slower finds the next epoch, and hears there of all that was known. */
static void
an_entry_that_nobody_understands_ends_the_epoch(void **state)
{
	struct stage *s = *state;
	uint64_t head_of_a = purgelog_head(s->a.local), head_of_b = purgelog_head(s->b.local);

	purge_told(s, &s->a, "/page");
	await(s, page_is_purged, &s->b);
	redis(s, "XADD " LOG " * what ever");
	await(s, is_in_second_epoch, &s->a);
	await(s, is_in_second_epoch, &s->b);
	assert_true(
	    has_dropped_all_since(&s->a, head_of_a) || has_dropped_all_since(&s->b, head_of_b));
	purge_told(s, &s->a, "/more");
	assert_entries(s, 2);
}

static bool
tag_is_purged(void *arg)
{
	struct instance *i = arg;

	return purgelog_judge_parts(i->local, other, slice_of("gone", 5), 0) == PURGE_GONE;
}

/* The others' book does not reach back to where he stopped hearing, and only they know. */
static void
who_is_back_first_does_not_vouch_for_what_he_has_missed(void **state)
{
	struct stage *s = *state;
	char url[128];

	redis(s, "ACL SETUSER a on >secret ~* +@all");
	redis(s, "ACL SETUSER b on >secret ~* +@all");
	snprintf(url, sizeof(url), "redis://a:secret@127.0.0.1:%u/0", s->server.port);
	use(s, &s->a, url, false, true);
	snprintf(url, sizeof(url), "redis://b:secret@127.0.0.1:%u/0", s->server.port);
	use(s, &s->b, url, false, true);
	await(s, is_connected, &s->a);
	await(s, is_connected, &s->b);
	redis(s, "ACL SETUSER a off");
	redis(s, "CLIENT KILL USER a");
	await(s, is_away, &s->a);
	clerk_take(s->b.clerk, &(struct purge){.kind = PURGE_TAG, .what = SLICE_LIT("gone")}, 1);
	purge_many(s, &s->b, LONG_AGO_MANY);
	redis(s, "ACL SETUSER b off");
	redis(s, "CLIENT KILL USER b");
	await(s, is_away, &s->b);
	redis(s, "FLUSHALL");
	epoch_before = status(&s->a).epoch;
	redis(s, "ACL SETUSER a on");
	await(s, is_in_another_epoch, &s->a);
	redis(s, "ACL SETUSER b on");
	await(s, is_connected, &s->b);
	await(s, tag_is_purged, &s->a);
}

static void
a_clock_of_redis_that_was_set_back_holds_nobody_up(void **state)
{
	struct stage *s = *state;

	redis(s, "HSET " LOG ":state run_at " NEVER " epoch_at " NEVER);
	redis(s, "ZADD " LOG ":leases " NEVER " dead");
	clerk_free(&s->b.clerk);
	s->b.clerk = clerk_new(s->b.local);
	use(s, &s->b, s->server.url, false, true);
	await(s, is_connected, &s->b);
	purge_everywhere(s, &s->a, "/else");
	purge_everywhere(s, &s->a, "/page");
}

/* While Redis was away its clock was set back: the epoch looks younger than the run. */
static void
strict_begins_anew_with_a_run_whatever_its_clock_says(void **state)
{
	struct stage *s = *state;

	use(s, &s->a, s->server.url, true, true);
	await(s, is_connected, &s->a);
	redis(s, "HSET " LOG ":state epoch_at " NEVER);
	redis(s, "SAVE");
	redis_server_kill(&s->server);
	await(s, is_away, &s->a);
	epoch_before = status(&s->a).epoch;
	start_redis(s);
	await(s, is_in_another_epoch, &s->a);
}

static struct l2_stamp last_stamp;

static bool
is_stamped(void *arg)
{
	last_stamp = sharedlog_stamp(clerk_log(((struct instance *)arg)->clerk), clock_mono_ms());
	return last_stamp.epoch != 0;
}

/* As a fetch notes it: while the lease is held, which ends where this process is stopped for longer. */
static struct l2_stamp
stamp(struct stage *s)
{
	await(s, is_stamped, &s->a);
	return last_stamp;
}

struct value {
	struct instance *instance;
	const struct l2_stamp *stamp;
	struct slice key;
};

static bool
is_good(void *arg)
{
	struct value *v = arg;
	uint64_t pos;

	return sharedlog_judge(
	    clerk_log(v->instance->clerk), v->stamp, v->key, SLICE_NONE, clock_mono_ms(), &pos);
}

static void
assert_is_good(struct stage *s, const struct l2_stamp *of, struct slice key)
{
	assert_true(run_until(s->loop, is_good, &(struct value){&s->a, of, key}));
}

/* Everybody dies who knew of the entries that a crash of Redis took away; what was fetched by then may lie elsewhere (a Redis for values, a
 * snapshot of memory). The numbers it names are others' now. */
static void
what_names_numbers_that_a_crash_took_away_is_not_used(void **state)
{
	struct stage *s = *state;
	struct l2_stamp lost, kept;
	uint64_t pos;

	purge_told(s, &s->a, "/first");
	await(s, has_applied_one, &s->a);
	await(s, is_connected, &s->a);
	kept = stamp(s);
	redis(s, "SAVE");
	for (int i = 0; i < 3; i++)
		purge_told(s, &s->a, "/lost");
	await(s, has_applied_four, &s->a);
	await(s, is_connected, &s->a);
	lost = stamp(s);
	assert_int_equal(lost.epoch, kept.epoch);
	clerk_free(&s->a.clerk);
	clerk_free(&s->b.clerk);
	redis_server_kill(&s->server);
	start_redis(s);
	s->a.clerk = clerk_new(s->a.local);
	use(s, &s->a, s->server.url, false, true);
	await(s, is_connected, &s->a);
	assert_int_equal(status(&s->a).epoch, kept.epoch);
	purge_told(s, &s->a, "/page");
	await(s, has_applied_two, &s->a);
	stamp(s); /* a lease is held */
	assert_false(
	    sharedlog_judge(clerk_log(s->a.clerk), &lost, page, SLICE_NONE, clock_mono_ms(), &pos));
	assert_false(
	    sharedlog_judge(clerk_log(s->a.clerk), &kept, page, SLICE_NONE, clock_mono_ms(), &pos));
	assert_is_good(s, &kept, other);
	kept = stamp(s);
	assert_is_good(s, &kept, page);
}

static void
the_same_redis_with_other_settings_costs_nothing(void **state)
{
	struct stage *s = *state;
	uint64_t head;

	purge_many(s, &s->a, LONG_AGO_MANY);
	await(s, is_connected, &s->b);
	purge_told(s, &s->a, "/page");
	await(s, page_is_purged, &s->b);
	head = purgelog_head(s->b.local);
	use(s, &s->a, s->server.url, false, false);
	await(s, is_connected, &s->a);
	purge_everywhere(s, &s->a, "/more");
	assert_int_equal(purgelog_judge_parts(s->b.local, other, SLICE_NONE, head), PURGE_VALID);
	assert_int_equal(purgelog_judge_parts(s->a.local, other, SLICE_NONE, head), PURGE_VALID);
	assert_int_equal(status(&s->a).metrics.epochs, 1);
}

static bool
has_received_one(void *arg)
{
	return status(arg).metrics.received == 1;
}

static void
the_intents_of_the_dead_are_told_again_once(void **state)
{
	struct stage *s = *state;

	redis(s, "HSET " LOG ":intents:00000000000000ab 1.0 uh/page");
	redis(s, "ZADD " LOG ":leases 1 00000000000000ab");
	await(s, has_received_one, &s->a);
	await(s, has_received_one, &s->b);
	assert_int_equal(judged(&s->a, page), PURGE_GONE);
	assert_entries(s, 1);
	redis(s, "FLUSHALL");
	await(s, is_in_second_epoch, &s->a);
	await(s, is_in_second_epoch, &s->b);
	purge_told(s, &s->a, "/more");
	purge_told(s, &s->b, "/more");
	assert_entries(s, 3);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    WITH_REDIS(writes_while_redis_is_away_leave_nothing_behind),
	    WITH_REDIS(writes_while_redis_refuses_leave_little_behind),
	    WITH_REDIS(an_intent_may_be_longer_than_a_command),
	    STAGED(a_log_that_may_not_be_read_is_not_asked_without_end),
	    WITH_REDIS(an_entry_that_nobody_understands_ends_the_epoch),
	    WITH_REDIS(who_is_back_first_does_not_vouch_for_what_he_has_missed),
	    WITH_REDIS(a_clock_of_redis_that_was_set_back_holds_nobody_up),
	    WITH_REDIS(strict_begins_anew_with_a_run_whatever_its_clock_says),
	    WITH_REDIS(what_names_numbers_that_a_crash_took_away_is_not_used),
	    WITH_REDIS(the_same_redis_with_other_settings_costs_nothing),
	    WITH_REDIS(the_intents_of_the_dead_are_told_again_once),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
