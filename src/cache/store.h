/* cache/store.h - objects in memory, the least worth keeping out first (S3-FIFO by bytes: Yang et
 * al., SOSP 2023).
 *
 * Shared by all workers: sharded by key hash, each shard behind its own lock, held for a look-up
 * and never across a call out. Lock order: shard, then slab. The store holds one reference to each
 * object it lists and drops it on eviction: an object being sent outlives its own eviction. The
 * store never asks the clock. A hit touches the object's small counter only while that is below its
 * cap, and no list. Everything lives in the slab: objects, bodies, variants; index and ghosts are
 * counted against the limit too.
 */
#ifndef CACHE_STORE_H
#define CACHE_STORE_H

#include "cache/key.h"
#include "cache/object.h"
#include "cache/purgelog.h"
#include "http/head.h"

struct store;

struct store_usage {
	uint64_t objects;
	uint64_t bytes; /* held by objects, bodies, variants, index and ghosts */
	uint64_t limit_bytes;
	uint64_t evictions; /* since start */
	uint64_t ghost_hits;
};

/* A store of at most limit_bytes altogether. free_rendered frees what the server hung on an
 * object's rendered. NULL and errno on failure. */
struct store *store_new(size_t limit_bytes, void (*free_rendered)(void *));
void store_free(struct store **sp);
struct slab *store_slab(struct store *s);

/* The object under key whose Vary matches the request, fresh or stale, newest first; NULL if there
 * is none. Given with a reference. *other_variant_out (may be NULL) tells whether objects of that
 * key exist which only differ by Vary. */
struct object *store_find(struct store *s, const struct cache_key *key, const struct head *request,
    bool *other_variant_out);
/* Lists o (a reference is taken), in place of the object with the same key and vary key if there is
 * one. Variants of one key are bounded (STORE_VARIANTS_MAX): the oldest goes. */
#define STORE_VARIANTS_MAX 64
void store_put(struct store *s, struct object *o);
/* Takes o out if it is still listed. */
void store_remove(struct store *s, struct object *o);
/* Takes out all variants of a key. Returns how many there were. */
size_t store_remove_key(struct store *s, const struct cache_key *key);
/* Evicts until about bytes have been set free, own shard (by hash) first, then the others in turn.
 * False when nothing is left to evict. */
bool store_make_room(struct store *s, uint64_t hash, size_t bytes);
/* Allocates from the slab, evicting as needed; NULL when even that does not help. */
void *store_alloc(struct store *s, uint64_t hash, size_t bytes);
/* Hangs a variant on the object (taking the caller's reference to body) unless it has one of that
 * coding; counts its bytes. 0, or -1 (the reference is dropped). */
int store_add_variant(struct store *s, struct object *o, uint8_t encoding, struct body **bodyp);
/* Calls see for every listed object, shard by shard in small steps, never with a lock held. see may
 * call store_remove. */
void store_walk(struct store *s, void (*see)(struct object *o, void *arg), void *arg);
/* A smaller or larger bound, as after a reload: evicts down to it. */
int store_resize(struct store *s, size_t limit_bytes);
struct store_usage store_usage(struct store *s);

#endif
