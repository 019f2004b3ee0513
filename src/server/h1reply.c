#include "server/h1conn_priv.h"

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
		h1_stir(c);
	}
}

static void
frame_body(struct h1conn *c, const struct reply *r, bool is_11)
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
}

/* The lines that frame the message and concern the connection, and the end of the head. */
static void
end_head(const struct h1conn *c, const struct reply *r, bool is_11)
{
	if (c->out == OUT_CHUNKED)
		buf_add_lit(r->head, "Transfer-Encoding: chunked\r\n");
	else if (c->out == OUT_LENGTH || (r->has_length && r->length != BODY_LENGTH_UNKNOWN)) {
		buf_add_lit(r->head, "Content-Length: ");
		buf_add_u64(r->head, r->length);
		buf_add_lit(r->head, "\r\n");
	}
	if (!c->keep)
		buf_add_lit(r->head, "Connection: close\r\n");
	else if (!is_11)
		buf_add_lit(r->head, "Connection: keep-alive\r\n");
	buf_add_lit(r->head, "\r\n");
}

static void
h1_reply(struct client *client, const struct reply *r)
{
	struct h1conn *c = (struct h1conn *)client;
	bool is_11 = exchange_head(c->x)->minor >= 1;

	c->head = r->head;
	c->replying = true;
	if (r->drops_upload && c->client.has_upload)
		h1_skip_upload(c);
	c->keep = c->keep && !r->must_close && h1_upload_is_read(c);
	frame_body(c, r, is_11);
	end_head(c, r, is_11);
}

/* What is not yet sent of the head, just before *front. Returns how many bytes. */
static size_t
put_head(struct h1conn *c, struct iovec **front)
{
	size_t left = c->head->n - c->head_sent;

	if (left > 0)
		*--*front = (struct iovec){c->head->p + c->head_sent, left};
	return left;
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
	struct iovec *front = iov + CLIENT_IOV_FRONT, *body;
	size_t offered = 0, pieces, total, head, went;
	ssize_t sent;

	for (int i = 0; i < n; i++)
		offered += front[i].iov_len;
	pieces = total = offered;
	if (c->out == OUT_CHUNKED) {
		n = chunker_frame(&c->chunker, --front, n, last, &offered);
		total = 0;
		for (int i = 0; i < n; i++)
			total += front[i].iov_len;
	}
	body = front;
	head = put_head(c, &front);
	n += (int)(body - front);
	total += head;
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
		pace_went(&c->down_pace, (uint64_t)sent, h1_now_ms(c));
	if ((size_t)sent < total)
		h1_arm(c, pace_wait(&c->down_pace, h1_site(c)->body_timeout_ms, h1_now_ms(c)));
	else if (offered < pieces) /* the open chunk is through, the rest is the next */
		stream_want_write(c->stream, true);
	return (ssize_t)went;
}

static bool
h1_is_flushed(const struct client *client)
{
	const struct h1conn *c = (const struct h1conn *)client;

	if (!c->replying || c->head_sent < c->head->n)
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
	h1_disarm(c);
	stream_want_write(c->stream, false);
	if (!whole) {
		stream_reset(&c->stream);
		h1_leave(c);
		return;
	}
	if (!c->keep || !h1_upload_is_read(c)) {
		h1_linger(c);
		return;
	}
	h1_next_request(c);
	if (!c->walking)
		h1_stir(c);
}

static struct stream *
h1_take_stream(struct client *client, struct buf *head, struct buf *rest)
{
	struct h1conn *c = (struct h1conn *)client;
	struct stream *s = c->stream;

	buf_add(rest, c->in + c->head_len, c->in_len - c->head_len);
	c->x = NULL;
	c->stream = NULL;
	h1_leave(c);
	return s;
}

static void
h1_set_trailers(struct client *client, struct slice lines)
{
	((struct h1conn *)client)->chunker.trailers = lines;
}

const struct client_ops h1_ops = {
    .upload_is_here = h1_upload_is_here,
    .interim = h1_interim,
    .reply = h1_reply,
    .write = h1_write,
    .is_flushed = h1_is_flushed,
    .set_trailers = h1_set_trailers,
    .done = h1_done,
    .take_stream = h1_take_stream,
};
