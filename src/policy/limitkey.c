#include "policy/limitkey.h"

#include <netinet/in.h>
#include <sys/socket.h>
#define XXH_INLINE_ALL
#include <xxhash.h>

/* The kinds of part a key has beside those of its values. */
#define HASHED 0x40 /* in the kind: what follows is the hash of the value */
#define FOLDED 0x7f /* a kind of its own: what follows is the hash of all parts before */
#define ABSENT 0xff /* in the place of the length; no value is that long */

#define HASH_BYTES sizeof(XXH128_canonical_t)

static void
key_append(struct limit_key *k, unsigned char kind, struct slice value)
{
	k->bytes[k->n++] = kind;
	if (value.p == NULL) {
		k->bytes[k->n++] = ABSENT;
		return;
	}
	k->bytes[k->n++] = (unsigned char)value.n;
	memcpy(k->bytes + k->n, value.p, value.n);
	k->n += (uint32_t)value.n;
}

static struct slice
hashed(XXH128_canonical_t *room, const void *p, size_t n)
{
	XXH128_canonicalFromHash(room, XXH3_128bits(p, n));
	return slice_of(room->digest, HASH_BYTES);
}

void
limit_key_add(struct limit_key *k, enum limit_key_kind kind, struct slice value)
{
	XXH128_canonical_t room;
	unsigned char marked = (unsigned char)kind;

	if (k->n + 2 + LIMIT_KEY_VALUE_MAX > LIMIT_KEY_MAX) {
		struct slice all = hashed(&room, k->bytes, k->n);

		k->n = 0;
		key_append(k, FOLDED, all);
	}
	if (value.n > LIMIT_KEY_VALUE_MAX) {
		marked |= HASHED;
		value = hashed(&room, value.p, value.n);
	}
	key_append(k, marked, value);
}

static void
key_add_v6(struct limit_key *k, const struct in6_addr *a)
{
	const char *bytes = (const char *)a->s6_addr;

	if (IN6_IS_ADDR_V4MAPPED(a))
		limit_key_add(k, LIMIT_KEY_CLIENT, slice_of(bytes + 12, 4));
	else
		limit_key_add(k, LIMIT_KEY_CLIENT, slice_of(bytes, 8));
}

void
limit_key_add_client(struct limit_key *k, const struct sockaddr *sa)
{
	if (sa != NULL && sa->sa_family == AF_INET) {
		const struct sockaddr_in *v4 = (const void *)sa;

		if (k->n == 0) { /* the same as below: most often it is the only part */
			k->bytes[0] = LIMIT_KEY_CLIENT;
			k->bytes[1] = 4;
			memcpy(k->bytes + 2, &v4->sin_addr, 4);
			k->n = 6;
			return;
		}
		limit_key_add(k, LIMIT_KEY_CLIENT, slice_of(&v4->sin_addr, 4));
	} else if (sa != NULL && sa->sa_family == AF_INET6) {
		key_add_v6(k, &((const struct sockaddr_in6 *)(const void *)sa)->sin6_addr);
	} else {
		limit_key_add(k, LIMIT_KEY_CLIENT, SLICE_NONE);
	}
}
