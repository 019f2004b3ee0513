#include "admin/servers.h"

#include <jansson.h>
#include <stdlib.h>
#include <string.h>

#include "base/buf.h"
#include "base/clock.h"
#include "server/audit.h"
#include "server/site.h"
#include "server/worker.h"
#include "upstream/drains.h"
#include "upstream/health.h"
#include "upstream/pool.h"

static void
refuse(struct exchange *x, unsigned status, const char *why)
{
	struct buf b = {0};

	buf_printf(&b, "{\"type\":\"about:blank\",\"title\":\"%s\",\"status\":%u}\n", why, status);
	exchange_answer(x, status, "application/problem+json", buf_slice(&b));
	buf_fini(&b);
}

/* --- the list --- */

static const char *
checks_word(const struct server *s)
{
	if (!s->upstream->conf.check.is_on)
		return "off";
	return s->health.is_down ? "down" : "up";
}

/* With the upstream's lock held. */
static json_t *
json_server(const struct server *s, int64_t now_ms)
{
	int64_t left_ms = s->health.ejected_until_ms - now_ms;

	return json_pack("{s:s,s:s,s:b,s:s,s:f,s:f,s:i,s:s?,s:i,s:i,s:I,s:I}", "server", s->name,
	    "state", server_state_word(server_state(s, now_ms)), "drained",
	    (int)server_is_drained(s), "checks", checks_word(s), "ejected_for",
	    left_ms > 0 ? (double)left_ms / 1000 : 0.0, "weight", s->weight, "priority",
	    (int)s->priority, "zone", s->entry->zone, "in_flight", (int)s->in_flight, "connections",
	    (int)s->connections, "requests", (json_int_t)s->requests, "failures",
	    (json_int_t)s->failures);
}

static const char *
balance_word(enum balance b)
{
	static const char *const words[] = {
#define X(name, text) [BALANCE_##name] = #name,
	    BALANCES(X)
#undef X
	};

	return words[b];
}

static json_t *
json_upstream(struct upstream *u)
{
	json_t *servers = json_array();
	int64_t now_ms = clock_mono_ms();

	pthread_mutex_lock(&u->lock);
	drains_follow(u, now_ms);
	for (unsigned i = 0; i < u->servers_count; i++)
		if (server_is_listed(&u->servers[i]))
			json_array_append_new(servers, json_server(&u->servers[i], now_ms));
	pthread_mutex_unlock(&u->lock);
	return json_pack("{s:s,s:s,s:o}", "upstream", u->conf.name, "balance",
	    balance_word(u->conf.balance), "servers", servers);
}

/* only: NULL for all. */
static void
answer(struct exchange *x, const struct upstream *only)
{
	const struct site *site = exchange_worker(x)->site;
	json_t *list = json_array(), *top = json_pack("{s:o}", "upstreams", list);
	char *text;

	for (unsigned i = 0; i < site->upstreams_count; i++)
		if (only == NULL || only == site->upstreams[i])
			json_array_append_new(list, json_upstream(site->upstreams[i]));
	text = json_dumps(top, JSON_COMPACT);
	exchange_answer(
	    x, 200, "application/json", text == NULL ? SLICE_LIT("{}") : slice_from(text));
	free(text);
	json_decref(top);
}

static struct upstream *
find_upstream(struct exchange *x, struct slice name)
{
	const struct site *site = exchange_worker(x)->site;

	for (unsigned i = 0; i < site->upstreams_count; i++)
		if (slice_eq(name, slice_from(site->upstreams[i]->conf.name)))
			return site->upstreams[i];
	return NULL;
}

static void
list(struct exchange *x)
{
	struct slice query = exchange_query(x);
	struct upstream *only = NULL;

	if (query.n > 0 && !slice_starts(query, SLICE_LIT("upstream="))) {
		refuse(x, 400, "the one parameter is upstream");
		return;
	}
	if (query.n > 0)
		only = find_upstream(x, slice_skip(query, strlen("upstream=")));
	if (query.n > 0 && only == NULL)
		refuse(x, 404, "there is no such upstream");
	else
		answer(x, only);
}

/* --- an order --- */

/* What is idle to whom is drained is closed, so that a server that waits for its connections' ends may go. */
static void
close_idle(struct worker *w, struct upstream *u)
{
	for (unsigned i = 0; i < u->servers_count; i++)
		if (server_is_drained(&u->servers[i]))
			pool_close_leaving(w->pool, &u->servers[i]);
}

static void
audit(struct exchange *x, const struct upstream *u, const struct drain_order *o)
{
	json_t *e = audit_entry(o->is_drained ? "drain" : "undrain", "api", x);

	json_object_set_new(e, "upstream", json_string(u->conf.name));
	json_object_set_new(e, "server", json_string(o->server));
	if (o->is_forced)
		json_object_set_new(e, "forced", json_true());
	audit_write(&e);
}

static void
carry_out(struct exchange *x, struct upstream *u, const struct drain_order *o)
{
	switch (upstream_drain(u, o, clock_mono_ms())) {
	case DRAIN_done:
		close_idle(exchange_worker(x), u);
		audit(x, u, o);
		answer(x, u);
		break;
	case DRAIN_unknown:
		refuse(x, 404, "the upstream has no such server");
		break;
	case DRAIN_last:
		refuse(x, 409, "no other server of the upstream is up");
		break;
	case DRAIN_with_name:
		refuse(x, 409, "its whole name is drained, and that stays so: undrain the name");
		break;
	}
}

/* False: it is none. */
static bool
read_order(const json_t *top, struct drain_order *o)
{
	const json_t *drain = json_object_get(top, "drain"), *force = json_object_get(top, "force");

	o->server = json_string_value(json_object_get(top, "server"));
	o->is_drained = json_is_true(drain);
	o->is_forced = json_is_true(force);
	return o->server != NULL && json_is_boolean(drain) &&
	    (force == NULL || json_is_boolean(force));
}

static void
order(struct exchange *x)
{
	struct slice body = exchange_body(x);
	json_t *top = json_loadb(body.p == NULL ? "" : body.p, body.n, 0, NULL);
	const char *name = json_string_value(json_object_get(top, "upstream"));
	struct upstream *u = name == NULL ? NULL : find_upstream(x, slice_from(name));
	struct drain_order o;

	if (name == NULL || !read_order(top, &o))
		refuse(x, 400,
		    "the body is not {upstream, server, drain: true or false, force: true or "
		    "false}");
	else if (u == NULL)
		refuse(x, 404, "there is no such upstream");
	else
		carry_out(x, u, &o);
	json_decref(top);
}

void
servers_serve(struct exchange *x)
{
	if (exchange_head(x)->method == METHOD_POST)
		order(x);
	else
		list(x);
}
