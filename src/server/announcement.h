/* server/announcement.h - a connection from a proxy that must first say, by a PROXY header, for whom it speaks.
 *
 * It counts as a connection meanwhile. When the header is there, the connection goes on as any other
 * (server/h1conn.h), with the address that was found as its peer.
 */
#ifndef SERVER_ANNOUNCEMENT_H
#define SERVER_ANNOUNCEMENT_H

#include "event/proxyproto.h"
#include "server/worker.h"

struct exchange;

/* Whether a header must come first: the listener's `proxy_protocol` names the peer's address. */
bool door_wants_announcement(const struct door *d, const struct address *peer);
/* Takes over the accepted descriptor. */
void announcement_begin(struct door *d, int fd, const struct address *peer);

/* The other direction: how a server is told whose request x is. n 0 where it is not. */
void exchange_announce(const struct exchange *x, struct proxy_line *out);

#endif
