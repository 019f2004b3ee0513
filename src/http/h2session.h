/* http/h2session.h - the server's side of one HTTP/2 connection: bytes in, events out, bytes out (RFC 9113).
 *
 * The story of a connection: what was read is fed; whole frames are judged and become calls of the handler, each about a stream
 * or the connection. What must be sent for the protocol's sake gathers in out, behind which the owner puts the frames of its
 * responses. Streams belong to the owner; the session finds them by number and counts both windows. It has no socket and
 * no clock: time is an argument.
 *
 * What a peer may cost is bounded by a budget: frames that bring nothing forward (PING, SETTINGS, empty DATA and CONTINUATION,
 * window updates, priorities, and above all streams that end by reset, his or ours for his fault) take from it, data that moves
 * and time fill it up again. Who has used it up gets GOAWAY with ENHANCE_YOUR_CALM. A header section is bounded as it
 * is compressed and as it unfolds; windows bound what waits of a request's body; the owner does not feed while out is full.
 *
 * A stream's memory stays until the h2_feed in which it ended has returned; one that ended within its own on_request may go with that. After a fault of the connection (h2_is_over) nothing is taken in any more; out ends with GOAWAY.
 */
#ifndef HTTP_H2SESSION_H
#define HTTP_H2SESSION_H

#include "base/list.h"
#include "http/h2frame.h"
#include "http/h2head.h"

struct h2_session;

/* clang-format off */
/* How a session ended for the peer's fault.
 *     name           code                       text */
#define H2_ENDS(X)                                                                                  \
	X(none,        H2_NO_ERROR,            "")                                                  \
	X(flood,       H2_ENHANCE_YOUR_CALM,   "too many frames that bring nothing forward")        \
	X(head,        H2_ENHANCE_YOUR_CALM,   "a header section without end")                      \
	X(protocol,    H2_PROTOCOL_ERROR,      "a frame that may not come here")                    \
	X(closed,      H2_STREAM_CLOSED,       "a frame for a stream that is closed")               \
	X(size,        H2_FRAME_SIZE_ERROR,    "a frame of a wrong size")                           \
	X(window,      H2_FLOW_CONTROL_ERROR,  "more than the window allows")                       \
	X(compression, H2_COMPRESSION_ERROR,   "a header section that cannot be read")
/* clang-format on */
enum h2_end {
#define X(name, code, text) H2_END_##name,
	H2_ENDS(X)
#undef X
	    H2_END_COUNT
};

/* What a frame costs. The budget begins full. */
#define H2_BUDGET 1000
#define H2_BUDGET_PER_S 50
#define H2_COST_FRAME 1	    /* that brings nothing forward */
#define H2_COST_RESET 5	    /* of a stream that was not through */
#define H2_COST_FAULT 10    /* of one stream */
#define H2_EARNED_BY_DATA 4 /* one frame of it that was sent, or came */
#define H2_EARNED_BY_ANSWER 5

/* The owner's, embedded; the session's while it stands in its table. */
struct h2_stream {
	struct link link; /* in its bucket */
	uint32_t id;
	int64_t send_window, receive_window;
	uint32_t consumed;  /* and not yet told by a window update */
	bool receive_ended; /* the request is whole */
	bool send_ended;
	bool discards; /* nobody wants what comes */
	bool is_connect;
	bool has_length;
	uint64_t length_left; /* of the body, with has_length */
	struct priority priority;
};

struct h2_request {
	const struct head *head; /* for the call; its bytes longer, by h2_take_text */
	enum h2_fault fault;	 /* not none: to be answered with that, and head is nothing */
	enum h1_fault shared;	 /* with H2_FAULT_as_http1 */
};

struct h2_handler {
	/* Memory for a stream, which the session fills before on_request. NULL: refused. */
	struct h2_stream *(*on_open)(void *arg, uint32_t id);
	/* Its head. The session does not look at st again if the stream ends meanwhile. */
	void (*on_request)(void *arg, struct h2_stream *st, const struct h2_request *r);
	/* Bytes of its body: they count as waiting until h2_consumed. */
	void (*on_data)(void *arg, struct h2_stream *st, struct slice bytes);
	/* The request is whole. trailers: lines, for the call. */
	void (*on_end)(void *arg, struct h2_stream *st, struct slice trailers);
	/* The body is not what the head said: no more of it comes. */
	void (*on_bad)(void *arg, struct h2_stream *st);
	/* The stream is over: the peer or the session for his fault has reset it. */
	void (*on_reset)(void *arg, struct h2_stream *st);
	/* There is more room to send in: for st, or NULL: for all. */
	void (*on_window)(void *arg, struct h2_stream *st);
	void (*on_priority)(void *arg, struct h2_stream *st);
	void (*on_ping_ack)(void *arg);
	/* The connection's window is used up by bodies that wait: may it have so many bytes more? Negative: it gives them back. */
	bool (*on_borrow)(void *arg, int64_t bytes);
};

struct h2_limits {
	uint32_t streams;      /* open at a time */
	uint32_t head_bytes;   /* of a header section, unfolded */
	uint32_t target_bytes; /* of a request's target */
	uint32_t
	    connection_window; /* of all requests' bodies together, unless more is lent; a stream has H2_WINDOW_DEFAULT. At least twice that */
};

/* What the counters want to know. */
struct h2_counts {
	uint64_t refused;	/* streams beyond the limit */
	uint64_t resets_peer;	/* streams that the peer reset before they were through */
	uint64_t resets_faults; /* streams reset for the peer's fault */
	enum h2_end end;
};

/* key: 24 characters for upgrades, copied. The server's settings stand in out at once. NULL: no memory. */
struct h2_session *h2_session_new(
    const struct h2_limits *l, struct slice key, const struct h2_handler *h, void *arg);
/* The streams must have gone, and what waited of their bodies counts as consumed. */
void h2_session_free(struct h2_session **sp);

/* Takes whole frames; returns how many bytes are done with. */
size_t h2_feed(struct h2_session *s, const char *p, size_t n, int64_t now_ms);
bool h2_is_over(const struct h2_session *s);
/* Since when a header section has been coming in; 0: none is. */
int64_t h2_waits_since_ms(const struct h2_session *s);
const struct h2_counts *h2_counts(const struct h2_session *s);
/* What must be sent; the owner appends and eats. */
struct buf *h2_out(struct h2_session *s);
/* The bytes that the head of the request in on_request is of, which are the caller's from now on; the memory that *text had is the
 * session's. */
void h2_take_text(struct h2_session *s, struct buf *text);

/* Sending. Frames go to out; the order is the order of calls. */
/* A header section, status 0: trailers. Between the two calls fields are appended to what the first returns, as http/h2block.h makes them,
 * and nothing else is called. */
struct buf *h2_head_open(struct h2_session *s, unsigned status);
void h2_head_close(struct h2_session *s, struct h2_stream *st, bool end);
/* Both, with lines of HTTP/1.1 between, with or without a status line. */
void h2_send_head(
    struct h2_session *s, struct h2_stream *st, unsigned status, struct slice lines, bool end);
/* How many bytes of DATA both windows allow. */
size_t h2_may_send(const struct h2_session *s, const struct h2_stream *st);
/* That many were sent in a frame of the owner's making. */
void h2_sent(struct h2_session *s, struct h2_stream *st, size_t n, bool end);
/* The owner is done with n bytes of on_data. */
void h2_consumed(struct h2_session *s, struct h2_stream *st, size_t n);
/* Nobody wants the rest of the request: it is taken and thrown away. */
void h2_discard(struct h2_session *s, struct h2_stream *st, size_t waiting);
/* RST_STREAM; the stream is not in the table afterwards. */
void h2_reset(struct h2_session *s, struct h2_stream *st, enum h2_error code);
/* The stream has ended on both sides. */
void h2_close(struct h2_session *s, struct h2_stream *st);
/* Going away: first the announcement, with a PING whose answer says that all that was under way has come; then the
 * end: streams opened after it are not seen. */
void h2_announce_end(struct h2_session *s);
void h2_end(struct h2_session *s);
/* The peer has said that it will open no more streams. */
bool h2_peer_leaves(const struct h2_session *s);

#endif
