/* LINK: http/h2session http/h2section http/h2body http/h2control http/h2table http/h2budget http/h2send http/hpack http/h2field http/h2head http/h2block http/priority http/sf http/sf_bare http/h1 http/head http/fields base/buf base/mem */
/* Any frames as a client's: windows hold, what becomes a request is one whole head, and nothing is lost or freed twice. The
 * first byte is the length of a step, the second whether preface and settings stand before the rest. */
#include <stdlib.h>

#include "http/h2session.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);

#define WINDOW 140000
#define LENDS (2 * H2_WINDOW_DEFAULT)

struct stream {
	struct h2_stream wire;
	struct link link;
	size_t waiting;
	bool is_over;
};

struct owner {
	struct h2_session *session;
	struct link streams;
	unsigned open;
	size_t waiting;
	int64_t lent;
};

static void
expect(bool holds)
{
	if (!holds)
		abort();
}

static struct h2_stream *
on_open(void *arg, uint32_t id)
{
	struct owner *o = arg;
	struct stream *s = calloc(1, sizeof(*s));

	expect(s != NULL && id % 2 == 1);
	list_push_back(&o->streams, &s->link);
	expect(++o->open <= 5);
	return &s->wire;
}

static void
end_stream(struct owner *o, struct stream *s)
{
	expect(!s->is_over);
	s->is_over = true;
	o->open--;
	o->waiting -= s->waiting;
	h2_consumed(o->session, NULL, s->waiting);
	s->waiting = 0;
}

static void
answer(struct owner *o, struct stream *s)
{
	static const struct slice lines = SLICE_LIT("HTTP/1.1 200 OK\r\nServer: x\r\nConnection: "
						    "close\r\nX-Odd: y\r\nSet-Cookie: a\r\n\r\n");
	size_t may;

	h2_send_head(o->session, &s->wire, 200, lines, false);
	may = h2_may_send(o->session, &s->wire);
	expect(may <= H2_WINDOW_MAX);
	h2_sent(o->session, &s->wire, may < 100 ? may : 100, false);
	if (s->wire.id % 8 == 1) {
		h2_send_head(o->session, &s->wire, 0, lines, true);
		if (s->wire.receive_ended)
			h2_close(o->session, &s->wire);
		else
			h2_reset(o->session, &s->wire, H2_NO_ERROR);
		end_stream(o, s);
	} else if (s->wire.id % 8 == 3)
		h2_discard(o->session, &s->wire, 0);
}

static void
on_request(void *arg, struct h2_stream *wire, const struct h2_request *r)
{
	struct stream *s = CONTAINER_OF(wire, struct stream, wire);

	if (r->fault == H2_FAULT_none) {
		struct buf text = {0};

		h2_take_text(((struct owner *)arg)->session, &text);
		expect(r->head->size == text.n && r->head->base == text.p);
		expect(r->head->target_len > 0 && head_has(r->head, FIELD_HOST));
		for (unsigned i = 0; i < r->head->count; i++)
			expect(
			    r->head->fields[i].value_at + r->head->fields[i].value_len <= text.n);
		buf_fini(&text);
	} else
		expect(h2_fault_status(r->fault, r->shared) >= 400);
	answer(arg, s);
}

static void
on_data(void *arg, struct h2_stream *wire, struct slice bytes)
{
	struct stream *s = CONTAINER_OF(wire, struct stream, wire);
	struct owner *o = arg;

	expect(!s->is_over && bytes.n > 0);
	s->waiting += bytes.n;
	o->waiting += bytes.n;
	expect(s->waiting <= H2_WINDOW_DEFAULT && o->waiting <= (size_t)(WINDOW + o->lent));
	if (wire->id % 4 == 1)
		return;
	o->waiting -= s->waiting;
	h2_consumed(o->session, wire, s->waiting);
	s->waiting = 0;
}

static void
on_end(void *arg, struct h2_stream *wire, struct slice trailers)
{
	expect(wire->receive_ended && (trailers.n == 0 || trailers.p[trailers.n - 1] == '\n'));
}

static void
on_bad(void *arg, struct h2_stream *wire)
{
	h2_reset(((struct owner *)arg)->session, wire, H2_PROTOCOL_ERROR);
	end_stream(arg, CONTAINER_OF(wire, struct stream, wire));
}

static void
on_reset(void *arg, struct h2_stream *wire)
{
	end_stream(arg, CONTAINER_OF(wire, struct stream, wire));
}

static void
on_window(void *arg, struct h2_stream *wire)
{
}

static void
on_priority(void *arg, struct h2_stream *wire)
{
	expect(wire->priority.urgency < URGENCIES);
}

static void
on_ping_ack(void *arg)
{
	h2_end(((struct owner *)arg)->session);
}

static bool
on_borrow(void *arg, int64_t bytes)
{
	struct owner *o = arg;

	expect(o->lent + bytes >= 0);
	if (o->lent + bytes > LENDS)
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

/* Whole frames of known kinds, and nothing else, go out. */
static void
check_out(struct h2_session *s)
{
	struct buf *out = h2_out(s);
	size_t at = 0;

	while (at < out->n) {
		struct h2_frame f;
		size_t length = h2_frame_head(out->p + at, &f);

		expect(length <= H2_PAYLOAD_MAX && at + H2_FRAME_HEAD_BYTES + length <= out->n);
		at += H2_FRAME_HEAD_BYTES + length;
	}
	out->n = 0;
}

static void
feed(struct owner *o, const char *p, size_t n, size_t step)
{
	size_t from = 0, to = 0;
	int64_t now_ms = 1000;

	while (to < n && !h2_is_over(o->session)) {
		to = n - to > step ? to + step : n;
		from += h2_feed(o->session, p + from, to - from, now_ms += 7);
		expect(from <= to);
		check_out(o->session);
	}
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
	static const char begin[] = H2_PREFACE "\0\0\0\4\0\0\0\0\0";
	const struct h2_limits limits = {
	    .streams = 5, .head_bytes = 2000, .target_bytes = 1000, .connection_window = WINDOW};
	struct owner o = {0};

	if (n < 2)
		return 0;
	list_init(&o.streams);
	o.session =
	    h2_session_new(&limits, SLICE_LIT("Zm9yZWJheSBzcHJpbmcgZmxvb2Q="), &handler, &o);
	expect(o.session != NULL);
	if (data[1] & 1)
		feed(&o, begin, sizeof(begin) - 1, sizeof(begin));
	feed(&o, (const char *)data + 2, n - 2, data[0] + 1u);
	LIST_EACH_SAFE (s, &o.streams, struct stream, link) {
		if (!s->is_over) {
			h2_close(o.session, &s->wire);
			end_stream(&o, s);
		}
		free(s);
	}
	expect(o.lent == 0);
	h2_session_free(&o.session);
	return 0;
}
