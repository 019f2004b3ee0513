#include "server/routeindex.h"

#include <assert.h>
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

/* A field whose value some routes want to be an exact one. */
struct named {
	const char *name;
	uint32_t values; /* the node from which edges lead by them */
};

/* Where a place leads without looking at more text. */
enum branch {
	BRANCH_here,	  /* to routes whose path ends with this segment */
	BRANCH_rest,	  /* to those that take whatever follows */
	BRANCH_any_child, /* by a segment that may be anything */
	BRANCHES
};

/* A place in a tree, or, where one of those has routes, a place of these: by method, then by the value of a field. Numbers of nodes, 0: none. */
struct node {
	/* In a tree: */
	uint32_t branches[BRANCHES];
	uint32_t begins; /* bit n: edges lead on by the first n bytes of a segment */
	uint32_t tails;	 /* bit n: and by the last n bytes of the path */
	/* Of routes: */
	uint32_t methods; /* by_method that are there */
	unsigned named_count;
	uint32_t *by_method; /* METHOD_COUNT of them, or NULL */
	struct named *named;
	struct list routes;
};

/* By what an edge leads from a node to the next: a segment; from NODE_exact a host, from NODE_below ".example.com"; a field's value. */
enum edge_kind { EDGE_WHOLE, EDGE_BEGIN, EDGE_TAIL };
#define EDGE_KIND_SHIFT 28
#define PIECE_MOST 31u /* of BEGIN and TAIL: more is not looked at */

struct edge {
	uint64_t hash;
	uint32_t from; /* and its kind above */
	uint32_t to;   /* 0: the place is free */
	struct slice text;
};

enum { NODE_any, NODE_exact, NODE_below, NODES_FIRST };

struct route_index {
	bool has_exact, has_below;
	uint32_t nodes_count, nodes_cap, edges_count;
	struct node *nodes;
	size_t mask;
	struct edge *edges; /* open addressing, at most half full */
	struct arena *mem;  /* while it is made */
};

/* The edge, or the free place where it belongs. */
static struct edge *
find_edge(const struct route_index *x, uint32_t from, enum edge_kind kind, struct slice text)
{
	uint32_t origin = from | (uint32_t)kind << EDGE_KIND_SHIFT;
	uint64_t hash = hash_more(origin, text.p, text.n);

	for (size_t at = hash & x->mask;; at = (at + 1) & x->mask) {
		struct edge *e = &x->edges[at];

		if (e->to == 0 || (e->hash == hash && e->from == origin && slice_eq(e->text, text)))
			return e;
	}
}

/* --- making it --- */

static uint32_t
add_node(struct route_index *x)
{
	if (x->nodes_count ==
	    x->nodes_cap) { /* the arena keeps the smaller ones: as much again in all */
		struct node *more;

		x->nodes_cap = x->nodes_cap * 2;
		more = arena_zalloc(x->mem, x->nodes_cap * sizeof(*more));
		memcpy(more, x->nodes, x->nodes_count * sizeof(*more));
		x->nodes = more;
	}
	assert(x->nodes_count >> EDGE_KIND_SHIFT == 0);
	return x->nodes_count++;
}

static void
grow_edges(struct route_index *x)
{
	struct edge *old = x->edges;
	size_t count = x->mask + 1;

	x->mask = count * 2 - 1;
	x->edges = arena_zalloc(x->mem, count * 2 * sizeof(*x->edges));
	for (size_t i = 0; i < count; i++)
		if (old[i].to != 0) {
			size_t at = old[i].hash & x->mask;

			while (x->edges[at].to != 0)
				at = (at + 1) & x->mask;
			x->edges[at] = old[i];
		}
}

static uint32_t
child_of(struct route_index *x, uint32_t from, enum edge_kind kind, struct slice text)
{
	struct edge *e = find_edge(x, from, kind, text);

	if (e->to != 0)
		return e->to;
	*e = (struct edge){
	    .from = from | (uint32_t)kind << EDGE_KIND_SHIFT, .to = add_node(x), .text = text};
	e->hash = hash_more(e->from, text.p, text.n);
	if (++x->edges_count > x->mask / 2)
		grow_edges(x);
	return x->nodes_count - 1;
}

static void
add_to(struct list *l, struct arena *mem, uint32_t route)
{
	if (l->count > 0 && l->items[l->count - 1] == route)
		return;
	if (l->count + 1 >= l->cap) {
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

static struct named *
named_of(struct route_index *x, uint32_t at, const char *name)
{
	struct node *n = &x->nodes[at];
	struct named *more;
	uint32_t values;

	for (unsigned i = 0; i < n->named_count; i++)
		if (slice_ieq(slice_from(n->named[i].name), slice_from(name)))
			return &n->named[i];
	values = add_node(x);
	n = &x->nodes[at];
	more = arena_alloc(x->mem, (n->named_count + 1) * sizeof(*more));
	if (n->named_count > 0)
		memcpy(more, n->named, n->named_count * sizeof(*more));
	more[n->named_count] = (struct named){name, values};
	n->named = more;
	return &more[n->named_count++];
}

/* At that place, by its first condition of an exact value. */
static void
add_conditions(struct route_index *x, uint32_t at, const struct route *r, uint32_t number)
{
	for (unsigned i = 0; i < r->conditions_count; i++) {
		const struct header_condition *c = &r->conditions[i];

		if (c->value == NULL || c->is_regex)
			continue;
		at =
		    child_of(x, named_of(x, at, c->name)->values, EDGE_WHOLE, slice_from(c->value));
		break;
	}
	add_to(&x->nodes[at].routes, x->mem, number);
}

/* At that place, by its methods: who names one that is none of METHODS stands with those that take any. */
static void
add_methods(struct route_index *x, uint32_t at, const struct route *r, uint32_t number)
{
	uint32_t methods = r->methods;

	if (methods & 1u << METHOD_GET)
		methods |= 1u << METHOD_HEAD;
	if (methods == 0 || r->other_methods.count > 0) {
		add_conditions(x, at, r, number);
		return;
	}
	if (x->nodes[at].by_method == NULL)
		x->nodes[at].by_method = arena_zalloc(x->mem, METHOD_COUNT * sizeof(uint32_t));
	x->nodes[at].methods |= methods;
	for (unsigned m = 0; m < METHOD_COUNT; m++) {
		uint32_t *to = &x->nodes[at].by_method[m];

		if ((methods & 1u << m) == 0)
			continue;
		if (*to == 0)
			*to = add_node(x);
		add_conditions(x, x->nodes[at].by_method[m], r, number);
	}
}

static uint32_t
branch_of(struct route_index *x, uint32_t at, enum branch which)
{
	uint32_t to = x->nodes[at].branches[which];

	if (to == 0) {
		to = add_node(x);
		x->nodes[at].branches[which] = to;
	}
	return to;
}

static uint32_t
begin_of(struct route_index *x, uint32_t at, struct slice text)
{
	if (text.n > PIECE_MOST)
		text.n = PIECE_MOST;
	x->nodes[at].begins |= 1u << text.n;
	return child_of(x, at, EDGE_BEGIN, text);
}

static uint32_t
tail_of(struct route_index *x, uint32_t at, struct slice text)
{
	if (text.n > PIECE_MOST)
		text = slice_skip(text, text.n - PIECE_MOST);
	x->nodes[at].tails |= 1u << text.n;
	return child_of(x, at, EDGE_TAIL, text);
}

/* Down the tree to the place of those routes. */
static uint32_t
place_of(struct route_index *x, uint32_t at, const struct pattern *p)
{
	struct slice text;

	for (unsigned i = 0;; i++)
		switch (pattern_wish(p, i, &text)) {
		case PATTERN_TEXT:
			at = child_of(x, at, EDGE_WHOLE, text);
			break;
		case PATTERN_ANY:
			at = branch_of(x, at, BRANCH_any_child);
			break;
		case PATTERN_BEGIN:
			at = begin_of(x, at, text);
			break;
		case PATTERN_TAIL:
			return tail_of(x, at, text);
		case PATTERN_REST:
			return branch_of(x, at, BRANCH_rest);
		case PATTERN_END:
			return branch_of(x, at, BRANCH_here);
		}
}

static void
add_route(struct route_index *x, const struct route *r, uint32_t number)
{
	if (r->hosts.count == 0)
		add_methods(x, place_of(x, NODE_any, r->path), r, number);
	for (unsigned i = 0; i < r->hosts.count; i++) {
		struct slice host = slice_from(r->hosts.items[i]);
		bool is_below = slice_starts(host, SLICE_LIT("*."));
		uint32_t root = is_below ? child_of(x, NODE_below, EDGE_WHOLE, slice_skip(host, 1))
					 : child_of(x, NODE_exact, EDGE_WHOLE, host);

		x->has_below |= is_below;
		x->has_exact |= !is_below;
		add_methods(x, place_of(x, root, r->path), r, number);
	}
}

struct route_index *
route_index_new(struct arena *mem, const struct route *routes, unsigned count)
{
	struct route_index *x;

	if (count <= FEW_ROUTES)
		return NULL;
	x = arena_zalloc(mem, sizeof(*x));
	x->mem = mem;
	x->nodes_count = NODES_FIRST;
	x->nodes_cap = 64;
	x->nodes = arena_zalloc(mem, x->nodes_cap * sizeof(*x->nodes));
	x->mask = 63;
	x->edges = arena_zalloc(mem, (x->mask + 1) * sizeof(*x->edges));
	for (unsigned i = 0; i < count; i++)
		add_route(x, &routes[i], i);
	return x;
}

/* --- asking it --- */

struct asking {
	const struct route_index *index;
	const struct route_ask *ask;
	struct route_candidates *out;
};

/* Where there is no room for more lists, these answer false, and all routes are looked at. */
static bool
take_list(struct asking *a, const struct node *n)
{
	if (n->routes.items == NULL)
		return true;
	if (a->out->lists_count > 0 && a->out->lists[a->out->lists_count - 1] == n->routes.items)
		return true; /* a field that comes twice */
	if (a->out->lists_count == ROUTE_LISTS_MAX)
		return false;
	a->out->lists[a->out->lists_count++] = n->routes.items;
	return true;
}

static bool
take_named(struct asking *a, const struct node *n)
{
	const struct head *h = a->ask->head;

	for (unsigned i = 0; i < n->named_count; i++) {
		const struct field *f = head_find_name(h, slice_from(n->named[i].name));

		for (; f != NULL; f = head_next_name(h, f)) {
			uint32_t to =
			    find_edge(a->index, n->named[i].values, EDGE_WHOLE, field_value(h, f))
				->to;

			if (to != 0 && !take_list(a, &a->index->nodes[to]))
				return false;
		}
	}
	return true;
}

static bool
take_fields(struct asking *a, const struct node *n)
{
	return (n->named_count == 0 || take_named(a, n)) && take_list(a, n);
}

static bool
take_methods(struct asking *a, const struct node *n)
{
	uint32_t methods = n->methods;

	if (a->ask->method != METHOD_COUNT)
		methods &= 1u << a->ask->method;
	for (; methods != 0; methods &= methods - 1)
		if (!take_fields(a, &a->index->nodes[n->by_method[__builtin_ctz(methods)]]))
			return false;
	return true;
}

/* The routes of a place. */
static bool
take(struct asking *a, uint32_t place)
{
	const struct node *n = &a->index->nodes[place];

	return place == 0 || ((n->methods == 0 || take_methods(a, n)) && take_fields(a, n));
}

static bool
take_tails(struct asking *a, uint32_t at, struct slice path)
{
	for (uint32_t left = a->index->nodes[at].tails; left != 0; left &= left - 1) {
		size_t n = (size_t)__builtin_ctz(left);

		if (n <= path.n &&
		    !take(a, find_edge(a->index, at, EDGE_TAIL, slice_skip(path, path.n - n))->to))
			return false;
	}
	return true;
}

static bool
take_begins(struct asking *a, uint32_t at, struct slice path)
{
	for (uint32_t left = a->index->nodes[at].begins; left != 0; left &= left - 1) {
		size_t n = (size_t)__builtin_ctz(left);
		uint32_t to;

		if (n > path.n)
			break;
		to = find_edge(a->index, at, EDGE_BEGIN, slice_of(path.p, n))->to;
		if (to != 0 &&
		    (!take(a, a->index->nodes[to].branches[BRANCH_rest]) ||
			!take_tails(a, to, path)))
			return false;
	}
	return true;
}

/* Goes down from a node by what is left of the path; no deeper than the longest pattern. */
static bool
descend(struct asking *a, uint32_t at, struct slice path)
{
	const struct node *n = &a->index->nodes[at];
	struct slice segment;
	uint32_t child, any_child;

	if (!take(a, n->branches[BRANCH_rest]) || (n->tails != 0 && !take_tails(a, at, path)))
		return false;
	if (path.n == 0)
		return take(a, n->branches[BRANCH_here]);
	if (path.p[0] != '/')
		return true;
	path = slice_skip(path, 1);
	if (n->begins != 0 && !take_begins(a, at, path))
		return false;
	segment = slice_of(path.p, slice_index(path, '/'));
	path = slice_skip(path, segment.n);
	child = find_edge(a->index, at, EDGE_WHOLE, segment)->to;
	if (child != 0 && !descend(a, child, path))
		return false;
	any_child = n->branches[BRANCH_any_child];
	return any_child == 0 || segment.n == 0 || descend(a, any_child, path);
}

static bool
descend_all(struct asking *a)
{
	const struct route_index *x = a->index;
	struct slice host = a->ask->host;
	uint32_t root;

	if (!descend(a, NODE_any, a->ask->path))
		return false;
	if (x->has_exact && (root = find_edge(x, NODE_exact, EDGE_WHOLE, host)->to) != 0 &&
	    !descend(a, root, a->ask->path))
		return false;
	for (size_t dot = 1; x->has_below && dot < host.n; dot++)
		if (host.p[dot] == '.' &&
		    (root = find_edge(x, NODE_below, EDGE_WHOLE, slice_skip(host, dot))->to) != 0 &&
		    !descend(a, root, a->ask->path))
			return false;
	return true;
}

void
route_candidates_find(
    const struct site *s, const struct route_ask *ask, struct route_candidates *out)
{
	struct asking a = {s->routes_index, ask, out};

	out->routes = s->routes;
	out->next = out->count = out->lists_count = 0;
	if (a.index == NULL || !descend_all(&a))
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
