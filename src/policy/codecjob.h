/* policy/codecjob.h - a whole stored body through a codec, a slice of work at a time.
 *
 * For bodies that are all there: making the variant of an object that is served from then on. A
 * worker gives each turn of its loop a budget, a helper thread may give it all at once; which of
 * them runs a job makes no difference to it. The codec must come from that thread's pool.
 */
#ifndef POLICY_CODECJOB_H
#define POLICY_CODECJOB_H

#include <sys/uio.h>

#include "policy/codec.h"

/* About a millisecond of the slowest streaming level. */
#define CODEC_JOB_TURN_BYTES (32u << 10)

/* Takes what came out, in order. 0, or -1 when it cannot: the job ends BAD. */
typedef int codec_sink(void *arg, struct slice bytes);

struct codec_job {
	struct codec *codec; /* owned from codec_job_init() on */
	/* The body: borrowed until codec_job_fini(), the array too. */
	const struct iovec *pieces;
	size_t piece_count;
	codec_sink *sink;
	void *sink_arg;
	/* Its own: */
	size_t piece, piece_at; /* the next byte to read */
	enum codec_result result;
	bool is_refused; /* the sink would not take any more */
};

/* Takes over *cp, which must be fresh, and sets it to NULL. */
void codec_job_init(struct codec_job *j, struct codec **cp, const struct iovec *pieces,
    size_t piece_count, codec_sink *sink, void *sink_arg);
void codec_job_fini(struct codec_job *j);

/* Works until budget_bytes have gone in or come out, whichever is first (so it holds for encoders
 * and decoders alike), or to the end. CODEC_MORE: call again. CODEC_DONE: the sink has it all.
 * CODEC_BAD: codec_why(j->codec) tells why, unless is_refused. */
enum codec_result codec_job_run(struct codec_job *j, size_t budget_bytes);

#endif
