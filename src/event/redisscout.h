/* event/redisscout.h - asks one question of several servers, one after the other, until one answers:
 * sentinels where the master is, nodes of a cluster how it is laid out.
 *
 * It goes around until it is told that an answer will do, each server having SCOUT_TRY_MS; when it has
 * been all around it pauses for SCOUT_PAUSE_MS. One that listens stays subscribed where it had its answer,
 * and goes on to the next when that connection is lost. Belongs to one loop.
 */
#ifndef EVENT_REDISSCOUT_H
#define EVENT_REDISSCOUT_H

#include "event/redisio.h"
#include "event/redisurl.h"

#define SCOUT_TRY_MS 1000
#define SCOUT_PAUSE_MS 500

struct redisscout;

struct redisscout_conf {
	struct loop *loop;
	struct resolver *resolver;
	size_t reply_max_bytes;
	struct slice question[3]; /* words, whose bytes stay as they are */
	unsigned question_count;
	const char *channel; /* NULL, or what it listens to afterwards */
	/* How many servers may be asked now, and which is the i-th. */
	unsigned (*count)(void *arg);
	void (*place)(void *arg, unsigned i, struct redis_url *out);
	/* Whether that is an answer. None of these may free the scout. */
	bool (*on_answer)(void *arg, const struct redis_url *from, const struct redis_reply *reply);
	void (*on_message)(void *arg, const struct redis_reply *message);
	void *arg;
	bool logs; /* tells the log when nobody answers well */
};

struct redisscout *redisscout_new(const struct redisscout_conf *conf);
void redisscout_free(struct redisscout **sp);
/* Asks, beginning with the server after the one asked last. One that is asking already goes on. */
void redisscout_go(struct redisscout *s);
/* What the server asked last had to say for itself, for people; "" when it answered well. */
const char *redisscout_trouble(const struct redisscout *s);

#endif
