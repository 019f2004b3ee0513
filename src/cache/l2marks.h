/* cache/l2marks.h - which purges Redis has been told of, so that no value in it outlives one.
 *
 * Positions in the purge log (cache/purgelog.h) are numbers of one process. What instances share is
 * a sorted set in Redis, "<prefix>:marks". Its member "seq" numbers purges. A purge raises it by one
 * and sets its mark to that number: one mark for each URL and each tag (by SHA-1, 80 bits of it: a
 * collision purges too much), and "all" for what cannot be looked up by the hash of a text, namely
 * prefixes and patterns: there they purge everything. A soft purge counts as a hard one there.
 *
 * The story of a value: a fetch notes the newest number that this process has heard of, before its
 * request goes out (l2_marks_stamp), and the value carries it. A look-up is one script, which gives
 * the value only when no mark of its URL, of one of its tags or of all is higher: then it was
 * fetched after every purge that Redis was told of. Whoever has not heard of the newest number stores
 * values that count as purged too early, never too late; every answer of Redis brings the number.
 *
 * Purges of this process hold for what is read there at once, told or not: values carry the epoch, a
 * random number of the process (and of what Redis it used), and in another epoch's value the
 * position counts as 0: every purge taken here that matches it kills it, unless its number shows
 * that it was fetched after that purge was told.
 *
 * What is bounded: MARKS_MAX marks. Beyond that the oldest go, and "all" takes the highest number
 * among them. No mark has a life of its own, so values may have any.
 *
 * When Redis forgets: marks and number are one key, so it loses all of them or none. Where "seq" is
 * missing, or lower than this process has seen, or the mark told last is gone, "all" is raised
 * above everything that was seen and above Redis' clock (us), and nothing is taken from there until
 * that is acknowledged ("behind"). What goes unnoticed: purges lost with a crash or fail-over of
 * Redis when every process that told them has ended, too. And a process that ends while Redis is
 * away takes with it what it has not told.
 *
 * Eviction: the set has no expiry, so that volatile-lfu (or any volatile-*) keeps it and evicts only
 * values. With allkeys-* Redis may evict it: that loses all values, and never resurrects one.
 *
 * Scripts: Redis 5 or later, or Valkey. One struct for all workers of a process; thread-safe.
 */
#ifndef CACHE_L2MARKS_H
#define CACHE_L2MARKS_H

#include "cache/l2value.h"
#include "cache/purgelog.h"

#define L2_MARKS_MAX 131072 /* kept in Redis: some 15 MB there */
#define L2_MARK_BYTES 24    /* of a mark's name, with a NUL */
#define L2_WORDS_MAX 272    /* of a script's command */

struct l2_marks;

/* is_behind: this process has taken purges that this Redis has not been told of. The caller's
 * reference. */
struct l2_marks *l2_marks_new(bool is_behind);
struct l2_marks *l2_marks_ref(struct l2_marks *m);
void l2_marks_unref(struct l2_marks **mp); /* NULL is allowed */

/* What a fetch that begins now notes. seq 0: nothing is known, what it brings is not written. */
struct l2_stamp l2_marks_stamp(struct l2_marks *m);
/* The position in our purge log at which a value of that stamp counts. */
uint64_t l2_marks_position(struct l2_marks *m, const struct l2_stamp *value, uint64_t log_pos);
/* The name of the mark a purge raises, or a look-up's URL or path (PURGE_EXACT) is found by. */
void l2_marks_name(
    struct l2_marks *m, enum purge_kind kind, struct slice what, char out[L2_MARK_BYTES]);

/* Redis named its number. */
void l2_marks_note(struct l2_marks *m, uint64_t seq);
/* Redis has acknowledged this mark, and with it all purges of the teller up to this position. */
void l2_marks_note_told(struct l2_marks *m, uint64_t seq, uint64_t pos, const char *mark);
/* Redis has to be told all anew: it has lost something, or there was too much to tell. */
void l2_marks_fall_behind(struct l2_marks *m);
/* 0, or which fall it is from which Redis has not been told "all" yet. */
unsigned l2_marks_behind(struct l2_marks *m);
/* "all" was acknowledged, which was sent when l2_marks_behind said that. */
void l2_marks_caught_up(struct l2_marks *m, unsigned behind);

/* --- the scripts --- */

/* A command under construction; words point to what is in it or given to it: it must not be moved. */
struct l2_words {
	struct slice argv[L2_WORDS_MAX];
	unsigned argc;
	uint64_t seen; /* the number it was made with */
	char seen_text[24], told_text[24], told[L2_MARK_BYTES];
};

/* Look-up: gives [number, bytes or ""], [number] when the value was purged, [0] when Redis has
 * forgotten. Writes nothing. is_known: by hash only, which Redis may answer with NOSCRIPT. Words to
 * follow: the last byte wanted; the marks of URL and path. */
void l2_words_lookup(
    struct l2_words *w, struct l2_marks *m, bool is_known, struct slice set, struct slice value);
/* Marks: gives the number. probe: a key that is written, too; or SLICE_NONE. Words to follow: the
 * names of marks, or none to hear the number only. */
void l2_words_mark(struct l2_words *w, struct l2_marks *m, struct slice set, struct slice probe);
void l2_words_add(struct l2_words *w, struct slice word);

#endif
