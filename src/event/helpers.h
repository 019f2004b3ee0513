/* event/helpers.h - threads that do for the loops what would hold one up for too long.
 *
 * A chore is handed in by a loop, run by a helper on its own thread, and comes back to its loop as a letter. There are two
 * lines: what somebody waits for, and what nobody does. One helper is for the first line alone; the other takes from the
 * first, too, and from the second when nobody waits. So what somebody waits for stands behind its own kind only.
 *
 * Each line is bounded by the memory that is held for it: a chore says how much that is from when it is handed in until it
 * has come back. What goes beyond the bound is refused; one that finds the line empty is taken, however large.
 *
 * The threads begin with the first chore: who has none has no threads.
 */
#ifndef EVENT_HELPERS_H
#define EVENT_HELPERS_H

#include "base/list.h"
#include "event/mailbox.h"

struct helpers;

enum helpers_line { HELPERS_AWAITED, HELPERS_UNAWAITED, HELPERS_LINES };

/* Part of what it is about; the helpers' from helpers_take until back is called. */
struct chore {
	void (*run)(struct chore *c); /* on a helper's thread, at most once */
	void (*back)(struct chore *c,
	    bool was_run); /* on reply_to's loop, once; the chore may be freed there */
	struct mailbox *reply_to;
	size_t held_bytes;
	/* The helpers' */
	struct helpers *helpers;
	enum helpers_line line;
	bool was_run;
	struct link link;
	struct letter letter;
};

struct helpers *helpers_new(size_t line_max_bytes);
/* Any thread. False, and nothing has been touched: the line is full, the helpers have been stopped, or no thread could be
 * made. */
bool helpers_take(struct helpers *h, enum helpers_line line, struct chore *c);
/* Ends the threads when what they are at is done; what they have not begun comes back without having been run. The letters
 * are still to be delivered: the mailboxes outlive this call, and the helpers the letters. */
void helpers_stop(struct helpers *h);
/* After helpers_stop, and after the last chore has come back. NULL is allowed; sets *hp to NULL. */
void helpers_free(struct helpers **hp);
/* What is held for a line now. */
size_t helpers_held_bytes(const struct helpers *h, enum helpers_line line);

#endif
