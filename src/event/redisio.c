#include "event/redisio.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/hash.h"
#include "base/log.h"
#include "base/mem.h"
#include "event/redisurl.h"
#include "event/tlsclient.h"

#define RETRY_LEAST_MS 100
#define RETRY_MOST_MS 5000
#define HOPELESS_SILENCES 10 /* overdue by so many silent_ms: given up though bytes trickle */
#define READ_BYTES 65536
#define READS_PER_EVENT 4 /* then others have their turn */
#define JOIN_BYTES 16384  /* short commands share a piece up to this size */
#define WRITE_PIECES 16

enum state {
	STATE_DOWN, /* waits to try again */
	STATE_RESOLVING,
	STATE_CONNECTING,
	STATE_SECURING, /* TLS */
	STATE_GREETING, /* AUTH, SELECT, ROLE, PING */
	STATE_UP,
	STATE_CLOSED, /* freed in a callback: gone when it returns */
};

struct redisio {
	struct loop *loop;
	struct resolver *resolver;
	struct redis_url url;
	struct redisio_conf conf; /* url, server: not ours, not read again */
	struct tls_client *tls;	  /* own reference; NULL: none yet, or plain */
	const struct redisio_handler *handler;
	void *arg;
	enum state state;
	unsigned in_callback;
	char trouble[160]; /* why it is not up; empty when it is */
	/* The date the state waits for: the next try; the end of connect_ms; when silence becomes
	 * too long. */
	struct timer date;
	unsigned failures; /* tries in a row that came to nothing, or to little */
	int64_t up_ms;	   /* when it came up */
	/* Where it is; kept when the name cannot be resolved any more. */
	struct resolve *resolving;
	struct address addresses[RESOLVED_MAX];
	unsigned addresses_count, address_at; /* the one being tried */
	/* The connection */
	struct stream *stream;
	struct replies *replies;
	int64_t heard_ms;  /* when a byte last came */
	struct link calls; /* sent or queued, in the order of their replies */
	unsigned in_flight;
	struct link lost;   /* calls of a connection that was lost, to be told so */
	struct link pieces; /* not yet written */
	size_t queued_bytes;
	struct task flush;
	struct redisio_counters counters;
};

struct redisio_call {
	struct link link; /* calls or lost */
	struct redisio *redisio;
	struct timer
	    deadline; /* goes on when the owner has cancelled: silence must not go unseen */
	int64_t sent_ms, due_ms;
	void (*done)(
	    void *arg, enum redisio_end end, const struct redis_reply *reply); /* or NULL */
	void *arg;
};

/* Bytes to be written. */
struct piece {
	struct link link;
	struct buf bytes;
	size_t written;
	bool is_taken; /* an argument taken over: nothing is added to it */
};

static void redisio_drop(struct redisio *r, const char *fmt, ...)
    __attribute__((format(printf, 2, 3)));
static void connect_next(struct redisio *r);

static void
count(_Atomic uint64_t *counter)
{
	atomic_fetch_add_explicit(counter, 1, memory_order_relaxed);
}

/* --- calls --- */

static void on_call_deadline(void *arg);

static struct redisio_call *
call_new(struct redisio *r, const struct redisio_command *command)
{
	struct redisio_call *c = must_calloc(1, sizeof(*c));

	c->redisio = r;
	c->sent_ms = loop_now_ms(r->loop);
	c->due_ms = c->sent_ms + command->timeout_ms;
	c->done = command->done;
	c->arg = command->arg;
	timer_init(&c->deadline, on_call_deadline, c);
	timer_arm(r->loop, &c->deadline, c->due_ms);
	list_push_back(&r->calls, &c->link);
	r->in_flight++;
	return c;
}

static void
call_free(struct redisio_call *c)
{
	timer_disarm(&c->deadline);
	list_leave(&c->link);
	free(c);
}

/* Tells the owner, if there still is one. */
static void
call_tell(struct redisio_call *c, enum redisio_end end, const struct redis_reply *reply)
{
	void (*done)(void *, enum redisio_end, const struct redis_reply *) = c->done;

	c->done = NULL;
	if (done != NULL)
		done(c->arg, end, reply);
}

static void
free_calls(struct link *list)
{
	while (!list_is_empty(list))
		call_free(list_first(list, struct redisio_call, link));
}

/* --- callbacks may free us --- */

static void
redisio_destroy(struct redisio *r)
{
	replies_free(&r->replies);
	redis_url_fini(&r->url);
	tls_client_unref(&r->tls);
	free(r);
}

static void
enter(struct redisio *r)
{
	r->in_callback++;
}

static void
leave(struct redisio *r)
{
	if (--r->in_callback == 0 && r->state == STATE_CLOSED)
		redisio_destroy(r);
}

/* --- writing --- */

static struct piece *
piece_new(struct redisio *r)
{
	struct piece *p = must_calloc(1, sizeof(*p));

	list_push_back(&r->pieces, &p->link);
	return p;
}

static void
piece_free(struct piece *p)
{
	list_leave(&p->link);
	buf_fini(&p->bytes);
	free(p);
}

static void
drop_pieces(struct redisio *r)
{
	while (!list_is_empty(&r->pieces))
		piece_free(list_first(&r->pieces, struct piece, link));
	r->queued_bytes = 0;
}

/* The piece that short text is added to. */
static struct buf *
join(struct redisio *r)
{
	struct piece *last =
	    list_is_empty(&r->pieces) ? NULL : CONTAINER_OF(r->pieces.prev, struct piece, link);

	if (last == NULL || last->is_taken || last->bytes.n >= JOIN_BYTES)
		last = piece_new(r);
	return &last->bytes;
}

static void
put_length(struct buf *b, char kind, size_t n)
{
	buf_add_char(b, kind);
	buf_add_u64(b, n);
	buf_add_lit(b, "\r\n");
}

static void
queue_command(struct redisio *r, const struct redisio_command *command)
{
	struct buf *b = join(r);
	size_t before = b->n;
	struct piece *taken;

	put_length(b, '*', command->argc + (command->tail != NULL));
	for (unsigned i = 0; i < command->argc; i++) {
		put_length(b, '$', command->argv[i].n);
		buf_add_slice(b, command->argv[i]);
		buf_add_lit(b, "\r\n");
	}
	if (command->tail != NULL)
		put_length(b, '$', command->tail->n);
	r->queued_bytes += b->n - before;
	if (command->tail == NULL)
		return;
	taken = piece_new(r);
	taken->bytes = *command->tail;
	taken->is_taken = true;
	*command->tail = (struct buf){0};
	b = join(r);
	buf_add_lit(b, "\r\n");
	r->queued_bytes += taken->bytes.n + 2;
}

static void
forget_written(struct redisio *r, size_t n)
{
	r->queued_bytes -= n;
	while (!list_is_empty(&r->pieces)) {
		struct piece *p = list_first(&r->pieces, struct piece, link);
		size_t left = p->bytes.n - p->written;

		if (n < left) {
			p->written += n;
			return;
		}
		n -= left;
		piece_free(p);
	}
}

/* Why the stream broke, for people. */
static const char *
stream_trouble(const struct stream *s)
{
	const char *tls = stream_tls_failure(s);

	return tls[0] != '\0' ? tls : strerror(stream_error(s));
}

/* Writes what the socket takes; a short write calls on_writable later. */
static void
write_pieces(struct redisio *r)
{
	while (!list_is_empty(&r->pieces)) {
		struct iovec iov[WRITE_PIECES];
		size_t offered = 0;
		ssize_t n;
		int k = 0;

		LIST_EACH (p, &r->pieces, struct piece, link) {
			if (k == WRITE_PIECES)
				break;
			iov[k].iov_base = p->bytes.p + p->written;
			iov[k].iov_len = p->bytes.n - p->written;
			offered += iov[k++].iov_len;
		}
		n = stream_writev(r->stream, iov, k, false);
		if (n == STREAM_AGAIN)
			return;
		if (n < 0) {
			redisio_drop(r, "connection lost: %s", stream_trouble(r->stream));
			return;
		}
		forget_written(r, (size_t)n);
		if ((size_t)n < offered)
			return;
	}
}

static void
on_flush(void *arg)
{
	struct redisio *r = arg;

	enter(r);
	if (r->stream != NULL && r->state >= STATE_GREETING)
		write_pieces(r);
	leave(r);
}

/* --- up and down --- */

/* 100 to 200 ms at first, twice that each time, up to 5 s. */
static int64_t
retry_wait_ms(struct redisio *r)
{
	unsigned doublings = r->failures <= 1 ? 0 : r->failures < 7 ? r->failures - 1 : 6;
	int64_t most = (int64_t)(2 * RETRY_LEAST_MS) << doublings;
	int64_t bound = r->conf.retry_most_ms > 0 ? r->conf.retry_most_ms : RETRY_MOST_MS;
	uint32_t dice;

	if (most > bound)
		most = bound;
	random_bytes(&dice, sizeof(dice));
	return most / 2 + dice % (most / 2 + 1);
}

static void
tell_lost(struct redisio *r)
{
	while (!list_is_empty(&r->lost)) {
		struct redisio_call *c = list_first(&r->lost, struct redisio_call, link);

		list_leave(&c->link);
		timer_disarm(&c->deadline);
		call_tell(c, REDISIO_LOST, NULL);
		call_free(c);
	}
}

static void
say_trouble(struct redisio *r, const char *why, bool was_up)
{
	bool is_new = was_up || strcmp(r->trouble, why) != 0;

	snprintf(r->trouble, sizeof(r->trouble), "%s", why);
	if (is_new && r->conf.logs)
		log_warn("redis %s: %s", r->url.shown, why);
}

/* The connection, or the try to make one, is given up for this reason. */
static void
redisio_drop(struct redisio *r, const char *fmt, ...)
{
	int64_t now_ms = loop_now_ms(r->loop);
	bool was_up = r->state == STATE_UP;
	char why[sizeof(r->trouble)];
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(why, sizeof(why), fmt, ap);
	va_end(ap);
	resolver_cancel(&r->resolving);
	stream_close(&r->stream);
	task_cancel(&r->flush);
	drop_pieces(r);
	list_splice_back(&r->lost, &r->calls);
	r->in_flight = 0;
	r->state = STATE_DOWN;
	r->failures = was_up && now_ms - r->up_ms > RETRY_MOST_MS ? 0 : r->failures + 1;
	timer_arm(r->loop, &r->date, now_ms + retry_wait_ms(r));
	say_trouble(r, why, was_up);
	if (was_up)
		count(&r->counters.losses);
	enter(r);
	if (was_up && r->handler != NULL && r->handler->on_down != NULL)
		r->handler->on_down(r->arg, why);
	if (!was_up && r->handler != NULL && r->handler->on_failed != NULL)
		r->handler->on_failed(r->arg, why);
	tell_lost(r);
	leave(r);
}

static void
redisio_up(struct redisio *r)
{
	timer_disarm(&r->date);
	r->state = STATE_UP;
	r->up_ms = loop_now_ms(r->loop);
	r->trouble[0] = '\0';
	count(&r->counters.connects);
	if (r->conf.logs)
		log_info("redis %s: connected", r->url.shown);
	if (r->handler != NULL && r->handler->on_up != NULL)
		r->handler->on_up(r->arg);
}

/* --- deadlines --- */

/* When to stop waiting for a reply that is overdue: silent_ms after the last byte, or after a long
 * time though bytes trickle. */
static int64_t
silence_date(const struct redisio *r, const struct redisio_call *oldest)
{
	int64_t since = r->heard_ms > oldest->sent_ms ? r->heard_ms : oldest->sent_ms;
	int64_t date = since + r->conf.silent_ms;
	int64_t hopeless = oldest->due_ms + HOPELESS_SILENCES * r->conf.silent_ms;

	if (date < oldest->due_ms)
		date = oldest->due_ms;
	return date < hopeless ? date : hopeless;
}

static void
watch_silence(struct redisio *r)
{
	struct redisio_call *oldest = list_first(&r->calls, struct redisio_call, link);
	int64_t now_ms = loop_now_ms(r->loop), date;

	if (oldest == NULL || oldest->due_ms > now_ms)
		return;
	date = silence_date(r, oldest);
	if (date <= now_ms)
		redisio_drop(r, "no reply for %lld ms", (long long)(now_ms - oldest->sent_ms));
	else
		timer_arm(r->loop, &r->date, date);
}

static void
on_call_deadline(void *arg)
{
	struct redisio_call *c = arg;
	struct redisio *r = c->redisio;

	enter(r);
	count(&r->counters.timeouts);
	call_tell(c, REDISIO_TIMEOUT, NULL);
	if (r->state == STATE_UP && !timer_is_armed(&r->date))
		watch_silence(r);
	leave(r);
}

/* --- reading --- */

/* The oldest command gets it. */
static void
take_reply(struct redisio *r, const struct redis_reply *reply)
{
	struct redisio_call *c = list_first(&r->calls, struct redisio_call, link);

	if (c == NULL && r->handler != NULL && r->handler->on_push != NULL) {
		r->handler->on_push(r->arg, reply);
		return;
	}
	if (c == NULL) {
		redisio_drop(r, "a reply that nobody asked for: no Redis?");
		return;
	}
	list_leave(&c->link);
	r->in_flight--;
	timer_disarm(&c->deadline);
	if (c->due_ms <= loop_now_ms(r->loop) && c->done == NULL)
		count(&r->counters.late);
	call_tell(c, REDISIO_ANSWERED, reply);
	call_free(c);
}

/* Hands out whole replies until there is no more, or no connection. */
static void
take_replies(struct redisio *r)
{
	struct redis_reply *reply;

	while (r->stream != NULL) {
		switch (replies_next(r->replies, &reply)) {
		case REPLIES_ONE:
			take_reply(r, reply);
			redis_reply_free(&reply);
			break;
		case REPLIES_PARTIAL:
			return;
		case REPLIES_BAD:
			redisio_drop(r, "not understood: %s", replies_error(r->replies));
			return;
		}
	}
}

static void
on_redis_readable(void *arg)
{
	struct redisio *r = arg;
	char bytes[READ_BYTES];

	if (r->state < STATE_GREETING)
		return; /* the same is told by on_redis_writable */
	enter(r);
	for (int i = 0; i < READS_PER_EVENT && r->stream != NULL; i++) {
		ssize_t n = stream_read(r->stream, bytes, sizeof(bytes));

		if (n == STREAM_AGAIN)
			break;
		if (n <= 0) {
			redisio_drop(r, "connection lost: %s",
			    n == 0 ? "closed by Redis" : stream_trouble(r->stream));
			break;
		}
		r->heard_ms = loop_now_ms(r->loop);
		replies_feed(r->replies, bytes, (size_t)n);
		take_replies(r);
		if ((size_t)n < sizeof(bytes))
			break;
	}
	leave(r);
}

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

	queue_command(r, &command);
	call_new(r, &command);
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
	write_pieces(r);
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

static void
on_connected(struct redisio *r)
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

static void
on_secured(struct redisio *r)
{
	if (stream_error(r->stream) != 0)
		redisio_drop(r, "cannot connect: %s", stream_trouble(r->stream));
	else
		begin_greeting(r);
}

static void
on_redis_writable(void *arg)
{
	struct redisio *r = arg;

	enter(r);
	if (r->state == STATE_CONNECTING)
		on_connected(r);
	else if (r->state == STATE_SECURING)
		on_secured(r);
	else
		write_pieces(r);
	leave(r);
}

static const struct stream_handler redis_stream_handler = {
    .on_readable = on_redis_readable,
    .on_writable = on_redis_writable,
};

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
	enter(r);
	if (answer->count > 0) {
		memcpy(r->addresses, answer->addresses, answer->count * sizeof(r->addresses[0]));
		r->addresses_count = answer->count;
	}
	r->address_at = 0;
	if (r->addresses_count > 0) /* perhaps those of last time */
		connect_next(r);
	else
		redisio_drop(r, "cannot find %s: %s", r->url.places[0].host, answer->error);
	leave(r);
}

static void
begin(struct redisio *r)
{
	timer_arm(r->loop, &r->date, loop_now_ms(r->loop) + r->conf.connect_ms);
	r->state = STATE_RESOLVING;
	r->resolving = resolver_start(r->resolver, r->url.places[0].host, r->url.places[0].port,
	    r->conf.connect_ms / 2, on_redis_resolved, r);
	if (r->resolving == NULL)
		redisio_drop(
		    r, "cannot find %s: too many names are being resolved", r->url.places[0].host);
}

static void
on_date(void *arg)
{
	struct redisio *r = arg;

	enter(r);
	switch (r->state) {
	case STATE_DOWN:
		begin(r);
		break;
	case STATE_RESOLVING:
	case STATE_SECURING:
		redisio_drop(r, "no TLS handshake within %lld ms: does it speak TLS on this port?",
		    (long long)r->conf.connect_ms);
		break;
	case STATE_CONNECTING:
	case STATE_GREETING:
		redisio_drop(r, "no connection within %lld ms", (long long)r->conf.connect_ms);
		break;
	case STATE_UP:
		watch_silence(r);
		break;
	case STATE_CLOSED:
		break;
	}
	leave(r);
}

/* --- the interface --- */

struct redisio *
redisio_new(struct loop *l, struct resolver *resolver, const struct redisio_conf *conf,
    const struct redisio_handler *h, void *arg, const char **why_out)
{
	struct redisio *r = must_calloc(1, sizeof(*r));

	if (conf->server != NULL) {
		redis_url_server(conf->server, conf->server->places[0].host,
		    conf->server->places[0].port, &r->url);
	} else if (redis_url_parse(conf->url, &r->url, why_out) != 0) {
		free(r);
		return NULL;
	}
	r->loop = l;
	r->resolver = resolver;
	r->conf = *conf;
	r->conf.url = NULL;
	r->conf.server = NULL;
	r->handler = h;
	r->arg = arg;
	snprintf(r->trouble, sizeof(r->trouble), "not connected yet");
	list_init(&r->calls);
	list_init(&r->lost);
	list_init(&r->pieces);
	timer_init(&r->date, on_date, r);
	task_init(&r->flush, on_flush, r);
	r->state = STATE_DOWN;
	timer_arm(l, &r->date, loop_now_ms(l));
	return r;
}

void
redisio_free(struct redisio **rp)
{
	struct redisio *r = *rp;

	*rp = NULL;
	if (r == NULL)
		return;
	r->state = STATE_CLOSED;
	resolver_cancel(&r->resolving);
	stream_close(&r->stream);
	timer_disarm(&r->date);
	task_cancel(&r->flush);
	drop_pieces(r);
	free_calls(&r->calls);
	free_calls(&r->lost);
	if (r->in_callback == 0)
		redisio_destroy(r);
}

bool
redisio_is_up(const struct redisio *r)
{
	return r->state == STATE_UP;
}

const char *
redisio_trouble(const struct redisio *r)
{
	return r->trouble;
}

const char *
redisio_name(const struct redisio *r)
{
	return r->url.shown;
}

const struct redisio_counters *
redisio_counters(const struct redisio *r)
{
	return &r->counters;
}

/* As written, near enough for a bound. */
static size_t
command_bytes(const struct redisio_command *command)
{
	size_t n = 16 + (command->tail == NULL ? 0 : command->tail->n + 24);

	for (unsigned i = 0; i < command->argc; i++)
		n += command->argv[i].n + 24;
	return n;
}

enum redisio_sent
redisio_send(
    struct redisio *r, const struct redisio_command *command, struct redisio_call **call_out)
{
	struct redisio_call *c;

	if (call_out != NULL)
		*call_out = NULL;
	if (r->state != STATE_UP)
		return REDISIO_DOWN;
	if (r->in_flight >= r->conf.in_flight_max ||
	    r->queued_bytes + command_bytes(command) > r->conf.queue_max_bytes) {
		count(&r->counters.refused);
		return REDISIO_BUSY;
	}
	queue_command(r, command);
	c = call_new(r, command);
	loop_later(r->loop, &r->flush);
	if (call_out != NULL)
		*call_out = c;
	return REDISIO_SENT;
}

void
redisio_cancel(struct redisio_call **cp)
{
	if (*cp != NULL)
		(*cp)->done = NULL;
	*cp = NULL;
}
