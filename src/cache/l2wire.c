#include "cache/l2wire.h"

#include <openssl/crypto.h>
#include <openssl/evp.h>
#include <openssl/hmac.h>
#define XXH_INLINE_ALL
#include <xxhash.h>

#include "base/mem.h"

#define SIGNED_SEAL_BYTES 32 /* HMAC-SHA256 */

static void
put_number(unsigned char *at, uint64_t v, size_t n)
{
	for (size_t i = 0; i < n; i++)
		at[i] = (unsigned char)(v >> (8 * i));
}

static uint64_t
get_number(const unsigned char *at, size_t n)
{
	uint64_t v = 0;

	for (size_t i = 0; i < n; i++)
		v |= (uint64_t)at[i] << (8 * i);
	return v;
}

void
l2_wire_write(const struct l2_wire *w, char *out)
{
	unsigned char *at = (unsigned char *)out;

#define X(type, field)                                        \
	put_number(at, (uint64_t)w->field, sizeof(w->field)); \
	at += sizeof(w->field);
	WIRE(X)
#undef X
}

void
l2_wire_read(struct l2_wire *w, const char *in)
{
	const unsigned char *at = (const unsigned char *)in;

#define X(type, field)                                     \
	w->field = (type)get_number(at, sizeof(w->field)); \
	at += sizeof(w->field);
	WIRE(X)
#undef X
}

size_t
l2_seal_bytes(const struct l2_seal *seal)
{
	return seal->secret == NULL ? L2_SEAL_BYTES : SIGNED_SEAL_BYTES;
}

void
l2_seal_make(const struct l2_seal *seal, const char *p, size_t n, unsigned char *out)
{
	unsigned len = SIGNED_SEAL_BYTES;

	if (seal->secret == NULL)
		put_number(out, XXH3_64bits(p, n), L2_SEAL_BYTES);
	else if (HMAC(EVP_sha256(), seal->secret, (int)seal->secret_bytes, (const unsigned char *)p,
		     n, out, &len) == NULL)
		bug("HMAC-SHA256 is not to be had from OpenSSL");
}

bool
l2_seal_holds(const struct l2_seal *seal, struct slice bytes)
{
	size_t n = bytes.n - l2_seal_bytes(seal);
	unsigned char made[SIGNED_SEAL_BYTES];

	l2_seal_make(seal, bytes.p, n, made);
	return CRYPTO_memcmp(made, bytes.p + n, l2_seal_bytes(seal)) == 0;
}
