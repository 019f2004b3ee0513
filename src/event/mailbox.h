/* event/mailbox.h - how another thread tells a worker something.
 *
 * Anybody posts; only the owner's loop reads, in the order of posting. A letter is part of what it
 * is about (no allocation), belongs to the mailbox from post to delivery, and must not be posted
 * again before. Posting wakes the loop with one write when the box was empty, and with none when it
 * was not: a burst costs one wake-up.
 */
#ifndef EVENT_MAILBOX_H
#define EVENT_MAILBOX_H

#include "event/loop.h"

struct mailbox;

struct letter {
	struct letter *next; /* the box's */
	void (*deliver)(struct letter *self);
};

/* NULL (errno) when the kernel has no descriptor left. */
struct mailbox *mailbox_new(struct loop *l);
/* Letters still inside are delivered first. The loop's own thread, after loop_run. */
void mailbox_free(struct mailbox **mp);
/* Delivers what is inside, on a thread that has the loop to itself. */
void mailbox_settle(struct mailbox *m);
/* Any thread. */
void mailbox_post(struct mailbox *m, struct letter *letter);

#endif
