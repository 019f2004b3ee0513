/* cache/fetchlock.h - one fetch for all instances: a short lock in Redis (L2) on a key that is being fetched.
 *
 * The story: who leads a flight here, and has not found the key in Redis, asks for its lock: SET NX with a random token and
 * an expiry. Who gets it fetches, writes the response to Redis, and lets the lock go: a script deletes it if it still
 * holds the token. Who does not get it looks at the lock from time to time (after 5 ms at first, then ever more rarely, by
 * a 32nd of the time it has waited) and is told when it is gone: the response is in Redis then, or it never will be, and
 * whoever asked fetches for itself. A response that proves not to be for everybody leaves a mark in the lock's place:
 * who waits or comes meanwhile fetches at once, and in parallel.
 *
 * Who goes while it is not known yet whether the lock is his, or was not told in time, lets it go on the same line, behind his
 * question: no lock is left standing for nobody.
 *
 * It makes things better and never anything else: nobody waits longer than wait_ms, which is also how long the lock of
 * an instance that has died stands; a Redis that is away, slow or refuses is no lock. Nobody waits twice, so
 * the worst that a lost lock costs is one fetch for each instance.
 *
 * Belongs to the loop of its tier.
 */
#ifndef CACHE_FETCHLOCK_H
#define CACHE_FETCHLOCK_H

#include "cache/key.h"
#include "event/loop.h"

struct fetchlock;
struct l2;

enum fetchlock_end {
	FETCHLOCK_MINE,	    /* fetch it: nobody else does */
	FETCHLOCK_OVER,	    /* who fetched it has done so: look in Redis, once */
	FETCHLOCK_UNSHARED, /* fetched by somebody, and not for everybody */
	FETCHLOCK_NONE,	    /* Redis does not say, or it has been long enough */
};

/* Asks; done comes once, never from within this call, at the latest after wait_ms, unless it is freed before. NULL: it cannot
 * be asked. The caller's, to be freed in any case. key is not needed any more after this call. */
struct fetchlock *fetchlock_ask(struct l2 *l2, struct loop *loop, const struct cache_key *key,
    int64_t wait_ms, void (*done)(void *arg, enum fetchlock_end end), void *arg);
/* If it is ours: a mark takes its place for so long, the response is not for everybody. */
void fetchlock_disband(struct fetchlock *k, int64_t mark_ms);
/* Lets go of it if it is ours, behind what l2_put has written or is still to write; no callback comes. Sets *kp to NULL; NULL is allowed. */
void fetchlock_free(struct fetchlock **kp);

#endif
