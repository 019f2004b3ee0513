/* What a response's head makes of a fill: the verdict, the objects, and who is told. */
#include "base/clock.h"
#include "base/hash.h"
#include "base/mem.h"
#include "http/conditional.h"
#include "http/origintags.h"
#include "http/searchrule.h"
#include "http/storedhead.h"
#include "http/vary.h"
#include "server/fill_priv.h"
#include "server/request.h"
#include "server/affinity.h"

/* The request's answer is not for the store or for others: a body that only passes. */
static bool
is_for_riders(const struct fill *f, const struct life *life)
{
	return f->verdict == STORE_STORED && !life->no_cache && life->age_ms < life->life_ms;
}

/* What the route makes of the life. */
static void
set_life(const struct route_cache *rc, const struct life *life, struct object_facts *facts)
{
	uint32_t random;

	if (rc->jitter_percent > 0) {
		random_bytes(&random, sizeof(random));
		facts->life_ms = life_with_jitter(life->life_ms, rc->jitter_percent, random);
	}
	if (rc->sliding_ms > facts->life_ms && life->source == LIFE_ROUTE &&
	    facts->life_ms <= UINT32_MAX) {
		facts->slide_ms = (uint32_t)facts->life_ms;
		facts->life_ms = rc->sliding_ms;
	}
}

static void
facts_of(
    const struct fill *f, const struct head *h, const struct life *life, struct object_facts *out)
{
	const struct field *etag = head_find(h, FIELD_ETAG);
	int64_t now = loop_now_ms(fill_loop(f));

	*out = (struct object_facts){
	    .born_ms = now,
	    .age_ms = life->age_ms,
	    .life_ms = life->life_ms,
	    .fetch_ms = fill_ms_until(f, f->head_us),
	    .swr_ms = life->swr_ms,
	    .sie_ms = life->sie_ms,
	    .date_s = life->date_s,
	    .modified_s = life->modified_s,
	    .log_pos = f->log_pos,
	    .etag_at = etag == NULL ? 0 : etag->value_at,
	    .etag_len = etag == NULL ? 0 : etag->value_len,
	    .status = h->status,
	    .no_cache = life->no_cache,
	    .no_stale = life->no_stale,
	    .life_by_route = life->by_route,
	    .immutable = life->immutable,
	    .encoding = (uint8_t)encoding_of_body(h),
	    .no_transform = f->response_cc.no_transform,
	};
	set_life(&f->route->cache, life, out);
}

/* What the response is stored under: the request's own key, unless it says which parameters count. A segment's is given. */
static void
settle_key(struct fill *f, const struct head *h, struct buf *text, struct object_parts *parts)
{
	struct slice exact = f->keyed.exact.text;
	struct buf rule = {0};

	if (f->segment.outline != NULL) {
		parts->key = f->key.text;
		parts->hash = f->key.hash;
		return;
	}
	parts->key = exact;
	parts->hash = f->keyed.exact.hash;
	if (search_rule_read(h, &rule)) {
		searchrules_learn(f->worker->commons->searches,
		    slice_of(exact.p, f->keyed.query_at), buf_slice(&rule));
		if (key_loosen(&f->keyed, buf_slice(&rule), text)) {
			parts->key = buf_slice(text);
			parts->hash = cache_key_of(parts->key).hash;
		}
	}
	buf_fini(&rule);
}

struct object *
fill_make_object(struct fill *f, const struct head *h, const struct life *life, struct slab *slab,
    struct body *body)
{
	struct buf vary = {0}, key = {0};
	struct object_parts parts = {
	    .hash = f->key.hash, .head = slice_of(h->base, h->size), .body = body};
	struct object *o = NULL;

	facts_of(f, h, life, &parts.facts);
	if (!vary_key(h, &f->head, &vary) && slab != NULL)
		goto out;
	if (slab != NULL) {
		parts.facts.is_text =
		    compress_type_is_listed(&f->route->compress, head_value(h, FIELD_CONTENT_TYPE));
		settle_key(f, h, &key, &parts);
		parts.tags = buf_slice(&f->all_tags);
	}
	parts.vary = buf_slice(&vary);
	o = object_new(slab, &parts);
out:
	buf_fini(&key);
	buf_fini(&vary);
	return o;
}

/* What it is to be purged by. False: that is more than can be kept, so it is not stored: nobody could purge it. */
static bool
collect_tags(struct fill *f, const struct head *h)
{
	f->all_tags.n = 0;
	buf_add_slice(&f->all_tags, buf_slice(&f->tags));
	return origin_tags_add(h, origin_site_of(f->key.text), &f->all_tags);
}

enum store_verdict
fill_judge(
    struct fill *f, const struct head *h, enum method method, int64_t body_bytes, struct life *life)
{
	const struct route_cache *rc = &f->route->cache;
	struct arrival arrival = {.now_ms = loop_wall_ms(fill_loop(f)),
	    .delay_ms = (f->head_us - f->sent_us) / 1000,
	    .dates = &f->worker->origin_dates};
	struct store_ask ask = {.method = method,
	    .has_authorization = f->has_authorization,
	    .has_cookie = f->has_cookie && rc->cookies == COOKIES_GUARD,
	    .path = slice_of(f->keyed.exact.text.p, f->keyed.query_at),
	    .request_cc = &f->cc,
	    .response = h,
	    .cc = &f->response_cc,
	    .life = life,
	    .policy = &rc->store,
	    .body_bytes = body_bytes};
	enum store_verdict verdict;

	cache_control_of_response(h, &f->response_cc);
	life_of_response(h, &f->response_cc, &rc->life, &arrival, life);
	verdict = store_judge(&ask);
	return verdict == STORE_STORED && !collect_tags(f, h) ? STORE_TAGS_LONG : verdict;
}

/* A failure that says nothing of one client alone answers all who wait, though it is not kept: sent off, they would all
 * ask an origin that is failing. */
static bool
is_failure_for_riders(const struct fill *f, const struct head *h)
{
	const struct store_policy *p = &f->route->cache.store;

	return status_is_failure(h->status) && f->verdict != STORE_STORED &&
	    !f->response_cc.no_store && !f->response_cc.is_private &&
	    !head_has(h, FIELD_SET_COOKIE) && !vary_is_star(h) &&
	    (!f->has_cookie || p->cookies_covered) &&
	    (!f->has_authorization || p->authorization_covered);
}

/* Tells the riders, when the response has its object. That the answer to a HEAD is not kept says nothing of what GET gets. */
static void
announce(struct fill *f, struct object *o, bool for_all)
{
	bool is_remembered = f->verdict != STORE_STORED && !status_is_failure(o->facts.status) &&
	    f->method != METHOD_HEAD;

	if (f->lock != NULL && is_remembered && !for_all)
		fetchlock_disband(f->lock, FILL_UNSHARED_MS);
	if (!for_all) {
		flight_disband(
		    f->flight, o, is_remembered ? loop_now_ms(fill_loop(f)) + FILL_UNSHARED_MS : 0);
		return;
	}
	if (f->verdict != STORE_STORED) /* what passes is windowed: nobody may come later */
		flight_close(f->flight);
	flight_publish(f->flight, o);
}

void
fill_announce(struct fill *f, struct object *o, const struct life *life)
{
	announce(f, o, is_for_riders(f, life));
}

struct object *
fill_make_stored(struct fill *f, const struct head *h, const struct life *life, struct body *body)
{
	struct stored_rules rules = {
	    .drop_set_cookie = f->route->cache.store.set_cookie != SET_COOKIE_STORE,
	    .now_ms = loop_wall_ms(fill_loop(f))};
	struct buf *text = &f->worker->scratch;
	struct object *o = NULL;

	text->n = 0;
	if (stored_head_write(h, &f->response_cc, &rules, text, &f->own_head))
		o = fill_make_object(
		    f, &f->own_head, life, store_slab(f->worker->commons->store), body);
	return o;
}

/* Makes the objects: one for the store if it may be kept, and one for the leader alone when what is kept leaves something out. */
static bool
take_response(
    struct fill *f, const struct head *h, const struct framing *framing, struct life *life)
{
	struct slab *slab = store_slab(f->worker->commons->store);
	bool keep = f->verdict == STORE_STORED;
	uint64_t expected = framing->kind == FRAMING_LENGTH ? framing->length
	    : framing->kind == FRAMING_NONE		    ? 0
							    : BODY_LENGTH_UNKNOWN;
	bool own_for_leader = !keep || f->response_cc.name_lists > 0;
	struct object *passing = NULL;
	struct buf *text = &f->worker->scratch;

	f->body = body_new(keep ? slab : NULL, expected);
	if (f->body == NULL && keep) {
		f->verdict = STORE_NO_MEMORY;
		keep = false;
		own_for_leader = true;
		f->body = body_new(NULL, expected);
	}
	if (f->body == NULL)
		return false;
	if (keep) {
		f->object = fill_make_stored(f, h, life, f->body);
		if (f->object == NULL) {
			f->verdict = STORE_NO_MEMORY;
			own_for_leader = true;
		}
	}
	if (own_for_leader) {
		text->n = 0;
		if (!passing_head_is(h, &f->own_head))
			passing_head_write(h, text, &f->own_head);
		passing = fill_make_object(f, &f->own_head, life, NULL, f->body);
	}
	f->windowed = f->object == NULL;
	if (f->x != NULL)
		f->x->verdict = f->verdict;
	if (f->x != NULL && !keep)
		affinity_note(f->x, fetch_server(f->fetch));
	if (passing == NULL && (own_for_leader || f->object == NULL))
		return false;
	if (f->x != NULL)
		exchange_has_head(f->x, passing != NULL ? passing : f->object, &f->own_head);
	announce(f, passing != NULL ? passing : f->object,
	    (passing == NULL && is_for_riders(f, life)) || is_failure_for_riders(f, h));
	object_unref(&passing);
	return true;
}

/* A stored response as what the origin says of it now makes it: its body under a new head. NULL when memory is short. */
static struct object *
renew(struct fill *f, struct object *old, const struct head *says, struct life *life)
{
	struct stored_rules rules = {
	    .drop_set_cookie = f->route->cache.store.set_cookie != SET_COOKIE_STORE,
	    .now_ms = loop_wall_ms(fill_loop(f))};
	struct cache_control cc;
	struct head was, merged;
	struct buf text = {0};
	struct object *o;

	cache_control_of_response(says, &cc);
	if (!head_of_stored(&was, object_head(old)))
		bug("a stored head does not parse");
	if (!stored_head_merge(&was, says, &cc, &rules, &text, &merged)) {
		buf_fini(&text); /* more than a head can have: all of it is asked for */
		return NULL;
	}
	if (object_is_outline(old))
		merged.status = 200; /* what it stands for */
	f->verdict = fill_judge(f, &merged, METHOD_GET, (int64_t)body_length(old->body), life);
	merged.status = was.status;
	life->age_ms = age_of_head(says) > 0 ? (int64_t)age_of_head(says) * 1000 : life->age_ms;
	if (f->verdict != STORE_STORED && object_is_outline(old)) {
		buf_fini(
		    &text); /* without what it stands for it is no answer: all of it is asked for */
		return NULL;
	}
	o = fill_make_object(f, &merged, life,
	    f->verdict == STORE_STORED ? store_slab(f->worker->commons->store) : NULL, old->body);
	buf_fini(&text);
	if (o != NULL && o->facts.is_in_slab)
		object_copy_variants(o, old, 0); /* the same bytes have the same codings */
	return o;
}

/* Of the asker, that is, and not of what there is: others' stays as it was. */
static bool
is_about_asker(enum store_verdict v)
{
	return v == STORE_REQUEST_NO_STORE || v == STORE_AUTHORIZATION || v == STORE_COOKIE;
}

static void
store_renewed(struct fill *f, struct object *old, struct object *renewed)
{
	if (f->verdict != STORE_STORED) {
		if (!is_about_asker(f->verdict))
			store_remove(f->worker->commons->store, old);
		return;
	}
	store_put(f->worker->commons->store, renewed);
	f->has_refreshed = true;
	if (f->worker->l2 != NULL && !cache_key_is_loose(object_key(renewed)))
		l2_put(f->worker->l2, renewed, &f->l2_stamp);
}

/* The stored response is still good. */
static bool
take_not_modified(struct fill *f, const struct head *h)
{
	struct life life;

	f->object = renew(f, f->stale, h, &life);
	if (f->object == NULL)
		return false;
	if (f->x != NULL)
		f->x->verdict = f->verdict;
	f->done = true;
	f->source = SOURCE_validated;
	announce(f, f->object, is_for_riders(f, &life));
	store_renewed(f, f->stale, f->object);
	flight_close(f->flight);
	return true;
}

/* Whether a look-up still finds it: nobody has stored a newer one meanwhile. */
static bool
is_listed(struct fill *f, const struct object *o)
{
	struct object *found = store_find(f->worker->commons->store, &f->key, &f->head, NULL);
	bool is_it = found == o;

	object_unref(&found);
	return is_it;
}

/* RFC 9111 section 4.3.5 */
static void
learn_from_head(struct fill *f, const struct head *h)
{
	struct head stored;
	struct life life;
	struct object *renewed;
	uint64_t bytes = f->described->body->expected;

	if (!is_listed(f, f->described))
		return;
	if (!head_of_stored(&stored, object_head(f->described)))
		bug("a stored head does not parse");
	if (object_is_outline(f->described) && segment_outline_length(&stored, &bytes))
		stored.status = 200;
	switch (head_judge(&stored, bytes, h)) {
	case HEAD_SAYS_SAME:
		renewed = renew(f, f->described, h, &life);
		if (renewed != NULL)
			store_renewed(f, f->described, renewed);
		object_unref(&renewed);
		break;
	case HEAD_SAYS_CHANGED:
		atomic_store_explicit(&f->described->soft_purged, true, memory_order_relaxed);
		break;
	case HEAD_SAYS_NOTHING:
		break;
	}
}

void
fill_ask_again(struct fill *f, const struct byte_range *part)
{
	if (f->x == NULL) { /* whose request it was has gone, or there was none */
		fill_fail(f, FETCH_done);
		return;
	}
	object_unref(&f->stale);
	f->segment.is_asked = part != NULL;
	if (part != NULL)
		f->segment.range = *part;
	f->request.n = 0;
	request_render(f->x, NULL, part, &f->request);
	loop_later(fill_loop(f), &f->start);
}

/* Nobody rides, and nobody will. */
static bool
is_for_nobody(struct fill *f)
{
	flight_close(f->flight);
	return flight_riders(f->flight) == 0;
}

struct body *
fill_take_head(struct fill *f, const struct head *h, const struct framing *framing)
{
	struct life life;

	if (f->described != NULL)
		learn_from_head(f, h);
	f->verdict = fill_judge(f, h, f->keeps_post ? METHOD_GET : f->method,
	    framing->kind == FRAMING_LENGTH ? (int64_t)framing->length : -1, &life);
	if (f->keeps_post && (life.by_route || life.no_cache))
		f->verdict = STORE_METHOD;
	else if (!f->is_shared && !f->keeps_post)
		f->verdict = STORE_ROUTE_OFF;
	if (f->is_refresh && status_is_failure(h->status) && is_for_nobody(f)) {
		fill_drop_fetch(f);
		fill_fail(f, FETCH_response_bad);
		return NULL;
	}
	if (!take_response(f, h, framing, &life)) {
		fill_drop_fetch(f);
		fill_fail(f, FETCH_no_memory);
		return NULL;
	}
	return f->body;
}

struct body *
on_fill_head(void *arg, const struct head *h, const struct framing *framing)
{
	struct fill *f = arg;
	struct post_claim claim;

	if (f->l2 != NULL) /* the origin was faster */
		l2_get_cancel(&f->l2);
	f->head_us = fetch_head_us(f->fetch);
	f->status = h->status;
	fill_note_server(f);
	if (f->x != NULL)
		f->x->origin_us = f->head_us - f->sent_us;
	claim = fill_post_claim(f, h);
	purge_after_response(&f->purges, f->worker, h, f->x);
	fill_post_settle(f, &claim);
	if (h->status == 304 && f->stale != NULL && f->stale_head.base != NULL) {
		if (not_modified_is_about(&f->stale_head, h) && take_not_modified(f, h)) {
			f->body = body_new(NULL,
			    0); /* a 304 has none; the fetch ends properly and keeps its connection */
			return f->body;
		}
		fill_drop_fetch(f);
		fill_ask_again(f, NULL);
		return NULL;
	}
	return f->segment.is_asked ? fill_take_part(f, h, framing) : fill_take_head(f, h, framing);
}
