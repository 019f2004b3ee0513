#include "base/hash.h"

#include <errno.h>
#include <sys/random.h>
#define XXH_INLINE_ALL
#include <xxhash.h>

#include "base/mem.h"

static uint64_t seed;

void
random_bytes(void *out, size_t n)
{
	char *at = out;

	while (n > 0) {
		ssize_t got = getrandom(at, n, 0);

		if (got < 0 && errno == EINTR)
			continue;
		if (got <= 0)
			bug("getrandom: %s", strerror(errno));
		at += got;
		n -= (size_t)got;
	}
}

void
hash_seed(void)
{
	random_bytes(&seed, sizeof(seed));
}

uint64_t
hash_bytes(const void *p, size_t n)
{
	return XXH3_64bits_withSeed(p, n, seed);
}

uint64_t
hash_more(uint64_t h, const void *p, size_t n)
{
	return XXH3_64bits_withSeed(p, n, h);
}
