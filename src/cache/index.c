#include "cache/index.h"

#include <assert.h>
#include <stdlib.h>

#include "base/mem.h"
#include "cache/slab.h"

#define ROW 8		 /* ghosts that share their slots' neighbourhood */
#define SPLITS_MAX 2	 /* per object added: growth that had to wait is made up for */
#define SPARSE_DIVISOR 4 /* fewer objects than this part of the slots: slots are merged */

struct index_segment {
	struct object *chains[INDEX_SEGMENT_SLOTS];
	uint32_t ghosts[INDEX_SEGMENT_SLOTS];
};

size_t
index_segment_bytes(void)
{
	return sizeof(struct index_segment);
}

static void
segment_push(struct index *x, struct index_segment *seg)
{
	if (x->segments_count == x->segments_cap) {
		x->segments_cap = x->segments_cap == 0 ? 8 : x->segments_cap * 2;
		x->segments = must_realloc(x->segments, x->segments_cap * sizeof(*x->segments));
	}
	x->segments[x->segments_count++] = seg;
}

void
index_init(struct index *x, unsigned shift)
{
	memset(x, 0, sizeof(*x));
	x->shift = shift;
	x->slots = INDEX_SEGMENT_SLOTS;
	segment_push(x, must_calloc(1, sizeof(struct index_segment)));
}

void
index_fini(struct index *x)
{
	while (x->segments_count > 0)
		free(x->segments[--x->segments_count]);
	free(x->segments);
	memset(x, 0, sizeof(*x));
}

/* The largest power of two that is not above the number of slots. */
static size_t
round_of(size_t slots)
{
	return (size_t)1 << (63 - __builtin_clzll(slots));
}

static size_t
slot_of(const struct index *x, uint64_t hash)
{
	size_t h = slab_tag_of(hash) >> x->shift, round = round_of(x->slots);
	size_t slot = h & (round * 2 - 1);

	return slot < x->slots ? slot : h & (round - 1);
}

static struct object **
chain_at(const struct index *x, size_t slot)
{
	return &x->segments[slot / INDEX_SEGMENT_SLOTS]->chains[slot % INDEX_SEGMENT_SLOTS];
}

struct object *
index_chain(const struct index *x, uint64_t hash)
{
	return *chain_at(x, slot_of(x, hash));
}

struct object *
index_slot(const struct index *x, size_t slot)
{
	return *chain_at(x, slot);
}

/* One slot more: what hashes to it leaves the slot it shared, both keep their order. */
static void
slot_split(struct index *x)
{
	size_t added = x->slots++, from = added - round_of(added);
	struct object *o = *chain_at(x, from);
	struct object **stay = chain_at(x, from), **go = chain_at(x, added);

	for (; o != NULL; o = o->chain) {
		struct object ***tail = slot_of(x, o->hash) == added ? &go : &stay;

		**tail = o;
		*tail = &o->chain;
	}
	*stay = *go = NULL;
}

/* One slot less: its objects return to the slot they came from. */
static void
slot_merge(struct index *x)
{
	size_t last = --x->slots, to = last - round_of(last);
	struct object **tail = chain_at(x, to);

	while (*tail != NULL)
		tail = &(*tail)->chain;
	*tail = *chain_at(x, last);
	*chain_at(x, last) = NULL;
}

void
index_add(struct index *x, struct object *o)
{
	struct object **chain = chain_at(x, slot_of(x, o->hash));

	o->chain = *chain;
	*chain = o;
	x->objects++;
	for (int i = 0; i < SPLITS_MAX && x->objects > x->slots && !index_wants_segment(x); i++)
		slot_split(x);
}

void
index_remove(struct index *x, struct object *o)
{
	struct object **at = chain_at(x, slot_of(x, o->hash));

	while (*at != o) {
		assert(*at != NULL);
		at = &(*at)->chain;
	}
	*at = o->chain;
	o->chain = NULL;
	x->objects--;
	for (int i = 0; i < SPLITS_MAX && x->walkers == 0 && x->slots > INDEX_SEGMENT_SLOTS &&
	     x->objects < x->slots / SPARSE_DIVISOR;
	     i++)
		slot_merge(x);
}

void
index_swap(struct index *x, struct object *old, struct object *o)
{
	struct object **at = chain_at(x, slot_of(x, old->hash));

	while (*at != old) {
		assert(*at != NULL);
		at = &(*at)->chain;
	}
	o->chain = old->chain;
	*at = o;
	old->chain = NULL;
}

bool
index_wants_segment(const struct index *x)
{
	return x->objects > x->slots && x->slots == x->segments_count * INDEX_SEGMENT_SLOTS;
}

struct index_segment *
index_segment_new(void)
{
	return calloc(1, sizeof(struct index_segment));
}

bool
index_give_segment(struct index *x, struct index_segment *seg)
{
	if (!index_wants_segment(x))
		return false;
	segment_push(x, seg);
	slot_split(x);
	return true;
}

/* One spare segment is kept, against growth and shrinking in turns. */
struct index_segment *
index_take_segment(struct index *x)
{
	if ((x->segments_count - 1) * INDEX_SEGMENT_SLOTS < x->slots + INDEX_SEGMENT_SLOTS)
		return NULL;
	return x->segments[--x->segments_count];
}

/* --- ghosts --- */

static uint32_t
fingerprint(uint64_t hash)
{
	return (uint32_t)hash | 1;
}

/* The row of that hash and how much of it counts. */
static uint32_t *
ghost_row(const struct index *x, uint64_t hash, unsigned *ways_out)
{
	size_t slot = slot_of(x, hash) & ~(size_t)(ROW - 1);
	size_t ways = (x->objects * ROW + x->slots - 1) / x->slots;

	*ways_out = ways < 1 ? 1 : ways > ROW ? ROW : (unsigned)ways;
	return &x->segments[slot / INDEX_SEGMENT_SLOTS]->ghosts[slot % INDEX_SEGMENT_SLOTS];
}

void
index_ghost_add(struct index *x, uint64_t hash)
{
	unsigned ways;
	uint32_t *row = ghost_row(x, hash, &ways);

	memmove(row + 1, row, (ROW - 1) * sizeof(*row));
	row[0] = fingerprint(hash);
}

bool
index_ghost_take(struct index *x, uint64_t hash)
{
	unsigned ways;
	uint32_t *row = ghost_row(x, hash, &ways), wanted = fingerprint(hash);

	for (unsigned i = 0; i < ways; i++)
		if (row[i] == wanted) {
			memmove(row + i, row + i + 1, (ROW - 1 - i) * sizeof(*row));
			row[ROW - 1] = 0;
			return true;
		}
	return false;
}
