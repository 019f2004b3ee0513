/* admin/metrics.h - /metrics: everything that is counted, in Prometheus' text format 0.0.4.
 *
 * Each family is declared once: requests and connections in server/observe.h, upstream counters in
 * upstream/target.h, the access log's in server/accesslog.h, the rest in the table of metrics.c. The reference
 * (docs/metrics.md) is written from the same tables, and a unit test holds it to them.
 *
 * What each worker alone may look at (its link to Redis) is asked of it by mail, so the answer comes a moment later.
 */
#ifndef ADMIN_METRICS_H
#define ADMIN_METRICS_H

#include "base/buf.h"
#include "server/exchange.h"

void metrics_serve(struct exchange *x);
/* The whole text of docs/metrics.md. */
void metrics_reference(struct buf *b);

#endif
