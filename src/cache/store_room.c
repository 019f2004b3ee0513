#include "cache/store_priv.h"

#define SMALL_DIVISOR 10 /* the small queue's part of its shard */
#define HITS_TO_MOVE 1	 /* small to main; 2 kept less on each trace of bench_evict.c */
#define EVICT_STEPS 64	 /* and queue ends looked at */
/* What may stand in free slots before pages are emptied (bench_evict.c: half of it costs hits, since pages hold what is
 * asked for, too; twice of it as well). */
#define FREE_SLOTS_DIVISOR 32
#define FREE_SLOTS_BYTES ((size_t)2 << 20)
#define FREE_SLOTS_DIVISOR_LEAST 6
#define PRESSING_ATTEMPT 40

void
leavers_add(struct leavers *l, struct object *o)
{
	if (atomic_load_explicit(&o->refs, memory_order_relaxed) == 1)
		l->freed += o->charged_bytes;
	l->objects[l->count++] = o;
}

void
leavers_go(struct store *s, struct leavers *l)
{
	while (l->count > 0) {
		store_tell(s, l->objects[l->count - 1], false);
		object_unref(&l->objects[--l->count]);
	}
}

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

size_t
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
bool
store_on_pressure(void *arg, size_t bytes, unsigned attempt)
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
