/* cache/census.h - counts and lists what is stored, and clears away what was purged, on a thread of its own.
 *
 * A purge holds from the moment it is taken, but what it took still lies in memory, and how much that was is not known. The
 * census walks through the store in small steps, with pauses, so that no worker waits for it longer than for another worker:
 * what is gone is taken out, what somebody asks for is counted. One walk serves all who ask at that time. It walks when
 * somebody asks, when the log's list of patterns is long, and now and then after other purges; seldom enough to cost a
 * fiftieth of one processor.
 *
 * Counting a hard purge: what it means, was stored when census_begin() was called, and had not been purged before. Objects
 * leave while the walk is on its way (a reader finds one gone, another is evicted): each one that leaves is looked at,
 * whoever takes it out, so that none is missed and none counted twice. For a tag alone the answer is there at once
 * (cache/tagcounts.h).
 */
#ifndef CACHE_CENSUS_H
#define CACHE_CENSUS_H

#include "cache/purgelog.h"
#include "cache/store.h"
#include "event/mailbox.h"

struct census;

enum census_sort { CENSUS_UNSORTED, CENSUS_BY_SIZE, CENSUS_BY_AGE, CENSUS_BY_HITS, CENSUS_SORTS };
#define CENSUS_ROWS_MAX 1000

/* Both ends included. Bytes, milliseconds, hits. */
struct census_range {
	bool is_set;
	int64_t least, most;
};

/* One question, and its answer. Its asker's, and the census' from census_begin or census_go to done. */
struct census_ask {
	const struct purge
	    *items; /* counts what any of them means; none: everything. Borrowed until done. */
	size_t items_count;
	struct census_range ranges[CENSUS_SORTS]; /* and, of those, what lies in them; looks only */
	int64_t now_ms;				  /* at which ages are meant */
	enum census_sort sort;			  /* the greatest first: bytes, age, hits */
	size_t rows_most;			  /* objects to list; only by census_go alone */
	void (*prepare)(struct census_ask *a); /* on the census' thread, before done; may be NULL */
	struct mailbox *reply_to;
	void (*done)(struct census_ask *a); /* on reply_to's loop, once */
	/* The answer */
	uint64_t count, bytes;
	bool is_exact;	      /* false: as far as could be told */
	struct object **rows; /* with a reference each */
	size_t rows_count;
	/* The census' */
	enum {
		CENSUS_LOOKS,
		CENSUS_BEGUN,
		CENSUS_ASKED,
		CENSUS_WALKED
	} stage;	 /* but the first: of a purge */
	uint64_t before; /* purges: newest position when it began */
	struct link link;
	struct letter letter;
};

/* Starts the thread. Takes the places of the store's and the log's watchers; both must outlive it. */
struct census *census_new(struct store *s, struct purgelog *l);
/* Who still waits is answered with what is known (their letters are posted). Ends the thread. */
void census_stop(struct census *c);
void census_free(struct census **cp);

/* --- any thread --- */

/* What a's items mean is about to be purged, hard: begins to count it. Then the purge is taken, then census_go. */
void census_begin(struct census *c, struct census_ask *a);
/* Walks; done follows. Without census_begin: what there is now, and lists it. */
void census_go(struct census *c, struct census_ask *a);
/* Gives back the rows. */
void census_ask_fini(struct census_ask *a);
/* How many objects have the tag, at once. *is_exact_out false: about so many. */
uint64_t census_tag_count(struct census *c, struct slice tag, bool *is_exact_out);
/* Whether everything that was purged has been taken out: then store_usage tells what is really there. */
bool census_is_clean(struct census *c);
/* Memory is wanted back soon: walks at once, or after a rest of four times the last walk. */
void census_hurry(struct census *c);

#endif
