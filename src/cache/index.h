/* cache/index.h - the objects of one shard by the hash of their key, and whom it evicted lately.
 *
 * A linear hash: with each object that is one too many one slot is split in two, so growth never
 * stops anybody for longer than that. Slots stand in segments, which the store takes one at a time
 * and counts against the cache's memory. Chains go through object->chain, the newest first.
 *
 * Beside each slot stands one ghost, the fingerprint of a key evicted from the small queue (cache/store.h); eight
 * neighbours make a row, filled from the front. A row is read only as far as there are objects for
 * its slots, so that there are about as many ghosts as objects.
 *
 * Knows no lock: the shard's owner holds one.
 */
#ifndef CACHE_INDEX_H
#define CACHE_INDEX_H

#include "cache/object.h"

#define INDEX_SEGMENT_SLOTS 512

struct index_segment;

struct index {
	struct index_segment **segments;
	size_t segments_count, segments_cap;
	size_t slots; /* in use */
	size_t objects;
	unsigned shift;	  /* low bits of the tag that chose the shard */
	unsigned walkers; /* while there are any, slots are not merged */
};

size_t index_segment_bytes(void);
/* With one segment; shift: how many low bits of slab_tag_of(hash) are the same in all of it. */
void index_init(struct index *x, unsigned shift);
void index_fini(struct index *x);

/* The first object in the slot of that hash; the rest by chain. Others' hashes are among them. */
struct object *index_chain(const struct index *x, uint64_t hash);
/* The same by number of slot, for a walk. */
struct object *index_slot(const struct index *x, size_t slot);
/* Adds in front; splits a slot where there are too many objects and room for it. */
void index_add(struct index *x, struct object *o);
/* Takes out; it must be in. */
void index_remove(struct index *x, struct object *o);

/* Puts o, of the same hash, where old is, which is taken out. */
void index_swap(struct index *x, struct object *old, struct object *o);

/* Growth needs another segment. It is made without the lock (NULL: no memory) and given with it;
 * false when it is not needed any more. */
bool index_wants_segment(const struct index *x);
struct index_segment *index_segment_new(void);
bool index_give_segment(struct index *x, struct index_segment *seg);
/* A segment that is not needed any more, or NULL: the caller frees it (free). */
struct index_segment *index_take_segment(struct index *x);

/* Notes that the key was evicted. */
void index_ghost_add(struct index *x, uint64_t hash);
/* Whether it was, lately; it is forgotten then. */
bool index_ghost_take(struct index *x, uint64_t hash);

#endif
