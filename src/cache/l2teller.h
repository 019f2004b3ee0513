/* cache/l2teller.h - tells Redis of purges: each as a mark (cache/l2marks.h), in the background.
 *
 * At most one command is under way, with all that has gathered meanwhile. What was not acknowledged
 * is told again until it is; purges wait in a bounded queue while Redis is away, and when there are
 * too many, all of them become one: "all". Belongs to one loop; each worker has one, on the
 * connection that writes.
 */
#ifndef CACHE_L2TELLER_H
#define CACHE_L2TELLER_H

#include "cache/l2marks.h"
#include "event/loop.h"
#include "event/redisnet.h"

#define L2_TELLER_QUEUE_MAX 1024

struct l2_teller;

struct l2_teller_conf {
	struct loop *loop;
	struct redisnet *io; /* freed before the teller is */
	struct l2_marks *marks;
	struct slice set; /* its key in Redis; stays as it is */
	int64_t timeout_ms;
	/* How each command ended; must not free the teller. */
	void (*on_end)(void *arg, enum redisio_end end, const struct redis_reply *reply);
	void *arg;
};

struct l2_teller *l2_teller_new(const struct l2_teller_conf *conf);
/* What was not told is not told any more. Sets *tp to NULL; NULL is allowed. */
void l2_teller_free(struct l2_teller **tp);
/* A purge was taken, at this position of our log. */
void l2_teller_tell(struct l2_teller *t, const struct purge *p, uint64_t pos);
/* There may be something to tell (the process fell behind), or somebody to tell it to. */
void l2_teller_go(struct l2_teller *t);

#endif
