/* A connection from its preface to its end: whole frames are told apart here, and dealt with by h2section.c, h2body.c and
 * h2control.c. */
#include "http/h2session_priv.h"

#include <assert.h>
#include <stdlib.h>

static void
take_frame(struct h2_session *s, struct h2_frame *f)
{
	if (s->block_id != 0 && (f->type != H2_CONTINUATION || f->id != s->block_id)) {
		h2_end_for(s, H2_END_protocol);
		return;
	}
	if (!s->has_settings && (f->type != H2_SETTINGS || (f->flags & H2_ACK))) {
		h2_end_for(s, H2_END_protocol);
		return;
	}
	s->has_settings = true;
	switch (f->type) {
	case H2_DATA:
		h2_on_data(s, f);
		return;
	case H2_HEADERS:
		h2_on_headers(s, f);
		return;
	case H2_PRIORITY:
		h2_on_old_priority(s, f);
		return;
	case H2_RST_STREAM:
		h2_on_rst_stream(s, f);
		return;
	case H2_SETTINGS:
		h2_on_settings(s, f);
		return;
	case H2_PING:
		h2_on_ping(s, f);
		return;
	case H2_GOAWAY:
		if (f->id != 0 || f->payload.n < 8)
			h2_end_for(s, f->id != 0 ? H2_END_protocol : H2_END_size);
		s->peer_leaves = true;
		h2_spend(s, H2_COST_FRAME);
		return;
	case H2_WINDOW_UPDATE:
		h2_on_window_update(s, f);
		return;
	case H2_CONTINUATION:
		if (s->block_id == 0)
			h2_end_for(s, H2_END_protocol);
		else
			h2_on_continuation(s, f);
		return;
	case H2_PRIORITY_UPDATE:
		h2_on_priority_update(s, f);
		return;
	case H2_PUSH_PROMISE:
		h2_end_for(s, H2_END_protocol);
		return;
	default:
		h2_spend(s, H2_COST_FRAME);
		return;
	}
}

static size_t
take_preface(struct h2_session *s, const char *p, size_t n)
{
	size_t some = n < H2_PREFACE_BYTES ? n : H2_PREFACE_BYTES;

	if (memcmp(p, H2_PREFACE, some) != 0) {
		h2_end_for(s, H2_END_protocol);
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
			h2_end_for(s, H2_END_size);
			break;
		}
		if (n - at - H2_FRAME_HEAD_BYTES < length)
			break;
		f.payload = slice_of(p + at + H2_FRAME_HEAD_BYTES, length);
		at += H2_FRAME_HEAD_BYTES + length;
		take_frame(s, &f);
	}
	hpack_sleep(&s->table);
	if (s->block_id == 0)
		h2_head_sleep(&s->head);
	return s->is_over ? n : at;
}

/* --- going away --- */

void
h2_announce_end(struct h2_session *s)
{
	if (s->is_over || s->is_ended)
		return;
	h2_put_goaway(s, H2_ID_MAX, H2_NO_ERROR, SLICE_NONE);
	memcpy(h2_put_frame(s, 8, H2_PING, 0, 0), "goodbye", 8);
}

void
h2_end(struct h2_session *s)
{
	if (s->is_over || s->is_ended)
		return;
	s->is_ended = true;
	h2_put_goaway(s, s->last_id, H2_NO_ERROR, SLICE_NONE);
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
	char *p = h2_put_frame(s, count * 6, H2_SETTINGS, 0, 0);

	for (size_t i = 0; i < count; i++, p += 6) {
		p[0] = 0;
		p[1] = (char)rows[i].id;
		h2_put_u32(p + 2, rows[i].value);
	}
	if (s->limits.connection_window > H2_WINDOW_DEFAULT)
		h2_put_u32_frame(
		    s, H2_WINDOW_UPDATE, 0, s->limits.connection_window - H2_WINDOW_DEFAULT);
	s->receive_window = s->limits.connection_window;
}

struct h2_session *
h2_session_new(const struct h2_limits *l, struct slice key, const struct h2_handler *h, void *arg)
{
	struct h2_session *s = calloc(1, sizeof(*s));

	assert(l->connection_window >= 2 * H2_WINDOW_DEFAULT);
	if (s == NULL)
		return NULL;
	hpack_init(&s->table);
	s->handler = h;
	s->arg = arg;
	s->limits = *l;
	memcpy(s->key, key.p, key.n < sizeof(s->key) ? key.n : sizeof(s->key));
	for (unsigned i = 0; i < H2_BUCKETS; i++)
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
	hpack_fini(&s->table);
	buf_fini(&s->block);
	h2_head_fini(&s->head);
	buf_fini(&s->out);
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
