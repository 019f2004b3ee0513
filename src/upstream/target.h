/* upstream/target.h - the servers behind one name of `upstreams`. Which of them takes the next request:
 * upstream/balance.h.
 *
 * An upstream and its servers are shared by all workers: what is configured is constant, what is
 * counted is atomic, what choices go by stands under the upstream's lock. Idle connections belong to workers (upstream/pool.h) and hang in the server's
 * seat of that worker. Reference-counted: the configuration holds one, each request on its way
 * another.
 */
#ifndef UPSTREAM_TARGET_H
#define UPSTREAM_TARGET_H

#include <pthread.h>
#include <stdatomic.h>

#include "base/list.h"
#include "event/mailbox.h"
#include "event/stream.h"
#include "upstream/latency.h"

/* clang-format off */
#define BALANCES(X)                                                                                            \
	X(round_robin,       "each server in turn, as often as its weight says")                               \
	X(least_connections, "the server with the fewest requests on their way for its weight")                \
	X(peak_ewma,         "of two drawn at random, the one that answers sooner for what it has to do")      \
	X(consistent_hash,   "the server that the request's key belongs to, unless it has more than its share")
/* clang-format on */
enum balance {
#define X(name, text) BALANCE_##name,
	BALANCES(X)
#undef X
};

/* clang-format off */
/*  word     text */
#define PROTOCOLS(X)                                                                   \
	X(http1, "HTTP/1.1")                                                           \
	X(h2,    "HTTP/2: agreed on by ALPN with `tls`, else taken for granted (h2c)") \
	X(auto,  "with `tls`: HTTP/2 where the server agrees to it, else HTTP/1.1")
/* clang-format on */
enum protocol {
#define X(name, text) PROTOCOL_##name,
	PROTOCOLS(X)
#undef X
};

#define SERVERS_MAX 256	  /* of one upstream */
#define NAME_PLACES 12	  /* servers that one name may be; some of them may be leaving */
#define SERVICE_PLACES 40 /* the same for one that SRV records lead to */
#define WEIGHT_MAX 1000
#define HEDGES_SAVED 10 /* second requests that may be saved up */

/* A server as configured. Texts are the caller's. */
struct server_spec {
	const char
	    *address; /* "host:port", "[v6]:port", "unix:/path"; "_http._tcp.example.com": by SRV */
	const char *zone; /* NULL: none */
	unsigned weight;  /* 1 to WEIGHT_MAX */
};

/* clang-format off */
#define HASH_PARTS(X)                                              \
	X(uri,    false, "path and query")                         \
	X(client, false, "the client's address (IPv6: its /64)")   \
	X(header, true,  "a field of the request")                 \
	X(cookie, true,  "a cookie")
/* clang-format on */
enum hash_part_kind {
#define X(name, is_named, text) HASH_PART_##name,
	HASH_PARTS(X)
#undef X
};
#define HASH_PARTS_MAX 8
struct hash_part {
	enum hash_part_kind kind;
	const char *name; /* of the header or cookie; else NULL */
};

/* clang-format off */
#define SAME_SITES(X)   \
	X(lax,    "Lax")    \
	X(strict, "Strict") \
	X(none,   "None")
#define AFFINITY_SECURES(X)                                  \
	X(auto, "where the client came by https")            \
	X(on,   "always")                                    \
	X(off,  "never")
/* clang-format on */
enum same_site {
#define X(name, text) SAME_SITE_##name,
	SAME_SITES(X)
#undef X
};
enum affinity_secure {
#define X(name, text) AFFINITY_SECURE_##name,
	AFFINITY_SECURES(X)
#undef X
};
#define AFFINITY_TOKEN_LEN 22 /* 128 bits in base64url */

/* A client goes on with the server it began with (server/affinity.h). */
struct affinity_conf {
	const char *cookie; /* its name; NULL: no affinity */
	const char *secret;
	int64_t life_ms; /* 0: as long as the browser is open */
	enum same_site same_site;
	enum affinity_secure secure;
};

#define STATUS_MOST 640
struct status_set {
	uint64_t bits[STATUS_MOST / 64];
};

bool status_set_has(const struct status_set *set, unsigned status);
/* "503", "5xx". False: neither. */
bool status_set_add(struct status_set *set, const char *text);

/* When a server that fails is not asked for a while (upstream/health.h). */
struct eject_conf {
	unsigned errors;	      /* in a row; 0: never for errors */
	unsigned latency;	      /* times the others' median; 0: never for being slow */
	int64_t time_ms, max_time_ms; /* the first time, and at most */
	double share;		      /* of an upstream's servers, at a time */
	struct status_set statuses;   /* answers that count as failures */
};

/* When a request is asked of a second server (upstream/hedge.h). */
struct hedge_conf {
	bool is_on;
	double after_part; /* of the answers: for those that take longer; 0: */
	int64_t after_ms;
	double budget; /* for each request */
};

/* Active checks (upstream/check.h). */
struct check_conf {
	bool is_on;
	const char *path; /* NULL: a connection will do */
	const char *host; /* NULL: the upstream's name */
	const char *body; /* a text expected in the body; NULL: any */
	int64_t interval_ms, timeout_ms;
	unsigned rise, fall;
	struct status_set statuses; /* expected */
};

/* What the configuration says of one upstream. Times in ms. */
struct upstream_conf {
	const char *name;
	const char *zone; /* ours; NULL: none is preferred */
	enum balance balance;
	double zone_share; /* of our zone's weight that must be fit for it to carry all, 0 to 1 */
	struct hash_part hash_parts[HASH_PARTS_MAX]; /* consistent_hash: the key is made of them */
	unsigned hash_parts_count;
	struct affinity_conf affinity;
	struct check_conf check;
	struct eject_conf eject;
	struct hedge_conf hedge;
	double panic;	     /* with a smaller part of the servers fit, all are asked */
	unsigned retries;    /* of an idempotent request, each at another server */
	double retry_budget; /* retries for each request */
	struct status_set retry_statuses; /* answers for which another server is asked */
	int64_t
	    try_ms; /* to a response head, where another server is left to ask; 0: response_ms */
	int64_t total_ms;      /* to a response head, all tries together; 0: no bound of its own */
	unsigned requests;     /* on their way to one server at most; 0: no bound of its own */
	double hash_bound;     /* consistent_hash: how many times its share a server may have */
	int64_t ewma_ms;       /* peak_ewma: what was seen that long ago counts a third */
	int64_t slow_start_ms; /* a server that comes back gets its full share after that */
	int64_t connect_ms;    /* from connect to connected */
	int64_t response_ms;   /* from the request sent to a whole response head; also the longest
				  silence in a body */
	int64_t idle_ms;       /* an unused connection is closed after that */
	int64_t life_ms;       /* and an old one too, when it is next unused; 0: never */
	unsigned max;	       /* connections to each server, all workers together */
	unsigned pending;      /* requests that may wait for a connection, per worker */
	bool host_from_server; /* the Host sent is the server's name, not the client's */
	enum protocol protocol;
	unsigned streams;	/* requests on one connection of HTTP/2 at a time */
	bool announces_clients; /* a connection begins with a PROXY header and serves one client */
};

/* A worker's part of a server; touched by that worker alone, but the counts are read by others. */
struct server_seat {
	struct server *server;
	struct link idle; /* struct upconn, the most recently used first */
	_Atomic unsigned idle_count;
	bool is_retired;     /* nothing is kept idle any more */
	struct link waiting; /* struct pool_waiter: no connection was free */
	_Atomic unsigned waiting_count;
	/* From another worker: it waits, or has made room (upstream/pool.c:on_plea). */
	struct letter plea;
	struct link links;		 /* struct h2link: connections on which HTTP/2 is spoken */
	unsigned opening;		 /* connections being made on which it may be */
	bool answered_h1;		 /* where both are offered: what was agreed on last */
	struct tls_session *tls_session; /* the server's last; NULL: none */
	_Atomic bool has_plea;		 /* under way, with a reference to the upstream */
};

/* clang-format off */
/*  name              kind     text */
#define SERVER_COUNTERS(X)                                                              \
	X(requests,         counter, "Requests sent to the server")                     \
	X(connects,         counter, "Connections opened")                              \
	X(connect_failures, counter, "Connections that could not be opened")            \
	X(failures,         counter, "Requests that ended without a whole response")    \
	X(retries,          counter, "Requests sent again after they failed there")     \
	X(hedges,           counter, "Requests sent to it because another server was slow to answer") \
	X(hedges_won,       counter, "Of them, those that it answered first")           \
	X(hedges_denied,    counter, "Requests slow there of which no other server was asked: the budget was used up") \
	X(checks,           counter, "Checks of it that have ended, and what they found is in force") \
	X(checks_failed,    counter, "Checks of it that failed")                        \
	X(ejections,        counter, "Times it was not asked for a while because it failed or was slow") \
	X(tls_handshakes,   counter, "TLS handshakes completed with the server")        \
	X(tls_resumed,      counter, "TLS handshakes that resumed a session")           \
	X(tls_failures,     counter, "Connections on which TLS failed") \
	X(requests_h2,      counter, "Requests sent to it by HTTP/2") \
	X(turned_away,      counter, "Requests that it did not look at: REFUSED_STREAM, or beyond its GOAWAY")
/* clang-format on */

/* What stands in the configuration: an address, which is one server, or a name, which is as many as it has addresses
 * at the moment (upstream/names.h). Constant but for what the lock guards. */
struct server_entry {
	char *text; /* as configured */
	char *zone; /* NULL: none */
	char *host; /* without the port; of a service its domain; NULL for a unix socket */
	uint16_t port;
	bool is_service; /* text is asked for by SRV, which tells hosts and ports */
	unsigned weight;
	bool is_literal;	/* address is final, nothing to resolve */
	struct address address; /* of a literal */
	unsigned first, count;	/* its places among the upstream's servers */
	/* Of a name, under the upstream's lock: */
	int64_t until_ms; /* the answer holds; 0: there was none yet */
	int64_t again_ms; /* nobody asks before in the background */
	bool is_asked;	  /* somebody asks, in the background */
	bool is_failing;  /* the last question failed, and that was told in the log */
};

enum server_place {
	SERVER_there,
	SERVER_absent,	/* an empty place: a name has fewer addresses */
	SERVER_leaving, /* its name has another address now; what is on its way there goes on */
};

struct server {
	char *
	    name; /* as configured; of a name "host:port/address". Changes while absent, under the lock */
	struct server_entry *entry;
	_Atomic int place;	/* enum server_place */
	struct address address; /* changes while absent */
	unsigned generation;	/* of the address; under the lock */
	_Atomic bool
	    is_drained; /* an operator says so (upstream/drains.h); changes under the lock */
	struct upstream *upstream;
	_Atomic bool tls_is_broken;   /* it was told in the log */
	_Atomic unsigned in_flight;   /* requests on their way */
	_Atomic unsigned connections; /* open, idle ones included */
#define X(name, kind, text) _Atomic uint64_t name;
	SERVER_COUNTERS(X)
#undef X
	struct server_seat *seats; /* one per worker */
	/* For the choice (upstream/balance.h, upstream/health.h), under the upstream's lock: */
	uint64_t hash; /* of its name: the same in every instance */
	char token[AFFINITY_TOKEN_LEN +
	    2]; /* names it to clients; changes with the name. Empty without affinity */
	struct server_health {
		bool is_down;		  /* checks say so */
		unsigned failures;	  /* in a row */
		unsigned ejections;	  /* lately: the next is longer */
		int64_t ejected_until_ms; /* 0: is not */
		int64_t ejected_for_ms;	  /* the last time */
		unsigned answers;	  /* since latencies were last looked at, */
		double answers_us;	  /* and what they took together */
		int64_t silent_since_ms;  /* outrun, and nothing answered, since then; 0: is not */
	} health;
	double weight; /* as configured; of a service its share of that */
	unsigned
	    priority;	/* 0 but for services: while one of a lower is fit, this one gets nothing */
	double turn;	/* round robin: what is due to it */
	double cost_us; /* peak_ewma: what it took lately; 0: not known */
	int64_t cost_at_ms; /* when that was */
	int64_t back_ms;    /* when it came back; 0: it has always been there */
};

struct upstream {
	struct upstream_conf conf; /* name is a copy */
	unsigned servers_count, workers;
	struct server *servers; /* places: those that are absent count */
	unsigned entries_count;
	struct server_entry *entries;
	bool has_priorities; /* a service is among them */
	_Atomic unsigned refs;
	pthread_mutex_t lock; /* held for one choice or one report, never across a call out */
	/* Under the lock: */
	uint64_t random;		     /* state of the draw */
	double budget;			     /* retries that may be made */
	int64_t budget_at_ms;		     /* when time last added to it */
	double hedge_budget;		     /* second requests that may be made */
	struct latency latency;		     /* of all its servers, where hedge goes by it */
	int64_t slow_looked_ms;		     /* when latencies were last looked at */
	struct drains *drains;		     /* whom an operator has taken out; own reference */
	unsigned drains_seen;		     /* their version that the servers know of */
	_Atomic bool has_told_upgrade;	     /* in the log: one was refused */
	struct secure *secure;		     /* upstream/secure.h; NULL: no TLS */
	void (*on_free)(struct upstream *u); /* gives that back, where it is not NULL */
};

/* NULL: none. */
static inline const struct affinity_conf *
upstream_affinity(const struct upstream *u)
{
	return u->conf.affinity.cookie == NULL ? NULL : &u->conf.affinity;
}
/* Its hash and token, from its name. */
void server_sign(struct server *s);
/* Whether it takes requests, or did until just now. */
static inline bool
server_is_listed(const struct server *s)
{
	return s->place != SERVER_absent;
}
/* Whether an operator has taken it out: no new requests. */
static inline bool
server_is_drained(const struct server *s)
{
	return atomic_load_explicit(&s->is_drained, memory_order_relaxed);
}
/* Whether a connection to it is of use again when its request is over. */
static inline bool
server_keeps_idle(const struct server *s)
{
	return s->place != SERVER_leaving && !server_is_drained(s);
}
/* The domain in "_http._tcp.example.com"; NULL: it is no service's name. */
const char *service_domain(const char *service);
/* A bad address gives NULL and errno EINVAL; more places than SERVERS_MAX, E2BIG. */
struct upstream *upstream_new(const struct upstream_conf *conf, const struct server_spec *servers,
    unsigned count, unsigned workers);
struct upstream *upstream_ref(struct upstream *u);
/* The last reference frees it; by then every worker has closed its idle connections
 * (pool_close_idle). */
void upstream_unref(struct upstream **up);
#endif
