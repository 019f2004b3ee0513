/* LINK: event/loop base/mem */
#include "event/loop.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>

#include <cmocka.h>

#include "still_clock.h"

#define SECOND_MS 1000
#define HOUR_MS (3600 * SECOND_MS)
#define DAY_MS (24ll * HOUR_MS)

static unsigned fired_count; /* in this turn's order, over all timers of a test */

/* One deadline and what became of it. */
struct alarm {
	struct timer timer;
	struct loop *loop;
	int64_t due_ms;	  /* what the model expects; INT64_MAX: nothing */
	int64_t fired_ms; /* the loop's clock when it last fired */
	unsigned times, order;
	int64_t again_in_ms;  /* armed again in its own callback, so far ahead; 0: not */
	struct alarm *victim; /* disarmed in the callback */
};

static void
on_alarm(void *arg)
{
	struct alarm *a = arg;

	a->times++;
	a->order = fired_count++;
	a->fired_ms = loop_now_ms(a->loop);
	assert_true(a->fired_ms >= a->due_ms);
	assert_false(timer_is_armed(&a->timer));
	a->due_ms = INT64_MAX;
	if (a->again_in_ms != 0)
		timer_arm(a->loop, &a->timer, a->due_ms = a->fired_ms + a->again_in_ms);
	if (a->victim != NULL) {
		timer_disarm(&a->victim->timer);
		a->victim->due_ms = INT64_MAX;
	}
}

static void
alarm_init(struct alarm *a, struct loop *l)
{
	*a = (struct alarm){.loop = l, .due_ms = INT64_MAX};
	timer_init(&a->timer, on_alarm, a);
}

static void
alarm_set(struct alarm *a, int64_t due_ms)
{
	a->due_ms = due_ms;
	timer_arm(a->loop, &a->timer, due_ms);
}

static void
on_stop(void *arg)
{
	loop_stop(arg);
}

/* Exactly one turn, without waiting. */
static void
turn(struct loop *l)
{
	struct task stop;

	task_init(&stop, on_stop, l);
	loop_later(l, &stop);
	loop_run(l);
}

static void
advance(struct loop *l, int64_t ms)
{
	clock_move(ms);
	turn(l);
}

static int
new_loop(void **state)
{
	fired_count = 0;
	*state = loop_new();
	turn(*state);
	return *state == NULL ? -1 : 0;
}

static int
free_loop(void **state)
{
	loop_free((struct loop **)state);
	assert_null(*state);
	return 0;
}

static void
timers_fire_in_the_order_of_their_dates(void **state)
{
	static const int64_t ahead_ms[] = {90000, 7, 300, 86400000, 20000, 8, 255, 256, 1048576};
	struct alarm a[9];
	int64_t now_ms = loop_now_ms(*state);

	for (int i = 0; i < 9; i++) {
		alarm_init(&a[i], *state);
		alarm_set(&a[i], now_ms + ahead_ms[i]);
	}
	advance(*state, 2 * DAY_MS);
	for (int i = 0; i < 9; i++) {
		assert_int_equal(a[i].times, 1);
		for (int k = 0; k < 9; k++)
			assert_int_equal(ahead_ms[i] < ahead_ms[k], a[i].order < a[k].order);
	}
}

static void
no_timer_fires_early(void **state)
{
	struct alarm a;
	int64_t start_ms = loop_now_ms(*state), last_ms;

	alarm_init(&a, *state);
	alarm_set(&a, start_ms + HOUR_MS);
	do {
		last_ms = loop_now_ms(*state);
		assert_int_equal(a.times, 0);
		advance(*state, 977);
	} while (loop_now_ms(*state) < start_ms + HOUR_MS);
	assert_true(last_ms < start_ms + HOUR_MS);
	assert_int_equal(a.times, 1);
}

/* Every distance at which a level of the wheel ends, from many places the wheel may stand on: 63
 * slots of 256 ms are less than one of 16 s, and what lies between must not be lost. */
static void
no_date_falls_between_two_levels(void **state)
{
	static const int64_t edges_ms[] = {
	    256, 63 * 256, 64 * 256, 63 * 16384, 64 * 16384, 63ll << 20, 64ll << 20};
	struct alarm a;

	alarm_init(&a, *state);
	for (int round = 0; round < 40; round++) {
		for (size_t i = 0; i < sizeof(edges_ms) / sizeof(edges_ms[0]); i++) {
			for (int64_t off_ms = -150; off_ms <= 150; off_ms += 75) {
				int64_t due_ms = loop_now_ms(*state) + edges_ms[i] + off_ms;
				a.times = 0;
				alarm_set(&a, due_ms);
				advance(*state, edges_ms[i] / 2);
				assert_int_equal(a.times, loop_now_ms(*state) >= due_ms);
				advance(*state, edges_ms[i] / 2 + off_ms + 1);
				assert_int_equal(a.times, 1);
			}
		}
		advance(*state, 409 + round * 3571);
	}
}

static void
a_date_weeks_ahead_is_kept(void **state)
{
	struct alarm a;

	alarm_init(&a, *state);
	alarm_set(&a, loop_now_ms(*state) + 30 * DAY_MS);
	for (int day = 0; day < 29; day++) {
		advance(*state, DAY_MS);
		assert_int_equal(a.times, 0);
	}
	advance(*state, DAY_MS);
	assert_int_equal(a.times, 1);
}

static void
a_timer_moved_away_fires_once_at_its_last_date(void **state)
{
	struct alarm a;

	alarm_init(&a, *state);
	for (int i = 0; i < 100; i++) {
		alarm_set(&a, loop_now_ms(*state) + 5 * SECOND_MS);
		advance(*state, 4 * SECOND_MS);
		assert_int_equal(a.times, 0);
	}
	advance(*state, 2 * SECOND_MS);
	assert_int_equal(a.times, 1);
	advance(*state, HOUR_MS);
	assert_int_equal(a.times, 1);
}

static void
a_timer_moved_nearer_fires_at_the_nearer_date(void **state)
{
	struct alarm a;

	alarm_init(&a, *state);
	alarm_set(&a, loop_now_ms(*state) + DAY_MS);
	alarm_set(&a, loop_now_ms(*state) + SECOND_MS);
	advance(*state, SECOND_MS);
	assert_int_equal(a.times, 1);
	advance(*state, DAY_MS);
	assert_int_equal(a.times, 1);
}

/* Moved away lazily, then overtaken by the clock: the date counts, not the slot it waits in. */
static void
a_moved_timer_keeps_its_place_in_the_order(void **state)
{
	struct alarm moved, other;
	int64_t now_ms = loop_now_ms(*state);

	alarm_init(&moved, *state);
	alarm_init(&other, *state);
	alarm_set(&moved, now_ms + 100);
	alarm_set(&other, now_ms + 200);
	alarm_set(&moved, now_ms + 300);
	advance(*state, SECOND_MS);
	assert_true(other.order < moved.order);
}

static void
a_disarmed_timer_is_silent(void **state)
{
	struct alarm a;

	alarm_init(&a, *state);
	alarm_set(&a, loop_now_ms(*state) + 50);
	timer_disarm(&a.timer);
	timer_disarm(&a.timer);
	assert_false(timer_is_armed(&a.timer));
	advance(*state, DAY_MS);
	assert_int_equal(a.times, 0);
}

static void
a_timer_that_rests_is_silent_until_it_is_armed_again(void **state)
{
	struct alarm a, b, c;
	int64_t now_ms = loop_now_ms(*state);

	alarm_init(&a, *state);
	alarm_init(&b, *state);
	alarm_init(&c, *state);
	for (struct alarm *t = &a; t != NULL; t = t == &a ? &b : t == &b ? &c : NULL) {
		alarm_set(t, now_ms + 50);
		timer_rest(&t->timer);
		assert_false(timer_is_armed(&t->timer));
	}
	alarm_set(&b, now_ms + 5 * SECOND_MS); /* behind its place in the wheel */
	alarm_set(&c, now_ms + 20);	       /* before it */
	advance(*state, SECOND_MS);
	assert_int_equal(a.times + b.times, 0);
	assert_int_equal(c.times, 1);
	advance(*state, DAY_MS);
	assert_int_equal(a.times, 0);
	assert_int_equal(b.times, 1);
	assert_int_equal(c.times, 1);
	alarm_set(&a, loop_now_ms(*state) + 50);
	advance(*state, SECOND_MS);
	assert_int_equal(a.times, 1);
}

static void
a_timer_disarmed_by_another_one_of_the_same_date_is_silent(void **state)
{
	struct alarm a, b;
	int64_t due_ms = loop_now_ms(*state) + 50;

	alarm_init(&a, *state);
	alarm_init(&b, *state);
	a.victim = &b;
	b.victim = &a;
	alarm_set(&a, due_ms);
	alarm_set(&b, due_ms);
	advance(*state, SECOND_MS);
	assert_int_equal(a.times + b.times, 1);
}

static void
a_timer_armed_again_in_its_callback_fires_again_later(void **state)
{
	struct alarm a;

	alarm_init(&a, *state);
	a.again_in_ms = 10 * SECOND_MS;
	alarm_set(&a, loop_now_ms(*state) + 10 * SECOND_MS);
	for (unsigned i = 1; i <= 20; i++) {
		advance(*state, 10 * SECOND_MS);
		assert_int_equal(a.times, i);
	}
	timer_disarm(&a.timer);
}

/* A jump of hours is one turn: what is due again at once waits for the next one. */
static void
a_timer_due_again_at_once_fires_once_per_turn(void **state)
{
	struct alarm a;

	alarm_init(&a, *state);
	a.again_in_ms = -1;
	alarm_set(&a, loop_now_ms(*state) + 5);
	advance(*state, 12ll * HOUR_MS);
	assert_int_equal(a.times, 1);
	advance(*state, 5);
	assert_int_equal(a.times, 2);
	timer_disarm(&a.timer);
}

static void
a_date_in_the_past_fires_in_the_next_turn(void **state)
{
	struct alarm a;

	alarm_init(&a, *state);
	alarm_set(&a, 1);
	advance(*state, 1);
	assert_int_equal(a.times, 1);
}

static void
a_timer_outlives_its_loop_unharmed(void **state)
{
	struct loop *l = loop_new();
	struct alarm a;

	alarm_init(&a, l);
	alarm_set(&a, loop_now_ms(l) + HOUR_MS);
	loop_free(&l);
	timer_disarm(&a.timer);
}

static uint32_t
random_u32(void)
{
	static uint64_t x = 88172645463325252ull;

	x ^= x << 13;
	x ^= x >> 7;
	x ^= x << 17;
	return (uint32_t)(x >> 16);
}

/* Distances of all magnitudes alike, 0 ms to some 12 days. */
static int64_t
random_ms(void)
{
	return (int64_t)(random_u32() & ((1u << (random_u32() % 31)) - 1));
}

#define MANY 4000
#define PAST_MS 5

static void
thousands_of_timers_do_what_a_plain_list_of_dates_would(void **state)
{
	struct alarm *all = calloc(MANY, sizeof(*all));

	for (int i = 0; i < MANY; i++)
		alarm_init(&all[i], *state);
	for (int round = 0; round < 3000; round++) {
		for (int i = 0; i < 8; i++) {
			struct alarm *a = &all[random_u32() % MANY];
			a->again_in_ms = random_u32() % 4 == 0 ? random_ms() + 1 : 0;
			if (random_u32() % 8 != 0)
				alarm_set(a, loop_now_ms(*state) + random_ms() - PAST_MS);
			else
				timer_disarm(&a->timer), a->due_ms = INT64_MAX;
		}
		advance(*state, random_ms() >> (random_u32() % 12));
		turn(*state);
		/* on_alarm has seen to "not early"; here: none is late. */
		for (int i = 0; i < MANY; i++) {
			assert_int_equal(timer_is_armed(&all[i].timer), all[i].due_ms != INT64_MAX);
			assert_true(all[i].due_ms >= loop_now_ms(*state) - PAST_MS);
		}
	}
	for (int i = 0; i < MANY; i++)
		timer_disarm(&all[i].timer);
	free(all);
}

static void
on_alarm_stop(void *arg)
{
	on_alarm(arg);
	loop_stop(((struct alarm *)arg)->loop);
}

/* The only one here that waits, some 40 ms. */
static void
the_loop_wakes_by_itself_for_a_date(void **state)
{
	struct alarm soon, then;
	int64_t now_ms = loop_now_ms(*state);

	alarm_init(&soon, *state);
	alarm_init(&then, *state);
	timer_init(&then.timer, on_alarm_stop, &then);
	alarm_set(&then, now_ms + 40);
	alarm_set(&soon, now_ms + 15);
	clock_run();
	loop_run(*state);
	clock_stop();
	assert_int_equal(soon.times, 1);
	assert_int_equal(then.times, 1);
	assert_true(soon.order < then.order); /* in one turn, where the machine was busy */
}

/* --- what is put off --- */

struct errand {
	struct task task;
	struct loop *loop;
	unsigned runs, repeat;
	struct errand *cancels;
};

static void
on_errand(void *arg)
{
	struct errand *e = arg;

	e->runs++;
	if (e->repeat-- > 0)
		loop_later(e->loop, &e->task);
	if (e->cancels != NULL)
		task_cancel(&e->cancels->task);
}

static void
errand_init(struct errand *e, struct loop *l)
{
	*e = (struct errand){.loop = l};
	task_init(&e->task, on_errand, e);
}

static void
work_put_off_runs_once_at_the_end_of_the_turn(void **state)
{
	struct errand e;

	errand_init(&e, *state);
	loop_later(*state, &e.task);
	loop_later(*state, &e.task);
	assert_int_equal(e.runs, 0);
	turn(*state);
	turn(*state);
	assert_int_equal(e.runs, 1);
}

static void
work_put_off_by_itself_runs_in_the_next_turn(void **state)
{
	struct errand e;

	errand_init(&e, *state);
	e.repeat = 2;
	loop_later(*state, &e.task);
	for (unsigned i = 1; i <= 3; i++) {
		turn(*state);
		assert_int_equal(e.runs, i);
	}
	turn(*state);
	assert_int_equal(e.runs, 3);
}

static void
cancelled_work_does_not_run_even_in_the_same_turn(void **state)
{
	struct errand first, second;

	errand_init(&first, *state);
	errand_init(&second, *state);
	first.cancels = &second;
	loop_later(*state, &first.task);
	loop_later(*state, &second.task);
	turn(*state);
	assert_int_equal(first.runs, 1);
	assert_int_equal(second.runs, 0);
}

#define LOOP_TEST(f) cmocka_unit_test_setup_teardown(f, new_loop, free_loop)

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    LOOP_TEST(timers_fire_in_the_order_of_their_dates),
	    LOOP_TEST(no_timer_fires_early),
	    LOOP_TEST(no_date_falls_between_two_levels),
	    LOOP_TEST(a_date_weeks_ahead_is_kept),
	    LOOP_TEST(a_timer_moved_away_fires_once_at_its_last_date),
	    LOOP_TEST(a_timer_moved_nearer_fires_at_the_nearer_date),
	    LOOP_TEST(a_moved_timer_keeps_its_place_in_the_order),
	    LOOP_TEST(a_disarmed_timer_is_silent),
	    LOOP_TEST(a_timer_that_rests_is_silent_until_it_is_armed_again),
	    LOOP_TEST(a_timer_disarmed_by_another_one_of_the_same_date_is_silent),
	    LOOP_TEST(a_timer_armed_again_in_its_callback_fires_again_later),
	    LOOP_TEST(a_timer_due_again_at_once_fires_once_per_turn),
	    LOOP_TEST(a_date_in_the_past_fires_in_the_next_turn),
	    LOOP_TEST(a_timer_outlives_its_loop_unharmed),
	    LOOP_TEST(thousands_of_timers_do_what_a_plain_list_of_dates_would),
	    LOOP_TEST(the_loop_wakes_by_itself_for_a_date),
	    LOOP_TEST(work_put_off_runs_once_at_the_end_of_the_turn),
	    LOOP_TEST(work_put_off_by_itself_runs_in_the_next_turn),
	    LOOP_TEST(cancelled_work_does_not_run_even_in_the_same_turn),
	};

	return cmocka_run_group_tests_name("event/loop", tests, NULL, NULL);
}
