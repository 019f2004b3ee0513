/* cache/clerk.h - keeps the purge log that instances share: tells Redis of this process' purges, hears of
 * the others', renews the lease. One thread with its own loop, so that no busy worker delays a lease, and
 * no disk a worker.
 *
 * The story of a purge: whoever takes it (clerk_take) enters it in the local log, where it holds at once,
 * and goes on. The clerk appends it to the stream in Redis, together with what has gathered meanwhile; if
 * that is not acknowledged in time it is written to the journal and forced to the disk, and told when Redis
 * is back, be it by the next process. Who wants to know how far it has come waits with a letter
 * (clerk_await). Every other instance reads the stream as it grows and enters what it finds in its own
 * local log; then it says so, which is what "everywhere" is made of.
 *
 * And of a Redis that forgets: each connection begins by comparing what the clerk has read with what is
 * there (cache/logscript.h). If something is missing a new epoch begins, values of older ones count as
 * misses, and every instance tells again what it knows. docs/invalidation.md has the model.
 *
 * Without Redis there is no thread: purges hold here, and that is all there is.
 */
#ifndef CACHE_CLERK_H
#define CACHE_CLERK_H

#include <stdatomic.h>

#include "base/list.h"
#include "cache/purgelog.h"
#include "cache/sharedlog.h"
#include "event/mailbox.h"

struct clerk;

/* How far a purge has come. Each level includes those before it. */
enum purge_level {
	PURGE_HERE, /* holds in this process */
	PURGE_JOURNALLED, /* is on the disk, and will be told to Redis by whichever process comes after us */
	PURGE_APPENDED, /* is in the log that instances share: each that is connected has it within ms */
	PURGE_EVERYWHERE, /* every instance that may answer from its memory has confirmed it */
};
extern const char *const purge_level_names[]; /* here, journalled, appended, everywhere */

struct clerk_conf {
	const char *url; /* event/redisurl.h; NULL: no Redis */
	const char *prefix;
	const char *state_dir; /* of the journal; NULL: none. What it was at first is kept. */
	bool is_strict;
	int64_t timeout_ms; /* for an append, before the purge is journalled */
};

/* Purges are taken in by local, which must outlive it. NULL (errno): no descriptors left. */
struct clerk *clerk_new(struct purgelog *local);
/* From now on the log is kept in that Redis. What the journal holds is purged here when this returns.
 * 0, or -1 and *why_out, a text that lives for ever: nothing has changed. The main thread. */
int clerk_use(struct clerk *c, const struct clerk_conf *conf, const char **why_out);
/* Tells what can be told within a moment, journals the rest, answers who still waits, and ends the thread.
 * Purges are still taken afterwards, and hold here. */
void clerk_stop(struct clerk *c);
void clerk_free(struct clerk **cp);

/* --- any thread --- */

/* What the workers' links to Redis judge by. */
struct sharedlog *clerk_log(struct clerk *c);
/* Whether this instance may answer from its memory: without strict coherence it may. A fresh reading of
 * the clock: to be asked after the request was read, and before anything is judged. */
bool clerk_may_answer(const struct clerk *c);
bool clerk_is_strict(const struct clerk *c);

/* Takes the purges in, in that order: from the return on they hold here. Returns what to wait for. */
uint64_t clerk_take(struct clerk *c, const struct purge *items, size_t count);

/* Who waits until what clerk_take returned has come far enough. */
struct clerk_wait {
	/* Set by who waits */
	uint64_t serial;
	bool is_everywhere; /* until everywhere; else until it is appended or journalled */
	struct mailbox *reply_to;
	void (*done)(struct clerk_wait *w); /* on that mailbox' loop */
	/* The clerk's */
	struct clerk *clerk;
	enum purge_level level; /* reached; good when done is called */
	uint64_t number;
	int64_t taken_ms;
	struct link link;
	struct letter letter;
};
/* *w is the clerk's until done is called, which it is once: at the latest after some seconds, or when the
 * clerk stops. */
void clerk_await(struct clerk *c, struct clerk_wait *w);

/* A write is on its way upstream that will purge these: where it dies with this process, others purge them.
 * Nobody waits for that to be noted. NULL: there is nothing to note or nobody to tell. */
struct clerk_intent;
struct clerk_intent *clerk_intent(struct clerk *c, const struct purge *items, size_t count);
/* The write has an end: it was purged, with what clerk_take returned, or (0) it need not be. Sets *ip to
 * NULL; NULL is allowed. */
void clerk_intent_end(struct clerk *c, struct clerk_intent **ip, uint64_t serial);

/* clang-format off */
/*        state       text */
#define CLERK_STATES(X)                                                             \
	X(off,        "there is no Redis to share a log in")                        \
	X(away,       "not connected")                                              \
	X(behind,     "connected, but not all of the log is applied")               \
	X(settling,   "connected; others may still tell what a lost Redis knew")    \
	X(connected,  "in use")
/*        name             kind     series                                  text */
#define CLERK_METRICS(X)                                                                                                     \
	X(taken,         counter, "forebay_purgelog_taken_total",        "Purges taken by this instance")                     \
	X(appended,      counter, "forebay_purgelog_appended_total",     "Purges of this instance that the shared log has acknowledged") \
	X(received,      counter, "forebay_purgelog_received_total",     "Purges of other instances that were applied here") \
	X(journalled,    counter, "forebay_purgelog_journalled_total",   "Purges forced to the journal because Redis did not take them in time") \
	X(journal_errors, counter, "forebay_purgelog_journal_errors_total", "Times the journal could not be written")         \
	X(epochs,        counter, "forebay_purgelog_epochs_total",       "Epochs of the shared log that this instance entered: more than one means that Redis has lost something") \
	X(dropped,       counter, "forebay_purgelog_dropped_total",      "Times all of memory was purged because purges may have been missed") \
	X(collapsed,     counter, "forebay_purgelog_collapsed_total",    "Times so many purges waited that they became one of everything") \
	X(lapses,        counter, "forebay_purgelog_lapses_total",       "Times the lease ran out before it was renewed")     \
	X(connected,     gauge,   "forebay_purgelog_connected",          "1 while this instance hears of every purge; 0 without a shared log") \
	X(applied,       gauge,   "forebay_purgelog_applied",            "Number of the newest entry of the shared log applied here, in its epoch") \
	X(lag,           gauge,   "forebay_purgelog_lag",                "Entries known to be in the shared log and not applied here") \
	X(pending,       gauge,   "forebay_purgelog_pending",            "Purges of this instance that the shared log does not have yet")
/* clang-format on */

enum clerk_state {
#define X(state, text) CLERK_##state,
	CLERK_STATES(X)
#undef X
};
extern const char *const clerk_state_names[], *const clerk_state_texts[];

struct clerk_metrics {
#define X(name, kind, series, text) uint64_t name;
	CLERK_METRICS(X)
#undef X
};

/* At one moment, for health and metrics. */
struct clerk_status {
	enum clerk_state state;
	bool is_strict;
	uint64_t epoch;
	char trouble[160]; /* why it is away; "" */
	struct clerk_metrics metrics;
};
void clerk_status(struct clerk *c, struct clerk_status *out);

#endif
