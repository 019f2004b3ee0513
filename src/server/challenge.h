/* server/challenge.h - answers to ACME's http-01 challenges (RFC 8555 section 8.3), in front of any route.
 *
 * /.well-known/acme-challenge/TOKEN is the file TOKEN in the directory acme_challenges, read for each request by a helper off
 * the loop. A token is letters, digits, "-" and "_", 128 at most, so it names nothing outside; a symbolic link, whatever is no
 * plain file and what is larger than CHALLENGE_MAX_BYTES is not there. How many are read at a time is bounded: 503 beyond.
 */
#ifndef SERVER_CHALLENGE_H
#define SERVER_CHALLENGE_H

#include "server/exchange_priv.h"

#define CHALLENGE_MAX_BYTES 8192
#define CHALLENGES_AT_ONCE 64

/* True: the request is one, and *next what becomes of it. */
bool challenge_takes(struct exchange *x, enum exchange_next *next);

#endif
