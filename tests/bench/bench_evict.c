/* LINK: cache/store cache/index cache/object cache/body cache/slab cache/purgelog cache/key http/vary http/negotiate http/head http/fields base/buf base/hash base/mem */
/* How often the store has what is asked for, beside a plain LRU that counts the same bytes.
 *
 * The store is the real one, with its slots, index and ghosts; the LRU is a model that is charged
 * what the store charges for each object and wastes nothing. Every miss is followed by a put.
 * Prints one row per trace and size of cache, and what one look-up and one put took.
 */
#include "cache/store.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include "base/mem.h"
#include "cache/slab.h"

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

/* --- the model: an LRU of bytes --- */

struct lru {
	size_t limit_bytes, bytes;
	struct lru_entry {
		struct link link;
		unsigned charge; /* 0: not in */
	} * entries;
	struct link order; /* the latest used first */
};

static void
lru_init(struct lru *l, size_t limit_bytes)
{
	l->limit_bytes = limit_bytes;
	l->bytes = 0;
	l->entries = must_calloc(SCAN_FIRST + REQUESTS, sizeof(*l->entries));
	list_init(&l->order);
}

static bool
lru_find(struct lru *l, unsigned number)
{
	struct lru_entry *e = &l->entries[number];

	if (e->charge == 0)
		return false;
	list_leave(&e->link);
	list_push_front(&l->order, &e->link);
	return true;
}

static void
lru_put(struct lru *l, unsigned number, unsigned charge)
{
	struct lru_entry *e = &l->entries[number];

	while (l->bytes + charge > l->limit_bytes && !list_is_empty(&l->order)) {
		struct lru_entry *last = CONTAINER_OF(l->order.prev, struct lru_entry, link);

		list_leave(&last->link);
		l->bytes -= last->charge;
		last->charge = 0;
	}
	e->charge = charge;
	l->bytes += charge;
	list_push_front(&l->order, &e->link);
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

struct score {
	uint64_t store_hits, lru_hits;
	double put_s, find_s;
	uint64_t puts;
};

static void
run_request(struct store *s, struct lru *l, unsigned number, struct score *score)
{
	char text[64];
	struct cache_key key = key_of(number, text);
	double began = now_s();
	struct object *o = store_find(s, &key, NULL, NULL);
	unsigned charge;

	score->find_s += now_s() - began;
	if (o != NULL) {
		score->store_hits++;
		charge = o->charged_bytes;
		object_unref(&o);
	} else {
		began = now_s();
		charge = store_put_number(s, &key, body_bytes_of(number));
		score->put_s += now_s() - began;
		score->puts++;
	}
	if (lru_find(l, number))
		score->lru_hits++;
	else
		lru_put(l, number, charge);
}

static void
run(const char *name, unsigned (*next)(unsigned i), size_t limit_bytes)
{
	struct store *s = store_new(limit_bytes);
	struct score score = {0};
	struct lru l;

	if (s == NULL)
		bug("no store");
	lru_init(&l, limit_bytes);
	dice = 1;
	for (unsigned i = 0; i < REQUESTS; i++)
		run_request(s, &l, next(i), &score);
	printf("%-6s %5zu MiB   %6.2f %%  %6.2f %%   %6.0f ns  %6.0f ns   %5.1f %%\n", name,
	    limit_bytes >> 20, 100.0 * (double)score.store_hits / REQUESTS,
	    100.0 * (double)score.lru_hits / REQUESTS, score.find_s / REQUESTS * 1e9,
	    score.put_s / (double)score.puts * 1e9,
	    100.0 * (double)store_usage(s).bytes / (double)limit_bytes);
	free(l.entries);
	store_free(&s);
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
	printf("trace      cache    S3-FIFO       LRU   look-up        put    used\n");
	for (size_t t = 0; t < sizeof(traces) / sizeof(traces[0]); t++)
		for (size_t i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++)
			run(traces[t].name, traces[t].next, sizes[i]);
	return 0;
}
