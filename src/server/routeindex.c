#include "server/routeindex.h"

#include <stdint.h>
#include <stdlib.h>

#include "base/hash.h"
#include "server/pattern.h"
#include "server/site.h"

#define FEW_ROUTES 8

/* Of numbers of routes, ascending, UINT32_MAX at the end; NULL: empty. */
struct list {
	unsigned count, cap;
	uint32_t *items;
};

struct node {
	struct list here;   /* routes whose path ends with this segment */
	struct list rest;   /* and those that take whatever follows */
	uint32_t any_child; /* for a segment that may be anything; 0: none */
};

/* From a node to the next by a text: a segment; from NODE_exact by a host, from NODE_below by ".example.com". */
struct edge {
	uint64_t hash;
	uint32_t from, to; /* 0: the place is free */
	struct slice text;
};

enum { NODE_any, NODE_exact, NODE_below, NODES_FIRST };

struct route_index {
	bool has_exact, has_below;
	uint32_t nodes_count;
	struct node *nodes;
	size_t mask;
	struct edge *edges; /* open addressing, at most half full */
};

/* The edge, or the free place where it belongs. */
static struct edge *
find_edge(const struct route_index *x, uint32_t from, struct slice text)
{
	uint64_t hash = hash_more(from, text.p, text.n);

	for (size_t at = hash & x->mask;; at = (at + 1) & x->mask) {
		struct edge *e = &x->edges[at];

		if (e->to == 0 || (e->hash == hash && e->from == from && slice_eq(e->text, text)))
			return e;
	}
}

/* --- making it --- */

static uint32_t
child_of(struct route_index *x, uint32_t from, struct slice text)
{
	struct edge *e = find_edge(x, from, text);

	if (e->to == 0) {
		e->hash = hash_more(from, text.p, text.n);
		e->from = from;
		e->text = text;
		e->to = x->nodes_count++;
	}
	return e->to;
}

static void
add_to(struct list *l, struct arena *mem, uint32_t route)
{
	if (l->count > 0 && l->items[l->count - 1] == route)
		return;
	if (l->count + 1 >= l->cap) { /* the arena keeps the smaller ones: as much again in all */
		uint32_t *more;

		l->cap = l->cap == 0 ? 2 : l->cap * 2;
		more = arena_alloc(mem, l->cap * sizeof(*more));
		if (l->count > 0)
			memcpy(more, l->items, l->count * sizeof(*more));
		l->items = more;
	}
	l->items[l->count++] = route;
	l->items[l->count] = UINT32_MAX;
}

static void
add_path(
    struct route_index *x, struct arena *mem, uint32_t at, const struct pattern *p, uint32_t route)
{
	struct slice text;

	for (unsigned i = 0;; i++)
		switch (pattern_wish(p, i, &text)) {
		case PATTERN_TEXT:
			at = child_of(x, at, text);
			break;
		case PATTERN_ANY:
			if (x->nodes[at].any_child == 0)
				x->nodes[at].any_child = x->nodes_count++;
			at = x->nodes[at].any_child;
			break;
		case PATTERN_REST:
			add_to(&x->nodes[at].rest, mem, route);
			return;
		case PATTERN_END:
			add_to(&x->nodes[at].here, mem, route);
			return;
		}
}

static void
add_route(struct route_index *x, struct arena *mem, const struct route *r, uint32_t number)
{
	if (r->hosts.count == 0)
		add_path(x, mem, NODE_any, r->path, number);
	for (unsigned i = 0; i < r->hosts.count; i++) {
		struct slice host = slice_from(r->hosts.items[i]);
		bool is_below = slice_starts(host, SLICE_LIT("*."));
		uint32_t root = is_below ? child_of(x, NODE_below, slice_skip(host, 1))
					 : child_of(x, NODE_exact, host);

		x->has_below |= is_below;
		x->has_exact |= !is_below;
		add_path(x, mem, root, r->path, number);
	}
}

/* At most so many nodes will there be. */
static size_t
count_nodes(const struct route *routes, unsigned count)
{
	size_t nodes = NODES_FIRST;
	struct slice text;

	for (unsigned i = 0; i < count; i++) {
		unsigned depth = 0;
		enum pattern_wish wish;

		while ((wish = pattern_wish(routes[i].path, depth, &text)) == PATTERN_TEXT ||
		    wish == PATTERN_ANY)
			depth++;
		nodes += (routes[i].hosts.count == 0 ? 1 : routes[i].hosts.count) * (depth + 1);
	}
	return nodes;
}

struct route_index *
route_index_new(struct arena *mem, const struct route *routes, unsigned count)
{
	struct route_index *x;
	size_t nodes, size = 16;

	if (count <= FEW_ROUTES)
		return NULL;
	nodes = count_nodes(routes, count);
	while (size < 2 * nodes)
		size *= 2;
	x = arena_zalloc(mem, sizeof(*x));
	x->nodes_count = NODES_FIRST;
	x->nodes = arena_zalloc(mem, nodes * sizeof(*x->nodes));
	x->mask = size - 1;
	x->edges = arena_zalloc(mem, size * sizeof(*x->edges));
	for (unsigned i = 0; i < count; i++)
		add_route(x, mem, &routes[i], i);
	return x;
}

/* --- asking it --- */

/* False: there is no room for more lists. */
static bool
take(struct route_candidates *out, const struct list *l)
{
	if (l->items == NULL)
		return true;
	if (out->lists_count == ROUTE_LISTS_MAX)
		return false;
	out->lists[out->lists_count++] = l->items;
	return true;
}

/* Goes down from a node by what is left of the path; no deeper than the longest pattern. */
static bool
descend(const struct route_index *x, uint32_t at, struct slice path, struct route_candidates *out)
{
	const struct node *n = &x->nodes[at];
	struct slice segment;
	uint32_t child;

	if (!take(out, &n->rest))
		return false;
	if (path.n == 0)
		return take(out, &n->here);
	if (path.p[0] != '/')
		return true;
	path = slice_skip(path, 1);
	segment = slice_of(path.p, slice_index(path, '/'));
	path = slice_skip(path, segment.n);
	child = find_edge(x, at, segment)->to;
	if (child != 0 && !descend(x, child, path, out))
		return false;
	return n->any_child == 0 || segment.n == 0 || descend(x, n->any_child, path, out);
}

static bool
descend_all(
    const struct route_index *x, struct slice host, struct slice path, struct route_candidates *out)
{
	uint32_t root;

	if (!descend(x, NODE_any, path, out))
		return false;
	if (x->has_exact && (root = find_edge(x, NODE_exact, host)->to) != 0 &&
	    !descend(x, root, path, out))
		return false;
	for (size_t dot = 1; x->has_below && dot < host.n; dot++)
		if (host.p[dot] == '.' &&
		    (root = find_edge(x, NODE_below, slice_skip(host, dot))->to) != 0 &&
		    !descend(x, root, path, out))
			return false;
	return true;
}

void
route_candidates_find(
    const struct site *s, struct slice host, struct slice path, struct route_candidates *out)
{
	out->routes = s->routes;
	out->next = out->count = out->lists_count = 0;
	if (s->routes_index == NULL || !descend_all(s->routes_index, host, path, out))
		out->count = s->routes_count;
}

const struct route *
route_candidates_next(struct route_candidates *c)
{
	uint32_t first = UINT32_MAX;

	if (c->count > 0)
		return c->next == c->count ? NULL : &c->routes[c->next++];
	for (unsigned i = 0; i < c->lists_count; i++)
		if (*c->lists[i] < first)
			first = *c->lists[i];
	if (first == UINT32_MAX)
		return NULL;
	for (unsigned i = 0; i < c->lists_count; i++)
		c->lists[i] += *c->lists[i] == first;
	return &c->routes[first];
}
