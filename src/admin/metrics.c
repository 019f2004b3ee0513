#include "admin/metrics.h"

#include <assert.h>
#include <stdlib.h>

#include "admin/process.h"
#include "base/clock.h"
#include "base/mem.h"
#include "base/version.h"
#include "cache/clerk.h"
#include "cache/redis.h"
#include "event/redisnode.h"
#include "event/tlsexpiry.h"
#include "event/tlsoffer.h"
#include "event/tlstickets.h"
#include "policy/recompress.h"
#include "server/accesslog.h"
#include "server/handler.h"
#include "server/worker.h"
#include "upstream/health.h"

#define TEXT "text/plain; version=0.0.4; charset=utf-8"
#define WAIT_MS 1000 /* for the numbers of other workers; then what has come is told */

/* What all workers' links to Redis have counted. */
struct redis_sums {
	unsigned links, up;
	uint64_t requests[L2_OPS_COUNT][L2_RESULTS_COUNT];
};

/* The page being written. */
struct page {
	struct buf *out;
	struct buf labels;
	struct worker *worker; /* the one that answers */
	struct commons *commons;
	struct site *site;
	const struct redis_sums *redis;
	const struct row *row;
	/* read once for the page */
	struct process_facts process;
	struct store_usage store;
	struct accesslog_counts access;
	struct limit_table_size limits;
	struct clerk_status clerk;
	struct recompress_counts recompress;
};

struct row {
	struct metric_family family;
	void (*collect)(struct page *p);
	size_t at; /* of the value in what collect looks at */
};

static void collect_build(struct page *p);
static void collect_uptime(struct page *p);
static void collect_generation(struct page *p);
static void collect_reloads_failed(struct page *p);
static void collect_draining(struct page *p);
static void collect_workers(struct page *p);
static void collect_start(struct page *p);
static void collect_store(struct page *p);
static void collect_recompressed(struct page *p);
static void collect_recompress_dropped(struct page *p);
static void collect_recompress_saved(struct page *p);
static void collect_recompress_cpu(struct page *p);
static void collect_redis_up(struct page *p);
static void collect_redis(struct page *p);
static void collect_redis_node(struct page *p);
static void collect_redis_commands(struct page *p);
static void collect_redis_seconds(struct page *p);
static void collect_clerk(struct page *p);
static void collect_limits(struct page *p);
static void collect_limit_table(struct page *p);
static void collect_shared_up(struct page *p);
static void collect_shared_requests(struct page *p);
static void collect_instances(struct page *p);
static void collect_server_count(struct page *p);
static void collect_server_up(struct page *p);
static void collect_server_drained(struct page *p);
static void collect_server_gauge(struct page *p);
static void collect_access(struct page *p);
static void collect_process(struct page *p);
static void collect_tls_handshakes(struct page *p);
static void collect_tls_expiry(struct page *p);
static void collect_tls_renewals(struct page *p);
static void collect_tls_rotations(struct page *p);

/* clang-format off */
/*    family                              kind     labels              collect        of                       help */
#define FAMILIES(X)                                                                                                             \
	X("forebay_build_info",               gauge,   "version",          build,         0,                       "Always 1; its label tells the version") \
	X("forebay_uptime_seconds",           gauge,   "",                 uptime,        0,                       "Since the start") \
	X("forebay_workers",                  gauge,   "",                 workers,       0,                       "Threads that serve") \
	X("forebay_config_generation",        gauge,   "",                 generation,    0,                       "Configurations used since the start; grows with each reload that succeeded") \
	X("forebay_config_reloads_failed_total", counter, "",              reloads_failed, 0,                      "Reloads that were refused since the start: the configuration in the file is not the one in use") \
	X("forebay_draining",                 gauge,   "",                 draining,      0,                       "1 while it is being stopped") \
	X("forebay_cache_bytes",              gauge,   "",                 store,         STORE(bytes),            "Held by the memory cache: bodies, heads, variants, index") \
	X("forebay_cache_limit_bytes",        gauge,   "",                 store,         STORE(limit_bytes),      "What it may hold at most (cache.memory)") \
	X("forebay_cache_objects",            gauge,   "",                 store,         STORE(objects),          "Responses in the memory cache") \
	X("forebay_cache_evictions_total",    counter, "",                 store,         STORE(evictions),        "Responses evicted for want of memory") \
	X("forebay_cache_restored_total",     counter, "",                 store,         STORE(restored),         "Objects that came from the process before") \
	X("forebay_cache_ghost_hits_total",   counter, "",                 store,         STORE(ghost_hits),       "Responses that came back soon after their eviction: more memory would have kept them") \
	X("forebay_recompressed_total",       counter, "coding",           recompressed,  0,                       "Stored bodies that were compressed again, smaller") \
	X("forebay_recompress_saved_bytes_total", counter, "",             recompress_saved, 0,                    "By how much less that is to store, and to send each time") \
	X("forebay_recompress_cpu_seconds_total", counter, "",             recompress_cpu, 0,                      "Processor time it took") \
	X("forebay_recompress_dropped_total", counter, "reason",           recompress_dropped, 0,                  "What was not compressed again: gone (it left the store), larger (it came out no smaller), memory (there was none), crowded (more is stored than is looked at)") \
	X("forebay_redis_up",                 gauge,   "",                 redis_up,      0,                       "Part of the workers whose link to Redis is in use, 0 to 1; missing without Redis") \
	X("forebay_redis_requests_total",     counter, "op, result",       redis,         0,                       "Asked of Redis, by how it ended") \
	X("forebay_redis_node_connections",   gauge,   "node",             redis_node,    NODE(wanted),            "Connections that there should be to this server of Redis, of all uses together") \
	X("forebay_redis_node_connections_up", gauge,  "node",             redis_node,    NODE(up),                "Those of them that are of use") \
	X("forebay_redis_node_memory_bytes",  gauge,   "node",             redis_node,    NODE(memory_bytes),      "Memory that this server of Redis says it uses, for whomever; missing until it is known. Asked every 15 s while it is used") \
	X("forebay_redis_node_memory_limit_bytes", gauge, "node",          redis_node,    NODE(memory_limit_bytes), "Its maxmemory; 0: none") \
	X("forebay_redis_node_commands_total", counter, "node, result",    redis_commands, 0,                      "Commands sent to this server of Redis, by how they ended") \
	X("forebay_redis_node_command_duration_seconds", histogram, "node", redis_seconds, 0,                      "From sending a command to its answer; those without one are not in it") \
	X("forebay_ratelimit_decisions_total", counter, "limit, decision", limits,        0,                       "Decisions of rate limits") \
	X("forebay_ratelimit_keys",           gauge,   "",                 limit_table,   LIMITS(keys),            "Keys that rate limits remember") \
	X("forebay_ratelimit_bytes",          gauge,   "",                 limit_table,   LIMITS(bytes),           "Memory of their table") \
	X("forebay_ratelimit_limit_bytes",    gauge,   "",                 limit_table,   LIMITS(max_bytes),       "What their table may take at most (limits.rate_table)") \
	X("forebay_ratelimit_redis_up",       gauge,   "",                 shared_up,     0,                       "Part of the workers for whom Redis decides shared limits, 0 to 1; below that this instance's share does. Missing without such limits") \
	X("forebay_ratelimit_redis_requests_total", counter, "result",     shared_requests, 0,                     "Asked of Redis for shared limits, by how it ended") \
	X("forebay_ratelimit_instances",      gauge,   "",                 instances,     0,                       "Instances that apply the shared limits, as last seen in Redis or configured") \
	X("forebay_upstream_in_flight",       gauge,   "upstream, server", server_gauge,  SERVER(in_flight),       "Requests on their way to the server") \
	X("forebay_upstream_up",              gauge,   "upstream, server", server_up,     0,                       "Whether the server may be asked: 0 when checks say it is down, it is ejected for failures, drained or leaving") \
	X("forebay_upstream_drained",         gauge,   "upstream, server", server_drained, 0,                      "1 while an operator has it drained: no new requests") \
	X("forebay_upstream_connections",     gauge,   "upstream, server", server_gauge,  SERVER(connections),     "Connections open to the server, idle ones included") \
	X("forebay_tls_handshakes_total",     counter, "result",           tls_handshakes, 0,                      "TLS handshakes of clients, by how they ended: done, resumed (of those), failed, left (the client went), plain (it spoke HTTP)") \
	X("forebay_tls_certificate_expiry_seconds", gauge, "listener, certificate", tls_expiry, 0,                 "Until the certificate runs out; below 0: since") \
	X("forebay_tls_certificate_reloads_total", counter, "result",      tls_renewals,  0,                       "Changed certificate files: renewed, or failed (the old certificates are kept)") \
	X("forebay_tls_ticket_rotations_total", counter, "result",         tls_rotations, 0,                       "Changed keys of session tickets: renewed, or failed (the old keys are kept)") \
	X("process_cpu_seconds_total",        counter, "",                 process,       PROCESS(cpu_seconds),    "User and system time") \
	X("process_resident_memory_bytes",    gauge,   "",                 process,       PROCESS(resident_bytes), "Memory resident (RSS)") \
	X("process_virtual_memory_bytes",     gauge,   "",                 process,       PROCESS(virtual_bytes),  "Memory mapped") \
	X("process_heap_bytes",               gauge,   "",                 process,       PROCESS(heap_bytes),     "Memory taken by malloc and in use") \
	X("process_open_fds",                 gauge,   "",                 process,       PROCESS(open_fds),       "File descriptors open") \
	X("process_max_fds",                  gauge,   "",                 process,       PROCESS(max_fds),        "File descriptors that may be open") \
	X("process_threads",                  gauge,   "",                 process,       PROCESS(threads),        "Threads") \
	X("process_start_time_seconds",       gauge,   "",                 start,         0,                       "Start, in seconds since 1970") \
	X("system_load1",                     gauge,   "",                 process,       PROCESS(load1),          "The machine's load over one minute")
/* clang-format on */

#define STORE(member) offsetof(struct store_usage, member)
#define LIMITS(member) offsetof(struct limit_table_size, member)
#define NODE(member) offsetof(struct redis_node, member)
#define SERVER(member) offsetof(struct server, member)
#define PROCESS(member) offsetof(struct process_facts, member)
static_assert(sizeof(size_t) == sizeof(uint64_t), "a row reads both alike");

static const struct row rows[] = {
#define X(name, kind, labels, collect, at, help) \
	{{name, METRIC_##kind, labels, help}, collect_##collect, at},
    FAMILIES(X)
#undef X
#define X(name, kind, text)                                                             \
	{{"forebay_upstream_" #name "_total", METRIC_##kind, "upstream, server", text}, \
	    collect_server_count, SERVER(name)},
	SERVER_COUNTERS(X)
#undef X
#define X(name, series, help)                                \
	{{series, METRIC_counter, "", help}, collect_access, \
	    offsetof(struct accesslog_counts, name)},
	    ACCESS_COUNTERS(X)
#undef X
#define X(name, kind, series, help) \
	{{series, METRIC_##kind, "", help}, collect_clerk, offsetof(struct clerk_metrics, name)},
		CLERK_METRICS(X)
#undef X
};
#define ROWS (sizeof(rows) / sizeof(rows[0]))

/* Collecting */

/* suffix: of a part of a histogram, or "". */
static void
show_as(struct page *p, const char *suffix, double value)
{
	struct metric_sample s = {&p->row->family, suffix, buf_slice(&p->labels), value};

	metric_write_sample(p->out, &s);
	p->labels.n = 0;
}

static void
show(struct page *p, double value)
{
	show_as(p, "", value);
}

static uint64_t
member_u64(const void *of, size_t at)
{
	uint64_t v;

	memcpy(&v, (const char *)of + at, sizeof(v));
	return v;
}

static void
collect_build(struct page *p)
{
	metric_label(&p->labels, "version", SLICE_LIT(FOREBAY_VERSION));
	show(p, 1);
}

static void
collect_uptime(struct page *p)
{
	int64_t up_ms = loop_wall_ms(p->worker->loop) - p->commons->started_wall_ms;

	show(p, (double)up_ms / 1000);
}

static void
collect_workers(struct page *p)
{
	show(p, p->commons->workers_count);
}

static void
collect_generation(struct page *p)
{
	show(p, p->site->generation);
}

static void
collect_reloads_failed(struct page *p)
{
	show(p, p->commons->reloads_failed);
}

static void
collect_draining(struct page *p)
{
	show(p, p->commons->draining);
}

static void
collect_start(struct page *p)
{
	show(p, (double)p->commons->started_wall_ms / 1000);
}

static void
collect_store(struct page *p)
{
	show(p, (double)member_u64(&p->store, p->row->at));
}

static void
collect_limit_table(struct page *p)
{
	show(p, (double)member_u64(&p->limits, p->row->at));
}

static void
collect_access(struct page *p)
{
	if (p->commons->access_log != NULL)
		show(p, (double)member_u64(&p->access, p->row->at));
}

static void
collect_recompressed(struct page *p)
{
	static const enum encoding codings[ENC_KNOWN] = {
#define X(coding, bit, token) ENC_##coding,
	    ENCODINGS(X)
#undef X
	};

	for (unsigned i = 1; i < ENC_KNOWN; i++) { /* but identity */
		metric_label(&p->labels, "coding", encoding_token(codings[i]));
		show(p, (double)p->recompress.done[i]);
	}
}

static void
collect_recompress_dropped(struct page *p)
{
	for (unsigned i = 0; i < RECOMPRESS_DROP_COUNT; i++) {
		metric_label(&p->labels, "reason", slice_from(recompress_drop_names[i]));
		show(p, (double)p->recompress.dropped[i]);
	}
}

static void
collect_recompress_saved(struct page *p)
{
	show(p, (double)p->recompress.saved_bytes);
}

static void
collect_recompress_cpu(struct page *p)
{
	show(p, p->recompress.cpu_seconds);
}

static void
collect_clerk(struct page *p)
{
	show(p, (double)member_u64(&p->clerk.metrics, p->row->at));
}

static void
collect_process(struct page *p)
{
	double v;

	memcpy(&v, (const char *)&p->process + p->row->at, sizeof(v));
	show(p, v);
}

static void
collect_redis_up(struct page *p)
{
	if (p->redis->links > 0)
		show(p, (double)p->redis->up / p->redis->links);
}

static void
collect_redis(struct page *p)
{
	for (unsigned op = 0; op < L2_OPS_COUNT; op++)
		for (unsigned r = 0; r < L2_RESULTS_COUNT; r++) {
			uint64_t n = p->redis->requests[op][r];

			if (n == 0)
				continue;
			metric_label(&p->labels, "op", slice_from(l2_op_names[op]));
			metric_label(&p->labels, "result", slice_from(l2_result_names[r]));
			show(p, (double)n);
		}
}

static void
collect_redis_node(struct page *p)
{
	const struct redis_node *n;

	for (unsigned i = 0; (n = redis_node_at(i)) != NULL; i++) {
		const _Atomic int64_t *at = (const void *)((const char *)n + p->row->at);
		int64_t value = atomic_load_explicit(at, memory_order_relaxed);

		if (value < 0)
			continue;
		metric_label(&p->labels, "node", slice_from(n->name));
		show(p, (double)value);
	}
}

static void
collect_redis_commands(struct page *p)
{
	const struct redis_node *n;

	for (unsigned i = 0; (n = redis_node_at(i)) != NULL; i++)
		for (unsigned r = 0; r < REDIS_NODE_RESULTS_COUNT; r++) {
			metric_label(&p->labels, "node", slice_from(n->name));
			metric_label(&p->labels, "result", slice_from(redis_node_result_names[r]));
			show(
			    p, (double)atomic_load_explicit(&n->commands[r], memory_order_relaxed));
		}
}

/* One of the histogram's lines; le NULL: it has none. */
static void
show_part(
    struct page *p, const struct redis_node *n, const char *suffix, const char *le, double value)
{
	metric_label(&p->labels, "node", slice_from(n->name));
	if (le != NULL)
		metric_label(&p->labels, "le", slice_from(le));
	show_as(p, suffix, value);
}

static void
collect_redis_seconds(struct page *p)
{
	const struct redis_node *n;

	for (unsigned i = 0; (n = redis_node_at(i)) != NULL; i++) {
		uint64_t sum = 0;

		for (unsigned b = 0; b <= REDIS_NODE_BUCKETS_COUNT; b++) {
			sum += atomic_load_explicit(&n->buckets[b], memory_order_relaxed);
			show_part(p, n, "_bucket",
			    b < REDIS_NODE_BUCKETS_COUNT ? redis_node_bucket_names[b] : "+Inf",
			    (double)sum);
		}
		show_part(p, n, "_sum", NULL,
		    (double)atomic_load_explicit(&n->took_us, memory_order_relaxed) / 1e6);
		show_part(p, n, "_count", NULL, (double)sum);
	}
}

static const char *const decision_names[] = {
#define X(name, text) #name,
    LIMIT_COUNT_TABLE(X)
#undef X
};

static void
show_limit(struct page *p, const struct limiter *l)
{
	struct limit_counts counts;

	limiter_read_counts(l, &counts);
	for (unsigned i = 0; i < LIMIT_COUNTS; i++) {
		metric_label(&p->labels, "limit", slice_from(limiter_name(l)));
		metric_label(&p->labels, "decision", slice_from(decision_names[i]));
		show(p, (double)counts.n[i]);
	}
}

/* Whether an earlier limit of the site's routes is of the same name: one name, one set of counts. */
static bool
is_shown(const struct site *s, unsigned route, unsigned limit)
{
	const char *name = limiter_name(s->routes[route].limits[limit].limiter);

	for (unsigned r = 0; r <= route; r++) {
		unsigned end = r == route ? limit : s->routes[r].limits_count;

		for (unsigned i = 0; i < end; i++)
			if (strcmp(limiter_name(s->routes[r].limits[i].limiter), name) == 0)
				return true;
	}
	return false;
}

static void
collect_limits(struct page *p)
{
	for (unsigned r = 0; r < p->site->routes_count; r++)
		for (unsigned i = 0; i < p->site->routes[r].limits_count; i++)
			if (!is_shown(p->site, r, i))
				show_limit(p, p->site->routes[r].limits[i].limiter);
}

static void
collect_shared_up(struct page *p)
{
	const struct shared_hub *h = &p->commons->shared;

	if (h->links > 0)
		show(p, (double)h->up / h->links);
}

static const char *const shared_result_names[] = {
#define X(name, text) #name,
    SHARED_RESULTS(X)
#undef X
};

static void
collect_shared_requests(struct page *p)
{
	const struct shared_hub *h = &p->commons->shared;

	for (unsigned i = 0; i < SHARED_RESULTS_COUNT && h->links > 0; i++) {
		metric_label(&p->labels, "result", slice_from(shared_result_names[i]));
		show(p, (double)h->results[i]);
	}
}

static void
collect_instances(struct page *p)
{
	if (p->commons->shared.links > 0)
		show(p, p->commons->shared.instances);
}

static void
show_result(struct page *p, const char *result, const _Atomic uint64_t *count)
{
	metric_label(&p->labels, "result", slice_from(result));
	show(p, (double)atomic_load_explicit(count, memory_order_relaxed));
}

static void
collect_tls_handshakes(struct page *p)
{
	const struct tls_counters *c = tls_counters();

	show_result(p, "done", &c->handshakes);
	show_result(p, "resumed", &c->resumed);
	show_result(p, "failed", &c->failed);
	show_result(p, "left", &c->left);
	show_result(p, "plain", &c->plain);
}

static void
show_expiry(void *arg, const struct tls_expiry *e)
{
	struct page *p = arg;
	int64_t now_s = loop_wall_ms(p->worker->loop) / 1000;

	metric_label(&p->labels, "listener", slice_from(e->listener));
	metric_label(&p->labels, "certificate", slice_from(e->cert));
	show(p, (double)(e->not_after_s - now_s));
}

static void
collect_tls_expiry(struct page *p)
{
	tls_expiries_each(show_expiry, p);
}

static void
collect_tls_renewals(struct page *p)
{
	show_result(p, "renewed", &tls_offer_counts()->renewals);
	show_result(p, "failed", &tls_offer_counts()->failures);
}

static void
collect_tls_rotations(struct page *p)
{
	show_result(p, "renewed", &tls_tickets_counts()->rotations);
	show_result(p, "failed", &tls_tickets_counts()->failures);
}

static void
each_server(struct page *p, double (*value)(const struct server *s, size_t at))
{
	for (unsigned i = 0; i < p->site->upstreams_count; i++) {
		struct upstream *u = p->site->upstreams[i];

		pthread_mutex_lock(&u->lock); /* names change under it */
		for (unsigned k = 0; k < u->servers_count; k++) {
			if (!server_is_listed(&u->servers[k]))
				continue;
			metric_label(&p->labels, "upstream", slice_from(u->conf.name));
			metric_label(&p->labels, "server", slice_from(u->servers[k].name));
			show(p, value(&u->servers[k], p->row->at));
		}
		pthread_mutex_unlock(&u->lock);
	}
}

static double
server_count(const struct server *s, size_t at)
{
	const void *counter = (const char *)s + at;

	return (double)atomic_load_explicit(
	    (const _Atomic uint64_t *)counter, memory_order_relaxed);
}

static double
server_gauge(const struct server *s, size_t at)
{
	const void *gauge = (const char *)s + at;

	return atomic_load_explicit((const _Atomic unsigned *)gauge, memory_order_relaxed);
}

static void
collect_server_count(struct page *p)
{
	each_server(p, server_count);
}

static double
server_up(const struct server *s, size_t at)
{
	return server_state(s, clock_mono_ms()) == SERVER_STATE_up;
}

static void
collect_server_up(struct page *p)
{
	each_server(p, server_up);
}

static double
server_drained(const struct server *s, size_t at)
{
	return server_is_drained(s);
}

static void
collect_server_drained(struct page *p)
{
	each_server(p, server_drained);
}

static void
collect_server_gauge(struct page *p)
{
	each_server(p, server_gauge);
}

static void
write_sample(void *arg, const struct metric_sample *s)
{
	metric_write_sample(arg, s);
}

static void
write_page(struct page *p)
{
	p->process = process_facts();
	p->store = store_usage(p->commons->store);
	clerk_status(p->commons->clerk, &p->clerk);
	p->limits = limit_table_measure(p->commons->limits);
	p->recompress = recompress_counts(p->commons->recompress);
	if (p->commons->access_log != NULL)
		p->access = accesslog_counts(p->commons->access_log);
	for (unsigned i = 0; i < observer_families_count(); i++) {
		metric_write_family(p->out, observer_family(i));
		observations_read(p->commons->observations, i, write_sample, p->out);
	}
	for (unsigned i = 0; i < ROWS; i++) {
		p->row = &rows[i];
		metric_write_family(p->out, &p->row->family);
		p->row->collect(p);
	}
	buf_fini(&p->labels);
}

/* Asking the workers */

/* One scrape of ours: lives until the last worker has told, though it may have been answered before. */
struct scrape {
	struct later later;
	struct worker *worker;
	struct timer timer;
	struct redis_sums redis;
	unsigned waiting;
	struct ask {
		struct letter letter;
		struct scrape *scrape;
		struct worker *asked;
		struct redis_sums sums;
	} asks[];
};

static void
add_link(struct redis_sums *s, const struct l2 *l)
{
	const struct l2_counters *c;

	if (l == NULL)
		return;
	c = l2_counters(l);
	s->links++;
	s->up += c->reads_up && c->writes_up;
	for (unsigned op = 0; op < L2_OPS_COUNT; op++)
		for (unsigned r = 0; r < L2_RESULTS_COUNT; r++)
			s->requests[op][r] +=
			    atomic_load_explicit(&c->requests[op][r], memory_order_relaxed);
}

static void
add_sums(struct redis_sums *to, const struct redis_sums *from)
{
	to->links += from->links;
	to->up += from->up;
	for (unsigned op = 0; op < L2_OPS_COUNT; op++)
		for (unsigned r = 0; r < L2_RESULTS_COUNT; r++)
			to->requests[op][r] += from->requests[op][r];
}

static void
scrape_answer(struct scrape *s)
{
	struct buf out = {0};
	struct page p = {.out = &out,
	    .worker = s->worker,
	    .commons = s->worker->commons,
	    .site = s->worker->site,
	    .redis = &s->redis};

	timer_disarm(&s->timer);
	if (s->later.x == NULL)
		return;
	write_page(&p);
	later_answer(&s->later, 200, TEXT, buf_slice(&out));
	buf_fini(&out);
}

static void
scrape_one_less(struct scrape *s)
{
	if (--s->waiting > 0)
		return;
	scrape_answer(s);
	free(s);
}

static void
on_scrape_timeout(void *arg)
{
	scrape_answer(arg);
}

static void
on_scrape_over(struct later *l)
{
	timer_disarm(&CONTAINER_OF(l, struct scrape, later)->timer);
}

/* On the asking worker again. */
static void
on_told(struct letter *l)
{
	struct ask *a = CONTAINER_OF(l, struct ask, letter);

	add_sums(&a->scrape->redis, &a->sums);
	scrape_one_less(a->scrape);
}

/* On the asked worker. */
static void
on_asked(struct letter *l)
{
	struct ask *a = CONTAINER_OF(l, struct ask, letter);

	add_link(&a->sums, a->asked->l2);
	a->letter.deliver = on_told;
	mailbox_post(a->scrape->worker->mailbox, &a->letter);
}

static void
ask_others(struct scrape *s)
{
	struct commons *c = s->worker->commons;

	for (unsigned i = 0; i < c->workers_count; i++) {
		struct ask *a = &s->asks[i];

		if (c->workers[i] == s->worker)
			continue;
		*a = (struct ask){.letter.deliver = on_asked, .scrape = s, .asked = c->workers[i]};
		s->waiting++;
		mailbox_post(c->workers[i]->mailbox, &a->letter);
	}
}

void
metrics_serve(struct exchange *x)
{
	struct worker *w = exchange_worker(x);
	struct commons *c = w->commons;
	struct scrape *s = must_calloc(1, sizeof(*s) + c->workers_count * sizeof(struct ask));

	s->worker = w;
	s->waiting = 1;
	timer_init(&s->timer, on_scrape_timeout, s);
	later_begin(&s->later, x, on_scrape_over);
	add_link(&s->redis, w->l2);
	if (w->l2 != NULL && !c->draining) { /* one that is being stopped may not read its mail */
		timer_arm(w->loop, &s->timer, loop_now_ms(w->loop) + WAIT_MS);
		ask_others(s);
	}
	scrape_one_less(s);
}

/* The reference */

void
metrics_reference(struct buf *b)
{
	buf_printf(b,
	    "# Metrics\n\n"
	    "`GET /metrics` on the admin listener, in Prometheus' text format. Written from the "
	    "tables in the code;\n"
	    "a unit test holds this page to them.\n\n"
	    "| name | type | labels | meaning |\n|---|---|---|---|\n");
	for (unsigned i = 0; i < observer_families_count(); i++)
		metric_write_reference(b, observer_family(i));
	for (unsigned i = 0; i < ROWS; i++)
		metric_write_reference(b, &rows[i].family);
}
