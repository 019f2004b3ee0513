#include "cache/store_priv.h"

#include <stdlib.h>

void
store_tell(struct store *s, struct object *o, bool came)
{
	if (s->see != NULL)
		s->see(s->see_arg, o, came);
}

bool
store_holds(const struct store *s, const struct object *o)
{
	return object_slab(o) == s->slab && (o->body == NULL || body_slab(o->body) == s->slab);
}

void
shard_count_bytes(struct store *s, struct shard *sh, struct object *o, ssize_t bytes)
{
	sh->queues[o->queue].bytes += (size_t)bytes;
	atomic_fetch_add_explicit(&sh->bytes, (size_t)bytes, memory_order_relaxed);
	atomic_fetch_add_explicit(&s->bytes, (size_t)bytes, memory_order_relaxed);
}

void
shard_list(struct store *s, struct shard *sh, struct object *o, enum queue_name queue)
{
	o->queue = (uint8_t)queue;
	list_push_front(&sh->queues[queue].list, &o->in_queue);
	index_add(&sh->index, o);
	shard_count_bytes(s, sh, o, o->charged_bytes);
}

void
shard_unlist(struct store *s, struct shard *sh, struct object *o)
{
	shard_count_bytes(s, sh, o, -(ssize_t)o->charged_bytes);
	list_leave(&o->in_queue);
	index_remove(&sh->index, o);
	o->queue = QUEUE_NONE;
}

void
shard_move(struct shard *sh, struct object *o, enum queue_name to)
{
	sh->queues[o->queue].bytes -= o->charged_bytes;
	list_leave(&o->in_queue);
	o->queue = (uint8_t)to;
	list_push_front(&sh->queues[to].list, &o->in_queue);
	sh->queues[to].bytes += o->charged_bytes;
}

struct object *
shard_find_replaced(struct shard *sh, const struct object *o)
{
	struct object *oldest = NULL;
	unsigned variants = 0;
	struct index_look look;

	for (struct object *x = index_first(&sh->index, o->hash, &look); x != NULL;
	     x = index_next(&look)) {
		if (!store_is_of_key(x, o->hash, object_key(o)))
			continue;
		if (slice_eq(object_vary(x), object_vary(o)))
			return x;
		oldest = x;
		variants++;
	}
	return variants < STORE_VARIANTS_MAX ? NULL : oldest;
}

void
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
