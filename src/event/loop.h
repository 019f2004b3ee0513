/* event/loop.h - one worker's event loop: descriptors by libevent, deadlines by our own wheel, work
 * put off to the end of the turn.
 *
 * A turn: wait for events, run their callbacks, run what was put off (loop_later), fire what is
 * due. The clock is read at most once per turn, on the first question. Everything here belongs to
 * the thread that runs the loop; the only way in from outside is a mailbox (event/mailbox.h) or
 * loop_stop.
 */
#ifndef EVENT_LOOP_H
#define EVENT_LOOP_H

#include <stdbool.h>
#include <stdint.h>

#include "base/list.h"

struct event_base;
struct loop;

/* NULL (errno) when the kernel gives no epoll or no memory. */
struct loop *loop_new(void);
void loop_free(struct loop **lp);
/* Runs turns until loop_stop. */
void loop_run(struct loop *l);
/* Ends loop_run after the current turn. From the loop's own thread. */
void loop_stop(struct loop *l);
/* Runs what is still put off, without waiting for anything; after loop_run, before what it concerns is freed. */
void loop_settle(struct loop *l);
/* Monotonic and wall clock of this turn, ms. */
int64_t loop_now_ms(struct loop *l);
int64_t loop_wall_ms(struct loop *l);
/* Monotonic microseconds, for measuring: read now; and as the clock was read last in this turn, which is when something before it was
 * over. What begins in a turn that brought much has waited since. */
int64_t loop_read_us(struct loop *l);
int64_t loop_last_us(struct loop *l);
/* For this room and for the adapters of libraries (c-ares, hiredis) only. */
struct event_base *loop_base(struct loop *l);

/* Work for the end of this turn, when nothing of what put it off is on the stack. A task that waits already is left where it
 * is; it may be put off again from within its own run. */
struct task {
	struct link link;
	void (*run)(void *arg);
	void *arg;
};
void task_init(struct task *t, void (*run)(void *arg), void *arg);
void loop_later(struct loop *l, struct task *t);
/* For streams, at the end of an event's callback: where much has been put off it is done now. A turn may bring hundreds of
 * requests; what the first of them used is given back, warm, before the last begin. */
void loop_breathe(struct loop *l);
void task_cancel(struct task *t);

/* A deadline. Arming an armed timer moves it; moving it further away costs one store (it is looked
 * at again when its first date comes). It fires once, not before due_ms, up to some ms after it; in
 * its callback it may be armed again. */
struct timer {
	struct link link;
	int64_t due_ms;	 /* monotonic; INT64_MAX: not armed */
	int64_t slot_ms; /* when the wheel will look at it; not later than due_ms */
	void (*fire)(void *arg);
	void *arg;
};
void timer_init(struct timer *t, void (*fire)(void *arg), void *arg);
void timer_arm(struct loop *l, struct timer *t, int64_t due_ms);
void timer_disarm(struct timer *t);
/* The same, but its memory stays: it may keep its place in the wheel, so that arming it again for no earlier date costs a
 * store. timer_disarm before the memory goes. */
static inline void
timer_rest(struct timer *t)
{
	t->due_ms = INT64_MAX;
}
static inline bool
timer_is_armed(const struct timer *t)
{
	return t->due_ms != INT64_MAX;
}

#endif
