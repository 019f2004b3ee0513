/* event/tlsoffer.h - what one listening address offers by TLS, kept up to date with its files.
 *
 * An offer reads its files into a context (event/tls.h), and again when they have changed. Certificate and key become a context
 * together or not at all: what does not load, does not fit together, or ran out already never takes the place of what is in
 * use; it is told once, counted, and tried again when a file changes again. A change is read when the files have stood
 * still from one look to the next, so that who writes slowly is not read half.
 *
 * For one thread, which is none of the loops': files are read. Contexts are any thread's.
 */
#ifndef EVENT_TLSOFFER_H
#define EVENT_TLSOFFER_H

#include "event/tls.h"
#include "event/tlsfinding.h"

struct tls_offer_conf {
	const struct tls_certificate *certs; /* as tls_context_new takes them */
	unsigned count;
	const char *protocols;	 /* as tls_context_set_alpn takes them */
	const char *ticket_keys; /* path (event/tlstickets.h); NULL: keys of this process's own */
	const char *client_ca;	 /* path (tls_context_set_clients); NULL: clients show nothing */
	bool client_required;
	int64_t warn_s; /* before a certificate runs out */
};

struct tls_offer;

/* Copies conf. NULL when a file cannot be used, which is told to `to` as dangers are. */
struct tls_offer *tls_offer_new(const struct tls_offer_conf *conf, const struct tls_hearer *to);
/* NULL is allowed; sets *op to NULL. Contexts live on with those who hold them. */
void tls_offer_free(struct tls_offer **op);
/* Borrowed, until the next look. */
struct tls_context *tls_offer_context(const struct tls_offer *o);
/* True: there is another context now. Wants to be called each second. address is for the log, where what cannot be used is told. */
bool tls_offer_look(struct tls_offer *o, const char *address);
/* Whoever accepts has the context now: that it was read anew is counted and told, so that who hears of it is shown it. */
void tls_offer_tell_used(struct tls_offer *o, const char *address);

/* Adds its certificates to the list of event/tlsexpiry.h. */
void tls_offer_tell_expiry(const struct tls_offer *o, const char *listener);

struct tls_offer_counts {
	_Atomic uint64_t renewals,
	    failures; /* contexts that replaced others; files that could not be used */
};
const struct tls_offer_counts *tls_offer_counts(void);

#endif
