/* A fetch's exchange over HTTP/1.1: the request out, the response in, on a connection of its own. */
#include "upstream/fetch_priv.h"
#include "upstream/health.h"
#include "upstream/secure.h"

#define TURN_BYTES (512 * 1024) /* received in one turn before others have theirs */
/* Asked for in one read of a body: doubled where that much came, halved where less did. */
#define READ_LEAST_BYTES (16 * 1024)
#define READ_MOST_BYTES (128 * 1024)

/* --- sending --- */

static bool
is_sent(const struct fetch *f)
{
	return f->head_sent == f->request.n && (f->plan.upload == NULL || f->upload_done);
}

/* What a try before this one, by HTTP/2, has had of it comes first. */
static int
peek_upload(struct fetch *f, struct iovec *iov, int max, bool *end_out)
{
	struct upload *u = f->plan.upload;
	size_t kept = f->kept.n - f->kept_at;

	if (!f->upload_begun) {
		f->upload_begun = true;
		u->begin(u);
	}
	if (kept == 0 && !f->upload_read)
		return u->peek(u, iov, max, end_out);
	*end_out = f->upload_read;
	iov[0] = (struct iovec){f->kept.p + f->kept_at, kept};
	return kept > 0;
}

static void
consume_upload(struct fetch *f, size_t n)
{
	size_t kept = f->kept.n - f->kept_at;

	if (kept > 0)
		f->kept_at += n;
	else
		f->plan.upload->consume(f->plan.upload, n);
}

/* The upload's part of what is to be sent, behind the n pieces that are there. */
static int
gather_upload(struct fetch *f, struct iovec *iov, int n, int max, size_t *upload_out, bool *end_out)
{
	struct upload *u = f->plan.upload;
	bool chunks = u->length == BODY_LENGTH_UNKNOWN;
	int pieces;

	if (chunks) {
		pieces = peek_upload(f, iov + n + 1, max - n - CHUNKER_EXTRA, end_out);
		f->chunker.trailers = u->trailers;
		return n + chunker_frame(&f->chunker, iov + n, pieces, *end_out, upload_out);
	}
	pieces = peek_upload(f, iov + n, max - n, end_out);
	for (int i = 0; i < pieces; i++)
		*upload_out += iov[n + i].iov_len;
	return n + pieces;
}

/* What is to be sent next: head, then upload. Returns how many pieces, *upload_out bytes of them
 * from the upload. */
static int
gather(struct fetch *f, struct iovec *iov, int max, size_t *upload_out, bool *end_out)
{
	int n = 0;

	*upload_out = 0;
	*end_out = true;
	if (f->head_sent < f->request.n)
		iov[n++] = (struct iovec){
		    (void *)(uintptr_t)(f->request.p + f->head_sent), f->request.n - f->head_sent};
	if (f->plan.upload == NULL || f->upload_done)
		return n;
	return gather_upload(f, iov, n, max, upload_out, end_out);
}

/* Books sent bytes in the order in which they were gathered. */
static void
book_sent(struct fetch *f, size_t sent)
{
	struct upload *u = f->plan.upload;
	size_t part = f->request.n - f->head_sent;

	part = sent < part ? sent : part;
	f->head_sent += part;
	sent -= part;
	if (sent == 0)
		return;
	f->upload_touched = true;
	if (u->length == BODY_LENGTH_UNKNOWN)
		sent = chunker_sent(&f->chunker, sent);
	if (sent > 0)
		consume_upload(f, sent);
}

void
fetch_h1_send(struct fetch *f)
{
	struct iovec iov[16];
	size_t from_upload, offered;
	bool upload_ends;
	ssize_t sent;
	int n;

	while (!f->send_broken && !is_sent(f)) {
		n = gather(f, iov, 16, &from_upload, &upload_ends);
		offered = 0;
		for (int i = 0; i < n; i++)
			offered += iov[i].iov_len;
		if (offered == 0 && !upload_ends) {
			if (f->step == FETCH_EXCHANGING)
				timer_disarm(&f->deadline); /* the client is late, not the server */
			return;				    /* fetch_upload_ready will come */
		}
		if (offered == 0) {
			f->upload_done = true;
			continue;
		}
		sent = stream_writev(f->attempt.conn->stream, iov, n, false);
		if (sent == STREAM_AGAIN)
			return;
		if (sent == STREAM_ERROR) {
			/* The response may have been sent before the server closed: reading tells.
			 */
			f->send_broken = true;
			return;
		}
		book_sent(f, (size_t)sent);
		if (f->step == FETCH_EXCHANGING)
			fetch_arm_response(f);
		if ((size_t)sent < offered)
			return;
	}
}

/* --- receiving --- */

/* The connection serves again if nothing is left to send or to read on it. */
static void
complete(struct fetch *f)
{
	if (f->keep && is_sent(f))
		pool_return(&f->attempt.conn);
	fetch_complete(f);
}

/* Chunked bytes: payload goes into the body, what is not a whole line stays in f->in. */
static enum fed
feed_chunked(struct fetch *f)
{
	struct slice rest = buf_slice(&f->in), payload;
	size_t used;

	for (;;) {
		switch (h1_chunked_next(&f->chunked, rest, &payload, &used, &f->trailers)) {
		case CHUNK_DATA:
			if (body_append(f->body, payload) != 0)
				return fetch_bad(f, FETCH_no_memory);
			rest = slice_skip(rest, used);
			continue;
		case CHUNK_MORE:
			rest = slice_skip(rest, used);
			buf_eat(&f->in, f->in.n - rest.n);
			return FED;
		case CHUNK_END:
			rest = slice_skip(rest, used);
			f->keep &= rest.n == 0; /* what follows, nobody asked for */
			return FED_WHOLE;
		case CHUNK_BAD:
			return fetch_bad(f, FETCH_response_bad);
		}
	}
}

/* The bytes in f->in belong to the body, from so many on. */
static enum fed
feed(struct fetch *f, size_t from)
{
	struct slice bytes = slice_skip(buf_slice(&f->in), from);

	if (f->framing.kind == FRAMING_CHUNKED) {
		if (from > 0)
			buf_eat(&f->in, from);
		return feed_chunked(f);
	}
	if (f->framing.kind == FRAMING_LENGTH && bytes.n > f->left) {
		f->keep = false;
		bytes.n = f->left;
	}
	if (bytes.n > 0 && body_append(f->body, bytes) != 0)
		return fetch_bad(f, FETCH_no_memory);
	f->left -= f->framing.kind == FRAMING_LENGTH ? bytes.n : 0;
	f->in.n = 0;
	return f->framing.kind == FRAMING_LENGTH && f->left == 0 ? FED_WHOLE : FED;
}

/* A response's head is there: what follows belongs to its body. */
static enum fed
begin_body(struct fetch *f)
{
	f->left = f->framing.length;
	f->read_bytes = READ_LEAST_BYTES;
	h1_chunked_init(&f->chunked);
	if (f->framing.kind == FRAMING_NONE) {
		f->keep &= f->in.n == f->head_bytes;
		f->in.n = 0;
		return FED_WHOLE;
	}
	return feed(f, f->head_bytes);
}

static enum fed
read_heads(struct fetch *f)
{
	enum fed fed = fetch_read_heads(f);

	return fed == FED_HEAD ? begin_body(f) : fed;
}

/* The end of the stream, or its failure, while something was still to come. */
static void
on_fetch_ended(struct fetch *f, bool orderly)
{
	f->keep = false;
	if (f->step == FETCH_EXCHANGING) {
		fetch_broken(f,
		    secure_end(
			f->attempt.conn, f->send_broken ? FETCH_send_failed : FETCH_closed_early));
		return;
	}
	if (orderly && f->framing.kind == FRAMING_CLOSE) {
		complete(f);
		return;
	}
	server_failed(f->attempt.server, fetch_took_us(f), loop_now_ms(fetch_loop(f)));
	fetch_finish(f, FETCH_truncated);
}

/* Where the next bytes go: a body that is not chunked is received where it will stay. Returns how
 * many pieces, -1: no memory. */
static int
receive_space(struct fetch *f, bool direct, struct iovec iov[2])
{
	uint64_t room = f->left;
	int n;

	if (!direct) {
		if (f->in.cap == 0)
			pool_lend_input(f->attempt.pool, &f->in);
		iov[0].iov_base = buf_room(
		    &f->in, f->in.n < POOL_INPUT_BYTES ? POOL_INPUT_BYTES - f->in.n : 4096);
		iov[0].iov_len = f->in.cap - f->in.n;
		return 1;
	}
	if (f->framing.kind != FRAMING_LENGTH)
		return body_space(f->body, iov, f->read_bytes);
	n = body_space(f->body, iov, f->left < f->read_bytes ? (size_t)f->left : f->read_bytes);
	for (int i = 0; i < n;
	     i++) { /* what lies behind the end stays unread: the pool notices it */
		if (iov[i].iov_len > room)
			iov[i].iov_len = (size_t)room;
		room -= iov[i].iov_len;
	}
	return n == 2 && iov[1].iov_len == 0 ? 1 : n;
}

static enum fed
took_direct(struct fetch *f, size_t got, size_t room)
{
	if (got == room && f->read_bytes < READ_MOST_BYTES)
		f->read_bytes *= 2;
	else if (got < room && f->read_bytes > READ_LEAST_BYTES)
		f->read_bytes /= 2;
	body_publish(f->body, got);
	if (f->framing.kind != FRAMING_LENGTH)
		return FED;
	f->left -= got;
	return f->left == 0 ? FED_WHOLE : FED;
}

/* One read and what follows from it; FED_DRY: the kernel has no more for now. */
static enum fed
receive_some(struct fetch *f, size_t *total)
{
	bool direct = f->step == FETCH_RECEIVING && f->framing.kind != FRAMING_CHUNKED;
	struct iovec iov[2];
	int n = receive_space(f, direct, iov);
	enum fed fed;
	size_t room;
	ssize_t got;

	if (n < 0)
		return fetch_bad(f, FETCH_no_memory);
	room = iov[0].iov_len + (n == 2 ? iov[1].iov_len : 0);
	got = stream_readv(f->attempt.conn->stream, iov, n);
	if (got == STREAM_AGAIN)
		return FED_DRY;
	if (got <= 0) {
		on_fetch_ended(f, got == 0);
		return FED_GONE;
	}
	f->started_reading = true;
	*total += (size_t)got;
	if (direct)
		fed = took_direct(f, (size_t)got, room);
	else {
		f->in.n += (size_t)got;
		fed = f->step == FETCH_RECEIVING ? feed(f, 0) : read_heads(f);
	}
	return fed == FED && (size_t)got < room ? FED_DRY : fed;
}

void
fetch_h1_readable(struct fetch *f)
{
	size_t total = 0;
	enum fed fed;

	do
		fed = receive_some(f, &total);
	while (fed == FED && !f->paused && total < TURN_BYTES);
	if (fed == FED_GONE)
		return;
	if (fed == FED_WHOLE) {
		complete(f);
		return;
	}
	if (f->in.n == 0)
		pool_keep_input(f->attempt.pool, &f->in);
	if (f->step != FETCH_RECEIVING || total == 0)
		return;
	if (!f->paused)
		fetch_arm_deadline(f, fetch_conf(f)->response_ms);
	f->handler->on_body(f->arg);
}
