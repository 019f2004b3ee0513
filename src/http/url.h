/* http/url.h - a request's target in normal form: the one string that route, access rule, key and upstream see
 * (RFC 9112 section 3.2, RFC 3986 section 6).
 *
 * Path: percent-encoding in upper case, unreserved characters decoded, what may not stand bare encoded, dot segments removed;
 * %2F is never decoded, empty segments are never merged, a climb above the root is refused. Query: kept byte for byte. Host: lower case, checked,
 * the scheme's own port left out, no final dot. An absolute target's authority goes before Host.
 */
#ifndef HTTP_URL_H
#define HTTP_URL_H

#include "base/buf.h"
#include "http/head.h"

/* clang-format off */
#define URL_FAULTS(X)                                                                 \
	X(GOOD,       "")                                                             \
	X(FORM,       "the target is neither a path nor an http URL")                 \
	X(ESCAPE,     "the path has a percent sign without two hex digits, or %00")   \
	X(CLIMB,      "the path climbs above the root")                               \
	X(HOST,       "the host is not valid")                                        \
	X(PORT,       "the port is not a number up to 65535")
/* clang-format on */
enum url_fault {
#define X(name, text) URL_##name,
	URL_FAULTS(X)
#undef X
};
const char *url_fault_text(enum url_fault f);

/* All of it lies in one piece. */
struct url {
	struct slice whole;	/* scheme "://" authority path [ "?" query ], a NUL behind it */
	struct slice authority; /* host, and port unless it is the scheme's own */
	struct slice host;	/* without the port; an IPv6 address in its brackets */
	struct slice path;	/* begins with "/", or is "*" (OPTIONS) */
	struct slice query;	/* without "?" */
	bool has_query;		/* "?" alone is a query, and an empty one */
};

/* Bytes that url_of_request may write for this head. */
size_t url_space(const struct head *h);
/* scheme: "http" or "https", as the connection says. space: url_space bytes that live as long as *out. */
enum url_fault url_of_request(
    const struct head *h, struct slice scheme, char *space, struct url *out);
/* A path in normal form alone, for configuration and tools; space: 3 * path.n + 1. */
enum url_fault url_path_normal(struct slice path, char *space, struct slice *out);

/* Which parameters of a query count. Names are compared as the origin reads them, decoded; a listed one that ends in a star
 * means all that begin so. A parameter with a semicolon always counts: some origins see several in it. */
enum query_keep { QUERY_KEEP_ALL, QUERY_KEEP_LISTED, QUERY_DROP_LISTED };
struct query_rules {
	enum query_keep keep;
	const char *const *names;
	unsigned names_count;
	const char *const
	    *also_dropped; /* whatever keep says of others; but not with KEEP_LISTED */
	unsigned also_dropped_count;
	bool sorted; /* by decoded name, then by place */
};
/* Appends what is left of the query, without "?". */
void url_query_filter(struct slice query, const struct query_rules *rules, struct buf *out);

#endif
