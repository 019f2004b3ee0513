/* cache/body.h - the bytes of one message body: received once, read by any number, never copied.
 *
 * The story of a body: one writer (the fetch, on its worker) receives into the tail and publishes
 * how far it got; readers, on any worker, each with a cursor of their own, see all bytes below the
 * published length and hand them to writev as they lie. The writer alone changes the list; a chunk
 * that has a successor never changes again. So there is no lock: the published length is stored
 * with release and read with acquire, and everything below it is constant.
 *
 * Where the memory comes from: chunks of a body that may be stored come from the cache's own memory
 * (cache/slab.h), so that they count against cache.memory from their first byte; those of a body
 * that is only passing come from malloc. One for which the cache has no room any more becomes passing in the middle: its
 * readers go on, the store will not have it, and its owner looks at is_passing and keeps it small. A passing body is windowed: the writer lets go of chunks
 * that every reader has passed (body_trim), and stops receiving while window bytes lie unread.
 *
 * A body is reference-counted. Its end is told by its state, which is stored after the last length:
 * a reader that looks at body_state first and at body_length (or body_peek) afterwards knows of
 * BODY_WHOLE that it has seen all.
 */
#ifndef CACHE_BODY_H
#define CACHE_BODY_H

#include <stdatomic.h>
#include <sys/uio.h>

#include "base/slice.h"

struct slab;

#define BODY_LENGTH_UNKNOWN UINT64_MAX

enum body_state {
	BODY_OPEN,   /* more may come */
	BODY_WHOLE,  /* the published length is all of it */
	BODY_BROKEN, /* the source failed: what was published is not the whole */
};

enum body_memory {
	BODY_MALLOC, /* malloc */
	BODY_SLAB,   /* the cache's memory */
	BODY_POOLED, /* a thread's pool of equal chunks */
	BODY_POOLED_LARGE,
	BODY_POOLED_INLINE, /* another of bodies with their bytes */
};

struct body_chunk {
	struct body_chunk *_Atomic next;
	uint32_t cap;	 /* bytes of data */
	uint32_t memory; /* enum body_memory: where it goes back to */
	uint64_t at;	 /* position of data[0] in the body */
	char data[];
};

/* What a body is that does not stand behind its own struct. */
struct body_chunks {
	struct body_chunk *_Atomic first;
	/* The writer's own: */
	struct body_chunk *last; /* being filled; only whole room may stand behind it */
	struct slab *slab; /* where slab chunks come from; NULL: none, as for a passing body */
	/* Trailer fields as canonical lines, set before the state becomes BODY_WHOLE; owned
	 * (malloc). */
	char *trailers;
	size_t trailers_len;
};

struct body {
	_Atomic uint32_t refs;
	_Atomic uint8_t state; /* enum body_state */
	uint8_t memory;	       /* enum body_memory: where the struct lies */
	bool is_inline;	       /* short, its length announced: the bytes stand behind the struct */
	bool
	    is_passing; /* new chunks do not come from the slab: none was asked for, or it was full */
	_Atomic uint64_t published; /* bytes that readers may read */
	uint64_t expected;	    /* total length as announced, or BODY_LENGTH_UNKNOWN */
	union {
		char bytes[0];
		struct body_chunks chunks[0];
	};
};

/* A reader's place. {0} is the beginning. */
struct body_cursor {
	struct body_chunk *chunk; /* holding at, or NULL before the first look */
	uint64_t at;		  /* position of the next byte to read */
};

/* An open body with one reference, NULL when memory is short. expected sizes the chunks: memory is
 * taken as the bytes come, so that an announcement alone costs nothing. */
struct body *body_new(struct slab *slab, uint64_t expected);
/* A whole body holding a copy of these bytes. NULL when there is no memory for it. */
struct body *body_of(struct slab *slab, struct slice bytes);
static inline struct body *
body_ref(struct body *b)
{
	atomic_fetch_add_explicit(&b->refs, 1, memory_order_relaxed);
	return b;
}
/* Drops the reference and sets *bp to NULL. The last one frees all chunks. */
void body_unref(struct body **bp);

/* Writer: up to two places (the rest of the tail, a new chunk) where the next bytes may be
 * received; how many, or -1 when there is no memory. hint is how much is likely to come: the second
 * place is given when the first has less, and a passing body's chunks are larger where it is 128 KiB. */
int body_space(struct body *b, struct iovec iov[2], size_t hint);
/* Writer: n bytes were received there. They are readable from now on. */
void body_publish(struct body *b, size_t n);
/* Writer: copies bytes in and publishes them. 0, or -1 when there is no memory (what went in
 * stays). */
int body_append(struct body *b, struct slice bytes);
/* Writer: trailer fields as canonical lines, copied. Before the end of a body of unannounced length. */
void body_set_trailers(struct body *b, struct slice lines);
/* Writer: the end. After it nothing is published any more. */
void body_end(struct body *b, enum body_state state);
/* Writer, of a passing body: frees whole chunks below position, which every reader has passed (by
 * body_advance). */
void body_trim(struct body *b, uint64_t position);
/* Writer: the body will not be stored after all; what comes from now on is not taken from the
 * slab. */
void body_make_passing(struct body *b);

static inline uint64_t
body_length(const struct body *b)
{
	return atomic_load_explicit(&b->published, memory_order_acquire);
}

static inline enum body_state
body_state(const struct body *b)
{
	return (enum body_state)atomic_load_explicit(&b->state, memory_order_acquire);
}

/* Its trailer fields; only of a whole body. */
static inline struct slice
body_trailers(const struct body *b)
{
	if (b->is_inline)
		return SLICE_NONE;
	return slice_of(b->chunks->trailers, b->chunks->trailers_len);
}

/* Reader: up to max pieces of what is readable from the cursor on, at most limit bytes altogether.
 * Returns how many pieces; 0 when nothing is readable now. Leaves c->at where it is. */
int body_peek(
    const struct body *b, struct body_cursor *c, struct iovec *iov, int max, uint64_t limit);

/* Reader: n of the bytes that body_peek showed were dealt with. Leaves the chunks that are passed,
 * so that the writer may free them. */
static inline void
body_advance(struct body_cursor *c, uint64_t n)
{
	c->at += n;
	while (c->chunk != NULL && c->at >= c->chunk->at + c->chunk->cap) {
		struct body_chunk *next =
		    atomic_load_explicit(&c->chunk->next, memory_order_acquire);

		if (next == NULL)
			return; /* the last one, full: never freed before its successor is read */
		c->chunk = next;
	}
}

/* Reader: the cursor at position, which must not exceed the published length nor lie in what was
 * trimmed. Where chunks are being trimmed, a cursor that has looked before may go forward only. */
void body_seek(const struct body *b, struct body_cursor *c, uint64_t position);
/* Memory the body occupies, headers included (slots, where they come from the slab). Only once the
 * body has ended. */
size_t body_memory_bytes(const struct body *b);
/* Whose memory all of it lies in; NULL: not all of it in a slab. */
struct slab *body_slab(const struct body *b);
/* Says to the slab that this memory belongs to what is stored under hash (slab_tag). Only once the
 * body has ended. */
void body_tag(struct body *b, uint64_t hash);

#endif
