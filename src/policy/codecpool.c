#include "policy/codecpool.h"

#include <assert.h>
#include <stdint.h>
#include <stdlib.h>

#include "base/mem.h"

/* Size class c holds blocks of (4 + c % 4) << (c / 4 + SMALLEST_SHIFT - 2) bytes, header included.
 */
#define SMALLEST_SHIFT 6
#define CLASSES (4 * 20) /* up to 56 MiB; what is larger is not kept */
#define CLASS_NONE UINT32_MAX

/* Stands before each block. */
struct block {
	union {
		struct {
			size_t bytes; /* with this header */
			uint32_t class;
		};
		struct block *next; /* while it is kept */
		max_align_t align;
	};
};

struct codec_pool {
	struct block *kept[CLASSES];
	size_t kept_bytes, kept_max_bytes;
	size_t live_bytes, live_max_bytes;
};

static size_t
class_bytes(uint32_t class)
{
	return (size_t)(4 + class % 4) << (class / 4 + SMALLEST_SHIFT - 2);
}

/* The smallest class with room for n bytes, or CLASS_NONE. */
static uint32_t
class_for(size_t n)
{
	uint32_t shift, class;

	if (n <= class_bytes(0))
		return 0;
	if (n > class_bytes(CLASSES - 1))
		return CLASS_NONE;
	shift = 63 - (uint32_t)__builtin_clzl(n);
	class = (shift - SMALLEST_SHIFT) * 4 + (uint32_t)((n >> (shift - 2)) & 3);
	return class_bytes(class) < n ? class + 1 : class;
}

struct codec_pool *
codec_pool_new(size_t keep_bytes, size_t live_max_bytes)
{
	struct codec_pool *p = must_calloc(1, sizeof(*p));

	p->kept_max_bytes = keep_bytes;
	p->live_max_bytes = live_max_bytes;
	return p;
}

void
codec_pool_free(struct codec_pool **pp)
{
	struct codec_pool *p = *pp;

	*pp = NULL;
	if (p == NULL)
		return;
	assert(p->live_bytes == 0);
	for (uint32_t c = 0; c < CLASSES; c++)
		for (struct block *b = p->kept[c], *next; b != NULL; b = next) {
			next = b->next;
			free(b);
		}
	free(p);
}

void *
codec_pool_take(struct codec_pool *p, size_t n)
{
	struct block *b = NULL;
	uint32_t class;
	size_t bytes;

	if (n > SIZE_MAX - sizeof(*b))
		return NULL;
	bytes = n + sizeof(*b);
	class = class_for(bytes);
	if (class != CLASS_NONE) {
		bytes = class_bytes(class);
		b = p->kept[class];
	}
	if (b != NULL) {
		p->kept[class] = b->next;
		p->kept_bytes -= bytes;
	} else if ((b = malloc(bytes)) == NULL) {
		return NULL;
	}
	b->bytes = bytes;
	b->class = class;
	p->live_bytes += bytes;
	return b + 1;
}

void
codec_pool_give(struct codec_pool *p, void *block)
{
	struct block *b = block;
	uint32_t class;

	if (b == NULL)
		return;
	b--;
	class = b->class;
	assert(p->live_bytes >= b->bytes);
	p->live_bytes -= b->bytes;
	if (class == CLASS_NONE || p->kept_bytes + b->bytes > p->kept_max_bytes) {
		free(b);
		return;
	}
	p->kept_bytes += b->bytes;
	b->next = p->kept[class];
	p->kept[class] = b;
}

bool
codec_pool_is_full(const struct codec_pool *p)
{
	return p->live_bytes >= p->live_max_bytes;
}

size_t
codec_pool_live_bytes(const struct codec_pool *p)
{
	return p->live_bytes;
}

size_t
codec_pool_kept_bytes(const struct codec_pool *p)
{
	return p->kept_bytes;
}
