/* policy/sharedlimit.h - limits whose permits all instances share, counted in Redis.
 *
 * Asked in place of limiter_ask() where limit_conf.shared; the same table, waiters, answers and wakes as in
 * policy/ratelimit.h, with one permit for each request.
 *
 * The story of one request. If permits of its key are in hand (a lease), it takes one. If Redis has said that there is none before
 * a certain time, it is refused or stands in line, and nobody is asked. Otherwise it stands in line, and a trip goes to Redis for
 * everybody in the line: one for each key and instance at a time, so that whoever comes meanwhile shares the next. The worker
 * that found nobody looking after the key sends it. The answer serves the line from its head; who cannot be
 * served is refused, or waits where the limit has a queue: then the trip rests until the next permit comes, and goes again.
 *
 * Never over the limit: a permit given is counted in Redis before it is used. For limits from SHARED_LEASE_LEAST on a trip brings a slice
 * for later, when trips follow closely upon each other: more each time, and never a large part of what is left. A slice is used
 * within the part of the window that it was counted in, for SHARED_LEASE_MS at most; what is left then goes back. An
 * instance that dies takes its slices with it until they come back by themselves: under the limit then, not over it.
 *
 * Redis away (no answer within the time-out, no connection): the line is decided here at once, by the same window, of which the limit
 * divided by the number of instances may be out, at least 1. What this instance was given by Redis before counts in it, and what is used so
 * is told to Redis with the first trip afterwards.
 *
 * Any worker asks, with its own link. Locks: a key's shard, never across a call out.
 */
#ifndef POLICY_SHAREDLIMIT_H
#define POLICY_SHAREDLIMIT_H

#include "policy/ratelimit.h"
#include "policy/sharedlink.h"

#define SHARED_LEASE_LEAST 1000
#define SHARED_LEASE_MS 1000

/* One worker's part: the trips that it makes. */
struct shared_limits;
struct shared_limits *shared_limits_new(struct shared_link *link);
/* When nobody waits any more; before the link and the limiters' table. */
void shared_limits_free(struct shared_limits **sp);
/* This worker ends: slices go back to Redis, and trips for others who stand in line go on. on_quiet is called when none is left. */
void shared_limits_leave(struct shared_limits *s, void (*on_quiet)(void *arg), void *arg);
bool shared_limits_is_quiet(const struct shared_limits *s);

/* As limiter_ask(); ask->waiter is given, and permits is 1. LIMIT_QUEUED: a wake will come, however it ends; nothing is to be
 * polled. */
void shared_ask(struct shared_limits *s, struct limiter *l, const struct limit_ask *ask,
    struct limit_answer *out);
/* As limiter_cancel(). */
bool shared_cancel(struct shared_limits *s, struct limit_waiter *w, int64_t now_ms);
/* Gives back the permit of an answer that allowed. */
void shared_refund(struct shared_limits *s, struct limiter *l, struct slice key,
    const struct limit_answer *a, int64_t now_ms);

#endif
