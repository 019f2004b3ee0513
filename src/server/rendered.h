/* server/rendered.h - the part of an answer's head that is the same for every hit, rendered once and then found.
 *
 * Nearly all of such a text stands in the object's own head already, and what is added to it (security fields, Vary) is
 * the same for many objects. So an object keeps no text of its own: a rendering says which lines of the stored head are
 * left out and what comes behind the others, and is shared by all objects for which that is true. Renderings
 * belong to one configuration's table and live as long as it; an object notes the numbers of up to three of them in one
 * word, which counts only for that configuration. What changes from answer to answer (Age, the request's id,
 * limits) is written behind.
 *
 * Any worker may look up and keep: the table only grows, an object's word is changed by compare and swap.
 */
#ifndef SERVER_RENDERED_H
#define SERVER_RENDERED_H

#include "base/buf.h"
#include "cache/object.h"
#include "http/negotiate.h"

#define RENDERED_MAX 8191 /* in one table; whatever comes later is rendered each time */
#define RENDERED_TEXT_MAX_BYTES (1u << 20) /* all their texts together */

struct route;
struct rendered_table;

/* What a text depends on, besides the object. */
struct rendered_for {
	const struct route *route;
	bool is_tls;
	struct accept_encoding accept;
};

struct rendered_table *rendered_table_new(unsigned generation);
/* Nobody may look up any more. */
void rendered_table_free(struct rendered_table **tp);

/* Adds the text to out. False, and nothing added: not rendered yet. *bodyp_out is the body that goes with it, the object's or a
 * variant's: it lives as long as the object. */
bool rendered_write(const struct rendered_table *t, const struct object *o,
    const struct rendered_for *use, struct buf *out, struct body **bodyp_out);
/* Keeps how text comes of the object's head, unless there are enough. coding: of the variant that goes with it, or 0 for the
 * object's own body. */
void rendered_keep(struct rendered_table *t, struct object *o, const struct rendered_for *use,
    struct slice text, uint8_t coding);

#endif
