/* LINK: cache/sharedlog cache/purgelog cache/key cache/object cache/body cache/slab base/buf base/mem base/log base/hash base/clock */
#include "cache/sharedlog.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>

#include <cmocka.h>

#define NOON_MS 43200000
#define OTHER 0x0123456789abcdefull

static const struct slice page = {"http://a.test/page", 18}, other = {"http://a.test/other", 19};

struct stage {
	struct purgelog *local;
	struct sharedlog *log;
	uint64_t pos; /* that the last judgement gave */
};

static int
set_stage(void **state)
{
	struct stage *s = calloc(1, sizeof(*s));

	s->local = purgelog_new();
	s->log = sharedlog_new(s->local);
	sharedlog_enter(s->log, 7, 1);
	sharedlog_settle(s->log, true);
	sharedlog_grant(s->log, NOON_MS, 0);
	*state = s;
	return 0;
}

static int
strike_stage(void **state)
{
	struct stage *s = *state;

	sharedlog_free(&s->log);
	purgelog_free(&s->local);
	free(s);
	return 0;
}

static struct purge
purge_of(const char *url)
{
	return (struct purge){.kind = PURGE_EXACT, .what = slice_from(url)};
}

/* Another instance's, the next in the log. */
static bool
apply(struct stage *s, uint64_t serial, const char *url)
{
	struct purge p = purge_of(url);

	return sharedlog_apply(s->log, OTHER, serial, &p);
}

static bool
is_good(struct stage *s, uint64_t epoch, uint64_t number, struct slice key)
{
	const struct l2_stamp stamp = {epoch, number};

	return sharedlog_judge(s->log, &stamp, key, SLICE_NONE, NOON_MS, &s->pos);
}

static enum purge_verdict
here(struct stage *s, struct slice key, uint64_t pos)
{
	return purgelog_judge_parts(s->local, key, SLICE_NONE, pos);
}

/* --- the lease --- */

static void
a_lease_ends_a_margin_before_redis_thinks_so(void **state)
{
	struct stage *s = *state;

	assert_true(sharedlog_has_lease(s->log, NOON_MS + LEASE_MS - LEASE_MARGIN_MS - 1));
	assert_false(sharedlog_has_lease(s->log, NOON_MS + LEASE_MS - LEASE_MARGIN_MS));
}

static void
a_lease_is_earned_by_applying_what_was_there_when_it_was_granted(void **state)
{
	struct stage *s = *state;
	int64_t later_ms = NOON_MS + LEASE_MS;

	sharedlog_grant(s->log, later_ms, 2);
	assert_false(sharedlog_has_lease(s->log, later_ms));
	apply(s, 1, "/page");
	assert_false(sharedlog_has_lease(s->log, later_ms));
	apply(s, 2, "/page");
	assert_true(sharedlog_has_lease(s->log, later_ms));
	assert_false(sharedlog_has_lease(s->log, later_ms + LEASE_MS - LEASE_MARGIN_MS));
}

static void
a_grant_that_waits_is_not_given_up_for_one_that_asks_more(void **state)
{
	struct stage *s = *state;
	int64_t later_ms = NOON_MS + LEASE_MS;

	sharedlog_grant(s->log, later_ms, 1);
	sharedlog_grant(s->log, later_ms + 500, 5);
	apply(s, 1, "/page");
	assert_true(sharedlog_has_lease(s->log, later_ms));
	assert_false(sharedlog_has_lease(s->log, later_ms + LEASE_MS));
}

static void
nothing_of_redis_is_used_without_a_lease_or_before_it_is_settled(void **state)
{
	struct stage *s = *state;

	assert_true(is_good(s, 7, 0, page));
	assert_int_equal(sharedlog_stamp(s->log, NOON_MS).epoch, 7);
	sharedlog_settle(s->log, false);
	assert_false(is_good(s, 7, 0, page));
	sharedlog_settle(s->log, true);
	assert_int_equal(sharedlog_stamp(s->log, NOON_MS + LEASE_MS).epoch, 0);
	sharedlog_revoke(s->log);
	assert_false(is_good(s, 7, 0, page));
}

/* --- values --- */

static void
a_value_is_good_until_a_later_entry_matches_it(void **state)
{
	struct stage *s = *state;

	apply(s, 1, "/page");
	assert_false(is_good(s, 7, 0, page));
	assert_true(is_good(s, 7, 0, other));
	assert_true(is_good(s, 7, 1, page));
	assert_true(is_good(s, 7, 5, page)); /* its fetcher was ahead of us */
	assert_false(is_good(s, 8, 1, page));
	assert_false(is_good(s, 0, 1, page));
	assert_int_equal(sharedlog_applied(s->log), 1);
}

static void
anothers_purge_holds_in_memory_ours_is_not_entered_twice(void **state)
{
	struct stage *s = *state;
	struct purge p = purge_of("/page");
	uint64_t serial = sharedlog_take(s->log, &p, true), head = purgelog_head(s->local);

	assert_int_equal(head, 1);
	assert_false(sharedlog_apply(s->log, sharedlog_instance(s->log), serial, &p));
	assert_int_equal(purgelog_head(s->local), head);
	assert_true(apply(s, 1, "/other"));
	assert_int_equal(here(s, other, head), PURGE_GONE);
}

static void
an_entry_told_again_in_another_epoch_is_not_entered_twice(void **state)
{
	struct stage *s = *state;
	uint64_t head;

	assert_true(apply(s, 4, "/page"));
	head = purgelog_head(s->local);
	sharedlog_enter(s->log, 8, 1);
	assert_false(apply(s, 4, "/page"));
	assert_int_equal(purgelog_head(s->local), head);
	assert_true(apply(s, 5, "/page"));
	assert_true(apply(s, 0, "/page")); /* of a dead instance: nobody counts them */
	assert_true(apply(s, 0, "/page"));
	assert_false(is_good(s, 8, 0, page));
	assert_true(is_good(s, 8, 4, page));
}

static void
a_purge_of_ours_holds_for_values_before_it_has_a_number(void **state)
{
	struct stage *s = *state;
	struct purge p = purge_of("/page"), q = purge_of("/elsewhere");
	uint64_t first, second;

	apply(s, 1, "/nowhere");
	first = sharedlog_take(s->log, &p, true);
	apply(s, 2, "/nowhere");
	assert_true(is_good(s, 7, 2, page));
	assert_int_equal(here(s, page, s->pos), PURGE_GONE);
	assert_true(is_good(s, 7, 2, other));
	assert_int_equal(here(s, other, s->pos), PURGE_VALID);
	second = sharedlog_take(s->log, &q, true);
	sharedlog_apply(s->log, sharedlog_instance(s->log), first, &p);
	assert_false(is_good(s, 7, 2, page));
	assert_true(is_good(s, 7, 3, page));
	assert_int_equal(here(s, page, s->pos), PURGE_VALID);
	sharedlog_apply(s->log, sharedlog_instance(s->log), second, &q);
	assert_true(is_good(s, 7, 4, page));
	assert_int_equal(s->pos, purgelog_head(s->local));
}

static void
more_purges_of_ours_than_are_kept_apart_purge_rather_more(void **state)
{
	struct stage *s = *state;
	struct purge p = purge_of("/elsewhere"), last = purge_of("/page");
	uint64_t serial = 0;

	for (int i = 0; i < 5000; i++)
		serial = sharedlog_take(s->log, i == 4999 ? &last : &p, true);
	sharedlog_apply(s->log, sharedlog_instance(s->log), serial - 1, &p);
	assert_true(is_good(s, 7, 1, page));
	assert_int_equal(here(s, page, s->pos), PURGE_GONE);
	sharedlog_apply(s->log, sharedlog_instance(s->log), serial, &last);
	assert_true(is_good(s, 7, 2, page));
	assert_int_equal(here(s, page, s->pos), PURGE_VALID);
}

static void
where_redis_may_not_have_been_told_all_of_ours_hold(void **state)
{
	struct stage *s = *state;
	struct purge p = purge_of("/page");
	uint64_t serial = sharedlog_take(s->log, &p, false);

	assert_true(is_good(s, 7, 0, page));
	assert_int_equal(here(s, page, s->pos), PURGE_VALID);
	sharedlog_own_all(s->log);
	sharedlog_enter(s->log, 8, 1);
	assert_true(is_good(s, 8, 0, page));
	assert_int_equal(here(s, page, s->pos), PURGE_GONE);
	sharedlog_apply(s->log, sharedlog_instance(s->log), serial, &p);
	assert_false(is_good(s, 8, 0, page));
	assert_true(is_good(s, 8, 1, page));
	assert_int_equal(here(s, page, s->pos), PURGE_VALID);
}

/* --- gaps --- */

static void
entries_that_were_missed_are_a_purge_of_everything(void **state)
{
	struct stage *s = *state;
	uint64_t head;

	apply(s, 1, "/nowhere");
	head = purgelog_head(s->local);
	sharedlog_missed(s->log, 101);
	assert_int_equal(sharedlog_applied(s->log), 100);
	assert_int_equal(here(s, page, head), PURGE_GONE);
	assert_false(is_good(s, 7, 1, page));
	assert_false(is_good(s, 7, 99, page));
	assert_true(is_good(s, 7, 100, page));
	apply(s, 2, "/page");
	assert_false(is_good(s, 7, 100, page));
	assert_true(is_good(s, 7, 101, page));
}

static void
a_log_that_begins_in_its_middle_is_good_from_there_on(void **state)
{
	struct stage *s = *state;

	sharedlog_enter(s->log, 9, 1001);
	assert_false(is_good(s, 9, 999, page));
	assert_true(is_good(s, 9, 1000, page));
	apply(s, 1, "/page");
	assert_false(is_good(s, 9, 1000, page));
	assert_true(is_good(s, 9, 1001, page));
}

#define STAGED(f) cmocka_unit_test_setup_teardown(f, set_stage, strike_stage)

/* The log had 3 entries when the second run began, 5 when the third did: whatever was beyond that was lost. */
static void
a_number_of_an_earlier_run_is_good_as_far_as_the_log_went_on_from_it(void **state)
{
	struct stage *s = *state;
	struct log_runs runs = {.count = 2, .base = {[1] = 3, [2] = 5}};
	uint64_t first = 0, second = (uint64_t)1 << 48, third = (uint64_t)2 << 48;

	for (uint64_t i = 1; i <= 6; i++)
		apply(s, i, "/other");
	assert_true(is_good(s, 7, first | 9, page));
	sharedlog_set_runs(s->log, &runs);
	assert_true(is_good(s, 7, first | 3, page));
	assert_false(is_good(s, 7, first | 4, page));
	assert_true(is_good(s, 7, second | 5, page));
	assert_false(is_good(s, 7, second | 6, page));
	assert_true(is_good(s, 7, third | 9, page));
	assert_false(is_good(s, 7, (third + second) | 1, page));
	assert_int_equal(sharedlog_stamp(s->log, NOON_MS).seq, third | 6);
	assert_int_equal(sharedlog_place(s->log).seq, third | 6);
	runs.count = LOG_RUNS_KEPT + 1; /* nobody knows any more where the second began */
	sharedlog_set_runs(s->log, &runs);
	assert_false(is_good(s, 7, first | 1, page));
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    STAGED(a_lease_ends_a_margin_before_redis_thinks_so),
	    STAGED(a_number_of_an_earlier_run_is_good_as_far_as_the_log_went_on_from_it),
	    STAGED(a_lease_is_earned_by_applying_what_was_there_when_it_was_granted),
	    STAGED(a_grant_that_waits_is_not_given_up_for_one_that_asks_more),
	    STAGED(nothing_of_redis_is_used_without_a_lease_or_before_it_is_settled),
	    STAGED(a_value_is_good_until_a_later_entry_matches_it),
	    STAGED(anothers_purge_holds_in_memory_ours_is_not_entered_twice),
	    STAGED(an_entry_told_again_in_another_epoch_is_not_entered_twice),
	    STAGED(a_purge_of_ours_holds_for_values_before_it_has_a_number),
	    STAGED(more_purges_of_ours_than_are_kept_apart_purge_rather_more),
	    STAGED(where_redis_may_not_have_been_told_all_of_ours_hold),
	    STAGED(entries_that_were_missed_are_a_purge_of_everything),
	    STAGED(a_log_that_begins_in_its_middle_is_good_from_there_on),
	};

	return cmocka_run_group_tests_name("cache/sharedlog", tests, NULL, NULL);
}
