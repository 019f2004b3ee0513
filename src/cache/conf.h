/* cache/conf.h - the directives of the store: `cache:` at the top level, the part that is not about single routes.
 *
 * CACHE_DIRECTIVES is a list rather than a table because server/conf.h puts the general cache rules of routes
 * beside it into one map.
 */
#ifndef CACHE_CONF_H
#define CACHE_CONF_H

#include "conf/table.h"

/* clang-format off */
#define REDIS_DIRECTIVES(X)                                                                                       \
	X(url, string, NULL, "1", "4096", "Which Redis or Valkey: `redis://[[user]:password@]host[:port][/database]` or " \
		"`unix:/path`; take a password from `${file:/path}`", .required = true)                           \
	X(timeout, duration, "50ms", "1ms", "10s", "The longest a request waits for one look-up")                 \
	X(prefix, string, "forebay", "1", "64", "What every key in Redis begins with; instances that share a cache share it") \
	X(memory_life, duration, "5m", "1s", "365d", "How long at most what was read from Redis is then answered from memory") \
	X(secret, secret, NULL, "16", "4096", "Signs what is kept in Redis (HMAC-SHA256); what does not verify is a miss. "    \
		"The same on all instances")

#define CACHE_DIRECTIVES(X)                                                                                       \
	X(memory, size, "256MiB", "1MiB", "1TiB", "Memory for everything the cache holds: bodies, heads, index")  \
	X(redis, map(struct redis_conf, redis_table), "off", NULL, NULL, "A second level behind the memory, shared by instances", \
		.may_be_off = true)
/* clang-format on */

struct redis_conf {
	struct conf_head conf; /* is_off: no Redis */
	REDIS_DIRECTIVES(CONF_FIELD)
};
extern const struct conf_table redis_table;

#endif
