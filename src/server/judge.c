/* What is allowed but hardly meant: site_judge() of server/compile.h. */
#include <arpa/inet.h>
#include <errno.h>
#include <sys/stat.h>

#include "server/compile.h"

struct judging {
	const struct server_conf *conf;
	const struct site *site;
	struct conf_diag *diag;
};

static const struct route_conf *
route_conf_at(const struct judging *j, unsigned i)
{
	return &j->conf->routes.items[i];
}

static struct conf_place
match_place(const struct route_conf *c)
{
	return conf_place(&route_table, c, "match");
}

/* --- routes that can never match ---------------------------------------------------------------- */

/* Whether each host that b stands for is one of a's. */
static bool
hosts_cover(const struct names *a, const struct names *b)
{
	if (a->count == 0)
		return true;
	for (unsigned i = 0; i < b->count; i++) {
		struct slice host = slice_from(b->items[i]);
		bool is_covered = false;

		for (unsigned k = 0; k < a->count; k++) {
			struct slice by = slice_from(a->items[k]);

			is_covered |= slice_eq(by, host) ||
			    (slice_starts(by, SLICE_LIT("*.")) && host.n > by.n - 1 &&
				slice_ends(host, slice_skip(by, 1)));
		}
		if (!is_covered)
			return false;
	}
	return b->count > 0;
}

/* Whether whatever meets b's conditions meets a's, too: each of a's stands among b's. */
static bool
conditions_cover(const struct conf_pairs *a, const struct conf_pairs *b)
{
	for (size_t i = 0; i < a->count; i++) {
		const struct conf_pair *p = &a->items[i];
		bool is_found = false;

		for (size_t k = 0; k < b->count; k++)
			is_found |= slice_ieq(slice_from(p->name), slice_from(b->items[k].name)) &&
			    (strcmp(p->value, "*") == 0 ||
				strcmp(p->value, b->items[k].value) == 0);
		if (!is_found)
			return false;
	}
	return true;
}

/* But for the methods. */
static bool
covers(const struct judging *j, unsigned a, unsigned b)
{
	const struct route *ra = &j->site->routes[a], *rb = &j->site->routes[b];
	const struct match_conf *ma = &route_conf_at(j, a)->match,
				*mb = &route_conf_at(j, b)->match;
	bool is_same_regex = ma->path_regex != NULL && mb->path_regex != NULL &&
	    strcmp(ma->path_regex, mb->path_regex) == 0;

	return (is_same_regex || pattern_covers(ra->path, rb->path)) &&
	    hosts_cover(&ra->hosts, &rb->hosts) && conditions_cover(&ma->headers, &mb->headers);
}

static bool
has_any_method(const struct route *r)
{
	return r->methods == 0 && r->other_methods.count == 0;
}

static bool
others_cover(const struct route *a, const struct route *b)
{
	for (unsigned i = 0; i < b->other_methods.count; i++) {
		bool is_found = false;

		for (unsigned k = 0; k < a->other_methods.count; k++)
			is_found |=
			    strcmp(a->other_methods.items[k], b->other_methods.items[i]) == 0;
		if (!is_found)
			return false;
	}
	return true;
}

static void
judge_reach(const struct judging *j, unsigned i)
{
	const struct route *r = &j->site->routes[i];
	uint32_t taken = 0;

	for (unsigned before = 0; before < i; before++) {
		const struct route *b = &j->site->routes[before];
		struct conf_place at = match_place(route_conf_at(j, before));

		if (!covers(j, before, i))
			continue;
		taken |= b->methods;
		if (!has_any_method(b) &&
		    (has_any_method(r) || (r->methods & ~taken) != 0 || !others_cover(b, r)))
			continue;
		conf_warning(j->diag, match_place(route_conf_at(j, i)),
		    "this route can never match: what it is meant for is taken before");
		conf_hint(j->diag, "by \"%s\" in line %u; the first match wins", b->name, at.line);
		return;
	}
}

static void
judge_purge_method(const struct judging *j, unsigned i)
{
	if ((j->site->routes[i].methods & 1u << METHOD_PURGE) == 0)
		return;
	conf_warning(j->diag, match_place(route_conf_at(j, i)),
	    "PURGE never comes to a route: it is answered before, as `purge` says");
}

static void
judge_catch_all(const struct judging *j)
{
	static const char hint[] =
	    "end with \"- match: /**\", or with respond: 404 there to say so";

	for (unsigned i = 0; i < j->site->routes_count; i++) {
		const struct route *r = &j->site->routes[i];
		const struct match_conf *m = &route_conf_at(j, i)->match;

		if (has_any_method(r) && r->hosts.count == 0 && r->conditions_count == 0 &&
		    m->path.path != NULL && strcmp(m->path.path, "/**") == 0)
			return;
	}
	conf_warning(j->diag, conf_place(&server_table, j->conf, "routes"),
	    "no route takes what the others leave: the answer there is 404");
	conf_hint(j->diag, "%s", hint);
}

/* --- single routes ------------------------------------------------------------------------------ */

static void
judge_cache(const struct judging *j, unsigned i)
{
	const struct route *r = &j->site->routes[i];
	const struct route_cache_conf *c = &route_conf_at(j, i)->cache;
	const struct route_cache_conf *general = &j->conf->cache.rules;
	bool says_cookies = CONF_IS_SET(&route_cache_table, c, cookies) ||
	    CONF_IS_SET(&route_cache_table, general, cookies) || r->cache.cookies == COOKIES_KEY;

	if (!CONF_IS_SET(&route_table, route_conf_at(j, i), cache) || c->conf.is_off)
		return;
	if (j->conf->cache.conf.is_off || r->action != ROUTE_PROXY) {
		conf_warning(j->diag, c->conf.node->at, "cache: this has no effect, %s",
		    r->action == ROUTE_PROXY ? "the cache is off altogether"
					     : "the route asks no upstream");
		return;
	}
	if (!has_any_method(r) && (r->methods & (1u << METHOD_GET | 1u << METHOD_QUERY)) == 0) {
		conf_warning(
		    j->diag, c->conf.node->at, "cache: only answers to GET and QUERY are cached");
		conf_hint(j->diag, "the route takes neither");
	}
	if (CONF_IS_SET(&route_cache_table, c, ttl) && !says_cookies) {
		conf_warning(j->diag, conf_place(&route_cache_table, c, "ttl"),
		    "ttl: it does not hold for requests with a cookie, as browsers send them");
		conf_hint(j->diag,
		    "cookies: ignore if the answer is the same for everybody, {key: [NAME]}, or "
		    "guard");
	}
}

/* What hands one user's answer to another, should the route be wrong about it. */
static void
judge_sharing(const struct judging *j, const struct route_cache_conf *c)
{
	if (CONF_IS_SET(&route_cache_table, c, set_cookie) && c->set_cookie == SET_COOKIE_STORE) {
		conf_warning(j->diag, conf_place(&route_cache_table, c, "set_cookie"),
		    "set_cookie: store gives everybody the cookie that one client was given");
		conf_hint(j->diag, "strip stores the response without it");
	}
	if (CONF_IS_SET(&route_cache_table, c, authorization) && c->authorization != 0)
		conf_warning(j->diag, conf_place(&route_cache_table, c, "authorization"),
		    "authorization: ignore gives an answer made for one login to everybody");
}

/* What a client says under such a name never reaches the origin: it splits the cache, and nothing else. */
static void
judge_key(const struct judging *j, const struct route_cache_conf *c)
{
	for (size_t i = 0; i < c->key.headers.count; i++) {
		struct slice name = slice_from(c->key.headers.items[i]);

		if ((field_flags(field_id_of(name)) & (F_FORGED | F_HOP)) == 0)
			continue;
		conf_warning(j->diag, conf_place(&cache_key_table, &c->key, "headers"),
		    "headers: the origin never sees %.*s as a client sends it, so no answer "
		    "depends on it",
		    SLICE_FMT(name));
		conf_hint(j->diag,
		    "what a trusted proxy says of host and scheme is part of the key anyway");
	}
}

static void
judge_prefix(const struct judging *j, unsigned i)
{
	const struct route_conf *c = route_conf_at(j, i);
	struct slice prefix = slice_from(c->strip_prefix), path = slice_from(c->match.path.path);
	bool is_whole = path.n == prefix.n || (path.n > prefix.n && path.p[prefix.n] == '/');

	if (prefix.p == NULL || path.p == NULL || (slice_starts(path, prefix) && is_whole))
		return;
	conf_warning(j->diag, conf_place(&route_table, c, "strip_prefix"),
	    "strip_prefix: the route's paths need not begin with %s", c->strip_prefix);
}

/* --- limits ------------------------------------------------------------------------------------- */

static bool
has_same_key(const struct route_limit *a, const struct route_limit *b)
{
	if (a->parts_count != b->parts_count)
		return false;
	for (unsigned i = 0; i < a->parts_count; i++) {
		const char *na = a->parts[i].name, *nb = b->parts[i].name;

		if (a->parts[i].kind != b->parts[i].kind || (na == NULL) != (nb == NULL) ||
		    (na != NULL && strcmp(na, nb) != 0))
			return false;
	}
	return true;
}

/* Whether what a lets through never exceeds b. Across two fixed windows twice the limit can pass. */
static bool
binds_first(const struct route_limit *a, const struct route_limit *b)
{
	const struct limit_conf *ca = limiter_conf(a->limiter), *cb = limiter_conf(b->limiter);
	bool is_exact = ca->algorithm == LIMIT_SLIDING_WINDOW && !ca->dotnet;
	uint64_t most = (uint64_t)ca->limit * (is_exact ? 1 : 2);

	if (cb->shared && !ca->shared)
		return false; /* a's permits are this instance's, b's are for all of them */
	return !ca->shadow && ca->window_ms >= cb->window_ms && most <= cb->limit &&
	    has_same_key(a, b);
}

static void
judge_limits(const struct judging *j, unsigned i)
{
	const struct route *r = &j->site->routes[i];

	for (unsigned b = 0; b < r->limits_count; b++)
		for (unsigned a = 0; a < r->limits_count; a++) {
			if (a == b || !binds_first(&r->limits[a], &r->limits[b]))
				continue;
			conf_warning(j->diag,
			    conf_place(&route_table, route_conf_at(j, i), "rate_limit"),
			    "rate_limit: \"%s\" cannot bind here, \"%s\" always refuses before",
			    r->limits[b].name, r->limits[a].name);
			break;
		}
}

static void
judge_unused_limits(const struct judging *j)
{
	for (size_t n = 0; n < j->conf->rate_limits.count; n++) {
		const struct rate_limit_conf *c = &j->conf->rate_limits.items[n];
		bool is_used = false;

		for (unsigned i = 0; i < j->site->routes_count; i++)
			for (unsigned k = 0; k < j->site->routes[i].limits_count; k++)
				is_used |=
				    strcmp(j->site->routes[i].limits[k].name, c->conf.name) == 0;
		if (!is_used) {
			conf_warning(
			    j->diag, c->conf.node->at, "no route has rate_limit: %s", c->conf.name);
			conf_hint(j->diag, "a limit binds only where a route names it");
		}
	}
}

/* --- the rest ----------------------------------------------------------------------------------- */

static void
judge_unused_upstreams(const struct judging *j)
{
	for (unsigned n = 0; n < j->site->upstreams_count; n++) {
		const struct upstream_section *c = &j->conf->upstreams.items[n];
		bool is_used = false;

		for (unsigned i = 0; i < j->site->routes_count; i++)
			is_used |= j->site->routes[i].upstream == j->site->upstreams[n];
		if (!is_used)
			conf_warning(j->diag, c->conf.node->at, "no route goes to the upstream %s",
			    c->conf.name);
	}
}

static void
judge_challenges(const struct judging *j)
{
	struct stat st;

	if (j->site->challenges == NULL ||
	    (stat(j->site->challenges, &st) == 0 && S_ISDIR(st.st_mode)))
		return;
	conf_warning(j->diag, conf_place(&server_table, j->conf, "acme_challenges"),
	    "acme_challenges: there is no directory %s; challenges get 404 until there is",
	    j->site->challenges);
}

/* A secret that stands in the configuration itself, which others can read. */
static void
judge_secret(const struct judging *j, const struct conf_head *map, const char *name)
{
	const struct conf_node *n = map->node == NULL || map->node->kind != CONF_MAPPING
	    ? NULL
	    : conf_node_get(map->node, name);
	struct stat st;

	if (n == NULL || n->is_substituted || n->at.file == NULL || n->at.file->dir == NULL)
		return;
	if (stat(n->at.file->name, &st) != 0 || !(st.st_mode & S_IROTH))
		return;
	conf_warning(
	    j->diag, n->at, "%s: everybody on this machine can read it in this file", name);
	conf_hint(j->diag, "chmod o-r %s, or %s: \"${file:/path}\"", n->at.file->name, name);
}

static bool
is_loopback(const char *address)
{
	struct slice s = slice_from(address);

	return slice_starts(s, SLICE_LIT("127.")) || slice_starts(s, SLICE_LIT("[::1]:")) ||
	    slice_starts(s, SLICE_LIT("localhost:")) || slice_starts(s, SLICE_LIT("unix:"));
}

static void
judge_admin(const struct judging *j)
{
	const struct admin_conf *a = &j->conf->admin;
	const struct redis_conf *r = &j->conf->cache.redis;

	if (!a->conf.is_off && a->token == NULL && !is_loopback(a->address)) {
		conf_warning(j->diag, conf_place(&admin_table, a, "address"),
		    "admin: whoever reaches %s can control this Forebay", a->address);
		conf_hint(j->diag, "add token: \"${file:/etc/forebay/admin.token}\"");
	}
	judge_secret(j, &a->conf, "token");
	judge_secret(j, &r->conf, "secret");
	if (!r->conf.is_off && r->url != NULL && strchr(r->url, '@') != NULL)
		judge_secret(j, &r->conf, "url");
}

static bool
is_everybody(const struct cidr *c)
{
	bool is_v4 = c->bytes[10] == 0xff && c->bytes[11] == 0xff;

	return c->bits == (is_v4 ? 96 : 0);
}

static void
judge_proxies(const struct judging *j)
{
	for (unsigned i = 0; i < j->site->proxies_count; i++)
		for (unsigned k = 0; k < j->site->proxies[i].count; k++)
			if (is_everybody(&j->site->proxies[i].from[k]))
				conf_warning(j->diag, conf_place(&server_table, j->conf, "listen"),
				    "proxy_protocol: on %s everybody is expected to say who he is, "
				    "so every "
				    "client can choose its address",
				    j->site->proxies[i].address);
}

static void
judge_trusted(const struct judging *j)
{
	for (unsigned i = 0; i < j->site->trusted_count; i++) {
		if (is_everybody(&j->site->trusted[i]))
			conf_warning(j->diag, conf_place(&server_table, j->conf, "trusted_proxies"),
			    "trusted_proxies: everybody is, so every client can choose its "
			    "address");
	}
}

void
site_judge(const struct server_conf *conf, const struct site *site, struct conf_diag *diag)
{
	struct judging j = {conf, site, diag};

	for (unsigned i = 0; i < site->routes_count; i++) {
		judge_reach(&j, i);
		judge_purge_method(&j, i);
		judge_cache(&j, i);
		judge_sharing(&j, &route_conf_at(&j, i)->cache);
		judge_key(&j, &route_conf_at(&j, i)->cache);
		judge_prefix(&j, i);
		judge_limits(&j, i);
	}
	judge_sharing(&j, &conf->cache.rules);
	judge_key(&j, &conf->cache.rules);
	judge_catch_all(&j);
	judge_unused_limits(&j);
	judge_unused_upstreams(&j);
	judge_challenges(&j);
	judge_admin(&j);
	judge_trusted(&j);
	judge_proxies(&j);
}
