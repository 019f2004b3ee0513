/* LINK: cache/l2value cache/l2value_read cache/l2wire cache/object cache/body cache/slab http/negotiate http/head http/fields base/buf base/mem base/hash base/clock base/log */
#include "cache/l2value.h"

#include <brotli/encode.h>
#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>

#include "cache/slab.h"
#include "l2_cast.h"

#define BOOT_MS 5000000		/* the monotonic clock here, */
#define NOON_MS 1785585600000ll /* when the wall clock says so */
#define BIG_BYTES 200000

static const struct l2_clocks here = {BOOT_MS, NOON_MS};
/* Another machine a second later, booted at another time. */
static const struct l2_clocks there = {77000, NOON_MS + 1000};
static const struct l2_stamp stamp = {.epoch = 7, .seq = 1785585600000123};
static const struct l2_seal unsigned_seal;
static const struct l2_seal secret = {"rosebud", 7}, other_secret = {"rosebub", 7};
static const struct slice key = {"http://example.org/a?b", 22};

static struct buf
written(struct slice body, const struct l2_seal *seal)
{
	struct object *o = response_of(key, SLICE_NONE, body, BOOT_MS);
	struct buf b;

	assert_int_equal(l2_value_write(o, &here, &stamp, seal, &b), 0);
	object_unref(&o);
	return b;
}

static struct object *
object_of(const struct l2_value *v, uint64_t hash, struct slab *slab)
{
	struct body *body = l2_value_body(v, slab);
	struct object *o = body == NULL ? NULL : l2_value_object(v, body, hash, slab);

	body_unref(&body);
	return o;
}

static enum l2_flaw
read_there(const struct buf *b, const struct l2_seal *seal, struct l2_value *v)
{
	return l2_value_read(buf_slice(b), &there, seal, v);
}

static void
assert_same_body(const struct l2_value *v, struct slice body)
{
	struct object *o = object_of(v, 1, NULL);
	char *got = malloc(body.n + 1);

	assert_non_null(o);
	assert_int_equal(body_length(o->body), body.n);
	assert_true(slice_eq(body_text(o, got, body.n), body));
	assert_int_equal(body_state(o->body), BODY_WHOLE);
	free(got);
	object_unref(&o);
}

static void
a_response_comes_back_as_it_was_on_another_machine(void **state)
{
	struct buf b = written(SLICE_LIT("hello"), &unsigned_seal);
	struct l2_value v;
	struct object *o;

	assert_int_equal(read_there(&b, &unsigned_seal, &v), L2_FLAW_none);
	assert_int_equal(v.stamp.epoch, 7);
	assert_int_equal(v.stamp.seq, 1785585600000123);
	assert_false(v.is_index);
	o = object_of(&v, 4711, NULL);
	assert_true(slice_eq(object_key(o), key));
	assert_int_equal(object_tags(o).n, 16);
	assert_memory_equal(object_tags(o).p, "products\0user:7", 16);
	assert_true(slice_starts(object_head(o), SLICE_LIT("HTTP/1.1 200 OK\r\n")));
	assert_true(slice_eq(object_etag(o), SLICE_LIT("\"abc\"")));
	/* half a second old when it came, one second there, one second on the way */
	assert_int_equal(object_age_ms(o, there.mono_ms), 2500);
	assert_int_equal(o->facts.life_ms, MINUTE_MS);
	assert_int_equal(o->facts.swr_ms, 2000);
	assert_int_equal(object_facts(o).slide_ms, 0);
	assert_int_equal(o->facts.fetch_ms, 350);
	assert_int_equal(o->facts.sie_ms, 3000);
	assert_int_equal(o->facts.date_s, 784111777);
	assert_int_equal(o->facts.modified_s, DATE_NONE);
	assert_int_equal(o->facts.log_pos, 99);
	assert_int_equal(o->facts.status, 200);
	assert_int_equal(o->facts.encoding, ENC_IDENTITY);
	assert_true(o->facts.is_text && o->facts.life_by_route && o->facts.immutable);
	assert_false(o->facts.no_cache || o->facts.no_stale || o->facts.no_transform);
	assert_same_body(&v, SLICE_LIT("hello"));
	object_unref(&o);
	buf_fini(&b);
}

static void
text_is_packed_where_that_saves_room(void **state)
{
	char *packs = text_of(BIG_BYTES, true), *does_not = text_of(BIG_BYTES, false);
	struct buf a = written(slice_of(packs, BIG_BYTES), &unsigned_seal);
	struct buf b = written(slice_of(does_not, BIG_BYTES), &unsigned_seal);
	struct l2_value v;

	assert_true(a.n < BIG_BYTES / 50);
	assert_int_equal(read_there(&a, &unsigned_seal, &v), L2_FLAW_none);
	assert_true(v.is_packed);
	assert_same_body(&v, slice_of(packs, BIG_BYTES));
	assert_true(b.n > BIG_BYTES);
	assert_int_equal(read_there(&b, &unsigned_seal, &v), L2_FLAW_none);
	assert_false(v.is_packed);
	assert_same_body(&v, slice_of(does_not, BIG_BYTES));
	buf_fini(&a);
	buf_fini(&b);
	free(packs);
	free(does_not);
}

static void
every_size_of_text_comes_back(void **state)
{
	char *text = text_of(L2_BODY_MOST_BYTES + 1, true);
	static const size_t sizes[] = {0, 1, L2_PACK_LEAST_BYTES - 1, L2_PACK_LEAST_BYTES, 4096,
	    65535, 65536, 65537, 1 << 20, L2_BODY_MOST_BYTES, L2_BODY_MOST_BYTES + 1};

	for (size_t i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++) {
		struct buf b = written(slice_of(text, sizes[i]), &secret);
		struct l2_value v;

		assert_int_equal(read_there(&b, &secret, &v), L2_FLAW_none);
		assert_int_equal(
		    v.is_packed, sizes[i] >= L2_PACK_LEAST_BYTES && sizes[i] <= L2_BODY_MOST_BYTES);
		assert_same_body(&v, slice_of(text, sizes[i]));
		buf_fini(&b);
	}
	free(text);
}

static void
a_body_packed_already_is_stored_as_it_is(void **state)
{
	char *text = text_of(BIG_BYTES, true), *packed = malloc(BIG_BYTES);
	size_t packed_bytes = BIG_BYTES;
	struct object *o = response_of(key, SLICE_NONE, slice_of(text, BIG_BYTES), BOOT_MS);
	struct body *variant;
	struct l2_value v;
	struct buf b;

	assert_true(BrotliEncoderCompress(
	    9, 22, BROTLI_MODE_TEXT, BIG_BYTES, (uint8_t *)text, &packed_bytes, (uint8_t *)packed));
	variant = body_of(NULL, slice_of(packed, packed_bytes));
	assert_int_equal(object_add_variant(o, ENC_BR, &variant), 0);
	assert_int_equal(l2_value_write(o, &here, &stamp, &unsigned_seal, &b), 0);
	assert_int_equal(read_there(&b, &unsigned_seal, &v), L2_FLAW_none);
	assert_true(v.is_packed);
	assert_true(slice_eq(v.body, slice_of(packed, packed_bytes)));
	assert_same_body(&v, slice_of(text, BIG_BYTES));
	object_unref(&o);
	buf_fini(&b);
	free(text);
	free(packed);
}

static void
what_reading_costs_is_seen_before_it_is_read(void **state)
{
	char *text = text_of(BIG_BYTES, true);
	struct buf b = written(slice_of(text, BIG_BYTES), &unsigned_seal);

	assert_true(b.n < BIG_BYTES / 50 && b.cap < BIG_BYTES / 10);
	assert_int_equal(l2_value_work_bytes(buf_slice(&b)), BIG_BYTES);
	assert_int_equal(l2_value_work_bytes(slice_of(b.p, 20)), 20);
	memset(b.p, 0xff, 200); /* it says that there are 16 EiB */
	assert_int_equal(l2_value_work_bytes(buf_slice(&b)), b.n);
	buf_fini(&b);
	free(text);
}

static void
what_comes_back_lies_in_the_cache_s_own_memory(void **state)
{
	struct slab *slab = slab_new(16 << 20);
	char *text = text_of(BIG_BYTES, true);
	struct buf b = written(slice_of(text, BIG_BYTES), &unsigned_seal);
	struct l2_value v;
	struct object *o;

	assert_int_equal(read_there(&b, &unsigned_seal, &v), L2_FLAW_none);
	o = object_of(&v, 1, slab);
	assert_true(slab_usage(slab).used_bytes > BIG_BYTES);
	object_unref(&o);
	assert_int_equal(slab_usage(slab).used_bytes, 0);
	slab_free_all(&slab);
	free(text);
	buf_fini(&b);
}

static void
without_memory_there_is_no_object_and_no_leak(void **state)
{
	struct slab *slab = slab_new(2 * SLAB_PAGE_BYTES);
	char *text = text_of(BIG_BYTES, false);
	struct buf b = written(slice_of(text, BIG_BYTES), &unsigned_seal);
	struct l2_value v;

	assert_int_equal(read_there(&b, &unsigned_seal, &v), L2_FLAW_none);
	assert_null(object_of(&v, 1, slab));
	assert_int_equal(slab_usage(slab).used_bytes, 0);
	slab_free_all(&slab);
	free(text);
	buf_fini(&b);
}

static void
a_single_changed_bit_anywhere_is_found(void **state)
{
	const struct l2_seal *seals[] = {&unsigned_seal, &secret};

	for (int s = 0; s < 2; s++) {
		struct buf b = written(SLICE_LIT("some body"), seals[s]);
		struct l2_value v;

		for (size_t bit = 0; bit < b.n * 8; bit++) {
			b.p[bit / 8] ^= (char)(1 << bit % 8);
			assert_int_not_equal(read_there(&b, seals[s], &v), L2_FLAW_none);
			b.p[bit / 8] ^= (char)(1 << bit % 8);
		}
		assert_int_equal(read_there(&b, seals[s], &v), L2_FLAW_none);
		buf_fini(&b);
	}
}

static void
a_value_cut_short_or_grown_is_refused(void **state)
{
	struct buf b = written(SLICE_LIT("some body"), &unsigned_seal);
	size_t whole = b.n;
	struct l2_value v;

	for (b.n = 0; b.n < whole; b.n++)
		assert_int_not_equal(read_there(&b, &unsigned_seal, &v), L2_FLAW_none);
	buf_add_char(&b, 'x');
	assert_int_not_equal(read_there(&b, &unsigned_seal, &v), L2_FLAW_none);
	buf_fini(&b);
}

static void
a_value_without_our_secret_is_refused(void **state)
{
	struct buf plain = written(SLICE_LIT("x"), &unsigned_seal);
	struct buf other = written(SLICE_LIT("x"), &other_secret);
	struct l2_value v;

	assert_int_equal(read_there(&plain, &secret, &v), L2_FLAW_unsealed);
	assert_int_equal(read_there(&other, &secret, &v), L2_FLAW_seal);
	assert_int_equal(read_there(&other, &unsigned_seal, &v), L2_FLAW_unsealed);
	buf_fini(&plain);
	buf_fini(&other);
}

static void
a_value_is_of_use_until_its_stale_windows_end(void **state)
{
	struct buf b = written(SLICE_LIT("x"), &unsigned_seal);
	/* 60 s of life, 1.5 s of it gone, and 3 s stale */
	struct l2_clocks last = {1, NOON_MS + 61499}, over = {1, NOON_MS + 61500};
	struct l2_value v;

	assert_int_equal(l2_value_read(buf_slice(&b), &last, &unsigned_seal, &v), L2_FLAW_none);
	assert_int_equal(l2_value_read(buf_slice(&b), &over, &unsigned_seal, &v), L2_FLAW_expired);
	buf_fini(&b);
}

static void
a_value_from_the_future_is_refused_but_for_the_skew_of_clocks(void **state)
{
	struct buf b = written(SLICE_LIT("x"), &unsigned_seal);
	struct l2_clocks near = {BOOT_MS, NOON_MS - L2_SKEW_MS}, far = {BOOT_MS, NOON_MS - 60000};
	struct l2_value v;

	assert_int_equal(l2_value_read(buf_slice(&b), &near, &unsigned_seal, &v), L2_FLAW_none);
	assert_int_equal(v.facts.born_ms, BOOT_MS); /* never younger than what it was born with */
	assert_int_equal(l2_value_read(buf_slice(&b), &far, &unsigned_seal, &v), L2_FLAW_skewed);
	buf_fini(&b);
}

static void
a_response_that_must_not_be_stale_ends_with_its_life(void **state)
{
	struct object *o = response_of(key, SLICE_NONE, SLICE_LIT("x"), BOOT_MS);

	assert_int_equal(l2_value_life_ms(o, BOOT_MS), MINUTE_MS - 1500 + 3000);
	o->facts.no_stale = true;
	assert_int_equal(l2_value_life_ms(o, BOOT_MS), MINUTE_MS - 1500);
	assert_int_equal(l2_value_life_ms(o, BOOT_MS + MINUTE_MS), 0);
	object_unref(&o);
}

static struct object *
sliding_of(struct object *plain, uint32_t slide_ms)
{
	struct object_facts facts = object_facts(plain);

	facts.slide_ms = slide_ms;
	return object_new(NULL,
	    &(struct object_parts){.hash = plain->hash,
		.key = object_key(plain),
		.head = object_head(plain),
		.facts = facts,
		.body = plain->body});
}

/* Nothing tells there when it was last used: that it is there says that it is fresh. */
static void
a_sliding_life_comes_back_and_has_no_stale_window(void **state)
{
	struct object *plain = response_of(key, SLICE_NONE, SLICE_LIT("x"), BOOT_MS);
	struct object *o = sliding_of(plain, 20000), *back;
	struct l2_value v;
	struct buf b;

	assert_int_equal(l2_value_life_ms(o, BOOT_MS), 20000 - 1000);
	assert_int_equal(l2_value_write(o, &here, &stamp, &unsigned_seal, &b), 0);
	assert_int_equal(read_there(&b, &unsigned_seal, &v), L2_FLAW_none);
	back = object_of(&v, 1, NULL);
	assert_int_equal(object_facts(back).slide_ms, 20000);
	assert_true(object_slide(o, BOOT_MS + 15000));
	assert_int_equal(l2_value_life_ms(o, BOOT_MS + 15000), 20000);
	assert_int_equal(l2_value_life_ms(o, BOOT_MS + 35000), 0);
	buf_fini(&b);
	object_unref(&back);
	object_unref(&o);
	object_unref(&plain);
}

static void
a_body_that_is_not_whole_is_not_written(void **state)
{
	struct object *o = response_of(key, SLICE_NONE, SLICE_LIT("x"), BOOT_MS);
	struct buf b;

	body_unref(&o->body);
	o->body = body_new(NULL, 10);
	assert_int_equal(l2_value_write(o, &here, &stamp, &unsigned_seal, &b), -1);
	body_append(o->body, SLICE_LIT("half"));
	body_end(o->body, BODY_BROKEN);
	assert_int_equal(l2_value_write(o, &here, &stamp, &unsigned_seal, &b), -1);
	object_unref(&o);
}

/* Whoever can write to Redis can make a checksum. */
static void
a_head_that_is_not_canonical_is_refused(void **state)
{
	static const char *const bad[] = {"", "\r\n\r\n", "HTTP/1.1 200 OK\r\n",
	    "HTTP/1.1 404 OK\r\n\r\n", "HTTP/1.1 200 OK\r\nA: b\nC: d\r\n\r\n",
	    "HTTP/1.1 200 OK\r\nA : b\r\n\r\n", "HTTP/1.1 200 OK\r\n: b\r\n\r\n",
	    "HTTP/1.1 200 OK\r\nAb\r\n\r\n", "HTTP/1.1 200 OK\r\nA: b\r\n\r\nX: y\r\n\r\n",
	    "HTTP/1.1 200 OK\r\nA: \x01\r\n\r\n", "HTTP/1.1 200 OK\r\n A: b\r\n\r\n",
	    "HTTP/1.1 200 O\nK\r\n\r\n", "HTTP/1.1 200 OK\r\nA: b\rc\r\n\r\n"};

	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		struct object_parts parts = {.key = key,
		    .head = slice_from(bad[i]),
		    .facts = {.born_ms = BOOT_MS, .life_ms = MINUTE_MS, .status = 200}};
		struct object *o = object_new(NULL, &parts);
		struct l2_value v;
		struct buf b;

		assert_int_equal(l2_value_write(o, &here, &stamp, &unsigned_seal, &b), 0);
		assert_int_equal(read_there(&b, &unsigned_seal, &v), L2_FLAW_head);
		buf_fini(&b);
		object_unref(&o);
	}
}

static void
an_index_names_the_fields_that_responses_vary_on(void **state)
{
	struct slice vary = SLICE_LIT("accept-encoding\1br,gzip\naccept-language\2\n");
	struct l2_value v;
	struct buf b;

	assert_int_equal(l2_index_write(key, vary, &here, &secret, &b), 0);
	assert_int_equal(read_there(&b, &secret, &v), L2_FLAW_none);
	assert_true(v.is_index);
	assert_true(slice_eq(v.key, key));
	assert_true(slice_eq(v.vary, SLICE_LIT("accept-encoding,accept-language")));
	buf_fini(&b);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(a_response_comes_back_as_it_was_on_another_machine),
	    cmocka_unit_test(text_is_packed_where_that_saves_room),
	    cmocka_unit_test(every_size_of_text_comes_back),
	    cmocka_unit_test(a_body_packed_already_is_stored_as_it_is),
	    cmocka_unit_test(what_reading_costs_is_seen_before_it_is_read),
	    cmocka_unit_test(what_comes_back_lies_in_the_cache_s_own_memory),
	    cmocka_unit_test(without_memory_there_is_no_object_and_no_leak),
	    cmocka_unit_test(a_single_changed_bit_anywhere_is_found),
	    cmocka_unit_test(a_value_cut_short_or_grown_is_refused),
	    cmocka_unit_test(a_value_without_our_secret_is_refused),
	    cmocka_unit_test(a_value_is_of_use_until_its_stale_windows_end),
	    cmocka_unit_test(a_value_from_the_future_is_refused_but_for_the_skew_of_clocks),
	    cmocka_unit_test(a_response_that_must_not_be_stale_ends_with_its_life),
	    cmocka_unit_test(a_sliding_life_comes_back_and_has_no_stale_window),
	    cmocka_unit_test(a_body_that_is_not_whole_is_not_written),
	    cmocka_unit_test(a_head_that_is_not_canonical_is_refused),
	    cmocka_unit_test(an_index_names_the_fields_that_responses_vary_on),
	};

	return cmocka_run_group_tests_name("cache/l2value", tests, NULL, NULL);
}
