/* server/observe.h - what happened, counted: one call per request and per connection, per-worker counters, summed when read.
 *
 * Each worker has an observer that it alone writes (relaxed atomic stores, no lock); admin/metrics.c reads them all. Names and help lines stand
 * in tables here. Labels are bounded: routes have slots by name, methods and statuses are numbers.
 */
#ifndef SERVER_OBSERVE_H
#define SERVER_OBSERVE_H

#include <stdbool.h>
#include <stdint.h>

#include "base/slice.h"
#include "http/cachestatus.h"
#include "http/head.h"

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
	X(bytes_in,                "forebay_bytes_total{direction=\"in\"}",  "Bytes of clients' requests and responses") \
	X(bytes_out,               "forebay_bytes_total{direction=\"out\"}", "")                             \
	X(bytes_origin,            "forebay_bytes_total{direction=\"origin\"}", "")                          \
	X(malformed,               "forebay_http_malformed_total",         "Messages refused as not valid HTTP") \
	X(flights_led,             "forebay_flights_total{role=\"lead\"}", "Requests to the origin that others could join") \
	X(flights_joined,          "forebay_flights_total{role=\"ride\"}", "") \
	X(stored,                  "forebay_cache_stored_total",           "Responses stored") \
	X(refreshes,               "forebay_cache_refreshes_total",        "Stale objects refreshed in the background") \
	X(compressed,              "forebay_compressed_total",             "Bodies compressed or decoded")
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

/* One finished request, for the counters and the access log. Everything borrowed, for the call only. */
struct outcome {
	unsigned route_slot;
	struct slice route;
	enum method method;
	struct slice method_text, target, host, scheme;
	unsigned version_minor;
	int status;
	enum cache_word cache_word;
	enum tier tier;
	const char *reason; /* one word or two: why that cache status, why not stored */
	enum request_end end;
	const char *fetch_end; /* name of the fetch's end when the origin failed; NULL */
	struct slice client;   /* the address as seen through trusted proxies */
	struct slice request_id, user_agent, referer, upstream;
	int64_t started_wall_ms;
	int64_t total_us, wait_us /* in a limit's queue */,
	    origin_us /* to the response's head; 0: not asked */;
	uint64_t bytes_in, bytes_out;
};

struct observations *observations_new(unsigned workers);
void observations_free(struct observations **op);
struct observer *observations_worker(struct observations *o, unsigned worker);
/* The slot of a route's name; new names are added. 0, the slot of "other", when there are more than can be counted. Control plane, any thread. */
unsigned observations_route_slot(struct observations *o, const char *name);
void observe_request(struct observer *ob, const struct outcome *out);
void observe_add(struct observer *ob, enum observer_counter c, int64_t n);

#endif
