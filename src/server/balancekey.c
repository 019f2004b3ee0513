#include "server/balancekey.h"

#include <xxhash.h>

/* Absent differs from empty, and where one part ends from where the next begins. */
static void
add_part(uint64_t *h, struct slice part)
{
	uint64_t n = part.p == NULL ? UINT64_MAX : part.n;

	*h = XXH3_64bits_withSeed(&n, sizeof(n), *h);
	if (part.n > 0)
		*h = XXH3_64bits_withSeed(part.p, part.n, *h);
}

static struct slice
header_value(const struct head *h, const char *name)
{
	const struct field *f = head_find_name(h, slice_from(name));

	return f == NULL ? SLICE_NONE : field_value(h, f);
}

static struct slice
cookie_value(const struct head *h, const char *name)
{
	struct cookie_walk walk = {0};
	struct slice value;

	return cookie_next(h, slice_from(name), &walk, &value) ? value : SLICE_NONE;
}

/* As rate limits see it: an IPv6 customer has 64 bits of his own. */
static void
add_client(uint64_t *h, const struct exchange *x)
{
	struct limit_key key = {0};

	limit_key_add_client(&key, &x->client_address.u.sa);
	add_part(h, limit_key_slice(&key));
}

uint64_t
balance_key_of(const struct exchange *x)
{
	const struct upstream_conf *c = &x->route->upstream->conf;
	uint64_t h = 0;

	if (c->balance != BALANCE_consistent_hash)
		return 0;
	for (unsigned i = 0; i < c->hash_parts_count; i++) {
		const struct hash_part *p = &c->hash_parts[i];

		switch (p->kind) {
		case HASH_PART_uri:
			add_part(&h, x->url.path);
			add_part(&h, x->url.has_query ? x->url.query : SLICE_NONE);
			break;
		case HASH_PART_client:
			add_client(&h, x);
			break;
		case HASH_PART_header:
			add_part(&h, header_value(&x->head, p->name));
			break;
		case HASH_PART_cookie:
			add_part(&h, cookie_value(&x->head, p->name));
			break;
		}
	}
	return h;
}
