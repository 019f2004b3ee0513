/* http/h2block.h - header sections of HTTP/2 going out: the text of HTTP/1.1 becomes a field block (RFC 7541).
 *
 * Blocks are written with the static table and literals alone, so that they fit every connection, whatever its tables hold.
 */
#ifndef HTTP_H2BLOCK_H
#define HTTP_H2BLOCK_H

#include "base/buf.h"

/* Appends ":status" to a block. */
void h2_block_status(struct buf *block, unsigned status);
/* Appends one field. */
void h2_block_field(struct buf *block, struct slice name, struct slice value);
/* Appends Content-Length. */
void h2_block_length(struct buf *block, uint64_t length);
/* Appends the fields of text, lines of HTTP/1.1 each with its CR LF, but none that concern a connection. A status line or an empty
 * line in it is passed over. */
void h2_block_lines(struct buf *block, struct slice text);

#endif
