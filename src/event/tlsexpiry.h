/* event/tlsexpiry.h - the certificates in use and when they run out: written where they are loaded, read by those who watch. */
#ifndef EVENT_TLSEXPIRY_H
#define EVENT_TLSEXPIRY_H

#include <stdint.h>

struct tls_expiry {
	const char *listener, *cert; /* its address, the certificate's file */
	int64_t not_after_s, warn_s; /* wall clock; how long before that it wants to be told */
};

/* Begins the list anew; adds one, copied; makes the list what tls_expiries_each sees. One thread. */
void tls_expiries_begin(void);
void tls_expiries_add(const struct tls_expiry *e);
void tls_expiries_publish(void);
/* Any thread; under a lock, so see is quick; what it is shown is good until it returns. */
void tls_expiries_each(void (*see)(void *arg, const struct tls_expiry *e), void *arg);

#endif
