/* cache/store.h - objects in memory, the least worth keeping out first (S3-FIFO by bytes: Yang et
 * al., SOSP 2023).
 *
 * New objects enter a small queue, a tenth of the shard; what is asked for there again moves to the
 * main queue, the rest leaves early and is remembered as a ghost: if it comes back while its ghost is there, it enters the main queue at once. A hit touches the object's small counter only while
 * that is below its cap, and no list.
 *
 * Shared by all workers: sharded by key hash, each shard behind its own lock, held for a look-up
 * and never across a call out. Lock order: shard, then slab. The store holds one reference to each
 * object it lists and drops it on eviction: an object being sent outlives its own eviction. The
 * store never asks the clock. Everything lives in the slab: objects, bodies, variants; index and ghosts are
 * counted against the limit too.
 *
 * The slab calls the store when it is full (slab_set_pressure), so that whoever allocates for an
 * object or a body need not know the store. First the queues give way; where that leaves free slots
 * of the wrong size only, a page that costs least is emptied. Objects being sent are passed over
 * there: to evict them would free nothing now.
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
	uint64_t index_buckets;
	uint64_t ghost_hits;
	uint64_t restored; /* objects that came from the process before */
};

/* A store of at most limit_bytes altogether. NULL and errno on failure. */
struct store *store_new(size_t limit_bytes);
/* Nobody else may hold a reference to an object or body of it any more. */
void store_free(struct store **sp);
struct slab *store_slab(struct store *s);

/* The object under key whose Vary matches the request, fresh or stale, newest first; NULL if there
 * is none. Given with a reference. request may be NULL: then any will do. *other_variant_out (may be NULL) tells whether objects of that
 * key exist which only differ by Vary. */
struct object *store_find(struct store *s, const struct cache_key *key, const struct head *request,
    bool *other_variant_out);
/* The same for who only looks: it is not worth more for that. */
struct object *store_look(struct store *s, const struct cache_key *key, const struct head *request,
    bool *other_variant_out);
/* All variants of the key, each with a reference, the newest first. Returns how many there are, at most `most`. */
size_t store_list(struct store *s, const struct cache_key *key, struct object **out, size_t most);
/* Lists o (a reference is taken), in place of the object with the same key and vary key if there is
 * one. Variants of one key are bounded (STORE_VARIANTS_MAX): the oldest goes. Its body has ended.
 * False and not listed: it or its body is not all in the slab, and so would not be bounded. */
#define STORE_VARIANTS_MAX 64
bool store_put(struct store *s, struct object *o);
/* Takes o out if it is still listed. */
void store_remove(struct store *s, struct object *o);
/* Takes out all variants of a key. Returns how many there were. */
size_t store_remove_key(struct store *s, const struct cache_key *key);
/* see is called for each object that was listed (came) or is not any more, without a lock held, on whichever
 * thread did it; the one call may overtake the other. Objects there are already are not told of. NULL: nobody
 * is told any more. Before the first object, or when no thread uses the store. */
void store_watch(struct store *s, void (*see)(void *arg, struct object *o, bool came), void *arg);
/* Evicts until about bytes have been set free, own shard (by hash) first, then the others in turn.
 * False when nothing is left to evict. */
bool store_make_room(struct store *s, uint64_t hash, size_t bytes);
/* Allocates from the slab, evicting as needed; NULL when even that does not help. */
void *store_alloc(struct store *s, uint64_t hash, size_t bytes);
/* Hangs a variant on the object (taking the caller's reference to body) unless it has one of that
 * coding; counts its bytes. 0, or -1 (the reference is dropped; also if it is not in the slab). */
int store_add_variant(struct store *s, struct object *o, uint8_t encoding, struct body **bodyp);
/* The listed object of that hash which has that body, with a reference; NULL: there is none (any more). body is only
 * compared. */
struct object *store_find_body(struct store *s, uint64_t hash, const struct body *body);
/* Puts o, a clone of old with other variants, in old's place: in its queue, in its chain, counted by what it holds. Who has old
 * goes on with it. False, and nothing is changed: old is not listed any more, or o is not all in the slab. Watchers are not
 * told: nothing came or went. */
bool store_swap(struct store *s, struct object *old, struct object *o);
/* Calls see for every listed object, shard by shard in small steps, never with a lock held. see may
 * call store_remove. */
void store_walk(struct store *s, void (*see)(struct object *o, void *arg), void *arg);
/* All listed objects, the one most worth keeping first: a list the caller frees, each with a reference. */
struct object **store_all(struct store *s, size_t *count_out);
/* Whether it is in the main queue: it was asked for again. */
bool store_is_main(const struct object *o);
/* Lists o, which an earlier process stored, behind all others of that queue; not where something newer is there already, nor what
 * is not all in the slab. A reference is taken if it is listed. */
bool store_restore(struct store *s, struct object *o, bool is_main);
/* Puts o, which has that hash, behind all others of its queue, if it is still listed: o is only compared. */
void store_move_last(struct store *s, uint64_t hash, const struct object *o);
/* Judges every object by the purge log, takes out what is gone, and tells the log that its patterns
 * up to then are not needed any more. Returns how many were taken out. */
size_t store_sweep(struct store *s, struct purgelog *l);
/* A smaller or larger bound, as after a reload: evicts down to it, but for what is in use. 0, or -1
 * (errno) if growth is beyond what was reserved at start. */
int store_resize(struct store *s, size_t limit_bytes);
struct store_usage store_usage(struct store *s);

#endif
