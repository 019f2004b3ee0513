#include "server/accessring.h"

#include <assert.h>
#include <stdlib.h>

#include "base/mem.h"

void
access_ring_init(struct access_ring *r, size_t size)
{
	assert((size & (size - 1)) == 0);
	*r = (struct access_ring){.size = size, .bytes = must_malloc(size)};
}

void
access_ring_fini(struct access_ring *r)
{
	free(r->bytes);
}

static struct access_frame *
frame_at(struct access_ring *r, uint64_t position)
{
	return (struct access_frame *)(void *)(r->bytes + (position & (r->size - 1)));
}

/* From the position to the end of the ring. */
static size_t
left_behind(const struct access_ring *r, uint64_t position)
{
	return r->size - (position & (r->size - 1));
}

void *
access_ring_reserve(struct access_ring *r, size_t n)
{
	uint64_t tail = atomic_load_explicit(&r->tail, memory_order_relaxed);
	size_t rest = left_behind(r, tail);
	uint64_t at = n <= rest ? tail : tail + rest;
	struct access_frame *f = frame_at(r, at);

	/* Looked at anew where the record would not fit by what is known, or for who asks whether it is half full. */
	if (at + n - r->head_seen > r->size / 2) {
		r->head_seen = atomic_load_explicit(&r->head, memory_order_acquire);
		if (at + n - r->head_seen > r->size)
			return NULL;
	}
	if (at != tail)
		frame_at(r, tail)->bytes = 0;
	f->bytes = (uint32_t)n;
	r->next = at + n;
	return f;
}

void
access_ring_commit(struct access_ring *r)
{
	/* Sequentially consistent with the writer's "asleep, then look": one of the two sees the other. */
	atomic_store(&r->tail, r->next);
}

const struct access_frame *
access_ring_first(struct access_ring *r, uint64_t until)
{
	uint64_t head = atomic_load_explicit(&r->head, memory_order_relaxed);

	if (head == until)
		return NULL;
	if (frame_at(r, head)->bytes == 0) {
		head += left_behind(r, head);
		atomic_store_explicit(&r->head, head, memory_order_release);
	}
	return frame_at(r, head);
}

void
access_ring_drop(struct access_ring *r, const struct access_frame *f)
{
	uint64_t head = atomic_load_explicit(&r->head, memory_order_relaxed);

	atomic_store_explicit(&r->head, head + f->bytes, memory_order_release);
}

bool
access_ring_is_empty(struct access_ring *r)
{
	return atomic_load(&r->tail) == atomic_load(&r->head);
}
