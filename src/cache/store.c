#include "cache/store.h"

#include <assert.h>
#include <errno.h>
#include <pthread.h>
#include <stddef.h>
#include <stdlib.h>

#include "base/mem.h"
#include "cache/index.h"
#include "cache/slab.h"
#include "http/vary.h"

#define SHARDS_MAX 64
#define SHARD_LEAST_BYTES ((size_t)4 << 20) /* of the limit, before there is another shard */
#define SMALL_DIVISOR 10		    /* the small queue's part of its shard */
#define HITS_MAX 3			    /* S3-FIFO's counter */
#define HITS_TO_MOVE 1 /* small to main; 2 kept less on each trace of bench_evict.c */
#define EVICT_BATCH 16 /* objects taken out under one hold of a lock */
#define EVICT_STEPS 64 /* and queue ends looked at */
/* What may stand in free slots before pages are emptied (bench_evict.c: half of it costs hits, since pages hold what is
 * asked for, too; twice of it as well). */
#define FREE_SLOTS_DIVISOR 32
#define FREE_SLOTS_BYTES ((size_t)2 << 20)
#define FREE_SLOTS_DIVISOR_LEAST 6
#define PRESSING_ATTEMPT 40
#define WALK_BATCH 64

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

static bool on_slab_pressure(void *arg, size_t bytes, unsigned attempt);

static void
tell(struct store *s, struct object *o, bool came)
{
	if (s->see != NULL)
		s->see(s->see_arg, o, came);
}

static void
leavers_go(struct store *s, struct leavers *l)
{
	while (l->count > 0) {
		tell(s, l->objects[l->count - 1], false);
		object_unref(&l->objects[--l->count]);
	}
}

void
store_watch(struct store *s, void (*see)(void *arg, struct object *o, bool came), void *arg)
{
	s->see = see;
	s->see_arg = arg;
}

/* --- making and ending --- */

static unsigned
shards_for(size_t limit_bytes)
{
	unsigned count = 1;

	while (count < SHARDS_MAX && limit_bytes / (count * 2) >= SHARD_LEAST_BYTES)
		count *= 2;
	return count;
}

static void
shard_init(struct shard *sh, unsigned shift)
{
	pthread_mutex_init(&sh->lock, NULL);
	index_init(&sh->index, shift);
	for (int q = 0; q <= QUEUE_MAIN; q++)
		list_init(&sh->queues[q].list);
}

struct store *
store_new(size_t limit_bytes)
{
	struct store *s = must_calloc(1, sizeof(*s));

	s->shards_count = shards_for(limit_bytes);
	if ((s->slab = slab_new(limit_bytes)) == NULL)
		goto fail;
	if (!slab_charge(s->slab, s->shards_count * index_segment_bytes())) {
		errno = ENOMEM;
		goto fail_slab;
	}
	s->shards = aligned_alloc(64, s->shards_count * sizeof(*s->shards));
	if (s->shards == NULL)
		goto fail_slab;
	memset(s->shards, 0, s->shards_count * sizeof(*s->shards));
	for (unsigned i = 0; i < s->shards_count; i++)
		shard_init(&s->shards[i], (unsigned)__builtin_ctz(s->shards_count));
	slab_set_pressure(s->slab, on_slab_pressure, s);
	return s;
fail_slab:
	slab_free_all(&s->slab);
fail:
	free(s);
	return NULL;
}

struct slab *
store_slab(struct store *s)
{
	return s->slab;
}

static struct shard *
shard_of(struct store *s, uint64_t hash)
{
	return &s->shards[slab_tag_of(hash) & (s->shards_count - 1)];
}

/* --- listing, under the shard's lock --- */

static void
count_bytes(struct store *s, struct shard *sh, struct object *o, ssize_t bytes)
{
	sh->queues[o->queue].bytes += (size_t)bytes;
	atomic_fetch_add_explicit(&sh->bytes, (size_t)bytes, memory_order_relaxed);
	atomic_fetch_add_explicit(&s->bytes, (size_t)bytes, memory_order_relaxed);
}

static void
shard_list(struct store *s, struct shard *sh, struct object *o, enum queue_name queue)
{
	o->queue = (uint8_t)queue;
	list_push_front(&sh->queues[queue].list, &o->in_queue);
	index_add(&sh->index, o);
	count_bytes(s, sh, o, o->charged_bytes);
}

/* The store's reference passes to the caller. */
static void
shard_unlist(struct store *s, struct shard *sh, struct object *o)
{
	count_bytes(s, sh, o, -(ssize_t)o->charged_bytes);
	list_leave(&o->in_queue);
	index_remove(&sh->index, o);
	o->queue = QUEUE_NONE;
}

static void
shard_move(struct shard *sh, struct object *o, enum queue_name to)
{
	sh->queues[o->queue].bytes -= o->charged_bytes;
	list_leave(&o->in_queue);
	o->queue = (uint8_t)to;
	list_push_front(&sh->queues[to].list, &o->in_queue);
	sh->queues[to].bytes += o->charged_bytes;
}

static bool
is_of_key(const struct object *o, uint64_t hash, struct slice text)
{
	return o->hash == hash && slice_eq(object_key(o), text);
}

static bool
is_for_request(const struct object *o, const struct head *request)
{
	return o->vary_len == 0 || request == NULL || vary_matches(object_vary(o), request);
}

/* --- looking up --- */

static void
count_find(struct object *o)
{
	unsigned hits = atomic_load_explicit(&o->hits, memory_order_relaxed);

	if (hits < HITS_MAX)
		atomic_store_explicit(&o->hits, (uint8_t)(hits + 1), memory_order_relaxed);
}

static struct object *
find(struct store *s, const struct cache_key *key, const struct head *request,
    bool *other_variant_out, bool counts)
{
	struct shard *sh = shard_of(s, key->hash);
	struct index_look look;
	struct object *o;
	bool others = false;

	pthread_mutex_lock(&sh->lock);
	for (o = index_first(&sh->index, key->hash, &look); o != NULL; o = index_next(&look)) {
		object_prefetch(o);
		if (!is_of_key(o, key->hash, key->text))
			continue;
		if (is_for_request(o, request))
			break;
		others = true;
	}
	if (o != NULL) {
		if (counts)
			count_find(o);
		object_ref(o);
	}
	pthread_mutex_unlock(&sh->lock);
	if (other_variant_out != NULL)
		*other_variant_out = others;
	return o;
}

struct object *
store_find(struct store *s, const struct cache_key *key, const struct head *request,
    bool *other_variant_out)
{
	return find(s, key, request, other_variant_out, true);
}

struct object *
store_look(struct store *s, const struct cache_key *key, const struct head *request,
    bool *other_variant_out)
{
	return find(s, key, request, other_variant_out, false);
}

size_t
store_list(struct store *s, const struct cache_key *key, struct object **out, size_t most)
{
	struct shard *sh = shard_of(s, key->hash);
	struct index_look look;
	size_t n = 0;

	pthread_mutex_lock(&sh->lock);
	for (struct object *o = index_first(&sh->index, key->hash, &look); o != NULL && n < most;
	     o = index_next(&look))
		if (is_of_key(o, key->hash, key->text))
			out[n++] = object_ref(o);
	pthread_mutex_unlock(&sh->lock);
	return n;
}

/* --- eviction --- */

/* Takes the object out that is least worth keeping, by S3-FIFO; NULL if there is none, or after
 * *steps looks at queues' ends. */
static struct object *
shard_evict(struct store *s, struct shard *sh, unsigned *steps)
{
	struct queue *small = &sh->queues[QUEUE_SMALL], *main_queue = &sh->queues[QUEUE_MAIN];

	for (; *steps > 0; --*steps) {
		size_t all = small->bytes + main_queue->bytes;
		bool from_small =
		    !list_is_empty(&small->list) && small->bytes >= all / SMALL_DIVISOR;
		struct queue *q =
		    from_small || list_is_empty(&main_queue->list) ? small : main_queue;
		struct object *o;
		unsigned hits;

		if (list_is_empty(&q->list))
			return NULL;
		o = CONTAINER_OF(q->list.prev, struct object, in_queue);
		hits = atomic_load_explicit(&o->hits, memory_order_relaxed);
		if (q == main_queue && hits > 0) {
			atomic_store_explicit(&o->hits, (uint8_t)(hits - 1), memory_order_relaxed);
			shard_move(sh, o, QUEUE_MAIN);
		} else if (q == small && hits >= HITS_TO_MOVE) {
			atomic_store_explicit(
			    &o->hits, (uint8_t)(hits - HITS_TO_MOVE), memory_order_relaxed);
			shard_move(sh, o, QUEUE_MAIN);
		} else {
			if (q == small)
				index_ghost_add(&sh->index, o->hash);
			shard_unlist(s, sh, o);
			sh->evictions++;
			return o;
		}
	}
	return NULL;
}

static void
leavers_add(struct leavers *l, struct object *o)
{
	if (atomic_load_explicit(&o->refs, memory_order_relaxed) == 1)
		l->freed += o->charged_bytes;
	l->objects[l->count++] = o;
}

/* Evicts from one shard until bytes are free or nothing is left in it. */
static size_t
shard_make_room(struct store *s, struct shard *sh, size_t bytes)
{
	struct leavers l = {.count = 0};
	bool is_empty = false;

	while (l.freed < bytes && !is_empty) {
		unsigned steps = EVICT_STEPS;

		pthread_mutex_lock(&sh->lock);
		while (l.count < EVICT_BATCH && l.freed < bytes && steps > 0) {
			struct object *o = shard_evict(s, sh, &steps);

			if (o != NULL)
				leavers_add(&l, o);
			else if (steps > 0)
				is_empty = true, steps = 0;
		}
		pthread_mutex_unlock(&sh->lock);
		leavers_go(s, &l);
	}
	return l.freed;
}

/* A shard to evict from: the one at start if it holds its share, otherwise the next that does. */
static struct shard *
shard_choose(struct store *s, unsigned start)
{
	size_t share = atomic_load_explicit(&s->bytes, memory_order_relaxed) / s->shards_count;

	for (unsigned i = 0; i < s->shards_count; i++) {
		struct shard *sh = &s->shards[(start + i) & (s->shards_count - 1)];
		size_t has = atomic_load_explicit(&sh->bytes, memory_order_relaxed);

		if (has > 0 && has >= share)
			return sh;
	}
	return NULL;
}

static bool
make_room(struct store *s, unsigned start, size_t bytes)
{
	size_t freed = 0;

	while (freed < bytes) {
		struct shard *sh = shard_choose(s, start++);

		if (sh == NULL)
			return false;
		freed += shard_make_room(s, sh, bytes - freed);
	}
	return true;
}

bool
store_make_room(struct store *s, uint64_t hash, size_t bytes)
{
	return make_room(s, slab_tag_of(hash), bytes);
}

/* Evicts who owns the slot of that tag, unless it is in use. */
static bool
evict_tag(struct store *s, uint32_t tag)
{
	struct shard *sh = shard_of(s, (uint64_t)tag << 33);
	struct leavers l = {.count = 0};
	struct index_look look;
	struct object *o;
	bool any;

	pthread_mutex_lock(&sh->lock);
	o = index_first(&sh->index, (uint64_t)tag << 33, &look);
	for (; o != NULL && l.count < EVICT_BATCH; o = index_next(&look))
		if (slab_tag_of(o->hash) == tag &&
		    atomic_load_explicit(&o->refs, memory_order_relaxed) == 1)
			leavers_add(&l, o);
	for (unsigned i = 0; i < l.count; i++) {
		index_ghost_add(&sh->index, l.objects[i]->hash);
		shard_unlist(s, sh, l.objects[i]);
		sh->evictions++;
	}
	pthread_mutex_unlock(&sh->lock);
	any = l.count > 0;
	leavers_go(s, &l);
	return any;
}

/* Empties a page of another class for the sake of an allocation of bytes. */
static bool
evict_page(struct store *s, size_t bytes)
{
	uint32_t tags[SLAB_SLOTS_MAX];
	unsigned count = slab_victim(s->slab, bytes, tags);
	bool any = false;

	for (unsigned i = 0; i < count; i++)
		any |= evict_tag(s, tags[i]);
	return any;
}

/* Whether so much stands in free slots of sizes that nobody asks for that emptying a page costs less than it gives. */
static bool
has_many_free_slots(struct store *s)
{
	struct slab_usage u = slab_usage(s->slab);
	size_t most = u.limit_bytes / FREE_SLOTS_DIVISOR + FREE_SLOTS_BYTES;

	if (most > u.limit_bytes / FREE_SLOTS_DIVISOR_LEAST)
		most = u.limit_bytes / FREE_SLOTS_DIVISOR_LEAST;
	return u.page_bytes - u.used_bytes > most;
}

/* The queues' order comes first, also where it leaves slots of other sizes: they are not lost, the next object of that
 * size takes one. A page is emptied, whatever lies on it, only where many slots stand free already; and in turn with the
 * queues, where nothing else helps. */
static bool
on_slab_pressure(void *arg, size_t bytes, unsigned attempt)
{
	struct store *s = arg;
	unsigned start = atomic_fetch_add_explicit(&s->hand, 1, memory_order_relaxed);
	bool is_pressing = attempt >= PRESSING_ATTEMPT;
	bool page_first = is_pressing ? attempt % 2 == 0 : has_many_free_slots(s);

	if (page_first && evict_page(s, bytes))
		return true;
	if (make_room(s, start, is_pressing ? SLAB_PAGE_BYTES : bytes))
		return true;
	return !page_first && evict_page(s, bytes);
}

void *
store_alloc(struct store *s, uint64_t hash, size_t bytes)
{
	return slab_alloc(s->slab, bytes);
}

/* --- listing --- */

static bool
is_bounded(const struct store *s, const struct object *o)
{
	return object_slab(o) == s->slab && (o->body == NULL || body_slab(o->body) == s->slab);
}

/* The object that o replaces, or if there are too many variants the oldest; NULL if neither. */
static struct object *
shard_find_replaced(struct shard *sh, const struct object *o)
{
	struct object *oldest = NULL;
	unsigned variants = 0;
	struct index_look look;

	for (struct object *x = index_first(&sh->index, o->hash, &look); x != NULL;
	     x = index_next(&look)) {
		if (!is_of_key(x, o->hash, object_key(o)))
			continue;
		if (slice_eq(object_vary(x), object_vary(o)))
			return x;
		oldest = x;
		variants++;
	}
	return variants < STORE_VARIANTS_MAX ? NULL : oldest;
}

/* What replaces an object takes its place: it need not earn the main queue again. */
static void
shard_put(struct store *s, struct shard *sh, struct object *o, struct leavers *l)
{
	struct object *old = shard_find_replaced(sh, o);
	enum queue_name queue = QUEUE_SMALL;

	if (old != NULL) {
		if (slice_eq(object_vary(old), object_vary(o))) {
			queue = old->queue;
			atomic_store_explicit(&o->hits,
			    atomic_load_explicit(&old->hits, memory_order_relaxed),
			    memory_order_relaxed);
		}
		shard_unlist(s, sh, old);
		leavers_add(l, old);
	} else if (index_ghost_take(&sh->index, o->hash)) {
		queue = QUEUE_MAIN;
		sh->ghost_hits++;
	}
	shard_list(s, sh, object_ref(o), queue);
}

/* Takes another segment into the index where it wants one: room is made for it without the lock. */
static void
shard_grow(struct store *s, struct shard *sh)
{
	struct index_segment *seg;
	bool taken = false;

	if (!slab_charge(s->slab, index_segment_bytes()))
		return; /* the chains grow longer; the next object tries again */
	if ((seg = index_segment_new()) != NULL) {
		pthread_mutex_lock(&sh->lock);
		taken = index_give_segment(&sh->index, seg);
		pthread_mutex_unlock(&sh->lock);
	}
	if (!taken) {
		free(seg);
		slab_uncharge(s->slab, index_segment_bytes());
	}
}

bool
store_put(struct store *s, struct object *o)
{
	struct shard *sh = shard_of(s, o->hash);
	struct leavers l = {.count = 0};
	size_t bytes = object_memory_bytes(o);
	struct index_segment *spare;
	bool wants, came = false;

	if (!is_bounded(s, o))
		return false;
	object_tag(o);
	pthread_mutex_lock(&sh->lock);
	if (o->queue == QUEUE_NONE) {
		o->charged_bytes = bytes > UINT32_MAX ? UINT32_MAX : (uint32_t)bytes;
		shard_put(s, sh, o, &l);
		came = true;
	}
	wants = index_wants_segment(&sh->index);
	spare = index_take_segment(&sh->index);
	pthread_mutex_unlock(&sh->lock);
	if (came)
		tell(s, o, true);
	leavers_go(s, &l);
	if (wants)
		shard_grow(s, sh);
	if (spare != NULL) {
		free(spare);
		slab_uncharge(s->slab, index_segment_bytes());
	}
	return true;
}

void
store_remove(struct store *s, struct object *o)
{
	struct shard *sh = shard_of(s, o->hash);
	struct object *listed = NULL;

	pthread_mutex_lock(&sh->lock);
	if (o->queue != QUEUE_NONE) {
		shard_unlist(s, sh, o);
		listed = o;
	}
	pthread_mutex_unlock(&sh->lock);
	if (listed != NULL)
		tell(s, listed, false);
	object_unref(&listed);
}

size_t
store_remove_key(struct store *s, const struct cache_key *key)
{
	struct shard *sh = shard_of(s, key->hash);
	struct leavers l = {.count = 0};
	size_t count = 0;

	do {
		struct index_look look;
		struct object *o;

		leavers_go(s, &l);
		pthread_mutex_lock(&sh->lock);
		o = index_first(&sh->index, key->hash, &look);
		for (; o != NULL && l.count < EVICT_BATCH; o = index_next(&look))
			if (is_of_key(o, key->hash, key->text))
				leavers_add(&l, o);
		for (unsigned i = 0; i < l.count; i++)
			shard_unlist(s, sh, l.objects[i]);
		count += l.count;
		pthread_mutex_unlock(&sh->lock);
	} while (l.count > 0);
	return count;
}

int
store_add_variant(struct store *s, struct object *o, uint8_t encoding, struct body **bodyp)
{
	struct shard *sh = shard_of(s, o->hash);
	size_t bytes = slab_slot_bytes(s->slab, sizeof(struct object_variant));

	if (!is_bounded(s, o) || body_slab(*bodyp) != s->slab) {
		body_unref(bodyp);
		return -1;
	}
	bytes += body_memory_bytes(*bodyp);
	if (object_add_variant(o, encoding, bodyp) != 0)
		return -1;
	object_tag(o);
	pthread_mutex_lock(&sh->lock);
	/* Not listed yet: store_put counts it. */
	if (o->queue != QUEUE_NONE && bytes <= UINT32_MAX - o->charged_bytes) {
		o->charged_bytes += (uint32_t)bytes;
		count_bytes(s, sh, o, (ssize_t)bytes);
	}
	pthread_mutex_unlock(&sh->lock);
	return 0;
}

struct object *
store_find_body(struct store *s, uint64_t hash, const struct body *body)
{
	struct shard *sh = shard_of(s, hash);
	struct index_look look;
	struct object *o;

	pthread_mutex_lock(&sh->lock);
	for (o = index_first(&sh->index, hash, &look); o != NULL; o = index_next(&look))
		if (o->hash == hash && o->body == body)
			break;
	if (o != NULL)
		object_ref(o);
	pthread_mutex_unlock(&sh->lock);
	return o;
}

bool
store_swap(struct store *s, struct object *old, struct object *o)
{
	struct shard *sh = shard_of(s, old->hash);
	size_t bytes = object_memory_bytes(o);
	struct object *listed = NULL;
	bool is_swapped;

	if (!is_bounded(s, o))
		return false;
	object_tag(o);
	pthread_mutex_lock(&sh->lock);
	if (old->queue != QUEUE_NONE) {
		count_bytes(s, sh, old, -(ssize_t)old->charged_bytes);
		index_swap(&sh->index, old, o);
		list_insert_before(&old->in_queue, &o->in_queue);
		list_leave(&old->in_queue);
		o->queue = old->queue;
		old->queue = QUEUE_NONE;
		o->charged_bytes = bytes > UINT32_MAX ? UINT32_MAX : (uint32_t)bytes;
		count_bytes(s, sh, object_ref(o), o->charged_bytes);
		listed = old;
	}
	pthread_mutex_unlock(&sh->lock);
	is_swapped = listed != NULL;
	object_unref(&listed);
	return is_swapped;
}

/* --- seeing all --- */

/* Takes references to the objects of buckets from *bucket on, as many as fit; *bucket is then the next.
 * Returns how many, or -1 if the array is too small for one bucket. */
static int
walk_collect(struct shard *sh, size_t *bucket, struct object **objects, size_t cap)
{
	size_t count = 0;

	for (; *bucket < sh->index.buckets; ++*bucket) {
		size_t here = index_bucket_list(&sh->index, *bucket, objects + count, cap - count);

		if (count + here > cap)
			return count == 0 ? -1 : (int)count;
		for (; here > 0; here--)
			object_ref(objects[count++]);
	}
	return (int)count;
}

static void
walk_count(struct shard *sh, int by)
{
	pthread_mutex_lock(&sh->lock);
	sh->index.walkers += (unsigned)by;
	pthread_mutex_unlock(&sh->lock);
}

/* Splits move objects to buckets still to come, and merges wait for the walk: none is missed. */
static void
shard_walk(struct shard *sh, void (*see)(struct object *o, void *arg), void *arg)
{
	size_t bucket = 0, cap = WALK_BATCH;
	struct object **objects = must_malloc(cap * sizeof(*objects));
	int count;

	walk_count(sh, 1);
	do {
		pthread_mutex_lock(&sh->lock);
		count = walk_collect(sh, &bucket, objects, cap);
		pthread_mutex_unlock(&sh->lock);
		for (int i = 0; i < count; i++) {
			see(objects[i], arg);
			object_unref(&objects[i]);
		}
		if (count < 0)
			objects = must_realloc(objects, (cap *= 2) * sizeof(*objects));
	} while (count != 0);
	walk_count(sh, -1);
	free(objects);
}

void
store_walk(struct store *s, void (*see)(struct object *o, void *arg), void *arg)
{
	for (unsigned i = 0; i < s->shards_count; i++)
		shard_walk(&s->shards[i], see, arg);
}

/* --- from one process to the next --- */

static size_t
shard_list_queue(struct shard *sh, enum queue_name q, struct object **out)
{
	size_t n = 0;

	for (struct link *l = sh->queues[q].list.next; l != &sh->queues[q].list; l = l->next)
		out[n++] = object_ref(CONTAINER_OF(l, struct object, in_queue));
	return n;
}

struct object **
store_all(struct store *s, size_t *count_out)
{
	static const enum queue_name order[] = {QUEUE_MAIN, QUEUE_SMALL};
	size_t cap = 1, n = 0;
	struct object **all;

	for (unsigned i = 0; i < s->shards_count; i++)
		pthread_mutex_lock(&s->shards[i].lock);
	for (unsigned i = 0; i < s->shards_count; i++)
		cap += s->shards[i].index.objects;
	all = must_malloc(cap * sizeof(struct object *));
	for (size_t q = 0; q < 2; q++)
		for (unsigned i = 0; i < s->shards_count; i++)
			n += shard_list_queue(&s->shards[i], order[q], all + n);
	for (unsigned i = 0; i < s->shards_count; i++)
		pthread_mutex_unlock(&s->shards[i].lock);
	*count_out = n;
	return all;
}

bool
store_is_main(const struct object *o)
{
	return o->queue == QUEUE_MAIN;
}

static void
shard_put_last(struct shard *sh, struct object *o)
{
	list_leave(&o->in_queue);
	list_push_back(&sh->queues[o->queue].list, &o->in_queue);
}

/* Whether there is something newer of that key and variant, or no place for another. */
static bool
is_outdated(struct shard *sh, const struct object *o)
{
	return shard_find_replaced(sh, o) != NULL;
}

bool
store_restore(struct store *s, struct object *o, bool is_main)
{
	struct shard *sh = shard_of(s, o->hash);
	size_t bytes = object_memory_bytes(o);
	bool listed = false, wants;

	if (!is_bounded(s, o))
		return false;
	object_tag(o);
	pthread_mutex_lock(&sh->lock);
	if (!is_outdated(sh, o)) {
		o->charged_bytes = bytes > UINT32_MAX ? UINT32_MAX : (uint32_t)bytes;
		shard_list(s, sh, object_ref(o), is_main ? QUEUE_MAIN : QUEUE_SMALL);
		shard_put_last(sh, o);
		sh->restored++;
		listed = true;
	}
	wants = index_wants_segment(&sh->index);
	pthread_mutex_unlock(&sh->lock);
	if (listed)
		tell(s, o, true);
	if (wants)
		shard_grow(s, sh);
	return listed;
}

void
store_move_last(struct store *s, uint64_t hash, const struct object *o)
{
	struct shard *sh = shard_of(s, hash);
	struct index_look look;
	struct object *x;

	pthread_mutex_lock(&sh->lock);
	for (x = index_first(&sh->index, hash, &look); x != NULL && x != o; x = index_next(&look))
		;
	if (x != NULL)
		shard_put_last(sh, x);
	pthread_mutex_unlock(&sh->lock);
}

struct sweep {
	struct store *store;
	struct purgelog *log;
	size_t gone;
};

static void
sweep_see(struct object *o, void *arg)
{
	struct sweep *w = arg;

	if (purgelog_judge(w->log, o) != PURGE_GONE)
		return;
	store_remove(w->store, o);
	w->gone++;
}

size_t
store_sweep(struct store *s, struct purgelog *l)
{
	struct sweep w = {.store = s, .log = l};
	uint64_t up_to = purgelog_head(l);

	store_walk(s, sweep_see, &w);
	purgelog_retire(l, up_to);
	return w.gone;
}

/* --- bounds --- */

int
store_resize(struct store *s, size_t limit_bytes)
{
	unsigned start = 0;

	if (slab_resize(s->slab, limit_bytes) != 0)
		return -1;
	while (slab_is_over(s->slab)) {
		bool any = has_many_free_slots(s) && evict_page(s, 1);

		if (!any && !make_room(s, start++, SLAB_PAGE_BYTES) && !evict_page(s, 1))
			break;
	}
	return 0;
}

struct store_usage
store_usage(struct store *s)
{
	struct slab_usage slab = slab_usage(s->slab);
	struct store_usage u = {
	    .bytes = slab.used_bytes + slab.charged_bytes, .limit_bytes = slab.limit_bytes};

	for (unsigned i = 0; i < s->shards_count; i++) {
		struct shard *sh = &s->shards[i];

		pthread_mutex_lock(&sh->lock);
		u.objects += sh->index.objects;
		u.evictions += sh->evictions;
		u.ghost_hits += sh->ghost_hits;
		u.restored += sh->restored;
		u.index_buckets += sh->index.buckets;
		pthread_mutex_unlock(&sh->lock);
	}
	return u;
}

void
store_free(struct store **sp)
{
	struct store *s = *sp;

	*sp = NULL;
	if (s == NULL)
		return;
	for (unsigned i = 0; i < s->shards_count; i++) {
		struct shard *sh = &s->shards[i];

		while (shard_make_room(s, sh, SIZE_MAX) > 0)
			;
		assert(sh->index.objects == 0);
		index_fini(&sh->index);
		pthread_mutex_destroy(&sh->lock);
	}
	free(s->shards);
	slab_free_all(&s->slab);
	free(s);
}
