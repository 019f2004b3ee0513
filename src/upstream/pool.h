/* upstream/pool.h - one worker's connections to the servers, kept open between requests.
 *
 * The most recently used idle connection is lent first, so that what is not needed grows old and is
 * closed; while a request waits at another worker because the server has as many as it may, what is idle here
 * makes room for it. An idle connection on which anything arrives, the end included, is closed: nothing was
 * asked. Belongs to one worker's thread.
 */
#ifndef UPSTREAM_POOL_H
#define UPSTREAM_POOL_H

#include "base/buf.h"
#include "base/spare.h"
#include "event/proxyproto.h"
#include "upstream/target.h"

struct pool;

#define POOL_INPUT_BYTES 16384

/* One connection, lent or idle. */
struct upconn {
	struct link link; /* in the server's idle list of this worker */
	struct pool *pool;
	struct server *server;
	struct stream *stream;
	struct timer idle;
	struct proxy_line announced; /* for whom it is; n 0: for anybody */
	int64_t opened_ms;
	unsigned served; /* responses read to their end */
	/* HTTP/2 is spoken on it (upstream/h2link.h), by whoever has its stream's events; NULL: HTTP/1.1. It is told before
	 * the connection is closed, and freed with it. */
	struct h2link *h2;
	void (*on_close)(struct upconn *c);
};

/* mailboxes: of all workers by their numbers; the array stays the caller's. */
struct pool *pool_new(struct loop *l, unsigned worker, struct mailbox *const *mailboxes);
/* By then nothing is lent. */
void pool_free(struct pool **pp);
/* Somebody who found all connections in use. */
struct pool_waiter {
	struct link link;  /* in the server's seat */
	struct task task;  /* look again */
	struct timer poll; /* another worker may have given one back */
	struct pool *pool;
	struct server *server;
};
void pool_waiter_init(struct pool_waiter *w, void (*look)(void *arg), void *arg);
/* look is called when a connection to s may be had. False: conf.pending wait already. */
bool pool_wait(struct pool *p, struct server *s, struct pool_waiter *w);
void pool_stop_waiting(struct pool_waiter *w);

/* For whom a connection is (its PROXY header; n 0: anybody), and who gets its events. */
struct pool_wish {
	const struct proxy_line *announce;
	const struct stream_handler *handler;
	void *arg;
};
/* An idle connection to s, handed over with handler and arg, or NULL. */
struct upconn *pool_borrow_idle(struct pool *p, struct server *s, const struct pool_wish *wish);
/* A new connection, being connected to the address: handler->on_writable tells the outcome; what announces it is for
 * the caller to send. Where the server has as many connections as it may, one that is idle here makes room. NULL
 * (errno): not even begun; EBUSY: all are in use. */
struct upconn *pool_connect(
    struct pool *p, struct server *s, const struct address *to, const struct pool_wish *wish);
/* The response was read to its very end and both sides keep the connection: it may serve again. */
void pool_return(struct upconn **cp);
/* One that was returned speaks HTTP/2 and is in use again. */
void pool_reuse(struct upconn *c);
/* Up to that many of those who wait for s here look again. */
void pool_wake(struct pool *p, struct server *s, unsigned count);
/* It may not. */
void pool_discard(struct upconn **cp);
/* Closes every idle connection to the upstream's servers, and each that is returned from now on: the
 * configuration drops it. */
void pool_close_idle(struct pool *p, struct upstream *u);
/* Closes what is idle to one server that is leaving (its name has another address) or drained, and each that is returned
 * as long as it is. Other workers are told. */
void pool_close_leaving(struct pool *p, struct server *s);
/* Memory of fetches that have ended, without anything of their own in it. */
struct spare *pool_spare_fetches(struct pool *p);
/* What a response is received into until it is known what it is: one for whoever reads, as long as he leaves nothing in it.
 * *in is given an empty one of POOL_INPUT_BYTES or more; it is taken back, and freed where there is one already. */
void pool_lend_input(struct pool *p, struct buf *in);
void pool_keep_input(struct pool *p, struct buf *in);
/* Questions for names that this worker asks (upstream/names.h). */
struct link *pool_questions(struct pool *p);
/* This worker's part of a server. */
static inline struct server_seat *
pool_seat(struct server *s, unsigned worker)
{
	return &s->seats[worker];
}
unsigned pool_worker(const struct pool *p);
struct loop *pool_loop(const struct pool *p);

#endif
