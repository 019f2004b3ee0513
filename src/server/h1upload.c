#include <stdlib.h>

#include "base/mem.h"
#include "server/h1conn_priv.h"

#define UPLOAD_BYTES 65536

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
			h1_arm(
			    c, pace_wait(&c->up_pace, h1_site(c)->body_timeout_ms, h1_now_ms(c)));
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

bool
h1_upload_is_here(struct client *client)
{
	struct h1conn *c = (struct h1conn *)client;

	if (!client->has_upload || client->expects_continue || c->up.kind != FRAMING_LENGTH ||
	    c->up.length > UPLOAD_BYTES || c->up_left <= c->raw_len - c->raw_at)
		return true;
	h1_arm(c, pace_wait(&c->up_pace, h1_site(c)->body_timeout_ms, h1_now_ms(c)));
	return false;
}

void
h1_begin_upload(struct h1conn *c)
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

bool
h1_upload_is_read(const struct h1conn *c)
{
	if (!c->client.has_upload)
		return true;
	return c->payload.n == 0 &&
	    (c->up_ended || (c->up.kind == FRAMING_LENGTH && c->up_left == 0));
}

void
h1_skip_upload(struct h1conn *c)
{
	do {
		c->payload = SLICE_NONE;
		next_payload(c);
	} while (c->payload.n > 0);
}
