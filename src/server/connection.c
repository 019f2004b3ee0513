#include "server/connection.h"

bool
connection_admit(struct worker *w)
{
	unsigned n = atomic_fetch_add_explicit(&w->commons->connections, 1, memory_order_relaxed);

	if (n < w->site->connections)
		return true;
	connection_discharge(w);
	observe_add(w->observer, COUNT_connections_refused, 1);
	return false;
}

void
connection_discharge(struct worker *w)
{
	atomic_fetch_sub_explicit(&w->commons->connections, 1, memory_order_relaxed);
}

void
connection_join(struct connection *c)
{
	struct worker *w = c->door->worker;

	list_push_back(&w->conns, &c->link);
	w->conns_count++;
	observe_add(w->observer, COUNT_connections_open, 1);
	c->counted = CONNECTION_idle;
	observe_connection(w->observer, c->door->slot, c->counted, 1);
}

void
connection_recount(struct connection *c, enum connection_state state)
{
	struct observer *o = c->door->worker->observer;

	observe_connection(o, c->door->slot, c->counted, -1);
	observe_connection(o, c->door->slot, state, 1);
	c->counted = state;
}

void
connection_leave(struct connection *c)
{
	struct worker *w = c->door->worker;

	list_leave(&c->link);
	w->conns_count--;
	connection_discharge(w);
	observe_add(w->observer, COUNT_connections_open, -1);
	observe_connection(w->observer, c->door->slot, c->counted, -1);
	worker_note_quiet(w);
}
