/* The cache's steps: what is stored under the key, the flight for what is not, and the wait for its response. */
#include "base/log.h"
#include "server/exchange_priv.h"

static void
expand_tags(struct exchange *x)
{
	const struct route_cache *rc = &x->route->cache;
	struct buf tags = {0};

	for (unsigned i = 0; i < rc->tags_count; i++) {
		template_expand(rc->tags[i], &x->captures, &tags);
		buf_add_char(&tags, '\0');
	}
	if (tags.n > 0)
		x->tags = arena_copy(&x->mem, buf_slice(&tags));
	buf_fini(&tags);
}

/* --- what is stored --- */

static enum exchange_next
pass(struct exchange *x, enum cache_fwd fwd, const char *why)
{
	x->is_shared = false;
	x->word = CACHE_WORD_BYPASS;
	x->fwd = fwd;
	x->reason = why;
	return exchange_to(x, STEP_board);
}

static struct reuse_stored
stored_facts(const struct exchange *x, const struct object *o, bool soft)
{
	return (struct reuse_stored){.age_ms = object_age_ms(o, loop_now_ms(x->worker->loop)),
	    .life_ms = o->facts.life_ms,
	    .swr_ms = o->facts.swr_ms,
	    .sie_ms = o->facts.sie_ms,
	    .no_cache = o->facts.no_cache,
	    .no_stale = o->facts.no_stale,
	    .by_route = o->facts.life_by_route,
	    .immutable = o->facts.immutable,
	    .soft_purged = soft};
}

static struct reuse_request
request_facts(const struct exchange *x)
{
	const struct route_cache *rc = &x->route->cache;

	return (struct reuse_request){.cc = &x->cc,
	    .has_cookie = x->has_cookie,
	    .has_authorization = x->has_authorization,
	    .cookies_covered = rc->store.cookies_covered,
	    .authorization_covered = rc->store.authorization_covered,
	    .may_revalidate = rc->obey_request};
}

/* The stored object for this request that no purge has taken, or NULL. *soft_out: it counts as stale. */
static struct object *
find_valid(struct exchange *x, bool *others_out, bool *soft_out)
{
	struct commons *c = x->worker->commons;
	struct object *o = store_find(c->store, &x->key, &x->head, others_out);

	*soft_out = false;
	if (o == NULL)
		return NULL;
	switch (purgelog_judge(c->purges, o)) {
	case PURGE_VALID:
		return o;
	case PURGE_STALE:
		*soft_out = true;
		return o;
	case PURGE_GONE:
		store_remove(c->store, o);
		object_unref(&o);
		return NULL;
	}
	return o;
}

void
exchange_use_object(struct exchange *x, struct object *o)
{
	object_unref(&x->object);
	x->object = o;
	x->answer = ANSWER_OBJECT;
}

/* A stale answer goes out and one refresh begins behind it, whoever asks. */
static void
refresh_behind(struct exchange *x, struct object *o)
{
	struct commons *c = x->worker->commons;
	struct flight *f;

	if (atomic_exchange_explicit(&o->refreshing, true, memory_order_relaxed)) {
		x->word = CACHE_WORD_UPDATING;
		return;
	}
	f = flight_background(c->flights, &x->key, x->worker->index, c->purges);
	if (f == NULL) {
		atomic_store_explicit(&o->refreshing, false, memory_order_relaxed);
		x->word = CACHE_WORD_UPDATING;
		return;
	}
	fill_start_refresh(x, f, o);
}

static enum exchange_next
judge_stored(struct exchange *x, struct object *o, bool soft)
{
	struct reuse_stored s = stored_facts(x, o, soft);
	struct reuse_request r = request_facts(x);

	x->reuse = reuse_judge(&s, &r);
	x->word = reuse_word(x->reuse);
	x->fwd = reuse_fwd(x->reuse);
	x->reason = reuse_text(x->reuse);
	switch (reuse_action(x->reuse)) {
	case REUSE_SERVE_AND_REFRESH:
		refresh_behind(x, o);
		/* fallthrough */
	case REUSE_SERVE:
		if (!x->is_own)
			atomic_fetch_add_explicit(&o->hit_count, 1, memory_order_relaxed);
		x->tier = TIER_memory;
		exchange_use_object(x, o);
		return exchange_to(x, STEP_respond);
	case REUSE_VALIDATE:
		x->stale = o;
		return exchange_to(x, STEP_board);
	case REUSE_PASS:
		object_unref(&o);
		return pass(x, reuse_fwd(x->reuse), reuse_text(x->reuse));
	case REUSE_REFUSE:
		object_unref(&o);
		return exchange_own(x, 504, "only-if-cached");
	}
	return EXCHANGE_OVER;
}

/* The origin is asked for the bare form where we do the coding, and does not see cookies that are stripped: then what
 * is stored does not depend on them, whatever Vary says. */
static void
hide_what_origin_will_not_see(struct exchange *x)
{
	x->asks_identity = x->route->compress.is_on;
	if (x->asks_identity)
		x->head.first[FIELD_ACCEPT_ENCODING] = 0;
	if (x->route->cache.cookies == COOKIES_STRIP)
		x->head.first[FIELD_COOKIE] = 0;
}

enum exchange_next
step_lookup(struct exchange *x)
{
	bool others = false, soft;
	struct object *o;

	if (!x->route->cache.is_on)
		return pass(x, CACHE_FWD_BYPASS, "the route does not cache");
	if (x->is_upgrade || x->client->has_upload)
		return pass(x, CACHE_FWD_BYPASS, "an upgrade, or a request with a body");
	if (x->head.method != METHOD_GET && x->head.method != METHOD_HEAD)
		return pass(x, CACHE_FWD_METHOD, "the method asks for the origin");
	if (head_has(&x->head, FIELD_IF_MATCH) || head_has(&x->head, FIELD_IF_UNMODIFIED_SINCE))
		return pass(x, CACHE_FWD_REQUEST, "only the origin may say whether it has changed");
	x->is_shared = true;
	hide_what_origin_will_not_see(x);
	exchange_make_key(x);
	expand_tags(x);
	o = find_valid(x, &others, &soft);
	if (o != NULL)
		return judge_stored(x, o, soft);
	if (x->cc.only_if_cached && x->route->cache.obey_request) {
		x->word = CACHE_WORD_MISS;
		return exchange_own(x, 504, "only-if-cached");
	}
	x->word = CACHE_WORD_MISS;
	x->fwd = others ? CACHE_FWD_VARY_MISS : CACHE_FWD_URI_MISS;
	x->reason = others ? "not stored for such a request" : "not stored";
	return exchange_to(x, STEP_board);
}

/* --- the flight --- */

/* Alone: no key in the table, nobody else is served. */
static enum exchange_next
fly_alone(struct exchange *x)
{
	struct flight *f = flight_private(
	    x->worker->commons->flights, x->worker->index, &x->rider, x->worker->commons->purges);

	fill_start(x, f);
	return exchange_to(x, STEP_await);
}

enum exchange_next
step_board(struct exchange *x)
{
	struct commons *c = x->worker->commons;
	bool forced = x->fwd == CACHE_FWD_REQUEST;

	if (!x->client->ops->upload_is_here(x->client))
		return EXCHANGE_WAIT;
	x->tier = TIER_origin;
	/* A HEAD without a fresh answer goes as it is (a stale one may still stand in), and so does a range of what is known
	 * to be too much to keep. */
	if (x->head.method == METHOD_HEAD)
		x->is_shared = false;
	/* What is known not to be kept, the origin may answer with less than the whole. */
	x->passes_conditions = x->is_shared && x->stale == NULL &&
	    (x->restarts > 0 ||
		flights_is_unshared(c->flights, x->key.hash, loop_now_ms(x->worker->loop)));
	if (x->passes_conditions && head_has(&x->head, FIELD_RANGE))
		x->is_shared = false;
	if (!x->is_shared || x->restarts > 0 || forced)
		return fly_alone(x);
	switch (flight_board(
	    c->flights, &x->key, &x->rider, loop_now_ms(x->worker->loop), c->purges, x->tags)) {
	case FLIGHT_LEADS:
		observe_add(x->worker->observer, COUNT_flights_led, 1);
		fill_start(x, x->rider.flight);
		break;
	case FLIGHT_ALONE:
		fill_start(x, x->rider.flight);
		break;
	case FLIGHT_RIDES:
		observe_add(x->worker->observer, COUNT_flights_joined, 1);
		x->is_collapsed = true;
		break;
	}
	return exchange_to(x, STEP_await);
}

static bool
may_serve_stale(const struct exchange *x)
{
	struct reuse_stored s;
	struct reuse_request r = request_facts(x);

	if (x->stale == NULL || purgelog_judge(x->worker->commons->purges, x->stale) == PURGE_GONE)
		return false; /* purged meanwhile, perhaps: then an error is better */
	s = stored_facts(x, x->stale, false);
	return reuse_on_error(&s, &r);
}

static void
leave_flight(struct exchange *x)
{
	if (x->rider.is_leader)
		fill_leader_left(x->rider.flight, x);
	flight_leave(&x->rider);
}

static enum exchange_next
serve_stale(struct exchange *x, const char *why)
{
	struct object *o = x->stale;

	x->stale = NULL;
	x->is_shared = true; /* a HEAD too: conditions are judged here */
	leave_flight(x);
	x->word = CACHE_WORD_STALE;
	x->tier = TIER_memory;
	x->reason = why;
	exchange_use_object(x, o);
	return exchange_to(x, STEP_respond);
}

/* The flight's response is not for this rider: it fetches for itself. The walk's one way back. */
static enum exchange_next
restart(struct exchange *x, const char *why)
{
	leave_flight(x);
	x->restarts++;
	x->is_collapsed = false;
	x->reason = why;
	return exchange_to(x, STEP_board);
}

/* Whether a response that others caused may answer this request: its variant, and no purge since this request came. */
static bool
is_for_us(struct exchange *x, struct object *o)
{
	return vary_matches(object_vary(o), &x->head) &&
	    purgelog_judge(x->worker->commons->purges, o) == PURGE_VALID &&
	    !(o->facts.life_by_route &&
		((x->has_cookie && !x->route->cache.store.cookies_covered) ||
		    (x->has_authorization && !x->route->cache.store.authorization_covered)));
}

static enum exchange_next
take_from_flight(struct exchange *x, struct object *o)
{
	if (status_is_failure(o->facts.status) && may_serve_stale(x))
		return serve_stale(x, "the origin answered with a failure");
	if (x->stale != NULL && o->body == x->stale->body) {
		x->word = CACHE_WORD_REVALIDATED;
		x->reason = "the origin says that it is still good";
	} else if (x->stale == NULL && x->is_shared && x->verdict != STORE_STORED &&
	    x->rider.is_leader && !flight_is_from_redis(x->rider.flight))
		x->reason = store_verdict_text(x->verdict);
	if (flight_is_from_redis(x->rider.flight)) {
		x->tier = TIER_redis;
		x->word = CACHE_WORD_HIT;
		x->fwd = CACHE_FWD_NONE;
		x->reason = "in Redis";
	}
	exchange_use_object(x, object_ref(o));
	return exchange_to(x, STEP_respond);
}

enum exchange_next
step_await(struct exchange *x)
{
	struct flight *f = x->rider.flight;
	struct object *o;
	int fault;

	if (x->upload_is_bad) {
		leave_flight(x);
		return exchange_own(x, 400, "the request's body is not valid");
	}
	if (x->upload_too_large) {
		leave_flight(x);
		x->closes = true;
		return exchange_own(x, 413, "the request's body is larger than limits.body_size");
	}
	switch (flight_state(f)) {
	case FLIGHT_WAITING:
		return EXCHANGE_WAIT;
	case FLIGHT_RESPONSE:
		o = flight_object(f);
		if (!x->rider.is_leader && !is_for_us(x, o))
			return restart(x, "the response on its way was for other requests");
		return take_from_flight(x, o);
	case FLIGHT_DISBANDED:
		if (!x->rider.is_leader) {
			if (status_is_failure(flight_object(f)->facts.status) && may_serve_stale(x))
				return serve_stale(x, "the origin answered with a failure");
			return restart(x, "the response on its way was not for everybody");
		}
		return take_from_flight(x, flight_object(f));
	case FLIGHT_FAILED:
		fault = flight_fault(f);
		if (fault == FETCH_done)
			return restart(x, "the flight ended without a response");
		x->fetch_end = fetch_ends[fault].name;
		if (may_serve_stale(x))
			return serve_stale(x, "the origin failed");
		leave_flight(x);
		exchange_own(x, (unsigned)fetch_ends[fault].status, fetch_ends[fault].text);
		buf_printf(&x->own_fields, "Proxy-Status: %s; error=%s\r\n", x->site->name,
		    fetch_ends[fault].proxy_status);
		return EXCHANGE_GO;
	}
	return EXCHANGE_OVER;
}
