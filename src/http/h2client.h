/* http/h2client.h - the client's side of one HTTP/2 connection: bytes in, events out, bytes out (RFC 9113), by nghttp2's
 * session.
 *
 * The story of a call: its owner gives a head as HTTP/1.1 has it; the call becomes a stream, whose body is pulled from the
 * owner as the server's windows let it. What comes back gathers in the call, heads as text for the strict parser of
 * HTTP/1.1, a body's bytes where they were received; then the owner is told that there is news, never from
 * inside the session, so that it may do anything: end this call, or others, or begin some. The connection's window opens as bytes
 * come, a stream's as its owner is done with them: one slow reader holds back nobody else.
 *
 * What a server may cost is bounded: a head as it unfolds, CONTINUATIONs and answers that wait in the session by nghttp2, and
 * frames that bring nothing forward (PING, SETTINGS, empty DATA, window updates, unknown ones) by a budget that data and time fill up
 * again. Pushes are refused. No socket, no clock: time is an argument.
 */
#ifndef HTTP_H2CLIENT_H
#define HTTP_H2CLIENT_H

#include "base/buf.h"
#include "base/list.h"

struct h2_client;

#define H2_CLIENT_WINDOW (256 * 1024)		  /* of one stream */
#define H2_CLIENT_CONNECTION_WINDOW (1024 * 1024) /* of all of a connection */

/* clang-format off */
/* How a call's stream, or the whole connection, ended.
 *     name           text */
#define H2_CALL_ENDS(X)                                                                        \
	X(open,        "it has not")                                                           \
	X(done,        "both sides are through")                                               \
	X(reset,       "the server reset the stream")                                          \
	X(turned_away, "the server did not look at it: REFUSED_STREAM, or beyond its GOAWAY")  \
	X(wants_h1,    "the server wants HTTP/1.1 for it: HTTP_1_1_REQUIRED")                  \
	X(bad,         "what came is no valid response")                                       \
	X(too_large,   "a head larger than its limit")                                         \
	X(lost,        "the connection ended")                                                 \
	X(not_h2,      "the server does not speak HTTP/2")                                     \
	X(flood,       "too many frames that bring nothing forward")
/* clang-format on */
enum h2_call_end {
#define X(name, text) H2_CALL_##name,
	H2_CALL_ENDS(X)
#undef X
};
const char *h2_call_end_text(enum h2_call_end end);

struct h2_call_owner {
	/* Up to n bytes of the request's body. 0 without *end_out: none yet, h2_call_resume tells. *trailers_out: lines that stand behind
	 * the end, good for the call. The call must not be dropped from inside. */
	size_t (*on_pull)(void *arg, char *to, size_t n, bool *end_out, struct slice *trailers_out);
	/* Look at the call. */
	void (*on_news)(void *arg);
};

/* One request and its response; embedded in the owner's. {0} is none. */
struct h2_call {
	struct h2_client *client; /* NULL: it has no stream */
	const struct h2_call_owner *owner;
	void *arg;
	struct link link; /* among the client's */
	struct link news; /* among those with news */
	int32_t id;
	/* What has come: */
	struct buf
	    heads; /* heads as text, the last perhaps not whole; the owner eats them. A length is not told where
			     trailers come, which HTTP/1.1 could not send behind it; the session holds the server to it */
	struct buf trailers;  /* canonical lines, those that may be passed on */
	struct slice data;    /* of the body, for this on_news alone: h2_call_consumed is due */
	bool is_ended;	      /* the response is whole */
	enum h2_call_end end; /* of the stream, when it is not open any more */
	/* The session's own: */
	size_t head_limit, section_bytes;
	bool has_final, in_trailers, was_reset;
	bool is_grpc;	 /* by its type: trailers will come */
	uint64_t length; /* announced; UINT64_MAX: none is */
	bool upload_ended;
};

struct h2_call_start {
	struct slice head; /* of HTTP/1.1, with Host, ended by an empty line */
	bool is_https;
	bool has_body;	   /* owner->on_pull */
	size_t head_limit; /* bytes of a response head */
};

/* Preface and settings are to be sent at once. NULL: no memory. */
struct h2_client *h2_client_new(size_t head_limit);
/* Without calls by then. */
void h2_client_free(struct h2_client **cp);

/* Takes all bytes. False: the connection is over; its calls have been told, what is to be sent says why. */
bool h2_client_feed(struct h2_client *c, const char *p, size_t n, int64_t now_ms);
/* The connection has ended under it, which ends every call. */
void h2_client_lost(struct h2_client *c, enum h2_call_end end);
/* The next bytes to send, good until the next call of anything here; 0: none now. */
size_t h2_client_out(struct h2_client *c, const char **p_out);
/* After sending: what ended by what was said. False: the connection is over, as with h2_client_feed. */
bool h2_client_settle(struct h2_client *c);
bool h2_client_has_out(struct h2_client *c);

/* Calls under way. */
unsigned h2_client_calls(const struct h2_client *c);
/* How many more the server takes at the moment. */
unsigned h2_client_room(const struct h2_client *c, unsigned most);
/* It has told its settings. */
bool h2_client_is_open(const struct h2_client *c);
/* No more calls: GOAWAY came, or numbers are used up. */
bool h2_client_is_leaving(const struct h2_client *c);
/* A PING that no one else has under way; h2_client_awaits_ping is false once it was answered. */
void h2_client_ping(struct h2_client *c);
bool h2_client_awaits_ping(const struct h2_client *c);
/* Frames that have come, answers to PING left out. */
uint64_t h2_client_moves(const struct h2_client *c);
/* We go: GOAWAY is to be sent. */
void h2_client_leave(struct h2_client *c);

/* Begins. 0, or -1: no memory, or more fields than we send. */
int h2_call_begin(struct h2_call *call, struct h2_client *c, const struct h2_call_start *start);
/* on_pull has something. */
void h2_call_resume(struct h2_call *call);
/* n bytes of its data are done with: as many may come. */
void h2_call_consumed(struct h2_call *call, size_t n);
/* Its owner wants no more of it: RST_STREAM unless both sides are through. What it held is freed; it may begin again. */
void h2_call_drop(struct h2_call *call);

#endif
