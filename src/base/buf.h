/* base/buf.h - a growing run of bytes that one owner fills.
 *
 * {0} is an empty buf. Growth aborts when the machine has no memory (base/mem.h), so bufs hold what
 * we bound ourselves: heads, log lines, commands; never a body.
 */
#ifndef BASE_BUF_H
#define BASE_BUF_H

#include "base/slice.h"

struct buf {
	char *p;
	size_t n;   /* bytes in use */
	size_t cap; /* bytes allocated */
};

void buf_grow(struct buf *b, size_t more);

/* Room for more bytes behind the n in use; returns where they go. The caller adds what it wrote to
 * b->n. */
static inline char *
buf_room(struct buf *b, size_t more)
{
	if (b->cap - b->n < more)
		buf_grow(b, more);
	return b->p + b->n;
}

/* Here, so that what is known of n where it is called makes the copy a few moves. */
static inline void
buf_add(struct buf *b, const void *p, size_t n)
{
	if (n == 0)
		return;
	memcpy(buf_room(b, n), p, n);
	b->n += n;
}

void buf_printf(struct buf *b, const char *fmt, ...) __attribute__((format(printf, 2, 3)));

/* Writing where there is room: each returns where what it wrote ends. */
static inline char *
bytes_write(char *at, const void *p, size_t n)
{
	memcpy(at, p, n);
	return at + n;
}

#define LIT_WRITE(at, s) bytes_write((at), (s), sizeof(s) - 1)
#define U64_DIGITS 20
/* v in decimal, at most U64_DIGITS. */
char *u64_write(char *at, uint64_t v);
void buf_add_u64(struct buf *b, uint64_t v);
void buf_add_i64(struct buf *b, int64_t v);
/* Frees the bytes; *b is an empty buf again. */
void buf_fini(struct buf *b);

static inline void
buf_add_slice(struct buf *b, struct slice s)
{
	buf_add(b, s.p, s.n);
}

#define buf_add_lit(b, s) buf_add((b), (s), sizeof(s) - 1)

static inline void
buf_add_char(struct buf *b, char c)
{
	*buf_room(b, 1) = c;
	b->n++;
}

static inline struct slice
buf_slice(const struct buf *b)
{
	return slice_of(b->p, b->n);
}

/* Drops the first n bytes; the rest moves to the front. */
static inline void
buf_eat(struct buf *b, size_t n)
{
	b->n -= n;
	if (b->n > 0)
		memmove(b->p, b->p + n, b->n);
}

#endif
