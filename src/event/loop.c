/* The wheel: four levels of slots, 256 of 1 ms, then 64 each of 256 ms, 16 s and 17 min. A timer
 * sits where its date falls; when a coarse slot comes up its timers move down a level, or away
 * again if their date has moved meanwhile. So the wheel wakes the loop for a distant deadline once
 * per level, and re-arming a connection's time-out on every request costs a store. */
#include "event/loop.h"

#include <event2/event.h>
#include <stdlib.h>
#include <sys/timerfd.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/mem.h"

#define FINE_BITS 8
#define COARSE_BITS 6
#define FINE_SLOTS (1 << FINE_BITS)
#define COARSE_SLOTS (1 << COARSE_BITS)
#define COARSE_LEVELS 3
#define STEERED_TICK_MS 10
#define LATER_MOST 32 /* put off in one turn before its end */

struct loop {
	struct event_base *base;
	/* Readable when the wheel's next slot is due. A timer of libevent's would have it read the clock twice a turn. */
	int wake_fd;
	struct event *wake;
	int64_t wake_ms; /* when it will be; INT64_MAX: not armed */
	int64_t now_ms, wall_ms, last_us;
	bool now_known, wall_known;
	bool stopping;
	struct link later;
	unsigned later_count; /* put off since it was last done */
	/* The wheel */
	int64_t turned_ms;   /* all slots up to here have been emptied */
	int64_t next_ms;     /* no slot is used before; INT64_MAX: none is */
	bool turning;	     /* timers are being fired */
	struct link overdue; /* armed meanwhile, due already: placed when the turn is over, lest a
				timer that is always due fires for ever */
	struct link fine[FINE_SLOTS];
	struct link coarse[COARSE_LEVELS][COARSE_SLOTS];
	uint64_t fine_used[FINE_SLOTS / 64]; /* a bit per slot that may hold timers */
	uint64_t coarse_used[COARSE_LEVELS];
};

static void
on_wake(evutil_socket_t fd, short what, void *arg)
{
	uint64_t times;

	if (read(fd, &times, sizeof(times)) == sizeof(times))
		((struct loop *)arg)->wake_ms = INT64_MAX;
}

struct loop *
loop_new(void)
{
	struct event_config *cfg = event_config_new();
	struct loop *l = must_calloc(1, sizeof(*l));

	if (cfg == NULL)
		goto fail;
	event_config_set_flag(cfg, EVENT_BASE_FLAG_NOLOCK);
	event_config_set_flag(cfg, EVENT_BASE_FLAG_NO_CACHE_TIME);
	l->base = event_base_new_with_config(cfg);
	if (l->base == NULL)
		goto fail;
	l->wake_fd = timerfd_create(CLOCK_BOOTTIME, TFD_NONBLOCK | TFD_CLOEXEC);
	if (l->wake_fd < 0)
		goto fail_base;
	l->wake = event_new(l->base, l->wake_fd, EV_READ | EV_PERSIST, on_wake, l);
	if (l->wake == NULL || event_add(l->wake, NULL) != 0)
		goto fail_wake;
	event_config_free(cfg);
	l->wake_ms = INT64_MAX;
	list_init(&l->later);
	for (int i = 0; i < FINE_SLOTS; i++)
		list_init(&l->fine[i]);
	for (int level = 0; level < COARSE_LEVELS; level++)
		for (int i = 0; i < COARSE_SLOTS; i++)
			list_init(&l->coarse[level][i]);
	l->turned_ms = clock_mono_ms();
	l->next_ms = INT64_MAX;
	list_init(&l->overdue);
	return l;
fail_wake:
	if (l->wake != NULL)
		event_free(l->wake);
	close(l->wake_fd);
fail_base:
	event_base_free(l->base);
fail:
	if (cfg != NULL)
		event_config_free(cfg);
	free(l);
	return NULL;
}

/* What is still armed or put off is out of the list: its owner may disarm it later. */
static void
forget_all(struct link *head)
{
	while (!list_is_empty(head))
		list_leave(head->next);
}

void
loop_free(struct loop **lp)
{
	struct loop *l = *lp;

	if (l == NULL)
		return;
	forget_all(&l->later);
	forget_all(&l->overdue);
	for (int i = 0; i < FINE_SLOTS; i++)
		forget_all(&l->fine[i]);
	for (int level = 0; level < COARSE_LEVELS; level++)
		for (int i = 0; i < COARSE_SLOTS; i++)
			forget_all(&l->coarse[level][i]);
	event_free(l->wake);
	close(l->wake_fd);
	event_base_free(l->base);
	free(l);
	*lp = NULL;
}

struct event_base *
loop_base(struct loop *l)
{
	return l->base;
}

int64_t
loop_now_ms(struct loop *l)
{
	if (!l->now_known) {
		l->now_ms = loop_read_us(l) / 1000;
		l->now_known = true;
	}
	return l->now_ms;
}

int64_t
loop_read_us(struct loop *l)
{
	return l->last_us = clock_mono_us();
}

int64_t
loop_last_us(struct loop *l)
{
	loop_now_ms(l);
	return l->last_us;
}

int64_t
loop_wall_ms(struct loop *l)
{
	if (!l->wall_known) {
		l->wall_ms = clock_wall_ms();
		l->wall_known = true;
	}
	return l->wall_ms;
}

/* --- work for the end of the turn --- */

void
task_init(struct task *t, void (*run)(void *arg), void *arg)
{
	list_init(&t->link);
	t->run = run;
	t->arg = arg;
}

void
loop_later(struct loop *l, struct task *t)
{
	if (list_has(&t->link))
		return;
	list_push_back(&l->later, &t->link);
	l->later_count++;
}

void
task_cancel(struct task *t)
{
	list_leave(&t->link);
}

/* What tasks put off themselves waits for the next turn, so that descriptors get their share. */
static void
run_later(struct loop *l)
{
	struct link batch;
	struct task *t;

	list_init(&batch);
	list_splice_back(&batch, &l->later);
	l->later_count = 0;
	while ((t = list_first(&batch, struct task, link)) != NULL) {
		list_leave(&t->link);
		t->run(t->arg);
	}
}

void
loop_breathe(struct loop *l)
{
	if (l->later_count >= LATER_MOST)
		run_later(l);
}

/* --- the wheel --- */

void
timer_init(struct timer *t, void (*fire)(void *arg), void *arg)
{
	list_init(&t->link);
	t->due_ms = INT64_MAX;
	t->slot_ms = INT64_MAX;
	t->fire = fire;
	t->arg = arg;
}

static int
level_shift(int level)
{
	return FINE_BITS + COARSE_BITS * level;
}

static void
wheel_put_fine(struct loop *l, struct timer *t, int64_t at)
{
	unsigned slot = (unsigned)at & (FINE_SLOTS - 1);

	list_push_back(&l->fine[slot], &t->link);
	l->fine_used[slot / 64] |= 1ull << (slot % 64);
	t->slot_ms = at;
	if (at < l->next_ms)
		l->next_ms = at;
}

/* Puts t where its date falls, seen from turned_ms, and never behind it. The lowest level takes
 * it on which its slot is one of the next 63: a slot that is as far as a whole turn would be taken
 * for the one the wheel stands on. A date beyond the last level is looked at again on the way. What rests has no date any more,
 * and loses its place. */
static void
wheel_place(struct loop *l, struct timer *t)
{
	int64_t first = l->turning ? l->turned_ms : l->turned_ms + 1;
	int64_t at = t->due_ms < first ? first : t->due_ms;

	if (!timer_is_armed(t))
		return;
	if (at - l->turned_ms < FINE_SLOTS) {
		wheel_put_fine(l, t, at);
		return;
	}
	for (int level = 0; level < COARSE_LEVELS; level++) {
		int shift = level_shift(level);
		int64_t here = l->turned_ms >> shift, there = at >> shift;

		if (there - here >= COARSE_SLOTS && level < COARSE_LEVELS - 1)
			continue;
		if (there - here >= COARSE_SLOTS)
			there = here + COARSE_SLOTS - 1;
		unsigned slot = (unsigned)there & (COARSE_SLOTS - 1);
		list_push_back(&l->coarse[level][slot], &t->link);
		l->coarse_used[level] |= 1ull << slot;
		t->slot_ms = there << shift;
		if (t->slot_ms < l->next_ms)
			l->next_ms = t->slot_ms;
		return;
	}
}

void
timer_arm(struct loop *l, struct timer *t, int64_t due_ms)
{
	bool in_wheel = list_has(&t->link);

	t->due_ms = due_ms;
	if (in_wheel && due_ms >= t->slot_ms)
		return; /* looked at again when its slot comes */
	if (in_wheel)
		list_leave(&t->link);
	if (l->turning && due_ms <= loop_now_ms(l)) {
		list_push_back(&l->overdue, &t->link);
		t->slot_ms = due_ms;
		return;
	}
	wheel_place(l, t);
}

void
timer_disarm(struct timer *t)
{
	t->due_ms = INT64_MAX;
	list_leave(&t->link);
}

static void
wheel_place_all(struct loop *l, struct link *from)
{
	struct link batch;
	struct timer *t;

	list_init(&batch);
	list_splice_back(&batch, from);
	while ((t = list_first(&batch, struct timer, link)) != NULL) {
		list_leave(&t->link);
		wheel_place(l, t);
	}
}

/* The wheel has come to at: the coarse slots that begin here move down, the coarsest first. */
static void
wheel_cascade(struct loop *l, int64_t at)
{
	for (int level = COARSE_LEVELS - 1; level >= 0; level--) {
		int shift = level_shift(level);
		unsigned slot = (unsigned)(at >> shift) & (COARSE_SLOTS - 1);

		if ((at & (((int64_t)1 << shift) - 1)) != 0)
			continue;
		l->coarse_used[level] &= ~(1ull << slot);
		wheel_place_all(l, &l->coarse[level][slot]);
	}
}

/* The timers of the slot the wheel has come to, but for those that have moved meanwhile. */
static void
wheel_fire_slot(struct loop *l, unsigned slot)
{
	struct link batch;
	struct timer *t;

	list_init(&batch);
	list_splice_back(&batch, &l->fine[slot]);
	l->fine_used[slot / 64] &= ~(1ull << (slot % 64));
	while ((t = list_first(&batch, struct timer, link)) != NULL) {
		list_leave(&t->link);
		if (t->due_ms > l->turned_ms) {
			wheel_place(l, t);
			continue;
		}
		t->due_ms = INT64_MAX;
		t->fire(t->arg);
	}
}

/* How many steps from slot here the next used one is, 1 to n; 0 if none is. */
static int64_t
bits_ahead(uint64_t used, unsigned here)
{
	unsigned from = (here + 1) & 63;
	uint64_t ring = used >> from | (from == 0 ? 0 : used << (64 - from));

	return ring == 0 ? 0 : 1 + __builtin_ctzll(ring);
}

static int64_t
wheel_next_fine(const struct loop *l)
{
	for (int i = 1; i <= FINE_SLOTS; i++) {
		unsigned slot = (unsigned)(l->turned_ms + i) & (FINE_SLOTS - 1);
		uint64_t rest = l->fine_used[slot / 64] >> (slot % 64);

		if (rest != 0)
			return l->turned_ms + i + __builtin_ctzll(rest);
		i += 63 - (int)(slot % 64);
	}
	return INT64_MAX;
}

/* The next date at which some slot must be looked at, INT64_MAX if all are empty. */
static int64_t
wheel_next(const struct loop *l)
{
	int64_t best = wheel_next_fine(l);

	for (int level = 0; level < COARSE_LEVELS; level++) {
		int64_t here = l->turned_ms >> level_shift(level);
		int64_t ahead = bits_ahead(l->coarse_used[level], (unsigned)here & 63);
		int64_t at = (here + ahead) << level_shift(level);

		if (ahead > 0 && at < best)
			best = at;
	}
	return best;
}

/* Goes from slot to slot up to now, so a jump of the clock costs no more than the slots in use. */
static void
wheel_turn(struct loop *l)
{
	int64_t now_ms = loop_now_ms(l);

	l->turning = true;
	while (l->next_ms <= now_ms) {
		l->turned_ms = l->next_ms;
		wheel_cascade(l, l->turned_ms);
		wheel_fire_slot(l, (unsigned)l->turned_ms & (FINE_SLOTS - 1));
		l->next_ms = wheel_next(l);
	}
	l->turning = false;
	if (l->turned_ms < now_ms)
		l->turned_ms = now_ms;
	wheel_place_all(l, &l->overdue);
}

/* --- turns --- */

/* Has us woken for the wheel's next slot, seen from now and not from the turn's beginning:
 * a long turn must not make the next date later. */
static void
arm_wake(struct loop *l)
{
	int64_t next = l->next_ms, now_ms;
	struct itimerspec in;

	if (next == INT64_MAX || l->wake_ms <= next)
		return;
	now_ms = clock_mono_ms();
	if (clock_is_steered() && next > now_ms + STEERED_TICK_MS)
		next = now_ms + STEERED_TICK_MS;
	l->wake_ms = next;
	next = next > now_ms ? next - now_ms : 0;
	in = (struct itimerspec){
	    .it_value = {.tv_sec = next / 1000, .tv_nsec = next == 0 ? 1 : next % 1000 * 1000000}};
	if (timerfd_settime(l->wake_fd, 0, &in, NULL) != 0)
		bug("timerfd_settime");
}

void
loop_run(struct loop *l)
{
	l->stopping = false;
	while (!l->stopping) {
		int flags = EVLOOP_ONCE | EVLOOP_NO_EXIT_ON_EMPTY;

		arm_wake(l);
		if (!list_is_empty(&l->later))
			flags |= EVLOOP_NONBLOCK;
		l->now_known = l->wall_known = false;
		if (event_base_loop(l->base, flags) < 0)
			bug("event_base_loop");
		run_later(l);
		wheel_turn(l);
	}
}

void
loop_settle(struct loop *l)
{
	l->now_known = l->wall_known = false;
	while (!list_is_empty(&l->later))
		run_later(l);
}

void
loop_stop(struct loop *l)
{
	l->stopping = true;
}
