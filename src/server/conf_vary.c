/* The directive `vary`: which values of a field of the request a route tells apart. */
#include "conf/fill.h"
#include "policy/token.h"
#include "server/conf_route.h"

#define OFFER_VALUES_MAX "64" /* as many as the store keeps variants of one URL */

/* Fields that say what no answer should depend on, or that are decided elsewhere. */
static bool
is_decided_elsewhere(struct slice name)
{
	switch (field_id_of(name)) {
	case FIELD_AUTHORIZATION:
	case FIELD_COOKIE:
	case FIELD_HOST:
	case FIELD_RANGE:
		return true;
	default:
		return (field_flags(field_id_of(name)) & (F_HOP | F_FORGED)) != 0;
	}
}

/* One value goes upstream as the whole field. */
static int
check_values(struct conf_context *cx, const struct conf_directive *row, const struct conf_entry *e,
    const struct names *values)
{
	for (unsigned i = 0; i < values->count; i++)
		for (const char *p = values->items[i]; *p != '\0'; p++)
			if (*p <= ' ' || *p >= 0x7f || *p == ',' || *p == ';') {
				conf_error(cx->diag, e->value->at, "%s: \"%s\" is no value of %s",
				    conf_row_name(row), values->items[i], e->key);
				return -1;
			}
	return 0;
}

static int
offer_parse(struct conf_context *cx, const struct conf_directive *row, const struct conf_entry *e,
    struct route_offer *out)
{
	struct conf_directive values = {
	    .name = e->key, .type = CONF_STRINGS, .least = "1", .most = OFFER_VALUES_MAX};
	CONF_LIST_OF(const char *) list = {0};
	char *name;

	if (!slice_is_token(slice_from(e->key)) || is_decided_elsewhere(slice_from(e->key))) {
		conf_error(cx->diag, e->at, "%s: \"%s\" is no field that can vary here",
		    conf_row_name(row), e->key);
		conf_hint(
		    cx->diag, "expected accept-language, accept, or a field of the site's own");
		return -1;
	}
	if (conf_fill_value(cx, &values, e->value, &list) < 0)
		return -1;
	name = arena_alloc(cx->mem, strlen(e->key) + 1);
	for (size_t i = 0; i <= strlen(e->key); i++)
		name[i] = (char)ascii_lower((unsigned char)e->key[i]);
	*out = (struct route_offer){name, {(unsigned)list.count, list.items}};
	return check_values(cx, row, e, &out->values);
}

int
cache_vary_parse(struct conf_context *cx, const struct conf_node *n,
    const struct conf_directive *row, void *field)
{
	struct cache_vary *out = field;
	int result = 0;

	if (n->kind != CONF_MAPPING || n->count > ROUTE_OFFERS_MAX) {
		conf_error(cx->diag, n->at, "%s: %s", conf_row_name(row),
		    n->kind != CONF_MAPPING ? "this is not understood here" : "too many fields");
		conf_hint(cx->diag, "expected %s, at most %d fields", row->form, ROUTE_OFFERS_MAX);
		return -1;
	}
	out->items = arena_zalloc(cx->mem, (n->count + 1) * sizeof(*out->items));
	for (size_t i = 0; i < n->count; i++)
		if (offer_parse(cx, row, &n->entries[i], &out->items[out->count]) == 0)
			out->count++;
		else
			result = -1;
	return result;
}
