/* policy/codec_gzip.c - gzip (RFC 1952), by zlib. */
#include "policy/codec.h"

#include <limits.h>
#include <zlib.h>

#include "policy/codec_priv.h"

#define WINDOW_BITS_MAX 15
#define WINDOW_BITS_MIN 9
#define WINDOW_BITS_LONG_LIVED 12
#define AS_GZIP 16 /* added to the window bits: gzip's header and trailer */

static void *
zlib_take(void *pool, unsigned count, unsigned each)
{
	return codec_pool_take(pool, (size_t)count * each);
}

static void
zlib_give(void *pool, void *block)
{
	codec_pool_give(pool, block);
}

static z_stream *
zlib_stream_new(struct codec *c)
{
	z_stream *z = codec_pool_take(c->pool, sizeof(*z));

	if (z != NULL)
		*z = (z_stream){.zalloc = zlib_take, .zfree = zlib_give, .opaque = c->pool};
	return z;
}

/* The smallest window that sees the whole body at once, up to the largest there is. */
static int
window_bits(const struct codec_options *o)
{
	int most = o->is_long_lived ? WINDOW_BITS_LONG_LIVED : WINDOW_BITS_MAX;
	int bits = WINDOW_BITS_MIN;

	while (bits < most && (UINT64_C(1) << bits) < o->size_hint)
		bits++;
	return bits;
}

static int
gzip_encoder_open(struct codec *c, const struct codec_options *o)
{
	z_stream *z = zlib_stream_new(c);
	int level = o->level == 0 ? CODEC_GZIP_LEVEL : o->level;
	int bits = window_bits(o);
	int mem_level = bits - 7; /* zlib's own proportion: 8 for 15 bits */

	if (z == NULL)
		return -1;
	if (deflateInit2(z, level > 9 ? 9 : level, Z_DEFLATED, bits + AS_GZIP, mem_level,
		Z_DEFAULT_STRATEGY) != Z_OK) {
		codec_pool_give(c->pool, z);
		return -1;
	}
	c->state = z;
	return 0;
}

static void
gzip_encoder_close(struct codec *c)
{
	deflateEnd(c->state);
	codec_pool_give(c->pool, c->state);
}

/* zlib counts in unsigned int: a longer slice goes in pieces. */
static unsigned
clip(size_t n)
{
	return n > UINT_MAX ? UINT_MAX : (unsigned)n;
}

static void
stream_lend(z_stream *z, struct slice in, struct slice room)
{
	z->next_in = (unsigned char *)(uintptr_t)in.p;
	z->avail_in = clip(in.n);
	z->next_out = (unsigned char *)(uintptr_t)room.p;
	z->avail_out = clip(room.n);
}

static void
stream_take_back(const z_stream *z, struct slice *in, struct slice *room)
{
	*in = slice_skip(*in, (size_t)((const char *)z->next_in - in->p));
	*room = slice_skip(*room, (size_t)((const char *)z->next_out - room->p));
}

static enum codec_result
gzip_encoder_run(struct codec *c, struct slice *in, struct slice *room, enum codec_flush flush)
{
	static const int modes[] = {
	    [CODEC_RUN] = Z_NO_FLUSH, [CODEC_FLUSH] = Z_SYNC_FLUSH, [CODEC_FINISH] = Z_FINISH};
	z_stream *z = c->state;
	int rc;

	do {
		bool is_last = in->n <= UINT_MAX;

		stream_lend(z, *in, *room);
		rc = deflate(z, is_last ? modes[flush] : Z_NO_FLUSH);
		stream_take_back(z, in, room);
		if (rc == Z_STREAM_END)
			return CODEC_DONE;
		if (rc != Z_OK && rc != Z_BUF_ERROR) /* BUF_ERROR: there was nothing to do */
			return codec_fail(c, CODEC_WHY_corrupt);
		if (room->n == 0)
			return CODEC_FULL;
	} while (in->n > 0 || flush == CODEC_FINISH);
	return CODEC_MORE;
}

static int
gzip_decoder_open(struct codec *c, const struct codec_options *o)
{
	z_stream *z = zlib_stream_new(c);

	if (z == NULL)
		return -1;
	if (inflateInit2(z, WINDOW_BITS_MAX + AS_GZIP) != Z_OK) {
		codec_pool_give(c->pool, z);
		return -1;
	}
	c->state = z;
	return 0;
}

static void
gzip_decoder_close(struct codec *c)
{
	inflateEnd(c->state);
	codec_pool_give(c->pool, c->state);
}

/* Behind a complete member: nothing may follow but another one (RFC 1952 section 2.2). */
static enum codec_result
gzip_decoder_begin_member(struct codec *c, struct slice in)
{
	if ((unsigned char)in.p[0] != 0x1f)
		return codec_fail(c, CODEC_WHY_trailing);
	c->at_end = false;
	inflateReset(c->state);
	return CODEC_MORE;
}

static enum codec_result
gzip_decoder_run(struct codec *c, struct slice *in, struct slice *room, enum codec_flush flush)
{
	z_stream *z = c->state;

	for (;;) {
		int rc;

		if (c->at_end && in->n == 0)
			return CODEC_MORE;
		if (c->at_end && gzip_decoder_begin_member(c, *in) == CODEC_BAD)
			return CODEC_BAD;
		stream_lend(z, *in, *room);
		rc = inflate(z, Z_NO_FLUSH);
		stream_take_back(z, in, room);
		c->at_end = rc == Z_STREAM_END;
		if (rc == Z_MEM_ERROR)
			return codec_fail(c, CODEC_WHY_memory);
		if (rc != Z_OK && rc != Z_STREAM_END && rc != Z_BUF_ERROR)
			return codec_fail(c, CODEC_WHY_corrupt);
		if (room->n == 0)
			return CODEC_FULL;
		if (!c->at_end && in->n == 0)
			return CODEC_MORE;
	}
}

const struct codec_library codec_gzip_encoder = {
    .open = gzip_encoder_open,
    .run = gzip_encoder_run,
    .close = gzip_encoder_close,
};
const struct codec_library codec_gzip_decoder = {
    .open = gzip_decoder_open,
    .run = gzip_decoder_run,
    .close = gzip_decoder_close,
};
