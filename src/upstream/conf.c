#include "upstream/conf.h"

#include <errno.h>
#include <stdlib.h>

#include "base/clock.h"
#include "base/mem.h"
#include "conf/fill.h"
#include "upstream/drains.h"
#include "upstream/secure.h"

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

/* No more than what a name may have. */
static bool
is_name(const char *text)
{
	return text[0] != '\0' && text[strcspn(text, " \t,;=:\"()<>@/[]?{}\\")] == '\0';
}

/* "header:X-User" */
static bool
read_hash_part(const char *text, struct hash_part *out)
{
	static const struct {
		const char *word;
		bool is_named;
	} parts[] = {
#define X(name, is_named, text) [HASH_PART_##name] = {#name, is_named},
	    HASH_PARTS(X)
#undef X
	};

	for (unsigned i = 0; i < sizeof(parts) / sizeof(parts[0]); i++) {
		size_t n = strlen(parts[i].word);

		if (strncmp(text, parts[i].word, n) != 0)
			continue;
		*out = (struct hash_part){
		    (enum hash_part_kind)i, parts[i].is_named ? text + n + 1 : NULL};
		if (!parts[i].is_named && text[n] == '\0')
			return true;
		if (parts[i].is_named && text[n] == ':' && is_name(out->name))
			return true;
	}
	return false;
}

static void
check_hash(struct conf_context *cx, const struct conf_table *t, void *target)
{
	const struct upstream_hash_conf *h = target;
	struct hash_part part;

	for (size_t i = 0; i < h->key.count; i++) {
		if (read_hash_part(h->key.items[i], &part))
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

	if (!is_name(a->cookie))
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

static struct status_set
statuses_of(size_t count, const char *const *texts, const char **bad_out)
{
	struct status_set set = {{0}};

	*bad_out = NULL;
	for (size_t i = 0; i < count; i++)
		if (!status_set_add(&set, texts[i]))
			*bad_out = texts[i];
	return set;
}

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

	statuses_of(r->statuses.count, r->statuses.items, &bad);
	tell_bad_status(cx, conf_place(t, r, "statuses"), bad);
}

static void
check_ejection(struct conf_context *cx, const struct conf_table *t, void *target)
{
	const struct upstream_ejection_conf *e = target;
	const char *bad;

	statuses_of(e->statuses.count, e->statuses.items, &bad);
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

	statuses_of(h->statuses.count, h->statuses.items, &bad);
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

/* NULL: no TLS. */
static struct secure *
secure_of(const struct upstream_tls_conf *c)
{
	const struct secure_conf conf = {
	    .tls = {.ca = c->ca, .cert = c->cert, .key = c->key, .is_13_only = c->min_version != 0},
	    .name = c->name};

	return c->conf.is_off ? NULL : secure_new(&conf);
}

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
	s = secure_of(c);
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

static struct upstream_conf
settings_of(const struct upstream_section *s)
{
	struct upstream_conf c = {
	    .name = s->conf.name,
	    .zone = s->zone,
	    .balance = (enum balance)s->balance,
	    .zone_share = s->zone_share,
	    .hash_bound = 1 + s->hash.spare,
	    .ewma_ms = s->ewma,
	    .slow_start_ms = s->slow_start,
	    .connect_ms = s->timeouts.connect,
	    .response_ms = s->timeouts.response,
	    .idle_ms = s->connections.idle,
	    .life_ms = s->connections.life,
	    .max = (unsigned)s->connections.max,
	    .pending = (unsigned)s->connections.pending,
	    .host_from_server = s->host != 0,
	    .protocol = (enum protocol)s->protocol,
	    .streams = (unsigned)s->connections.streams,
	    .announces_clients = s->proxy_protocol != 0,
	    .panic = s->panic,
	    .try_ms = s->timeouts.try_,
	    .total_ms = s->timeouts.total,
	    .requests = (unsigned)s->connections.requests,
	};
	const char *bad;

	if (!s->health.conf.is_off)
		c.check = (struct check_conf){.is_on = true,
		    .path = s->health.path,
		    .host = s->health.host,
		    .body = s->health.body,
		    .interval_ms = s->health.interval,
		    .timeout_ms = s->health.timeout,
		    .rise = (unsigned)s->health.rise,
		    .fall = (unsigned)s->health.fall,
		    .statuses =
			statuses_of(s->health.statuses.count, s->health.statuses.items, &bad)};
	if (!s->retries.conf.is_off) {
		c.retries = (unsigned)s->retries.max;
		c.retry_budget = s->retries.budget;
		c.retry_statuses =
		    statuses_of(s->retries.statuses.count, s->retries.statuses.items, &bad);
	}
	if (!s->hedge.conf.is_off)
		c.hedge = (struct hedge_conf){.is_on = true,
		    .after_part = s->hedge.after.part,
		    .after_ms = s->hedge.after.ms,
		    .budget = s->hedge.budget};
	if (!s->ejection.conf.is_off)
		c.eject = (struct eject_conf){.errors = (unsigned)s->ejection.errors,
		    .latency = (unsigned)s->ejection.latency,
		    .time_ms = s->ejection.time,
		    .max_time_ms = s->ejection.max_time,
		    .share = s->ejection.share,
		    .statuses =
			statuses_of(s->ejection.statuses.count, s->ejection.statuses.items, &bad)};

	if (!s->affinity.conf.is_off)
		c.affinity = (struct affinity_conf){.cookie = s->affinity.cookie,
		    .secret = s->affinity.secret,
		    .life_ms = s->affinity.life,
		    .same_site = (enum same_site)s->affinity.same_site,
		    .secure = (enum affinity_secure)s->affinity.secure};
	for (size_t i = 0; i < s->hash.key.count; i++)
		if (!read_hash_part(s->hash.key.items[i], &c.hash_parts[c.hash_parts_count++]))
			bug("a key that was checked has a bad part");
	return c;
}

static const char *
server_text(const struct upstream_server_conf *s)
{
	return s->srv != NULL ? s->srv : s->address != NULL ? s->address : "";
}

static struct upstream *
build(const struct upstream_section *s, const struct upstream_conf *c, unsigned workers)
{
	struct server_spec *specs = must_calloc(s->servers.count, sizeof(*specs));
	struct upstream *u;
	int e;

	for (size_t i = 0; i < s->servers.count; i++)
		specs[i] = (struct server_spec){server_text(&s->servers.items[i]),
		    s->servers.items[i].zone, (unsigned)s->servers.items[i].weight};
	u = upstream_new(c, specs, (unsigned)s->servers.count, workers);
	e = errno;
	free(specs);
	errno = e;
	return u;
}

/* Of which was told in its place. */
static bool
is_any_service_bad(const struct upstream_section *s)
{
	for (size_t i = 0; i < s->servers.count; i++)
		if (s->servers.items[i].address == NULL &&
		    service_domain(server_text(&s->servers.items[i])) == NULL)
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
			if (strcmp(server_text(&s->servers.items[before]), server_text(one)) != 0)
				continue;
			conf_error(cx->diag,
			    conf_place(
				&upstream_server_table, one, one->srv != NULL ? "srv" : "address"),
			    "servers: \"%s\" is there twice", server_text(one));
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
	struct upstream *u = build(s, &c, 1);

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

static bool
is_text(const char *a, const char *b)
{
	return a == b || (a != NULL && b != NULL && strcmp(a, b) == 0);
}

static bool
has_same_affinity(const struct upstream_conf *a, const struct upstream_conf *b)
{
	const struct affinity_conf *x = &a->affinity, *y = &b->affinity;

	return is_text(x->cookie, y->cookie) && is_text(x->secret, y->secret) &&
	    x->life_ms == y->life_ms && x->same_site == y->same_site && x->secure == y->secure;
}

static bool
has_same_check(const struct check_conf *x, const struct check_conf *y)
{
	return x->is_on == y->is_on && is_text(x->path, y->path) && is_text(x->host, y->host) &&
	    is_text(x->body, y->body) && x->interval_ms == y->interval_ms &&
	    x->timeout_ms == y->timeout_ms && x->rise == y->rise && x->fall == y->fall &&
	    memcmp(&x->statuses, &y->statuses, sizeof(x->statuses)) == 0;
}

static bool
has_same_hedge(const struct hedge_conf *x, const struct hedge_conf *y)
{
	return x->is_on == y->is_on && x->after_part == y->after_part &&
	    x->after_ms == y->after_ms && x->budget == y->budget;
}

static bool
has_same_health(const struct upstream_conf *a, const struct upstream_conf *b)
{
	const struct eject_conf *x = &a->eject, *y = &b->eject;

	return has_same_check(&a->check, &b->check) && has_same_hedge(&a->hedge, &b->hedge) &&
	    x->errors == y->errors && x->latency == y->latency && x->time_ms == y->time_ms &&
	    x->max_time_ms == y->max_time_ms && x->share == y->share &&
	    memcmp(&x->statuses, &y->statuses, sizeof(x->statuses)) == 0 && a->panic == b->panic &&
	    a->retries == b->retries && a->retry_budget == b->retry_budget &&
	    memcmp(&a->retry_statuses, &b->retry_statuses, sizeof(a->retry_statuses)) == 0 &&
	    a->try_ms == b->try_ms && a->total_ms == b->total_ms && a->requests == b->requests;
}

static bool
has_same_choice(const struct upstream_conf *a, const struct upstream_conf *b)
{
	if (a->balance != b->balance || !is_text(a->zone, b->zone) ||
	    a->zone_share != b->zone_share || a->hash_bound != b->hash_bound ||
	    a->ewma_ms != b->ewma_ms || a->slow_start_ms != b->slow_start_ms ||
	    a->hash_parts_count != b->hash_parts_count || !has_same_affinity(a, b))
		return false;
	for (unsigned i = 0; i < a->hash_parts_count; i++)
		if (a->hash_parts[i].kind != b->hash_parts[i].kind ||
		    !is_text(a->hash_parts[i].name, b->hash_parts[i].name))
			return false;
	return true;
}

static bool
is_same(const struct upstream *u, const struct upstream_conf *c, const struct upstream_section *s,
    unsigned workers)
{
	const struct upstream_conf *had = &u->conf;

	if (strcmp(had->name, c->name) != 0 || !has_same_choice(had, c) ||
	    !has_same_health(had, c) || had->connect_ms != c->connect_ms ||
	    had->response_ms != c->response_ms || had->idle_ms != c->idle_ms ||
	    had->life_ms != c->life_ms || had->max != c->max || had->pending != c->pending ||
	    had->host_from_server != c->host_from_server ||
	    had->announces_clients != c->announces_clients || had->protocol != c->protocol ||
	    had->streams != c->streams)
		return false;
	if (u->workers != workers || u->entries_count != s->servers.count)
		return false;
	for (unsigned i = 0; i < u->entries_count; i++) {
		const struct upstream_server_conf *now = &s->servers.items[i];
		const struct server_entry *was = &u->entries[i];

		if (strcmp(was->text, server_text(now)) != 0 || !is_text(was->zone, now->zone) ||
		    was->weight != (unsigned)now->weight)
			return false;
	}
	return true;
}

struct upstream *
upstream_from(const struct upstream_section *s, unsigned workers, struct upstream *keep)
{
	struct upstream_conf c = settings_of(s);
	struct secure *secure = secure_of(&s->tls);
	struct upstream *u;

	if (keep != NULL && is_same(keep, &c, s, workers) && secure_is_same(keep->secure, secure)) {
		secure_free(&secure);
		return upstream_ref(keep);
	}
	u = build(s, &c, workers);
	if (u == NULL)
		bug("upstream %s: a server that was checked is no address", c.name);
	secure_give(u, &secure);
	if (keep != NULL)
		drains_share(u, keep, clock_mono_ms());
	return u;
}
