/* http/vary.h - which requests a stored response is for: Vary and the secondary key (RFC 9111 section 4.1).
 *
 * The vary key of a stored response is one run of bytes: for each field that Vary names, sorted and each once, its name
 * in lower case, then either '\1' and its normal value or '\2' for absent, then '\n'. None of these bytes can stand in a
 * field. A response without Vary has the empty key, which every request matches. Two responses of one URL with equal
 * vary keys are for the same requests: the newer replaces the older.
 *
 * Normal value: lines combined with ",", no blanks at the ends or around commas outside quoted strings;
 * Accept-Encoding as negotiate.h's normal form; Accept-Language in lower case; what is no list (Cookie,
 * Authorization, User-Agent, ...) byte for byte. The order of values is never changed: it may carry preference.
 */
#ifndef HTTP_VARY_H
#define HTTP_VARY_H

#include "base/buf.h"
#include "http/head.h"

#define VARY_NAMES_MAX 32
#define VARY_KEY_MAX 16384

/* Whether there is a "*" anywhere in any line of Vary: such a response answers one request only. */
bool vary_is_star(const struct head *response);
/* Appends the vary key for this request. False, and b as it was: Vary is "*", is no list of
 * names, or names too much (VARY_NAMES_MAX, VARY_KEY_MAX); the response is then not to be stored. */
bool vary_key(const struct head *response, const struct head *request, struct buf *b);
/* The same, were the response to vary on what a stored one of that vary key varies on. */
void vary_key_like(struct slice key, const struct head *request, struct buf *b);
/* Whether the stored response of that vary key is for this request. */
bool vary_matches(struct slice key, const struct head *request);

#endif
