#include "policy/press.h"

#include <assert.h>
#include <pthread.h>
#include <semaphore.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <time.h>

#include "base/clock.h"
#include "base/mem.h"
#include "base/thread.h"
#include "policy/codec.h"

#define PIECE_BYTES ((size_t)16 << 10) /* between two looks at whether it is still wanted */

enum press_state { PRESS_IDLE, PRESS_WORKS, PRESS_DONE };

struct press {
	_Atomic int state;    /* enum press_state: who may touch the job */
	_Atomic int owners;   /* its user and its thread */
	_Atomic bool is_over; /* the thread is to end */
	_Atomic bool is_cancelled;
	sem_t wake;
	struct press_job job;
};

/* --- the thread --- */

static double
cpu_ms(void)
{
	struct timespec t;

	clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t);
	return (double)t.tv_sec * 1e3 + (double)t.tv_nsec / 1e6;
}

/* Codes piece by piece into room for most_bytes - 1. */
static bool
code(struct press *p, struct codec *c, struct press_job *j)
{
	struct slice text = slice_of(j->text, j->text_n);
	size_t room = j->most_bytes - 1 + CODEC_ROOM_MIN;
	enum codec_result result;

	if ((j->out = malloc(room)) == NULL)
		return false;

	do {
		size_t n = text.n < PIECE_BYTES ? text.n : PIECE_BYTES, out_n;
		struct slice piece = slice_of(text.p, n);

		if (atomic_load_explicit(&p->is_cancelled, memory_order_relaxed))
			return false;
		text = slice_skip(text, n);
		result = codec_run(c, &piece, j->out + j->out_n, room - j->out_n, &out_n,
		    text.n == 0 ? CODEC_FINISH : CODEC_RUN);
		j->out_n += out_n;
		if (j->out_n >= j->most_bytes)
			return false;
	} while (result == CODEC_MORE);
	return result == CODEC_DONE;
}

static void
work(struct press *p)
{
	struct press_job *j = &p->job;
	struct codec_options o = {.coding = j->coding,
	    .level = CODEC_LEVEL_STRONGEST,
	    .size_hint = j->text_n,
	    .is_unhurried = true};
	double began_ms = cpu_ms();
	struct codec_pool *pool = codec_pool_new(0, SIZE_MAX);
	struct codec *c = codec_new_encoder(pool, &o);

	j->is_smaller = c != NULL && code(p, c, j);
	codec_free(&c);
	codec_pool_free(&pool);
	j->was_cancelled = atomic_load_explicit(&p->is_cancelled, memory_order_relaxed);
	j->cpu_ms = cpu_ms() - began_ms;
	if (!j->is_smaller) {
		free(j->out);
		j->out = NULL;
	}
}

static void
press_unref(struct press *p)
{
	if (atomic_fetch_sub(&p->owners, 1) > 1)
		return;
	free(p->job.text);
	free(p->job.out);
	sem_destroy(&p->wake);
	free(p);
}

static void *
press_main(void *arg)
{
	struct press *p = arg;

	for (;;) {
		while (sem_wait(&p->wake) != 0)
			;
		if (atomic_load(&p->is_over))
			break;
		work(p);
		atomic_store_explicit(&p->state, PRESS_DONE, memory_order_release);
	}
	press_unref(p);
	return NULL;
}

/* --- its user --- */

struct press *
press_new(void)
{
	struct press *p = must_calloc(1, sizeof(*p));

	atomic_init(&p->owners, 2);
	sem_init(&p->wake, 0, 0);
	if (thread_start(NULL, "press", THREAD_WHEN_IDLE, press_main, p) == 0)
		return p;
	sem_destroy(&p->wake);
	free(p);
	return NULL;
}

void
press_free(struct press **pp)
{
	struct press *p = *pp;

	*pp = NULL;
	if (p == NULL)
		return;
	atomic_store(&p->is_over, true);
	atomic_store(&p->is_cancelled, true);
	sem_post(&p->wake);
	press_unref(p);
}

bool
press_is_busy(const struct press *p)
{
	return atomic_load_explicit(&p->state, memory_order_acquire) != PRESS_IDLE;
}

void
press_begin(struct press *p, struct press_job *job)
{
	assert(!press_is_busy(p));
	p->job = (struct press_job){.coding = job->coding,
	    .text = job->text,
	    .text_n = job->text_n,
	    .most_bytes = job->most_bytes};
	job->text = NULL;
	atomic_store(&p->is_cancelled, false);
	atomic_store(&p->state, PRESS_WORKS);
	sem_post(&p->wake);
}

void
press_cancel(struct press *p)
{
	atomic_store_explicit(&p->is_cancelled, true, memory_order_relaxed);
}

bool
press_finish(struct press *p, struct press_job *job_out)
{
	if (atomic_load_explicit(&p->state, memory_order_acquire) != PRESS_DONE)
		return false;
	*job_out = p->job;
	p->job = (struct press_job){0};
	atomic_store_explicit(&p->state, PRESS_IDLE, memory_order_release);
	return true;
}
