#include "server/fill.h"

#include <stdlib.h>

#include "base/clock.h"
#include "base/mem.h"
#include "cache/poison.h"
#include "http/storedhead.h"
#include "server/affinity.h"
#include "server/announcement.h"
#include "server/balancekey.h"
#include "server/fill_priv.h"
#include "server/request.h"
#include "server/segments.h"

#define REQUEST_KEPT_BYTES 4096 /* a larger one is not kept for the next fill */

static const struct fetch_handler fill_fetch_handler;

/* --- beginning and end --- */

static void
note_verdict(struct fill *f)
{
	struct commons *c = f->worker->commons;
	struct verdict_note note = {.source = f->source,
	    .verdict = f->verdict,
	    .status = f->status,
	    .at_s = (loop_wall_ms(fill_loop(f)) - c->started_wall_ms) / 1000};

	if (f->status != 0 && f->key.text.n > 0)
		verdicts_note(c->verdicts, f->key.hash, &note);
}

void
fill_scrap(void *p)
{
	struct fill *f = p;

	arena_fini(&f->mem);
	buf_fini(&f->request);
	free(f);
}

void
fill_free(struct fill *f)
{
	struct worker *w = f->worker;

	note_verdict(f);
	list_leave(&f->errand.link);
	fill_drop_fetch(f);
	if (f->l2 != NULL)
		l2_get_cancel(&f->l2);
	fetchlock_free(&f->lock);
	timer_disarm(&f->stall);
	timer_disarm(&f->l2_silence);
	task_cancel(&f->start);
	flight_set_owner(f->flight, NULL, NULL);
	flight_unref(&f->flight);
	object_unref(&f->object);
	if (f->stale != NULL && f->is_refresh) {
		if (!f->has_refreshed)
			object_note_failed_refresh(f->stale, loop_now_ms(fill_loop(f)));
		atomic_store_explicit(&f->stale->refreshing, false, memory_order_relaxed);
	}
	object_unref(&f->stale);
	object_unref(&f->described);
	object_unref(&f->segment.outline);
	if (f->body != NULL)
		body_unref(&f->body);
	buf_fini(&f->tags);
	buf_fini(&f->all_tags);
	purge_set_drop(&f->purges, w);
	purge_set_fini(&f->purges);
	site_unref(&f->site);
	if (f->request.cap > REQUEST_KEPT_BYTES)
		buf_fini(&f->request);
	arena_reset(&f->mem);
	if (!spare_keep(&w->spare_fills, f))
		fill_scrap(f);
	w->exchanges--;
	worker_note_quiet(w);
}

void
fill_fail(struct fill *f, enum fetch_end end)
{
	if (!f->done) {
		bool never_sent = end == FETCH_unresolved || end == FETCH_refused ||
		    end == FETCH_connect_slow || end == FETCH_no_connection ||
		    end == FETCH_tls_certificate || end == FETCH_no_upgrade;

		if (!never_sent)
			purge_set_carry_out(
			    &f->purges, f->worker, f->x == NULL ? NULL : &f->x->told);
		f->done = true;
		flight_fail(f->flight, end);
	}
	fill_free(f);
}

static void
on_fill_cut(struct errand *e)
{
	fill_fail(CONTAINER_OF(e, struct fill, errand), FETCH_closed_early);
}

static void
copy_request(struct fill *f, const struct exchange *x)
{
	char *bytes = arena_alloc(&f->mem, x->head.size);

	head_copy(&f->head, &x->head);
	memcpy(bytes, x->head.base, x->head.size);
	f->head.base = bytes;
	f->cc = x->cc;
	f->has_authorization = x->has_authorization;
	f->has_cookie = x->has_cookie;
	f->method = x->head.method;
	f->is_shared = x->is_shared;
	f->keeps_post = x->keeps_post;
	f->key = x->key;
	f->keyed = x->keyed;
	if (x->key.text.n > 0)
		f->keyed.exact.text.p = f->key.text.p = arena_copy(&f->mem, x->keyed.exact.text).p;
	if (x->key.text.p != x->keyed.exact.text.p)
		f->key.text = arena_copy(&f->mem, x->key.text);
	buf_add_slice(&f->tags, x->tags);
}

void
fill_rename(struct fill *f, const struct cache_key *key, struct slice tags)
{
	note_verdict(f);
	fetchlock_free(&f->lock); /* whoever waits for what it was about finds that stored */
	f->key = (struct cache_key){key->hash, arena_copy(&f->mem, key->text)};
	f->tags.n = 0;
	buf_add_slice(&f->tags, tags);
}

static void
on_fill_start(void *arg)
{
	fill_ask_origin(arg);
}

static struct fill *
fill_new(
    struct exchange *x, struct flight *flight, struct object *stale, const struct byte_range *part)
{
	struct fill *f = spare_take(&x->worker->spare_fills);
	struct slice wanted = affinity_of_request(x);

	if (f == NULL)
		f = must_calloc(1, sizeof(*f));
	mem_clear(f, offsetof(struct fill, mem));
	spoil(&f->head, sizeof(*f) - offsetof(struct fill, head));
	f->request.n = 0;
	f->stale_head.base = NULL;
	f->worker = x->worker;
	f->worker->exchanges++;
	f->errand.cut = on_fill_cut;
	list_push_back(&f->worker->errands, &f->errand.link);
	f->site = site_ref(x->site);
	f->route = x->route;
	f->flight = flight;
	flight_set_owner(flight, f, on_fill_room);
	timer_init(&f->stall, on_fill_stall, f);
	timer_init(&f->l2_silence, on_l2_silence, f);
	task_init(&f->start, on_fill_start, f);
	copy_request(f, x);
	f->balance_key = balance_key_of(x);
	if (wanted.n > 0)
		f->affinity = arena_copy(&f->mem, wanted);
	exchange_announce(x, &f->announce);
	f->log_pos = flight_log_pos(flight);
	purge_set_expand(&f->purges, x);
	if (stale != NULL && f->method == METHOD_HEAD)
		f->described = object_ref(stale);
	else if (stale != NULL && x->is_shared) {
		struct slice head = object_head(stale);

		f->stale = object_ref(stale);
		if (!head_of_stored(&f->stale_head, head) ||
		    (stale->facts.etag_len == 0 && stale->facts.modified_s == DATE_NONE))
			object_unref(&f->stale);
	}
	if (part != NULL) {
		f->segment.is_asked = true;
		f->segment.range = *part;
	}
	request_render(x, f->stale == NULL ? NULL : &f->stale_head, part, &f->request);
	return f;
}

void
fill_start(struct exchange *x, struct flight *flight)
{
	struct byte_range part;
	struct fill *f =
	    fill_new(x, flight_ref(flight), x->stale, segments_first_part(x, &part) ? &part : NULL);

	f->x = x;
	if (f->is_shared && f->stale == NULL && f->worker->l2 != NULL && x->restarts == 0 &&
	    !cache_key_is_loose(f->key.text))
		fill_ask_l2(f);
	else
		fill_ask_origin(f);
}

void
fill_start_refresh(struct exchange *x, struct flight *flight, struct object *o)
{
	struct byte_range part;
	struct fill *f = fill_new(x, flight, o, segments_first_part(x, &part) ? &part : NULL);

	f->is_refresh = true;
	if (f->stale ==
	    NULL) /* without validators it is fetched anew; the flag is still ours to clear */
		f->stale = object_ref(o);
	observe_add(f->worker->observer, COUNT_refreshes, 1);
	fill_ask_origin(f);
}

void
fill_start_segment(struct exchange *x, struct flight *flight, const struct cache_key *key,
    const struct byte_range *part, const struct segment_version *version)
{
	struct fill *f = fill_new(x, flight, NULL, part);

	fill_rename(f, key, object_tags(x->object));
	f->segment.outline = object_ref(x->object);
	f->segment.version = *version;
	observe_add(f->worker->observer, COUNT_segments, 1);
	if (f->worker->l2 != NULL && !cache_key_is_loose(key->text))
		fill_ask_l2(f);
	else
		fill_ask_origin(f);
}

/* --- the origin --- */

/* Else it may take its time: a refresh behind, warming. */
static bool
somebody_waits(const struct fill *f)
{
	return !f->is_refresh && (f->x == NULL || !f->x->is_own);
}

void
fill_drop_fetch(struct fill *f)
{
	struct fetch *spent = f->fetch;

	f->fetch = NULL;
	hedge_end(&f->hedge);
	fetch_abort(&spent);
}

void
fill_ask_origin(struct fill *f)
{
	struct fetch_plan plan = {
	    .upstream = f->route->upstream,
	    .head = buf_slice(&f->request),
	    .method = f->method,
	    .is_idempotent = method_is_idempotent(f->method),
	    .wants_upgrade = f->x != NULL && f->x->is_upgrade,
	    .upload =
		f->x != NULL && f->x->client != NULL && f->x->client->has_upload && !f->x->is_query
		? &f->x->upload
		: NULL,
	    .head_limit = f->site->head_size,
	    .key = f->balance_key,
	    .affinity = f->affinity,
	    .announce = f->announce,
	};

	if (f->worker->l2 != NULL)
		f->l2_stamp = l2_stamp(f->worker->l2);
	f->sent_us = loop_last_us(fill_loop(f));
	if (f->hedge.at != NULL) /* of what was asked before */
		f->hedge = (struct hedge){0};
	if (somebody_waits(f) && hedge_may(&plan))
		hedge_start(&f->hedge, f->worker->pool, f->worker->resolver, &plan,
		    &fill_fetch_handler, f, &f->fetch);
	else
		f->fetch = fetch_start(
		    f->worker->pool, f->worker->resolver, &plan, &fill_fetch_handler, f);
}

void
fill_upload_ready(struct flight *flight)
{
	struct fill *f = flight_owner(flight);

	if (f != NULL && f->fetch != NULL)
		fetch_upload_ready(f->fetch);
}

static void
on_fill_interim(void *arg, const struct head *h)
{
	struct fill *f = arg;

	if (f->x != NULL)
		exchange_interim(f->x, h);
}

/* For the log. A fill may ask more than once, each time with a fetch. */
void
fill_note_server(struct fill *f)
{
	const struct server *s = fetch_server(f->fetch);

	if (f->x == NULL)
		return;
	f->x->tries += fetch_tries(f->fetch) + f->hedge.dropped_tries;
	f->x->hedged = f->hedge.outcome;
	if (s != NULL)
		f->x->server_name = arena_copy(&f->x->mem, slice_from(s->name));
}

static void
on_fill_failing(void *arg)
{
	fill_note_server(arg);
}

static void
on_fill_done(void *arg, enum fetch_end end)
{
	struct fill *f = arg;

	f->fetch = NULL;
	if (f->body == NULL) {
		fill_fail(f, end);
		return;
	}
	observe_add(f->worker->observer, COUNT_bytes_origin, (int64_t)body_length(f->body));
	if (end != FETCH_done) {
		if (f->x != NULL)
			f->x->fetch_end = fetch_ends[end].name;
		purge_set_carry_out(&f->purges, f->worker, NULL);
	} else if (f->object != NULL && !f->done)
		fill_store(f);
	f->done = true;
	flight_progress(f->flight);
	flight_close(f->flight);
	fill_free(f);
}

static void
on_fill_upgrade(void *arg, const struct head *h, struct upconn *conn, struct slice rest)
{
	struct fill *f = arg;
	struct exchange *x = f->x;

	fill_note_server(f);
	f->fetch = NULL;
	f->done = true;
	f->x = NULL;
	if (x == NULL)
		pool_discard(&conn);
	else
		tunnel_start(x, h, conn, rest);
	fill_free(f);
}

static const struct fetch_handler fill_fetch_handler = {
    .on_interim = on_fill_interim,
    .on_head = on_fill_head,
    .on_body = on_fill_body,
    .on_upgrade = on_fill_upgrade,
    .on_failing = on_fill_failing,
    .on_done = on_fill_done,
};

/* Its callers cancel, and its servers count on hearing of it. */
static bool
is_grpc(const struct fill *f)
{
	return slice_starts(
	    head_value(&f->head, FIELD_CONTENT_TYPE), SLICE_LIT("application/grpc"));
}

/* Worth going on with: it will be stored, or others ride. A body on its way up goes with its client. */
void
fill_leader_left(struct flight *flight, struct exchange *x)
{
	struct fill *f = flight_owner(flight);

	if (f == NULL || f->x != x)
		return;
	f->x = NULL;
	if (f->done)
		return;
	if (f->fetch != NULL && !fetch_upload_is_done(f->fetch)) {
		if (f->body != NULL)
			body_end(f->body, BODY_BROKEN);
		fill_drop_fetch(f);
		purge_set_carry_out(&f->purges, f->worker, NULL);
		f->done = true;
		flight_fail(flight, FETCH_send_failed);
		fill_free(f);
		return;
	}
	if (f->body == NULL ? f->is_shared : f->object != NULL)
		return;
	if (flight_riders(flight) > 1) /* x is still among them */
		return;
	/* The write may have been done, though nobody hears of it. */
	if (!method_is_safe(f->method) && f->body == NULL && !is_grpc(f))
		return;
	fill_fail(f, FETCH_done);
}
