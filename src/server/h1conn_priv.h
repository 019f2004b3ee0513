/* server/h1conn_priv.h - what the files of a connection share: h1line.c (the connection itself, from accept to close), h1conn.c (from request to
 * request), h1upload.c (a request's body), h1reply.c (the response).
 *
 * Most connections are idle, and there may be tens of thousands: what stays of one then is its h1line and its stream. All else is its
 * h1conn, which it has from the first byte of a request until nothing is left to do, and which then serves the next that has something to say.
 */
#ifndef SERVER_H1CONN_PRIV_H
#define SERVER_H1CONN_PRIV_H

#include "http/chunker.h"
#include "http/h1.h"
#include "server/connection.h"
#include "server/exchange.h"
#include "server/h1conn.h"
#include "server/pace.h"

enum phase { PHASE_IDLE, PHASE_HEAD, PHASE_SERVING, PHASE_LINGERING, PHASE_CLOSED };
enum outgoing { OUT_NOTHING, OUT_LENGTH, OUT_CHUNKED, OUT_UNTIL_CLOSE };

/* Its size is the price of an idle connection: 168 bytes with an IPv4 peer, which fill a chunk of malloc's. */
struct h1line {
	struct connection connection; /* in worker->conns */
	struct stream *stream;	      /* NULL: closed, or somebody else's */
	struct h1conn *conn;	      /* NULL: idle */
	struct timer deadline;
	struct task turn; /* goes on with conn, or frees it all */
	unsigned served;
	uint16_t peer_len;
	bool is_closed;
	char peer[];
};

struct h1conn {
	struct client client; /* first: ops get it */
	struct h1line *line;
	struct worker *worker;
	struct stream *stream; /* the line's */
	struct address peer;
	enum phase phase;
	bool walking; /* conn_walk is on the stack */
	bool keep;    /* may serve another request */
	bool retiring;
	bool is_spoilt; /* half of something was sent: nothing can follow */
	/* What came in: the head being parsed begins at 0; the exchange's head points here. */
	char *in;
	size_t in_cap, in_len;
	struct h1_parser parser;
	struct exchange *x;
	size_t head_len;
	/* The request's body */
	struct framing up;
	struct h1_chunked chunked;
	struct buf trailers; /* of the upload */
	char *raw;	     /* bytes not yet decoded: raw[raw_at..raw_len) */
	size_t raw_at, raw_len, raw_cap;
	struct slice payload; /* decoded, not yet consumed; lies in raw */
	uint64_t up_left;
	bool up_ended, continued;
	struct pace up_pace;
	/* The response */
	const struct buf *head; /* the exchange's, complete; while replying */
	bool replying;
	size_t head_sent;
	enum outgoing out;
	uint64_t out_left;
	struct chunker chunker;
	bool out_ended;
	struct pace down_pace;
	size_t linger_read;
	int64_t linger_until_ms;
};

static inline int64_t
h1_now_ms(const struct h1conn *c)
{
	return loop_now_ms(c->worker->loop);
}

static inline const struct site *
h1_site(const struct h1conn *c)
{
	return connection_site(&c->line->connection);
}

static inline void
h1_arm(struct h1conn *c, int64_t due_ms)
{
	timer_arm(c->worker->loop, &c->line->deadline, due_ms);
}

static inline void
h1_disarm(struct h1conn *c)
{
	timer_rest(&c->line->deadline);
}

/* h1_walk will come, when the turn ends. */
static inline void
h1_stir(struct h1conn *c)
{
	loop_later(c->worker->loop, &c->line->turn);
}

/* h1line.c: */
/* No callback comes any more; the memory goes when the turn ends. The exchange and the stream have gone before. */
void h1_leave(struct h1conn *c);
void h1_close(struct h1conn *c);
/* The connection is cut off, so that nobody takes what was sent for the whole. */
void h1_cut(struct h1conn *c);

/* h1conn.c: what the line tells */
void h1_on_readable(struct h1conn *c);
void h1_on_writable(struct h1conn *c);
void h1_on_deadline(struct h1conn *c);
/* Serves what is in the buffer, request after request, until one must wait or the buffer holds none. */
void h1_walk(struct h1conn *c);
/* Between two requests, with nothing there of the next. */
static inline bool
h1_is_idle(const struct h1conn *c)
{
	return c->phase == PHASE_IDLE && c->in_len == 0 && !c->walking;
}
void h1_linger(struct h1conn *c);
/* After an exchange: what is left in the buffers is the beginning of the next request. */
void h1_next_request(struct h1conn *c);

/* h1upload.c: */
/* The bytes behind the head belong to the body: they move to a buffer of their own. */
void h1_begin_upload(struct h1conn *c);
bool h1_upload_is_read(const struct h1conn *c);
/* What is here of a body that nobody wants: where that is all of it, the connection goes on behind it. */
void h1_skip_upload(struct h1conn *c);
bool h1_upload_is_here(struct client *client);

/* h1reply.c: */
extern const struct client_ops h1_ops;

#endif
