/* upstream/target.h - the servers behind one name of `upstreams`, and which of them takes the next
 * request.
 *
 * An upstream and its servers are shared by all workers: what is configured is constant, what is
 * counted is atomic. Idle connections belong to workers (upstream/pool.h) and hang in the server's
 * seat of that worker. Reference-counted: the configuration holds one, each request on its way
 * another.
 */
#ifndef UPSTREAM_TARGET_H
#define UPSTREAM_TARGET_H

#include <stdatomic.h>

#include "base/list.h"
#include "event/mailbox.h"
#include "event/stream.h"

/* clang-format off */
#define BALANCES(X)                                                      \
	X(round_robin,       "each server in turn")                      \
	X(least_connections, "the server with the fewest requests on their way")
/* clang-format on */
enum balance {
#define X(name, text) BALANCE_##name,
	BALANCES(X)
#undef X
};

/* What the configuration says of one upstream. Times in ms. */
struct upstream_conf {
	const char *name;
	enum balance balance;
	int64_t connect_ms;    /* from connect to connected */
	int64_t response_ms;   /* from the request sent to a whole response head; also the longest
				  silence in a body */
	int64_t idle_ms;       /* an unused connection is closed after that */
	int64_t life_ms;       /* and an old one too, when it is next unused; 0: never */
	unsigned max;	       /* connections to each server, all workers together */
	unsigned pending;      /* requests that may wait for a connection, per worker */
	bool host_from_server; /* the Host sent is the server's name, not the client's */
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
	_Atomic bool has_plea; /* under way, with a reference to the upstream */
	/* The name, resolved: */
	struct address resolved;
	int64_t resolved_until_ms; /* 0: never was */
};

/* clang-format off */
/*  name              kind     text */
#define SERVER_COUNTERS(X)                                                              \
	X(requests,         counter, "Requests sent to the server")                     \
	X(connects,         counter, "Connections opened")                              \
	X(connect_failures, counter, "Connections that could not be opened")            \
	X(failures,         counter, "Requests that ended without a whole response")    \
	X(retries,          counter, "Requests sent again on a fresh connection")
/* clang-format on */

struct server {
	char *name; /* as configured */
	char *host; /* without the port; NULL for a unix socket */
	uint16_t port;
	bool is_literal; /* address is final, nothing to resolve */
	struct address address;
	struct upstream *upstream;
	_Atomic unsigned in_flight;   /* requests on their way */
	_Atomic unsigned connections; /* open, idle ones included */
#define X(name, kind, text) _Atomic uint64_t name;
	SERVER_COUNTERS(X)
#undef X
	struct server_seat *seats; /* one per worker */
};

struct upstream {
	struct upstream_conf conf; /* name is a copy */
	unsigned servers_count, workers;
	struct server *servers;
	_Atomic unsigned turn; /* round robin */
	_Atomic unsigned refs;
};

/* servers: count texts "host:port", "[v6]:port" or "unix:/path", checked by the configuration; a
 * bad one gives NULL and errno EINVAL. */
struct upstream *upstream_new(
    const struct upstream_conf *conf, const char *const *servers, unsigned count, unsigned workers);
struct upstream *upstream_ref(struct upstream *u);
/* The last reference frees it; by then every worker has closed its idle connections
 * (pool_close_idle). */
void upstream_unref(struct upstream **up);
/* The server for the next request, not one of avoid's bits if another is left; counted in flight.
 * server_done gives it back. */
struct server *upstream_choose(struct upstream *u, uint64_t avoid);
void server_done(struct server *s);
/* Its bit for avoid. */
static inline uint64_t
server_bit(const struct server *s)
{
	return 1ull << ((s - s->upstream->servers) & 63);
}

#endif
