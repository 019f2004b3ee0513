/* upstream/check.h - active checks: whether servers are there, asked from time to time by one worker for all.
 *
 * Without a path a check is a connection; with one, GET on a connection of its own, well when the status is one of those
 * expected and the body, if a text is expected, has it within CHECK_BODY_MAX bytes. fall failures in a row make a server
 * down, rise successes up again (upstream/health.h); until a server's first verdict it is taken for up. They go the way
 * of requests: by TLS where the upstream says so, announced where it wants that. A check
 * takes at most its time-out, and there is one at a time for each server. Belongs to one worker's loop.
 */
#ifndef UPSTREAM_CHECK_H
#define UPSTREAM_CHECK_H

#include "upstream/pool.h"

#define CHECK_BODY_MAX 65536

struct checks;

/* Of a worker, whose pool makes the connections. */
struct checks *checks_new(struct pool *p);
void checks_free(struct checks **cp);
/* From now on these and no others are checked; references are taken. Those that were checked before go on. */
void checks_use(struct checks *c, struct upstream *const *upstreams, unsigned count);

#endif
