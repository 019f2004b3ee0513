#include "server/worker.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/hash.h"
#include "base/log.h"
#include "base/mem.h"
#include "cache/redis.h"
#include "event/resolver.h"
#include "event/tls.h"
#include "http/h2blocks.h"
#include "policy/sharedlimit.h"
#include "server/announcement.h"
#include "server/exchange.h"
#include "server/connection.h"
#include "server/fill.h"
#include "server/h1conn.h"
#include "server/h2conn.h"
#include "upstream/check.h"
#include "upstream/namewatch.h"

#define CODEC_KEEP_BYTES ((size_t)8 << 20)
#define CODEC_LIVE_BYTES ((size_t)64 << 20)

/* --- the limits' queues --- */

static void
on_limit_poll(void *arg)
{
	struct worker *w = arg;
	int64_t next_ms = limit_table_poll(w->commons->limits, loop_now_ms(w->loop));

	if (next_ms != INT64_MAX)
		timer_arm(w->loop, &w->limit_poll, next_ms);
}

void
worker_poll_limits_at(struct worker *w, int64_t look_again_ms)
{
	if (!timer_is_armed(&w->limit_poll) || w->limit_poll.due_ms > look_again_ms)
		timer_arm(w->loop, &w->limit_poll, look_again_ms);
}

/* --- beginning and end --- */

static void on_drain_deadline(void *arg);

struct worker *
worker_new(struct commons *c, unsigned index)
{
	uint64_t random;
	struct worker *w = must_calloc(1, sizeof(*w));

	w->index = index;
	w->commons = c;
	w->loop = loop_new();
	if (w->loop == NULL)
		goto fail;
	w->mailbox = mailbox_new(w->loop);
	if (w->mailbox == NULL)
		goto fail_loop;
	w->resolver = resolver_new(w->loop, NULL);
	if (w->resolver == NULL)
		goto fail_mailbox;
	w->pool = pool_new(w->loop, index, c->mailboxes);
	w->checks = index == 0 ? checks_new(w->pool) : NULL;
	w->names = index == 0 ? namewatch_new(w->pool, w->resolver) : NULL;
	w->shared_link = shared_link_new(w->loop, w->resolver, &c->shared, index == 0);
	w->shared = shared_limits_new(w->shared_link);
	w->codecs = codec_pool_new(CODEC_KEEP_BYTES, CODEC_LIVE_BYTES);
	w->observer = observations_worker(c->observations, index);
	w->h2_blocks = h2_blocks_new();
	list_init(&w->conns);
	list_init(&w->errands);
	timer_init(&w->limit_poll, on_limit_poll, w);
	timer_init(&w->drain, on_drain_deadline, w);
	random_bytes(&random, sizeof(random));
	snprintf(
	    w->request_prefix, sizeof(w->request_prefix), "%016llx", (unsigned long long)random);
	return w;
fail_mailbox:
	mailbox_free(&w->mailbox);
fail_loop:
	loop_free(&w->loop);
fail:
	free(w);
	return NULL;
}

static void
close_idle_upstreams(struct worker *w, const struct site *site)
{
	for (unsigned i = 0; site != NULL && i < site->upstreams_count; i++)
		pool_close_idle(w->pool, site->upstreams[i]);
}

static void
door_close(struct door *d)
{
	listener_free(&d->listener);
	tls_context_unref(&d->tls);
	free(d);
}

void
worker_free(struct worker **wp)
{
	struct worker *w = *wp;

	if (w == NULL)
		return;
	for (unsigned i = 0; i < w->doors_count; i++)
		door_close(w->doors[i]);
	free(w->doors);
	checks_free(&w->checks);
	namewatch_free(&w->names);
	close_idle_upstreams(w, w->site);
	timer_disarm(&w->limit_poll);
	timer_disarm(&w->drain);
	l2_free(&w->l2);
	shared_limits_free(&w->shared);
	shared_link_free(&w->shared_link);
	resolver_free(&w->resolver);
	mailbox_free(&w->mailbox);
	site_unref(&w->site);
	site_unref(&w->admin_site);
	pool_free(&w->pool);
	codec_pool_free(&w->codecs);
	spare_empty(&w->spare_conns, h1conn_scrap);
	spare_empty(&w->spare_inputs, free);
	spare_empty(&w->spare_exchanges, exchange_scrap);
	spare_empty(&w->spare_streams, h2stream_scrap);
	spare_empty(&w->spare_fills, fill_scrap);
	h2_blocks_free(&w->h2_blocks);
	buf_fini(&w->spare_out);
	buf_fini(&w->scratch);
	loop_free(&w->loop);
	free(w);
	*wp = NULL;
}

static bool
site_has_upstream(const struct site *site, const struct upstream *u)
{
	for (unsigned i = 0; i < site->upstreams_count; i++)
		if (site->upstreams[i] == u)
			return true;
	return false;
}

/* Idle connections to what the new generation no longer names are closed; requests under way keep theirs. */
void
worker_use_site(struct worker *w, struct site *site, struct site *admin_site)
{
	for (unsigned i = 0; w->site != NULL && i < w->site->upstreams_count; i++)
		if (!site_has_upstream(site, w->site->upstreams[i]))
			pool_close_idle(w->pool, w->site->upstreams[i]);
	if (w->checks != NULL)
		checks_use(w->checks, site->upstreams, site->upstreams_count);
	if (w->names != NULL)
		namewatch_use(w->names, site->upstreams, site->upstreams_count);
	site_ref(site);
	site_ref(admin_site);
	if (w->site != NULL)
		site_unref(&w->site);
	if (w->admin_site != NULL)
		site_unref(&w->admin_site);
	w->site = site;
	w->admin_site = admin_site;
}

/* --- doors --- */

static void
on_door_accepted(void *arg, int fd, const struct address *peer)
{
	struct door *d = arg;

	if (door_wants_announcement(d, peer))
		announcement_begin(d, fd, peer);
	else
		h1conn_accept(d, fd, peer);
}

int
worker_open_door(struct worker *w, int fd, const char *name, const struct address *local,
    bool is_admin, bool has_h2, struct tls_context *tls)
{
	struct door *d = must_calloc(1, sizeof(*d));

	*d = (struct door){.worker = w,
	    .name = name,
	    .local = *local,
	    .is_admin = is_admin,
	    .has_h2 = has_h2,
	    .tls = tls == NULL ? NULL : tls_context_ref(tls)};
	d->slot = observations_listener_slot(w->commons->observations, name);
	d->listener = listener_new(w->loop, fd, on_door_accepted, d);
	if (d->listener == NULL) {
		tls_context_unref(&d->tls);
		free(d);
		return -1;
	}
	w->doors = must_realloc(w->doors, (w->doors_count + 1) * sizeof(*w->doors));
	w->doors[w->doors_count++] = d;
	return 0;
}

static struct door **
find_door(struct worker *w, const char *name)
{
	for (unsigned i = 0; i < w->doors_count; i++)
		if (w->doors[i]->name == name)
			return &w->doors[i];
	return NULL;
}

/* Who waits before it still comes in. */
static void
door_shut(struct door *d)
{
	if (d->listener != NULL)
		listener_accept_rest(d->listener);
	listener_free(&d->listener);
}

/* Connections that came by the door point at it: it stays, shut, as long as they do. */
void
worker_close_door(struct worker *w, const char *name)
{
	struct door **d = find_door(w, name);

	if (d == NULL)
		return;
	door_shut(*d);
	(*d)->name = "closed";
}

void
worker_update_door(struct worker *w, const char *name, bool has_h2, struct tls_context *tls)
{
	struct door **d = find_door(w, name);

	if (d == NULL)
		return;
	(*d)->has_h2 = has_h2;
	tls_context_unref(&(*d)->tls);
	(*d)->tls = tls == NULL ? NULL : tls_context_ref(tls);
}

/* --- stopping --- */

/* Runs on each end of something: a draining worker stops its loop when nothing is left. */
void
worker_note_quiet(struct worker *w)
{
	if (w->draining && !w->stays && w->conns_count == 0 && w->exchanges == 0 &&
	    shared_limits_is_quiet(w->shared))
		loop_stop(w->loop);
}

static void
on_drain_deadline(void *arg)
{
	struct worker *w = arg;
	struct connection *c;
	struct errand *e;

	if (w->conns_count > 0 || w->exchanges > 0)
		log_warn("worker %u: what did not end in time is cut off, with %u connections",
		    w->index, w->conns_count);
	while ((c = list_first(&w->conns, struct connection, link)) != NULL)
		c->cut(c);
	while ((e = list_first(&w->errands, struct errand, link)) != NULL) {
		list_leave(&e->link);
		e->cut(e);
	}
	loop_stop(w->loop);
}

static void
on_limits_quiet(void *arg)
{
	worker_note_quiet(arg);
}

void
worker_drain(struct worker *w, int64_t deadline_ms)
{
	w->draining = true;
	LIST_EACH_SAFE (c, &w->conns, struct connection, link)
		c->retire(c);
	for (unsigned i = 0; i < w->doors_count; i++)
		if (!w->doors[i]->is_admin)
			door_shut(w->doors[i]);
	timer_arm(w->loop, &w->drain, deadline_ms);
	shared_limits_leave(w->shared, on_limits_quiet, w);
	worker_note_quiet(w);
}

void
worker_settle(struct worker *w)
{
	mailbox_settle(w->mailbox);
	loop_settle(w->loop);
}
