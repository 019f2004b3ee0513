/* conf/reference.h - the reference page of a configuration (Markdown), from its tables. */
#ifndef CONF_REFERENCE_H
#define CONF_REFERENCE_H

#include "base/buf.h"
#include "conf/table.h"

/* Appends one section for each map, in the order in which they are met: what it is for, then a table
 * of directive, type, default, range and text. A table used in several places has one section that
 * the others link to. The caller writes the page's title and preface before. */
void conf_reference(const struct conf_table *root, struct buf *out);

#endif
