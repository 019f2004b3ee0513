/* conf/scalar.h - one value of a directive, checked: the part of conf/fill.h below maps and lists. */
#ifndef CONF_SCALAR_H
#define CONF_SCALAR_H

#include "conf/table.h"

/* One scalar into a field, or into one element of a list of values. 0, or -1 with the error given. */
int conf_fill_scalar(struct conf_context *cx, const struct conf_directive *row,
    const struct conf_node *n, void *field);
/* A least or most of a row of numbers; one that cannot be read is a mistake in the table. */
int64_t conf_bound(const struct conf_directive *row, const char *text);

#endif
