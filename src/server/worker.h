/* server/worker.h - one thread that serves, and what all of them share.
 *
 * A worker owns its loop and everything on it: connections, upstream connections, the link to Redis. What is in commons
 * is shared and says in its own header how.
 */
#ifndef SERVER_WORKER_H
#define SERVER_WORKER_H

#include "base/spare.h"
#include "cache/flight.h"
#include "cache/purgelog.h"
#include "cache/store.h"
#include "cache/verdicts.h"
#include "cache/searchrules.h"
#include "event/listener.h"
#include "event/loop.h"
#include "event/mailbox.h"
#include "http/date.h"
#include "policy/codecpool.h"
#include "policy/sharedlink.h"
#include "server/observe.h"
#include "server/site.h"
#include "upstream/pool.h"

struct accesslog;
struct clerk;
struct census;
struct recompress;
struct l2;
struct h2_blocks;
struct helpers;
struct l2_crew;
struct namewatch;
struct resolver;
struct warmer;
struct shared_limits;
struct shared_link;

struct commons {
	unsigned workers_count;
	struct worker **workers;
	struct loop **loops; /* of the workers, for flights */
	struct mailbox **mailboxes;
	struct store *store;
	struct flights *flights;
	struct purgelog *purges;
	struct census *census;
	struct recompress *recompress; /* what is stored and hot, smaller */
	struct verdicts *verdicts;
	struct l2_crew *l2_crew; /* makes and reads long values of Redis */
	struct helpers *readers; /* of files that requests ask for: challenges */
	struct searchrules *searches;
	struct clerk *clerk; /* takes purges, and shares them */
	struct limit_table *limits;
	struct shared_hub shared;	      /* of the limits that instances share */
	struct accesslog *_Atomic access_log; /* NULL: none yet; a reload may begin one */
	struct observations *observations;
	_Atomic unsigned connections;	 /* of clients, all workers */
	_Atomic bool draining;		 /* being stopped: /health/ready says so */
	_Atomic unsigned generation;	 /* of the configuration that all workers have */
	_Atomic unsigned reloads_failed; /* configurations refused since the start */
	int64_t started_wall_ms;
	struct warmer *warmer; /* of the first worker */
	_Atomic bool
	    warming_asked; /* by the admin interface: what the configuration says is warmed now */
};

/* A listening socket as a worker sees it. */
struct door {
	struct worker *worker;
	struct listener *listener;
	const char *name; /* the address as configured: the label in metrics */
	struct address local;
	unsigned slot; /* of its name in the counters */
	bool is_admin;
	bool has_h2;		 /* HTTP/2 is spoken here, too */
	struct tls_context *tls; /* own reference; NULL: plain */
};

/* What runs without a client's connection of this worker's: fills and tunnels. */
struct errand {
	struct link link;
	void (*cut)(struct errand *e); /* the time to finish has run out: ends it, as an error */
};

struct worker {
	unsigned index;
	struct commons *commons;
	struct loop *loop;
	struct mailbox *mailbox;
	struct pool *pool;
	struct checks *checks;	 /* of the servers; the first worker's alone */
	struct namewatch *names; /* of the servers; the first worker's alone */
	struct resolver *resolver;
	struct l2 *l2; /* NULL: none configured */
	struct shared_link *shared_link;
	struct shared_limits *shared;
	struct site *site;	 /* what new requests begin with; own reference */
	struct site *admin_site; /* the same for the admin listener */
	struct link conns;	 /* struct connection */
	unsigned conns_count;
	struct link errands;
	unsigned exchanges; /* requests and refreshes under way */
	bool draining;
	bool stays; /* though nothing is left: its admin door says that the others drain */
	unsigned doors_count;
	struct door **doors;
	struct timer limit_poll;
	struct timer drain;
	struct codec_pool *codecs;
	struct buf scratch;	       /* for what is made and copied within one function */
	struct date_memo origin_dates; /* the Date that came last */
	struct observer *observer;     /* this worker's counters */
	uint64_t dice;		       /* counts throws; seeded hashing makes them random */
	/* For request ids: sixteen random hex digits, then a count. */
	char request_prefix[17];
	uint64_t request_serial;
	/* What connections that are not idle need, their input buffers (of HTTP/2), exchanges, streams of HTTP/2, fills */
	struct spare spare_conns, spare_inputs, spare_exchanges, spare_streams, spare_fills;
	struct h2_blocks *h2_blocks;
	int64_t lent_bytes;   /* to receive windows of connections of HTTP/2, beyond their own */
	struct buf spare_out; /* the next connection of HTTP/2 that sends gathers in it */
};

#define INPUT_BYTES_FIRST 8192

/* The worker's loop, listeners and connections; wired together by daemon/workers.c, which fills commons and starts the thread. */
struct worker *worker_new(struct commons *c, unsigned index);
/* On the worker's own thread, after its loop has stopped. */
void worker_free(struct worker **wp);
/* A new generation: new requests use it; requests under way finish with theirs. Takes a reference. The worker's thread. */
void worker_use_site(struct worker *w, struct site *site, struct site *admin_site);
/* Opens a door on the listening descriptor (not owned). 0, or -1 (errno). The worker's thread. */
int worker_open_door(struct worker *w, int fd, const char *name, const struct address *local,
    bool is_admin, bool has_h2, struct tls_context *tls);
/* The door of that name (the pointer) is closed; what a door offers is replaced. The worker's thread. */
void worker_close_door(struct worker *w, const char *name);
void worker_update_door(struct worker *w, const char *name, bool has_h2, struct tls_context *tls);
/* All threads have ended: letters and put-off work that are left are carried out, so that nothing is lost on the way. */
void worker_settle(struct worker *w);
/* Stops accepting, closes what is idle, and the loop stops when the last request is through or deadline_ms has passed. The worker's thread. */
void worker_drain(struct worker *w, int64_t deadline_ms);
/* A request or connection has ended: is there anything left to wait for? */
void worker_note_quiet(struct worker *w);
/* Wakes a request whose turn in a limit's queue has come; for limit_table_new. */
void worker_on_limit_wake(struct limit_waiter *lw, void *commons);
/* Keeps look_again_ms in mind for the limits' queues. */
void worker_poll_limits_at(struct worker *w, int64_t look_again_ms);

#endif
