/* LINK: policy/codec policy/codecpool policy/codec_gzip policy/codec_br policy/codec_zstd base/buf base/mem */
#include "policy/codec.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>

#include <cmocka.h>

#include "base/buf.h"

#define POOL_KEEP (16u << 20)
#define POOL_MAX (64u << 20)

static const enum encoding made_here[] = {ENC_GZIP, ENC_BR, ENC_ZSTD};
static const struct codec_limits no_limits;

/* Feeds bytes in pieces of in_step with room for out_step, all of it under one flush. */
static enum codec_result
feed(struct codec *c, struct slice in, size_t in_step, size_t out_step, enum codec_flush last,
    struct buf *out)
{
	enum codec_result result;
	struct slice piece;

	do {
		piece = slice_of(in.p, in.n < in_step ? in.n : in_step);
		in = slice_skip(in, piece.n);
		do {
			size_t n;

			result = codec_run(c, &piece, buf_room(out, out_step), out_step, &n,
			    in.n == 0 ? last : CODEC_RUN);
			out->n += n;
		} while (result == CODEC_FULL);
	} while (result == CODEC_MORE && in.n > 0);
	return result;
}

static struct codec *
encoder(struct codec_pool *pool, enum encoding coding)
{
	struct codec_options o = {.coding = coding, .size_hint = CODEC_SIZE_UNKNOWN};

	return codec_new_encoder(pool, &o);
}

static struct buf
encoded(struct codec_pool *pool, enum encoding coding, struct slice text)
{
	struct codec *c = encoder(pool, coding);
	struct buf out = {0};

	assert_int_equal(feed(c, text, 5000, 700, CODEC_FINISH, &out), CODEC_DONE);
	codec_free(&c);
	return out;
}

/* What a decoder makes of it; *why_out tells how it ended. */
static struct buf
decoded(struct codec_pool *pool, enum encoding coding, struct slice coded, size_t step,
    const struct codec_limits *limits, enum codec_why *why_out)
{
	struct codec *c = codec_new_decoder(pool, coding, limits);
	struct buf out = {0};
	enum codec_result result = feed(c, coded, step, 4096, CODEC_FINISH, &out);

	*why_out = codec_why(c);
	assert_int_equal(result, *why_out == CODEC_WHY_none ? CODEC_DONE : CODEC_BAD);
	codec_free(&c);
	return out;
}

static void
assert_decodes_badly(
    struct codec_pool *pool, enum encoding coding, struct slice coded, enum codec_why expected)
{
	static const size_t steps[] = {1, 7, 1 << 20};

	for (size_t i = 0; i < 3; i++) {
		enum codec_why why;
		struct buf out = decoded(pool, coding, coded, steps[i], &no_limits, &why);

		assert_int_equal(why, expected);
		buf_fini(&out);
	}
}

/* Text that compresses like a listing: deterministic, neither random nor constant. */
static struct buf
listing(size_t n)
{
	struct buf b = {0};

	buf_room(&b, 1);
	for (unsigned i = 0; b.n < n; i++)
		buf_printf(&b, "{\"id\":%u,\"name\":\"item %x\",\"price\":%u.%02u},\n", i,
		    i * 2654435761u, i * 31 % 500, i % 100);
	b.n = n;
	return b;
}

static void
what_is_encoded_decodes_to_the_same_bytes_however_it_is_cut(void **state)
{
	struct codec_pool *pool = codec_pool_new(POOL_KEEP, POOL_MAX);
	static const size_t sizes[] = {0, 1, 100, 70000, 300000};

	for (size_t i = 0; i < 3; i++)
		for (size_t k = 0; k < 5; k++)
			for (size_t step = 1; step < 400000; step *= 17) {
				struct buf text = listing(sizes[k]);
				struct buf coded = encoded(pool, made_here[i], buf_slice(&text));
				enum codec_why why;
				struct buf back = decoded(
				    pool, made_here[i], buf_slice(&coded), step, &no_limits, &why);

				assert_int_equal(why, CODEC_WHY_none);
				assert_true(slice_eq(buf_slice(&back), buf_slice(&text)));
				if (sizes[k] > 1000)
					assert_true(coded.n < text.n / 2);
				buf_fini(&back);
				buf_fini(&coded);
				buf_fini(&text);
			}
	codec_pool_free(&pool);
}

static void
every_level_makes_a_stream_that_decodes(void **state)
{
	struct codec_pool *pool = codec_pool_new(POOL_KEEP, UINT64_C(1) << 30);
	struct buf text = listing(20000);

	for (size_t i = 0; i < 3; i++)
		for (int level = 1; level <= 19; level++) {
			struct codec_options o = {.coding = made_here[i],
			    .level = level,
			    .size_hint = text.n,
			    .is_long_lived = level & 1,
			    .is_unhurried = level & 2};
			struct codec *c = codec_new_encoder(pool, &o);
			struct buf coded = {0}, back;
			enum codec_why why;

			feed(c, buf_slice(&text), text.n, 4096, CODEC_FINISH, &coded);
			codec_free(&c);
			back =
			    decoded(pool, made_here[i], buf_slice(&coded), 1000, &no_limits, &why);
			assert_true(slice_eq(buf_slice(&back), buf_slice(&text)));
			buf_fini(&back);
			buf_fini(&coded);
		}
	buf_fini(&text);
	codec_pool_free(&pool);
}

static void
an_event_can_be_read_as_soon_as_it_was_flushed(void **state)
{
	struct codec_pool *pool = codec_pool_new(POOL_KEEP, POOL_MAX);

	for (size_t i = 0; i < 3; i++) {
		struct codec_options o = {
		    .coding = made_here[i], .size_hint = CODEC_SIZE_UNKNOWN, .is_long_lived = true};
		struct codec *c = codec_new_encoder(pool, &o);
		struct codec *d = codec_new_decoder(pool, made_here[i], &no_limits);

		for (int k = 0; k < 200; k++) {
			struct buf event = {0}, coded = {0}, seen = {0};

			buf_printf(&event, "id: %d\ndata: {\"price\": %d}\n\n", k, k * 7919);
			feed(c, buf_slice(&event), event.n, CODEC_ROOM_MIN, CODEC_FLUSH, &coded);
			feed(d, buf_slice(&coded), 3, 4096, CODEC_RUN, &seen);
			assert_true(slice_eq(buf_slice(&seen), buf_slice(&event)));
			buf_fini(&event);
			buf_fini(&coded);
			buf_fini(&seen);
		}
		codec_free(&c);
		codec_free(&d);
	}
	codec_pool_free(&pool);
}

static void
a_flush_with_nothing_new_sends_nothing(void **state)
{
	struct codec_pool *pool = codec_pool_new(POOL_KEEP, POOL_MAX);

	for (size_t i = 0; i < 3; i++) {
		struct codec *c = encoder(pool, made_here[i]);
		struct buf out = {0};
		size_t once;

		feed(c, SLICE_LIT("tick"), 4, 4096, CODEC_FLUSH, &out);
		once = out.n;
		feed(c, SLICE_LIT(""), 1, 4096, CODEC_FLUSH, &out);
		assert_int_equal(out.n, once);
		buf_fini(&out);
		codec_free(&c);
	}
	codec_pool_free(&pool);
}

static void
a_body_cut_short_is_never_taken_for_whole(void **state)
{
	struct codec_pool *pool = codec_pool_new(POOL_KEEP, POOL_MAX);
	struct buf text = listing(3000);

	for (size_t i = 0; i < 3; i++) {
		struct buf coded = encoded(pool, made_here[i], buf_slice(&text));

		for (size_t n = 1; n < coded.n; n++) {
			enum codec_why why;
			struct buf out = decoded(
			    pool, made_here[i], slice_of(coded.p, n), coded.n, &no_limits, &why);

			assert_int_equal(why, CODEC_WHY_truncated);
			buf_fini(&out);
		}
		buf_fini(&coded);
	}
	buf_fini(&text);
	codec_pool_free(&pool);
}

static void
bytes_after_the_end_are_refused(void **state)
{
	struct codec_pool *pool = codec_pool_new(POOL_KEEP, POOL_MAX);

	for (size_t i = 0; i < 3; i++) {
		struct buf coded = encoded(pool, made_here[i], SLICE_LIT("whole"));

		buf_add_lit(&coded, "\0");
		assert_decodes_badly(pool, made_here[i], buf_slice(&coded), CODEC_WHY_trailing);
		buf_fini(&coded);
	}
	codec_pool_free(&pool);
}

static void
several_members_or_frames_are_one_body(void **state)
{
	static const enum encoding codings[] = {ENC_GZIP, ENC_ZSTD};
	struct codec_pool *pool = codec_pool_new(POOL_KEEP, POOL_MAX);

	for (size_t i = 0; i < 2; i++) {
		struct buf coded = encoded(pool, codings[i], SLICE_LIT("spring "));
		struct buf second = encoded(pool, codings[i], SLICE_LIT("flood"));

		buf_add_slice(&coded, buf_slice(&second));
		for (size_t step = 1; step < 100; step++) {
			enum codec_why why;
			struct buf out =
			    decoded(pool, codings[i], buf_slice(&coded), step, &no_limits, &why);

			assert_int_equal(why, CODEC_WHY_none);
			assert_true(slice_eq(buf_slice(&out), SLICE_LIT("spring flood")));
			buf_fini(&out);
		}
		assert_decodes_badly(
		    pool, codings[i], slice_of(coded.p, coded.n - 1), CODEC_WHY_truncated);
		buf_fini(&coded);
		buf_fini(&second);
	}
	codec_pool_free(&pool);
}

/* A frame's header: magic, a descriptor without flags, and the window as exponent (beyond 10) and mantissa. */
static void
no_more_than_eight_mebibytes_are_remembered_for_zstd(void **state)
{
	struct codec_pool *pool = codec_pool_new(POOL_KEEP, POOL_MAX);

	/* one raw block "x", the last */
	const char just[] = "\x28\xb5\x2f\xfd\x00\x68\x09\x00\x00x";
	const char more[] = "\x28\xb5\x2f\xfd\x00\x69\x09\x00\x00x";
	enum codec_why why;
	struct buf out =
	    decoded(pool, ENC_ZSTD, slice_of(just, sizeof(just) - 1), 100, &no_limits, &why);

	assert_int_equal(why, CODEC_WHY_none);
	assert_true(slice_eq(buf_slice(&out), SLICE_LIT("x")));
	buf_fini(&out);
	assert_decodes_badly(pool, ENC_ZSTD, slice_of(more, sizeof(more) - 1), CODEC_WHY_window);
	codec_pool_free(&pool);
}

/* The window descriptor that the frame of a long body has: nobody is asked to remember more. */
static void
zstd_asks_for_no_more_than_eight_mebibytes_either(void **state)
{
	struct codec_pool *pool = codec_pool_new(0, UINT64_C(1) << 30);
	struct codec_options o = {
	    .coding = ENC_ZSTD, .level = 19, .size_hint = UINT64_C(1) << 30, .is_unhurried = true};
	struct codec *c = codec_new_encoder(pool, &o);
	struct buf out = {0};

	assert_int_equal(feed(c, SLICE_LIT("spring"), 6, 4096, CODEC_FLUSH, &out), CODEC_MORE);
	assert_true(out.n > 6);
	assert_int_equal((unsigned char)out.p[4] & 0x20, 0); /* not a single segment */
	assert_int_equal((unsigned char)out.p[5], (23 - 10) << 3);
	buf_fini(&out);
	codec_free(&c);
	codec_pool_free(&pool);
}

static void
a_damaged_body_is_found_out(void **state)
{
	struct codec_pool *pool = codec_pool_new(POOL_KEEP, POOL_MAX);
	struct buf coded = encoded(pool, ENC_GZIP, SLICE_LIT("spring flood"));

	coded.p[coded.n - 6] ^= 1; /* the checksum */
	assert_decodes_badly(pool, ENC_GZIP, buf_slice(&coded), CODEC_WHY_corrupt);
	assert_decodes_badly(
	    pool, ENC_GZIP, SLICE_LIT("<html>not gzip at all</html>"), CODEC_WHY_corrupt);
	assert_decodes_badly(
	    pool, ENC_ZSTD, SLICE_LIT("<html>not zstd at all</html>"), CODEC_WHY_corrupt);
	assert_decodes_badly(
	    pool, ENC_BR, SLICE_LIT("\xff\xff\xff\xff\xff\xff"), CODEC_WHY_corrupt);
	buf_fini(&coded);
	codec_pool_free(&pool);
}

static void
a_bomb_is_stopped_early(void **state)
{
	struct codec_pool *pool = codec_pool_new(POOL_KEEP, POOL_MAX);
	struct buf zeros = {0};

	memset(buf_room(&zeros, 20u << 20), 0, 20u << 20);
	zeros.n = 20u << 20;
	for (size_t i = 0; i < 3; i++) {
		struct buf coded = encoded(pool, made_here[i], buf_slice(&zeros));
		struct codec_limits by_ratio = {0, 200}, by_size = {100000, 0};
		enum codec_why why;
		struct buf out;

		out = decoded(pool, made_here[i], buf_slice(&coded), 512, &by_ratio, &why);
		assert_int_equal(why, CODEC_WHY_ratio);
		assert_true(out.n < 3u << 20);
		buf_fini(&out);
		out = decoded(pool, made_here[i], buf_slice(&coded), 512, &by_size, &why);
		assert_int_equal(why, CODEC_WHY_too_long);
		assert_true(out.n < 110000);
		buf_fini(&out);
		buf_fini(&coded);
	}
	buf_fini(&zeros);
	codec_pool_free(&pool);
}

static void
a_failed_decoder_stays_failed(void **state)
{
	struct codec_pool *pool = codec_pool_new(POOL_KEEP, POOL_MAX);
	struct codec *c = codec_new_decoder(pool, ENC_GZIP, &no_limits);
	struct buf out = {0};

	assert_int_equal(feed(c, SLICE_LIT("junk"), 4, 64, CODEC_RUN, &out), CODEC_BAD);
	assert_int_equal(feed(c, SLICE_LIT(""), 4, 64, CODEC_FINISH, &out), CODEC_BAD);
	assert_int_equal(out.n, 0);
	buf_fini(&out);
	codec_free(&c);
	codec_pool_free(&pool);
}

static void
the_next_codec_is_made_from_the_memory_of_the_last(void **state)
{
	struct codec_pool *pool = codec_pool_new(POOL_KEEP, POOL_MAX);
	struct buf text = listing(100000);

	for (size_t i = 0; i < 3; i++) {
		struct buf coded = encoded(pool, made_here[i], buf_slice(&text));
		size_t kept = codec_pool_kept_bytes(pool);

		assert_true(kept > 0);
		assert_int_equal(codec_pool_live_bytes(pool), 0);
		buf_fini(&coded);
		coded = encoded(pool, made_here[i], buf_slice(&text));
		assert_int_equal(codec_pool_kept_bytes(pool), kept);
		buf_fini(&coded);
	}
	buf_fini(&text);
	codec_pool_free(&pool);
}

static void
a_block_holds_what_was_asked_for_and_not_much_more(void **state)
{
	struct codec_pool *pool = codec_pool_new(POOL_KEEP, POOL_MAX);

	for (size_t n = 1; n < 80u << 20; n += n / 7 + 1) {
		void *block = codec_pool_take(pool, n);

		memset(block, 1, n);
		assert_in_range(codec_pool_live_bytes(pool), n, n + n / 4 + 64);
		codec_pool_give(pool, block);
		assert_true(codec_pool_kept_bytes(pool) <= POOL_KEEP);
	}
	assert_null(codec_pool_take(pool, SIZE_MAX));
	codec_pool_free(&pool);
}

static void
a_full_pool_makes_no_codec_until_one_has_ended(void **state)
{
	struct codec_pool *pool = codec_pool_new(0, 1 << 20);
	struct codec *many[16], *c;
	int n = 0;

	while (n < 16 && (many[n] = encoder(pool, ENC_GZIP)) != NULL)
		n++;
	assert_in_range(n, 2, 8);
	codec_free(&many[--n]);
	assert_non_null(c = encoder(pool, ENC_GZIP));
	codec_free(&c);
	while (n > 0)
		codec_free(&many[--n]);
	assert_int_equal(codec_pool_kept_bytes(pool), 0);
	codec_pool_free(&pool);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(what_is_encoded_decodes_to_the_same_bytes_however_it_is_cut),
	    cmocka_unit_test(every_level_makes_a_stream_that_decodes),
	    cmocka_unit_test(an_event_can_be_read_as_soon_as_it_was_flushed),
	    cmocka_unit_test(a_flush_with_nothing_new_sends_nothing),
	    cmocka_unit_test(a_body_cut_short_is_never_taken_for_whole),
	    cmocka_unit_test(bytes_after_the_end_are_refused),
	    cmocka_unit_test(several_members_or_frames_are_one_body),
	    cmocka_unit_test(no_more_than_eight_mebibytes_are_remembered_for_zstd),
	    cmocka_unit_test(zstd_asks_for_no_more_than_eight_mebibytes_either),
	    cmocka_unit_test(a_damaged_body_is_found_out),
	    cmocka_unit_test(a_bomb_is_stopped_early),
	    cmocka_unit_test(a_failed_decoder_stays_failed),
	    cmocka_unit_test(the_next_codec_is_made_from_the_memory_of_the_last),
	    cmocka_unit_test(a_block_holds_what_was_asked_for_and_not_much_more),
	    cmocka_unit_test(a_full_pool_makes_no_codec_until_one_has_ended),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
