/* In the place of base/clock.c: time that stands still until the test moves it, so that nothing becomes due by the time that a
 * busy machine takes. For one thread's loop. */
#ifndef UNIT_STILL_CLOCK_H
#define UNIT_STILL_CLOCK_H

#include <stdatomic.h>
#include <time.h>

#include "base/clock.h"

#define STILL_BEGIN_MS 86400000

static _Atomic int64_t moved_ms;
static int64_t runs_since_us; /* 0: it stands */

static inline int64_t
real_us(clockid_t id)
{
	struct timespec t;

	clock_gettime(id, &t);
	return (int64_t)t.tv_sec * 1000000 + t.tv_nsec / 1000;
}

static inline void
clock_move(int64_t ms)
{
	atomic_fetch_add(&moved_ms, ms);
}

/* For what is about waiting itself. */
static inline void
clock_run(void)
{
	runs_since_us = real_us(CLOCK_MONOTONIC);
}

static inline void
clock_stop(void)
{
	clock_move((real_us(CLOCK_MONOTONIC) - runs_since_us) / 1000);
	runs_since_us = 0;
}

int64_t
clock_mono_us(void)
{
	int64_t ran_us = runs_since_us == 0 ? 0 : real_us(CLOCK_MONOTONIC) - runs_since_us;

	return (STILL_BEGIN_MS + atomic_load(&moved_ms)) * 1000 + ran_us;
}

int64_t
clock_mono_ms(void)
{
	return clock_mono_us() / 1000;
}

int64_t
clock_wall_ms(void)
{
	static int64_t began_ms;

	if (began_ms == 0)
		began_ms = real_us(CLOCK_REALTIME) / 1000;
	return began_ms + atomic_load(&moved_ms);
}

bool
clock_is_steered(void)
{
	return true;
}

int64_t
clock_offset_ms(void)
{
	return atomic_load(&moved_ms);
}

#endif
