#include "cache/conf.h"

#include "event/redisurl.h"

static void
check_redis(struct conf_context *cx, const struct conf_table *t, void *target)
{
	const struct redis_conf *c = target;
	struct redis_url url;
	const char *why;

	if (redis_url_parse(c->url, &url, &why) != 0)
		conf_error(cx->diag, conf_place(t, c, "url"), "url: %s", why);
	redis_url_fini(&url);
}

#define CONF_TARGET struct redis_conf
static const struct conf_directive redis_rows[] = {REDIS_DIRECTIVES(CONF_ROW)};
#undef CONF_TARGET
const struct conf_table redis_table = CONF_TABLE("redis", struct redis_conf, redis_rows,
    .shortcut = "url", .check = check_redis,
    .text = "The second level of the cache. Nothing a client waits for depends on it beyond "
	    "`timeout`: without "
	    "it, or with it slow or broken, requests are served from memory and the origin. "
	    "Purges are told to it in a set of marks (`<prefix>:marks`), so that no instance "
	    "takes from there what another has purged, also after a restart; purges by prefix "
	    "or pattern count there as purges of everything. Let Redis 5 or later, or Valkey, "
	    "evict values only (`maxmemory-policy volatile-lfu`): with `allkeys-*` it may evict "
	    "the marks, and everything stored there is lost with them.");
