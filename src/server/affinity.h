/* server/affinity.h - session affinity: the cookie that names a client's server, seen by client and Forebay alone.
 *
 * The cookie's value is the server's token (upstream/target.h), an HMAC of its name: nobody can make one without the
 * secret, and it tells nothing of the server. The origin does not see it, it does not count as a cookie where caching
 * asks for cookies, and it is set only on an answer that is for this client alone: what is stored stays clean.
 */
#ifndef SERVER_AFFINITY_H
#define SERVER_AFFINITY_H

#include "server/exchange_priv.h"

/* The token the client brought, or SLICE_NONE. Borrowed from the request's head. */
struct slice affinity_of_request(const struct exchange *x);
/* Whether there is a cookie that is not ours. */
bool affinity_has_other_cookies(const struct exchange *x);
/* The line of a Cookie field without ours; nothing when nothing is left of it. */
void affinity_write_cookies(const struct exchange *x, const struct field *f, struct buf *out);
/* The server that answers, for this client alone: notes the cookie if it is to be set. */
void affinity_note(struct exchange *x, const struct server *s);
/* Set-Cookie, if affinity_note said so. */
void affinity_add_field(const struct exchange *x, struct buf *out);

#endif
