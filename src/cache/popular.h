/* cache/popular.h - which stored URLs are asked for most.
 *
 * Only what a plain GET would find: keys without parts that come from headers or cookies, answered with 200.
 */
#ifndef CACHE_POPULAR_H
#define CACHE_POPULAR_H

#include "base/buf.h"
#include "cache/store.h"

#define POPULAR_MAX 10000

/* Appends at most `most` URLs ("https://host/path?query"), those with most hits first, NUL after each. Walks the whole
 * store: not for a worker's thread. */
void popular_list(struct store *s, unsigned most, struct buf *out);

#endif
