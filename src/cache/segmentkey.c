#include "cache/segmentkey.h"

#include <inttypes.h>

struct cache_key
segment_key(struct buf *text, struct slice whole_key, uint64_t size,
    const struct segment_version *version, struct slice vary, uint64_t number)
{
	text->n = 0;
	buf_add_slice(text, whole_key);
	buf_add_char(text, '\0');
	buf_printf(text, "s%" PRIu64 "\n%" PRIu64 "\n%" PRIu64 "\n%" PRId64 "\n", size, number,
	    version->length, version->modified_s);
	buf_add_slice(text, version->etag);
	if (vary.n > 0) {
		buf_add_char(text, '\n');
		buf_add_slice(text, vary);
	}
	return cache_key_of(buf_slice(text));
}
