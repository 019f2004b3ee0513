/* cache/journal.h - purges on the disk that Redis has not been told of yet.
 *
 * One file, DIRECTORY/purges.journal: records one after the other, each with its length and a checksum
 * (XXH3). It is only ever added to, forced to the disk before it counts, and emptied when the shared log
 * has all of it. A process that starts reads what its predecessor could not tell. A last record that is
 * cut short was never acknowledged and is dropped; damage anywhere else means that nobody can tell what
 * was purged, and counts as a purge of everything. Beyond JOURNAL_BYTES_MAX the file is replaced, in one
 * step, by one record that says the same.
 *
 * It blocks: the clerk's thread, never a worker's.
 */
#ifndef CACHE_JOURNAL_H
#define CACHE_JOURNAL_H

#include "cache/purgelog.h"

#define JOURNAL_BYTES_MAX ((size_t)1 << 20)

struct journal;

/* Opens or makes the file, and calls see for each purge in it, in order; what it points to is good
 * during the call. NULL (errno) when the directory cannot be used. */
struct journal *journal_open(
    const char *directory, void (*see)(void *arg, const struct purge *p), void *arg);
void journal_close(struct journal **jp);
/* Writes; nothing counts before journal_sync said so. */
void journal_add(struct journal *j, const struct purge *p);
/* 0: what was added is on the disk; -1 (errno): it is not, nor what was added since the last 0. */
int journal_sync(struct journal *j);
/* All of it has been told. */
void journal_empty(struct journal *j);
bool journal_is_empty(const struct journal *j);
const char *journal_path(const struct journal *j);

#endif
