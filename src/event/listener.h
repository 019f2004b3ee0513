/* event/listener.h - accepts connections from one listening socket on one loop.
 *
 * The socket itself belongs to the main thread, which keeps it across reloads. Accepts in small
 * batches, so that a flood of connections does not starve those that are there. When descriptors
 * run out it pauses for a while and says so once.
 */
#ifndef EVENT_LISTENER_H
#define EVENT_LISTENER_H

#include "event/stream.h"

struct listener;

/* fd: non-blocking, listening, not owned. accepted gets each new connection's descriptor
 * (non-blocking, its own from then on). NULL (errno). */
struct listener *listener_new(struct loop *l, int fd,
    void (*accepted)(void *arg, int fd, const struct address *peer), void *arg);
/* Stops accepting; what waits in the kernel's queue stays for whoever has the socket. Allowed in
 * accepted. */
void listener_free(struct listener **lp);
/* Takes what waits in the queue now, before the socket is closed for good: closing resets it. */
void listener_accept_rest(struct listener *ls);
/* Stop or go on accepting, e.g. at the limit on connections. */
void listener_pause(struct listener *ls, bool pause);

#endif
