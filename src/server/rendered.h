/* server/rendered.h - the part of an answer's head that is the same for every hit, rendered once and kept with the object.
 *
 * One text for each route, configuration, kind of connection and set of accepted codings; what changes from answer to answer (Age, the
 * request's id, limits) is written behind it. The texts hang on the object, a few of them, and go with it; their bytes
 * count against cache.memory. Any worker may find and keep: the list only grows, by compare and swap.
 */
#ifndef SERVER_RENDERED_H
#define SERVER_RENDERED_H

#include "cache/object.h"
#include "http/negotiate.h"

#define RENDERED_MAX 8 /* on one object; the next requests of other kinds are rendered each time */

struct route;

/* What a text depends on, besides the object. */
struct rendered_for {
	const struct route *route;
	unsigned generation;
	bool is_tls;
	struct accept_encoding accept;
};

struct rendered {
	struct rendered *next;
	struct slab *slab;
	struct rendered_for use;
	struct body *body; /* the object's or a variant's: lives as long as the object */
	uint32_t len;
	char text[];
};

/* NULL: not rendered yet. */
const struct rendered *rendered_find(const struct object *o, const struct rendered_for *use);
/* Keeps a copy, unless there are enough or the memory is full. */
void rendered_keep(
    struct object *o, const struct rendered_for *use, struct slice text, struct body *body);
/* For store_new: frees what hangs on an object. */
void rendered_free(void *list);

#endif
