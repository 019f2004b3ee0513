/* LINK: http/h2head http/h2field http/priority http/sf http/sf_bare http/h1 http/head http/fields base/buf base/mem */
/* Any fields as an HTTP/2 request's: what they become is what HTTP/1.1's parser makes of the same request as text, and what is refused by
 * rules that both share it refuses as well. The first byte says which of the usual pseudo-fields stand in front; then a byte for each name: one of those that matter, or the length of one that
 * follows; then a byte for the value's length, in steps of one or of 300. */
#include <stdlib.h>

#include "../unit/h2_twin.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);

#define KEY SLICE_LIT("Zm9yZWJheSBzcHJpbmcgZmxvb2Q=")
#define FIELDS_MAX 200
#define KNOWN 0x80
#define LONG 0xc0

static const struct slice known[] = {SLICE_LIT(":method"), SLICE_LIT(":path"), SLICE_LIT(":scheme"),
    SLICE_LIT(":authority"), SLICE_LIT(":protocol"), SLICE_LIT("host"), SLICE_LIT("cookie"),
    SLICE_LIT("te"), SLICE_LIT("content-length"), SLICE_LIT("connection"), SLICE_LIT("upgrade"),
    SLICE_LIT("accept"), SLICE_LIT("sec-websocket-key"), SLICE_LIT("priority"),
    SLICE_LIT("x-forwarded-for"), SLICE_LIT("keep-alive"), SLICE_LIT("close")};

static struct slice
take(struct slice *rest, size_t n)
{
	struct slice s = slice_of(rest->p, n < rest->n ? n : rest->n);

	*rest = slice_skip(*rest, s.n);
	return s;
}

static size_t
take_byte(struct slice *rest)
{
	struct slice s = take(rest, 1);

	return s.n == 0 ? 0 : (unsigned char)*s.p;
}

static struct slice
take_value(struct slice *rest)
{
	static char many[64 * 300];
	size_t n = take_byte(rest);

	if (n < LONG)
		return take(rest, n);
	memset(many, 'v', sizeof(many));
	return slice_of(many, (n - LONG) * 300);
}

static const struct twin_field usual[] = {{SLICE_LIT(":method"), SLICE_LIT("GET")},
    {SLICE_LIT(":scheme"), SLICE_LIT("http")}, {SLICE_LIT(":path"), SLICE_LIT("/a?b")},
    {SLICE_LIT(":authority"), SLICE_LIT("a.test")}};

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
	struct slice rest = slice_of((const char *)data, n);
	struct twin_field fields[FIELDS_MAX];
	struct h2_head h = {0};
	size_t first = take_byte(&rest);
	unsigned count = 0;

	for (unsigned i = 0; i < sizeof(usual) / sizeof(*usual); i++)
		if (first & (1u << i))
			fields[count++] = usual[i];
	while (rest.n > 0 && count < FIELDS_MAX) {
		size_t name = take_byte(&rest);

		fields[count].name = name < KNOWN
		    ? take(&rest, name + 1)
		    : known[(name - KNOWN) % (sizeof(known) / sizeof(*known))];
		fields[count].value = take_value(&rest);
		if (fields[count].name.n > 0)
			count++;
	}
	h2_head_begin(&h, false, 100000, 300);
	twin_read(&h, fields, count, KEY);
	if (!twin_agrees(&h, fields, count, KEY))
		abort();
	h2_head_fini(&h);
	return 0;
}
