/* LINK: http/h2block http/head http/fields base/buf base/mem */
#include "http_usual.h"

#include <nghttp2/nghttp2.h>
#include <stdlib.h>

#include "http/h2block.h"

/* What a client of another make reads: "name: value" lines. */
static void
read_back(const struct buf *block, struct buf *out)
{
	nghttp2_hd_inflater *inflater;
	struct slice rest = buf_slice(block);
	int flags;

	assert_int_equal(nghttp2_hd_inflate_new(&inflater), 0);
	do {
		nghttp2_nv nv;
		ssize_t used = nghttp2_hd_inflate_hd2(
		    inflater, &nv, &flags, (const uint8_t *)rest.p, rest.n, 1);

		assert_true(used >= 0);
		rest = slice_skip(rest, (size_t)used);
		if (flags & NGHTTP2_HD_INFLATE_EMIT) {
			buf_add(out, nv.name, nv.namelen);
			buf_add_lit(out, "=");
			buf_add(out, nv.value, nv.valuelen);
			buf_add_lit(out, "\n");
		}
	} while (!(flags & NGHTTP2_HD_INFLATE_FINAL));
	nghttp2_hd_inflate_del(inflater);
}

static void
a_block_is_read_as_it_was_meant(void **state)
{
	static const struct {
		unsigned status;
		const char *lines, *wanted;
	} rows[] = {
	    {200, "HTTP/1.1 200 OK\r\nServer: a\r\nX-Own: b\r\nETag: \"1\"\r\n",
		":status=200\nserver=a\nx-own=b\netag=\"1\"\n"},
	    {418, "Connection: close\r\nKeep-Alive: 5\r\nUpgrade: x\r\nVary:   *  \r\n\r\n",
		":status=418\nvary=*\n"},
	    {304, "Set-Cookie: a=b\r\nSet-Cookie: c=d\r\nEmpty:\r\n",
		":status=304\nset-cookie=a=b\nset-cookie=c=d\nempty=\n"},
	};

	for (size_t i = 0; i < sizeof(rows) / sizeof(*rows); i++) {
		struct buf block = {0}, text = {0};

		h2_block_status(&block, rows[i].status);
		h2_block_lines(&block, slice_from(rows[i].lines));
		read_back(&block, &text);
		assert_int_equal(text.n, strlen(rows[i].wanted));
		assert_memory_equal(text.p, rows[i].wanted, text.n);
		buf_fini(&block);
		buf_fini(&text);
	}
}

static void
lengths_of_every_size_are_read_as_written(void **state)
{
	static char value[70000];

	memset(value, 'v', sizeof(value));
	for (size_t n = 0; n < sizeof(value); n = n < 300 ? n + 1 : n * 2 - 1) {
		struct buf block = {0}, text = {0};

		h2_block_field(&block, SLICE_LIT("X-A"), slice_of(value, n));
		read_back(&block, &text);
		assert_int_equal(text.n, n + 5);
		assert_memory_equal(text.p, "x-a=", 4);
		buf_fini(&block);
		buf_fini(&text);
	}
}

/* Spelled in another way a line is no usual one: both ways must write the same. */
static void
usual_lines_are_written_as_all_others(void **state)
{
	static const char *const names[][2] = {{"Age", "AGE"}, {"X-Cache-Status", "x-cache-status"},
	    {"Cache-Status", "cache-Status"}, {"X-Request-Id", "X-Request-ID"},
	    {"X-Cache", "x-cache"}, {"Ages", "AGES"}};
	static const char *const ends[] = {"", "\r\n", "\n", "\r\nAge: 7\r\n", " \r\n"};
	char value[200];

	for (unsigned name = 0; name < 6; name++)
		for (unsigned end = 0; end < 5; end++)
			for (int n = 0; n < (int)sizeof(value); n++) {
				struct buf usual = {0}, other = {0}, text = {0}, odd = {0};

				memset(value, 'v', sizeof(value));
				value[n / 2] = n % 5 == 4 ? ' ' : 'w';
				buf_printf(
				    &text, "%s: %.*s%s", names[name][0], n, value, ends[end]);
				buf_printf(&odd, "%s: %.*s%s", names[name][1], n, value, ends[end]);
				/* To its last byte, so that a sanitizer sees what is read behind. */
				text.p = realloc(text.p, text.cap = text.n);
				h2_block_lines(&usual, buf_slice(&text));
				h2_block_lines(&other, buf_slice(&odd));
				assert_int_equal(usual.n, other.n);
				assert_memory_equal(usual.p, other.p, usual.n);
				buf_fini(&usual);
				buf_fini(&other);
				buf_fini(&text);
				buf_fini(&odd);
			}
}

static void
a_length_is_read_as_written(void **state)
{
	static const uint64_t lengths[] = {0, 9, 1024, UINT64_MAX};

	for (unsigned i = 0; i < 4; i++) {
		struct buf block = {0}, text = {0}, wanted = {0};

		h2_block_length(&block, lengths[i]);
		read_back(&block, &text);
		buf_printf(&wanted, "content-length=%llu\n", (unsigned long long)lengths[i]);
		assert_true(slice_eq(buf_slice(&text), buf_slice(&wanted)));
		buf_fini(&block);
		buf_fini(&text);
		buf_fini(&wanted);
	}
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(a_block_is_read_as_it_was_meant),
	    cmocka_unit_test(usual_lines_are_written_as_all_others),
	    cmocka_unit_test(a_length_is_read_as_written),
	    cmocka_unit_test(lengths_of_every_size_are_read_as_written),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
