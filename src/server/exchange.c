/* The walk of a request. The table in exchange_priv.h is the list of steps; exchange_walk() is the only place where a
 * request moves from one to the next, exchange_finish() the only way out. Callbacks call exchange_wake() and decide nothing. A walk
 * that is woken while it runs goes on after the present step; an exchange is freed when the turn of the loop ends. */
#include "server/exchange.h"

#include <stdlib.h>

#include "base/log.h"
#include "base/mem.h"
#include "cache/poison.h"
#include "server/accesslog.h"
#include "server/exchange_priv.h"
#include "server/request.h"
#include "server/segments.h"
#include "server/tunnel.h"

#define OUT_BYTES_KEPT 8192 /* a larger buffer for heads is not kept for the next exchange */

static enum exchange_next
step_finish(struct exchange *x)
{
	return EXCHANGE_OVER;
}

static const struct {
	const char *name;
	enum exchange_next (*run)(struct exchange *x);
} steps[] = {
#define X(name, text) [STEP_##name] = {#name, step_##name},
    EXCHANGE_STEPS(X)
#undef X
};

/* The memory itself; for those kept as spare, when the worker ends. */
void
exchange_scrap(void *memory)
{
	struct exchange *x = memory;

	arena_fini(&x->mem);
	buf_fini(&x->out);
	free(x);
}

static void
exchange_free(void *arg)
{
	struct exchange *x = arg;
	struct worker *w = x->worker;

	site_unref(&x->site);
	if (x->own_body.p != NULL)
		buf_fini(&x->own_body);
	if (x->own_fields.p != NULL)
		buf_fini(&x->own_fields);
	if (x->collected.p != NULL)
		buf_fini(&x->collected);
	if (x->out.cap > OUT_BYTES_KEPT)
		buf_fini(&x->out);
	arena_reset(&x->mem);
	if (!spare_keep(&w->spare_exchanges, x))
		exchange_scrap(x);
	w->exchanges--;
	worker_note_quiet(w);
}

static void on_exchange_turn(void *arg);
static void on_purges_told(struct purge_ticket *t);

struct exchange *
exchange_new(struct worker *w, struct client *c, bool is_admin)
{
	struct exchange *x = spare_take(&w->spare_exchanges);

	if (x == NULL)
		x = must_calloc(1, sizeof(*x));
	mem_clear(x, offsetof(struct exchange, mem));
	spoil(&x->client_address, sizeof(*x) - offsetof(struct exchange, client_address));
	x->captures.count = 0;
	x->out.n = 0;
	x->client = c;
	x->is_https = c->is_tls;
	x->is_own = c->is_own;
	x->http_major = c->http_major;
	x->listener_slot = c->listener_slot;
	x->worker = w;
	x->site = site_ref(is_admin ? w->admin_site : w->site);
	x->started_us = loop_last_us(w->loop);
	x->word = CACHE_WORD_BYPASS;
	x->fwd = CACHE_FWD_BYPASS;
	exchange_because(x, "", "");
	list_init(&x->rider.link);
	x->told.done = on_purges_told;
	task_init(&x->retire, exchange_free, x);
	task_init(&x->turn, on_exchange_turn, x);
	w->exchanges++;
	return x;
}

void
exchange_bury(struct exchange *x)
{
	if (!list_has(&x->retire.link))
		return;
	task_cancel(&x->retire);
	exchange_free(x);
}

struct head *
exchange_head(struct exchange *x)
{
	return &x->head;
}

struct worker *
exchange_worker(struct exchange *x)
{
	return x->worker;
}

struct slice
exchange_path(const struct exchange *x)
{
	return x->url.path;
}

struct slice
exchange_query(const struct exchange *x)
{
	return x->url.has_query ? x->url.query : SLICE_NONE;
}

struct slice
exchange_body(const struct exchange *x)
{
	return buf_slice(&x->collected);
}

struct slice
exchange_scheme(const struct exchange *x)
{
	return x->is_https ? SLICE_LIT("https") : SLICE_LIT("http");
}

void
exchange_drop(struct exchange **xp)
{
	struct exchange *x = *xp;

	*xp = NULL;
	if (x == NULL)
		return;
	x->is_over = true;
	x->client = NULL;
	loop_later(x->worker->loop, &x->retire);
}

/* --- the end --- */

static void
write_to_log(struct exchange *x, int64_t total_us)
{
	bool has_head = x->head.base != NULL;
	struct outcome out = {
	    .route = slice_from(x->route == NULL ? "" : x->route->name),
	    .method = x->head.method,
	    .method_text = has_head ? head_method(&x->head) : SLICE_NONE,
	    .target = has_head ? head_target(&x->head) : SLICE_NONE,
	    .host = x->url.authority,
	    .scheme = exchange_scheme(x),
	    .version_major = x->http_major,
	    .version_minor = x->head.minor,
	    .status = (int)x->status,
	    .cache_word = x->word,
	    .tier = x->tier,
	    .reason = x->reason,
	    .detail = x->detail,
	    .end = x->end,
	    .fetch_end = x->fetch_end,
	    .client = client_ip_of(&x->client_address),
	    .request_id = x->request_id,
	    .user_agent = has_head ? head_value(&x->head, FIELD_USER_AGENT) : SLICE_NONE,
	    .referer = has_head ? head_value(&x->head, FIELD_REFERER) : SLICE_NONE,
	    .upstream = x->upstream_name,
	    .server = x->server_name,
	    .tries = x->tries,
	    .hedge = hedge_outcome_word(x->hedged),
	    .started_wall_ms = x->started_wall_ms,
	    .total_us = total_us,
	    .wait_us = x->queued_us,
	    .origin_us = x->origin_us,
	    .bytes_in = x->upload_bytes,
	    .bytes_out = x->bytes_out,
	};

	accesslog_write(x->worker->commons->access_log, x->worker->index, &out);
}

static void
exchange_record(struct exchange *x)
{
	int64_t total_us = loop_read_us(x->worker->loop) - x->started_us;

	observe_request(x->worker->observer,
	    &(struct tally){.route_slot = x->route == NULL ? 0 : x->route->slot,
		.method = x->head.method,
		.status = (int)x->status,
		.cache_word = x->word,
		.tier = x->tier,
		.end = x->end,
		.total_us = total_us,
		.origin_us = x->origin_us});
	if (x->worker->commons->access_log != NULL && x->site->access_log)
		write_to_log(x, total_us);
}

/* Everything the exchange holds of others is given back. */
static void
exchange_let_go(struct exchange *x)
{
	if (x->rider.flight != NULL)
		exchange_leave_flight(x);
	segments_let_go(x);
	purge_forget(&x->told);
	if (x->codec != NULL)
		codec_free(&x->codec);
	if (x->coded != NULL)
		body_unref(&x->coded);
	if (x->source != NULL && !x->borrows_source)
		body_unref(&x->source);
	object_unref(&x->object);
	object_unref(&x->origin_of);
	object_unref(&x->stale);
	task_cancel(&x->turn);
}

/* The one exit: logs, counts, gives back. */
static void
exchange_finish(struct exchange *x)
{
	struct client *c = x->client;
	bool whole = x->end == END_done || x->end == END_refused;

	x->is_over = true;
	if (!x->is_own)
		exchange_record(x);
	exchange_let_go(x);
	if (x->upstream != NULL)
		upstream_unref(&x->upstream);
	x->client = NULL;
	if (exchange_leave_limits(x))
		loop_later(x->worker->loop, &x->retire);
	if (c != NULL)
		c->ops->done(c, whole);
}

/* --- the walk --- */

static void
exchange_walk(struct exchange *x)
{
	enum exchange_next next;

	if (x->walking) {
		x->woken = true;
		return;
	}
	x->walking = true;
	do {
		x->woken = false;
		log_debug("request %.*s: %s", SLICE_FMT(x->request_id), steps[x->step].name);
		next = steps[x->step].run(x);
	} while (next == EXCHANGE_GO || (next == EXCHANGE_WAIT && x->woken));
	x->walking = false;
	if (next == EXCHANGE_OVER)
		exchange_finish(x);
}

void
exchange_wake(struct exchange *x)
{
	if (x->is_over)
		return;
	if (x->rider.flight != NULL && x->rider.is_leader && x->client != NULL &&
	    x->client->has_upload && !x->is_query)
		fill_upload_ready(x->rider.flight);
	if (!x->is_over)
		exchange_walk(x);
}

static void
on_exchange_turn(void *arg)
{
	struct exchange *x = arg;

	if (!x->is_over)
		exchange_walk(x);
}

static void
on_purges_told(struct purge_ticket *t)
{
	struct exchange *x = CONTAINER_OF(t, struct exchange, told);

	x->has_been_told = true;
	exchange_walk(x);
}

static void
on_rider_wake(struct flight_rider *r)
{
	exchange_walk(CONTAINER_OF(r, struct exchange, rider));
}

static void
prepare(struct exchange *x)
{
	x->rider.worker = x->worker->index;
	x->rider.wake = on_rider_wake;
	if (x->site->access_log)
		x->started_wall_ms = loop_wall_ms(x->worker->loop);
	request_identify_client(x);
}

void
exchange_begin(struct exchange *x)
{
	prepare(x);
	exchange_walk(x);
}

void
exchange_refuse(struct exchange *x, unsigned status, const char *why)
{
	x->client->has_upload = false;
	x->head.method = METHOD_OTHER;
	x->head.count = 0;
	memset(x->head.first, 0, sizeof(x->head.first));
	x->head.method_len = 0;
	x->head.target_len = 0;
	x->head.minor = 1;
	x->head.base = "";
	x->end = END_refused;
	prepare(x);
	exchange_own(x, status, why);
	exchange_walk(x);
}

/* Found out in the middle of sending the upload on: the walk hears of it when that is over. */
void
exchange_upload_bad(struct exchange *x)
{
	x->upload_is_bad = true;
	x->closes = true;
	loop_later(x->worker->loop, &x->turn);
}

void
exchange_client_gone(struct exchange *x)
{
	if (x->is_over)
		return;
	x->end = END_client_gone;
	if (x->status == 0)
		x->status = 499;
	if (x->walking) {
		x->step = STEP_finish;
		x->woken = true;
		return;
	}
	exchange_finish(x);
}

void
exchange_upload_slow(struct exchange *x)
{
	if (x->is_over)
		return;
	if (x->replied || x->step >= STEP_respond) {
		x->end = END_upload_broken;
		exchange_finish(x);
		return;
	}
	exchange_leave_flight(x);
	x->closes = true;
	exchange_own(x, 408, "the request's body did not come in time");
	exchange_walk(x);
}

void
exchange_client_slow(struct exchange *x)
{
	if (x->is_over)
		return;
	x->end = END_client_slow;
	exchange_finish(x);
}

void
exchange_answer(struct exchange *x, unsigned status, const char *content_type, struct slice body)
{
	if (x->is_over)
		return;
	x->answer = ANSWER_OWN;
	x->status = status;
	x->own_type = content_type;
	x->tier = TIER_self;
	buf_add_slice(&x->own_body, body);
	x->step = STEP_respond;
	exchange_walk(x);
}

#define HINTS_MAX_BYTES ((size_t)8 << 10) /* of one request; what is beyond is dropped, whole */

/* An interim response has no body, so what would frame one must not be in it (RFC 9110 section 15.2). */
static bool
is_hint(const struct field *f)
{
	return !f->is_hop && f->id != FIELD_CONTENT_LENGTH && f->id != FIELD_TRANSFER_ENCODING;
}

void
exchange_interim(struct exchange *x, const struct head *h)
{
	struct buf text = {0};

	if (x->client == NULL || x->replied || h->size > HINTS_MAX_BYTES - x->hinted_bytes)
		return;
	x->hinted_bytes += h->size;
	buf_printf(&text, "HTTP/1.1 %u %.*s\r\n", h->status, SLICE_FMT(head_reason(h)));
	for (unsigned i = 0; i < h->count; i++)
		if (is_hint(&h->fields[i])) {
			buf_add_slice(&text, field_name(h, &h->fields[i]));
			buf_add_lit(&text, ": ");
			buf_add_slice(&text, field_value(h, &h->fields[i]));
			buf_add_lit(&text, "\r\n");
		}
	buf_add_lit(&text, "\r\n");
	x->client->ops->interim(x->client, buf_slice(&text));
	buf_fini(&text);
}

/* For the log: who was asked. */
void
exchange_name_upstream(struct exchange *x)
{
	if (x->upstream != NULL || x->route == NULL || x->route->upstream == NULL)
		return;
	x->upstream = upstream_ref(x->route->upstream);
	x->upstream_name = slice_from(x->upstream->conf.name);
}

/* --- upgrades --- */

static void
on_tunnel_done(void *arg, uint64_t to_client, uint64_t to_origin)
{
	struct exchange *x = arg;

	x->bytes_out = to_client;
	x->upload_bytes = to_origin;
	x->end = END_tunnel;
	observe_connection(x->worker->observer, x->listener_slot, CONNECTION_tunnel, -1);
	exchange_finish(x);
}

/* The connection goes, and its buffer with it: what the log will tell is kept. */
static void
keep_head(struct exchange *x)
{
	const char *was = x->head.base;

	x->head.base = arena_copy(&x->mem, slice_of(was, x->head.size)).p;
	if (x->request_id.p >= was && x->request_id.p < was + x->head.size)
		x->request_id.p = x->head.base + (x->request_id.p - was);
}

/* The origin's 101 goes to the client as it came, hop-by-hop fields included: they are what was agreed. */
void
tunnel_start(struct exchange *x, const struct head *h, struct upconn *conn, struct slice rest)
{
	struct client *c = x->client;
	struct buf text = {0}, early = {0};
	struct stream *s;

	buf_printf(&text, "HTTP/1.1 101 %.*s\r\n", SLICE_FMT(head_reason(h)));
	for (unsigned i = 0; i < h->count; i++) {
		buf_add_slice(&text, field_name(h, &h->fields[i]));
		buf_add_lit(&text, ": ");
		buf_add_slice(&text, field_value(h, &h->fields[i]));
		buf_add_lit(&text, "\r\n");
	}
	buf_printf(&text, "X-Cache-Status: %s\r\nX-Request-Id: %.*s\r\n\r\n",
	    cache_word_name(x->word), SLICE_FMT(x->request_id));
	flight_leave(&x->rider);
	x->status = 101;
	x->step = STEP_finish;
	exchange_name_upstream(x);
	keep_head(x);
	s = c->ops->take_stream(c, &text, &early);
	if (s == NULL) {
		pool_discard(&conn);
		goto out;
	}
	observe_connection(x->worker->observer, x->listener_slot, CONNECTION_tunnel, 1);
	x->client = NULL;
	tunnel_join(x->worker, s, conn, buf_slice(&text), rest, buf_slice(&early),
	    x->site->tunnel_timeout_ms, on_tunnel_done, x);
out:
	buf_fini(&text);
	buf_fini(&early);
	if (s == NULL)
		exchange_client_gone(x);
}
