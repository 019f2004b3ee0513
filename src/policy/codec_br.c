/* policy/codec_br.c - brotli (RFC 7932), by Google's library. */
#include "policy/codec.h"

#include <brotli/decode.h>
#include <brotli/encode.h>

#include "policy/codec_priv.h"

#define WINDOW_BITS_STREAMING 18
#define WINDOW_BITS_LONG_LIVED 14
#define WINDOW_BITS_UNHURRIED 22
#define WINDOW_BITS_MIN 10
/* The library compresses a block at a time: 64 KiB bound how long one call takes. */
#define BLOCK_BITS 16

static void *
brotli_take(void *pool, size_t n)
{
	return codec_pool_take(pool, n);
}

static void
brotli_give(void *pool, void *block)
{
	codec_pool_give(pool, block);
}

/* The smallest window that sees the whole body at once, up to what the kind of stream is worth. */
static uint32_t
window_bits(const struct codec_options *o)
{
	uint32_t most = o->is_long_lived ? WINDOW_BITS_LONG_LIVED
	    : o->is_unhurried		 ? WINDOW_BITS_UNHURRIED
					 : WINDOW_BITS_STREAMING;
	uint32_t bits = WINDOW_BITS_MIN;

	while (bits < most && (UINT64_C(1) << bits) - 16 < o->size_hint)
		bits++;
	return bits;
}

static uint32_t
default_quality(const struct codec_options *o)
{
	return o->size_hint <= CODEC_SHORT_BYTES && !o->is_long_lived ? CODEC_BR_QUALITY_SHORT
								      : CODEC_BR_QUALITY;
}

static int
br_encoder_open(struct codec *c, const struct codec_options *o)
{
	uint32_t quality = o->level == 0 ? default_quality(o) : (uint32_t)o->level;
	uint32_t hint = o->size_hint > (1u << 30) ? 0 : (uint32_t)o->size_hint;
	BrotliEncoderState *s = BrotliEncoderCreateInstance(brotli_take, brotli_give, c->pool);

	if (s == NULL)
		return -1;
	BrotliEncoderSetParameter(s, BROTLI_PARAM_QUALITY, quality > 11 ? 11 : quality);
	BrotliEncoderSetParameter(s, BROTLI_PARAM_LGWIN, window_bits(o));
	if (!o->is_unhurried)
		BrotliEncoderSetParameter(s, BROTLI_PARAM_LGBLOCK, BLOCK_BITS);
	BrotliEncoderSetParameter(s, BROTLI_PARAM_MODE, BROTLI_MODE_TEXT);
	BrotliEncoderSetParameter(s, BROTLI_PARAM_SIZE_HINT, hint);
	c->state = s;
	return 0;
}

static void
br_encoder_close(struct codec *c)
{
	BrotliEncoderDestroyInstance(c->state);
}

static enum codec_result
br_encoder_run(struct codec *c, struct slice *in, struct slice *room, enum codec_flush flush)
{
	static const BrotliEncoderOperation operations[] = {[CODEC_RUN] = BROTLI_OPERATION_PROCESS,
	    [CODEC_FLUSH] = BROTLI_OPERATION_FLUSH,
	    [CODEC_FINISH] = BROTLI_OPERATION_FINISH};
	BrotliEncoderState *s = c->state;

	for (;;) {
		const uint8_t *from = (const uint8_t *)in->p;
		uint8_t *to = (uint8_t *)(uintptr_t)room->p;
		size_t left = in->n, free_bytes = room->n;

		if (!BrotliEncoderCompressStream(
			s, operations[flush], &left, &from, &free_bytes, &to, NULL))
			return codec_fail(c, CODEC_WHY_memory);
		*in = slice_of(from, left);
		*room = slice_of(to, free_bytes);
		if (BrotliEncoderIsFinished(s))
			return CODEC_DONE;
		if (free_bytes == 0 && BrotliEncoderHasMoreOutput(s))
			return CODEC_FULL;
		if (left == 0 && flush != CODEC_FINISH && !BrotliEncoderHasMoreOutput(s))
			return CODEC_MORE;
	}
}

static int
br_decoder_open(struct codec *c, const struct codec_options *o)
{
	c->state = BrotliDecoderCreateInstance(brotli_take, brotli_give, c->pool);
	return c->state == NULL ? -1 : 0;
}

static void
br_decoder_close(struct codec *c)
{
	BrotliDecoderDestroyInstance(c->state);
}

static enum codec_result
br_decoder_fail(struct codec *c)
{
	BrotliDecoderErrorCode code = BrotliDecoderGetErrorCode(c->state);
	bool is_memory = code <= BROTLI_DECODER_ERROR_ALLOC_CONTEXT_MODES &&
	    code >= BROTLI_DECODER_ERROR_ALLOC_BLOCK_TYPE_TREES;

	return codec_fail(c, is_memory ? CODEC_WHY_memory : CODEC_WHY_corrupt);
}

static enum codec_result
br_decoder_run(struct codec *c, struct slice *in, struct slice *room, enum codec_flush flush)
{
	const uint8_t *from = (const uint8_t *)in->p;
	uint8_t *to = (uint8_t *)(uintptr_t)room->p;
	size_t left = in->n, free_bytes = room->n;
	BrotliDecoderResult rc;

	if (c->at_end)
		return in->n == 0 ? CODEC_MORE : codec_fail(c, CODEC_WHY_trailing);
	rc = BrotliDecoderDecompressStream(c->state, &left, &from, &free_bytes, &to, NULL);
	*in = slice_of(from, left);
	*room = slice_of(to, free_bytes);
	switch (rc) {
	case BROTLI_DECODER_RESULT_NEEDS_MORE_INPUT:
		return CODEC_MORE;
	case BROTLI_DECODER_RESULT_NEEDS_MORE_OUTPUT:
		return CODEC_FULL;
	case BROTLI_DECODER_RESULT_SUCCESS:
		c->at_end = true;
		return left == 0 ? CODEC_MORE : codec_fail(c, CODEC_WHY_trailing);
	case BROTLI_DECODER_RESULT_ERROR:
		break;
	}
	return br_decoder_fail(c);
}

const struct codec_library codec_br_encoder = {
    .open = br_encoder_open,
    .run = br_encoder_run,
    .close = br_encoder_close,
};
const struct codec_library codec_br_decoder = {
    .open = br_decoder_open,
    .run = br_decoder_run,
    .close = br_decoder_close,
};
