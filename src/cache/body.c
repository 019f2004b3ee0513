#include "cache/body.h"

#include <assert.h>
#include <pthread.h>
#include <stdlib.h>

#include "cache/poison.h"
#include "cache/slab.h"

#define LADDER_LEAST_BYTES 2048	 /* first chunk of a stored body of unknown length */
#define LADDER_PART 3		 /* each next one: this part of what is there already */
#define INLINE_MOST_BYTES 8192	 /* up to here body and bytes share one allocation */
#define POOLED_BYTES 32768	 /* chunks of a passing body, header included */
#define POOLED_LEAST_BYTES 16384 /* a known rest below this is malloc'ed to size instead */
#define POOL_CHUNKS_MAX 16	 /* that one thread keeps */

/* --- a thread's pool of chunks, so that what streams through costs no malloc --- */

struct chunk_pool {
	struct body_chunk *free;
	unsigned count;
	bool is_over; /* the thread is ending: nothing is kept any more */
	bool is_known;
};

static _Thread_local struct chunk_pool pool;
static pthread_key_t pool_key;
static pthread_once_t pool_once = PTHREAD_ONCE_INIT;

static void
on_pool_thread_exit(void *arg)
{
	struct chunk_pool *p = arg;

	p->is_over = true;
	while (p->free != NULL) {
		struct body_chunk *c = p->free;

		unpoison(c + 1, POOLED_BYTES - sizeof(*c));
		p->free = atomic_load_explicit(&c->next, memory_order_relaxed);
		free(c);
	}
	p->count = 0;
}

static void
pool_key_make(void)
{
	/* Without a key chunks are not pooled: see chunk_pool_put. */
	(void)pthread_key_create(&pool_key, on_pool_thread_exit);
}

static struct body_chunk *
chunk_pool_get(void)
{
	struct body_chunk *c = pool.free;

	if (c == NULL)
		return malloc(POOLED_BYTES);
	unpoison(c + 1, POOLED_BYTES - sizeof(*c));
	pool.free = atomic_load_explicit(&c->next, memory_order_relaxed);
	pool.count--;
	return c;
}

static void
chunk_pool_put(struct body_chunk *c)
{
	if (!pool.is_known && !pool.is_over) {
		pthread_once(&pool_once, pool_key_make);
		pool.is_over = pthread_setspecific(pool_key, &pool) != 0;
		pool.is_known = true;
	}
	if (pool.is_over || pool.count >= POOL_CHUNKS_MAX) {
		free(c);
		return;
	}
	atomic_store_explicit(&c->next, pool.free, memory_order_relaxed);
	pool.free = c;
	pool.count++;
	poison(c + 1, POOLED_BYTES - sizeof(*c));
}

/* --- chunks --- */

static void
chunk_init(struct body_chunk *c, size_t bytes, enum body_memory memory)
{
	atomic_init(&c->next, NULL);
	c->cap = (uint32_t)(bytes - sizeof(*c));
	c->memory = memory;
	c->at = 0;
}

static void
chunk_free(const struct body *b, struct body_chunk *c)
{
	switch ((enum body_memory)c->memory) {
	case BODY_MALLOC:
		free(c);
		return;
	case BODY_SLAB:
		slab_release(b->slab, c);
		return;
	case BODY_POOLED:
		chunk_pool_put(c);
		return;
	case BODY_INLINE:
		return;
	}
}

/* Where the room that is linked so far ends. */
static uint64_t
room_end(const struct body *b)
{
	const struct body_chunk *c = b->last, *spare;

	if (c == NULL)
		return 0;
	spare = atomic_load_explicit(&c->next, memory_order_relaxed);
	return spare == NULL ? c->at + c->cap : spare->at + spare->cap;
}

/* What a stored body asks for next: the announced rest in pieces that leave little empty; without
 * one a part of what is there, so that not more than that is wasted in the end, in few sizes, so
 * that a small cache has not a page of each. */
static size_t
slab_chunk_bytes(uint64_t have, uint64_t rest)
{
	size_t size = LADDER_LEAST_BYTES;

	if (rest != BODY_LENGTH_UNKNOWN)
		return slab_piece_bytes(
		    rest > SLAB_ALLOC_MAX ? SLAB_ALLOC_MAX : rest + sizeof(struct body_chunk));
	while (size * 2 <= have / LADDER_PART && size < SLAB_ALLOC_MAX)
		size *= 2;
	return size == SLAB_ALLOC_MAX ? size : slab_slot_bytes(size - 16);
}

static struct body_chunk *
slab_chunk_new(const struct body *b, uint64_t have, uint64_t rest)
{
	size_t bytes = slab_chunk_bytes(have, rest);
	struct body_chunk *c = slab_alloc(b->slab, bytes);

	if (c != NULL)
		chunk_init(c, bytes, BODY_SLAB);
	return c;
}

static struct body_chunk *
passing_chunk_new(uint64_t rest)
{
	struct body_chunk *c;

	if (rest < POOLED_LEAST_BYTES) {
		if ((c = malloc(sizeof(*c) + rest)) != NULL)
			chunk_init(c, sizeof(*c) + rest, BODY_MALLOC);
	} else if ((c = chunk_pool_get()) != NULL)
		chunk_init(c, POOLED_BYTES, BODY_POOLED);
	return c;
}

/* Links one more chunk behind all room. known is what is certain to come, at least. */
static struct body_chunk *
chunk_link(struct body *b, size_t known)
{
	uint64_t have = room_end(b), rest = BODY_LENGTH_UNKNOWN;
	struct body_chunk *c, *tail = b->last;

	if (b->expected != BODY_LENGTH_UNKNOWN && b->expected > have)
		rest = b->expected - have;
	else if (!b->is_passing && known > LADDER_LEAST_BYTES && known > have / LADDER_PART)
		rest = known;
	c = b->is_passing ? NULL : slab_chunk_new(b, have, rest);
	if (c == NULL) {
		b->is_passing = true;
		c = passing_chunk_new(rest);
	}
	if (c == NULL)
		return NULL;
	c->at = have;
	if (tail == NULL) {
		b->last = c;
		atomic_store_explicit(&b->first, c, memory_order_release);
	} else {
		assert(atomic_load_explicit(&tail->next, memory_order_relaxed) == NULL);
		atomic_store_explicit(&tail->next, c, memory_order_release);
	}
	return c;
}

/* --- the body --- */

static void
body_free(struct body *b)
{
	struct body_chunk *c = atomic_load_explicit(&b->first, memory_order_relaxed);
	struct slab *slab = b->slab;

	while (c != NULL) {
		struct body_chunk *next = atomic_load_explicit(&c->next, memory_order_relaxed);

		chunk_free(b, c);
		c = next;
	}
	free(b->trailers);
	if (slab != NULL)
		slab_release(slab, b);
	else
		free(b);
}

/* The struct with room for inline_bytes of chunk behind it. */
static struct body *
body_alloc(struct slab *slab, size_t inline_bytes)
{
	size_t bytes = sizeof(struct body) + inline_bytes;
	struct body *b = slab == NULL ? malloc(bytes) : slab_alloc(slab, bytes);
	struct body_chunk *c;

	if (b == NULL)
		return NULL;
	memset(b, 0, sizeof(*b));
	atomic_init(&b->refs, 1);
	b->slab = slab;
	b->is_passing = slab == NULL;
	if (inline_bytes > 0) {
		c = (struct body_chunk *)(b + 1);
		chunk_init(c, inline_bytes, BODY_INLINE);
		b->last = c;
		atomic_init(&b->first, c);
	}
	return b;
}

struct body *
body_new(struct slab *slab, uint64_t expected)
{
	size_t inline_bytes = 0;
	struct body *b;

	if (expected > 0 && expected <= INLINE_MOST_BYTES)
		inline_bytes = sizeof(struct body_chunk) + (size_t)expected;
	if ((b = body_alloc(slab, inline_bytes)) != NULL)
		b->expected = expected;
	return b;
}

struct body *
body_of(struct slab *slab, struct slice bytes)
{
	struct body *b = body_new(slab, bytes.n);

	if (b == NULL)
		return NULL;
	if (body_append(b, bytes) != 0 || (slab != NULL && b->is_passing)) {
		body_unref(&b);
		return NULL;
	}
	body_end(b, BODY_WHOLE);
	return b;
}

void
body_unref(struct body **bp)
{
	struct body *b = *bp;

	*bp = NULL;
	if (b != NULL && atomic_fetch_sub_explicit(&b->refs, 1, memory_order_acq_rel) == 1)
		body_free(b);
}

/* --- the writer's side --- */

static uint64_t
written(const struct body *b)
{
	return atomic_load_explicit(&b->published, memory_order_relaxed);
}

static int
space(struct body *b, struct iovec iov[2], size_t hint, size_t known)
{
	uint64_t at = written(b);
	struct body_chunk *spare;
	size_t room = 0;
	int n = 0;

	if (b->last != NULL && (room = (size_t)(b->last->at + b->last->cap - at)) > 0)
		iov[n++] = (struct iovec){b->last->data + (at - b->last->at), room};
	if (room > 0 && (room >= hint || at + room == b->expected))
		return n;
	spare = b->last == NULL ? NULL : atomic_load_explicit(&b->last->next, memory_order_relaxed);
	if (spare == NULL)
		spare = chunk_link(b, known > room ? known - room : 0);
	if (spare != NULL)
		iov[n++] = (struct iovec){spare->data, spare->cap};
	return n == 0 ? -1 : n;
}

int
body_space(struct body *b, struct iovec iov[2], size_t hint)
{
	return space(b, iov, hint, 0);
}

void
body_publish(struct body *b, size_t n)
{
	uint64_t to = written(b) + n;

	assert(body_state(b) == BODY_OPEN && to <= room_end(b));
	while (b->last != NULL && to >= b->last->at + b->last->cap) {
		struct body_chunk *next =
		    atomic_load_explicit(&b->last->next, memory_order_relaxed);

		if (next == NULL)
			break;
		b->last = next;
	}
	atomic_store_explicit(&b->published, to, memory_order_release);
}

int
body_append(struct body *b, struct slice bytes)
{
	while (bytes.n > 0) {
		struct iovec iov[2];
		size_t n;

		if (space(b, iov, 1, bytes.n) < 0)
			return -1;
		n = bytes.n < iov[0].iov_len ? bytes.n : iov[0].iov_len;
		memcpy(iov[0].iov_base, bytes.p, n);
		body_publish(b, n);
		bytes = slice_skip(bytes, n);
	}
	return 0;
}

/* Room behind the last chunk was never used. No reader knows of it: the last chunk would have to be
 * full for one to look behind it, and then the room would have become the last chunk. */
void
body_end(struct body *b, enum body_state state)
{
	struct body_chunk *spare;

	assert(body_state(b) == BODY_OPEN && state != BODY_OPEN);
	if (b->last != NULL &&
	    (spare = atomic_load_explicit(&b->last->next, memory_order_relaxed)) != NULL) {
		atomic_store_explicit(&b->last->next, NULL, memory_order_relaxed);
		chunk_free(b, spare);
	}
	atomic_store_explicit(&b->state, state, memory_order_release);
}

void
body_trim(struct body *b, uint64_t position)
{
	struct body_chunk *c = atomic_load_explicit(&b->first, memory_order_relaxed);

	/* A reader that stands at the very end of a chunk may still hold it: strictly below. */
	while (c != NULL && c != b->last && c->at + c->cap < position) {
		struct body_chunk *next = atomic_load_explicit(&c->next, memory_order_relaxed);

		atomic_store_explicit(&b->first, next, memory_order_release);
		chunk_free(b, c);
		c = next;
	}
}

void
body_make_passing(struct body *b)
{
	b->is_passing = true;
}

/* --- the readers' side --- */

int
body_peek(const struct body *b, struct body_cursor *c, struct iovec *iov, int max, uint64_t limit)
{
	uint64_t published = body_length(b), at = c->at;
	struct body_chunk *chunk;
	int n = 0;

	if (published - at > limit)
		published = at + limit;
	if (at >= published || max <= 0)
		return 0;
	if (c->chunk == NULL)
		c->chunk = atomic_load_explicit(&b->first, memory_order_acquire);
	while (at >= c->chunk->at + c->chunk->cap)
		c->chunk = atomic_load_explicit(&c->chunk->next, memory_order_acquire);
	for (chunk = c->chunk; n < max && at < published; n++) {
		uint64_t end = chunk->at + chunk->cap;

		if (end > published)
			end = published;
		iov[n] = (struct iovec){chunk->data + (at - chunk->at), (size_t)(end - at)};
		at = end;
		chunk = atomic_load_explicit(&chunk->next, memory_order_acquire);
	}
	return n;
}

void
body_seek(const struct body *b, struct body_cursor *c, uint64_t position)
{
	assert(position <= body_length(b));
	if (c->chunk == NULL || position < c->chunk->at)
		c->chunk = atomic_load_explicit(&b->first, memory_order_acquire);
	c->at = position;
	body_advance(c, 0);
}

size_t
body_memory_bytes(const struct body *b)
{
	const struct body_chunk *c = atomic_load_explicit(&b->first, memory_order_acquire);
	size_t bytes = b->slab != NULL ? slab_size(b->slab, b) : sizeof(*b);

	for (; c != NULL; c = atomic_load_explicit(&c->next, memory_order_acquire))
		if (c->memory == BODY_SLAB)
			bytes += slab_size(b->slab, c);
		else if (c->memory != BODY_INLINE || b->slab == NULL)
			bytes += sizeof(*c) + c->cap;
	return bytes;
}

void
body_tag(struct body *b, uint64_t hash)
{
	struct body_chunk *c = atomic_load_explicit(&b->first, memory_order_acquire);

	if (b->slab == NULL)
		return;
	slab_tag(b->slab, b, hash);
	for (; c != NULL; c = atomic_load_explicit(&c->next, memory_order_acquire))
		if (c->memory == BODY_SLAB)
			slab_tag(b->slab, c, hash);
}
