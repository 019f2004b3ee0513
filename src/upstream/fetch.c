#include "upstream/fetch.h"

#include <stdlib.h>

#include "base/mem.h"
#include "cache/poison.h"
#include "upstream/fetch_priv.h"
#include "upstream/health.h"
#include "upstream/secure.h"

#define INTERIM_MAX 16 /* 1xx responses to one request */

const struct fetch_end_row fetch_ends[FETCH_ENDS_COUNT] = {
#define X(name, status, text, proxy_status) [FETCH_##name] = {#name, status, text, proxy_status},
    FETCH_ENDS(X)
#undef X
};

static void on_fetch_ready(void *arg);
static void on_fetch_unreached(void *arg, enum fetch_end end);
static void on_fetch_readable(void *arg);
static void on_fetch_writable(void *arg);
static const struct attempt_owner fetch_attempt_owner = {on_fetch_ready, on_fetch_unreached,
    {on_fetch_readable, on_fetch_writable}, {fetch_h2_pull, fetch_h2_news}};

void
fetch_arm_deadline(struct fetch *f, int64_t after_ms)
{
	timer_arm(fetch_loop(f), &f->deadline, loop_now_ms(fetch_loop(f)) + after_ms);
}

static bool may_go_elsewhere(struct fetch *f);

/* For the response's head. */
static void
arm_from(struct fetch *f, int64_t asked_ms)
{
	const struct upstream_conf *c = fetch_conf(f);
	bool is_short = c->try_ms > 0 && c->try_ms < c->response_ms && may_go_elsewhere(f);

	f->asked_ms = asked_ms;
	timer_arm(fetch_loop(f), &f->deadline, asked_ms + (is_short ? c->try_ms : c->response_ms));
}

void
fetch_arm_response(struct fetch *f)
{
	arm_from(f, loop_now_ms(fetch_loop(f)));
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
	pool_keep_input(f->attempt.pool, &f->in);
	buf_fini(&f->trailers);
	buf_fini(&f->kept);
	if (!spare_keep(pool_spare_fetches(f->attempt.pool), f))
		free(f);
	upstream_unref(&u);
}

/* Ends of a fetch whose request has not left. */
static bool
is_unsent(enum fetch_end end)
{
	return end == FETCH_unresolved || end == FETCH_refused || end == FETCH_connect_slow ||
	    end == FETCH_no_connection || end == FETCH_overloaded || end == FETCH_tls_certificate ||
	    end == FETCH_tls_refused || end == FETCH_tls_failed || end == FETCH_turned_away ||
	    end == FETCH_no_upgrade;
}

void
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
	if (f->body == NULL)
		h->on_failing(arg);
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

void
fetch_outrun(struct fetch **fp)
{
	struct fetch *f = *fp;
	int64_t now_ms = loop_now_ms(fetch_loop(f));

	if (f->step == FETCH_EXCHANGING)
		server_outrun(f->attempt.server, fetch_took_us(f), now_ms);
	else if (attempt_is_connecting(&f->attempt))
		server_outrun(f->attempt.server, (now_ms - f->began_ms) * 1000, now_ms);
	fetch_abort(fp);
}

int64_t
fetch_took_us(struct fetch *f)
{
	return loop_read_us(fetch_loop(f)) - f->sent_us;
}

/* Whether another server may have it: nothing can have been done twice, and nothing of an answer has been passed on. */
static bool
may_go_elsewhere(struct fetch *f)
{
	return f->plan.is_idempotent && !f->upload_touched && f->step == FETCH_EXCHANGING &&
	    f->retries < fetch_conf(f)->retries && attempt_has_other(&f->attempt);
}

void
fetch_begin_anew(struct fetch *f, enum fetch_end end)
{
	atomic_fetch_add_explicit(&f->attempt.server->retries, 1, memory_order_relaxed);
	f->first = end;
	f->step = FETCH_REACHING;
	f->head_sent = 0;
	f->kept_at = 0;
	f->upload_done = false;
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
	fetch_begin_anew(f, end);
	attempt_elsewhere(&f->attempt);
	return true;
}

/* The server failed with this request: another one, or the end. */
void
fetch_failed(struct fetch *f, enum fetch_end end)
{
	server_failed(f->attempt.server, fetch_took_us(f), loop_now_ms(fetch_loop(f)));
	if (!fetch_go_elsewhere(f, end))
		fetch_finish(f, end);
}

/* The connection failed in mid-exchange. Once, where nothing can have been done twice, another one
 * is tried. */
void
fetch_broken(struct fetch *f, enum fetch_end end)
{
	bool may_repeat = f->attempt.is_reused && !f->is_retry && !f->started_reading &&
	    f->plan.is_idempotent && !f->upload_touched;

	if (!may_repeat) {
		fetch_failed(f, end);
		return;
	}
	fetch_begin_anew(f, end);
	f->is_retry = true;
	attempt_renew(&f->attempt);
}

void
fetch_upload_ready(struct fetch *f)
{
	if (f->step < FETCH_EXCHANGING)
		return;
	if (f->attempt.h2 != NULL)
		fetch_h2_upload_ready(f);
	else if (f->attempt.conn != NULL)
		fetch_h1_send(f);
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
	else if (f->attempt.server->entry->is_service)
		name = slice_from(f->attempt.server->entry->host);
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
	if (f->attempt.is_spare)
		atomic_fetch_add_explicit(&f->attempt.server->hedges, 1, memory_order_relaxed);
	f->sent_us = loop_read_us(fetch_loop(f));
	if (f->attempt.h2 != NULL) {
		fetch_arm_response(f);
		fetch_h2_begin(f);
		return;
	}
	fetch_h1_send(f);
	if (f->head_sent == 0) /* else that armed it */
		fetch_arm_response(f);
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

static void
on_fetch_readable(void *arg)
{
	fetch_h1_readable(arg);
}

static void
on_fetch_writable(void *arg)
{
	fetch_h1_send(arg);
}

/* --- the response --- */

/* The response is whole. */
void
fetch_complete(struct fetch *f)
{
	if (f->trailers.n > 0)
		body_set_trailers(f->body, buf_slice(&f->trailers));
	body_end(f->body, BODY_WHOLE);
	fetch_finish(f, FETCH_done);
}

enum fed
fetch_bad(struct fetch *f, enum fetch_end end)
{
	f->keep = false;
	if (end != FETCH_no_memory && f->step == FETCH_EXCHANGING)
		fetch_failed(f, end);
	else
		fetch_finish(f, end);
	return FED_GONE;
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
		return fetch_bad(f, FETCH_response_bad);
	f->head_us = loop_read_us(fetch_loop(f));
	server_answered(
	    f->attempt.server, h->status, f->head_us - f->sent_us, loop_now_ms(fetch_loop(f)));
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
	f->head_bytes = h->size;
	return FED_HEAD;
}

static enum fed
take_upgrade(struct fetch *f)
{
	const struct fetch_handler *h = f->handler;
	struct upconn *conn = f->attempt.conn;
	void *arg = f->arg;

	if (!f->plan.wants_upgrade || conn == NULL)
		return fetch_bad(f, FETCH_upgrade_unasked);
	f->attempt.conn = NULL;
	h->on_upgrade(
	    arg, &f->head, conn, slice_of(f->in.p + f->head.size, f->in.n - f->head.size));
	fetch_free(f);
	return FED_GONE;
}

enum fed
fetch_read_heads(struct fetch *f)
{
	for (;;) {
		switch (h1_parse(&f->parser, &f->head, f->in.p, f->in.n)) {
		case H1_PARTIAL:
			return FED;
		case H1_BAD:
			return fetch_bad(f,
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
			return fetch_bad(f, FETCH_response_bad);
		if (f->head.status != 100) /* that one we said ourselves */
			f->handler->on_interim(f->arg, &f->head);
		buf_eat(&f->in, f->head.size);
		h1_parser_init(&f->parser, H1_RESPONSE,
		    &(struct h1_limits){.head_bytes = f->plan.head_limit, .target_bytes = 0});
	}
}

/* --- time --- */

/* timeouts.try is over where another server is left, else timeouts.response. When nobody else may have it after all, what
 * is left of timeouts.response is waited for. */
static void
on_try_slow(struct fetch *f)
{
	int64_t left_ms = f->asked_ms + fetch_conf(f)->response_ms - loop_now_ms(fetch_loop(f));

	if (left_ms > 0 && !may_go_elsewhere(f)) {
		fetch_arm_deadline(f, left_ms);
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
		server_failed(f->attempt.server, fetch_took_us(f), loop_now_ms(fetch_loop(f)));
		fetch_finish(f, FETCH_body_slow);
		return;
	}
}

/* --- for the owner --- */

struct fetch *
fetch_start(struct pool *p, struct resolver *resolver, const struct fetch_plan *plan,
    const struct fetch_handler *h, void *arg)
{
	struct fetch *f = spare_take(pool_spare_fetches(p));

	if (f == NULL)
		f = must_malloc(sizeof(*f));
	mem_clear(&f->step, offsetof(struct fetch, head) - offsetof(struct fetch, step));
	spoil(&f->head, sizeof(*f) - offsetof(struct fetch, head));
	f->plan = *plan;
	f->handler = h;
	f->arg = arg;
	upstream_ref(plan->upstream);
	attempt_init(&f->attempt, p, resolver, plan->upstream, plan->key, plan->affinity,
	    &fetch_attempt_owner, f);
	f->attempt.announce = plan->announce;
	f->attempt.wants_h1 = plan->wants_upgrade;
	f->attempt.tried = plan->avoid;
	f->attempt.avoided = server_set_count(&plan->avoid);
	f->attempt.is_spare = plan->is_spare;
	f->began_ms = loop_now_ms(pool_loop(p));
	timer_init(&f->deadline, on_fetch_deadline, f);
	timer_init(&f->whole, on_fetch_whole, f);
	if (fetch_conf(f)->total_ms > 0)
		timer_arm(pool_loop(p), &f->whole,
		    (plan->began_ms != 0 ? plan->began_ms : f->began_ms) + fetch_conf(f)->total_ms);
	attempt_begin(&f->attempt);
	return f;
}

void
fetch_pause(struct fetch *f)
{
	if (f->paused || (f->attempt.conn == NULL && f->attempt.h2 == NULL))
		return;
	f->paused = true;
	timer_disarm(&f->deadline);
	if (f->attempt.h2 == NULL)
		stream_want_read(f->attempt.conn->stream, false);
}

void
fetch_resume(struct fetch *f)
{
	if (!f->paused)
		return;
	f->paused = false;
	fetch_arm_deadline(f, fetch_conf(f)->response_ms);
	if (f->attempt.h2 != NULL)
		fetch_h2_resume(f);
	else
		stream_want_read(f->attempt.conn->stream, true);
}

struct server *
fetch_server(const struct fetch *f)
{
	return f->attempt.server;
}

int64_t
fetch_head_us(const struct fetch *f)
{
	return f->head_us;
}

unsigned
fetch_tries(const struct fetch *f)
{
	return attempt_times(&f->attempt);
}

bool
fetch_add_tried(const struct fetch *f, struct server_set *set)
{
	if (f->attempt.server == NULL)
		return false;
	for (unsigned i = 0; i < SERVERS_MAX / 64; i++)
		set->bits[i] |= f->attempt.tried.bits[i];
	server_set_add(set, f->attempt.server);
	return true;
}

void
fetch_hold(struct fetch *f, bool is_held)
{
	f->attempt.is_held = is_held;
	if (is_held)
		return;
	f->attempt.is_spare = false;
	if (f->step == FETCH_EXCHANGING)
		arm_from(f, f->asked_ms);
}
