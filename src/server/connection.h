/* server/connection.h - what all connections of clients share, whatever they speak: how they are counted, bounded and ended.
 *
 * A connection belongs to its door's worker. limits.connections bounds those of all workers together.
 */
#ifndef SERVER_CONNECTION_H
#define SERVER_CONNECTION_H

#include "server/worker.h"

struct connection {
	struct link link; /* in worker->conns */
	struct door *door;
	enum connection_state counted; /* as what the metrics hold it */
	/* Stopping: it ends when what is under way has ended. */
	void (*retire)(struct connection *c);
	/* Cuts it off, whatever it does. */
	void (*cut)(struct connection *c);
};

/* One more of a client: counted in. False: there are as many as there may be, and that is counted. */
bool connection_admit(struct worker *w);
/* What was counted in is out again. */
void connection_discharge(struct worker *w);
/* One that was counted in is its worker's from now on; door, retire and cut are set. It counts as idle. */
void connection_join(struct connection *c);
void connection_recount(struct connection *c, enum connection_state state);
/* It is nobody's any more, and not counted. */
void connection_leave(struct connection *c);

static inline void
connection_count_as(struct connection *c, enum connection_state state)
{
	if (c->counted != state)
		connection_recount(c, state);
}

static inline const struct site *
connection_site(const struct connection *c)
{
	return c->door->is_admin ? c->door->worker->admin_site : c->door->worker->site;
}

#endif
