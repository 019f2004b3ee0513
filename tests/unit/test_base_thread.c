/* LINK: base/thread base/mem base/log base/buf base/clock */
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>

#include <sched.h>
#include <semaphore.h>
#include <signal.h>
#include <sys/resource.h>
#include <unistd.h>

#include "base/thread.h"

/* What a thread sees of itself. */
struct seen {
	char name[16];
	int policy, nice;
	bool takes_term;
	sem_t is_told;
};

static void *
look(void *arg)
{
	struct seen *s = arg;
	sigset_t blocked;

	pthread_getname_np(pthread_self(), s->name, sizeof(s->name));
	s->policy = sched_getscheduler(0);
	s->nice = getpriority(PRIO_PROCESS, (id_t)gettid());
	pthread_sigmask(SIG_SETMASK, NULL, &blocked);
	s->takes_term = !sigismember(&blocked, SIGTERM);
	sem_post(&s->is_told);
	return NULL;
}

static struct seen
start_and_look(const char *name, enum thread_rank rank)
{
	struct seen s = {.nice = 0};
	pthread_t t;

	sem_init(&s.is_told, 0, 0);
	assert_int_equal(thread_start(&t, name, rank, look, &s), 0);
	pthread_join(t, NULL);
	return s;
}

static void
it_has_its_name_and_takes_no_signals(void **state)
{
	struct seen s = start_and_look("clerk", THREAD_PROMPT);
	sigset_t blocked;

	(void)state;
	assert_string_equal(s.name, "clerk");
	assert_false(s.takes_term);
	assert_int_equal(s.policy, SCHED_OTHER);
	pthread_sigmask(SIG_SETMASK, NULL, &blocked);
	assert_false(sigismember(&blocked, SIGTERM)); /* who started it takes them still */
}

static void
a_name_too_long_is_cut(void **state)
{
	(void)state;
	assert_string_equal(
	    start_and_look("a-name-beyond-the-bound", THREAD_PROMPT).name, "a-name-beyond-t");
}

static void
one_behind_the_workers_never_takes_their_processor_when_woken(void **state)
{
	struct seen s = start_and_look("accesslog", THREAD_BEHIND);

	(void)state;
	assert_int_equal(s.policy, SCHED_BATCH);
	assert_int_equal(
	    s.nice, getpriority(PRIO_PROCESS, (id_t)gettid())); /* its share is whole */
}

static void
one_for_idle_times_has_the_least_of_ranks(void **state)
{
	struct seen s = start_and_look("press", THREAD_WHEN_IDLE);

	(void)state;
	assert_int_equal(s.policy, SCHED_IDLE);
	assert_int_equal(s.nice, 19);
}

static void
a_detached_one_runs(void **state)
{
	struct seen s = {.nice = 0};

	(void)state;
	sem_init(&s.is_told, 0, 0);
	assert_int_equal(thread_start(NULL, "alone", THREAD_PROMPT, look, &s), 0);
	while (sem_wait(&s.is_told) != 0)
		;
	assert_string_equal(s.name, "alone");
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(it_has_its_name_and_takes_no_signals),
	    cmocka_unit_test(a_name_too_long_is_cut),
	    cmocka_unit_test(one_behind_the_workers_never_takes_their_processor_when_woken),
	    cmocka_unit_test(one_for_idle_times_has_the_least_of_ranks),
	    cmocka_unit_test(a_detached_one_runs),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
