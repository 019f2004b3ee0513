/* LINK: policy/codec policy/codecpool policy/codec_gzip policy/codec_br policy/codec_zstd http/negotiate http/head http/fields base/buf base/mem */
/* Any bytes as a coded body: a decoder says the same of them however they are cut, and stays within its limits; and what an
 * encoder makes of them is undone to the same bytes. The first byte chooses the coding, the second how it is cut. */
#include <stdlib.h>
#include <string.h>

#include "base/buf.h"
#include "policy/codec.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);

#define MOST_BYTES (4u << 20)

static struct codec_pool *pool;

static enum codec_result
run(struct codec *c, struct slice in, size_t step, size_t room, struct buf *out)
{
	enum codec_result result;

	do {
		struct slice piece = slice_of(in.p, in.n < step ? in.n : step);

		in = slice_skip(in, piece.n);
		do {
			size_t n;

			result = codec_run(c, &piece, buf_room(out, room), room, &n,
			    in.n == 0 ? CODEC_FINISH : CODEC_RUN);
			out->n += n;
		} while (result == CODEC_FULL);
	} while (result == CODEC_MORE && in.n > 0);
	return result;
}

static enum codec_result
undo(enum encoding coding, struct slice coded, size_t step, size_t room, struct buf *out)
{
	struct codec_limits limits = {.out_bytes = MOST_BYTES, .ratio = 200};
	struct codec *c = codec_new_decoder(pool, coding, &limits);
	enum codec_result result = run(c, coded, step, room, out);

	if (result != CODEC_DONE && result != CODEC_BAD)
		abort();
	if (out->n > MOST_BYTES + room)
		abort();
	codec_free(&c);
	return result;
}

static void
check_undone(enum encoding coding, struct slice coded, size_t step)
{
	struct buf whole = {0}, cut = {0};
	enum codec_result a = undo(coding, coded, SIZE_MAX, 65536, &whole);
	enum codec_result b = undo(coding, coded, step, CODEC_ROOM_MIN, &cut);

	if (a != b || (a == CODEC_DONE && !slice_eq(buf_slice(&whole), buf_slice(&cut))))
		abort();
	buf_fini(&whole);
	buf_fini(&cut);
}

static void
check_made(enum encoding coding, struct slice text, size_t step)
{
	struct codec_options o = {.coding = coding, .size_hint = text.n};
	struct codec *c = codec_new_encoder(pool, &o);
	struct buf coded = {0}, back = {0};

	if (run(c, text, step, 100, &coded) != CODEC_DONE)
		abort();
	codec_free(&c);
	if (undo(coding, buf_slice(&coded), step + 1, 4096, &back) != CODEC_DONE ||
	    !slice_eq(buf_slice(&back), text))
		abort();
	buf_fini(&coded);
	buf_fini(&back);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
	static const enum encoding codings[] = {ENC_GZIP, ENC_BR, ENC_ZSTD};
	enum encoding coding;
	size_t step;

	if (n < 2 || n > 60000)
		return 0;
	if (pool == NULL)
		pool = codec_pool_new(16u << 20, 256u << 20);
	coding = codings[data[0] % 3];
	step = (size_t)data[1] + 1;
	check_undone(coding, slice_of((const char *)data + 2, n - 2), step);
	check_made(coding, slice_of((const char *)data + 2, n - 2), step);
	return 0;
}
