/* cli/schema.h - `forebay schema` and `forebay reference`: what the directive tables say, for editors and for people. */
#ifndef CLI_SCHEMA_H
#define CLI_SCHEMA_H

#include "base/buf.h"

/* argv[0] is the command's own name. Print the JSON Schema, or the reference page (docs/configuration.md). Return the
 * exit code: 0, 1 when it could not be written, 2 misused. */
int cli_schema(int argc, char **argv);
int cli_reference(int argc, char **argv);

/* The reference page. */
void reference_page(struct buf *out);

#endif
