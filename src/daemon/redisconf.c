#include "daemon/redisconf.h"

bool
redisconf_l2(const struct server_conf *conf, struct l2_conf *out)
{
	const struct redis_conf *r = &conf->cache.redis;

	*out = (struct l2_conf){0};
	if (conf->cache.conf.is_off || r->conf.is_off)
		return false;
	*out = (struct l2_conf){.url = r->url,
	    .prefix = r->prefix,
	    .secret = r->secret,
	    .timeout_ms = r->timeout,
	    .value_max_bytes = L2_BODY_MOST_BYTES,
	    .write_queue_max_bytes = (size_t)16 << 20};
	return true;
}

struct buf
redisconf_l2_print(const struct l2_conf *c)
{
	struct buf b = {0};

	buf_printf(&b, "%s\n%s\n%s\n%lld", c->url, c->prefix, c->secret == NULL ? "" : c->secret,
	    (long long)c->timeout_ms);
	return b;
}

bool
redisconf_shared(const struct server_conf *conf, struct shared_conf *out)
{
	const struct redis_conf *r = &conf->cache.redis;
	bool is_wanted = false;

	*out = (struct shared_conf){0};
	for (size_t i = 0; i < conf->rate_limits.count; i++)
		is_wanted |= conf->rate_limits.items[i].scope != 0;
	if (!is_wanted)
		return false;
	*out = (struct shared_conf){.url = r->state_url != NULL ? r->state_url : r->url,
	    .prefix = r->prefix,
	    .timeout_ms = conf->limits.rate_timeout,
	    .instances = conf->limits.rate_instances == CONF_AUTO
		? 0
		: (unsigned)conf->limits.rate_instances};
	return true;
}

struct buf
redisconf_shared_print(const struct shared_conf *c)
{
	struct buf b = {0};

	buf_printf(
	    &b, "%s\n%s\n%lld\n%u", c->url, c->prefix, (long long)c->timeout_ms, c->instances);
	return b;
}

struct clerk_conf
redisconf_clerk(const struct server_conf *conf, const char *state_dir)
{
	const struct redis_conf *r = &conf->cache.redis;

	if (conf->cache.conf.is_off || r->conf.is_off)
		return (struct clerk_conf){0};
	return (struct clerk_conf){.url = r->state_url != NULL ? r->state_url : r->url,
	    .prefix = r->prefix,
	    .state_dir = state_dir,
	    .is_strict = conf->cache.coherence == COHERENCE_STRICT,
	    .timeout_ms = r->timeout};
}
