/* server/compile.h - from the configuration as written to a site as used.
 *
 * The story of a (re)load, on the control thread: server_conf_load() into an arena, site_compile() with the site that
 * is in use as previous, and the new one is published to the workers. What the two have in common goes on: upstreams
 * whose settings are the same with their connections, limiters (policy/ratelimit.h finds them by name in their table)
 * with what they remember. What is wrong is said in its place, all of it, and nothing has changed then.
 */
#ifndef SERVER_COMPILE_H
#define SERVER_COMPILE_H

#include "server/conf.h"
#include "server/site.h"

/* What a site is compiled into. */
struct site_world {
	struct arena *
	    mem; /* where the configuration lives: the site takes it over when it is made, leaving it empty */
	const struct site *previous; /* whose upstreams may go on; NULL at start */
	struct limit_table *limits;  /* the instance's; each limiter refers to it */
	unsigned workers;
	unsigned (*route_slot)(
	    void *arg, const char *name); /* the slot of a name in the counters */
	void *arg;
};

/* conf was filled without error and lives in world->mem. The site, with one reference for the caller, or NULL with
 * every reason in diag, and world->mem still the caller's. Warnings are not given here: site_judge(). */
struct site *site_compile(
    const struct server_conf *conf, struct site_world *world, struct conf_diag *diag);

/* Says what is allowed but hardly meant, for `forebay check` and the log: routes that can never match, shared answers
 * to requests with cookies, limits that cannot bind, keys that others may read, upstreams nobody uses. */
void site_judge(const struct server_conf *conf, const struct site *site, struct conf_diag *diag);

#endif
