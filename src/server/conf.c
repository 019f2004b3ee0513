#include "server/conf.h"

#include <sched.h>
#include <unistd.h>

#include "base/log.h"
#include "event/address.h"
#include "event/nameserver.h"

const struct conf_word auto_words[] = {{"auto", CONF_AUTO, false}, {0}};
const struct conf_word redirect_words[] = {{"off", 0, false}, {"on", 443, false}, {0}};
const struct conf_word access_format_words[] = {{"combined", ACCESS_COMBINED, false},
    {"extended", ACCESS_EXTENDED, false}, {"json", ACCESS_JSON, false}, {0}};
const struct conf_word log_level_words[] = {{"error", LOG_LEVEL_ERROR, false},
    {"warning", LOG_LEVEL_WARN, false}, {"info", LOG_LEVEL_INFO, false},
    {"debug", LOG_LEVEL_DEBUG, false}, {"warn", LOG_LEVEL_WARN, true}, {0}};
const struct conf_word rate_style_words[] = {
#define X(name, written, text) {written, RATE_STYLE_##name, false},
    RATE_STYLE_TABLE(X)
#undef X
	{0}};

#define CONF_TARGET struct certificate_conf
static const struct conf_directive certificate_rows[] = {CERTIFICATE_DIRECTIVES(CONF_ROW)};
#undef CONF_TARGET
const struct conf_table certificate_table = CONF_TABLE("certificate", struct certificate_conf,
    certificate_rows, .text = "Relative paths start at the file they are written in.");

#define CONF_TARGET struct listen_tls_conf
static const struct conf_directive listen_tls_rows[] = {LISTEN_TLS_DIRECTIVES(CONF_ROW)};
#undef CONF_TARGET
const struct conf_table listen_tls_table =
    CONF_TABLE("listen_tls", struct listen_tls_conf, listen_tls_rows, .shortcut = "certificates");

#define CONF_TARGET struct proxy_protocol_conf
static const struct conf_directive proxy_protocol_rows[] = {PROXY_PROTOCOL_DIRECTIVES(CONF_ROW)};
#undef CONF_TARGET
const struct conf_table proxy_protocol_table = CONF_TABLE("proxy_protocol",
    struct proxy_protocol_conf, proxy_protocol_rows, .shortcut = "from",
    .text = "The address that the header names is the client's from then on: for logs, limits, "
	    "`trusted_proxies` and X-Forwarded-For. On a unix socket everybody must send one. What "
	    "is malformed, "
	    "late or missing closes the connection without an answer.");

#define CONF_TARGET struct listen_conf
static const struct conf_directive listen_rows[] = {LISTEN_DIRECTIVES(CONF_ROW)};
#undef CONF_TARGET
const struct conf_table listen_table = CONF_TABLE("listen", struct listen_conf, listen_rows,
    .shortcut = "address", .text = "A socket on which clients are served.");

#define CONF_TARGET struct admin_conf
static const struct conf_directive admin_rows[] = {ADMIN_DIRECTIVES(CONF_ROW)};
#undef CONF_TARGET
const struct conf_table admin_table = CONF_TABLE("admin", struct admin_conf, admin_rows,
    .shortcut = "address",
    .text =
	"`/health`, `/health/ready`, `/metrics` and the API behind the command line. `off`: none.");

#define CONF_TARGET struct access_log_conf
static const struct conf_directive access_log_rows[] = {ACCESS_LOG_DIRECTIVES(CONF_ROW)};
#undef CONF_TARGET
const struct conf_table access_log_table =
    CONF_TABLE("access_log", struct access_log_conf, access_log_rows, .shortcut = "path");

#define CONF_TARGET struct log_conf
static const struct conf_directive log_rows[] = {LOG_DIRECTIVES(CONF_ROW)};
#undef CONF_TARGET
const struct conf_table log_table =
    CONF_TABLE("log", struct log_conf, log_rows, .shortcut = "level");

#define CONF_TARGET struct limits_conf
static const struct conf_directive limits_rows[] = {LIMITS_DIRECTIVES(CONF_ROW)};
#undef CONF_TARGET
const struct conf_table limits_table = CONF_TABLE("limits", struct limits_conf, limits_rows,
    .text = "What one client, or all of them, can make Forebay hold.");

/* --- cache: two lists in one map ---------------------------------------------------------------- */

#define CACHE_RULE_ROW(name_, type_, def_, least_, most_, text_, ...) \
	{.name = #name_,                                              \
	    CONF_TYPE_##type_,                                        \
	    CONF_AT(struct cache_conf, rules.name_),                  \
	    .def = def_,                                              \
	    .least = least_,                                          \
	    .most = most_,                                            \
	    .text = text_,                                            \
	    ##__VA_ARGS__},

#define CONF_TARGET struct cache_conf
static const struct conf_directive cache_rows[] = {
    CACHE_DIRECTIVES(CONF_ROW) CACHE_RULE_DIRECTIVES(CACHE_RULE_ROW)};
#undef CONF_TARGET

/* The rules become a route's settings of their own: what was given here counts as given there. */
static void
split_rules(struct conf_context *cx, const struct conf_table *t, void *target)
{
	struct cache_conf *c = target;
	size_t store = 0;

	while (t->rows[store].offset < offsetof(struct cache_conf, rules))
		store++;
	c->rules.conf.node = c->conf.node;
	c->rules.conf.set = c->conf.set >> store;
}

const struct conf_table cache_table =
    CONF_TABLE("cache", struct cache_conf, cache_rows, .check = split_rules,
	.text = "The store, and what routes take where they say nothing themselves. `off`: nothing "
		"is cached.");

#define CONF_TARGET struct purge_method_conf
static const struct conf_directive purge_method_rows[] = {PURGE_METHOD_DIRECTIVES(CONF_ROW)};
#undef CONF_TARGET
const struct conf_table purge_method_table = CONF_TABLE("purge_method", struct purge_method_conf,
    purge_method_rows, .shortcut = "allow",
    .text =
	"A request with the method PURGE drops what is stored for its URL; one that ends in `*`, "
	"all that "
	"begins so. With Surrogate-Key, xkey, xkey-purge or Cache-Tag it drops what has these tags "
	"instead; "
	"`Fastly-Soft-Purge: 1`, or xkey-softpurge for tags, makes stale. The answer is that of "
	"`POST /purge` of the admin interface. PURGE is never forwarded; where this is off it gets "
	"405.");

/* --- the top ------------------------------------------------------------------------------------ */

/* It would send clients to where they are. */
static void
check_redirect(struct conf_context *cx, const struct listen_conf *l)
{
	if (l->https_redirect != 0 && !l->tls.conf.is_off)
		conf_error(cx->diag, conf_place(&listen_table, l, "https_redirect"),
		    "https_redirect: this listener speaks https itself; put it on the plain one");
}

static bool
is_bindable(const char *address)
{
	return address_of_listener(address, "::", &(struct address){0});
}

/* Of a name nobody knows beforehand what it will be, and whether that is this machine's. */
static void
refuse_name(struct conf_context *cx, struct conf_place at, const char *address)
{
	conf_error(cx->diag, at, "address: \"%s\" names no address of this machine", address);
	conf_hint(cx->diag,
	    "expected %s (all addresses), 127.0.0.1%s, [::1]%s or unix:/path; what a client asks "
	    "for by name is a route's host",
	    strrchr(address, ':'), strrchr(address, ':'), strrchr(address, ':'));
}

static void
refuse_twice(struct conf_context *cx, struct conf_place at, const char *address)
{
	conf_error(cx->diag, at, "address: \"%s\" is listened on twice", address);
}

/* Whoever wrote it takes for guarded what is open. */
static void
check_client_ca(struct conf_context *cx, const struct listen_tls_conf *c)
{
	if (c->client_ca != NULL || !CONF_IS_SET(&listen_tls_table, c, client_certificates))
		return;
	conf_error(cx->diag, conf_place(&listen_tls_table, c, "client_certificates"),
	    "client_certificates: nobody is asked for one without client_ca");
}

/* A route that would refuse everybody. */
static void
check_client_certificates(struct conf_context *cx, const struct server_conf *c)
{
	bool is_asked = false;

	for (size_t i = 0; i < c->listen.count; i++)
		is_asked |= c->listen.items[i].tls.client_ca != NULL;
	for (size_t i = 0; i < c->routes.count && !is_asked; i++) {
		const struct route_conf *r = &c->routes.items[i];

		if (r->client_certificates != CLIENT_CERTIFICATES_REQUIRED)
			continue;
		conf_error(cx->diag, conf_place(&route_table, r, "client_certificates"),
		    "client_certificates: no listener asks clients for any");
		conf_hint(
		    cx->diag, "listen: tls: {client_ca: FILE, client_certificates: optional}");
	}
}

/* What would only be found when the second socket is bound. */
static void
check_addresses(struct conf_context *cx, const struct server_conf *c)
{
	const char *admin = c->admin.conf.is_off ? "" : c->admin.address;

	if (*admin != '\0' && !is_bindable(admin))
		refuse_name(cx, conf_place(&admin_table, &c->admin, "address"), admin);
	for (size_t i = 0; i < c->listen.count; i++) {
		const struct listen_conf *l = &c->listen.items[i];
		struct conf_place at = conf_place(&listen_table, l, "address");

		check_redirect(cx, l);
		check_client_ca(cx, &l->tls);
		if (!is_bindable(l->address))
			refuse_name(cx, at, l->address);
		if (strcmp(l->address, admin) == 0)
			refuse_twice(cx, at, admin);
		for (size_t before = 0; before < i; before++)
			if (strcmp(c->listen.items[before].address, l->address) == 0)
				refuse_twice(cx, at, l->address);
	}
}

static void
check_resolver(struct conf_context *cx, const struct server_conf *c)
{
	struct buf list = {0};

	for (size_t i = 0; i < c->resolver.count; i++) {
		if (nameserver_add(&list, c->resolver.items[i]))
			continue;
		conf_error(cx->diag, conf_place(&server_table, c, "resolver"),
		    "resolver: \"%s\" is no address of a name server", c->resolver.items[i]);
		conf_hint(cx->diag,
		    "expected an address, as in 10.0.0.53, 127.0.0.1:5353 or "
		    "[fd00::53]:53");
	}
	buf_fini(&list);
}

static void
check_all(struct conf_context *cx, const struct conf_table *t, void *target)
{
	check_addresses(cx, target);
	check_client_certificates(cx, target);
	check_resolver(cx, target);
}

#define CONF_TARGET struct server_conf
static const struct conf_directive server_rows[] = {SERVER_DIRECTIVES(CONF_ROW)};
#undef CONF_TARGET
const struct conf_table server_table =
    CONF_TABLE("forebay", struct server_conf, server_rows, .check = check_all);

struct server_conf *
server_conf_load(const char *path, struct arena *mem, struct conf_diag *d)
{
	struct server_conf *c = arena_zalloc(mem, sizeof(*c));

	return conf_load(path, &server_table, c, mem, d) < 0 ? NULL : c;
}

struct server_conf *
server_conf_load_text(const struct conf_text *src, struct arena *mem, struct conf_diag *d)
{
	struct server_conf *c = arena_zalloc(mem, sizeof(*c));

	return conf_load_text(src, &server_table, c, mem, d) < 0 ? NULL : c;
}

unsigned
server_conf_workers(const struct server_conf *c)
{
	cpu_set_t set;
	int n = 1;

	if (c->workers != CONF_AUTO)
		return (unsigned)c->workers;
	if (sched_getaffinity(0, sizeof(set), &set) == 0)
		n = CPU_COUNT(&set);
	return n < 1 ? 1 : n > 256 ? 256 : (unsigned)n;
}

/* Beside the binary: bin/forebay and conf/forebay.yaml, or both in one directory's conf/. */
static const char *
path_beside_binary(struct arena *mem)
{
	static const char *const places[] = {"conf", "../conf"};
	char self[4096];
	ssize_t n = readlink("/proc/self/exe", self, sizeof(self) - 1);
	const char *slash, *path;

	if (n <= 0)
		return NULL;
	self[n] = '\0';
	slash = strrchr(self, '/');
	for (size_t i = 0; slash != NULL && i < sizeof(places) / sizeof(*places); i++) {
		path =
		    arena_printf(mem, "%.*s/%s/forebay.yaml", (int)(slash - self), self, places[i])
			.p;
		if (access(path, R_OK) == 0)
			return path;
	}
	return NULL;
}

const char *
server_conf_default_path(struct arena *mem)
{
	const char *beside;

	if (access("conf/forebay.yaml", R_OK) == 0)
		return "conf/forebay.yaml";
	beside = path_beside_binary(mem);
	return beside != NULL ? beside : "/etc/forebay/forebay.yaml";
}

const char *
server_conf_path(struct arena *mem, const struct conf_head *near, const char *path)
{
	const struct conf_file *f = near->node == NULL ? NULL : near->node->at.file;

	if (path[0] == '/' || f == NULL || f->dir == NULL || f->dir[0] == '\0')
		return path;
	return arena_printf(mem, "%s/%s", f->dir, path).p;
}
