/* LINK: policy/recompress policy/press policy/codec policy/codecpool policy/codec_gzip policy/codec_br policy/codec_zstd cache/store cache/store_room cache/store_shard cache/store_walk cache/index cache/object cache/body cache/slab cache/purgelog cache/key http/vary http/negotiate http/head http/fields base/buf base/clock_test base/hash base/log base/mem base/thread */
#include "policy/recompress.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/clock.h"
#include "cache/slab.h"
#include "policy/codec.h"
#include "steered_clock.h"

#define MIB ((size_t)1 << 20)
#define TEXT_BYTES 30000

static const struct recompress_rules eager = {
    .is_on = true, .hits_least = 2, .share_percent = 100, .max_bytes = 1 << 20};

/* --- what is worth doing --- */

static uint64_t
worth_of(uint32_t hits, int64_t kept_ms, int64_t left_ms, size_t coded_bytes)
{
	struct recompress_rules r = {.hits_least = 32};
	struct recompress_view v = {hits, kept_ms, left_ms, coded_bytes};

	return recompress_worth(&r, &v);
}

static void
it_is_worth_it_for_what_was_asked_for_often_and_will_be(void **state)
{
	assert_int_equal(worth_of(31, 10000, 600000, 5000), 0);
	assert_true(worth_of(32, 10000, 600000, 5000) > 0);
	assert_int_equal(worth_of(32, 10000, 9000, 5000), 0); /* 28 more to come */
	assert_int_equal(worth_of(1000, 10000, 0, 5000), 0);
	assert_int_equal(worth_of(1000, 10000, -5000, 5000), 0);
	assert_int_equal(worth_of(1000, 10000, 10000, 1023), 0); /* one packet, or one packet */
	assert_int_equal(worth_of(32, 0, 999, 5000), 0); /* a burst within the first second */
	assert_true(worth_of(200, 0, 1000, 5000) > 0);
}

static void
the_more_often_and_the_longer_the_sooner(void **state)
{
	assert_true(worth_of(200, 1000, 60000, 5000) > worth_of(100, 1000, 60000, 5000));
	assert_true(worth_of(100, 1000, 60000, 6000) > worth_of(100, 1000, 60000, 5000));
	assert_true(worth_of(100, 1000, 60000, 5000) > worth_of(100, 2000, 60000, 5000));
	assert_true(
	    worth_of(UINT32_MAX, 1, INT64_MAX, 16 * MIB) >= worth_of(100, 1, INT64_MAX, 16 * MIB));
}

/* --- with a store --- */

struct scene {
	struct store *store;
	struct purgelog *log;
	struct recompress *again;
};

static struct scene
begin(const struct recompress_rules *rules)
{
	struct scene s = {.store = store_new(16 * MIB), .log = purgelog_new()};

	s.again = recompress_new(s.store, s.log);
	recompress_rule(s.again, rules);
	return s;
}

static void
end(struct scene *s)
{
	recompress_free(&s->again);
	store_free(&s->store);
	purgelog_free(&s->log);
}

static struct cache_key
key_of(unsigned n, char text[40])
{
	return cache_key_of(slice_of(text, (size_t)snprintf(text, 40, "http://a.test/%u", n)));
}

static void
fill(char *text, size_t n)
{
	uint32_t dice = 7;

	for (size_t i = 0; i < n; i++) {
		if (i % 6 == 0)
			dice = dice * 1664525 + 1013904223;
		text[i] = (char)('a' + ((dice >> 24) * 7919 >> i % 6 * 2) % 16);
	}
}

static struct body *
coded_body(struct scene *s, enum encoding coding, int level)
{
	struct codec_pool *pool = codec_pool_new(0, SIZE_MAX);
	struct codec_options o = {
	    .coding = coding, .level = level, .size_hint = CODEC_SIZE_UNKNOWN};
	struct codec *c = codec_new_encoder(pool, &o);
	static char text[TEXT_BYTES], out[TEXT_BYTES];
	struct slice in = slice_of(text, TEXT_BYTES);
	struct body *b;
	size_t n;

	fill(text, TEXT_BYTES);
	assert_int_equal(codec_run(c, &in, out, sizeof(out), &n, CODEC_FINISH), CODEC_DONE);
	codec_free(&c);
	codec_pool_free(&pool);
	b = body_of(store_slab(s->store), slice_of(out, n));
	assert_non_null(b);
	return b;
}

/* A stored page with a variant of that level; hits: how often it answered. With a reference. */
static struct object *
page(struct scene *s, unsigned number, enum encoding coding, int level, uint32_t hits)
{
	char name[40];
	struct cache_key key = key_of(number, name);
	static char text[TEXT_BYTES];
	struct object_parts parts = {.hash = key.hash,
	    .key = key.text,
	    .head = SLICE_LIT("HTTP/1.1 200 OK\r\n\r\n"),
	    .facts = {.life_ms = 3600000, .status = 200}};
	struct body *coded = coded_body(s, coding, level);
	struct object *o;

	fill(text, TEXT_BYTES);
	parts.facts.born_ms = clock_mono_ms();
	parts.facts.log_pos = purgelog_head(s->log);
	parts.body = body_of(store_slab(s->store), slice_of(text, TEXT_BYTES));
	o = object_new(store_slab(s->store), &parts);
	body_unref(&parts.body);
	atomic_store(&o->hit_count, hits);
	assert_true(store_put(s->store, o));
	assert_int_equal(store_add_variant(s->store, o, (uint8_t)coding, &coded), 0);
	recompress_note(s->again, o);
	return o;
}

static struct object *
found(struct scene *s, unsigned number)
{
	char name[40];
	struct cache_key key = key_of(number, name);

	return store_find(s->store, &key, NULL, NULL);
}

static uint64_t
all_done(struct scene *s)
{
	struct recompress_counts c = recompress_counts(s->again);
	uint64_t n = 0;

	for (unsigned i = 0; i < ENC_KNOWN; i++)
		n += c.done[i];
	return n;
}

static uint64_t
all_dropped(struct scene *s)
{
	struct recompress_counts c = recompress_counts(s->again);
	uint64_t n = 0;

	for (unsigned i = 0; i < RECOMPRESS_DROP_COUNT; i++)
		n += c.dropped[i];
	return n;
}

static void
what_is_hot_gives_its_place_to_a_smaller_clone(void **state)
{
	static const enum encoding codings[] = {ENC_GZIP, ENC_BR, ENC_ZSTD};
	struct scene s = begin(&eager);
	uint64_t saved = 0;

	for (unsigned i = 0; i < 3; i++) {
		struct object *o = page(&s, i, codings[i], 1, 1000), *now;
		uint64_t before = body_length(object_find_variant(o, codings[i])->body);

		while (all_done(&s) <= i)
			usleep(1000);
		now = found(&s, i);
		assert_ptr_not_equal(now, o);
		assert_ptr_equal(now->body, o->body);
		assert_int_equal(now->hit_count, 1000);
		assert_true(body_length(object_find_variant(now, codings[i])->body) < before);
		assert_int_equal(object_find_variant(now, codings[i])->effort, VARIANT_STRONGEST);
		assert_int_equal(body_length(object_find_variant(o, codings[i])->body), before);
		saved += before - body_length(object_find_variant(now, codings[i])->body);
		object_unref(&now);
		object_unref(&o);
	}
	assert_int_equal(recompress_counts(s.again).saved_bytes, saved);
	assert_true(recompress_counts(s.again).cpu_seconds > 0);
	assert_int_equal(store_usage(s.store).objects, 3);
	end(&s);
}

static void
what_comes_out_no_smaller_is_not_tried_again(void **state)
{
	struct scene s = begin(&eager);
	struct object *o = page(&s, 1, ENC_GZIP, 9, 1000), *now, *next;

	while (all_dropped(&s) == 0)
		usleep(1000);
	assert_int_equal(recompress_counts(s.again).dropped[RECOMPRESS_DROP_larger], 1);
	now = found(&s, 1);
	assert_ptr_equal(now, o);
	assert_int_equal(object_find_variant(o, ENC_GZIP)->effort, VARIANT_STRONGEST);
	recompress_note(s.again, o);
	next = page(&s, 2, ENC_BR, 1, 100); /* worth less, and it has its turn */
	while (all_done(&s) == 0 && all_dropped(&s) == 1)
		usleep(1000);
	assert_int_equal(all_dropped(&s), 1);
	object_unref(&next);
	object_unref(&now);
	object_unref(&o);
	end(&s);
}

static void
what_left_the_store_is_forgotten_and_what_is_cold_left_alone(void **state)
{
	struct scene s = begin(&eager);
	struct object *cold = page(&s, 1, ENC_BR, 1, 1), *gone = page(&s, 2, ENC_BR, 1, 1000), *hot;

	store_remove(s.store, gone);
	object_unref(&gone);
	hot = page(&s, 3, ENC_BR, 1, 1000);
	while (all_done(&s) == 0)
		usleep(1000);
	assert_int_equal(all_done(&s), 1);
	assert_int_equal(object_find_variant(cold, ENC_BR)->effort, VARIANT_STREAMED);
	object_unref(&cold);
	object_unref(&hot);
	end(&s);
}

/* Whatever the press is at, and whenever: nothing is left in the store but what is listed. */
static void
purges_and_stops_in_the_middle_leave_nothing_behind(void **state)
{
	for (unsigned round = 0; round < 5; round++) {
		struct scene s = begin(&eager);

		for (unsigned i = 0; i < 5; i++) {
			struct object *o = page(&s, i, ENC_BR, 1, 1000);

			if (i == round % 5)
				while (all_done(&s) + all_dropped(&s) == 0)
					usleep(100);
			store_remove(s.store, o);
			object_unref(&o);
			o = page(&s, i, ENC_BR, 1, 1000);
			object_unref(&o);
		}
		recompress_stop(s.again);
		for (unsigned i = 0; i < 5; i++) {
			struct object *o = found(&s, i);

			assert_non_null(o);
			store_remove(s.store, o);
			object_unref(&o);
		}
		assert_int_equal(slab_usage(store_slab(s.store)).used_bytes, 0);
		end(&s);
	}
}

static void
who_is_off_notes_nothing_and_has_no_thread(void **state)
{
	struct recompress_rules off = {.is_on = false};
	struct scene s = begin(&off);
	struct object *o = page(&s, 1, ENC_BR, 1, 1000), *other;

	recompress_rule(s.again, &eager);
	other = page(&s, 2, ENC_BR, 1, 1000);
	while (all_done(&s) == 0)
		usleep(1000);
	assert_int_equal(object_find_variant(o, ENC_BR)->effort, VARIANT_STREAMED);
	object_unref(&o);
	object_unref(&other);
	end(&s);
}

static void
of_more_than_there_is_room_for_the_last_are_looked_at(void **state)
{
	struct recompress_rules cold = eager;
	struct scene s;
	struct object *o;

	cold.hits_least = 1000000;
	s = begin(&cold);
	o = page(&s, 1, ENC_BR, 1, 1000);
	for (unsigned i = 0; i < 20000; i++)
		recompress_note(s.again, o);
	assert_int_equal(
	    recompress_counts(s.again).dropped[RECOMPRESS_DROP_crowded], 20001 - 16384);
	recompress_rule(s.again, &eager);
	while (all_done(&s) == 0)
		usleep(1000);
	object_unref(&o);
	end(&s);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(it_is_worth_it_for_what_was_asked_for_often_and_will_be),
	    cmocka_unit_test(the_more_often_and_the_longer_the_sooner),
	    cmocka_unit_test(what_is_hot_gives_its_place_to_a_smaller_clone),
	    cmocka_unit_test(what_comes_out_no_smaller_is_not_tried_again),
	    cmocka_unit_test(what_left_the_store_is_forgotten_and_what_is_cold_left_alone),
	    cmocka_unit_test(purges_and_stops_in_the_middle_leave_nothing_behind),
	    cmocka_unit_test(who_is_off_notes_nothing_and_has_no_thread),
	    cmocka_unit_test(of_more_than_there_is_room_for_the_last_are_looked_at),
	};

	begin_steered();
	return cmocka_run_group_tests(tests, NULL, NULL);
}
