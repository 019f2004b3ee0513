/* server/conf.h - the whole configuration: its top level, and the parts that concern the server itself.
 *
 * Filled once by server_conf_load() and never changed: the site that is compiled from it (server/compile.h) owns the
 * arena in which all of it lives, and the daemon reads listen, admin and log from there.
 */
#ifndef SERVER_CONF_H
#define SERVER_CONF_H

#include "cache/conf.h"
#include "conf/load.h"
#include "server/conf_route.h"
#include "upstream/conf.h"

/* clang-format off */
#define CERTIFICATE_DIRECTIVES(X)                                                                                    \
	X(cert, string, NULL, "1", "4096", "The certificate and those above it, PEM", .required = true)              \
	X(key,  string, NULL, "1", "4096", "Its private key, PEM", .required = true)

#define LISTEN_TLS_DIRECTIVES(X)                                                                                     \
	X(certificates, list(struct certificate_conf, certificate_table), NULL, "1", "256", "One is chosen by the name that the client asks for; the first is for all others. Files that change are read anew by themselves", .required = true) \
	X(ticket_keys, string, NULL, "1", "4096", "File of the keys that session tickets are sealed with, for instances to share: one a line, 80 bytes in base64, the first seals and all open. Read anew when it changes. Without it keys of this process's own, made anew each hour") \
	X(client_ca, string, NULL, "1", "4096", "Clients are asked for a certificate of one of the authorities in this file, PEM. Servers behind are told by Client-Cert and Client-Cert-Chain (RFC 9440); read anew when it changes") \
	X(client_certificates, choice(client_certificates_words), "required", NULL, NULL, "With `client_ca`: whether a client without one is let in; a bad one never is") \
	X(expiry_warning, duration, "7d", "0", "365d", "How long before a certificate runs out `/health/ready` begins to say so")

#define PROXY_PROTOCOL_DIRECTIVES(X)                                                                                 \
	X(from, strings, NULL, "1", "1000", "Networks, as in `10.0.0.0/8`, whose connections must begin with a PROXY header; all others are served as who they are", .required = true) \
	X(timeout, duration, "3s", "10ms", "1m", "For the whole header; then the connection is closed")

#define LISTEN_DIRECTIVES(X)                                                                                         \
	X(address, address, NULL, NULL, NULL, "`:8080` for all addresses of the machine, `127.0.0.1:8080`, `[::1]:8080`, `unix:/path`", .required = true) \
	X(tls, map(struct listen_tls_conf, listen_tls_table), "off", NULL, NULL, "HTTPS", .may_be_off = true) \
	X(http2, bool, "on", NULL, NULL, "HTTP/2 beside HTTP/1.1: agreed on by ALPN over TLS, by prior knowledge without") \
	X(https_redirect, int, "off", "1", "65535", "Plain HTTP only: what comes here is sent to https at that port, `on` means 443; the host is kept. ACME challenges (`acme_challenges`) are answered all the same", .words = redirect_words) \
	X(proxy_protocol, map(struct proxy_protocol_conf, proxy_protocol_table), "off", NULL, NULL, "Proxies that say for whom they speak by the PROXY protocol, version 1 or 2", .may_be_off = true)

#define ADMIN_DIRECTIVES(X)                                                                                          \
	X(address, address, "127.0.0.1:9090", NULL, NULL, "Where it listens")                                        \
	X(token, secret, NULL, "8", "4096", "What callers of the API must show, as in `Authorization: Bearer TOKEN`")

#define ACCESS_LOG_DIRECTIVES(X)                                                                                     \
	X(path, string, "stdout", "1", "4096", "The file, opened again on SIGUSR1, or `stdout`")                           \
	X(format, choice(access_format_words), "combined", NULL, NULL, "What a line looks like. `extended`: combined, and behind it the cache's status, the server asked, the number of tries, the origin's time and the whole, in ms")

#define LOG_DIRECTIVES(X)                                                                                            \
	X(level, choice(log_level_words), "info", NULL, NULL, "The least that is told")                              \
	X(path, string, NULL, "1", "4096", "The file; without it standard error")                                    \
	X(audit, string, NULL, "1", "4096", "The file that says who controlled what: a JSON line for each purge, also those that routes declare, and each other order. " \
		"Opened again on SIGUSR1. Without it orders stand in the log, marked `audit:`, and purges of routes nowhere") \
	X(access, map(struct access_log_conf, access_log_table), NULL, NULL, NULL, "One line for each request", .may_be_off = true)

#define LIMITS_DIRECTIVES(X)                                                                                         \
	X(head_size, size, "32KiB", "1KiB", "1MiB", "The longest head of a request; 431")                            \
	X(target_size, size, "8KiB", "64B", "1MiB", "The longest target in it; 414")                                 \
	X(body_size, size, "100MiB", "0", "1TiB", "The longest body of a request; 413")                              \
	X(head_timeout, duration, "10s", "100ms", "10m", "For a whole head; 408")                                    \
	X(body_timeout, duration, "30s", "100ms", "1h", "The longest silence within a body, in both directions")     \
	X(keepalive_timeout, duration, "75s", "0", "1d", "How long a connection waits for its next request")         \
	X(tunnel_timeout, duration, "1h", "1s", "30d", "How long a tunnel (WebSocket) may be silent in both directions") \
	X(drain_timeout, duration, "30s", "0", "1h", "When stopping: how long requests under way may take to end")   \
	X(streams, int, "100", "1", "1000", "Requests at a time on one connection that speaks HTTP/2; what is more is refused") \
	X(connections, int, "auto", "1", "10000000", "From clients, all workers together; auto: what the limit on open files allows", .words = auto_words) \
	X(rate_table, size, "16MiB", "64KiB", "64GiB", "Memory for the keys of rate limits") \
	X(rate_timeout, duration, "20ms", "1ms", "1s", "How long a request waits for Redis about a limit of `scope: shared`; then this instance's share decides") \
	X(rate_instances, int, "auto", "1", "10000", "Among how many instances a shared limit is divided while Redis is away; auto: as many as were last seen there", .words = auto_words)

#define PURGE_METHOD_DIRECTIVES(X)                                                                                   \
	X(allow, strings, NULL, "1", "1000", "Networks, as in `10.0.0.0/8`, whose PURGE is heard; others get 403", .required = true)

#define SERVER_DIRECTIVES(X)                                                                                         \
	X(workers, int, "auto", "1", "256", "Threads that serve; auto: one for each processor", .words = auto_words) \
	X(listen, list(struct listen_conf, listen_table), NULL, "1", "64", "Where clients come in", .required = true) \
	X(admin, map(struct admin_conf, admin_table), NULL, NULL, NULL, "Health, metrics and control, on a port of their own", .may_be_off = true) \
	X(state_dir, string, NULL, "1", "4096", "For what outlives the process, such as purges that Redis has not been told of. Without it `$STATE_DIRECTORY` (systemd), else none. Read at start only") \
	X(log, map(struct log_conf, log_table), NULL, NULL, NULL, "What is logged, and where")                       \
	X(limits, map(struct limits_conf, limits_table), NULL, NULL, NULL, "Bounds on what clients may use")         \
	X(trusted_proxies, strings, NULL, "0", "1000", "Networks, as in `10.0.0.0/8`, whose X-Forwarded-For, X-Forwarded-Proto, Forwarded and X-Request-Id are believed") \
	X(resolver, strings, NULL, "1", "8", "Name servers for the names of servers and of Redis, as in `10.0.0.53` or `127.0.0.1:5353`; each is asked when the one before does not answer. Without it those of `/etc/resolv.conf`. `/etc/hosts` goes before either") \
	X(upstreams, named(struct upstream_section, upstream_table), NULL, "0", "1000", "The servers behind, by name") \
	X(cache, map(struct cache_conf, cache_table), NULL, NULL, NULL, "The store, and cache rules for all routes", .may_be_off = true) \
	X(acme_challenges, string, NULL, "1", "4096", "Directory of the answers to ACME's http-01 challenges: its files are served under `/.well-known/acme-challenge/`, in front of any route and on every listener. With certbot's `--webroot-path /var/www` it is `/var/www/.well-known/acme-challenge`") \
	X(purge, map(struct purge_method_conf, purge_method_table), "off", NULL, NULL, "The method PURGE", .may_be_off = true) \
	X(compression, map(struct compression_conf, compression_table), NULL, NULL, NULL, "Compression, for all routes", .may_be_off = true) \
	X(recompress, map(struct recompress_conf, recompress_table), NULL, NULL, NULL, "What is stored and often asked for is compressed again when there is nothing else to do", .may_be_off = true) \
	X(security_headers, map(struct headers_conf, headers_table), NULL, NULL, NULL, "Security headers, for all routes", .may_be_off = true) \
	X(rate_limits, named(struct rate_limit_conf, rate_limit_table), NULL, "0", "1000", "Limits by name")          \
	X(ratelimit_headers, choice(rate_style_words), "draft-11", NULL, NULL, "How clients are told of their limits") \
	X(routes, list(struct route_conf, route_table), NULL, "1", "10000", "What is done with requests", .required = true)
/* clang-format on */

#define CONF_AUTO (-1)
extern const struct conf_word auto_words[], redirect_words[], access_format_words[],
    log_level_words[], rate_style_words[];
enum access_format { ACCESS_COMBINED, ACCESS_EXTENDED, ACCESS_JSON };

struct certificate_conf {
	struct conf_head conf;
	CERTIFICATE_DIRECTIVES(CONF_FIELD)
};
struct listen_tls_conf {
	struct conf_head conf; /* is_off: plain */
	LISTEN_TLS_DIRECTIVES(CONF_FIELD)
};
struct proxy_protocol_conf {
	struct conf_head conf; /* is_off: nobody's header is expected */
	PROXY_PROTOCOL_DIRECTIVES(CONF_FIELD)
};
struct listen_conf {
	struct conf_head conf;
	LISTEN_DIRECTIVES(CONF_FIELD)
};
struct admin_conf {
	struct conf_head conf; /* is_off: no admin interface */
	ADMIN_DIRECTIVES(CONF_FIELD)
};
struct access_log_conf {
	struct conf_head conf; /* is_off: none */
	ACCESS_LOG_DIRECTIVES(CONF_FIELD)
};
struct log_conf {
	struct conf_head conf;
	LOG_DIRECTIVES(CONF_FIELD)
};
struct limits_conf {
	struct conf_head conf;
	LIMITS_DIRECTIVES(CONF_FIELD)
};
/* `cache:`: the store of cache/conf.h, and what routes take where they say nothing themselves. */
struct cache_conf {
	struct conf_head conf; /* is_off: nothing is cached */
	CACHE_DIRECTIVES(CONF_FIELD)
	struct route_cache_conf rules;
};
struct purge_method_conf {
	struct conf_head conf; /* is_off: nobody's is heard */
	PURGE_METHOD_DIRECTIVES(CONF_FIELD)
};
struct server_conf {
	struct conf_head conf;
	SERVER_DIRECTIVES(CONF_FIELD)
};
extern const struct conf_table certificate_table, listen_tls_table, proxy_protocol_table,
    listen_table, admin_table, access_log_table, log_table, limits_table, cache_table,
    purge_method_table, server_table;

/* Reads path into mem. NULL with every reason in d. */
struct server_conf *server_conf_load(const char *path, struct arena *mem, struct conf_diag *d);
/* The same from a text, for tests and checks. */
struct server_conf *server_conf_load_text(
    const struct conf_text *src, struct arena *mem, struct conf_diag *d);
/* How many workers: as configured, or one for each processor this process may use. */
unsigned server_conf_workers(const struct server_conf *c);
/* The file to use when none is named: conf/forebay.yaml beside the binary's directory or in the working directory,
 * else /etc/forebay/forebay.yaml. The path lives in mem. */
const char *server_conf_default_path(struct arena *mem);
/* A certificate's path as conf_read() takes it: relative ones start at the file they are written in. In mem. */
const char *server_conf_path(struct arena *mem, const struct conf_head *near, const char *path);

#endif
