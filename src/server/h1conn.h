/* server/h1conn.h - a client's connection speaking HTTP/1.1: requests in, one after the other, responses out.
 *
 * It reads heads into its input buffer, which it gives back while the connection is idle, lets an exchange walk, feeds it the request's body
 * and frames its response. Pipelined requests wait in the buffer. It belongs to its worker.
 */
#ifndef SERVER_H1CONN_H
#define SERVER_H1CONN_H

#include "server/worker.h"

/* Takes over the descriptor of an accepted connection. One that turns out to speak HTTP/2 goes on to server/h2conn.h. */
void h1conn_accept(struct door *door, int fd, const struct address *peer);

#endif
