/* admin/servers.h - the servers behind: how they are, and which of them get requests.
 *
 * GET /servers    ?upstream= (all of them without)
 *     -> {"upstreams": [{"upstream", "balance", "servers": [{"server", "state" (up, down, ejected, drained, leaving),
 *        "drained", "checks" ("off", "up", "down"), "ejected_for" (s), "weight", "priority", "zone", "in_flight", "connections",
 *        "requests", "failures"}]}]}
 * POST /servers   {"upstream", "server", "drain": true | false, "force": true}
 *     -> the same for that upstream; 404 where there is no such server; 409 where no other is up, without force, and where
 *        an address is to be put back whose whole name is drained
 */
#ifndef ADMIN_SERVERS_H
#define ADMIN_SERVERS_H

#include "server/exchange.h"

void servers_serve(struct exchange *x);

#endif
