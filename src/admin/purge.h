/* admin/purge.h - purging by hand, and looking at what is stored.
 *
 * POST /purge  {"urls": [...], "prefixes": [...], "patterns": [...], "tags": [...], "all": true, "soft": true, "wait": true}
 *              -> {"count", "exact", "soft", "level", "shared"}; 202 when it stands in the journal only
 *              with "dry_run": true, and "limit" -> as GET /cache
 * GET /cache   ?url= &prefix= &pattern= &tag= (each any number of times; what any of them means) &sort=size|age|hits &limit=
 *              -> {"count", "exact", "bytes", "objects": [...]} (server/inventory.h)
 */
#ifndef ADMIN_PURGE_H
#define ADMIN_PURGE_H

#include "server/exchange.h"

#define LIST_LIMIT 20 /* objects, where nobody says */

void purge_serve(struct exchange *x);
void cache_serve(struct exchange *x);

#endif
