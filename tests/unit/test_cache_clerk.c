/* LINK: cache/clerk cache/clerk_wait cache/clerk_intent cache/clerk_talk cache/clerk_follow cache/logscript cache/logbook cache/journal cache/sharedlog cache/purgelog cache/key cache/object cache/body cache/slab event/redisnet event/redisnet_call event/redisnet_node event/redisnet_map event/redisnode event/redisscout event/rediscluster event/redisio event/redisio_connect event/redisoutbox event/tlsclient event/tls event/tlsgreet event/tlssocket event/tlsstate event/tlswrite event/tlscontext event/tlsidentity event/tlstickets event/fileprint event/drain event/redisreply event/redisurl event/resolver event/address event/srvanswer event/lookup event/stream event/mailbox event/loop base/clock base/buf base/mem base/thread base/log base/hash */
#include "cache/clerk.h"

#include "clerk_stage.h"

/* docs/invalidation.md names these. */
#define RIGHTS                                                                               \
	"-@all +@connection +eval +time +info +xadd +xread +xrange +del +hset +hget +hmget " \
	"+hdel +hvals +expire +zadd +zrem +zscore +zrangebyscore"

static void
a_purge_of_one_holds_at_the_other_when_it_is_everywhere(void **state)
{
	struct stage *s = *state;

	redis(s, "HSET " LOG ":state run_at 0 epoch_at 0"); /* the log is not of today */
	purge_everywhere(s, &s->a, "/page");
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

	assert_int_equal(judged(&s->a, page), PURGE_GONE);
	wait_until_it_is(s, &s->a, serial, PURGE_APPENDED);
	assert_entries(s, 1);
	await(s, page_is_purged, &s->b);
}

static void
nothing_is_confirmed_while_nobody_knows_who_holds_a_lease(void **state)
{
	struct stage *s = *state;

	purge_everywhere(s, &s->a, "/page");
	assert_true(
	    clock_mono_ms() - s->began_ms > LEASE_MS / 2); /* the log is younger than the stage */
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

	s->a.timeout_ms = SHORT_MS;
	use(s, &s->a, s->server.url, false, true);
	await(s, is_connected, &s->a);
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
	assert_entries(s, 1);
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
	assert_entries(s, 1);
	await(s, journal_is_emptied, &s->a);
}

static void
a_flushed_redis_is_told_again_once_and_memory_is_kept(void **state)
{
	struct stage *s = *state;

	held_up_ms = 0;
	purge_told(s, &s->a, "/page");
	purge_told(s, &s->b, "/else");
	await(s, page_is_purged, &s->b);
	redis(s, "FLUSHALL");
	await(s, is_in_second_epoch, &s->a);
	await(s, is_in_second_epoch, &s->b);
	assert_entries(s, 2);
	/* Who was held up for as long as a lease may have missed what was lost, and knows it. */
	if (held_up_ms < LEASE_RENEW_MS) {
		assert_int_equal(status(&s->a).metrics.dropped, 0);
		assert_int_equal(judged(&s->a, other), PURGE_VALID);
	}
	assert_int_equal(status(&s->a).epoch, status(&s->b).epoch);
	purge_told(s, &s->b, "/other");
	assert_entries(s, 3);
}

/* The dump is from before the purge; then others go on, so that the numbers are as high as before. */
static void
a_redis_restarted_with_an_older_dump_is_found_out(void **state)
{
	struct stage *s = *state;

	purge_told(s, &s->a, "/first");
	redis(s, "SAVE");
	purge_told(s, &s->a, "/page");
	await(s, page_is_purged, &s->b);
	redis_server_kill(&s->server);
	await(s, is_away, &s->b);
	start_redis(s);
	await(s, is_in_second_epoch, &s->a);
	await(s, is_in_second_epoch, &s->b);
	assert_entries(s, 2);
}

static void
an_entry_in_the_place_of_ours_is_found_out(void **state)
{
	struct stage *s = *state;

	purge_told(s, &s->a, "/page");
	await(s, page_is_purged, &s->b);
	redis(s, "DEL " LOG);
	redis(s, "XADD " LOG " 1-0 e 0 c 1 i 2 s 1 k uh w /stranger");
	await(s, is_in_second_epoch, &s->a);
	await(s, is_in_second_epoch, &s->b);
	assert_entries(s, 1);
}

static bool
may_answer(void *arg)
{
	return clerk_may_answer(((struct instance *)arg)->clerk);
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
	await(s, may_answer, &s->a);
	assert_int_equal(judged(&s->a, page), PURGE_GONE); /* it was not there all the time */
	assert_true(status(&s->a).metrics.dropped > 0);
}

static void
who_comes_after_the_log_was_trimmed_purges_everything(void **state)
{
	struct stage *s = *state;
	uint64_t head;

	purge_told(s, &s->a, "/first");
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

	purge_told(s, &s->a, "/else");
	redis(s, "CLIENT KILL TYPE normal SKIPME yes");
	purge_told(s, &s->a, "/page");
	await(s, has_told_all, &s->a);
	await(s, page_is_purged, &s->b);
	await(s, is_connected, &s->b);
	assert_int_equal(status(&s->b).metrics.epochs, 1);
	assert_int_equal(status(&s->b).metrics.dropped, 0);
	assert_entries(s, 2);
}

static void
an_intent_goes_with_its_write_or_with_its_purge(void **state)
{
	struct stage *s = *state;
	struct purge p = {.kind = PURGE_TAG, .what = SLICE_LIT("x")};
	struct clerk_intent *dropped = clerk_intent(s->a.clerk, &p, 1);
	struct clerk_intent *purged = clerk_intent(s->a.clerk, &p, 1);

	purge_told(s, &s->a, "/else"); /* behind them in the clerk's mail */
	assert_int_equal(intents_of(s, &s->a), 2);
	clerk_intent_end(s->a.clerk, &dropped, 0);
	clerk_intent_end(s->a.clerk, &purged, clerk_take(s->a.clerk, &p, 1));
	purge_told(s, &s->a, "/else");
	purge_told(s, &s->a, "/else");
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
	purge_everywhere(s, &s->a, "/page");
	assert_int_equal(log_lines_with("refused"), 0);
}

/* By the log: the time between may be too short to be seen. */
static bool
has_come_back(void *arg)
{
	return log_lines_with("purge log: in use") >= 2;
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
	purge_told(s, &s->a, "/page");
	redis(s, "CLIENT KILL TYPE normal SKIPME yes");
	await(s, has_come_back, &s->a);
	purge_told(s, &s->a, "/page");
	assert_int_equal(log_lines_with("may evict " LOG), 1);
}

static bool
has_one_lease(void *arg)
{
	return redis(arg, "ZCARD " LOG ":leases") == 1;
}

static void
who_stops_answers_all_who_wait_and_gives_its_lease_back(void **state)
{
	struct stage *s = *state;
	uint64_t serial = take(&s->a, "/page");
	struct waiter w[3];

	wait_until_it_is(s, &s->a, serial, PURGE_APPENDED);
	for (int i = 0; i < 3; i++)
		wait_for(s, &s->a, serial, true, &w[i]);
	clerk_stop(s->a.clerk);
	for (int i = 0; i < 3; i++)
		assert_true(run_until(s->loop, is_done, &w[i]));
	assert_true(w[2].level >= PURGE_APPENDED);
	assert_true(run_until(s->loop, has_one_lease, s));
	assert_int_equal(purge(s, &s->a, "/page", true), PURGE_HERE);
}

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
