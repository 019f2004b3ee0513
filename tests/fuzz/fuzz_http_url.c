/* LINK: http/url http/head http/fields base/buf base/mem */
/* Any bytes as target and Host: what is good is in a normal form that is its own, and sorting a query twice is sorting it
 * once. Target and Host are parted by the first LF. */
#include <stdlib.h>

#include "http/url.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);

static void
expect(bool holds)
{
	if (!holds)
		abort();
}

static void
check_query(struct slice query, enum query_keep keep)
{
	static const char *const names[] = {"page", "utm_*"};
	struct query_rules rules = {.keep = keep, .names = names, .names_count = 2, .sorted = true};
	struct buf once = {0}, twice = {0};

	url_query_filter(query, &rules, &once);
	expect(once.n <= query.n);
	if (keep != QUERY_KEEP_ALL) {
		url_query_filter(buf_slice(&once), &rules, &twice);
		expect(twice.n <= once.n);
	}
	buf_fini(&once);
	buf_fini(&twice);
}

static void
check_again(const struct url *url)
{
	struct head h = {
	    .base = url->authority.p, .method = METHOD_OPTIONS, .minor = 1, .count = 1};
	struct url again;
	char *text = malloc(url->authority.n + url->path.n), *space;

	expect(text != NULL);
	memcpy(text, url->authority.p, url->authority.n);
	memcpy(text + url->authority.n, url->path.p, url->path.n);
	h.base = text;
	h.target_at = (uint32_t)url->authority.n;
	h.target_len = (uint32_t)url->path.n;
	h.fields[0] = (struct field){.value_len = (uint16_t)url->authority.n, .id = FIELD_HOST};
	h.first[FIELD_HOST] = 1;
	space = malloc(url_space(&h));
	expect(space != NULL);
	expect(url_of_request(&h, SLICE_LIT("http"), space, &again) == URL_GOOD);
	expect(slice_eq(again.authority, url->authority) && slice_eq(again.host, url->host));
	expect(slice_eq(again.path, url->path));
	free(space);
	free(text);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
	struct slice text = slice_of(data, n);
	size_t lf = slice_index(text, '\n');
	struct head h = {.base = text.p, .method = METHOD_OPTIONS, .minor = 1, .count = 1};
	struct url url;
	char *space;

	if (lf == 0 || lf == n || n > 4096)
		return 0;
	h.target_len = (uint32_t)lf;
	h.fields[0] = (struct field){.value_at = (uint32_t)(lf + 1), .id = FIELD_HOST};
	h.fields[0].value_len = (uint16_t)(n - lf - 1);
	h.first[FIELD_HOST] = 1;
	space = malloc(url_space(&h));
	expect(space != NULL);
	if (url_of_request(&h, SLICE_LIT("http"), space, &url) == URL_GOOD) {
		check_again(&url);
		for (int keep = QUERY_KEEP_ALL; keep <= QUERY_DROP_LISTED; keep++)
			check_query(url.query, (enum query_keep)keep);
	}
	free(space);
	return 0;
}
