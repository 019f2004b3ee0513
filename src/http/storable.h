/* http/storable.h - whether a response may be stored (RFC 9111 section 3), and if not, why. Pure.
 *
 * The verdict on the head is store_judge's. The last rows of the table are found out later, by those who read the
 * body or run the cache; they stand here so that each reason has one name in logs, metrics and Cache-Status.
 */
#ifndef HTTP_STORABLE_H
#define HTTP_STORABLE_H

#include "http/freshness.h"

/* clang-format off */
/*        verdict          detail (Cache-Status, metrics)  text, for explain and logs */
#define STORE_VERDICTS(X)                                                                                       \
	X(STORED,          "stored",             "stored")                                                      \
	X(METHOD,          "method",             "only responses to GET and QUERY are stored")                            \
	X(INTERIM,         "interim",            "an interim response is never stored")                         \
	X(PARTIAL,         "partial",            "a part is not stored as the whole")                           \
	X(STATUS,          "status",             "a response of this status is not stored unless it states its life") \
	X(STATUS_SPECIAL,  "status",             "a response of this status only answers the request it came for") \
	X(REQUEST_NO_STORE, "request-no-store",  "the request's Cache-Control says no-store")                   \
	X(NOT_UNDERSTOOD,  "must-understand",    "the response says must-understand, and its status is not known") \
	X(NO_STORE,        "no-store",           "the response's Cache-Control says no-store")                  \
	X(PRIVATE,         "private",            "the response's Cache-Control says private")                   \
	X(SET_COOKIE,      "set-cookie",         "the response sets a cookie, and the route's set_cookie is bypass") \
	X(VARY_STAR,       "vary-star",          "the response says Vary: *")                                   \
	X(VARY_LONG,       "vary-long",          "the fields that Vary names are too many or too long")         \
	X(TAGS_LONG,       "tags-long",          "its tags are more than 1,000, longer than 16 KiB together, or one is longer than 1 KiB") \
	X(AUTHORIZATION,   "authorization",      "the request has Authorization, and the response is not marked for all (public, s-maxage, must-revalidate)") \
	X(COOKIE,          "cookie",             "the request has a Cookie, and only the route or a guess gives the response a life") \
	X(PATH_TYPE,       "path-type",          "a page under the name of another kind of file, and only the route or a guess gives it a life") \
	X(NO_FRESHNESS,    "no-freshness",       "nobody states a life, and there is no validator")             \
	X(EXPIRED,         "expired",            "it was stale when it arrived, and there is no validator")     \
	X(NO_VALIDATOR,    "no-validator",       "it must be validated before each use, and there is no validator") \
	X(TOO_LARGE,       "too-large",          "it is larger than cache.max_object")                          \
	X(INCOMPLETE,      "incomplete",         "its body did not arrive in full")                             \
	X(NO_MEMORY,       "no-memory",          "the cache had no room for it")                                \
	X(PURGED,          "purged",             "it was purged while it was fetched")                          \
	X(ROUTE_OFF,       "off",                "the route does not cache")
/* clang-format on */

enum store_verdict {
#define X(verdict, detail, text) STORE_##verdict,
	STORE_VERDICTS(X)
#undef X
	    STORE_VERDICT_COUNT
};

const char *store_verdict_detail(enum store_verdict v);
const char *store_verdict_text(enum store_verdict v);

enum set_cookie_rule {
	SET_COOKIE_BYPASS, /* a response that sets a cookie is not stored */
	SET_COOKIE_STRIP,  /* it is stored, and sent from then on, without */
	SET_COOKIE_STORE,  /* it is stored with it */
};

/* What a route says about storing. */
struct store_policy {
	enum set_cookie_rule set_cookie;
	bool
	    cookies_covered; /* cookies: ignore | strip | key: a Cookie in the request is no obstacle */
	bool authorization_covered; /* likewise Authorization, by the route's words */
	uint64_t max_object_bytes;
};

struct store_ask {
	enum method method;
	bool has_authorization; /* in the request, as the client sent it */
	bool has_cookie;
	struct slice path; /* of the request's URL; empty: not looked at */
	const struct cache_control *request_cc;
	const struct head *response;
	const struct cache_control *cc;
	const struct life *life; /* life_of_response of the same */
	const struct store_policy *policy;
	int64_t body_bytes; /* Content-Length; -1: not known yet */
};

enum store_verdict store_judge(const struct store_ask *a);
/* Whether the status is one whose caching rules we know (RFC 9111 section 5.2.2.3). */
bool status_is_understood(uint16_t status);
/* An ETag, or a Last-Modified that is a date. */
bool head_has_validator(const struct head *response, const struct life *life);

#endif
