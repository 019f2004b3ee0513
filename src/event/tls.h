/* event/tls.h - HTTPS for accepted connections: certificates chosen by name, and a stream that
 * speaks TLS behind the interface of all streams.
 *
 * A context is what one listening address offers: its certificates, its ciphers, the keys of its
 * session tickets. It does not change; a renewed certificate is a new context, and a connection
 * keeps the one it began with. TLS 1.2 and 1.3 with the ciphers of Mozilla's intermediate
 * recommendation less finite-field Diffie-Hellman, the server's order first; no renegotiation, no
 * compression, no early data.
 *
 * The stream shakes hands by itself: its owner is told that it may be read when there is
 * something of the application's to read, or when there never will be. The handshake has no
 * time-out of its own: it falls under the owner's for the first request.
 */
#ifndef EVENT_TLS_H
#define EVENT_TLS_H

#include <stdatomic.h>
#include <stddef.h>

#include "base/slice.h"
#include "event/stream.h"

struct tls_certificate {
	const char *cert; /* path of a PEM file: the server's certificate, then those above it */
	const char *key;  /* path of its private key, PEM, without a pass phrase; may be the same */
};

/* The first certificate is for clients that name no host or one that is in none of them; where
 * several fit, an exact name goes before a wildcard and the earlier before the later, for each kind
 * of key on its own (ECDSA beside RSA). There is at least one. Files are read here and not again. NULL: one cannot be used.
 * That, and dangers that are none of our business, are told to `to`. */
struct tls_hearer;
struct tls_context *tls_context_new(
    const struct tls_certificate *certs, unsigned count, const struct tls_hearer *to);
/* What is spoken above TLS, the preferred first, separated by blanks: "h2 http/1.1". "http/1.1"
 * unless set. A client that offers none of it is refused (RFC 7301 section 3.2), one that
 * offers no list is not. Before the context is used. */
void tls_context_set_alpn(struct tls_context *ctx, const char *protocols);
/* What its session tickets are sealed with; a reference is taken. Before the context is used. */
struct tls_tickets;
void tls_context_set_tickets(struct tls_context *ctx, struct tls_tickets *tickets);
/* Clients are asked for a certificate that leads to one of those in the PEM file ca; is_required: without one there is no
 * connection. One that is bad is refused in any case. Sessions are then not resumed, so that each connection shows all
 * of it and a changed file holds for all. Before the context is used. 0, or -1 and told. */
int tls_context_set_clients(
    struct tls_context *ctx, const char *ca, bool is_required, const struct tls_hearer *to);
/* Any thread. */
struct tls_context *tls_context_ref(struct tls_context *ctx);
void tls_context_unref(struct tls_context **ctxp);
/* When the first of its certificates runs out, wall clock. */
int64_t tls_context_expiry_s(const struct tls_context *ctx);
/* The same of the i-th. */
int64_t tls_context_certificate_expiry_s(const struct tls_context *ctx, unsigned i);

/* As stream_open, with TLS spoken on fd, the server's side. It holds a reference to ctx. What peers
 * do wrong is STREAM_ERROR for whoever reads, EPROTO. An end without close_notify is an end like
 * another: where a message ends is said by HTTP's framing. */
struct stream *stream_open_tls(
    struct loop *l, int fd, struct tls_context *ctx, const struct stream_handler *h, void *arg);

struct tls_info {
	const char *version;	 /* "TLSv1.3" */
	const char *cipher;	 /* "TLS_AES_128_GCM_SHA256" */
	const char *server_name; /* as the client sent it; NULL: it named none */
	struct slice protocol;	 /* agreed on by ALPN; absent: none */
	bool is_resumed;
};
/* For logs; good until the stream is closed. False: not TLS, or still shaking hands. */
bool stream_tls_info(const struct stream *s, struct tls_info *out);

/* The verified certificate that the client showed, and those above it that it sent, as RFC 9440 writes them (":base64:", a
 * list of them). Absent: none. Good until the stream is closed. */
struct tls_client_certificate {
	struct slice own, chain;
};
struct tls_client_certificate stream_tls_client_certificate(const struct stream *s);

/* clang-format off */
#define TLS_COUNTERS(X)                                                             \
	X(handshakes, counter, "TLS handshakes completed")                          \
	X(resumed,    counter, "TLS handshakes that resumed a session")             \
	X(failed,     counter, "TLS handshakes that failed, for the peer's fault or for lack of a common version or cipher") \
	X(left,       counter, "TLS connections that ended before their handshake did") \
	X(plain,      counter, "TLS handshakes that failed because the client spoke plain HTTP")
/* clang-format on */

struct tls_counters {
#define X(name, kind, text) _Atomic uint64_t name;
	TLS_COUNTERS(X)
#undef X
};
/* Of the whole process. Any thread may read them. */
const struct tls_counters *tls_counters(void);

#endif
