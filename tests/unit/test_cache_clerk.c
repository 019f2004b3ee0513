/* LINK: cache/clerk cache/clerk_talk cache/clerk_follow cache/logscript cache/logbook cache/journal cache/sharedlog cache/purgelog cache/key cache/object cache/body cache/slab event/redisnet event/redisnet_call event/redisnet_node event/redisnet_map event/redisnode event/redisscout event/rediscluster event/redisio event/tlsclient event/tls event/tlscontext event/drain event/redisreply event/redisurl event/resolver event/stream event/mailbox event/loop base/clock base/buf base/mem base/log base/hash */
#include "cache/clerk.h"

#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <string.h>
#include <sys/stat.h>

#include <cmocka.h>

#include "base/log.h"
#include "redis_server.h"

#define LOG "{test}:log"
/* docs/invalidation.md names these. */
#define RIGHTS                                                                               \
	"-@all +@connection +eval +time +info +xadd +xread +xrange +del +hset +hget +hmget " \
	"+hdel +hvals +expire +zadd +zrem +zscore +zrangebyscore"

struct instance {
	struct purgelog *local;
	struct clerk *clerk;
	char state_dir[64];
};

/* The cast: a Redis, and two instances with clerks of their own; the loop is that of whoever waits. */
struct stage {
	struct loop *loop;
	struct mailbox *mailbox;
	struct redis_server server;
	char dir[64];
	struct instance a, b;
};

static const char log_path[] = "/tmp/forebay-test-cache-clerk.log";
static const struct slice page = {"http://a.test/page", 18}, other = {"http://a.test/other", 19};

/* --- the stage --- */

static void
instance_init(struct instance *i)
{
	i->local = purgelog_new();
	i->clerk = clerk_new(i->local);
	snprintf(i->state_dir, sizeof(i->state_dir), "/tmp/forebay-test-clerk-XXXXXX");
	assert_non_null(mkdtemp(i->state_dir));
}

static void
use(struct stage *s, struct instance *i, const char *url, bool is_strict, bool has_journal)
{
	const struct clerk_conf conf = {.url = url,
	    .prefix = "test",
	    .state_dir = has_journal ? i->state_dir : NULL,
	    .is_strict = is_strict,
	    .timeout_ms = 100};
	const char *why;

	assert_int_equal(clerk_use(i->clerk, &conf, &why), 0);
}

static void
instance_end(struct instance *i)
{
	char path[128];

	clerk_free(&i->clerk);
	purgelog_free(&i->local);
	snprintf(path, sizeof(path), "%s/purges.journal", i->state_dir);
	unlink(path);
	rmdir(i->state_dir);
}

static struct clerk_status
status(struct instance *i)
{
	struct clerk_status st;

	clerk_status(i->clerk, &st);
	return st;
}

static bool
is_connected(void *arg)
{
	return status(arg).state == CLERK_connected;
}

static bool
is_away(void *arg)
{
	return status(arg).state == CLERK_away;
}

static bool
has_told_all(void *arg)
{
	return status(arg).metrics.pending == 0;
}

static bool
is_in_second_epoch(void *arg)
{
	return status(arg).metrics.epochs == 2 && is_connected(arg);
}

static void
await(struct stage *s, bool (*is_so)(void *arg), struct instance *i)
{
	assert_true(run_until(s->loop, is_so, i));
}

static int
set_stage(void **state)
{
	struct stage *s = calloc(1, sizeof(*s));

	s->loop = loop_new();
	s->mailbox = mailbox_new(s->loop);
	redis_server_init(&s->server);
	snprintf(s->dir, sizeof(s->dir), "/tmp/forebay-test-redis-XXXXXX");
	assert_non_null(mkdtemp(s->dir));
	unlink(log_path);
	log_set_path(log_path);
	instance_init(&s->a);
	instance_init(&s->b);
	*state = s;
	return 0;
}

static void
start_redis(struct stage *s)
{
	redis_server_start(&s->server, (const char *const[]){"--dir", s->dir, NULL});
}

static int
set_stage_with_redis(void **state)
{
	struct stage *s;

	set_stage(state);
	s = *state;
	start_redis(s);
	use(s, &s->a, s->server.url, false, true);
	await(s, is_connected, &s->a);
	use(s, &s->b, s->server.url, false, true);
	await(s, is_connected, &s->b);
	return 0;
}

static int
strike_stage(void **state)
{
	struct stage *s = *state;
	char path[128];

	instance_end(&s->a);
	instance_end(&s->b);
	mailbox_free(&s->mailbox);
	redis_server_kill(&s->server);
	snprintf(path, sizeof(path), "%s/dump.rdb", s->dir);
	unlink(path);
	rmdir(s->dir);
	loop_free(&s->loop);
	log_set_path(NULL);
	unlink(log_path);
	free(s);
	return 0;
}

/* One command, its words parted by blanks; the first line of the answer, or the number in it. */
static long long
redis(struct stage *s, const char *command)
{
	struct sockaddr_in at = {.sin_family = AF_INET,
	    .sin_port = htons(s->server.port),
	    .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
	int fd = socket(AF_INET, SOCK_STREAM, 0);
	char line[512];
	ssize_t n;

	while (connect(fd, (struct sockaddr *)&at, sizeof(at)) != 0)
		usleep(1000); /* it is being started */
	assert_int_equal(write(fd, command, strlen(command)), strlen(command));
	assert_int_equal(write(fd, "\r\n", 2), 2);
	n = read(fd, line, sizeof(line) - 1);
	assert_true(n > 1);
	line[n] = '\0';
	if (line[0] == '-')
		fail_msg("%s: %s", command, line);
	close(fd);
	return atoll(line + 1);
}

static unsigned
log_lines_with(const char *text)
{
	char log[65536] = "";
	int fd = open(log_path, O_RDONLY);
	unsigned n = 0;

	if (fd >= 0 && read(fd, log, sizeof(log) - 1) < 0)
		abort();
	close(fd);
	for (const char *p = log; (p = strstr(p, text)) != NULL; p++)
		n++;
	return n;
}

/* --- purging and waiting --- */

struct waiter {
	struct clerk_wait wait;
	bool is_done;
	enum purge_level level;
};

static void
on_done(struct clerk_wait *w)
{
	struct waiter *waiter = CONTAINER_OF(w, struct waiter, wait);

	waiter->is_done = true;
	waiter->level = w->level;
}

static bool
is_done(void *arg)
{
	return ((struct waiter *)arg)->is_done;
}

static uint64_t
take(struct instance *i, const char *url)
{
	struct purge p = {.kind = PURGE_EXACT, .what = slice_from(url)};

	return clerk_take(i->clerk, &p, 1);
}

static void
wait_for(struct stage *s, struct instance *i, uint64_t serial, bool is_everywhere, struct waiter *w)
{
	*w = (struct waiter){.wait = {.serial = serial,
				 .is_everywhere = is_everywhere,
				 .reply_to = s->mailbox,
				 .done = on_done}};
	clerk_await(i->clerk, &w->wait);
}

static enum purge_level
purge(struct stage *s, struct instance *i, const char *url, bool is_everywhere)
{
	struct waiter w;

	wait_for(s, i, take(i, url), is_everywhere, &w);
	assert_true(run_until(s->loop, is_done, &w));
	return w.level;
}

static enum purge_verdict
judged(struct instance *i, struct slice key)
{
	return purgelog_judge_parts(i->local, key, SLICE_NONE, 0);
}

static bool
page_is_purged(void *arg)
{
	return judged(arg, page) == PURGE_GONE;
}

static off_t
journal_bytes(struct instance *i)
{
	char path[128];
	struct stat st;

	snprintf(path, sizeof(path), "%s/purges.journal", i->state_dir);
	return stat(path, &st) == 0 ? st.st_size : -1;
}

static bool
journal_is_written(void *arg)
{
	return journal_bytes(arg) > 0;
}

static bool
journal_is_emptied(void *arg)
{
	return journal_bytes(arg) == 0;
}

/* --- the play --- */

static void
a_purge_of_one_holds_at_the_other_when_it_is_everywhere(void **state)
{
	struct stage *s = *state;

	redis(s, "HSET " LOG ":state run_at 0 epoch_at 0"); /* the log is not of today */
	assert_int_equal(purge(s, &s->a, "/page", true), PURGE_EVERYWHERE);
	assert_int_equal(judged(&s->b, page), PURGE_GONE);
	assert_int_equal(judged(&s->b, other), PURGE_VALID);
	assert_int_equal(status(&s->b).metrics.received, 1);
	assert_int_equal(status(&s->a).metrics.received, 0);
}

static void
it_holds_here_at_once_and_is_appended_soon(void **state)
{
	struct stage *s = *state;
	uint64_t serial = take(&s->a, "/page");
	struct waiter w;

	assert_int_equal(judged(&s->a, page), PURGE_GONE);
	wait_for(s, &s->a, serial, false, &w);
	assert_true(run_until(s->loop, is_done, &w));
	assert_int_equal(w.level, PURGE_APPENDED);
	assert_int_equal(redis(s, "XLEN " LOG), 1);
	await(s, page_is_purged, &s->b);
}

static void
nothing_is_confirmed_while_nobody_knows_who_holds_a_lease(void **state)
{
	struct stage *s = *state;
	int64_t began_ms = clock_mono_ms();

	assert_int_equal(purge(s, &s->a, "/page", true), PURGE_EVERYWHERE);
	assert_true(clock_mono_ms() - began_ms > LEASE_MS / 2); /* the log is as old as the stage */
}

static void
without_redis_a_purge_holds_here(void **state)
{
	struct stage *s = *state;

	assert_int_equal(purge(s, &s->a, "/page", true), PURGE_HERE);
	assert_int_equal(judged(&s->a, page), PURGE_GONE);
	assert_true(clerk_may_answer(s->a.clerk));
	assert_int_equal(status(&s->a).state, CLERK_off);
}

static void
what_redis_does_not_take_is_journalled_and_told_later(void **state)
{
	struct stage *s = *state;

	redis_server_kill(&s->server);
	await(s, is_away, &s->a);
	assert_int_equal(purge(s, &s->a, "/page", false), PURGE_JOURNALLED);
	assert_true(journal_bytes(&s->a) > 0);
	start_redis(s);
	await(s, has_told_all, &s->a);
	await(s, journal_is_emptied, &s->a);
	await(s, page_is_purged, &s->b);
}

static void
a_redis_that_hangs_is_waited_for_no_longer_than_the_time_out(void **state)
{
	struct stage *s = *state;

	redis_server_stop(&s->server);
	assert_int_equal(purge(s, &s->a, "/page", false), PURGE_JOURNALLED);
	redis_server_continue(&s->server);
	await(s, has_told_all, &s->a);
	await(s, page_is_purged, &s->b);
}

static void
without_a_journal_it_is_only_here(void **state)
{
	struct stage *s = *state;

	use(s, &s->a, s->server.url, false, false); /* nobody listens there */
	assert_int_equal(purge(s, &s->a, "/page", false), PURGE_HERE);
	start_redis(s);
	await(s, has_told_all, &s->a);
	assert_int_equal(redis(s, "XLEN " LOG), 1);
}

static void
the_next_process_purges_and_tells_what_is_in_the_journal(void **state)
{
	struct stage *s = *state;

	use(s, &s->a, s->server.url, false, true);
	take(&s->a, "/page");
	await(s, journal_is_written, &s->a);
	clerk_free(&s->a.clerk);
	purgelog_free(&s->a.local);
	s->a.local = purgelog_new();
	s->a.clerk = clerk_new(s->a.local);
	use(s, &s->a, s->server.url, false, true);
	assert_int_equal(judged(&s->a, page), PURGE_GONE);
	start_redis(s);
	await(s, has_told_all, &s->a);
	assert_int_equal(redis(s, "XLEN " LOG), 1);
	await(s, journal_is_emptied, &s->a);
}

static void
a_flushed_redis_is_told_again_once_and_memory_is_kept(void **state)
{
	struct stage *s = *state;

	purge(s, &s->a, "/page", false);
	purge(s, &s->b, "/else", false);
	await(s, page_is_purged, &s->b);
	redis(s, "FLUSHALL");
	await(s, is_in_second_epoch, &s->a);
	await(s, is_in_second_epoch, &s->b);
	assert_int_equal(redis(s, "XLEN " LOG), 2);
	assert_int_equal(status(&s->a).metrics.dropped, 0);
	assert_int_equal(judged(&s->a, other), PURGE_VALID);
	assert_int_equal(status(&s->a).epoch, status(&s->b).epoch);
	purge(s, &s->b, "/other", false);
	assert_int_equal(redis(s, "XLEN " LOG), 3);
}

/* The dump is from before the purge; then others go on, so that the numbers are as high as before. */
static void
a_redis_restarted_with_an_older_dump_is_found_out(void **state)
{
	struct stage *s = *state;

	purge(s, &s->a, "/first", false);
	redis(s, "SAVE");
	purge(s, &s->a, "/page", false);
	await(s, page_is_purged, &s->b);
	redis_server_kill(&s->server);
	await(s, is_away, &s->b);
	start_redis(s);
	await(s, is_in_second_epoch, &s->a);
	await(s, is_in_second_epoch, &s->b);
	assert_int_equal(redis(s, "XLEN " LOG), 2);
}

static void
an_entry_in_the_place_of_ours_is_found_out(void **state)
{
	struct stage *s = *state;

	purge(s, &s->a, "/page", false);
	await(s, page_is_purged, &s->b);
	redis(s, "DEL " LOG);
	redis(s, "XADD " LOG " 1-0 e 0 c 1 i 2 s 1 k uh w /stranger");
	await(s, is_in_second_epoch, &s->a);
	await(s, is_in_second_epoch, &s->b);
	assert_int_equal(redis(s, "XLEN " LOG), 1);
}

static void
strict_begins_anew_with_every_run_of_redis(void **state)
{
	struct stage *s = *state;

	use(s, &s->a, s->server.url, true, true);
	await(s, is_connected, &s->a);
	redis(s, "SAVE");
	redis_server_kill(&s->server);
	await(s, is_away, &s->a);
	while (clerk_may_answer(s->a.clerk))
		usleep(1000);
	start_redis(s);
	await(s, is_connected, &s->a);
	assert_true(clerk_may_answer(s->a.clerk));
	assert_int_equal(judged(&s->a, page), PURGE_GONE); /* it was not there all the time */
	assert_true(status(&s->a).metrics.dropped > 0);
}

static void
who_comes_after_the_log_was_trimmed_purges_everything(void **state)
{
	struct stage *s = *state;
	uint64_t head;

	purge(s, &s->a, "/first", false);
	redis(s, "XTRIM " LOG " MAXLEN 0");
	clerk_free(&s->b.clerk);
	s->b.clerk = clerk_new(s->b.local);
	head = purgelog_head(s->b.local);
	use(s, &s->b, s->server.url, false, true);
	await(s, is_connected, &s->b);
	assert_int_equal(purgelog_judge_parts(s->b.local, other, SLICE_NONE, head), PURGE_GONE);
}

static void
a_connection_that_is_cut_costs_nothing(void **state)
{
	struct stage *s = *state;

	purge(s, &s->a, "/else", false);
	redis(s, "CLIENT KILL TYPE normal SKIPME yes");
	purge(s, &s->a, "/page", false);
	await(s, has_told_all, &s->a);
	await(s, page_is_purged, &s->b);
	await(s, is_connected, &s->b);
	assert_int_equal(status(&s->b).metrics.epochs, 1);
	assert_int_equal(status(&s->b).metrics.dropped, 0);
	assert_int_equal(redis(s, "XLEN " LOG), 2);
}

static long long
intents_of(struct stage *s, struct instance *i)
{
	char command[96];

	snprintf(command, sizeof(command), "HLEN " LOG ":intents:%016llx",
	    (unsigned long long)sharedlog_instance(clerk_log(i->clerk)));
	return redis(s, command);
}

static void
an_intent_goes_with_its_write_or_with_its_purge(void **state)
{
	struct stage *s = *state;
	struct purge p = {.kind = PURGE_TAG, .what = SLICE_LIT("x")};
	struct clerk_intent *dropped = clerk_intent(s->a.clerk, &p, 1);
	struct clerk_intent *purged = clerk_intent(s->a.clerk, &p, 1);

	purge(s, &s->a, "/else", false); /* behind them in the clerk's mail */
	assert_int_equal(intents_of(s, &s->a), 2);
	clerk_intent_end(s->a.clerk, &dropped, 0);
	clerk_intent_end(s->a.clerk, &purged, clerk_take(s->a.clerk, &p, 1));
	purge(s, &s->a, "/else", false);
	purge(s, &s->a, "/else", false);
	assert_int_equal(intents_of(s, &s->a), 0);
}

static void
the_rights_that_are_documented_suffice(void **state)
{
	struct stage *s = *state;
	char url[128];

	start_redis(s);
	redis(s, "ACL SETUSER forebay on >secret ~{test}:* " RIGHTS);
	snprintf(url, sizeof(url), "redis://forebay:secret@127.0.0.1:%u/0", s->server.port);
	use(s, &s->a, url, true, true);
	await(s, is_connected, &s->a);
	assert_int_equal(purge(s, &s->a, "/page", true), PURGE_EVERYWHERE);
	assert_int_equal(log_lines_with("refused"), 0);
}

static void
an_eviction_policy_that_loses_the_log_is_told_once(void **state)
{
	struct stage *s = *state;

	start_redis(s);
	redis(s, "CONFIG SET maxmemory 100mb");
	redis(s, "CONFIG SET maxmemory-policy allkeys-lru");
	use(s, &s->a, s->server.url, false, false);
	await(s, is_connected, &s->a);
	purge(s, &s->a, "/page", false);
	redis(s, "CLIENT KILL TYPE normal SKIPME yes");
	await(s, is_away, &s->a);
	await(s, is_connected, &s->a);
	purge(s, &s->a, "/page", false);
	assert_int_equal(log_lines_with("may evict " LOG), 1);
}

static void
who_stops_answers_all_who_wait_and_gives_its_lease_back(void **state)
{
	struct stage *s = *state;
	struct waiter w[3];

	for (int i = 0; i < 3; i++)
		wait_for(s, &s->a, take(&s->a, "/page"), true, &w[i]);
	clerk_stop(s->a.clerk);
	for (int i = 0; i < 3; i++)
		assert_true(run_until(s->loop, is_done, &w[i]));
	assert_true(w[2].level >= PURGE_APPENDED);
	assert_int_equal(redis(s, "ZCARD " LOG ":leases"), 1);
	assert_int_equal(purge(s, &s->a, "/page", true), PURGE_HERE);
}

#define STAGED(f) cmocka_unit_test_setup_teardown(f, set_stage, strike_stage)
#define WITH_REDIS(f) cmocka_unit_test_setup_teardown(f, set_stage_with_redis, strike_stage)

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    WITH_REDIS(a_purge_of_one_holds_at_the_other_when_it_is_everywhere),
	    WITH_REDIS(it_holds_here_at_once_and_is_appended_soon),
	    WITH_REDIS(nothing_is_confirmed_while_nobody_knows_who_holds_a_lease),
	    STAGED(without_redis_a_purge_holds_here),
	    WITH_REDIS(what_redis_does_not_take_is_journalled_and_told_later),
	    WITH_REDIS(a_redis_that_hangs_is_waited_for_no_longer_than_the_time_out),
	    STAGED(without_a_journal_it_is_only_here),
	    STAGED(the_next_process_purges_and_tells_what_is_in_the_journal),
	    WITH_REDIS(a_flushed_redis_is_told_again_once_and_memory_is_kept),
	    WITH_REDIS(a_redis_restarted_with_an_older_dump_is_found_out),
	    WITH_REDIS(an_entry_in_the_place_of_ours_is_found_out),
	    WITH_REDIS(strict_begins_anew_with_every_run_of_redis),
	    WITH_REDIS(who_comes_after_the_log_was_trimmed_purges_everything),
	    WITH_REDIS(a_connection_that_is_cut_costs_nothing),
	    WITH_REDIS(an_intent_goes_with_its_write_or_with_its_purge),
	    STAGED(the_rights_that_are_documented_suffice),
	    STAGED(an_eviction_policy_that_loses_the_log_is_told_once),
	    WITH_REDIS(who_stops_answers_all_who_wait_and_gives_its_lease_back),
	};

	return cmocka_run_group_tests_name("cache/clerk", tests, NULL, NULL);
}
