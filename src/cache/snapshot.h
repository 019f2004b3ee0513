/* cache/snapshot.h - what memory holds, written down for the next process: one file, or memory with a descriptor.
 *
 * It does not depend on how objects lie in memory: each is a record of numbers and texts. All of it is sealed, a block at a
 * time and then as a whole, and the head is written last: what was cut off, damaged, or written by another version is
 * seen to be so before anything of it is used. Times are those of the monotonic clock where the same boot reads them
 * again, and are carried over by the wall clock where another does; a wall clock that went back meanwhile says nothing,
 * and the snapshot is refused.
 *
 * Records stand in the order that is best for whoever gives up the memory behind them; each carries its rank among all, the
 * one most worth keeping first. One thread at a time.
 */
#ifndef CACHE_SNAPSHOT_H
#define CACHE_SNAPSHOT_H

#include "cache/l2value.h"
#include "cache/object.h"

struct snapshot_clocks {
	int64_t wall_ms, mono_ms;
	char boot[40]; /* which boot it is (snapshot_boot) */
};

/* What boot this is, as the kernel names it; "" where it does not. */
void snapshot_boot(char out[40]);

/* --- writing --- */

struct snapshot_writer;

/* To fd, which stays the caller's and is empty. NULL never. */
struct snapshot_writer *snapshot_begin(int fd);
/* Its body must be whole. rank: 0 for the one most worth keeping. is_main: the store's queue. 0, or -1 (errno): then so do all that
 * follow. */
int snapshot_add(struct snapshot_writer *w, const struct object *o, uint32_t rank, bool is_main);
/* stamp: up to where the purge log that instances share had been applied; epoch 0: there is none. Frees *wp. 0, or -1 (errno): what was
 * written is nothing. */
int snapshot_end(
    struct snapshot_writer **wp, const struct snapshot_clocks *now, const struct l2_stamp *stamp);

/* --- reading --- */

/* clang-format off */
/*        flaw       text */
#define SNAPSHOT_FLAWS(X)                                                    \
	X(none,      "whole")                                                \
	X(unread,    "it cannot be read")                                    \
	X(foreign,   "it is not a snapshot, or was not finished")            \
	X(version,   "another version of Forebay wrote it")                  \
	X(damaged,   "it is damaged")                                        \
	X(clock,     "the clock stands before the time it was written")
/* clang-format on */
enum snapshot_flaw {
#define X(flaw, text) SNAPSHOT_##flaw,
	SNAPSHOT_FLAWS(X)
#undef X
};
extern const char *const snapshot_flaw_texts[];

struct snapshot_reader;

/* Looks at all of it. *out only with SNAPSHOT_none; fd stays the caller's and must live as long as it. */
enum snapshot_flaw snapshot_open(
    int fd, const struct snapshot_clocks *now, struct snapshot_reader **out);
void snapshot_close(struct snapshot_reader **rp);
/* From now on nobody takes what is in fd for a snapshot any more; who has opened it reads on. 0, or -1 (errno). */
int snapshot_use_up(int fd);
uint64_t snapshot_count(const struct snapshot_reader *r);
/* About what its objects take in memory. */
uint64_t snapshot_bytes(const struct snapshot_reader *r);
struct l2_stamp snapshot_stamp(const struct snapshot_reader *r);

/* One object, borrowed from the reader until the next one is asked for. */
struct snapshot_item {
	uint32_t rank;
	bool is_main;
	struct slice key, vary, tags, head;
	int64_t left_ms; /* for how long it may answer, stale or fresh; 0 and less: not any more */
	const struct snapshot_record *record; /* the rest */
};
/* The next; false when there is no more. gives_back: what has been read is taken out of the file, so that its memory is free again. */
bool snapshot_next(struct snapshot_reader *r, bool gives_back, struct snapshot_item *out);
/* Makes it an object of that slab again, judged from log_pos of the purge log on. NULL: no memory, or not a head. */
struct object *snapshot_object(const struct snapshot_reader *r, const struct snapshot_item *item,
    struct slab *slab, uint64_t log_pos);

#endif
