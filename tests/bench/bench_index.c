/* LINK: cache/store cache/store_room cache/store_shard cache/store_walk cache/index cache/object cache/body cache/slab cache/purgelog cache/key http/vary http/negotiate http/head http/fields base/buf base/clock base/hash base/log base/mem */
/* Whether a look-up costs the same among ten million objects as among ten thousand: bench_index [OBJECTS].
 *
 * Small objects are stored, and at each power of ten, objects stored at random are looked up as a hit does it (make the key, find,
 * let go), and others that are not there. Told are processor time for each, which more objects make dearer only as far as the processor's
 * caches no longer hold them, and the longest single store and look-up of all, in processor time: the index grows in steps, and none may stop
 * a worker. With `turns` it looks up among so many and ends: for callgrind, which counts instructions
 * (tests/bench/index).
 */
#include "cache/store.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "base/hash.h"
#include "base/mem.h"

#define LOOKS 1000000u
#define OBJECT_BYTES 600 /* of the limit, for each: more than one needs */

static double
cpu_us(void)
{
	struct timespec t;

	clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t);
	return (double)t.tv_sec * 1e6 + (double)t.tv_nsec / 1e3;
}

static struct slice
key_of(char text[64], unsigned n)
{
	return slice_of(text, (size_t)snprintf(text, 64, "https://shop.test/products/%08u", n));
}

static void
put(struct store *s, unsigned n)
{
	char key[64];
	struct body *b =
	    body_of(store_slab(s), SLICE_LIT("a body of some fifty bytes, as long as this one is"));
	struct object_parts parts = {.key = key_of(key, n),
	    .head = SLICE_LIT("HTTP/1.1 200 OK\r\nContent-Type: text/html\r\n\r\n"),
	    .body = b};
	struct object *o;

	parts.hash = cache_key_of(parts.key).hash;
	o = object_new(store_slab(s), &parts);
	body_unref(&b);
	if (o == NULL || !store_put(s, o))
		bug("no room");
	object_unref(&o);
}

__attribute__((noinline)) static bool
look(struct store *s, unsigned n)
{
	char text[64];
	struct cache_key key = cache_key_of(key_of(text, n));
	struct object *o = store_find(s, &key, NULL, NULL);
	bool is_there = o != NULL;

	object_unref(&o);
	return is_there;
}

static double
look_many(struct store *s, unsigned from, unsigned among, unsigned turns, bool are_there)
{
	uint64_t dice = 1;
	double began_us = cpu_us();

	for (unsigned i = 0; i < turns; i++) {
		dice = dice * 6364136223846793005u + 1442695040888963407u;
		if (look(s, from + (unsigned)((dice >> 33) % among)) != are_there)
			bug("an object is not where it should be");
	}
	return (cpu_us() - began_us) / turns;
}

static double
longest_us(struct store *s, unsigned among)
{
	double longest = 0;

	for (unsigned i = 0; i < 200000; i++) {
		double began_us = cpu_us(), took_us;

		look(s, (unsigned)((uint64_t)i * 2654435761u % among));
		took_us = cpu_us() - began_us;
		longest = took_us > longest ? took_us : longest;
	}
	return longest;
}

int
main(int argc, char **argv)
{
	unsigned most = argc > 1 ? (unsigned)atol(argv[1]) : 10000000;
	unsigned turns = argc > 2 ? (unsigned)atol(argv[2]) : 0;
	struct store *s;
	double longest_put_us = 0;

	hash_seed();
	s = store_new((size_t)most * OBJECT_BYTES + ((size_t)64 << 20));
	if (s == NULL)
		bug("no memory");
	if (turns == 0)
		printf("%10s %12s %12s %14s %14s %12s\n", "objects", "found, us", "absent, us",
		    "longest, us", "longest put", "bytes each");
	for (unsigned n = 0, next = 10000; n < most;) {
		double began_us = cpu_us(), took_us;

		put(s, n++);
		took_us = cpu_us() - began_us;
		longest_put_us = took_us > longest_put_us ? took_us : longest_put_us;
		if (n < next && n < most)
			continue;
		next *= 10;
		if (turns > 0 && n == most)
			look_many(s, 0, n, turns, true);
		if (turns > 0)
			continue;
		double found_us = look_many(s, 0, n, LOOKS, true),
		       absent_us = look_many(s, most, n, LOOKS, false);

		printf("%10u %12.3f %12.3f %14.1f %14.1f %12.1f\n", n, found_us, absent_us,
		    longest_us(s, n), longest_put_us, (double)store_usage(s).bytes / n);
		fflush(stdout);
		longest_put_us = 0;
	}
	store_free(&s);
	return 0;
}
