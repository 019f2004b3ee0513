/* policy/codec_zstd.c - zstd (RFC 8878, RFC 9659), by Meta's library.
 *
 * The functions that take an allocator stand in the part of the library's header that is meant for static linking; its
 * shared library has exported them since 1.0, and without them a state would not be the pool's. */
#define ZSTD_STATIC_LINKING_ONLY
#include "policy/codec.h"

#include <limits.h>
#include <zstd.h>
#include <zstd_errors.h>

#include "policy/codec_priv.h"

/* RFC 9659: who takes zstd from the web need not remember more than 8 MiB, and we do not either. */
#define WINDOW_BITS_MAX 23
#define WINDOW_BITS_STREAMING 18
#define WINDOW_BITS_LONG_LIVED 14
#define WINDOW_BITS_MIN 10

static void *
zstd_take(void *pool, size_t n)
{
	return codec_pool_take(pool, n);
}

static void
zstd_give(void *pool, void *block)
{
	codec_pool_give(pool, block);
}

static ZSTD_customMem
memory_of(const struct codec *c)
{
	return (ZSTD_customMem){zstd_take, zstd_give, c->pool};
}

/* The smallest window that sees the whole body at once, up to what the kind of stream is worth. */
static int
window_bits(const struct codec_options *o)
{
	int most = o->is_long_lived ? WINDOW_BITS_LONG_LIVED
	    : o->is_unhurried	    ? WINDOW_BITS_MAX
				    : WINDOW_BITS_STREAMING;
	int bits = WINDOW_BITS_MIN;

	while (bits < most && (UINT64_C(1) << bits) < o->size_hint)
		bits++;
	return bits;
}

static int
zstd_encoder_open(struct codec *c, const struct codec_options *o)
{
	ZSTD_CCtx *z = ZSTD_createCCtx_advanced(memory_of(c));
	int level = o->level == 0 ? CODEC_ZSTD_LEVEL : o->level;

	if (z == NULL)
		return -1;
	ZSTD_CCtx_setParameter(z, ZSTD_c_compressionLevel, level > 19 ? 19 : level);
	if (o->size_hint <= CODEC_SHORT_BYTES || (o->is_unhurried && o->size_hint <= INT_MAX))
		ZSTD_CCtx_setParameter(z, ZSTD_c_srcSizeHint, (int)o->size_hint);
	ZSTD_CCtx_setParameter(z, ZSTD_c_windowLog, window_bits(o));
	c->state = z;
	return 0;
}

static void
zstd_encoder_close(struct codec *c)
{
	ZSTD_freeCCtx(c->state);
}

static enum codec_result
zstd_encoder_run(struct codec *c, struct slice *in, struct slice *room, enum codec_flush flush)
{
	static const ZSTD_EndDirective directives[] = {[CODEC_RUN] = ZSTD_e_continue,
	    [CODEC_FLUSH] = ZSTD_e_flush,
	    [CODEC_FINISH] = ZSTD_e_end};

	for (;;) {
		ZSTD_inBuffer from = {in->p, in->n, 0};
		ZSTD_outBuffer to = {(void *)(uintptr_t)room->p, room->n, 0};
		size_t left = ZSTD_compressStream2(c->state, &to, &from, directives[flush]);

		if (ZSTD_isError(left))
			return codec_fail(c, CODEC_WHY_memory);
		*in = slice_skip(*in, from.pos);
		*room = slice_skip(*room, to.pos);
		if (flush == CODEC_RUN && in->n == 0)
			return CODEC_MORE;
		if (flush != CODEC_RUN && left == 0)
			return flush == CODEC_FINISH ? CODEC_DONE : CODEC_MORE;
		if (room->n == 0)
			return CODEC_FULL;
	}
}

static int
zstd_decoder_open(struct codec *c, const struct codec_options *o)
{
	ZSTD_DCtx *z = ZSTD_createDCtx_advanced(memory_of(c));

	if (z == NULL)
		return -1;
	ZSTD_DCtx_setParameter(z, ZSTD_d_windowLogMax, WINDOW_BITS_MAX);
	c->state = z;
	return 0;
}

static void
zstd_decoder_close(struct codec *c)
{
	ZSTD_freeDCtx(c->state);
}

static enum codec_result
zstd_decoder_fail(struct codec *c, size_t rc)
{
	switch (ZSTD_getErrorCode(rc)) {
	case ZSTD_error_memory_allocation:
		return codec_fail(c, CODEC_WHY_memory);
	case ZSTD_error_frameParameter_windowTooLarge:
		return codec_fail(c, CODEC_WHY_window);
	default:
		return codec_fail(c, CODEC_WHY_corrupt);
	}
}

/* Behind a complete frame: nothing may follow but another one, or one to be skipped (RFC 8878 section 3.1). */
static bool
is_frame(struct slice in)
{
	unsigned char first = (unsigned char)in.p[0];

	return first == 0x28 || (first & 0xf0) == 0x50;
}

static enum codec_result
zstd_decoder_run(struct codec *c, struct slice *in, struct slice *room, enum codec_flush flush)
{
	for (;;) {
		ZSTD_inBuffer from = {in->p, in->n, 0};
		ZSTD_outBuffer to = {(void *)(uintptr_t)room->p, room->n, 0};
		size_t left;

		if (c->at_end && in->n == 0)
			return CODEC_MORE;
		if (c->at_end && !is_frame(*in))
			return codec_fail(c, CODEC_WHY_trailing);
		left = ZSTD_decompressStream(c->state, &to, &from);
		*in = slice_skip(*in, from.pos);
		*room = slice_skip(*room, to.pos);
		if (ZSTD_isError(left))
			return zstd_decoder_fail(c, left);
		c->at_end = left == 0;
		if (room->n == 0)
			return CODEC_FULL;
		if (!c->at_end && in->n == 0)
			return CODEC_MORE;
	}
}

const struct codec_library codec_zstd_encoder = {
    .open = zstd_encoder_open,
    .run = zstd_encoder_run,
    .close = zstd_encoder_close,
};
const struct codec_library codec_zstd_decoder = {
    .open = zstd_decoder_open,
    .run = zstd_decoder_run,
    .close = zstd_decoder_close,
};
