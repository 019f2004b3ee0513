/* upstream/secure.h - TLS to the servers of one upstream: whom we trust, who we are, and what is told when
 * it fails.
 *
 * Made from the configuration, constant, used by all workers. Sessions are kept in the server's seats, so
 * each is for one worker. There is no way from here to plain text: where the files cannot be used,
 * every connection fails.
 */
#ifndef UPSTREAM_SECURE_H
#define UPSTREAM_SECURE_H

#include "event/tlsclient.h"
#include "upstream/ends.h"
#include "upstream/pool.h"

struct secure;

struct secure_conf {
	struct tls_client_conf tls;
	const char *name; /* of every server; NULL: each by the host of its address */
};
/* Reads the files; see secure_problem. */
struct secure *secure_new(const struct secure_conf *conf);
void secure_free(struct secure **sp);
/* Why the files cannot be used; "": they can. */
const char *secure_problem(const struct secure *s);
/* The same settings and the same state of the files; NULL: no TLS. */
bool secure_is_same(const struct secure *a, const struct secure *b);
/* Gives it to the upstream, which is new; *sp is NULL afterwards. */
void secure_give(struct upstream *u, struct secure **sp);

/* On a new connection to a server of an upstream that has one: TLS begins, and the stream's on_writable
 * tells when it is done. seat: of this worker; protocols: offered by ALPN. 0, or -1. */
int secure_begin(struct upconn *c, struct server_seat *seat, const char *protocols);
/* It is done: counts and tells. FETCH_done, or how it failed. */
enum fetch_end secure_done(struct upconn *c);
/* A connection has broken: the end if TLS was the reason, else otherwise. */
enum fetch_end secure_end(const struct upconn *c, enum fetch_end otherwise);

#endif
