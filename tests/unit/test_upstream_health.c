/* LINK: upstream/health upstream/latency upstream/balance upstream/target upstream/drains base/buf base/log base/clock base/mem base/hash */
#include "upstream/health.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>

#include <cmocka.h>

#include "upstream/balance.h"
#include "upstream/drains.h"

#define NOON_MS 43200000
#define LONG_US 1000000

static struct upstream *app;
static struct upstream_conf conf;

static void
usual(void)
{
	conf = (struct upstream_conf){.name = "app",
	    .zone_share = 0.7,
	    .ewma_ms = 10000,
	    .max = 100,
	    .eject = {.errors = 3, .time_ms = 10000, .max_time_ms = 35000, .share = 0.5}};
	status_set_add(&conf.eject.statuses, "503");
}

static void
open_stage(unsigned count)
{
	char names[8][24];
	struct server_spec specs[8];

	for (unsigned i = 0; i < count; i++) {
		snprintf(names[i], sizeof(names[i]), "10.0.0.%u:80", i + 1);
		specs[i] = (struct server_spec){names[i], NULL, 1};
	}
	app = upstream_new(&conf, specs, count, 1);
	assert_non_null(app);
}

static void
close_stage(void)
{
	upstream_unref(&app);
}

static void
break_down(unsigned server, unsigned times, int64_t now_ms)
{
	for (unsigned i = 0; i < times; i++)
		server_failed(&app->servers[server], LONG_US, now_ms);
}

static bool
is_fit(unsigned server, int64_t now_ms)
{
	return server_is_fit(&app->servers[server], now_ms);
}

/* The servers that n choices went to, a bit for each. */
static unsigned
chosen(unsigned n, int64_t now_ms)
{
	unsigned which = 0;

	for (unsigned i = 0; i < n; i++) {
		struct server *s = upstream_choose(app, &(struct choice){.now_ms = now_ms});

		which |= 1u << (s - app->servers);
		server_done(s);
	}
	return which;
}

static void
failures_in_a_row_eject_and_an_answer_between_them_does_not(void **state)
{
	usual();
	open_stage(2);
	break_down(0, 2, NOON_MS);
	server_answered(&app->servers[0], 200, 1000, NOON_MS);
	break_down(0, 2, NOON_MS);
	assert_int_equal(chosen(4, NOON_MS), 3);
	server_answered(&app->servers[0], 503, 1000, NOON_MS);
	assert_int_equal(chosen(4, NOON_MS), 2);
	assert_int_equal(server_state(&app->servers[0], NOON_MS), SERVER_STATE_ejected);
	assert_int_equal(app->servers[0].ejections, 1);
	assert_int_equal(chosen(4, NOON_MS + 9999), 2);
	assert_int_equal(chosen(4, NOON_MS + 10000), 3);
	close_stage();
}

static void
each_further_time_is_twice_as_long_up_to_a_bound(void **state)
{
	static const int64_t for_ms[] = {10000, 20000, 35000, 35000};
	int64_t now_ms = NOON_MS;

	usual();
	open_stage(2);
	break_down(0, 2, now_ms);
	for (unsigned i = 0; i < 4; i++) {
		break_down(0, 1, now_ms); /* back from an ejection one is enough */
		assert_false(is_fit(0, now_ms + for_ms[i] - 1));
		assert_true(is_fit(0, now_ms + for_ms[i]));
		now_ms += for_ms[i];
	}
	close_stage();
}

static void
who_has_been_well_as_long_as_away_begins_anew(void **state)
{
	int64_t back_ms = NOON_MS + 10000;

	usual();
	open_stage(2);
	break_down(0, 3, NOON_MS);
	assert_true(is_fit(0, back_ms));
	server_answered(&app->servers[0], 200, 1000, back_ms + 9999);
	assert_int_equal(app->servers[0].health.ejections, 1);
	server_answered(&app->servers[0], 200, 1000, back_ms + 10000);
	assert_int_equal(app->servers[0].health.ejections, 0);
	break_down(0, 2, back_ms + 10000);
	assert_true(is_fit(0, back_ms + 10000));
	close_stage();
}

static void
no_more_than_their_share_is_ejected(void **state)
{
	usual();
	open_stage(5);
	for (unsigned i = 0; i < 5; i++)
		break_down(i, 3, NOON_MS);
	assert_int_equal(chosen(10, NOON_MS), 0x1c); /* two of five */
	close_stage();
	open_stage(1);
	break_down(0, 10, NOON_MS);
	assert_true(is_fit(0, NOON_MS));
	close_stage();
}

static void
with_too_few_fit_all_are_asked(void **state)
{
	usual();
	conf.panic = 0.5;
	open_stage(4);
	for (unsigned i = 0; i < 2; i++)
		server_checked(&app->servers[i], false, "", NOON_MS);
	assert_int_equal(chosen(8, NOON_MS), 0xc);
	server_checked(&app->servers[2], false, "", NOON_MS);
	assert_int_equal(chosen(8, NOON_MS), 0xf);
	close_stage();
}

static void
with_nobody_fit_somebody_is_asked_all_the_same(void **state)
{
	usual();
	open_stage(2);
	for (unsigned i = 0; i < 2; i++)
		server_checked(&app->servers[i], false, "", NOON_MS);
	assert_int_equal(chosen(4, NOON_MS), 3);
	close_stage();
}

static enum drain_verdict
drain(const char *server, bool is_drained)
{
	return upstream_drain(
	    app, &(struct drain_order){.server = server, .is_drained = is_drained}, NOON_MS);
}

static void
who_is_drained_gets_nothing_new_even_in_a_panic(void **state)
{
	usual();
	conf.panic = 1;
	open_stage(3);
	assert_int_equal(drain("10.0.0.1:80", true), DRAIN_done);
	server_checked(&app->servers[1], false, "", NOON_MS);
	assert_int_equal(chosen(8, NOON_MS), 6);
	assert_int_equal(drain("10.0.0.1:80", false), DRAIN_done);
	assert_int_equal(chosen(8, NOON_MS), 7);
	close_stage();
}

static void
who_is_drained_gets_no_retry_either_while_anybody_else_is_there(void **state)
{
	struct server_set tried = {{0}};
	struct server *s;

	usual();
	open_stage(2);
	drain("10.0.0.1:80", true);
	server_set_add(&tried, &app->servers[1]);
	s = upstream_choose(app, &(struct choice){.avoid = &tried, .now_ms = NOON_MS});
	assert_ptr_equal(s, &app->servers[1]);
	assert_int_equal(upstream_size(app), 1);
	close_stage();
}

static void
the_last_that_is_up_is_drained_by_force_only(void **state)
{
	usual();
	open_stage(3);
	assert_int_equal(drain("10.0.0.9:80", true), DRAIN_unknown);
	assert_int_equal(drain("10.0.0.1:80", true), DRAIN_done);
	assert_int_equal(drain("10.0.0.1:80", true), DRAIN_done);
	server_checked(&app->servers[1], false, "", NOON_MS);
	assert_int_equal(drain("10.0.0.3:80", true), DRAIN_last);
	assert_int_equal(chosen(4, NOON_MS), 4);
	assert_int_equal(
	    upstream_drain(app, &(struct drain_order){"10.0.0.3:80", true, true}, NOON_MS),
	    DRAIN_done);
	assert_int_equal(drain("10.0.0.2:80", true), DRAIN_last);
	assert_int_equal(
	    upstream_drain(app, &(struct drain_order){"10.0.0.2:80", true, true}, NOON_MS),
	    DRAIN_done);
	assert_int_equal(
	    upstream_size(app), 3); /* nobody else is there: they are asked all the same */
	assert_non_null(upstream_choose(app, &(struct choice){.now_ms = NOON_MS}));
	close_stage();
}

static void
a_reload_keeps_out_who_is_drained_and_hears_orders_to_the_one_before(void **state)
{
	struct upstream *before;

	usual();
	open_stage(3);
	drain("10.0.0.1:80", true);
	before = app;
	open_stage(3);
	drains_share(app, before, NOON_MS);
	assert_true(server_is_drained(&app->servers[0]));
	assert_int_equal(
	    upstream_drain(before, &(struct drain_order){"10.0.0.2:80", true, false}, NOON_MS),
	    DRAIN_done);
	assert_int_equal(chosen(4, NOON_MS), 4);
	assert_true(server_is_drained(&app->servers[1]));
	upstream_unref(&before);
	assert_int_equal(drain("10.0.0.1:80", false), DRAIN_done);
	assert_false(server_is_drained(&app->servers[0]));
	close_stage();
}

static void
answer_all(unsigned servers, unsigned slow, int64_t slow_us, int64_t now_ms)
{
	for (unsigned i = 0; i < servers; i++)
		for (unsigned n = 0; n < 20; n++)
			server_answered(&app->servers[i], 200, i == slow ? slow_us : 30000, now_ms);
}

static void
who_is_much_slower_than_the_others_is_ejected(void **state)
{
	usual();
	conf.eject.latency = 3;
	open_stage(4);
	answer_all(4, 2, 80000,
	    NOON_MS); /* not three times as slow; and the first look has little to see */
	answer_all(4, 2, 80000, NOON_MS + 10000);
	assert_int_equal(chosen(8, NOON_MS + 10000), 0xf);
	answer_all(4, 2, 300000, NOON_MS + 19000);
	server_answered(&app->servers[0], 200, 30000, NOON_MS + 20000);
	assert_int_equal(chosen(8, NOON_MS + 20000), 0xb);
	close_stage();
}

static void
the_budget_is_a_share_of_the_requests_and_ten_a_second(void **state)
{
	unsigned taken = 0;

	usual();
	conf.retry_budget = 0.2;
	open_stage(2);
	while (upstream_take_retry(app, NOON_MS))
		taken++;
	assert_int_equal(taken, 10);
	chosen(51, NOON_MS); /* a fifth of them */
	for (taken = 0; upstream_take_retry(app, NOON_MS);)
		taken++;
	assert_int_equal(taken, 10);
	for (taken = 0; upstream_take_retry(app, NOON_MS + 500);)
		taken++;
	assert_in_range(taken, 5, 6);
	chosen(10000, NOON_MS + 500);
	for (taken = 0; upstream_take_retry(app, NOON_MS + 500);)
		taken++;
	assert_int_equal(taken, 100);
	close_stage();
}

static void
statuses_are_named_singly_or_by_their_class(void **state)
{
	struct status_set set = {{0}};

	assert_true(status_set_add(&set, "5xx"));
	assert_true(status_set_add(&set, "429"));
	assert_true(
	    status_set_has(&set, 500) && status_set_has(&set, 599) && status_set_has(&set, 429));
	assert_false(status_set_has(&set, 428) || status_set_has(&set, 430) ||
	    status_set_has(&set, 499) || status_set_has(&set, 999));
	assert_false(status_set_add(&set, "6xx") || status_set_add(&set, "50") ||
	    status_set_add(&set, "5x3") || status_set_add(&set, "099"));
}

static void
a_server_with_all_it_may_have_is_passed_over(void **state)
{
	usual();
	conf.requests = 2;
	open_stage(2);
	for (unsigned i = 0; i < 4; i++)
		assert_non_null(upstream_choose(app, &(struct choice){.now_ms = NOON_MS}));
	assert_null(upstream_choose(app, &(struct choice){.now_ms = NOON_MS}));
	server_done(&app->servers[1]);
	assert_ptr_equal(
	    upstream_choose(app, &(struct choice){.now_ms = NOON_MS}), &app->servers[1]);
	close_stage();
}

static void
a_request_is_asked_twice_as_often_as_its_budget_says(void **state)
{
	unsigned taken;

	usual();
	conf.hedge = (struct hedge_conf){.is_on = true, .after_ms = 200, .budget = 0.25};
	open_stage(2);
	for (taken = 0; upstream_take_hedge(app);)
		taken++;
	assert_int_equal(taken, HEDGES_SAVED);
	for (unsigned i = 0; i < 8; i++)
		assert_int_equal(upstream_hedge_after_ms(app), 200);
	for (taken = 0; upstream_take_hedge(app);)
		taken++;
	assert_int_equal(taken, 2);
	for (unsigned i = 0; i < 1000; i++)
		upstream_hedge_after_ms(app);
	for (taken = 0; upstream_take_hedge(app);)
		taken++;
	assert_int_equal(taken, HEDGES_SAVED);
	close_stage();
}

static void
what_is_outrun_counts_for_how_long_answers_take(void **state)
{
	usual();
	conf.hedge = (struct hedge_conf){.is_on = true, .after_part = 0.9, .budget = 0.1};
	conf.response_ms = 30000;
	open_stage(2);
	assert_int_equal(upstream_hedge_after_ms(app), -1);
	for (unsigned i = 0; i < 85; i++)
		server_answered(&app->servers[0], 200, 2000, NOON_MS);
	for (unsigned i = 0; i < 15; i++)
		server_outrun(&app->servers[1], 64000, NOON_MS);
	assert_in_range(upstream_hedge_after_ms(app), 64, 72);
	assert_true(is_fit(1, NOON_MS));
	close_stage();
}

static void
who_is_outrun_and_answers_nothing_for_as_long_as_a_try_takes_has_failed(void **state)
{
	usual();
	conf.hedge = (struct hedge_conf){.is_on = true, .after_ms = 100, .budget = 1};
	conf.response_ms = 30000;
	conf.try_ms = 2000;
	open_stage(2);
	for (unsigned i = 0; i < 19; i++)
		server_outrun(&app->servers[0], 100000, NOON_MS + i * 100);
	assert_true(is_fit(0, NOON_MS + 1800));
	server_answered(&app->servers[0], 200, 100, NOON_MS + 1800); /* slow, but alive */
	for (unsigned i = 19; i < 39; i++)
		server_outrun(&app->servers[0], 100000, NOON_MS + i * 100);
	assert_true(is_fit(0, NOON_MS + 3800));
	for (unsigned i = 39; i < 42; i++)
		server_outrun(&app->servers[0], 100000, NOON_MS + i * 100);
	assert_false(is_fit(0, NOON_MS + 4100));
	assert_true(is_fit(0, NOON_MS + 14100));
	server_outrun(&app->servers[0], 100000, NOON_MS + 14200); /* back: it has its time again */
	assert_true(is_fit(0, NOON_MS + 14200));
	close_stage();
}

static void
a_spare_server_is_fit_has_room_and_was_not_asked(void **state)
{
	struct server_set asked = {{0}};
	struct choice spare = {.avoid = &asked, .is_spare = true, .now_ms = NOON_MS};

	usual();
	conf.requests = 1;
	conf.panic = 1;
	open_stage(3);
	server_set_add(&asked, &app->servers[0]);
	break_down(1, 3, NOON_MS);
	assert_true(upstream_has_spare(app, &asked, NOON_MS));
	assert_ptr_equal(upstream_choose(app, &spare), &app->servers[2]);
	assert_false(upstream_has_spare(app, &asked, NOON_MS)); /* it has its one request */
	assert_null(upstream_choose(app, &spare));
	assert_int_equal(server_set_count(&asked), 1);
	close_stage();
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(failures_in_a_row_eject_and_an_answer_between_them_does_not),
	    cmocka_unit_test(each_further_time_is_twice_as_long_up_to_a_bound),
	    cmocka_unit_test(who_has_been_well_as_long_as_away_begins_anew),
	    cmocka_unit_test(no_more_than_their_share_is_ejected),
	    cmocka_unit_test(with_too_few_fit_all_are_asked),
	    cmocka_unit_test(with_nobody_fit_somebody_is_asked_all_the_same),
	    cmocka_unit_test(who_is_drained_gets_nothing_new_even_in_a_panic),
	    cmocka_unit_test(who_is_drained_gets_no_retry_either_while_anybody_else_is_there),
	    cmocka_unit_test(the_last_that_is_up_is_drained_by_force_only),
	    cmocka_unit_test(a_reload_keeps_out_who_is_drained_and_hears_orders_to_the_one_before),
	    cmocka_unit_test(who_is_much_slower_than_the_others_is_ejected),
	    cmocka_unit_test(the_budget_is_a_share_of_the_requests_and_ten_a_second),
	    cmocka_unit_test(statuses_are_named_singly_or_by_their_class),
	    cmocka_unit_test(a_server_with_all_it_may_have_is_passed_over),
	    cmocka_unit_test(a_request_is_asked_twice_as_often_as_its_budget_says),
	    cmocka_unit_test(what_is_outrun_counts_for_how_long_answers_take),
	    cmocka_unit_test(
		who_is_outrun_and_answers_nothing_for_as_long_as_a_try_takes_has_failed),
	    cmocka_unit_test(a_spare_server_is_fit_has_room_and_was_not_asked),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
