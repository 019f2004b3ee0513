/* Header sections as they come: HEADERS and CONTINUATION, unfolded field by field; a stream's beginning, or its trailers. */
#include "http/h2session_priv.h"

static void
open_stream(struct h2_session *s)
{
	struct h2_request r = {
	    .head = s->head.head, .fault = s->head.fault, .shared = s->head.shared};
	struct h2_stream *st = s->handler->on_open(s->arg, s->block_id);

	if (st == NULL) {
		s->counts.refused++;
		h2_put_reset(s, s->block_id, H2_REFUSED_STREAM);
		return;
	}
	*st = (struct h2_stream){.id = s->block_id,
	    .send_window = s->initial_send_window,
	    .receive_window = H2_WINDOW_DEFAULT,
	    .receive_ended = (s->block_flags & H2_END_STREAM) != 0,
	    .is_connect = s->head.is_connect,
	    .has_length = s->head.has_length && !s->head.is_connect,
	    .length_left = s->head.length,
	    .priority = s->head.priority};
	for (unsigned i = 0; i < H2_UNOPENED && i < s->unopened_at; i++)
		if (s->unopened[i].id == st->id)
			st->priority = s->unopened[i].priority;
	list_push_back(h2_bucket_of(s, st->id), &st->link);
	s->streams++;
	if (r.fault == H2_FAULT_none && st->receive_ended && st->has_length && st->length_left > 0)
		r.fault = H2_FAULT_length;
	if (r.fault != H2_FAULT_none) {
		st->discards = true;
		if (!h2_spend(s, H2_COST_FAULT))
			return;
	}
	s->handler->on_request(s->arg, st, &r);
}

static void
take_trailers(struct h2_session *s)
{
	struct h2_stream *st = h2_find(s, s->block_id);

	if (st == NULL)
		return;
	if (st->receive_ended)
		h2_fail_stream(s, st, H2_STREAM_CLOSED);
	else if (!(s->block_flags & H2_END_STREAM))
		h2_fail_stream(s, st, H2_PROTOCOL_ERROR);
	else if (s->head.fault != H2_FAULT_none) {
		st->receive_ended = true;
		if (!st->discards)
			h2_bad_body(s, st);
	} else
		h2_end_request(s, st, buf_slice(&s->head.text));
}

static void
end_block(struct h2_session *s)
{
	h2_head_end(&s->head, slice_of(s->key, sizeof(s->key)));
	s->waits_since_ms = 0;
	switch (s->section) {
	case SECTION_REQUEST:
		open_stream(s);
		break;
	case SECTION_TRAILERS:
		take_trailers(s);
		break;
	case SECTION_REFUSED:
		if (h2_spend(s, H2_COST_RESET)) {
			s->counts.refused++;
			h2_put_reset(s, s->block_id, H2_REFUSED_STREAM);
		}
		break;
	case SECTION_NOBODYS:
		h2_spend(s, H2_COST_FRAME);
		break;
	}
	h2_head_rest(&s->head);
	s->block_id = 0;
}

/* A whole block. */
static void
take_block(struct h2_session *s, struct slice block)
{
	struct h2_field f;
	enum hpack_result result;

	hpack_begin(&s->table);
	while ((result = hpack_next(&s->table, &block, &f)) == HPACK_FIELD)
		h2_head_field(&s->head, &f);
	if (result == HPACK_BAD)
		h2_end_for(s, H2_END_compression);
	else
		end_block(s);
}

/* A block is bounded as it comes, too: what is over its limit is read for the table's sake, but not for ever. One that comes in pieces is
 * gathered. */
void
h2_on_continuation(struct h2_session *s, const struct h2_frame *f)
{
	bool final = (f->flags & H2_END_HEADERS) != 0;
	bool is_first = f->type == H2_HEADERS;

	s->block_bytes += f->payload.n;
	if (s->block_bytes > (size_t)s->limits.head_bytes + H2_PAYLOAD_MAX) {
		h2_end_for(s, H2_END_head);
		return;
	}
	if (f->payload.n == 0 && !final && !h2_spend(s, H2_COST_FRAME))
		return;
	if (is_first && final) {
		take_block(s, f->payload);
		return;
	}
	buf_add_slice(&s->block, f->payload);
	if (final) {
		take_block(s, buf_slice(&s->block));
		buf_fini(&s->block);
	} else if (s->waits_since_ms == 0)
		s->waits_since_ms = s->now_ms;
}

static void
begin_block(struct h2_session *s, const struct h2_frame *f)
{
	struct h2_stream *st = h2_find(s, f->id);

	if (st != NULL)
		s->section = SECTION_TRAILERS;
	else if (!h2_is_idle(s, f->id))
		s->section = SECTION_NOBODYS;
	else if (s->is_ended)
		s->section = SECTION_NOBODYS;
	else if (s->streams >= s->limits.streams)
		s->section = SECTION_REFUSED;
	else
		s->section = SECTION_REQUEST;
	if (h2_is_idle(s, f->id) && !s->is_ended)
		s->last_id = f->id;
	s->block_id = f->id;
	s->block_flags = f->flags;
	s->block_bytes = 0;
	h2_head_begin(
	    &s->head, s->section != SECTION_REQUEST, s->limits.head_bytes, s->limits.target_bytes);
}

void
h2_on_headers(struct h2_session *s, struct h2_frame *f)
{
	size_t padding;

	if (f->id % 2 == 0 || !h2_strip_padding(f, &padding) ||
	    ((f->flags & H2_HAS_PRIORITY) && f->payload.n < 5)) {
		h2_end_for(s, H2_END_protocol);
		return;
	}
	if (f->flags & H2_HAS_PRIORITY)
		f->payload = slice_skip(f->payload, 5);
	if (h2_find(s, f->id) == NULL && !h2_is_idle(s, f->id) && !h2_was_reset(s, f->id)) {
		h2_end_for(s, H2_END_closed);
		return;
	}
	begin_block(s, f);
	h2_on_continuation(s, f);
}
