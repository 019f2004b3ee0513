/* daemon/warming.h - when the cache is warmed, and with what: `cache.warm` of the configuration.
 *
 * The main thread looks once a second: at the start, every so often, and when the admin interface asks for it, it gathers the
 * addresses (this reads files and walks the store, which a worker must not) and hands them to the warmer (server/warm.h). Where
 * there is a state directory, what is asked for most is kept there, for the next start.
 */
#ifndef DAEMON_WARMING_H
#define DAEMON_WARMING_H

#include "cache/conf.h"
#include "server/worker.h"

struct warming;

/* state_dir is copied; NULL: there is none. */
struct warming *warming_new(struct commons *c, const char *state_dir);
/* A configuration was published; c is good until the next call. */
void warming_use(struct warming *w, const struct warm_conf *c);
/* Once a second or so. */
void warming_tick(struct warming *w, int64_t now_ms);
/* Before the store goes: keeps the list. Sets *wp to NULL; NULL is allowed. */
void warming_free(struct warming **wp);

#endif
