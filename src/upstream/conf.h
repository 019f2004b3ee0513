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
	X(pending, int, "1000", "0", "1000000", "Requests per worker that may wait for a connection when all are in use; more get 503")

#define UPSTREAM_TIMEOUT_DIRECTIVES(X)                                                                       \
	X(connect, duration, "2s", "1ms", "5m", "To a connection; then the next server is tried, or 502")    \
	X(response, duration, "30s", "1ms", "1h", "From the request to the head of the response, and the longest silence in its body; 504")

#define UPSTREAM_DIRECTIVES(X)                                                                               \
	X(servers, addresses, NULL, "1", "64", "Where requests go: `host:port` or `unix:/path`", .required = true) \
	X(balance, choice(upstream_balance_words), "round_robin", NULL, NULL, "Which server is next")        \
	X(host, choice(upstream_host_words), "client", NULL, NULL, "The Host sent to it: what the client asked for, or the server's own name") \
	X(connections, map(struct upstream_pool_conf, upstream_pool_table), NULL, NULL, NULL, "Connections kept open to it") \
	X(timeouts, map(struct upstream_timeout_conf, upstream_timeout_table), NULL, NULL, NULL, "How long is waited for it")
/* clang-format on */

extern const struct conf_word upstream_life_words[], upstream_balance_words[],
    upstream_host_words[];

struct upstream_pool_conf {
	struct conf_head conf;
	UPSTREAM_POOL_DIRECTIVES(CONF_FIELD)
};
struct upstream_timeout_conf {
	struct conf_head conf;
	UPSTREAM_TIMEOUT_DIRECTIVES(CONF_FIELD)
};
/* One entry of `upstreams` as written; struct upstream_conf of upstream/target.h is what is made of it. */
struct upstream_section {
	struct conf_head conf;
	UPSTREAM_DIRECTIVES(CONF_FIELD)
};
extern const struct conf_table upstream_pool_table, upstream_timeout_table, upstream_table;

/* The upstream of a section: keep with a reference taken when its settings are the same (then its connections and
 * counters go on), else a new one. keep may be NULL. */
struct upstream *upstream_from(
    const struct upstream_section *s, unsigned workers, struct upstream *keep);

#endif
