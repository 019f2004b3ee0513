#include "cache/store_priv.h"

#include <stdlib.h>

#include "base/mem.h"

#define WALK_BATCH 64

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
	uint32_t charge = store_charge(o);
	bool listed = false, wants;

	if (!store_holds(s, o))
		return false;
	object_tag(o);
	pthread_mutex_lock(&sh->lock);
	if (!is_outdated(sh, o)) {
		o->charged_bytes = charge;
		shard_list(s, sh, object_ref(o), is_main ? QUEUE_MAIN : QUEUE_SMALL);
		shard_put_last(sh, o);
		sh->restored++;
		listed = true;
	}
	wants = index_wants_segment(&sh->index);
	pthread_mutex_unlock(&sh->lock);
	if (listed)
		store_tell(s, o, true);
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
