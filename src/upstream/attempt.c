#include "upstream/attempt.h"

#include <errno.h>

#include "event/resolver.h"

static void on_attempt_readable(void *arg);
static void on_attempt_writable(void *arg);
static const struct stream_handler attempt_stream_handler = {
    on_attempt_readable, on_attempt_writable};

static struct loop *
attempt_loop(struct attempt *a)
{
	return pool_loop(a->pool);
}

static void
arm_deadline(struct attempt *a)
{
	timer_arm(attempt_loop(a), &a->deadline,
	    loop_now_ms(attempt_loop(a)) + a->upstream->conf.connect_ms);
}

static void
attempt_fail(struct attempt *a, enum fetch_end end)
{
	a->step = ATTEMPT_IDLE;
	timer_disarm(&a->deadline);
	a->owner->on_failed(a->arg, end);
}

static void
attempt_succeed(struct attempt *a, bool is_reused)
{
	a->step = ATTEMPT_IDLE;
	a->is_reused = is_reused;
	timer_disarm(&a->deadline);
	a->owner->on_ready(a->arg);
}

/* This server cannot be had: the next one, until all have been tried. */
static void
attempt_next_server(struct attempt *a, enum fetch_end end)
{
	atomic_fetch_add_explicit(&a->server->connect_failures, 1, memory_order_relaxed);
	server_took(a->server, a->upstream->conf.connect_ms * 1000, loop_now_ms(attempt_loop(a)));
	server_set_add(&a->tried, a->server);
	pool_discard(&a->conn);
	if (++a->tries >= a->upstream->servers_count) {
		attempt_fail(a, end);
		return;
	}
	server_done(a->server);
	a->server = NULL;
	attempt_begin(a);
}

static void
attempt_connect(struct attempt *a, const struct address *to)
{
	a->conn = pool_connect(a->pool, a->server, to, &attempt_stream_handler, a);
	if (a->conn != NULL) {
		a->step = ATTEMPT_CONNECTING;
		arm_deadline(a);
		return;
	}
	if (errno != EBUSY) {
		attempt_next_server(a, FETCH_refused);
		return;
	}
	a->step = ATTEMPT_CHOOSING;
	if (!pool_wait(a->pool, a->server, &a->waiter))
		attempt_fail(a, FETCH_no_connection);
	else if (!timer_is_armed(&a->deadline))
		arm_deadline(a);
}

static void
on_attempt_resolved(void *arg, const struct resolved *r)
{
	struct attempt *a = arg;
	struct server_seat *seat = pool_seat(a->server, pool_worker(a->pool));

	a->resolving = NULL;
	if (r->count > 0) {
		seat->resolved = r->addresses[0];
		seat->resolved_until_ms =
		    loop_now_ms(attempt_loop(a)) + (r->ttl_s < 1 ? 1000 : (int64_t)r->ttl_s * 1000);
	} else if (seat->resolved_until_ms == 0) {
		attempt_next_server(a, FETCH_unresolved);
		return;
	} /* else: the address we had goes on serving */
	attempt_connect(a, &seat->resolved);
}

static void
attempt_resolve(struct attempt *a)
{
	struct server *s = a->server;
	struct server_seat *seat = pool_seat(s, pool_worker(a->pool));

	if (s->is_literal) {
		attempt_connect(a, &s->address);
		return;
	}
	if (seat->resolved_until_ms > loop_now_ms(attempt_loop(a))) {
		attempt_connect(a, &seat->resolved);
		return;
	}
	a->step = ATTEMPT_RESOLVING;
	arm_deadline(a);
	a->resolving = resolver_start(
	    a->resolver, s->host, s->port, a->upstream->conf.connect_ms, on_attempt_resolved, a);
	if (a->resolving == NULL)
		attempt_next_server(a, FETCH_unresolved);
}

static void
on_attempt_look(void *arg)
{
	struct attempt *a = arg;

	if (a->server == NULL)
		a->server = upstream_choose(
		    a->upstream, &(struct choice){&a->tried, a->key, loop_now_ms(attempt_loop(a))});
	if (!a->wants_new)
		a->conn = pool_borrow_idle(a->pool, a->server, &a->owner->stream, a->arg);
	if (a->conn == NULL)
		attempt_resolve(a);
	else
		attempt_succeed(a, true);
}

/* Bytes before a request: whoever reads the answer judges them. The stream says so again each turn. */
static void
on_attempt_readable(void *arg)
{
}

static void
on_attempt_writable(void *arg)
{
	struct attempt *a = arg;

	if (stream_error(a->conn->stream) != 0) {
		attempt_next_server(a, FETCH_refused);
		return;
	}
	stream_set_handler(a->conn->stream, &a->owner->stream, a->arg);
	attempt_succeed(a, false);
}

static void
on_attempt_deadline(void *arg)
{
	struct attempt *a = arg;

	if (a->step == ATTEMPT_CHOOSING) {
		pool_stop_waiting(&a->waiter);
		attempt_fail(a, FETCH_no_connection);
		return;
	}
	resolver_cancel(&a->resolving);
	attempt_next_server(a, FETCH_connect_slow);
}

void
attempt_init(struct attempt *a, struct pool *p, struct resolver *resolver, struct upstream *u,
    uint64_t key, const struct attempt_owner *owner, void *arg)
{
	*a = (struct attempt){
	    .pool = p, .resolver = resolver, .upstream = u, .key = key, .owner = owner, .arg = arg};
	task_init(&a->look, on_attempt_look, a);
	pool_waiter_init(&a->waiter, on_attempt_look, a);
	timer_init(&a->deadline, on_attempt_deadline, a);
}

void
attempt_begin(struct attempt *a)
{
	a->step = ATTEMPT_CHOOSING;
	loop_later(attempt_loop(a), &a->look);
}

void
attempt_renew(struct attempt *a)
{
	pool_discard(&a->conn);
	a->wants_new = true;
	attempt_begin(a);
}

void
attempt_fini(struct attempt *a)
{
	task_cancel(&a->look);
	pool_stop_waiting(&a->waiter);
	timer_disarm(&a->deadline);
	resolver_cancel(&a->resolving);
	pool_discard(&a->conn);
	if (a->server != NULL)
		server_done(a->server);
	a->server = NULL;
}
