/* server/accessring.h - records of one worker on their way to the log's thread.
 *
 * One producer, one consumer, no lock: each moves its own end. A record lies in one piece, begins with a struct
 * access_frame, and is a multiple of ACCESS_RING_ALIGN long; where it would reach over the end of the ring, the rest there is
 * left empty and it stands at the beginning.
 */
#ifndef SERVER_ACCESSRING_H
#define SERVER_ACCESSRING_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define ACCESS_RING_ALIGN 8
#define ACCESS_RING_LINE 64 /* of the processor's cache */

/* What every record begins with; the ring's own. */
struct access_frame {
	uint32_t bytes; /* of the record; 0: the rest up to the end of the ring is empty */
};

/* Positions only grow; position & (size - 1) is the place. */
struct access_ring {
	/* the worker's */
	_Alignas(ACCESS_RING_LINE) _Atomic uint64_t tail; /* filled up to here */
	uint64_t next;					  /* tail, once what is reserved is there */
	uint64_t head_seen;				  /* head when it was last looked at */
	char *bytes;
	size_t size;
	/* the writer's */
	_Alignas(ACCESS_RING_LINE) _Atomic uint64_t head; /* taken up to here */
};

/* Of so many bytes, a power of two. Aborts when memory is short. */
void access_ring_init(struct access_ring *r, size_t size);
void access_ring_fini(struct access_ring *r);

/* The worker: where a record of n bytes is to be written (at most half a ring, a multiple of ACCESS_RING_ALIGN), its frame
 * filled in; NULL when there is no room. Nobody sees it before access_ring_commit. */
void *access_ring_reserve(struct access_ring *r, size_t n);
void access_ring_commit(struct access_ring *r);
/* After a commit: whether more than half of it is filled. */
static inline bool
access_ring_is_half_full(const struct access_ring *r)
{
	return r->next - r->head_seen > r->size / 2;
}

/* The writer: what is there up to now; the first record before that, or NULL; and that it is done with. */
static inline uint64_t
access_ring_until(struct access_ring *r)
{
	return atomic_load(&r->tail);
}
const struct access_frame *access_ring_first(struct access_ring *r, uint64_t until);
void access_ring_drop(struct access_ring *r, const struct access_frame *f);
/* Whether there is nothing in it, and has been since this was asked. */
bool access_ring_is_empty(struct access_ring *r);

#endif
