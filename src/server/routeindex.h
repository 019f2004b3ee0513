/* server/routeindex.h - which routes a request may belong to, without looking at all of them.
 *
 * A tree of segments for routes that name no host, and one for each host that is named. A request goes down the trees of its own host, of the
 * domains above it and of none, by its path: a hash for each segment, however many routes there are. A regular expression stands where the text
 * leads that everything it matches begins with, or ends with (server/regexends.h); one that has neither is looked at by every request
 * that comes there. Where paths end routes part again: by their methods, then by the value that their first condition of an exact value wants of
 * its field. So the routes that are found are few; they are still to be matched, in the order of the configuration: the first match wins, as without the
 * index.
 *
 * Constant once made; shared by all threads.
 */
#ifndef SERVER_ROUTEINDEX_H
#define SERVER_ROUTEINDEX_H

#include "base/arena.h"
#include "http/head.h"

struct route;
struct route_index;
struct site;

/* Lives in mem, borrows the routes. NULL: they are so few that looking at all of them is cheaper. */
struct route_index *route_index_new(struct arena *mem, const struct route *routes, unsigned count);

#define ROUTE_LISTS_MAX 32

struct route_candidates {
	const struct route *routes;
	unsigned next, count; /* of all of them, where there is no index */
	unsigned lists_count;
	const uint32_t *lists[ROUTE_LISTS_MAX]; /* ascending, UINT32_MAX at the end */
};

/* All is borrowed for the call. */
struct route_ask {
	struct slice host;  /* canonical, without its port */
	struct slice path;  /* in normal form */
	enum method method; /* METHOD_COUNT: whichever */
	const struct head *head;
};

void route_candidates_find(
    const struct site *s, const struct route_ask *ask, struct route_candidates *out);
/* The next in the order of the configuration, NULL: no more. */
const struct route *route_candidates_next(struct route_candidates *c);

#endif
