/* What a request is stored under: all that the origin can see of it and the route counts. */
#include "http/forwarded.h"
#include "http/offer.h"
#include "http/searchrule.h"
#include "http/tracking.h"
#include "server/exchange_priv.h"

/* The query as the route wants it: in the key, and so upstream too, that nobody can have one and mean the other. */
void
exchange_add_query(const struct exchange *x, const struct route *r, struct buf *key)
{
	const struct route_cache *rc = &r->cache;
	size_t before = key->n;

	if (!x->url.has_query || rc->query == QUERY_NONE)
		return;
	buf_add_char(key, '?');
	if (rc->query == QUERY_ALL && !rc->query_sorted && !rc->drops_tracking) {
		buf_add_slice(key, x->url.query);
		return;
	}
	struct query_rules rules = {.keep = rc->query == QUERY_ALLOW ? QUERY_KEEP_LISTED
		: rc->query == QUERY_DROP			     ? QUERY_DROP_LISTED
								     : QUERY_KEEP_ALL,
	    .names = rc->query_names.items,
	    .names_count = rc->query_names.count,
	    .also_dropped = tracking_params,
	    .also_dropped_count = rc->drops_tracking ? tracking_params_count : 0,
	    .sorted = rc->query_sorted};
	url_query_filter(x->url.query, &rules, key);
	if (key->n == before + 1 && (x->url.query.n > 0 || rc->query != QUERY_ALL))
		key->n = before; /* nothing of it is left: the same as none */
}

/* What else the origin can see and the route counts, behind the URL: each after a NUL, its values after a line break
 * each, so that no part can be taken for another and absent differs from empty. */
static void
add_part(struct buf *key, char kind, const char *name)
{
	buf_add_char(key, '\0');
	buf_add_char(key, kind);
	buf_add_slice(key, slice_from(name));
}

static void
add_part_value(struct buf *key, struct slice value)
{
	buf_add_char(key, '\n');
	buf_add_slice(key, value);
}

static void
add_header(const struct head *h, const char *name, struct buf *key)
{
	struct slice s = slice_from(name);

	add_part(key, 'h', name);
	for (const struct field *f = head_find_name(h, s); f != NULL; f = head_next_name(h, f))
		if (!f->is_hop) /* the origin will not see those */
			add_part_value(key, field_value(h, f));
}

static void
add_cookie(const struct head *h, const char *name, struct buf *key)
{
	struct cookie_walk walk = {0};
	struct slice value;

	add_part(key, 'c', name);
	while (cookie_next(h, slice_from(name), &walk, &value))
		add_part_value(key, value);
}

/* A trusted proxy's word about the outside goes on to the origin: redirects and links depend on it. What it says no otherwise
 * than the URL does already is left out: then a page has one key, whichever way a request came. */
static void
add_forwarded(const struct exchange *x, struct buf *key)
{
	struct slice proto = head_value(&x->head, FIELD_X_FORWARDED_PROTO);
	struct slice host = head_value(&x->head, FIELD_X_FORWARDED_HOST);

	if (proto.n > 0 && !slice_eq(proto, exchange_scheme(x))) {
		add_part(key, 'f', "proto");
		add_part_value(key, proto);
	}
	if (host.n > 0 && !slice_eq(host, x->url.authority)) {
		add_part(key, 'f', "host");
		add_part_value(key, host);
	}
	if (head_has(&x->head, FIELD_FORWARDED) && forwarded_is_valid(&x->head)) {
		add_part(key, 'f', "forwarded");
		buf_add_char(key, '\n');
		forwarded_add_outside(&x->head, key);
	}
}

/* The field counts no more, in no key and not upstream: what is left of it stands elsewhere. */
static void
take_away(struct head *h, struct slice name)
{
	for (unsigned i = 0; i < h->count; i++)
		if (slice_ieq(field_name(h, &h->fields[i]), name))
			h->fields[i].is_hop = true;
}

/* Fields that count as one of a few values: that value. */
static void
add_offers(struct exchange *x, const struct route_cache *rc, struct buf *key)
{
	for (unsigned i = 0; i < rc->offers_count; i++) {
		const struct route_offer *o = &rc->offers[i];
		struct slice name = slice_from(o->name);
		int n = offer_choose(&x->head, name, o->values.items, o->values.count);

		x->offered[i] = (int8_t)n;
		add_part(key, 'v', o->name);
		if (n != OFFER_NONE)
			add_part_value(key, slice_from(o->values.items[n]));
		take_away(&x->head, name);
	}
}

/* Another route's answer to the same URL is another answer. */
static void
add_conditions(const struct route *r, struct buf *key)
{
	for (unsigned i = 0; i < r->conditions_count; i++) {
		add_part(key, 'm', r->conditions[i].name);
		if (r->conditions[i].value != NULL)
			add_part_value(key, slice_from(r->conditions[i].value));
	}
}

bool
key_loosen(const struct request_key *k, struct slice rule, struct buf *out)
{
	struct slice text = k->exact.text, query = slice_of(text.p + k->query_at, k->query_n);

	buf_add_slice(out, slice_of(text.p, k->query_at));
	buf_add_char(out, '?');
	if (!search_simplify(rule, slice_skip(query, query.n > 0 ? 1 : 0), out))
		return false;
	buf_add(out, CACHE_KEY_LOOSE, sizeof(CACHE_KEY_LOOSE) - 1);
	buf_add_slice(out, rule);
	buf_add_slice(out, slice_skip(text, k->query_at + k->query_n));
	return true;
}

/* The rule that a loose key holds. */
static struct slice
rule_of(struct slice key)
{
	struct slice rest = slice_skip(key, slice_index(key, '\0') + sizeof(CACHE_KEY_LOOSE) - 1);

	return slice_of(rest.p, slice_index(rest, '\0'));
}

bool
exchange_key_fits(const struct exchange *x, struct slice key)
{
	struct buf *own = &x->worker->scratch;

	if (key.n == 0 || slice_eq(key, x->key.text) || slice_eq(key, x->keyed.exact.text))
		return true;
	own->n = 0;
	return cache_key_is_loose(key) && key_loosen(&x->keyed, rule_of(key), own) &&
	    slice_eq(buf_slice(own), key);
}

static struct cache_key
key_keep(struct exchange *x, const struct buf *text)
{
	return cache_key_of(arena_copy(&x->mem, buf_slice(text)));
}

/* Where the origin has said which parameters count, what it gave for others of the same sort answers this request, too. */
static void
loosen(struct exchange *x)
{
	char space[SEARCH_RULE_MAX];
	struct slice url = slice_of(x->keyed.exact.text.p, x->keyed.query_at);
	struct slice rule = searchrules_find(x->worker->commons->searches, url, space);
	struct buf *text = &x->worker->scratch;

	text->n = 0;
	if (rule.n > 0 && key_loosen(&x->keyed, rule, text))
		x->key = key_keep(x, text);
}

/* Nothing counts but the URL, with its query as it came or without: then that is the key, as it lies there. */
static bool
key_is_url(const struct exchange *x, const struct route_cache *rc)
{
	bool takes_query = rc->query == QUERY_ALL && !rc->query_sorted && !rc->drops_tracking;

	return (takes_query || !x->url.has_query) && !x->peer_is_trusted &&
	    x->route->conditions_count == 0 && rc->key_headers.count == 0 &&
	    rc->cookies != COOKIES_KEY && rc->offers_count == 0 && !x->is_query;
}

void
exchange_make_key(struct exchange *x)
{
	const struct route_cache *rc = &x->route->cache;
	struct buf key = x->worker->scratch;

	x->is_reduced = true;
	if (key_is_url(x, rc)) {
		x->keyed.query_at = (uint32_t)(x->url.path.p + x->url.path.n - x->url.whole.p);
		x->keyed.query_n = (uint32_t)x->url.whole.n - x->keyed.query_at;
		x->key = x->keyed.exact = cache_key_of(x->url.whole);
		if (searchrules_any(x->worker->commons->searches))
			loosen(x);
		return;
	}
	key.n = 0;
	buf_add_slice(&key, exchange_scheme(x));
	buf_add_lit(&key, "://");
	buf_add_slice(&key, x->url.authority);
	buf_add_slice(&key, x->url.path);
	x->keyed.query_at = (uint32_t)key.n;
	exchange_add_query(x, x->route, &key);
	x->keyed.query_n = (uint32_t)key.n - x->keyed.query_at;
	if (x->peer_is_trusted)
		add_forwarded(x, &key);
	add_conditions(x->route, &key);
	for (unsigned i = 0; i < rc->key_headers.count; i++)
		add_header(&x->head, rc->key_headers.items[i], &key);
	if (rc->cookies == COOKIES_KEY) {
		for (unsigned i = 0; i < rc->cookie_names.count; i++)
			add_cookie(&x->head, rc->cookie_names.items[i], &key);
		take_away(&x->head, SLICE_LIT("Cookie"));
	}
	add_offers(x, rc, &key);
	if (x->is_query)
		exchange_key_add_query(x, &key);
	x->key = x->keyed.exact = key_keep(x, &key);
	x->worker->scratch = key;
	loosen(x);
}
