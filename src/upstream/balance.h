/* upstream/balance.h - which server takes the next request.
 *
 * The story of a choice: servers that may have it are gathered (fit, not tried already, of our own
 * zone as long as enough of it is fit; where nobody is left, with one condition less), each with its weight as it counts now (slow start), and one of four
 * rules picks. Shared by all workers: a choice holds the upstream's lock for some hundred nanoseconds and
 * calls nobody. Time and chance are arguments.
 *
 * round_robin is smooth: weights 5, 1, 1 give a b a c a a a, not a a a a a b c. peak_ewma keeps for each server
 * what answers took, rising at once with a slow one and falling slowly, times what is on its way there.
 * consistent_hash ranks servers for a key by weighted rendezvous: no table to build when weights or servers change,
 * exact shares, and a server that leaves moves its own keys alone, each to the second of its rank. A server with
 * more than hash_bound times its share of what is on its way passes the key on down the rank.
 */
#ifndef UPSTREAM_BALANCE_H
#define UPSTREAM_BALANCE_H

#include "base/slice.h"
#include "upstream/target.h"

/* Some servers of one upstream. */
struct server_set {
	uint64_t bits[SERVERS_MAX / 64];
};
void server_set_add(struct server_set *set, const struct server *s);
bool server_set_has(const struct server_set *set, const struct server *s);
unsigned server_set_count(const struct server_set *set);

struct choice {
	const struct server_set *avoid; /* not these if another is left; NULL: none */
	struct slice wanted; /* the token of the server it began with; SLICE_NONE: none */
	uint64_t key;	     /* consistent_hash: the same for what belongs together */
	bool is_spare;	     /* one that is fit and not to be avoided, or nobody */
	int64_t now_ms;
};
/* Counted in flight: server_done gives it back. NULL: nobody knows an address of any of them
 * (upstream_size 0), each has as many requests as it may, or there is no spare one. */
struct server *upstream_choose(struct upstream *u, const struct choice *c);
/* Whether there is a server that is fit, has room and is not in avoid. */
bool upstream_has_spare(struct upstream *u, const struct server_set *avoid, int64_t now_ms);
void server_done(struct server *s);
/* How many servers there are now: those that are not drained, or, where all are, all of them. */
unsigned upstream_size(const struct upstream *u);

#endif
