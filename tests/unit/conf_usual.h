/* The directives of a whole Forebay, for tests of the machinery alone: the rooms' own tables are
 * theirs. */
#ifndef TESTS_CONF_USUAL_H
#define TESTS_CONF_USUAL_H

#include "conf/table.h"

enum { BALANCE_ROUND_ROBIN, BALANCE_LEAST };
enum { ALGORITHM_FIXED = 1, ALGORITHM_SLIDING };
enum { ORDER_OLDEST, ORDER_NEWEST };
enum { COOKIES_BYPASS, COOKIES_IGNORE, COOKIES_STRIP };
enum { ORIGIN_RESPECT, ORIGIN_OVERRIDE };
enum { ENCODING_BR, ENCODING_GZIP };

/* match: [METHOD|METHOD] PATH, or a map. */
struct usual_match {
	const char *methods, *path;
};

/* clang-format off */
#define CERT_DIRECTIVES(X)                                                                        \
	X(cert, string, NULL, NULL, NULL, "The certificate chain, PEM", .required = true)         \
	X(key,  string, NULL, NULL, NULL, "Its private key, PEM", .required = true)
#define TLS_DIRECTIVES(X)                                                                         \
	X(certificates, list(struct cert_conf, cert_table), NULL, "1", NULL, "Certificates, chosen by name", .required = true)
#define LISTEN_DIRECTIVES(X)                                                                      \
	X(address, address, NULL, NULL, NULL, "Where to listen", .required = true)                \
	X(tls, map(struct tls_conf, tls_table), NULL, NULL, NULL, "HTTPS", .may_be_off = true)
#define ADMIN_DIRECTIVES(X)                                                                       \
	X(address, address, "127.0.0.1:9090", NULL, NULL, "Where the admin interface listens")    \
	X(token, secret, NULL, "8", NULL, "What callers must show")
#define ACCESS_DIRECTIVES(X)                                                                      \
	X(path, string, "/dev/stdout", NULL, NULL, "The file")                                    \
	X(format, choice(format_words), "combined", NULL, NULL, "What a line looks like")
#define LOG_DIRECTIVES(X)                                                                         \
	X(level, choice(level_words), "info", NULL, NULL, "The least that is logged")             \
	X(access, map(struct access_conf, access_table), NULL, NULL, NULL, "The access log", .may_be_off = true)
#define LIMITS_DIRECTIVES(X)                                                                      \
	X(head_size, size, "32KiB", "1KiB", "1MiB", "Bytes of a request head")                    \
	X(body_size, size, "100MiB", "0", "1TiB", "Bytes of a request body")                      \
	X(head_timeout, duration, "10s", "100ms", "10m", "For a whole request head")              \
	X(body_timeout, duration, "30s", "100ms", "1h", "Between two reads of a body")            \
	X(keepalive_timeout, duration, "75s", "0", "1h", "For the next request")                  \
	X(connections, int, "auto", "1", "10000000", "From clients", .words = auto_words)
#define SERVER_DIRECTIVES(X)                                                                      \
	X(address, address, NULL, NULL, NULL, "host:port", .required = true)                      \
	X(weight, int, "1", "0", "1000", "Its share")
#define POOL_DIRECTIVES(X)                                                                        \
	X(max, int, "100", "1", "65535", "Connections to one server")                             \
	X(idle, duration, "300s", "1s", "1d", "How long an idle connection is kept")
#define TIMEOUT_DIRECTIVES(X)                                                                     \
	X(connect, duration, "2s", "1ms", "1m", "To connect")                                     \
	X(response, duration, "30s", "1ms", "1h", "To the response head")
#define HEALTH_DIRECTIVES(X)                                                                      \
	X(path, string, NULL, "1", NULL, "What is asked for", .required = true)                   \
	X(interval, duration, "5s", "100ms", "1h", "Between two checks")
#define UPSTREAM_DIRECTIVES(X)                                                                    \
	X(servers, list(struct server_conf, server_table), NULL, "1", NULL, "Where requests go", .required = true) \
	X(balance, choice(balance_words), "round_robin", NULL, NULL, "Which server is next")      \
	X(connections, map(struct pool_conf, pool_table), NULL, NULL, NULL, "The pool of connections") \
	X(timeouts, map(struct timeout_conf, timeout_table), NULL, NULL, NULL, "How long to wait") \
	X(health, map(struct health_conf, health_table), NULL, NULL, NULL, "Active checks")
#define REDIS_DIRECTIVES(X)                                                                       \
	X(url, string, NULL, NULL, NULL, "redis://host:port/db", .required = true)                \
	X(timeout, duration, "50ms", "1ms", "10s", "For one command")                             \
	X(prefix, string, "forebay", NULL, "64", "Before every key")
#define CACHE_DIRECTIVES(X)                                                                       \
	X(memory, size, "256MiB", "1MiB", "1TiB", "Memory for all that is stored")                \
	X(max_object, size, "8MiB", "1KiB", "1GiB", "The largest object stored")                  \
	X(redis, map(struct redis_conf, redis_table), NULL, NULL, NULL, "The second level, shared by instances")
#define COMPRESSION_DIRECTIVES(X)                                                                 \
	X(encodings, choices(encoding_words), "[br, gzip]", NULL, NULL, "In the order of preference") \
	X(min_size, size, "256", "0", "1GiB", "Smaller bodies are left alone", .may_be_bare = true)\
	X(gain, ratio, "5%", NULL, NULL, "The least that must be saved")
#define HEADERS_DIRECTIVES(X)                                                                     \
	X(preset, choice(preset_words), "standard", NULL, NULL, "A set of fields")                \
	X(fields, pairs, NULL, NULL, NULL, "Any field by its name; off removes it", .is_rest = true)
#define RATE_DIRECTIVES(X)                                                                        \
	X(algorithm, choice(algorithm_words), NULL, NULL, NULL, "How permits come back", .required = true) \
	X(limit, int, NULL, "1", "1000000000", "Permits in one window", .required = true, .also = "PermitLimit") \
	X(window, duration, NULL, "1ms", "30d", "The window", .required = true, .also = "Window")  \
	X(segments, int, "10", "1", "100", "Parts of a sliding window", .also = "SegmentsPerWindow") \
	X(queue, int, "0", "0", "100000", "Requests that may wait", .also = "QueueLimit")         \
	X(queue_order, choice(order_words), "oldest_first", NULL, NULL, "Who leaves the queue first", .also = "QueueProcessingOrder") \
	X(key, strings, "client", NULL, NULL, "Whose permits")
#define ROUTE_CACHE_DIRECTIVES(X)                                                                 \
	X(ttl, duration, NULL, "0", "3650d", "The life where the origin states none")             \
	X(origin, choice(origin_words), "respect", NULL, NULL, "Whether ttl wins over the origin") \
	X(cookies, choice(cookies_words), "bypass", NULL, NULL, "What a cookie does")             \
	X(tags, strings, NULL, NULL, NULL, "Tags to purge by")
#define PURGE_DIRECTIVES(X)                                                                       \
	X(tags, strings, NULL, NULL, NULL, "By tag")                                              \
	X(urls, strings, NULL, NULL, NULL, "By URL")
#define RESPOND_DIRECTIVES(X)                                                                     \
	X(status, status, "200", NULL, NULL, "The status")
#define ROUTE_DIRECTIVES(X)                                                                       \
	X(match, custom(struct usual_match, usual_match_parse), NULL, NULL, NULL, "Which requests", .required = true, .form = "[METHOD|METHOD] PATH") \
	X(rate_limit, string, NULL, NULL, NULL, "The name of a limit")                            \
	X(cache, map(struct route_cache_conf, route_cache_table), NULL, NULL, NULL, "Caching", .may_be_off = true) \
	X(purge, map(struct purge_conf, purge_table), NULL, NULL, NULL, "What a success purges")  \
	X(security_headers, map(struct headers_conf, headers_table), NULL, NULL, NULL, "Fields over the general ones", .may_be_off = true) \
	X(respond, map(struct respond_conf, respond_table), NULL, NULL, NULL, "A fixed answer")
#define USUAL_DIRECTIVES(X)                                                                       \
	X(workers, int, "auto", "1", "1024", "Threads", .words = auto_words)                      \
	X(listen, list(struct listen_conf, listen_table), NULL, "1", NULL, "Where clients come in", .required = true) \
	X(admin, map(struct admin_conf, admin_table), NULL, NULL, NULL, "The admin interface")    \
	X(log, map(struct log_conf, log_table), NULL, NULL, NULL, "Logs")                         \
	X(limits, map(struct limits_conf, limits_table), NULL, NULL, NULL, "Bounds on clients")   \
	X(trusted_proxies, strings, NULL, NULL, NULL, "Networks whose X-Forwarded-For is believed") \
	X(upstreams, named(struct upstream_conf, upstream_table), NULL, "1", NULL, "Groups of servers", .required = true) \
	X(cache, map(struct cache_conf, cache_table), NULL, NULL, NULL, "The store", .may_be_off = true) \
	X(compression, map(struct compression_conf, compression_table), NULL, NULL, NULL, "Compression", .may_be_off = true) \
	X(security_headers, map(struct headers_conf, headers_table), NULL, NULL, NULL, "Security headers", .may_be_off = true) \
	X(rate_limits, named(struct rate_conf, rate_table), NULL, NULL, NULL, "Limits by name")   \
	X(routes, list(struct route_conf, route_table), NULL, NULL, NULL, "First match wins", .required = true)

#define AUTO (-1)
static const struct conf_word auto_words[] = {{"auto", AUTO, 0}, {0}};
static const struct conf_word format_words[] = {{"combined", 0, 0}, {"json", 1, 0}, {0}};
static const struct conf_word level_words[] = {{"error", 0, 0}, {"warning", 1, 0}, {"info", 2, 0}, {"debug", 3, 0}, {0}};
static const struct conf_word balance_words[] = {{"round_robin", BALANCE_ROUND_ROBIN, 0}, {"least_connections", BALANCE_LEAST, 0}, {0}};
static const struct conf_word encoding_words[] = {{"br", ENCODING_BR, 0}, {"gzip", ENCODING_GZIP, 0}, {0}};
static const struct conf_word preset_words[] = {{"standard", 0, 0}, {"strict", 1, 0}, {0}};
static const struct conf_word algorithm_words[] = {{"fixed_window", ALGORITHM_FIXED, 0}, {"sliding_window", ALGORITHM_SLIDING, 0}, {0}};
static const struct conf_word order_words[] = {{"oldest_first", ORDER_OLDEST, 0}, {"newest_first", ORDER_NEWEST, 0},
	{"OldestFirst", ORDER_OLDEST, 1}, {"NewestFirst", ORDER_NEWEST, 1}, {0}};
static const struct conf_word origin_words[] = {{"respect", ORIGIN_RESPECT, 0}, {"override", ORIGIN_OVERRIDE, 0}, {0}};
static const struct conf_word cookies_words[] = {{"bypass", COOKIES_BYPASS, 0}, {"ignore", COOKIES_IGNORE, 0}, {"strip", COOKIES_STRIP, 0}, {0}};

static inline int
usual_match_parse(struct conf_context *cx, const struct conf_node *n, const struct conf_directive *row, void *field)
{
	struct usual_match *m = field;
	const char *space = strchr(n->text, ' ');

	if (n->kind != CONF_SCALAR || strchr(n->text, '/') == NULL) {
		conf_error(cx->diag, n->at, "%s: no path", row->name);
		conf_hint(cx->diag, "expected %s", row->form);
		return -1;
	}
	m->methods = space == NULL ? "" : arena_copy(cx->mem, slice_of(n->text, (size_t)(space - n->text))).p;
	m->path = space == NULL ? n->text : space + 1;
	return 0;
}

struct cert_conf { struct conf_head conf; CERT_DIRECTIVES(CONF_FIELD) };
#define CONF_TARGET struct cert_conf
static const struct conf_directive cert_rows[] = {CERT_DIRECTIVES(CONF_ROW)};
static const struct conf_table cert_table = CONF_TABLE("certificate", struct cert_conf, cert_rows, );
#undef CONF_TARGET

struct tls_conf { struct conf_head conf; TLS_DIRECTIVES(CONF_FIELD) };
#define CONF_TARGET struct tls_conf
static const struct conf_directive tls_rows[] = {TLS_DIRECTIVES(CONF_ROW)};
static const struct conf_table tls_table = CONF_TABLE("tls", struct tls_conf, tls_rows, );
#undef CONF_TARGET

struct listen_conf { struct conf_head conf; LISTEN_DIRECTIVES(CONF_FIELD) };
#define CONF_TARGET struct listen_conf
static const struct conf_directive listen_rows[] = {LISTEN_DIRECTIVES(CONF_ROW)};
static const struct conf_table listen_table = CONF_TABLE("listen", struct listen_conf, listen_rows, .shortcut = "address");
#undef CONF_TARGET

struct admin_conf { struct conf_head conf; ADMIN_DIRECTIVES(CONF_FIELD) };
#define CONF_TARGET struct admin_conf
static const struct conf_directive admin_rows[] = {ADMIN_DIRECTIVES(CONF_ROW)};
static const struct conf_table admin_table = CONF_TABLE("admin", struct admin_conf, admin_rows, );
#undef CONF_TARGET

struct access_conf { struct conf_head conf; ACCESS_DIRECTIVES(CONF_FIELD) };
#define CONF_TARGET struct access_conf
static const struct conf_directive access_rows[] = {ACCESS_DIRECTIVES(CONF_ROW)};
static const struct conf_table access_table = CONF_TABLE("access_log", struct access_conf, access_rows, .shortcut = "path");
#undef CONF_TARGET

struct log_conf { struct conf_head conf; LOG_DIRECTIVES(CONF_FIELD) };
#define CONF_TARGET struct log_conf
static const struct conf_directive log_rows[] = {LOG_DIRECTIVES(CONF_ROW)};
static const struct conf_table log_table = CONF_TABLE("log", struct log_conf, log_rows, .shortcut = "level");
#undef CONF_TARGET

struct limits_conf { struct conf_head conf; LIMITS_DIRECTIVES(CONF_FIELD) };
#define CONF_TARGET struct limits_conf
static const struct conf_directive limits_rows[] = {LIMITS_DIRECTIVES(CONF_ROW)};
static const struct conf_table limits_table = CONF_TABLE("limits", struct limits_conf, limits_rows, );
#undef CONF_TARGET

struct server_conf { struct conf_head conf; SERVER_DIRECTIVES(CONF_FIELD) };
#define CONF_TARGET struct server_conf
static const struct conf_directive server_rows[] = {SERVER_DIRECTIVES(CONF_ROW)};
static const struct conf_table server_table = CONF_TABLE("server", struct server_conf, server_rows, .shortcut = "address");
#undef CONF_TARGET

struct pool_conf { struct conf_head conf; POOL_DIRECTIVES(CONF_FIELD) };
#define CONF_TARGET struct pool_conf
static const struct conf_directive pool_rows[] = {POOL_DIRECTIVES(CONF_ROW)};
static const struct conf_table pool_table = CONF_TABLE("connections", struct pool_conf, pool_rows, );
#undef CONF_TARGET

struct timeout_conf { struct conf_head conf; TIMEOUT_DIRECTIVES(CONF_FIELD) };
#define CONF_TARGET struct timeout_conf
static const struct conf_directive timeout_rows[] = {TIMEOUT_DIRECTIVES(CONF_ROW)};
static const struct conf_table timeout_table = CONF_TABLE("timeouts", struct timeout_conf, timeout_rows, );
#undef CONF_TARGET

struct health_conf { struct conf_head conf; HEALTH_DIRECTIVES(CONF_FIELD) };
#define CONF_TARGET struct health_conf
static const struct conf_directive health_rows[] = {HEALTH_DIRECTIVES(CONF_ROW)};
static const struct conf_table health_table = CONF_TABLE("health", struct health_conf, health_rows, .shortcut = "path");
#undef CONF_TARGET

struct upstream_conf { struct conf_head conf; UPSTREAM_DIRECTIVES(CONF_FIELD) };
#define CONF_TARGET struct upstream_conf
static const struct conf_directive upstream_rows[] = {UPSTREAM_DIRECTIVES(CONF_ROW)};
static const struct conf_table upstream_table = CONF_TABLE("upstream", struct upstream_conf, upstream_rows, .shortcut = "servers");
#undef CONF_TARGET

struct redis_conf { struct conf_head conf; REDIS_DIRECTIVES(CONF_FIELD) };
#define CONF_TARGET struct redis_conf
static const struct conf_directive redis_rows[] = {REDIS_DIRECTIVES(CONF_ROW)};
static const struct conf_table redis_table = CONF_TABLE("redis", struct redis_conf, redis_rows, .shortcut = "url");
#undef CONF_TARGET

struct cache_conf { struct conf_head conf; CACHE_DIRECTIVES(CONF_FIELD) };
#define CONF_TARGET struct cache_conf
static const struct conf_directive cache_rows[] = {CACHE_DIRECTIVES(CONF_ROW)};
static const struct conf_table cache_table = CONF_TABLE("cache", struct cache_conf, cache_rows, .text = "What is kept, and where.");
#undef CONF_TARGET

struct compression_conf { struct conf_head conf; COMPRESSION_DIRECTIVES(CONF_FIELD) };
#define CONF_TARGET struct compression_conf
static const struct conf_directive compression_rows[] = {COMPRESSION_DIRECTIVES(CONF_ROW)};
static const struct conf_table compression_table = CONF_TABLE("compression", struct compression_conf, compression_rows, );
#undef CONF_TARGET

struct headers_conf { struct conf_head conf; HEADERS_DIRECTIVES(CONF_FIELD) };
#define CONF_TARGET struct headers_conf
static const struct conf_directive headers_rows[] = {HEADERS_DIRECTIVES(CONF_ROW)};
static const struct conf_table headers_table = CONF_TABLE("security_headers", struct headers_conf, headers_rows, .shortcut = "preset");
#undef CONF_TARGET

struct rate_conf { struct conf_head conf; RATE_DIRECTIVES(CONF_FIELD) };
#define CONF_TARGET struct rate_conf
static const struct conf_directive rate_rows[] = {RATE_DIRECTIVES(CONF_ROW)};
static const struct conf_table rate_table = CONF_TABLE("rate_limit", struct rate_conf, rate_rows, );
#undef CONF_TARGET

struct route_cache_conf { struct conf_head conf; ROUTE_CACHE_DIRECTIVES(CONF_FIELD) };
#define CONF_TARGET struct route_cache_conf
static const struct conf_directive route_cache_rows[] = {ROUTE_CACHE_DIRECTIVES(CONF_ROW)};
static const struct conf_table route_cache_table = CONF_TABLE("route_cache", struct route_cache_conf, route_cache_rows, .shortcut = "ttl");
#undef CONF_TARGET

struct purge_conf { struct conf_head conf; PURGE_DIRECTIVES(CONF_FIELD) };
#define CONF_TARGET struct purge_conf
static const struct conf_directive purge_rows[] = {PURGE_DIRECTIVES(CONF_ROW)};
static const struct conf_table purge_table = CONF_TABLE("purge", struct purge_conf, purge_rows, );
#undef CONF_TARGET

struct respond_conf { struct conf_head conf; RESPOND_DIRECTIVES(CONF_FIELD) };
#define CONF_TARGET struct respond_conf
static const struct conf_directive respond_rows[] = {RESPOND_DIRECTIVES(CONF_ROW)};
static const struct conf_table respond_table = CONF_TABLE("respond", struct respond_conf, respond_rows, .shortcut = "status");
#undef CONF_TARGET

struct route_conf { struct conf_head conf; ROUTE_DIRECTIVES(CONF_FIELD) };
#define CONF_TARGET struct route_conf
static const struct conf_directive route_rows[] = {ROUTE_DIRECTIVES(CONF_ROW)};
static const struct conf_table route_table = CONF_TABLE("route", struct route_conf, route_rows, );
#undef CONF_TARGET

struct usual_conf { struct conf_head conf; USUAL_DIRECTIVES(CONF_FIELD) };
#define CONF_TARGET struct usual_conf
static const struct conf_directive usual_rows[] = {USUAL_DIRECTIVES(CONF_ROW)};
static const struct conf_table usual_table = CONF_TABLE("forebay", struct usual_conf, usual_rows, );
#undef CONF_TARGET

/* clang-format on */

#endif
