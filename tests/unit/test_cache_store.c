/* LINK: cache/store cache/store_room cache/store_shard cache/store_walk cache/index cache/object cache/body cache/slab cache/purgelog cache/key http/vary http/negotiate http/head http/fields base/buf base/hash base/mem */
#include "cache/store.h"
#include "cache/index.h"

#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#include "cache/slab.h"

#define MIB ((size_t)1 << 20)

static unsigned
next_random(uint64_t *state)
{
	*state = *state * 6364136223846793005u + 1442695040888963407u;
	return (unsigned)(*state >> 33);
}

/* What the kernel says the cache's mapping occupies. */
static size_t
resident_bytes(void)
{
	FILE *f = fopen("/proc/self/smaps", "r");
	char line[512];
	bool ours = false;
	size_t sum = 0, kib;

	assert_non_null(f);
	while (fgets(line, sizeof(line), f) != NULL) {
		if (strstr(line, "memfd:") != NULL)
			ours = strstr(line, "forebay-cache") != NULL;
		else if (strchr(line, '-') != NULL && strchr(line, '-') - line == 12)
			ours = false;
		if (ours && sscanf(line, "Rss: %zu", &kib) == 1)
			sum += kib * 1024;
	}
	fclose(f);
	return sum;
}

struct name {
	char text[64];
	struct cache_key key;
};

static const struct cache_key *
named(struct name *n, unsigned number)
{
	int len = snprintf(n->text, sizeof(n->text), "http://shop.test/item/%u", number);

	n->key = cache_key_of(slice_of(n->text, (size_t)len));
	return &n->key;
}

/* An object of that number with a body of so many bytes, all of them the number; NULL when memory
 * is full. */
static struct object *
make(struct store *s, unsigned number, size_t body_bytes, struct slice vary)
{
	struct name n;
	const struct cache_key *key = named(&n, number);
	struct object_parts parts = {.key = key->text,
	    .hash = key->hash,
	    .vary = vary,
	    .head = SLICE_LIT("HTTP/1.1 200 OK\r\nContent-Type: text/html\r\n\r\n"),
	    .body = body_new(store_slab(s), body_bytes)};
	struct object *o = NULL;
	char bytes[4096];

	memset(bytes, (int)number, sizeof(bytes));
	for (size_t left = body_bytes; parts.body != NULL && left > 0;) {
		size_t some = left < sizeof(bytes) ? left : sizeof(bytes);

		if (body_append(parts.body, slice_of(bytes, some)) != 0)
			body_unref(&parts.body);
		left -= some;
	}
	if (parts.body != NULL) {
		body_end(parts.body, BODY_WHOLE);
		o = object_new(store_slab(s), &parts);
		body_unref(&parts.body);
	}
	return o;
}

static bool
put(struct store *s, unsigned number, size_t body_bytes)
{
	struct object *o = make(s, number, body_bytes, SLICE_NONE);
	bool listed = o != NULL && store_put(s, o);

	object_unref(&o);
	return listed;
}

static struct object *
find(struct store *s, unsigned number)
{
	struct name n;

	return store_find(s, named(&n, number), NULL, NULL);
}

/* Asks for it as a client would: whether it was there, and whole. */
static bool
ask(struct store *s, unsigned number)
{
	struct object *o = find(s, number);
	struct body_cursor c = {0};
	struct iovec iov[64];
	int n;

	if (o == NULL)
		return false;
	while ((n = body_peek(o->body, &c, iov, 64, UINT64_MAX)) > 0)
		for (int i = 0; i < n; i++) {
			assert_int_equal(*(unsigned char *)iov[i].iov_base, number & 255);
			body_advance(&c, iov[i].iov_len);
		}
	assert_int_equal(c.at, body_length(o->body));
	object_unref(&o);
	return true;
}

static void
what_was_put_is_found_and_nothing_else(void **state)
{
	struct store *s = store_new(16 * MIB);

	assert_true(put(s, 1, 100));
	assert_true(put(s, 2, 100000));
	assert_true(ask(s, 1));
	assert_true(ask(s, 2));
	assert_false(ask(s, 3));
	assert_int_equal(store_usage(s).objects, 2);
	store_free(&s);
}

static void
an_object_costs_less_than_two_hundred_bytes(void **state)
{
	struct store *s = store_new(64 * MIB);
	struct store_usage empty = store_usage(s), full;
	size_t content = 0;

	assert_true(sizeof(struct object) + 15 < 200);
	for (unsigned i = 0; i < 20000; i++) {
		struct object *o = make(s, i, 0, SLICE_NONE);

		content += o->key_len + o->head_len;
		store_put(s, o);
		object_unref(&o);
	}
	full = store_usage(s);
	assert_int_equal(full.objects, 20000);
	/* Slots round up, and there is a struct body. */
	print_message("%zu bytes each beyond key and head\n",
	    (size_t)(full.bytes - empty.bytes - content) / 20000);
	assert_true(full.bytes - empty.bytes < content + 20000 * (200 + 100 + 40));
	store_free(&s);
}

static void
a_newer_object_takes_the_place_of_the_older(void **state)
{
	struct store *s = store_new(16 * MIB);
	struct object *old = make(s, 1, 1000, SLICE_NONE), *found;

	store_put(s, old);
	assert_true(put(s, 1, 2000));
	assert_int_equal(store_usage(s).objects, 1);
	found = find(s, 1);
	assert_int_equal(body_length(found->body), 2000);
	object_unref(&found);
	store_remove(s, old); /* is not listed any more: no harm */
	object_unref(&old);
	assert_true(ask(s, 1));
	store_free(&s);
}

static void
an_object_being_sent_survives_eviction(void **state)
{
	struct store *s = store_new(4 * MIB);
	struct object *sent;
	struct body_cursor c = {0};
	struct iovec iov[1];

	sent = make(s, 7, 30000, SLICE_NONE);
	store_put(s, sent);
	for (unsigned i = 100; i < 1000; i++)
		assert_true(put(s, i, 30000));
	assert_null(find(s, 7));
	assert_int_equal(body_peek(sent->body, &c, iov, 1, 100), 1);
	assert_int_equal(*(char *)iov[0].iov_base, 7);
	object_unref(&sent);
	store_free(&s);
}

static void
removal_is_by_object_or_by_key(void **state)
{
	struct store *s = store_new(16 * MIB);
	struct object *o;
	struct name n;

	assert_true(put(s, 1, 10));
	assert_true(put(s, 2, 10));
	o = find(s, 1);
	store_remove(s, o);
	store_remove(s, o);
	object_unref(&o);
	assert_false(ask(s, 1));
	for (unsigned v = 0; v < 40; v++) {
		char vary[32];
		int len = snprintf(vary, sizeof(vary), "cookie\x01%u\n", v);

		o = make(s, 2, 10, slice_of(vary, (size_t)len));
		store_put(s, o);
		object_unref(&o);
	}
	assert_int_equal(store_remove_key(s, named(&n, 2)), 41);
	assert_int_equal(store_usage(s).objects, 0);
	assert_int_equal(slab_usage(store_slab(s)).used_bytes, 0);
	store_free(&s);
}

/* A request with one field. */
static struct head
request_with(const char *base, enum field_id id, size_t name_len, size_t value_len)
{
	struct head h = {.base = base, .count = 1};

	h.fields[0] = (struct field){.name_len = (uint16_t)name_len,
	    .value_at = (uint32_t)name_len + 2,
	    .value_len = (uint16_t)value_len,
	    .id = (uint8_t)id};
	h.first[id] = 1;
	return h;
}

static void
a_request_finds_the_variant_that_is_for_it(void **state)
{
	struct store *s = store_new(16 * MIB);
	struct head german = request_with("Accept-Language: de", FIELD_ACCEPT_LANGUAGE, 15, 2);
	struct head french = request_with("Accept-Language: fr", FIELD_ACCEPT_LANGUAGE, 15, 2);
	struct object *o = make(s, 1, 10, SLICE_LIT("accept-language\1de\n")), *found;
	bool others = false;
	struct name n;

	store_put(s, o);
	found = store_find(s, named(&n, 1), &german, &others);
	assert_ptr_equal(found, o);
	assert_false(others);
	object_unref(&found);
	assert_null(store_find(s, named(&n, 1), &french, &others));
	assert_true(others);
	object_unref(&o);
	store_free(&s);
}

static void
of_too_many_variants_the_oldest_goes(void **state)
{
	struct store *s = store_new(16 * MIB);
	struct object *first = NULL;

	for (unsigned v = 0; v < STORE_VARIANTS_MAX + 1; v++) {
		char vary[32];
		int len = snprintf(vary, sizeof(vary), "cookie\x01%u\n", v);
		struct object *o = make(s, 2, 10, slice_of(vary, (size_t)len));

		store_put(s, o);
		if (v == 0)
			first = object_ref(o);
		object_unref(&o);
	}
	assert_int_equal(store_usage(s).objects, STORE_VARIANTS_MAX);
	assert_int_equal(first->queue, 0);
	object_unref(&first);
	store_free(&s);
}

static void
what_hangs_on_an_object_leaves_with_it(void **state)
{
	struct store *s = store_new(16 * MIB);
	struct object *o = make(s, 1, 10, SLICE_NONE);
	struct body *b = body_of(store_slab(s), SLICE_LIT("packed"));
	size_t before;

	store_put(s, o);
	before = o->charged_bytes;
	assert_int_equal(store_add_variant(s, o, 4, &b), 0);
	assert_null(b);
	assert_true(o->charged_bytes > before);
	assert_int_equal(o->charged_bytes, object_memory_bytes(o));
	assert_non_null(object_find_variant(o, 4));
	b = body_of(store_slab(s), SLICE_LIT("packed again"));
	assert_int_equal(store_add_variant(s, o, 4, &b), -1);
	store_remove(s, o);
	assert_int_not_equal(slab_usage(store_slab(s)).used_bytes, 0);
	object_unref(&o);
	assert_int_equal(slab_usage(store_slab(s)).used_bytes, 0);
	store_free(&s);
}

static void
the_place_of_an_object_passes_to_its_clone_and_readers_keep_the_old_one(void **state)
{
	struct store *s = store_new(16 * MIB);
	struct object *o = make(s, 1, 10, SLICE_NONE), *clone, *found;
	struct body *b = body_of(store_slab(s), SLICE_LIT("packed"));
	struct body *smaller = body_of(store_slab(s), SLICE_LIT("pkd"));
	struct name n;

	store_put(s, o);
	assert_int_equal(store_add_variant(s, o, 4, &b), 0);
	found = store_find_body(s, o->hash, o->body);
	assert_ptr_equal(found, o);
	object_unref(&found);
	assert_null(store_find_body(s, o->hash, NULL));
	clone = object_clone(o);
	assert_int_equal(object_add_variant(clone, 4, &smaller), 0);
	assert_true(store_swap(s, o, clone));
	assert_int_equal(store_usage(s).objects, 1);
	assert_int_equal(o->queue, 0);
	assert_int_equal(clone->charged_bytes, object_memory_bytes(clone));
	found = store_find(s, named(&n, 1), NULL, NULL);
	assert_ptr_equal(found, clone);
	assert_int_equal(body_length(object_find_variant(found, 4)->body), 3);
	assert_int_equal(body_length(object_find_variant(o, 4)->body), 6);
	assert_false(store_swap(s, o, clone)); /* it is listed no more */
	object_unref(&found);
	object_unref(&o);
	store_remove(s, clone);
	object_unref(&clone);
	assert_false(store_make_room(s, 0, 1)); /* nothing is counted that is not there */
	assert_int_equal(slab_usage(store_slab(s)).used_bytes, 0);
	store_free(&s);
}

static void
what_left_the_store_does_not_come_back_as_a_clone(void **state)
{
	struct store *s = store_new(16 * MIB);
	struct object *o = make(s, 1, 10, SLICE_NONE), *clone;

	store_put(s, o);
	clone = object_clone(o);
	store_remove(s, o);
	assert_false(store_swap(s, o, clone));
	assert_int_equal(store_usage(s).objects, 0);
	object_unref(&o);
	object_unref(&clone);
	store_free(&s);
}

static void
what_is_not_bounded_is_not_listed(void **state)
{
	struct store *s = store_new(16 * MIB);
	struct object_parts parts = {
	    .key = SLICE_LIT("http://a/"), .body = body_of(NULL, SLICE_LIT("hello"))};
	struct object *o = object_new(NULL, &parts);

	assert_false(store_put(s, o));
	object_unref(&o);
	o = object_new(store_slab(s), &parts);
	assert_false(store_put(s, o));
	object_unref(&o);
	body_unref(&parts.body);
	store_free(&s);
}

/* --- memory --- */

static void
a_million_puts_of_any_size_stay_within_the_limit(void **state)
{
	const size_t limit = 32 * MIB;
	struct store *s = store_new(limit);
	uint64_t dice = 5;
	unsigned failed = 0;

	for (unsigned i = 0; i < 1000000; i++) {
		size_t bytes = next_random(&dice) % 1000;

		if (i % 16 == 0)
			bytes = next_random(&dice) % 20000;
		if (i % 512 == 0)
			bytes = next_random(&dice) % 300000;
		failed += !put(s, i, bytes);
		if (i % 1000 == 0) {
			struct slab_usage u = slab_usage(store_slab(s));

			assert_true(u.page_bytes + u.charged_bytes <= limit);
			ask(s, i - next_random(&dice) % 1000);
		}
		if (i % 100000 == 0)
			assert_true(resident_bytes() <= limit);
	}
	assert_int_equal(failed, 0);
	assert_true(resident_bytes() <= limit);
	/* And it is used: no more than an eighth or so lies in free slots. */
	print_message("%zu of %zu bytes used\n", store_usage(s).bytes, limit);
	assert_true(store_usage(s).bytes > limit - limit / 6);
	store_free(&s);
}

static void
a_shift_to_large_bodies_does_not_evict_everything(void **state)
{
	struct store *s = store_new(32 * MIB);
	unsigned small = 0, kept = 0;
	const unsigned large = 100; /* a fifth of the memory */

	for (; store_usage(s).evictions == 0; small++)
		assert_true(put(s, small, 1000));
	/* Churn, so that pages are in no order any more. */
	for (unsigned i = 0; i < 3 * small; i++)
		assert_true(put(s, 1000000 + i, 900 + i % 200));
	small = (unsigned)store_usage(s).objects;
	for (unsigned i = 0; i < large; i++)
		assert_true(put(s, 2000000 + i, 60000));
	kept = (unsigned)store_usage(s).objects - large;
	print_message("%u of %u small ones kept\n", kept, small);
	assert_true(kept > small * 7 / 10);
	store_free(&s);
}

static void
a_shift_to_small_bodies_works_as_well(void **state)
{
	struct store *s = store_new(32 * MIB);
	uint64_t before;

	for (unsigned i = 0; i < 1000; i++)
		assert_true(put(s, i, 60000));
	before = store_usage(s).objects;
	for (unsigned i = 0; i < 5000; i++)
		assert_true(put(s, 1000000 + i, 1000));
	assert_true(store_usage(s).objects > 5000 + before / 2);
	store_free(&s);
}

static void
the_smallest_cache_works(void **state)
{
	struct store *s = store_new(MIB);

	for (unsigned i = 0; i < 5000; i++) {
		size_t bytes = i % 7 == 0 ? 100000 : i % 1000;

		assert_true(put(s, i, bytes));
		assert_true(ask(s, i));
		assert_true(slab_usage(store_slab(s)).page_bytes <= MIB);
	}
	assert_true(store_usage(s).objects > 10);
	store_free(&s);
}

static void
an_object_larger_than_the_cache_fails_and_harms_no_more(void **state)
{
	struct store *s = store_new(4 * MIB);

	assert_true(put(s, 1, 1000));
	assert_false(put(s, 2, 5 * MIB));
	assert_true(put(s, 3, 1000));
	assert_true(ask(s, 3));
	assert_true(put(s, 4, 3 * MIB));
	assert_true(ask(s, 4));
	store_free(&s);
}

static void
memory_in_use_by_readers_makes_a_put_fail_cleanly(void **state)
{
	struct store *s = store_new(4 * MIB);
	struct object *held[400];
	unsigned count = 0;

	while (count < 400) {
		struct object *o = make(s, count, 20000, SLICE_NONE);

		if (o == NULL)
			break;
		store_put(s, o);
		held[count++] = o;
	}
	assert_in_range(count, 100, 399);
	for (unsigned i = 0; i < count; i++)
		object_unref(&held[i]);
	assert_true(put(s, 1000, 20000));
	store_free(&s);
}

static void
the_bound_can_be_moved(void **state)
{
	struct store *s = store_new(32 * MIB);

	for (unsigned i = 0; i < 40000; i++)
		assert_true(put(s, i, i % 3000));
	assert_int_equal(store_resize(s, 8 * MIB), 0);
	assert_true(slab_usage(store_slab(s)).page_bytes <= 8 * MIB);
	assert_true(resident_bytes() <= 8 * MIB);
	assert_true(store_usage(s).bytes > 6 * MIB);
	assert_int_equal(store_resize(s, 64 * MIB), 0);
	for (unsigned i = 0; i < 40000; i++)
		assert_true(put(s, i, i % 3000));
	assert_true(store_usage(s).bytes > 40 * MIB);
	store_free(&s);
}

static void
room_is_made_when_asked_for(void **state)
{
	struct store *s = store_new(16 * MIB);
	size_t used;
	void *p;

	for (unsigned i = 0; i < 10000; i++)
		put(s, i, 2000);
	used = slab_usage(store_slab(s)).used_bytes;
	assert_true(store_make_room(s, 77, MIB));
	assert_true(slab_usage(store_slab(s)).used_bytes <= used - MIB);
	p = store_alloc(s, 77, 60000);
	assert_non_null(p);
	slab_release(store_slab(s), p);
	assert_false(store_make_room(s, 77, 64 * MIB));
	assert_int_equal(store_usage(s).objects, 0);
	store_free(&s);
}

/* --- the index --- */

static void
the_index_grows_and_shrinks_with_the_objects(void **state)
{
	struct store *s = store_new(256 * MIB);
	uint64_t small_buckets = store_usage(s).index_buckets;
	struct name n;

	for (unsigned i = 0; i < 100000; i++)
		assert_true(put(s, i, 1));
	assert_in_range(store_usage(s).index_buckets, 90000 / INDEX_BUCKET_OBJECTS,
	    110000 / INDEX_BUCKET_OBJECTS);
	for (unsigned i = 0; i < 100000; i++)
		assert_true(ask(s, i));
	for (unsigned i = 0; i < 100000; i++)
		if (i % 100 != 0)
			assert_int_equal(store_remove_key(s, named(&n, i)), 1);
	for (unsigned i = 0; i < 100000; i += 100)
		assert_true(ask(s, i) && put(s, i, 2));
	assert_true(store_usage(s).index_buckets <= small_buckets * 2);
	store_free(&s);
}

struct seen {
	struct store *store;
	unsigned char *times;
	unsigned more;
	bool removes;
};

static void
see_one(struct object *o, void *arg)
{
	struct seen *seen = arg;
	unsigned number = (unsigned)atoi(object_key(o).p + strlen("http://shop.test/item/"));

	if (number < 20000)
		seen->times[number]++;
	if (seen->more < 20000)
		put(seen->store, 1000000 + seen->more++, 1); /* buckets are split meanwhile */
	if (seen->removes && number % 2 == 0)
		store_remove(seen->store, o);
}

static void
a_walk_misses_nothing_that_was_there(void **state)
{
	struct seen seen = {
	    .store = store_new(128 * MIB), .times = calloc(1, 20000), .removes = true};

	for (unsigned i = 0; i < 20000; i++)
		assert_true(put(seen.store, i, 1));
	store_walk(seen.store, see_one, &seen);
	for (unsigned i = 0; i < 20000; i++)
		assert_true(seen.times[i] >= 1);
	assert_true(ask(seen.store, 1));
	assert_false(ask(seen.store, 2));
	free(seen.times);
	store_free(&seen.store);
}

static void
see_and_remove_most(struct object *o, void *arg)
{
	struct seen *seen = arg;
	unsigned number = (unsigned)atoi(object_key(o).p + strlen("http://shop.test/item/"));

	seen->times[number]++;
	if (number % 16 != 0)
		store_remove(seen->store, o);
}

static void
a_walk_that_empties_the_store_misses_nothing(void **state)
{
	struct seen seen = {.store = store_new(15 * MIB), .times = calloc(1, 20000)};

	for (unsigned i = 0; i < 20000; i++)
		assert_true(put(seen.store, i, 1));
	store_walk(seen.store, see_and_remove_most, &seen);
	for (unsigned i = 0; i < 20000; i++)
		assert_int_equal(seen.times[i], 1);
	free(seen.times);
	store_free(&seen.store);
}

static void
a_sweep_takes_out_what_was_purged(void **state)
{
	struct store *s = store_new(16 * MIB);
	struct purgelog *l = purgelog_new();
	struct purge p = {.kind = PURGE_PATTERN, .what = SLICE_LIT("shop.test/item/1*")};

	for (unsigned i = 0; i < 200; i++)
		put(s, i, 10);
	purgelog_add(l, &p);
	assert_int_equal(store_sweep(s, l), 111);
	assert_int_equal(store_usage(s).objects, 89);
	assert_int_equal(store_sweep(s, l), 0);
	purgelog_free(&l);
	store_free(&s);
}

/* --- what is kept --- */

static void
what_is_asked_for_often_survives_a_scan(void **state)
{
	struct store *s = store_new(8 * MIB);
	unsigned kept = 0;

	for (int round = 0; round < 3; round++)
		for (unsigned i = 0; i < 500; i++)
			if (!ask(s, i))
				put(s, i, 1000);
	for (unsigned i = 10000; i < 60000; i++)
		put(s, i, 1000);
	for (unsigned i = 0; i < 500; i++)
		kept += ask(s, i);
	assert_true(kept > 450);
	store_free(&s);
}

/* Where objects lie must not decide which of them go. */
static void
what_is_asked_for_often_survives_a_scan_of_all_sizes(void **state)
{
	struct store *s = store_new(32 * MIB);
	uint64_t dice = 7;
	unsigned kept = 0;

	for (int round = 0; round < 3; round++)
		for (unsigned i = 0; i < 1000; i++)
			if (!ask(s, i))
				put(s, i, 500 + next_random(&dice) % 7000);
	for (unsigned i = 0; i < 50000; i++) {
		put(s, 10000 + i, 500 + next_random(&dice) % 7000);
		if (i % 10 == 0)
			ask(s, i / 10 % 1000);
	}
	for (unsigned i = 0; i < 1000; i++)
		kept += ask(s, i);
	assert_in_range(kept, 950, 1000);
	store_free(&s);
}

static void
what_is_still_asked_for_stays_in_the_main_queue(void **state)
{
	struct store *s = store_new(8 * MIB);
	unsigned kept = 0;

	for (unsigned i = 0; i < 500; i++)
		put(s, i, 1000);
	/* All others are asked for once and so come to the main queue too, and leave it again. */
	for (unsigned i = 0; i < 50000; i++) {
		put(s, 10000 + i, 1000);
		ask(s, 10000 + i);
		if (i % 4 == 0)
			ask(s, i / 4 % 500);
	}
	for (unsigned i = 0; i < 500; i++)
		kept += ask(s, i);
	assert_true(kept > 490);
	store_free(&s);
}

static void
what_comes_back_soon_after_eviction_stays(void **state)
{
	struct store *s = store_new(8 * MIB);
	struct object *o = make(s, 1, 1000, SLICE_NONE);

	store_put(s, o);
	for (unsigned i = 10000; o->queue != 0; i++)
		put(s, i, 1000);
	object_unref(&o);
	assert_false(ask(s, 1));
	put(s, 1, 1000);
	assert_int_equal(store_usage(s).ghost_hits, 1);
	store_free(&s);
}

/* --- threads --- */

struct crowd {
	struct store *store;
	uint64_t dice;
	bool ok;
};

static void
see_nothing(struct object *o, void *arg)
{
}

static void *
crowd_run(void *arg)
{
	struct crowd *c = arg;
	struct name n;

	c->ok = true;
	for (unsigned i = 0; i < 20000; i++) {
		unsigned number = next_random(&c->dice) % 3000;
		struct object *o = store_find(c->store, named(&n, number), NULL, NULL);
		struct body *b;

		if (o == NULL) {
			put(c->store, number, next_random(&c->dice) % 20000);
		} else if (i % 50 == 0) {
			store_remove(c->store, o);
		} else if (i % 20 == 0 &&
		    (b = body_of(store_slab(c->store), SLICE_LIT("variant"))) != NULL) {
			store_add_variant(c->store, o, (uint8_t)(i % 4), &b);
		} else if (i % 33 == 0) {
			struct object *clone = object_clone(o);

			if (clone != NULL) {
				object_copy_variants(clone, o, 2);
				store_swap(c->store, o, clone);
			}
			object_unref(&clone);
		} else {
			struct body_cursor cur = {0};
			struct iovec iov[1];

			if (body_peek(o->body, &cur, iov, 1, 10) == 1)
				c->ok &= *(unsigned char *)iov[0].iov_base == (number & 255);
		}
		object_unref(&o);
		if (i % 5000 == 0)
			store_walk(c->store, see_nothing, NULL);
		if (i % 1000 == 0)
			c->ok &= slab_usage(store_slab(c->store)).page_bytes <= 8 * MIB;
	}
	return NULL;
}

static void
workers_share_the_store(void **state)
{
	struct store *s = store_new(8 * MIB);
	struct crowd crowds[4];
	pthread_t threads[4];

	for (unsigned i = 0; i < 4; i++) {
		crowds[i] = (struct crowd){.store = s, .dice = i};
		pthread_create(&threads[i], NULL, crowd_run, &crowds[i]);
	}
	for (int i = 0; i < 4; i++) {
		pthread_join(threads[i], NULL);
		assert_true(crowds[i].ok);
	}
	store_free(&s);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(what_was_put_is_found_and_nothing_else),
	    cmocka_unit_test(an_object_costs_less_than_two_hundred_bytes),
	    cmocka_unit_test(a_newer_object_takes_the_place_of_the_older),
	    cmocka_unit_test(an_object_being_sent_survives_eviction),
	    cmocka_unit_test(removal_is_by_object_or_by_key),
	    cmocka_unit_test(a_request_finds_the_variant_that_is_for_it),
	    cmocka_unit_test(of_too_many_variants_the_oldest_goes),
	    cmocka_unit_test(what_hangs_on_an_object_leaves_with_it),
	    cmocka_unit_test(
		the_place_of_an_object_passes_to_its_clone_and_readers_keep_the_old_one),
	    cmocka_unit_test(what_left_the_store_does_not_come_back_as_a_clone),
	    cmocka_unit_test(what_is_not_bounded_is_not_listed),
	    cmocka_unit_test(a_million_puts_of_any_size_stay_within_the_limit),
	    cmocka_unit_test(a_shift_to_large_bodies_does_not_evict_everything),
	    cmocka_unit_test(a_shift_to_small_bodies_works_as_well),
	    cmocka_unit_test(the_smallest_cache_works),
	    cmocka_unit_test(an_object_larger_than_the_cache_fails_and_harms_no_more),
	    cmocka_unit_test(memory_in_use_by_readers_makes_a_put_fail_cleanly),
	    cmocka_unit_test(the_bound_can_be_moved),
	    cmocka_unit_test(room_is_made_when_asked_for),
	    cmocka_unit_test(the_index_grows_and_shrinks_with_the_objects),
	    cmocka_unit_test(a_walk_misses_nothing_that_was_there),
	    cmocka_unit_test(a_walk_that_empties_the_store_misses_nothing),
	    cmocka_unit_test(a_sweep_takes_out_what_was_purged),
	    cmocka_unit_test(what_is_asked_for_often_survives_a_scan),
	    cmocka_unit_test(what_is_asked_for_often_survives_a_scan_of_all_sizes),
	    cmocka_unit_test(what_is_still_asked_for_stays_in_the_main_queue),
	    cmocka_unit_test(what_comes_back_soon_after_eviction_stays),
	    cmocka_unit_test(workers_share_the_store),
	};

	return cmocka_run_group_tests_name("cache/store", tests, NULL, NULL);
}
