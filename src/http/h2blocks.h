/* http/h2blocks.h - blocks of HTTP/2 kept beside the text they were made of, so that the part of a head that is the same for every hit is
 * rendered once and then copied.
 *
 * A block has no tables (http/h2block.h), so it fits every connection; it depends on its text alone, so nothing ever makes it wrong.
 * A text is kept when it comes again before another takes its place. One thread's.
 */
#ifndef HTTP_H2BLOCKS_H
#define HTTP_H2BLOCKS_H

#include "base/slice.h"

#define H2_BLOCKS_MAX 1024
#define H2_BLOCKS_TEXT_BYTES 1024 /* longer texts are not kept: all of them take 2 MiB at most */

struct h2_blocks;

struct h2_blocks *h2_blocks_new(void);
void h2_blocks_free(struct h2_blocks **bp);
/* The block of these lines, as h2_block_lines makes it, good until the next call. Nothing: it is not kept. number: the same for a text
 * that comes again, and evenly spread over texts; where two share one they are told apart, but made anew each time. */
struct slice h2_blocks_find(struct h2_blocks *b, uint64_t number, struct slice lines);

#endif
