/* server/accessline.h - one finished request as one line of the access log: combined (Apache's and nginx's, its time the
 * server's local one), extended (combined, and ACCESS_EXTRAS behind it), or JSON (one object, always with the same members, its time in UTC).
 *
 * A line ends with its only newline and is at most ACCESS_LINE_MAX bytes: a text too long for its share is cut and ends
 * in an ellipsis. What peers sent cannot leave its place in the line: quotes, backslashes and control characters are
 * escaped, bytes that are no UTF-8 become U+FFFD in JSON and \xNN in combined lines.
 *
 * The target is logged with its query, as nginx and Apache do: keep secrets out of URLs. Authorization, Cookie and all
 * other fields but Referer and User-Agent are never logged; user and password in an absolute target or a Referer are cut out.
 */
#ifndef SERVER_ACCESSLINE_H
#define SERVER_ACCESSLINE_H

#include "server/conf.h"
#include "server/observe.h"

#define ACCESS_LINE_MAX 16384
/* Shares of a line, in bytes as written. With what is fixed they stay below ACCESS_LINE_MAX. */
#define ACCESS_SHARE_NAME 256
#define ACCESS_SHARE_HOST 512
#define ACCESS_SHARE_ROUTE 1024
#define ACCESS_SHARE_AGENT 2048
#define ACCESS_SHARE_TARGET 6144

/* clang-format off */
/* The members of a JSON line, in this order.
 *     name         kind     value                        text */
#define ACCESS_MEMBERS(X)                                                                                             \
	X(time,         time,    out->started_wall_ms,        "when the request began")                               \
	X(request_id,   name,    out->request_id,             "the id that the origin was given, too")                \
	X(client,       client,  &out->client,                "the client's address as seen through trusted proxies") \
	X(method,       name,    out->method_text,            "as sent")                                              \
	X(scheme,       name,    out->scheme,                 "http or https")                                        \
	X(host,         host,    out->host,                   "of the request's URL")                                 \
	X(path,         target,  out->target,                 "the request's target as sent, with its query")         \
	X(protocol,     version, out,                         "HTTP/1.0, HTTP/1.1 or HTTP/2")                         \
	X(status,       number,  (uint64_t)out->status,       "as answered; 499: the client left before")             \
	X(bytes,        number,  out->bytes_out,              "of the answer")                                        \
	X(bytes_in,     number,  out->bytes_in,               "of the request's body")                                \
	X(duration_ms,  ms,      out->total_us,               "from the request's head to the end of its answer")     \
	X(wait_ms,      ms,      out->wait_us,                "of that in a rate limit's queue")                      \
	X(origin_ms,    origin,  out->origin_us,              "until the origin's head had come; null: not asked")    \
	X(route,        route,   out->route,                  "as its match is written")                              \
	X(cache,        name,    slice_from(cache_word_name(out->cache_word)), "as X-Cache-Status")                   \
	X(tier,         name,    slice_from(tier_name(out->tier)), "where the answer came from")                      \
	X(reason,       route,   slice_from(out->reason),     "why the cache did that")                               \
	X(detail,       name,    slice_from(out->detail),     "the same in a word, as the detail of Cache-Status; most often empty") \
	X(upstream,     name,    out->upstream,               "the name of the upstream asked")                       \
	X(server,       name,    out->server,                 "which of its servers answered, or failed last; empty: none was asked for this request") \
	X(tries,        number,  out->tries,                  "how many times a server was asked, or could not be reached") \
	X(hedge,        name,    slice_from(out->hedge),      "of a second server asked because the first was slow: won, it answered; lost, the first did. Empty: none was") \
	X(end,          name,    slice_from(request_end_name(out->end)), "how the request ended")                     \
	X(fetch_end,    name,    slice_from(out->fetch_end),  "how the origin failed; empty: it did not")             \
	X(referer,      agent,   out->referer,                "as sent")                                              \
	X(user_agent,   agent,   out->user_agent,             "as sent")
/* clang-format on */

/* What an extended line has behind the combined one, in this order. "-": there is none.
 *     name         kind     value                        text */
/* clang-format off */
#define ACCESS_EXTRAS(X)                                                                                              \
	X(cache,        name,    slice_from(cache_word_name(out->cache_word)), "as X-Cache-Status")                   \
	X(server,       name,    out->server,                 "which server answered, or failed last")                \
	X(tries,        number,  out->tries,                  "how many times a server was asked, or could not be reached") \
	X(origin_ms,    origin,  out->origin_us,              "until the origin's head had come")                     \
	X(duration_ms,  ms,      out->total_us,               "from the request's head to the end of its answer")
/* clang-format on */

/* The second last written out, for the lines of one worker. {0} is new. */
struct access_stamp {
	int64_t second;
	size_t iso_len, combined_len;
	char iso[24];	   /* 2026-11-21T02:53:05 */
	char combined[32]; /* 21/Nov/2026:02:53:05 +0000 */
};

/* Writes the line at `at`, which has room for ACCESS_LINE_MAX bytes; returns its length. */
size_t access_line(
    char *at, enum access_format format, struct access_stamp *stamp, const struct outcome *out);

/* User, password and the @ behind them in an absolute URL; without length where there are none. */
struct slice access_url_user(struct slice url);

#endif
