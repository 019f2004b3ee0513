/* daemon/workers.h - the threads that serve: started, told of new configurations, stopped. Main thread. */
#ifndef DAEMON_WORKERS_H
#define DAEMON_WORKERS_H

#include "daemon/sockets.h"
#include "server/worker.h"

struct workers;

/* Makes the workers and what they share; threads are not running yet. NULL, and why one line. */
struct workers *workers_new(
    unsigned count, size_t cache_bytes, size_t rate_table_bytes, struct buf *why);
struct commons *workers_commons(struct workers *ws);
/* What Redis the workers use from now on, and what for; NULL: as before. With url NULL: none. */
struct l2_conf;
struct redis_uses {
	const struct l2_conf *l2;
	const struct shared_conf *shared; /* limits */
};
/* Gives all workers the site and the sockets, and waits until each has taken them. The first call starts the threads. 0, or -1 and why. */
int workers_use(struct workers *ws, struct site *site, struct site *admin, struct sockets *sockets,
    const struct redis_uses *redis, struct buf *why);
/* Tells all of them what doors offer now, and waits likewise. No socket of sockets is new. */
void workers_use_doors(struct workers *ws, struct sockets *sockets);
/* Tells all to finish what runs, within drain_ms, and returns when none listens for clients any more. */
void workers_drain(struct workers *ws, int64_t drain_ms);
/* Waits until they have. */
void workers_join(struct workers *ws);
void workers_free(struct workers **wp);

#endif
