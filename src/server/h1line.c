/* A connection is freed when the turn ends, never inside a callback of its own; an h1conn is given back there, or at the end of one of the
 * callbacks below, where nobody above has it in hand. */
#include <stdlib.h>
#include <unistd.h>

#include "base/mem.h"
#include "event/tls.h"
#include "server/h1conn_priv.h"

static void on_line_readable(void *arg);
static void on_line_writable(void *arg);
static const struct stream_handler line_handler = {on_line_readable, on_line_writable};

/* --- what it has while something is said --- */

void
h1conn_scrap(void *memory)
{
	struct h1conn *c = memory;

	free(c->in);
	free(c->raw);
	buf_fini(&c->trailers);
	free(c);
}

static struct h1conn *
conn_new(void)
{
	struct h1conn *c = must_calloc(1, sizeof(*c));

	c->in = must_malloc(INPUT_BYTES_FIRST);
	c->in_cap = INPUT_BYTES_FIRST;
	c->client.ops = &h1_ops;
	c->client.peer = &c->peer;
	return c;
}

/* What begins with each request is set there. */
static struct h1conn *
line_wake(struct h1line *l)
{
	struct door *door = l->connection.door;
	struct h1conn *c = spare_take(&door->worker->spare_conns);

	if (c == NULL)
		c = conn_new();
	l->conn = c;
	c->line = l;
	c->worker = c->client.worker = door->worker;
	c->stream = l->stream;
	memcpy(&c->peer.u, l->peer, l->peer_len);
	c->peer.len = l->peer_len;
	c->client.door = door;
	c->client.local = &door->local;
	c->client.listener_slot = door->slot;
	c->client.is_tls = stream_is_tls(l->stream);
	c->client.served = l->served;
	c->phase = PHASE_IDLE;
	c->x = NULL;
	c->retiring = c->is_spoilt = false;
	c->linger_read = 0;
	return c;
}

static void
line_drop_conn(struct h1line *l)
{
	struct h1conn *c = l->conn;

	l->conn = NULL;
	l->served = c->client.served;
	c->in_len = 0;
	if (c->in_cap != INPUT_BYTES_FIRST || c->raw != NULL || c->trailers.cap > 0 ||
	    !spare_keep(&c->worker->spare_conns, c))
		h1conn_scrap(c);
}

/* After each callback: what is idle holds nothing. A request that was answered within one is nowhere counted as active. */
static void
line_rest(struct h1line *l)
{
	if (l->is_closed)
		return;
	if (l->conn != NULL && h1_is_idle(l->conn))
		line_drop_conn(l);
	connection_count_as(&l->connection, l->conn == NULL ? CONNECTION_idle : CONNECTION_active);
}

/* --- beginning and end --- */

static void
line_leave(struct h1line *l)
{
	l->is_closed = true;
	l->stream = NULL;
	timer_disarm(&l->deadline);
	loop_later(l->connection.door->worker->loop, &l->turn);
	connection_leave(&l->connection);
}

static void
line_close(struct h1line *l)
{
	stream_close(&l->stream);
	line_leave(l);
}

void
h1_leave(struct h1conn *c)
{
	if (c->phase == PHASE_CLOSED)
		return;
	c->phase = PHASE_CLOSED;
	line_leave(c->line);
}

void
h1_close(struct h1conn *c)
{
	stream_close(&c->stream);
	h1_leave(c);
}

void
h1_cut(struct h1conn *c)
{
	if (c->phase == PHASE_HEAD)
		exchange_drop(&c->x);
	else if (c->x != NULL)
		exchange_client_gone(c->x);
	if (c->phase != PHASE_CLOSED) {
		stream_reset(&c->stream);
		h1_leave(c);
	}
}

/* Stopping: closes it if it is idle, else after its exchange. */
static void
on_line_retire(struct connection *connection)
{
	struct h1line *l = CONTAINER_OF(connection, struct h1line, connection);
	struct h1conn *c = l->conn == NULL ? line_wake(l) : l->conn;

	c->retiring = true;
	c->keep = false;
	if (c->phase == PHASE_IDLE)
		h1_on_readable(c); /* perhaps it has asked already */
	line_rest(l);
	if (l->conn == NULL)
		line_close(l);
	else if (c->phase == PHASE_IDLE)
		h1_close(c);
}

static void
on_line_cut(struct connection *connection)
{
	struct h1line *l = CONTAINER_OF(connection, struct h1line, connection);

	if (l->conn != NULL) {
		h1_cut(l->conn);
		return;
	}
	stream_reset(&l->stream);
	line_leave(l);
}

/* --- what happens on it --- */

static void
on_line_readable(void *arg)
{
	struct h1line *l = arg;

	h1_on_readable(l->conn == NULL ? line_wake(l) : l->conn);
	line_rest(l);
}

static void
on_line_writable(void *arg)
{
	struct h1line *l = arg;

	if (l->conn == NULL)
		return;
	h1_on_writable(l->conn);
	line_rest(l);
}

static void
on_line_deadline(void *arg)
{
	struct h1line *l = arg;

	if (l->conn == NULL)
		line_close(l);
	else
		h1_on_deadline(l->conn);
}

static void
on_line_turn(void *arg)
{
	struct h1line *l = arg;

	if (!l->is_closed && l->conn != NULL) {
		h1_walk(l->conn);
		line_rest(l);
		return;
	}
	if (!l->is_closed)
		return;
	if (l->conn != NULL)
		line_drop_conn(l);
	free(l);
}

void
h1conn_accept(struct door *door, int fd, const struct address *peer)
{
	struct worker *w = door->worker;
	struct h1line *l;

	if (!connection_admit(w)) {
		close(fd);
		return;
	}
	l = must_malloc(sizeof(*l) + peer->len);
	*l = (struct h1line){
	    .connection = {.door = door, .retire = on_line_retire, .cut = on_line_cut},
	    .peer_len = (uint16_t)peer->len};
	memcpy(l->peer, &peer->u, peer->len);
	l->stream = door->tls == NULL ? stream_open(w->loop, fd, &line_handler, l)
				      : stream_open_tls(w->loop, fd, door->tls, &line_handler, l);
	if (l->stream == NULL) {
		close(fd);
		connection_discharge(w);
		free(l);
		return;
	}
	task_init(&l->turn, on_line_turn, l);
	timer_init(&l->deadline, on_line_deadline, l);
	observe_add(w->observer, COUNT_connections_accepted, 1);
	connection_join(&l->connection);
	timer_arm(w->loop, &l->deadline,
	    loop_now_ms(w->loop) + connection_site(&l->connection)->head_timeout_ms);
}
