/* base/arena.h - memory that is given back all at once: one request, one arena.
 *
 * What lives as long as its owner is taken here and never freed by hand. Allocation aborts when the
 * machine has no memory; the sizes taken are bounded by the limits on heads.
 */
#ifndef BASE_ARENA_H
#define BASE_ARENA_H

#include "base/slice.h"

struct arena_chunk;
struct arena {
	struct arena_chunk *chunks; /* newest first */
	char *at, *end;		    /* the free rest of the newest */
};

/* {0} is an empty arena. Aligned for any type. */
void *arena_alloc(struct arena *a, size_t n);
void *arena_zalloc(struct arena *a, size_t n);
/* A copy, followed by a NUL that the slice does not count. */
struct slice arena_copy(struct arena *a, struct slice s);
struct slice arena_printf(struct arena *a, const char *fmt, ...)
    __attribute__((format(printf, 2, 3)));
/* Frees everything; *a is empty again. */
void arena_fini(struct arena *a);
/* Forgets everything but keeps the oldest chunk for the next tenant. */
void arena_reset(struct arena *a);

#endif
