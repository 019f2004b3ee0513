/* conf/fill.h - a struct from a node, by a table. Public for custom parsers that fill parts of
 * their own by tables; everybody else calls conf_load(). */
#ifndef CONF_FILL_H
#define CONF_FILL_H

#include "base/buf.h"
#include "conf/table.h"

/* Fills target (t->size bytes) from n, NULL for defaults alone. Strings point into n's texts. All
 * errors are given; 0, or -1 when there were any. */
int conf_fill(
    struct conf_context *cx, const struct conf_table *t, const struct conf_node *n, void *target);
/* One value into the field of a row, range checked. */
int conf_fill_value(struct conf_context *cx, const struct conf_directive *row,
    const struct conf_node *n, void *field);
/* A default (or least, or most) of a row into a field. */
int conf_fill_text(
    struct conf_context *cx, const struct conf_directive *row, const char *text, void *field);
/* The value in quotes as it may be shown: never a secret, and as written when it was filled in. */
const char *conf_shown(
    struct conf_context *cx, const struct conf_directive *row, const struct conf_node *n);
/* " in routes[2]" or "" at the top. */
const char *conf_where(struct conf_context *cx);

#endif
