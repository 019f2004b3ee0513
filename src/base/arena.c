#include "base/arena.h"

#include <stdalign.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/mem.h"

#define CHUNK_BYTES 4096
#define ALIGN alignof(max_align_t)

struct arena_chunk {
	struct arena_chunk *older;
	size_t bytes; /* of data */
	alignas(ALIGN) char data[];
};

static void
arena_grow(struct arena *a, size_t n)
{
	size_t bytes = n > CHUNK_BYTES - sizeof(struct arena_chunk)
	    ? n
	    : CHUNK_BYTES - sizeof(struct arena_chunk);
	struct arena_chunk *c = must_malloc(sizeof(*c) + bytes);

	c->older = a->chunks;
	c->bytes = bytes;
	a->chunks = c;
	a->at = c->data;
	a->end = c->data + bytes;
}

void *
arena_alloc(struct arena *a, size_t n)
{
	char *p;

	n = (n + ALIGN - 1) & ~(ALIGN - 1);
	if ((size_t)(a->end - a->at) < n)
		arena_grow(a, n);
	p = a->at;
	a->at += n;
	return p;
}

void *
arena_zalloc(struct arena *a, size_t n)
{
	return memset(arena_alloc(a, n), 0, n);
}

struct slice
arena_copy(struct arena *a, struct slice s)
{
	char *p = arena_alloc(a, s.n + 1);

	if (s.n > 0)
		memcpy(p, s.p, s.n);
	p[s.n] = '\0';
	return slice_of(p, s.n);
}

struct slice
arena_printf(struct arena *a, const char *fmt, ...)
{
	va_list ap, again;
	char *p;
	int n;

	va_start(ap, fmt);
	va_copy(again, ap);
	n = vsnprintf(NULL, 0, fmt, ap);
	va_end(ap);
	if (n < 0)
		bug("format \"%s\"", fmt);
	p = arena_alloc(a, (size_t)n + 1);
	vsnprintf(p, (size_t)n + 1, fmt, again);
	va_end(again);
	return slice_of(p, (size_t)n);
}

void
arena_fini(struct arena *a)
{
	struct arena_chunk *c, *older;

	for (c = a->chunks; c != NULL; c = older) {
		older = c->older;
		free(c);
	}
	*a = (struct arena){0};
}

void
arena_reset(struct arena *a)
{
	struct arena_chunk *c = a->chunks;

	if (c == NULL)
		return;
	while (c->older != NULL) {
		struct arena_chunk *older = c->older;
		free(c);
		c = older;
	}
	a->chunks = c;
	a->at = c->data;
	a->end = c->data + c->bytes;
}
