/* cache/slab.h - the cache's own memory: everything the cache holds lives here, and there is never
 * more of it than asked for.
 *
 * One memfd, mapped once at its full size and populated page by page as it is used, cut into pages
 * of SLAB_PAGE_BYTES. A page belongs to one size class and is cut into equal slots; a page whose
 * slots are all free goes back to the common pool (and its memory back to the kernel when much is
 * free), so a shift from small objects to large ones does not strand memory. Positions are offsets
 * from one base, so that a later process can take the segment over. Thread-safe; locks are held for
 * a few instructions.
 */
#ifndef CACHE_SLAB_H
#define CACHE_SLAB_H

#include <stddef.h>
#include <stdint.h>

#define SLAB_PAGE_BYTES 65536
#define SLAB_ALLOC_MAX 65536 /* the largest single allocation */

struct slab;

struct slab_usage {
	size_t limit_bytes;
	size_t page_bytes; /* in pages that belong to a class */
	size_t used_bytes; /* in slots that are taken (slot sizes) */
};

/* NULL (and errno) when the mapping cannot be made. */
struct slab *slab_new(size_t limit_bytes);
void slab_free_all(struct slab **sp);
/* A slot of at least n bytes (1..SLAB_ALLOC_MAX), 16-byte aligned; NULL when the memory is full:
 * make room, try again. */
void *slab_alloc(struct slab *s, size_t n);
void slab_release(struct slab *s, void *p);
/* The size of the slot that an allocation of n bytes takes. */
size_t slab_slot_bytes(size_t n);
/* The size of p's slot. */
size_t slab_size(const struct slab *s, const void *p);
/* A smaller or larger limit, e.g. after a reload. Shrinking takes effect as slots are released. 0,
 * or -1 (errno) if growth beyond the reserved address range was asked for. */
int slab_resize(struct slab *s, size_t limit_bytes);
struct slab_usage slab_usage(struct slab *s);

#endif
