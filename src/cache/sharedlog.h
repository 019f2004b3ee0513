/* cache/sharedlog.h - what this process knows of the purge log that instances share, and what follows
 * from it: whether a value out of Redis is good, whether this instance may answer from its memory.
 *
 * The shared log is a stream in Redis. An entry has a *number* there, counting from 1 in an *epoch* (a
 * random number: when Redis has lost something, a new epoch begins, empty). It is fed in here in that
 * order, each entry first into a second table of positions, by which values out of Redis are judged,
 * and then into the local log (cache/purgelog.h), by which memory is; our own purges are in the local
 * log since they were taken, and are not entered there twice. Only then `applied` grows.
 *
 * A value in Redis carries the stamp (epoch, number): what the instance that fetched it had applied
 * when that fetch began. So every purge up to that number was taken before the fetch, and the value is
 * good if no later entry matches it and no purge of ours does that has no number yet.
 *
 * An epoch may outlive the run of Redis that it began in, and a crash may have taken the last entries of that run away: their
 * numbers are then given out again. So a stamp says in its upper bits in which run its number was read, counted in the epoch,
 * and one of an earlier run is of use only if the log went on from that number or a later one.
 *
 * The lease is the promise of Redis to count this instance among those that must confirm a purge. It
 * ends at a date of this machine's own clock, which was read before the renewal was sent; it is held
 * only by who has applied all that was in the log when it was granted. Whoever asks reads the clock
 * *after* his request was read and *before* he judges anything: then every purge that was confirmed
 * everywhere before that request was sent is in the local log already, however long this process was
 * stopped meanwhile (docs/invalidation.md has the proof).
 *
 * Threads: the functions of the first part may be called by any; those of the second part by one at a
 * time (the clerk holds its lock).
 */
#ifndef CACHE_SHAREDLOG_H
#define CACHE_SHAREDLOG_H

#include "cache/l2value.h"
#include "cache/purgelog.h"

/* Redis counts on an instance for so long after it has granted the lease... */
#define LEASE_MS 2000
/* ...and the instance on itself for that much less, from before it asked: clocks may differ in speed. */
#define LEASE_MARGIN_MS 200
#define LEASE_RENEW_MS 500

/* Runs of Redis that the epoch has seen after the first, and the log's newest number when each of the last of them began. */
#define LOG_RUNS_KEPT 8
struct log_runs {
	uint64_t count;
	uint64_t base[LOG_RUNS_KEPT]; /* of the run n, 1 to count, at n % LOG_RUNS_KEPT */
};

struct sharedlog;

/* Judges memory's purges by local, which must outlive it. */
struct sharedlog *sharedlog_new(struct purgelog *local);
void sharedlog_free(struct sharedlog **sp);
/* Of this process: random. */
uint64_t sharedlog_instance(const struct sharedlog *s);

/* --- any thread --- */

/* Whether the lease is held at now_ms, a fresh reading of clock_mono_ms(). */
bool sharedlog_has_lease(const struct sharedlog *s, int64_t now_ms);
/* Whether values of Redis may be used and written: the lease is held, and nobody may still have to tell
 * of what a Redis that was lost knew. */
bool sharedlog_is_current(const struct sharedlog *s, int64_t now_ms);
/* What a fetch notes before its request goes out. epoch 0: what it brings is not written to Redis. */
struct l2_stamp sharedlog_stamp(const struct sharedlog *s, int64_t now_ms);
/* Whether the stamp is of the present epoch: otherwise the value would be of use to nobody. */
bool sharedlog_is_of_epoch(const struct sharedlog *s, const struct l2_stamp *stamp);
/* Whether a value of that stamp, key and tags (NUL after each) is good. *log_pos_out: from which
 * position of the local log on it is still to be judged (facts.log_pos). */
bool sharedlog_judge(const struct sharedlog *s, const struct l2_stamp *stamp, struct slice key,
    struct slice tags, int64_t now_ms, uint64_t *log_pos_out);
/* Where this instance stands, lease or not; epoch 0: nowhere. */
struct l2_stamp sharedlog_place(const struct sharedlog *s);
uint64_t sharedlog_epoch(const struct sharedlog *s); /* 0: none */
uint64_t sharedlog_applied(const struct sharedlog *s);

/* --- one at a time --- */

/* A purge of ours: enters it in the local log and returns its serial, 1, 2, 3... shared: it is to get a
 * number, too, and until it is seen there it holds for values of Redis by the local log. */
uint64_t sharedlog_take(struct sharedlog *s, const struct purge *p, bool shared);
/* Values of a Redis that may not have been told of any of our purges are coming: all of them hold for
 * what is read there until the newest is seen in the log. */
void sharedlog_own_all(struct sharedlog *s);
/* The log is of that epoch, and read from its entry first on, which is 1 or more. What was trimmed
 * before is taken for a purge of everything. */
void sharedlog_enter(struct sharedlog *s, uint64_t epoch, uint64_t first);
/* What is known of the runs of the epoch that is read, or will be next. */
void sharedlog_set_runs(struct sharedlog *s, const struct log_runs *runs);
/* Entries up to first - 1 are gone and were not read: they count as a purge of everything. */
void sharedlog_missed(struct sharedlog *s, uint64_t first);
/* The entry with the number applied + 1. serial 0: taken by nobody who could tell it twice. True: it is
 * another instance's and was not known. */
bool sharedlog_apply(
    struct sharedlog *s, uint64_t instance, uint64_t serial, const struct purge *p);
/* Everything in memory is purged: what was missed cannot be known. */
void sharedlog_purge_memory(struct sharedlog *s);
/* A lease was asked for at sent_ms (clock_mono_ms() before that) and granted; the log's newest number
 * was last. Holds as soon as that is applied. */
void sharedlog_grant(struct sharedlog *s, int64_t sent_ms, uint64_t last);
/* No lease any more; what was granted and waits to be earned is gone, too. */
void sharedlog_revoke(struct sharedlog *s);
/* Whether all that a lost Redis knew has been told again. */
void sharedlog_settle(struct sharedlog *s, bool is_settled);

#endif
