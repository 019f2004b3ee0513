/* event/redisio_priv.h - between the files of event/redisio.h: calls, deadlines and replies (redisio.c), and how the connection
 * comes about (redisio_connect.c).
 */
#ifndef EVENT_REDISIO_PRIV_H
#define EVENT_REDISIO_PRIV_H

#include "event/redisio.h"
#include "event/redisoutbox.h"
#include "event/redisurl.h"
#include "event/tlsclient.h"

enum redisio_state {
	STATE_DOWN, /* waits to try again */
	STATE_RESOLVING,
	STATE_CONNECTING,
	STATE_SECURING, /* TLS */
	STATE_GREETING, /* AUTH, SELECT, ROLE, PING */
	STATE_UP,
	STATE_CLOSED, /* freed in a callback: gone when it returns */
};

struct redisio {
	struct loop *loop;
	struct resolver *resolver;
	struct redis_url url;
	struct redisio_conf conf; /* url, server: not ours, not read again */
	struct tls_client *tls;	  /* own reference; NULL: none yet, or plain */
	const struct redisio_handler *handler;
	void *arg;
	enum redisio_state state;
	unsigned in_callback;
	char trouble[160]; /* why it is not up; empty when it is */
	/* The date the state waits for: the next try; the end of connect_ms; when silence becomes
	 * too long. */
	struct timer date;
	unsigned failures; /* tries in a row that came to nothing, or to little */
	int64_t up_ms;	   /* when it came up */
	/* Where it is; kept when the name cannot be resolved any more. */
	struct resolve *resolving;
	struct address addresses[RESOLVED_MAX];
	unsigned addresses_count, address_at; /* the one being tried */
	/* The connection */
	struct stream *stream;
	struct replies *replies;
	int64_t heard_ms;  /* when a byte last came */
	struct link calls; /* sent or queued, in the order of their replies */
	unsigned in_flight;
	struct link lost; /* calls of a connection that was lost, to be told so */
	struct redis_outbox outbox;
	struct task flush;
	struct redisio_counters counters;
};

struct redisio_call {
	struct link link; /* calls or lost */
	struct redisio *redisio;
	struct timer
	    deadline; /* goes on when the owner has cancelled: silence must not go unseen */
	int64_t sent_ms, due_ms;
	void (*done)(
	    void *arg, enum redisio_end end, const struct redis_reply *reply); /* or NULL */
	void *arg;
};

/* Around whatever calls out: the owner may free r meanwhile, which is gone only when the last of these returns. */
void redisio_enter(struct redisio *r);
void redisio_leave(struct redisio *r);
/* The connection, or the try to make one, is given up for this reason. */
void redisio_drop(struct redisio *r, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
/* It has greeted us well: commands may come. */
void redisio_up(struct redisio *r);
struct redisio_call *redisio_call_new(struct redisio *r, const struct redisio_command *command);
void redisio_write(struct redisio *r);
/* Why the stream broke, for people. */
const char *redisio_stream_trouble(const struct redisio *r);
extern const struct stream_handler redis_stream_handler;

/* Begins a try; the outcome is redisio_up() or redisio_drop(). */
void redisio_begin(struct redisio *r);
/* The stream may be written for the first time; and again, in TLS. */
void redisio_connected(struct redisio *r);
void redisio_secured(struct redisio *r);

#endif
