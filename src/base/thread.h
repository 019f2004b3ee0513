/* base/thread.h - a thread of the daemon's own.
 *
 * It takes no signals (they are the main thread's), has a name that top(1) and gdb show, and a rank that says what it does to the workers
 * on whose processors it runs.
 */
#ifndef BASE_THREAD_H
#define BASE_THREAD_H

#include <pthread.h>

enum thread_rank {
	THREAD_PROMPT, /* somebody waits for it: it runs as soon as it is woken */
	/* SCHED_BATCH: its share is whole, but it never takes the processor from a worker by being woken. A log's writer that did so would
	 * be a millisecond in the slowest answers. */
	THREAD_BEHIND,
	/* SCHED_IDLE and nice 19: it stands still while anything else is to be done, for as long as that may be, so it holds no lock. As
	 * THREAD_PROMPT where a test steers the clock, which waits for it. */
	THREAD_WHEN_IDLE,
};

/* Starts RUN with ARG. NAME: at most 15 bytes. OUT: the thread, to be joined; NULL: it is detached. Where the rank cannot be had the thread runs with
 * an ordinary one, and the log says so. 0, or -1 with errno: there is no thread. Any thread may call it. */
int thread_start(
    pthread_t *out, const char *name, enum thread_rank rank, void *(*run)(void *), void *arg);

#endif
