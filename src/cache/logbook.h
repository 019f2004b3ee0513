/* cache/logbook.h - the purges this process may still have to tell the shared log of.
 *
 * Two lists, both bounded. *Pending*: our own purges that are not in the log of the present epoch, the
 * oldest first; when there are too many, all of them become one purge of everything. *Known*: the last
 * LOGBOOK_KNOWN_MAX that are there, ours and those of others, in the order in which they came; when an
 * epoch begins, all of them are told again, by their ids, so that what a Redis has lost comes back from
 * whoever still knows it. Every list holds the entries of one instance in the order of their serials.
 *
 * The story of an entry: taken (pending), sent in a batch, acknowledged (known), perhaps told again.
 * Not thread-safe: the clerk holds its lock.
 */
#ifndef CACHE_LOGBOOK_H
#define CACHE_LOGBOOK_H

#include "cache/purgelog.h"

#define LOGBOOK_PENDING_MAX 1024
#define LOGBOOK_KNOWN_MAX 4096
#define LOGBOOK_BATCH_MAX 256
/* What a purge may be about, at most; beyond that it is cut to what purges more. */
#define LOG_WHAT_BYTES_MAX 2048

struct log_entry {
	uint64_t instance, serial; /* who took it; serial 0: nobody who could tell it twice */
	enum purge_kind kind;
	bool soft;
	bool is_journalled;
	size_t len;
	char what[];
};

/* NULL never: small and bounded. */
struct log_entry *log_entry_new(uint64_t instance, uint64_t serial, const struct purge *p);
struct purge log_entry_purge(const struct log_entry *e); /* borrowed from e */
/* One letter each, as they stand in Redis and in the journal. */
char log_kind_letter(enum purge_kind kind);
bool log_kind_of(char letter, enum purge_kind *out);

struct logbook;

struct logbook *logbook_new(void);
void logbook_free(struct logbook **bp);

/* Takes the entry over. False: there were too many, and all that are pending have become one purge of
 * everything, with this entry's id. */
bool logbook_add_pending(struct logbook *b, struct log_entry *e);
/* An entry that is in the log, of another instance. Takes it over. */
void logbook_add_known(struct logbook *b, struct log_entry *e);
unsigned logbook_pending(const struct logbook *b);
/* The i-th that is pending, the oldest first. */
struct log_entry *logbook_pending_at(const struct logbook *b, unsigned i);

/* An epoch begins: all that is known now is to be told again, before what is pending. */
void logbook_tell_again(struct logbook *b);
bool logbook_is_telling_again(const struct logbook *b);
/* Whether something was known once that is not any more. */
bool logbook_has_forgotten(const struct logbook *b);

struct logbook_batch {
	unsigned count;
	const struct log_entry *entries[LOGBOOK_BATCH_MAX]; /* good until the lock is given back */
	bool is_again;					    /* of what is known */
	uint64_t known_next; /* then: from where the next batch goes on */
	uint64_t serial;     /* else: the newest pending one in it */
};
/* What is to be told next; its size is bounded in bytes as well. False: nothing is. */
bool logbook_next(struct logbook *b, struct logbook_batch *out);
/* That batch is in the log. */
void logbook_told(struct logbook *b, const struct logbook_batch *batch);

#endif
