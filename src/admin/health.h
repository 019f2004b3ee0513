/* admin/health.h - is it alive, and should it be sent requests?
 *
 * /health says 200 as long as a worker answers. /health/ready connects to each server of each upstream, and to Redis, at that
 * moment, with READY_TIMEOUT_MS for all of it, and answers when the last has told:
 *   503  it is being stopped, or no upstream has a server that accepts connections;
 *   200  otherwise. An upstream that is down beside others, and Redis, which only makes things faster, are reported
 *        unhealthy and make the status "degraded": taking the whole instance away would make it worse.
 * {"service", "status": "ok" | "degraded" | "unavailable" | "draining", "timestamp", "uptime" (s),
 *  "checks": {"redis" | "upstream.NAME": {"healthy", "message", "latency" (ms; null: not connected)}},
 *  "system": {"version", "pid", "generation" (of the configuration: 1 at the start, one more with each reload),
 *             "reloads_failed",
 *             "workers", "connections", "memory_rss_bytes", "heap_bytes", "cpu_seconds", "load"}}
 * /health has no checks, and only the first four of "system".
 */
#ifndef ADMIN_HEALTH_H
#define ADMIN_HEALTH_H

#include "server/exchange.h"

#define READY_TIMEOUT_MS 5000
#define READY_RUNS_MAX 16 /* asked for at a time; further ones are told 503 at once */

void health_alive(struct exchange *x);
void health_ready(struct exchange *x);

#endif
