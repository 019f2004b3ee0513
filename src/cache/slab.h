/* cache/slab.h - the cache's own memory: everything the cache holds lives here, and there is never
 * more of it than asked for.
 *
 * One memfd, mapped once at its full size and populated page by page as it is used, cut into pages
 * of SLAB_PAGE_BYTES. A page belongs to one size class and is cut into equal slots; a page whose
 * slots are all free goes back to the common pool (and its memory back to the kernel when much is
 * free), so a shift from small objects to large ones does not strand memory. Positions are offsets
 * from one base, so that a later process can take the segment over. Thread-safe; locks are held for
 * a few instructions.
 *
 * When it is full, it asks: the function given to slab_set_pressure is called, with no lock of the
 * slab held, and is to release something. Free slots of another class do not help, so a slot may
 * carry the tag of its owner (31 bits of the hash of the key it is stored under): slab_victim names
 * the owners of a whole page that costs little to empty, and whoever knows them lets them go.
 */
#ifndef CACHE_SLAB_H
#define CACHE_SLAB_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define SLAB_PAGE_BYTES 65536
#define SLAB_ALLOC_MAX 65536 /* the largest single allocation */
#define SLAB_SLOTS_MAX 1024  /* no page has more */

struct slab;

struct slab_usage {
	size_t limit_bytes;
	size_t page_bytes;     /* in pages that belong to a class */
	size_t used_bytes;     /* in slots that are taken (slot sizes) */
	size_t charged_bytes;  /* held elsewhere on the cache's account (slab_charge) */
	size_t resident_bytes; /* page_bytes and the free pages not yet given back to the kernel */
};

/* NULL (and errno) when the mapping cannot be made. */
struct slab *slab_new(size_t limit_bytes);
void slab_free_all(struct slab **sp);
/* A slot of at least n bytes (1..SLAB_ALLOC_MAX), 16-byte aligned; NULL when the memory is full and
 * the pressure function could not help. Never call it with a lock held that the pressure function
 * takes. */
void *slab_alloc(struct slab *s, size_t n);
void slab_release(struct slab *s, void *p);
/* The size of the slot that an allocation of n bytes takes. */
size_t slab_slot_bytes(const struct slab *s, size_t n);
/* The largest slot that n bytes fill to the last byte or nearly: what a run of bytes that may be
 * split should ask for next. At most SLAB_ALLOC_MAX. */
size_t slab_piece_bytes(const struct slab *s, size_t n);
/* The size of p's slot. */
size_t slab_size(const struct slab *s, const void *p);
/* Whose slot p is: a look through all slabs of the process (there is one, but in tests). */
#define SLABS_MAX 8
struct slab *slab_of(const void *p);
/* A smaller or larger limit, e.g. after a reload. Shrinking takes effect as slots are released. 0,
 * or -1 (errno) if growth beyond the reserved address range was asked for. */
int slab_resize(struct slab *s, size_t limit_bytes);
struct slab_usage slab_usage(struct slab *s);

/* Called when there is no room for bytes: true if something was released and it is worth another
 * try. attempt counts from 0 within one allocation. Set once, before the slab is shared. */
void slab_set_pressure(
    struct slab *s, bool (*make_room)(void *arg, size_t bytes, unsigned attempt), void *arg);
/* Counts memory held elsewhere (an index) against the limit, with pressure where it must. False if
 * there is no room; nothing is counted then. */
bool slab_charge(struct slab *s, size_t bytes);
void slab_uncharge(struct slab *s, size_t bytes);
/* Whether more pages are in use than the limit allows, as after a resize. */
bool slab_is_over(struct slab *s);

/* What a slot's owner is known by. Never 0. */
static inline uint32_t
slab_tag_of(uint64_t hash)
{
	return hash >> 33 == 0 ? 1 : (uint32_t)(hash >> 33);
}

/* Says who owns p's slot: whoever is stored under that hash. A slot without an owner is never a
 * victim. */
void slab_tag(struct slab *s, const void *p, uint64_t hash);
/* Picks a page of another class than that of n, with few bytes in use and every slot tagged, and
 * copies its tags. Returns how many; 0 when there is none. */
unsigned slab_victim(struct slab *s, size_t n, uint32_t tags_out[SLAB_SLOTS_MAX]);

#endif
