/* server/h2conn.h - a client's connection speaking HTTP/2: many requests at a time, each a stream (server/h2stream.c).
 *
 * It reads, lets the session (http/h2session.h) judge, and hands out turns to send: by urgency, within it by what clients say of
 * their streams (RFC 9218). It belongs to its worker.
 */
#ifndef SERVER_H2CONN_H
#define SERVER_H2CONN_H

#include "server/worker.h"

/* Takes over a connection that turned out to speak HTTP/2, with the bytes of it that have been read; *sp is NULL afterwards. It has been
 * counted as accepted, and as open no more. */
void h2conn_take(
    struct door *door, struct stream **sp, const struct address *peer, struct slice bytes);
/* Frees the memory of a spare stream. */
void h2stream_scrap(void *memory);

#endif
