/* LINK: event/helpers event/mailbox event/loop base/clock base/mem base/thread base/log */
#include "event/helpers.h"

#include <pthread.h>
#include <semaphore.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "redis_server.h"

#define LINE_BYTES 1000

/* A loop, its mailbox, helpers; and what a chore may be made to wait for. */
struct stage {
	struct loop *loop;
	struct mailbox *box;
	struct helpers *helpers;
	sem_t gate;
	unsigned back;
};

struct job {
	struct chore chore;
	struct stage *stage;
	pthread_t by;
	_Atomic bool has_begun;
	bool waits, is_back, was_run, is_own; /* own: frees itself */
};

static void
run_job(struct chore *c)
{
	struct job *j = CONTAINER_OF(c, struct job, chore);

	atomic_store(&j->has_begun, true);
	while (j->waits && sem_wait(&j->stage->gate) != 0)
		;
	j->by = pthread_self();
}

static void
on_job_back(struct chore *c, bool was_run)
{
	struct job *j = CONTAINER_OF(c, struct job, chore);

	j->is_back = true;
	j->was_run = was_run;
	j->stage->back++;
	if (j->is_own)
		free(j);
}

static bool
hand_in(struct stage *s, struct job *j, enum helpers_line line, size_t bytes, bool waits)
{
	*j = (struct job){
	    .chore = {.run = run_job, .back = on_job_back, .reply_to = s->box, .held_bytes = bytes},
	    .stage = s,
	    .waits = waits};
	return helpers_take(s->helpers, line, &j->chore);
}

static bool
is_back(void *arg)
{
	return ((struct job *)arg)->is_back;
}

static bool
has_begun(void *arg)
{
	return atomic_load(&((struct job *)arg)->has_begun);
}

/* What they still take is left behind, to come back with the rest. */
static bool
takes_no_more(void *arg)
{
	struct job *j = malloc(sizeof(*j));
	bool is_taken = hand_in(arg, j, HELPERS_AWAITED, 1, false);

	j->is_own = is_taken;
	if (!is_taken)
		free(j);
	return !is_taken;
}

static int
set_stage(void **state)
{
	struct stage *s = calloc(1, sizeof(*s));

	s->loop = loop_new();
	s->box = mailbox_new(s->loop);
	s->helpers = helpers_new(LINE_BYTES);
	sem_init(&s->gate, 0, 0);
	*state = s;
	return 0;
}

static int
strike_stage(void **state)
{
	struct stage *s = *state;

	helpers_stop(s->helpers);
	mailbox_free(&s->box);
	helpers_free(&s->helpers);
	loop_free(&s->loop);
	sem_destroy(&s->gate);
	free(s);
	return 0;
}

static void
a_chore_is_run_elsewhere_and_comes_back_to_its_loop(void **state)
{
	struct stage *s = *state;
	struct job j;

	assert_true(hand_in(s, &j, HELPERS_UNAWAITED, 10, false));
	assert_false(j.is_back);
	assert_int_equal(helpers_held_bytes(s->helpers, HELPERS_UNAWAITED), 10);
	assert_true(run_until(s->loop, is_back, &j));
	assert_true(j.was_run);
	assert_false(pthread_equal(j.by, pthread_self()));
	assert_int_equal(helpers_held_bytes(s->helpers, HELPERS_UNAWAITED), 0);
}

static void
what_is_awaited_does_not_stand_behind_what_is_not(void **state)
{
	struct stage *s = *state;
	struct job slow, next, awaited;

	assert_true(hand_in(s, &slow, HELPERS_UNAWAITED, 1, true));
	assert_true(hand_in(s, &next, HELPERS_UNAWAITED, 1, true));
	assert_true(hand_in(s, &awaited, HELPERS_AWAITED, 1, false));
	assert_true(run_until(s->loop, is_back, &awaited));
	assert_int_equal(s->back, 1);
	sem_post(&s->gate);
	assert_true(run_until(s->loop, is_back, &slow));
	assert_false(next.is_back);
	sem_post(&s->gate);
	assert_true(run_until(s->loop, is_back, &next));
}

static void
each_line_holds_so_much_and_one_chore_at_least(void **state)
{
	struct stage *s = *state;
	struct job first, second, third, other;

	assert_true(hand_in(s, &first, HELPERS_UNAWAITED, LINE_BYTES - 1, true));
	assert_true(hand_in(s, &second, HELPERS_UNAWAITED, 1, false));
	assert_false(hand_in(s, &third, HELPERS_UNAWAITED, 1, false));
	assert_true(hand_in(s, &other, HELPERS_AWAITED, 50 * LINE_BYTES, false));
	sem_post(&s->gate);
	assert_true(run_until(s->loop, is_back, &second));
	assert_true(run_until(s->loop, is_back, &other));
	assert_true(hand_in(s, &third, HELPERS_UNAWAITED, SIZE_MAX, false));
	assert_true(run_until(s->loop, is_back, &third));
}

/* Stops them while the one chore that has begun waits at the gate. */
static void *
stop_them(void *arg)
{
	helpers_stop(((struct stage *)arg)->helpers);
	return NULL;
}

static void
what_had_not_begun_when_they_stop_comes_back_undone(void **state)
{
	struct stage *s = *state;
	struct job begun, waiting, late;
	pthread_t stopper;

	assert_true(hand_in(s, &begun, HELPERS_UNAWAITED, 1, true));
	assert_true(run_until(s->loop, has_begun, &begun));
	assert_true(hand_in(s, &waiting, HELPERS_UNAWAITED, 1, false));
	assert_int_equal(pthread_create(&stopper, NULL, stop_them, s), 0);
	assert_true(run_until(s->loop, takes_no_more, s));
	sem_post(&s->gate);
	pthread_join(stopper, NULL);
	assert_false(hand_in(s, &late, HELPERS_UNAWAITED, 1, false));
	assert_false(begun.is_back || waiting.is_back);
	mailbox_settle(s->box);
	assert_true(begun.is_back && begun.was_run);
	assert_true(waiting.is_back && !waiting.was_run);
}

int
main(void)
{
#define STAGED(f) cmocka_unit_test_setup_teardown(f, set_stage, strike_stage)
	const struct CMUnitTest tests[] = {
	    STAGED(a_chore_is_run_elsewhere_and_comes_back_to_its_loop),
	    STAGED(what_is_awaited_does_not_stand_behind_what_is_not),
	    STAGED(each_line_holds_so_much_and_one_chore_at_least),
	    STAGED(what_had_not_begun_when_they_stop_comes_back_undone),
	};

	return cmocka_run_group_tests_name("event/helpers", tests, NULL, NULL);
}
