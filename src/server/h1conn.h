/* server/h1conn.h - a client's connection speaking HTTP/1.1: requests in, one after the other, responses out.
 *
 * It reads heads into its input buffer, lets an exchange walk, feeds it the request's body and frames its response. Pipelined requests wait
 * in the buffer. While it is idle it has neither. It belongs to its worker.
 */
#ifndef SERVER_H1CONN_H
#define SERVER_H1CONN_H

#include "server/worker.h"

/* Takes over the descriptor of an accepted connection. One that turns out to speak HTTP/2 goes on to server/h2conn.h. */
void h1conn_accept(struct door *door, int fd, const struct address *peer);
/* The memory itself; for what is kept as spare, when the worker ends. */
void h1conn_scrap(void *memory);

#endif
