/* The phases of a connection: idle (nothing of a request is there), head (part of a head is), serving (an exchange
 * walks), lingering (the last answer is out; what the client still sends is read and thrown away for a moment, since closing
 * at once would reset the connection before the client has read its answer). h1_walk() is the only place that moves
 * from request to request. */
#include "server/h1conn.h"

#include <stdlib.h>

#include "base/mem.h"
#include "event/tls.h"
#include "server/h2conn.h"
#include "server/h1conn_priv.h"

#define LINGER_MS 1000	     /* without a byte from the client */
#define LINGER_MOST_MS 10000 /* in all */
/* More than both kernels hold of an upload whose sender has not looked up yet. */
#define LINGER_BYTES ((size_t)16 << 20)

void
h1_linger(struct h1conn *c)
{
	c->phase = PHASE_LINGERING;
	stream_shutdown_write(c->stream);
	stream_want_read(c->stream, true);
	c->linger_until_ms = h1_now_ms(c) + LINGER_MOST_MS;
	h1_arm(c, h1_now_ms(c) + LINGER_MS);
}

/* --- the request's head --- */

/* Room for more of a head: twice as much, up to the limit. */
static bool
grow_input(struct h1conn *c)
{
	size_t cap;

	if (c->in_len < c->in_cap)
		return true;
	cap = c->in_cap * 2;
	if (c->in_cap >= (size_t)c->parser.limits.head_bytes + INPUT_BYTES_FIRST)
		return false;
	c->in = must_realloc(c->in, cap);
	c->in_cap = cap;
	return true;
}

static void
begin_head(struct h1conn *c)
{
	const struct site *site = h1_site(c);

	c->phase = PHASE_HEAD;
	c->client.certificate = c->client.is_tls ? stream_tls_client_certificate(c->stream)
						 : (struct tls_client_certificate){0};
	c->x = exchange_new(c->worker, &c->client, c->client.door->is_admin);
	c->replying = c->out_ended = c->continued = c->up_ended = false;
	c->keep = !c->retiring;
	c->head_sent = 0;
	c->chunker = (struct chunker){0};
	c->up_pace = c->down_pace = (struct pace){0};
	c->client.has_upload = c->client.expects_continue = false;
	h1_parser_init(&c->parser, H1_REQUEST,
	    &(struct h1_limits){.head_bytes = site->head_size, .target_bytes = site->target_size});
}

static void
refuse(struct h1conn *c, enum h1_fault fault)
{
	c->keep = false;
	observe_add(c->worker->observer, COUNT_malformed, 1);
	exchange_refuse(c->x, h1_faults[fault].status, h1_faults[fault].text);
}

/* --- from request to request --- */

/* Most are over at once, answered from the cache: whoever asks next, on this connection or another, has their memory while
 * it is warm. */
static void
serve(struct h1conn *c)
{
	struct exchange *x = c->x;
	struct head *h = exchange_head(x);
	enum h1_fault fault;

	c->phase = PHASE_SERVING;
	c->head_len = h->size;
	h1_disarm(c);
	if (!h1_request_framing(h, &c->up, &fault)) {
		refuse(c, fault);
		return;
	}
	c->keep = c->keep && h1_keeps_alive(h);
	if (c->up.kind != FRAMING_NONE && !(c->up.kind == FRAMING_LENGTH && c->up.length == 0))
		h1_begin_upload(c);
	c->client.expects_continue =
	    h->minor >= 1 && head_list_has(h, FIELD_EXPECT, SLICE_LIT("100-continue"));
	exchange_begin(x);
	if (c->x == NULL && !c->client.has_upload)
		exchange_bury(x);
}

/* It speaks HTTP/2: by prior knowledge (RFC 9113 section 3.3), or as TLS has agreed on. */
static bool
speaks_h2(const struct h1conn *c)
{
	struct tls_info tls;

	if (!c->client.door->has_h2 || c->client.served > 0)
		return false;
	if (c->in_len == 0)
		return stream_tls_info(c->stream, &tls) && slice_eq(tls.protocol, SLICE_LIT("h2"));
	return c->parser.fault == H1_FAULT_version &&
	    slice_starts(slice_of(c->in, c->in_len), SLICE_LIT("PRI * HTTP/2.0\r\n"));
}

static void
become_h2(struct h1conn *c)
{
	exchange_drop(&c->x);
	h2conn_take(c->line->connection.door, &c->stream, &c->peer, slice_of(c->in, c->in_len));
	h1_leave(c);
}

/* Parses what is there. True: an exchange has been started (and may be over). */
static bool
parse_head(struct h1conn *c)
{
	bool begins = c->phase == PHASE_IDLE;
	struct head *h;

	if (begins)
		begin_head(c);
	h = exchange_head(c->x);
	switch (h1_parse(&c->parser, h, c->in, c->in_len)) {
	case H1_WHOLE:
		serve(c);
		return true;
	case H1_PARTIAL:
		if (begins)
			h1_arm(c, h1_now_ms(c) + h1_site(c)->head_timeout_ms);
		return false;
	case H1_BAD:
		if (speaks_h2(c)) {
			become_h2(c);
			return false;
		}
		c->phase = PHASE_SERVING;
		c->head_len = c->in_len;
		h1_disarm(c);
		refuse(c, c->parser.fault);
		return true;
	}
	return false;
}

void
h1_next_request(struct h1conn *c)
{
	size_t rest;

	if (c->client.has_upload) {
		rest = c->raw_len - c->raw_at;
		while (c->in_cap < rest)
			c->in = must_realloc(c->in, c->in_cap *= 2);
		memcpy(c->in, c->raw + c->raw_at, rest);
		free(c->raw);
		c->raw = NULL;
		c->raw_at = c->raw_len = c->raw_cap = 0;
	} else {
		rest = c->in_len - c->head_len;
		memmove(c->in, c->in + c->head_len, rest);
	}
	c->in_len = rest;
	c->client.served++;
	c->phase = PHASE_IDLE;
	if (rest == 0)
		h1_arm(c, h1_now_ms(c) + h1_site(c)->keepalive_timeout_ms);
	if (!stream_wants_read(c->stream))
		stream_want_read(c->stream, true);
}

void
h1_walk(struct h1conn *c)
{
	if (c->walking || c->phase == PHASE_CLOSED)
		return;
	if (c->is_spoilt) {
		h1_cut(c);
		return;
	}
	c->walking = true;
	while ((c->phase == PHASE_IDLE || c->phase == PHASE_HEAD) && c->in_len > 0)
		if (!parse_head(c))
			break;
	c->walking = false;
	if (c->phase == PHASE_IDLE && c->retiring)
		h1_close(c);
}

static void
read_ended(struct h1conn *c)
{
	if (c->phase == PHASE_SERVING) {
		exchange_client_gone(c->x);
		return;
	}
	if (c->phase == PHASE_HEAD)
		exchange_drop(&c->x);
	h1_close(c);
}

/* While an exchange walks: more of its body, the next request, or the end. */
static void
read_more(struct h1conn *c)
{
	bool body = c->client.has_upload && !h1_upload_is_read(c);
	char *at;
	size_t room;
	ssize_t got;

	/* What is not decoded yet may be half a line at the buffer's end. */
	if (body && c->payload.n == 0) {
		c->raw_len -= c->raw_at;
		memmove(c->raw, c->raw + c->raw_at, c->raw_len);
		c->raw_at = 0;
	}
	if (body || c->client.has_upload) {
		at = c->raw + c->raw_len;
		room = c->raw_cap - c->raw_len;
	} else {
		at = c->in + c->in_len;
		room = c->in_cap - c->in_len;
	}
	if (room == 0) {
		stream_want_read(c->stream, false);
		return;
	}
	got = stream_read(c->stream, at, room);
	if (got == STREAM_AGAIN)
		return;
	if (got <= 0) {
		stream_want_read(c->stream, false);
		read_ended(c);
		return;
	}
	observe_add(c->worker->observer, COUNT_bytes_in, got);
	if (!c->client.has_upload) {
		c->in_len += (size_t)got;
		return;
	}
	c->raw_len += (size_t)got;
	if (body) {
		pace_went(&c->up_pace, (uint64_t)got, h1_now_ms(c));
		h1_disarm(c);
		exchange_wake(c->x);
	}
}

static void
linger_read(struct h1conn *c)
{
	char waste[16384];
	ssize_t got = stream_read(c->stream, waste, sizeof(waste));
	int64_t due_ms;

	if (got == STREAM_AGAIN)
		return;
	if (got > 0 && (c->linger_read += (size_t)got) < LINGER_BYTES) {
		due_ms = h1_now_ms(c) + LINGER_MS;
		h1_arm(c, due_ms < c->linger_until_ms ? due_ms : c->linger_until_ms);
		return;
	}
	h1_close(c);
}

void
h1_on_readable(struct h1conn *c)
{
	ssize_t got;

	if (c->phase == PHASE_LINGERING) {
		linger_read(c);
		return;
	}
	if (c->phase == PHASE_SERVING) {
		read_more(c);
		return;
	}
	if (c->phase == PHASE_IDLE && c->in_len > 0) {
		h1_walk(c); /* the next request is here already, perhaps with much behind it */
		return;
	}
	if (c->phase == PHASE_IDLE && speaks_h2(c)) {
		become_h2(c);
		return;
	}
	if (!grow_input(c))
		bug("a head larger than its limit");
	got = stream_read(c->stream, c->in + c->in_len, c->in_cap - c->in_len);
	if (got == STREAM_AGAIN)
		return;
	if (got <= 0) {
		read_ended(c);
		return;
	}
	observe_add(c->worker->observer, COUNT_bytes_in, got);
	c->in_len += (size_t)got;
	h1_walk(c);
}

void
h1_on_writable(struct h1conn *c)
{
	if (c->phase != PHASE_SERVING)
		return;
	if (c->down_pace.since_ms != 0)
		h1_disarm(c);
	exchange_wake(c->x);
}

void
h1_on_deadline(struct h1conn *c)
{
	switch (c->phase) {
	case PHASE_IDLE:
	case PHASE_LINGERING:
		h1_close(c);
		return;
	case PHASE_HEAD: {
		struct exchange *x = c->x;

		c->phase = PHASE_SERVING;
		c->keep = false;
		exchange_refuse(
		    x, 408, "the request's head did not come within limits.head_timeout");
		h1_walk(c);
		return;
	}
	case PHASE_SERVING:
		if (c->up_pace.since_ms != 0)
			exchange_upload_slow(c->x);
		else
			exchange_client_slow(c->x);
		h1_walk(c);
		return;
	case PHASE_CLOSED:
		return;
	}
}
