/* cache/segmentkey.h - what a segment of a large response is found by.
 *
 * The whole's key, and behind a NUL the segment's size, the version it is of, and its number. So the URL that purges name is
 * the same; and segments of two versions, of two variants by Vary or of two sizes can never be found in each other's place.
 */
#ifndef CACHE_SEGMENTKEY_H
#define CACHE_SEGMENTKEY_H

#include "cache/key.h"
#include "http/segment.h"

/* Writes the key into *text, in place of what is there, which the result borrows. vary: the outline's object_vary. */
struct cache_key segment_key(struct buf *text, struct slice whole_key, uint64_t size,
    const struct segment_version *version, struct slice vary, uint64_t number);

#endif
