/* LINK: http/vary http/negotiate http/head http/fields base/buf base/mem */
/* Any bytes as Accept-Encoding, Accept and a field that Vary names: a normal form is its own normal form, and a request
 * matches the key made for it. */
#include <stdlib.h>
#include <string.h>

#include "http/negotiate.h"
#include "http/vary.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);

static struct head
head_with(enum field_id id, const char *value, size_t n)
{
	struct head h = {.base = value, .count = 1};

	h.fields[0] = (struct field){.value_len = (uint16_t)n, .id = (uint8_t)id};
	h.first[id] = 1;
	return h;
}

static void
check_encoding(const struct head *h)
{
	static const uint8_t order[] = {ENC_BR, ENC_ZSTD, ENC_GZIP, 0};
	char one[ACCEPT_ENCODING_MAX], two[ACCEPT_ENCODING_MAX];
	struct accept_encoding a;
	size_t n = accept_encoding_normal(h, one), again;

	accept_encoding_read(h, &a);
	enum encoding e = accept_encoding_choose(&a, order, ENC_IDENTITY | ENC_GZIP | ENC_ZSTD);
	if (e != ENC_IDENTITY && (a.accepted & e) == 0)
		abort();
	if (n > sizeof(one))
		return;
	struct head normal = head_with(FIELD_ACCEPT_ENCODING, one, n);
	again = accept_encoding_normal(&normal, two);
	if (again != n || memcmp(one, two, n) != 0)
		abort();
}

static void
check_vary(const char *name, const struct head *request)
{
	struct head response = head_with(FIELD_VARY, name, strlen(name));
	struct buf key = {0};

	if (vary_key(&response, request, &key) && !vary_matches(buf_slice(&key), request))
		abort();
	buf_fini(&key);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
	struct head request;

	/* what the parser lets through holds no control bytes but HTAB */
	for (size_t i = 0; i < n; i++)
		if (n > 60000 || (data[i] < 0x20 && data[i] != '\t') || data[i] == 0x7f)
			return 0;
	request = head_with(FIELD_ACCEPT_ENCODING, (const char *)data, n);
	check_encoding(&request);
	check_vary("Accept-Encoding", &request);
	request = head_with(FIELD_ACCEPT_LANGUAGE, (const char *)data, n);
	check_vary("Accept-Language, Cookie", &request);
	request = head_with(FIELD_ACCEPT, (const char *)data, n);
	accept_prefers_html(&request);
	request = head_with(FIELD_VARY, (const char *)data, n);
	struct buf key = {0};
	if (vary_key(&request, &request, &key) != !vary_is_star(&request) && vary_is_star(&request))
		abort();
	if (!vary_matches(buf_slice(&key), &request))
		abort();
	buf_fini(&key);
	return 0;
}
