/* cache/index.h - the objects of one shard by the hash of their key, and whom it evicted lately.
 *
 * A linear hash of buckets. A bucket is one line of the processor's cache: seven objects, each with 16 bits of its hash beside its
 * address, so that among millions a look-up reads that line and then the object it finds, and hardly ever another. What finds no
 * place in its bucket stands in a chain behind it (object->chain). The newest is the first in both.
 *
 * With every fifth object one bucket is split in two, so growth never stops anybody for longer than that. Buckets stand in
 * segments, which the store takes one at a time and counts against the cache's memory.
 *
 * Beside the buckets stand ghosts, fingerprints of keys evicted from the small queue (cache/store.h); two buckets share
 * a row, filled from the front. A row is read only as far as there are objects for its buckets, so that there are about
 * as many ghosts as objects.
 *
 * Knows no lock: the shard's owner holds one.
 */
#ifndef CACHE_INDEX_H
#define CACHE_INDEX_H

#include "cache/object.h"

#define INDEX_BUCKET_OBJECTS 5 /* for each bucket, on average, before there is another */

struct index_bucket;
struct index_segment;

/* What a look-up reads comes first: it shares the line of the shard's lock. */
struct index {
	struct index_segment **segments;
	size_t buckets;	  /* in use */
	unsigned shift;	  /* low bits of the tag that chose the shard */
	unsigned walkers; /* while there are any, buckets are not merged */
	size_t objects;
	size_t segments_count, segments_cap;
};

/* Where a look-up is. */
struct index_look {
	const uint64_t *entries;
	struct object *chained; /* next of the chain */
	uint32_t tag;
	uint32_t places; /* bits of entries that have that tag, still to be looked at */
};

size_t index_segment_bytes(void);
/* With one segment; shift: how many low bits of slab_tag_of(hash) are the same in all of it. */
void index_init(struct index *x, unsigned shift);
void index_fini(struct index *x);

/* The objects that may have that hash, the newest first, NULL behind the last: others' hashes are among them, but no
 * object of that slab_tag_of(hash) is left out. Nothing is to be added or removed meanwhile. */
struct object *index_first(const struct index *x, uint64_t hash, struct index_look *look_out);
struct object *index_next(struct index_look *l);
/* All of a bucket, for a walk: as many as fit go to out. Returns how many there are. */
size_t index_bucket_list(const struct index *x, size_t bucket, struct object **out, size_t cap);
/* Adds in front; splits a bucket where there are too many objects and room for it. */
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
