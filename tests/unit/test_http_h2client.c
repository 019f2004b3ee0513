/* LINK: http/h2client http/h2fields http/h1 http/head http/fields base/buf base/mem */
#include "http_usual.h"

#include <stdlib.h>

#include "http/h2client.h"
#include "http/h2frame.h"

#define OK "\x88" /* :status 200 */

static void
assert_slice(struct slice got, const char *wanted)
{
	assert_int_equal(got.n, strlen(wanted));
	assert_memory_equal(got.p, wanted, got.n);
}

/* One call and its owner, which notes what it is told. */
struct owner {
	struct h2_client *client;
	struct h2_call call;
	struct buf heads, body, trailers, out, upload;
	size_t uploaded;
	bool upload_ends;
	struct slice upload_trailers;
	unsigned news;
};

static void
on_news(void *arg)
{
	struct owner *o = arg;

	o->news++;
	buf_add_slice(&o->heads, buf_slice(&o->call.heads));
	buf_add_slice(&o->body, o->call.data);
	o->trailers.n = 0;
	buf_add_slice(&o->trailers, buf_slice(&o->call.trailers));
	o->call.heads.n = 0;
	o->call.data = SLICE_NONE;
}

static size_t
on_pull(void *arg, char *to, size_t n, bool *end_out, struct slice *trailers_out)
{
	struct owner *o = arg;
	size_t left = o->upload.n - o->uploaded;

	n = n < left ? n : left;
	if (n > 0)
		memcpy(to, o->upload.p + o->uploaded, n);
	o->uploaded += n;
	*end_out = o->upload_ends && n == left;
	*trailers_out = o->upload_trailers;
	return n;
}

static const struct h2_call_owner owner_ops = {on_pull, on_news};

static void
collect(struct owner *o)
{
	const char *p;
	size_t n;

	while ((n = h2_client_out(o->client, &p)) > 0)
		buf_add(&o->out, p, n);
}

static void
begin(struct owner *o, bool has_body)
{
	const struct h2_call_start start = {
	    .head = SLICE_LIT("POST /a HTTP/1.1\r\nHost: h\r\nX-A: b\r\nConnection: x\r\n\r\n"),
	    .has_body = has_body,
	    .head_limit = 16384};

	o->call = (struct h2_call){.owner = &owner_ops, .arg = o};
	assert_int_equal(h2_call_begin(&o->call, o->client, &start), 0);
	collect(o);
}

static void
frame(struct buf *b, enum h2_type type, unsigned flags, uint32_t id, struct slice payload)
{
	char *p = buf_room(b, H2_FRAME_HEAD_BYTES + payload.n);

	h2_put_frame_head(p, payload.n, type, flags, id);
	if (payload.n > 0)
		memcpy(p + H2_FRAME_HEAD_BYTES, payload.p, payload.n);
	b->n += H2_FRAME_HEAD_BYTES + payload.n;
}

static bool
feed(struct owner *o, struct buf *b)
{
	bool goes_on = h2_client_feed(o->client, b->p, b->n, NOON_MS);

	b->n = 0;
	collect(o);
	return h2_client_settle(o->client) && goes_on;
}

/* How many frames of that kind have been sent. */
static unsigned
sent(const struct owner *o, enum h2_type type)
{
	size_t at = H2_PREFACE_BYTES;
	unsigned n = 0;

	while (at < o->out.n) {
		struct h2_frame f;
		size_t bytes = h2_frame_head(o->out.p + at, &f);

		n += f.type == type;
		at += H2_FRAME_HEAD_BYTES + bytes;
	}
	return n;
}

static struct owner *
owner_new(bool has_body)
{
	struct owner *o = calloc(1, sizeof(*o));
	struct buf b = {0};

	o->client = h2_client_new(65536);
	assert_non_null(o->client);
	begin(o, has_body);
	assert_int_equal(h2_client_room(o->client, 100), 0);
	frame(&b, H2_SETTINGS, 0, 0, SLICE_NONE);
	frame(&b, H2_SETTINGS, H2_ACK, 0, SLICE_NONE);
	assert_true(feed(o, &b));
	assert_int_equal(h2_client_room(o->client, 100), 99);
	buf_fini(&b);
	return o;
}

static void
owner_free(struct owner *o)
{
	h2_call_drop(&o->call);
	h2_client_free(&o->client);
	buf_fini(&o->heads);
	buf_fini(&o->body);
	buf_fini(&o->trailers);
	buf_fini(&o->out);
	buf_fini(&o->upload);
	free(o);
}

static void
a_response_comes_as_http1_has_it(void **state)
{
	struct owner *o = owner_new(false);
	struct buf b = {0};

	frame(&b, H2_HEADERS, H2_END_HEADERS, 1,
	    SLICE_LIT("\x08\x03"
		      "103"
		      "\x00\x04link\x01l"));
	frame(&b, H2_HEADERS, H2_END_HEADERS, 1,
	    SLICE_LIT(OK "\x00\x03x-a\x01"
			 "b"));
	frame(&b, H2_DATA, 0, 1, SLICE_LIT("spring "));
	frame(&b, H2_DATA, 0, 1, SLICE_LIT("flood"));
	frame(&b, H2_HEADERS, H2_END_HEADERS | H2_END_STREAM, 1,
	    SLICE_LIT("\x00\x0bgrpc-status\x01"
		      "0"
		      "\x00\x04host\x01h"));
	assert_true(feed(o, &b));
	assert_slice(buf_slice(&o->heads),
	    "HTTP/1.1 103 \r\nlink: l\r\n\r\nHTTP/1.1 200 \r\nx-a: b\r\n\r\n");
	assert_slice(buf_slice(&o->body), "spring flood");
	assert_slice(buf_slice(&o->trailers), "grpc-status: 0\r\n");
	assert_true(o->call.is_ended);
	assert_int_equal(o->call.end, H2_CALL_done);
	buf_fini(&b);
	owner_free(o);
}

/* Each byte by itself: nothing depends on how they come. */
static void
an_end_is_told_though_nothing_comes_after_it(void **state)
{
	struct owner *o = owner_new(false);
	struct buf b = {0};

	frame(&b, H2_HEADERS, H2_END_HEADERS, 1, SLICE_LIT(OK));
	frame(&b, H2_DATA, H2_END_STREAM, 1, SLICE_LIT("abc"));
	for (size_t i = 0; i < b.n; i++)
		assert_true(h2_client_feed(o->client, b.p + i, 1, NOON_MS));
	assert_slice(buf_slice(&o->body), "abc");
	assert_true(o->call.is_ended);
	buf_fini(&b);
	owner_free(o);
}

static void
a_head_that_is_none_ends_its_call_alone(void **state)
{
	static const struct slice heads[] = {
	    SLICE_LIT(OK "\x00\x03X-A\x01"
			 "b"),
	    SLICE_LIT("\x00\x03x-a\x01"
		      "b"),
	    SLICE_LIT(OK "\x00\x0a"
			 "connection\x05"
			 "close"),
	    SLICE_LIT(OK "\x00\x11transfer-encoding\x07"
			 "chunked"),
	    SLICE_LIT(OK "\x00\x03x-a\x03"
			 "b\r\n"),
	    SLICE_LIT(OK "\x00\x05:path\x01/"),
	    SLICE_LIT(OK OK),
	};

	for (unsigned i = 0; i < sizeof(heads) / sizeof(*heads); i++) {
		struct owner *o = owner_new(false);
		struct buf b = {0};

		frame(&b, H2_HEADERS, H2_END_HEADERS, 1, heads[i]);
		assert_true(feed(o, &b));
		assert_int_equal(o->call.end, H2_CALL_bad);
		assert_int_equal(h2_client_calls(o->client), 1);
		h2_call_drop(&o->call);
		begin(o, false);
		frame(&b, H2_HEADERS, H2_END_HEADERS | H2_END_STREAM, 3, SLICE_LIT(OK));
		assert_true(feed(o, &b));
		assert_true(o->call.is_ended);
		buf_fini(&b);
		owner_free(o);
	}
}

static void
a_head_is_bounded_as_it_unfolds(void **state)
{
	struct owner *o = owner_new(false);
	struct buf b = {0}, bomb = {0};

	buf_add_lit(&bomb, OK "\x40\x01x\x7f\xa1\x1e"); /* a value of 4,000 bytes, into the table */
	for (unsigned i = 0; i < 4000; i++)
		buf_add_char(&bomb, 'y');
	for (unsigned i = 0; i < 10000; i++)
		buf_add_char(&bomb, '\xbe'); /* and again */
	frame(&b, H2_HEADERS, H2_END_HEADERS, 1, buf_slice(&bomb));
	assert_true(feed(o, &b));
	assert_int_equal(o->call.end, H2_CALL_too_large);
	assert_true(o->heads.n < 20000);
	buf_fini(&b);
	buf_fini(&bomb);
	owner_free(o);
}

static void
what_the_server_did_not_look_at_is_told_apart(void **state)
{
	struct owner *o = owner_new(false);
	struct buf b = {0};

	frame(&b, H2_RST_STREAM, 0, 1, SLICE_LIT("\0\0\0\x07"));
	assert_true(feed(o, &b));
	assert_int_equal(o->call.end, H2_CALL_turned_away);
	h2_call_drop(&o->call);
	begin(o, false);
	frame(&b, H2_RST_STREAM, 0, 3, SLICE_LIT("\0\0\0\x02"));
	assert_true(feed(o, &b));
	assert_int_equal(o->call.end, H2_CALL_reset);
	h2_call_drop(&o->call);
	begin(o, false);
	frame(&b, H2_GOAWAY, 0, 0, SLICE_LIT("\0\0\0\x03\0\0\0\0"));
	feed(o, &b);
	assert_int_equal(o->call.end, H2_CALL_turned_away);
	assert_true(h2_client_is_leaving(o->client));
	assert_int_equal(h2_client_room(o->client, 100), 0);
	buf_fini(&b);
	owner_free(o);
}

static void
a_streams_window_opens_as_its_owner_takes_and_the_connections_at_once(void **state)
{
	struct owner *o = owner_new(false);
	struct buf b = {0};
	char block[16384] = {0};
	unsigned before = sent(o, H2_WINDOW_UPDATE);

	frame(&b, H2_HEADERS, H2_END_HEADERS, 1, SLICE_LIT(OK));
	for (size_t n = 0; n + sizeof(block) <= H2_CLIENT_WINDOW; n += sizeof(block))
		frame(&b, H2_DATA, 0, 1, slice_of(block, sizeof(block)));
	assert_true(feed(o, &b));
	assert_int_equal(
	    sent(o, H2_WINDOW_UPDATE), before); /* less than half of the connection's */
	h2_call_consumed(&o->call, H2_CLIENT_WINDOW);
	collect(o);
	assert_int_equal(sent(o, H2_WINDOW_UPDATE), before + 1);
	buf_fini(&b);
	owner_free(o);
}

/* By how much the connection's window has been opened. */
static size_t
opened(const struct owner *o)
{
	size_t at = H2_PREFACE_BYTES, sum = 0;

	while (at < o->out.n) {
		struct h2_frame f;
		const unsigned char *p = (const unsigned char *)o->out.p + at + H2_FRAME_HEAD_BYTES;
		size_t bytes = h2_frame_head(o->out.p + at, &f);

		if (f.type == H2_WINDOW_UPDATE && f.id == 0)
			sum += (size_t)p[0] << 24 | (size_t)p[1] << 16 | (size_t)p[2] << 8 | p[3];
		at += H2_FRAME_HEAD_BYTES + bytes;
	}
	return sum;
}

/* 256 bytes of which half are data. */
static void
padded_bytes_open_the_windows_again(void **state)
{
	struct owner *o = owner_new(false);
	struct buf b = {0};
	char block[256] = {127};
	size_t had = opened(o), n = 0;

	frame(&b, H2_HEADERS, H2_END_HEADERS, 1, SLICE_LIT(OK));
	for (; n < 4 * H2_CLIENT_CONNECTION_WINDOW; n += sizeof(block)) {
		frame(&b, H2_DATA, H2_PADDED, 1, slice_of(block, sizeof(block)));
		assert_true(feed(o, &b));
		h2_call_consumed(&o->call, sizeof(block) / 2);
		collect(o);
	}
	assert_int_equal(o->call.end, H2_CALL_open);
	assert_int_equal(o->body.n, n / 2);
	assert_true(opened(o) - had <= n);
	assert_true(opened(o) - had >= n - H2_CLIENT_CONNECTION_WINDOW / 2);
	buf_fini(&b);
	owner_free(o);
}

/* Before it knows of that, and afterwards. */
static void
what_comes_for_dropped_calls_opens_the_connections_window_again(void **state)
{
	struct owner *o = owner_new(false);
	struct buf b = {0};
	char block[16384] = {0};
	size_t had = opened(o), n = 0;

	for (uint32_t id = 1; id < 101; id += 2) {
		frame(&b, H2_HEADERS, H2_END_HEADERS, id, SLICE_LIT(OK));
		h2_call_drop(&o->call);
		for (size_t of = 0; of < H2_CLIENT_WINDOW; of += sizeof(block), n += sizeof(block))
			frame(&b, H2_DATA, 0, id, slice_of(block, sizeof(block)));
		assert_true(feed(o, &b));
		frame(&b, H2_DATA, 0, id, slice_of(block, sizeof(block)));
		n += sizeof(block);
		assert_true(feed(o, &b));
		begin(o, false);
	}
	assert_true(opened(o) - had <= n);
	assert_true(opened(o) - had >= n - H2_CLIENT_CONNECTION_WINDOW / 2);
	buf_fini(&b);
	owner_free(o);
}

static void
more_than_the_window_is_the_servers_fault(void **state)
{
	struct owner *o = owner_new(false);
	struct buf b = {0};
	char block[16384] = {0};

	frame(&b, H2_HEADERS, H2_END_HEADERS, 1, SLICE_LIT(OK));
	for (size_t n = 0; n <= H2_CLIENT_WINDOW; n += sizeof(block))
		frame(&b, H2_DATA, 0, 1, slice_of(block, sizeof(block)));
	feed(o, &b);
	assert_int_not_equal(o->call.end, H2_CALL_open);
	assert_true(o->body.n <= H2_CLIENT_WINDOW + sizeof(block));
	buf_fini(&b);
	owner_free(o);
}

static void
an_upload_goes_as_it_comes_and_its_trailers_behind_it(void **state)
{
	struct owner *o = owner_new(true);

	assert_int_equal(sent(o, H2_DATA), 0);
	buf_add_lit(&o->upload, "abc");
	h2_call_resume(&o->call);
	collect(o);
	assert_int_equal(sent(o, H2_DATA), 1);
	assert_int_equal(sent(o, H2_HEADERS), 1);
	o->upload_ends = true;
	o->upload_trailers = SLICE_LIT("X-Sum: 3\r\n");
	h2_call_resume(&o->call);
	collect(o);
	assert_int_equal(sent(o, H2_HEADERS), 2);
	owner_free(o);
}

static void
a_call_that_is_dropped_is_cancelled(void **state)
{
	struct owner *o = owner_new(true);

	h2_call_drop(&o->call);
	collect(o);
	assert_int_equal(sent(o, H2_RST_STREAM), 1);
	assert_int_equal(h2_client_calls(o->client), 0);
	assert_int_equal(h2_client_room(o->client, 100), 100);
	owner_free(o);
}

static void
frames_that_bring_nothing_forward_use_up_a_budget(void **state)
{
	struct owner *o = owner_new(false);
	struct buf b = {0};
	unsigned n = 0;

	do
		frame(&b, H2_PING, 0, 0, SLICE_LIT("12345678"));
	while (feed(o, &b) && ++n < 5000);
	assert_in_range(n, 900, 1100);
	assert_int_equal(o->call.end, H2_CALL_flood);
	assert_int_equal(sent(o, H2_GOAWAY), 1);
	buf_fini(&b);
	owner_free(o);
}

static void
who_speaks_another_protocol_is_told_apart(void **state)
{
	struct owner *o = calloc(1, sizeof(*o));

	o->client = h2_client_new(65536);
	begin(o, false);
	assert_false(h2_client_feed(o->client, "HTTP/1.1 400 Bad Request\r\n\r\n", 28, NOON_MS));
	assert_int_equal(o->call.end, H2_CALL_not_h2);
	owner_free(o);
}

static void
a_push_is_the_servers_fault(void **state)
{
	struct owner *o = owner_new(false);
	struct buf b = {0};

	frame(&b, H2_PUSH_PROMISE, H2_END_HEADERS, 1,
	    SLICE_LIT("\0\0\0\x02\x82\x86\x84\x41\x01"
		      "a"));
	assert_false(feed(o, &b));
	assert_int_equal(o->call.end, H2_CALL_bad);
	buf_fini(&b);
	owner_free(o);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(a_response_comes_as_http1_has_it),
	    cmocka_unit_test(an_end_is_told_though_nothing_comes_after_it),
	    cmocka_unit_test(a_head_that_is_none_ends_its_call_alone),
	    cmocka_unit_test(a_head_is_bounded_as_it_unfolds),
	    cmocka_unit_test(what_the_server_did_not_look_at_is_told_apart),
	    cmocka_unit_test(a_streams_window_opens_as_its_owner_takes_and_the_connections_at_once),
	    cmocka_unit_test(padded_bytes_open_the_windows_again),
	    cmocka_unit_test(what_comes_for_dropped_calls_opens_the_connections_window_again),
	    cmocka_unit_test(more_than_the_window_is_the_servers_fault),
	    cmocka_unit_test(an_upload_goes_as_it_comes_and_its_trailers_behind_it),
	    cmocka_unit_test(a_call_that_is_dropped_is_cancelled),
	    cmocka_unit_test(frames_that_bring_nothing_forward_use_up_a_budget),
	    cmocka_unit_test(who_speaks_another_protocol_is_told_apart),
	    cmocka_unit_test(a_push_is_the_servers_fault),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
