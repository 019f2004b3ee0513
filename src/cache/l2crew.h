/* cache/l2crew.h - long values for Redis, and out of it, are made and read beside the loops.
 *
 * One crew for the process, with helpers (event/helpers.h). A chore has all it needs of its own, the secret included, so
 * that its tier may go before it comes back. The crew knows what is being made: of two responses for one place in Redis
 * the one that came later is the one to be written, whichever is made sooner, and whoever's loop it is.
 *
 * States: a chore waits, is run, is on its way back, is told. Whoever gave it in may give it up in any of them; what was
 * given up before it was run costs nothing more, and is told nevertheless. Refused at once, and not told: what goes beyond
 * the bound on what is held.
 */
#ifndef CACHE_L2CREW_H
#define CACHE_L2CREW_H

#include <stdatomic.h>

#include "cache/l2value.h"
#include "event/helpers.h"

struct l2_crew;

/* line_max_bytes: held for values being made, and as much for values being read. */
struct l2_crew *l2_crew_new(size_t line_max_bytes);
/* As helpers_stop and helpers_free. */
void l2_crew_stop(struct l2_crew *c);
void l2_crew_free(struct l2_crew **cp);

#define L2_PLACE_BYTES 128 /* the name of a value in Redis, NUL included */

struct l2_making {
	/* Filled in by who wants it */
	struct object *object; /* borrowed until l2_make, which takes a reference */
	struct l2_clocks now;
	struct l2_stamp fetched;
	const struct l2_seal *seal; /* borrowed during l2_make */
	char place[L2_PLACE_BYTES];
	struct mailbox *reply_to;
	void (*done)(
	    struct l2_making *m); /* on that mailbox' loop, once; it ends with l2_making_fini */
	/* What is found in done */
	bool is_made;	  /* else there was no memory, or it was given up */
	struct buf value; /* to be taken */
	/* The crew's */
	_Atomic bool is_given_up;
	struct l2_crew *crew;
	struct l2_seal own_seal;
	struct link link;
	struct chore chore;
};

struct l2_reading {
	/* Filled in by who wants it */
	struct buf bytes; /* taken over by l2_read if it begins */
	struct l2_clocks now;
	const struct l2_seal *seal; /* borrowed during l2_read */
	struct slab *slab;	    /* of the body */
	struct mailbox *reply_to;
	void (*done)(struct l2_reading *r); /* as above, and l2_reading_fini */
	void *arg;
	/* What is found in done */
	bool was_read; /* else it was given up */
	enum l2_flaw flaw;
	struct l2_value value; /* its slices point into bytes */
	struct body *body; /* of a sound object; NULL: no memory for it, or it does not unpack */
	/* The crew's */
	_Atomic bool is_given_up;
	struct l2_seal own_seal;
	struct chore chore;
};

/* Loops. False: too much is held, and m is as before. What was being made for its place is given up if it begins. */
bool l2_make(struct l2_crew *c, struct l2_making *m);
bool l2_read(struct l2_crew *c, struct l2_reading *r);
/* A newer value has its place now: what is being made for it is given up. */
void l2_crew_outdate(struct l2_crew *c, const char *place);
static inline void
l2_making_give_up(struct l2_making *m)
{
	atomic_store(&m->is_given_up, true);
}
static inline void
l2_reading_give_up(struct l2_reading *r)
{
	atomic_store(&r->is_given_up, true);
}
void l2_making_fini(struct l2_making *m);
void l2_reading_fini(struct l2_reading *r);

#endif
