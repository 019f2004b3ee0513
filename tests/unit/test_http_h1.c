/* LINK: http/h1 http/head http/fields base/buf base/mem */
#include "http_usual.h"

#include <stdlib.h>

#include "http/h1.h"

static const struct h1_limits limits = {.head_bytes = 2048, .target_bytes = 64};

struct outcome {
	enum h1_result result;
	enum h1_fault fault;
	uint32_t fault_at, size;
	struct head head;
};

/* The message in steps that end at cuts, each time in memory of its own that ends where the bytes do. A fault may only
 * be found with the bytes that hold it, so the steps stop at the first answer. */
static struct outcome
feed(enum h1_kind kind, struct slice text, const size_t *cuts, size_t count)
{
	struct outcome o = {.result = H1_PARTIAL};
	struct h1_parser p;

	h1_parser_init(&p, kind, &limits);
	for (size_t i = 0; i <= count && o.result == H1_PARTIAL; i++) {
		size_t n = i < count ? cuts[i] : text.n;
		char *bytes = malloc(n == 0 ? 1 : n);
		assert_non_null(bytes);
		if (n > 0)
			memcpy(bytes, text.p, n);
		o.result = h1_parse(&p, &o.head, bytes, n);
		free(bytes);
	}
	o.fault = p.fault;
	o.fault_at = p.fault_at;
	o.size = o.result == H1_WHOLE ? o.head.size : 0;
	o.head.base = text.p;
	return o;
}

static void
expect_same(const struct outcome *a, const struct outcome *b, struct slice text)
{
	bool same = a->result == b->result && a->fault == b->fault && a->fault_at == b->fault_at;

	if (same && a->result == H1_WHOLE)
		same = a->size == b->size && a->head.count == b->head.count &&
		    a->head.method == b->head.method && a->head.status == b->head.status &&
		    slice_eq(head_target(&a->head), head_target(&b->head));
	for (unsigned i = 0; same && a->result == H1_WHOLE && i < a->head.count; i++) {
		const struct field *f = &a->head.fields[i], *g = &b->head.fields[i];
		same = f->id == g->id && f->is_hop == g->is_hop &&
		    slice_eq(field_name(&a->head, f), field_name(&b->head, g)) &&
		    slice_eq(field_value(&a->head, f), field_value(&b->head, g));
	}
	if (!same)
		fail_msg("split otherwise, it is %d %s at %u, not %d %s at %u: %.*s", b->result,
		    h1_faults[b->fault].name, b->fault_at, a->result, h1_faults[a->fault].name,
		    a->fault_at, SLICE_FMT(text));
}

/* Whole, byte by byte, cut once at each place, and cut at random: one answer. */
static struct outcome
answer_of(enum h1_kind kind, struct slice text)
{
	struct outcome whole = feed(kind, text, NULL, 0), other;
	size_t *cuts = malloc((text.n + 1) * sizeof *cuts);

	assert_non_null(cuts);
	for (size_t i = 0; i < text.n; i++)
		cuts[i] = i + 1;
	other = feed(kind, text, cuts, text.n);
	expect_same(&whole, &other, text);
	for (size_t i = 0; i <= text.n; i++) {
		other = feed(kind, text, &i, 1);
		expect_same(&whole, &other, text);
	}
	for (unsigned round = 0; round < 20; round++) {
		size_t count = 0;
		for (size_t at = 0; at < text.n; at += 1 + (size_t)(rand() % 23))
			cuts[count++] = at;
		other = feed(kind, text, cuts, count);
		expect_same(&whole, &other, text);
	}
	free(cuts);
	return whole;
}

struct example {
	struct slice text;
	enum h1_fault fault; /* none: it is good */
};
#define EXAMPLE(fault, text)                               \
	{                                                  \
		{text, sizeof(text) - 1}, H1_FAULT_##fault \
	}
#define HOST "Host: a.example\r\n"
#define GET "GET / HTTP/1.1\r\n" HOST

static void
expect_answers(enum h1_kind kind, const struct example *e, size_t count)
{
	for (; count-- > 0; e++) {
		struct outcome o = answer_of(kind, e->text);
		struct framing framing;
		enum h1_fault fault = o.fault;
		if (o.result == H1_PARTIAL)
			fail_msg("unfinished: %.*s", SLICE_FMT(e->text));
		if (o.result == H1_WHOLE &&
		    (kind == H1_REQUEST
			    ? h1_request_framing(&o.head, &framing, &fault)
			    : h1_response_framing(&o.head, METHOD_GET, &framing, &fault)))
			fault = H1_FAULT_none;
		if (fault != e->fault)
			fail_msg("%s, not %s: %.*s", h1_faults[fault].name,
			    h1_faults[e->fault].name, SLICE_FMT(e->text));
	}
}
#define EXPECT_ANSWERS(kind, e) expect_answers((kind), (e), sizeof(e) / sizeof(*(e)))

static void
requests_as_clients_write_them_are_understood(void **state)
{
	static const struct example good[] = {
	    EXAMPLE(none, GET "\r\n"),
	    EXAMPLE(none, "\r\n" GET "\r\n"),
	    EXAMPLE(none, "GET / HTTP/1.0\r\n\r\n"),
	    EXAMPLE(none, "GET / HTTP/1.2\r\n" HOST "\r\n"),
	    EXAMPLE(none, "M-SEARCH * HTTP/1.1\r\nhOST:a\r\n\r\n"),
	    EXAMPLE(none, "GET http://a.example/x HTTP/1.1\r\n" HOST "\r\n"),
	    EXAMPLE(none, "OPTIONS * HTTP/1.1\r\n" HOST "\r\n"),
	    EXAMPLE(none, "GET /a|b?c={d}&e=[1] HTTP/1.1\r\n" HOST "\r\n"),
	    EXAMPLE(none, GET "X:\r\nX: \t \r\nX:\tv\t \r\n\r\n"),
	    EXAMPLE(none, GET "X: \xe4\xff\x80 \t\"\\\r\n\r\n"),
	    EXAMPLE(none, GET "!#$%&'*+-.^_`|~09: v\r\n\r\n"),
	    EXAMPLE(none, "POST / HTTP/1.1\r\n" HOST "Content-Length: 0\r\n\r\n"),
	    EXAMPLE(none, "POST / HTTP/1.1\r\n" HOST "Content-Length: 0005\r\n\r\n"),
	    EXAMPLE(none, "POST / HTTP/1.1\r\n" HOST "Content-Length:9223372036854775807\r\n\r\n"),
	    EXAMPLE(none, "POST / HTTP/1.1\r\n" HOST "transfer-encoding:\tChunked \r\n\r\n"),
	};
	EXPECT_ANSWERS(H1_REQUEST, good);
}

static void
a_line_ends_in_cr_lf_and_in_nothing_else(void **state)
{
	static const struct example bad[] = {
	    EXAMPLE(bare_lf, "GET / HTTP/1.1\nHost: a\r\n\r\n"),
	    EXAMPLE(bare_lf, "GET / HTTP/1.1\r\nHost: a\n\r\n"),
	    EXAMPLE(bare_lf, GET "\n"),
	    EXAMPLE(bare_lf, "\n" GET "\r\n"),
	    EXAMPLE(field_value, GET "X: a\rY: b\r\n\r\n"),
	    EXAMPLE(field_value, GET "X: a\r\r\n\r\n"),
	    EXAMPLE(field_name, GET "\rX: a\r\n\r\n"),
	    EXAMPLE(start_line, "GET / HTTP/1.1\r\r\n" HOST "\r\n"),
	    EXAMPLE(target, "GET /\rx HTTP/1.1\r\n" HOST "\r\n"),
	    EXAMPLE(start_line, "\r\n\r\n" GET "\r\n"),
	};
	EXPECT_ANSWERS(H1_REQUEST, bad);
}

static void
a_request_line_has_three_parts_and_two_blanks(void **state)
{
	static const struct example bad[] = {
	    EXAMPLE(start_line, " GET / HTTP/1.1\r\n" HOST "\r\n"),
	    EXAMPLE(start_line, "GET  / HTTP/1.1\r\n" HOST "\r\n"),
	    EXAMPLE(start_line, "GET /  HTTP/1.1\r\n" HOST "\r\n"),
	    EXAMPLE(start_line, "GET / HTTP/1.1 \r\n" HOST "\r\n"),
	    EXAMPLE(start_line, "GET\t/ HTTP/1.1\r\n" HOST "\r\n"),
	    EXAMPLE(target, "GET /\tHTTP/1.1\r\n" HOST "\r\n"),
	    EXAMPLE(start_line, "GET /\r\n" HOST "\r\n"),
	    EXAMPLE(start_line, "GET\r\n" HOST "\r\n"),
	    EXAMPLE(start_line, "G\xc3\x84T / HTTP/1.1\r\n" HOST "\r\n"),
	    EXAMPLE(start_line, "G(T / HTTP/1.1\r\n" HOST "\r\n"),
	    EXAMPLE(start_line, "GET / http/1.1\r\n" HOST "\r\n"),
	    EXAMPLE(start_line, "GET / HTTP/1.10\r\n" HOST "\r\n"),
	    EXAMPLE(start_line, "GET / HTTP/01.1\r\n" HOST "\r\n"),
	    EXAMPLE(start_line, "GET / HTTP/1\r\n" HOST "\r\n"),
	    EXAMPLE(start_line, "GET / HTTP/+1.1\r\n" HOST "\r\n"),
	    EXAMPLE(start_line, "GET / x HTTP/1.1\r\n" HOST "\r\n"),
	    EXAMPLE(version, "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"),
	    EXAMPLE(version, "GET / HTTP/0.9\r\n" HOST "\r\n"),
	    EXAMPLE(target, "GET /a\0b HTTP/1.1\r\n" HOST "\r\n"),
	    EXAMPLE(target, "GET /\xc3\xa4 HTTP/1.1\r\n" HOST "\r\n"),
	    EXAMPLE(target, "GET /a\x7f HTTP/1.1\r\n" HOST "\r\n"),
	    EXAMPLE(target, "GET /a#b HTTP/1.1\r\n" HOST "\r\n"),
	    EXAMPLE(target, "GET /<a> HTTP/1.1\r\n" HOST "\r\n"),
	};
	EXPECT_ANSWERS(H1_REQUEST, bad);
}

static void
what_two_readers_could_take_for_different_fields_is_refused(void **state)
{
	static const struct example bad[] = {
	    EXAMPLE(folded, GET "X: a\r\n b\r\n\r\n"),
	    EXAMPLE(folded, GET "X: a\r\n\tb\r\n\r\n"),
	    EXAMPLE(folded, "GET / HTTP/1.1\r\n X: a\r\n" HOST "\r\n"),
	    EXAMPLE(field_name, GET "X : a\r\n\r\n"),
	    EXAMPLE(field_name, GET "Content-Length\t: 5\r\n\r\n"),
	    EXAMPLE(field_name, GET ": a\r\n\r\n"),
	    EXAMPLE(field_name, GET "X\r\n\r\n"),
	    EXAMPLE(field_name, GET "X Y: a\r\n\r\n"),
	    EXAMPLE(field_name, GET "X\0: a\r\n\r\n"),
	    EXAMPLE(field_name, GET "X\xa0: a\r\n\r\n"),
	    EXAMPLE(field_name, GET "X;: a\r\n\r\n"),
	    EXAMPLE(field_value, GET "X: a\0b\r\n\r\n"),
	    EXAMPLE(field_value, GET "X: 12345678\x7f\r\n\r\n"),
	    EXAMPLE(field_value, GET "X: 1234567\x1b[2J 901234567\r\n\r\n"),
	    EXAMPLE(field_value, GET "X: a\x0b\r\n\r\n"),
	};
	EXPECT_ANSWERS(H1_REQUEST, bad);
}

static void
a_request_says_once_whom_it_is_for(void **state)
{
	static const struct example bad[] = {
	    EXAMPLE(no_host, "GET / HTTP/1.1\r\n\r\n"),
	    EXAMPLE(no_host, "GET http://a/ HTTP/1.1\r\nX-Host: a\r\n\r\n"),
	    EXAMPLE(repeated_host, GET HOST "\r\n"),
	    EXAMPLE(repeated_host, "GET / HTTP/1.0\r\n" HOST "X: a\r\nhost: b\r\n\r\n"),
	};
	EXPECT_ANSWERS(H1_REQUEST, bad);
}

static void
a_length_that_is_no_plain_number_is_refused_from_either_side(void **state)
{
#define LENGTHS(start)                                                                       \
	EXAMPLE(length, start "Content-Length: +5\r\n\r\n"),                                 \
	    EXAMPLE(length, start "Content-Length: -0\r\n\r\n"),                             \
	    EXAMPLE(length, start "Content-Length: 0x5\r\n\r\n"),                            \
	    EXAMPLE(length, start "Content-Length: 5 0\r\n\r\n"),                            \
	    EXAMPLE(length, start "Content-Length: 5.0\r\n\r\n"),                            \
	    EXAMPLE(length, start "Content-Length: 1e3\r\n\r\n"),                            \
	    EXAMPLE(length, start "Content-Length: 5, 5\r\n\r\n"),                           \
	    EXAMPLE(length, start "Content-Length: 5,\r\n\r\n"),                             \
	    EXAMPLE(length, start "Content-Length: \"5\"\r\n\r\n"),                          \
	    EXAMPLE(length, start "Content-Length: five\r\n\r\n"),                           \
	    EXAMPLE(length, start "Content-Length:\r\n\r\n"),                                \
	    EXAMPLE(length, start "Content-Length: 9223372036854775808\r\n\r\n"),            \
	    EXAMPLE(length, start "Content-Length: 18446744073709551616\r\n\r\n"),           \
	    EXAMPLE(length, start "Content-Length: 18446744073709551621\r\n\r\n"),           \
	    EXAMPLE(length, start "Content-Length: 5\r\nContent-Length: 5\r\n\r\n"),         \
	    EXAMPLE(length, start "Content-Length: 5\r\nX: y\r\ncontent-length: 6\r\n\r\n"), \
	    EXAMPLE(length_and_coding,                                                       \
		start "Content-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n"),            \
	    EXAMPLE(length_and_coding,                                                       \
		start "Transfer-Encoding: identity\r\nContent-Length: 5\r\n\r\n")
	static const struct example requests[] = {LENGTHS("POST / HTTP/1.1\r\n" HOST)};
	static const struct example responses[] = {LENGTHS("HTTP/1.1 200 OK\r\n")};

	EXPECT_ANSWERS(H1_REQUEST, requests);
	EXPECT_ANSWERS(H1_RESPONSE, responses);
}

#define POST "POST / HTTP/1.1\r\n" HOST

static void
a_request_body_is_chunked_once_and_last_or_not_at_all(void **state)
{
	static const struct example bad[] = {
	    EXAMPLE(coding, POST "Transfer-Encoding: chunked, chunked\r\n\r\n"),
	    EXAMPLE(
		coding, POST "Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n"),
	    EXAMPLE(coding, POST "Transfer-Encoding: chunked, gzip\r\n\r\n"),
	    EXAMPLE(
		coding, POST "Transfer-Encoding: chunked\r\nTransfer-Encoding: identity\r\n\r\n"),
	    EXAMPLE(coding, POST "Transfer-Encoding:\r\n\r\n"),
	    EXAMPLE(coding, POST "Transfer-Encoding: ,\r\n\r\n"),
	    EXAMPLE(coding_unknown, POST "Transfer-Encoding: gzip, chunked\r\n\r\n"),
	    EXAMPLE(coding_unknown, POST "Transfer-Encoding: identity\r\n\r\n"),
	    EXAMPLE(coding_unknown, POST "Transfer-Encoding: xchunked\r\n\r\n"),
	    EXAMPLE(coding_unknown, POST "Transfer-Encoding: chunked;q=1\r\n\r\n"),
	    EXAMPLE(coding_unknown, POST "Transfer-Encoding: \"chunked\"\r\n\r\n"),
	    EXAMPLE(field_value,
		POST "Transfer-Encoding: \x0b"
		     "chunked\r\n\r\n"),
	    EXAMPLE(coding_in_10, "POST / HTTP/1.0\r\n" HOST "Transfer-Encoding: chunked\r\n\r\n"),
	};
	EXPECT_ANSWERS(H1_REQUEST, bad);
}

static void
status_lines_may_lack_the_reason_but_nothing_else(void **state)
{
	static const struct example lines[] = {
	    EXAMPLE(none, "HTTP/1.1 200 OK\r\n\r\n"),
	    EXAMPLE(none, "HTTP/1.1 200 \r\n\r\n"),
	    EXAMPLE(none, "HTTP/1.1 200\r\n\r\n"),
	    EXAMPLE(none, "HTTP/1.0 999 \xc3\xa4h\tno\r\n\r\n"),
	    EXAMPLE(status_line, "HTTP/1.1 099 x\r\n\r\n"),
	    EXAMPLE(status_line, "HTTP/1.1 20 OK\r\n\r\n"),
	    EXAMPLE(status_line, "HTTP/1.1 2000 OK\r\n\r\n"),
	    EXAMPLE(status_line, "HTTP/1.1 200OK\r\n\r\n"),
	    EXAMPLE(status_line, "HTTP/1.1 +20 OK\r\n\r\n"),
	    EXAMPLE(status_line, "HTTP/1.1  200 OK\r\n\r\n"),
	    EXAMPLE(status_line, "HTTP/1.1 200 O\0K\r\n\r\n"),
	    EXAMPLE(status_line, "HTTP/1.1 200 O\rK\r\n\r\n"),
	    EXAMPLE(status_line, "ICY 200 OK\r\n\r\n"),
	    EXAMPLE(status_line, "\r\nHTTP/1.1 200 OK\r\n\r\n"),
	    EXAMPLE(version, "HTTP/2.0 200 OK\r\n\r\n"),
	    EXAMPLE(folded, "HTTP/1.1 200 OK\r\nX: a\r\n b\r\n\r\n"),
	    EXAMPLE(field_name, "HTTP/1.1 200 OK\r\nX : a\r\n\r\n"),
	    EXAMPLE(field_value, "HTTP/1.1 200 OK\r\nX: a\0\r\n\r\n"),
	    EXAMPLE(bare_lf, "HTTP/1.1 200 OK\nX: a\n\n"),
	    EXAMPLE(coding, "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked, chunked\r\n\r\n"),
	    EXAMPLE(coding, "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked, gzip\r\n\r\n"),
	    EXAMPLE(coding_in_10, "HTTP/1.0 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"),
	};
	EXPECT_ANSWERS(H1_RESPONSE, lines);
}

static void
limits_are_met_to_the_byte(void **state)
{
	char text[4096], *end;
	struct outcome o;

	for (int over = 0; over < 2; over++) {
		memset(text, 'a', sizeof text);
		memcpy(text, "GET /", 5);
		end = text + 4 + limits.target_bytes + over;
		memcpy(end, " HTTP/1.1\r\n" HOST "\r\n", sizeof(" HTTP/1.1\r\n" HOST "\r\n"));
		o = answer_of(H1_REQUEST, slice_from(text));
		assert_int_equal(o.fault, over ? H1_FAULT_target_too_long : H1_FAULT_none);

		memset(text, 'M', sizeof text);
		strcpy(text + 32 + over, " / HTTP/1.1\r\n" HOST "\r\n");
		o = answer_of(H1_REQUEST, slice_from(text));
		assert_int_equal(o.fault, over ? H1_FAULT_start_line : H1_FAULT_none);

		memset(text, 'a', sizeof text);
		memcpy(text, GET "X: ", sizeof(GET "X: ") - 1);
		memcpy(text + limits.head_bytes + over - 4, "\r\n\r\n", 5);
		o = answer_of(H1_REQUEST, slice_from(text));
		assert_int_equal(o.fault, over ? H1_FAULT_head_too_large : H1_FAULT_none);

		end = stpcpy(text, GET);
		for (int i = 1; i < HEAD_FIELDS_MAX + over; i++)
			end = stpcpy(end, "X: y\r\n");
		strcpy(end, "\r\n");
		o = answer_of(H1_REQUEST, slice_from(text));
		assert_int_equal(o.fault, over ? H1_FAULT_too_many_fields : H1_FAULT_none);
	}
	assert_int_equal(h1_faults[H1_FAULT_target_too_long].status, 414);
	assert_int_equal(h1_faults[H1_FAULT_head_too_large].status, 431);
	assert_int_equal(h1_faults[H1_FAULT_too_many_fields].status, 431);
	assert_int_equal(h1_faults[H1_FAULT_coding_unknown].status, 501);
	assert_int_equal(h1_faults[H1_FAULT_version].status, 505);
}

static bool
is_hop(const struct head *h, const char *name)
{
	const struct field *f = head_find_name(h, slice_from(name));

	assert_non_null(f);
	return f->is_hop;
}

static void
a_client_cannot_take_away_what_the_origin_must_see(void **state)
{
	struct outcome o = answer_of(H1_REQUEST,
	    SLICE_LIT("GET / HTTP/1.1\r\nHost: a\r\n"
		      "Connection: close, x-own, Host, content-length\r\n"
		      "Connection: Accept-Language, accept-encoding, Cookie, X-Forwarded-Proto\r\n"
		      "Connection: if-none-match, authorization, Origin\r\n"
		      "X-Own: 1\r\nContent-Length: 0\r\nAccept-Language: de\r\n"
		      "Accept-Encoding: br\r\nCookie: a=b\r\nX-Forwarded-Proto: https\r\n"
		      "If-None-Match: \"x\"\r\nAuthorization: Basic eA==\r\nOrigin: null\r\n"
		      "TE: trailers\r\nKeep-Alive: 5\r\n\r\n"));

	assert_int_equal(o.result, H1_WHOLE);
	assert_true(is_hop(&o.head, "X-Own"));
	assert_true(is_hop(&o.head, "Connection"));
	assert_true(is_hop(&o.head, "TE"));
	assert_true(is_hop(&o.head, "Keep-Alive"));
	assert_false(is_hop(&o.head, "Host"));
	assert_false(is_hop(&o.head, "Content-Length"));
	assert_false(is_hop(&o.head, "Accept-Language"));
	assert_false(is_hop(&o.head, "Accept-Encoding"));
	assert_false(is_hop(&o.head, "Cookie"));
	assert_false(is_hop(&o.head, "X-Forwarded-Proto"));
	assert_false(is_hop(&o.head, "If-None-Match"));
	assert_false(is_hop(&o.head, "Authorization"));
	assert_false(is_hop(&o.head, "Origin"));
}

static void
a_client_cannot_make_us_search_for_thousands_of_names(void **state)
{
	for (int over = 0; over < 2; over++) {
		char text[1024], *end = stpcpy(text, GET "Connection: ,,");
		struct outcome o;
		for (int i = 0; i < 64 + over; i++)
			end = stpcpy(end, "a,");
		strcpy(end, "\r\n\r\n");
		o = answer_of(H1_REQUEST, slice_from(text));
		assert_int_equal(o.fault, over ? H1_FAULT_connection : H1_FAULT_none);
	}
}

static void
an_origin_keeps_any_field_to_this_hop_but_what_describes_the_body(void **state)
{
	struct outcome o = answer_of(H1_RESPONSE,
	    SLICE_LIT(
		"HTTP/1.1 200 OK\r\nConnection: a, server, Content-Length, content-type\r\n"
		"A: 1\r\na: 2\r\nServer: s\r\nContent-Length: 0\r\nContent-Type: x/y\r\n\r\n"));

	assert_int_equal(o.result, H1_WHOLE);
	assert_true(is_hop(&o.head, "A"));
	assert_true(head_next_name(&o.head, head_find_name(&o.head, SLICE_LIT("a")))->is_hop);
	assert_true(is_hop(&o.head, "Server"));
	assert_false(is_hop(&o.head, "Content-Length"));
	assert_false(is_hop(&o.head, "Content-Type"));
}

static struct framing
framing_of(enum method method, const char *text)
{
	struct outcome o = answer_of(H1_RESPONSE, slice_from(text));
	struct framing framing = {.kind = FRAMING_CLOSE};
	enum h1_fault fault;

	assert_int_equal(o.result, H1_WHOLE);
	assert_true(h1_response_framing(&o.head, method, &framing, &fault));
	return framing;
}

static void
a_response_ends_where_its_request_and_status_say(void **state)
{
	struct framing f = framing_of(METHOD_GET, "HTTP/1.1 200 OK\r\nContent-Length: 7\r\n\r\n");

	assert_int_equal(f.kind, FRAMING_LENGTH);
	assert_int_equal(f.length, 7);
	f = framing_of(METHOD_GET, "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n");
	assert_int_equal(f.kind, FRAMING_CHUNKED);
	assert_int_equal(framing_of(METHOD_GET, "HTTP/1.1 200 OK\r\n\r\n").kind, FRAMING_CLOSE);
	assert_int_equal(
	    framing_of(METHOD_HEAD, "HTTP/1.1 200 OK\r\nContent-Length: 7\r\n\r\n").kind,
	    FRAMING_NONE);
	assert_int_equal(framing_of(METHOD_GET, "HTTP/1.1 304 x\r\nContent-Length: 7\r\n\r\n").kind,
	    FRAMING_NONE);
	assert_int_equal(
	    framing_of(METHOD_GET, "HTTP/1.1 204 x\r\nTransfer-Encoding: chunked\r\n\r\n").kind,
	    FRAMING_NONE);
	assert_int_equal(framing_of(METHOD_GET, "HTTP/1.1 103 x\r\n\r\n").kind, FRAMING_NONE);
	assert_false(f.is_coded);
	f = framing_of(METHOD_GET, "HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip, chunked\r\n\r\n");
	assert_int_equal(f.kind, FRAMING_CLOSE);
	assert_true(f.is_coded);
	f = framing_of(METHOD_GET, "HTTP/1.1 200 OK\r\nTransfer-Encoding: nobodys\r\n\r\n");
	assert_int_equal(f.kind, FRAMING_CLOSE);
	assert_false(f.is_coded);
}

static void
a_connection_lasts_as_its_version_and_options_say(void **state)
{
	static const struct {
		const char *text;
		bool lasts;
	} rows[] = {
	    {"HTTP/1.1 200\r\n\r\n", true},
	    {"HTTP/1.1 200\r\nConnection: x, CLOSE\r\n\r\n", false},
	    {"HTTP/1.0 200\r\n\r\n", false},
	    {"HTTP/1.0 200\r\nConnection: Keep-Alive\r\n\r\n", true},
	    {"HTTP/1.0 200\r\nConnection: keep-alive\r\nConnection: close\r\n\r\n", false},
	};

	for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
		struct outcome o = answer_of(H1_RESPONSE, slice_from(rows[i].text));
		assert_int_equal(o.result, H1_WHOLE);
		assert_int_equal(h1_keeps_alive(&o.head), rows[i].lasts);
	}
}

/* --- chunks --- */

struct decoded {
	enum chunk_result result;
	struct buf body, trailers;
	size_t used;
};

/* Each step sees what was not used yet and what has come since, in memory that ends there. */
static struct decoded
decode(struct slice text, size_t step)
{
	struct decoded d = {.result = CHUNK_MORE};
	struct h1_chunked c;

	h1_chunked_init(&c);
	for (size_t come = 0; d.result == CHUNK_MORE && come < text.n;) {
		come = text.n - come < step ? text.n : come + step;
		do {
			size_t n = come - d.used, used;
			struct slice payload = SLICE_NONE;
			char *bytes = malloc(n == 0 ? 1 : n);
			assert_non_null(bytes);
			if (n > 0)
				memcpy(bytes, text.p + d.used, n);
			d.result =
			    h1_chunked_next(&c, slice_of(bytes, n), &payload, &used, &d.trailers);
			if (d.result == CHUNK_DATA)
				buf_add_slice(&d.body, payload);
			free(bytes);
			d.used += used;
		} while (d.result == CHUNK_DATA);
	}
	return d;
}

static void
expect_chunks(struct slice text, enum chunk_result result, const char *body, const char *trailers)
{
	for (size_t step = 1; step <= text.n; step++) {
		struct decoded d = decode(text, step);
		if (d.result != result)
			fail_msg("%d, not %d, in steps of %zu: %.*s", d.result, result, step,
			    SLICE_FMT(text));
		if (result == CHUNK_END) {
			expect_text(buf_slice(&d.body), body);
			expect_text(buf_slice(&d.trailers), trailers);
		}
		buf_fini(&d.body);
		buf_fini(&d.trailers);
	}
}
#define EXPECT_BODY(text, body, trailers) \
	expect_chunks(SLICE_LIT(text), CHUNK_END, (body), (trailers))
#define EXPECT_BAD_CHUNKS(text) expect_chunks(SLICE_LIT(text), CHUNK_BAD, "", "")

static void
chunks_become_the_body_they_carry(void **state)
{
	EXPECT_BODY("0\r\n\r\n", "", "");
	EXPECT_BODY("5\r\nhello\r\n0\r\n\r\n", "hello", "");
	EXPECT_BODY("00000000000000A\r\n0123456789\r\n1\r\n\n\r\n000\r\n\r\n", "0123456789\n", "");
	EXPECT_BODY("3;a;b=c;d=\"e;\xe4\"\r\n\r\n0\r\n0;x\r\n\r\n", "\r\n0", "");
}

static void
a_chunk_size_is_plain_hex_and_a_chunk_ends_with_its_data(void **state)
{
	EXPECT_BAD_CHUNKS("0x5\r\nhello\r\n0\r\n\r\n");
	EXPECT_BAD_CHUNKS("+5\r\nhello\r\n0\r\n\r\n");
	EXPECT_BAD_CHUNKS("-0\r\n\r\n");
	EXPECT_BAD_CHUNKS(" 5\r\nhello\r\n0\r\n\r\n");
	EXPECT_BAD_CHUNKS("5 \r\nhello\r\n0\r\n\r\n");
	EXPECT_BAD_CHUNKS("5 0\r\nhello\r\n0\r\n\r\n");
	EXPECT_BAD_CHUNKS("\r\n0\r\n\r\n");
	EXPECT_BAD_CHUNKS(";a\r\n0\r\n\r\n");
	EXPECT_BAD_CHUNKS("G\r\n\r\n");
	EXPECT_BAD_CHUNKS("10000000000000000\r\nx");
	EXPECT_BAD_CHUNKS("00000000000000005\r\nhello\r\n0\r\n\r\n");
	EXPECT_BAD_CHUNKS("FFFFFFFFFFFFFFFF\r\nx");
	EXPECT_BAD_CHUNKS("5\nhello\r\n0\r\n\r\n");
	EXPECT_BAD_CHUNKS("5\rhello\r\n0\r\n\r\n");
	EXPECT_BAD_CHUNKS("5;a\nhello\r\n0\r\n\r\n");
	EXPECT_BAD_CHUNKS("5;a\rb\r\nhello\r\n0\r\n\r\n");
	EXPECT_BAD_CHUNKS("5;a\0\r\nhello\r\n0\r\n\r\n");
	EXPECT_BAD_CHUNKS("5\r\nhello!\r\n0\r\n\r\n");
	EXPECT_BAD_CHUNKS("5\r\nhello\n0\r\n\r\n");
	EXPECT_BAD_CHUNKS("5\r\nhello0\r\n\r\n");
	EXPECT_BAD_CHUNKS("0\r\n\n");
}

static void
a_body_cut_short_is_never_whole(void **state)
{
	static const char text[] = "5;x\r\nhello\r\n0\r\nA: b\r\n\r\n";

	for (size_t n = 1; n + 1 < sizeof text; n++) {
		struct decoded d = decode(slice_of(text, n), n);
		if (d.result != CHUNK_MORE)
			assert_int_equal(d.result, CHUNK_BAD);
		assert_int_not_equal(d.result, CHUNK_END);
		buf_fini(&d.body);
		buf_fini(&d.trailers);
	}
}

static void
bytes_behind_the_body_are_left_alone(void **state)
{
	static const char text[] = "1\r\na\r\n0\r\n\r\nGET / HTTP/1.1\r\n";
	struct decoded d = decode(slice_from(text), sizeof text - 1);

	assert_int_equal(d.result, CHUNK_END);
	expect_text(slice_from(text + d.used), "GET / HTTP/1.1\r\n");
	buf_fini(&d.body);
	buf_fini(&d.trailers);
}

static void
trailers_bring_what_may_stand_behind_a_body(void **state)
{
	EXPECT_BODY("0\r\nServer-Timing:  db;dur=5 \r\ngrpc-status:0\r\n\r\n", "",
	    "Server-Timing: db;dur=5\r\ngrpc-status: 0\r\n");
	EXPECT_BODY("0\r\nHost: evil\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n"
		    "Trailer: x\r\nConnection: x\r\nCookie: a\r\nSet-Cookie: a\r\n"
		    "Authorization: x\r\nProxy-Authorization: x\r\nX-Forwarded-For: 1\r\n"
		    "Cache-Control: public\r\nContent-Encoding: br\r\nX: y\r\n\r\n",
	    "", "X: y\r\n");
	EXPECT_BAD_CHUNKS("0\r\nX : y\r\n\r\n");
	EXPECT_BAD_CHUNKS("0\r\nX: y\r\n z\r\n\r\n");
	EXPECT_BAD_CHUNKS("0\r\nX: y\n\r\n");
	EXPECT_BAD_CHUNKS("0\r\nX: a\rb\r\n\r\n");
	EXPECT_BAD_CHUNKS("0\r\n: y\r\n\r\n");
	EXPECT_BAD_CHUNKS("0\r\nX\r\n\r\n");
}

static void
a_peer_cannot_send_extensions_or_trailers_without_end(void **state)
{
	char text[2 * H1_TRAILERS_MAX];
	char *end = text;
	struct decoded d;

	memset(text, 'a', sizeof text);
	text[0] = '5', text[1] = ';';
	d = decode(slice_of(text, sizeof text), 100);
	assert_int_equal(d.result, CHUNK_BAD);
	buf_fini(&d.trailers);
	end = stpcpy(end, "0\r\n");
	while (end + 10 < text + sizeof text)
		end = stpcpy(end, "X: yy\r\n");
	d = decode(slice_of(text, (size_t)(end - text)), 100);
	assert_int_equal(d.result, CHUNK_BAD);
	assert_true(d.trailers.n <= H1_TRAILERS_MAX * 2);
	buf_fini(&d.trailers);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(requests_as_clients_write_them_are_understood),
	    cmocka_unit_test(a_line_ends_in_cr_lf_and_in_nothing_else),
	    cmocka_unit_test(a_request_line_has_three_parts_and_two_blanks),
	    cmocka_unit_test(what_two_readers_could_take_for_different_fields_is_refused),
	    cmocka_unit_test(a_request_says_once_whom_it_is_for),
	    cmocka_unit_test(a_length_that_is_no_plain_number_is_refused_from_either_side),
	    cmocka_unit_test(a_request_body_is_chunked_once_and_last_or_not_at_all),
	    cmocka_unit_test(status_lines_may_lack_the_reason_but_nothing_else),
	    cmocka_unit_test(limits_are_met_to_the_byte),
	    cmocka_unit_test(a_client_cannot_take_away_what_the_origin_must_see),
	    cmocka_unit_test(a_client_cannot_make_us_search_for_thousands_of_names),
	    cmocka_unit_test(an_origin_keeps_any_field_to_this_hop_but_what_describes_the_body),
	    cmocka_unit_test(a_response_ends_where_its_request_and_status_say),
	    cmocka_unit_test(a_connection_lasts_as_its_version_and_options_say),
	    cmocka_unit_test(chunks_become_the_body_they_carry),
	    cmocka_unit_test(a_chunk_size_is_plain_hex_and_a_chunk_ends_with_its_data),
	    cmocka_unit_test(a_body_cut_short_is_never_whole),
	    cmocka_unit_test(bytes_behind_the_body_are_left_alone),
	    cmocka_unit_test(trailers_bring_what_may_stand_behind_a_body),
	    cmocka_unit_test(a_peer_cannot_send_extensions_or_trailers_without_end),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
