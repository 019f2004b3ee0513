/* server/h2conn_priv.h - what the files of an HTTP/2 connection share: h2conn.c (the connection and its turns), h2stream.c (a
 * request and its response), h2frames.c (what goes out), h2tunnel.c (a WebSocket).
 */
#ifndef SERVER_H2CONN_PRIV_H
#define SERVER_H2CONN_PRIV_H

#include "http/h2session.h"
#include "server/connection.h"
#include "server/exchange.h"
#include "server/h2conn.h"
#include "server/pace.h"

/* Bytes that one stream sends in one turn, most of them straight from where they lie. */
#define H2_TURN_BYTES ((size_t)8 * H2_PAYLOAD_MAX)
/* Small pieces are copied and gathered behind one another up to that: cheaper than a write for each. */
#define H2_COPY_BYTES 4096
#define H2_GATHER_BYTES ((size_t)64 * 1024)

struct h2stream {
	struct client client;  /* first: ops get it */
	struct h2_stream wire; /* what the session knows of it */
	struct h2conn *conn;
	struct link link;   /* in conn->streams */
	struct link queued; /* in conn->ready, waiting for its turn */
	struct exchange *x; /* NULL once it is over */
	struct task bury;
	struct timer deadline; /* of the peer's, for body or window */
	enum h2_error after;   /* the stream is reset with it when the answer is out */
	bool is_gone;
	bool is_blocked; /* by a window, with something to send */
	/* the request's body, what has come of it and is not consumed: upload[upload_at..] */
	size_t upload_at;
	bool continued;
	struct pace up_pace, down_pace;
	/* the response */
	struct reply reply;
	bool has_reply, head_is_sent;
	struct slice reply_trailers;
	/* a WebSocket: our end of a pair of sockets, the other is the tunnel's */
	struct stream *pipe;
	bool pipe_ended, pipe_shut;
	/* Memory: */
	struct buf upload, trailers;
	struct buf
	    head; /* the request's: x's head points here; last: the next stream inherits it */
};

struct h2conn {
	struct connection connection; /* in worker->conns */
	struct worker *worker;
	struct stream *stream;
	struct address peer;
	struct h2_session *session;
	struct h2_counts counted; /* of the session's, told to the observer */
	enum { H2_OPEN, H2_LINGERING, H2_CLOSED } phase;
	char *in;
	size_t in_len, in_cap;
	size_t out_at; /* of the session's out: sent so far */
	struct link streams;
	unsigned streams_count, served;
	struct link ready[URGENCIES];
	struct h2stream *turn; /* whose turn it is; NULL: nobody's */
	size_t turn_left;      /* bytes */
	bool is_full;	       /* the socket refused something: on_writable comes */
	bool feeding, pumping, retiring, announced;
	bool streams_changed; /* while feeding: their number is noted behind it */
	struct task pump, bury;
	struct timer deadline;
	int64_t idle_since_ms, retire_until_ms, linger_until_ms;
	struct pace pace; /* of the socket */
};

static inline int64_t
h2_now_ms(const struct h2conn *c)
{
	return loop_now_ms(c->worker->loop);
}

static inline const struct site *
h2_site(const struct h2conn *c)
{
	return connection_site(&c->connection);
}

static inline size_t
h2_waiting(const struct h2conn *c)
{
	return h2_out(c->session)->n - c->out_at;
}

/* h2conn.c: */
/* Something is to be sent, or it may be over: looked at when the turn of the loop ends. */
void h2_stir(struct h2conn *c);
/* The stream wants a turn. */
void h2_queue(struct h2stream *s);
/* Some stream waits for its turn. */
bool h2_has_queue(const struct h2conn *c);
/* The number of streams has changed; noted at once, or when what was read has been taken. */
void h2_note_streams(struct h2conn *c);
void h2conn_on_ping_ack(struct h2conn *c);
bool h2conn_on_borrow(struct h2conn *c, int64_t bytes);

/* h2stream.c: */
extern const struct h2_handler h2_session_handler;
/* It has the turn: sends what it has. */
void h2stream_run(struct h2stream *s);
/* The session knows it no more, or is about to forget it; the memory goes when the loop's turn ends. */
void h2stream_leave(struct h2stream *s);

/* h2frames.c: */
/* Memory to gather in, which goes back when all has left: connections that are idle have none. */
void h2_borrow_out(struct h2conn *c);
/* Sends what gathered. False: the connection is broken. */
bool h2_flush(struct h2conn *c);
/* A frame of bytes that are copied. Within the window. */
void h2_copy_data(struct h2stream *s, const struct iovec *iov, int n, size_t bytes, bool end);
/* Frames of bytes sent as they lie, behind what gathered. Returns how many were taken, -1: broken. */
ssize_t h2_write_data(struct h2stream *s, const struct iovec *iov, int n, size_t bytes, bool end);

/* h2tunnel.c: */
/* The stream becomes one end of a tunnel; the other end is returned, NULL (errno). */
struct stream *h2tunnel_open(struct h2stream *s);
void h2tunnel_run(struct h2stream *s);
/* Bytes for it have come, or their end. */
void h2tunnel_feed(struct h2stream *s);
void h2tunnel_close(struct h2stream *s);

#endif
