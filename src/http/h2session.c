#include "http/h2session.h"

#include <nghttp2/nghttp2.h>
#include <stdlib.h>

#define BUCKETS 64
#define BLOCK_BYTES_KEPT 4096
#define RECENT 64   /* streams that we have reset: frames under way to them are nobody's fault */
#define UNOPENED 16 /* priorities of streams that have not come yet */
#define SETTINGS_FREE 32 /* in one frame */
#define MOVES_BYTES 1024 /* that many in a frame bring something forward */
#define FULL_AGAIN_MS (H2_BUDGET * 1000 / H2_BUDGET_PER_S)

struct h2_session {
	const struct h2_handler *handler;
	void *arg;
	struct h2_limits limits;
	char key[24];
	struct link buckets[BUCKETS];
	unsigned streams;
	bool has_preface, has_settings;
	bool is_over, is_ended, peer_leaves;
	int64_t now_ms, waits_since_ms;
	struct h2_counts counts;
	/* budget, in thousandths */
	int64_t tokens;
	int64_t refilled_ms;
	/* the header section coming in */
	uint32_t block_id; /* 0: none */
	uint8_t block_flags;
	size_t block_bytes;
	enum { BLOCK_REQUEST, BLOCK_TRAILERS, BLOCK_NOBODYS, BLOCK_REFUSED } block_kind;
	struct h2_head head;
	nghttp2_hd_inflater *inflater;
	/* out */
	struct buf out, block;
	bool has_sent_head;
	/* windows of the connection */
	int64_t send_window, receive_window;
	uint32_t consumed;
	int64_t initial_send_window;
	uint32_t last_id;
	uint32_t recent[RECENT];
	unsigned recent_at;
	struct {
		uint32_t id;
		struct priority priority;
	} unopened[UNOPENED];
	unsigned unopened_at;
};

/* --- frames out --- */

static char *
put_frame(struct h2_session *s, size_t n, enum h2_type type, unsigned flags, uint32_t id)
{
	char *p = buf_room(&s->out, H2_FRAME_HEAD_BYTES + n);

	h2_put_frame_head(p, n, type, flags, id);
	s->out.n += H2_FRAME_HEAD_BYTES + n;
	return p + H2_FRAME_HEAD_BYTES;
}

static void
put_u32_frame(struct h2_session *s, enum h2_type type, uint32_t id, uint32_t v)
{
	h2_put_u32(put_frame(s, 4, type, 0, id), v);
}

static void
put_goaway(struct h2_session *s, uint32_t last_id, enum h2_error code, struct slice why)
{
	char *p = put_frame(s, 8 + why.n, H2_GOAWAY, 0, 0);

	h2_put_u32(p, last_id);
	h2_put_u32(p + 4, code);
	if (why.n > 0)
		memcpy(p + 8, why.p, why.n);
}

/* --- faults and the budget --- */

static void
end_for(struct h2_session *s, enum h2_end end)
{
	static const struct {
		enum h2_error code;
		const char *text;
	} rows[] = {
#define X(name, code, text) [H2_END_##name] = {code, text},
	    H2_ENDS(X)
#undef X
	};

	if (s->is_over)
		return;
	s->is_over = true;
	s->counts.end = end;
	put_goaway(s, s->last_id, rows[end].code, slice_from(rows[end].text));
}

static void
earn(struct h2_session *s, int64_t tokens)
{
	s->tokens += tokens * 1000;
	if (s->tokens > H2_BUDGET * 1000)
		s->tokens = H2_BUDGET * 1000;
}

/* False: that was too much. */
static bool
spend(struct h2_session *s, int64_t tokens)
{
	if (s->now_ms > s->refilled_ms) {
		int64_t passed_ms = s->now_ms - s->refilled_ms;

		s->refilled_ms = s->now_ms;
		if (passed_ms > FULL_AGAIN_MS)
			passed_ms = FULL_AGAIN_MS;
		s->tokens += passed_ms * H2_BUDGET_PER_S;
		earn(s, 0);
	}
	s->tokens -= tokens * 1000;
	if (s->tokens >= 0)
		return true;
	end_for(s, H2_END_flood);
	return false;
}

/* --- streams --- */

static struct link *
bucket_of(struct h2_session *s, uint32_t id)
{
	return &s->buckets[(id >> 1) % BUCKETS];
}

static struct h2_stream *
find(struct h2_session *s, uint32_t id)
{
	LIST_EACH (st, bucket_of(s, id), struct h2_stream, link)
		if (st->id == id)
			return st;
	return NULL;
}

/* Streams that the client has never opened: odd numbers are its own. */
static bool
is_idle(const struct h2_session *s, uint32_t id)
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
		earn(s, H2_EARNED_BY_ANSWER);
}

static void
put_reset(struct h2_session *s, uint32_t id, enum h2_error code)
{
	put_u32_frame(s, H2_RST_STREAM, id, code);
	s->recent[s->recent_at++ % RECENT] = id;
}

void
h2_reset(struct h2_session *s, struct h2_stream *st, enum h2_error code)
{
	if (!list_has(&st->link))
		return;
	if (!s->is_over)
		put_reset(s, st->id, code);
	st->receive_ended = st->send_ended = true;
	list_leave(&st->link);
	s->streams--;
}

static bool
was_reset_by_us(const struct h2_session *s, uint32_t id)
{
	for (unsigned i = 0; i < RECENT; i++)
		if (s->recent[i] == id)
			return true;
	return false;
}

/* One stream ends for the peer's fault; to make us reset streams costs him (MadeYouReset). */
static void
fail_stream(struct h2_session *s, struct h2_stream *st, enum h2_error code)
{
	if (!spend(s, H2_COST_FAULT))
		return;
	s->counts.resets_faults++;
	h2_reset(s, st, code);
	s->handler->on_reset(s->arg, st);
}

/* --- the request's body --- */

void
h2_consumed(struct h2_session *s, struct h2_stream *st, size_t n)
{
	s->consumed += (uint32_t)n;
	if (!s->is_over && s->consumed >= s->limits.connection_window / 2) {
		put_u32_frame(s, H2_WINDOW_UPDATE, 0, s->consumed);
		s->receive_window += s->consumed;
		s->consumed = 0;
	}
	if (st == NULL || st->receive_ended || st->discards)
		return;
	st->consumed += (uint32_t)n;
	if (!s->is_over && st->consumed >= H2_WINDOW_DEFAULT / 2) {
		put_u32_frame(s, H2_WINDOW_UPDATE, st->id, st->consumed);
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

static void
bad_body(struct h2_session *s, struct h2_stream *st)
{
	if (!spend(s, H2_COST_FAULT))
		return;
	s->counts.resets_faults++;
	st->discards = true;
	s->handler->on_bad(s->arg, st);
}

static void
end_request(struct h2_session *s, struct h2_stream *st, struct slice trailers)
{
	st->receive_ended = true;
	if (st->discards)
		return;
	if (st->has_length && st->length_left > 0)
		bad_body(s, st);
	else
		s->handler->on_end(s->arg, st, trailers);
}

/* Takes the padding off. False: there is more of it than there is frame. */
static bool
strip_padding(struct h2_frame *f, size_t *padding_out)
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
	if (is_idle(s, id)) {
		end_for(s, H2_END_protocol);
		return;
	}
	if (!spend(s, was_reset_by_us(s, id) ? H2_COST_FRAME : H2_COST_FAULT))
		return;
	if (!was_reset_by_us(s, id))
		put_reset(s, id, H2_STREAM_CLOSED);
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
		bad_body(s, st);
		return;
	}
	st->length_left -= st->has_length ? n : 0;
	if (n > 0)
		s->handler->on_data(s->arg, st, f->payload);
}

static void
on_data(struct h2_session *s, struct h2_frame *f)
{
	struct h2_stream *st = find(s, f->id);
	size_t whole = f->payload.n, padding;

	if (f->id == 0 || !strip_padding(f, &padding)) {
		end_for(s, H2_END_protocol);
		return;
	}
	s->receive_window -= (int64_t)whole;
	if (s->receive_window < 0) {
		end_for(s, H2_END_window);
		return;
	}
	if (st == NULL) {
		data_for_nobody(s, f->id, whole);
		return;
	}
	st->receive_window -= (int64_t)whole;
	if (st->receive_ended || st->receive_window < 0) {
		h2_consumed(s, NULL, whole);
		fail_stream(s, st, st->receive_ended ? H2_STREAM_CLOSED : H2_FLOW_CONTROL_ERROR);
		return;
	}
	if (f->payload.n > 0)
		earn(s, f->payload.n >= MOVES_BYTES ? H2_EARNED_BY_DATA : 0);
	else if (!(f->flags & H2_END_STREAM) && !spend(s, H2_COST_FRAME))
		return;
	take_body(s, st, f, padding);
	if ((f->flags & H2_END_STREAM) && list_has(&st->link))
		end_request(s, st, SLICE_NONE);
}

/* --- header sections in --- */

static void
open_stream(struct h2_session *s)
{
	struct h2_request r = {.text = buf_slice(&s->head.text), .fault = s->head.fault};
	struct h2_stream *st = s->handler->on_open(s->arg, s->block_id);

	if (st == NULL) {
		s->counts.refused++;
		put_reset(s, s->block_id, H2_REFUSED_STREAM);
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
	for (unsigned i = 0; i < UNOPENED; i++)
		if (s->unopened[i].id == st->id)
			st->priority = s->unopened[i].priority;
	list_push_back(bucket_of(s, st->id), &st->link);
	s->streams++;
	if (r.fault == H2_FAULT_none && st->receive_ended && st->has_length && st->length_left > 0)
		r.fault = H2_FAULT_length;
	if (r.fault != H2_FAULT_none) {
		st->discards = true;
		if (!spend(s, H2_COST_FAULT))
			return;
	}
	s->handler->on_request(s->arg, st, &r);
}

static void
take_trailers(struct h2_session *s)
{
	struct h2_stream *st = find(s, s->block_id);

	if (st == NULL)
		return;
	if (st->receive_ended)
		fail_stream(s, st, H2_STREAM_CLOSED);
	else if (!(s->block_flags & H2_END_STREAM))
		fail_stream(s, st, H2_PROTOCOL_ERROR);
	else if (s->head.fault != H2_FAULT_none) {
		st->receive_ended = true;
		if (!st->discards)
			bad_body(s, st);
	} else
		end_request(s, st, buf_slice(&s->head.text));
}

static void
end_block(struct h2_session *s)
{
	h2_head_end(&s->head, slice_of(s->key, sizeof(s->key)));
	s->waits_since_ms = 0;
	switch (s->block_kind) {
	case BLOCK_REQUEST:
		open_stream(s);
		break;
	case BLOCK_TRAILERS:
		take_trailers(s);
		break;
	case BLOCK_REFUSED:
		if (spend(s, H2_COST_RESET)) {
			s->counts.refused++;
			put_reset(s, s->block_id, H2_REFUSED_STREAM);
		}
		break;
	case BLOCK_NOBODYS:
		break;
	}
	h2_head_rest(&s->head);
	s->block_id = 0;
}

/* False: the block cannot be read. */
static bool
inflate(struct h2_session *s, struct slice bytes, bool final)
{
	for (;;) {
		nghttp2_nv nv;
		int flags = 0;
		ssize_t used = nghttp2_hd_inflate_hd2(
		    s->inflater, &nv, &flags, (const uint8_t *)bytes.p, bytes.n, final);

		if (used < 0)
			return false;
		bytes = slice_skip(bytes, (size_t)used);
		if (flags & NGHTTP2_HD_INFLATE_EMIT)
			h2_head_field(&s->head, slice_of(nv.name, nv.namelen),
			    slice_of(nv.value, nv.valuelen));
		if (flags & NGHTTP2_HD_INFLATE_FINAL) {
			nghttp2_hd_inflate_end_headers(s->inflater);
			return true;
		}
		if (!(flags & NGHTTP2_HD_INFLATE_EMIT) && bytes.n == 0)
			return true;
	}
}

/* A block is bounded as it comes, too: what is over its limit is read for the table's sake, but not for ever. */
static void
take_block(struct h2_session *s, const struct h2_frame *f)
{
	bool final = (f->flags & H2_END_HEADERS) != 0;

	s->block_bytes += f->payload.n;
	if (s->block_bytes > (size_t)s->limits.head_bytes + H2_PAYLOAD_MAX) {
		end_for(s, H2_END_head);
		return;
	}
	if (f->payload.n == 0 && !final && !spend(s, H2_COST_FRAME))
		return;
	if (!inflate(s, f->payload, final)) {
		end_for(s, H2_END_compression);
		return;
	}
	if (final)
		end_block(s);
	else if (s->waits_since_ms == 0)
		s->waits_since_ms = s->now_ms;
}

static void
begin_block(struct h2_session *s, const struct h2_frame *f)
{
	struct h2_stream *st = find(s, f->id);

	if (st != NULL)
		s->block_kind = BLOCK_TRAILERS;
	else if (!is_idle(s, f->id))
		s->block_kind = BLOCK_NOBODYS;
	else if (s->is_ended)
		s->block_kind = BLOCK_NOBODYS;
	else if (s->streams >= s->limits.streams)
		s->block_kind = BLOCK_REFUSED;
	else
		s->block_kind = BLOCK_REQUEST;
	if (is_idle(s, f->id) && !s->is_ended)
		s->last_id = f->id;
	s->block_id = f->id;
	s->block_flags = f->flags;
	s->block_bytes = 0;
	h2_head_begin(&s->head, s->block_kind != BLOCK_REQUEST, s->limits.head_bytes);
}

static void
on_headers(struct h2_session *s, struct h2_frame *f)
{
	size_t padding;

	if (f->id % 2 == 0 || !strip_padding(f, &padding) ||
	    ((f->flags & H2_HAS_PRIORITY) && f->payload.n < 5)) {
		end_for(s, H2_END_protocol);
		return;
	}
	if (f->flags & H2_HAS_PRIORITY)
		f->payload = slice_skip(f->payload, 5);
	if (find(s, f->id) == NULL && !is_idle(s, f->id) && !was_reset_by_us(s, f->id)) {
		end_for(s, H2_END_closed);
		return;
	}
	begin_block(s, f);
	take_block(s, f);
}

/* --- the other frames --- */

static void
on_rst_stream(struct h2_session *s, const struct h2_frame *f)
{
	struct h2_stream *st = find(s, f->id);

	if (f->payload.n != 4) {
		end_for(s, H2_END_size);
		return;
	}
	if (f->id == 0 || is_idle(s, f->id)) {
		end_for(s, H2_END_protocol);
		return;
	}
	if (!spend(s, st != NULL ? H2_COST_RESET : H2_COST_FRAME) || st == NULL)
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
	for (unsigned i = 0; i < BUCKETS; i++)
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
			end_for(s, H2_END_protocol);
		return;
	case H2_INITIAL_WINDOW_SIZE:
		if (!set_initial_window(s, v))
			end_for(s, H2_END_window);
		return;
	case H2_MAX_FRAME_SIZE:
		if (v < H2_PAYLOAD_MAX || v > 0xffffff)
			end_for(s, H2_END_protocol);
		return;
	default: /* tables we do not use, limits we do not reach, what nobody knows */
		return;
	}
}

static void
on_settings(struct h2_session *s, const struct h2_frame *f)
{
	size_t count = f->payload.n / 6;

	if (f->id != 0) {
		end_for(s, H2_END_protocol);
		return;
	}
	if (f->payload.n % 6 != 0 || ((f->flags & H2_ACK) && f->payload.n > 0)) {
		end_for(s, H2_END_size);
		return;
	}
	if (!spend(s, count > SETTINGS_FREE ? (int64_t)count : H2_COST_FRAME) ||
	    (f->flags & H2_ACK))
		return;
	for (size_t i = 0; i < count && !s->is_over; i++) {
		const char *p = f->payload.p + i * 6;

		take_setting(s, h2_u32(p) >> 16, h2_u32(p + 2));
	}
	if (!s->is_over)
		put_frame(s, 0, H2_SETTINGS, H2_ACK, 0);
}

static void
on_ping(struct h2_session *s, const struct h2_frame *f)
{
	if (f->id != 0 || f->payload.n != 8) {
		end_for(s, f->id != 0 ? H2_END_protocol : H2_END_size);
		return;
	}
	if (!spend(s, H2_COST_FRAME))
		return;
	if (f->flags & H2_ACK)
		s->handler->on_ping_ack(s->arg);
	else
		memcpy(put_frame(s, 8, H2_PING, H2_ACK, 0), f->payload.p, 8);
}

static void
window_of_stream(struct h2_session *s, const struct h2_frame *f, uint32_t more)
{
	struct h2_stream *st = find(s, f->id);

	if (st == NULL) {
		if (is_idle(s, f->id))
			end_for(s, H2_END_protocol);
		return;
	}
	if (more == 0 || st->send_window + more > H2_WINDOW_MAX) {
		fail_stream(s, st, more == 0 ? H2_PROTOCOL_ERROR : H2_FLOW_CONTROL_ERROR);
		return;
	}
	st->send_window += more;
	s->handler->on_window(s->arg, st);
}

static void
on_window_update(struct h2_session *s, const struct h2_frame *f)
{
	uint32_t more;

	if (f->payload.n != 4) {
		end_for(s, H2_END_size);
		return;
	}
	if (!spend(s, H2_COST_FRAME))
		return;
	more = h2_u32(f->payload.p) & H2_WINDOW_MAX;
	if (f->id != 0)
		window_of_stream(s, f, more);
	else if (more == 0)
		end_for(s, H2_END_protocol);
	else if (s->send_window + more > H2_WINDOW_MAX)
		end_for(s, H2_END_window);
	else {
		s->send_window += more;
		s->handler->on_window(s->arg, NULL);
	}
}

/* RFC 7540's scheme, which nobody follows any more: only its form is judged. */
static void
on_old_priority(struct h2_session *s, const struct h2_frame *f)
{
	struct h2_stream *st = find(s, f->id);

	if (f->id == 0)
		end_for(s, H2_END_protocol);
	else if (f->payload.n == 5)
		spend(s, H2_COST_FRAME);
	else if (st != NULL)
		fail_stream(s, st, H2_FRAME_SIZE_ERROR);
	else
		end_for(s, H2_END_size);
}

static void
on_priority_update(struct h2_session *s, const struct h2_frame *f)
{
	struct h2_stream *st;
	uint32_t id;

	if (f->id != 0 || f->payload.n < 4) {
		end_for(s, f->id != 0 ? H2_END_protocol : H2_END_size);
		return;
	}
	id = h2_u32(f->payload.p) & H2_ID_MAX;
	if (id % 2 == 0) {
		end_for(s, H2_END_protocol);
		return;
	}
	if (!spend(s, H2_COST_FRAME))
		return;
	st = find(s, id);
	if (st != NULL) {
		priority_read(slice_skip(f->payload, 4), &st->priority);
		s->handler->on_priority(s->arg, st);
	} else if (is_idle(s, id)) {
		unsigned i = s->unopened_at++ % UNOPENED;

		s->unopened[i].id = id;
		s->unopened[i].priority = priority_usual;
		priority_read(slice_skip(f->payload, 4), &s->unopened[i].priority);
	}
}

static void
take_frame(struct h2_session *s, struct h2_frame *f)
{
	if (s->block_id != 0 && (f->type != H2_CONTINUATION || f->id != s->block_id)) {
		end_for(s, H2_END_protocol);
		return;
	}
	if (!s->has_settings && (f->type != H2_SETTINGS || (f->flags & H2_ACK))) {
		end_for(s, H2_END_protocol);
		return;
	}
	s->has_settings = true;
	switch (f->type) {
	case H2_DATA:
		on_data(s, f);
		return;
	case H2_HEADERS:
		on_headers(s, f);
		return;
	case H2_PRIORITY:
		on_old_priority(s, f);
		return;
	case H2_RST_STREAM:
		on_rst_stream(s, f);
		return;
	case H2_SETTINGS:
		on_settings(s, f);
		return;
	case H2_PING:
		on_ping(s, f);
		return;
	case H2_GOAWAY:
		if (f->id != 0 || f->payload.n < 8)
			end_for(s, f->id != 0 ? H2_END_protocol : H2_END_size);
		s->peer_leaves = true;
		spend(s, H2_COST_FRAME);
		return;
	case H2_WINDOW_UPDATE:
		on_window_update(s, f);
		return;
	case H2_CONTINUATION:
		if (s->block_id == 0)
			end_for(s, H2_END_protocol);
		else
			take_block(s, f);
		return;
	case H2_PRIORITY_UPDATE:
		on_priority_update(s, f);
		return;
	case H2_PUSH_PROMISE:
		end_for(s, H2_END_protocol);
		return;
	default:
		spend(s, H2_COST_FRAME);
		return;
	}
}

static size_t
take_preface(struct h2_session *s, const char *p, size_t n)
{
	size_t some = n < H2_PREFACE_BYTES ? n : H2_PREFACE_BYTES;

	if (memcmp(p, H2_PREFACE, some) != 0) {
		end_for(s, H2_END_protocol);
		return 0;
	}
	if (some < H2_PREFACE_BYTES)
		return 0;
	s->has_preface = true;
	s->waits_since_ms = 0;
	return some;
}

size_t
h2_feed(struct h2_session *s, const char *p, size_t n, int64_t now_ms)
{
	size_t at = 0;

	s->now_ms = now_ms;
	if (!s->has_preface && !s->is_over && n > 0)
		at = take_preface(s, p, n);
	while (s->has_preface && !s->is_over && n - at >= H2_FRAME_HEAD_BYTES) {
		struct h2_frame f;
		size_t length = h2_frame_head(p + at, &f);

		if (length > H2_PAYLOAD_MAX) {
			end_for(s, H2_END_size);
			break;
		}
		if (n - at - H2_FRAME_HEAD_BYTES < length)
			break;
		f.payload = slice_of(p + at + H2_FRAME_HEAD_BYTES, length);
		at += H2_FRAME_HEAD_BYTES + length;
		take_frame(s, &f);
	}
	return s->is_over ? n : at;
}

/* --- sending --- */

static void
put_block(struct h2_session *s, uint32_t id, bool end)
{
	struct slice rest = buf_slice(&s->block);
	enum h2_type type = H2_HEADERS;
	unsigned flags = end ? H2_END_STREAM : 0;

	do {
		size_t some = rest.n < H2_PAYLOAD_MAX ? rest.n : H2_PAYLOAD_MAX;
		bool last = some == rest.n;

		memcpy(put_frame(s, some, type, flags | (last ? H2_END_HEADERS : 0), id), rest.p,
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
	if (n >= MOVES_BYTES || (n > 0 && h2_may_send(s, st) > 0))
		earn(s, H2_EARNED_BY_DATA);
}

void
h2_announce_end(struct h2_session *s)
{
	if (s->is_over || s->is_ended)
		return;
	put_goaway(s, H2_ID_MAX, H2_NO_ERROR, SLICE_NONE);
	memcpy(put_frame(s, 8, H2_PING, 0, 0), "goodbye", 8);
}

void
h2_end(struct h2_session *s)
{
	if (s->is_over || s->is_ended)
		return;
	s->is_ended = true;
	put_goaway(s, s->last_id, H2_NO_ERROR, SLICE_NONE);
}

/* --- beginning and end --- */

static void
put_settings(struct h2_session *s)
{
	const struct {
		unsigned id;
		uint32_t value;
	} rows[] = {
	    {H2_MAX_CONCURRENT_STREAMS, s->limits.streams},
	    {H2_MAX_HEADER_LIST_SIZE, s->limits.head_bytes},
	    {H2_ENABLE_CONNECT_PROTOCOL, 1},
	    {H2_NO_RFC7540_PRIORITIES, 1},
	};
	const size_t count = sizeof(rows) / sizeof(*rows);
	char *p = put_frame(s, count * 6, H2_SETTINGS, 0, 0);

	for (size_t i = 0; i < count; i++, p += 6) {
		p[0] = 0;
		p[1] = (char)rows[i].id;
		h2_put_u32(p + 2, rows[i].value);
	}
	if (s->limits.connection_window > H2_WINDOW_DEFAULT)
		put_u32_frame(
		    s, H2_WINDOW_UPDATE, 0, s->limits.connection_window - H2_WINDOW_DEFAULT);
	s->receive_window = s->limits.connection_window;
}

struct h2_session *
h2_session_new(const struct h2_limits *l, struct slice key, const struct h2_handler *h, void *arg)
{
	struct h2_session *s = calloc(1, sizeof(*s));

	if (s == NULL)
		return NULL;
	if (nghttp2_hd_inflate_new(&s->inflater) != 0) {
		free(s);
		return NULL;
	}
	s->handler = h;
	s->arg = arg;
	s->limits = *l;
	memcpy(s->key, key.p, key.n < sizeof(s->key) ? key.n : sizeof(s->key));
	for (unsigned i = 0; i < BUCKETS; i++)
		list_init(&s->buckets[i]);
	s->tokens = H2_BUDGET * 1000;
	s->send_window = s->initial_send_window = H2_WINDOW_DEFAULT;
	put_settings(s);
	return s;
}

void
h2_session_free(struct h2_session **sp)
{
	struct h2_session *s = *sp;

	*sp = NULL;
	if (s == NULL)
		return;
	nghttp2_hd_inflate_del(s->inflater);
	h2_head_fini(&s->head);
	buf_fini(&s->out);
	buf_fini(&s->block);
	free(s);
}

bool
h2_is_over(const struct h2_session *s)
{
	return s->is_over;
}

bool
h2_peer_leaves(const struct h2_session *s)
{
	return s->peer_leaves;
}

int64_t
h2_waits_since_ms(const struct h2_session *s)
{
	return s->waits_since_ms;
}

const struct h2_counts *
h2_counts(const struct h2_session *s)
{
	return &s->counts;
}

struct buf *
h2_out(struct h2_session *s)
{
	return &s->out;
}

void
h2_take_text(struct h2_session *s, struct buf *text)
{
	struct buf memory = *text;

	*text = s->head.text;
	s->head.text = memory;
	s->head.text.n = 0;
}
