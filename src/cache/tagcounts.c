#include "cache/tagcounts.h"

#include <pthread.h>
#include <stdlib.h>

#include "base/hash.h"
#include "base/mem.h"

#define WAYS 8

struct entry {
	uint64_t hash;	/* 0: free */
	uint64_t since; /* objects fetched before count no more */
	int32_t
	    count; /* below 0 for a moment, when one thread's leaving overtakes another's coming */
	bool is_exact;
	bool is_borrowed; /* since is that of a tag that was here before */
};

struct bucket {
	pthread_mutex_t lock;
	uint64_t newest; /* fetch of what was counted here */
	uint64_t forgot; /* no fetch before was after that of an object whose count was given up */
	uint64_t borrowed; /* greatest since given up */
	struct entry ways[WAYS];
};

struct tagcounts {
	_Atomic uint64_t since; /* the same for all tags */
	size_t count;		/* a power of two */
	struct bucket buckets[];
};

static size_t
buckets_for(size_t tags)
{
	size_t count = 1;

	while (count * WAYS < tags)
		count *= 2;
	return count;
}

size_t
tagcounts_bytes(size_t tags)
{
	return sizeof(struct tagcounts) + buckets_for(tags) * sizeof(struct bucket);
}

struct tagcounts *
tagcounts_new(size_t tags)
{
	struct tagcounts *t = must_calloc(1, tagcounts_bytes(tags));

	t->count = buckets_for(tags);
	for (size_t i = 0; i < t->count; i++)
		pthread_mutex_init(&t->buckets[i].lock, NULL);
	return t;
}

void
tagcounts_free(struct tagcounts **tp)
{
	struct tagcounts *t = *tp;

	*tp = NULL;
	if (t == NULL)
		return;
	for (size_t i = 0; i < t->count; i++)
		pthread_mutex_destroy(&t->buckets[i].lock);
	free(t);
}

static uint64_t
hash_of(struct slice tag)
{
	uint64_t hash = hash_bytes(tag.p, tag.n);

	return hash == 0 ? 1 : hash;
}

static struct bucket *
bucket_lock(struct tagcounts *t, uint64_t hash)
{
	struct bucket *b = &t->buckets[(hash >> 32) & (t->count - 1)];

	pthread_mutex_lock(&b->lock);
	return b;
}

/* As it stands after the last purge of everything. */
static struct entry *
bucket_find(struct tagcounts *t, struct bucket *b, uint64_t hash)
{
	uint64_t since = atomic_load_explicit(&t->since, memory_order_acquire);

	for (unsigned i = 0; i < WAYS; i++) {
		struct entry *e = &b->ways[i];

		if (e->hash != hash)
			continue;
		if (e->since < since)
			*e = (struct entry){.hash = hash, .since = since, .is_exact = true};
		return e;
	}
	return NULL;
}

/* Room for a tag that is not there: a free way, else that of the fewest objects. */
static struct entry *
bucket_add(struct tagcounts *t, struct bucket *b, uint64_t hash)
{
	uint64_t since = atomic_load_explicit(&t->since, memory_order_acquire);
	struct entry *e = &b->ways[0];

	for (unsigned i = 0; i < WAYS && e->hash != 0; i++)
		if (b->ways[i].hash == 0 || b->ways[i].count < e->count)
			e = &b->ways[i];
	if (e->hash != 0 && e->count != 0)
		b->forgot = b->newest + 1;
	if (e->since > b->borrowed)
		b->borrowed = e->since;
	*e = (struct entry){.hash = hash, .since = since, .is_exact = b->forgot <= since};
	if (b->borrowed >
	    since) { /* it may be the tag that was purged then: its dead count no more */
		e->since = b->borrowed;
		e->is_borrowed = true;
	}
	return e;
}

static void
see_tag(struct tagcounts *t, struct slice tag, uint64_t log_pos, bool came)
{
	uint64_t hash = hash_of(tag);
	struct bucket *b = bucket_lock(t, hash);
	struct entry *e = bucket_find(t, b, hash);

	if (e == NULL && came)
		e = bucket_add(t, b, hash);
	if (came && log_pos > b->newest)
		b->newest = log_pos;
	if (e != NULL && log_pos >= e->since)
		e->count += came ? 1 : e->is_exact || e->count > 0 ? -1 : 0;
	else if (e != NULL && came && e->is_borrowed)
		e->is_exact = false;
	pthread_mutex_unlock(&b->lock);
}

void
tagcounts_see(struct tagcounts *t, const struct object *o, bool came)
{
	struct slice tags = object_tags(o);

	while (tags.n > 0) {
		struct slice one = slice_cut(&tags, '\0');

		see_tag(t, one, o->facts.log_pos, came);
	}
}

void
tagcounts_purged(struct tagcounts *t, struct slice tag, uint64_t pos)
{
	uint64_t hash = hash_of(tag);
	struct bucket *b = bucket_lock(t, hash);
	struct entry *e = bucket_find(t, b, hash);

	if (e != NULL)
		*e = (struct entry){.hash = hash, .since = pos, .is_exact = true};
	pthread_mutex_unlock(&b->lock);
}

void
tagcounts_all_purged(struct tagcounts *t, uint64_t pos)
{
	atomic_store_explicit(&t->since, pos, memory_order_release);
}

uint64_t
tagcounts_of(struct tagcounts *t, struct slice tag, bool *is_exact_out)
{
	uint64_t hash = hash_of(tag), count;
	struct bucket *b = bucket_lock(t, hash);
	const struct entry *e = bucket_find(t, b, hash);

	count = e == NULL || e->count < 0 ? 0 : (uint64_t)e->count;
	*is_exact_out = e != NULL
	    ? e->is_exact
	    : b->forgot <= atomic_load_explicit(&t->since, memory_order_relaxed);
	pthread_mutex_unlock(&b->lock);
	return count;
}
