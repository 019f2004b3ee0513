/* LINK: http/h2session http/h2section http/h2body http/h2control http/h2table http/h2budget http/h2send http/hpack http/h2field http/h2head http/h2block http/priority http/sf http/sf_bare http/h1 http/head http/fields base/buf base/mem */
#include "http_usual.h"

#include <stdlib.h>

#include "http/h2session.h"

#define WINDOW 140000
#define HEAD_BLOCK "\x82\x86\x84\x41\x01\x61" /* GET http / a */

/* What the session has told, one letter each. */
struct owner {
	struct h2_session *session;
	struct h2_stream streams[4];
	unsigned opened;
	bool refuses;
	int64_t lends, lent;
	struct buf told, text, body;
};

static struct h2_stream *
on_open(void *arg, uint32_t id)
{
	struct owner *o = arg;

	return o->refuses || o->opened == 4 ? NULL : &o->streams[o->opened++];
}

static void
on_request(void *arg, struct h2_stream *st, const struct h2_request *r)
{
	struct owner *o = arg;

	buf_add_char(&o->told, r->fault == H2_FAULT_none ? 'R' : 'F');
	o->text.n = 0;
	if (r->fault == H2_FAULT_none)
		buf_add(&o->text, r->head->base, r->head->size);
}

static void
on_data(void *arg, struct h2_stream *st, struct slice bytes)
{
	struct owner *o = arg;

	buf_add_char(&o->told, 'D');
	buf_add_slice(&o->body, bytes);
}

static void
on_end(void *arg, struct h2_stream *st, struct slice trailers)
{
	buf_add_char(&((struct owner *)arg)->told, trailers.n > 0 ? 'T' : 'E');
}

static void
on_bad(void *arg, struct h2_stream *st)
{
	buf_add_char(&((struct owner *)arg)->told, 'B');
}

static void
on_reset(void *arg, struct h2_stream *st)
{
	buf_add_char(&((struct owner *)arg)->told, 'X');
}

static void
on_window(void *arg, struct h2_stream *st)
{
	buf_add_char(&((struct owner *)arg)->told, st == NULL ? 'W' : 'w');
}

static void
on_priority(void *arg, struct h2_stream *st)
{
	buf_add_char(&((struct owner *)arg)->told, 'P');
}

static void
on_ping_ack(void *arg)
{
	buf_add_char(&((struct owner *)arg)->told, 'A');
}

static bool
on_borrow(void *arg, int64_t bytes)
{
	struct owner *o = arg;

	if (o->lent + bytes > o->lends)
		return false;
	o->lent += bytes;
	return true;
}

static const struct h2_handler handler = {
    .on_open = on_open,
    .on_request = on_request,
    .on_data = on_data,
    .on_end = on_end,
    .on_bad = on_bad,
    .on_reset = on_reset,
    .on_window = on_window,
    .on_priority = on_priority,
    .on_ping_ack = on_ping_ack,
    .on_borrow = on_borrow,
};

static void
owner_init(struct owner *o)
{
	const struct h2_limits limits = {
	    .streams = 3, .head_bytes = 1000, .target_bytes = 1000, .connection_window = WINDOW};

	*o = (struct owner){.opened = 0};
	o->session = h2_session_new(&limits, SLICE_LIT("AAAAAAAAAAAAAAAAAAAAAA=="), &handler, o);
	assert_non_null(o->session);
}

static void
owner_fini(struct owner *o)
{
	for (unsigned i = 0; i < o->opened; i++)
		h2_close(o->session, &o->streams[i]);
	h2_session_free(&o->session);
	buf_fini(&o->told);
	buf_fini(&o->text);
	buf_fini(&o->body);
}

static void
frame(struct buf *b, enum h2_type type, unsigned flags, uint32_t id, const void *p, size_t n)
{
	char *at = buf_room(b, H2_FRAME_HEAD_BYTES + n);

	h2_put_frame_head(at, n, type, flags, id);
	if (n > 0)
		memcpy(at + H2_FRAME_HEAD_BYTES, p, n);
	b->n += H2_FRAME_HEAD_BYTES + n;
}

static void
begin(struct buf *b)
{
	buf_add_lit(b, H2_PREFACE);
	frame(b, H2_SETTINGS, 0, 0, NULL, 0);
}

static void
get(struct buf *b, uint32_t id)
{
	frame(
	    b, H2_HEADERS, H2_END_HEADERS | H2_END_STREAM, id, HEAD_BLOCK, sizeof(HEAD_BLOCK) - 1);
}

static void
post(struct buf *b, uint32_t id)
{
	frame(b, H2_HEADERS, H2_END_HEADERS, id,
	    "\x83"
	    "\x86\x84\x41\x01\x61",
	    6);
}

static void
feed_all(struct owner *o, struct buf *b, int64_t now_ms)
{
	assert_int_equal(h2_feed(o->session, b->p, b->n, now_ms), b->n);
	b->n = 0;
}

static void
assert_told(struct owner *o, const char *wanted)
{
	assert_int_equal(o->told.n, strlen(wanted));
	if (o->told.n > 0)
		assert_memory_equal(o->told.p, wanted, o->told.n);
	o->told.n = 0;
}

/* The last frame that went out. */
static struct h2_frame
last_out(struct owner *o)
{
	struct buf *out = h2_out(o->session);
	struct h2_frame f = {.id = 0};
	size_t at = 0, n;

	while (at < out->n) {
		n = h2_frame_head(out->p + at, &f);
		f.payload = slice_of(out->p + at + H2_FRAME_HEAD_BYTES, n);
		at += H2_FRAME_HEAD_BYTES + n;
	}
	assert_int_equal(at, out->n);
	return f;
}

static void
however_the_bytes_come_the_same_is_told(void **state)
{
	static char body[300];
	struct buf b = {0};

	memset(body, 'b', sizeof(body));
	begin(&b);
	post(&b, 1);
	frame(&b, H2_DATA, 0, 1, body, sizeof(body));
	get(&b, 3);
	frame(&b, H2_PING, H2_ACK, 0, body, 8);
	frame(&b, H2_HEADERS, H2_END_HEADERS | H2_END_STREAM, 1, "\0\1a\1b", 5);
	for (size_t step = 1; step < b.n; step += 1 + step / 8) {
		struct owner o;
		size_t from = 0;

		owner_init(&o);
		for (size_t to = 0; to < b.n;) {
			to = b.n - to > step ? to + step : b.n;
			from += h2_feed(o.session, b.p + from, to - from, NOON_MS);
		}
		assert_int_equal(from, b.n);
		assert_told(&o, "RDRAT");
		assert_int_equal(o.body.n, sizeof(body));
		owner_fini(&o);
	}
	buf_fini(&b);
}

static void
windows_open_again_as_the_owner_consumes(void **state)
{
	static char body[H2_PAYLOAD_MAX];
	struct buf b = {0};
	struct h2_frame f;
	struct owner o;

	owner_init(&o);
	begin(&b);
	post(&b, 1);
	for (int i = 0; i < 3; i++)
		frame(&b, H2_DATA, 0, 1, body, sizeof(body));
	feed_all(&o, &b, NOON_MS);
	h2_out(o.session)->n = 0;
	h2_consumed(o.session, &o.streams[0], 30000);
	assert_int_equal(h2_out(o.session)->n, 0); /* not worth a frame yet */
	h2_consumed(o.session, &o.streams[0], 3 * H2_PAYLOAD_MAX - 30000);
	f = last_out(&o);
	assert_int_equal(f.type, H2_WINDOW_UPDATE);
	assert_int_equal(f.id, 1);
	assert_int_equal(h2_u32(f.payload.p), 3 * H2_PAYLOAD_MAX);
	assert_int_equal(o.streams[0].receive_window, H2_WINDOW_DEFAULT);
	owner_fini(&o);
	buf_fini(&b);
}

/* Two bodies that wait have left the connection less than a third could send. */
static void
bodies_that_wait_borrow_room_for_the_others_and_give_it_back(void **state)
{
	static char body[H2_PAYLOAD_MAX];
	struct buf b = {0};
	struct h2_frame f;
	struct owner o;

	owner_init(&o);
	o.lends = H2_WINDOW_DEFAULT;
	begin(&b);
	for (uint32_t id = 1; id <= 5; id += 2) {
		post(&b, id);
		for (int i = 0; i < 3; i++)
			frame(&b, H2_DATA, 0, id, body, sizeof(body));
	}
	feed_all(&o, &b, NOON_MS);
	assert_false(h2_is_over(o.session));
	assert_int_equal(o.lent, H2_WINDOW_DEFAULT);
	f = last_out(&o);
	assert_int_equal(f.type, H2_WINDOW_UPDATE);
	assert_int_equal(f.id, 0);
	assert_int_equal(h2_u32(f.payload.p), H2_WINDOW_DEFAULT);
	h2_consumed(o.session, &o.streams[0], 3 * H2_PAYLOAD_MAX);
	assert_int_equal(o.lent, H2_WINDOW_DEFAULT - 3 * H2_PAYLOAD_MAX);
	h2_consumed(o.session, &o.streams[1], 3 * H2_PAYLOAD_MAX);
	assert_int_equal(o.lent, 0);
	owner_fini(&o);
	buf_fini(&b);
}

static void
where_nothing_is_lent_the_connections_window_stands(void **state)
{
	static char body[H2_PAYLOAD_MAX];
	struct buf b = {0};
	struct owner o;

	owner_init(&o);
	begin(&b);
	for (uint32_t id = 1; id <= 5; id += 2) {
		post(&b, id);
		for (int i = 0; i < 3; i++)
			frame(&b, H2_DATA, 0, id, body, sizeof(body));
	}
	feed_all(&o, &b, NOON_MS);
	assert_int_equal(h2_counts(o.session)->end, H2_END_window);
	owner_fini(&o);
	buf_fini(&b);
}

static void
both_windows_bound_what_may_be_sent(void **state)
{
	struct buf b = {0};
	struct owner o;

	owner_init(&o);
	begin(&b);
	get(&b, 1);
	frame(&b, H2_WINDOW_UPDATE, 0, 1, "\0\1\0\0", 4);
	feed_all(&o, &b, NOON_MS);
	assert_int_equal(h2_may_send(o.session, &o.streams[0]), H2_WINDOW_DEFAULT);
	h2_sent(o.session, &o.streams[0], H2_WINDOW_DEFAULT, false);
	assert_int_equal(h2_may_send(o.session, &o.streams[0]), 0);
	frame(&b, H2_WINDOW_UPDATE, 0, 0, "\0\0\0\5", 4);
	frame(&b, H2_SETTINGS, 0, 0, "\0\4\0\0\0\0",
	    6); /* windows of streams may sink below nothing */
	feed_all(&o, &b, NOON_MS);
	assert_told(&o, "RwW");
	assert_int_equal(o.streams[0].send_window, 65536 - 65535);
	frame(&b, H2_SETTINGS, 0, 0, "\0\4\0\0\0\2", 6);
	feed_all(&o, &b, NOON_MS);
	assert_int_equal(h2_may_send(o.session, &o.streams[0]), 3);
	owner_fini(&o);
	buf_fini(&b);
}

static void
time_fills_the_budget_up_and_haste_empties_it(void **state)
{
	struct buf b = {0};
	struct owner o;
	int64_t now_ms = NOON_MS;

	owner_init(&o);
	begin(&b);
	feed_all(&o, &b, now_ms);
	for (int i = 0; i < 5000; i++) { /* 40 in a second are fine for ever */
		frame(&b, H2_PING, 0, 0, "12345678", 8);
		feed_all(&o, &b, now_ms += 25);
	}
	assert_false(h2_is_over(o.session));
	for (int i = 0; i < H2_BUDGET; i++)
		frame(&b, H2_PING, 0, 0, "12345678", 8);
	feed_all(&o, &b, now_ms += 1000000);
	assert_false(h2_is_over(o.session));
	frame(&b, H2_PING, 0, 0, "12345678", 8);
	feed_all(&o, &b, now_ms);
	assert_true(h2_is_over(o.session));
	assert_int_equal(h2_counts(o.session)->end, H2_END_flood);
	assert_int_equal(last_out(&o).type, H2_GOAWAY);
	assert_int_equal(h2_u32(last_out(&o).payload.p + 4), H2_ENHANCE_YOUR_CALM);
	owner_fini(&o);
	buf_fini(&b);
}

static void
what_comes_behind_our_reset_is_nobodys_fault(void **state)
{
	struct buf b = {0};
	struct owner o;

	owner_init(&o);
	begin(&b);
	post(&b, 1);
	feed_all(&o, &b, NOON_MS);
	h2_reset(o.session, &o.streams[0], H2_NO_ERROR);
	frame(&b, H2_DATA, 0, 1, "abc", 3);
	frame(&b, H2_HEADERS, H2_END_HEADERS | H2_END_STREAM, 1, "\0\1a\1b", 5);
	frame(&b, H2_WINDOW_UPDATE, 0, 1, "\0\0\0\1", 4);
	frame(&b, H2_RST_STREAM, 0, 1, "\0\0\0\0", 4);
	get(&b, 3);
	feed_all(&o, &b, NOON_MS);
	assert_told(&o, "RR");
	assert_false(h2_is_over(o.session));
	owner_fini(&o);
	buf_fini(&b);
}

static void
after_the_end_is_told_nothing_new_is_taken(void **state)
{
	struct buf b = {0};
	struct owner o;

	owner_init(&o);
	begin(&b);
	get(&b, 1);
	feed_all(&o, &b, NOON_MS);
	h2_announce_end(o.session);
	assert_int_equal(last_out(&o).type, H2_PING);
	get(&b, 3);
	frame(&b, H2_PING, H2_ACK, 0, "goodbye\0", 8);
	feed_all(&o, &b, NOON_MS);
	assert_told(&o, "RRA");
	h2_end(o.session);
	assert_int_equal(h2_u32(last_out(&o).payload.p), 3);
	get(&b, 5);
	feed_all(&o, &b, NOON_MS);
	assert_told(&o, "");
	owner_fini(&o);
	buf_fini(&b);
}

static void
a_priority_told_before_its_stream_waits_for_it(void **state)
{
	struct buf b = {0};
	struct owner o;

	owner_init(&o);
	begin(&b);
	frame(&b, H2_PRIORITY_UPDATE, 0, 0, "\0\0\0\3u=1, i", 10);
	get(&b, 1);
	get(&b, 3);
	frame(&b, H2_PRIORITY_UPDATE, 0, 0, "\0\0\0\1u=6", 7);
	feed_all(&o, &b, NOON_MS);
	assert_told(&o, "RRP");
	assert_int_equal(o.streams[0].priority.urgency, 6);
	assert_int_equal(o.streams[1].priority.urgency, 1);
	assert_true(o.streams[1].priority.is_incremental);
	owner_fini(&o);
	buf_fini(&b);
}

static void
a_large_head_goes_out_in_several_frames(void **state)
{
	static char line[40000] = "X-Large: ";
	struct slice lines = slice_of(line, sizeof(line));
	struct buf b = {0};
	struct h2_frame f;
	struct owner o;

	memset(line + 9, 'x', sizeof(line) - 11);
	memcpy(line + sizeof(line) - 2, "\r\n", 2);
	owner_init(&o);
	begin(&b);
	get(&b, 1);
	feed_all(&o, &b, NOON_MS);
	h2_out(o.session)->n = 0;
	h2_send_head(o.session, &o.streams[0], 200, lines, true);
	assert_int_equal(h2_frame_head(h2_out(o.session)->p, &f), H2_PAYLOAD_MAX);
	assert_int_equal(f.flags, H2_END_STREAM);
	f = last_out(&o);
	assert_int_equal(f.type, H2_CONTINUATION);
	assert_int_equal(f.flags, H2_END_HEADERS);
	assert_true(o.streams[0].send_ended);
	owner_fini(&o);
	buf_fini(&b);
}

static void
an_owner_without_memory_refuses(void **state)
{
	struct buf b = {0};
	struct owner o;

	owner_init(&o);
	o.refuses = true;
	begin(&b);
	get(&b, 1);
	feed_all(&o, &b, NOON_MS);
	assert_int_equal(last_out(&o).type, H2_RST_STREAM);
	assert_int_equal(h2_u32(last_out(&o).payload.p), H2_REFUSED_STREAM);
	assert_told(&o, "");
	owner_fini(&o);
	buf_fini(&b);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(however_the_bytes_come_the_same_is_told),
	    cmocka_unit_test(windows_open_again_as_the_owner_consumes),
	    cmocka_unit_test(bodies_that_wait_borrow_room_for_the_others_and_give_it_back),
	    cmocka_unit_test(where_nothing_is_lent_the_connections_window_stands),
	    cmocka_unit_test(both_windows_bound_what_may_be_sent),
	    cmocka_unit_test(time_fills_the_budget_up_and_haste_empties_it),
	    cmocka_unit_test(what_comes_behind_our_reset_is_nobodys_fault),
	    cmocka_unit_test(after_the_end_is_told_nothing_new_is_taken),
	    cmocka_unit_test(a_priority_told_before_its_stream_waits_for_it),
	    cmocka_unit_test(a_large_head_goes_out_in_several_frames),
	    cmocka_unit_test(an_owner_without_memory_refuses),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
