#include "admin/metrics_priv.h"

#include <assert.h>

#include "base/clock.h"
#include "base/version.h"
#include "event/redisnode.h"

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
static void collect_clerk(struct page *p);
static void collect_limits(struct page *p);
static void collect_limit_table(struct page *p);
static void collect_shared_up(struct page *p);
static void collect_shared_requests(struct page *p);
static void collect_instances(struct page *p);
static void collect_access(struct page *p);
static void collect_process(struct page *p);

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

void
page_show_as(struct page *p, const char *suffix, double value)
{
	struct metric_sample s = {&p->row->family, suffix, buf_slice(&p->labels), value};

	metric_write_sample(p->out, &s);
	p->labels.n = 0;
}

void
page_show(struct page *p, double value)
{
	page_show_as(p, "", value);
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
	page_show(p, 1);
}

static void
collect_uptime(struct page *p)
{
	int64_t up_ms = loop_wall_ms(p->worker->loop) - p->commons->started_wall_ms;

	page_show(p, (double)up_ms / 1000);
}

static void
collect_workers(struct page *p)
{
	page_show(p, p->commons->workers_count);
}

static void
collect_generation(struct page *p)
{
	page_show(p, p->site->generation);
}

static void
collect_reloads_failed(struct page *p)
{
	page_show(p, p->commons->reloads_failed);
}

static void
collect_draining(struct page *p)
{
	page_show(p, p->commons->draining);
}

static void
collect_start(struct page *p)
{
	page_show(p, (double)p->commons->started_wall_ms / 1000);
}

static void
collect_store(struct page *p)
{
	page_show(p, (double)member_u64(&p->store, p->row->at));
}

static void
collect_limit_table(struct page *p)
{
	page_show(p, (double)member_u64(&p->limits, p->row->at));
}

static void
collect_access(struct page *p)
{
	if (p->commons->access_log != NULL)
		page_show(p, (double)member_u64(&p->access, p->row->at));
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
		page_show(p, (double)p->recompress.done[i]);
	}
}

static void
collect_recompress_dropped(struct page *p)
{
	for (unsigned i = 0; i < RECOMPRESS_DROP_COUNT; i++) {
		metric_label(&p->labels, "reason", slice_from(recompress_drop_names[i]));
		page_show(p, (double)p->recompress.dropped[i]);
	}
}

static void
collect_recompress_saved(struct page *p)
{
	page_show(p, (double)p->recompress.saved_bytes);
}

static void
collect_recompress_cpu(struct page *p)
{
	page_show(p, p->recompress.cpu_seconds);
}

static void
collect_clerk(struct page *p)
{
	page_show(p, (double)member_u64(&p->clerk.metrics, p->row->at));
}

static void
collect_process(struct page *p)
{
	double v;

	memcpy(&v, (const char *)&p->process + p->row->at, sizeof(v));
	page_show(p, v);
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
		page_show(p, (double)counts.n[i]);
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
		page_show(p, (double)h->up / h->links);
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
		page_show(p, (double)h->results[i]);
	}
}

static void
collect_instances(struct page *p)
{
	if (p->commons->shared.links > 0)
		page_show(p, p->commons->shared.instances);
}

static void
write_sample(void *arg, const struct metric_sample *s)
{
	metric_write_sample(arg, s);
}

void
metrics_write_page(struct page *p)
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
