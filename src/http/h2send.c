/* What goes out: frames into the buffer, heads of responses, and what the send windows allow. */
#include "http/h2session_priv.h"

#include "http/h2block.h"

char *
h2_put_frame(struct h2_session *s, size_t n, enum h2_type type, unsigned flags, uint32_t id)
{
	char *p = buf_room(&s->out, H2_FRAME_HEAD_BYTES + n);

	h2_put_frame_head(p, n, type, flags, id);
	s->out.n += H2_FRAME_HEAD_BYTES + n;
	return p + H2_FRAME_HEAD_BYTES;
}

void
h2_put_u32_frame(struct h2_session *s, enum h2_type type, uint32_t id, uint32_t v)
{
	h2_put_u32(h2_put_frame(s, 4, type, 0, id), v);
}

void
h2_put_goaway(struct h2_session *s, uint32_t last_id, enum h2_error code, struct slice why)
{
	char *p = h2_put_frame(s, 8 + why.n, H2_GOAWAY, 0, 0);

	h2_put_u32(p, last_id);
	h2_put_u32(p + 4, code);
	if (why.n > 0)
		memcpy(p + 8, why.p, why.n);
}

/* A block too large for one frame goes on in others: rest lies behind the first of them in out, and moves. */
static void
put_continuations(struct h2_session *s, uint32_t id, size_t rest_at)
{
	struct buf rest = {0};

	buf_add(&rest, s->out.p + rest_at, s->out.n - rest_at);
	s->out.n = rest_at;
	for (size_t at = 0; at < rest.n;) {
		size_t some = rest.n - at < H2_PAYLOAD_MAX ? rest.n - at : H2_PAYLOAD_MAX;
		bool last = at + some == rest.n;

		memcpy(h2_put_frame(s, some, H2_CONTINUATION, last ? H2_END_HEADERS : 0, id),
		    rest.p + at, some);
		at += some;
	}
	buf_fini(&rest);
}

struct buf *
h2_head_open(struct h2_session *s, unsigned status)
{
	s->head_at = s->out.n;
	buf_room(&s->out, H2_FRAME_HEAD_BYTES);
	s->out.n += H2_FRAME_HEAD_BYTES;
	/* No table of ours is ever used: the peer is told so once, and may then choose any size for it (RFC 7541 section 4.2). */
	if (!s->has_sent_head)
		buf_add_char(&s->out, 0x20);
	s->has_sent_head = true;
	if (status != 0)
		h2_block_status(&s->out, status);
	return &s->out;
}

void
h2_head_close(struct h2_session *s, struct h2_stream *st, bool end)
{
	size_t block_at = s->head_at + H2_FRAME_HEAD_BYTES, n = s->out.n - block_at;
	bool fits = n <= H2_PAYLOAD_MAX;

	h2_put_frame_head(s->out.p + s->head_at, fits ? n : H2_PAYLOAD_MAX, H2_HEADERS,
	    (end ? H2_END_STREAM : 0) | (fits ? H2_END_HEADERS : 0), st->id);
	if (!fits)
		put_continuations(s, st->id, block_at + H2_PAYLOAD_MAX);
	st->send_ended |= end;
}

void
h2_send_head(
    struct h2_session *s, struct h2_stream *st, unsigned status, struct slice lines, bool end)
{
	h2_block_lines(h2_head_open(s, status), lines);
	h2_head_close(s, st, end);
}

size_t
h2_may_send(const struct h2_session *s, const struct h2_stream *st)
{
	int64_t least = st->send_window < s->send_window ? st->send_window : s->send_window;

	return least < 0 ? 0 : (size_t)least;
}

void
h2_sent(struct h2_session *s, struct h2_stream *st, size_t n, bool end)
{
	s->send_window -= (int64_t)n;
	st->send_window -= (int64_t)n;
	st->send_ended |= end;
	/* Who opens the window byte by byte makes frames, too. */
	if (n >= H2_MOVES_BYTES || (n > 0 && h2_may_send(s, st) > 0))
		h2_earn(s, H2_EARNED_BY_DATA);
}
