/* LINK: http/h1 http/head http/fields base/buf base/mem */
/* Any bytes as a response head, whole and in steps: one answer, and its framing is decided or refused. The first byte
 * is the length of a step, the second the method it answers. */
#include <stdlib.h>

#include "http/h1.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);

static const struct h1_limits limits = {.head_bytes = 1024};

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
	static struct head whole, stepped;
	struct h1_parser p, q;
	struct framing framing;
	enum h1_fault fault;
	enum h1_result a, b = H1_PARTIAL;
	enum method method;
	size_t step;

	if (n < 2)
		return 0;
	step = (size_t)data[0] + 1;
	method = (enum method)(data[1] % METHOD_COUNT);
	data += 2, n -= 2;
	h1_parser_init(&p, H1_RESPONSE, &limits);
	h1_parser_init(&q, H1_RESPONSE, &limits);
	a = h1_parse(&p, &whole, (const char *)data, n);
	for (size_t at = 0; b == H1_PARTIAL && at < n;) {
		at = n - at < step ? n : at + step;
		b = h1_parse(&q, &stepped, (const char *)data, at);
	}
	if (n > 0 && a != b)
		abort();
	if (a != H1_WHOLE)
		return 0;
	if (whole.size != stepped.size || whole.count != stepped.count || whole.size > n ||
	    whole.status < 100 || whole.status > 999)
		abort();
	if (h1_response_framing(&whole, method, &framing, &fault)) {
		if (method == METHOD_HEAD && framing.kind != FRAMING_NONE)
			abort();
		if (framing.kind == FRAMING_LENGTH && head_has(&whole, FIELD_TRANSFER_ENCODING))
			abort();
	}
	h1_keeps_alive(&whole);
	return 0;
}
