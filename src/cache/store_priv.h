/* cache/store_priv.h - the insides of the store, shared by its files: store.c (looking up and listing), store_walk.c (all objects,
 * one after the other), store_room.c (who goes for the sake of others), and what all of them stand on, store_shard.c (queues and
 * index of a shard).
 */
#ifndef CACHE_STORE_PRIV_H
#define CACHE_STORE_PRIV_H

#include <pthread.h>
#include <stddef.h>

#include "cache/index.h"
#include "cache/slab.h"
#include "cache/store.h"

#define EVICT_BATCH 16 /* objects taken out under one hold of a lock */

enum queue_name { QUEUE_NONE, QUEUE_SMALL, QUEUE_MAIN };

struct queue {
	struct link list; /* the newest at the front */
	size_t bytes;
};

/* A look-up finds all it needs of a shard in its first line. */
struct shard {
	_Alignas(64) pthread_mutex_t lock;
	struct index index;
	struct queue queues[QUEUE_MAIN + 1]; /* by enum queue_name; the first stays empty */
	_Atomic size_t bytes;		     /* of both; written under the lock */
	uint64_t evictions, ghost_hits, restored;
};

_Static_assert(offsetof(struct shard, index.objects) <= 64, "the lock has grown");

struct store {
	struct slab *slab;
	unsigned shards_count; /* a power of two */
	_Atomic unsigned hand; /* whose turn it is to evict when no shard is named */
	_Atomic size_t bytes;  /* of all shards */
	struct shard *shards;
	void (*see)(void *arg, struct object *o, bool came); /* may be NULL */
	void *see_arg;
};

/* Objects that left a shard under its lock; their references are dropped without it. */
struct leavers {
	struct object *objects[EVICT_BATCH];
	unsigned count;
	size_t freed; /* what nobody else holds */
};

static inline struct shard *
shard_of(struct store *s, uint64_t hash)
{
	return &s->shards[slab_tag_of(hash) & (s->shards_count - 1)];
}

static inline bool
store_is_of_key(const struct object *o, uint64_t hash, struct slice text)
{
	return o->hash == hash && slice_eq(object_key(o), text);
}

/* What o is to be counted as once it is listed; without the lock. */
static inline uint32_t
store_charge(const struct object *o)
{
	size_t bytes = object_memory_bytes(o);

	return bytes > UINT32_MAX ? UINT32_MAX : (uint32_t)bytes;
}

/* store_shard.c */

/* Tells who watches that o came or went; without the lock. */
void store_tell(struct store *s, struct object *o, bool came);
/* Whether all of o lies in the slab. */
bool store_holds(const struct store *s, const struct object *o);
/* Under the shard's lock: o enters the queue as the newest, and the index; it leaves both, and the store's reference is the
 * caller's; it becomes the newest of another queue, or of its own; its size changes by so many bytes. */
void shard_list(struct store *s, struct shard *sh, struct object *o, enum queue_name queue);
void shard_unlist(struct store *s, struct shard *sh, struct object *o);
void shard_move(struct shard *sh, struct object *o, enum queue_name to);
void shard_count_bytes(struct store *s, struct shard *sh, struct object *o, ssize_t bytes);
/* Under the shard's lock: the object that o replaces, or if there are too many variants the oldest; NULL if neither. */
struct object *shard_find_replaced(struct shard *sh, const struct object *o);
/* Takes another segment into the index where it wants one: room is made for it without the lock. */
void shard_grow(struct store *s, struct shard *sh);

/* store_room.c */

/* Adds who has been unlisted, or is about to be, under the lock; lets all of them go, without it. */
void leavers_add(struct leavers *l, struct object *o);
void leavers_go(struct store *s, struct leavers *l);
/* Evicts from one shard until bytes are free or nothing is left in it. Returns what became free. */
size_t shard_make_room(struct store *s, struct shard *sh, size_t bytes);
/* What the slab calls when it is full (slab_set_pressure); arg is the store. */
bool store_on_pressure(void *arg, size_t bytes, unsigned attempt);

#endif
