/* http/reuse.h - whether a stored response may answer this request now (RFC 9111 section 4), and if not, why. Pure. */
#ifndef HTTP_REUSE_H
#define HTTP_REUSE_H

#include "http/cachecontrol.h"
#include "http/cachestatus.h"

enum reuse_action {
	REUSE_SERVE,
	REUSE_SERVE_AND_REFRESH, /* send it, and fetch behind it */
	REUSE_VALIDATE,		 /* ask the origin, with its validators if it has any */
	REUSE_PASS,   /* not for this request: ask the origin as if nothing were stored */
	REUSE_REFUSE, /* 504: the client wants it from the cache only */
};

/* clang-format off */
/* The word is that of the answer if the origin sends a new one; a 304 makes it REVALIDATED, a failure STALE. The detail is for
 * Cache-Status; empty where that says it all anyhow.
 *        reason             action             word      fwd      detail                    text */
#define REUSES(X)                                                                                                  \
	X(FRESH,             SERVE,             HIT,      NONE,    "",                       "fresh")              \
	X(MAX_STALE,         SERVE,             STALE,    NONE,    "request-max-stale",      "stale, and the client's max-stale allows it") \
	X(WHILE_REVALIDATE,  SERVE_AND_REFRESH, STALE,    NONE,    "stale-while-revalidate", "stale, within stale-while-revalidate") \
	X(EXPIRED,           VALIDATE,          EXPIRED,  STALE,   "",                       "stale")              \
	X(NO_CACHE,          VALIDATE,          EXPIRED,  STALE,   "no-cache",               "the response says no-cache: validated before each use") \
	X(REQUEST_NO_CACHE,  VALIDATE,          BYPASS,   REQUEST, "request-no-cache",       "the client's Cache-Control says no-cache") \
	X(REQUEST_MAX_AGE,   VALIDATE,          EXPIRED,  REQUEST, "request-max-age",        "older than the client's max-age allows") \
	X(REQUEST_MIN_FRESH, VALIDATE,          EXPIRED,  REQUEST, "request-min-fresh",      "not fresh for as long as the client's min-fresh asks") \
	X(COOKIE,            PASS,              BYPASS,   BYPASS,  "cookie",                 "the request has a Cookie, and only the route or a guess gives the response a life") \
	X(AUTHORIZATION,     PASS,              BYPASS,   BYPASS,  "authorization",          "the request has Authorization, and only the route or a guess gives the response a life") \
	X(ONLY_IF_CACHED,    REFUSE,            MISS,     NONE,    "",                       "the client asks for what is in the cache, and it may not be used")
/* clang-format on */

enum reuse {
#define X(reason, action, word, fwd, detail, text) REUSE_IS_##reason,
	REUSES(X)
#undef X
	    REUSE_COUNT
};

enum reuse_action reuse_action(enum reuse r);
enum cache_word reuse_word(enum reuse r);
enum cache_fwd reuse_fwd(enum reuse r);
const char *reuse_detail(enum reuse r);
const char *reuse_text(enum reuse r);

/* What is stored, as struct life told it, and its age now. */
struct reuse_stored {
	int64_t age_ms, life_ms, swr_ms, sie_ms;
	bool no_cache, no_stale, by_route, immutable;
	bool soft_purged; /* counts as stale from the moment of the purge */
};

/* What the route and the request say. */
struct reuse_request {
	const struct cache_control *cc; /* the request's */
	bool has_cookie, has_authorization;
	bool cookies_covered, authorization_covered; /* as in struct store_policy */
	bool
	    may_revalidate; /* the route heeds the client's no-cache, max-age, min-fresh and max-stale */
};

enum reuse reuse_judge(const struct reuse_stored *s, const struct reuse_request *r);
/* Whether it may stand in when the origin fails (no answer, or status_is_failure). */
bool reuse_on_error(const struct reuse_stored *s, const struct reuse_request *r);
/* 500, 502, 503, 504 (RFC 5861 section 4). */
bool status_is_failure(uint16_t status);

#endif
