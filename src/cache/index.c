#include "cache/index.h"

#include <assert.h>
#include <stdlib.h>

#include "base/mem.h"
#include "cache/slab.h"

#define ENTRIES 7
#define SEGMENT_BUCKETS 64
#define ROW_BUCKETS 2
#define ROW (ROW_BUCKETS * INDEX_BUCKET_OBJECTS) /* ghosts */
#define SPLITS_MAX 2 /* per object added: growth that had to wait is made up for */
#define SPARSE_DIVISOR \
	4 /* fewer objects than this part of what there is room for: buckets are merged */

/* An entry is an address and, above its 48 bits, a tag: the upper half of slab_tag_of(hash). 0: none, and none behind it.
 * Above the chain's address stands a set of tags: bit (tag mod 16) is there for each of its objects. */
#define ADDRESS_BITS 48
#define TAG_SHIFT 15 /* of slab_tag_of(hash), which has 31 bits */

struct index_bucket {
	uint64_t entries[ENTRIES];
	uint64_t more; /* the chain; only where all entries are taken */
};
_Static_assert(sizeof(struct index_bucket) == 64, "a bucket is a line");

/* What calloc gave; buckets begin with its first whole line. Fresh memory is not touched before it is used. */
struct index_segment {
	char room[63 + SEGMENT_BUCKETS * sizeof(struct index_bucket) +
	    SEGMENT_BUCKETS / ROW_BUCKETS * ROW * sizeof(uint16_t)];
};

size_t
index_segment_bytes(void)
{
	return sizeof(struct index_segment);
}

static struct index_bucket *
segment_buckets(struct index_segment *seg)
{
	return (struct index_bucket *)(void *)(((uintptr_t)seg->room + 63) & ~(uintptr_t)63);
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
	x->buckets = SEGMENT_BUCKETS;
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

/* --- a bucket --- */

static uint32_t
tag_of(uint64_t hash)
{
	return slab_tag_of(hash) >> TAG_SHIFT;
}

static struct object *
entry_object(uint64_t entry)
{
	return (struct object *)(uintptr_t)(entry & (((uint64_t)1 << ADDRESS_BITS) - 1));
}

static uint64_t
entry_of(const struct object *o)
{
	assert((uint64_t)(uintptr_t)o >> ADDRESS_BITS == 0);
	return (uint64_t)(uintptr_t)o | (uint64_t)tag_of(o->hash) << ADDRESS_BITS;
}

static uint64_t
chain_bit(uint32_t tag)
{
	return (uint64_t)1 << (ADDRESS_BITS + (tag & 15));
}

/* The chain as it is now that its first, or one of it, has changed. */
static uint64_t
chain_of(struct object *first)
{
	uint64_t more = (uint64_t)(uintptr_t)first;

	for (const struct object *o = first; o != NULL; o = o->chain)
		more |= chain_bit(tag_of(o->hash));
	return more;
}

static void
bucket_push(struct index_bucket *b, struct object *o)
{
	uint64_t last = b->entries[ENTRIES - 1];

	if (last != 0) {
		entry_object(last)->chain = entry_object(b->more);
		b->more = (b->more >> ADDRESS_BITS << ADDRESS_BITS) |
		    (uint64_t)(uintptr_t)entry_object(last) |
		    chain_bit((uint32_t)(last >> ADDRESS_BITS));
	}
	memmove(b->entries + 1, b->entries, (ENTRIES - 1) * sizeof(*b->entries));
	b->entries[0] = entry_of(o);
	o->chain = NULL;
}

static void
bucket_append(struct index_bucket *b, uint64_t entry)
{
	struct object *last;

	for (unsigned i = 0; i < ENTRIES; i++)
		if (b->entries[i] == 0) {
			b->entries[i] = entry;
			return;
		}
	b->more |= chain_bit((uint32_t)(entry >> ADDRESS_BITS));
	if ((last = entry_object(b->more)) == NULL) {
		b->more |= (uint64_t)(uintptr_t)entry_object(entry);
		return;
	}
	while (last->chain != NULL)
		last = last->chain;
	last->chain = entry_object(entry);
}

/* Where in the chain o is: what points to it. */
static struct object **
chain_place(struct object **first, const struct object *o)
{
	while (*first != o) {
		assert(*first != NULL);
		first = &(*first)->chain;
	}
	return first;
}

static int
bucket_place(const struct index_bucket *b, const struct object *o)
{
	for (int i = 0; i < ENTRIES; i++)
		if (entry_object(b->entries[i]) == o)
			return i;
	return -1;
}

/* The first of the chain moves into the place that became free. */
static void
bucket_remove(struct index_bucket *b, struct object *o)
{
	struct object *first = entry_object(b->more);
	int i = bucket_place(b, o);

	if (i < 0) {
		*chain_place(&first, o) = o->chain;
		b->more = chain_of(first);
		o->chain = NULL;
		return;
	}
	memmove(
	    b->entries + i, b->entries + i + 1, (size_t)(ENTRIES - 1 - i) * sizeof(*b->entries));
	b->entries[ENTRIES - 1] = 0;
	if (first != NULL) {
		b->entries[ENTRIES - 1] = entry_of(first);
		b->more = chain_of(first->chain);
		first->chain = NULL;
	}
}

/* --- buckets --- */

/* Which power of two is the largest that is not above the number of buckets. */
static unsigned
round_bit(size_t buckets)
{
	return 63 - (unsigned)__builtin_clzll(buckets);
}

static size_t
bucket_of(const struct index *x, uint64_t hash)
{
	size_t h = slab_tag_of(hash) >> x->shift, round = (size_t)1 << round_bit(x->buckets);
	size_t bucket = h & (round * 2 - 1);

	return bucket < x->buckets ? bucket : h & (round - 1);
}

static struct index_bucket *
bucket_at(const struct index *x, size_t bucket)
{
	return &segment_buckets(x->segments[bucket / SEGMENT_BUCKETS])[bucket % SEGMENT_BUCKETS];
}

struct object *
index_next(struct index_look *l)
{
	struct object *o = l->chained;

	if (l->places != 0) {
		o = entry_object(l->entries[__builtin_ctz(l->places)]);
		l->places &= l->places - 1;
		return o;
	}
	if (o != NULL)
		l->chained = o->chain;
	return o;
}

struct object *
index_first(const struct index *x, uint64_t hash, struct index_look *l)
{
	const struct index_bucket *b = bucket_at(x, bucket_of(x, hash));
	uint32_t tag = tag_of(hash), places = 0;

	for (unsigned i = 0; i < ENTRIES; i++)
		places |= (uint32_t)(b->entries[i] >> ADDRESS_BITS == tag) << i;
	if (tag == 0) /* as free entries have it */
		for (unsigned i = 0; i < ENTRIES; i++)
			places &= ~((uint32_t)(b->entries[i] == 0) << i);
	l->entries = b->entries;
	l->places = places;
	l->chained = (b->more & chain_bit(tag)) != 0 ? entry_object(b->more) : NULL;
	return index_next(l);
}

size_t
index_bucket_list(const struct index *x, size_t bucket, struct object **out, size_t cap)
{
	const struct index_bucket *b = bucket_at(x, bucket);
	size_t count = 0;

	for (unsigned i = 0; i < ENTRIES && b->entries[i] != 0; i++, count++)
		if (count < cap)
			out[count] = entry_object(b->entries[i]);
	for (struct object *o = entry_object(b->more); o != NULL; o = o->chain, count++)
		if (count < cap)
			out[count] = o;
	return count;
}

/* Whether an entry has a bit of slab_tag_of(hash): among many objects that bit is in its tag, and the object need not be
 * looked at. */
static bool
entry_has(uint64_t entry, unsigned bit)
{
	if (bit >= TAG_SHIFT)
		return (entry >> ADDRESS_BITS >> (bit - TAG_SHIFT) & 1) != 0;
	return (slab_tag_of(entry_object(entry)->hash) >> bit & 1) != 0;
}

/* One bucket more: what hashes to it leaves the bucket it shared, both keep their order. */
static void
bucket_split(struct index *x)
{
	unsigned round = round_bit(x->buckets);
	size_t added = x->buckets++;
	struct index_bucket *stay = bucket_at(x, added - ((size_t)1 << round));
	struct index_bucket *go = bucket_at(x, added), all = *stay;
	struct object *o, *next;

	memset(stay, 0, sizeof(*stay));
	for (unsigned i = 0; i < ENTRIES && all.entries[i] != 0; i++)
		bucket_append(
		    entry_has(all.entries[i], x->shift + round) ? go : stay, all.entries[i]);
	for (o = entry_object(all.more); o != NULL; o = next) {
		uint64_t entry = entry_of(o);

		next = o->chain;
		o->chain = NULL;
		bucket_append(entry_has(entry, x->shift + round) ? go : stay, entry);
	}
}

/* One bucket less: its objects return to the one they came from. */
static void
bucket_merge(struct index *x)
{
	size_t last = --x->buckets;
	struct index_bucket *from = bucket_at(x, last);
	struct index_bucket *to = bucket_at(x, last - ((size_t)1 << round_bit(last)));
	struct object *o, *next;

	for (unsigned i = 0; i < ENTRIES && from->entries[i] != 0; i++)
		bucket_append(to, from->entries[i]);
	for (o = entry_object(from->more); o != NULL; o = next) {
		next = o->chain;
		o->chain = NULL;
		bucket_append(to, entry_of(o));
	}
	memset(from, 0, sizeof(*from));
}

static bool
is_crowded(const struct index *x)
{
	return x->objects > x->buckets * INDEX_BUCKET_OBJECTS;
}

static bool
is_sparse(const struct index *x)
{
	return x->objects < x->buckets * INDEX_BUCKET_OBJECTS / SPARSE_DIVISOR;
}

void
index_add(struct index *x, struct object *o)
{
	bucket_push(bucket_at(x, bucket_of(x, o->hash)), o);
	x->objects++;
	for (int i = 0; i < SPLITS_MAX && is_crowded(x) && !index_wants_segment(x); i++)
		bucket_split(x);
}

void
index_remove(struct index *x, struct object *o)
{
	bucket_remove(bucket_at(x, bucket_of(x, o->hash)), o);
	x->objects--;
	for (int i = 0;
	     i < SPLITS_MAX && x->walkers == 0 && x->buckets > SEGMENT_BUCKETS && is_sparse(x); i++)
		bucket_merge(x);
}

void
index_swap(struct index *x, struct object *old, struct object *o)
{
	struct index_bucket *b = bucket_at(x, bucket_of(x, old->hash));
	struct object *first = entry_object(b->more);
	int i = bucket_place(b, old);

	o->chain = old->chain;
	old->chain = NULL;
	if (i >= 0)
		b->entries[i] = entry_of(o);
	else {
		*chain_place(&first, old) = o;
		b->more = chain_of(first);
	}
}

bool
index_wants_segment(const struct index *x)
{
	return is_crowded(x) && x->buckets == x->segments_count * SEGMENT_BUCKETS;
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
	bucket_split(x);
	return true;
}

/* One spare segment is kept, against growth and shrinking in turns. */
struct index_segment *
index_take_segment(struct index *x)
{
	if ((x->segments_count - 1) * SEGMENT_BUCKETS < x->buckets + SEGMENT_BUCKETS)
		return NULL;
	return x->segments[--x->segments_count];
}

/* --- ghosts --- */

static uint16_t
fingerprint(uint64_t hash)
{
	return (uint16_t)(hash | 1);
}

/* The row of that hash and how much of it counts. */
static uint16_t *
ghost_row(const struct index *x, uint64_t hash, unsigned *ways_out)
{
	size_t bucket = bucket_of(x, hash);
	struct index_bucket *all = segment_buckets(x->segments[bucket / SEGMENT_BUCKETS]);
	uint16_t *rows = (uint16_t *)(void *)(all + SEGMENT_BUCKETS);
	size_t ways = (x->objects * ROW_BUCKETS + x->buckets - 1) / x->buckets;

	*ways_out = ways < 1 ? 1 : ways > ROW ? ROW : (unsigned)ways;
	return rows + bucket % SEGMENT_BUCKETS / ROW_BUCKETS * ROW;
}

void
index_ghost_add(struct index *x, uint64_t hash)
{
	unsigned ways;
	uint16_t *row = ghost_row(x, hash, &ways);

	memmove(row + 1, row, (ROW - 1) * sizeof(*row));
	row[0] = fingerprint(hash);
}

bool
index_ghost_take(struct index *x, uint64_t hash)
{
	unsigned ways;
	uint16_t *row = ghost_row(x, hash, &ways), wanted = fingerprint(hash);

	for (unsigned i = 0; i < ways; i++)
		if (row[i] == wanted) {
			memmove(row + i, row + i + 1, (ROW - 1 - i) * sizeof(*row));
			row[ROW - 1] = 0;
			return true;
		}
	return false;
}
