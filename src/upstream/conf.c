#include "upstream/conf.h"

#include "base/mem.h"

const struct conf_word upstream_life_words[] = {{"off", 0, false}, {0}};
const struct conf_word upstream_balance_words[] = {
#define X(name, text) {#name, BALANCE_##name, false},
    BALANCES(X)
#undef X
	{0}};
const struct conf_word upstream_host_words[] = {{"client", 0, false}, {"server", 1, false}, {0}};

/* What an address of a listener may be, but not of a server: ":8080", "*:8080". */
static void
check_servers(struct conf_context *cx, const struct conf_table *t, void *target)
{
	const struct upstream_section *s = target;

	for (size_t i = 0; i < s->servers.count; i++) {
		const char *text = s->servers.items[i];

		if (text[0] != ':' && text[0] != '*')
			continue;
		conf_error(
		    cx->diag, conf_place(t, s, "servers"), "servers: \"%s\" names no host", text);
		conf_hint(cx->diag, "expected host:port, as in 127.0.0.1%s", strchr(text, ':'));
	}
}

#define CONF_TARGET struct upstream_pool_conf
static const struct conf_directive pool_rows[] = {UPSTREAM_POOL_DIRECTIVES(CONF_ROW)};
#undef CONF_TARGET
const struct conf_table upstream_pool_table =
    CONF_TABLE("upstream_connections", struct upstream_pool_conf, pool_rows, );

#define CONF_TARGET struct upstream_timeout_conf
static const struct conf_directive timeout_rows[] = {UPSTREAM_TIMEOUT_DIRECTIVES(CONF_ROW)};
#undef CONF_TARGET
const struct conf_table upstream_timeout_table =
    CONF_TABLE("upstream_timeouts", struct upstream_timeout_conf, timeout_rows, );

#define CONF_TARGET struct upstream_section
static const struct conf_directive upstream_rows[] = {UPSTREAM_DIRECTIVES(CONF_ROW)};
#undef CONF_TARGET
const struct conf_table upstream_table = CONF_TABLE("upstream", struct upstream_section,
    upstream_rows, .shortcut = "servers", .check = check_servers,
    .text = "A group of servers that give the same answers, under the name that routes use.");

static struct upstream_conf
settings_of(const struct upstream_section *s)
{
	return (struct upstream_conf){
	    .name = s->conf.name,
	    .balance = (enum balance)s->balance,
	    .connect_ms = s->timeouts.connect,
	    .response_ms = s->timeouts.response,
	    .idle_ms = s->connections.idle,
	    .life_ms = s->connections.life,
	    .max = (unsigned)s->connections.max,
	    .pending = (unsigned)s->connections.pending,
	    .host_from_server = s->host != 0,
	};
}

static bool
is_same(const struct upstream *u, const struct upstream_conf *c, const struct upstream_section *s,
    unsigned workers)
{
	const struct upstream_conf *had = &u->conf;

	if (strcmp(had->name, c->name) != 0 || had->balance != c->balance ||
	    had->connect_ms != c->connect_ms || had->response_ms != c->response_ms ||
	    had->idle_ms != c->idle_ms || had->life_ms != c->life_ms || had->max != c->max ||
	    had->pending != c->pending || had->host_from_server != c->host_from_server)
		return false;
	if (u->workers != workers || u->servers_count != s->servers.count)
		return false;
	for (unsigned i = 0; i < u->servers_count; i++)
		if (strcmp(u->servers[i].name, s->servers.items[i]) != 0)
			return false;
	return true;
}

struct upstream *
upstream_from(const struct upstream_section *s, unsigned workers, struct upstream *keep)
{
	struct upstream_conf c = settings_of(s);
	struct upstream *u;

	if (keep != NULL && is_same(keep, &c, s, workers))
		return upstream_ref(keep);
	u = upstream_new(&c, s->servers.items, (unsigned)s->servers.count, workers);
	if (u == NULL)
		bug("upstream %s: a server that was checked is no address", c.name);
	return u;
}
