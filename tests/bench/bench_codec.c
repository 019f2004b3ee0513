/* LINK: policy/codec policy/codecpool policy/codec_gzip policy/codec_br policy/codec_zstd http/negotiate http/head http/fields base/buf base/mem */
/* What a coding of these files costs: bench_codec FILE...
 *
 * For each coding and level: processor time for each MiB in and out of the coder, the size of what comes out, the memory of
 * the state, and the longest that one call took (a loop is held up by that). Files are fed 16 KiB at a time, as they stream
 * through; the lines "unhurried" are what a helper makes of a stored one.
 */
#include "policy/codec.h"

#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include "base/buf.h"
#include "base/mem.h"

#define STEP_BYTES 16384u
#define MIB (1024.0 * 1024)

struct cost {
	double coding_ms, longest_ms, undoing_ms;
	size_t in_bytes, out_bytes, state_bytes;
};

static double
cpu_ms(void)
{
	struct timespec t;

	clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t);
	return (double)t.tv_sec * 1e3 + (double)t.tv_nsec / 1e6;
}

static void
read_file(const char *path, struct buf *out)
{
	FILE *f = fopen(path, "rb");
	size_t n;

	if (f == NULL) {
		perror(path);
		exit(1);
	}
	while ((n = fread(buf_room(out, 65536), 1, 65536, f)) > 0)
		out->n += n;
	fclose(f);
}

static void
feed(struct codec *c, struct slice text, struct buf *out, double *longest_ms)
{
	enum codec_result result;

	do {
		struct slice piece = slice_of(text.p, text.n < STEP_BYTES ? text.n : STEP_BYTES);
		text = slice_skip(text, piece.n);
		do {
			double began = cpu_ms(), took;
			size_t n;

			result = codec_run(c, &piece, buf_room(out, STEP_BYTES), STEP_BYTES, &n,
			    text.n == 0 ? CODEC_FINISH : CODEC_RUN);
			out->n += n;
			took = cpu_ms() - began;
			*longest_ms = took > *longest_ms ? took : *longest_ms;
		} while (result == CODEC_FULL);
	} while (result == CODEC_MORE);
	if (result != CODEC_DONE)
		bug("a file could not be coded: %s", codec_why_text(codec_why(c)));
}

static void
measure(struct codec_pool *pool, const struct codec_options *o, struct slice text, struct cost *sum)
{
	static const struct codec_limits no_limits;
	struct buf coded = {0}, back = {0};
	double began = cpu_ms(), unused = 0;
	struct codec *c = codec_new_encoder(pool, o);
	size_t state_bytes;

	feed(c, text, &coded, &sum->longest_ms);
	state_bytes = codec_pool_live_bytes(pool);
	codec_free(&c);
	sum->coding_ms += cpu_ms() - began;
	sum->state_bytes = state_bytes > sum->state_bytes ? state_bytes : sum->state_bytes;
	began = cpu_ms();
	c = codec_new_decoder(pool, o->coding, &no_limits);
	feed(c, buf_slice(&coded), &back, &unused);
	codec_free(&c);
	sum->undoing_ms += cpu_ms() - began;
	sum->in_bytes += text.n;
	sum->out_bytes += coded.n;
	buf_fini(&coded);
	buf_fini(&back);
}

static void
show(enum encoding coding, int level, bool is_unhurried, const struct buf *texts, int count)
{
	struct codec_pool *pool = codec_pool_new(256u << 20, SIZE_MAX);
	struct cost sum = {0};

	for (int i = 0; i < count; i++) {
		struct codec_options o = {.coding = coding,
		    .level = level,
		    .is_unhurried = is_unhurried,
		    .size_hint = texts[i].n};

		measure(pool, &o, buf_slice(&texts[i]), &sum);
	}
	printf(
	    "%-5.*s %2d %-9s %8.1f ms/MiB %6.2f %%  undone %5.1f ms/MiB  state %6.2f MiB  longest "
	    "%7.2f ms\n",
	    (int)encoding_token(coding).n, encoding_token(coding).p, level,
	    is_unhurried ? "unhurried" : "", sum.coding_ms / ((double)sum.in_bytes / MIB),
	    100.0 * (double)sum.out_bytes / (double)sum.in_bytes,
	    sum.undoing_ms / ((double)sum.in_bytes / MIB), (double)sum.state_bytes / MIB,
	    sum.longest_ms);
	codec_pool_free(&pool);
}

int
main(int argc, char **argv)
{
	static const struct {
		enum encoding coding;
		int level;
		bool is_unhurried;
	} rows[] = {{ENC_GZIP, 1, false}, {ENC_GZIP, 5, false}, {ENC_GZIP, 6, false},
	    {ENC_GZIP, 9, false}, {ENC_BR, 2, false}, {ENC_BR, 3, false}, {ENC_BR, 4, false},
	    {ENC_BR, 5, false}, {ENC_ZSTD, 1, false}, {ENC_ZSTD, 2, false}, {ENC_ZSTD, 3, false},
	    {ENC_ZSTD, 4, false}, {ENC_ZSTD, 6, false}, {ENC_ZSTD, 9, false}, {ENC_GZIP, 9, true},
	    {ENC_BR, 9, true}, {ENC_BR, 10, true}, {ENC_BR, 11, true}, {ENC_ZSTD, 15, true},
	    {ENC_ZSTD, 19, true}};
	struct buf *texts = must_calloc((size_t)argc, sizeof(*texts));
	size_t all = 0;

	for (int i = 1; i < argc; i++) {
		read_file(argv[i], &texts[i - 1]);
		all += texts[i - 1].n;
	}
	printf("%d files, %zu bytes\n", argc - 1, all);
	for (size_t i = 0; argc > 1 && i < sizeof(rows) / sizeof(rows[0]); i++)
		show(rows[i].coding, rows[i].level, rows[i].is_unhurried, texts, argc - 1);
	for (int i = 1; i < argc; i++)
		buf_fini(&texts[i - 1]);
	free(texts);
	return 0;
}
