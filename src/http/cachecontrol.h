/* http/cachecontrol.h - what a message says about caching: Cache-Control (RFC 9111 section 5.2), the targeted fields
 * before it (RFC 9213), and Pragma.
 *
 * What restricts is believed in any form, what permits only when it is well-formed: `no-store=x` forbids storing, while
 * `max-age=1h` is a lifetime of 0 and `stale-if-error=x` is nothing. Of several equal directives with a number the first
 * counts. Pure; the result borrows from the head.
 */
#ifndef HTTP_CACHECONTROL_H
#define HTTP_CACHECONTROL_H

#include "http/head.h"

/* clang-format off */
/* A flag in force; what an argument means stands in the last column: ignored, or a list of field names that narrows
 * the directive to these fields.
 *        member             directive           argument */
#define CC_FLAGS(X)                                           \
	X(no_store,          "no-store",         IGNORED)     \
	X(no_cache,          "no-cache",         NAMES)       \
	X(is_private,        "private",          NAMES)       \
	X(is_public,         "public",           IGNORED)     \
	X(must_revalidate,   "must-revalidate",  IGNORED)     \
	X(proxy_revalidate,  "proxy-revalidate", IGNORED)     \
	X(must_understand,   "must-understand",  IGNORED)     \
	X(no_transform,      "no-transform",     IGNORED)     \
	X(immutable,         "immutable",        IGNORED)     \
	X(only_if_cached,    "only-if-cached",   IGNORED)
/* Seconds; CC_NONE if absent. The last column says what a malformed number is: 0, or as if absent.
 *        member                    directive                 malformed */
#define CC_SECONDS(X)                                                    \
	X(max_age_s,                "max-age",                0)         \
	X(s_maxage_s,               "s-maxage",               0)         \
	X(stale_while_revalidate_s, "stale-while-revalidate", CC_NONE)   \
	X(stale_if_error_s,         "stale-if-error",         CC_NONE)   \
	X(min_fresh_s,              "min-fresh",              CC_NONE)   \
	X(max_stale_s,              "max-stale",              CC_NONE)
/* clang-format on */

#define CC_NONE INT32_C(-1)
#define CC_MAX_S INT32_MAX /* greater numbers are this one (RFC 9111 section 1.2.2) */
#define CC_NAMES_MAX \
	4 /* more lists of names in one message make the directive hold for the whole of it */

enum cc_source { CC_FROM_NOTHING, CC_FROM_CACHE_CONTROL, CC_FROM_TARGETED, CC_FROM_PRAGMA };

struct cache_control {
	enum cc_source source;
#define X(member, directive, argument) bool member;
	CC_FLAGS(X)
#undef X
#define X(member, directive, malformed) int32_t member;
	CC_SECONDS(X)
#undef X
	/* The fields that `no-cache="..."` and `private="..."` name: lists as written. */
	struct slice names[CC_NAMES_MAX];
	uint8_t name_lists;
};

/* A response's: the first valid one of Forebay-Cache-Control and CDN-Cache-Control, else Cache-Control. */
void cache_control_of_response(const struct head *h, struct cache_control *out);
/* A request's: Cache-Control, or without it Pragma. max-stale without a value is CC_MAX_S. */
void cache_control_of_request(const struct head *h, struct cache_control *out);
/* Whether no-cache or private names this field, which must then not be stored (nor repeated). */
bool cache_control_names(const struct cache_control *cc, struct slice field_name);

/* Seconds as RFC 9111 section 1.2.2 wants them: digits alone, clamped to CC_MAX_S; CC_NONE if it is anything else. */
int32_t delta_seconds(struct slice s);

#endif
