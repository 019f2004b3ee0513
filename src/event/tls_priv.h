/* event/tls_priv.h - what the two halves of TLS share: contexts (tlscontext.c), streams (tls.c). */
#ifndef EVENT_TLS_PRIV_H
#define EVENT_TLS_PRIV_H

#include <openssl/ssl.h>

#include "event/tls.h"

/* A connection of this context, the server's side, without its transport. NULL without memory. */
SSL *tls_context_connection(struct tls_context *ctx);
/* What OpenSSL complains of first, for people; empties its queue. */
const char *tls_complaint(char *text, size_t cap);

#endif
