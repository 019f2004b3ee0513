/* conf/schema.h - the JSON Schema (draft 2020-12) of a configuration, from its tables.
 *
 * For editors: it completes names, knows words and ranges, and shows defaults. Where a value may come
 * from ${...}, the schema lets such a text pass. What it accepts may still be refused by a room's
 * own rules; what conf_load() accepts, it accepts.
 */
#ifndef CONF_SCHEMA_H
#define CONF_SCHEMA_H

#include "base/buf.h"
#include "conf/table.h"

/* Appends the schema as indented JSON with a newline at its end. title: of the whole. */
void conf_schema(const struct conf_table *root, const char *title, struct buf *out);

#endif
