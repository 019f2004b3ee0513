/* event/redisoutbox.h - commands on their way to a Redis, as bytes that have not been written yet.
 *
 * Short ones are joined in pieces; a long last argument is taken over instead of copied. Belongs to one connection.
 */
#ifndef EVENT_REDISOUTBOX_H
#define EVENT_REDISOUTBOX_H

#include <sys/uio.h>

#include "base/list.h"
#include "event/redisio.h"

struct redis_outbox {
	struct link pieces;
	size_t bytes; /* in them, not yet written */
};

void redis_outbox_init(struct redis_outbox *o);
/* All is forgotten, and the outbox empty. */
void redis_outbox_drop(struct redis_outbox *o);
bool redis_outbox_is_empty(const struct redis_outbox *o);
/* Takes over the command's tail, if it has one. */
void redis_outbox_add(struct redis_outbox *o, const struct redisio_command *command);
/* What the command will take as written, near enough for a bound. */
size_t redis_outbox_need(const struct redisio_command *command);
/* The first of what is to be written, in at most most parts; *bytes_out in all. Returns how many parts. */
int redis_outbox_offer(
    const struct redis_outbox *o, struct iovec *iov, int most, size_t *bytes_out);
/* So many bytes have been written. */
void redis_outbox_forget(struct redis_outbox *o, size_t n);

#endif
