/* From nothing to a connection that can be used: resolve, connect, TLS, greet. */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "event/redisio_priv.h"

static void connect_next(struct redisio *r);

/* --- greeting --- */

/* ["master", ...] or ["slave", ...]: the sentinels may not have noticed yet what has become of it. */
static void
on_role(void *arg, enum redisio_end end, const struct redis_reply *reply)
{
	struct redisio *r = arg;

	if (end != REDISIO_ANSWERED || r->state != STATE_GREETING)
		return;
	if (reply->type == REPLY_ERROR)
		redisio_drop(r, "refuses us: %.*s",
		    (int)(reply->text.n > 120 ? 120 : reply->text.n), reply->text.p);
	else if (reply->type != REPLY_ARRAY || reply->count == 0 ||
	    !slice_eq(reply->items[0].text, SLICE_LIT("master")))
		redisio_drop(r, "is a replica, not the master");
}

/* Each reply of the greeting; only the last, to PING, makes the connection one of use. */
static void
on_greeted(struct redisio *r, enum redisio_end end, const struct redis_reply *reply, bool is_last)
{
	if (end != REDISIO_ANSWERED || r->state != STATE_GREETING)
		return;
	if (reply->type == REPLY_ERROR)
		redisio_drop(r, "refuses us: %.*s",
		    (int)(reply->text.n > 120 ? 120 : reply->text.n), reply->text.p);
	else if (!reply_is_status(reply, is_last ? "PONG" : "OK"))
		redisio_drop(r, "does not answer like a Redis");
	else if (is_last)
		redisio_up(r);
}

static void
on_greeting_step(void *arg, enum redisio_end end, const struct redis_reply *reply)
{
	on_greeted(arg, end, reply, false);
}

static void
on_greeting_end(void *arg, enum redisio_end end, const struct redis_reply *reply)
{
	on_greeted(arg, end, reply, true);
}

static void
greet_with(struct redisio *r, const struct slice *argv, unsigned argc,
    void (*done)(void *arg, enum redisio_end end, const struct redis_reply *reply))
{
	const struct redisio_command command = {.argv = argv,
	    .argc = argc,
	    .timeout_ms = r->conf.connect_ms + 1, /* the state's own date comes first */
	    .done = done,
	    .arg = r};

	redis_outbox_add(&r->outbox, &command);
	redisio_call_new(r, &command);
}

static void
greet(struct redisio *r)
{
	struct slice auth[3] = {SLICE_LIT("AUTH")}, select[2] = {SLICE_LIT("SELECT")};
	const struct slice role[1] = {SLICE_LIT("ROLE")}, ping[1] = {SLICE_LIT("PING")};
	unsigned n = 1;
	char number[16];

	if (r->url.user != NULL)
		auth[n++] = slice_from(r->url.user);
	if (r->url.password != NULL) {
		auth[n++] = slice_from(r->url.password);
		greet_with(r, auth, n, on_greeting_step);
	}
	if (r->url.database != 0) {
		snprintf(number, sizeof(number), "%u", r->url.database);
		select[1] = slice_from(number);
		greet_with(r, select, 2, on_greeting_step);
	}
	if (r->conf.wants_master)
		greet_with(r, role, 1, on_role);
	greet_with(r, ping, 1, on_greeting_end);
}

/* --- connecting --- */

/* The connection stands, in TLS where that is wanted. */
static void
begin_greeting(struct redisio *r)
{
	replies_free(&r->replies);
	r->replies = replies_new(r->conf.reply_max_bytes);
	r->state = STATE_GREETING;
	greet(r);
	redisio_write(r);
}

/* Files are looked at again, so that a renewed certificate is used. */
static void
begin_tls(struct redisio *r)
{
	const struct redis_url *u = &r->url;
	const struct tls_client_conf conf = {.ca = u->ca, .cert = u->cert, .key = u->key};
	char problem[120];

	tls_client_unref(&r->tls);
	r->tls = tls_client_get(&conf, problem, sizeof(problem));
	if (r->tls == NULL)
		redisio_drop(r, "TLS: %s", problem);
	else if (stream_start_tls(r->stream, r->tls,
		     &(struct tls_opening){
			 .name = u->name != NULL ? u->name : u->places[0].host}) != 0)
		redisio_drop(r, "TLS: %s", strerror(errno));
	else
		r->state = STATE_SECURING;
}

void
redisio_connected(struct redisio *r)
{
	const int one = 1;
	int e = stream_error(r->stream);

	if (e != 0) {
		stream_close(&r->stream);
		r->address_at++;
		if (r->address_at < r->addresses_count)
			connect_next(r);
		else
			redisio_drop(r, "cannot connect: %s", strerror(e));
		return;
	}
	/* Finds a dead peer in the hours when nothing is asked; a unix socket has no such thing. */
	setsockopt(stream_fd(r->stream), SOL_SOCKET, SO_KEEPALIVE, &one, sizeof(one));
	if (r->url.is_tls)
		begin_tls(r);
	else
		begin_greeting(r);
}

void
redisio_secured(struct redisio *r)
{
	if (stream_error(r->stream) != 0)
		redisio_drop(r, "cannot connect: %s", redisio_stream_trouble(r));
	else
		begin_greeting(r);
}

/* To the address at address_at, or a later one if that fails at once. */
static void
connect_next(struct redisio *r)
{
	int e = EADDRNOTAVAIL;

	r->state = STATE_CONNECTING;
	for (; r->address_at < r->addresses_count; r->address_at++) {
		r->stream =
		    stream_connect(r->loop, &r->addresses[r->address_at], &redis_stream_handler, r);
		if (r->stream != NULL)
			return;
		e = errno;
	}
	redisio_drop(r, "cannot connect: %s", strerror(e));
}

static void
on_redis_resolved(void *arg, const struct resolved *answer)
{
	struct redisio *r = arg;

	r->resolving = NULL;
	redisio_enter(r);
	if (answer->count > 0) {
		memcpy(r->addresses, answer->addresses, answer->count * sizeof(r->addresses[0]));
		r->addresses_count = answer->count;
	}
	r->address_at = 0;
	if (r->addresses_count > 0) /* perhaps those of last time */
		connect_next(r);
	else
		redisio_drop(r, "cannot find %s: %s", r->url.places[0].host, answer->error);
	redisio_leave(r);
}

void
redisio_begin(struct redisio *r)
{
	timer_arm(r->loop, &r->date, loop_now_ms(r->loop) + r->conf.connect_ms);
	r->state = STATE_RESOLVING;
	r->resolving = resolver_start(r->resolver, r->url.places[0].host, r->url.places[0].port,
	    r->conf.connect_ms / 2, on_redis_resolved, r);
	if (r->resolving == NULL)
		redisio_drop(
		    r, "cannot find %s: too many names are being resolved", r->url.places[0].host);
}
