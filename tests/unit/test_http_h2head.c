/* LINK: http/h2head http/priority http/sf http/h1 http/head http/fields base/buf base/mem */
#include "http_usual.h"

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

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(a_request_becomes_the_head_that_http_1_would_have_sent),
	    cmocka_unit_test(an_extended_connect_becomes_an_upgrade),
	    cmocka_unit_test(the_first_fault_stands),
	    cmocka_unit_test(no_more_is_kept_than_the_limit),
	    cmocka_unit_test(trailers_lose_what_may_not_stand_behind_a_body),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
