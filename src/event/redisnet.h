/* event/redisnet.h - one user's way to its Redis, be that one server, the master that sentinels name,
 * or a cluster (event/redisurl.h: the URL says which).
 *
 * Used like one connection (event/redisio.h): the same configuration, commands, ends and handler. Who
 * uses it writes redisnet_ for redisio_ and need not know what is behind. What is different:
 *
 * Sentinel. The connection goes to the master, which proves by ROLE that it is one. When it is lost, or
 * says READONLY, or sentinels tell of another, they are asked, and it moves there: down, then up again.
 * What was under way ends as LOST.
 *
 * Cluster. A command goes to the node that serves the slot of its key; there is a connection to each
 * master. The key is found in the words: argv[1]; of EVAL and EVALSHA argv[3] (all keys of a script
 * must share one slot by a {hash tag}); of XREAD and XREADGROUP the word behind STREAMS; CONFIG, PING
 * and the like have none and go to any node. MOVED and ASK are followed, up to REDISNET_HOPS times and
 * within the command's time: so while slots move, replies may come in another order than the commands
 * were given. A command with a tail above REDISNET_TAIL_KEPT_BYTES is not repeated: its owner gets the
 * MOVED as the error it is. So he does CLUSTERDOWN, TRYAGAIN and CROSSSLOT.
 *    It is up while any node is; a command for a node that is not is REDISIO_DOWN. A node whose answers
 * do not come in time, or that refuses (OOM, READONLY, ...), is paused alone, and tried again by a
 * command a while later. So a breaker of the owner's must not count single failures where
 * redisnet_has_nodes says true: one node of many would take the others with it.
 *    Who works on one key only (a stream, a set of counters) says so by redisnet_set_home: up and down
 * are then those of that key's node.
 *
 * Belongs to one loop.
 */
#ifndef EVENT_REDISNET_H
#define EVENT_REDISNET_H

#include "event/redisio.h"

#define REDISNET_HOPS 3
#define REDISNET_TAIL_KEPT_BYTES ((size_t)64 << 10)

struct redisnet;
struct redisnet_call; /* one command under way */

/* As redisio_new. */
struct redisnet *redisnet_new(struct loop *l, struct resolver *resolver,
    const struct redisio_conf *conf, const struct redisio_handler *h, void *arg,
    const char **why_out);
/* As redisio_free. NULL is allowed. */
void redisnet_free(struct redisnet **np);
/* Before it is up. key is copied. */
void redisnet_set_home(struct redisnet *n, struct slice key);

bool redisnet_is_up(const struct redisnet *n);
/* What is wrong, for people, also while it is up and only one node of several is in trouble; "" when
 * nothing is. */
const char *redisnet_trouble(struct redisnet *n);
/* Where it goes, without the password, for people. */
const char *redisnet_name(const struct redisnet *n);
/* Whether single nodes fail, and are paused, on their own. */
bool redisnet_has_nodes(const struct redisnet *n);

/* As redisio_send and redisio_cancel. */
enum redisio_sent redisnet_send(
    struct redisnet *n, const struct redisio_command *command, struct redisnet_call **call_out);
void redisnet_cancel(struct redisnet_call **cp);

#endif
