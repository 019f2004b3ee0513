/* event/proxyreader.h - waits on an accepted connection for its PROXY header (event/proxyproto.h).
 *
 * It takes from the socket what belongs to the header and not a byte more, so that what comes behind
 * it, TLS or HTTP, is read by whom it is for. Belongs to its loop.
 */
#ifndef EVENT_PROXYREADER_H
#define EVENT_PROXYREADER_H

#include "event/proxyproto.h"

struct proxy_reader;

/* Takes over fd, until due_ms at the latest. heard comes once, never from within this call, and the
 * reader has gone then: with the header, and fd given to the callee; or with NULL and why, fd closed
 * (what is malformed, late or cut off gets no answer). NULL (errno) leaves fd to the caller. */
struct proxy_reader *proxy_reader_new(struct loop *l, int fd, int64_t due_ms,
    void (*heard)(void *arg, int fd, const struct proxy_header *h, const char *why), void *arg);
/* Closes the connection; heard does not come. */
void proxy_reader_free(struct proxy_reader **rp);

#endif
