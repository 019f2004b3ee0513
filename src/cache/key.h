/* cache/key.h - what a stored response is found by: what the origin can see and vary on (design:
 * The cache, Key).
 *
 * The key is one string: scheme "://" host path [ "?" query ] and, for chosen headers and cookies,
 * NUL-separated parts behind it. The part before the first NUL is the URL that purges name. The
 * method is not in it: only GET (and HEAD from GET) is stored.
 */
#ifndef CACHE_KEY_H
#define CACHE_KEY_H

#include "base/buf.h"
#include "base/slice.h"

struct cache_key {
	uint64_t hash;	   /* hash_bytes of text */
	struct slice text; /* borrowed from whoever made it */
};

/* The key with that text. */
struct cache_key cache_key_of(struct slice text);

static inline struct slice
cache_key_url(struct slice key)
{
	return slice_of(key.p, slice_index(key, '\0'));
}

/* A response that says which parameters of its query count (http/searchrule.h) is stored under the
 * query simplified so, and the rule: "\0n\n" rule, right behind the URL. */
#define CACHE_KEY_LOOSE "\0n\n"
bool cache_key_is_loose(struct slice key);

/* What purges call it: the URL without its scheme, host path [ "?" query ]. Also of a URL. */
struct slice cache_key_name(struct slice key);
/* The same without the host: from the first "/" on. */
struct slice cache_key_path(struct slice key);

#endif
