/* The method PURGE, as senders for Varnish, Squid and CDNs write it: never forwarded, heard from some networks only. */
#include "server/exchange_priv.h"
#include "server/purging.h"
#include "server/request.h"

/* Fields that name tags, between blanks. */
static const struct {
	const char *name;
	bool soft;
} tag_fields[] = {{"Surrogate-Key", false}, {"xkey", false}, {"xkey-purge", false},
    {"xkey-softpurge", true}, {"Cache-Tag", false}};

static bool
is_blank_or_comma(char c)
{
	return c == ' ' || c == '\t' || c == ',';
}

static void
add_tags(struct purging *p, struct slice words)
{
	while (words.n > 0) {
		size_t n = 0;

		while (n < words.n && !is_blank_or_comma(words.p[n]))
			n++;
		if (n > 0)
			purging_add(p, PURGE_TAG, slice_of(words.p, n));
		words = slice_skip(words, n < words.n ? n + 1 : n);
	}
}

static void
add_named_tags(struct purging *p, const struct head *h, bool *soft)
{
	for (size_t i = 0; i < sizeof(tag_fields) / sizeof(*tag_fields); i++) {
		struct slice name = slice_from(tag_fields[i].name);

		for (const struct field *f = head_find_name(h, name); f != NULL;
		     f = head_next_name(h, f)) {
			add_tags(p, field_value(h, f));
			*soft |= tag_fields[i].soft;
		}
	}
}

/* The URL as a GET of it is stored, or all that begins so. */
static void
add_target(struct purging *p, const struct exchange *x)
{
	const struct route *get = exchange_route_of_get(x);
	bool is_prefix = slice_ends(x->url.has_query ? x->url.query : x->url.path, SLICE_LIT("*"));
	struct buf name = {0};

	buf_add_slice(&name, x->url.authority);
	buf_add_slice(&name, x->url.path);
	if (is_prefix && x->url.has_query)
		buf_printf(&name, "?%.*s", SLICE_FMT(x->url.query));
	else if (get != NULL)
		exchange_add_query(x, get, &name);
	if (is_prefix)
		name.n--;
	purging_add(p, is_prefix ? PURGE_PREFIX : PURGE_EXACT, buf_slice(&name));
	buf_fini(&name);
}

enum exchange_next
exchange_purge(struct exchange *x)
{
	const struct field *soft = head_find_name(&x->head, SLICE_LIT("Fastly-Soft-Purge"));
	struct purging_way way = {
	    .soft = soft != NULL && slice_eq(field_value(&x->head, soft), SLICE_LIT("1"))};
	struct purging *p;

	if (!x->site->takes_purges) {
		buf_add_lit(
		    &x->own_fields, "Allow: GET, HEAD, POST, PUT, PATCH, DELETE, OPTIONS\r\n");
		return exchange_own(x, 405, "PURGE is not heard here (purge.allow)");
	}
	if (!address_is_in(&x->client_address, x->site->purgers, x->site->purgers_count)) {
		if (!x->is_dry)
			observe_add(x->worker->observer, COUNT_admin_denied, 1);
		return exchange_own(x, 403, "PURGE from an address that purge.allow does not name");
	}
	if (x->is_dry)
		return exchange_own(x, 200, "purge");
	p = purging_new(x, "method");
	add_named_tags(p, &x->head, &way.soft);
	if (!purging_has_any(p))
		add_target(p, x);
	x->step = STEP_respond;
	x->reason = "purge";
	purging_go(&p, &way);
	return EXCHANGE_WAIT;
}
