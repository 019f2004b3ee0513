#include "upstream/attempt.h"

#include <errno.h>
#include <limits.h>

#include "base/log.h"
#include "base/mem.h"
#include "event/lookup.h"
#include "event/tls.h"
#include "upstream/health.h"
#include "upstream/names.h"
#include "upstream/secure.h"

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

/* --- where HTTP/2 may be spoken --- */

/* Only ALPN can agree on HTTP/1.1 with a server of HTTP/2. */
static bool
may_be_h1(const struct attempt *a)
{
	return a->upstream->conf.protocol != PROTOCOL_h2 ||
	    (a->wants_h1 && a->upstream->secure != NULL);
}

static bool
may_be_h2(const struct attempt *a)
{
	return a->upstream->conf.protocol == PROTOCOL_h2
	    ? !may_be_h1(a)
	    : a->upstream->conf.protocol == PROTOCOL_auto && !a->wants_h1;
}

static struct server_seat *
attempt_seat(struct attempt *a)
{
	return pool_seat(a->server, pool_worker(a->pool));
}

/* What became of the connection is known. Those who waited for it look for themselves, unless it has yet to say how many it takes. */
static void
attempt_opened(struct attempt *a)
{
	if (!a->is_opening)
		return;
	a->is_opening = false;
	attempt_seat(a)->opening--;
	if (a->h2 == NULL)
		pool_wake(a->pool, a->server, UINT_MAX);
}

/* A link with room. False: none. */
static bool
attempt_join(struct attempt *a)
{
	if (!may_be_h2(a))
		return false;
	a->h2 = h2link_find(a->pool, a->server, &a->announce, a->renewed_ms);
	return a->h2 != NULL;
}

/* Whether one comes that will have: many requests at once do not make many connections. */
static bool
attempt_may_join_later(struct attempt *a)
{
	struct server_seat *seat = attempt_seat(a);

	return may_be_h2(a) && a->announce.n == 0 && !seat->answered_h1 &&
	    (seat->opening > 0 || h2link_is_coming(seat, a->renewed_ms));
}

static const char *
protocols_of(const struct attempt *a)
{
	if (!may_be_h2(a))
		return "http/1.1";
	return may_be_h1(a) ? "h2 http/1.1" : "h2";
}

static void
attempt_fail(struct attempt *a, enum fetch_end end)
{
	attempt_opened(a);
	a->step = ATTEMPT_IDLE;
	timer_disarm(&a->deadline);
	a->owner->on_failed(a->arg, end);
}

static void
attempt_succeed(struct attempt *a, bool is_reused)
{
	attempt_opened(a);
	a->step = ATTEMPT_IDLE;
	a->is_reused = is_reused;
	timer_disarm(&a->deadline);
	a->owner->on_ready(a->arg);
}

/* Neither connection nor call is the attempt's any more. */
static void
attempt_let_go(struct attempt *a)
{
	attempt_opened(a);
	if (a->h2 != NULL)
		h2link_drop(a->h2, &a->call);
	a->h2 = NULL;
	pool_discard(&a->conn);
}

static void
attempt_leave_server(struct attempt *a)
{
	server_set_add(&a->tried, a->server);
	attempt_let_go(a);
	server_done(a->server);
	a->server = NULL;
}

bool
attempt_has_other(const struct attempt *a)
{
	return !a->is_held && a->tries + a->avoided + 1 < upstream_size(a->upstream);
}

unsigned
attempt_times(const struct attempt *a)
{
	return a->tries + a->renewals + (a->server != NULL);
}

bool
attempt_is_connecting(const struct attempt *a)
{
	return a->step == ATTEMPT_CONNECTING || a->step == ATTEMPT_SECURING;
}

void
attempt_elsewhere(struct attempt *a)
{
	a->tries++;
	a->wants_new = false;
	a->renewed_ms = 0;
	attempt_leave_server(a);
	attempt_begin(a);
}

/* This server has no connection to give: the next one, until all have been tried. */
static void
attempt_next_server(struct attempt *a, enum fetch_end end)
{
	if (attempt_has_other(a))
		attempt_elsewhere(a);
	else {
		attempt_let_go(a);
		attempt_fail(a, end);
	}
}

/* It cannot be connected to. */
static void
attempt_blame_server(struct attempt *a, enum fetch_end end)
{
	atomic_fetch_add_explicit(&a->server->connect_failures, 1, memory_order_relaxed);
	server_failed(a->server, a->upstream->conf.connect_ms * 1000, loop_now_ms(attempt_loop(a)));
	attempt_next_server(a, end);
}

static void
attempt_connect(struct attempt *a)
{
	const struct pool_wish wish = {&a->announce, &attempt_stream_handler, a};

	a->conn = pool_connect(a->pool, a->server, &a->server->address, &wish);
	if (a->conn != NULL) {
		a->step = ATTEMPT_CONNECTING;
		a->is_opening = may_be_h2(a);
		attempt_seat(a)->opening += a->is_opening;
		arm_deadline(a);
		return;
	}
	if (errno != EBUSY) {
		attempt_blame_server(a, FETCH_refused);
		return;
	}
	a->step = ATTEMPT_CHOOSING;
	if (!pool_wait(a->pool, a->server, &a->waiter))
		attempt_next_server(a, FETCH_no_connection);
	else if (!timer_is_armed(&a->deadline))
		arm_deadline(a);
}

/* No server has an address yet: the names are asked for, one after another, until one has. */

static void attempt_resolve(struct attempt *a);

static void
on_attempt_resolved(void *arg, const struct resolved *answer)
{
	struct attempt *a = arg;

	a->resolving = NULL;
	timer_disarm(&a->deadline);
	names_take_and_close(a->pool, a->upstream, &a->upstream->entries[a->asked++], answer);
	if (answer->count == 0)
		attempt_resolve(a);
	else
		attempt_begin(a);
}

static void
attempt_resolve(struct attempt *a)
{
	struct upstream *u = a->upstream;

	while (a->asked < u->entries_count && u->entries[a->asked].is_literal)
		a->asked++;
	if (a->asked >= u->entries_count) {
		attempt_fail(a, FETCH_unresolved);
		return;
	}
	a->step = ATTEMPT_RESOLVING;
	arm_deadline(a);
	a->resolving = names_ask(
	    a->resolver, &u->entries[a->asked], u->conf.connect_ms, on_attempt_resolved, a);
	if (a->resolving == NULL)
		attempt_fail(a, FETCH_unresolved);
}

static void
attempt_choose(struct attempt *a)
{
	struct choice c = {.avoid = &a->tried,
	    .wanted = a->wanted,
	    .key = a->key,
	    .is_spare = a->is_spare,
	    .now_ms = loop_now_ms(attempt_loop(a))};

	a->server = upstream_choose(a->upstream, &c);
	names_refresh(a->pool, a->resolver, a->upstream);
}

/* --- a change of protocol, where HTTP/2 is what the servers speak --- */

static bool
is_exception(const struct attempt *a)
{
	return a->wants_h1 && a->upstream->conf.protocol == PROTOCOL_h2;
}

/* No fault of the server's: or clients could have it taken for failing. */
static void
attempt_refuse_upgrade(struct attempt *a)
{
	if (!atomic_exchange(&a->upstream->has_told_upgrade, true))
		log_warn("upstream %s: an upgrade (WebSocket) was refused: protocol is h2, and %s",
		    a->upstream->conf.name,
		    a->upstream->secure == NULL ? "without tls there is no agreeing on HTTP/1.1"
						: "the server does not agree to HTTP/1.1 by ALPN");
	if (a->server == NULL)
		attempt_fail(a, FETCH_no_upgrade);
	else
		attempt_next_server(a, FETCH_no_upgrade);
}

static void
on_attempt_look(void *arg)
{
	struct attempt *a = arg;

	if (is_exception(a) && a->upstream->secure == NULL) {
		attempt_refuse_upgrade(a);
		return;
	}

	if (a->server == NULL)
		attempt_choose(a);
	if (a->server == NULL && upstream_size(a->upstream) > 0) {
		attempt_fail(a, FETCH_overloaded);
		return;
	}
	if (a->server == NULL) {
		attempt_resolve(a);
		return;
	}
	if (attempt_join(a)) {
		attempt_succeed(a, true);
		return;
	}
	if (!a->wants_new && may_be_h1(a))
		a->conn = pool_borrow_idle(a->pool, a->server,
		    &(struct pool_wish){&a->announce, &a->owner->stream, a->arg});
	if (a->conn != NULL)
		attempt_succeed(a, true);
	else if (attempt_may_join_later(a) && pool_wait(a->pool, a->server, &a->waiter)) {
		a->step = ATTEMPT_CHOOSING;
		if (!timer_is_armed(&a->deadline))
			arm_deadline(a);
	} else
		attempt_connect(a);
}

/* Bytes before a request: whoever reads the answer judges them. The stream says so again each turn. */
static void
on_attempt_readable(void *arg)
{
}

/* A new socket takes so little at once. */
static bool
attempt_announce(struct attempt *a)
{
	struct iovec iov = {a->announce.bytes, a->announce.n};

	return a->announce.n == 0 ||
	    stream_writev(a->conn->stream, &iov, 1, true) == (ssize_t)iov.iov_len;
}

static bool
has_agreed(const struct attempt *a, struct slice protocol)
{
	struct tls_info info;

	return stream_tls_info(a->conn->stream, &info) && slice_eq(info.protocol, protocol);
}

/* Whether HTTP/2 is what was agreed on; without TLS it is known. */
static bool
is_h2(const struct attempt *a)
{
	if (a->upstream->secure == NULL)
		return a->upstream->conf.protocol == PROTOCOL_h2;
	return has_agreed(a, SLICE_LIT("h2"));
}

/* The stream speaks now, as it should or plainly. */
static void
attempt_hand_over(struct attempt *a)
{
	bool speaks_h2 = is_h2(a);

	if (is_exception(a) && !has_agreed(a, SLICE_LIT("http/1.1"))) {
		attempt_refuse_upgrade(a);
		return;
	}
	if (!speaks_h2 && !may_be_h1(a)) {
		attempt_blame_server(a, FETCH_not_h2);
		return;
	}
	if (may_be_h2(a))
		attempt_seat(a)->answered_h1 = !speaks_h2;
	if (speaks_h2) {
		a->h2 = h2link_open(&a->conn);
		if (a->h2 == NULL)
			attempt_next_server(a, FETCH_no_memory);
		else
			attempt_succeed(a, false);
		return;
	}
	stream_set_handler(a->conn->stream, &a->owner->stream, a->arg);
	attempt_succeed(a, false);
}

static void
attempt_connected(struct attempt *a)
{
	if (stream_error(a->conn->stream) != 0 || !attempt_announce(a)) {
		attempt_blame_server(a, FETCH_refused);
		return;
	}
	if (a->upstream->secure == NULL) {
		attempt_hand_over(a);
		return;
	}
	a->step = ATTEMPT_SECURING;
	if (secure_begin(a->conn, attempt_seat(a), protocols_of(a)) != 0)
		attempt_blame_server(a, FETCH_tls_failed);
}

static void
on_attempt_writable(void *arg)
{
	struct attempt *a = arg;
	enum fetch_end end;

	if (a->step == ATTEMPT_CONNECTING) {
		attempt_connected(a);
		return;
	}
	end = secure_done(a->conn);
	if (end == FETCH_done)
		attempt_hand_over(a);
	else if (is_exception(a) && (end == FETCH_tls_refused || end == FETCH_tls_failed))
		attempt_refuse_upgrade(a);
	else
		attempt_blame_server(a, end);
}

/* A connection is there, and the server has yet to say how many requests it takes: as the request that is on it already,
 * this one waits for that as for a response. */
static bool
attempt_waits_on(struct attempt *a)
{
	int64_t left_ms = a->upstream->conf.response_ms - a->upstream->conf.connect_ms;

	if (a->has_waited || left_ms <= 0 || !may_be_h2(a) ||
	    !h2link_is_coming(attempt_seat(a), a->renewed_ms))
		return false;
	a->has_waited = true;
	timer_arm(attempt_loop(a), &a->deadline, loop_now_ms(attempt_loop(a)) + left_ms);
	return true;
}

static void
on_attempt_deadline(void *arg)
{
	struct attempt *a = arg;

	if (a->step == ATTEMPT_CHOOSING && attempt_waits_on(a))
		return;
	if (a->step == ATTEMPT_CHOOSING) {
		pool_stop_waiting(&a->waiter);
		attempt_fail(a, FETCH_no_connection);
		return;
	}
	if (a->step == ATTEMPT_RESOLVING) {
		lookup_cancel(&a->resolving);
		a->asked++;
		attempt_resolve(a);
		return;
	}
	attempt_blame_server(a, FETCH_connect_slow);
}

void
attempt_init(struct attempt *a, struct pool *p, struct resolver *resolver, struct upstream *u,
    uint64_t key, struct slice wanted, const struct attempt_owner *owner, void *arg)
{
	mem_clear(a, sizeof(*a));
	a->pool = p;
	a->resolver = resolver;
	a->upstream = u;
	a->key = key;
	a->wanted = wanted;
	a->owner = owner;
	a->arg = arg;
	a->call.owner = &owner->call;
	a->call.arg = arg;
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
attempt_again(struct attempt *a)
{
	attempt_let_go(a);
	a->renewals++;
	attempt_begin(a);
}

void
attempt_renew(struct attempt *a)
{
	attempt_let_go(a);
	a->renewals++;
	a->wants_new = true;
	a->renewed_ms = loop_now_ms(attempt_loop(a));
	attempt_begin(a);
}

void
attempt_fini(struct attempt *a)
{
	task_cancel(&a->look);
	pool_stop_waiting(&a->waiter);
	timer_disarm(&a->deadline);
	lookup_cancel(&a->resolving);
	attempt_let_go(a);
	if (a->server != NULL)
		server_done(a->server);
	a->server = NULL;
}
