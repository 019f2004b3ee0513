/* admin/warm.h - warming by hand.
 *
 * POST /warm     begins a run: 202 and its progress, 409 when one is under way. Without a body, of what the configuration names
 *                (404 where it names nothing); with one, of
 *                {"base", "urls": [...], "sitemaps": [...], "rate", "concurrency", "time" (s)}, all of them optional
 * GET /warm      {"state", "text", "began" (RFC 3339; null), "took" (s), "found", "fetched", "cached", "passed", "failed", "skipped",
 *                "sitemaps", "sitemaps_failed", "trouble"}
 * DELETE /warm   stops the run; 202 and its progress
 */
#ifndef ADMIN_WARM_H
#define ADMIN_WARM_H

#include "server/exchange.h"

void warm_serve(struct exchange *x);

#endif
