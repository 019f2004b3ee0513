#include "cache/conf.h"

#include <strings.h>

#include "event/redisurl.h"
#include "event/tlsclient.h"

/* What the URL names is read once here, so that whoever cannot is told before it is needed. */
static void
check_tls(
    struct conf_context *cx, struct conf_place at, const char *name, const struct redis_url *url)
{
	const struct tls_client_conf conf = {.ca = url->ca, .cert = url->cert, .key = url->key};
	char problem[200];
	struct tls_client *c;

	if (!url->is_tls || !conf_is_readable(cx->diag, at, name, url->ca) ||
	    !conf_is_readable(cx->diag, at, name, url->cert) ||
	    !conf_is_readable(cx->diag, at, name, url->key))
		return;
	c = tls_client_get(&conf, problem, sizeof(problem));
	if (c == NULL)
		conf_error(cx->diag, at, "%s: %s", name, problem);
	tls_client_unref(&c);
}

const struct conf_word persist_words[] = {{"restart", PERSIST_RESTART, false},
    {"file", PERSIST_FILE, false}, {"off", PERSIST_OFF, false}, {0}};
const struct conf_word coherence_words[] = {
    {"eventual", COHERENCE_EVENTUAL, false}, {"strict", COHERENCE_STRICT, false}, {0}};

static void
check_url(struct conf_context *cx, const struct conf_table *t, const struct redis_conf *c,
    const char *name, const char *text)
{
	struct redis_url url;
	const char *why;

	if (redis_url_parse(text, &url, &why) != 0)
		conf_error(cx->diag, conf_place(t, c, name), "%s: %s", name, why);
	else
		check_tls(cx, conf_place(t, c, name), name, &url);
	redis_url_fini(&url);
}

static void
check_redis(struct conf_context *cx, const struct conf_table *t, void *target)
{
	const struct redis_conf *c = target;

	check_url(cx, t, c, "url", c->url);
	if (c->state_url != NULL)
		check_url(cx, t, c, "state_url", c->state_url);
}

#define CONF_TARGET struct redis_conf
static const struct conf_directive redis_rows[] = {REDIS_DIRECTIVES(CONF_ROW)};
#undef CONF_TARGET
const struct conf_table redis_table = CONF_TABLE("redis", struct redis_conf, redis_rows,
    .shortcut = "url", .check = check_redis,
    .text =
	"The second level of the cache. Nothing a client waits for depends on it beyond "
	"`timeout`: without "
	"it, or with it slow or broken, requests are served from memory and the origin. "
	"Purges are shared through a log there (`{<prefix>}:log`, docs/invalidation.md), so that "
	"each instance hears of what another has purged. Let Redis 5 or later, or Valkey, evict "
	"values only (`maxmemory-policy volatile-lfu`), or keep the log in another "
	"(`state_url`): with `allkeys-*` it may evict the log, and everything stored there is "
	"lost with it.");

/* --- warm --- */

static bool
is_absolute(const char *address)
{
	return strncasecmp(address, "http://", 7) == 0 || strncasecmp(address, "https://", 8) == 0;
}

static void
check_addresses(struct conf_context *cx, const struct conf_table *t, const struct warm_conf *c,
    const char *name, const char *const *items, size_t count)
{
	for (size_t i = 0; i < count; i++)
		if (items[i][0] == '/' && c->base == NULL)
			conf_error(cx->diag, conf_place(t, c, name),
			    "%s: \"%s\" needs a base, as in base: \"https://www.example.com\"",
			    name, items[i]);
		else if (items[i][0] != '/' && !is_absolute(items[i]))
			conf_error(cx->diag, conf_place(t, c, name),
			    "%s: \"%s\" is neither a path nor begins with http:// or https://",
			    name, items[i]);
}

static void
check_warm(struct conf_context *cx, const struct conf_table *t, void *target)
{
	const struct warm_conf *c = target;

	if (c->base != NULL && !is_absolute(c->base))
		conf_error(cx->diag, conf_place(t, c, "base"),
		    "base: \"%s\" does not begin with http:// or https://", c->base);
	check_addresses(cx, t, c, "urls", c->urls.items, c->urls.count);
	check_addresses(cx, t, c, "sitemaps", c->sitemaps.items, c->sitemaps.count);
}

#define CONF_TARGET struct warm_conf
static const struct conf_directive warm_rows[] = {WARM_DIRECTIVES(CONF_ROW)};
#undef CONF_TARGET
const struct conf_table warm_table = CONF_TABLE("warm", struct warm_conf, warm_rows,
    .shortcut = "urls", .check = check_warm,
    .text = "Warming. Its requests go through the routes like a client's, but wait for no rate "
	    "limit and stand in no access log. `forebay warm` does it by hand and shows how far it "
	    "is.");
