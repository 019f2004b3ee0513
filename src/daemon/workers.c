#include "daemon/workers.h"

#include <errno.h>
#include <pthread.h>
#include <semaphore.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/clock.h"
#include "base/log.h"
#include "base/mem.h"
#include "base/thread.h"
#include "cache/clerk.h"
#include "cache/census.h"
#include "cache/l2crew.h"
#include "policy/recompress.h"
#include "cache/redis.h"
#include "event/helpers.h"
#include "event/tlsoffer.h"
#include "server/accesslog.h"
#include "server/challenge.h"
#include "server/warm.h"

#define CREW_MOST_BYTES \
	((size_t)64 << 20) /* of long values for Redis under way, and as much out of it */
#define CREW_PART 4	   /* of the cache's memory, where that is less */
#define SETTLE_ROUNDS 4 /* a letter answered by a letter answered by a letter, and one to spare */

struct member {
	struct workers *all;
	struct worker *worker;
	pthread_t thread;
	bool running;
	struct letter letter; /* what the main thread tells it next */
	struct letter last;   /* and at the very end */
};

/* What is told: the same for all, constant while it is on its way. */
struct order {
	struct site *site, *admin; /* NULL: those that are in use */
	struct sockets *sockets;
	const struct redis_uses *redis;
	bool stop;
	int64_t deadline_ms;
};

struct workers {
	unsigned count;
	struct member *members;
	struct commons commons;
	struct order order;
	sem_t done; /* one post for each worker that has carried the order out */
	_Atomic bool failed;
};

struct commons *
workers_commons(struct workers *ws)
{
	return &ws->commons;
}

static int
commons_init(struct workers *ws, size_t cache_bytes, size_t rate_table_bytes)
{
	struct commons *c = &ws->commons;
	struct flight_world world;

	c->workers_count = ws->count;
	c->workers = must_calloc(ws->count, sizeof(struct worker *));
	c->loops = must_calloc(ws->count, sizeof(*c->loops));
	c->mailboxes = must_calloc(ws->count, sizeof(*c->mailboxes));
	c->started_wall_ms = clock_wall_ms();
	c->store = store_new(cache_bytes);
	if (c->store == NULL)
		return -1;
	c->purges = purgelog_new();
	c->searches = searchrules_new();
	c->census = census_new(c->store, c->purges);
	c->recompress = recompress_new(c->store, c->purges);
	shared_hub_init(&c->shared);
	c->verdicts = verdicts_new();
	c->l2_crew = l2_crew_new(
	    cache_bytes / CREW_PART < CREW_MOST_BYTES ? cache_bytes / CREW_PART : CREW_MOST_BYTES);
	c->readers = helpers_new(CHALLENGES_AT_ONCE * (size_t)2 * CHALLENGE_MAX_BYTES);
	c->clerk = clerk_new(c->purges);
	if (c->clerk == NULL)
		return -1;
	c->limits = limit_table_new(rate_table_bytes, worker_on_limit_wake, c);
	c->observations = observations_new(ws->count);
	world = (struct flight_world){
	    .workers = ws->count, .loops = c->loops, .mailboxes = c->mailboxes};
	c->flights = flights_new(&world);
	return c->purges == NULL || c->limits == NULL || c->observations == NULL ? -1 : 0;
}

struct workers *
workers_new(unsigned count, size_t cache_bytes, size_t rate_table_bytes, struct buf *why)
{
	struct workers *ws = must_calloc(1, sizeof(*ws));

	ws->count = count;
	ws->members = must_calloc(count, sizeof(*ws->members));
	sem_init(&ws->done, 0, 0);
	if (commons_init(ws, cache_bytes, rate_table_bytes) != 0) {
		buf_printf(
		    why, "no memory for the cache (%zu bytes): %s", cache_bytes, strerror(errno));
		workers_free(&ws);
		return NULL;
	}
	for (unsigned i = 0; i < count; i++) {
		struct worker *w = worker_new(&ws->commons, i);

		if (w == NULL) {
			buf_printf(why, "worker %u cannot be made: %s", i, strerror(errno));
			workers_free(&ws);
			return NULL;
		}
		ws->members[i] = (struct member){.all = ws, .worker = w};
		ws->commons.workers[i] = w;
		ws->commons.loops[i] = w->loop;
		ws->commons.mailboxes[i] = w->mailbox;
	}
	ws->commons.warmer = warmer_new(ws->commons.workers[0]);
	return ws;
}

/* --- orders, on the worker's thread --- */

static bool
has_door(const struct worker *w, const struct socket_set *set)
{
	for (unsigned i = 0; i < w->doors_count; i++)
		if (w->doors[i]->name == set->name)
			return true;
	return false;
}

/* The admin listener's one socket is served by the first worker. */
static int
open_doors(struct worker *w, struct sockets *sockets)
{
	for (unsigned i = 0; i < sockets_count(sockets); i++) {
		struct socket_set *set = sockets_at(sockets, i);
		struct tls_context *tls = set->tls == NULL ? NULL : tls_offer_context(set->tls);

		if (!set->wanted) {
			worker_close_door(w, set->name);
			continue;
		}
		if (set->is_admin && w->index != 0)
			continue;
		if (has_door(w, set))
			worker_update_door(w, set->name, set->has_h2, tls);
		else if (worker_open_door(w, socket_for(set, w->index), set->name, &set->address,
			     set->is_admin, set->has_h2, tls) != 0)
			return -1;
	}
	return 0;
}

static void
use_l2(struct worker *w, const struct l2_conf *conf)
{
	struct l2_conf own;
	const char *why;

	if (conf == NULL)
		return;
	l2_free(&w->l2);
	if (conf->url == NULL)
		return;
	own = *conf;
	own.log = clerk_log(w->commons->clerk);
	own.slab = store_slab(w->commons->store);
	own.crew = w->commons->l2_crew;
	own.reply_to = w->mailbox;
	own.logs = w->index == 0;
	w->l2 = l2_new(w->loop, w->resolver, &own, &why);
	if (w->l2 == NULL)
		log_error("cache.redis.url: %s", why);
}

static void
use_shared(struct worker *w, const struct shared_conf *conf)
{
	const char *why;

	if (conf != NULL &&
	    shared_link_use(w->shared_link, conf->url == NULL ? NULL : conf, &why) != 0)
		log_error("cache.redis.url: %s", why);
}

static void
on_order(struct letter *l)
{
	struct member *m = CONTAINER_OF(l, struct member, letter);
	const struct order *o = &m->all->order;

	if (o->stop) {
		m->worker->stays = m->worker->index == 0 && m->all->count > 1;
		worker_drain(m->worker, o->deadline_ms);
		sem_post(&m->all->done);
		return;
	}
	if (o->site != NULL) {
		worker_use_site(m->worker, o->site, o->admin);
		use_l2(m->worker, o->redis->l2);
		use_shared(m->worker, o->redis->shared);
	}
	if (open_doors(m->worker, o->sockets) != 0)
		atomic_store(&m->all->failed, true);
	sem_post(&m->all->done);
}

static void *
thread_main(void *arg)
{
	struct member *m = arg;

	loop_run(m->worker->loop);
	pattern_thread_end();
	return NULL;
}

static int
start_thread(struct member *m)
{
	char name[16];

	snprintf(name, sizeof(name), "worker-%u", m->worker->index);
	if (thread_start(&m->thread, name, THREAD_PROMPT, thread_main, m) != 0)
		return -1;
	m->running = true;
	return 0;
}

/* One worker has carried the order out. */
static void
wait_done(struct workers *ws)
{
	while (sem_wait(&ws->done) != 0)
		;
}

int
workers_use(struct workers *ws, struct site *site, struct site *admin, struct sockets *sockets,
    const struct redis_uses *redis, struct buf *why)
{
	ws->order =
	    (struct order){.site = site, .admin = admin, .sockets = sockets, .redis = redis};
	atomic_store(&ws->failed, false);
	for (unsigned i = 0; i < ws->count; i++) {
		struct member *m = &ws->members[i];

		m->letter.deliver = on_order;
		mailbox_post(m->worker->mailbox, &m->letter);
		if (!m->running && start_thread(m) != 0) {
			buf_printf(why, "worker %u cannot be started: %s", i, strerror(errno));
			return -1;
		}
	}
	for (unsigned i = 0; i < ws->count; i++)
		wait_done(ws);
	if (!atomic_load(&ws->failed))
		return 0;
	buf_printf(why, "a worker could not listen: no descriptors or memory");
	return -1;
}

void
workers_use_doors(struct workers *ws, struct sockets *sockets)
{
	ws->order = (struct order){.sockets = sockets};
	for (unsigned i = 0; i < ws->count; i++) {
		ws->members[i].letter.deliver = on_order;
		mailbox_post(ws->members[i].worker->mailbox, &ws->members[i].letter);
	}
	for (unsigned i = 0; i < ws->count; i++)
		wait_done(ws);
}

static void
on_last(struct letter *l)
{
	struct worker *w = CONTAINER_OF(l, struct member, last)->worker;

	w->stays = false;
	worker_note_quiet(w);
}

static void
join(struct member *m)
{
	if (m->running)
		pthread_join(m->thread, NULL);
	m->running = false;
}

void
workers_drain(struct workers *ws, int64_t drain_ms)
{
	atomic_store(&ws->commons.draining, true);
	ws->order = (struct order){.stop = true, .deadline_ms = clock_mono_ms() + drain_ms};
	for (unsigned i = 0; i < ws->count; i++)
		if (ws->members[i].running)
			mailbox_post(ws->members[i].worker->mailbox, &ws->members[i].letter);
	for (unsigned i = 0; i < ws->count; i++)
		if (ws->members[i].running)
			wait_done(ws);
}

void
workers_join(struct workers *ws)
{
	/* The first has the admin's door: it goes last. */
	for (unsigned i = 1; i < ws->count; i++)
		join(&ws->members[i]);
	ws->members[0].last.deliver = on_last;
	if (ws->members[0].running)
		mailbox_post(ws->members[0].worker->mailbox, &ws->members[0].last);
	join(&ws->members[0]);
	recompress_stop(ws->commons.recompress);
	l2_crew_stop(ws->commons.l2_crew); /* what lies in the cache's memory changes no more */
}

/* The threads have ended; letters on their way between workers are delivered before any worker goes. */
void
workers_free(struct workers **wp)
{
	struct workers *ws = *wp;

	if (ws == NULL)
		return;
	warmer_free(&ws->commons.warmer);
	if (ws->commons.clerk != NULL)
		clerk_stop(ws->commons.clerk); /* who still waits is answered by letter */
	if (ws->commons.census != NULL)
		census_stop(ws->commons.census);
	if (ws->commons.l2_crew != NULL)
		l2_crew_stop(ws->commons.l2_crew);
	if (ws->commons.readers != NULL)
		helpers_stop(ws->commons.readers);
	for (unsigned round = 0; round < SETTLE_ROUNDS; round++)
		for (unsigned i = 0; i < ws->count; i++)
			if (ws->members[i].worker != NULL)
				worker_settle(ws->members[i].worker);
	for (unsigned i = 0; i < ws->count; i++)
		worker_free(&ws->members[i].worker);
	recompress_free(&ws->commons.recompress);
	l2_crew_free(&ws->commons.l2_crew);
	helpers_free(&ws->commons.readers);
	flights_free(&ws->commons.flights);
	census_free(&ws->commons.census);
	store_free(&ws->commons.store);
	clerk_free(&ws->commons.clerk);
	purgelog_free(&ws->commons.purges);
	verdicts_free(&ws->commons.verdicts);
	searchrules_free(&ws->commons.searches);
	limit_table_unref(&ws->commons.limits);
	observations_free(&ws->commons.observations);
	free(ws->commons.workers);
	free(ws->commons.loops);
	free(ws->commons.mailboxes);
	free(ws->members);
	sem_destroy(&ws->done);
	free(ws);
	*wp = NULL;
}
