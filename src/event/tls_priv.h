/* event/tls_priv.h - what the parts of TLS share: contexts (tlscontext.c, tlsclient.c), streams (tls.c). */
#ifndef EVENT_TLS_PRIV_H
#define EVENT_TLS_PRIV_H

#include <openssl/ssl.h>

#include "event/tls.h"

/* A connection of this context, the server's side, without its transport. NULL without memory. */
SSL *tls_context_connection(struct tls_context *ctx);
/* What OpenSSL complains of first, for people; empties its queue. */
const char *tls_complaint(char *text, size_t cap);

/* TLS on a plain stream, from our side; takes ssl over in any case. 0, or -1 (errno). */
int stream_attach_tls(struct stream *s, SSL *ssl);

#endif
