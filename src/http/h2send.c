/* What goes out: frames into the buffer, heads of responses, and what the send windows allow. */
#include "http/h2session_priv.h"

#define BLOCK_BYTES_KEPT 4096

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

static void
put_block(struct h2_session *s, uint32_t id, bool end)
{
	struct slice rest = buf_slice(&s->block);
	enum h2_type type = H2_HEADERS;
	unsigned flags = end ? H2_END_STREAM : 0;

	do {
		size_t some = rest.n < H2_PAYLOAD_MAX ? rest.n : H2_PAYLOAD_MAX;
		bool last = some == rest.n;

		memcpy(h2_put_frame(s, some, type, flags | (last ? H2_END_HEADERS : 0), id), rest.p,
		    some);
		rest = slice_skip(rest, some);
		type = H2_CONTINUATION;
		flags = 0;
	} while (rest.n > 0);
}

void
h2_send_head(struct h2_session *s, struct h2_stream *st, unsigned status, const struct slice *lines,
    unsigned count, bool end)
{
	s->block.n = 0;
	/* No table of ours is ever used: the peer is told so once, and may then choose any size for it (RFC 7541 section 4.2). */
	if (!s->has_sent_head)
		buf_add_char(&s->block, 0x20);
	s->has_sent_head = true;
	if (status != 0)
		h2_block_status(&s->block, status);
	for (unsigned i = 0; i < count; i++)
		h2_block_lines(&s->block, lines[i]);
	put_block(s, st->id, end);
	if (s->block.cap > BLOCK_BYTES_KEPT)
		buf_fini(&s->block);
	st->send_ended |= end;
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
