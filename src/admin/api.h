/* admin/api.h - what the admin listener answers: a site like any other, whose routes are handlers.
 *
 * A new endpoint is one row in the table of api.c. Where `admin.token` is configured, all but the health checks
 * (which load balancers and Kubernetes ask without one) want it as "Authorization: Bearer TOKEN".
 */
#ifndef ADMIN_API_H
#define ADMIN_API_H

#include "server/worker.h"

/* The admin listener's site beside that site, of whose limits and trusted proxies it takes a copy. token may be NULL or
 * empty: none is asked for. One reference for the caller; commons outlives it. */
struct site *admin_site_new(struct commons *commons, const struct site *site, const char *token);
/* The whole text of docs/admin.md: the endpoints, and the members of the access log. */
void admin_reference(struct buf *b);

#endif
