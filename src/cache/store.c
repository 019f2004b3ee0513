#include "cache/store_priv.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>

#include "base/mem.h"
#include "http/vary.h"

#define SHARDS_MAX 64
#define SHARD_LEAST_BYTES ((size_t)4 << 20) /* of the limit, before there is another shard */
#define HITS_MAX 3			    /* S3-FIFO's counter */

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
	slab_set_pressure(s->slab, store_on_pressure, s);
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

void
store_watch(struct store *s, void (*see)(void *arg, struct object *o, bool came), void *arg)
{
	s->see = see;
	s->see_arg = arg;
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
		if (!store_is_of_key(o, key->hash, key->text))
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
		if (store_is_of_key(o, key->hash, key->text))
			out[n++] = object_ref(o);
	pthread_mutex_unlock(&sh->lock);
	return n;
}

/* --- listing --- */

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

bool
store_put(struct store *s, struct object *o)
{
	struct shard *sh = shard_of(s, o->hash);
	struct leavers l = {.count = 0};
	uint32_t charge = store_charge(o);
	struct index_segment *spare;
	bool wants, came = false;

	if (!store_holds(s, o))
		return false;
	object_tag(o);
	pthread_mutex_lock(&sh->lock);
	if (o->queue == QUEUE_NONE) {
		o->charged_bytes = charge;
		shard_put(s, sh, o, &l);
		came = true;
	}
	wants = index_wants_segment(&sh->index);
	spare = index_take_segment(&sh->index);
	pthread_mutex_unlock(&sh->lock);
	if (came)
		store_tell(s, o, true);
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
		store_tell(s, listed, false);
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
			if (store_is_of_key(o, key->hash, key->text))
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

	if (!store_holds(s, o) || body_slab(*bodyp) != s->slab) {
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
		shard_count_bytes(s, sh, o, (ssize_t)bytes);
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
	uint32_t charge = store_charge(o);
	struct object *listed = NULL;
	bool is_swapped;

	if (!store_holds(s, o))
		return false;
	object_tag(o);
	pthread_mutex_lock(&sh->lock);
	if (old->queue != QUEUE_NONE) {
		shard_count_bytes(s, sh, old, -(ssize_t)old->charged_bytes);
		index_swap(&sh->index, old, o);
		list_insert_before(&old->in_queue, &o->in_queue);
		list_leave(&old->in_queue);
		o->queue = old->queue;
		old->queue = QUEUE_NONE;
		o->charged_bytes = charge;
		shard_count_bytes(s, sh, object_ref(o), o->charged_bytes);
		listed = old;
	}
	pthread_mutex_unlock(&sh->lock);
	is_swapped = listed != NULL;
	object_unref(&listed);
	return is_swapped;
}

/* --- all of it --- */

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
