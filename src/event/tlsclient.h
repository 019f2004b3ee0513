/* event/tlsclient.h - TLS spoken by us to a server whose certificate is verified.
 *
 * TLS 1.2 and 1.3. The certificate must lead to an authority that is trusted and be made out to the
 * name (or address) that was asked for, which is also sent as SNI (RFC 6066 section 3); there is no way
 * to do without. What is read of files is shared by the whole process, and read anew when a file has
 * changed: so a renewed certificate is used from the next connection on.
 */
#ifndef EVENT_TLSCLIENT_H
#define EVENT_TLSCLIENT_H

#include <stddef.h>

#include "event/stream.h"

struct tls_client; /* whom we trust and who we are */

struct tls_client_conf {
	const char *ca;	  /* PEM file of authorities; NULL: those of the system */
	const char *cert; /* PEM file: our certificate and those above it; NULL: none */
	const char *key;  /* PEM file of its private key */
	bool is_13_only;  /* else TLS 1.2 will do, too */
};

/* Any thread; reads files when they are new. NULL, and problem says what is wrong and with which. */
struct tls_client *tls_client_get(
    const struct tls_client_conf *conf, char *problem, size_t problem_cap);
/* NULL is allowed. */
void tls_client_unref(struct tls_client **cp);

/* What a server gave to go on from the next time, so that it need not prove itself anew. */
struct tls_session;
void tls_session_free(struct tls_session **sp);

struct tls_opening {
	const char *name;      /* whom the certificate must be made out to */
	const char *protocols; /* offered by ALPN, separated by blanks, "h2 http/1.1"; NULL: none */
	/* Where this server's session is kept, begun from and replaced whenever it gives another one: outlives the
	 * stream, and is for one thread, name and client only. NULL: none is. */
	struct tls_session **session;
};
/* On a plain stream that has just been connected: TLS is spoken from now on. on_writable tells the
 * outcome as it does of stream_connect; stream_tls_failure says why in words. 0, or -1 (errno). */
int stream_start_tls(struct stream *s, struct tls_client *c, const struct tls_opening *o);
/* Why TLS failed, for people; "" when it did not. Good until the stream is closed. */
const char *stream_tls_failure(const struct stream *s);

/* The same for programs. A server may also refuse after the handshake (TLS 1.3, a certificate of ours that is
 * missing or that it does not like). */
enum tls_fault {
	TLS_FAULT_none,
	TLS_FAULT_certificate, /* its own is not accepted */
	TLS_FAULT_alert,       /* it sent an alert */
	TLS_FAULT_protocol,    /* what it says is no TLS that we could speak */
};
enum tls_fault stream_tls_fault(const struct stream *s);

#endif
