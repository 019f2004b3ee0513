/* A fill's question to Redis, and what its answer is good for. */
#include "server/fill_priv.h"

#define L2_SILENCE_MS 5 /* then the origin is asked, too */

/* A segment is all there; an outline is of use only where the route keeps segments. */
static bool
is_fit_part(const struct fill *f, const struct object *o)
{
	const struct byte_range *r = &f->segment.range;

	if (f->segment.outline == NULL)
		return f->route->cache.slice_bytes > 0;
	return f->segment.is_asked && body_length(o->body) == r->to - r->from + 1;
}

/* Whether what was found there answers the request as it is: by the same rules as what is found in memory. */
static bool
may_answer(const struct fill *f, struct object *o)
{
	const struct route_cache *rc = &f->route->cache;
	struct reuse_stored s = {.age_ms = object_age_ms(o, loop_now_ms(fill_loop(f))),
	    .life_ms = object_life_ms(o),
	    .no_cache = o->facts.no_cache,
	    .by_route = o->facts.life_by_route,
	    .immutable = o->facts.immutable};
	struct reuse_request r = {.cc = &f->cc,
	    .has_cookie = f->has_cookie,
	    .has_authorization = f->has_authorization,
	    .cookies_covered = rc->store.cookies_covered,
	    .authorization_covered = rc->store.authorization_covered,
	    .may_revalidate = rc->obey_request};

	if (o->facts.status == 206 && !is_fit_part(f, o))
		return false;
	return purgelog_judge(f->worker->commons->purges, o) == PURGE_VALID &&
	    reuse_judge(&s, &r) == REUSE_IS_FRESH;
}

/* Whether one instance is to fetch for all: of those who gather here anyway, and once. */
static bool
waits_for_turn(const struct fill *f)
{
	return f->route->cache.fetch_lock_ms > 0 && !flight_is_private(f->flight);
}

/* Another instance has found out that it is not for everybody: nor do those wait who have gathered here. */
static void
send_off(struct fill *f)
{
	flights_remember_unshared(
	    f->worker->commons->flights, f->key.hash, loop_now_ms(fill_loop(f)) + FILL_UNSHARED_MS);
	f->done = true;
	flight_fail(f->flight, FETCH_done);
	fill_free(f);
}

static void
on_fill_lock(void *arg, enum fetchlock_end end)
{
	static const enum observer_counter counts[] = {[FETCHLOCK_MINE] = COUNT_locks_mine,
	    [FETCHLOCK_OVER] = COUNT_locks_over,
	    [FETCHLOCK_UNSHARED] = COUNT_locks_unshared,
	    [FETCHLOCK_NONE] = COUNT_locks_none};
	struct fill *f = arg;

	observe_add(f->worker->observer, counts[end], 1);
	if (end != FETCHLOCK_MINE)
		fetchlock_free(&f->lock);
	/* Ours: somebody may have fetched it since we looked. Another's, and over: it may be there. */
	if (end == FETCHLOCK_UNSHARED)
		send_off(f);
	else if (end != FETCHLOCK_NONE && f->worker->l2 != NULL)
		fill_ask_l2(f);
	else
		fill_ask_origin(f);
}

static void
fill_ask_lock(struct fill *f)
{
	f->has_asked_lock = true;
	if (f->worker->l2 != NULL)
		f->lock = fetchlock_ask(f->worker->l2, fill_loop(f), &f->key,
		    f->route->cache.fetch_lock_ms, on_fill_lock, f);
	if (f->lock == NULL)
		fill_ask_origin(f);
}

/* To be found there is to be used, and memory keeps it so long from now on, whatever its age. */
static void
receive(struct fill *f, struct object *o)
{
	int64_t now_ms = loop_now_ms(fill_loop(f));
	int64_t until_ms = object_age_ms(o, now_ms) + f->route->cache.l2_fill_ms;

	if (object_slide(o, now_ms))
		l2_touch(f->worker->l2, o);
	if (f->route->cache.l2_fill_ms > 0 && o->facts.life_ms > until_ms)
		o->facts.life_ms = until_ms; /* not shared yet */
}

static void
on_l2_answer(void *arg, struct object *o)
{
	struct fill *f = arg;
	bool silent_still = f->fetch == NULL;

	f->l2 = NULL;
	timer_disarm(&f->l2_silence);
	if (o != NULL)
		receive(f, o);
	if (o != NULL && may_answer(f, o)) {
		fill_drop_fetch(f);
		f->done = true;
		flight_from_redis(f->flight);
		f->status = o->facts.status;
		f->source = SOURCE_redis;
		store_put(f->worker->commons->store, o);
		flight_publish(f->flight, o);
		flight_close(f->flight);
		fill_free(f);
		return;
	}
	if (silent_still && waits_for_turn(f) && !f->has_asked_lock)
		fill_ask_lock(f);
	else if (silent_still)
		fill_ask_origin(f);
}

/* It is Redis that was silent: what it has sent is there sooner than anything the origin sends. */
void
on_l2_silence(void *arg)
{
	struct fill *f = arg;

	if (!l2_get_has_found(f->l2))
		fill_ask_origin(f);
}

void
fill_ask_l2(struct fill *f)
{
	f->l2 = l2_get(f->worker->l2, &f->key, &f->head, on_l2_answer, f);
	if (f->l2 == NULL) {
		fill_ask_origin(f);
		return;
	}
	if (waits_for_turn(f))
		return; /* whether it is there must be known: it answers in its time, or it is given up */
	timer_arm(fill_loop(f), &f->l2_silence, loop_now_ms(fill_loop(f)) + L2_SILENCE_MS);
}
