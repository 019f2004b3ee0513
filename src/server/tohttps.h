/* server/tohttps.h - plain listeners that send their clients to HTTPS (listen[].https_redirect). */
#ifndef SERVER_TOHTTPS_H
#define SERVER_TOHTTPS_H

#include "server/exchange_priv.h"

/* True: the request came by http to a listener that sends away, and *next is its answer: the same host, path and query by
 * https; 301 for GET and HEAD, which everything understands, 308 for others, whose method and body are to be sent again. What
 * a trusted proxy says came by https is not sent away again. */
bool tohttps_takes(struct exchange *x, enum exchange_next *next);

#endif
