#include "policy/limittable.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "policy/limitkey.h"

/* A bucket for each so many bytes, so that chains stay short with the smallest entries too. */
#define BYTES_PER_BUCKET 128
/* How many of the longest unseen of each level are looked at when room is needed. */
#define LOOKS 2

static size_t
power_of_two_below(size_t n)
{
	size_t p = 1;

	while (p * 2 <= n)
		p *= 2;
	return p;
}

/* Shards. */

static int
shard_init(struct limit_shard *s, unsigned number, size_t max_bytes)
{
	size_t buckets = power_of_two_below(max_bytes / BYTES_PER_BUCKET);

	s->buckets = calloc(buckets, sizeof(s->buckets[0]));
	if (s->buckets == NULL)
		return -1;
	pthread_mutex_init(&s->lock, NULL);
	s->mask = (uint32_t)(buckets - 1);
	s->number = number;
	s->keys = s->used_bytes = 0;
	s->max_bytes = max_bytes - buckets * sizeof(s->buckets[0]);
	for (unsigned i = 0; i < LIMIT_LEVELS; i++)
		list_init(&s->levels[i]);
	list_init(&s->waiting);
	atomic_init(&s->due_ms, INT64_MAX);
	return 0;
}

static void
shard_fini(struct limit_shard *s)
{
	assert(s->keys == 0); /* each limiter took its own along */
	pthread_mutex_destroy(&s->lock);
	free(s->buckets);
}

int
limit_shards_init(struct limit_table *t, size_t max_bytes)
{
	size_t count = power_of_two_below(max_bytes / LIMIT_TABLE_BYTES_MIN);
	unsigned i;

	if (count > LIMIT_SHARDS_MAX)
		count = LIMIT_SHARDS_MAX;
	t->shards = aligned_alloc(_Alignof(struct limit_shard), count * sizeof(t->shards[0]));
	if (t->shards == NULL)
		return -1;
	for (i = 0; i < count; i++)
		if (shard_init(&t->shards[i], i, max_bytes / count) == -1)
			goto fail_shards;
	t->shard_count = (unsigned)count;
	return 0;
fail_shards:
	while (i > 0)
		shard_fini(&t->shards[--i]);
	free(t->shards);
	return -1;
}

void
limit_shards_fini(struct limit_table *t)
{
	for (unsigned i = 0; i < t->shard_count; i++)
		shard_fini(&t->shards[i]);
	free(t->shards);
}

/* Entries. */

static bool
entry_is(const struct limit_entry *e, const struct limiter *l, struct slice key, uint64_t hash)
{
	return e->hash == (uint32_t)hash && e->limiter == l && e->key_bytes == key.n &&
	    memcmp((const char *)e + l->key_at, key.p, key.n) == 0;
}

struct limit_entry *
limit_shard_find(struct limit_shard *s, const struct limiter *l, struct slice key, uint64_t hash)
{
	struct limit_entry *e = s->buckets[hash & s->mask];

	while (e != NULL && !entry_is(e, l, key, hash))
		e = e->chain;
	return e;
}

/* What malloc takes for n bytes. */
static size_t
heap_bytes(size_t n)
{
	return (n + 8 + 15) & ~(size_t)15;
}

static void
shard_free_entry(struct limit_shard *s, struct limit_entry *e)
{
	struct limit_entry **at = &s->buckets[e->hash & s->mask];

	while (*at != e)
		at = &(*at)->chain;
	*at = e->chain;
	list_leave(&e->link);
	s->used_bytes -= heap_bytes(e->limiter->key_at + e->key_bytes);
	s->keys--;
	free(e);
}

static uint8_t
entry_level(const struct limit_entry *e)
{
	const struct window_rule *r = &e->limiter->rule;
	uint64_t used = window_used(r, limit_entry_window(e));

	/* Most often what it was: seen without a division. */
	if (used * (LIMIT_LEVELS - 1) - (uint64_t)e->level * r->limit < r->limit)
		return e->level;
	if (used >= r->limit)
		return LIMIT_LEVELS - 1;
	return (uint8_t)(used * (LIMIT_LEVELS - 1) / r->limit);
}

/* Brings the longest unseen entries of one level up to date: those that have got permits back move
 * to the level they belong to now. The first found with all its permits, or NULL. */
static struct limit_entry *
level_find_idle(struct limit_shard *s, uint8_t level, int64_t now_ms)
{
	unsigned looks = 0;

	LIST_EACH_SAFE (e, &s->levels[level], struct limit_entry, link) {
		const struct window_rule *r = &e->limiter->rule;

		if (looks++ == LOOKS)
			break;
		window_advance(r, limit_entry_window(e), now_ms > e->seen_ms ? now_ms : e->seen_ms);
		if (window_used(r, limit_entry_window(e)) == 0)
			return e;
		if (entry_level(e) == level)
			continue;
		e->level = entry_level(e);
		list_leave(&e->link);
		list_push_front(&s->levels[e->level], &e->link);
	}
	return NULL;
}

/* Forgets one key, in the order of the header. False when all that are left have waiters. */
static bool
shard_evict(struct limit_shard *s, int64_t now_ms)
{
	struct limit_entry *e = NULL;

	for (uint8_t level = 0; level < LIMIT_LEVELS && e == NULL; level++)
		e = level_find_idle(s, level, now_ms);
	if (e != NULL) {
		shard_free_entry(s, e);
		return true;
	}
	for (uint8_t level = 0; level < LIMIT_LEVELS && e == NULL; level++)
		e = list_first(&s->levels[level], struct limit_entry, link);
	if (e == NULL)
		return false;
	/* what is counted in Redis is not forgiven by forgetting it here */
	limit_count(e->limiter, s,
	    e->level == LIMIT_LEVELS - 1 && !e->limiter->conf.shared ? LIMIT_COUNT_forgiven
								     : LIMIT_COUNT_evicted);
	shard_free_entry(s, e);
	return true;
}

struct limit_entry *
limit_shard_add(
    struct limit_shard *s, struct limiter *l, struct slice key, uint64_t hash, int64_t now_ms)
{
	size_t need = heap_bytes(l->key_at + key.n);
	struct limit_entry *e;

	assert(key.n <= LIMIT_KEY_MAX);
	while (s->used_bytes + need > s->max_bytes)
		if (!shard_evict(s, now_ms))
			return NULL;
	if ((e = calloc(1, l->key_at + key.n)) == NULL)
		return NULL;
	e->limiter = l;
	e->seen_ms = now_ms;
	e->hash = (uint32_t)hash;
	e->key_bytes = (uint8_t)key.n;
	if (key.n > 0)
		memcpy((char *)e + l->key_at, key.p, key.n);
	list_init(&e->link);
	if (l->queue_at != 0) {
		list_init(&limit_entry_queue(e)->waiters);
		limit_entry_queue(e)->due_ms = INT64_MAX;
	}
	e->chain = s->buckets[hash & s->mask];
	s->buckets[hash & s->mask] = e;
	s->used_bytes += need;
	s->keys++;
	return e;
}

void
limit_shard_place(struct limit_shard *s, struct limit_entry *e)
{
	struct limit_queue *q = limit_entry_queue(e);
	struct link *list;

	e->level = entry_level(e);
	list = q != NULL && !list_is_empty(&q->waiters) ? &s->waiting : &s->levels[e->level];
	if (e->link.next == list)
		return;
	list_leave(&e->link);
	list_push_back(list, &e->link);
}

void
limit_shard_forget(struct limit_shard *s, const struct limiter *l)
{
	LIST_EACH (e, &s->waiting, struct limit_entry, link)
		assert(e->limiter != l); /* whoever waits holds a reference */
	for (unsigned level = 0; level < LIMIT_LEVELS; level++)
		LIST_EACH_SAFE (e, &s->levels[level], struct limit_entry, link)
			if (e->limiter == l)
				shard_free_entry(s, e);
}

void
limit_wake_all(struct limit_table *t, struct link *woken)
{
	struct limit_waiter *w;

	while ((w = list_first(woken, struct limit_waiter, link)) != NULL) {
		list_leave(&w->link); /* w may be gone once its worker has the message */
		t->on_wake(w, t->on_wake_arg);
	}
}
