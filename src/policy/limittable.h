/* policy/limittable.h - the keys that rate limits remember: sharded, bounded, seen by all workers.
 *
 * Only ratelimit.c (decisions), limiter.c, limittable.c and sharedkey.h include this: it is the inside of policy/ratelimit.h.
 *
 * One entry per (limiter, key), found by a seeded hash and compared in full. A shard is a small
 * mutex, a fixed number of buckets and the lists below; whoever touches a shard or an entry of it
 * holds its lock. Lock order: a shard, then nothing. Nothing calls out under it.
 *
 * Bytes per entry: 56, of which 8 are malloc's; 32 more where the limit has a queue or is shared, 112
 * more where it is shared; the state (16
 * fixed, 8 + 8 per permit for the log, 24 + 4 per segment); the key (10 for IPv6, 6 for IPv4);
 * rounded up to 16. Entries and buckets together stay within the bytes given at creation.
 *
 * What goes when a new key needs room, first to last:
 *   1. keys whose permits are all back: nothing is forgotten with them;
 *   2. of the rest the one with the largest share of its limit left, among those the longest
 * unseen;
 *   3. keys at their limit, the longest unseen first (so not those who are still knocking);
 *   never a key with somebody waiting.
 * For that each entry stands in one of LEVELS lists by the share of its limit in use when it was
 * last seen. Making room looks only at the two longest unseen of each list.
 */
#ifndef POLICY_LIMITTABLE_H
#define POLICY_LIMITTABLE_H

#include <pthread.h>
#include <stdatomic.h>

#include "base/hash.h"
#include "base/list.h"
#include "base/slice.h"
#include "policy/ratelimit.h"
#include "policy/window.h"

#define LIMIT_LEVELS 8 /* the last one: nothing left */
#define LIMIT_SHARDS_MAX 64

/* Who waits for permits of one key, in order of arrival. */
struct limit_queue {
	struct link waiters; /* struct limit_waiter.link, the oldest first */
	uint64_t permits;    /* that they wait for */
	int64_t due_ms;	     /* when something can happen here: permits come back or a deadline */
};

/* What an instance knows of a key whose permits are counted in Redis; all zero at first. Times are ours. */
struct limit_shared {
	uint64_t trip;		  /* the serial of who looks after the key; 0: nobody */
	void *tender, *tender_of; /* that one, and whose it is: only this worker looks at it */
	int64_t rests_until_ms;	  /* when it looks again by itself */
	bool is_asking;		  /* it is on its way to Redis */
	uint32_t in_hand;	  /* permits leased and not yet used */
	int64_t booked_ms;	  /* Redis' time of the lease */
	int64_t lease_ends_ms;	  /* they are good until then */
	int64_t none_until_ms;	  /* Redis has said that there is no permit before */
	int64_t reset_ms,
	    retry_ms;	    /* as last said: when there is one more, and one behind the queue */
	uint32_t remaining; /* likewise, in hand not included */
	uint32_t slice;	    /* to be leased the next time */
	uint32_t owed;	    /* permits used here that Redis has not been told of */
	int64_t asked_ms;   /* when it was asked last */
};

struct limit_entry {
	struct limit_entry *chain; /* the next in its bucket */
	struct link link;	   /* in a level of its shard, or in its waiting list */
	struct limiter *limiter;
	int64_t
	    seen_ms; /* the latest time this key was visited at: its time never runs backwards */
	uint32_t hash;
	uint8_t level;
	uint8_t key_bytes;
	/* the limiter's layout follows: queue if any, shared if it is, state, key */
};

struct limit_shard {
	pthread_mutex_t lock;
	struct limit_entry **buckets;
	uint32_t mask; /* of the buckets */
	unsigned number;
	size_t keys, used_bytes, max_bytes; /* of entries */
	struct link levels[LIMIT_LEVELS];   /* the longest unseen first */
	struct link waiting;		    /* entries with waiters */
	_Atomic int64_t due_ms;		    /* no later than any due_ms of waiting entries */
} __attribute__((aligned(64)));

/* Decisions counted by name, over reloads; one stripe per shard, written under its lock. */
struct limit_tally {
	unsigned refs; /* under the table's registry lock */
	struct {
		_Atomic uint64_t n[LIMIT_COUNTS];
	} __attribute__((aligned(64))) stripes[LIMIT_SHARDS_MAX];
};

struct limiter {
	struct limit_table *table; /* holds a reference */
	struct link link;	   /* in the table's registry */
	unsigned refs;		   /* under the table's registry lock */
	char *name;
	struct limit_conf conf;
	struct window_rule rule;
	uint64_t seed;		      /* places its keys: no two limiters share one */
	uint32_t queue_at, shared_at; /* offsets in an entry; 0: it has none */
	uint32_t state_at, key_at;    /* likewise */
	struct limit_tally *tally;
};

struct limit_table {
	_Atomic unsigned refs;
	unsigned shard_count; /* a power of two */
	struct limit_shard *shards;
	limit_wake_fn *on_wake;
	void *on_wake_arg;
	pthread_mutex_t registry; /* limiters and their references; never held with a shard's lock,
				     but for the last unref, which takes each shard under it */
	struct link limiters;
	uint64_t serial; /* of the next limiter */
};

static inline struct limit_queue *
limit_entry_queue(struct limit_entry *e)
{
	uint32_t at = e->limiter->queue_at;

	return at == 0 ? NULL : (struct limit_queue *)(void *)((char *)e + at);
}

static inline struct limit_shared *
limit_entry_shared(struct limit_entry *e)
{
	return (struct limit_shared *)(void *)((char *)e + e->limiter->shared_at);
}

static inline struct window *
limit_entry_window(const struct limit_entry *e)
{
	return (struct window *)(void *)((char *)e + e->limiter->state_at);
}

static inline void
limit_count(struct limiter *l, const struct limit_shard *s, enum limit_count which)
{
	_Atomic uint64_t *n = &l->tally->stripes[s->number].n[which];

	/* the shard's lock makes us the only writer; the reader of metrics has no lock */
	atomic_store_explicit(
	    n, atomic_load_explicit(n, memory_order_relaxed) + 1, memory_order_relaxed);
}

/* Tells waiters that were decided under a shard's lock, after it. */
void limit_wake_all(struct limit_table *t, struct link *woken);

/* All shards of a table within max_bytes; -1 when memory is short. */
int limit_shards_init(struct limit_table *t, size_t max_bytes);
void limit_shards_fini(struct limit_table *t);

static inline uint64_t
limit_key_hash(const struct limiter *l, struct slice key)
{
	return hash_more(l->seed, key.p, key.n);
}

static inline struct limit_shard *
limit_shard_of(struct limit_table *t, uint64_t hash)
{
	return &t->shards[(hash >> 32) & (t->shard_count - 1)];
}

/* The entry, or NULL. */
struct limit_entry *limit_shard_find(
    struct limit_shard *s, const struct limiter *l, struct slice key, uint64_t hash);
/* A new entry with all its permits, in no list yet: limit_shard_place() it before unlocking. Makes
 * room by the order above; NULL when there is none to be had. */
struct limit_entry *limit_shard_add(
    struct limit_shard *s, struct limiter *l, struct slice key, uint64_t hash, int64_t now_ms);
/* Files an entry that was visited where its use and its waiters put it, as the latest seen. */
void limit_shard_place(struct limit_shard *s, struct limit_entry *e);
/* Frees every entry of a limiter. None has waiters. */
void limit_shard_forget(struct limit_shard *s, const struct limiter *l);

#endif
