/* cache/logscript.h - what the clerk says to Redis, and what Redis says back: the scripts of the shared
 * purge log, and its entries as they lie in the stream.
 *
 * All keys have one hash tag, so that a Redis Cluster keeps them together:
 *
 *   {P}:log           stream: the entry of number n has the id n-0 and the fields e (epoch), c (chance:
 *                     of the APPEND that wrote it), i (instance), s (serial), k (kind and strength), w (what)
 *   {P}:log:state     hash: epoch, last (number), run (run_id of the Redis), run_at, epoch_at (when each was
 *                     first seen, ms of Redis' clock), epoch_run (in which run the epoch began), runs (that it
 *                     has seen after that), bases (the newest number when each of the last of those began, 16 digits
 *                     each), prev, prev_last (the epoch before, and where it ended), s:<instance> (its newest serial)
 *   {P}:log:leases    sorted set: instance by the end of its lease, ms of Redis' clock
 *   {P}:log:applied   hash: instance to the number it has applied, in this epoch
 *   {P}:log:intents:<instance>   hash: purges of writes that are on their way
 *
 * An entry that is found by number and chance was written by one execution of one script, and whatever a
 * Redis restores or a replica has is a beginning of what was executed: so who finds his newest entry there
 * knows that all before it are there, too. That is how a loss is noticed.
 *
 * Intents of a dead instance are carried out under its name backwards, with serials made of the time: so they have ids,
 * too, and are entered once however many instances tell them again.
 *
 * A clock of Redis that was set back: dates that lie ahead are drawn up to now, both by as much, and so are leases.
 *
 * Redis 5 or later, or Valkey: what a script writes is replicated as its effects.
 */
#ifndef CACHE_LOGSCRIPT_H
#define CACHE_LOGSCRIPT_H

#include "cache/logbook.h"
#include "cache/sharedlog.h"
#include "event/redisreply.h"

#define LOG_LENGTH "100000" /* entries kept in the stream, about */
#define LOG_SETTLE_MS 2000  /* after a loss: others come back and tell again */
#define LOG_DEAD_MS "5000"  /* since its lease: an instance's intents are carried out */
#define LOG_GONE_MS "60000" /* and it is forgotten */
#define LOG_INTENT_LIFE_S "3600"
#define LOG_READ_MAX "512" /* entries in one reply */
#define LOG_BLOCK_MS "1000"

struct log_keys {
	char log[96], state[96], leases[96], applied[96], intents[96]; /* intents: its beginning */
};
void log_keys_init(struct log_keys *k, const char *prefix);

/* A command under construction; its words point into it and to what it was given. Large, not on a stack. */
struct log_command {
	unsigned argc;
	struct slice argv[16 + 4 * LOGBOOK_BATCH_MAX];
	size_t used;
	char text[1024 + 48 * LOGBOOK_BATCH_MAX];
};

/* Where an instance stands in an epoch. */
struct log_place {
	uint64_t instance;
	uint64_t epoch; /* 0: none yet */
	uint64_t applied;
	uint64_t chance; /* of the entry applied */
};

void log_say_hello(struct log_command *c, const struct log_keys *k, const struct log_place *me,
    bool is_strict, uint64_t new_epoch);
void log_say_append(struct log_command *c, const struct log_keys *k, const struct log_place *me,
    uint64_t chance, const struct logbook_batch *batch);
void log_say_renew(
    struct log_command *c, const struct log_keys *k, const struct log_place *me, uint64_t chance);
void log_say_waiting(struct log_command *c, const struct log_keys *k, const struct log_place *me);
void log_say_bye(struct log_command *c, const struct log_keys *k, const struct log_place *me);
void log_say_read(struct log_command *c, const struct log_keys *k, const struct log_place *me);
/* key: log_intents_key's. Says as many of the items as a command holds, from the one at first on; returns where the next
 * command goes on. */
unsigned log_say_intent(struct log_command *c, struct slice key, uint64_t intent,
    struct log_entry *const *items, unsigned first, unsigned count);
void log_say_intent_life(struct log_command *c, struct slice key);
void log_say_intent_over(struct log_command *c, struct slice key, uint64_t intent, unsigned count);
struct slice log_intents_key(const struct log_keys *k, uint64_t instance, char out[128]);

struct log_hello {
	uint64_t epoch, last, first; /* first: the oldest number that can be read, or last + 1 */
	uint64_t prev, prev_last;
	int64_t run_age_ms, epoch_age_ms;
	struct log_runs runs;
	bool is_new; /* this HELLO began the epoch */
};
bool log_hello_of(const struct redis_reply *r, struct log_hello *out);

enum log_answer { LOG_YES, LOG_OTHER_EPOCH, LOG_NONSENSE };
/* To APPEND and RENEW: the newest number; to WAITING: what all others with a lease have applied. */
enum log_answer log_answer_of(const struct redis_reply *r, uint64_t *number_out);
/* In an answer to RENEW: where the epoch before has ended, as far as those know who have come since. */
uint64_t log_prev_last_of(const struct redis_reply *r);

struct log_read {
	uint64_t number, epoch, chance, instance, serial;
	struct purge purge; /* borrowed */
};
/* One entry of what log_say_read brought: [id, [field, value, ...]]. */
bool log_read_of(const struct redis_reply *entry, struct log_read *out);
/* The entries in a reply to it: none where it is nil. False: nonsense. */
bool log_entries_of(
    const struct redis_reply *r, const struct redis_reply **entries_out, size_t *count_out);

#endif
