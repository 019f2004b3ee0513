/* The cache's step: what is stored for the request, and what of it may answer. */
#include "base/hash.h"
#include "cache/redis.h"
#include "server/exchange_priv.h"

static void
expand_tags(struct exchange *x)
{
	const struct route_cache *rc = &x->route->cache;
	struct buf tags = {0};

	if (rc->tags_count == 0)
		return;
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
pass(struct exchange *x, enum cache_fwd fwd, const char *detail, const char *why)
{
	x->is_shared = false;
	x->word = CACHE_WORD_BYPASS;
	x->fwd = fwd;
	exchange_because(x, detail, why);
	return exchange_to(x, STEP_board);
}

struct reuse_stored
exchange_stored_facts(const struct exchange *x, const struct object *o, bool soft)
{
	return (struct reuse_stored){.age_ms = object_age_ms(o, loop_now_ms(x->worker->loop)),
	    .life_ms = object_life_ms(o),
	    .swr_ms = o->facts.swr_ms,
	    .sie_ms = o->facts.sie_ms,
	    .no_cache = o->facts.no_cache,
	    .no_stale = o->facts.no_stale,
	    .by_route = o->facts.life_by_route,
	    .immutable = o->facts.immutable,
	    .soft_purged = soft};
}

struct reuse_request
exchange_request_facts(const struct exchange *x)
{
	const struct route_cache *rc = &x->route->cache;

	return (struct reuse_request){.cc = &x->cc,
	    .has_cookie = x->has_cookie,
	    .has_authorization = x->has_authorization,
	    .cookies_covered = rc->store.cookies_covered,
	    .authorization_covered = rc->store.authorization_covered,
	    .may_revalidate = rc->obey_request};
}

/* A dry run leaves everything as it is, what a purge has taken, too. */
struct object *
exchange_find(const struct exchange *x, const struct cache_key *key, bool *others_out)
{
	struct store *s = x->worker->commons->store;

	return (x->is_dry ? store_look : store_find)(s, key, &x->head, others_out);
}

void
exchange_discard(const struct exchange *x, struct object **op)
{
	if (!x->is_dry)
		store_remove(x->worker->commons->store, *op);
	object_unref(op);
}

/* The stored object for this request that no purge has taken, or NULL. *soft_out: it counts as stale. */
static struct object *
find_valid(struct exchange *x, const struct cache_key *key, bool *others_out, bool *soft_out)
{
	struct commons *c = x->worker->commons;
	struct object *o = exchange_find(x, key, others_out);

	*soft_out = false;
	if (o == NULL)
		return NULL;
	if (object_is_outline(o) && x->route->cache.slice_bytes == 0) {
		exchange_discard(x, &o); /* kept in segments by a route that was */
		return NULL;
	}
	switch (purgelog_judge(c->purges, o)) {
	case PURGE_VALID:
		return o;
	case PURGE_STALE:
		*soft_out = true;
		return o;
	case PURGE_GONE:
		exchange_discard(x, &o);
		return NULL;
	}
	return o;
}

/* Where a rule of the origin has made another key of the request's own, what lies there and is fresh comes first. Else that
 * which the request's own has, if anything: an answer that came without the rule. */
static struct object *
find(struct exchange *x, bool *others_out, bool *soft_out)
{
	struct object *o = find_valid(x, &x->key, others_out, soft_out), *own;
	bool others, soft;

	if (x->key.text.p == x->keyed.exact.text.p ||
	    (o != NULL && !*soft_out &&
		object_age_ms(o, loop_now_ms(x->worker->loop)) < o->facts.life_ms))
		return o;
	own = find_valid(x, &x->keyed.exact, &others, &soft);
	if (own == NULL)
		return o;
	object_unref(&o);
	x->key = x->keyed.exact;
	*others_out = others;
	*soft_out = soft;
	return own;
}

void
exchange_use_object(struct exchange *x, struct object *o)
{
	object_unref(&x->object);
	x->object = o;
	x->answer = ANSWER_OBJECT;
}

enum refresh { REFRESH_BEGUN, REFRESH_IS_UNDER_WAY, REFRESH_NOT_NOW };

/* One refresh begins behind the answer, whoever asks and on whichever worker, unless what it brings may not be stored by the
 * asker's word. After one that came to nothing the origin is left in peace for a moment. */
static enum refresh
refresh_behind(struct exchange *x, struct object *o)
{
	struct commons *c = x->worker->commons;
	struct flight *f;

	if (x->is_dry || x->cc.no_store ||
	    object_refresh_just_failed(o, loop_now_ms(x->worker->loop)))
		return REFRESH_NOT_NOW;
	if (atomic_exchange_explicit(&o->refreshing, true, memory_order_relaxed))
		return REFRESH_IS_UNDER_WAY;
	f = flight_background(c->flights, &x->key, object_vary(o), x->worker->index, c->purges);
	if (f == NULL) {
		atomic_store_explicit(&o->refreshing, false, memory_order_relaxed);
		return REFRESH_IS_UNDER_WAY;
	}
	fill_start_refresh(x, f, o);
	return REFRESH_BEGUN;
}

/* It is fresh, and about to expire, and hot: the answer is a hit, and a refresh begins behind it. */
static void
refresh_early(struct exchange *x, struct object *o, int64_t left_ms)
{
	struct refresh_view v = {.left_ms = left_ms,
	    .fetch_ms = o->facts.fetch_ms,
	    .kept_ms = loop_now_ms(x->worker->loop) - o->facts.born_ms,
	    .hits = atomic_load_explicit(&o->hit_count, memory_order_relaxed),
	    .percent = x->route->cache.early_percent};
	struct worker *w = x->worker;

	if (!refresh_is_near(&v) || x->head.method != METHOD_GET)
		return;
	w->dice++;
	if (refresh_is_early(&v, (uint32_t)hash_bytes(&w->dice, sizeof(w->dice))) &&
	    refresh_behind(x, o) == REFRESH_BEGUN)
		observe_add(w->observer, COUNT_refreshes_early, 1);
}

/* What a use of a fresh object does to it. */
static void
use_fresh(struct exchange *x, struct object *o, const struct reuse_stored *s)
{
	int64_t life_ms = s->life_ms;

	if (o->facts.slides) {
		if (object_slide(o, loop_now_ms(x->worker->loop)) && x->worker->l2 != NULL)
			l2_touch(x->worker->l2, o);
		life_ms = object_life_ms(o);
	}
	if (x->route->cache.early_percent > 0)
		refresh_early(x, o, life_ms - s->age_ms);
}

static enum exchange_next
judge_stored(struct exchange *x, struct object *o, bool soft)
{
	struct reuse_stored s = exchange_stored_facts(x, o, soft);
	struct reuse_request r = exchange_request_facts(x);

	x->reuse = reuse_judge(&s, &r);
	x->word = reuse_word(x->reuse);
	x->fwd = reuse_fwd(x->reuse);
	exchange_because(x, reuse_detail(x->reuse), reuse_text(x->reuse));
	switch (reuse_action(x->reuse)) {
	case REUSE_SERVE_AND_REFRESH:
		if (refresh_behind(x, o) == REFRESH_IS_UNDER_WAY)
			x->word = CACHE_WORD_UPDATING;
		/* fallthrough */
	case REUSE_SERVE:
		if (x->reuse == REUSE_IS_FRESH && !x->is_dry && !x->is_own)
			use_fresh(x, o, &s);
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
		return pass(x, x->fwd, x->detail, x->reason);
	case REUSE_REFUSE:
		object_unref(&o);
		return exchange_own(x, 504, "only-if-cached");
	}
	return EXCHANGE_OVER;
}

struct object *
exchange_find_fresh(struct exchange *x)
{
	bool others, soft;
	struct object *o = find_valid(x, &x->key, &others, &soft);
	struct reuse_request r = exchange_request_facts(x);
	struct reuse_stored s;

	if (o == NULL)
		return NULL;
	s = exchange_stored_facts(x, o, soft);
	if (reuse_judge(&s, &r) != REUSE_IS_FRESH)
		object_unref(&o);
	return o;
}

enum exchange_next
exchange_use_stored(struct exchange *x, struct object *o)
{
	object_unref(&x->stale);
	return judge_stored(x, o, false);
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

/* A POST whose answer may be kept for GET is sent like one: what its answer depends on is in the key. */
static bool
may_keep_post(const struct exchange *x)
{
	return x->head.method == METHOD_POST && x->route->cache.keeps_post &&
	    exchange_route_of_get(x) == x->route;
}

static enum exchange_next
refuse_upload(struct exchange *x)
{
	x->closes = true;
	return x->upload_too_large
	    ? exchange_own(x, 413, "the request's body is larger than limits.body_size")
	    : exchange_own(x, 400, "the request's body is not valid");
}

enum exchange_next
step_lookup(struct exchange *x)
{
	bool others = false, soft;
	struct object *o;

	if (!x->route->cache.is_on)
		return pass(x, CACHE_FWD_BYPASS, store_verdict_detail(STORE_ROUTE_OFF),
		    store_verdict_text(STORE_ROUTE_OFF));
	if (may_keep_post(x)) {
		x->keeps_post = true;
		hide_what_origin_will_not_see(x);
		exchange_make_key(x);
		expand_tags(x);
		return pass(x, CACHE_FWD_METHOD, "", "the method asks for the origin");
	}
	if (x->head.method == METHOD_QUERY && x->client->has_upload)
		switch (exchange_collect_query(x)) {
		case QUERY_IS_COMING:
			return EXCHANGE_WAIT;
		case QUERY_IS_BAD:
			return refuse_upload(x);
		case QUERY_IS_HERE:
		case QUERY_PASSES:
			break;
		}
	if (x->is_upgrade)
		return pass(
		    x, CACHE_FWD_BYPASS, "upgrade", "the request asks for another protocol");
	if (x->client->has_upload && !x->is_query)
		return pass(x, CACHE_FWD_BYPASS, "request-body", "the request has a body");
	if (x->head.method != METHOD_GET && x->head.method != METHOD_HEAD && !x->is_query)
		return pass(x, CACHE_FWD_METHOD, "", "the method asks for the origin");
	if (head_has(&x->head, FIELD_IF_MATCH) || head_has(&x->head, FIELD_IF_UNMODIFIED_SINCE))
		return pass(x, CACHE_FWD_REQUEST, "precondition",
		    "only the origin may say whether it has changed");
	if (!clerk_may_answer(x->worker->commons->clerk))
		return pass(x, CACHE_FWD_BYPASS, "no-lease", "no lease on the purge log");
	x->is_shared = true;
	hide_what_origin_will_not_see(x);
	exchange_make_key(x);
	expand_tags(x);
	o = find(x, &others, &soft);
	if (o != NULL)
		return judge_stored(x, o, soft);
	if (x->cc.only_if_cached && x->route->cache.obey_request) {
		x->word = CACHE_WORD_MISS;
		return exchange_own(x, 504, "only-if-cached");
	}
	x->word = CACHE_WORD_MISS;
	x->fwd = others ? CACHE_FWD_VARY_MISS : CACHE_FWD_URI_MISS;
	exchange_because(
	    x, "", others ? "what is stored is for other requests" : "nothing is stored for it");
	return exchange_to(x, STEP_board);
}
