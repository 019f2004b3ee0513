/* LINK: upstream/balance upstream/health upstream/latency base/log base/clock upstream/target upstream/drains base/mem base/hash base/buf */
#include "upstream/balance.h"
#include "upstream/health.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
/* cmocka.h wants the four above first */
#include <cmocka.h>

#define NOON_MS 43200000
#define MANY 20000

static struct upstream_conf conf;

static void
usual(enum balance b)
{
	conf = (struct upstream_conf){.name = "app",
	    .balance = b,
	    .zone_share = 0.7,
	    .hash_bound = 1.25,
	    .ewma_ms = 10000,
	    .max = 100};
}

/* Servers a, b, c, ... of these weights; a zone for each or NULL. */
static struct upstream *
an_upstream(unsigned count, const unsigned *weights, const char *const *zones)
{
	char names[8][24];
	struct server_spec specs[8];
	struct upstream *u;

	for (unsigned i = 0; i < count; i++) {
		snprintf(names[i], sizeof(names[i]), "10.0.0.%u:80", i + 1);
		specs[i] =
		    (struct server_spec){names[i], zones == NULL ? NULL : zones[i], weights[i]};
	}
	u = upstream_new(&conf, specs, count, 1);
	assert_non_null(u);
	u->random = 4711;
	return u;
}

static unsigned
number_of(const struct server *s)
{
	return (unsigned)(s - s->upstream->servers);
}

static struct server *
choose(struct upstream *u, uint64_t key, int64_t now_ms)
{
	return upstream_choose(u, &(struct choice){.key = key, .now_ms = now_ms});
}

/* How often each is chosen when nothing stays on its way. */
static void
count_choices(struct upstream *u, unsigned times, int64_t now_ms, unsigned counts[8])
{
	memset(counts, 0, 8 * sizeof(*counts));
	for (unsigned i = 0; i < times; i++) {
		struct server *s = choose(u, i, now_ms);

		counts[number_of(s)]++;
		server_done(s);
	}
}

static void
round_robin_is_smooth_and_exact(void **state)
{
	char order[8] = "";
	struct upstream *u;
	unsigned counts[8];

	usual(BALANCE_round_robin);
	u = an_upstream(3, (unsigned[]){5, 1, 1}, NULL);
	for (unsigned i = 0; i < 7; i++) {
		struct server *s = choose(u, 0, NOON_MS);

		order[i] = (char)('a' + number_of(s));
		server_done(s);
	}
	assert_string_equal(order, "aabacaa");
	count_choices(u, 700, NOON_MS, counts);
	assert_int_equal(counts[0], 500);
	assert_int_equal(counts[1], 100);
	assert_int_equal(counts[2], 100);
	upstream_unref(&u);
}

static void
what_is_on_its_way_follows_the_weights(void **state)
{
	struct upstream *u;

	usual(BALANCE_least_connections);
	u = an_upstream(3, (unsigned[]){3, 2, 1}, NULL);
	for (unsigned i = 0; i < 60; i++)
		choose(u, 0, NOON_MS);
	assert_int_equal(u->servers[0].in_flight, 30);
	assert_int_equal(u->servers[1].in_flight, 20);
	assert_int_equal(u->servers[2].in_flight, 10);
	server_done(&u->servers[1]);
	assert_ptr_equal(choose(u, 0, NOON_MS), &u->servers[1]);
	upstream_unref(&u);
}

static void
idle_servers_with_equally_little_take_turns(void **state)
{
	struct upstream *u;
	unsigned counts[8];

	usual(BALANCE_least_connections);
	u = an_upstream(3, (unsigned[]){1, 1, 1}, NULL);
	count_choices(u, 300, NOON_MS, counts);
	for (unsigned i = 0; i < 3; i++)
		assert_int_equal(counts[i], 100);
	upstream_unref(&u);
}

static void
the_quicker_of_two_is_asked_more(void **state)
{
	struct upstream *u;
	unsigned counts[8];

	usual(BALANCE_peak_ewma);
	u = an_upstream(4, (unsigned[]){1, 1, 1, 1}, NULL);
	for (unsigned i = 0; i < 4; i++)
		server_answered(&u->servers[i], 200, i == 3 ? 100000 : 10000, NOON_MS);
	count_choices(u, MANY, NOON_MS, counts);
	assert_true(counts[3] == 0); /* it never wins a pair */
	for (unsigned i = 0; i < 3; i++)
		assert_in_range(counts[i], MANY / 4, MANY / 2);
	upstream_unref(&u);
}

static void
a_slow_answer_counts_at_once_and_is_forgotten_slowly(void **state)
{
	struct upstream *u;
	struct server *s;

	usual(BALANCE_peak_ewma);
	u = an_upstream(2, (unsigned[]){1, 1}, NULL);
	s = &u->servers[0];
	server_answered(s, 200, 10000, NOON_MS);
	server_answered(s, 200, 200000, NOON_MS + 1);
	assert_true(s->cost_us == 200000);
	server_answered(s, 200, 10000, NOON_MS + 2);
	assert_true(s->cost_us > 199000);
	server_answered(s, 200, 10000, NOON_MS + 10002);
	assert_in_range((long)s->cost_us, 10000 + 190000 / 3, 10000 + 190000 * 2 / 5);
	upstream_unref(&u);
}

static void
draws_of_two_heed_weights_when_all_are_alike(void **state)
{
	struct upstream *u;
	unsigned counts[8];

	usual(BALANCE_peak_ewma);
	u = an_upstream(3, (unsigned[]){4, 1, 1}, NULL);
	for (unsigned i = 0; i < 3; i++)
		server_answered(&u->servers[i], 200, 10000, NOON_MS);
	count_choices(u, MANY, NOON_MS, counts);
	assert_true(counts[0] > 3 * counts[1] && counts[0] > 3 * counts[2]);
	assert_true(counts[1] > 0 || counts[2] > 0);
	upstream_unref(&u);
}

static void
keys_are_shared_out_by_weight(void **state)
{
	struct upstream *u;
	unsigned counts[8];

	usual(BALANCE_consistent_hash);
	u = an_upstream(4, (unsigned[]){1, 2, 3, 4}, NULL);
	count_choices(u, MANY, NOON_MS, counts);
	for (unsigned i = 0; i < 4; i++) {
		double share = (double)(i + 1) / 10, off = counts[i] / (double)MANY - share;

		assert_true(fabs(off) < 4 * sqrt(share * (1 - share) / MANY));
	}
	upstream_unref(&u);
}

static void
a_server_that_leaves_moves_its_own_keys_alone(void **state)
{
	struct server_set gone = {{0}};
	struct upstream *u;
	unsigned moved_to[8] = {0}, was_its = 0;

	usual(BALANCE_consistent_hash);
	u = an_upstream(5, (unsigned[]){1, 1, 1, 1, 1}, NULL);
	server_set_add(&gone, &u->servers[2]);
	for (uint64_t key = 0; key < MANY; key++) {
		struct server *before = choose(u, key, NOON_MS), *after;

		server_done(before);
		after = upstream_choose(
		    u, &(struct choice){.avoid = &gone, .key = key, .now_ms = NOON_MS});
		server_done(after);
		assert_ptr_not_equal(after, &u->servers[2]);
		if (before != &u->servers[2])
			assert_ptr_equal(after, before);
		else {
			was_its++;
			moved_to[number_of(after)]++;
		}
	}
	for (unsigned i = 0; i < 5; i++)
		if (i != 2)
			assert_in_range(moved_to[i], was_its / 5, was_its / 3);
	upstream_unref(&u);
}

/* The same key over and over, and nothing is answered. */
static void
no_server_has_more_than_the_bound_allows(void **state)
{
	struct upstream *u;

	usual(BALANCE_consistent_hash);
	u = an_upstream(4, (unsigned[]){1, 1, 1, 1}, NULL);
	for (unsigned n = 1; n <= 1000; n++) {
		choose(u, 4711, NOON_MS);
		for (unsigned i = 0; i < 4; i++)
			assert_true(u->servers[i].in_flight <= ceil(1.25 * n / 4));
	}
	upstream_unref(&u);
}

static void
the_own_zone_carries_all_while_enough_of_it_is_there(void **state)
{
	static const char *const zones[] = {"east", "east", "west", NULL};
	struct server_set gone = {{0}};
	struct upstream *u;
	unsigned counts[8];
	struct server *s;

	usual(BALANCE_round_robin);
	conf.zone = "east";
	u = an_upstream(4, (unsigned[]){1, 1, 1, 1}, zones);
	count_choices(u, 100, NOON_MS, counts);
	assert_int_equal(counts[0] + counts[1], 100);
	server_set_add(&gone, &u->servers[0]); /* half of it, and 70 % are wanted */
	memset(counts, 0, sizeof(counts));
	for (unsigned i = 0; i < 90; i++) {
		s = upstream_choose(u, &(struct choice){.avoid = &gone, .now_ms = NOON_MS});
		counts[number_of(s)]++;
		server_done(s);
	}
	assert_int_equal(counts[1], 30);
	assert_int_equal(counts[2], 30);
	assert_int_equal(counts[3], 30);
	upstream_unref(&u);
}

static void
a_server_that_comes_back_begins_with_a_tenth_and_ends_with_all(void **state)
{
	struct upstream *u;
	unsigned counts[8];

	usual(BALANCE_round_robin);
	conf.slow_start_ms = 60000;
	u = an_upstream(2, (unsigned[]){1, 1}, NULL);
	server_checked(&u->servers[1], false, "", NOON_MS);
	server_checked(&u->servers[1], true, "", NOON_MS);
	count_choices(u, 1100, NOON_MS, counts);
	assert_in_range(counts[1], 99, 101);
	count_choices(u, 1500, NOON_MS + 30000, counts);
	assert_in_range(counts[1], 499, 501);
	count_choices(u, 1000, NOON_MS + 60000, counts);
	assert_in_range(counts[1], 499, 501);
	upstream_unref(&u);
}

static void
when_all_are_to_be_avoided_one_is_chosen_all_the_same(void **state)
{
	struct server_set all = {{0}};
	struct upstream *u;
	unsigned counts[8] = {0};

	usual(BALANCE_round_robin);
	u = an_upstream(2, (unsigned[]){1, 1}, NULL);
	server_set_add(&all, &u->servers[0]);
	server_set_add(&all, &u->servers[1]);
	for (unsigned i = 0; i < 10; i++)
		counts[number_of(upstream_choose(u, &(struct choice){.avoid = &all}))]++;
	assert_int_equal(counts[0], 5);
	upstream_unref(&u);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(round_robin_is_smooth_and_exact),
	    cmocka_unit_test(what_is_on_its_way_follows_the_weights),
	    cmocka_unit_test(idle_servers_with_equally_little_take_turns),
	    cmocka_unit_test(the_quicker_of_two_is_asked_more),
	    cmocka_unit_test(a_slow_answer_counts_at_once_and_is_forgotten_slowly),
	    cmocka_unit_test(draws_of_two_heed_weights_when_all_are_alike),
	    cmocka_unit_test(keys_are_shared_out_by_weight),
	    cmocka_unit_test(a_server_that_leaves_moves_its_own_keys_alone),
	    cmocka_unit_test(no_server_has_more_than_the_bound_allows),
	    cmocka_unit_test(the_own_zone_carries_all_while_enough_of_it_is_there),
	    cmocka_unit_test(a_server_that_comes_back_begins_with_a_tenth_and_ends_with_all),
	    cmocka_unit_test(when_all_are_to_be_avoided_one_is_chosen_all_the_same),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
