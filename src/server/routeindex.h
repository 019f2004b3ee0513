/* server/routeindex.h - which routes a request may belong to, without looking at all of them.
 *
 * A tree of segments for routes that name no host, and one for each host that is named. A request goes down the trees of its own host, of the
 * domains above it and of none, by its path: a hash for each segment, however many routes there are. Where it passes or ends stand
 * those it may belong to; they are still to be matched, in the order of the configuration: the first match wins, as without the index.
 * Regular expressions are looked at one after the other, and so are routes that differ in no more than methods and conditions.
 *
 * Constant once made; shared by all threads.
 */
#ifndef SERVER_ROUTEINDEX_H
#define SERVER_ROUTEINDEX_H

#include "base/arena.h"

struct route;
struct route_index;
struct site;

/* Lives in mem, borrows the routes. NULL: they are so few that looking at all of them is cheaper. */
struct route_index *route_index_new(struct arena *mem, const struct route *routes, unsigned count);

#define ROUTE_LISTS_MAX 24

struct route_candidates {
	const struct route *routes;
	unsigned next, count; /* of all of them, where there is no index */
	unsigned lists_count;
	const uint32_t *lists[ROUTE_LISTS_MAX]; /* ascending, UINT32_MAX at the end */
};

/* host: canonical, without its port; path in normal form. Both are borrowed for the call. */
void route_candidates_find(
    const struct site *s, struct slice host, struct slice path, struct route_candidates *out);
/* The next in the order of the configuration, NULL: no more. */
const struct route *route_candidates_next(struct route_candidates *c);

#endif
