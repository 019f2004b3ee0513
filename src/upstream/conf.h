/* upstream/conf.h - the directives of `upstreams`: what stands behind each name. */
#ifndef UPSTREAM_CONF_H
#define UPSTREAM_CONF_H

#include "conf/table.h"
#include "upstream/target.h"

/* clang-format off */
#define UPSTREAM_POOL_DIRECTIVES(X)                                                                          \
	X(max, int, "100", "1", "65535", "Connections to each server, all workers together")                 \
	X(idle, duration, "300s", "1s", "1d", "An unused connection is closed after that")                   \
	X(life, duration, "off", "1s", "30d", "An older connection is closed once it is not in use", .words = upstream_life_words) \
	X(requests, int, "off", "1", "1000000", "Requests on their way to one server, those that wait included; with as many at each, one more gets 503", .words = upstream_off_words) \
	X(streams, int, "100", "1", "65535", "Requests at a time on one connection of HTTP/2, or as many as the server allows, if that is less; more take another connection") \
	X(pending, int, "1000", "0", "1000000", "Requests per worker that may wait for a connection when all are in use; more get 503")

#define UPSTREAM_TIMEOUT_DIRECTIVES(X)                                                                       \
	X(connect, duration, "2s", "1ms", "5m", "To a connection; then the next server is tried, or 502")    \
	X(try_, duration, "off", "1ms", "1h", "To the head of the response, where another server is left that an idempotent request may go to; then it goes there", .words = upstream_off_words, .called = "try") \
	X(total, duration, "off", "1ms", "1h", "To the head of the response, all tries together; 504", .words = upstream_off_words) \
	X(response, duration, "30s", "1ms", "1h", "From the request to the head of the response, and the longest silence in its body; 504")

#define UPSTREAM_SERVER_DIRECTIVES(X)                                                                        \
	X(address, address, NULL, NULL, NULL, "`host:port` or `unix:/path`")                                 \
	X(srv, string, NULL, "1", "253", "Instead: a service whose SRV records say host, port, priority and weight of each server, as in `_http._tcp.example.com`") \
	X(weight, int, "1", "1", "1000", "Its share beside the other servers'")                              \
	X(zone, string, NULL, "1", "64", "Where it stands, see `zone` of the upstream")

#define UPSTREAM_HASH_DIRECTIVES(X)                                                                          \
	X(key, strings, "[uri]", "1", "8", "What belongs together: `uri`, `client`, `header:NAME`, `cookie:NAME`") \
	X(spare, ratio, "25%", "1%", "100%", "How much more than its share of the requests under way a server may have before its keys go to the next")

#define UPSTREAM_AFFINITY_DIRECTIVES(X)                                                                      \
	X(cookie, string, "forebay", "1", "64", "The cookie that names a client's server")                   \
	X(secret, secret, NULL, "16", "4096", "What the cookie is signed with; the same in all instances", .required = true) \
	X(life, duration, "off", "1m", "365d", "How long the browser keeps it; `off`: until it is closed", .words = upstream_life_words) \
	X(same_site, choice(upstream_same_site_words), "lax", NULL, NULL, "Its SameSite")                    \
	X(secure, choice(upstream_secure_words), "auto", NULL, NULL, "Its Secure; `auto`: where the client came by https")

#define UPSTREAM_RETRY_DIRECTIVES(X)                                                                         \
	X(max, int, "2", "1", "10", "Times, each at a server that has not been tried")                       \
	X(budget, ratio, "20%", "0%", "100%", "Retries for each request, in the long run; ten a second are always allowed") \
	X(statuses, strings, "[502, 503, 504]", "0", "20", "Answers for which another server is asked: `503`, `5xx`")

#define UPSTREAM_HEDGE_DIRECTIVES(X)                                                                         \
	X(after, custom(struct hedge_after, hedge_after_parse), "95%", NULL, NULL, "When: `95%`, for the requests that take longer than that part of the answers did lately; or a time", \
		.form = "95% (50% to 99.9%) or 200ms (1ms to 1m)", .schema = "{\"type\": \"string\"}") \
	X(budget, ratio, "10%", "1%", "100%", "Second requests for each request, in the long run; at most 10 are saved up")

#define UPSTREAM_EJECTION_DIRECTIVES(X)                                                                      \
	X(errors, int, "5", "1", "1000", "Failures in a row: no connection, no answer, a broken one, or one of `statuses`; `off`", .words = upstream_off_words) \
	X(statuses, strings, "[502, 503, 504]", "0", "20", "Answers that count as failures: `503`, `5xx`")   \
	X(latency, int, "off", "2", "1000", "Times the median of all servers' mean latency over 10 s", .words = upstream_off_words) \
	X(time, duration, "10s", "100ms", "1h", "How long it is not asked, the first time; twice as long each time it fails again") \
	X(max_time, duration, "5m", "1s", "1d", "At most")                                                   \
	X(share, ratio, "50%", "1%", "100%", "Of the servers, at a time")

#define UPSTREAM_TLS_DIRECTIVES(X)                                                                           \
	X(ca, string, NULL, "1", "4096", "PEM file of the authorities that are believed; without it those of the system") \
	X(name, string, NULL, "1", "253", "Whom a server's certificate must be made out to, told to it as SNI; without it the host of its address") \
	X(cert, string, NULL, "1", "4096", "PEM file of a certificate to show, and those above it")          \
	X(key, string, NULL, "1", "4096", "PEM file of its private key")                                     \
	X(min_version, choice(upstream_tls_words), "1.2", NULL, NULL, "The oldest TLS that is spoken")

#define UPSTREAM_HEALTH_DIRECTIVES(X)                                                                        \
	X(path, string, NULL, "1", "1024", "What is asked for, by GET; without it a check is a connection")  \
	X(host, string, NULL, "1", "255", "The Host sent with it; without it the upstream's name")           \
	X(interval, duration, "5s", "100ms", "1h", "Between two checks of a server")                         \
	X(timeout, duration, "2s", "10ms", "5m", "For a check; not longer than `interval`")                  \
	X(statuses, strings, "[2xx]", "1", "20", "Answers that are well: `200`, `2xx`")                      \
	X(body, string, NULL, "1", "1024", "A text that must be in the first 64 KiB of the body")            \
	X(fall, int, "3", "1", "100", "Failures in a row that make it down")                                 \
	X(rise, int, "2", "1", "100", "Successes in a row that make it up again")

#define UPSTREAM_DIRECTIVES(X)                                                                               \
	X(servers, list(struct upstream_server_conf, upstream_server_table), NULL, "1", "64", "Where requests go: `host:port` or `unix:/path`", .required = true) \
	X(balance, choice(upstream_balance_words), "round_robin", NULL, NULL, "Which server is next. `round_robin`: each in turn. `least_connections`: who has the fewest requests on " \
		"their way. `peak_ewma`: of two drawn at random, the one that has answered sooner lately for what it has to do. `consistent_hash`: whom the request's `hash.key` belongs to. All heed weights") \
	X(hash, map(struct upstream_hash_conf, upstream_hash_table), NULL, NULL, NULL, "What `consistent_hash` goes by") \
	X(retries, map(struct upstream_retry_conf, upstream_retry_table), NULL, NULL, NULL, "An idempotent request that failed before any of its answer came goes to another server", .may_be_off = true) \
	X(hedge, map(struct upstream_hedge_conf, upstream_hedge_table), "off", NULL, NULL, "A GET, HEAD or OPTIONS that its server is slow to answer is asked of another one as well, and who answers first wins", .may_be_off = true) \
	X(ejection, map(struct upstream_ejection_conf, upstream_ejection_table), NULL, NULL, NULL, "A server that fails is not asked for a while", .may_be_off = true) \
	X(panic, ratio, "30%", "0%", "100%", "With a smaller part of the servers fit, all are asked as if they were: then it is not the servers") \
	X(health, map(struct upstream_health_conf, upstream_health_table), "off", NULL, NULL, "Checks of each server, by one worker: a server that is down gets no requests", .may_be_off = true) \
	X(affinity, map(struct upstream_affinity_conf, upstream_affinity_table), "off", NULL, NULL, "A client goes on with the server it began with, as long as that may be asked. " \
		"The cookie is set with answers for one client alone, never with what is stored; the origin does not see it", .may_be_off = true) \
	X(ewma, duration, "10s", "100ms", "10m", "`peak_ewma`: what was seen that long ago counts a third")  \
	X(zone, string, NULL, "1", "64", "Where this Forebay stands: servers of that zone are asked as long as `zone_share` of their weight is there") \
	X(zone_share, ratio, "70%", "1%", "100%", "Below that part of its own zone, servers of all zones are asked") \
	X(slow_start, duration, "off", "1s", "1h", "A server that comes back begins with a tenth of its weight, and has all of it after that long", .words = upstream_life_words) \
	X(host, choice(upstream_host_words), "client", NULL, NULL, "The Host sent to it: what the client asked for, or the server's own name") \
	X(tls, map(struct upstream_tls_conf, upstream_tls_table), "off", NULL, NULL, "TLS to the servers; their certificates are verified", .may_be_off = true) \
	X(protocol, choice(upstream_protocol_words), "http1", NULL, NULL, "What is spoken to the servers: `http1`, `h2` (agreed on by ALPN with `tls`, else taken for granted; gRPC needs it; a WebSocket goes by HTTP/1.1 where the server agrees to that by ALPN, else it gets 502), `auto` (with `tls`: HTTP/2 where a server agrees to it)") \
	X(proxy_protocol, choice(upstream_proxy_words), "off", NULL, NULL, "`v2`: each connection begins by saying, by the PROXY protocol, for which client it is, and serves only him") \
	X(connections, map(struct upstream_pool_conf, upstream_pool_table), NULL, NULL, NULL, "Connections kept open to it") \
	X(timeouts, map(struct upstream_timeout_conf, upstream_timeout_table), NULL, NULL, NULL, "How long is waited for it")
/* clang-format on */

extern const struct conf_word upstream_life_words[], upstream_same_site_words[],
    upstream_secure_words[], upstream_off_words[], upstream_balance_words[], upstream_host_words[],
    upstream_proxy_words[], upstream_tls_words[], upstream_protocol_words[];

struct upstream_pool_conf {
	struct conf_head conf;
	UPSTREAM_POOL_DIRECTIVES(CONF_FIELD)
};
struct upstream_timeout_conf {
	struct conf_head conf;
	UPSTREAM_TIMEOUT_DIRECTIVES(CONF_FIELD)
};
struct upstream_tls_conf {
	struct conf_head conf; /* is_off: plain */
	UPSTREAM_TLS_DIRECTIVES(CONF_FIELD)
};
struct upstream_server_conf {
	struct conf_head conf;
	UPSTREAM_SERVER_DIRECTIVES(CONF_FIELD)
};
struct upstream_hash_conf {
	struct conf_head conf;
	UPSTREAM_HASH_DIRECTIVES(CONF_FIELD)
};
struct upstream_affinity_conf {
	struct conf_head conf;
	UPSTREAM_AFFINITY_DIRECTIVES(CONF_FIELD)
};
struct upstream_retry_conf {
	struct conf_head conf;
	UPSTREAM_RETRY_DIRECTIVES(CONF_FIELD)
};
/* One of them is 0. */
struct hedge_after {
	double part;
	int64_t ms;
};
int hedge_after_parse(struct conf_context *cx, const struct conf_node *n,
    const struct conf_directive *row, void *field);
struct upstream_hedge_conf {
	struct conf_head conf; /* is_off: never */
	UPSTREAM_HEDGE_DIRECTIVES(CONF_FIELD)
};
struct upstream_ejection_conf {
	struct conf_head conf;
	UPSTREAM_EJECTION_DIRECTIVES(CONF_FIELD)
};
struct upstream_health_conf {
	struct conf_head conf;
	UPSTREAM_HEALTH_DIRECTIVES(CONF_FIELD)
};
/* One entry of `upstreams` as written; struct upstream_conf of upstream/target.h is what is made of it. */
struct upstream_section {
	struct conf_head conf;
	UPSTREAM_DIRECTIVES(CONF_FIELD)
};
extern const struct conf_table upstream_tls_table, upstream_pool_table, upstream_timeout_table,
    upstream_server_table, upstream_hash_table, upstream_affinity_table, upstream_retry_table,
    upstream_hedge_table, upstream_ejection_table, upstream_health_table, upstream_table;

#endif
