/* http/freshness.h - how long a response may be used and how old it is (RFC 9111 section 4.2, RFC 5861).
 *
 * life_of_response says it once, when a response arrives; reuse_judge says for each later request whether the stored
 * response may answer it now. Lives and ages are in ms, the moments of the fields in s since 1970, wall clock. Pure.
 */
#ifndef HTTP_FRESHNESS_H
#define HTTP_FRESHNESS_H

#include "http/cachecontrol.h"
#include "http/date.h"
#include "http/head.h"

/* clang-format off */
/* Where a life comes from. by_route: the route's word or a guess, so not for requests that carry credentials.
 *         source      by_route  text, for explain and logs */
#define LIFE_SOURCES(X)                                                          \
	X(NONE,        true,     "nobody states a life")                         \
	X(TARGETED,    false,    "Forebay-Cache-Control or CDN-Cache-Control")   \
	X(S_MAXAGE,    false,    "Cache-Control: s-maxage")                      \
	X(MAX_AGE,     false,    "Cache-Control: max-age")                       \
	X(EXPIRES,     false,    "Expires")                                      \
	X(HEURISTIC,   true,     "a tenth of its age by Last-Modified")          \
	X(ROUTE,       true,     "the route's ttl")                              \
	X(ROUTE_ERROR, true,     "the route's life for this status")
/* clang-format on */

enum life_source {
#define X(source, by_route, text) LIFE_##source,
	LIFE_SOURCES(X)
#undef X
	    LIFE_SOURCE_COUNT
};
const char *life_source_text(enum life_source s);

#define HEURISTIC_MAX_MS INT64_C(600000)	  /* design: capped at 10 min */
#define STALE_IF_ERROR_DEFAULT_MS INT64_C(600000) /* design: what a route gives by default */
#define LIFE_UNSET INT64_C(-1)

/* A life for one status (negative caching). */
struct status_life {
	uint16_t status;
	int64_t life_ms;
};

/* What a route says about lives. Borrowed from the configuration. */
struct life_policy {
	int64_t ttl_ms; /* of successes and permanent redirects without a life; LIFE_UNSET: none */
	bool
	    overrides; /* origin: override, ttl and lives by status win over what the origin says */
	bool heuristic;			   /* whether Last-Modified may be guessed from */
	int64_t stale_while_revalidate_ms; /* where the origin states none */
	int64_t
	    stale_if_error_ms; /* likewise; STALE_IF_ERROR_DEFAULT_MS unless the route says otherwise */
	const struct status_life *by_status;
	size_t by_status_count;
};

/* When and how a response came. */
struct arrival {
	int64_t now_ms;		 /* wall clock when its head had been received */
	int64_t delay_ms;	 /* since the request was sent (response_delay of section 4.2.3) */
	struct date_memo *dates; /* of Dates that came before; may be NULL */
};

struct life {
	enum life_source source;
	int64_t life_ms;    /* freshness lifetime; 0 if there is none */
	int64_t age_ms;	    /* corrected initial age */
	int64_t swr_ms;	    /* beyond life: may be served while it is refreshed */
	int64_t sie_ms;	    /* beyond life: may be served when the origin fails */
	int64_t date_s;	    /* Date, or when it arrived */
	int64_t modified_s; /* Last-Modified, or DATE_NONE */
	bool no_cache;	    /* must be validated before each use */
	bool no_stale; /* a client's max-stale does not apply; swr_ms and sie_ms say the rest */
	bool
	    by_route; /* only for requests without Cookie and Authorization, unless the route says so */
	bool
	    overrides; /* the route's life stands in place of what the origin says, no-store and private included */
	bool immutable;
};

/* cc: the response's (cache_control_of_response). */
void life_of_response(const struct head *response, const struct cache_control *cc,
    const struct life_policy *policy, const struct arrival *arrival, struct life *out);
/* Whether the status may be given a life by guessing (RFC 9110 section 15.1; 206 is left out: see storable.h). */
bool status_is_heuristic(uint16_t status);
/* Age as its field says it, in s; 0 if it is absent or invalid. Of several values the first counts. */
int32_t age_of_head(const struct head *h);
/* A shorter life so that a batch does not expire at once: up to percent of it taken off, by random (any 32 bits). */
int64_t life_with_jitter(int64_t life_ms, unsigned percent, uint32_t random);
/* The value of Age to send: the nearest second, clamped as section 5.1 wants it. */
int32_t age_to_send_s(int64_t age_ms);

#endif
