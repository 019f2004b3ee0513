#include "policy/codecjob.h"

#define STEP_BYTES (16u << 10)

void
codec_job_init(struct codec_job *j, struct codec **cp, const struct iovec *pieces,
    size_t piece_count, codec_sink *sink, void *sink_arg)
{
	*j = (struct codec_job){
	    .codec = *cp,
	    .pieces = pieces,
	    .piece_count = piece_count,
	    .sink = sink,
	    .sink_arg = sink_arg,
	    .result = CODEC_MORE,
	};
	*cp = NULL;
}

void
codec_job_fini(struct codec_job *j)
{
	codec_free(&j->codec);
}

/* The next bytes to feed, at most one step; empty at the end of the body. */
static struct slice
job_peek(struct codec_job *j)
{
	while (j->piece < j->piece_count && j->piece_at == j->pieces[j->piece].iov_len) {
		j->piece++;
		j->piece_at = 0;
	}
	if (j->piece == j->piece_count)
		return SLICE_LIT("");

	const struct iovec *v = &j->pieces[j->piece];
	size_t n = v->iov_len - j->piece_at;

	return slice_of((const char *)v->iov_base + j->piece_at, n > STEP_BYTES ? STEP_BYTES : n);
}

/* One call of the codec. How much work it was goes off *budget. */
static enum codec_result
job_step(struct codec_job *j, size_t *budget)
{
	char out[STEP_BYTES];
	struct slice in = job_peek(j);
	size_t had = in.n, out_n, work;
	enum codec_result result;

	result =
	    codec_run(j->codec, &in, out, sizeof(out), &out_n, had == 0 ? CODEC_FINISH : CODEC_RUN);
	j->piece_at += had - in.n;
	if (result != CODEC_BAD && out_n > 0 && j->sink(j->sink_arg, slice_of(out, out_n)) != 0) {
		j->is_refused = true;
		return CODEC_BAD;
	}
	work = had - in.n > out_n ? had - in.n : out_n;
	*budget -= work > *budget ? *budget : work;
	return result;
}

enum codec_result
codec_job_run(struct codec_job *j, size_t budget_bytes)
{
	while (budget_bytes > 0 && (j->result == CODEC_MORE || j->result == CODEC_FULL))
		j->result = job_step(j, &budget_bytes);
	return j->result == CODEC_FULL ? CODEC_MORE : j->result;
}
