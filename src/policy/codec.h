/* policy/codec.h - content codings as filters: bytes in, bytes out, no I/O (RFC 9110 section 8.4).
 *
 * An encoder or a decoder is one struct codec, fed with codec_run() as the bytes come and go. It
 * keeps at most its window and what the caller had no room for; it never allocates by the size of
 * the body.
 *
 * The state of a compressor is large (gzip 0.3 MiB, brotli 1.4 MiB at the streaming quality), so
 * all of it comes from a pool (policy/codecpool.h) that gives the blocks of finished codecs to the
 * next. A codec belongs to its pool and so to its thread.
 *
 * Nothing here may be taken for trusted: a decoder reads what an origin sent. It is strict (bytes
 * after the end, a cut stream, a wrong checksum are errors) and bounded (struct codec_limits).
 */
#ifndef POLICY_CODEC_H
#define POLICY_CODEC_H

#include "base/slice.h"
#include "http/negotiate.h"
#include "policy/codecpool.h"

struct codec;

/* What one call to codec_run() is to achieve. */
enum codec_flush {
	CODEC_RUN,    /* take input; output comes when the coding finds it worth while */
	CODEC_FLUSH,  /* as RUN, and what was put in so far can be decoded from what came out */
	CODEC_FINISH, /* no input follows: end the stream */
};

enum codec_result {
	CODEC_MORE, /* all input taken, everything asked for has come out: give more input */
	CODEC_FULL, /* the room is used up: call again with the rest, the flush no weaker */
	CODEC_DONE, /* the stream has ended as it should; only after CODEC_FINISH */
	CODEC_BAD,  /* it has failed, codec_why() says how; every further call fails too */
};

/* clang-format off */
/*   name       what the log says */
#define CODEC_ENDS(X)                                                        \
	X(none,      "no error")                                             \
	X(memory,    "no memory for the coding")                             \
	X(corrupt,   "the coded body is damaged")                            \
	X(truncated, "the coded body ends too early")                        \
	X(window,    "the coded body wants more remembered than 8 MiB")     \
	X(trailing,  "there are bytes after the end of the coded body")      \
	X(too_long,  "the result is longer than allowed")                    \
	X(ratio,     "the coded body unfolds more than allowed")
/* clang-format on */

enum codec_why {
#define X(name, text) CODEC_WHY_##name,
	CODEC_ENDS(X)
#undef X
};

/* The least room codec_run() must be given: smaller than that a flush need not come to an end. */
#define CODEC_ROOM_MIN 64
#define CODEC_SIZE_UNKNOWN UINT64_MAX
/* The ratio is judged once so much has come out: short bodies of one repeated line are common. */
#define CODEC_RATIO_FROM_BYTES (1u << 20)

struct codec_limits {
	uint64_t out_bytes; /* more output than this ends it (too_long); 0: no limit */
	uint32_t ratio;	    /* output / input beyond this ends it (ratio); 0: no limit */
};

/* How to encode. {.coding = c, .size_hint = CODEC_SIZE_UNKNOWN} gives the streaming defaults. */
struct codec_options {
	enum encoding coding; /* ENC_GZIP, ENC_BR or ENC_ZSTD */
	int level; /* gzip 1 to 9, brotli 1 to 11, zstd 1 to 19; 0: the streaming default */
	uint64_t size_hint; /* bytes that will come, or CODEC_SIZE_UNKNOWN */
	bool is_long_lived; /* event streams: a small window, since many are open at once */
	bool
	    is_unhurried; /* nobody waits, no loop is held up: the largest window the body is worth */
	struct codec_limits limits;
};

/* The levels that 0 stands for: an answer is coded while it streams, so it is made fast. Measured on 640 KB of API JSON, fed 16 KiB at a
 * time (CPU per input byte, size of the result, memory of the state, longest single call):
 *
 *   gzip 1    9 ns  36.8 %  0.3 MiB  0.3 ms       brotli 2    7 ns  31.4 %  1.4 MiB  0.3 ms
 *   gzip 5   20 ns  32.2 %  0.3 MiB  0.7 ms       brotli 3    8 ns  30.9 %  1.4 MiB  0.3 ms
 *   gzip 6   28 ns  31.8 %  0.3 MiB  1.0 ms       brotli 4   12 ns  29.8 %  3.8 MiB  2.2 ms
 *   gzip 9   69 ns  31.3 %  0.3 MiB  2.5 ms       brotli 5   22 ns  28.1 %  4.7 MiB  2.8 ms
 *
 * So brotli 3 is smaller than gzip 9 in less than half of gzip 5's time, and 4 would hold up a loop for
 * milliseconds; but for a short body of known length (2 KB: 47.3 % at 3, 43.7 % at 5, 20 and 36 us)
 * 5 is worth it. For an event stream of small events with a flush each, gzip and brotli come out
 * equal, gzip with 46 KiB of state to brotli's 385 KiB (level 3) and 873 KiB (level 4, 5). */
#define CODEC_LEVEL_STRONGEST 19 /* of any coding: more than its most is its most */
#define CODEC_GZIP_LEVEL 5
#define CODEC_ZSTD_LEVEL 3
#define CODEC_BR_QUALITY 3
#define CODEC_BR_QUALITY_SHORT 5
#define CODEC_SHORT_BYTES (16u << 10)

/* NULL when the pool is at its bound, memory is short, or the coding is none of these. The caller
 * then sends the body as it is. */
struct codec *codec_new_encoder(struct codec_pool *p, const struct codec_options *o);
/* ENC_GZIP and ENC_ZSTD (several members, or frames, in a row are one body) and ENC_BR. An empty input is an empty body. */
struct codec *codec_new_decoder(
    struct codec_pool *p, enum encoding coding, const struct codec_limits *limits);
void codec_free(struct codec **cp);

/* Takes from the front of *in (which is advanced) and writes up to room bytes (at least
 * CODEC_ROOM_MIN) to out; how many in *out_n, also when the result is CODEC_BAD. A FLUSH with
 * nothing new since the last writes nothing. */
enum codec_result codec_run(struct codec *c, struct slice *in, char *out, size_t room,
    size_t *out_n, enum codec_flush flush);

enum codec_why codec_why(const struct codec *c);
const char *codec_why_text(enum codec_why why);
uint64_t codec_in_bytes(const struct codec *c);
uint64_t codec_out_bytes(const struct codec *c);

#endif
