/* event/redisio.h - one connection to a Redis, kept open by itself; commands with deadlines.
 *
 * The story: it connects in the background from the moment it is made (the name resolved, AUTH and
 * SELECT sent, PING answered), and again by itself when the connection is lost, after 100 ms at
 * first, later after up to 5 s, with jitter. Commands are pipelined in the order given and written
 * together when the turn ends. Nothing waits for a connection: while there is none, a command is
 * refused at once, and so is one that finds too much queued.
 *
 * Every command has its own deadline. When it passes, its owner is told once, and the reply that
 * still comes is counted and dropped. When nothing at all has come for silent_ms while replies are
 * overdue (a stopped Redis, a dead network), the connection is closed and made anew. What is not
 * RESP, or too large, or not asked for ends the connection, too.
 *
 * Belongs to one loop.
 */
#ifndef EVENT_REDISIO_H
#define EVENT_REDISIO_H

#include <stdatomic.h>

#include "base/buf.h"
#include "event/redisreply.h"
#include "event/resolver.h"

struct redisio;
struct redisio_call; /* one command under way */

struct redis_url;

struct redisio_conf {
	const char *url;		/* event/redisurl.h, of one server */
	const struct redis_url *server; /* NULL, or the same already read, instead of url; copied */
	int64_t connect_ms;		/* from the name to the answered PING */
	int64_t silent_ms;		/* see above */
	unsigned in_flight_max;		/* commands not answered yet, those given up included */
	size_t queue_max_bytes;		/* not yet written */
	size_t reply_max_bytes;		/* of one reply */
	int64_t retry_most_ms;		/* between two tries to connect; 0: 5 s */
	bool logs;			/* tells the log when it comes up and goes down, and why */
	bool wants_master; /* a replica is as bad as no connection (ROLE says what it is) */
};

/* All may be NULL. Called when the connection becomes of use, and when it is so no more. */
struct redisio_handler {
	void (*on_up)(void *arg);
	void (*on_down)(void *arg, const char *why);
	/* A try to connect came to nothing; the next follows by itself. */
	void (*on_failed)(void *arg, const char *why);
	/* What comes without having been asked for: messages, after SUBSCRIBE. NULL: the end of the
	 * connection. */
	void (*on_push)(void *arg, const struct redis_reply *message);
};

/* clang-format off */
#define REDISIO_COUNTERS(X)                                                     \
	X(connects, counter, "Connections to Redis that came up")               \
	X(losses,   counter, "Connections to Redis that were lost")             \
	X(timeouts, counter, "Commands to Redis not answered in time")          \
	X(late,     counter, "Replies of Redis that came after their deadline") \
	X(refused,  counter, "Commands not sent because too much was queued")
/* clang-format on */

struct redisio_counters {
#define X(name, kind, text) _Atomic uint64_t name;
	REDISIO_COUNTERS(X)
#undef X
};

/* NULL, and *why_out says what is wrong with the URL, as a text that lives for ever. resolver must
 * outlive it. */
struct redisio *redisio_new(struct loop *l, struct resolver *resolver,
    const struct redisio_conf *conf, const struct redisio_handler *h, void *arg,
    const char **why_out);
/* Closes. Commands under way are forgotten without a callback; their handles are dead. Allowed in a
 * callback. */
void redisio_free(struct redisio **rp);
bool redisio_is_up(const struct redisio *r);
/* Why it is not up, for people. */
const char *redisio_trouble(const struct redisio *r);
/* Where it goes, without the password, for people. */
const char *redisio_name(const struct redisio *r);
/* Any thread may read them. */
const struct redisio_counters *redisio_counters(const struct redisio *r);

enum redisio_end {
	REDISIO_ANSWERED, /* reply is there, be it an error; good during the callback */
	REDISIO_TIMEOUT,
	REDISIO_LOST, /* the connection was lost; the command may or may not have been carried out */
};

struct redisio_command {
	const struct slice *argv; /* copied */
	unsigned argc;
	struct buf *tail; /* NULL, or one more, last argument, whose memory is taken over when the
			     command is sent: *tail is empty then */
	int64_t timeout_ms;
	void (*done)(void *arg, enum redisio_end end, const struct redis_reply *reply);
	void *arg;
};

enum redisio_sent {
	REDISIO_SENT, /* done will be called once, unless cancelled; never from within this call */
	REDISIO_BUSY, /* too many commands or bytes are waiting */
	REDISIO_DOWN, /* there is no connection */
};

/* *call_out (call_out may be NULL) is dead when done is called. */
enum redisio_sent redisio_send(
    struct redisio *r, const struct redisio_command *command, struct redisio_call **call_out);
/* done will not be called; the command may still be carried out. Sets *cp to NULL; NULL is
 * allowed. */
void redisio_cancel(struct redisio_call **cp);

#endif
