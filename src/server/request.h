/* server/request.h - the request as it goes upstream: rebuilt from what was understood, never copied through.
 *
 * What is for one hop, what a client could use to pretend (X-Forwarded-* of strangers, X-Original-URL and its like) and
 * what frames the message stays behind; Host, path and framing are ours; Via, X-Forwarded-*, Forwarded and X-Request-Id
 * say who asked (RFC 9110 sections 7.2 to 7.6, RFC 7239).
 */
#ifndef SERVER_REQUEST_H
#define SERVER_REQUEST_H

#include "base/buf.h"
#include "server/exchange_priv.h"

/* Appends the whole head with its empty line. validate: the stored head whose validators are asked about, or NULL; then the
 * client's own conditions stay behind. part: the range that is asked for, or NULL. */
void request_render(const struct exchange *x, const struct head *validate,
    const struct byte_range *part, struct buf *out);
/* The client's address as seen through trusted proxies, from X-Forwarded-For read backwards; sets client_address, client_ip,
 * peer_is_trusted and request_id of x. */
void request_identify_client(struct exchange *x);
/* Without the port; "unix" for a unix socket. In mem. */
struct slice address_text(struct arena *mem, const struct address *a);
/* Whether the address is in one of the networks; that of a unix socket is in none. */
bool address_is_in(const struct address *a, const struct cidr *networks, unsigned count);

#endif
