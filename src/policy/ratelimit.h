/* policy/ratelimit.h - may this request pass, must it wait, or is it refused?
 *
 * A limit_table remembers the keys of all limits of one instance within a fixed number of bytes and
 * is shared by all workers. A limiter is one named limit of the configuration. A limit that a new
 * configuration states with the same name and parameters is the same limiter, with what it
 * remembers; one that was changed starts anew (its counters go on).
 *
 * The story of one request. The worker builds the key (policy/limitkey.h) and asks. Allowed: it
 * goes on, and may give its permits back (limiter_refund) when a later limit refuses it. Refused:
 * 429 with the fields of policy/ratefields.h. Queued: the limit_waiter that stands in the request
 * now belongs to the table. The worker arms a timer for look_again_ms, calls limit_table_poll()
 * then, and arms it again for what that returns as long as it has waiters. Whichever worker visits
 * the key first when permits come back (a poll, another request for it, a refund) settles its queue
 * and calls on_wake for each waiter that was granted or refused. Who is due is served before a
 * newcomer is looked at. (With requests of several permits, a refund or a cancel can bring the head
 * of a queue nearer than was announced; it is served at the next visit or poll. With single permits
 * that cannot happen.)
 *
 * on_wake runs on the thread that settled the queue, with no lock held; it posts the waiter to the
 * mailbox of waiter->worker and touches nothing else. The waiter may be freed as soon as its own
 * worker has that message.
 *
 * The race of a client that leaves at the moment it is granted. limiter_cancel() decides it under
 * the shard's lock. True: the waiter was still in the queue, is out of it, and no wake will come:
 * its memory is free at once. False: the queue had already decided, the wake is on its way, and the
 * memory must stand until it has arrived; permits that had been granted were given back by the
 * cancel (to the next in the queue), and waiter->end is then LIMIT_END_CANCELLED.
 *
 * A limit that instances share (limit_conf.shared) is found and counted here, and decided by policy/sharedlimit.h: it
 * is not to be asked, cancelled, refunded or peeked at here.
 *
 * Times are milliseconds of one monotonic clock, the same for all workers; a worker's reading may
 * lag behind another's, a key's time never runs backwards. Nothing here reads a clock or ticks.
 * Locks: a key's shard, held for the decision, never across a call out.
 *
 * When the table has no room for a new key even by forgetting others (all have waiters, or the
 * machine has no memory), the request is allowed, or refused where the limit says refuse_untracked;
 * the count "untracked" tells. A limit is a protection and not an access rule, so it fails open by
 * default.
 */
#ifndef POLICY_RATELIMIT_H
#define POLICY_RATELIMIT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/list.h"
#include "base/slice.h"

#define LIMIT_TABLE_BYTES_DEFAULT ((size_t)16 << 20)
#define LIMIT_TABLE_BYTES_MIN ((size_t)64 << 10)
#define LIMIT_QUEUE_MAX 1000000u

/* clang-format off */
/* What a limit has decided; the label of forebay_ratelimit_decisions_total{limit,decision}.
 *        name            text */
#define LIMIT_COUNT_TABLE(X)                                                                     \
	X(allowed,        "Passed at once")                                                      \
	X(queued,         "Had to wait; granted, timed out, displaced or cancelled in the end")  \
	X(granted,        "Passed after waiting")                                                \
	X(refused,        "Refused at once")                                                     \
	X(queue_timeout,  "Refused after waiting for queue_timeout")                             \
	X(displaced,      "Refused while waiting, for a newer request (newest_first)")           \
	X(cancelled,      "The client left while it waited")                                     \
	X(shadow_refused, "Passed in shadow mode, would have had to wait or been refused")       \
	X(refunded,       "Gave its permits back")                                               \
	X(evicted,        "Keys forgotten with permits still out, for want of memory")           \
	X(forgiven,       "Keys forgotten at their limit, for want of memory")                   \
	X(untracked,      "Decided without a count, for want of memory")                         \
	X(leased,         "Of those allowed: from a slice of permits held for later use")        \
	X(foreknown,      "Of those refused: Redis had said when the next permit comes")         \
	X(by_share,       "Of those decided: by this instance's share, Redis being away")
/* clang-format on */
#define LIMIT_COUNT_ENUM(name, text) LIMIT_COUNT_##name,
enum limit_count { LIMIT_COUNT_TABLE(LIMIT_COUNT_ENUM) LIMIT_COUNTS };

enum limit_algorithm { LIMIT_FIXED_WINDOW, LIMIT_SLIDING_WINDOW };

/* One limit as the configuration states it. */
struct limit_conf {
	enum limit_algorithm algorithm;
	uint32_t limit;	   /* permits */
	int64_t window_ms; /* per */
	uint32_t segments; /* sliding: 0 for the default */
	bool dotnet;	   /* sliding: .NET's segments */
	bool align_clock;  /* fixed: windows begin on multiples of the wall clock */

	uint32_t queue;		  /* permits that may wait per key; 0: nobody waits */
	bool newest_first;	  /* serve the newest waiter first, and displace the oldest */
	int64_t queue_timeout_ms; /* 0: as long as the client stays */

	bool count_all;	       /* refusals use permits too */
	bool shadow;	       /* decide and tell, but let pass; nobody waits */
	bool refuse_untracked; /* no room for a key: refuse instead of allow */
	bool shared; /* counted in Redis: policy/sharedlimit.h decides, not limiter_ask() */
};

/* What is wrong with it, as a phrase for a diagnostic, or NULL. */
const char *limit_conf_problem(const struct limit_conf *c);

enum limit_verdict { LIMIT_ALLOWED, LIMIT_QUEUED, LIMIT_REFUSED };

struct limit_answer {
	enum limit_verdict verdict;
	bool shadow_refused; /* allowed, but only because of shadow */
	uint32_t limit;	     /* as configured: for RateLimit-Policy */
	int64_t window_ms;
	uint32_t remaining; /* permits left for this key */
	int64_t reset_ms;   /* from now until there is at least one more; 0 when all are there */
	int64_t retry_ms;   /* refused: from now until these permits are free, those queued before
			       served first; never less than reset_ms */
	int64_t
	    decided_ms; /* allowed: the time the permits are booked at; limiter_refund() wants it */
	int64_t booked_ms;     /* the same in Redis' time, of a permit that Redis gave; else 0 */
	int64_t look_again_ms; /* queued: when to call limit_table_poll(), absolute */
};

enum limit_end {
	LIMIT_END_NONE,	   /* never queued */
	LIMIT_END_WAITING, /* the table's */
	LIMIT_END_GRANTED,
	LIMIT_END_TIMEOUT,
	LIMIT_END_DISPLACED,
	LIMIT_END_REFUSED, /* shared: it waited for Redis' word, which was no */
	LIMIT_END_CANCELLED
};

/* A request that waits; stands in the request. Zeroed, then worker and owner set, before it is lent
 * to limiter_ask(). The table's from LIMIT_QUEUED until its wake arrives or limiter_cancel() says
 * true. */
struct limit_waiter {
	unsigned worker; /* the caller's: whose mailbox the wake goes to */
	void *owner;	 /* the caller's */

	enum limit_end end; /* read it when the wake has arrived */
	struct limit_answer
	    answer; /* likewise: allowed or refused, with everything for the fields */

	/* the table's */
	struct link link;
	struct limiter *limiter;
	struct limit_entry *entry; /* while waiting */
	struct slice key;	   /* as asked: the bytes stay good as long as the waiter */
	uint64_t hash;
	uint32_t permits;
	int64_t deadline_ms;
	int64_t wall_ahead_ms; /* the wall clock less ours */
	bool is_in_line;       /* shared: Redis has said that there is none yet */
};

typedef void limit_wake_fn(struct limit_waiter *w, void *arg);

/* A table of at most max_bytes (raised to LIMIT_TABLE_BYTES_MIN), with one reference. NULL when
 * memory is short. */
struct limit_table *limit_table_new(size_t max_bytes, limit_wake_fn *on_wake, void *arg);
struct limit_table *limit_table_ref(struct limit_table *t);
/* Drops the caller's reference and sets *tp to NULL. Each limiter holds one of its own. */
void limit_table_unref(struct limit_table **tp);

/* Settles the queues that are due. Any worker, any time; cheap when nothing is due. Returns when to
 * call again (absolute), INT64_MAX when nobody waits. */
int64_t limit_table_poll(struct limit_table *t, int64_t now_ms);

/* Bytes held by keys, and their number: for gauges. */
struct limit_table_size {
	size_t keys, bytes, max_bytes;
};
struct limit_table_size limit_table_measure(struct limit_table *t);

/* The limiter of this name and conf: the one that is there, or a new one. Gives a reference. conf
 * has no problem. Control plane: aborts when memory is short. */
struct limiter *limiter_get(struct limit_table *t, const char *name, const struct limit_conf *conf);
struct limiter *limiter_ref(struct limiter *l);
/* Drops a reference, *lp becomes NULL; the last one forgets the limiter's keys. Whoever waits or
 * may still ask holds a reference, by its configuration. */
void limiter_unref(struct limiter **lp);
const char *limiter_name(const struct limiter *l);
const struct limit_conf *limiter_conf(const struct limiter *l);
/* How it counts in a phrase: "exact log of 5 in 300 s", for explain. Fills buf, always terminated.
 */
void limiter_describe(const struct limiter *l, char *buf, size_t cap);

struct limit_ask {
	struct slice key; /* at most LIMIT_KEY_MAX bytes; outlives the waiter when queued */
	uint32_t permits; /* at least 1 */
	int64_t now_ms;
	int64_t wall_ms;	     /* read only by align_clock */
	struct limit_waiter *waiter; /* NULL: does not wait */
};

void limiter_ask(struct limiter *l, const struct limit_ask *ask, struct limit_answer *out);

/* The client of a waiter has left. See the race above. Only the waiter's own worker calls this, and
 * not after the wake has arrived (a grant it no longer wants is then refunded like any other). */
bool limiter_cancel(struct limit_waiter *w, int64_t now_ms);

/* Gives back permits that were allowed at decided_ms (of the answer). Late or twice does no harm to
 * others' permits beyond what was taken in the same part of the window. */
void limiter_refund(
    struct limiter *l, struct slice key, uint32_t permits, int64_t decided_ms, int64_t now_ms);

/* What would be answered, without deciding: for explain. False when the key is not remembered (all
 * its permits are there; *out says so). */
bool limiter_peek(struct limiter *l, struct slice key, int64_t now_ms, struct limit_answer *out);

/* All decisions of the limits of this name since the table was made; any thread, exact once it
 * rests. */
struct limit_counts {
	uint64_t n[LIMIT_COUNTS];
};
void limiter_read_counts(const struct limiter *l, struct limit_counts *out);

#endif
