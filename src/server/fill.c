#include "server/fill.h"

#include <stdlib.h>

#include "base/clock.h"
#include "base/hash.h"
#include "base/log.h"
#include "base/mem.h"
#include "cache/redis.h"
#include "http/conditional.h"
#include "http/storedhead.h"
#include "http/vary.h"
#include "server/exchange_priv.h"
#include "server/purge.h"
#include "server/request.h"

#define WINDOW_BYTES (1024 * 1024) /* of a passing body: unread, before the origin is held back */
#define STALL_MS 5000		   /* a rider that holds back others for so long is given up */
#define UNSHARED_MS 10000	   /* a key that proved not to be shared is not gathered for */
#define L2_SILENCE_MS 5		   /* then the origin is asked, too */
#define COMPACT_WASTE 4 /* a body whose chunks waste more than a quarter is copied tight */

struct fill {
	struct worker *worker;
	struct errand errand;
	struct site *site; /* own reference */
	const struct route *route;
	struct flight *flight; /* own reference */
	struct exchange *x;    /* the leader, while it rides; NULL for a refresh */
	struct fetch *fetch;
	struct buf request; /* the head that goes upstream */
	/* What the request was, for the verdicts */
	struct head head;
	char *head_bytes;
	struct cache_control cc;
	bool has_authorization, has_cookie, is_shared;
	enum method method;
	struct cache_key key;
	char *key_text;
	struct buf tags;
	struct purge_set purges; /* what the route declared, expanded before the request went out */
	uint64_t log_pos;
	/* What is validated; own reference */
	struct object *stale;
	struct head stale_head;
	struct object *described; /* what a HEAD is about; own reference */
	bool is_refresh;
	/* The response */
	int64_t sent_us, head_us;
	enum store_verdict verdict;
	struct cache_control response_cc;
	struct object *object; /* for the store; own reference */
	struct body *body;     /* own reference */
	bool windowed, done;
	struct timer stall, l2_silence;
	struct l2_get *l2;
	struct l2_stamp l2_stamp; /* {0}: what is fetched is not written there */
	struct task start;	  /* from a clean stack */
};

static void fill_ask_origin(struct fill *f);
static const struct fetch_handler fill_fetch_handler;

static struct loop *
fill_loop(const struct fill *f)
{
	return f->worker->loop;
}

/* --- beginning and end --- */

static void
fill_free(struct fill *f)
{
	struct worker *w = f->worker;

	list_leave(&f->errand.link);
	fetch_abort(&f->fetch);
	if (f->l2 != NULL)
		l2_get_cancel(&f->l2);
	timer_disarm(&f->stall);
	timer_disarm(&f->l2_silence);
	task_cancel(&f->start);
	flight_set_owner(f->flight, NULL, NULL);
	flight_unref(&f->flight);
	object_unref(&f->object);
	if (f->stale != NULL && f->is_refresh)
		atomic_store_explicit(&f->stale->refreshing, false, memory_order_relaxed);
	object_unref(&f->stale);
	object_unref(&f->described);
	if (f->body != NULL)
		body_unref(&f->body);
	buf_fini(&f->request);
	buf_fini(&f->tags);
	purge_set_fini(&f->purges);
	free(f->head_bytes);
	free(f->key_text);
	site_unref(&f->site);
	free(f);
	w->exchanges--;
	worker_note_quiet(w);
}

/* No response will come: the riders are told, and a write in doubt purges. */
static void
fill_fail(struct fill *f, enum fetch_end end)
{
	if (!f->done) {
		bool never_sent = end == FETCH_unresolved || end == FETCH_refused ||
		    end == FETCH_connect_slow || end == FETCH_no_connection;

		if (!never_sent)
			purge_set_carry_out(&f->purges, f->worker);
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
	f->head = x->head;
	f->head_bytes = must_malloc(x->head.size);
	memcpy(f->head_bytes, x->head.base, x->head.size);
	f->head.base = f->head_bytes;
	f->cc = x->cc;
	f->has_authorization = x->has_authorization;
	f->has_cookie = x->has_cookie;
	f->method = x->head.method;
	f->is_shared = x->is_shared;
	f->key = x->key;
	if (x->key.text.n > 0) {
		f->key_text = must_strndup(x->key.text.p, x->key.text.n);
		f->key.text.p = f->key_text;
	}
	buf_add_slice(&f->tags, x->tags);
}

static void
on_fill_start(void *arg)
{
	fill_ask_origin(arg);
}

static void
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
static void
on_fill_stall(void *arg)
{
	struct fill *f = arg;
	uint64_t behind = body_length(f->body) - WINDOW_BYTES / 2;

	if (flight_read_by_any(f->flight) > behind)
		flight_expel(f->flight, behind);
	else
		timer_arm(fill_loop(f), &f->stall, loop_now_ms(fill_loop(f)) + STALL_MS);
}

static void on_l2_silence(void *arg);

static struct fill *
fill_new(struct exchange *x, struct flight *flight, struct object *stale)
{
	struct fill *f = must_calloc(1, sizeof(*f));

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
	request_render(x, f->stale == NULL ? NULL : &f->stale_head, &f->request);
	return f;
}

static void fill_ask_l2(struct fill *f);

void
fill_start(struct exchange *x, struct flight *flight)
{
	struct fill *f = fill_new(x, flight_ref(flight), x->stale);

	f->x = x;
	if (f->is_shared && f->stale == NULL && f->worker->l2 != NULL && x->restarts == 0)
		fill_ask_l2(f);
	else
		fill_ask_origin(f);
}

void
fill_start_refresh(struct exchange *x, struct flight *flight, struct object *o)
{
	struct fill *f = fill_new(x, flight, o);

	f->is_refresh = true;
	if (f->stale ==
	    NULL) /* without validators it is fetched anew; the flag is still ours to clear */
		f->stale = object_ref(o);
	observe_add(f->worker->observer, COUNT_refreshes, 1);
	fill_ask_origin(f);
}

/* --- Redis --- */

/* Whether what was found there answers the request as it is: by the same rules as what is found in memory. */
static bool
may_answer(const struct fill *f, struct object *o)
{
	const struct route_cache *rc = &f->route->cache;
	struct reuse_stored s = {.age_ms = object_age_ms(o, loop_now_ms(fill_loop(f))),
	    .life_ms = o->facts.life_ms,
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
	if (o != NULL && f->route->cache.l2_fill_ms > 0 &&
	    o->facts.life_ms > o->facts.age_ms + f->route->cache.l2_fill_ms)
		o->facts.life_ms =
		    o->facts.age_ms + f->route->cache.l2_fill_ms; /* not shared yet */
	if (o != NULL && may_answer(f, o)) {
		fetch_abort(&f->fetch);
		f->done = true;
		flight_from_redis(f->flight);
		store_put(f->worker->commons->store, o);
		flight_publish(f->flight, o);
		flight_close(f->flight);
		fill_free(f);
		return;
	}
	if (silent_still)
		fill_ask_origin(f);
}

static void
on_l2_silence(void *arg)
{
	fill_ask_origin(arg);
}

static void
fill_ask_l2(struct fill *f)
{
	f->l2 = l2_get(f->worker->l2, &f->key, &f->head, on_l2_answer, f);
	if (f->l2 == NULL) {
		fill_ask_origin(f);
		return;
	}
	timer_arm(fill_loop(f), &f->l2_silence, loop_now_ms(fill_loop(f)) + L2_SILENCE_MS);
}

/* --- the origin --- */

static void
fill_ask_origin(struct fill *f)
{
	struct fetch_plan plan = {
	    .upstream = f->route->upstream,
	    .head = buf_slice(&f->request),
	    .method = f->method,
	    .is_idempotent = method_is_idempotent(f->method),
	    .wants_upgrade = f->x != NULL && f->x->is_upgrade,
	    .upload = f->x != NULL && f->x->client != NULL && f->x->client->has_upload
		? &f->x->upload
		: NULL,
	    .head_limit = f->site->head_size,
	};

	if (f->worker->l2 != NULL)
		f->l2_stamp = l2_stamp(f->worker->l2);
	f->sent_us = clock_mono_us();
	f->fetch = fetch_start(f->worker->pool, f->worker->resolver, &plan, &fill_fetch_handler, f);
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

/* The request's answer is not for the store or for others: a body that only passes. */
static bool
is_for_riders(const struct fill *f, const struct life *life)
{
	return f->verdict == STORE_STORED && !life->no_cache && life->age_ms < life->life_ms;
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
	if (f->route->cache.jitter_percent > 0 && life->by_route) {
		uint32_t random;
		random_bytes(&random, sizeof(random));
		out->life_ms =
		    life_with_jitter(life->life_ms, f->route->cache.jitter_percent, random);
	}
}

/* Tags that the origin gives: comma-separated (Cache-Tag) or blank-separated (Surrogate-Key, xkey) words. */
static void
add_origin_tags(struct buf *tags, const struct head *h, enum field_id id)
{
	for (const struct field *fl = head_find(h, id); fl != NULL; fl = head_next(h, fl)) {
		struct slice rest = field_value(h, fl);

		while (rest.n > 0) {
			size_t n = 0;
			while (
			    n < rest.n && rest.p[n] != ',' && rest.p[n] != ' ' && rest.p[n] != '\t')
				n++;
			if (n > 0 && n <= 256 && tags->n + n < 8192) {
				buf_add(tags, rest.p, n);
				buf_add_char(tags, '\0');
			}
			rest = slice_skip(rest, n < rest.n ? n + 1 : n);
		}
	}
}

/* An object of this canonical head. slab NULL: it only passes. */
static struct object *
make_object(struct fill *f, struct slice head, const struct life *life, struct slab *slab,
    struct body *body)
{
	struct head parsed;
	struct buf vary = {0}, tags = {0};
	struct object_parts parts = {
	    .hash = f->key.hash, .key = f->key.text, .head = head, .body = body};
	struct object *o = NULL;

	if (!head_of_stored(&parsed, head))
		bug("a head of ours does not parse");
	facts_of(f, &parsed, life, &parts.facts);
	if (slab != NULL) {
		if (!vary_key(&parsed, &f->head, &vary))
			goto out;
		buf_add_slice(&tags, buf_slice(&f->tags));
		add_origin_tags(&tags, &parsed, FIELD_CACHE_TAG);
		add_origin_tags(&tags, &parsed, FIELD_SURROGATE_KEY);
		add_origin_tags(&tags, &parsed, FIELD_XKEY);
	} else
		parts.key = SLICE_NONE;
	parts.vary = buf_slice(&vary);
	parts.tags = buf_slice(&tags);
	o = object_new(slab, &parts);
out:
	buf_fini(&vary);
	buf_fini(&tags);
	return o;
}

/* Whether h may be stored as the answer to that method, and for how long it lives. */
static enum store_verdict
judge(
    struct fill *f, const struct head *h, enum method method, int64_t body_bytes, struct life *life)
{
	const struct route_cache *rc = &f->route->cache;
	struct arrival arrival = {
	    .now_ms = loop_wall_ms(fill_loop(f)), .delay_ms = (f->head_us - f->sent_us) / 1000};
	struct store_ask ask = {.method = method,
	    .has_authorization = f->has_authorization,
	    .has_cookie = f->has_cookie && rc->cookies == COOKIES_GUARD,
	    .request_cc = &f->cc,
	    .response = h,
	    .cc = &f->response_cc,
	    .life = life,
	    .policy = &rc->store,
	    .body_bytes = body_bytes};

	cache_control_of_response(h, &f->response_cc);
	life_of_response(h, &f->response_cc, &rc->life, &arrival, life);
	return store_judge(&ask);
}

/* The head as it goes on when it is not stored: everything end-to-end. */
static void
passing_head_write(const struct head *h, struct buf *out)
{
	buf_add_lit(out, "HTTP/1.1 ");
	buf_add_u64(out, h->status);
	buf_add_char(out, ' ');
	buf_add_slice(out, head_reason(h));
	buf_add_lit(out, "\r\n");
	for (unsigned i = 0; i < h->count; i++) {
		const struct field *fl = &h->fields[i];

		if (fl->is_hop || fl->id == FIELD_AGE)
			continue;
		buf_add(out, h->base + fl->name_at, fl->name_len);
		buf_add_lit(out, ": ");
		buf_add(out, h->base + fl->value_at, fl->value_len);
		buf_add_lit(out, "\r\n");
	}
	buf_add_lit(out, "\r\n");
}

/* Tells the riders, when the response has its object. */
static void
announce(struct fill *f, struct object *o, bool for_all)
{
	int64_t forget_ms = loop_now_ms(fill_loop(f)) + UNSHARED_MS;

	if (for_all)
		flight_publish(f->flight, o);
	else
		flight_disband(f->flight, o, f->verdict == STORE_STORED ? 0 : forget_ms);
}

/* Makes the objects: one for the store if it may be kept, and one for the leader alone when what is kept leaves something out. */
static bool
take_response(
    struct fill *f, const struct head *h, const struct framing *framing, struct life *life)
{
	struct slab *slab = store_slab(f->worker->commons->store);
	bool keep = f->verdict == STORE_STORED;
	struct stored_rules rules = {
	    .drop_set_cookie = f->route->cache.store.set_cookie != SET_COOKIE_STORE,
	    .now_ms = loop_wall_ms(fill_loop(f))};
	uint64_t expected = framing->kind == FRAMING_LENGTH ? framing->length
	    : framing->kind == FRAMING_NONE		    ? 0
							    : BODY_LENGTH_UNKNOWN;
	bool own_for_leader = !keep || f->response_cc.name_lists > 0;
	struct object *passing = NULL;
	struct buf text = {0};

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
		stored_head_write(h, &f->response_cc, &rules, &text);
		f->object = make_object(f, buf_slice(&text), life, slab, f->body);
		if (f->object == NULL) {
			f->verdict = STORE_NO_MEMORY;
			own_for_leader = true;
		}
	}
	if (own_for_leader) {
		text.n = 0;
		passing_head_write(h, &text);
		passing = make_object(f, buf_slice(&text), life, NULL, f->body);
	}
	buf_fini(&text);
	f->windowed = f->object == NULL;
	if (f->x != NULL)
		f->x->verdict = f->verdict;
	if (passing == NULL && (own_for_leader || f->object == NULL))
		return false;
	announce(
	    f, passing != NULL ? passing : f->object, passing == NULL && is_for_riders(f, life));
	object_unref(&passing);
	return true;
}

/* The same bytes have the same codings. */
static void
inherit_variants(struct object *o, const struct object *old)
{
	for (struct object_variant *v = atomic_load_explicit(&old->variants, memory_order_acquire);
	     v != NULL; v = atomic_load_explicit(&v->next, memory_order_acquire)) {
		struct body *b = body_ref(v->body);

		object_add_variant(
		    o, v->encoding, &b); /* without room it is made again when asked for */
	}
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
	stored_head_merge(&was, says, &cc, &rules, &text);
	if (!head_of_stored(&merged, buf_slice(&text)))
		bug("a merged head does not parse");
	f->verdict = judge(f, &merged, METHOD_GET, (int64_t)body_length(old->body), life);
	life->age_ms = age_of_head(says) > 0 ? (int64_t)age_of_head(says) * 1000 : life->age_ms;
	o = make_object(f, buf_slice(&text), life,
	    f->verdict == STORE_STORED ? store_slab(f->worker->commons->store) : NULL, old->body);
	buf_fini(&text);
	if (o != NULL && o->slab != NULL)
		inherit_variants(o, old);
	return o;
}

static void
store_renewed(struct fill *f, struct object *old, struct object *renewed)
{
	if (f->verdict != STORE_STORED) {
		store_remove(f->worker->commons->store, old);
		return;
	}
	store_put(f->worker->commons->store, renewed);
	if (f->worker->l2 != NULL)
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

	if (!is_listed(f, f->described))
		return;
	if (!head_of_stored(&stored, object_head(f->described)))
		bug("a stored head does not parse");
	switch (head_judge(&stored, h)) {
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

/* 304 to a question of ours that is not about what we have: ask again, without conditions. */
static void
ask_again_plainly(struct fill *f)
{
	object_unref(&f->stale);
	f->request.n = 0;
	request_render(f->x, NULL, &f->request);
	loop_later(fill_loop(f), &f->start);
}

/* Nobody rides, and nobody will. */
static bool
is_for_nobody(struct fill *f)
{
	flight_close(f->flight);
	return flight_riders(f->flight) == 0;
}

static struct body *
on_fill_head(void *arg, const struct head *h, const struct framing *framing)
{
	struct fill *f = arg;
	struct life life;

	if (f->l2 != NULL) /* the origin was faster */
		l2_get_cancel(&f->l2);
	f->head_us = clock_mono_us();
	if (f->x != NULL)
		f->x->origin_us = f->head_us - f->sent_us;
	purge_after_response(&f->purges, f->worker, h);
	if (h->status == 304 && f->stale != NULL && f->stale_head.base != NULL) {
		struct fetch *spent = f->fetch;

		if (not_modified_is_about(&f->stale_head, h) && take_not_modified(f, h)) {
			f->body = body_new(NULL,
			    0); /* a 304 has none; the fetch ends properly and keeps its connection */
			return f->body;
		}
		f->fetch = NULL;
		fetch_abort(&spent);
		if (f->x != NULL)
			ask_again_plainly(f);
		else /* whose request it was has gone, or there was none */
			fill_fail(f, FETCH_done);
		return NULL;
	}
	if (f->described != NULL)
		learn_from_head(f, h);
	f->verdict = judge(f, h, f->method,
	    framing->kind == FRAMING_LENGTH ? (int64_t)framing->length : -1, &life);
	if (!f->is_shared)
		f->verdict = STORE_ROUTE_OFF;
	if (f->is_refresh && status_is_failure(h->status) && is_for_nobody(f)) {
		struct fetch *spent = f->fetch;

		f->fetch = NULL;
		fetch_abort(&spent);
		fill_fail(f, FETCH_response_bad);
		return NULL;
	}
	if (!take_response(f, h, framing, &life)) {
		struct fetch *spent = f->fetch;

		f->fetch = NULL;
		fetch_abort(&spent);
		fill_fail(f, FETCH_no_memory);
		return NULL;
	}
	return f->body;
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

static void
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
	o = object_new(f->object->slab,
	    &(struct object_parts){.hash = f->object->hash,
		.key = object_key(f->object),
		.vary = object_vary(f->object),
		.tags = object_tags(f->object),
		.head = object_head(f->object),
		.facts = f->object->facts,
		.body = b});
	body_unref(&b);
	if (o == NULL)
		return;
	object_unref(&f->object);
	f->object = o;
}

static void
store_object(struct fill *f)
{
	struct commons *c = f->worker->commons;

	if (body_length(f->body) > f->route->cache.store.max_object_bytes || f->body->is_passing)
		return;
	if (f->body->trailers == NULL)
		compact(f);
	if (purgelog_judge(c->purges, f->object) == PURGE_GONE)
		return;
	store_put(c->store, f->object);
	observe_add(f->worker->observer, COUNT_stored, 1);
	if (f->worker->l2 != NULL)
		l2_put(f->worker->l2, f->object, &f->l2_stamp);
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
		purge_set_carry_out(&f->purges, f->worker);
	} else if (f->object != NULL && !f->done)
		store_object(f);
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
    .on_done = on_fill_done,
};

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
		fetch_abort(&f->fetch);
		purge_set_carry_out(&f->purges, f->worker);
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
	if (!method_is_safe(f->method) && f->body == NULL)
		return;
	fill_fail(f, FETCH_done);
}
