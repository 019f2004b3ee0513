/* The body of a request as it comes: DATA, both receive windows, and what the head said of its length. */
#include "http/h2session_priv.h"

/* --- the connection's window --- */

static void
open_window(struct h2_session *s, uint32_t more)
{
	h2_put_u32_frame(s, H2_WINDOW_UPDATE, 0, more);
	s->receive_window += more;
}

static void
tell_consumed(struct h2_session *s)
{
	if (s->consumed > 0)
		open_window(s, s->consumed);
	s->consumed = 0;
}

/* What waits has eaten the window so far that not every stream could send its own: more is lent. What waits is always
 * more than what is lent (the window is at least twice a stream's), so consuming pays it all back. */
static void
keep_room(struct h2_session *s)
{
	if (s->is_over || s->receive_window >= H2_WINDOW_DEFAULT)
		return;
	tell_consumed(s);
	if (s->receive_window >= H2_WINDOW_DEFAULT ||
	    !s->handler->on_borrow(s->arg, H2_WINDOW_DEFAULT))
		return;
	s->borrowed += H2_WINDOW_DEFAULT;
	open_window(s, H2_WINDOW_DEFAULT);
}

/* Returns what is left of n when debts are paid. */
static uint32_t
repay(struct h2_session *s, uint32_t n)
{
	uint32_t pays = n < s->borrowed ? n : s->borrowed;

	if (pays > 0)
		s->handler->on_borrow(s->arg, -(int64_t)pays);
	s->borrowed -= pays;
	return n - pays;
}

/* --- what has been dealt with --- */

void
h2_consumed(struct h2_session *s, struct h2_stream *st, size_t n)
{
	s->consumed += repay(s, (uint32_t)n);
	if (!s->is_over && s->consumed >= s->limits.connection_window / 2)
		tell_consumed(s);
	if (st == NULL || st->receive_ended || st->discards)
		return;
	st->consumed += (uint32_t)n;
	if (!s->is_over && st->consumed >= H2_WINDOW_DEFAULT / 2) {
		h2_put_u32_frame(s, H2_WINDOW_UPDATE, st->id, st->consumed);
		st->receive_window += st->consumed;
		st->consumed = 0;
	}
}

void
h2_discard(struct h2_session *s, struct h2_stream *st, size_t waiting)
{
	st->discards = true;
	h2_consumed(s, st, waiting);
}

/* --- what comes --- */

void
h2_bad_body(struct h2_session *s, struct h2_stream *st)
{
	if (!h2_spend(s, H2_COST_FAULT))
		return;
	s->counts.resets_faults++;
	st->discards = true;
	s->handler->on_bad(s->arg, st);
}

void
h2_end_request(struct h2_session *s, struct h2_stream *st, struct slice trailers)
{
	st->receive_ended = true;
	if (st->discards)
		return;
	if (st->has_length && st->length_left > 0)
		h2_bad_body(s, st);
	else
		s->handler->on_end(s->arg, st, trailers);
}

bool
h2_strip_padding(struct h2_frame *f, size_t *padding_out)
{
	size_t pad;

	*padding_out = 0;
	if (!(f->flags & H2_PADDED))
		return true;
	if (f->payload.n < 1)
		return false;
	pad = (unsigned char)f->payload.p[0];
	if (pad >= f->payload.n)
		return false;
	f->payload = slice_of(f->payload.p + 1, f->payload.n - 1 - pad);
	*padding_out = pad + 1;
	return true;
}

static void
data_for_nobody(struct h2_session *s, uint32_t id, size_t n)
{
	h2_consumed(s, NULL, n);
	if (h2_is_idle(s, id)) {
		h2_end_for(s, H2_END_protocol);
		return;
	}
	if (!h2_spend(s, h2_was_reset(s, id) ? H2_COST_FRAME : H2_COST_FAULT))
		return;
	if (!h2_was_reset(s, id))
		h2_put_reset(s, id, H2_STREAM_CLOSED);
}

static void
take_body(struct h2_session *s, struct h2_stream *st, const struct h2_frame *f, size_t padding)
{
	size_t n = f->payload.n;

	h2_consumed(s, st, padding);
	if (st->discards) {
		h2_consumed(s, st, n);
		return;
	}
	if (st->has_length && n > st->length_left) {
		h2_consumed(s, st, n);
		h2_bad_body(s, st);
		return;
	}
	st->length_left -= st->has_length ? n : 0;
	if (n > 0)
		s->handler->on_data(s->arg, st, f->payload);
}

void
h2_on_data(struct h2_session *s, struct h2_frame *f)
{
	struct h2_stream *st = h2_find(s, f->id);
	size_t whole = f->payload.n, padding;

	if (f->id == 0 || !h2_strip_padding(f, &padding)) {
		h2_end_for(s, H2_END_protocol);
		return;
	}
	s->receive_window -= (int64_t)whole;
	if (s->receive_window < 0) {
		h2_end_for(s, H2_END_window);
		return;
	}
	if (st == NULL) {
		data_for_nobody(s, f->id, whole);
		return;
	}
	st->receive_window -= (int64_t)whole;
	if (st->receive_ended || st->receive_window < 0) {
		h2_consumed(s, NULL, whole);
		h2_fail_stream(s, st, st->receive_ended ? H2_STREAM_CLOSED : H2_FLOW_CONTROL_ERROR);
		return;
	}
	if (f->payload.n > 0)
		h2_earn(s, f->payload.n >= H2_MOVES_BYTES ? H2_EARNED_BY_DATA : 0);
	else if (!(f->flags & H2_END_STREAM) && !h2_spend(s, H2_COST_FRAME))
		return;
	take_body(s, st, f, padding);
	keep_room(s);
	if ((f->flags & H2_END_STREAM) && list_has(&st->link))
		h2_end_request(s, st, SLICE_NONE);
}
