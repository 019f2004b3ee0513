#include "base/buf.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/mem.h"

void
buf_grow(struct buf *b, size_t more)
{
	size_t cap = b->cap < 512 ? 512 : b->cap * 2;

	if (cap < b->n + more)
		cap = b->n + more;
	b->p = must_realloc(b->p, cap);
	b->cap = cap;
}

void
buf_printf(struct buf *b, const char *fmt, ...)
{
	char *at = buf_room(b, 1);
	va_list ap, again;
	int n;

	va_start(ap, fmt);
	va_copy(again, ap);
	n = vsnprintf(at, b->cap - b->n, fmt, ap);
	va_end(ap);
	if (n < 0)
		bug("format \"%s\"", fmt);
	if ((size_t)n >= b->cap - b->n)
		vsnprintf(buf_room(b, (size_t)n + 1), (size_t)n + 1, fmt, again);
	va_end(again);
	b->n += (size_t)n;
}

/* Two digits at a time: a division costs more than a look at a table. */
static const char pairs[] =
    "00010203040506070809101112131415161718192021222324252627282930313233343536373839"
    "40414243444546474849505152535455565758596061626364656667686970717273747576777879"
    "8081828384858687888990919293949596979899";

/* From the number of bits, which says it but for one: log10(2) is about 1233 / 4096. */
static unsigned
digits_of(uint64_t v)
{
	static const uint64_t powers[] = {1, 10, 100, 1000, 10000, 100000, 1000000, 10000000,
	    100000000, 1000000000, 10000000000, 100000000000, 1000000000000, 10000000000000,
	    100000000000000, 1000000000000000, 10000000000000000, 100000000000000000,
	    1000000000000000000, 10000000000000000000ull};
	unsigned n = (64 - (unsigned)__builtin_clzll(v | 1)) * 1233 >> 12;

	return n + ((v | 1) >= powers[n]);
}

char *
u64_write(char *at, uint64_t v)
{
	char *end = at += digits_of(v);

	for (; v >= 10; v /= 100)
		memcpy(at -= 2, pairs + 2 * (v % 100), 2);
	if (v > 0 || at == end)
		*--at = (char)('0' + v);
	return end;
}

void
buf_add_u64(struct buf *b, uint64_t v)
{
	b->n = (size_t)(u64_write(buf_room(b, U64_DIGITS), v) - b->p);
}

void
buf_add_i64(struct buf *b, int64_t v)
{
	if (v < 0)
		buf_add_char(b, '-');
	buf_add_u64(b, v < 0 ? -(uint64_t)v : (uint64_t)v);
}

void
buf_fini(struct buf *b)
{
	free(b->p);
	*b = (struct buf){0};
}
