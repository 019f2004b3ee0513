/* cache/redis_priv.h - the insides of the second tier, shared by its files: redis.c (the connections, whether they are of
 * use), redis_get.c (look-ups), redis_put.c (writes). */
#ifndef CACHE_REDIS_PRIV_H
#define CACHE_REDIS_PRIV_H

#include "cache/l2breaker.h"
#include "cache/l2crew.h"
#include "cache/l2value.h"
#include "cache/redis.h"

/* One of the two connections. */
struct side {
	struct l2 *l2;
	struct redisnet *io;
	struct breaker breaker;
	const char *what; /* for the log */
	bool is_writing;
	int64_t timeout_ms;
	uint32_t told;	     /* refusals the log knows of, a bit each, since all was well */
	uint32_t told_flaws; /* the same for flaws of values */
	_Atomic bool *is_up; /* in the counters */
	char trouble[160];   /* why the breaker is open */
};

struct l2 {
	struct loop *loop;
	char *prefix, *secret;
	struct l2_seal seal;
	uint64_t hash_seed;
	size_t value_max_bytes;
	struct slab *slab;
	bool logs;
	const struct sharedlog *log;
	struct side reads, writes;
	struct l2_crew *crew;
	struct mailbox *reply_to;
	struct link gets; /* under way */
	struct link puts; /* being made */
	struct link guests;
	struct l2_counters counters;
};

static inline void
l2_tally(struct l2 *l, enum l2_op op, enum l2_result result)
{
	atomic_fetch_add_explicit(&l->counters.requests[op][result], 1, memory_order_relaxed);
}

static inline struct l2_clocks
l2_now(struct l2 *l)
{
	return (struct l2_clocks){loop_now_ms(l->loop), loop_wall_ms(l->loop)};
}

/* The name of a value there. more: what tells variants of one key from one another. */
struct slice l2_key_of(
    const struct l2 *l, char kind, struct slice key, struct slice more, char out[L2_KEY_BYTES]);
/* A command failed without an answer. */
void l2_side_failed(struct side *s, enum redisio_end end);
/* An error is an answer, but not the one that was wanted. */
void l2_side_refused(struct side *s, const struct redis_reply *reply);
/* All that are under way find nothing, and are called back. */
void l2_gets_end(struct l2 *l);
/* What is being made will not be written. Nobody is called back. */
void l2_puts_end(struct l2 *l);

#endif
