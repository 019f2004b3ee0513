/* A fill's question to Redis, and what its answer is good for. */
#include "server/fill_priv.h"

#define L2_SILENCE_MS 5 /* then the origin is asked, too */

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

	return purgelog_judge(f->worker->commons->purges, o) == PURGE_VALID &&
	    reuse_judge(&s, &r) == REUSE_IS_FRESH;
}

static void
on_l2_answer(void *arg, struct object *o)
{
	struct fill *f = arg;
	bool silent_still = f->fetch == NULL;

	f->l2 = NULL;
	timer_disarm(&f->l2_silence);
	if (o != NULL && object_slide(o, loop_now_ms(fill_loop(f))))
		l2_touch(f->worker->l2, o);
	if (o != NULL && f->route->cache.l2_fill_ms > 0 &&
	    o->facts.life_ms > o->facts.age_ms + f->route->cache.l2_fill_ms)
		o->facts.life_ms =
		    o->facts.age_ms + f->route->cache.l2_fill_ms; /* not shared yet */
	if (o != NULL && may_answer(f, o)) {
		fetch_abort(&f->fetch);
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
	if (silent_still)
		fill_ask_origin(f);
}

void
on_l2_silence(void *arg)
{
	fill_ask_origin(arg);
}

void
fill_ask_l2(struct fill *f)
{
	f->l2 = l2_get(f->worker->l2, &f->key, &f->head, on_l2_answer, f);
	if (f->l2 == NULL) {
		fill_ask_origin(f);
		return;
	}
	timer_arm(fill_loop(f), &f->l2_silence, loop_now_ms(fill_loop(f)) + L2_SILENCE_MS);
}
