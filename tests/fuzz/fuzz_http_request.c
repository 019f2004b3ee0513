/* LINK: http/h1 http/url http/head http/fields base/buf base/mem */
/* Any bytes as a request head, whole and in steps: one answer, and what is let through is well-formed. The first byte
 * is the length of a step. */
#include <stdlib.h>

#include "http/h1.h"
#include "http/url.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);

static const struct h1_limits limits = {.head_bytes = 1024, .target_bytes = 256};

static void
expect(bool holds)
{
	if (!holds)
		abort();
}

static void
check_fields(const struct head *h)
{
	for (unsigned i = 0; i < h->count; i++) {
		struct slice name = field_name(h, &h->fields[i]);
		struct slice value = field_value(h, &h->fields[i]);
		expect(h1_is_token(name) && field_id_of(name) == h->fields[i].id);
		expect(value.p >= h->base && value.p + value.n + 4 <= h->base + h->size);
		for (size_t j = 0; j < value.n; j++)
			expect(value.p[j] == '\t' || (unsigned char)value.p[j] >= ' ');
		expect(slice_trim(value).n == value.n);
	}
}

/* A normal form is its own normal form, and the origin reads the same target in it. */
static void
check_url(const struct head *h)
{
	char *space = malloc(url_space(h)), *again;
	struct url url;
	struct slice path;

	expect(space != NULL);
	if (url_of_request(h, SLICE_LIT("https"), space, &url) == URL_GOOD &&
	    url.path.p[0] == '/') {
		again = malloc(3 * url.path.n + 1);
		expect(again != NULL);
		expect(url_path_normal(url.path, again, &path) == URL_GOOD);
		expect(slice_eq(path, url.path));
		expect(slice_starts(url.authority, url.host) && url.host.n > 0);
		free(again);
	}
	free(space);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
	static struct head whole, stepped;
	struct h1_parser p, q;
	struct framing framing;
	enum h1_fault fault;
	enum h1_result a, b = H1_PARTIAL;
	size_t step;

	if (n-- == 0)
		return 0;
	step = (size_t)*data++ + 1;
	h1_parser_init(&p, H1_REQUEST, &limits);
	h1_parser_init(&q, H1_REQUEST, &limits);
	a = h1_parse(&p, &whole, (const char *)data, n);
	for (size_t at = 0; b == H1_PARTIAL && at < n;) {
		at = n - at < step ? n : at + step;
		b = h1_parse(&q, &stepped, (const char *)data, at);
	}
	/* Steps find a line too long before its end: which fault they name may differ, not that there is one. */
	expect(a == b);
	if (a != H1_WHOLE)
		return 0;
	expect(whole.size == stepped.size && whole.count == stepped.count && whole.size <= n);
	expect(slice_eq(head_target(&whole), head_target(&stepped)) && whole.target_len > 0);
	check_fields(&whole);
	if (h1_request_framing(&whole, &framing, &fault))
		expect(framing.kind != FRAMING_CLOSE && !framing.is_coded);
	else
		expect(h1_faults[fault].status >= 400);
	h1_keeps_alive(&whole);
	check_url(&whole);
	return 0;
}
