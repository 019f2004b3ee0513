/* LINK: http/h2head http/priority http/sf http/h1 http/head http/fields base/buf base/mem */
#include "http_usual.h"

#include <nghttp2/nghttp2.h>

#include "http/h2head.h"

#define KEY SLICE_LIT("AAAAAAAAAAAAAAAAAAAAAA==")

/* "name value" each; NULL ends. */
static enum h2_fault
read_fields(struct h2_head *h, const char *const *fields)
{
	h2_head_begin(h, false, 4096);
	for (; *fields != NULL; fields++) {
		struct slice line = slice_from(*fields);
		size_t blank = slice_index(line, ' ');

		h2_head_field(h, slice_of(line.p, blank), slice_skip(line, blank + 1));
	}
	h2_head_end(h, KEY);
	return h->fault;
}

static void
assert_text(const struct h2_head *h, const char *wanted)
{
	assert_int_equal(h->fault, H2_FAULT_none);
	assert_int_equal(h->text.n, strlen(wanted));
	assert_memory_equal(h->text.p, wanted, h->text.n);
}

static void
a_request_becomes_the_head_that_http_1_would_have_sent(void **state)
{
	static const char *const fields[] = {":method GET", ":scheme https", ":authority a.example",
	    ":path /b?c", "cookie a=1", "accept */*", "te trailers", "host A.example", "cookie b=2",
	    "priority u=1", NULL};
	struct h2_head h = {0};

	read_fields(&h, fields);
	assert_text(&h,
	    "GET /b?c HTTP/1.1\r\nhost: a.example\r\naccept: */*\r\npriority: u=1\r\ncookie: a=1; "
	    "b=2\r\n\r\n");
	assert_int_equal(h.priority.urgency, 1);
	h2_head_fini(&h);
}

static void
an_extended_connect_becomes_an_upgrade(void **state)
{
	static const char *const fields[] = {":method CONNECT", ":protocol websocket",
	    ":scheme http", ":path /chat", ":authority a", "sec-websocket-version 13",
	    "sec-websocket-key of.the.client", NULL};
	struct h2_head h = {0};

	read_fields(&h, fields);
	assert_true(h.is_connect);
	assert_text(&h,
	    "GET /chat HTTP/1.1\r\nhost: a\r\nsec-websocket-version: 13\r\nconnection: upgrade\r\n"
	    "upgrade: websocket\r\nsec-websocket-key: AAAAAAAAAAAAAAAAAAAAAA==\r\n\r\n");
	h2_head_fini(&h);
}

static void
the_first_fault_stands(void **state)
{
	static const char *const fields[] = {":method GET", ":scheme http", ":path /",
	    ":authority a", "connection close", "X-Upper 1", NULL};
	static const char *const none[] = {NULL};
	struct h2_head h = {0};

	assert_int_equal(read_fields(&h, fields), H2_FAULT_connection);
	assert_int_equal(read_fields(&h, none), H2_FAULT_pseudo_missing);
	h2_head_fini(&h);
}

static void
no_more_is_kept_than_the_limit(void **state)
{
	struct h2_head h = {0};
	char value[100];

	memset(value, 'v', sizeof(value));
	h2_head_begin(&h, false, 1000);
	h2_head_field(&h, SLICE_LIT(":method"), SLICE_LIT("GET"));
	h2_head_field(&h, SLICE_LIT(":scheme"), SLICE_LIT("http"));
	h2_head_field(&h, SLICE_LIT(":path"), SLICE_LIT("/"));
	for (int i = 0; i < 1000; i++)
		h2_head_field(&h, SLICE_LIT("x-a"), slice_of(value, sizeof(value)));
	h2_head_end(&h, KEY);
	assert_int_equal(h.fault, H2_FAULT_too_large);
	assert_true(h.text.n <= 1100);
	h2_head_fini(&h);
}

static void
trailers_lose_what_may_not_stand_behind_a_body(void **state)
{
	struct h2_head h = {0};

	h2_head_begin(&h, true, 1000);
	h2_head_field(&h, SLICE_LIT("x-sum"), SLICE_LIT("1"));
	h2_head_field(&h, SLICE_LIT("content-length"), SLICE_LIT("1"));
	h2_head_field(&h, SLICE_LIT("authorization"), SLICE_LIT("1"));
	h2_head_end(&h, KEY);
	assert_text(&h, "x-sum: 1\r\n");
	h2_head_field(&h, SLICE_LIT(":path"), SLICE_LIT("/"));
	assert_int_equal(h.fault, H2_FAULT_pseudo_unknown);
	h2_head_fini(&h);
}

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

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(a_request_becomes_the_head_that_http_1_would_have_sent),
	    cmocka_unit_test(an_extended_connect_becomes_an_upgrade),
	    cmocka_unit_test(the_first_fault_stands),
	    cmocka_unit_test(no_more_is_kept_than_the_limit),
	    cmocka_unit_test(trailers_lose_what_may_not_stand_behind_a_body),
	    cmocka_unit_test(a_block_is_read_as_it_was_meant),
	    cmocka_unit_test(lengths_of_every_size_are_read_as_written),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
