/* server/client.h - the client's side of one exchange, whatever protocol it speaks.
 *
 * The exchange asks for the request's body and hands over the response; the connection (server/h1conn.c, server/h2stream.c) frames, queues
 * and tells when it can go on by exchange_wake(). A client outlives its exchange: the exchange says client_done when it is finished, the
 * connection says exchange_client_gone when the peer has left.
 */
#ifndef SERVER_CLIENT_H
#define SERVER_CLIENT_H

#include "base/buf.h"
#include "cache/body.h"
#include "event/stream.h"
#include "event/tls.h"
#include "upstream/fetch.h"

struct client;
struct door;
struct worker;

/* How a response is told. */
struct reply {
	unsigned status;
	/* "HTTP/1.1 200 OK" CRLF and the fields, but none that frame the message or concern the connection: those the client may add
	 * to it. It stays until the exchange ends, and changes no more otherwise. */
	struct buf *head;
	size_t
	    fixed_bytes; /* of head: what is the same for every hit; 0: it is made for this one */
	uint64_t fixed_number; /* of that part: as http/h2blocks.h wants it */
	uint64_t length;       /* of the body that will be written; BODY_LENGTH_UNKNOWN */
	bool has_body;	   /* false: HEAD, 204, 304: nothing will be written whatever length says */
	bool has_length;   /* tell length though there is no body (HEAD) */
	bool must_close;   /* the connection cannot serve another request */
	bool drops_upload; /* nobody wants the request's body (any more) */
};

struct client_ops {
	/* Whether the request's body may go upstream: a short one of known length is first collected, so that who sends it slowly holds no
	 * connection to a server. False: exchange_wake comes. */
	bool (*upload_is_here)(struct client *c);
	/* An interim response: its head as above, complete with the empty line. */
	void (*interim)(struct client *c, struct slice head);
	/* The final head. It is sent together with the first bytes of the body, or by client_write with n 0. */
	void (*reply)(struct client *c, const struct reply *r);
	/* Offers n pieces of the body at iov[CLIENT_IOV_FRONT]; the array has CLIENT_IOV_EXTRA places more than n. last: the body ends
	 * with them. Returns how many bytes of the body were taken; fewer than offered: exchange_wake will come; -1: the client has gone. */
	ssize_t (*write)(struct client *c, struct iovec *iov, int n, bool last);
	/* Trailers for the end of a body of unknown length, canonical lines that stay good; before the last write. */
	void (*set_trailers)(struct client *c, struct slice lines);
	/* Whether everything handed over has left, the body's end included. If not, exchange_wake comes. */
	bool (*is_flushed)(const struct client *c);
	/* The exchange is over. whole: request and response went through; else the connection is cut off so that nobody
	 * takes what was sent for the whole. */
	void (*done)(struct client *c, bool whole);
	/* The request becomes a tunnel: the stream is the caller's, with the bytes already read. The client is gone. head is the 101
	 * that goes to the stream first; a client that tells it in its own way empties it. NULL: it cannot be, and the client is there. */
	struct stream *(*take_stream)(struct client *c, struct buf *head, struct buf *rest);
};

#define CLIENT_IOV_FRONT 8
#define CLIENT_IOV_EXTRA 12

struct client {
	const struct client_ops *ops;
	struct worker *worker;
	const struct address *peer; /* the other end of the connection */
	const struct address *local;
	const struct door *door; /* by which it came; NULL: by none */
	bool is_tls;
	struct tls_client_certificate certificate; /* that it showed; in its stream */
	unsigned http_major;			   /* 2: HTTP/2; 0: HTTP/1, as the head says */
	bool is_own;				   /* a visit (server/visit.h): nobody's request */
	unsigned listener_slot;			   /* of where it came in, for the counters */
	unsigned served;			   /* requests before this one on the connection */
	/* The request's body: none when has_upload is false. */
	bool has_upload;
	struct upload upload;
	bool expects_continue;
};

#endif
