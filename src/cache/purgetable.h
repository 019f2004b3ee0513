/* cache/purgetable.h - when each of many names was purged last, in bounded memory: never forgotten, at worst told too late a date.
 *
 * Names fall into sets by hash. A set keeps the newest positions of seven names, each by a mark of sixteen bits, and a floor: the
 * newest position that found no room any more. So a name that was never purged is taken for purged only where another shares
 * set and mark with it (one in 2^29), or where nobody has asked since about PURGE_TABLE_NAMES others were purged.
 *
 * One writer at a time, any readers, no lock. Who is displaced raises the floor first: a reader, who looks at the marks before
 * the floor, finds it by the one or by the other.
 */
#ifndef CACHE_PURGETABLE_H
#define CACHE_PURGETABLE_H

#include <stdatomic.h>

#include "base/hash.h"
#include "base/slice.h"

#define PURGE_SETS 8192
#define PURGE_WAYS 7
#define PURGE_TABLE_NAMES (PURGE_SETS * PURGE_WAYS)
#define PURGE_MARK_BITS 16

struct purge_set_of_names {
	_Atomic uint64_t floor;
	_Atomic uint64_t ways[PURGE_WAYS]; /* position and mark; 0: free */
};

/* {0} knows of no purge. */
struct purge_table {
	struct purge_set_of_names sets[PURGE_SETS];
};

static inline uint64_t
purge_mark_of(uint64_t hash)
{
	return hash >> (64 - PURGE_MARK_BITS);
}

static inline uint64_t
purge_way_mark(uint64_t way)
{
	return way & ((UINT64_C(1) << PURGE_MARK_BITS) - 1);
}

static inline uint64_t
purge_way_pos(uint64_t way)
{
	return way >> PURGE_MARK_BITS;
}

/* The way that has the mark, else the free or oldest one. */
static inline _Atomic uint64_t *
purge_set_way(struct purge_set_of_names *set, uint64_t mark)
{
	_Atomic uint64_t *oldest = &set->ways[0];

	for (unsigned i = 0; i < PURGE_WAYS; i++) {
		uint64_t way = atomic_load_explicit(&set->ways[i], memory_order_relaxed);

		if (way != 0 && purge_way_mark(way) == mark)
			return &set->ways[i];
		if (way < atomic_load_explicit(oldest, memory_order_relaxed))
			oldest = &set->ways[i];
	}
	return oldest;
}

/* The name is purged at pos, which is later than all before. */
static inline void
purge_table_note(struct purge_table *t, struct slice name, uint64_t pos)
{
	uint64_t hash = hash_bytes(name.p, name.n), mark = purge_mark_of(hash);
	struct purge_set_of_names *set = &t->sets[hash % PURGE_SETS];
	_Atomic uint64_t *way = purge_set_way(set, mark);
	uint64_t was = atomic_load_explicit(way, memory_order_relaxed);

	if (purge_way_pos(was) > atomic_load_explicit(&set->floor, memory_order_relaxed) &&
	    purge_way_mark(was) != mark)
		atomic_store_explicit(&set->floor, purge_way_pos(was), memory_order_release);
	atomic_store_explicit(way, pos << PURGE_MARK_BITS | mark, memory_order_release);
}

/* Whether the name has been purged later than at pos. */
static inline bool
purge_table_knows(const struct purge_table *t, struct slice name, uint64_t pos)
{
	uint64_t hash = hash_bytes(name.p, name.n), mark = purge_mark_of(hash);
	const struct purge_set_of_names *set = &t->sets[hash % PURGE_SETS];

	for (unsigned i = 0; i < PURGE_WAYS; i++) {
		uint64_t way = atomic_load_explicit(&set->ways[i], memory_order_acquire);

		if (purge_way_pos(way) > pos && purge_way_mark(way) == mark)
			return true;
	}
	return atomic_load_explicit(&set->floor, memory_order_acquire) > pos;
}

#endif
