/* server/tunnel.h - two streams joined: what one sends the other gets, until both have ended (WebSocket and other
 * upgrades).
 *
 * Each direction has one bounded buffer; a side that does not read stops the other from being read. A direction that ends is
 * passed on as an end. Nothing for tunnels.idle in both directions closes it.
 */
#ifndef SERVER_TUNNEL_H
#define SERVER_TUNNEL_H

#include "base/buf.h"
#include "server/worker.h"

/* Takes over the client's stream and the upstream connection. head goes to the client first, then what came behind it
 * (to_client); to_origin are bytes that the client sent early. done(arg, to_client, to_origin bytes) comes at the end. */
void tunnel_join(struct worker *w, struct stream *client, struct upconn *origin, struct slice head,
    struct slice to_client, struct slice to_origin, int64_t idle_ms,
    void (*done)(void *arg, uint64_t to_client, uint64_t to_origin), void *arg);

#endif
