#include "base/thread.h"

#include <errno.h>
#include <sched.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/log.h"
#include "base/mem.h"

enum { LEAST_NICE = 19, NAME_MOST = 16 };

/* What a new thread is to know; it frees it. */
struct start {
	char name[NAME_MOST];
	enum thread_rank rank;
	void *(*run)(void *);
	void *arg;
};

static void
take_rank(enum thread_rank rank, const char *name)
{
	struct sched_param none = {0};

	if (rank == THREAD_PROMPT || (rank == THREAD_WHEN_IDLE && clock_is_steered()))
		return;
	if (rank == THREAD_WHEN_IDLE)
		setpriority(PRIO_PROCESS, (id_t)gettid(), LEAST_NICE);
	if (sched_setscheduler(0, rank == THREAD_BEHIND ? SCHED_BATCH : SCHED_IDLE, &none) != 0)
		log_info("thread %s runs at an ordinary priority: %s", name, strerror(errno));
}

static void *
thread_main(void *arg)
{
	struct start s = *(struct start *)arg;

	free(arg);
	pthread_setname_np(pthread_self(), s.name);
	take_rank(s.rank, s.name);
	return s.run(s.arg);
}

/* pthread_create with every signal blocked; its error. */
static int
create(pthread_t *out, const pthread_attr_t *attr, struct start *s)
{
	sigset_t all, was;
	int e;

	sigfillset(&all);
	pthread_sigmask(SIG_SETMASK, &all, &was);
	e = pthread_create(out, attr, thread_main, s);
	pthread_sigmask(SIG_SETMASK, &was, NULL);
	return e;
}

int
thread_start(
    pthread_t *out, const char *name, enum thread_rank rank, void *(*run)(void *), void *arg)
{
	struct start *s = must_calloc(1, sizeof(*s));
	pthread_attr_t attr;
	pthread_t detached;
	int e;

	*s = (struct start){.rank = rank, .run = run, .arg = arg};
	strncpy(s->name, name, NAME_MOST - 1);
	pthread_attr_init(&attr);
	if (out == NULL)
		pthread_attr_setdetachstate(&attr, PTHREAD_CREATE_DETACHED);
	e = create(out == NULL ? &detached : out, &attr, s);
	pthread_attr_destroy(&attr);
	if (e != 0) {
		free(s);
		errno = e;
	}
	return e == 0 ? 0 : -1;
}
