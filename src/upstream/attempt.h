/* upstream/attempt.h - the way of one request to a connection: a server, an idle connection to it or
 * a new one, and the next server where one cannot be had.
 *
 * Embedded in the fetch it works for. on_ready comes with conn lent and its stream given to the
 * owner's handler, or with a link that has room for a call; on_failed when every server has been tried. Neither comes from within a call.
 * Nothing has been sent yet when either comes, so trying again here is always safe. Belongs to one
 * worker; holds no reference to the upstream: its owner does.
 */
#ifndef UPSTREAM_ATTEMPT_H
#define UPSTREAM_ATTEMPT_H

#include "upstream/balance.h"
#include "upstream/ends.h"
#include "upstream/h2link.h"
#include "upstream/pool.h"

struct lookup;
struct resolver;

struct attempt_owner {
	void (*on_ready)(void *arg);
	void (*on_failed)(void *arg, enum fetch_end end);
	struct stream_handler stream; /* the connection's, from on_ready on */
	struct h2_call_owner call;    /* the same where HTTP/2 is spoken; its arg is the owner's */
};

enum attempt_step {
	ATTEMPT_IDLE,	  /* ready, failed, or not begun */
	ATTEMPT_CHOOSING, /* about to look; also: waiting for a free connection */
	ATTEMPT_RESOLVING,
	ATTEMPT_CONNECTING,
	ATTEMPT_SECURING, /* TLS shakes hands */
};

struct attempt {
	struct pool *pool;
	struct resolver *resolver;
	struct upstream *upstream;
	const struct attempt_owner *owner;
	void *arg;
	struct proxy_line announce; /* for whom; n 0: the server is not told */
	enum attempt_step step;
	struct server *server; /* counted in flight; NULL before the first was chosen */
	struct upconn *conn;   /* the owner's to return, once ready */
	struct h2link *h2;   /* where HTTP/2 is spoken, in the place of conn; shared with others */
	struct h2_call call; /* there, begun by the owner */
	bool is_opening;     /* counted as such in the seat: others wait for what comes of it */
	bool wants_h1;	     /* HTTP/1.1, where there is a choice; for an upgrade there must be */
	bool is_reused;	     /* conn, or h2, has served before */
	bool wants_new;	     /* an idle connection will not do */
	int64_t
	    renewed_ms; /* nor one of HTTP/2 that is older than this, when the one before died */
	uint64_t key;	/* of the request, for consistent_hash */
	struct slice wanted;	 /* token of the server its client began with; the owner's */
	struct server_set tried; /* servers that could not be connected to, or failed */
	unsigned tries;		 /* servers left for another one */
	unsigned avoided;	 /* servers in tried that another fetch has asked */
	bool has_waited;	 /* beyond timeouts.connect, for a link to be open */
	bool is_held;		 /* it goes to no other server */
	bool is_spare;		 /* it goes to a server that is fit, or fails */
	unsigned renewals; /* connections that were replaced by a new one to the same server */
	unsigned asked;	   /* entries whose names were asked for in vain */
	struct task look;
	struct pool_waiter waiter;
	struct timer deadline;
	struct lookup *resolving;
};

/* resolver may be NULL when all servers are literal addresses. */
void attempt_init(struct attempt *a, struct pool *p, struct resolver *resolver, struct upstream *u,
    uint64_t key, struct slice wanted, const struct attempt_owner *owner, void *arg);
/* Begins, at the end of this turn. */
void attempt_begin(struct attempt *a);
/* The request failed there: drops the connection and goes to another server. Only where one is left (attempt_has_other). */
void attempt_elsewhere(struct attempt *a);
/* How many times a server was asked, or could not be reached; 0: none was chosen. */
unsigned attempt_times(const struct attempt *a);
/* Whether there is a server that was not tried yet. */
bool attempt_has_other(const struct attempt *a);
/* The server did not look at the request: looks once more, at the same server. */
void attempt_again(struct attempt *a);
/* Whether a server has been chosen that is slow to be connected to. */
bool attempt_is_connecting(const struct attempt *a);
/* The connection died: drops it and gets a newer one to the same server; of HTTP/2, together with others it had. */
void attempt_renew(struct attempt *a);
/* Gives back server and connection; no callback comes any more. */
void attempt_fini(struct attempt *a);

#endif
