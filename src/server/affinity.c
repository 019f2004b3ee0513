#include "server/affinity.h"

static const struct affinity_conf *
conf_of(const struct exchange *x)
{
	return x->route == NULL || x->route->upstream == NULL
	    ? NULL
	    : upstream_affinity(x->route->upstream);
}

struct slice
affinity_of_request(const struct exchange *x)
{
	const struct affinity_conf *c = conf_of(x);
	struct cookie_walk walk = {0};
	struct slice value;

	if (c == NULL || !cookie_next(&x->head, slice_from(c->cookie), &walk, &value))
		return SLICE_NONE;
	return value;
}

/* The next pair of a line; *rest goes on behind it. */
static bool
next_pair(struct slice *rest, struct slice *pair_out)
{
	while (rest->n > 0) {
		size_t end = slice_index(*rest, ';');

		*pair_out = slice_trim(slice_of(rest->p, end));
		*rest = slice_skip(*rest, end < rest->n ? end + 1 : end);
		if (pair_out->n > 0)
			return true;
	}
	return false;
}

static bool
is_ours(const struct affinity_conf *c, struct slice pair)
{
	size_t eq = slice_index(pair, '=');

	return eq < pair.n && slice_eq(slice_trim(slice_of(pair.p, eq)), slice_from(c->cookie));
}

bool
affinity_has_other_cookies(const struct exchange *x)
{
	const struct field *f = head_find(&x->head, FIELD_COOKIE);
	const struct affinity_conf *c = f == NULL ? NULL : conf_of(x);

	for (; f != NULL; f = head_next(&x->head, f)) {
		struct slice rest = field_value(&x->head, f), pair;

		if (c == NULL)
			return true;
		while (next_pair(&rest, &pair))
			if (!is_ours(c, pair))
				return true;
	}
	return false;
}

void
affinity_write_cookies(const struct exchange *x, const struct field *f, struct buf *out)
{
	const struct affinity_conf *c = conf_of(x);
	struct slice rest = field_value(&x->head, f), pair;
	size_t before = out->n;

	if (c == NULL) {
		buf_add_lit(out, "Cookie: ");
		buf_add_slice(out, rest);
	} else
		while (next_pair(&rest, &pair)) {
			if (is_ours(c, pair))
				continue;
			if (out->n == before)
				buf_add_lit(out, "Cookie: ");
			else
				buf_add_lit(out, "; ");
			buf_add_slice(out, pair);
		}
	if (out->n > before)
		buf_add_lit(out, "\r\n");
}

void
affinity_note(struct exchange *x, const struct server *s)
{
	x->affinity[0] = '\0';
	if (conf_of(x) == NULL || s == NULL ||
	    slice_eq(affinity_of_request(x), slice_from(s->token)))
		return;
	memcpy(x->affinity, s->token, sizeof(x->affinity));
}

void
affinity_add_field(const struct exchange *x, struct buf *out)
{
	static const char *const same_site[] = {
#define X(name, text) text,
	    SAME_SITES(X)
#undef X
	};
	const struct affinity_conf *c = conf_of(x);

	if (c == NULL || x->affinity[0] == '\0' || x->tier != TIER_origin)
		return;
	buf_printf(out, "Set-Cookie: %s=%s; Path=/; HttpOnly; SameSite=%s", c->cookie, x->affinity,
	    same_site[c->same_site]);
	if (c->secure == AFFINITY_SECURE_on ||
	    (c->secure == AFFINITY_SECURE_auto && slice_eq(exchange_scheme(x), SLICE_LIT("https"))))
		buf_add_lit(out, "; Secure");
	if (c->life_ms > 0)
		buf_printf(out, "; Max-Age=%lld", (long long)(c->life_ms / 1000));
	buf_add_lit(out, "\r\n");
}
