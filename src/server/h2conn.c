/* The phases of a connection: open, lingering (all is said; what the client still
 * sends is read and thrown away for a moment, so that closing does not reset what it has not read yet), closed. What streams want to
 * send waits for the end of the loop's turn: then pump() hands out turns, the most urgent first, and all that is small leaves in
 * one write. Nothing is read while more than OUT_FULL waits to be sent: who does not listen is not listened to. */
#include "server/h2conn.h"

#include <assert.h>
#include <stdlib.h>

#include "base/hash.h"
#include "base/mem.h"
#include "http/sf.h"
#include "server/h2conn_priv.h"

#define LINGER_MS 1000
#define RETIRE_MS 1000 /* for the answer to our PING: what was under way has come then */
#define IN_MOST (2 * (size_t)(H2_PAYLOAD_MAX + H2_FRAME_HEAD_BYTES))
#define OUT_FULL ((size_t)64 * 1024)
#define CONNECTION_WINDOW ((uint32_t)1 << 20)
#define LENT_BYTES_MAX ((int64_t)32 << 20) /* of a worker, to windows that stalled uploads use up */
#define UNSENT_BYTES (128 * 1024)	/* in the kernel: what waits there no urgency overtakes */
#define PUMP_BYTES ((size_t)512 * 1024) /* in one turn of the loop */

static void on_h2_readable(void *arg);
static void on_h2_writable(void *arg);
static const struct stream_handler conn_handler = {on_h2_readable, on_h2_writable};

/* --- beginning and end --- */

void
h2_note_streams(struct h2conn *c)
{
	c->streams_changed = c->feeding;
	if (c->phase == H2_CLOSED || c->feeding)
		return;
	connection_count_as(
	    &c->connection, c->streams_count == 0 ? CONNECTION_idle : CONNECTION_active);
	if (c->streams_count == 0)
		c->idle_since_ms = h2_now_ms(c);
}

/* What the session has counted since. */
static void
tell_counts(struct h2conn *c)
{
	static const enum observer_counter ends[H2_END_COUNT] = {
	    [H2_END_flood] = COUNT_h2_ended_flood,
	    [H2_END_head] = COUNT_h2_ended_head,
	    [H2_END_protocol] = COUNT_h2_ended_protocol,
	    [H2_END_closed] = COUNT_h2_ended_closed,
	    [H2_END_size] = COUNT_h2_ended_size,
	    [H2_END_window] = COUNT_h2_ended_window,
	    [H2_END_compression] = COUNT_h2_ended_compression,
	};
	const struct h2_counts *now = h2_counts(c->session);
	struct observer *o = c->worker->observer;

	if (now->refused > c->counted.refused)
		observe_add(o, COUNT_h2_refused, (int64_t)(now->refused - c->counted.refused));
	if (now->resets_peer > c->counted.resets_peer)
		observe_add(o, COUNT_h2_resets_client,
		    (int64_t)(now->resets_peer - c->counted.resets_peer));
	if (now->resets_faults > c->counted.resets_faults)
		observe_add(o, COUNT_h2_resets_fault,
		    (int64_t)(now->resets_faults - c->counted.resets_faults));
	if (now->end != c->counted.end)
		observe_add(o, ends[now->end], 1);
	c->counted = *now;
}

static void
release_input(struct h2conn *c)
{
	if (c->in != NULL &&
	    !(c->in_cap == INPUT_BYTES_FIRST && spare_keep(&c->worker->spare_inputs, c->in)))
		free(c->in);
	c->in = NULL;
	c->in_cap = c->in_len = 0;
}

static void
on_bury(void *arg)
{
	struct h2conn *c = arg;

	release_input(c);
	h2_session_free(&c->session);
	free(c);
}

static void
leave(struct h2conn *c)
{
	c->phase = H2_CLOSED;
	timer_disarm(&c->deadline);
	task_cancel(&c->pump);
	tell_counts(c);
	loop_later(c->worker->loop, &c->bury);
	connection_leave(&c->connection);
}

/* The client has left, or must: so have its requests. */
static void
drop_streams(struct h2conn *c)
{
	struct h2stream *s;

	while ((s = list_first(&c->streams, struct h2stream, link)) != NULL)
		h2stream_leave(s);
}

static void
finish(struct h2conn *c)
{
	if (c->phase == H2_CLOSED)
		return;
	drop_streams(c);
	stream_close(&c->stream);
	leave(c);
}

static void
cut(struct h2conn *c)
{
	if (c->phase == H2_CLOSED)
		return;
	drop_streams(c);
	stream_reset(&c->stream);
	leave(c);
}

/* The client takes nothing: each of its requests ends for that. */
static void
cut_slow(struct h2conn *c)
{
	LIST_EACH_SAFE (s, &c->streams, struct h2stream, link)
		if (s->x != NULL)
			exchange_client_slow(s->x);
	cut(c);
}

static void
arm(struct h2conn *c)
{
	int64_t due_ms = INT64_MAX, pace_ms;

	if (c->phase == H2_CLOSED)
		return;
	if (c->phase == H2_LINGERING)
		due_ms = c->linger_until_ms;
	else if (c->streams_count == 0)
		due_ms = c->idle_since_ms +
		    (c->served == 0 ? h2_site(c)->head_timeout_ms
				    : h2_site(c)->keepalive_timeout_ms);
	if (h2_waits_since_ms(c->session) != 0 &&
	    h2_waits_since_ms(c->session) + h2_site(c)->head_timeout_ms < due_ms)
		due_ms = h2_waits_since_ms(c->session) + h2_site(c)->head_timeout_ms;
	if (c->announced && c->retire_until_ms < due_ms)
		due_ms = c->retire_until_ms;
	if (c->is_full) {
		pace_ms = pace_wait(&c->pace, h2_site(c)->body_timeout_ms, h2_now_ms(c));
		due_ms = pace_ms < due_ms ? pace_ms : due_ms;
	}
	if (due_ms == INT64_MAX)
		timer_disarm(&c->deadline);
	else
		timer_arm(c->worker->loop, &c->deadline, due_ms);
}

/* --- going away --- */

/* RFC 9113 section 6.8: first only announced, so that no request on its way is lost. */
static void
retire(struct h2conn *c)
{
	if (c->retiring || c->phase != H2_OPEN)
		return;
	c->retiring = c->announced = true;
	c->retire_until_ms = h2_now_ms(c) + RETIRE_MS;
	h2_announce_end(c->session);
	h2_stir(c);
	arm(c);
}

static void
on_retire(struct connection *connection)
{
	retire(CONTAINER_OF(connection, struct h2conn, connection));
}

static void
on_cut(struct connection *connection)
{
	cut(CONTAINER_OF(connection, struct h2conn, connection));
}

/* What was under way is here: from now on nothing new is taken. */
static void
end_requests(struct h2conn *c)
{
	c->announced = false;
	h2_end(c->session);
	h2_stir(c);
}

void
h2conn_on_ping_ack(struct h2conn *c)
{
	if (c->announced)
		end_requests(c);
}

/* Nobody's stalled uploads hold up the others of his connection, as long as memory for it is left. */
bool
h2conn_on_borrow(struct h2conn *c, int64_t bytes)
{
	struct worker *w = c->worker;

	if (bytes > 0 && w->lent_bytes + bytes > LENT_BYTES_MAX)
		return false;
	w->lent_bytes += bytes;
	assert(w->lent_bytes >= 0);
	return true;
}

static void
on_h2_deadline(void *arg)
{
	struct h2conn *c = arg;
	int64_t now_ms = h2_now_ms(c), waits_ms = h2_waits_since_ms(c->session);

	if (c->phase == H2_LINGERING) {
		finish(c);
		return;
	}
	if (c->is_full && pace_wait(&c->pace, h2_site(c)->body_timeout_ms, now_ms) <= now_ms) {
		cut_slow(c);
		return;
	}
	if (waits_ms != 0 && waits_ms + h2_site(c)->head_timeout_ms <= now_ms) {
		cut(c);
		return;
	}
	if (c->announced && c->retire_until_ms <= now_ms)
		end_requests(c);
	else if (c->streams_count == 0 && !c->retiring) {
		if (c->served == 0)
			finish(c);
		else
			retire(c);
	}
	arm(c);
}

static void
linger(struct h2conn *c)
{
	c->phase = H2_LINGERING;
	stream_shutdown_write(c->stream);
	stream_want_read(c->stream, true);
	c->linger_until_ms = h2_now_ms(c) + LINGER_MS;
}

/* --- turns --- */

static struct h2stream *
next_ready(struct h2conn *c)
{
	for (unsigned u = 0; u < URGENCIES; u++) {
		struct h2stream *s = list_first(&c->ready[u], struct h2stream, queued);

		if (s != NULL) {
			list_leave(&s->queued);
			return s;
		}
	}
	return NULL;
}

/* Among equals: what is of use only when it is whole goes one after the other, in the order in which it was asked for; the
 * others, and those of clients that say nothing, take turns. */
void
h2_queue(struct h2stream *s)
{
	const struct priority *p = &s->wire.priority;
	struct link *list = &s->conn->ready[p->urgency], *at = list;
	bool in_order = p->is_told && !p->is_incremental;

	if (list_has(&s->queued) || s->is_gone)
		return;
	if (in_order)
		for (at = list->next; at != list; at = at->next) {
			struct h2stream *other = CONTAINER_OF(at, struct h2stream, queued);

			if (!other->wire.priority.is_told || other->wire.priority.is_incremental ||
			    other->wire.id > s->wire.id)
				break;
		}
	list_insert_before(at, &s->queued);
	if (s->conn->turn != s)
		h2_stir(s->conn);
}

bool
h2_has_queue(const struct h2conn *c)
{
	for (unsigned u = 0; u < URGENCIES; u++)
		if (!list_is_empty(&c->ready[u]))
			return true;
	return false;
}

/* False: the connection is broken. */
static bool
hand_out_turns(struct h2conn *c)
{
	size_t budget = PUMP_BYTES;
	struct h2stream *s;

	while (!c->is_full && budget > 0 && (s = next_ready(c)) != NULL) {
		c->turn = s;
		c->turn_left = H2_TURN_BYTES;
		h2stream_run(s);
		c->turn = NULL;
		if (c->phase == H2_CLOSED)
			return true;
		budget -=
		    H2_TURN_BYTES - c->turn_left < budget ? H2_TURN_BYTES - c->turn_left : budget;
		if (h2_waiting(c) >= H2_GATHER_BYTES && !h2_flush(c))
			return false;
	}
	if (budget == 0 && !c->is_full)
		stream_want_write(c->stream, true);
	return h2_flush(c);
}

static bool
is_through(const struct h2conn *c)
{
	if (h2_waiting(c) > 0 || c->streams_count > 0)
		return false;
	return h2_is_over(c->session) || h2_peer_leaves(c->session) ||
	    (c->retiring && !c->announced);
}

static void
pump(struct h2conn *c)
{
	if (c->phase != H2_OPEN || c->pumping)
		return;
	c->pumping = true;
	h2_borrow_out(c);
	if (h2_is_over(c->session))
		drop_streams(c);
	if (!hand_out_turns(c)) {
		c->pumping = false;
		finish(c);
		return;
	}
	c->pumping = false;
	if (c->phase != H2_OPEN)
		return;
	tell_counts(c);
	if (is_through(c))
		linger(c);
	else
		stream_want_read(c->stream, h2_waiting(c) < OUT_FULL && !h2_is_over(c->session));
	arm(c);
}

static void
on_pump(void *arg)
{
	pump(arg);
}

void
h2_stir(struct h2conn *c)
{
	if (c->phase == H2_OPEN)
		loop_later(c->worker->loop, &c->pump);
}

static void
on_h2_writable(void *arg)
{
	struct h2conn *c = arg;

	c->is_full = false;
	pump(c);
}

/* --- reading --- */

static void
grow_input(struct h2conn *c)
{
	if (c->in == NULL) {
		c->in = spare_take(&c->worker->spare_inputs);
		if (c->in == NULL)
			c->in = must_malloc(INPUT_BYTES_FIRST);
		c->in_cap = INPUT_BYTES_FIRST;
	}
	if (c->in_len < c->in_cap)
		return;
	c->in_cap = IN_MOST;
	c->in = must_realloc(c->in, c->in_cap);
}

static void
feed(struct h2conn *c)
{
	size_t used;

	h2_borrow_out(c);
	c->feeding = true;
	used = h2_feed(c->session, c->in, c->in_len, h2_now_ms(c));
	c->feeding = false;
	if (c->streams_changed)
		h2_note_streams(c);
	if (c->phase == H2_CLOSED)
		return;
	c->in_len -= used;
	if (c->in_len == 0)
		release_input(c);
	else
		memmove(c->in, c->in + used, c->in_len);
	h2_stir(c);
}

static void
linger_read(struct h2conn *c)
{
	char waste[16384];
	ssize_t got = stream_read(c->stream, waste, sizeof(waste));

	if (got != STREAM_AGAIN && got <= 0)
		finish(c);
}

static void
on_h2_readable(void *arg)
{
	struct h2conn *c = arg;
	ssize_t got;

	if (c->phase == H2_LINGERING) {
		linger_read(c);
		return;
	}
	grow_input(c);
	got = stream_read(c->stream, c->in + c->in_len, c->in_cap - c->in_len);
	if (got == STREAM_AGAIN) {
		if (c->in_len == 0)
			release_input(c);
		return;
	}
	if (got <= 0) {
		finish(c);
		return;
	}
	observe_add(c->worker->observer, COUNT_bytes_in, got);
	c->in_len += (size_t)got;
	feed(c);
}

/* --- the beginning --- */

/* 24 characters for Sec-WebSocket-Key: of no secret, but not the same for all. */
static void
make_key(char out[24])
{
	uint8_t bytes[16];
	struct buf b = {0};

	random_bytes(bytes, sizeof(bytes));
	sf_write_bytes(&b, bytes, sizeof(bytes));
	memcpy(out, b.p + 1, 24);
	buf_fini(&b);
}

static struct h2_session *
new_session(struct h2conn *c)
{
	struct h2_limits limits = {.streams = h2_site(c)->streams,
	    .head_bytes = h2_site(c)->head_size,
	    .target_bytes = h2_site(c)->target_size,
	    .connection_window = CONNECTION_WINDOW};
	char key[24];

	make_key(key);
	return h2_session_new(&limits, slice_of(key, sizeof(key)), &h2_session_handler, c);
}

void
h2conn_take(struct door *door, struct stream **sp, const struct address *peer, struct slice bytes)
{
	struct worker *w = door->worker;
	struct h2conn *c = must_calloc(1, sizeof(*c));

	*c = (struct h2conn){.worker = w,
	    .stream = *sp,
	    .peer = *peer,
	    .connection = {.door = door, .retire = on_retire, .cut = on_cut}};
	c->session = new_session(c);
	if (c->session == NULL) {
		stream_close(sp);
		free(c);
		return;
	}
	*sp = NULL;
	list_init(&c->streams);
	for (unsigned u = 0; u < URGENCIES; u++)
		list_init(&c->ready[u]);
	task_init(&c->pump, on_pump, c);
	task_init(&c->bury, on_bury, c);
	timer_init(&c->deadline, on_h2_deadline, c);
	/* It was admitted already: whoever hands it over discharges his own. */
	atomic_fetch_add_explicit(&w->commons->connections, 1, memory_order_relaxed);
	connection_join(&c->connection);
	observe_add(w->observer, COUNT_h2_connections, 1);
	c->idle_since_ms = h2_now_ms(c);
	stream_set_handler(c->stream, &conn_handler, c);
	stream_hurry(c->stream, UNSENT_BYTES);
	stream_want_read(c->stream, true);
	if (bytes.n > 0) {
		c->in_cap = bytes.n > INPUT_BYTES_FIRST ? bytes.n : INPUT_BYTES_FIRST;
		c->in = must_malloc(c->in_cap);
		memcpy(c->in, bytes.p, bytes.n);
		c->in_len = bytes.n;
	}
	feed(c);
	arm(c);
	if (w->draining)
		retire(c);
}
