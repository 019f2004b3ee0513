#include "server/h2conn_priv.h"

#define FRAMES_MAX 8 /* in one write: H2_TURN_BYTES */
#define PIECES_MAX 64
#define OUT_BYTES_KEPT ((size_t)128 * 1024)

/* Books what the socket took. */
static void
book_sent(struct h2conn *c, ssize_t sent, size_t offered)
{
	int64_t now_ms = h2_now_ms(c);

	if (sent > 0) {
		observe_add(c->worker->observer, COUNT_bytes_out, sent);
		pace_went(&c->pace, (uint64_t)sent, now_ms);
	}
	c->is_full = sent < 0 || (size_t)sent < offered;
	if (c->is_full)
		pace_wait(&c->pace, h2_site(c)->body_timeout_ms, now_ms);
}

/* n bytes of what gathered have left. */
static void
eat_out(struct h2conn *c, size_t n)
{
	struct buf *out = h2_out(c->session);

	c->out_at += n;
	if (c->out_at < out->n)
		return;
	c->out_at = out->n = 0;
	if (out->cap > OUT_BYTES_KEPT || c->worker->spare_out.cap > 0)
		buf_fini(out);
	else {
		c->worker->spare_out = *out;
		*out = (struct buf){0};
	}
}

void
h2_borrow_out(struct h2conn *c)
{
	struct buf *out = h2_out(c->session);

	if (out->cap > 0)
		return;
	*out = c->worker->spare_out;
	c->worker->spare_out = (struct buf){0};
}

bool
h2_flush(struct h2conn *c)
{
	struct buf *out = h2_out(c->session);
	struct iovec iov = {out->p + c->out_at, out->n - c->out_at};
	ssize_t sent;

	if (iov.iov_len == 0 || c->is_full)
		return true;
	sent = stream_writev(c->stream, &iov, 1, false);
	if (sent == STREAM_ERROR)
		return false;
	book_sent(c, sent, iov.iov_len);
	if (sent > 0)
		eat_out(c, (size_t)sent);
	return true;
}

void
h2_copy_data(struct h2stream *s, const struct iovec *iov, int n, size_t bytes, bool end)
{
	struct h2_session *session = s->conn->session;
	struct buf *out = h2_out(session);
	char *p = buf_room(out, H2_FRAME_HEAD_BYTES + bytes);
	size_t left = bytes;

	h2_put_frame_head(p, bytes, H2_DATA, end ? H2_END_STREAM : 0, s->wire.id);
	out->n += H2_FRAME_HEAD_BYTES;
	for (int i = 0; i < n && left > 0; i++) {
		size_t some = iov[i].iov_len < left ? iov[i].iov_len : left;

		buf_add(out, iov[i].iov_base, some);
		left -= some;
	}
	h2_sent(session, &s->wire, bytes, end);
}

/* What one write is made of. */
struct gather {
	struct iovec iov[PIECES_MAX];
	int n;
	char heads[FRAMES_MAX][H2_FRAME_HEAD_BYTES];
	size_t sizes[FRAMES_MAX]; /* of payloads */
	int frames;
	size_t bytes; /* of all */
};

static void
put_piece(struct gather *g, const void *p, size_t n)
{
	g->iov[g->n++] = (struct iovec){(void *)(uintptr_t)p, n};
	g->bytes += n;
}

/* Cuts bytes of the pieces into frames; what finds no room is left for another turn. Returns how many are in. */
static size_t
put_frames(struct gather *g, uint32_t id, const struct iovec *iov, size_t bytes, bool end)
{
	size_t done = 0, skip = 0;

	while (done < bytes && g->frames < FRAMES_MAX && g->n + 20 < PIECES_MAX) {
		size_t left = bytes - done < H2_PAYLOAD_MAX ? bytes - done : H2_PAYLOAD_MAX;
		char *head = g->heads[g->frames];
		bool last = end && done + left == bytes;

		h2_put_frame_head(head, left, H2_DATA, last ? H2_END_STREAM : 0, id);
		put_piece(g, head, H2_FRAME_HEAD_BYTES);
		g->sizes[g->frames++] = left;
		done += left;
		while (left > 0) {
			size_t some = iov->iov_len - skip < left ? iov->iov_len - skip : left;

			put_piece(g, (char *)iov->iov_base + skip, some);
			left -= some;
			skip += some;
			if (skip == iov->iov_len) {
				iov++;
				skip = 0;
			}
		}
	}
	return done;
}

/* The rest of a frame of which the socket took some: it must follow, so it is kept. */
static void
keep_rest(struct h2conn *c, const struct gather *g, size_t from, size_t to)
{
	struct buf *out = h2_out(c->session);
	size_t at = 0;

	for (int i = 0; i < g->n && at < to; i++) {
		const struct iovec *v = &g->iov[i];
		size_t end = at + v->iov_len;

		if (end > from) {
			size_t skip = from > at ? from - at : 0;
			size_t stop = end > to ? to - at : v->iov_len;

			buf_add(out, (char *)v->iov_base + skip, stop - skip);
		}
		at = end;
	}
}

/* Frames of which at least a byte has left are sent; the others have not been begun. */
static size_t
commit(struct h2stream *s, const struct gather *g, size_t before, size_t sent, bool end)
{
	struct h2conn *c = s->conn;
	size_t at = before, taken = 0;

	for (int i = 0; i < g->frames && at < sent; i++) {
		size_t whole = H2_FRAME_HEAD_BYTES + g->sizes[i];

		taken += g->sizes[i];
		h2_sent(c->session, &s->wire, g->sizes[i], end && i == g->frames - 1);
		if (sent < at + whole)
			keep_rest(c, g, sent, at + whole);
		at += whole;
	}
	return taken;
}

ssize_t
h2_write_data(struct h2stream *s, const struct iovec *iov, int n, size_t bytes, bool end)
{
	struct h2conn *c = s->conn;
	struct buf *out = h2_out(c->session);
	struct gather g = {.n = 0};
	size_t before = out->n - c->out_at, in;
	ssize_t sent;

	if (before > 0)
		put_piece(&g, out->p + c->out_at, before);
	in = put_frames(&g, s->wire.id, iov, bytes, end);
	sent = stream_writev(c->stream, g.iov, g.n, false);
	if (sent == STREAM_ERROR)
		return -1;
	book_sent(c, sent, g.bytes);
	if (sent <= 0)
		return 0;
	eat_out(c, (size_t)sent < before ? (size_t)sent : before);
	return (ssize_t)commit(s, &g, before, (size_t)sent, end && in == bytes);
}
