/* LINK: http/h1 http/head http/fields base/buf base/mem */
/* Any bytes as a chunked body, whole and in steps: one body, one end, the same trailers, and trailers are lines. The first
 * byte is the length of a step. */
#include <stdlib.h>

#include "http/h1.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);

struct run {
	enum chunk_result result;
	struct buf body, trailers;
	size_t used;
};

static void
decode(struct run *r, struct slice text, size_t step)
{
	struct h1_chunked c;

	*r = (struct run){.result = CHUNK_MORE};
	h1_chunked_init(&c);
	for (size_t come = 0; r->result == CHUNK_MORE && come < text.n;) {
		come = text.n - come < step ? text.n : come + step;
		do {
			struct slice rest = slice_of(text.p + r->used, come - r->used), payload;
			size_t used;
			r->result = h1_chunked_next(&c, rest, &payload, &used, &r->trailers);
			if (used > rest.n)
				abort();
			if (r->result == CHUNK_DATA)
				buf_add_slice(&r->body, payload);
			r->used += used;
		} while (r->result == CHUNK_DATA);
	}
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
	struct run a, b;
	struct slice text;

	if (n == 0)
		return 0;
	text = slice_of(data + 1, n - 1);
	decode(&a, text, text.n);
	decode(&b, text, (size_t)data[0] + 1);
	if (a.result != b.result)
		abort();
	if (a.result == CHUNK_END &&
	    (a.used != b.used || !slice_eq(buf_slice(&a.trailers), buf_slice(&b.trailers)) ||
		!slice_eq(buf_slice(&a.body), buf_slice(&b.body)) || a.body.n >= a.used ||
		(a.trailers.n > 0 && !slice_ends(buf_slice(&a.trailers), SLICE_LIT("\r\n")))))
		abort();
	buf_fini(&a.body);
	buf_fini(&a.trailers);
	buf_fini(&b.body);
	buf_fini(&b.trailers);
	return 0;
}
