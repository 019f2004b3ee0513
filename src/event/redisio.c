#include "event/redisio_priv.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/hash.h"
#include "base/log.h"
#include "base/mem.h"

#define RETRY_LEAST_MS 100
#define RETRY_MOST_MS 5000
#define HOPELESS_SILENCES 10 /* overdue by so many silent_ms: given up though bytes trickle */
#define READ_BYTES 65536
#define READS_PER_EVENT 4 /* then others have their turn */
#define WRITE_PIECES 16

static void
count(_Atomic uint64_t *counter)
{
	atomic_fetch_add_explicit(counter, 1, memory_order_relaxed);
}

/* --- calls --- */

static void on_call_deadline(void *arg);

struct redisio_call *
redisio_call_new(struct redisio *r, const struct redisio_command *command)
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

void
redisio_enter(struct redisio *r)
{
	r->in_callback++;
}

void
redisio_leave(struct redisio *r)
{
	if (--r->in_callback == 0 && r->state == STATE_CLOSED)
		redisio_destroy(r);
}

/* --- writing --- */

const char *
redisio_stream_trouble(const struct redisio *r)
{
	const char *tls = stream_tls_failure(r->stream);

	return tls[0] != '\0' ? tls : strerror(stream_error(r->stream));
}

/* Writes what the socket takes; a short write calls on_writable later. */
void
redisio_write(struct redisio *r)
{
	while (!redis_outbox_is_empty(&r->outbox)) {
		struct iovec iov[WRITE_PIECES];
		size_t offered;
		int k = redis_outbox_offer(&r->outbox, iov, WRITE_PIECES, &offered);
		ssize_t n = stream_writev(r->stream, iov, k, false);

		if (n == STREAM_AGAIN)
			return;
		if (n < 0) {
			redisio_drop(r, "connection lost: %s", redisio_stream_trouble(r));
			return;
		}
		redis_outbox_forget(&r->outbox, (size_t)n);
		if ((size_t)n < offered)
			return;
	}
}

static void
on_flush(void *arg)
{
	struct redisio *r = arg;

	redisio_enter(r);
	if (r->stream != NULL && r->state >= STATE_GREETING)
		redisio_write(r);
	redisio_leave(r);
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
void
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
	redis_outbox_drop(&r->outbox);
	list_splice_back(&r->lost, &r->calls);
	r->in_flight = 0;
	r->state = STATE_DOWN;
	r->failures = was_up && now_ms - r->up_ms > RETRY_MOST_MS ? 0 : r->failures + 1;
	timer_arm(r->loop, &r->date, now_ms + retry_wait_ms(r));
	say_trouble(r, why, was_up);
	if (was_up)
		count(&r->counters.losses);
	redisio_enter(r);
	if (was_up && r->handler != NULL && r->handler->on_down != NULL)
		r->handler->on_down(r->arg, why);
	if (!was_up && r->handler != NULL && r->handler->on_failed != NULL)
		r->handler->on_failed(r->arg, why);
	tell_lost(r);
	redisio_leave(r);
}

void
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

	redisio_enter(r);
	count(&r->counters.timeouts);
	call_tell(c, REDISIO_TIMEOUT, NULL);
	if (r->state == STATE_UP && !timer_is_armed(&r->date))
		watch_silence(r);
	redisio_leave(r);
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
	redisio_enter(r);
	for (int i = 0; i < READS_PER_EVENT && r->stream != NULL; i++) {
		ssize_t n = stream_read(r->stream, bytes, sizeof(bytes));

		if (n == STREAM_AGAIN)
			break;
		if (n <= 0) {
			redisio_drop(r, "connection lost: %s",
			    n == 0 ? "closed by Redis" : redisio_stream_trouble(r));
			break;
		}
		r->heard_ms = loop_now_ms(r->loop);
		replies_feed(r->replies, bytes, (size_t)n);
		take_replies(r);
		if ((size_t)n < sizeof(bytes))
			break;
	}
	redisio_leave(r);
}

/* --- what the stream and the date say --- */

static void
on_redis_writable(void *arg)
{
	struct redisio *r = arg;

	redisio_enter(r);
	if (r->state == STATE_CONNECTING)
		redisio_connected(r);
	else if (r->state == STATE_SECURING)
		redisio_secured(r);
	else
		redisio_write(r);
	redisio_leave(r);
}

const struct stream_handler redis_stream_handler = {
    .on_readable = on_redis_readable,
    .on_writable = on_redis_writable,
};

static void
on_date(void *arg)
{
	struct redisio *r = arg;

	redisio_enter(r);
	switch (r->state) {
	case STATE_DOWN:
		redisio_begin(r);
		break;
	case STATE_SECURING:
		redisio_drop(r, "no TLS handshake within %lld ms: does it speak TLS on this port?",
		    (long long)r->conf.connect_ms);
		break;
	case STATE_RESOLVING:
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
	redisio_leave(r);
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
	redis_outbox_init(&r->outbox);
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
	redis_outbox_drop(&r->outbox);
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
	    r->outbox.bytes + redis_outbox_need(command) > r->conf.queue_max_bytes) {
		count(&r->counters.refused);
		return REDISIO_BUSY;
	}
	redis_outbox_add(&r->outbox, command);
	c = redisio_call_new(r, command);
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
