/* policy/limitkey.h - the bytes under which a rate limit counts: whose permits these are.
 *
 * A key is a row of parts (client address, a header's value, ...), each with its kind and its
 * length in front: two different rows never give the same bytes. A value longer than
 * LIMIT_KEY_VALUE_MAX stands there as its XXH3-128, marked as such, and a row that outgrows
 * LIMIT_KEY_MAX is folded into its hash, so that no request can make a key long. The hash is not
 * seeded: all instances that share a limit must make the same key. Whoever makes two values of his
 * own collide only shares one limit with himself.
 */
#ifndef POLICY_LIMITKEY_H
#define POLICY_LIMITKEY_H

#include <stdint.h>

#include "base/slice.h"

struct sockaddr;

#define LIMIT_KEY_MAX 160
#define LIMIT_KEY_VALUE_MAX 48

enum limit_key_kind {
	LIMIT_KEY_CLIENT = 1,
	LIMIT_KEY_HEADER,
	LIMIT_KEY_COOKIE,
	LIMIT_KEY_JWT,
	LIMIT_KEY_ROUTE,
	LIMIT_KEY_LITERAL
};

/* {0} is a key without parts: one for everybody. */
struct limit_key {
	uint32_t n;
	unsigned char bytes[LIMIT_KEY_MAX];
};

/* Adds a part. A value that is absent (SLICE_NONE) differs from an empty one; all requests without
 * it share its permits. */
void limit_key_add(struct limit_key *k, enum limit_key_kind kind, struct slice value);

/* Adds the client's address: IPv4 whole, IPv6 by its first 64 bits (what one customer is given),
 * IPv4 in IPv6 clothes (::ffff:a.b.c.d) as IPv4; never the port. A client without one (a unix
 * socket) is absent. */
void limit_key_add_client(struct limit_key *k, const struct sockaddr *sa);

static inline struct slice
limit_key_slice(const struct limit_key *k)
{
	return slice_of(k->bytes, k->n);
}

#endif
