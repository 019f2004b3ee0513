#include "cache/key.h"

#include "base/hash.h"

struct cache_key
cache_key_of(struct slice text)
{
	return (struct cache_key){hash_bytes(text.p, text.n), text};
}

bool
cache_key_is_loose(struct slice key)
{
	return slice_starts(slice_skip(key, slice_index(key, '\0')), SLICE_LIT(CACHE_KEY_LOOSE));
}

struct slice
cache_key_name(struct slice key)
{
	struct slice url = cache_key_url(key);

	if (slice_starts(url, SLICE_LIT("http://")))
		return slice_skip(url, 7);
	if (slice_starts(url, SLICE_LIT("https://")))
		return slice_skip(url, 8);
	return url;
}

struct slice
cache_key_path(struct slice key)
{
	struct slice name = cache_key_name(key);

	return slice_skip(name, slice_index(name, '/'));
}
