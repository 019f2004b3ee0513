#include "upstream/conf.h"

#include <errno.h>

#include "conf/fill.h"
#include "upstream/section.h"

const struct conf_word upstream_off_words[] = {{"off", 0, false}, {0}};
const struct conf_word upstream_life_words[] = {{"off", 0, false}, {0}};
const struct conf_word upstream_balance_words[] = {
#define X(name, text) {#name, BALANCE_##name, false},
    BALANCES(X)
#undef X
	{0}};
const struct conf_word upstream_host_words[] = {{"client", 0, false}, {"server", 1, false}, {0}};
const struct conf_word upstream_tls_words[] = {{"1.2", 0, false}, {"1.3", 1, false}, {0}};
const struct conf_word upstream_protocol_words[] = {
#define X(name, text) {#name, PROTOCOL_##name, false},
    PROTOCOLS(X)
#undef X
	{0}};
const struct conf_word upstream_proxy_words[] = {{"off", 0, false}, {"v2", 1, false}, {0}};

/* What an address of a listener may be, but not of a server: ":8080", "*:8080". */
static void
check_server(struct conf_context *cx, const struct conf_table *t, void *target)
{
	const struct upstream_server_conf *s = target;
	const char *text = s->address;

	if (s->srv != NULL && service_domain(s->srv) == NULL) {
		conf_error(cx->diag, conf_place(t, s, "srv"), "srv: \"%s\" is no name of a service",
		    s->srv);
		conf_hint(cx->diag,
		    "expected _service._proto.domain, as in "
		    "_http._tcp.example.com");
	}
	if (text != NULL && s->srv != NULL)
		conf_error(cx->diag, conf_place(t, s, "srv"),
		    "srv: a server has an address or a service, not both");
	if (text == NULL && s->srv == NULL) {
		conf_error(
		    cx->diag, conf_place(t, s, "address"), "servers: a server needs an address");
		conf_hint(cx->diag, "expected address: host:port, or srv: _http._tcp.example.com");
	}
	if (text == NULL)
		return;
	if (text[0] != ':' && text[0] != '*')
		return;
	conf_error(cx->diag, conf_place(t, s, "address"), "servers: \"%s\" names no host", text);
	conf_hint(cx->diag, "expected host:port, as in 127.0.0.1%s", strchr(text, ':'));
}

static void
check_hash(struct conf_context *cx, const struct conf_table *t, void *target)
{
	const struct upstream_hash_conf *h = target;
	struct hash_part part;

	for (size_t i = 0; i < h->key.count; i++) {
		if (section_hash_part(h->key.items[i], &part))
			continue;
		conf_error(cx->diag, conf_place(t, h, "key"), "key: \"%s\" is no part of a request",
		    h->key.items[i]);
		conf_hint(cx->diag, "expected uri, client, header:NAME or cookie:NAME");
	}
}

#define CONF_TARGET struct upstream_server_conf
static const struct conf_directive server_rows[] = {UPSTREAM_SERVER_DIRECTIVES(CONF_ROW)};
#undef CONF_TARGET
const struct conf_table upstream_server_table =
    CONF_TABLE("upstream_server", struct upstream_server_conf, server_rows, .shortcut = "address",
	.check = check_server, .text = "One server of an upstream.");

#define CONF_TARGET struct upstream_hash_conf
static const struct conf_directive hash_rows[] = {UPSTREAM_HASH_DIRECTIVES(CONF_ROW)};
#undef CONF_TARGET
const struct conf_table upstream_hash_table = CONF_TABLE(
    "upstream_hash", struct upstream_hash_conf, hash_rows, .shortcut = "key", .check = check_hash);

const struct conf_word upstream_same_site_words[] = {
#define X(name, text) {#name, SAME_SITE_##name, false},
    SAME_SITES(X)
#undef X
	{0}};
const struct conf_word upstream_secure_words[] = {
#define X(name, text) {#name, AFFINITY_SECURE_##name, false},
    AFFINITY_SECURES(X)
#undef X
	{0}};

static void
check_affinity(struct conf_context *cx, const struct conf_table *t, void *target)
{
	const struct upstream_affinity_conf *a = target;

	if (!section_is_token(a->cookie))
		conf_error(cx->diag, conf_place(t, a, "cookie"),
		    "cookie: \"%s\" is no cookie's name", a->cookie);
	if (a->same_site == SAME_SITE_none && a->secure == AFFINITY_SECURE_off)
		conf_error(cx->diag, conf_place(t, a, "secure"),
		    "secure: browsers refuse a cookie with SameSite=None that is not Secure");
}

#define CONF_TARGET struct upstream_affinity_conf
static const struct conf_directive affinity_rows[] = {UPSTREAM_AFFINITY_DIRECTIVES(CONF_ROW)};
#undef CONF_TARGET
const struct conf_table upstream_affinity_table = CONF_TABLE(
    "upstream_affinity", struct upstream_affinity_conf, affinity_rows, .check = check_affinity);

static void
tell_bad_status(struct conf_context *cx, struct conf_place at, const char *bad)
{
	if (bad == NULL)
		return;
	conf_error(cx->diag, at, "statuses: \"%s\" is no status", bad);
	conf_hint(cx->diag, "expected 503 or 5xx");
}

static void
check_retries(struct conf_context *cx, const struct conf_table *t, void *target)
{
	const struct upstream_retry_conf *r = target;
	const char *bad;

	section_statuses(r->statuses.count, r->statuses.items, &bad);
	tell_bad_status(cx, conf_place(t, r, "statuses"), bad);
}

static void
check_ejection(struct conf_context *cx, const struct conf_table *t, void *target)
{
	const struct upstream_ejection_conf *e = target;
	const char *bad;

	section_statuses(e->statuses.count, e->statuses.items, &bad);
	tell_bad_status(cx, conf_place(t, e, "statuses"), bad);
	if (e->max_time < e->time)
		conf_error(
		    cx->diag, conf_place(t, e, "max_time"), "max_time: it is shorter than time");
}

/* Nothing that would end the request's line, or a field. */
static bool
is_plain(const char *text)
{
	for (; *text != '\0'; text++)
		if (*text <= ' ' || *text >= 0x7f)
			return false;
	return true;
}

static void
check_health(struct conf_context *cx, const struct conf_table *t, void *target)
{
	const struct upstream_health_conf *h = target;
	const char *bad;

	section_statuses(h->statuses.count, h->statuses.items, &bad);
	tell_bad_status(cx, conf_place(t, h, "statuses"), bad);
	if (h->path != NULL && (h->path[0] != '/' || !is_plain(h->path)))
		conf_error(cx->diag, conf_place(t, h, "path"), "path: \"%s\" is no path", h->path);
	if (h->host != NULL && !is_plain(h->host))
		conf_error(cx->diag, conf_place(t, h, "host"), "host: \"%s\" is no host", h->host);
	if (h->path == NULL && h->body != NULL)
		conf_error(cx->diag, conf_place(t, h, "body"), "body: there is none without path");
	if (h->path == NULL && h->host != NULL)
		conf_error(
		    cx->diag, conf_place(t, h, "host"), "host: nobody is told it without path");
	if (h->path == NULL && CONF_IS_SET(t, h, statuses))
		conf_error(cx->diag, conf_place(t, h, "statuses"),
		    "statuses: there are none without path");
	if (h->timeout > h->interval)
		conf_error(
		    cx->diag, conf_place(t, h, "timeout"), "timeout: it is longer than interval");
}

#define CONF_TARGET struct upstream_health_conf
static const struct conf_directive health_rows[] = {UPSTREAM_HEALTH_DIRECTIVES(CONF_ROW)};
#undef CONF_TARGET
const struct conf_table upstream_health_table = CONF_TABLE("upstream_health",
    struct upstream_health_conf, health_rows, .shortcut = "path", .check = check_health);

#define CONF_TARGET struct upstream_retry_conf
static const struct conf_directive retry_rows[] = {UPSTREAM_RETRY_DIRECTIVES(CONF_ROW)};
#undef CONF_TARGET
const struct conf_table upstream_retry_table = CONF_TABLE("upstream_retries",
    struct upstream_retry_conf, retry_rows, .shortcut = "max", .check = check_retries);

int
hedge_after_parse(struct conf_context *cx, const struct conf_node *n,
    const struct conf_directive *row, void *field)
{
	struct hedge_after *after = field;
	bool is_part = n->kind == CONF_SCALAR && strchr(n->text, '%') != NULL;
	const struct conf_directive part = {
	    .name = row->name, .type = CONF_RATIO, .least = "50%", .most = "99.9%"};
	const struct conf_directive time = {
	    .name = row->name, .type = CONF_DURATION, .least = "1ms", .most = "1m"};

	return is_part ? conf_fill_value(cx, &part, n, &after->part)
		       : conf_fill_value(cx, &time, n, &after->ms);
}

#define CONF_TARGET struct upstream_hedge_conf
static const struct conf_directive hedge_rows[] = {UPSTREAM_HEDGE_DIRECTIVES(CONF_ROW)};
#undef CONF_TARGET
const struct conf_table upstream_hedge_table =
    CONF_TABLE("upstream_hedge", struct upstream_hedge_conf, hedge_rows, .shortcut = "after");

#define CONF_TARGET struct upstream_ejection_conf
static const struct conf_directive ejection_rows[] = {UPSTREAM_EJECTION_DIRECTIVES(CONF_ROW)};
#undef CONF_TARGET
const struct conf_table upstream_ejection_table = CONF_TABLE(
    "upstream_ejection", struct upstream_ejection_conf, ejection_rows, .check = check_ejection);

/* Relative paths start at the file they are written in. */
static void
find_file(struct conf_context *cx, const struct upstream_tls_conf *t, const char **path)
{
	const struct conf_file *f = t->conf.node == NULL ? NULL : t->conf.node->at.file;

	if (*path != NULL && (*path)[0] != '/' && f != NULL && f->dir != NULL && f->dir[0] != '\0')
		*path = arena_printf(cx->mem, "%s/%s", f->dir, *path).p;
}

static bool
is_readable(
    struct conf_context *cx, const struct upstream_tls_conf *c, const char *name, const char *path)
{
	return conf_is_readable(cx->diag, conf_place(&upstream_tls_table, c, name), name, path);
}

/* The files are read here once, so that whoever cannot is told in its place. */
static void
check_tls(struct conf_context *cx, const struct conf_table *t, void *target)
{
	struct upstream_tls_conf *c = target;
	struct secure *s;

	if (c->conf.is_off)
		return;
	find_file(cx, c, &c->ca);
	find_file(cx, c, &c->cert);
	find_file(cx, c, &c->key);
	if (c->name != NULL && !is_plain(c->name))
		conf_error(cx->diag, conf_place(t, c, "name"), "name: \"%s\" is no host", c->name);
	if ((c->cert == NULL) != (c->key == NULL)) {
		conf_error(cx->diag, conf_place(t, c, c->cert == NULL ? "key" : "cert"),
		    "tls: a certificate and its key belong together: %s is missing",
		    c->cert == NULL ? "cert" : "key");
		return;
	}
	if (!is_readable(cx, c, "ca", c->ca) || !is_readable(cx, c, "cert", c->cert) ||
	    !is_readable(cx, c, "key", c->key))
		return;
	s = section_secure(c);
	if (secure_problem(s)[0] != '\0')
		conf_error(cx->diag,
		    conf_place(t, c,
			c->ca != NULL	      ? "ca"
			    : c->cert != NULL ? "cert"
					      : "min_version"),
		    "tls: %s", secure_problem(s));
	secure_free(&s);
}

#define CONF_TARGET struct upstream_tls_conf
static const struct conf_directive tls_rows[] = {UPSTREAM_TLS_DIRECTIVES(CONF_ROW)};
#undef CONF_TARGET
const struct conf_table upstream_tls_table =
    CONF_TABLE("upstream_tls", struct upstream_tls_conf, tls_rows, .check = check_tls,
	.text = "A server's certificate must lead to an authority that is trusted, be in time, and "
		"be made out to the server; there is "
		"no way to do without. Relative paths start at the file they are written in; the "
		"files are read again by a reload.");

#define CONF_TARGET struct upstream_pool_conf
static const struct conf_directive pool_rows[] = {UPSTREAM_POOL_DIRECTIVES(CONF_ROW)};
#undef CONF_TARGET
const struct conf_table upstream_pool_table =
    CONF_TABLE("upstream_connections", struct upstream_pool_conf, pool_rows, );

/* What ends first makes that there is no other try. */
static void
check_try(
    struct conf_context *cx, const struct upstream_timeout_conf *c, const char *other, int64_t ms)
{
	if (ms == 0 || c->try_ == 0 || c->try_ < ms)
		return;
	conf_warning(cx->diag, conf_place(&upstream_timeout_table, c, "try"),
	    "try: no other server is ever tried: %s ends the request %s", other,
	    c->try_ == ms ? "at the same time" : "before");
	conf_hint(cx->diag, "expected a part of %s", other);
}

static void
check_timeouts(struct conf_context *cx, const struct conf_table *t, void *target)
{
	const struct upstream_timeout_conf *c = target;

	check_try(cx, c, "total", c->total);
	check_try(cx, c, "response", c->response);
}

#define CONF_TARGET struct upstream_timeout_conf
static const struct conf_directive timeout_rows[] = {UPSTREAM_TIMEOUT_DIRECTIVES(CONF_ROW)};
#undef CONF_TARGET
const struct conf_table upstream_timeout_table = CONF_TABLE(
    "upstream_timeouts", struct upstream_timeout_conf, timeout_rows, .check = check_timeouts);

/* Of which was told in its place. */
static bool
is_any_service_bad(const struct upstream_section *s)
{
	for (size_t i = 0; i < s->servers.count; i++)
		if (s->servers.items[i].address == NULL &&
		    service_domain(section_server_text(&s->servers.items[i])) == NULL)
			return true;
	return false;
}

/* Metrics, drains and sessions know a server by its text. */
static void
check_servers_differ(struct conf_context *cx, const struct upstream_section *s)
{
	for (size_t i = 1; i < s->servers.count; i++) {
		const struct upstream_server_conf *one = &s->servers.items[i];

		for (size_t before = 0; before < i; before++) {
			if (strcmp(section_server_text(&s->servers.items[before]),
				section_server_text(one)) != 0)
				continue;
			conf_error(cx->diag,
			    conf_place(
				&upstream_server_table, one, one->srv != NULL ? "srv" : "address"),
			    "servers: \"%s\" is there twice", section_server_text(one));
			conf_hint(cx->diag, "weight: 2 gives it twice the requests");
			break;
		}
	}
}

static bool
has_zone(const struct upstream_section *s)
{
	for (size_t i = 0; i < s->servers.count; i++)
		if (s->servers.items[i].zone != NULL &&
		    strcmp(s->servers.items[i].zone, s->zone) == 0)
			return true;
	return false;
}

/* What is said and does nothing. */
static void
warn_of_idle_words(
    struct conf_context *cx, const struct conf_table *t, const struct upstream_section *s)
{
	if (CONF_IS_SET(t, s, hash) && s->balance != BALANCE_consistent_hash)
		conf_warning(cx->diag, conf_place(t, s, "hash"),
		    "hash: only balance: consistent_hash goes by it");
	if (s->zone != NULL && !has_zone(s))
		conf_warning(cx->diag, conf_place(t, s, "zone"),
		    "zone: no server stands in \"%s\", so all are asked", s->zone);
}

/* A name takes places for all the addresses it may have. */
static void
check_upstream(struct conf_context *cx, const struct conf_table *t, void *target)
{
	const struct upstream_section *s = target;
	struct upstream_conf c = {.name = ""};
	struct upstream *u = section_build(s, &c, 1);

	if (u == NULL && errno == E2BIG)
		conf_error(cx->diag, conf_place(t, s, "servers"),
		    "servers: too many names: each may be %d servers (of srv %d), and there is "
		    "room for %d",
		    NAME_PLACES, SERVICE_PLACES, SERVERS_MAX);
	else if (u == NULL && !is_any_service_bad(s))
		conf_error(
		    cx->diag, conf_place(t, s, "servers"), "servers: there is a bad address");
	upstream_unref(&u);
	check_servers_differ(cx, s);
	warn_of_idle_words(cx, t, s);
	if (s->protocol == PROTOCOL_auto && s->tls.conf.is_off) {
		conf_error(cx->diag, conf_place(t, s, "protocol"),
		    "protocol: auto is agreed on by TLS, and there is none");
		conf_hint(cx->diag, "say what the servers speak, http1 or h2, or set tls");
	}
	for (size_t i = 0; i < s->servers.count && !s->tls.conf.is_off && s->tls.name == NULL; i++)
		if (s->servers.items[i].address != NULL &&
		    strncmp(s->servers.items[i].address, "unix:", 5) == 0) {
			conf_error(cx->diag, conf_place(t, s, "tls"),
			    "tls: a unix socket has no name that its certificate could be made out "
			    "to");
			conf_hint(cx->diag, "say it: tls: {name: app.internal}");
			break;
		}
}

#define CONF_TARGET struct upstream_section
static const struct conf_directive upstream_rows[] = {UPSTREAM_DIRECTIVES(CONF_ROW)};
#undef CONF_TARGET
const struct conf_table upstream_table = CONF_TABLE("upstream", struct upstream_section,
    upstream_rows, .shortcut = "servers", .check = check_upstream,
    .text = "A group of servers that give the same answers, under the name that routes use.");
