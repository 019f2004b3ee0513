#include "admin/api.h"

#include <stdlib.h>

#include "admin/explain.h"
#include "admin/health.h"
#include "admin/metrics.h"
#include "admin/purge.h"
#include "admin/servers.h"
#include "admin/warm.h"
#include "base/mem.h"
#include "server/accessline.h"
#include "server/handler.h"

#define ADMIN_BODY_MAX 65536

/* clang-format off */
/* Methods are bits; who may GET may HEAD. is_open: answered without the token.
 *     path             methods           handler        is_open  text */
#define ADMIN_ROUTES(X)                                                                                            \
	X("/health",       BIT(METHOD_GET), health_alive,  true,    "200 as long as the process serves")           \
	X("/health/ready", BIT(METHOD_GET), health_ready,  true,    "200 or 503, with each dependency and its latency, as JSON") \
	X("/explain",      BIT(METHOD_POST), explain_serve, false, "What a request would get now, and why, without sending it") \
	X("/warm",         BIT(METHOD_GET) | BIT(METHOD_POST) | BIT(METHOD_DELETE), warm_serve, false, "Warming: how far it is, begins it, stops it") \
	X("/purge",        BIT(METHOD_POST), purge_serve, false,    "Purges by URL, prefix, pattern or tag, or counts what it would; says how many there were") \
	X("/cache",        BIT(METHOD_GET), cache_serve, false,     "What is stored: how much, and a list") \
	X("/servers",      BIT(METHOD_GET) | BIT(METHOD_POST), servers_serve, false, "The servers behind: state, weight, what is on its way; drains one, or puts it back") \
	X("/metrics",      BIT(METHOD_GET), metrics_serve, false,   "Counters and gauges for Prometheus (docs/metrics.md)")
/* clang-format on */

#define BIT(m) (1u << (m))

struct endpoint {
	const char *path;
	uint32_t methods;
	void (*handler)(struct exchange *x);
	bool is_open;
	const char *text;
};

static const struct endpoint endpoints[] = {
#define X(path, methods, handler, is_open, text) {path, methods, handler, is_open, text},
    ADMIN_ROUTES(X)
#undef X
};
#define ENDPOINTS (sizeof(endpoints) / sizeof(endpoints[0]))

/* What a route's handler is given. Lives in the site's memory. */
struct admitted {
	const struct endpoint *endpoint; /* NULL: there is none */
	struct slice token;		 /* empty: none is asked for */
};

/* How long it takes tells nothing of the secret but its length. */
static bool
is_secret(struct slice told, struct slice secret)
{
	size_t diff = told.n ^ secret.n;

	for (size_t i = 0; i < told.n && secret.n > 0; i++)
		diff |= (unsigned char)(told.p[i] ^ secret.p[i % secret.n]);
	return diff == 0;
}

static bool
has_token(const struct head *h, struct slice token)
{
	struct slice told = head_value(h, FIELD_AUTHORIZATION);

	if (token.n == 0)
		return true;
	if (told.n < 7 || !slice_ieq(slice_of(told.p, 7), SLICE_LIT("Bearer ")))
		return false;
	return is_secret(slice_trim(slice_skip(told, 7)), token);
}

static bool
fits_method(const struct endpoint *e, enum method m)
{
	if (m == METHOD_HEAD)
		m = METHOD_GET;
	return (e->methods & BIT(m)) != 0;
}

static void
answer_problem(struct exchange *x, unsigned status, const char *title)
{
	struct buf b = {0};

	buf_printf(
	    &b, "{\"type\":\"about:blank\",\"title\":\"%s\",\"status\":%u}\n", title, status);
	exchange_answer(x, status, "application/problem+json", buf_slice(&b));
	buf_fini(&b);
}

static void
answer_wrong_method(struct exchange *x, const struct endpoint *e)
{
	bool gets = (e->methods & BIT(METHOD_GET)) != 0,
	     posts = (e->methods & BIT(METHOD_POST)) != 0,
	     deletes = (e->methods & BIT(METHOD_DELETE)) != 0;

	exchange_add_field(x, "Allow",
	    deletes		? "GET, HEAD, POST, DELETE"
		: gets && posts ? "GET, HEAD, POST"
		: gets		? "GET, HEAD"
				: "POST");
	answer_problem(x, 405, "Method Not Allowed");
}

static void
answer_unauthorized(struct exchange *x)
{
	observe_add(exchange_worker(x)->observer, COUNT_admin_denied, 1);
	exchange_add_field(x, "WWW-Authenticate", "Bearer realm=\"forebay\"");
	answer_problem(x, 401, "Unauthorized");
}

/* The one door: who may, then what. A stranger does not even learn which paths there are. */
static void
admin_serve(struct exchange *x, void *arg)
{
	const struct admitted *a = arg;
	const struct endpoint *e = a->endpoint;
	const struct head *h = exchange_head(x);

	exchange_add_field(x, "Cache-Control", "no-store");
	if ((e == NULL || !e->is_open) && !has_token(h, a->token))
		answer_unauthorized(x);
	else if (e == NULL)
		answer_problem(x, 404, "Not Found");
	else if (!fits_method(e, h->method))
		answer_wrong_method(x, e);
	else
		e->handler(x);
}

static void
add_route(struct site *s, const struct endpoint *e, const char *path, struct slice token)
{
	struct route *r = &s->routes[s->routes_count++];
	struct admitted *a = arena_alloc(&s->mem, sizeof(*a));
	const char *problem = NULL;

	*a = (struct admitted){e, token};
	*r = (struct route){.name = path,
	    .slot = ROUTE_SLOT_UNCOUNTED,
	    .path = pattern_new(&s->mem, path, &problem),
	    .action = ROUTE_HANDLER,
	    .handler = admin_serve,
	    .handler_arg = a,
	    .body_size = ADMIN_BODY_MAX};
	if (r->path == NULL)
		bug("admin route %s: %s", path, problem);
}

static void
copy_limits(struct site *s, const struct site *from)
{
	s->head_size = from->head_size;
	s->target_size = from->target_size;
	s->body_size = ADMIN_BODY_MAX;
	s->head_timeout_ms = from->head_timeout_ms;
	s->body_timeout_ms = from->body_timeout_ms;
	s->keepalive_timeout_ms = from->keepalive_timeout_ms;
	s->drain_timeout_ms = from->drain_timeout_ms;
	s->connections = from->connections;
	s->rate_style = from->rate_style;
	s->name = "forebay";
	if (from->trusted_count > 0) {
		size_t n = from->trusted_count * sizeof(*s->trusted);

		s->trusted = memcpy(arena_alloc(&s->mem, n), from->trusted, n);
		s->trusted_count = from->trusted_count;
	}
}

struct site *
admin_site_new(struct commons *commons, const struct site *site, const char *token)
{
	struct site *s = must_calloc(1, sizeof(*s));
	struct slice secret;

	atomic_init(&s->refs, 1);
	s->generation = site->generation;
	copy_limits(s, site);
	secret = token == NULL ? SLICE_NONE : arena_copy(&s->mem, slice_from(token));
	s->routes = arena_zalloc(&s->mem, (ENDPOINTS + 1) * sizeof(*s->routes));
	for (unsigned i = 0; i < ENDPOINTS; i++)
		add_route(s, &endpoints[i], endpoints[i].path, secret);
	add_route(s, NULL, "/**", secret);
	return s;
}

static const struct {
	const char *name, *text;
} members[] =
    {
#define X(name, kind, value, text) {#name, text},
	ACCESS_MEMBERS(X)
#undef X
},
  extras[] = {
#define X(name, kind, value, text) {#name, text},
      ACCESS_EXTRAS(X)
#undef X
};

void
admin_reference(struct buf *b)
{
	buf_printf(b,
	    "# The admin listener, and the access log\n\n"
	    "Written from the tables in the code; a unit test holds this page to them.\n\n"
	    "## Endpoints\n\n"
	    "| path | asks for admin.token | answers |\n|---|---|---|\n");
	for (unsigned i = 0; i < ENDPOINTS; i++)
		buf_printf(b, "| `%s` | %s | %s |\n", endpoints[i].path,
		    endpoints[i].is_open ? "no" : "yes", endpoints[i].text);
	buf_printf(b,
	    "\n## Members of a JSON line in the access log\n\n"
	    "Texts that do not apply are empty. Query strings are logged, as other servers do; "
	    "Authorization, Cookie\nand passwords in URLs never are.\n\n"
	    "| member | meaning |\n|---|---|\n");
	for (unsigned i = 0; i < sizeof(members) / sizeof(members[0]); i++)
		buf_printf(b, "| `%s` | %s |\n", members[i].name, members[i].text);
	buf_printf(b,
	    "\n## What an extended line has behind the combined one\n\n"
	    "In this order, blanks between them; `-`: there is none.\n\n"
	    "| field | meaning |\n|---|---|\n");
	for (unsigned i = 0; i < sizeof(extras) / sizeof(extras[0]); i++)
		buf_printf(b, "| %s | %s |\n", extras[i].name, extras[i].text);
}
