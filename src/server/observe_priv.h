/* server/observe_priv.h - between the files of server/observe.h: what is counted (observe.c) is what is read (observe_read.c). */
#ifndef SERVER_OBSERVE_PRIV_H
#define SERVER_OBSERVE_PRIV_H

#include <pthread.h>
#include <stdatomic.h>

#include "server/observe.h"

#define CODE_CLASSES 10 /* 0xx: no answer; up to 9xx */
#define CODES_IN_CLASS 100
#define LINE 64 /* no two workers write the same cache line */

#define X(us, le) +1
enum { BUCKETS = 0 DURATION_BUCKETS(X) };
#undef X

/* Written by one worker with plain relaxed stores (no locked instruction), read by anybody. */
typedef _Atomic uint64_t count64;

struct histogram {
	count64 buckets[BUCKETS + 1]; /* not cumulative; the last: longer than every bound */
	count64 sum_us;
};

struct codes {
	count64 n[CODES_IN_CLASS];
};

/* What one worker has seen of one route. */
struct route_counts {
	struct codes *_Atomic codes[METHOD_COUNT][CODE_CLASSES];
	count64 cache[CACHE_WORD_COUNT][TIER_COUNT];
	struct histogram duration[CACHE_WORD_COUNT];
	struct histogram origin;
};

struct observer {
	struct route_counts *_Atomic routes[ROUTE_SLOTS];
	count64 ends[END_COUNT];
	count64 connections[LISTENER_SLOTS]
			   [CONNECTION_STATE_COUNT]; /* may wrap: one worker's part of a sum */
	count64 counters[COUNT_COUNT];
} __attribute__((aligned(LINE)));

/* Names that have a number; a number is never given to another name. */
struct slots {
	unsigned max;
	_Atomic unsigned count;
	char **names;
};

struct observations {
	pthread_mutex_t lock; /* held while a name is added */
	struct slots routes, listeners;
	unsigned workers;
	struct observer **observers;
};

static inline uint64_t
counted(count64 *c)
{
	return atomic_load_explicit(c, memory_order_relaxed);
}

#endif
