/* event/drain.h - sends the last bytes of a connection whose owner has left.
 *
 * What a plain socket has taken the kernel sends, even after close. A transport that has to hold
 * bytes itself owes its owner the same, and hands them over here. Bounded in time and in number;
 * beyond, the peer gets a reset instead of an orderly end. What is on its way when the loop goes is
 * lost.
 */
#ifndef EVENT_DRAIN_H
#define EVENT_DRAIN_H

#include "base/buf.h"
#include "event/loop.h"

#define DRAIN_MS 30000
#define DRAINS_MAX 4096 /* per process */

/* Takes over fd, a stream socket that refuses more now, and the bytes of rest from at on; *rest is
 * empty afterwards. */
void drain_start(struct loop *l, int fd, struct buf *rest, size_t at);

#endif
