/* The frames that carry nothing of a message: RST_STREAM, SETTINGS, PING, WINDOW_UPDATE and both PRIORITYs. */
#include "http/h2session_priv.h"

#define SETTINGS_FREE 32 /* in one frame */

void
h2_on_rst_stream(struct h2_session *s, const struct h2_frame *f)
{
	struct h2_stream *st = h2_find(s, f->id);

	if (f->payload.n != 4) {
		h2_end_for(s, H2_END_size);
		return;
	}
	if (f->id == 0 || h2_is_idle(s, f->id)) {
		h2_end_for(s, H2_END_protocol);
		return;
	}
	if (!h2_spend(s, st != NULL ? H2_COST_RESET : H2_COST_FRAME) || st == NULL)
		return;
	s->counts.resets_peer++;
	st->receive_ended = st->send_ended = true;
	list_leave(&st->link);
	s->streams--;
	s->handler->on_reset(s->arg, st);
}

static bool
set_initial_window(struct h2_session *s, uint32_t v)
{
	int64_t delta = (int64_t)v - s->initial_send_window;

	if (v > H2_WINDOW_MAX)
		return false;
	s->initial_send_window = v;
	for (unsigned i = 0; i < H2_BUCKETS; i++)
		LIST_EACH (st, &s->buckets[i], struct h2_stream, link) {
			st->send_window += delta;
			if (st->send_window > H2_WINDOW_MAX)
				return false;
		}
	if (delta > 0)
		s->handler->on_window(s->arg, NULL);
	return true;
}

static void
take_setting(struct h2_session *s, unsigned id, uint32_t v)
{
	switch (id) {
	case H2_ENABLE_PUSH:
	case H2_NO_RFC7540_PRIORITIES:
	case H2_ENABLE_CONNECT_PROTOCOL:
		if (v > 1)
			h2_end_for(s, H2_END_protocol);
		return;
	case H2_INITIAL_WINDOW_SIZE:
		if (!set_initial_window(s, v))
			h2_end_for(s, H2_END_window);
		return;
	case H2_MAX_FRAME_SIZE:
		if (v < H2_PAYLOAD_MAX || v > 0xffffff)
			h2_end_for(s, H2_END_protocol);
		return;
	default: /* tables we do not use, limits we do not reach, what nobody knows */
		return;
	}
}

void
h2_on_settings(struct h2_session *s, const struct h2_frame *f)
{
	size_t count = f->payload.n / 6;

	if (f->id != 0) {
		h2_end_for(s, H2_END_protocol);
		return;
	}
	if (f->payload.n % 6 != 0 || ((f->flags & H2_ACK) && f->payload.n > 0)) {
		h2_end_for(s, H2_END_size);
		return;
	}
	if (!h2_spend(s, count > SETTINGS_FREE ? (int64_t)count : H2_COST_FRAME) ||
	    (f->flags & H2_ACK))
		return;
	for (size_t i = 0; i < count && !s->is_over; i++) {
		const char *p = f->payload.p + i * 6;

		take_setting(s, h2_u32(p) >> 16, h2_u32(p + 2));
	}
	if (!s->is_over)
		h2_put_frame(s, 0, H2_SETTINGS, H2_ACK, 0);
}

void
h2_on_ping(struct h2_session *s, const struct h2_frame *f)
{
	if (f->id != 0 || f->payload.n != 8) {
		h2_end_for(s, f->id != 0 ? H2_END_protocol : H2_END_size);
		return;
	}
	if (!h2_spend(s, H2_COST_FRAME))
		return;
	if (f->flags & H2_ACK)
		s->handler->on_ping_ack(s->arg);
	else
		memcpy(h2_put_frame(s, 8, H2_PING, H2_ACK, 0), f->payload.p, 8);
}

static void
window_of_stream(struct h2_session *s, const struct h2_frame *f, uint32_t more)
{
	struct h2_stream *st = h2_find(s, f->id);

	if (st == NULL) {
		if (h2_is_idle(s, f->id))
			h2_end_for(s, H2_END_protocol);
		return;
	}
	if (more == 0 || st->send_window + more > H2_WINDOW_MAX) {
		h2_fail_stream(s, st, more == 0 ? H2_PROTOCOL_ERROR : H2_FLOW_CONTROL_ERROR);
		return;
	}
	st->send_window += more;
	s->handler->on_window(s->arg, st);
}

void
h2_on_window_update(struct h2_session *s, const struct h2_frame *f)
{
	uint32_t more;

	if (f->payload.n != 4) {
		h2_end_for(s, H2_END_size);
		return;
	}
	if (!h2_spend(s, H2_COST_FRAME))
		return;
	more = h2_u32(f->payload.p) & H2_WINDOW_MAX;
	if (f->id != 0)
		window_of_stream(s, f, more);
	else if (more == 0)
		h2_end_for(s, H2_END_protocol);
	else if (s->send_window + more > H2_WINDOW_MAX)
		h2_end_for(s, H2_END_window);
	else {
		s->send_window += more;
		s->handler->on_window(s->arg, NULL);
	}
}

/* RFC 7540's scheme, which nobody follows any more: only its form is judged. */
void
h2_on_old_priority(struct h2_session *s, const struct h2_frame *f)
{
	struct h2_stream *st = h2_find(s, f->id);

	if (f->id == 0)
		h2_end_for(s, H2_END_protocol);
	else if (f->payload.n == 5)
		h2_spend(s, H2_COST_FRAME);
	else if (st != NULL)
		h2_fail_stream(s, st, H2_FRAME_SIZE_ERROR);
	else
		h2_end_for(s, H2_END_size);
}

void
h2_on_priority_update(struct h2_session *s, const struct h2_frame *f)
{
	struct h2_stream *st;
	uint32_t id;

	if (f->id != 0 || f->payload.n < 4) {
		h2_end_for(s, f->id != 0 ? H2_END_protocol : H2_END_size);
		return;
	}
	id = h2_u32(f->payload.p) & H2_ID_MAX;
	if (id % 2 == 0) {
		h2_end_for(s, H2_END_protocol);
		return;
	}
	if (!h2_spend(s, H2_COST_FRAME))
		return;
	st = h2_find(s, id);
	if (st != NULL) {
		priority_read(slice_skip(f->payload, 4), &st->priority);
		s->handler->on_priority(s->arg, st);
	} else if (h2_is_idle(s, id)) {
		unsigned i = s->unopened_at++ % H2_UNOPENED;

		s->unopened[i].id = id;
		s->unopened[i].priority = priority_usual;
		priority_read(slice_skip(f->payload, 4), &s->unopened[i].priority);
	}
}
