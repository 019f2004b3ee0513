#include "upstream/section.h"

#include <errno.h>
#include <stdlib.h>

#include "base/clock.h"
#include "base/mem.h"
#include "upstream/drains.h"

struct status_set
section_statuses(size_t count, const char *const *texts, const char **bad_out)
{
	struct status_set set = {{0}};

	*bad_out = NULL;
	for (size_t i = 0; i < count; i++)
		if (!status_set_add(&set, texts[i]))
			*bad_out = texts[i];
	return set;
}

struct secure *
section_secure(const struct upstream_tls_conf *c)
{
	const struct secure_conf conf = {
	    .tls = {.ca = c->ca, .cert = c->cert, .key = c->key, .is_13_only = c->min_version != 0},
	    .name = c->name};

	return c->conf.is_off ? NULL : secure_new(&conf);
}

bool
section_is_token(const char *text)
{
	return text[0] != '\0' && text[strcspn(text, " \t,;=:\"()<>@/[]?{}\\")] == '\0';
}

bool
section_hash_part(const char *text, struct hash_part *out)
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
		if (parts[i].is_named && text[n] == ':' && section_is_token(out->name))
			return true;
	}
	return false;
}

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
			section_statuses(s->health.statuses.count, s->health.statuses.items, &bad)};
	if (!s->retries.conf.is_off) {
		c.retries = (unsigned)s->retries.max;
		c.retry_budget = s->retries.budget;
		c.retry_statuses =
		    section_statuses(s->retries.statuses.count, s->retries.statuses.items, &bad);
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
		    .statuses = section_statuses(
			s->ejection.statuses.count, s->ejection.statuses.items, &bad)};

	if (!s->affinity.conf.is_off)
		c.affinity = (struct affinity_conf){.cookie = s->affinity.cookie,
		    .secret = s->affinity.secret,
		    .life_ms = s->affinity.life,
		    .same_site = (enum same_site)s->affinity.same_site,
		    .secure = (enum affinity_secure)s->affinity.secure};
	for (size_t i = 0; i < s->hash.key.count; i++)
		if (!section_hash_part(s->hash.key.items[i], &c.hash_parts[c.hash_parts_count++]))
			bug("a key that was checked has a bad part");
	return c;
}

const char *
section_server_text(const struct upstream_server_conf *s)
{
	return s->srv != NULL ? s->srv : s->address != NULL ? s->address : "";
}

struct upstream *
section_build(const struct upstream_section *s, const struct upstream_conf *c, unsigned workers)
{
	struct server_spec *specs = must_calloc(s->servers.count, sizeof(*specs));
	struct upstream *u;
	int e;

	for (size_t i = 0; i < s->servers.count; i++)
		specs[i] = (struct server_spec){section_server_text(&s->servers.items[i]),
		    s->servers.items[i].zone, (unsigned)s->servers.items[i].weight};
	u = upstream_new(c, specs, (unsigned)s->servers.count, workers);
	e = errno;
	free(specs);
	errno = e;
	return u;
}

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

		if (strcmp(was->text, section_server_text(now)) != 0 ||
		    !is_text(was->zone, now->zone) || was->weight != (unsigned)now->weight)
			return false;
	}
	return true;
}

struct upstream *
upstream_from(const struct upstream_section *s, unsigned workers, struct upstream *keep)
{
	struct upstream_conf c = settings_of(s);
	struct secure *secure = section_secure(&s->tls);
	struct upstream *u;

	if (keep != NULL && is_same(keep, &c, s, workers) && secure_is_same(keep->secure, secure)) {
		secure_free(&secure);
		return upstream_ref(keep);
	}
	u = section_build(s, &c, workers);
	if (u == NULL)
		bug("upstream %s: a server that was checked is no address", c.name);
	secure_give(u, &secure);
	if (keep != NULL)
		drains_share(u, keep, clock_mono_ms());
	return u;
}
