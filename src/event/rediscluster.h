/* event/rediscluster.h - what Redis Cluster says and means: slots of keys, redirections, the map. Pure.
 */
#ifndef EVENT_REDISCLUSTER_H
#define EVENT_REDISCLUSTER_H

#include "event/redisreply.h"

#define REDIS_SLOTS 16384

/* The slot of a key: by the part between the first { and the next }, where there is one. */
unsigned redis_slot(struct slice key);
/* The key by which a command is sent somewhere; SLICE_NONE: it has none (or is not known to). */
struct slice redis_command_key(const struct slice *argv, unsigned argc);

struct redis_redirect {
	bool is_ask; /* this time only; else: from now on */
	unsigned slot;
	struct slice host; /* within the reply; empty: the host that said so */
	uint16_t port;
};

/* "MOVED 3999 127.0.0.1:6381", "ASK ...". False: something else. */
bool redis_redirect_read(const struct redis_reply *reply, struct redis_redirect *out);

/* One run of slots and its master, out of the reply to CLUSTER SLOTS. */
struct redis_range {
	unsigned first, last;
	struct slice host; /* within the reply; empty: the host that was asked */
	uint16_t port;
};

/* Calls each (NULL: only looks) with every range. False, with nothing called: it is no map. */
bool redis_map_read(const struct redis_reply *reply,
    void (*each)(void *arg, const struct redis_range *range), void *arg);

#endif
