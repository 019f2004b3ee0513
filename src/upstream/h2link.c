#include "upstream/h2link.h"

#include <limits.h>
#include <stdlib.h>

#include "upstream/secure.h"

#define HEAD_MOST (128 * 1024) /* told to servers; what holds is each call's own limit */
#define INPUT_BYTES 32768
#define TURN_BYTES (512 * 1024) /* received in one turn before others have theirs */
#define GATHER_BYTES 65536	/* of frames, for one write */
#define KEPT_BYTES 4096		/* of memory for them, while the link rests */
#define QUIET_MS \
	5000 /* calls wait and nothing comes: PING after that, or half of timeouts.response if that is less */
#define LATE_MS 1000 /* while an answer to it is out for that long nobody else is sent here */

struct h2link {
	struct upconn *conn;
	struct link seated; /* in the seat's links */
	struct h2_client *client;
	struct task settle; /* send, then rest or go */
	struct timer watch;
	struct buf out; /* frames on their way into the stream */
	size_t out_at;
	int64_t heard_ms, pinged_ms;
	uint64_t moves_asked; /* as many frames had come when it was last asked */
	bool is_resting, is_broken, is_retired;
	enum fetch_end end;
};

static void on_link_readable(void *arg);
static void on_link_writable(void *arg);
static const struct stream_handler link_stream_handler = {on_link_readable, on_link_writable};

static struct loop *
link_loop(const struct h2link *l)
{
	return pool_loop(l->conn->pool);
}

static const struct upstream_conf *
link_conf(const struct h2link *l)
{
	return &l->conn->server->upstream->conf;
}

static struct server_seat *
link_seat(const struct h2link *l)
{
	return pool_seat(l->conn->server, pool_worker(l->conn->pool));
}

static unsigned
link_room(const struct h2link *l)
{
	const struct upstream_conf *c = link_conf(l);
	int64_t now_ms = loop_now_ms(link_loop(l));

	if (l->is_broken || l->is_retired || link_seat(l)->is_retired ||
	    l->conn->server->place != SERVER_there ||
	    (c->life_ms > 0 && now_ms - l->conn->opened_ms >= c->life_ms) ||
	    (h2_client_awaits_ping(l->client) && now_ms - l->pinged_ms >= LATE_MS))
		return 0;
	return h2_client_room(l->client, c->streams);
}

/* --- sending, and the end of it --- */

static void
link_break(struct h2link *l, enum h2_call_end how, enum fetch_end end)
{
	if (l->is_broken)
		return;
	l->is_broken = true;
	l->end = secure_end(l->conn, end);
	stream_want_read(l->conn->stream, false);
	timer_disarm(&l->watch);
	h2_client_lost(l->client, how);
	pool_wake(l->conn->pool, l->conn->server, UINT_MAX);
	loop_later(link_loop(l), &l->settle);
}

static void
gather(struct h2link *l)
{
	const char *p;
	size_t n;

	l->out.n = l->out_at = 0;
	while (l->out.n < GATHER_BYTES && (n = h2_client_out(l->client, &p)) > 0)
		buf_add(&l->out, p, n);
}

/* What there is to send, as far as it goes. False: the connection is broken. */
static bool
link_send(struct h2link *l)
{
	for (;;) {
		struct iovec iov;
		ssize_t sent;

		if (l->out_at == l->out.n)
			gather(l);
		if (l->out.n == 0)
			return true;
		iov = (struct iovec){l->out.p + l->out_at, l->out.n - l->out_at};
		sent = stream_writev(l->conn->stream, &iov, 1, false);
		if (sent == STREAM_AGAIN)
			return true;
		if (sent == STREAM_ERROR)
			return false;
		l->out_at += (size_t)sent;
		if ((size_t)sent < iov.iov_len)
			return true;
	}
}

/* Nobody has a call here any more. */
static void
link_rest(struct h2link *l)
{
	struct upconn *c = l->conn;

	timer_disarm(&l->watch);
	if (l->out.n == 0 && l->out.cap > KEPT_BYTES)
		buf_fini(&l->out);
	if (l->is_resting && !l->is_broken && !h2_client_is_leaving(l->client))
		return;
	if (l->is_resting)
		pool_reuse(c);
	if (l->is_broken || l->is_retired || h2_client_is_leaving(l->client)) {
		pool_discard(&c);
		return;
	}
	l->is_resting = true;
	pool_return(&c);
}

static void
on_link_settle(void *arg)
{
	struct h2link *l = arg;

	if (!l->is_broken && !link_send(l))
		link_break(l, H2_CALL_lost, FETCH_closed_early);
	if (!l->is_broken && !h2_client_settle(l->client)) {
		link_send(l); /* it is told why */
		link_break(l, H2_CALL_bad, FETCH_response_bad);
	}
	if (h2_client_calls(l->client) == 0)
		link_rest(l);
}

void
h2link_stir(struct h2link *l)
{
	loop_later(link_loop(l), &l->settle);
}

static void
on_link_writable(void *arg)
{
	h2link_stir(arg);
}

/* A polite word, if it can be said at once. */
static void
on_conn_close(struct upconn *c)
{
	struct h2link *l = c->h2;

	if (!l->is_broken && l->out_at == l->out.n) {
		h2_client_leave(l->client);
		link_send(l);
	}
	task_cancel(&l->settle);
	timer_disarm(&l->watch);
	list_leave(&l->seated);
	h2_client_free(&l->client);
	buf_fini(&l->out);
	free(l);
	c->h2 = NULL;
}

/* --- receiving --- */

static void
on_link_readable(void *arg)
{
	struct h2link *l = arg;
	bool was_open = h2_client_is_open(l->client);
	unsigned before = link_room(l), now;
	char in[INPUT_BYTES];
	size_t total = 0;
	ssize_t got;

	if (l->is_broken)
		return;
	l->heard_ms = loop_now_ms(link_loop(l));
	do {
		got = stream_read(l->conn->stream, in, sizeof(in));
		if (got <= 0)
			break;
		total += (size_t)got;
		if (!h2_client_feed(l->client, in, (size_t)got, l->heard_ms)) {
			link_send(l); /* it is told why */
			link_break(l, H2_CALL_bad, FETCH_response_bad);
			return;
		}
	} while ((size_t)got == sizeof(in) && total < TURN_BYTES);
	if (got == 0 || got == STREAM_ERROR) {
		link_break(l, H2_CALL_lost, FETCH_closed_early);
		return;
	}
	now = link_room(l);
	if (!was_open && h2_client_is_open(l->client) && now == 0)
		pool_wake(l->conn->pool, l->conn->server, UINT_MAX); /* they need another one */
	else if (now > before)
		pool_wake(l->conn->pool, l->conn->server, now);
	h2link_stir(l);
}

/* --- is it still there? --- */

static int64_t
quiet_ms(const struct h2link *l)
{
	int64_t half_ms = link_conf(l)->response_ms / 2;

	return half_ms < QUIET_MS ? half_ms : QUIET_MS;
}

static void
watch_until(struct h2link *l, int64_t due_ms)
{
	timer_arm(link_loop(l), &l->watch, due_ms);
}

static void
link_ping(struct h2link *l)
{
	l->pinged_ms = loop_now_ms(link_loop(l));
	l->moves_asked = h2_client_moves(l->client);
	h2_client_ping(l->client);
	h2link_stir(l);
}

/* One PING for each silence: servers of gRPC send off who asks more often. */
static void
on_link_watch(void *arg)
{
	struct h2link *l = arg;
	int64_t now_ms = loop_now_ms(link_loop(l)), quiet = quiet_ms(l);

	if (h2_client_awaits_ping(l->client)) {
		if (now_ms - l->pinged_ms >= quiet && l->heard_ms <= l->pinged_ms) {
			link_break(l, H2_CALL_lost, FETCH_closed_early);
			return;
		}
	} else if (now_ms - l->heard_ms >= quiet && l->moves_asked != h2_client_moves(l->client))
		link_ping(l);
	watch_until(l, now_ms + quiet);
}

/* --- for attempts --- */

struct h2link *
h2link_open(struct upconn **cp)
{
	struct upconn *c = *cp;
	struct h2link *l = calloc(1, sizeof(*l));

	if (l == NULL)
		return NULL;
	l->client = h2_client_new(HEAD_MOST);
	if (l->client == NULL) {
		free(l);
		return NULL;
	}
	*cp = NULL;
	l->conn = c;
	l->end = FETCH_closed_early;
	l->moves_asked = UINT64_MAX;
	task_init(&l->settle, on_link_settle, l);
	timer_init(&l->watch, on_link_watch, l);
	l->heard_ms = loop_now_ms(link_loop(l));
	c->h2 = l;
	c->on_close = on_conn_close;
	list_push_front(&link_seat(l)->links, &l->seated);
	stream_set_handler(c->stream, &link_stream_handler, l);
	stream_want_read(c->stream, true);
	h2link_stir(l);
	return l;
}

struct h2link *
h2link_find(struct pool *p, struct server *s, const struct proxy_line *announce, int64_t since_ms)
{
	LIST_EACH (l, &pool_seat(s, pool_worker(p))->links, struct h2link, seated)
		if (l->conn->opened_ms >= since_ms &&
		    proxy_line_eq(&l->conn->announced, announce) && link_room(l) > 0)
			return l;
	return NULL;
}

bool
h2link_is_coming(const struct server_seat *seat, int64_t since_ms)
{
	LIST_EACH (l, &seat->links, struct h2link, seated)
		if (l->conn->opened_ms >= since_ms && !l->is_broken && !l->is_retired &&
		    !h2_client_is_open(l->client))
			return true;
	return false;
}

int
h2link_begin(struct h2link *l, struct h2_call *call, const struct h2_call_start *start)
{
	int64_t now_ms = loop_now_ms(link_loop(l));

	if (h2_call_begin(call, l->client, start) != 0)
		return -1;
	if (l->is_resting)
		pool_reuse(l->conn);
	l->is_resting = false;
	if (now_ms - l->heard_ms >= quiet_ms(l) && !h2_client_awaits_ping(l->client))
		link_ping(l); /* nobody has looked at it for long */
	if (!timer_is_armed(&l->watch))
		watch_until(l, now_ms + quiet_ms(l));
	h2link_stir(l);
	return 0;
}

void
h2link_retire(struct h2link *l)
{
	l->is_retired = true;
}

void
h2link_drop(struct h2link *l, struct h2_call *call)
{
	h2_call_drop(call);
	pool_wake(l->conn->pool, l->conn->server, 1);
	h2link_stir(l);
}

enum fetch_end
h2link_end(const struct h2link *l)
{
	return l->end;
}
