/* daemon/redisconf.h - what a configuration says of Redis, for each of those who use it: the second level of the cache, limits
 * that instances share, the purge log.
 *
 * Texts are the configuration's own. A print is all of one as one text, to be freed: equal prints mean that what is in use may
 * stay. Pure; any thread.
 */
#ifndef DAEMON_REDISCONF_H
#define DAEMON_REDISCONF_H

#include "base/buf.h"
#include "cache/clerk.h"
#include "cache/redis.h"
#include "policy/sharedlimit.h"
#include "server/conf.h"

/* False: there is none. */
bool redisconf_l2(const struct server_conf *conf, struct l2_conf *out);
struct buf redisconf_l2_print(const struct l2_conf *c);
bool redisconf_shared(const struct server_conf *conf, struct shared_conf *out);
struct buf redisconf_shared_print(const struct shared_conf *c);
/* url NULL: the purge log is in no Redis. */
struct clerk_conf redisconf_clerk(const struct server_conf *conf, const char *state_dir);

#endif
