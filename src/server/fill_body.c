/* The body of a fill: how far ahead of its readers it may come, and how it gets into the store. */
#include "server/fill_priv.h"

#define WINDOW_BYTES (1024 * 1024) /* of a passing body: unread, before the origin is held back */
#define STALL_MS 5000		   /* a rider that holds back others for so long is given up */
#define COMPACT_WASTE 4 /* a body whose chunks waste more than a quarter is copied tight */

void
on_fill_room(void *owner)
{
	struct fill *f = owner;

	timer_disarm(&f->stall);
	if (f->body != NULL && f->windowed)
		body_trim(f->body, flight_read_by_all(f->flight));
	if (f->fetch != NULL)
		fetch_resume(f->fetch);
}

/* One of the riders holds back the others: those far behind are given up. Where all are, nobody waits for anybody. */
void
on_fill_stall(void *arg)
{
	struct fill *f = arg;
	uint64_t behind = body_length(f->body) - WINDOW_BYTES / 2;

	if (flight_read_by_any(f->flight) > behind)
		flight_expel(f->flight, behind);
	else
		timer_arm(fill_loop(f), &f->stall, loop_now_ms(fill_loop(f)) + STALL_MS);
}

/* The body turned out larger than what is kept, or than there is room: from now on it only passes. */
static void
give_up_storing(struct fill *f, enum store_verdict why)
{
	f->verdict = why;
	object_unref(&f->object);
	body_make_passing(f->body);
	f->windowed = true;
	flight_close(f->flight);
}

static void
keep_window(struct fill *f)
{
	uint64_t published = body_length(f->body), read = flight_read_by_all(f->flight);

	if (read == UINT64_MAX) { /* nobody wants it */
		fill_fail(f, FETCH_done);
		return;
	}
	body_trim(f->body, read);
	if (published - read < WINDOW_BYTES)
		return;
	fetch_pause(f->fetch);
	timer_arm(fill_loop(f), &f->stall, loop_now_ms(fill_loop(f)) + STALL_MS);
	flight_await_room(f->flight, published - WINDOW_BYTES / 2);
}

void
on_fill_body(void *arg)
{
	struct fill *f = arg;

	if (f->object != NULL && body_length(f->body) > f->route->cache.store.max_object_bytes)
		give_up_storing(f, STORE_TOO_LARGE);
	if (f->object != NULL && f->body->is_passing)
		give_up_storing(f, STORE_NO_MEMORY);
	flight_progress(f->flight);
	if (f->windowed && !f->done)
		keep_window(f);
}

/* A body of unknown length may sit in chunks that are too big for it: small ones are copied tight. */
static void
compact(struct fill *f)
{
	uint64_t n = body_length(f->body);
	char tight[16384];
	struct body_cursor at = {0};
	struct iovec iov;
	size_t got = 0;
	struct body *b;
	struct object *o;

	if (f->body->expected != BODY_LENGTH_UNKNOWN || n == 0 || n > sizeof(tight) ||
	    body_memory_bytes(f->body) - n < n / COMPACT_WASTE + 64)
		return;
	while (got < n && body_peek(f->body, &at, &iov, 1, n - got) == 1) {
		memcpy(tight + got, iov.iov_base, iov.iov_len);
		got += iov.iov_len;
		body_advance(&at, iov.iov_len);
	}
	b = body_of(store_slab(f->worker->commons->store), slice_of(tight, got));
	if (b == NULL)
		return;
	o = object_new(object_slab(f->object),
	    &(struct object_parts){.hash = f->object->hash,
		.key = object_key(f->object),
		.vary = object_vary(f->object),
		.tags = object_tags(f->object),
		.head = object_head(f->object),
		.facts = object_facts(f->object),
		.body = b});
	body_unref(&b);
	if (o == NULL)
		return;
	object_unref(&f->object);
	f->object = o;
}

void
fill_put(struct fill *f, struct object *o)
{
	bool is_segment = f->segment.outline != NULL && o != f->segment.outline;

	store_put(f->worker->commons->store, o);
	f->has_refreshed = true;
	/* What it was asked about may lie under another key: a rule for queries has come, or gone. */
	if (f->stale != NULL && !is_segment && !slice_eq(object_key(f->stale), object_key(o)))
		store_remove(f->worker->commons->store, f->stale);
	flights_share_again(f->worker->commons->flights, f->key.hash);
	observe_add(f->worker->observer, COUNT_stored, 1);
	if (f->worker->l2 != NULL && !cache_key_is_loose(object_key(o)))
		l2_put(f->worker->l2, o, &f->l2_stamp);
}

void
fill_store(struct fill *f)
{
	struct commons *c = f->worker->commons;

	if (body_length(f->body) > f->route->cache.store.max_object_bytes || f->body->is_passing)
		return;
	f->object->facts.fetch_ms = fill_ms_until(f, clock_mono_us());
	if (body_trailers(f->body).n == 0)
		compact(f);
	if (purgelog_judge(c->purges, f->object) == PURGE_GONE)
		return;
	fill_put(f, f->object);
}
