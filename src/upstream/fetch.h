/* upstream/fetch.h - one request to one upstream and its response, streamed both ways: by HTTP/1.1 on a connection of
 * its own, or by HTTP/2 on one that is shared.
 *
 * The story of a fetch: it picks a server, borrows an idle connection or opens one, sends the
 * rendered head and pulls the request's body from an upload, reads interim responses, then the
 * head, asks its owner where the body goes and receives into that body until its end. Whatever
 * arrives is judged strictly; a body cut short ends BROKEN and is never passed off as whole.
 *
 * Tried again, by itself: a connection that could not be made goes to the next server (nothing was
 * sent); a reused connection that dies before any byte of the response is replaced once, if the
 * request is idempotent and its body has not been touched; what a server of HTTP/2 says it has not looked at is asked again, whatever
 * the method, while the body that was sent is still at hand.
 *
 * Belongs to one worker. No callback runs inside fetch_start. After on_done, and after fetch_abort,
 * the fetch is gone.
 */
#ifndef UPSTREAM_FETCH_H
#define UPSTREAM_FETCH_H

#include "cache/body.h"
#include "http/h1.h"
#include "http/head.h"
#include "upstream/balance.h"
#include "upstream/ends.h"
#include "upstream/pool.h"

struct fetch;
struct resolver;

/* Where a request's body comes from; the owner's, embedded in what knows. */
struct upload {
	uint64_t length; /* announced, or BODY_LENGTH_UNKNOWN: sent chunked */
	/* Up to max pieces that are there now (0: none yet); *end_out: nothing comes after them. */
	int (*peek)(struct upload *u, struct iovec *iov, int max, bool *end_out);
	/* n bytes of them were sent. */
	void (*consume)(struct upload *u, size_t n);
	/* The server is ready for the body: time for 100 Continue. Called once, before the first
	 * peek. */
	void (*begin)(struct upload *u);
	/* Canonical lines for behind a body of unknown length; there once the end has been peeked. */
	struct slice trailers;
};

struct fetch_plan {
	struct upstream *upstream;
	struct slice
	    head; /* rendered, with Host on its second line and the empty line at the end; the
			      owner's, good until the end */
	enum method method;
	bool is_idempotent;
	bool wants_upgrade;    /* a 101 is welcome */
	struct upload *upload; /* NULL: no body */
	uint32_t head_limit;   /* bytes of a response head */
	struct slice
	    affinity; /* token of the server its client began with, good until the end; SLICE_NONE: none */
	struct proxy_line announce; /* for whom, where the upstream announces_clients; n 0 */
	uint64_t
	    key; /* what belongs to one server has the same; used where the upstream's balance wants it */
	/* A second one for the same request (upstream/hedge.h): */
	struct server_set avoid; /* servers that have been asked for it already */
	bool is_spare;		 /* for a server that is fit, or none: then overloaded */
	int64_t began_ms;	 /* what timeouts.total is counted from; 0: the fetch's beginning */
};

struct fetch_handler {
	/* 102, 103 and their like. */
	void (*on_interim)(void *arg, const struct head *h);
	/* The final head; borrowed. Returns the body to receive into (the fetch takes a reference),
	 * or NULL to end the fetch, which then is gone. */
	struct body *(*on_head)(void *arg, const struct head *h, const struct framing *framing);
	/* Bytes were published. The owner may pause or abort. */
	void (*on_body)(void *arg);
	/* 101: the connection is the owner's now (pool_discard when the tunnel ends), rest are
	 * bytes that came after the head. The fetch is gone. */
	void (*on_upgrade)(void *arg, const struct head *h, struct upconn *conn, struct slice rest);
	/* No head will come: on_done follows, but the fetch is still there to be asked. */
	void (*on_failing)(void *arg);
	/* The last word. The body, if there is one, has ended. The fetch is gone. */
	void (*on_done)(void *arg, enum fetch_end end);
};

/* resolver may be NULL when all servers are literal addresses. */
struct fetch *fetch_start(struct pool *p, struct resolver *resolver, const struct fetch_plan *plan,
    const struct fetch_handler *h, void *arg);
/* Drops it: no callback comes any more, the connection is closed. */
void fetch_abort(struct fetch **fp);
/* Back-pressure: nothing is received while paused (and time-outs rest). */
void fetch_pause(struct fetch *f);
void fetch_resume(struct fetch *f);
/* The upload has more to peek at, or its end. */
void fetch_upload_ready(struct fetch *f);
/* The server asked last, for logs; NULL before there is one. */
struct server *fetch_server(const struct fetch *f);
/* When the response's head had come, by clock_mono_us. From on_head on. */
int64_t fetch_head_us(const struct fetch *f);
/* How many times a server was asked so far, or could not be reached. */
unsigned fetch_tries(const struct fetch *f);
/* For upstream/hedge.h. Adds the servers asked so far to set; false: none was chosen yet. */
bool fetch_add_tried(const struct fetch *f, struct server_set *set);
/* Held, it fails rather than ask another server, and waits all of timeouts.response: somebody else asks one. */
void fetch_hold(struct fetch *f, bool is_held);
/* As fetch_abort: another server answered sooner, which its own is noted for. */
void fetch_outrun(struct fetch **fp);
/* Whether the whole upload has been sent. */
bool fetch_upload_is_done(const struct fetch *f);

#endif
