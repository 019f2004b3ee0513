#include "cache/body.h"

#include <assert.h>
#include <pthread.h>
#include <stdlib.h>

#include "base/mem.h"
#include "cache/poison.h"
#include "cache/slab.h"

#define LADDER_LEAST_BYTES 2048	 /* first chunk of a stored body of unknown length */
#define LADDER_PART 3		 /* each next one: this part of what is there already */
#define INLINE_MOST_BYTES 8192	 /* up to here body and bytes share one allocation */
#define POOLED_LEAST_BYTES 16384 /* a known rest below this is malloc'ed to size instead */

/* --- a thread's pool of chunks, so that what streams through costs no malloc --- */

/* Chunks of a passing body, header included: the large are for what streams so fast that a read fills them. And passing
 * bodies with their bytes, larger than what malloc keeps at hand itself. */
enum pooled { POOLED_SMALL, POOLED_LARGE, POOLED_INLINE, POOLED_COUNT };
static const struct {
	size_t bytes;
	unsigned most; /* that one thread keeps */
	enum body_memory memory;
} pooled[] = {
    {32768, 16, BODY_POOLED}, {131072, 6, BODY_POOLED_LARGE}, {4096, 32, BODY_POOLED_INLINE}};
#define INLINE_POOLED_LEAST_BYTES 1024

struct chunk_pool {
	struct {
		struct body_chunk *free;
		unsigned count;
	} of[POOLED_COUNT];
	bool is_over; /* the thread is ending: nothing is kept any more */
	bool is_known;
};

static _Thread_local struct chunk_pool pool;
static pthread_key_t pool_key;
static pthread_once_t pool_once = PTHREAD_ONCE_INIT;

static struct body_chunk *
chunk_pool_take(struct chunk_pool *p, enum pooled kind)
{
	struct body_chunk *c = p->of[kind].free;

	if (c == NULL)
		return NULL;
	unpoison(c + 1, pooled[kind].bytes - sizeof(*c));
	p->of[kind].free = atomic_load_explicit(&c->next, memory_order_relaxed);
	p->of[kind].count--;
	return c;
}

static void
on_pool_thread_exit(void *arg)
{
	struct chunk_pool *p = arg;
	struct body_chunk *c;

	p->is_over = true;
	for (unsigned kind = 0; kind < POOLED_COUNT; kind++)
		while ((c = chunk_pool_take(p, kind)) != NULL)
			free(c);
}

static void
pool_key_make(void)
{
	/* Without a key chunks are not pooled: see chunk_pool_put. */
	(void)pthread_key_create(&pool_key, on_pool_thread_exit);
}

static void
chunk_pool_put(struct body_chunk *c, enum pooled kind)
{
	if (!pool.is_known && !pool.is_over) {
		pthread_once(&pool_once, pool_key_make);
		pool.is_over = pthread_setspecific(pool_key, &pool) != 0;
		pool.is_known = true;
	}
	if (pool.is_over || pool.of[kind].count >= pooled[kind].most) {
		free(c);
		return;
	}
	atomic_store_explicit(&c->next, pool.of[kind].free, memory_order_relaxed);
	pool.of[kind].free = c;
	pool.of[kind].count++;
	poison(c + 1, pooled[kind].bytes - sizeof(*c));
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
		slab_release(b->chunks->slab, c);
		return;
	case BODY_POOLED:
		chunk_pool_put(c, POOLED_SMALL);
		return;
	case BODY_POOLED_LARGE:
		chunk_pool_put(c, POOLED_LARGE);
		return;
	case BODY_POOLED_INLINE:
		return; /* no chunk's */
	}
}

/* Where the room that is linked so far ends. */
static uint64_t
room_end(const struct body *b)
{
	const struct body_chunk *c = b->chunks->last, *spare;

	if (c == NULL)
		return 0;
	spare = atomic_load_explicit(&c->next, memory_order_relaxed);
	return spare == NULL ? c->at + c->cap : spare->at + spare->cap;
}

/* What a stored body asks for next: the announced rest in pieces that leave little empty; without
 * one a part of what is there, so that not more than that is wasted in the end, in few sizes, so
 * that a small cache has not a page of each. */
static size_t
slab_chunk_bytes(const struct slab *slab, uint64_t have, uint64_t rest)
{
	size_t size = LADDER_LEAST_BYTES;

	if (rest != BODY_LENGTH_UNKNOWN)
		return slab_piece_bytes(slab,
		    rest > SLAB_ALLOC_MAX ? SLAB_ALLOC_MAX : rest + sizeof(struct body_chunk));
	while (size * 2 <= have / LADDER_PART && size < SLAB_ALLOC_MAX)
		size *= 2;
	return size == SLAB_ALLOC_MAX ? size : slab_slot_bytes(slab, size - 16);
}

static struct body_chunk *
slab_chunk_new(const struct body *b, uint64_t have, uint64_t rest)
{
	size_t bytes = slab_chunk_bytes(b->chunks->slab, have, rest);
	struct body_chunk *c = slab_alloc(b->chunks->slab, bytes);

	if (c != NULL)
		chunk_init(c, bytes, BODY_SLAB);
	return c;
}

static struct body_chunk *
pooled_chunk_new(enum pooled kind)
{
	struct body_chunk *c = chunk_pool_take(&pool, kind);

	if (c == NULL)
		c = malloc(pooled[kind].bytes);
	if (c != NULL)
		chunk_init(c, pooled[kind].bytes, pooled[kind].memory);
	return c;
}

/* rest is what there is room for at most, hint what comes at once. */
static struct body_chunk *
passing_chunk_new(uint64_t rest, size_t hint)
{
	size_t large = pooled[POOLED_LARGE].bytes;
	struct body_chunk *c;

	if (rest >= POOLED_LEAST_BYTES)
		return pooled_chunk_new(
		    hint >= large && rest >= large ? POOLED_LARGE : POOLED_SMALL);
	if ((c = malloc(sizeof(*c) + rest)) != NULL)
		chunk_init(c, sizeof(*c) + rest, BODY_MALLOC);
	return c;
}

/* Links one more chunk behind all room. known is what is certain to come, at least; hint what is likely to. */
static struct body_chunk *
chunk_link(struct body *b, size_t known, size_t hint)
{
	uint64_t have = room_end(b), rest = BODY_LENGTH_UNKNOWN;
	struct body_chunk *c, *tail = b->chunks->last;

	if (b->expected != BODY_LENGTH_UNKNOWN && b->expected > have)
		rest = b->expected - have;
	else if (!b->is_passing && known > LADDER_LEAST_BYTES && known > have / LADDER_PART)
		rest = known;
	c = b->is_passing ? NULL : slab_chunk_new(b, have, rest);
	if (c == NULL) {
		b->is_passing = true;
		c = passing_chunk_new(rest, hint);
	}
	if (c == NULL)
		return NULL;
	c->at = have;
	if (tail == NULL) {
		b->chunks->last = c;
		atomic_store_explicit(&b->chunks->first, c, memory_order_release);
	} else {
		assert(atomic_load_explicit(&tail->next, memory_order_relaxed) == NULL);
		atomic_store_explicit(&tail->next, c, memory_order_release);
	}
	return c;
}

/* --- the body --- */

static void
chunks_free(struct body *b)
{
	struct body_chunk *c = atomic_load_explicit(&b->chunks->first, memory_order_relaxed);

	while (c != NULL) {
		struct body_chunk *next = atomic_load_explicit(&c->next, memory_order_relaxed);

		chunk_free(b, c);
		c = next;
	}
	free(b->chunks->trailers);
}

static void
body_free(struct body *b)
{
	if (!b->is_inline)
		chunks_free(b);
	switch ((enum body_memory)b->memory) {
	case BODY_SLAB:
		slab_release(slab_of(b), b);
		return;
	case BODY_POOLED_INLINE:
		chunk_pool_put((struct body_chunk *)(void *)b, POOLED_INLINE);
		return;
	default:
		free(b);
	}
}

static enum body_memory
struct_memory(const struct slab *slab, size_t bytes)
{
	if (slab != NULL)
		return BODY_SLAB;
	return bytes >= INLINE_POOLED_LEAST_BYTES && bytes <= pooled[POOLED_INLINE].bytes
	    ? BODY_POOLED_INLINE
	    : BODY_MALLOC;
}

static void *
struct_alloc(struct slab *slab, size_t bytes, enum body_memory memory)
{
	void *p;

	if (memory == BODY_SLAB)
		return slab_alloc(slab, bytes);
	if (memory == BODY_MALLOC)
		return malloc(bytes);
	p = chunk_pool_take(&pool, POOLED_INLINE);
	return p == NULL ? malloc(pooled[POOLED_INLINE].bytes) : p;
}

struct body *
body_new(struct slab *slab, uint64_t expected)
{
	bool is_inline = expected <= INLINE_MOST_BYTES;
	size_t bytes =
	    sizeof(struct body) + (is_inline ? (size_t)expected : sizeof(struct body_chunks));
	enum body_memory memory = struct_memory(slab, bytes);
	struct body *b = struct_alloc(slab, bytes, memory);

	if (b == NULL)
		return NULL;
	memset(b, 0, is_inline ? sizeof(*b) : bytes);
	atomic_init(&b->refs, 1);
	b->memory = (uint8_t)memory;
	b->is_passing = slab == NULL;
	b->expected = expected;
	b->is_inline = is_inline;
	if (!is_inline)
		b->chunks->slab = slab;
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
inline_space(struct body *b, struct iovec *iov)
{
	size_t at = (size_t)written(b);

	*iov = (struct iovec){b->bytes + at, (size_t)b->expected - at};
	return iov->iov_len == 0 ? -1 : 1;
}

static int
space(struct body *b, struct iovec iov[2], size_t hint, size_t known)
{
	uint64_t at = written(b);
	struct body_chunk *last, *spare;
	size_t room = 0;
	int n = 0;

	if (b->is_inline)
		return inline_space(b, iov);
	last = b->chunks->last;
	if (last != NULL && (room = (size_t)(last->at + last->cap - at)) > 0)
		iov[n++] = (struct iovec){last->data + (at - last->at), room};
	if (room > 0 && (room >= hint || at + room == b->expected))
		return n;
	spare = last == NULL ? NULL : atomic_load_explicit(&last->next, memory_order_relaxed);
	if (spare == NULL)
		spare = chunk_link(b, known > room ? known - room : 0, hint);
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
	struct body_chunks *k = b->chunks;

	assert(body_state(b) == BODY_OPEN && to <= (b->is_inline ? b->expected : room_end(b)));
	while (!b->is_inline && k->last != NULL && to >= k->last->at + k->last->cap) {
		struct body_chunk *next =
		    atomic_load_explicit(&k->last->next, memory_order_relaxed);

		if (next == NULL)
			break;
		k->last = next;
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

void
body_set_trailers(struct body *b, struct slice lines)
{
	assert(!b->is_inline && b->chunks->trailers == NULL);
	b->chunks->trailers = must_strndup(lines.p, lines.n);
	b->chunks->trailers_len = lines.n;
}

/* Room behind the last chunk was never used. No reader knows of it: the last chunk would have to be
 * full for one to look behind it, and then the room would have become the last chunk. */
static void
drop_spare(struct body *b)
{
	struct body_chunk *last = b->chunks->last, *spare;

	if (last != NULL &&
	    (spare = atomic_load_explicit(&last->next, memory_order_relaxed)) != NULL) {
		atomic_store_explicit(&last->next, NULL, memory_order_relaxed);
		chunk_free(b, spare);
	}
}

void
body_end(struct body *b, enum body_state state)
{
	assert(body_state(b) == BODY_OPEN && state != BODY_OPEN);
	if (!b->is_inline)
		drop_spare(b);
	atomic_store_explicit(&b->state, (uint8_t)state, memory_order_release);
}

void
body_trim(struct body *b, uint64_t position)
{
	struct body_chunks *k = b->chunks;
	struct body_chunk *c;

	if (b->is_inline)
		return;
	c = atomic_load_explicit(&k->first, memory_order_relaxed);
	/* A reader that stands at the very end of a chunk may still hold it: strictly below. */
	while (c != NULL && c != k->last && c->at + c->cap < position) {
		struct body_chunk *next = atomic_load_explicit(&c->next, memory_order_relaxed);

		atomic_store_explicit(&k->first, next, memory_order_release);
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
	if (b->is_inline) {
		iov[0] = (struct iovec){(char *)(uintptr_t)b->bytes + at, (size_t)(published - at)};
		return 1;
	}
	if (c->chunk == NULL)
		c->chunk = atomic_load_explicit(&b->chunks->first, memory_order_acquire);
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
	if (!b->is_inline && (c->chunk == NULL || position < c->chunk->at))
		c->chunk = atomic_load_explicit(&b->chunks->first, memory_order_acquire);
	c->at = position;
	body_advance(c, 0);
}

static const struct body_chunk *
first_chunk(const struct body *b)
{
	return b->is_inline ? NULL : atomic_load_explicit(&b->chunks->first, memory_order_acquire);
}

size_t
body_memory_bytes(const struct body *b)
{
	const struct body_chunk *c = first_chunk(b);
	size_t bytes =
	    sizeof(*b) + (b->is_inline ? (size_t)b->expected : sizeof(struct body_chunks));

	if (b->memory == BODY_SLAB)
		bytes = slab_size(slab_of(b), b);
	for (; c != NULL; c = atomic_load_explicit(&c->next, memory_order_acquire))
		bytes +=
		    c->memory == BODY_SLAB ? slab_size(b->chunks->slab, c) : sizeof(*c) + c->cap;
	return bytes;
}

struct slab *
body_slab(const struct body *b)
{
	return b->memory == BODY_SLAB && !b->is_passing ? slab_of(b) : NULL;
}

void
body_tag(struct body *b, uint64_t hash)
{
	const struct body_chunk *c = first_chunk(b);

	if (b->memory != BODY_SLAB)
		return;
	slab_tag(slab_of(b), b, hash);
	for (; c != NULL; c = atomic_load_explicit(&c->next, memory_order_acquire))
		if (c->memory == BODY_SLAB)
			slab_tag(b->chunks->slab, c, hash);
}
