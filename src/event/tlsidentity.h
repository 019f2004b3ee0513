/* event/tlsidentity.h - one certificate with what stands above it and its private key, read from PEM files and judged: whether
 * OpenSSL will show it to clients, and what clients will make of it.
 */
#ifndef EVENT_TLSIDENTITY_H
#define EVENT_TLSIDENTITY_H

#include <openssl/ssl.h>
#include <stdint.h>

#include "event/tls.h"
#include "event/tlsfinding.h"

struct tls_identity {
	X509 *leaf;
	STACK_OF(X509) * chain; /* above the leaf, as in the file */
	EVP_PKEY *key;
};

/* Reads c, the number-th of its listener, and judges it by the settings of ssl. 0; or -1, with the reasons told. Dangers are
 * told, too: it ran out or is not good yet, its key lies open, its file lacks the certificate that issued it. Whatever it
 * returns, id is to be given to fini. Reads files. */
int tls_identity_load(struct tls_identity *id, SSL_CTX *ssl, const struct tls_certificate *c,
    unsigned number, const struct tls_hearer *to);
void tls_identity_fini(struct tls_identity *id);
/* When it runs out, wall clock; INT64_MAX: never. */
int64_t tls_identity_expiry_s(const struct tls_identity *id);

#endif
