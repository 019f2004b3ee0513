/* http/cachestatus.h - how a response says what the cache did: X-Cache-Status (one word, nginx's) and Cache-Status
 * (RFC 9211). The words are declared here and nowhere else.
 */
#ifndef HTTP_CACHESTATUS_H
#define HTTP_CACHESTATUS_H

#include "base/buf.h"
#include "http/head.h"

/* clang-format off */
/*        word          meaning, for docs and metrics */
#define CACHE_WORDS(X)                                                                              \
	X(MISS,         "not stored, or not for this request; fetched from the origin")             \
	X(HIT,          "answered from the cache, fresh")                                           \
	X(BYPASS,       "the cache was not asked, by the route's rule or the client's wish")        \
	X(EXPIRED,      "stored but stale; the origin sent a new response")                         \
	X(STALE,        "answered from the cache though stale: the origin fails, or a refresh begins behind it") \
	X(UPDATING,     "answered from the cache though stale, while a refresh is under way")       \
	X(REVALIDATED,  "stored but stale; the origin said that it is still good")
/* RFC 9211 section 2.2
 *        reason        token        meaning */
#define CACHE_FWDS(X)                                                                               \
	X(NONE,         "",          "it was a hit")                                                \
	X(BYPASS,       "bypass",    "the cache was configured not to handle it")                   \
	X(METHOD,       "method",    "the method asks for the origin")                              \
	X(URI_MISS,     "uri-miss",  "nothing is stored for the URL")                               \
	X(VARY_MISS,    "vary-miss", "something is stored for the URL, but Vary keeps it from this request") \
	X(MISS,         "miss",      "nothing stored fits")                                         \
	X(REQUEST,      "request",   "the client's Cache-Control asks for it")                      \
	X(STALE,        "stale",     "what is stored is stale")                                     \
	X(PARTIAL,      "partial",   "only a part of it is stored")
/* clang-format on */

enum cache_word {
#define X(word, meaning) CACHE_WORD_##word,
	CACHE_WORDS(X)
#undef X
	    CACHE_WORD_COUNT
};

enum cache_fwd {
#define X(reason, token, meaning) CACHE_FWD_##reason,
	CACHE_FWDS(X)
#undef X
	    CACHE_FWD_COUNT
};

const char *cache_word_name(enum cache_word w);
const char *cache_word_meaning(enum cache_word w);
const char *cache_fwd_token(enum cache_fwd f);

#define CACHE_TTL_NONE INT64_MIN

/* One member of Cache-Status. With fwd CACHE_FWD_NONE it is a hit, and the parameters of forwarding are left out. */
struct cache_status {
	struct slice name; /* "forebay" */
	enum cache_fwd fwd;
	uint16_t
	    fwd_status; /* the origin's status; 0: it did not answer, or it is the status sent */
	int64_t
	    ttl_s; /* what is left of the life, negative when stale; CACHE_TTL_NONE: not known */
	bool stored;
	bool collapsed;	     /* it rode along with another request's fetch */
	struct slice key;    /* only for clients that are trusted; SLICE_NONE */
	struct slice detail; /* why; SLICE_NONE */
};

/* Appends the one member. */
void cache_status_write(struct buf *b, const struct cache_status *s);
/* Appends the whole value of the field: the members the response already has, nearest to the origin first, and ours. A
 * line that is no structured list would spoil the field and is left out. */
void cache_status_append(struct buf *b, const struct head *response, const struct cache_status *s);

#endif
