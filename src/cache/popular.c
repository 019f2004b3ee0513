#include "cache/popular.h"

#include <stdlib.h>

#include "base/mem.h"

struct popular {
	uint32_t hits;
	struct object *object; /* own reference */
};

/* A heap whose root is asked for least, and so the first to give way. */
struct chart {
	unsigned count, most;
	struct popular *items;
};

static void
swap(struct popular *a, struct popular *b)
{
	struct popular t = *a;

	*a = *b;
	*b = t;
}

static void
sift_up(struct chart *c, unsigned i)
{
	for (; i > 0 && c->items[i].hits < c->items[(i - 1) / 2].hits; i = (i - 1) / 2)
		swap(&c->items[i], &c->items[(i - 1) / 2]);
}

static void
sift_down(struct chart *c, unsigned i)
{
	unsigned least = i, child = 2 * i + 1;

	while (child < c->count) {
		for (unsigned end = child + 2; child < c->count && child < end; child++)
			if (c->items[child].hits < c->items[least].hits)
				least = child;
		if (least == i)
			return;
		swap(&c->items[i], &c->items[least]);
		i = least;
		child = 2 * i + 1;
	}
}

static void
see(struct object *o, void *arg)
{
	struct chart *c = arg;
	uint32_t hits = atomic_load_explicit(&o->hit_count, memory_order_relaxed);
	struct slice key = object_key(o);

	if (hits == 0 || o->facts.status != 200 || cache_key_url(key).n < key.n)
		return;
	if (c->count < c->most) {
		c->items[c->count] = (struct popular){hits, object_ref(o)};
		sift_up(c, c->count++);
	} else if (hits > c->items[0].hits) {
		object_unref(&c->items[0].object);
		c->items[0] = (struct popular){hits, object_ref(o)};
		sift_down(c, 0);
	}
}

static int
by_hits(const void *a, const void *b)
{
	const struct popular *x = a, *y = b;

	return (x->hits < y->hits) - (x->hits > y->hits);
}

void
popular_list(struct store *s, unsigned most, struct buf *out)
{
	struct chart c = {.most = most < POPULAR_MAX ? most : POPULAR_MAX};

	if (c.most == 0)
		return;
	c.items = must_malloc(c.most * sizeof(*c.items));
	store_walk(s, see, &c);
	qsort(c.items, c.count, sizeof(*c.items), by_hits);
	for (unsigned i = 0; i < c.count; i++) {
		buf_add_slice(out, object_key(c.items[i].object));
		buf_add_char(out, '\0');
		object_unref(&c.items[i].object);
	}
	free(c.items);
}
