/* base/spare.h - memory kept for the next tenant.
 *
 * Records of one size that come and go with each request, a few KB each: the next one takes what the last one left, as it
 * left it. One owner, one thread; what does not fit in is the caller's to free.
 */
#ifndef BASE_SPARE_H
#define BASE_SPARE_H

#include <stdbool.h>
#include <stddef.h>

#define SPARE_MOST 64

struct spare {
	unsigned count;
	void *items[SPARE_MOST];
};

/* The memory that was kept last, or NULL: there is none. */
static inline void *
spare_take(struct spare *s)
{
	return s->count == 0 ? NULL : s->items[--s->count];
}

/* False: there is enough. */
static inline bool
spare_keep(struct spare *s, void *p)
{
	if (s->count == SPARE_MOST)
		return false;
	s->items[s->count++] = p;
	return true;
}

static inline void
spare_empty(struct spare *s, void (*scrap)(void *p))
{
	void *p;

	while ((p = spare_take(s)) != NULL)
		scrap(p);
}

#endif
