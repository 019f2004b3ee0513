/* cache/tagcounts.h - how many stored objects have a tag, so that a purge knows at once what it purges.
 *
 * A table of bounded size by hash of the tag, in buckets that each have a lock of their own. An object counts for each of
 * its tags from when it was listed until it is not any more, unless its fetch began before the tag was last purged: so a
 * purge takes the tag's objects out of the count at once, and those that leave later are not subtracted twice. Where a
 * bucket is full the tag with the fewest objects makes room; what counts anew there may have had objects before, and says
 * so, until it is purged. Any thread.
 */
#ifndef CACHE_TAGCOUNTS_H
#define CACHE_TAGCOUNTS_H

#include "cache/object.h"

struct tagcounts;

/* For about that many tags. */
struct tagcounts *tagcounts_new(size_t tags);
void tagcounts_free(struct tagcounts **tp);
size_t tagcounts_bytes(size_t tags);
void tagcounts_see(struct tagcounts *t, const struct object *o, bool came);
/* The tag was purged at that position of the purge log: before any object can have it. */
void tagcounts_purged(struct tagcounts *t, struct slice tag, uint64_t pos);
/* Everything was. */
void tagcounts_all_purged(struct tagcounts *t, uint64_t pos);
/* Objects with the tag. *is_exact_out false: there may be more. */
uint64_t tagcounts_of(struct tagcounts *t, struct slice tag, bool *is_exact_out);

#endif
