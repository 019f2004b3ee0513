#include "policy/codec.h"

#include "base/mem.h"
#include "policy/codec_priv.h"

static struct codec *
codec_new(struct codec_pool *p, const struct codec_library *lib, const struct codec_options *o)
{
	struct codec *c;

	if (codec_pool_is_full(p) || (c = codec_pool_take(p, sizeof(*c))) == NULL)
		return NULL;
	*c = (struct codec){.lib = lib, .pool = p, .limits = o->limits};
	if (lib->open(c, o) != 0) {
		codec_pool_give(p, c);
		return NULL;
	}
	return c;
}

struct codec *
codec_new_encoder(struct codec_pool *p, const struct codec_options *o)
{
	switch (o->coding) {
	case ENC_GZIP:
		return codec_new(p, &codec_gzip_encoder, o);
	case ENC_BR:
		return codec_new(p, &codec_br_encoder, o);
	case ENC_ZSTD:
		return codec_new(p, &codec_zstd_encoder, o);
	default:
		return NULL;
	}
}

struct codec *
codec_new_decoder(struct codec_pool *p, enum encoding coding, const struct codec_limits *limits)
{
	struct codec_options o = {.coding = coding, .limits = *limits};

	switch (coding) {
	case ENC_GZIP:
		return codec_new(p, &codec_gzip_decoder, &o);
	case ENC_BR:
		return codec_new(p, &codec_br_decoder, &o);
	case ENC_ZSTD:
		return codec_new(p, &codec_zstd_decoder, &o);
	default:
		return NULL;
	}
}

void
codec_free(struct codec **cp)
{
	struct codec *c = *cp;

	*cp = NULL;
	if (c == NULL)
		return;
	c->lib->close(c);
	codec_pool_give(c->pool, c);
}

static bool
is_over_limits(struct codec *c)
{
	if (c->limits.out_bytes > 0 && c->out_bytes > c->limits.out_bytes) {
		c->why = CODEC_WHY_too_long;
		return true;
	}
	if (c->limits.ratio > 0 && c->out_bytes > CODEC_RATIO_FROM_BYTES &&
	    c->out_bytes / c->limits.ratio > c->in_bytes) {
		c->why = CODEC_WHY_ratio;
		return true;
	}
	return false;
}

/* What the library said, seen together with what was asked for. */
static enum codec_result
codec_conclude(struct codec *c, enum codec_result result, enum codec_flush flush)
{
	if (is_over_limits(c))
		return CODEC_BAD;
	if (result == CODEC_BAD && c->why == CODEC_WHY_none)
		c->why = CODEC_WHY_corrupt;
	if (result == CODEC_DONE)
		c->is_done = true;
	if (result == CODEC_MORE && flush == CODEC_FLUSH)
		c->is_unflushed = false;
	if (result == CODEC_MORE && flush == CODEC_FINISH) {
		if (!c->at_end && c->in_bytes > 0)
			return codec_fail(c, CODEC_WHY_truncated);
		c->is_done = true;
		return CODEC_DONE;
	}
	return result;
}

enum codec_result
codec_run(struct codec *c, struct slice *in, char *out, size_t room, size_t *out_n,
    enum codec_flush flush)
{
	struct slice space = slice_of(out, room);
	size_t before = in->n;
	enum codec_result result;

	if (room < CODEC_ROOM_MIN)
		bug("codec_run with room for %zu bytes", room);
	if (in->p == NULL)
		in->p = ""; /* the libraries reckon with pointers */
	*out_n = 0;
	if (c->why != CODEC_WHY_none)
		return CODEC_BAD;
	if (c->is_done)
		return in->n == 0 ? CODEC_DONE : codec_fail(c, CODEC_WHY_trailing);
	if (in->n > 0)
		c->is_unflushed = true;
	else if (flush == CODEC_FLUSH && !c->is_unflushed)
		return CODEC_MORE;
	result = c->lib->run(c, in, &space, flush);
	*out_n = room - space.n;
	c->in_bytes += before - in->n;
	c->out_bytes += *out_n;
	return codec_conclude(c, result, flush);
}

enum codec_why
codec_why(const struct codec *c)
{
	return c->why;
}

const char *
codec_why_text(enum codec_why why)
{
	static const char *const texts[] = {
#define X(name, text) [CODEC_WHY_##name] = text,
	    CODEC_ENDS(X)
#undef X
	};

	return texts[why];
}

uint64_t
codec_in_bytes(const struct codec *c)
{
	return c->in_bytes;
}

uint64_t
codec_out_bytes(const struct codec *c)
{
	return c->out_bytes;
}
