/* server/observe.h - what happened, counted: one call per request and per connection, per-worker counters, summed when read.
 *
 * Each worker has an observer that it alone writes (relaxed atomic stores, no lock); admin/metrics.c reads them all. Names and help lines stand
 * in tables here. Labels are bounded: routes have slots by name, methods and statuses are numbers.
 */
#ifndef SERVER_OBSERVE_H
#define SERVER_OBSERVE_H

#include <stdbool.h>
#include <stdint.h>

#include "base/metric.h"
#include "base/slice.h"
#include "http/cachestatus.h"
#include "http/head.h"
#include "server/clientip.h"

struct observer;
struct observations;

/* clang-format off */
/* Where the answer came from.
 *     name      text */
#define TIERS(X)                                        \
	X(none,   "no cache was asked")                 \
	X(memory, "from memory")                        \
	X(redis,  "from Redis")                         \
	X(origin, "from the origin")                    \
	X(self,   "made by Forebay")
/*     name            text: how a request ended, for the access log and forebay_http_requests_ended_total */
#define REQUEST_ENDS(X)                                                        \
	X(done,            "answered in full")                                 \
	X(client_gone,     "the client hung up first")                         \
	X(client_slow,     "the client did not take its answer in time")       \
	X(body_broken,     "the body from the origin broke off")               \
	X(upload_broken,   "the request's body was malformed or cut short")    \
	X(tunnel,          "became a tunnel")                                  \
	X(refused,         "not valid HTTP")
/* Simple counters: one number per worker.
 *     name                        labels          help */
#define OBSERVER_COUNTERS(X)                                                                                 \
	X(connections_accepted,    "forebay_connections_accepted_total",   "Connections accepted")           \
	X(connections_refused,     "forebay_connections_refused_total",    "Connections closed at the limit") \
	X(connections_open,        "forebay_connections_open",             "Connections open now")           \
	X(proxy_headers_bad,       "forebay_proxy_headers_bad_total",      "Connections closed because their PROXY header was malformed, late or missing") \
	X(bytes_in,                "forebay_bytes_total{direction=\"in\"}",  "Bytes of clients' requests and responses") \
	X(bytes_out,               "forebay_bytes_total{direction=\"out\"}", "")                             \
	X(bytes_origin,            "forebay_bytes_total{direction=\"origin\"}", "")                          \
	X(malformed,               "forebay_http_malformed_total",         "Messages refused as not valid HTTP") \
	X(h2_connections,          "forebay_http2_connections_total",      "Connections that speak HTTP/2")    \
	X(h2_streams,              "forebay_http2_streams_total",          "Requests on them")                 \
	X(h2_refused,              "forebay_http2_refused_total",          "Streams refused, being more at a time than limits.streams") \
	X(h2_resets_client,        "forebay_http2_resets_total{reason=\"client\"}", "Streams reset before they were through: by the client; by us for its fault") \
	X(h2_resets_fault,         "forebay_http2_resets_total{reason=\"fault\"}", "") \
	X(h2_ended_flood,          "forebay_http2_ended_total{reason=\"flood\"}", "Connections ended for the client's fault: too many frames that bring nothing forward; a head without end; what may not come, or no more; wrong sizes; more than the window; what cannot be read") \
	X(h2_ended_head,           "forebay_http2_ended_total{reason=\"head\"}", "") \
	X(h2_ended_protocol,       "forebay_http2_ended_total{reason=\"protocol\"}", "") \
	X(h2_ended_closed,         "forebay_http2_ended_total{reason=\"closed\"}", "") \
	X(h2_ended_size,           "forebay_http2_ended_total{reason=\"size\"}", "") \
	X(h2_ended_window,         "forebay_http2_ended_total{reason=\"window\"}", "") \
	X(h2_ended_compression,    "forebay_http2_ended_total{reason=\"compression\"}", "") \
	X(flights_led,             "forebay_flights_total{role=\"lead\"}", "Requests to the origin that others could join") \
	X(flights_joined,          "forebay_flights_total{role=\"ride\"}", "") \
	X(locks_mine,              "forebay_fetch_locks_total{result=\"mine\"}", "Locks asked for before a fetch: taken; another's, waited for; not worth waiting; nobody knows") \
	X(locks_over,              "forebay_fetch_locks_total{result=\"over\"}", "") \
	X(locks_unshared,          "forebay_fetch_locks_total{result=\"unshared\"}", "") \
	X(locks_none,              "forebay_fetch_locks_total{result=\"none\"}", "") \
	X(stored,                  "forebay_cache_stored_total",           "Responses stored") \
	X(purges,                  "forebay_cache_purged_total",           "Purges entered in the log") \
	X(refreshes,               "forebay_cache_refreshes_total",        "Objects refreshed behind an answer from the cache") \
	X(refreshes_early,         "forebay_cache_refreshes_early_total",  "Of them, those that had not expired yet") \
	X(segments,                "forebay_cache_slices_fetched_total",   "Slices of large responses fetched") \
	X(segments_changed,        "forebay_cache_slices_changed_total",   "Slices that came in another version than the rest") \
	X(admin_denied,            "forebay_admin_denied_total",           "Requests to the admin interface without its token") \
	X(compressed,              "forebay_compressed_total",             "Bodies compressed or decoded")
/* What one client's connection is doing.
 *     name      text */
#define CONNECTION_STATES(X)                            \
	X(idle,   "waits for a request")                \
	X(active, "has a request under way")            \
	X(tunnel, "became a tunnel")
/* What observe_request counts.
 *     name           family                                   kind       labels                 help */
#define OBSERVER_FAMILIES(X)                                                                                        \
	X(requests,    "forebay_http_requests_total",           counter,   "route, method, code", "Requests answered; code 499: the client left before there was an answer") \
	X(duration,    "forebay_http_request_duration_seconds", histogram, "route, status",       "From the request's first byte to the last of its answer, by what the cache did") \
	X(origin,      "forebay_origin_duration_seconds",       histogram, "route",               "From asking the origin to the head of its response") \
	X(cache,       "forebay_cache_requests_total",          counter,   "route, status, tier", "Requests by what the cache did, and where the answer came from") \
	X(ends,        "forebay_http_requests_ended_total",     counter,   "end",                 "Requests by how they ended") \
	X(connections, "forebay_connections",                   gauge,     "listener, state",     "Connections of clients open now")
/* Bounds of the histograms: microseconds, and the same as Prometheus' le. A hit takes the first, an origin the middle, trouble the last. */
#define DURATION_BUCKETS(X)                                                                                         \
	X(100, "0.0001") X(250, "0.00025") X(500, "0.0005")                                                         \
	X(1000, "0.001") X(2500, "0.0025") X(5000, "0.005")                                                         \
	X(10000, "0.01") X(25000, "0.025") X(50000, "0.05")                                                         \
	X(100000, "0.1") X(250000, "0.25") X(500000, "0.5")                                                         \
	X(1000000, "1") X(2500000, "2.5") X(5000000, "5") X(10000000, "10") X(30000000, "30")
/* clang-format on */

enum tier {
#define X(name, text) TIER_##name,
	TIERS(X)
#undef X
	    TIER_COUNT
};
enum request_end {
#define X(name, text) END_##name,
	REQUEST_ENDS(X)
#undef X
	    END_COUNT
};
enum observer_counter {
#define X(name, series, help) COUNT_##name,
	OBSERVER_COUNTERS(X)
#undef X
	    COUNT_COUNT
};

enum connection_state {
#define X(name, text) CONNECTION_##name,
	CONNECTION_STATES(X)
#undef X
	    CONNECTION_STATE_COUNT
};

#define ROUTE_SLOTS 4096  /* the first is "other" */
#define LISTENER_SLOTS 64 /* likewise */
/* Of the admin listener's routes: observe_request passes them over. */
#define ROUTE_SLOT_UNCOUNTED UINT32_MAX

/* One finished request, for the counters and the access log. Everything borrowed, for the call only. */
struct outcome {
	struct slice route;
	enum method method;
	struct slice method_text, target, host, scheme;
	unsigned version_major; /* 2; 0: 1, and */
	unsigned version_minor;
	int status;
	enum cache_word cache_word;
	enum tier tier;
	const char *reason; /* why that cache status, why not stored */
	const char *detail; /* the same in a word, as Cache-Status has it */
	const char *hedge;  /* what became of asking a second server; "": none was asked */
	enum request_end end;
	const char *fetch_end;	 /* name of the fetch's end when the origin failed; NULL */
	struct client_ip client; /* as seen through trusted proxies */
	struct slice request_id, user_agent, referer, upstream;
	struct slice server; /* of the upstream: who answered, or failed last */
	unsigned tries;	     /* times that its servers were asked for this request */
	int64_t started_wall_ms;
	int64_t total_us, wait_us /* in a limit's queue */,
	    origin_us /* to the response's head; 0: not asked */;
	uint64_t bytes_in, bytes_out;
};

/* What of it is counted. */
struct tally {
	unsigned route_slot;
	enum method method;
	int status;
	enum cache_word cache_word;
	enum tier tier;
	enum request_end end;
	int64_t total_us, origin_us; /* as above */
};

/* For that many workers; all observers are freed with it. */
struct observations *observations_new(unsigned workers);
void observations_free(struct observations **op);
/* Borrowed: the worker's own. */
struct observer *observations_worker(struct observations *o, unsigned worker);
/* The slot of a route's name; new names are added. 0, the slot of "other", when there are more than can be counted. Control plane, any thread. */
unsigned observations_route_slot(struct observations *o, const char *name);
/* The same for the address of a listener as configured. */
unsigned observations_listener_slot(struct observations *o, const char *name);

/* The observer's own worker only. The first request of a route, and its first of a method and class of status, allocate. */
void observe_request(struct observer *ob, const struct tally *t);
void observe_add(struct observer *ob, enum observer_counter c, int64_t n);
/* A connection of that listener entered (1) or left (-1) the state. */
void observe_connection(
    struct observer *ob, unsigned listener_slot, enum connection_state state, int64_t n);

/* Any thread. The families of both tables, one after the other; and the sum over all workers of each series of family
 * i that has been counted. A sample's labels are good during the call. */
unsigned observer_families_count(void);
const struct metric_family *observer_family(unsigned i);
void observations_read(struct observations *o, unsigned i, metric_see *see, void *arg);
const char *tier_name(enum tier t);
const char *request_end_name(enum request_end e);
/* One counter, summed. */
int64_t observations_count(struct observations *o, enum observer_counter c);

#endif
