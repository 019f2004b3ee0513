/* LINK: http/h2head http/h2field http/priority http/sf http/sf_bare http/h1 http/head http/fields base/buf base/mem */
#include "http_usual.h"

#include "h2_twin.h"

#define KEY SLICE_LIT("AAAAAAAAAAAAAAAAAAAAAA==")

static void
put(struct h2_head *h, struct slice name, struct slice value)
{
	struct h2_field f = {.name = name, .value = value};

	h2_field_judge_name(&f);
	h2_field_judge_value(&f);
	h2_head_field(h, &f);
}

/* "name value" each; NULL ends. By both ways. */
static enum h2_fault
read_fields(struct h2_head *h, const char *const *lines)
{
	struct twin_field fields[8 + HEAD_FIELDS_MAX];
	unsigned n = 0;

	for (; lines[n] != NULL; n++) {
		struct slice line = slice_from(lines[n]);
		size_t blank = slice_index(line, ' ');

		fields[n] =
		    (struct twin_field){slice_of(line.p, blank), slice_skip(line, blank + 1)};
	}
	h2_head_begin(h, false, 4096, 100);
	twin_read(h, fields, n, KEY);
	assert_true(twin_agrees(h, fields, n, KEY));
	return h->fault;
}

static void
assert_head(const struct h2_head *h, const char *wanted)
{
	struct buf b = {0};

	assert_int_equal(h->fault, H2_FAULT_none);
	buf_add_slice(&b, head_method(h->head));
	buf_add_char(&b, ' ');
	buf_add_slice(&b, head_target(h->head));
	for (unsigned i = 0; i < h->head->count; i++) {
		buf_add_char(&b, '\n');
		buf_add_slice(&b, field_name(h->head, &h->head->fields[i]));
		buf_add_lit(&b, ": ");
		buf_add_slice(&b, field_value(h->head, &h->head->fields[i]));
	}
	buf_add_char(&b, '\0');
	assert_string_equal(b.p, wanted);
	buf_fini(&b);
}

static void
a_request_becomes_the_head_that_http_1_would_have_sent(void **state)
{
	static const char *const fields[] = {":method GET", ":scheme https", ":authority a.example",
	    ":path /b?c", "cookie a=1", "accept */*", "te trailers", "host A.example", "cookie b=2",
	    "cookie ", "priority u=1", NULL};
	struct h2_head h = {0};

	read_fields(&h, fields);
	assert_head(&h, "GET /b?c\nhost: a.example\naccept: */*\npriority: u=1\ncookie: a=1; b=2");
	assert_int_equal(h.head->method, METHOD_GET);
	assert_ptr_equal(head_find(h.head, FIELD_ACCEPT), &h.head->fields[1]);
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
	assert_head(&h,
	    "GET /chat\nhost: a\nsec-websocket-version: 13\nconnection: upgrade\n"
	    "upgrade: websocket\nsec-websocket-key: AAAAAAAAAAAAAAAAAAAAAA==");
	assert_true(head_find(h.head, FIELD_UPGRADE)->is_hop);
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
what_http_1_refuses_is_refused_with_its_status(void **state)
{
	char path[108] = ":path /", method[48] = ":method ";
	const char *const long_path[] = {":method GET", ":scheme http", ":authority a", path, NULL};
	const char *const long_method[] = {method, ":scheme http", ":authority a", ":path /", NULL};
	static const char *const no_host[] = {":method GET", ":scheme http", ":path /", NULL};
	static const char *const two_hosts[] = {
	    ":method GET", ":scheme http", ":path /", "host a", "host a", NULL};
	static const char *const angle[] = {
	    ":method GET", ":scheme http", ":path /<", ":authority a", NULL};
	const char *many[6 + HEAD_FIELDS_MAX] = {
	    ":method GET", ":scheme http", ":path /", "host a"};
	const struct {
		const char *const *fields;
		enum h1_fault fault;
		unsigned status;
	} rows[] = {{long_path, H1_FAULT_target_too_long, 414},
	    {long_method, H1_FAULT_start_line, 400}, {no_host, H1_FAULT_no_host, 400},
	    {two_hosts, H1_FAULT_repeated_host, 400}, {angle, H1_FAULT_target, 400},
	    {many, H1_FAULT_too_many_fields, 431}};
	struct h2_head h = {0};

	memset(path + 7, 'p', sizeof(path) - 8);
	memset(method + 8, 'M', sizeof(method) - 9);
	for (unsigned i = 0; i < HEAD_FIELDS_MAX; i++)
		many[4 + i] = "x y";
	for (size_t i = 0; i < sizeof(rows) / sizeof(*rows); i++) {
		assert_int_equal(read_fields(&h, rows[i].fields), H2_FAULT_as_http1);
		assert_int_equal(h.shared, rows[i].fault);
		assert_int_equal(h2_fault_status(h.fault, h.shared), rows[i].status);
	}
	h2_head_fini(&h);
}

static void
no_more_is_kept_than_the_limit(void **state)
{
	struct h2_head h = {0};
	char value[100];

	memset(value, 'v', sizeof(value));
	h2_head_begin(&h, false, 1000, 100);
	put(&h, SLICE_LIT(":method"), SLICE_LIT("GET"));
	put(&h, SLICE_LIT(":scheme"), SLICE_LIT("http"));
	put(&h, SLICE_LIT(":path"), SLICE_LIT("/"));
	for (int i = 0; i < 1000; i++)
		put(&h, SLICE_LIT("x-a"), slice_of(value, sizeof(value)));
	h2_head_end(&h, KEY);
	assert_int_equal(h.fault, H2_FAULT_too_large);
	assert_true(h.text.n <= 1100);
	h2_head_fini(&h);
}

static void
trailers_lose_what_may_not_stand_behind_a_body(void **state)
{
	struct h2_head h = {0};

	h2_head_begin(&h, true, 1000, 100);
	put(&h, SLICE_LIT("x-sum"), SLICE_LIT("1"));
	put(&h, SLICE_LIT("content-length"), SLICE_LIT("1"));
	put(&h, SLICE_LIT("authorization"), SLICE_LIT("1"));
	h2_head_end(&h, KEY);
	assert_int_equal(h.fault, H2_FAULT_none);
	assert_true(slice_eq(buf_slice(&h.text), SLICE_LIT("x-sum: 1\r\n")));
	put(&h, SLICE_LIT(":path"), SLICE_LIT("/"));
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
	    cmocka_unit_test(what_http_1_refuses_is_refused_with_its_status),
	    cmocka_unit_test(no_more_is_kept_than_the_limit),
	    cmocka_unit_test(trailers_lose_what_may_not_stand_behind_a_body),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
