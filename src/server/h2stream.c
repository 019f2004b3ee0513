/* One request on an HTTP/2 connection, as the exchange sees it: a client like any other. What the session tells of the stream
 * becomes the exchange's head, upload and end; what the exchange writes waits until the stream has its turn, and is refused
 * before (the exchange is woken when it comes). So nothing of a response is held here but its head. A request's body is: as much as the
 * window lets in, given back as the exchange consumes. */
#include <stdlib.h>

#include "base/mem.h"
#include "http/h2block.h"
#include "http/h2blocks.h"
#include "server/h2conn_priv.h"

#define HEAD_BYTES_KEPT 4096

static const struct client_ops h2_ops;

static struct h2stream *
stream_of(struct h2_stream *wire)
{
	return CONTAINER_OF(wire, struct h2stream, wire);
}

static int64_t
now_ms(const struct h2stream *s)
{
	return h2_now_ms(s->conn);
}

/* When the peer is too slow, with the one or the other; INT64_MAX: we do not wait for it. */
static int64_t
due_ms(struct h2stream *s, struct pace *p)
{
	return p->since_ms == 0 ? INT64_MAX
				: pace_wait(p, h2_site(s->conn)->body_timeout_ms, now_ms(s));
}

static void
arm(struct h2stream *s)
{
	int64_t up_ms = due_ms(s, &s->up_pace), down_ms = due_ms(s, &s->down_pace);
	int64_t first_ms = up_ms < down_ms ? up_ms : down_ms;

	if (first_ms == INT64_MAX)
		timer_disarm(&s->deadline);
	else
		timer_arm(s->conn->worker->loop, &s->deadline, first_ms);
}

static void
wait_for_peer(struct h2stream *s, struct pace *p)
{
	pace_wait(p, 0, now_ms(s));
	arm(s);
}

static void
peer_has_moved(struct h2stream *s, struct pace *p, size_t bytes)
{
	pace_went(p, bytes, now_ms(s));
	arm(s);
}

/* --- beginning and end --- */

void
h2stream_scrap(void *memory)
{
	struct h2stream *s = memory;

	buf_fini(&s->head);
	free(s);
}

static void
on_bury(void *arg)
{
	struct h2stream *s = arg;

	buf_fini(&s->upload);
	buf_fini(&s->trailers);
	if (s->head.cap > HEAD_BYTES_KEPT)
		buf_fini(&s->head);
	if (!spare_keep(&s->client.worker->spare_streams, s))
		h2stream_scrap(s);
}

void
h2stream_leave(struct h2stream *s)
{
	struct h2conn *c = s->conn;
	struct exchange *x = s->x;

	if (s->is_gone)
		return;
	s->is_gone = true;
	s->x = NULL;
	timer_disarm(&s->deadline);
	h2_consumed(c->session, NULL, s->upload.n - s->upload_at);
	s->upload_at = s->upload.n;
	h2_close(c->session, &s->wire);
	list_leave(&s->queued);
	list_leave(&s->link);
	c->streams_count--;
	h2tunnel_close(s);
	loop_later(c->worker->loop, &s->bury);
	if (x != NULL)
		exchange_client_gone(x);
	h2_note_streams(c);
}

static void
on_stream_deadline(void *arg)
{
	struct h2stream *s = arg;

	if (s->x == NULL) {
		h2_reset(s->conn->session, &s->wire, H2_CANCEL);
		h2stream_leave(s);
	} else if (due_ms(s, &s->up_pace) <= now_ms(s))
		exchange_upload_slow(s->x);
	else
		exchange_client_slow(s->x);
}

static struct h2_stream *
on_open(void *arg, uint32_t id)
{
	struct h2conn *c = arg;
	struct h2stream *s = spare_take(&c->worker->spare_streams);

	if (s == NULL)
		s = calloc(1, sizeof(*s));
	if (s == NULL)
		return NULL;
	memset(s, 0, offsetof(struct h2stream, head));
	s->conn = c;
	s->client.ops = &h2_ops;
	s->client.worker = c->worker;
	s->client.peer = &c->peer;
	s->client.local = &c->connection.door->local;
	s->client.door = c->connection.door;
	s->client.certificate = stream_tls_client_certificate(c->stream);
	s->client.listener_slot = c->connection.door->slot;
	s->client.is_tls = c->connection.door->tls != NULL;
	s->client.http_major = 2;
	s->client.served = c->served++;
	list_init(&s->queued);
	task_init(&s->bury, on_bury, s);
	timer_init(&s->deadline, on_stream_deadline, s);
	list_push_back(&c->streams, &s->link);
	c->streams_count++;
	h2_note_streams(c);
	observe_add(c->worker->observer, COUNT_h2_streams, 1);
	return &s->wire;
}

/* --- the request --- */

static void upload_begin(struct upload *u);
static int upload_peek(struct upload *u, struct iovec *iov, int max, bool *end_out);
static void upload_consume(struct upload *u, size_t n);

static void
refuse(struct h2stream *s, unsigned status, const char *why)
{
	observe_add(s->conn->worker->observer, COUNT_malformed, 1);
	s->wire.discards = true;
	if (status == 400)
		s->after = H2_PROTOCOL_ERROR;
	exchange_refuse(s->x, status, why);
}

static void
begin_upload(struct h2stream *s, const struct head *h)
{
	s->client.has_upload = true;
	s->client.upload = (struct upload){
	    .length = s->wire.has_length ? s->wire.length_left : BODY_LENGTH_UNKNOWN,
	    .peek = upload_peek,
	    .consume = upload_consume,
	    .begin = upload_begin};
	s->client.expects_continue = head_list_has(h, FIELD_EXPECT, SLICE_LIT("100-continue"));
}

/* Many are over at once, answered from the cache: the next request that was read has their memory. */
static void
begin(struct h2stream *s)
{
	struct exchange *x = s->x;

	exchange_begin(x);
	if (!s->is_gone || s->client.has_upload || s->pipe != NULL)
		return;
	exchange_bury(x);
	task_cancel(&s->bury);
	on_bury(s);
}

static void
on_request(void *arg, struct h2_stream *wire, const struct h2_request *r)
{
	struct h2stream *s = stream_of(wire);
	struct head *head;

	s->x = exchange_new(s->conn->worker, &s->client, s->conn->connection.door->is_admin);
	if (r->fault != H2_FAULT_none) {
		refuse(s, h2_fault_status(r->fault, r->shared), h2_fault_text(r->fault, r->shared));
		return;
	}
	h2_take_text(s->conn->session, &s->head);
	head = exchange_head(s->x);
	head_copy(head, r->head);
	if (!wire->receive_ended && !wire->is_connect)
		begin_upload(s, head);
	begin(s);
}

static void
on_data(void *arg, struct h2_stream *wire, struct slice bytes)
{
	struct h2stream *s = stream_of(wire);

	if (s->upload_at > 0) {
		buf_eat(&s->upload, s->upload_at);
		s->upload_at = 0;
	}
	buf_add_slice(&s->upload, bytes);
	if (s->pipe != NULL || s->x == NULL) {
		h2tunnel_feed(s);
		return;
	}
	peer_has_moved(s, &s->up_pace, bytes.n);
	exchange_wake(s->x);
}

static void
on_end(void *arg, struct h2_stream *wire, struct slice trailers)
{
	struct h2stream *s = stream_of(wire);

	if (s->pipe != NULL || s->x == NULL) {
		h2tunnel_feed(s);
		return;
	}
	buf_add_slice(&s->trailers, trailers);
	s->client.upload.trailers = buf_slice(&s->trailers);
	peer_has_moved(s, &s->up_pace, 0);
	exchange_wake(s->x);
}

static void
on_bad(void *arg, struct h2_stream *wire)
{
	struct h2stream *s = stream_of(wire);

	if (s->x == NULL || s->has_reply) {
		h2_reset(s->conn->session, wire, H2_PROTOCOL_ERROR);
		h2stream_leave(s);
		return;
	}
	s->after = H2_PROTOCOL_ERROR;
	exchange_upload_bad(s->x);
}

static void
on_reset(void *arg, struct h2_stream *wire)
{
	h2stream_leave(stream_of(wire));
}

static void
unblock(struct h2stream *s)
{
	if (!s->is_blocked || h2_may_send(s->conn->session, &s->wire) == 0)
		return;
	s->is_blocked = false;
	peer_has_moved(s, &s->down_pace, 0);
	h2_queue(s);
}

static void
on_window(void *arg, struct h2_stream *wire)
{
	struct h2conn *c = arg;

	if (wire != NULL) {
		unblock(stream_of(wire));
		return;
	}
	LIST_EACH (s, &c->streams, struct h2stream, link)
		unblock(s);
}

static void
on_priority(void *arg, struct h2_stream *wire)
{
	struct h2stream *s = stream_of(wire);

	if (!list_has(&s->queued))
		return;
	list_leave(&s->queued);
	h2_queue(s);
}

static void
on_ping_ack(void *arg)
{
	h2conn_on_ping_ack(arg);
}

static bool
on_borrow(void *arg, int64_t bytes)
{
	return h2conn_on_borrow(arg, bytes);
}

const struct h2_handler h2_session_handler = {
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

/* --- the request's body --- */

static struct h2stream *
stream_of_upload(struct upload *u)
{
	return CONTAINER_OF(u, struct h2stream, client.upload);
}

static void
upload_begin(struct upload *u)
{
	struct h2stream *s = stream_of_upload(u);

	if (!s->client.expects_continue || s->continued || s->has_reply || s->upload.n > 0 ||
	    s->wire.receive_ended)
		return;
	s->continued = true;
	h2_send_head(s->conn->session, &s->wire, 100, SLICE_NONE, false);
	h2_stir(s->conn);
}

static int
upload_peek(struct upload *u, struct iovec *iov, int max, bool *end_out)
{
	struct h2stream *s = stream_of_upload(u);
	size_t there = s->upload.n - s->upload_at;

	*end_out = s->wire.receive_ended;
	if (there > 0) {
		iov[0] = (struct iovec){s->upload.p + s->upload_at, there};
		return 1;
	}
	if (!s->wire.receive_ended && !s->is_gone && !s->head_is_sent)
		wait_for_peer(s, &s->up_pace);
	return 0;
}

static void
upload_consume(struct upload *u, size_t n)
{
	struct h2stream *s = stream_of_upload(u);

	s->upload_at += n;
	if (s->upload_at == s->upload.n)
		s->upload_at = s->upload.n = 0;
	if (s->is_gone)
		return;
	h2_consumed(s->conn->session, &s->wire, n);
	h2_stir(s->conn);
}

static bool
h2_upload_is_here(struct client *client)
{
	struct h2stream *s = (struct h2stream *)client;

	if (!client->has_upload || client->expects_continue || s->wire.receive_ended ||
	    client->upload.length > H2_WINDOW_DEFAULT)
		return true;
	wait_for_peer(s, &s->up_pace);
	return false;
}

/* --- the response --- */

static void
h2_interim(struct client *client, struct slice head)
{
	struct h2stream *s = (struct h2stream *)client;
	struct slice code = slice_skip(head, sizeof("HTTP/1.1 ") - 1);
	uint64_t status;

	if (s->has_reply || s->is_gone || !slice_to_u64(slice_of(code.p, 3), &status))
		return;
	h2_send_head(s->conn->session, &s->wire, (unsigned)status, head, false);
	h2_stir(s->conn);
}

/* What is not a tunnel must not look like one (RFC 8441 section 5): the origin did not want to switch. */
static void
refuse_tunnel(struct h2stream *s)
{
	if (!s->wire.is_connect || s->reply.status < 200 || s->reply.status > 299)
		return;
	s->reply.status = 502;
	s->reply.has_body = s->reply.has_length = false;
}

static void
h2_reply(struct client *client, const struct reply *r)
{
	struct h2stream *s = (struct h2stream *)client;

	s->reply = *r;
	s->has_reply = true;
	refuse_tunnel(s);
	if (r->drops_upload && client->has_upload) {
		h2_discard(s->conn->session, &s->wire, s->upload.n - s->upload_at);
		s->upload_at = s->upload.n = 0;
		h2_stir(s->conn);
	}
}

/* Of the head, the part that is the same for every hit, where it has been rendered before. */
static struct slice
fixed_block(const struct h2stream *s)
{
	return h2_blocks_find(s->client.worker->h2_blocks, s->reply.fixed_number,
	    slice_of(s->reply.head->p, s->reply.fixed_bytes));
}

static void
send_head(struct h2stream *s, bool end)
{
	const struct reply *r = &s->reply;
	struct slice lines = buf_slice(r->head), fixed = fixed_block(s);
	struct buf *block = h2_head_open(s->conn->session, r->status);

	if (fixed.n > 0)
		lines = slice_skip(lines, r->fixed_bytes);
	buf_add_slice(block, fixed);
	h2_block_lines(block, lines);
	if ((r->has_body || r->has_length) && r->length != BODY_LENGTH_UNKNOWN)
		h2_block_length(block, r->length);
	h2_head_close(s->conn->session, &s->wire, end);
	s->head_is_sent = true;
	peer_has_moved(s, &s->up_pace, 0); /* who is answered already may think before going on */
}

static void
send_trailers(struct h2stream *s)
{
	h2_send_head(s->conn->session, &s->wire, 0, s->reply_trailers, true);
}

/* The frames of one piece of the body. Returns bytes taken, -1: broken. */
static ssize_t
send_body(struct h2stream *s, const struct iovec *iov, int n, size_t bytes, bool end)
{
	struct h2conn *c = s->conn;
	ssize_t taken;

	if (bytes <= H2_COPY_BYTES && h2_waiting(c) < H2_GATHER_BYTES) {
		h2_copy_data(s, iov, n, bytes, end);
		taken = (ssize_t)bytes;
	} else
		taken = c->is_full ? 0 : h2_write_data(s, iov, n, bytes, end);
	if (taken > 0) {
		c->turn_left -= (size_t)taken;
		peer_has_moved(s, &s->down_pace, (size_t)taken);
	}
	return taken;
}

/* How much of it may go now; where a window forbids all, its update is waited for. */
static size_t
allowed(struct h2stream *s, size_t offered)
{
	size_t window = h2_may_send(s->conn->session, &s->wire);
	size_t least = offered < s->conn->turn_left ? offered : s->conn->turn_left;

	if (offered > 0 && window == 0) {
		s->is_blocked = true;
		wait_for_peer(s, &s->down_pace);
	}
	return least < window ? least : window;
}

/* While requests are being read: a small answer that is there goes out behind those before it, unless somebody waits for a turn. What
 * is more urgent and was read with it waits for no more than what is gathered. */
static bool
goes_at_once(const struct h2stream *s, size_t offered, bool last)
{
	const struct h2conn *c = s->conn;

	return c->feeding && last && offered <= H2_COPY_BYTES && !c->is_full &&
	    h2_waiting(c) + offered < H2_GATHER_BYTES && !h2_has_queue(c) &&
	    offered <= h2_may_send(c->session, &s->wire);
}

static ssize_t
h2_write(struct client *client, struct iovec *iov, int n, bool last)
{
	struct h2stream *s = (struct h2stream *)client;
	struct h2conn *c = s->conn;
	struct iovec *front = iov + CLIENT_IOV_FRONT;
	size_t offered = 0, may;
	bool ends;
	ssize_t taken = 0;

	if (s->is_gone)
		return -1;
	for (int i = 0; i < n; i++)
		offered += front[i].iov_len;
	if (goes_at_once(s, offered, last))
		c->turn_left = H2_TURN_BYTES;
	else if (c->turn != s) {
		if (offered > 0 || last || !s->head_is_sent)
			h2_queue(s);
		return 0;
	}
	if (s->wire.send_ended)
		return (ssize_t)offered; /* of a body that is not told */
	ends = last && s->reply_trailers.n == 0;
	if (!s->head_is_sent)
		send_head(s, !s->reply.has_body || (ends && offered == 0));
	if (s->wire.send_ended)
		return (ssize_t)offered;
	may = allowed(s, offered);
	if (may > 0 || (offered == 0 && ends))
		taken = send_body(s, front, n, may, ends && may == offered);
	if (taken >= 0 && (size_t)taken < offered && !s->is_blocked)
		h2_queue(s);
	if (last && taken == (ssize_t)offered && s->reply_trailers.n > 0)
		send_trailers(s);
	return taken;
}

static bool
h2_is_flushed(const struct client *client)
{
	return ((const struct h2stream *)client)->wire.send_ended;
}

static void
h2_set_trailers(struct client *client, struct slice lines)
{
	((struct h2stream *)client)->reply_trailers = lines;
}

static void
h2_done(struct client *client, bool whole)
{
	struct h2stream *s = (struct h2stream *)client;
	struct h2_session *session = s->conn->session;

	s->x = NULL;
	if (s->is_gone)
		return;
	if (!whole || !s->wire.send_ended)
		h2_reset(session, &s->wire, H2_INTERNAL_ERROR);
	else if (s->after != H2_NO_ERROR || !s->wire.receive_ended)
		h2_reset(session, &s->wire, s->after);
	h2stream_leave(s);
	h2_stir(s->conn);
}

static struct stream *
h2_take_stream(struct client *client, struct buf *head, struct buf *rest)
{
	struct h2stream *s = (struct h2stream *)client;
	struct slice lines = buf_slice(head);
	struct stream *end = s->wire.is_connect ? h2tunnel_open(s) : NULL;

	if (end == NULL)
		return NULL;
	s->x = NULL;
	timer_disarm(&s->deadline);
	h2_send_head(s->conn->session, &s->wire, 200, lines, false);
	head->n = 0;
	h2tunnel_feed(s);
	h2_stir(s->conn);
	return end;
}

static const struct client_ops h2_ops = {
    .upload_is_here = h2_upload_is_here,
    .interim = h2_interim,
    .reply = h2_reply,
    .write = h2_write,
    .is_flushed = h2_is_flushed,
    .set_trailers = h2_set_trailers,
    .done = h2_done,
    .take_stream = h2_take_stream,
};

void
h2stream_run(struct h2stream *s)
{
	if (s->pipe != NULL)
		h2tunnel_run(s);
	else if (s->x != NULL)
		exchange_wake(s->x);
}
