/* The phases of a connection: idle (nothing of a request is there), head (part of a head is), serving (an exchange
 * walks), lingering (the last answer is out; what the client still sends is read and thrown away for a moment, since closing
 * at once would reset the connection before the client has read its answer). conn_walk() is the only place that moves
 * from request to request. A connection is freed at the end of a turn, never inside a callback of its own. */
#include "server/h1conn.h"

#include <errno.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/mem.h"
#include "event/tls.h"
#include "http/chunker.h"
#include "http/h1.h"
#include "server/exchange.h"
#include "server/pace.h"

#define UPLOAD_BYTES 65536
#define LINGER_MS 1000	     /* without a byte from the client */
#define LINGER_MOST_MS 10000 /* in all */
#define LINGER_BYTES \
	(16 * 1024 * \
	    1024) /* more than both kernels hold of an upload whose sender has not looked up yet */

enum phase { PHASE_IDLE, PHASE_HEAD, PHASE_SERVING, PHASE_LINGERING, PHASE_CLOSED };
enum outgoing { OUT_NOTHING, OUT_LENGTH, OUT_CHUNKED, OUT_UNTIL_CLOSE };

struct h1conn {
	struct client client; /* first: ops get it */
	struct link link;     /* in worker->conns */
	struct worker *worker;
	struct door *door;
	struct stream *stream;
	struct address peer;
	enum phase phase;
	enum connection_state counted; /* as what the metrics hold it */
	bool walking;		       /* conn_walk is on the stack */
	bool keep;		       /* may serve another request */
	bool retiring;
	bool is_spoilt; /* half of something was sent: nothing can follow */
	struct task walk, bury;
	struct timer deadline;
	/* What came in: the head being parsed begins at 0; the exchange's head points here. */
	char *in;
	size_t in_cap, in_len;
	struct h1_parser parser;
	struct exchange *x;
	size_t head_len;
	/* The request's body */
	struct framing up;
	struct h1_chunked chunked;
	struct buf trailers; /* of the upload */
	char *raw;	     /* bytes not yet decoded: raw[raw_at..raw_len) */
	size_t raw_at, raw_len, raw_cap;
	struct slice payload; /* decoded, not yet consumed; lies in raw */
	uint64_t up_left;
	bool up_ended, continued;
	struct pace up_pace;
	/* The response */
	struct reply reply;
	bool replying;
	struct buf lines; /* what frames it and concerns the connection, with the empty line */
	size_t head_bytes, head_sent;
	enum outgoing out;
	uint64_t out_left;
	struct chunker chunker;
	bool out_ended;
	struct pace down_pace;
	size_t linger_read;
	int64_t linger_until_ms;
};

static void conn_walk(struct h1conn *c);
static void on_conn_readable(void *arg);
static void on_conn_writable(void *arg);
static const struct stream_handler conn_handler = {on_conn_readable, on_conn_writable};
static const struct client_ops h1_ops;

static int64_t
now_ms(const struct h1conn *c)
{
	return loop_now_ms(c->worker->loop);
}

static const struct site *
conn_site(const struct h1conn *c)
{
	return c->door->is_admin ? c->worker->admin_site : c->worker->site;
}

static void
count_as(struct h1conn *c, enum connection_state state)
{
	observe_connection(c->worker->observer, c->door->slot, c->counted, -1);
	observe_connection(c->worker->observer, c->door->slot, state, 1);
	c->counted = state;
}

static void
arm(struct h1conn *c, int64_t due_ms)
{
	timer_arm(c->worker->loop, &c->deadline, due_ms);
}

/* --- beginning and end --- */

static void
release_input(struct h1conn *c)
{
	if (c->in != NULL &&
	    !(c->in_cap == INPUT_BYTES_FIRST && spare_keep(&c->worker->spare_inputs, c->in)))
		free(c->in);
	c->in = NULL;
	c->in_cap = c->in_len = 0;
	free(c->raw);
	c->raw = NULL;
	c->raw_at = c->raw_len = c->raw_cap = 0;
}

static void
on_bury(void *arg)
{
	struct h1conn *c = arg;

	release_input(c);
	buf_fini(&c->lines);
	buf_fini(&c->trailers);
	free(c);
}

/* No callback comes any more; the memory goes when the turn ends. The exchange has gone before. */
static void
conn_leave(struct h1conn *c)
{
	if (c->phase == PHASE_CLOSED)
		return;
	c->phase = PHASE_CLOSED;
	timer_disarm(&c->deadline);
	task_cancel(&c->walk);
	list_leave(&c->link);
	c->worker->conns_count--;
	atomic_fetch_sub_explicit(&c->worker->commons->connections, 1, memory_order_relaxed);
	observe_add(c->worker->observer, COUNT_connections_open, -1);
	observe_connection(c->worker->observer, c->door->slot, c->counted, -1);
	loop_later(c->worker->loop, &c->bury);
	worker_note_quiet(c->worker);
}

static void
conn_close(struct h1conn *c)
{
	stream_close(&c->stream);
	conn_leave(c);
}

static void
conn_linger(struct h1conn *c)
{
	c->phase = PHASE_LINGERING;
	stream_shutdown_write(c->stream);
	stream_want_read(c->stream, true);
	c->linger_until_ms = now_ms(c) + LINGER_MOST_MS;
	arm(c, now_ms(c) + LINGER_MS);
}

static void
on_conn_deadline(void *arg)
{
	struct h1conn *c = arg;

	switch (c->phase) {
	case PHASE_IDLE:
	case PHASE_LINGERING:
		conn_close(c);
		return;
	case PHASE_HEAD: {
		struct exchange *x = c->x;

		c->phase = PHASE_SERVING;
		c->keep = false;
		exchange_refuse(
		    x, 408, "the request's head did not come within limits.head_timeout");
		conn_walk(c);
		return;
	}
	case PHASE_SERVING:
		if (c->up_pace.since_ms != 0)
			exchange_upload_slow(c->x);
		else
			exchange_client_slow(c->x);
		conn_walk(c);
		return;
	case PHASE_CLOSED:
		return;
	}
}

static bool
is_over_limit(struct worker *w)
{
	unsigned n = atomic_fetch_add_explicit(&w->commons->connections, 1, memory_order_relaxed);

	if (n < w->site->connections)
		return false;
	atomic_fetch_sub_explicit(&w->commons->connections, 1, memory_order_relaxed);
	observe_add(w->observer, COUNT_connections_refused, 1);
	return true;
}

static void
on_walk(void *arg)
{
	conn_walk(arg);
}

void
h1conn_accept(struct door *door, int fd, const struct address *peer)
{
	struct worker *w = door->worker;
	struct h1conn *c;

	if (is_over_limit(w)) {
		close(fd);
		return;
	}
	c = must_calloc(1, sizeof(*c));
	c->worker = w;
	c->door = door;
	c->peer = *peer;
	c->stream = door->tls == NULL ? stream_open(w->loop, fd, &conn_handler, c)
				      : stream_open_tls(w->loop, fd, door->tls, &conn_handler, c);
	if (c->stream == NULL) {
		close(fd);
		atomic_fetch_sub_explicit(&w->commons->connections, 1, memory_order_relaxed);
		free(c);
		return;
	}
	c->client = (struct client){.ops = &h1_ops,
	    .worker = w,
	    .peer = &c->peer,
	    .local = &door->local,
	    .listener_slot = door->slot,
	    .is_tls = door->tls != NULL};
	task_init(&c->walk, on_walk, c);
	task_init(&c->bury, on_bury, c);
	timer_init(&c->deadline, on_conn_deadline, c);
	list_push_back(&w->conns, &c->link);
	w->conns_count++;
	observe_add(w->observer, COUNT_connections_accepted, 1);
	observe_add(w->observer, COUNT_connections_open, 1);
	observe_connection(w->observer, door->slot, CONNECTION_idle, 1);
	arm(c, now_ms(c) + conn_site(c)->head_timeout_ms);
}

struct h1conn *
h1conn_of_link(struct link *l)
{
	return CONTAINER_OF(l, struct h1conn, link);
}

void
h1conn_retire(struct h1conn *c)
{
	c->retiring = true;
	c->keep = false;
	if (c->phase == PHASE_IDLE)
		on_conn_readable(c); /* perhaps it has asked already */
	if (c->phase == PHASE_IDLE)
		conn_close(c);
}

void
h1conn_cut(struct h1conn *c)
{
	if (c->phase == PHASE_HEAD)
		exchange_drop(&c->x);
	else if (c->x != NULL)
		exchange_client_gone(c->x);
	if (c->phase != PHASE_CLOSED) {
		stream_reset(&c->stream);
		conn_leave(c);
	}
}

/* --- the request's head --- */

/* Room for more of a head: the first buffer, then twice as much, up to the limit. */
static bool
grow_input(struct h1conn *c)
{
	size_t cap;

	if (c->in_len < c->in_cap)
		return true;
	if (c->in == NULL) {
		c->in = spare_take(&c->worker->spare_inputs);
		if (c->in == NULL)
			c->in = must_malloc(INPUT_BYTES_FIRST);
		c->in_cap = INPUT_BYTES_FIRST;
		return true;
	}
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
	const struct site *site = conn_site(c);

	c->phase = PHASE_HEAD;
	count_as(c, CONNECTION_active);
	c->x = exchange_new(c->worker, &c->client, c->door->is_admin);
	c->replying = c->out_ended = c->continued = c->up_ended = false;
	c->keep = !c->retiring;
	c->lines.n = 0;
	c->head_sent = c->head_bytes = 0;
	c->chunker = (struct chunker){0};
	c->up_pace = c->down_pace = (struct pace){0};
	c->client.has_upload = c->client.expects_continue = false;
	h1_parser_init(&c->parser, H1_REQUEST,
	    &(struct h1_limits){.head_bytes = site->head_size, .target_bytes = site->target_size});
	arm(c, now_ms(c) + site->head_timeout_ms);
}

static void
refuse(struct h1conn *c, enum h1_fault fault)
{
	c->keep = false;
	observe_add(c->worker->observer, COUNT_malformed, 1);
	exchange_refuse(c->x, h1_faults[fault].status, h1_faults[fault].text);
}

/* --- the request's body --- */

static struct h1conn *
conn_of_upload(struct upload *u)
{
	return CONTAINER_OF(u, struct h1conn, client.upload);
}

static void
upload_begin(struct upload *u)
{
	static const char go_on[] = "HTTP/1.1 100 Continue\r\n\r\n";
	struct h1conn *c = conn_of_upload(u);
	struct iovec iov = {(void *)(uintptr_t)go_on, sizeof(go_on) - 1};

	if (!c->client.expects_continue || c->continued || c->raw_len > c->raw_at || c->replying)
		return;
	c->continued = true;
	/* Twenty-five bytes into an empty send buffer: anything but all of them means the client is gone, and reading will say so. */
	if (stream_writev(c->stream, &iov, 1, false) != (ssize_t)iov.iov_len)
		c->keep = false;
}

/* Decodes up to the next payload. False: more bytes are needed, or the end, or a fault (told to the exchange). */
static bool
decode_chunk(struct h1conn *c)
{
	struct slice rest = slice_of(c->raw + c->raw_at, c->raw_len - c->raw_at);
	size_t used = 0;

	switch (h1_chunked_next(&c->chunked, rest, &c->payload, &used, &c->trailers)) {
	case CHUNK_DATA:
		c->raw_at += used;
		return true;
	case CHUNK_MORE:
		c->raw_at += used;
		return false;
	case CHUNK_END:
		c->raw_at += used;
		c->up_ended = true;
		c->client.upload.trailers = buf_slice(&c->trailers);
		return false;
	case CHUNK_BAD:
		c->keep = false;
		c->up.kind = FRAMING_NONE;
		exchange_upload_bad(c->x);
		return false;
	}
	return false;
}

static void
next_payload(struct h1conn *c)
{
	size_t there = c->raw_len - c->raw_at;

	if (c->payload.n > 0 || c->up_ended)
		return;
	if (c->up.kind == FRAMING_CHUNKED) {
		if (there > 0)
			decode_chunk(c);
		return;
	}
	if (there > c->up_left)
		there = (size_t)c->up_left;
	c->payload = slice_of(c->raw + c->raw_at, there);
	c->raw_at += there;
	c->up_left -= there;
}

static int
upload_peek(struct upload *u, struct iovec *iov, int max, bool *end_out)
{
	struct h1conn *c = conn_of_upload(u);

	next_payload(c);
	if (c->up.kind == FRAMING_LENGTH && c->up_left == 0)
		c->up_ended = true;
	*end_out = c->up_ended;
	if (c->payload.n == 0) {
		if (!c->up_ended)
			arm(c, pace_wait(&c->up_pace, conn_site(c)->body_timeout_ms, now_ms(c)));
		return 0;
	}
	iov[0] = (struct iovec){(void *)(uintptr_t)c->payload.p, c->payload.n};
	return 1;
}

static void
upload_consume(struct upload *u, size_t n)
{
	struct h1conn *c = conn_of_upload(u);

	c->payload = slice_skip(c->payload, n);
	if (c->payload.n > 0)
		return;
	if (c->raw_at == c->raw_len)
		c->raw_at = c->raw_len = 0;
	stream_want_read(c->stream, true);
}

static bool
h1_upload_is_here(struct client *client)
{
	struct h1conn *c = (struct h1conn *)client;

	if (!client->has_upload || client->expects_continue || c->up.kind != FRAMING_LENGTH ||
	    c->up.length > UPLOAD_BYTES || c->up_left <= c->raw_len - c->raw_at)
		return true;
	arm(c, pace_wait(&c->up_pace, conn_site(c)->body_timeout_ms, now_ms(c)));
	return false;
}

/* The bytes behind the head belong to the body: they move to a buffer of their own. */
static void
begin_upload(struct h1conn *c)
{
	size_t rest = c->in_len - c->head_len;

	c->raw_cap = rest > UPLOAD_BYTES ? rest : UPLOAD_BYTES;
	c->raw = must_malloc(c->raw_cap);
	memcpy(c->raw, c->in + c->head_len, rest);
	c->raw_at = 0;
	c->raw_len = rest;
	c->in_len = c->head_len;
	c->payload = SLICE_NONE;
	c->up_left = c->up.length;
	h1_chunked_init(&c->chunked);
	c->trailers.n = 0;
	c->client.has_upload = true;
	c->client.upload = (struct upload){
	    .length = c->up.kind == FRAMING_LENGTH ? c->up.length : BODY_LENGTH_UNKNOWN,
	    .peek = upload_peek,
	    .consume = upload_consume,
	    .begin = upload_begin};
}

static bool
upload_is_read(const struct h1conn *c)
{
	if (!c->client.has_upload)
		return true;
	return c->payload.n == 0 &&
	    (c->up_ended || (c->up.kind == FRAMING_LENGTH && c->up_left == 0));
}

/* What is here of a body that nobody wants: where that is all of it, the connection goes on behind it. */
static void
skip_upload(struct h1conn *c)
{
	do {
		c->payload = SLICE_NONE;
		next_payload(c);
	} while (c->payload.n > 0);
}

/* --- from request to request --- */

static void
serve(struct h1conn *c)
{
	struct head *h = exchange_head(c->x);
	enum h1_fault fault;

	c->phase = PHASE_SERVING;
	c->head_len = h->size;
	timer_disarm(&c->deadline);
	if (!h1_request_framing(h, &c->up, &fault)) {
		refuse(c, fault);
		return;
	}
	c->keep = c->keep && h1_keeps_alive(h);
	if (c->up.kind != FRAMING_NONE && !(c->up.kind == FRAMING_LENGTH && c->up.length == 0))
		begin_upload(c);
	c->client.expects_continue =
	    h->minor >= 1 && head_list_has(h, FIELD_EXPECT, SLICE_LIT("100-continue"));
	exchange_begin(c->x);
}

/* Parses what is there. True: an exchange has been started (and may be over). */
static bool
parse_head(struct h1conn *c)
{
	struct head *h;

	if (c->phase == PHASE_IDLE)
		begin_head(c);
	h = exchange_head(c->x);
	switch (h1_parse(&c->parser, h, c->in, c->in_len)) {
	case H1_WHOLE:
		serve(c);
		return true;
	case H1_PARTIAL:
		return false;
	case H1_BAD:
		c->phase = PHASE_SERVING;
		c->head_len = c->in_len;
		refuse(c, c->parser.fault);
		return true;
	}
	return false;
}

/* After an exchange: what is left in the buffers is the beginning of the next request. */
static void
next_request(struct h1conn *c)
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
	count_as(c, CONNECTION_idle);
	if (rest == 0) {
		release_input(c);
		arm(c, now_ms(c) + conn_site(c)->keepalive_timeout_ms);
	}
	if (!stream_wants_read(c->stream))
		stream_want_read(c->stream, true);
}

/* Serves what is in the buffer, request after request, until one must wait or the buffer holds none. */
static void
conn_walk(struct h1conn *c)
{
	if (c->walking || c->phase == PHASE_CLOSED)
		return;
	if (c->is_spoilt) {
		h1conn_cut(c);
		return;
	}
	c->walking = true;
	while ((c->phase == PHASE_IDLE || c->phase == PHASE_HEAD) && c->in_len > 0)
		if (!parse_head(c))
			break;
	c->walking = false;
	if (c->phase == PHASE_IDLE && c->retiring)
		conn_close(c);
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
	conn_close(c);
}

/* While an exchange walks: more of its body, the next request, or the end. */
static void
read_more(struct h1conn *c)
{
	bool body = c->client.has_upload && !upload_is_read(c);
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
		pace_went(&c->up_pace, (uint64_t)got, now_ms(c));
		timer_disarm(&c->deadline);
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
		due_ms = now_ms(c) + LINGER_MS;
		arm(c, due_ms < c->linger_until_ms ? due_ms : c->linger_until_ms);
		return;
	}
	conn_close(c);
}

static void
on_conn_readable(void *arg)
{
	struct h1conn *c = arg;
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
		conn_walk(c); /* the next request is here already, perhaps with much behind it */
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
	conn_walk(c);
}

static void
on_conn_writable(void *arg)
{
	struct h1conn *c = arg;

	if (c->phase != PHASE_SERVING)
		return;
	if (c->down_pace.since_ms != 0)
		timer_disarm(&c->deadline);
	exchange_wake(c->x);
}

/* --- the response --- */

static void
h1_interim(struct client *client, struct slice head)
{
	struct h1conn *c = (struct h1conn *)client;
	struct iovec iov = {(void *)(uintptr_t)head.p, head.n};

	if (exchange_head(c->x)->minor == 0 || c->replying)
		return;
	/* Hints may be lost, half of one may not: what the socket does not take at once ends the connection's use. */
	if (stream_writev(c->stream, &iov, 1, false) != (ssize_t)head.n) {
		c->is_spoilt = true;
		loop_later(c->worker->loop, &c->walk);
	}
}

static void
frame_reply(struct h1conn *c, const struct reply *r, bool is_11)
{
	c->out = OUT_NOTHING;
	c->out_left = 0;
	if (r->has_body && r->length != BODY_LENGTH_UNKNOWN) {
		c->out = OUT_LENGTH;
		c->out_left = r->length;
	} else if (r->has_body)
		c->out = is_11 ? OUT_CHUNKED : OUT_UNTIL_CLOSE;
	if (c->out == OUT_UNTIL_CLOSE)
		c->keep = false;
	if (c->out == OUT_CHUNKED)
		buf_add_lit(&c->lines, "Transfer-Encoding: chunked\r\n");
	else if (c->out == OUT_LENGTH || (r->has_length && r->length != BODY_LENGTH_UNKNOWN)) {
		buf_add_lit(&c->lines, "Content-Length: ");
		buf_add_u64(&c->lines, r->length);
		buf_add_lit(&c->lines, "\r\n");
	}
}

static void
h1_reply(struct client *client, const struct reply *r)
{
	struct h1conn *c = (struct h1conn *)client;
	bool is_11 = exchange_head(c->x)->minor >= 1;

	c->reply = *r;
	c->replying = true;
	if (r->drops_upload && c->client.has_upload)
		skip_upload(c);
	c->keep = c->keep && !r->must_close && upload_is_read(c);
	frame_reply(c, r, is_11);
	if (!c->keep)
		buf_add_lit(&c->lines, "Connection: close\r\n");
	else if (!is_11)
		buf_add_lit(&c->lines, "Connection: keep-alive\r\n");
	buf_add_lit(&c->lines, "\r\n");
	c->head_bytes = c->lines.n;
	for (int i = 0; i < r->head_count; i++)
		c->head_bytes += r->head[i].iov_len;
}

/* The head's pieces not yet sent, ending just before *front. Returns how many bytes. */
static size_t
put_head(struct h1conn *c, struct iovec **front)
{
	struct iovec pieces[4];
	size_t skip = c->head_sent;
	int n = c->reply.head_count;

	if (c->head_sent == c->head_bytes)
		return 0;
	memcpy(pieces, c->reply.head, (size_t)n * sizeof(*pieces));
	pieces[n++] = (struct iovec){c->lines.p, c->lines.n};
	for (int i = n - 1; i >= 0; i--)
		*--*front = pieces[i];
	while (skip >= (*front)->iov_len)
		skip -= (*front)++->iov_len;
	(*front)->iov_base = (char *)(*front)->iov_base + skip;
	(*front)->iov_len -= skip;
	return c->head_bytes - c->head_sent;
}

/* Books what was sent: first the head, then the body in its framing. Returns bytes of the body. */
static size_t
book_sent(struct h1conn *c, size_t sent, size_t head, bool last, size_t offered)
{
	if (sent < head) {
		c->head_sent += sent;
		return 0;
	}
	c->head_sent += head;
	sent -= head;
	if (c->out == OUT_CHUNKED)
		return chunker_sent(&c->chunker, sent);
	if (c->out == OUT_LENGTH)
		c->out_left -= sent;
	c->out_ended = last && sent == offered;
	return sent;
}

static ssize_t
h1_write(struct client *client, struct iovec *iov, int n, bool last)
{
	struct h1conn *c = (struct h1conn *)client;
	struct iovec *front = iov + CLIENT_IOV_FRONT;
	size_t offered = 0, pieces, total, head, went;
	ssize_t sent;

	for (int i = 0; i < n; i++)
		offered += front[i].iov_len;
	pieces = offered;
	if (c->out == OUT_CHUNKED)
		n = chunker_frame(&c->chunker, --front, n, last, &offered);
	struct iovec *body = front;
	head = put_head(c, &front);
	n += (int)(body - front);
	total = 0;
	for (int i = 0; i < n; i++)
		total += front[i].iov_len;
	if (total == 0) {
		c->out_ended |= last;
		return 0;
	}
	sent = stream_writev(c->stream, front, n, false);
	if (sent == STREAM_ERROR)
		return -1;
	if (sent == STREAM_AGAIN)
		sent = 0;
	observe_add(c->worker->observer, COUNT_bytes_out, sent);
	went = book_sent(c, (size_t)sent, head, last, offered);
	if (sent > 0)
		pace_went(&c->down_pace, (uint64_t)sent, now_ms(c));
	if ((size_t)sent < total)
		arm(c, pace_wait(&c->down_pace, conn_site(c)->body_timeout_ms, now_ms(c)));
	else if (offered < pieces) /* the open chunk is through, the rest is the next */
		stream_want_write(c->stream, true);
	return (ssize_t)went;
}

static bool
h1_is_flushed(const struct client *client)
{
	const struct h1conn *c = (const struct h1conn *)client;

	if (!c->replying || c->head_sent < c->head_bytes)
		return false;
	switch (c->out) {
	case OUT_NOTHING:
		return true;
	case OUT_LENGTH:
		return c->out_left == 0;
	case OUT_CHUNKED:
		return chunker_is_done(&c->chunker);
	case OUT_UNTIL_CLOSE:
		return c->out_ended;
	}
	return false;
}

static void
h1_done(struct client *client, bool whole)
{
	struct h1conn *c = (struct h1conn *)client;

	c->x = NULL;
	timer_disarm(&c->deadline);
	stream_want_write(c->stream, false);
	if (!whole) {
		stream_reset(&c->stream);
		conn_leave(c);
		return;
	}
	if (!c->keep || !upload_is_read(c)) {
		conn_linger(c);
		return;
	}
	next_request(c);
	if (!c->walking && c->in_len > 0)
		loop_later(c->worker->loop, &c->walk);
	else if (c->retiring && !c->walking)
		conn_close(c);
}

static struct stream *
h1_take_stream(struct client *client, struct buf *rest)
{
	struct h1conn *c = (struct h1conn *)client;
	struct stream *s = c->stream;

	buf_add(rest, c->in + c->head_len, c->in_len - c->head_len);
	c->x = NULL;
	c->stream = NULL;
	conn_leave(c);
	return s;
}

static void
h1_set_trailers(struct client *client, struct slice lines)
{
	((struct h1conn *)client)->chunker.trailers = lines;
}

static const struct client_ops h1_ops = {
    .upload_is_here = h1_upload_is_here,
    .interim = h1_interim,
    .reply = h1_reply,
    .write = h1_write,
    .is_flushed = h1_is_flushed,
    .set_trailers = h1_set_trailers,
    .done = h1_done,
    .take_stream = h1_take_stream,
};
