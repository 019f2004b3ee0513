/* cache/clerk_priv.h - the insides of the clerk, shared by its files: clerk.c (the thread, purges, the journal), clerk_wait.c
 * (who waits for them), clerk_intent.c (writes on their way), clerk_talk.c (what is said to Redis), clerk_follow.c (what is read
 * there). */
#ifndef CACHE_CLERK_PRIV_H
#define CACHE_CLERK_PRIV_H

#include <pthread.h>
#include <semaphore.h>

#include "cache/clerk.h"
#include "cache/journal.h"
#include "cache/logbook.h"
#include "cache/logscript.h"
#include "event/loop.h"
#include "event/redisnet.h"
#include "event/resolver.h"

#define WAIT_MOST_MS (LEASE_MS + 1000) /* who waits for everywhere hears by then */
#define APPEND_LEAST_MS 50	       /* a purge is not journalled sooner while Redis is there */

struct clerk {
	/* Any thread, under the lock; log's first part without */
	pthread_mutex_t lock;
	struct sharedlog *log;
	struct logbook *book;
	bool has_redis;
	uint64_t intents;  /* ever noted: their names */
	char trouble[160]; /* for people; "" when connected */
	/* Any thread */
	_Atomic bool is_strict;
	_Atomic int state; /* of the connection: enum clerk_state, as was last said in the log */
	_Atomic uint64_t last;
	struct {
#define X(name, kind, series, text) _Atomic uint64_t name;
		CLERK_METRICS(X)
#undef X
	} count;
	struct letter wake;
	_Atomic bool is_woken; /* wake is on its way */
	/* The main thread's */
	bool is_running;
	pthread_t thread;
	struct letter order;
	const struct clerk_conf *ordered; /* NULL: stop */
	const char *refused;		  /* why an order was not carried out */
	sem_t ordered_done;
	/* The clerk's thread's, from here on */
	struct loop *loop;
	struct mailbox *mailbox;
	struct resolver *resolver;
	struct journal *journal; /* NULL: none */
	struct log_keys keys;
	int64_t timeout_ms;
	struct log_command command;
	/* talk: HELLO first, then everything else */
	struct redisnet *talk;
	char *url;
	struct log_place me; /* epoch 0: this Redis was not greeted yet */
	bool is_greeted;     /* on this connection */
	bool is_greeting;
	bool was_leased;	     /* when we last stopped hearing */
	int64_t hello_not_before_ms; /* where something does not fit, and did not a moment ago */
	bool is_new_here;	     /* this Redis may know nothing of our purges so far */
	bool is_stopping;
	bool is_renewing, renews_again;
	int64_t renew_sent_ms;
	uint64_t stuck_at; /* applied, when a renewal found the log ahead of it */
	unsigned stuck;	   /* renewals since */
	/* What was refused, as was last said in the log, and when. */
	char refusal[160];
	int64_t refusal_told_ms;
	bool is_appending, told_policy;
	struct logbook_batch batch;
	/* In which it was sent: in a cluster answers may overtake. */
	uint64_t batch_epoch, polled_epoch, renewed_epoch;
	/* Memory was kept over the beginning of that epoch (0: no), having been applied so far in the one before. */
	uint64_t kept_epoch, kept_at;
	int64_t settle_until_ms;
	int64_t
	    lapsed_ms; /* since when there is no lease, though nothing else is wrong; 0: there is */
	struct timer tick, poll, journal_date, stop_date;
	bool is_polling;
	int64_t poll_wait_ms;
	/* follow */
	struct redisnet *follow;
	bool is_reading;
	struct log_place strange; /* where we stood when an entry was not understood */
	/* how far purges have come: our serials up to here */
	uint64_t acked, journalled, given_up;
	uint64_t acked_number; /* the log's newest number when acked was said */
	uint64_t confirmed;    /* by all others who hold a lease */
	struct link waits;
	struct link intents_over; /* ended, and wait for their purges to be appended */
	unsigned intents_over_count;
};

/* clerk_talk.c */
/* me: where we stand in that Redis' log; epoch 0: nowhere. */
int talk_open(struct clerk *c, const struct log_place *me, const char **why_out);
void talk_close(struct clerk *c);
void talk_hello(struct clerk *c); /* again: something does not fit */
/* Redis refuses what we need: said once in a while. */
void talk_note_refusal(struct clerk *c, const struct redis_reply *reply);
void talk_append(struct clerk *c); /* what is there to be told, if nothing is on its way */
void talk_renew(struct clerk *c);
void talk_poll(struct clerk *c); /* asks who has confirmed, now and until nobody waits */
/* Sends what stands in c->command, an answer to which nobody needs. */
void talk_send_and_forget(struct clerk *c);

/* clerk_follow.c */
void follow_open(struct clerk *c);
void follow_close(struct clerk *c);

/* clerk_wait.c */
/* Something that is waited for may have come: answers who need not wait any longer. */
void clerk_settle_waits(struct clerk *c);

/* clerk_intent.c */
/* Purges of ours were appended: writes that ended with them are over. */
void clerk_intents_look(struct clerk *c);
/* Writes that ended and wait are forgotten. */
void clerk_intents_drop(struct clerk *c);

/* clerk.c */
/* What Redis does not take now is put on the disk. */
void clerk_journal(struct clerk *c);
/* Everything that was pending is told. */
void clerk_note_told(struct clerk *c);
/* Looks at how things stand, and says what has changed. */
void clerk_look(struct clerk *c, const char *trouble);
static inline void
clerk_count(_Atomic uint64_t *counter, uint64_t n)
{
	atomic_fetch_add_explicit(counter, n, memory_order_relaxed);
}

#endif
