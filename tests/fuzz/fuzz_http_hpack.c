/* LINK: http/hpack http/h2field http/h1 http/head http/fields base/buf base/mem */
/* Any header blocks, by our decoder and by libnghttp2's. The first byte says what the others are: blocks, each behind two bytes of length;
 * or fields which libnghttp2's deflater makes blocks of, so that the table fills and turns over. */
#include <stdlib.h>

#include "../unit/hpack_twin.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);

#define FIELDS_MAX 16

static struct slice
take(struct slice *rest, size_t n)
{
	struct slice s = slice_of(rest->p, n < rest->n ? n : rest->n);

	*rest = slice_skip(*rest, s.n);
	return s;
}

static size_t
take_number(struct slice *rest, unsigned bytes)
{
	size_t n = 0;

	for (struct slice s = take(rest, bytes); s.n > 0; s = slice_skip(s, 1))
		n = n << 8 | (unsigned char)*s.p;
	return n;
}

static void
expect(bool holds)
{
	if (!holds)
		abort();
}

static void
play_blocks(struct hpack_twin *t, struct slice rest)
{
	bool is_bad = false;

	while (rest.n > 0 && !is_bad) {
		size_t n = take_number(&rest, 2);

		expect(hpack_twin_block(t, take(&rest, n), &is_bad));
	}
}

/* A byte for each name's length and two for each value's; of the name's byte the top bits say whether it may be kept, and whether the
 * table's size changes. */
static void
play_fields(struct hpack_twin *t, struct slice rest)
{
	nghttp2_hd_deflater *deflater;
	static uint8_t block[1 << 20];
	bool is_bad = false;

	expect(nghttp2_hd_deflate_new(&deflater, HPACK_TABLE_BYTES) == 0);
	while (rest.n > 0) {
		nghttp2_nv nv[FIELDS_MAX];
		unsigned count = 1 + (unsigned)take_number(&rest, 1) % FIELDS_MAX;
		ssize_t bytes;

		for (unsigned i = 0; i < count; i++) {
			size_t how = take_number(&rest, 1);
			struct slice name = take(&rest, how & 31);
			struct slice value = take(&rest, take_number(&rest, 2) % 5000);

			if ((how & 0xc0) == 0xc0)
				nghttp2_hd_deflate_change_table_size(
				    deflater, (size_t)(how & 63) * 100 % 4097);
			nv[i] = (nghttp2_nv){(uint8_t *)(uintptr_t)name.p,
			    (uint8_t *)(uintptr_t)value.p, name.n, value.n,
			    (how & 0x80) ? NGHTTP2_NV_FLAG_NO_INDEX : NGHTTP2_NV_FLAG_NONE};
		}
		bytes = nghttp2_hd_deflate_hd(deflater, block, sizeof(block), nv, count);
		expect(bytes >= 0);
		expect(hpack_twin_block(t, slice_of((const char *)block, (size_t)bytes), &is_bad));
		expect(!is_bad);
	}
	nghttp2_hd_deflate_del(deflater);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
	struct hpack_twin t;

	if (n < 2)
		return 0;
	hpack_twin_init(&t);
	if (data[0] & 1)
		play_blocks(&t, slice_of((const char *)data + 1, n - 1));
	else
		play_fields(&t, slice_of((const char *)data + 1, n - 1));
	hpack_twin_fini(&t);
	return 0;
}
