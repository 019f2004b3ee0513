/* LINK: cache/store cache/store_room cache/store_shard cache/store_walk cache/index cache/object cache/body cache/slab cache/purgelog cache/key http/vary http/negotiate http/head http/fields base/buf base/hash base/mem */
/* How often the store has what is asked for, beside other policies that count the same bytes.
 *
 * The store is the real one, with its slots, index and ghosts; the others are models (evict_models.h) that are charged
 * what the store charges for each object and waste nothing. Every miss is followed by a put.
 * Prints one row per trace and size of cache, and what one look-up and one put took.
 */
#include "cache/store.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include "base/mem.h"
#include "cache/slab.h"
#include "evict_models.h"

#define KEYS 200000
#define REQUESTS 2000000
#define SCAN_FIRST 1000000 /* numbers that are asked for once */

static uint64_t dice = 1;

static double
random_unit(void)
{
	dice = dice * 6364136223846793005u + 1442695040888963407u;
	return (double)(dice >> 11) / (double)((uint64_t)1 << 53);
}

static double
now_s(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

/* --- traces --- */

static double zipf_sums[KEYS];

static void
zipf_init(double alpha)
{
	double sum = 0;

	for (unsigned i = 0; i < KEYS; i++)
		zipf_sums[i] = sum += 1 / pow(i + 1, alpha);
}

/* Rank by popularity, 0 first. */
static unsigned
zipf_next(void)
{
	double at = random_unit() * zipf_sums[KEYS - 1];
	unsigned low = 0, high = KEYS - 1;

	while (low < high) {
		unsigned mid = (low + high) / 2;

		if (zipf_sums[mid] < at)
			low = mid + 1;
		else
			high = mid;
	}
	return low;
}

static unsigned
trace_zipf(unsigned i)
{
	return zipf_next();
}

/* A crawler comes by: a fifth of the time everything asked for is new. */
static unsigned
trace_scan(unsigned i)
{
	return i % 100000 < 20000 ? SCAN_FIRST + i : zipf_next();
}

/* The same things in the same order, a third of them more than fit into the middle cache. */
static unsigned
trace_loop(unsigned i)
{
	return i % (KEYS / 7);
}

/* What is popular moves on; one in six is asked for once. */
static unsigned
trace_mixed(unsigned i)
{
	if (i % 6 == 0)
		return SCAN_FIRST + i;
	return (zipf_next() + i / 200000 * 3000) % KEYS;
}

/* The same for the same number: mostly some KiB, a few large. */
static size_t
body_bytes_of(unsigned number)
{
	unsigned x = number * 2654435761u;

	if (x % 200 == 0)
		return 50000 + x % 200000;
	return 500 + x % 7000;
}

/* --- the store --- */

static struct cache_key
key_of(unsigned number, char text[64])
{
	int len = snprintf(text, 64, "https://shop.test/products/%u", number);

	return cache_key_of(slice_of(text, (size_t)len));
}

/* Returns what it was charged with. */
static unsigned
store_put_number(struct store *s, const struct cache_key *key, size_t bytes)
{
	static char zeros[SLAB_ALLOC_MAX];
	struct object_parts parts = {.key = key->text,
	    .hash = key->hash,
	    .head = SLICE_LIT("HTTP/1.1 200 OK\r\nContent-Type: text/html; charset=utf-8\r\n"
			      "ETag: \"0123456789abcdef\"\r\nCache-Control: max-age=600\r\n\r\n"),
	    .body = body_new(store_slab(s), bytes)};
	struct object *o;
	unsigned charge;

	if (parts.body == NULL)
		bug("no memory for a body");
	for (size_t left = bytes; left > 0;) {
		size_t n = left < sizeof(zeros) ? left : sizeof(zeros);

		if (body_append(parts.body, slice_of(zeros, n)) != 0)
			bug("no memory for a body");
		left -= n;
	}
	body_end(parts.body, BODY_WHOLE);
	if ((o = object_new(store_slab(s), &parts)) == NULL)
		bug("no memory for an object");
	body_unref(&parts.body);
	store_put(s, o);
	charge = o->charged_bytes;
	object_unref(&o);
	return charge;
}

/* --- the race --- */

#define NUMBERS (SCAN_FIRST + REQUESTS)

static unsigned trace[REQUESTS], charges[NUMBERS];

struct score {
	uint64_t hits, puts;
	double put_s, find_s;
};

static void
run_request(struct store *s, unsigned number, struct score *score)
{
	char text[64];
	struct cache_key key = key_of(number, text);
	double began = now_s();
	struct object *o = store_find(s, &key, NULL, NULL);

	score->find_s += now_s() - began;
	if (o != NULL) {
		score->hits++;
		object_unref(&o);
		return;
	}
	began = now_s();
	charges[number] = store_put_number(s, &key, body_bytes_of(number));
	score->put_s += now_s() - began;
	score->puts++;
}

static double
percent(uint64_t hits)
{
	return 100.0 * (double)hits / REQUESTS;
}

static double
run_model(bool (*ask)(struct model *m, unsigned number, unsigned charge), size_t limit_bytes)
{
	struct model m;
	uint64_t hits = 0;

	model_init(&m, limit_bytes, NUMBERS);
	for (unsigned i = 0; i < REQUESTS; i++)
		hits += ask(&m, trace[i], charges[trace[i]]);
	free(m.entries);
	return percent(hits);
}

static void
run(const char *name, unsigned (*next)(unsigned i), size_t limit_bytes)
{
	struct store *s = store_new(limit_bytes);
	struct score score = {0};
	uint64_t used;

	if (s == NULL)
		bug("no store");
	dice = 1;
	for (unsigned i = 0; i < REQUESTS; i++)
		run_request(s, trace[i] = next(i), &score);
	used = store_usage(s).bytes;
	store_free(&s);
	printf("%-6s %5zu MiB   %6.2f %%  %6.2f %%  %6.2f %%  %6.2f %%  %6.2f %%  %6.2f %%   %6.0f "
	       "ns  %6.0f "
	       "ns   %5.1f %%\n",
	    name, limit_bytes >> 20, percent(score.hits), run_model(lru_ask, limit_bytes),
	    run_model(s3_ask, limit_bytes), run_model(sieve_ask, limit_bytes),
	    run_model(arc_ask, limit_bytes),
	    percent(optimum(trace, REQUESTS, charges, NUMBERS, limit_bytes)),
	    score.find_s / REQUESTS * 1e9, score.put_s / (double)score.puts * 1e9,
	    100.0 * (double)used / (double)limit_bytes);
	fflush(stdout);
}

int
main(void)
{
	const struct {
		const char *name;
		unsigned (*next)(unsigned i);
	} traces[] = {{"zipf", trace_zipf}, {"scan", trace_scan}, {"loop", trace_loop},
	    {"mixed", trace_mixed}};
	const size_t sizes[] = {(size_t)16 << 20, (size_t)64 << 20, (size_t)256 << 20};

	zipf_init(0.9);
	printf("trace      cache      store       LRU   S3-FIFO     SIEVE       ARC   optimum    "
	       "look-up     "
	       "   put    used\n");
	for (size_t t = 0; t < sizeof(traces) / sizeof(traces[0]); t++)
		for (size_t i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++)
			run(traces[t].name, traces[t].next, sizes[i]);
	return 0;
}
