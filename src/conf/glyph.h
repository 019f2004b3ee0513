/* conf/glyph.h - characters as a terminal shows them: how long in bytes, how wide in columns.
 *
 * Knows enough of Unicode to put a caret under the right place and to keep what is dangerous to a
 * terminal (control characters, changes of direction) off it. The locale has no say.
 */
#ifndef CONF_GLYPH_H
#define CONF_GLYPH_H

#include "base/arena.h"
#include "base/slice.h"

#define GLYPH_BAD 0xfffdu /* stands for bytes that are no UTF-8 */

/* The first character of s (which is not empty) in *cp_out; returns its bytes, at least 1. */
size_t glyph_next(struct slice s, uint32_t *cp_out);
/* Columns taken: 0 (combining), 1 or 2; -1 for what must not reach a terminal. Tabs are -1 too. */
int glyph_width(uint32_t cp);
/* A terminated copy without what must not reach a terminal ('?' instead), cut after most bytes. */
const char *glyph_clean(struct arena *mem, struct slice s, size_t most);

#endif
