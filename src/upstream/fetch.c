#include "upstream/fetch.h"

#include <stdlib.h>

#include "base/clock.h"
#include "base/mem.h"
#include "http/chunker.h"
#include "upstream/attempt.h"
#include "upstream/health.h"
#include "upstream/secure.h"

#define INPUT_BYTES 16384
#define TURN_BYTES (512 * 1024) /* received in one turn before others have theirs */
#define INTERIM_MAX 16		/* 1xx responses to one request */

const struct fetch_end_row fetch_ends[FETCH_ENDS_COUNT] = {
#define X(name, status, text, proxy_status) [FETCH_##name] = {#name, status, text, proxy_status},
    FETCH_ENDS(X)
#undef X
};

enum fetch_step {
	FETCH_REACHING,	  /* on the way to a connection */
	FETCH_EXCHANGING, /* sending, and reading the response's head */
	FETCH_RECEIVING,  /* the response's body */
};

struct fetch {
	struct fetch_plan plan;
	const struct fetch_handler *handler;
	void *arg;
	enum fetch_step step;
	struct attempt attempt; /* the server and the connection to it */
	bool is_retry;		/* a kept connection had died */
	unsigned retries;	/* times it went to another server */
	enum fetch_end first;	/* how the try before ended, when there was one */
	int64_t sent_us;	/* the request's beginning */
	bool started_reading;	/* any byte of a response has come */
	struct timer deadline;
	struct timer whole; /* timeouts.total */
	int64_t asked_ms;   /* this try's request was sent to its end, or some of it */
	/* sending */
	struct slice request; /* plan.head, or own_head */
	struct buf own_head;  /* the same with the server's name as Host */
	size_t head_sent;
	bool upload_begun, upload_done, upload_touched, send_broken;
	struct chunker chunker; /* of an upload without a known length */
	/* receiving */
	struct h1_parser parser;
	struct head head;
	struct framing framing;
	struct h1_chunked chunked;
	struct buf in; /* head, or chunked bytes not yet decoded */
	struct buf trailers;
	unsigned interims;
	struct body *body;
	uint64_t left; /* of a body with a length */
	bool paused, keep;
};

static void on_fetch_ready(void *arg);
static void on_fetch_unreached(void *arg, enum fetch_end end);
static void on_fetch_readable(void *arg);
static void on_fetch_writable(void *arg);
static const struct attempt_owner fetch_attempt_owner = {
    on_fetch_ready, on_fetch_unreached, {on_fetch_readable, on_fetch_writable}};

static struct loop *
fetch_loop(struct fetch *f)
{
	return pool_loop(f->attempt.pool);
}

static const struct upstream_conf *
fetch_conf(const struct fetch *f)
{
	return &f->plan.upstream->conf;
}

static void
arm_deadline(struct fetch *f, int64_t after_ms)
{
	timer_arm(fetch_loop(f), &f->deadline, loop_now_ms(fetch_loop(f)) + after_ms);
}

static bool may_go_elsewhere(struct fetch *f);

/* For the response's head. */
static void
arm_response(struct fetch *f)
{
	const struct upstream_conf *c = fetch_conf(f);
	bool is_short = c->try_ms > 0 && c->try_ms < c->response_ms && may_go_elsewhere(f);

	f->asked_ms = loop_now_ms(fetch_loop(f));
	arm_deadline(f, is_short ? c->try_ms : c->response_ms);
}

/* --- the end --- */

static void
fetch_free(struct fetch *f)
{
	struct upstream *u = f->plan.upstream;

	timer_disarm(&f->deadline);
	timer_disarm(&f->whole);
	attempt_fini(&f->attempt);
	if (f->body != NULL)
		body_unref(&f->body);
	buf_fini(&f->own_head);
	buf_fini(&f->in);
	buf_fini(&f->trailers);
	free(f);
	upstream_unref(&u);
}

/* Ends of a fetch whose request has not left. */
static bool
is_unsent(enum fetch_end end)
{
	return end == FETCH_unresolved || end == FETCH_refused || end == FETCH_connect_slow ||
	    end == FETCH_no_connection || end == FETCH_overloaded || end == FETCH_tls_certificate ||
	    end == FETCH_tls_refused || end == FETCH_tls_failed;
}

static void
fetch_finish(struct fetch *f, enum fetch_end end)
{
	const struct fetch_handler *h = f->handler;
	void *arg = f->arg;

	if ((f->is_retry || f->retries > 0) && is_unsent(end))
		end = f->first; /* then it was sent */
	if (end != FETCH_done) {
		if (f->attempt.server != NULL)
			atomic_fetch_add_explicit(
			    &f->attempt.server->failures, 1, memory_order_relaxed);
		if (f->body != NULL)
			body_end(f->body, BODY_BROKEN);
	}
	fetch_free(f);
	h->on_done(arg, end);
}

void
fetch_abort(struct fetch **fp)
{
	struct fetch *f = *fp;

	*fp = NULL;
	if (f == NULL)
		return;
	if (f->body != NULL && body_state(f->body) == BODY_OPEN)
		body_end(f->body, BODY_BROKEN);
	fetch_free(f);
}

static int64_t
took_us(const struct fetch *f)
{
	return clock_mono_us() - f->sent_us;
}

/* Whether another server may have it: nothing can have been done twice, and nothing of an answer has been passed on. */
static bool
may_go_elsewhere(struct fetch *f)
{
	return f->plan.is_idempotent && !f->upload_touched && f->step == FETCH_EXCHANGING &&
	    f->retries < fetch_conf(f)->retries && attempt_has_other(&f->attempt);
}

static void
begin_anew(struct fetch *f, enum fetch_end end)
{
	atomic_fetch_add_explicit(&f->attempt.server->retries, 1, memory_order_relaxed);
	f->first = end;
	f->step = FETCH_REACHING;
	f->head_sent = 0;
	f->in.n = 0;
	f->send_broken = false;
	f->started_reading = false;
	timer_disarm(&f->deadline);
}

/* False: it may not, or the budget is used up. */
static bool
fetch_go_elsewhere(struct fetch *f, enum fetch_end end)
{
	if (!may_go_elsewhere(f) ||
	    !upstream_take_retry(f->plan.upstream, loop_now_ms(fetch_loop(f))))
		return false;
	f->retries++;
	atomic_fetch_add_explicit(&f->attempt.server->failures, 1, memory_order_relaxed);
	f->is_retry = false;
	begin_anew(f, end);
	attempt_elsewhere(&f->attempt);
	return true;
}

/* The server failed with this request: another one, or the end. */
static void
fetch_failed(struct fetch *f, enum fetch_end end)
{
	server_failed(f->attempt.server, took_us(f), loop_now_ms(fetch_loop(f)));
	if (!fetch_go_elsewhere(f, end))
		fetch_finish(f, end);
}

/* The connection failed in mid-exchange. Once, where nothing can have been done twice, another one
 * is tried. */
static void
fetch_broken(struct fetch *f, enum fetch_end end)
{
	bool may_repeat = f->attempt.is_reused && !f->is_retry && !f->started_reading &&
	    f->plan.is_idempotent && !f->upload_touched;

	if (!may_repeat) {
		fetch_failed(f, end);
		return;
	}
	begin_anew(f, end);
	f->is_retry = true;
	attempt_renew(&f->attempt);
}

/* --- sending --- */

static bool
is_sent(const struct fetch *f)
{
	return f->head_sent == f->request.n && (f->plan.upload == NULL || f->upload_done);
}

/* The upload's part of what is to be sent, behind the n pieces that are there. */
static int
gather_upload(struct fetch *f, struct iovec *iov, int n, int max, size_t *upload_out, bool *end_out)
{
	struct upload *u = f->plan.upload;
	bool chunks = u->length == BODY_LENGTH_UNKNOWN;
	int pieces;

	if (!f->upload_begun) {
		f->upload_begun = true;
		u->begin(u);
	}
	if (chunks) {
		pieces = u->peek(u, iov + n + 1, max - n - CHUNKER_EXTRA, end_out);
		f->chunker.trailers = u->trailers;
		return n + chunker_frame(&f->chunker, iov + n, pieces, *end_out, upload_out);
	}
	pieces = u->peek(u, iov + n, max - n, end_out);
	for (int i = 0; i < pieces; i++)
		*upload_out += iov[n + i].iov_len;
	return n + pieces;
}

/* What is to be sent next: head, then upload. Returns how many pieces, *upload_out bytes of them
 * from the upload. */
static int
gather(struct fetch *f, struct iovec *iov, int max, size_t *upload_out, bool *end_out)
{
	int n = 0;

	*upload_out = 0;
	*end_out = true;
	if (f->head_sent < f->request.n)
		iov[n++] = (struct iovec){
		    (void *)(uintptr_t)(f->request.p + f->head_sent), f->request.n - f->head_sent};
	if (f->plan.upload == NULL || f->upload_done)
		return n;
	return gather_upload(f, iov, n, max, upload_out, end_out);
}

/* Books sent bytes in the order in which they were gathered. */
static void
book_sent(struct fetch *f, size_t sent)
{
	struct upload *u = f->plan.upload;
	size_t part = f->request.n - f->head_sent;

	part = sent < part ? sent : part;
	f->head_sent += part;
	sent -= part;
	if (sent == 0)
		return;
	f->upload_touched = true;
	if (u->length == BODY_LENGTH_UNKNOWN)
		sent = chunker_sent(&f->chunker, sent);
	if (sent > 0)
		u->consume(u, sent);
}

static void
fetch_send(struct fetch *f)
{
	struct iovec iov[16];
	size_t from_upload, offered;
	bool upload_ends;
	ssize_t sent;
	int n;

	while (!f->send_broken && !is_sent(f)) {
		n = gather(f, iov, 16, &from_upload, &upload_ends);
		offered = 0;
		for (int i = 0; i < n; i++)
			offered += iov[i].iov_len;
		if (offered == 0 && !upload_ends) {
			if (f->step == FETCH_EXCHANGING)
				timer_disarm(&f->deadline); /* the client is late, not the server */
			return;				    /* fetch_upload_ready will come */
		}
		if (offered == 0) {
			f->upload_done = true;
			continue;
		}
		sent = stream_writev(f->attempt.conn->stream, iov, n, false);
		if (sent == STREAM_AGAIN)
			return;
		if (sent == STREAM_ERROR) {
			/* The response may have been sent before the server closed: reading tells.
			 */
			f->send_broken = true;
			return;
		}
		book_sent(f, (size_t)sent);
		if (f->step == FETCH_EXCHANGING)
			arm_response(f);
		if ((size_t)sent < offered)
			return;
	}
}

void
fetch_upload_ready(struct fetch *f)
{
	if (f->attempt.conn != NULL && f->step >= FETCH_EXCHANGING && !f->send_broken &&
	    !is_sent(f))
		fetch_send(f);
}

bool
fetch_upload_is_done(const struct fetch *f)
{
	return f->plan.upload == NULL || f->upload_done;
}

/* --- a connection --- */

/* The head with the server's name in the place of its second line, which is Host. */
static void
name_server(struct fetch *f)
{
	struct slice head = f->plan.head, name = slice_from(f->attempt.server->entry->text);
	bool is_tls = f->plan.upstream->secure != NULL;
	size_t line = slice_index(head, '\n') + 1;
	struct slice rest = slice_skip(head, line);

	if (f->attempt.server->entry->host == NULL)
		name = SLICE_LIT("localhost"); /* a unix socket has no name */
	else if (f->attempt.server->entry->port == (is_tls ? 443 : 80))
		name.n -= is_tls ? 4 : 3;
	f->own_head.n = 0;
	buf_add_slice(&f->own_head, slice_of(head.p, line));
	buf_add_lit(&f->own_head, "Host: ");
	buf_add_slice(&f->own_head, name);
	buf_add_lit(&f->own_head, "\r\n");
	buf_add_slice(&f->own_head, slice_skip(rest, slice_index(rest, '\n') + 1));
	f->request = buf_slice(&f->own_head);
}

static void
fetch_begin_exchange(struct fetch *f)
{
	f->step = FETCH_EXCHANGING;
	f->keep = true;
	f->request = f->plan.head;
	if (fetch_conf(f)->host_from_server)
		name_server(f);
	h1_parser_init(&f->parser, H1_RESPONSE,
	    &(struct h1_limits){.head_bytes = f->plan.head_limit, .target_bytes = 0});
	atomic_fetch_add_explicit(&f->attempt.server->requests, 1, memory_order_relaxed);
	f->sent_us = clock_mono_us();
	arm_response(f);
	fetch_send(f);
}

static void
on_fetch_ready(void *arg)
{
	fetch_begin_exchange(arg);
}

static void
on_fetch_unreached(void *arg, enum fetch_end end)
{
	fetch_finish(arg, end);
}

/* --- receiving --- */

/* The response is whole. The connection serves again if nothing is left to send or to read on it.
 */
static void
fetch_complete(struct fetch *f)
{
	if (f->trailers.n > 0)
		body_set_trailers(f->body, buf_slice(&f->trailers));
	body_end(f->body, BODY_WHOLE);
	if (f->keep && is_sent(f))
		pool_return(&f->attempt.conn);
	fetch_finish(f, FETCH_done);
}

/* What became of some bytes: read on, nothing more for now, the response is whole, the fetch has
 * gone. */
enum fed { FED, FED_DRY, FED_WHOLE, FED_GONE };

static enum fed
fed_bad(struct fetch *f, enum fetch_end end)
{
	f->keep = false;
	if (end != FETCH_no_memory && f->step == FETCH_EXCHANGING)
		fetch_failed(f, end);
	else
		fetch_finish(f, end);
	return FED_GONE;
}

/* Chunked bytes: payload goes into the body, what is not a whole line stays in f->in. */
static enum fed
feed_chunked(struct fetch *f)
{
	struct slice rest = buf_slice(&f->in), payload;
	size_t used;

	for (;;) {
		switch (h1_chunked_next(&f->chunked, rest, &payload, &used, &f->trailers)) {
		case CHUNK_DATA:
			if (body_append(f->body, payload) != 0)
				return fed_bad(f, FETCH_no_memory);
			rest = slice_skip(rest, used);
			continue;
		case CHUNK_MORE:
			rest = slice_skip(rest, used);
			buf_eat(&f->in, f->in.n - rest.n);
			return FED;
		case CHUNK_END:
			rest = slice_skip(rest, used);
			f->keep &= rest.n == 0; /* what follows, nobody asked for */
			return FED_WHOLE;
		case CHUNK_BAD:
			return fed_bad(f, FETCH_response_bad);
		}
	}
}

/* The bytes in f->in belong to the body. */
static enum fed
feed(struct fetch *f)
{
	struct slice bytes = buf_slice(&f->in);

	if (f->framing.kind == FRAMING_CHUNKED)
		return feed_chunked(f);
	if (f->framing.kind == FRAMING_LENGTH && bytes.n > f->left) {
		f->keep = false;
		bytes.n = f->left;
	}
	if (bytes.n > 0 && body_append(f->body, bytes) != 0)
		return fed_bad(f, FETCH_no_memory);
	f->left -= f->framing.kind == FRAMING_LENGTH ? bytes.n : 0;
	f->in.n = 0;
	return f->framing.kind == FRAMING_LENGTH && f->left == 0 ? FED_WHOLE : FED;
}

/* The final head: where does the body go? */
static enum fed
take_head(struct fetch *f)
{
	const struct head *h = &f->head;
	struct body *body;
	enum h1_fault fault;

	/* A coding nobody asked for (we send no TE): without its name the bytes would mean something else. */
	if (!h1_response_framing(h, f->plan.method, &f->framing, &fault) || f->framing.is_coded)
		return fed_bad(f, FETCH_response_bad);
	server_answered(f->attempt.server, h->status, took_us(f), loop_now_ms(fetch_loop(f)));
	if (status_set_has(&fetch_conf(f)->retry_statuses, h->status) &&
	    fetch_go_elsewhere(f, FETCH_closed_early))
		return FED_GONE;
	f->keep = f->keep && h1_keeps_alive(h) && f->framing.kind != FRAMING_CLOSE;
	body = f->handler->on_head(f->arg, h, &f->framing);
	if (body == NULL)
		return FED_GONE;
	f->body = body_ref(body);
	f->step = FETCH_RECEIVING;
	timer_disarm(&f->whole);
	buf_eat(&f->in, h->size);
	f->left = f->framing.length;
	h1_chunked_init(&f->chunked);
	if (f->framing.kind == FRAMING_NONE) {
		f->keep &= f->in.n == 0;
		return FED_WHOLE;
	}
	return f->in.n > 0 || (f->framing.kind == FRAMING_LENGTH && f->left == 0) ? feed(f) : FED;
}

static enum fed
take_upgrade(struct fetch *f)
{
	const struct fetch_handler *h = f->handler;
	struct upconn *conn = f->attempt.conn;
	void *arg = f->arg;

	if (!f->plan.wants_upgrade)
		return fed_bad(f, FETCH_upgrade_unasked);
	f->attempt.conn = NULL;
	h->on_upgrade(
	    arg, &f->head, conn, slice_of(f->in.p + f->head.size, f->in.n - f->head.size));
	fetch_free(f);
	return FED_GONE;
}

/* Heads until the final one: FED: more bytes are needed. */
static enum fed
read_heads(struct fetch *f)
{
	for (;;) {
		switch (h1_parse(&f->parser, &f->head, f->in.p, f->in.n)) {
		case H1_PARTIAL:
			return FED;
		case H1_BAD:
			return fed_bad(f,
			    f->parser.fault == H1_FAULT_head_too_large ? FETCH_head_too_large
								       : FETCH_response_bad);
		case H1_WHOLE:
			break;
		}
		if (f->head.status == 101)
			return take_upgrade(f);
		if (f->head.status >= 200)
			return take_head(f);
		if (++f->interims > INTERIM_MAX)
			return fed_bad(f, FETCH_response_bad);
		if (f->head.status != 100) /* that one we said ourselves */
			f->handler->on_interim(f->arg, &f->head);
		buf_eat(&f->in, f->head.size);
		h1_parser_init(&f->parser, H1_RESPONSE,
		    &(struct h1_limits){.head_bytes = f->plan.head_limit, .target_bytes = 0});
	}
}

/* The end of the stream, or its failure, while something was still to come. */
static void
on_fetch_ended(struct fetch *f, bool orderly)
{
	f->keep = false;
	if (f->step == FETCH_EXCHANGING) {
		fetch_broken(f,
		    secure_end(
			f->attempt.conn, f->send_broken ? FETCH_send_failed : FETCH_closed_early));
		return;
	}
	if (orderly && f->framing.kind == FRAMING_CLOSE) {
		fetch_complete(f);
		return;
	}
	server_failed(f->attempt.server, took_us(f), loop_now_ms(fetch_loop(f)));
	fetch_finish(f, FETCH_truncated);
}

/* Where the next bytes go: a body that is not chunked is received where it will stay. Returns how
 * many pieces, -1: no memory. */
static int
receive_space(struct fetch *f, bool direct, struct iovec iov[2])
{
	uint64_t room = f->left;
	int n;

	if (!direct) {
		iov[0].iov_base =
		    buf_room(&f->in, f->in.n < INPUT_BYTES ? INPUT_BYTES - f->in.n : 4096);
		iov[0].iov_len = f->in.cap - f->in.n;
		return 1;
	}
	if (f->framing.kind != FRAMING_LENGTH)
		return body_space(f->body, iov, 65536);
	n = body_space(f->body, iov, (size_t)f->left);
	for (int i = 0; i < n;
	     i++) { /* what lies behind the end stays unread: the pool notices it */
		if (iov[i].iov_len > room)
			iov[i].iov_len = (size_t)room;
		room -= iov[i].iov_len;
	}
	return n == 2 && iov[1].iov_len == 0 ? 1 : n;
}

static enum fed
took_direct(struct fetch *f, size_t got)
{
	body_publish(f->body, got);
	if (f->framing.kind != FRAMING_LENGTH)
		return FED;
	f->left -= got;
	return f->left == 0 ? FED_WHOLE : FED;
}

/* One read and what follows from it; FED_DRY: the kernel has no more for now. */
static enum fed
receive_some(struct fetch *f, size_t *total)
{
	bool direct = f->step == FETCH_RECEIVING && f->framing.kind != FRAMING_CHUNKED;
	struct iovec iov[2];
	int n = receive_space(f, direct, iov);
	enum fed fed;
	size_t room;
	ssize_t got;

	if (n < 0)
		return fed_bad(f, FETCH_no_memory);
	room = iov[0].iov_len + (n == 2 ? iov[1].iov_len : 0);
	got = stream_readv(f->attempt.conn->stream, iov, n);
	if (got == STREAM_AGAIN)
		return FED_DRY;
	if (got <= 0) {
		on_fetch_ended(f, got == 0);
		return FED_GONE;
	}
	f->started_reading = true;
	*total += (size_t)got;
	if (direct)
		fed = took_direct(f, (size_t)got);
	else {
		f->in.n += (size_t)got;
		fed = f->step == FETCH_RECEIVING ? feed(f) : read_heads(f);
	}
	return fed == FED && (size_t)got < room ? FED_DRY : fed;
}

static void
on_fetch_readable(void *arg)
{
	struct fetch *f = arg;
	size_t total = 0;
	enum fed fed;

	do
		fed = receive_some(f, &total);
	while (fed == FED && !f->paused && total < TURN_BYTES);
	if (fed == FED_GONE)
		return;
	if (fed == FED_WHOLE) {
		fetch_complete(f);
		return;
	}
	if (f->step != FETCH_RECEIVING || total == 0)
		return;
	if (!f->paused)
		arm_deadline(f, fetch_conf(f)->response_ms);
	f->handler->on_body(f->arg);
}

static void
on_fetch_writable(void *arg)
{
	fetch_send(arg);
}

/* timeouts.try is over where another server is left, else timeouts.response. When nobody else may have it after all, what
 * is left of timeouts.response is waited for. */
static void
on_try_slow(struct fetch *f)
{
	int64_t left_ms = f->asked_ms + fetch_conf(f)->response_ms - loop_now_ms(fetch_loop(f));

	if (left_ms > 0 && !may_go_elsewhere(f)) {
		arm_deadline(f, left_ms);
		return;
	}
	fetch_failed(f, FETCH_response_slow);
}

static void
on_fetch_whole(void *arg)
{
	fetch_finish(arg, FETCH_response_slow);
}

static void
on_fetch_deadline(void *arg)
{
	struct fetch *f = arg;

	switch (f->step) {
	case FETCH_REACHING:
		return;
	case FETCH_EXCHANGING:
		on_try_slow(f);
		return;
	case FETCH_RECEIVING:
		server_failed(f->attempt.server, took_us(f), loop_now_ms(fetch_loop(f)));
		fetch_finish(f, FETCH_body_slow);
		return;
	}
}

/* --- for the owner --- */

struct fetch *
fetch_start(struct pool *p, struct resolver *resolver, const struct fetch_plan *plan,
    const struct fetch_handler *h, void *arg)
{
	struct fetch *f = must_calloc(1, sizeof(*f));

	f->plan = *plan;
	f->handler = h;
	f->arg = arg;
	upstream_ref(plan->upstream);
	attempt_init(&f->attempt, p, resolver, plan->upstream, plan->key, plan->affinity,
	    &fetch_attempt_owner, f);
	f->attempt.announce = plan->announce;
	timer_init(&f->deadline, on_fetch_deadline, f);
	timer_init(&f->whole, on_fetch_whole, f);
	if (fetch_conf(f)->total_ms > 0)
		timer_arm(
		    pool_loop(p), &f->whole, loop_now_ms(pool_loop(p)) + fetch_conf(f)->total_ms);
	attempt_begin(&f->attempt);
	return f;
}

void
fetch_pause(struct fetch *f)
{
	if (f->paused || f->attempt.conn == NULL)
		return;
	f->paused = true;
	timer_disarm(&f->deadline);
	stream_want_read(f->attempt.conn->stream, false);
}

void
fetch_resume(struct fetch *f)
{
	if (!f->paused)
		return;
	f->paused = false;
	arm_deadline(f, fetch_conf(f)->response_ms);
	stream_want_read(f->attempt.conn->stream, true);
}

const struct server *
fetch_server(const struct fetch *f)
{
	return f->attempt.server;
}
