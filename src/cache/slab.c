#include "cache/slab.h"

#include <assert.h>
#include <errno.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

#include "base/list.h"
#include "base/mem.h"
#include "cache/poison.h"

/* How the memory is cut. A class's slot is the largest that goes so many times into a page together
 * with one word each. In a large slab they are 16 bytes apart up to 1 KiB, and above it there is one for each number of
 * slots: little is wasted within a slot. In a small one each class has so few pages that more is wasted between them
 * (bench_evict.c shows it as hits): there they are some 12.5 % apart.
 *
 * The words stand at the end of the page (of a page with one slot: in its struct page). That of a
 * free slot holds FREE and the next free one; that of a taken slot the owner's tag, or 0. */
#define CLASSES_MAX 128
#define FINE_LEAST_BYTES ((size_t)128 << 20) /* limit from which slots are cut finely */
#define CLASS_NONE UINT16_MAX
#define ALIGN 16
#define WORD_FREE 0x80000000u
#define SLOT_END 0xffffu

#define PRESSURE_ATTEMPTS 48
#define VICTIM_LOOK 128	 /* pages compared before one is chosen */
#define RESERVE_FACTOR 4 /* how far the limit can grow without a restart */
#define RESERVE_LEAST ((size_t)1 << 30)
#define SLACK_DIVISOR 32 /* free pages kept populated, as a part of the limit */
#define SLACK_LEAST_PAGES 4

struct geometry {
	unsigned steps; /* at least so many in a size */
	unsigned count;
	uint32_t slot_bytes[CLASSES_MAX];
	uint16_t slots[CLASSES_MAX];
	uint8_t of_unit[SLAB_ALLOC_MAX / ALIGN + 1]; /* class by size in units of ALIGN */
};

/* Written under the lock of its class (free: of the pool); the atomics are also read without, by
 * the search for a victim, which then looks again. */
struct page {
	struct link link; /* in its class's partial pages, or in the pool's free ones */
	_Atomic uint16_t cls;
	_Atomic uint16_t used;
	_Atomic uint16_t untagged; /* taken slots without an owner */
	uint16_t free_head;
	_Atomic bool shunned; /* named as a victim, and none of its slots was released since */
	uint32_t word;	      /* that of the only slot, where a slot is the whole page */
};

struct bin {
	pthread_mutex_t lock;
	struct link partial; /* pages with free slots, the fullest about first */
};

struct slab {
	char *base;
	const struct geometry *geo;
	struct page *pages;
	size_t reserved; /* pages in the mapping */
	int fd;
	bool (*make_room)(void *arg, size_t bytes, unsigned attempt);
	void *make_room_arg;
	_Atomic size_t used_bytes;
	_Atomic size_t hand; /* where the next search for a victim begins */
	/* The pool. Lock order: a bin, then the pool. */
	pthread_mutex_t lock;
	size_t limit_bytes, charged_bytes;
	_Atomic size_t touched; /* pages [touched, reserved) were never used */
	size_t assigned;	/* pages that belong to a class */
	size_t warm_count;
	struct link warm; /* free and populated, the latest used first */
	struct link cold; /* free and given back to the kernel */
	struct bin bins[CLASSES_MAX];
};

static struct geometry coarse = {.steps = 16}, fine = {.steps = 64};
static pthread_once_t geometry_once = PTHREAD_ONCE_INIT;

static struct slab *_Atomic slabs[SLABS_MAX];

static void
geometry_add(struct geometry *g, unsigned slots)
{
	unsigned c = g->count;

	if (c > 0 && g->slots[c - 1] == slots)
		return;
	assert(c < CLASSES_MAX && slots <= SLAB_SLOTS_MAX);
	g->slots[c] = (uint16_t)slots;
	g->slot_bytes[c] = slots == 1
	    ? SLAB_PAGE_BYTES
	    : (uint32_t)(SLAB_PAGE_BYTES / slots - sizeof(uint32_t)) & ~(ALIGN - 1u);
	g->count++;
}

static void
geometry_make(struct geometry *g)
{
	unsigned c = 0;

	for (unsigned size = 64, step = 16; size <= SLAB_ALLOC_MAX / 2; size += step) {
		geometry_add(g, SLAB_PAGE_BYTES / (size + (unsigned)sizeof(uint32_t)));
		if (size >= step * g->steps)
			step *= 2;
	}
	geometry_add(g, 1);
	for (unsigned unit = 0; unit <= SLAB_ALLOC_MAX / ALIGN; unit++) {
		while (g->slot_bytes[c] < unit * ALIGN)
			c++;
		g->of_unit[unit] = (uint8_t)c;
	}
}

static void
geometries_make(void)
{
	geometry_make(&coarse);
	geometry_make(&fine);
}

static const struct geometry *
geometry_for(size_t limit_bytes)
{
	pthread_once(&geometry_once, geometries_make);
	return limit_bytes >= FINE_LEAST_BYTES ? &fine : &coarse;
}

static unsigned
class_of(const struct geometry *g, size_t n)
{
	assert(n > 0 && n <= SLAB_ALLOC_MAX);
	return g->of_unit[(n + ALIGN - 1) / ALIGN];
}

/* --- the mapping --- */

static int
map_reserve(struct slab *s, size_t bytes)
{
	if (ftruncate(s->fd, (off_t)bytes) != 0)
		return -1;
	s->base = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_NORESERVE, s->fd, 0);
	if (s->base == MAP_FAILED)
		return -1;
	s->reserved = bytes / SLAB_PAGE_BYTES;
	return 0;
}

/* Reserves addresses for growth where they are to be had, for the limit alone where not. */
static int
map_make(struct slab *s, size_t limit_bytes)
{
	size_t least = (limit_bytes + SLAB_PAGE_BYTES - 1) & ~(size_t)(SLAB_PAGE_BYTES - 1);
	size_t wish = least > SIZE_MAX / 8 / RESERVE_FACTOR ? least : least * RESERVE_FACTOR;

	if ((s->fd = memfd_create("forebay-cache", MFD_CLOEXEC)) < 0)
		return -1;
	if (wish < RESERVE_LEAST)
		wish = RESERVE_LEAST;
	if (map_reserve(s, wish) != 0 && map_reserve(s, least) != 0)
		goto fail_fd;
	s->pages = mmap(NULL, s->reserved * sizeof(*s->pages), PROT_READ | PROT_WRITE,
	    MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	if (s->pages == MAP_FAILED)
		goto fail_map;
	return 0;
fail_map:
	munmap(s->base, s->reserved * SLAB_PAGE_BYTES);
fail_fd:
	close(s->fd);
	return -1;
}

static void
slabs_change(struct slab *from, struct slab *to)
{
	for (unsigned i = 0; i < SLABS_MAX; i++) {
		struct slab *was = from;

		if (atomic_compare_exchange_strong(&slabs[i], &was, to))
			return;
	}
	bug("more than %d slabs", SLABS_MAX);
}

struct slab *
slab_of(const void *p)
{
	for (unsigned i = 0; i < SLABS_MAX; i++) {
		struct slab *s = atomic_load_explicit(&slabs[i], memory_order_acquire);

		if (s != NULL && (const char *)p >= s->base &&
		    (const char *)p < s->base + s->reserved * SLAB_PAGE_BYTES)
			return s;
	}
	bug("%p lies in no slab", p);
}

struct slab *
slab_new(size_t limit_bytes)
{
	struct slab *s = must_calloc(1, sizeof(*s));

	if (map_make(s, limit_bytes) != 0) {
		free(s);
		return NULL;
	}
	s->geo = geometry_for(limit_bytes);
	s->limit_bytes = limit_bytes;
	pthread_mutex_init(&s->lock, NULL);
	list_init(&s->warm);
	list_init(&s->cold);
	for (unsigned c = 0; c < s->geo->count; c++) {
		pthread_mutex_init(&s->bins[c].lock, NULL);
		list_init(&s->bins[c].partial);
	}
	slabs_change(NULL, s);
	return s;
}

void
slab_free_all(struct slab **sp)
{
	struct slab *s = *sp;

	*sp = NULL;
	if (s == NULL)
		return;
	slabs_change(s, NULL);
	for (unsigned c = 0; c < s->geo->count; c++)
		pthread_mutex_destroy(&s->bins[c].lock);
	pthread_mutex_destroy(&s->lock);
	unpoison(s->base, s->touched * SLAB_PAGE_BYTES);
	munmap(s->pages, s->reserved * sizeof(*s->pages));
	munmap(s->base, s->reserved * SLAB_PAGE_BYTES);
	close(s->fd);
	free(s);
}

static char *
page_base(const struct slab *s, const struct page *pg)
{
	return s->base + (size_t)(pg - s->pages) * SLAB_PAGE_BYTES;
}

static struct page *
page_of(const struct slab *s, const void *p)
{
	size_t offset = (size_t)((const char *)p - s->base);

	assert((const char *)p >= s->base && offset < s->reserved * SLAB_PAGE_BYTES);
	return &s->pages[offset / SLAB_PAGE_BYTES];
}

/* The words of a page's slots. */
static uint32_t *
page_words(const struct slab *s, struct page *pg, unsigned cls)
{
	unsigned slots = s->geo->slots[cls];

	if (slots == 1)
		return &pg->word;
	return (uint32_t *)(void *)(page_base(s, pg) + SLAB_PAGE_BYTES - slots * sizeof(uint32_t));
}

/* --- the pool of free pages --- */

/* Pages there may be: each costs its bytes and its struct. */
static size_t
pool_budget(const struct slab *s)
{
	size_t left = s->limit_bytes > s->charged_bytes ? s->limit_bytes - s->charged_bytes : 0;

	return left / (SLAB_PAGE_BYTES + sizeof(struct page));
}

static size_t
pool_slack(const struct slab *s)
{
	size_t part = s->limit_bytes / SLAB_PAGE_BYTES / SLACK_DIVISOR;

	return part > SLACK_LEAST_PAGES ? part : SLACK_LEAST_PAGES;
}

static struct page *
pool_take(struct slab *s)
{
	struct page *pg = NULL;

	pthread_mutex_lock(&s->lock);
	if (s->assigned < pool_budget(s)) {
		if ((pg = list_first(&s->warm, struct page, link)) != NULL) {
			s->warm_count--;
			list_leave(&pg->link);
		} else if ((pg = list_first(&s->cold, struct page, link)) != NULL)
			list_leave(&pg->link);
		else if (s->touched < s->reserved) {
			pg = &s->pages[s->touched++];
			list_init(&pg->link);
		}
		s->assigned += pg != NULL;
	}
	pthread_mutex_unlock(&s->lock);
	return pg;
}

/* The page is in no list. Returns whether the kernel should get some back (pool_trim). */
static bool
pool_give(struct slab *s, struct page *pg)
{
	bool much;

	unpoison(page_base(s, pg), SLAB_PAGE_BYTES);
	atomic_store_explicit(&pg->cls, CLASS_NONE, memory_order_relaxed);
	pthread_mutex_lock(&s->lock);
	s->assigned--;
	s->warm_count++;
	list_push_front(&s->warm, &pg->link);
	much = s->warm_count > pool_slack(s) || s->assigned + s->warm_count > pool_budget(s);
	pthread_mutex_unlock(&s->lock);
	return much;
}

/* Gives free pages back to the kernel, the longest unused first, until only the slack is kept. */
static void
pool_trim(struct slab *s)
{
	for (;;) {
		struct page *pg;

		pthread_mutex_lock(&s->lock);
		if (s->warm_count == 0 ||
		    (s->warm_count <= pool_slack(s) &&
			s->assigned + s->warm_count <= pool_budget(s))) {
			pthread_mutex_unlock(&s->lock);
			return;
		}
		pg = CONTAINER_OF(s->warm.prev, struct page, link);
		list_leave(&pg->link);
		s->warm_count--;
		pthread_mutex_unlock(&s->lock);
		if (madvise(page_base(s, pg), SLAB_PAGE_BYTES, MADV_REMOVE) != 0)
			bug("the kernel takes no cache memory back: errno %d", errno);
		pthread_mutex_lock(&s->lock);
		list_push_front(&s->cold, &pg->link);
		pthread_mutex_unlock(&s->lock);
	}
}

/* --- slots --- */

static void
page_format(struct slab *s, struct page *pg, unsigned cls)
{
	unsigned slots = s->geo->slots[cls];
	uint32_t *words = page_words(s, pg, cls);

	for (unsigned i = 0; i < slots; i++)
		words[i] = WORD_FREE | (i + 1 < slots ? i + 1 : SLOT_END);
	pg->free_head = 0;
	atomic_store_explicit(&pg->used, 0, memory_order_relaxed);
	atomic_store_explicit(&pg->untagged, 0, memory_order_relaxed);
	atomic_store_explicit(&pg->shunned, false, memory_order_relaxed);
	atomic_store_explicit(&pg->cls, (uint16_t)cls, memory_order_relaxed);
	poison(page_base(s, pg), (size_t)slots * s->geo->slot_bytes[cls]);
}

/* Adds to a counter that only the holder of the bin's lock writes. */
static unsigned
count_add(_Atomic uint16_t *count, int by)
{
	unsigned now = (unsigned)(atomic_load_explicit(count, memory_order_relaxed) + by);

	atomic_store_explicit(count, (uint16_t)now, memory_order_relaxed);
	return now;
}

static void *
slot_take(struct slab *s, unsigned cls)
{
	struct bin *b = &s->bins[cls];
	struct page *pg;
	unsigned i;

	pthread_mutex_lock(&b->lock);
	if ((pg = list_first(&b->partial, struct page, link)) == NULL) {
		if ((pg = pool_take(s)) == NULL) {
			pthread_mutex_unlock(&b->lock);
			return NULL;
		}
		page_format(s, pg, cls);
		list_push_front(&b->partial, &pg->link);
	}
	i = pg->free_head;
	pg->free_head = (uint16_t)(page_words(s, pg, cls)[i] & SLOT_END);
	page_words(s, pg, cls)[i] = 0;
	count_add(&pg->untagged, 1);
	if (count_add(&pg->used, 1) == s->geo->slots[cls])
		list_leave(&pg->link);
	pthread_mutex_unlock(&b->lock);
	atomic_fetch_add_explicit(&s->used_bytes, s->geo->slot_bytes[cls], memory_order_relaxed);
	unpoison(page_base(s, pg) + (size_t)i * s->geo->slot_bytes[cls], s->geo->slot_bytes[cls]);
	return page_base(s, pg) + (size_t)i * s->geo->slot_bytes[cls];
}

void *
slab_alloc(struct slab *s, size_t n)
{
	unsigned cls = class_of(s->geo, n);

	for (unsigned attempt = 0;; attempt++) {
		void *p = slot_take(s, cls);

		if (p != NULL || attempt == PRESSURE_ATTEMPTS || s->make_room == NULL ||
		    !s->make_room(s->make_room_arg, s->geo->slot_bytes[cls], attempt))
			return p;
	}
}

static unsigned
slot_index(const struct slab *s, const struct page *pg, unsigned cls, const void *p)
{
	size_t at = (size_t)((const char *)p - page_base(s, pg));
	unsigned i = (unsigned)(at / s->geo->slot_bytes[cls]);

	assert(at % s->geo->slot_bytes[cls] == 0 && i < s->geo->slots[cls]);
	return i;
}

void
slab_release(struct slab *s, void *p)
{
	struct page *pg = page_of(s, p);
	unsigned cls = atomic_load_explicit(&pg->cls, memory_order_relaxed);
	unsigned i = slot_index(s, pg, cls, p), left;
	struct bin *b = &s->bins[cls];
	bool much = false;

	poison(p, s->geo->slot_bytes[cls]);
	atomic_fetch_sub_explicit(&s->used_bytes, s->geo->slot_bytes[cls], memory_order_relaxed);
	pthread_mutex_lock(&b->lock);
	assert((page_words(s, pg, cls)[i] & WORD_FREE) == 0);
	if (page_words(s, pg, cls)[i] == 0)
		count_add(&pg->untagged, -1);
	page_words(s, pg, cls)[i] = WORD_FREE | pg->free_head;
	pg->free_head = (uint16_t)i;
	atomic_store_explicit(&pg->shunned, false, memory_order_relaxed);
	left = count_add(&pg->used, -1);
	if (left == 0) {
		list_leave(&pg->link);
		much = pool_give(s, pg);
	} else if (left + 1 == s->geo->slots[cls])
		list_push_front(&b->partial, &pg->link);
	pthread_mutex_unlock(&b->lock);
	if (much)
		pool_trim(s);
}

size_t
slab_slot_bytes(const struct slab *s, size_t n)
{
	return s->geo->slot_bytes[class_of(s->geo, n)];
}

size_t
slab_piece_bytes(const struct slab *s, size_t n)
{
	const struct geometry *g = s->geo;
	unsigned cls;

	if (n >= SLAB_ALLOC_MAX)
		return SLAB_ALLOC_MAX;
	cls = class_of(g, n);
	/* Where the slot would stand empty by more than an eighth, one that is filled comes first.
	 */
	if (cls > 0 && n < g->slot_bytes[cls] - g->slot_bytes[cls] / 8)
		return g->slot_bytes[cls - 1];
	return g->slot_bytes[cls];
}

size_t
slab_size(const struct slab *s, const void *p)
{
	return s->geo->slot_bytes[atomic_load_explicit(&page_of(s, p)->cls, memory_order_relaxed)];
}

/* --- limit and pressure --- */

void
slab_set_pressure(
    struct slab *s, bool (*make_room)(void *arg, size_t bytes, unsigned attempt), void *arg)
{
	s->make_room = make_room;
	s->make_room_arg = arg;
}

int
slab_resize(struct slab *s, size_t limit_bytes)
{
	if (limit_bytes / SLAB_PAGE_BYTES > s->reserved) {
		errno = ENOMEM;
		return -1;
	}
	pthread_mutex_lock(&s->lock);
	s->limit_bytes = limit_bytes;
	pthread_mutex_unlock(&s->lock);
	pool_trim(s);
	return 0;
}

static bool
charge_try(struct slab *s, size_t bytes)
{
	bool fits;

	pthread_mutex_lock(&s->lock);
	s->charged_bytes += bytes;
	fits = s->charged_bytes <= s->limit_bytes && s->assigned <= pool_budget(s);
	if (!fits)
		s->charged_bytes -= bytes;
	pthread_mutex_unlock(&s->lock);
	return fits;
}

bool
slab_charge(struct slab *s, size_t bytes)
{
	for (unsigned attempt = 0; !charge_try(s, bytes); attempt++)
		if (attempt == PRESSURE_ATTEMPTS || s->make_room == NULL ||
		    !s->make_room(s->make_room_arg, SLAB_PAGE_BYTES, attempt))
			return false;
	pool_trim(s);
	return true;
}

void
slab_uncharge(struct slab *s, size_t bytes)
{
	pthread_mutex_lock(&s->lock);
	assert(s->charged_bytes >= bytes);
	s->charged_bytes -= bytes;
	pthread_mutex_unlock(&s->lock);
}

bool
slab_is_over(struct slab *s)
{
	bool over;

	pthread_mutex_lock(&s->lock);
	over = s->assigned > pool_budget(s);
	pthread_mutex_unlock(&s->lock);
	return over;
}

struct slab_usage
slab_usage(struct slab *s)
{
	struct slab_usage u;

	pthread_mutex_lock(&s->lock);
	u.limit_bytes = s->limit_bytes;
	u.charged_bytes = s->charged_bytes;
	u.page_bytes = s->assigned * SLAB_PAGE_BYTES;
	u.resident_bytes = (s->assigned + s->warm_count) * SLAB_PAGE_BYTES;
	pthread_mutex_unlock(&s->lock);
	u.used_bytes = atomic_load_explicit(&s->used_bytes, memory_order_relaxed);
	return u;
}

/* --- whose slot it is --- */

void
slab_tag(struct slab *s, const void *p, uint64_t hash)
{
	struct page *pg = page_of(s, p);
	unsigned cls = atomic_load_explicit(&pg->cls, memory_order_relaxed);
	unsigned i = slot_index(s, pg, cls, p);
	uint32_t *word;

	pthread_mutex_lock(&s->bins[cls].lock);
	word = &page_words(s, pg, cls)[i];
	assert((*word & WORD_FREE) == 0);
	if (*word == 0)
		count_add(&pg->untagged, -1);
	*word = slab_tag_of(hash);
	pthread_mutex_unlock(&s->bins[cls].lock);
}

/* Bytes in use if the page could be emptied for the sake of class own; SIZE_MAX if not. */
static size_t
victim_cost(const struct slab *s, const struct page *pg, unsigned own)
{
	unsigned cls = atomic_load_explicit(&pg->cls, memory_order_relaxed);
	unsigned used = atomic_load_explicit(&pg->used, memory_order_relaxed);

	if (cls == CLASS_NONE || cls == own || used == 0 ||
	    atomic_load_explicit(&pg->untagged, memory_order_relaxed) > 0 ||
	    atomic_load_explicit(&pg->shunned, memory_order_relaxed))
		return SIZE_MAX;
	return (size_t)used * s->geo->slot_bytes[cls];
}

static struct page *
victim_choose(struct slab *s, unsigned own)
{
	size_t touched = s->touched, look = touched < VICTIM_LOOK ? touched : VICTIM_LOOK;
	size_t hand = atomic_fetch_add_explicit(&s->hand, look, memory_order_relaxed);
	size_t least = SIZE_MAX;
	struct page *best = NULL;

	for (size_t i = 0; i < look; i++) {
		struct page *pg = &s->pages[(hand + i) % touched];
		size_t cost = victim_cost(s, pg, own);

		if (cost < least) {
			least = cost;
			best = pg;
		}
	}
	return best;
}

unsigned
slab_victim(struct slab *s, size_t n, uint32_t tags_out[SLAB_SLOTS_MAX])
{
	unsigned own = class_of(s->geo, n), cls, count = 0;
	struct page *pg = victim_choose(s, own);

	if (pg == NULL)
		return 0;
	cls = atomic_load_explicit(&pg->cls, memory_order_relaxed);
	if (cls == CLASS_NONE)
		return 0;
	pthread_mutex_lock(&s->bins[cls].lock);
	/* It may have changed hands meanwhile. */
	if (atomic_load_explicit(&pg->cls, memory_order_relaxed) == cls &&
	    victim_cost(s, pg, own) != SIZE_MAX) {
		uint32_t *words = page_words(s, pg, cls);

		for (unsigned i = 0; i < s->geo->slots[cls]; i++)
			if ((words[i] & WORD_FREE) == 0)
				tags_out[count++] = words[i];
		atomic_store_explicit(&pg->shunned, true, memory_order_relaxed);
	}
	pthread_mutex_unlock(&s->bins[cls].lock);
	return count;
}
