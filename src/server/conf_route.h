/* server/conf_route.h - the directives of one route, and the cache rules that `cache:` may also state for all. */
#ifndef SERVER_CONF_ROUTE_H
#define SERVER_CONF_ROUTE_H

#include "policy/conf.h"
#include "server/site.h"

/* clang-format off */
#define MATCH_DIRECTIVES(X)                                                                                          \
	X(path, custom(struct match_line, match_line_parse), NULL, NULL, NULL, "Literal segments, `{name}` for one, `**` for the rest; " \
		"methods may stand before it (GET means HEAD too)", .form = "[METHOD|METHOD] PATH",                \
		.schema = "{\"type\": \"string\", \"pattern\": \"^([^ /]+ +)?(/|\\\\$\\\\{)\"}")                     \
	X(path_regex, string, NULL, "1", "4096", "Instead of path: a regular expression (PCRE2) for the whole path; named groups are captures") \
	X(methods, strings, NULL, "1", "32", "Only these methods; GET means HEAD too")                               \
	X(hosts, strings, NULL, "1", "256", "Only these hosts: `example.com`, `*.example.com`")                      \
	X(headers, pairs, NULL, NULL, NULL, "Only with these fields: a value, `*` for any, `~` and a regular expression to search for")

#define CACHE_KEY_DIRECTIVES(X)                                                                                      \
	X(headers, strings, NULL, "0", "16", "Fields of the request that are part of the key")                       \
	X(cookies, strings, NULL, "0", "16", "Likewise cookies; the same as `cookies: {key: [...]}`")

/* What a route does about caching; the general `cache:` may say it for all of them. */
#define CACHE_RULE_DIRECTIVES(X)                                                                                     \
	X(ttl, duration, NULL, "0", "3650d", "The life of what has none from the origin")                            \
	X(sliding, duration, "0", "0", "40d", "Each answer from the cache makes the route's ttl begin again, until the response is that old; `0`: a life is fixed") \
	X(early_refresh, ratio, "100%", "0%", "1000%", "What is asked for often is fetched again shortly before it expires, so that nobody waits (XFetch): " \
		"at a chance moment, about as long before the end as its fetch takes, times this. `0%`: only when it has expired") \
	X(origin, choice(cache_origin_words), "obey", NULL, NULL, "Whether ttl wins over what the origin says of lives, `no-store` and `private` included") \
	X(stale_while_revalidate, duration, "0", "0", "3650d", "How long past its life a response is served at once while it is refreshed, where the origin says nothing") \
	X(stale_if_error, duration, "10m", "0", "3650d", "How long past its life it is served when the origin fails, where the response does not forbid it") \
	X(statuses, custom(struct cache_statuses, cache_statuses_parse), NULL, NULL, NULL, "Lives by status where the origin states none, as in `{404: 1m, 5xx: 5s}`. `4xx` leaves out what is wrong with a request rather than its URL (400, 401, 405 to 408, 411 to 417, 421 to 431): to keep these, name them", \
		.form = "{STATUS: DURATION}", .schema = "{\"type\": \"object\"}")                                    \
	X(jitter, ratio, "0%", "0%", "50%", "Up to that much is taken off lives, the origin's too, so that a batch does not expire at once") \
	X(heuristic, bool, "yes", NULL, NULL, "Whether a life is guessed from Last-Modified (a tenth of the age, at most 10 min)") \
	X(cookies, custom(struct cache_cookies, cache_cookies_parse), "guard", NULL, NULL, "Requests with a cookie. `guard`: only what the origin itself gives a life " \
		"is shared. `ignore`: the answer is the same for everybody. `strip`: and the origin does not see them. `key`: these cookies are part of the key", \
		.form = "guard, ignore, strip or {key: [NAME]}",                                                     \
		.schema = "{\"anyOf\": [{\"enum\": [\"guard\", \"ignore\", \"strip\"]}, {\"type\": \"object\", \"properties\": {\"key\": {}}, \"required\": [\"key\"], \"additionalProperties\": false}]}") \
	X(set_cookie, choice(cache_set_cookie_words), "bypass", NULL, NULL, "Responses that set a cookie: not stored, stored without it, or stored with it") \
	X(authorization, choice(cache_authorization_words), "guard", NULL, NULL, "Requests with Authorization. `guard`: only what the origin calls public is shared, unless the field is part of the `key`. `ignore`: the answer is the same for everybody, also for those who send none") \
	X(query, custom(struct cache_query, cache_query_parse), "all", NULL, NULL, "What of the query is part of the key",    \
		.form = "all, none, {allow: [NAME]} or {drop: [NAME]}, also {sort: yes}",                             \
		.schema = "{\"anyOf\": [{\"enum\": [\"all\", \"none\"]}, {\"type\": \"object\", \"properties\": {\"allow\": {}, \"drop\": {}, \"sort\": {}}, \"additionalProperties\": false}]}") \
	X(tracking, choice(cache_tracking_words), "auto", NULL, NULL, "Tracking parameters of links (`utm_*`, `gclid`, `fbclid` and their like): `drop` leaves them out of the key and of what the origin is sent, " \
		"`keep` does not. `auto`: dropped where the route's `ttl` gives the life, as the origin is not asked for each visitor there")  \
	X(key, map(struct cache_key_conf, cache_key_table), NULL, NULL, NULL, "What else is part of the key")        \
	X(vary, custom(struct cache_vary, cache_vary_parse), NULL, NULL, NULL, "Fields of the request that count only as the best of these values, " \
		"which is part of the key and all of the field that the origin is sent: as in `{accept-language: [en, de]}`, the site's own order deciding where a visitor has no preference", \
		.form = "{FIELD: [VALUE]}", .schema = "{\"type\": \"object\"}")                                      \
	X(post, choice(cache_post_words), "pass", NULL, NULL, "`store`: an answer to POST that states its life, and whose Content-Location is the URL that was asked, is kept for GET (RFC 9110 section 9.3.3)") \
	X(client_directives, choice(cache_client_words), "ignore", NULL, NULL, "Whether Cache-Control and Pragma of requests are heard (RFC 9111 section 5.2.1 leaves it open): " \
		"who may force a fetch can keep the origin busy")                                                    \
	X(tag_fields, choice(cache_tag_fields_words), "hide", NULL, NULL, "Whether clients get the origin's Cache-Tag, Surrogate-Key and xkey. " \
		"`pass`: for a cache in front of this one")                                                         \
	X(max_object, size, "8MiB", "1KiB", "1TiB", "Larger responses are passed on and not stored")               \
	X(slice, size, "0", "0", "64MiB", "Responses larger than this are fetched, and kept, in slices of this size, where the origin gives ranges: 1MiB suits video; 0: whole")

#define ROUTE_CACHE_DIRECTIVES(X)                                                                                    \
	CACHE_RULE_DIRECTIVES(X)                                                                                     \
	X(tags, strings, NULL, "0", "32", "What the responses are tagged with, to be purged by; `{name}` is a capture of the path")

#define PURGE_DIRECTIVES(X)                                                                                          \
	X(tags, strings, NULL, "0", "32", "Everything with these tags; `{name}` is a capture of the path. A `*` that stands here (not in a capture) is any run of characters: `vehicle:{id}:*`") \
	X(urls, strings, NULL, "0", "32", "These paths (with their query, if they have one) on the host of the request")               \
	X(prefixes, strings, NULL, "0", "32", "Everything that begins so, on the host of the request")                        \
	X(patterns, strings, NULL, "0", "32", "Everything that these fit, `*` being any run of characters, on the host of the request") \
	X(soft, bool, "no", NULL, NULL, "Makes them stale instead of dropping them")

#define RESPOND_DIRECTIVES(X)                                                                                        \
	X(status, status, "200", "200", "599", "The status")                                                         \
	X(body, string, NULL, NULL, "65536", "The body")                                                             \
	X(content_type, string, "text/plain; charset=utf-8", "1", "256", "What the body is")

#define REDIRECT_DIRECTIVES(X)                                                                                       \
	X(to, string, NULL, "1", "8192", "The Location; `{name}` is a capture of the path", .required = true)        \
	X(status, status, "308", "301", "308", "301, 302, 303, 307 or 308")

#define ROUTE_DIRECTIVES(X)                                                                                          \
	X(match, map(struct match_conf, match_table), NULL, NULL, NULL, "Which requests", .required = true)          \
	X(name, string, NULL, "1", "64", "What it is called in metrics and logs; else its match")                    \
	X(upstream, string, NULL, "1", NULL, "Which of the upstreams; need not be said when there is one")           \
	X(respond, map(struct respond_conf, respond_table), "off", NULL, NULL, "An answer without an upstream", .may_be_off = true) \
	X(redirect, map(struct redirect_conf, redirect_table), "off", NULL, NULL, "Elsewhere, without an upstream", .may_be_off = true) \
	X(strip_prefix, string, NULL, "2", "1024", "Taken from the path before the upstream sees it")                \
	X(add_prefix, string, NULL, "2", "1024", "Put before the path, then")                                        \
	X(cache, map(struct route_cache_conf, route_cache_table), NULL, NULL, NULL, "Caching; `off`: passes", .may_be_off = true) \
	X(purge, map(struct purge_conf, purge_table), NULL, NULL, NULL, "What a request that may have changed something purges") \
	X(rate_limit, strings, NULL, "0", "8", "Names of rate_limits that all must allow it")                        \
	X(security_headers, map(struct headers_conf, headers_table), NULL, NULL, NULL, "Over the general ones", .may_be_off = true) \
	X(compression, map(struct compression_conf, compression_table), NULL, NULL, NULL, "Over the general one", .may_be_off = true) \
	X(body_size, size, NULL, "0", "1TiB", "The longest body of a request; else limits.body_size") \
	X(client_certificates, choice(client_certificates_words), "optional", NULL, NULL, "`required`: 403 for who has shown no certificate. A listener with `client_ca` asks for it, of everybody")
/* clang-format on */

struct match_line {
	const char *written; /* all of it; NULL: not given */
	const char *path;
	struct slice methods; /* "GET|POST"; empty: any */
};

struct cache_statuses {
	size_t count;
	struct status_life *items;
};
struct cache_cookies {
	enum cookies_rule rule;
	struct names names; /* with COOKIES_KEY */
};
struct cache_query {
	enum query_rule rule;
	bool sorted;
	struct names names;
};
enum { TRACKING_AUTO, TRACKING_DROP, TRACKING_KEEP };
struct cache_vary {
	unsigned count;
	struct route_offer *items;
};
conf_parse_fn match_line_parse, cache_statuses_parse, cache_cookies_parse, cache_query_parse,
    cache_vary_parse;

enum client_certificates { CLIENT_CERTIFICATES_REQUIRED, CLIENT_CERTIFICATES_OPTIONAL };
extern const struct conf_word client_certificates_words[], cache_origin_words[],
    cache_set_cookie_words[], cache_authorization_words[], cache_client_words[],
    cache_tag_fields_words[], cache_post_words[], cache_tracking_words[];

struct match_conf {
	struct conf_head conf;
	MATCH_DIRECTIVES(CONF_FIELD)
};
struct cache_key_conf {
	struct conf_head conf;
	CACHE_KEY_DIRECTIVES(CONF_FIELD)
};
struct route_cache_conf {
	struct conf_head conf; /* is_off: passes */
	ROUTE_CACHE_DIRECTIVES(CONF_FIELD)
};
struct purge_conf {
	struct conf_head conf;
	PURGE_DIRECTIVES(CONF_FIELD)
};
struct respond_conf {
	struct conf_head conf; /* is_off: none */
	RESPOND_DIRECTIVES(CONF_FIELD)
};
struct redirect_conf {
	struct conf_head conf; /* is_off: none */
	REDIRECT_DIRECTIVES(CONF_FIELD)
};
struct route_conf {
	struct conf_head conf;
	ROUTE_DIRECTIVES(CONF_FIELD)
};
extern const struct conf_table match_table, cache_key_table, route_cache_table, purge_table,
    respond_table, redirect_table, route_table;

#endif
