/* http/h2session_priv.h - what the files of a session share: h2session.c (the connection), h2section.c (header sections in),
 * h2body.c (requests' bodies in), h2control.c (the other frames in), h2table.c (the streams), h2budget.c (what a peer may cost),
 * h2send.c (what goes out).
 */
#ifndef HTTP_H2SESSION_PRIV_H
#define HTTP_H2SESSION_PRIV_H

#include "http/h2session.h"
#include "http/hpack.h"

#define H2_BUCKETS 64
#define H2_RECENT 64   /* streams that we have reset: frames under way to them are nobody's fault */
#define H2_UNOPENED 16 /* priorities of streams that have not come yet */
#define H2_MOVES_BYTES 512 /* in a frame: that brings something forward */

enum h2_section { SECTION_REQUEST, SECTION_TRAILERS, SECTION_NOBODYS, SECTION_REFUSED };

struct h2_session {
	const struct h2_handler *handler;
	void *arg;
	struct h2_limits limits;
	char key[24];
	struct link buckets[H2_BUCKETS];
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
	enum h2_section section;
	struct h2_head head;
	struct buf block; /* what has come of it, when it comes in pieces */
	struct hpack table;
	/* out */
	struct buf out;
	size_t head_at; /* in out: where the frame begins that h2_head_open has begun */
	bool has_sent_head;
	/* windows of the connection */
	int64_t send_window, receive_window;
	uint32_t consumed;
	uint32_t borrowed; /* of the receive window, by on_borrow */
	int64_t initial_send_window;
	uint32_t last_id;
	uint32_t recent[H2_RECENT];
	unsigned recent_at;
	struct {
		uint32_t id;
		struct priority priority;
	} unopened[H2_UNOPENED];
	unsigned unopened_at;
};

/* h2budget.c: */
/* The connection ends for the peer's fault. */
void h2_end_for(struct h2_session *s, enum h2_end end);
void h2_earn(struct h2_session *s, int64_t tokens);
/* False: that was too much, and the connection is over. */
bool h2_spend(struct h2_session *s, int64_t tokens);

/* h2table.c: */
struct link *h2_bucket_of(struct h2_session *s, uint32_t id);
struct h2_stream *h2_find(struct h2_session *s, uint32_t id);
/* Streams that the client has never opened: odd numbers are its own. */
bool h2_is_idle(const struct h2_session *s, uint32_t id);
void h2_put_reset(struct h2_session *s, uint32_t id, enum h2_error code);
bool h2_was_reset(const struct h2_session *s, uint32_t id);
/* One stream ends for the peer's fault; to make us reset streams costs him (MadeYouReset). */
void h2_fail_stream(struct h2_session *s, struct h2_stream *st, enum h2_error code);

/* Frames, each by who deals with it. h2section.c: */
void h2_on_headers(struct h2_session *s, struct h2_frame *f);
void h2_on_continuation(struct h2_session *s, const struct h2_frame *f);
/* h2body.c: */
void h2_on_data(struct h2_session *s, struct h2_frame *f);
/* Takes the padding off. False: there is more of it than there is frame. */
bool h2_strip_padding(struct h2_frame *f, size_t *padding_out);
void h2_bad_body(struct h2_session *s, struct h2_stream *st);
void h2_end_request(struct h2_session *s, struct h2_stream *st, struct slice trailers);
/* h2control.c: */
void h2_on_rst_stream(struct h2_session *s, const struct h2_frame *f);
void h2_on_settings(struct h2_session *s, const struct h2_frame *f);
void h2_on_ping(struct h2_session *s, const struct h2_frame *f);
void h2_on_window_update(struct h2_session *s, const struct h2_frame *f);
void h2_on_old_priority(struct h2_session *s, const struct h2_frame *f);
void h2_on_priority_update(struct h2_session *s, const struct h2_frame *f);

/* h2send.c: */
/* A frame in out, of which the head is written; returns where its payload is to stand. */
char *h2_put_frame(struct h2_session *s, size_t n, enum h2_type type, unsigned flags, uint32_t id);
void h2_put_u32_frame(struct h2_session *s, enum h2_type type, uint32_t id, uint32_t v);
void h2_put_goaway(struct h2_session *s, uint32_t last_id, enum h2_error code, struct slice why);

#endif
