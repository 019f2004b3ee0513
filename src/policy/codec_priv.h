/* policy/codec_priv.h - what the codec of one library shares with codec.c, and with nobody else.
 *
 * The library's part is a struct of functions: open makes its state in memory of the pool, run moves
 * bytes, close gives the state back. Counting, limits, flushes with nothing to flush and calls after
 * the end are codec.c's.
 */
#ifndef POLICY_CODEC_PRIV_H
#define POLICY_CODEC_PRIV_H

#include "policy/codec.h"

struct codec_library {
	/* 0, or -1 when memory is short. */
	int (*open)(struct codec *c, const struct codec_options *o);
	enum codec_result (*run)(
	    struct codec *c, struct slice *in, struct slice *room, enum codec_flush flush);
	void (*close)(struct codec *c);
};

struct codec {
	const struct codec_library *lib;
	struct codec_pool *pool;
	void *state; /* the library's */
	struct codec_limits limits;
	uint64_t in_bytes, out_bytes;
	enum codec_why why;
	bool is_done;
	bool is_unflushed; /* encoder: input went in that no flush has completed since */
	bool at_end;	   /* decoder: a complete stream (or member) lies behind us */
};

extern const struct codec_library codec_gzip_encoder, codec_gzip_decoder;
extern const struct codec_library codec_br_encoder, codec_br_decoder;
extern const struct codec_library codec_zstd_encoder, codec_zstd_decoder;

/* Notes why and ends it. */
static inline enum codec_result
codec_fail(struct codec *c, enum codec_why why)
{
	c->why = why;
	return CODEC_BAD;
}

#endif
