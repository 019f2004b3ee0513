/* cache/purgelog.h - which purges there have been, in order, so that none is ever lost.
 *
 * Each purge is one entry with a number. An object carries the number that was newest when its
 * *fetch began* (facts.log_pos); it is valid only if no later entry matches it. That makes a purge
 * causal: a response that was on its way while the purge was taken is never served again (hard) or
 * counts as stale (soft). Bounded: exact keys and tags live in fixed tables of last positions
 * (cache/purgetable.h: they only purge too much), prefixes and patterns in a short list that a sweep of
 * the store retires; when the list is full the oldest are merged into "everything before this
 * position". An object remembers up to where it was found valid (valid_pos), so a hit compares one
 * number with the head of the log. Thread-safe; reading the head is one atomic load.
 */
#ifndef CACHE_PURGELOG_H
#define CACHE_PURGELOG_H

#include "cache/object.h"

struct purgelog;

enum purge_kind {
	PURGE_EXACT,
	PURGE_PREFIX,
	PURGE_PATTERN,
	PURGE_TAG,
	PURGE_ALL,
	PURGE_TAG_PATTERN
};

struct purge {
	enum purge_kind kind;
	bool soft;	   /* marks stale instead of dropping */
	struct slice what; /* exact: host + path + query as in cache/key.h; prefix, pattern (glob
			      with *, which stands for any run of bytes, over all of it; \\ before
			      a byte takes its meaning) likewise; tag: the tag; tag pattern: a glob
			      over each tag. A scheme in front of a URL is ignored; what begins with
			      "/" is for every host. */
};

enum purge_verdict { PURGE_VALID, PURGE_STALE, PURGE_GONE };

/* Prefixes and patterns kept apart at a time, and their length: a longer one is cut to what purges
 * more. */
#define PURGELOG_PATTERNS_MAX 256
#define PURGELOG_PATTERN_BYTES_MAX 1024

struct purgelog *purgelog_new(void);
void purgelog_free(struct purgelog **pp);
/* The newest position. What a fetch notes before its request goes out. */
uint64_t purgelog_head(const struct purgelog *l);
/* Takes the purge in: from the return on it holds for every look-up. Returns its position. */
uint64_t purgelog_add(struct purgelog *l, const struct purge *p);
/* Whether the object survived everything up to now; raises its valid_pos when it did, also when a
 * soft purge made it stale (soft_purged): it stays so until another object takes its place. */
enum purge_verdict purgelog_judge(struct purgelog *l, struct object *o);
/* The same for something that is no object yet (a response arriving): key, tags (NUL after each),
 * position its fetch began at. */
enum purge_verdict purgelog_judge_parts(
    struct purgelog *l, struct slice key, struct slice tags, uint64_t log_pos);

/* Whether the purge means what is stored under key with these tags, whenever it was fetched. By the
 * words: what the tables purge beside is not meant. */
bool purge_means(const struct purge *p, struct slice key, struct slice tags);
/* see is called for every purge that is taken in, with its position, before that becomes the head; one at
 * a time, on whichever thread takes it; it must not call back. Before the first purge. */
void purgelog_watch(
    struct purgelog *l, void (*see)(void *arg, const struct purge *p, uint64_t pos), void *arg);

/* Whether the list of patterns is long enough for store_sweep to be worth its while. */
bool purgelog_wants_sweep(const struct purgelog *l);
/* Every listed object was judged since the head was up_to: patterns up to there are dropped. What
 * was fetched before and is not in the store yet is taken for purged by them. */
void purgelog_retire(struct purgelog *l, uint64_t up_to);

#endif
