#include "admin/health.h"

#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

#include "admin/probe.h"
#include "admin/process.h"
#include "admin/timestamp.h"
#include "base/clock.h"
#include "base/mem.h"
#include "base/version.h"
#include "cache/clerk.h"
#include "cache/redis.h"
#include "event/redisurl.h"
#include "event/tlsexpiry.h"
#include "server/conf.h"
#include "server/handler.h"
#include "server/worker.h"
#include "upstream/health.h"

#define JSON "application/json"

struct run;
struct check;

/* One thing we depend on: an upstream with a probe for each server, Redis, or the log of purges in it. */
struct check {
	struct upstream *upstream; /* the site's; NULL: something else */
	char *name;
	void (*judge)(struct run *r, struct check *c);
	unsigned first, count; /* probes */
	bool healthy;
	char message[256];
	int64_t latency_us; /* -1: no connection */
};

/* One asking of /health/ready. Ends with its answer, or with its exchange. */
struct run {
	struct later later;
	struct worker *worker;
	struct site *site; /* own reference: whose upstreams are probed */
	struct timer timer;
	unsigned checks_count, probes_count;
	struct check *checks;
	struct probe *probes;
	unsigned waiting; /* probes under way, and one more while they are started */
	bool is_draining;
};

static _Atomic unsigned runs; /* bounds what strangers can make us connect */

/* What is told */

/* Which process this is, and what it works by: what `forebay reload` looks at. */
static json_t *
json_identity(struct worker *w)
{
	json_t *system = json_object();

	json_object_set_new(system, "version", json_string(FOREBAY_VERSION));
	json_object_set_new(system, "pid", json_integer(getpid()));
	json_object_set_new(system, "generation", json_integer(w->commons->generation));
	json_object_set_new(system, "reloads_failed", json_integer(w->commons->reloads_failed));
	return system;
}

/* Name, time and how long it has been running: common to both answers. */
static json_t *
json_service(struct worker *w, const char *status)
{
	int64_t now_ms = loop_wall_ms(w->loop);
	json_t *top = json_object();

	json_object_set_new(top, "service", json_string("forebay"));
	json_object_set_new(top, "status", json_string(status));
	json_object_set_new(top, "timestamp", json_timestamp(now_ms));
	json_object_set_new(
	    top, "uptime", json_integer((now_ms - w->commons->started_wall_ms) / 1000));
	return top;
}

static json_t *
json_system(struct worker *w)
{
	struct process_facts f = process_facts();
	json_t *system = json_identity(w);

	json_object_set_new(system, "workers", json_integer(w->commons->workers_count));
	json_object_set_new(system, "connections", json_integer(w->commons->connections));
	json_object_set_new(system, "memory_rss_bytes", json_integer((json_int_t)f.resident_bytes));
	json_object_set_new(system, "heap_bytes", json_integer((json_int_t)f.heap_bytes));
	json_object_set_new(system, "cpu_seconds", json_real(f.cpu_seconds));
	json_object_set_new(system, "load", json_pack("[f,f,f]", f.load1, f.load5, f.load15));
	return system;
}

static json_t *
json_check(const struct check *c)
{
	json_t *check = json_object();

	json_object_set_new(check, "healthy", json_boolean(c->healthy));
	json_object_set_new(check, "message", json_string(c->message));
	json_object_set_new(check, "latency",
	    c->latency_us < 0 ? json_null() : json_real((double)c->latency_us / 1000));
	return check;
}

static void judge_upstream(struct run *r, struct check *c);

static const char *
run_status(const struct run *r)
{
	unsigned upstreams = 0, healthy = 0, all_healthy = 0;

	for (unsigned i = 0; i < r->checks_count; i++) {
		bool is_upstream = r->checks[i].judge == judge_upstream;

		upstreams += is_upstream;
		healthy += is_upstream && r->checks[i].healthy;
		all_healthy += r->checks[i].healthy;
	}
	if (r->is_draining)
		return "draining";
	if (upstreams > 0 && healthy == 0)
		return "unavailable";
	return all_healthy == r->checks_count ? "ok" : "degraded";
}

/* Judging */

/* Servers that get no requests at the moment, by what they are: "; not asked: 1 down, 1 ejected". */
static void
add_unasked(struct check *c)
{
	unsigned counts[SERVER_STATE_leaving + 1] = {0};
	const char *before = "; not asked: ";
	size_t n = strlen(c->message);

	pthread_mutex_lock(&c->upstream->lock);
	for (unsigned i = 0; i < c->upstream->servers_count; i++)
		if (server_is_listed(&c->upstream->servers[i]))
			counts[server_state(&c->upstream->servers[i], clock_mono_ms())]++;
	pthread_mutex_unlock(&c->upstream->lock);
	for (unsigned s = SERVER_STATE_up + 1; s <= SERVER_STATE_leaving; s++) {
		if (counts[s] == 0 || n >= sizeof(c->message))
			continue;
		n += (size_t)snprintf(c->message + n, sizeof(c->message) - n, "%s%u %s", before,
		    counts[s], server_state_word((enum server_state)s));
		before = ", ";
	}
}

static void
judge_upstream(struct run *r, struct check *c)
{
	const char *why = "";
	unsigned up = 0;

	c->latency_us = -1;
	for (unsigned i = c->first; i < c->first + c->count; i++) {
		const struct probe *p = &r->probes[i];

		if (!p->is_connected) {
			why = p->why;
			continue;
		}
		up++;
		if (c->latency_us < 0 || p->took_us < c->latency_us)
			c->latency_us = p->took_us;
	}
	c->healthy = up > 0;
	snprintf(c->message, sizeof(c->message), "%u of %u servers accept connections%s%s", up,
	    c->count, why[0] == '\0' ? "" : "; the others: ", why);
	if (up == 0)
		snprintf(c->message, sizeof(c->message), "no server accepts connections: %s", why);
	if (up > 0)
		add_unasked(c);
}

/* It is used when it answered as it should, and all of it is well: its link knows. The probes (of sentinels or nodes, where
 * there are several) tell how far away it is. */
static void
judge_redis(struct run *r, struct check *c)
{
	struct l2 *l2 = r->worker->l2;
	const char *trouble = l2 == NULL ? "" : l2_trouble(l2), *why = "";
	bool is_connected = false;

	c->latency_us = -1;
	for (unsigned i = c->first; i < c->first + c->count; i++) {
		const struct probe *p = &r->probes[i];

		if (!p->is_connected) {
			why = p->why;
			continue;
		}
		is_connected = true;
		if (c->latency_us < 0 || p->took_us < c->latency_us)
			c->latency_us = p->took_us;
	}
	c->healthy = is_connected && trouble[0] == '\0' && l2 != NULL &&
	    l2_counters(l2)->reads_up && l2_counters(l2)->writes_up;
	if (c->healthy)
		snprintf(c->message, sizeof(c->message), "in use");
	else
		snprintf(c->message, sizeof(c->message), "%s",
		    !is_connected	     ? why
			: trouble[0] != '\0' ? trouble
					     : "connected, not in use yet");
}

/* Whether purges of other instances come in, and ours go out. */
static void
judge_purgelog(struct run *r, struct check *c)
{
	struct clerk_status s;

	clerk_status(r->worker->commons->clerk, &s);
	c->latency_us = -1;
	c->healthy = s.state == CLERK_connected;
	snprintf(c->message, sizeof(c->message),
	    "%s%s%s; epoch %016llx, applied %llu, lag %llu, pending %llu, %s",
	    clerk_state_texts[s.state], s.trouble[0] == '\0' ? "" : ": ", s.trouble,
	    (unsigned long long)s.epoch, (unsigned long long)s.metrics.applied,
	    (unsigned long long)s.metrics.lag, (unsigned long long)s.metrics.pending,
	    s.is_strict ? "strict" : "eventual");
}

/* The certificate that wants to be renewed most. */
struct expiry_look {
	int64_t now_s, least_s; /* of what is left; INT64_MAX: nothing has been seen */
	unsigned seen, late;
	char first[120];
};

static void
look_at_expiry(void *arg, const struct tls_expiry *e)
{
	struct expiry_look *look = arg;
	int64_t left_s = e->not_after_s - look->now_s;
	bool is_late = left_s < e->warn_s;

	look->seen++;
	look->late += is_late;
	if (left_s >= look->least_s)
		return;
	look->least_s = left_s;
	snprintf(look->first, sizeof(look->first), "%s", e->cert);
}

/* It is said, and the instance stays ready: others have the same certificates. */
static void
judge_certificates(struct run *r, struct check *c)
{
	struct expiry_look look = {
	    .now_s = loop_wall_ms(r->worker->loop) / 1000, .least_s = INT64_MAX};
	long long days, hours;

	tls_expiries_each(look_at_expiry, &look);
	c->latency_us = -1;
	c->healthy = look.late == 0;
	days = (long long)(look.least_s / 86400);
	hours = (long long)(look.least_s / 3600 % 24);
	if (look.seen == 0)
		snprintf(c->message, sizeof(c->message), "none in use");
	else if (look.least_s <= 0)
		snprintf(c->message, sizeof(c->message),
		    "%u of %u certificates wait to be renewed; %s has run out", look.late,
		    look.seen, look.first);
	else
		snprintf(c->message, sizeof(c->message),
		    "%u of %u certificates wait to be renewed; the first to run out, in %lld days "
		    "%lld hours, is %s",
		    look.late, look.seen, days, hours, look.first);
}

/* The end of a run */

static void
run_free(struct run *r)
{
	for (unsigned i = 0; i < r->probes_count; i++)
		probe_stop(&r->probes[i], "");
	for (unsigned i = 0; i < r->checks_count; i++)
		free(r->checks[i].name);
	timer_disarm(&r->timer);
	site_unref(&r->site);
	free(r->probes);
	free(r->checks);
	free(r);
	atomic_fetch_sub(&runs, 1);
}

static void
on_run_over(struct later *l)
{
	run_free(CONTAINER_OF(l, struct run, later));
}

static void
run_answer(struct run *r)
{
	const char *status;
	json_t *top, *checks = json_object();
	char *text;

	for (unsigned i = 0; i < r->checks_count; i++) {
		struct check *c = &r->checks[i];

		c->judge(r, c);
		json_object_set_new(checks, c->name, json_check(c));
	}
	status = run_status(r);
	top = json_service(r->worker, status);
	json_object_set_new(top, "checks", checks);
	json_object_set_new(top, "system", json_system(r->worker));
	text = json_dumps(top, JSON_INDENT(2) | JSON_REAL_PRECISION(6));
	json_decref(top);
	later_answer(&r->later,
	    strcmp(status, "ok") == 0 || strcmp(status, "degraded") == 0 ? 200 : 503, JSON,
	    text == NULL ? SLICE_LIT("{}") : slice_from(text));
	free(text);
	run_free(r);
}

static void
run_one_less(struct run *r)
{
	if (--r->waiting == 0)
		run_answer(r);
}

static void
on_probe_done(struct probe *p)
{
	run_one_less(p->arg);
}

static void
on_run_timeout(void *arg)
{
	struct run *r = arg;

	for (unsigned i = 0; i < r->probes_count; i++)
		probe_stop(&r->probes[i], "no connection within 5 s");
	run_answer(r);
}

/* Its beginning */

static const char *
redis_url_of(const struct site *s)
{
	const struct server_conf *conf = s->conf;

	if (conf == NULL || conf->cache.conf.is_off || conf->cache.redis.conf.is_off)
		return NULL;
	return conf->cache.redis.url;
}

static unsigned
count_redis(const char *text)
{
	struct redis_url url = {0};
	const char *why;
	unsigned count = 0;

	if (text != NULL && redis_url_parse(text, &url, &why) == 0)
		count = url.places_count;
	redis_url_fini(&url);
	return count;
}

static bool
has_tls(const struct site *s)
{
	const struct server_conf *conf = s->conf;

	for (size_t i = 0; conf != NULL && i < conf->listen.count; i++)
		if (!conf->listen.items[i].tls.conf.is_off)
			return true;
	return false;
}

static void
count_checks(struct run *r)
{
	unsigned redis = count_redis(redis_url_of(r->site));

	r->checks_count = r->site->upstreams_count + (redis > 0 ? 2 : 0) + has_tls(r->site);
	for (unsigned i = 0; i < r->site->upstreams_count; i++)
		r->probes_count += r->site->upstreams[i]->servers_count;
	r->probes_count += redis;
	r->checks = must_calloc(r->checks_count + 1, sizeof(*r->checks));
	r->probes = must_calloc(r->probes_count + 1, sizeof(*r->probes));
	r->waiting = 1;
	for (unsigned i = 0; i < r->probes_count; i++)
		r->probes[i] = (struct probe){.done = on_probe_done, .arg = r};
}

/* The addresses that requests may go to. */
static unsigned
collect_addresses(struct upstream *u, struct address out[SERVERS_MAX])
{
	unsigned n = 0;

	pthread_mutex_lock(&u->lock);
	for (unsigned i = 0; i < u->servers_count; i++)
		if (u->servers[i].place == SERVER_there)
			out[n++] = u->servers[i].address;
	pthread_mutex_unlock(&u->lock);
	return n;
}

/* Each address that is known; of a name without any, what it resolves to. Whether names are answered just now is not
 * asked: requests go where the last answer said. */
static unsigned
probe_servers(struct run *r, struct upstream *u, struct probe *first)
{
	struct address addresses[SERVERS_MAX];
	unsigned n = collect_addresses(u, addresses);

	r->waiting += n;
	for (unsigned i = 0; i < n; i++)
		probe_start_address(&first[i], r->worker->loop, &addresses[i]);
	for (unsigned i = 0; n == 0 && i < u->entries_count; i++) {
		const struct server_entry *e = &u->entries[i];

		r->waiting++;
		if (e->is_service)
			probe_fail(&first[i], "its SRV records are not known yet");
		else
			probe_start(&first[i], r->worker->loop, r->worker->resolver, e->host,
			    e->port, READY_TIMEOUT_MS);
	}
	return n > 0 ? n : u->entries_count;
}

/* As many as count_redis said. */
static void
probe_redis(struct run *r, struct probe *p, const char *text)
{
	struct redis_url url = {0};
	const char *why;

	if (redis_url_parse(text, &url, &why) != 0)
		bug("the URL of Redis was good when it was read: %s", why);
	r->waiting += url.places_count;
	for (unsigned i = 0; i < url.places_count; i++)
		probe_start(&p[i], r->worker->loop, r->worker->resolver, url.places[i].host,
		    url.places[i].port, READY_TIMEOUT_MS);
	redis_url_fini(&url);
}

static void
start_checks(struct run *r)
{
	const char *redis = redis_url_of(r->site);
	unsigned next = 0, i;

	for (i = 0; i < r->site->upstreams_count; i++) {
		struct upstream *u = r->site->upstreams[i];
		struct check *c = &r->checks[i];

		if (asprintf(&c->name, "upstream.%s", u->conf.name) < 0)
			bug("no memory for a name");
		c->judge = judge_upstream;
		c->upstream = u;
		c->first = next;
		c->count = probe_servers(r, u, &r->probes[next]);
		next += c->count;
	}
	if (has_tls(r->site))
		r->checks[i++] = (struct check){
		    .name = must_strdup("certificates"), .judge = judge_certificates};
	if (redis == NULL)
		return;
	r->checks[i] = (struct check){.name = must_strdup("redis"),
	    .judge = judge_redis,
	    .first = next,
	    .count = count_redis(redis)};
	r->checks[i + 1] = (struct check){.name = must_strdup("purgelog"), .judge = judge_purgelog};
	probe_redis(r, &r->probes[next], redis);
}

static void
answer_simple(struct exchange *x, unsigned status, const char *word)
{
	json_t *top = json_service(exchange_worker(x), word);
	char *text;

	json_object_set_new(top, "system", json_identity(exchange_worker(x)));
	text = json_dumps(top, JSON_INDENT(2));
	json_decref(top);
	exchange_answer(x, status, JSON, text == NULL ? SLICE_LIT("{}") : slice_from(text));
	free(text);
}

void
health_alive(struct exchange *x)
{
	answer_simple(x, 200, "ok");
}

void
health_ready(struct exchange *x)
{
	struct run *r;

	if (atomic_fetch_add(&runs, 1) >= READY_RUNS_MAX) {
		atomic_fetch_sub(&runs, 1);
		answer_simple(x, 503, "busy");
		return;
	}
	r = must_calloc(1, sizeof(*r));
	r->worker = exchange_worker(x);
	r->site = site_ref(r->worker->site);
	r->is_draining = r->worker->commons->draining;
	timer_init(&r->timer, on_run_timeout, r);
	later_begin(&r->later, x, on_run_over);
	count_checks(r);
	timer_arm(r->worker->loop, &r->timer, loop_now_ms(r->worker->loop) + READY_TIMEOUT_MS);
	start_checks(r);
	run_one_less(r);
}
