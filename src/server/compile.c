#include "server/compile.h"

#include <arpa/inet.h>
#include <stdlib.h>
#include <sys/resource.h>

#include "base/mem.h"
#include "http/cachestatus.h"
#include "server/compile_priv.h"
#include "server/rendered.h"
#include "server/routeindex.h"
#include "upstream/section.h"

#define CONNECTIONS_AUTO_MAX 1000000
#define DESCRIPTORS_OWN 128 /* for listeners, logs, pipes, Redis and the like */

/* --- a site's life ------------------------------------------------------------------------------ */

struct site *
site_ref(struct site *s)
{
	atomic_fetch_add_explicit(&s->refs, 1, memory_order_relaxed);
	return s;
}

static void
site_free(struct site *s)
{
	struct arena mem = s->mem;

	for (unsigned i = 0; i < s->routes_count; i++)
		route_fini(&s->routes[i]);
	for (unsigned i = 0; i < s->upstreams_count; i++)
		upstream_unref(&s->upstreams[i]);
	headers_free(&s->headers);
	rendered_table_free(&s->rendered);
	free(s);
	arena_fini(&mem);
}

void
site_unref(struct site **sp)
{
	struct site *s = *sp;

	*sp = NULL;
	if (s != NULL && atomic_fetch_sub_explicit(&s->refs, 1, memory_order_acq_rel) == 1)
		site_free(s);
}

/* --- compiling ---------------------------------------------------------------------------------- */

static struct upstream *
upstream_of_previous(const struct site *previous, const char *name)
{
	for (unsigned i = 0; previous != NULL && i < previous->upstreams_count; i++)
		if (strcmp(previous->upstreams[i]->conf.name, name) == 0)
			return previous->upstreams[i];
	return NULL;
}

static void
compile_upstreams(struct compiling *k)
{
	struct site *s = k->site;
	size_t count = k->conf->upstreams.count;

	s->upstreams = arena_zalloc(k->world->mem, (count + 1) * sizeof(struct upstream *));
	for (size_t i = 0; i < count; i++) {
		const struct upstream_section *u = &k->conf->upstreams.items[i];

		s->upstreams[s->upstreams_count++] = upstream_from(
		    u, k->world->workers, upstream_of_previous(k->world->previous, u->conf.name));
	}
}

/* "10.0.0.0/8", "2001:db8::/32", or one address. */
static bool
cidr_from(const char *text, struct cidr *out)
{
	struct slice s = slice_from(text);
	size_t slash = slice_index(s, '/');
	char address[INET6_ADDRSTRLEN + 1];
	unsigned char v4[4];
	uint64_t bits = 0;
	unsigned most;

	if (slash >= sizeof(address))
		return false;
	memcpy(address, s.p, slash);
	address[slash] = '\0';
	*out = (struct cidr){.bytes = {[10] = 0xff, [11] = 0xff}};
	if (inet_pton(AF_INET, address, v4) == 1) {
		memcpy(out->bytes + 12, v4, sizeof(v4));
		most = 32;
	} else if (inet_pton(AF_INET6, address, out->bytes) == 1) {
		most = 128;
	} else {
		return false;
	}
	if (slash == s.n)
		bits = most;
	else if (!slice_to_u64(slice_skip(s, slash + 1), &bits) || bits > most)
		return false;
	out->bits = (unsigned)bits + 128 - most;
	return true;
}

static struct cidr *
compile_networks(struct compiling *k, const char *const *texts, size_t count, struct conf_place at,
    const char *directive, unsigned *count_out)
{
	struct cidr *networks = arena_zalloc(k->world->mem, (count + 1) * sizeof(*networks));

	for (size_t i = 0; i < count; i++) {
		if (cidr_from(texts[i], &networks[*count_out])) {
			++*count_out;
			continue;
		}
		conf_error(k->diag, at, "%s: \"%s\" is no network", directive, texts[i]);
		conf_hint(
		    k->diag, "expected an address, alone or with a prefix: 10.0.0.0/8, fd00::/8");
	}
	return networks;
}

static void
compile_trusted(struct compiling *k)
{
	const struct server_conf *c = k->conf;
	struct site *s = k->site;

	s->trusted = compile_networks(k, c->trusted_proxies.items, c->trusted_proxies.count,
	    conf_place(&server_table, c, "trusted_proxies"), "trusted_proxies", &s->trusted_count);
	s->takes_purges = !c->purge.conf.is_off;
	s->purgers = compile_networks(k, c->purge.allow.items, c->purge.allow.count,
	    conf_place(&purge_method_table, &c->purge, "allow"), "allow", &s->purgers_count);
}

static void
compile_proxies(struct compiling *k)
{
	const struct server_conf *c = k->conf;
	struct site *s = k->site;

	s->proxies = arena_zalloc(k->world->mem, c->listen.count * sizeof(*s->proxies));
	for (size_t i = 0; i < c->listen.count; i++) {
		const struct proxy_protocol_conf *p = &c->listen.items[i].proxy_protocol;
		struct site_proxies *to = &s->proxies[s->proxies_count];

		if (p->conf.is_off)
			continue;
		to->address = c->listen.items[i].address;
		to->timeout_ms = p->timeout;
		to->from = compile_networks(k, p->from.items, p->from.count,
		    conf_place(&proxy_protocol_table, p, "from"), "from", &to->count);
		if (p->from.count == 0)
			conf_error(k->diag,
			    conf_place(&listen_table, &c->listen.items[i], "proxy_protocol"),
			    "proxy_protocol: it names no network to expect headers from");
		s->proxies_count++;
	}
}

static void
compile_senders(struct compiling *k)
{
	const struct server_conf *c = k->conf;
	struct site *s = k->site;

	s->senders = arena_zalloc(k->world->mem, c->listen.count * sizeof(*s->senders));
	for (size_t i = 0; i < c->listen.count; i++)
		if (c->listen.items[i].https_redirect != 0)
			s->senders[s->senders_count++] =
			    (struct site_sender){c->listen.items[i].address,
				(unsigned)c->listen.items[i].https_redirect};
	if (c->acme_challenges != NULL)
		s->challenges = server_conf_path(k->world->mem, &c->conf, c->acme_challenges);
}

/* A quarter is left for connections to upstreams. */
static unsigned
connections_auto(void)
{
	struct rlimit files;

	if (getrlimit(RLIMIT_NOFILE, &files) != 0)
		return 1024;
	if (files.rlim_max == RLIM_INFINITY || files.rlim_max / 4 * 3 > CONNECTIONS_AUTO_MAX)
		return CONNECTIONS_AUTO_MAX;
	if (files.rlim_max < 4 * DESCRIPTORS_OWN)
		return (unsigned)files.rlim_max / 4 + 1;
	return (unsigned)(files.rlim_max - DESCRIPTORS_OWN) / 4 * 3;
}

static void
compile_limits(struct compiling *k)
{
	const struct limits_conf *l = &k->conf->limits;
	struct site *s = k->site;

	s->head_size = (uint32_t)l->head_size;
	s->streams = (unsigned)l->streams;
	s->target_size = (uint32_t)l->target_size;
	s->body_size = l->body_size;
	s->head_timeout_ms = l->head_timeout;
	s->body_timeout_ms = l->body_timeout;
	s->keepalive_timeout_ms = l->keepalive_timeout;
	s->drain_timeout_ms = l->drain_timeout;
	s->tunnel_timeout_ms = l->tunnel_timeout;
	s->connections =
	    l->connections == CONF_AUTO ? connections_auto() : (unsigned)l->connections;
}

/* Where limits that instances share are counted. */
static void
check_shared_limits(struct compiling *k)
{
	const struct cache_conf *cache = &k->conf->cache;

	if (!cache->conf.is_off && !cache->redis.conf.is_off)
		return;
	for (size_t i = 0; i < k->conf->rate_limits.count; i++) {
		const struct rate_limit_conf *l = &k->conf->rate_limits.items[i];

		if (l->scope == 0)
			continue;
		conf_error(k->diag, conf_place(&rate_limit_table, l, "scope"),
		    "scope: shared limits are counted in Redis, and there is none");
		conf_hint(k->diag, "name one in cache.redis.url");
	}
}

/* For answers that no route gives. */
static void
compile_headers(struct compiling *k)
{
	const struct headers_conf *c = &k->conf->security_headers;
	struct headers_level level;
	struct headers_error error;

	headers_level_from(k->world->mem, c, &level);
	k->site->headers = headers_compile(&level, 1, &error);
	if (k->site->headers == NULL)
		conf_error(
		    k->diag, headers_rule_place(c, error.rule), "security_headers: %s", error.text);
}

static void
compile_routes(struct compiling *k)
{
	const struct server_conf *c = k->conf;
	struct site *s = k->site;

	s->routes = arena_zalloc(k->world->mem, c->routes.count * sizeof(*s->routes));
	for (; s->routes_count < c->routes.count; s->routes_count++)
		route_compile(k, &c->routes.items[s->routes_count], &s->routes[s->routes_count]);
	s->routes_index = route_index_new(k->world->mem, s->routes, s->routes_count);
}

/* The site is good: it owns its configuration from now on, and its routes are counted. */
static struct site *
take_over(struct compiling *k)
{
	struct site *s = k->site;

	for (unsigned i = 0; i < s->routes_count; i++)
		s->routes[i].slot = k->world->route_slot(k->world->arg, s->routes[i].name);
	s->mem = *k->world->mem;
	*k->world->mem = (struct arena){0};
	return s;
}

/* As respond_lines.c writes them for answers of all kinds. */
static struct slice
hit_lines(struct arena *mem, const char *name)
{
	struct cache_status hit = {
	    .name = slice_from(name), .fwd = CACHE_FWD_NONE, .ttl_s = CACHE_TTL_NONE};
	struct buf text = {0};
	struct slice lines;

	buf_printf(&text, "X-Cache-Status: %s\r\nCache-Status: ", cache_word_name(CACHE_WORD_HIT));
	cache_status_write(&text, &hit);
	buf_add_lit(&text, "; ttl=");
	lines = arena_copy(mem, buf_slice(&text));
	buf_fini(&text);
	return lines;
}

struct site *
site_compile(const struct server_conf *conf, struct site_world *world, struct conf_diag *diag)
{
	struct compiling k = {conf, world, diag, must_calloc(1, sizeof(struct site))};
	const struct site *previous = world->previous;
	size_t before = conf_diag_errors(diag);
	struct site *s = k.site;

	atomic_init(&s->refs, 1);
	s->generation = previous == NULL ? 1 : previous->generation + 1;
	s->rendered = rendered_table_new(s->generation);
	s->rate_style = (enum rate_style)conf->ratelimit_headers;
	s->name = "forebay";
	s->hit_lines = hit_lines(world->mem, s->name);
	s->via[0] = SLICE_LIT("1.0 forebay");
	s->via[1] = SLICE_LIT("1.1 forebay");
	s->via[2] = SLICE_LIT("2 forebay");
	s->access_log = !conf->log.access.conf.is_off;
	s->conf = (void *)(uintptr_t)conf;
	compile_upstreams(&k);
	compile_trusted(&k);
	compile_senders(&k);
	compile_proxies(&k);
	compile_limits(&k);
	compile_headers(&k);
	check_shared_limits(&k);
	compile_routes(&k);
	if (conf_diag_errors(diag) == before)
		return take_over(&k);
	site_unref(&s); /* its arena is empty: the configuration stays the caller's */
	return NULL;
}
