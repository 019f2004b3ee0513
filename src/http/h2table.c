/* The streams by their numbers: which are open, which never were, which we have reset. */
#include "http/h2session_priv.h"

struct link *
h2_bucket_of(struct h2_session *s, uint32_t id)
{
	return &s->buckets[(id >> 1) % H2_BUCKETS];
}

struct h2_stream *
h2_find(struct h2_session *s, uint32_t id)
{
	LIST_EACH (st, h2_bucket_of(s, id), struct h2_stream, link)
		if (st->id == id)
			return st;
	return NULL;
}

bool
h2_is_idle(const struct h2_session *s, uint32_t id)
{
	return id % 2 == 0 || id > s->last_id;
}

void
h2_close(struct h2_session *s, struct h2_stream *st)
{
	if (!list_has(&st->link))
		return;
	list_leave(&st->link);
	s->streams--;
	if (st->send_ended && st->receive_ended)
		h2_earn(s, H2_EARNED_BY_ANSWER);
}

void
h2_put_reset(struct h2_session *s, uint32_t id, enum h2_error code)
{
	h2_put_u32_frame(s, H2_RST_STREAM, id, code);
	s->recent[s->recent_at++ % H2_RECENT] = id;
}

void
h2_reset(struct h2_session *s, struct h2_stream *st, enum h2_error code)
{
	if (!list_has(&st->link))
		return;
	if (!s->is_over)
		h2_put_reset(s, st->id, code);
	st->receive_ended = st->send_ended = true;
	list_leave(&st->link);
	s->streams--;
}

bool
h2_was_reset(const struct h2_session *s, uint32_t id)
{
	for (unsigned i = 0; i < H2_RECENT; i++)
		if (s->recent[i] == id)
			return true;
	return false;
}

void
h2_fail_stream(struct h2_session *s, struct h2_stream *st, enum h2_error code)
{
	if (!h2_spend(s, H2_COST_FAULT))
		return;
	s->counts.resets_faults++;
	h2_reset(s, st, code);
	s->handler->on_reset(s->arg, st);
}
