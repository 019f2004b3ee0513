/* The flight's steps: joins the one for the key or leads it, and waits for its response. */
#include "http/incremental.h"
#include "server/exchange_priv.h"
#include "server/segments.h"

/* Alone: no key in the table, nobody else is served. */
static enum exchange_next
fly_alone(struct exchange *x)
{
	struct flight *f = flight_private(
	    x->worker->commons->flights, x->worker->index, &x->rider, x->worker->commons->purges);

	fill_start(x, f);
	return exchange_to(x, STEP_await);
}

/* A HEAD without a fresh answer goes as it is (a stale one may still stand in). What must be validated for each use is not
 * gathered for either; nor is what the asker forbids to store: who gathered would be sent off to fetch each for himself. */
bool
exchange_goes_alone(const struct exchange *x)
{
	return !x->is_shared || x->head.method == METHOD_HEAD || x->restarts > 0 ||
	    x->fwd == CACHE_FWD_REQUEST || x->cc.no_store ||
	    (x->stale != NULL && x->reuse == REUSE_IS_NO_CACHE);
}

/* The variant that this request wants, as another of the same key tells what it varies on. */
static void
learn_variant(struct exchange *x, const struct object *other)
{
	struct buf b = {0};

	vary_key_like(object_vary(other), &x->head, &b);
	x->variant = arena_copy(&x->mem, buf_slice(&b));
	buf_fini(&b);
}

/* Who wants another variant than those that are stored need not wait for who wants a third. */
static struct slice
variant_to_gather_for(struct exchange *x)
{
	struct object *other;

	if (x->stale != NULL)
		return object_vary(x->stale);
	if (x->variant.n == 0 && x->fwd == CACHE_FWD_VARY_MISS &&
	    store_list(x->worker->commons->store, &x->key, &other, 1) == 1) {
		learn_variant(x, other);
		object_unref(&other);
	}
	return x->variant;
}

/* A flight that ended between our look and our boarding has left what it brought in the store. Whoever has boarded ours
 * meanwhile is given it. */
static bool
was_stored_meanwhile(struct exchange *x, struct object **o_out)
{
	struct flight *f = x->rider.flight;

	if ((*o_out = exchange_find_fresh(x)) == NULL)
		return false;
	flight_publish(f, *o_out);
	flight_close(f);
	flight_leave(&x->rider);
	return true;
}

enum exchange_next
step_board(struct exchange *x)
{
	struct object *stored;
	struct commons *c = x->worker->commons;

	if (!message_is_incremental(&x->head) && !x->client->ops->upload_is_here(x->client))
		return EXCHANGE_WAIT;
	x->tier = TIER_origin;
	if (x->head.method == METHOD_HEAD)
		x->is_shared = false;
	/* What is known not to be kept, the origin may answer with less than the whole. */
	x->passes_conditions = x->is_shared && x->stale == NULL && !segments_apply(x) &&
	    (x->restarts > 0 ||
		flights_is_unshared(c->flights, x->key.hash, loop_now_ms(x->worker->loop)));
	if (x->passes_conditions && head_has(&x->head, FIELD_RANGE))
		x->is_shared = false; /* too much to keep, perhaps */
	if (exchange_goes_alone(x))
		return fly_alone(x);
	switch (flight_board(c->flights, &x->key, variant_to_gather_for(x), &x->rider,
	    loop_now_ms(x->worker->loop), c->purges, x->tags)) {
	case FLIGHT_LEADS:
		if (was_stored_meanwhile(x, &stored))
			return exchange_use_stored(x, stored);
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
	struct reuse_request r = exchange_request_facts(x);
	const struct commons *c = x->worker->commons;
	enum purge_verdict purged;

	if (x->stale == NULL || !clerk_may_answer(c->clerk))
		return false;
	purged = purgelog_judge(c->purges, x->stale);
	if (purged == PURGE_GONE)
		return false; /* purged meanwhile, perhaps: then an error is better */
	s = exchange_stored_facts(x, x->stale, purged == PURGE_STALE);
	return reuse_on_error(&s, &r);
}

void
exchange_leave_flight(struct exchange *x)
{
	if (x->rider.flight == NULL)
		return;
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
	exchange_leave_flight(x);
	x->word = CACHE_WORD_STALE;
	x->tier = TIER_memory;
	exchange_because(x, "stale-if-error", why);
	exchange_use_object(x, o);
	return exchange_to(x, STEP_respond);
}

/* The walk's one way back. */
static enum exchange_next
go_back(struct exchange *x, const char *why)
{
	exchange_leave_flight(x);
	x->is_collapsed = false;
	x->fetch_end = NULL;
	exchange_because(x, "", why);
	return exchange_to(x, STEP_board);
}

/* The flight's response is not for this rider: it fetches for itself. */
enum exchange_next
exchange_restart(struct exchange *x, const char *why)
{
	x->restarts++;
	return go_back(x, why);
}

enum exchange_next
exchange_answer_fault(
    struct exchange *x, unsigned status, const char *text, const char *proxy_status)
{
	exchange_leave_flight(x);
	exchange_own(x, status, text);
	buf_printf(&x->own_fields, "Proxy-Status: %s; error=%s\r\n", x->site->name, proxy_status);
	return EXCHANGE_GO;
}

static enum exchange_next
answer_fetch_end(struct exchange *x, enum fetch_end end)
{
	x->fetch_end = fetch_ends[end].name;
	if (may_serve_stale(x))
		return serve_stale(x, "the origin failed");
	return exchange_answer_fault(x, (unsigned)fetch_ends[end].status, fetch_ends[end].text,
	    fetch_ends[end].proxy_status);
}

/* The leader has been answered with a failure that was for it alone. One of the others asks again, for all of them:
 * fetching in parallel, they would fall upon an origin that is failing. If that one fares no better, it has been tried. */
static enum exchange_next
after_failure(struct exchange *x, unsigned status)
{
	if (may_serve_stale(x))
		return serve_stale(x, "the origin answered with a failure");
	if (x->boardings++ == 0)
		return go_back(x, "the origin answered another request with a failure");
	return exchange_answer_fault(x, status, "the origin answered other requests with a failure",
	    "destination_unavailable");
}

/* The body broke off before this client was given a byte: who led has had its try. */
static enum exchange_next
after_break(struct exchange *x)
{
	if (x->rider.is_leader || may_serve_stale(x) || x->boardings++ > 0)
		return answer_fetch_end(x, FETCH_truncated);
	return go_back(x, "the response broke off, and is asked for once more");
}

/* Whether a response that others caused may answer this request: its variant, and no purge since this request came. */
static bool
is_for_us(struct exchange *x, struct object *o)
{
	return vary_matches(object_vary(o), &x->head) && exchange_key_fits(x, object_key(o)) &&
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
	if (x->is_shared && body_state(o->body) == BODY_BROKEN)
		return after_break(x);
	if (x->stale != NULL && o->body == x->stale->body) {
		x->word = CACHE_WORD_REVALIDATED;
		x->reason = "the origin says that it is still good";
	} else if (x->is_shared && x->verdict != STORE_STORED && x->rider.is_leader &&
	    !flight_is_from_redis(x->rider.flight))
		exchange_because(
		    x, store_verdict_detail(x->verdict), store_verdict_text(x->verdict));
	if (flight_is_from_redis(x->rider.flight)) {
		x->tier = TIER_redis;
		x->word = CACHE_WORD_HIT;
		x->fwd = CACHE_FWD_NONE;
		exchange_because(x, "redis", "in Redis");
	}
	if (x->hedged == HEDGE_won && x->detail[0] == '\0')
		x->detail = "hedged";
	exchange_use_object(x, object_ref(o));
	return exchange_to(x, STEP_respond);
}

/* Others wait with us who want the same variant: they gather for it, once. */
static enum exchange_next
regather(struct exchange *x, struct object *o)
{
	static const char why[] = "the response on its way was for other requests";

	if (x->variant.n > 0 || vary_matches(object_vary(o), &x->head))
		return exchange_restart(x, why);
	learn_variant(x, o);
	return go_back(x, why);
}

enum exchange_next
step_await(struct exchange *x)
{
	struct flight *f = x->rider.flight;
	struct object *o;

	if (x->upload_is_bad) {
		exchange_leave_flight(x);
		return exchange_own(x, 400, "the request's body is not valid");
	}
	if (x->upload_too_large) {
		exchange_leave_flight(x);
		x->closes = true;
		return exchange_own(x, 413, "the request's body is larger than limits.body_size");
	}
	if (x->told.notice != NULL)
		return EXCHANGE_WAIT;
	switch (flight_state(f)) {
	case FLIGHT_WAITING:
		return EXCHANGE_WAIT;
	case FLIGHT_RESPONSE:
		o = flight_object(f);
		if (x->rider.is_leader || is_for_us(x, o))
			return take_from_flight(x, o);
		if (status_is_failure(o->facts.status))
			return after_failure(x, o->facts.status);
		return regather(x, o);
	case FLIGHT_DISBANDED:
		o = flight_object(f);
		if (x->rider.is_leader)
			return take_from_flight(x, o);
		if (status_is_failure(o->facts.status))
			return after_failure(x, o->facts.status);
		return exchange_restart(x, "the response on its way was not for everybody");
	case FLIGHT_FAILED:
		if (flight_fault(f) == FETCH_done)
			return exchange_restart(x, "the flight ended without a response");
		return answer_fetch_end(x, (enum fetch_end)flight_fault(f));
	}
	return EXCHANGE_OVER;
}
