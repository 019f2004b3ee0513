#include "policy/window.h"

#include <assert.h>
#include <string.h>

/* So many windows ahead nobody waits; keeps the reckoning within 64 bits. */
#define ROUNDS_MAX 1000

/* One window at a time, begun by the first permit taken in it. */
struct window_fixed {
	int64_t begin_ms; /* meaningless while used is 0 */
	uint32_t used;
};

/* A ring of the times at which permits were taken, oldest first. */
struct window_log {
	uint32_t head, count; /* at[head] is the oldest */
	int64_t at_ms[];      /* limit of them */
};

/* Part number i of a key's time is [i W/n, (i + 1) W/n) after origin. The ring holds the counts of
 * the last span() parts, number i in slot i modulo span. */
struct window_parts {
	int64_t origin_ms; /* meaningless while used is 0 */
	int64_t current;   /* number of the part we are in */
	uint32_t used;	   /* sum of taken[] */
	uint32_t taken[];  /* span() of them */
};

/* struct window itself is never defined: the rule's kind says which of the three the memory is. */

static struct window_fixed *
as_fixed(const struct window *w)
{
	return (struct window_fixed *)(void *)w;
}

static struct window_log *
as_log(const struct window *w)
{
	return (struct window_log *)(void *)w;
}

static struct window_parts *
as_parts(const struct window *w)
{
	return (struct window_parts *)(void *)w;
}

/* How many parts a permit stays out: .NET gives it back when its slot comes round after n steps;
 * one slot more and it is back a whole window after the end of its part. */
static uint32_t
span(const struct window_rule *r)
{
	return r->kind == WINDOW_DOTNET ? r->segments : r->segments + 1;
}

static uint32_t
add_capped(uint32_t a, uint32_t b)
{
	return b > UINT32_MAX - a ? UINT32_MAX : a + b;
}

struct window_rule
window_rule_sliding(uint32_t limit, int64_t window_ms, uint32_t segments, bool dotnet)
{
	struct window_rule r = {.limit = limit, .window_ms = window_ms};

	r.segments = segments == 0 ? WINDOW_SEGMENTS_DEFAULT : segments;
	if (r.segments > window_ms)
		r.segments = (uint32_t)window_ms; /* a part is a millisecond at least */
	if (dotnet)
		r.kind = WINDOW_DOTNET;
	else
		r.kind = limit <= WINDOW_LOG_MAX ? WINDOW_LOG : WINDOW_SEGMENTS;
	return r;
}

size_t
window_state_bytes(const struct window_rule *r)
{
	size_t n = sizeof(struct window_fixed);

	if (r->kind == WINDOW_LOG)
		n = sizeof(struct window_log) + r->limit * sizeof(int64_t);
	else if (r->kind != WINDOW_FIXED)
		n = sizeof(struct window_parts) + span(r) * sizeof(uint32_t);
	return (n + 7) & ~(size_t)7;
}

/* fixed */

static void
fixed_add(const struct window_rule *r, struct window_fixed *f, uint32_t permits, int64_t now_ms,
    int64_t wall_ms)
{
	if (f->used == 0) {
		int64_t into = wall_ms % r->window_ms;

		f->begin_ms =
		    r->align_clock ? now_ms - (into < 0 ? into + r->window_ms : into) : now_ms;
	}
	f->used = add_capped(f->used, permits);
}

/* log */

static uint32_t
log_slot(const struct window_rule *r, const struct window_log *l, uint32_t nth)
{
	return (l->head + nth) % r->limit;
}

static void
log_advance(const struct window_rule *r, struct window_log *l, int64_t now_ms)
{
	while (l->count > 0 && now_ms - l->at_ms[l->head] >= r->window_ms) {
		l->head = log_slot(r, l, 1);
		l->count--;
	}
}

/* The ring keeps the newest times: what is charged beyond the limit pushes out the oldest. */
static void
log_add(const struct window_rule *r, struct window_log *l, uint32_t permits, int64_t now_ms)
{
	if (permits > r->limit)
		permits = r->limit;
	for (; permits > 0; permits--) {
		if (l->count == r->limit) {
			l->head = log_slot(r, l, 1);
			l->count--;
		}
		l->at_ms[log_slot(r, l, l->count++)] = now_ms;
	}
}

static void
log_refund(const struct window_rule *r, struct window_log *l, uint32_t permits, int64_t taken_ms)
{
	uint32_t kept = 0, most = l->count;

	for (uint32_t i = 0; i < most; i++) {
		int64_t at = l->at_ms[log_slot(r, l, i)];

		if (permits > 0 && at == taken_ms) {
			permits--;
			continue;
		}
		l->at_ms[log_slot(r, l, kept++)] = at;
	}
	l->count = kept;
}

/* segments, dotnet */

static int64_t
parts_number(const struct window_rule *r, const struct window_parts *p, int64_t now_ms)
{
	return (now_ms - p->origin_ms) * r->segments / r->window_ms;
}

/* Whether that is the current part, or one before it: by the same numbers, without a division. */
static bool
parts_is_current(const struct window_rule *r, const struct window_parts *p, int64_t now_ms)
{
	return (now_ms - p->origin_ms) * r->segments < (p->current + 1) * r->window_ms;
}

/* Its place in the ring. (To divide 64 bits takes some processors five times as long.) */
static inline uint32_t
parts_slot(const struct window_rule *r, int64_t number)
{
	if (number <= UINT32_MAX)
		return (uint32_t)number % span(r);
	return (uint32_t)(number % span(r));
}

/* The first millisecond of part number i. */
static int64_t
parts_begin_ms(const struct window_rule *r, const struct window_parts *p, int64_t i)
{
	return p->origin_ms + (i * r->window_ms + r->segments - 1) / r->segments;
}

static void
parts_advance(const struct window_rule *r, struct window_parts *p, int64_t now_ms)
{
	int64_t now_in;

	if (p->used == 0 || parts_is_current(r, p, now_ms))
		return;
	now_in = parts_number(r, p, now_ms);
	if (now_in - p->current >= span(r)) {
		memset(p->taken, 0, span(r) * sizeof(p->taken[0]));
		p->used = 0;
		return;
	}
	while (p->current < now_in) {
		uint32_t *due = &p->taken[parts_slot(r, ++p->current)];

		p->used -= *due;
		*due = 0;
	}
}

static void
parts_add(const struct window_rule *r, struct window_parts *p, uint32_t permits, int64_t now_ms)
{
	permits = add_capped(p->used, permits) - p->used;
	if (p->used == 0) {
		p->origin_ms = now_ms;
		p->current = 0;
	}
	p->taken[parts_slot(r, p->current)] += permits;
	p->used += permits;
}

static void
parts_refund(
    const struct window_rule *r, struct window_parts *p, uint32_t permits, int64_t taken_ms)
{
	int64_t in;
	uint32_t *taken;

	if (p->used == 0 || taken_ms < p->origin_ms)
		return;
	in = parts_number(r, p, taken_ms);
	if (in > p->current || p->current - in >= span(r))
		return;
	taken = &p->taken[parts_slot(r, in)];
	if (permits > *taken)
		permits = *taken;
	*taken -= permits;
	p->used -= permits;
}

/* The moment at which no more than this many are out. */
static int64_t
parts_below_ms(const struct window_rule *r, const struct window_parts *p, uint32_t most)
{
	uint32_t used = p->used, slot;
	int64_t i = p->current - span(r) + 1;

	if (i < 0)
		i = 0;
	slot = parts_slot(r, i);
	for (; i < p->current; i++) {
		used -= p->taken[slot];
		if (used <= most)
			break;
		slot = slot + 1 < span(r) ? slot + 1 : 0;
	}
	return parts_begin_ms(r, p, i + span(r));
}

/* all kinds */

void
window_advance(const struct window_rule *r, struct window *w, int64_t now_ms)
{
	struct window_fixed *f = as_fixed(w);

	if (r->kind == WINDOW_LOG)
		log_advance(r, as_log(w), now_ms);
	else if (r->kind != WINDOW_FIXED)
		parts_advance(r, as_parts(w), now_ms);
	else if (f->used > 0 && now_ms - f->begin_ms >= r->window_ms)
		f->used = 0;
}

uint32_t
window_used(const struct window_rule *r, const struct window *w)
{
	if (r->kind == WINDOW_LOG)
		return as_log(w)->count;
	return r->kind == WINDOW_FIXED ? as_fixed(w)->used : as_parts(w)->used;
}

uint32_t
window_remaining(const struct window_rule *r, const struct window *w)
{
	uint32_t used = window_used(r, w);

	return used >= r->limit ? 0 : r->limit - used;
}

static inline void
charge(const struct window_rule *r, struct window *w, uint32_t permits, int64_t now_ms,
    int64_t wall_ms)
{
	if (r->kind == WINDOW_LOG)
		log_add(r, as_log(w), permits, now_ms);
	else if (r->kind == WINDOW_FIXED)
		fixed_add(r, as_fixed(w), permits, now_ms, wall_ms);
	else
		parts_add(r, as_parts(w), permits, now_ms);
}

bool
window_take(const struct window_rule *r, struct window *w, uint32_t permits, int64_t now_ms,
    int64_t wall_ms)
{
	assert(permits > 0);
	if (permits > window_remaining(r, w))
		return false;
	window_charge(r, w, permits, now_ms, wall_ms);
	return true;
}

void
window_charge(const struct window_rule *r, struct window *w, uint32_t permits, int64_t now_ms,
    int64_t wall_ms)
{
	charge(r, w, permits, now_ms, wall_ms);
}

void
window_refund(const struct window_rule *r, struct window *w, uint32_t permits, int64_t taken_ms)
{
	struct window_fixed *f = as_fixed(w);

	if (r->kind == WINDOW_LOG)
		log_refund(r, as_log(w), permits, taken_ms);
	else if (r->kind != WINDOW_FIXED)
		parts_refund(r, as_parts(w), permits, taken_ms);
	else if (f->used > 0 && taken_ms >= f->begin_ms)
		f->used -= permits < f->used ? permits : f->used;
}

/* When a permit comes back that is out; at least one is. */
static int64_t
first_back_ms(const struct window_rule *r, const struct window *w)
{
	if (r->kind == WINDOW_FIXED)
		return as_fixed(w)->begin_ms + r->window_ms;
	if (r->kind == WINDOW_LOG)
		return as_log(w)->at_ms[as_log(w)->head] + r->window_ms;
	return parts_below_ms(r, as_parts(w), as_parts(w)->used - 1);
}

bool
window_take_told(const struct window_rule *r, struct window *w, uint32_t permits, int64_t now_ms,
    int64_t wall_ms, struct window_told *told)
{
	uint32_t remaining = window_remaining(r, w);

	assert(permits > 0);
	if (permits > remaining)
		return false;
	charge(r, w, permits, now_ms, wall_ms);
	told->remaining = remaining - permits;
	told->reset_ms = first_back_ms(r, w) - now_ms;
	return true;
}

int64_t
window_wait_ms(
    const struct window_rule *r, const struct window *w, uint64_t permits, int64_t now_ms)
{
	uint64_t rounds = permits <= r->limit ? 0 : (permits - 1) / r->limit;
	uint32_t used = window_used(r, w);
	uint32_t most; /* may be out when the last of them is taken */
	int64_t at_ms;

	if (permits == 0)
		return 0;
	most = r->limit - (uint32_t)(permits - rounds * r->limit);
	if (rounds > ROUNDS_MAX)
		rounds = ROUNDS_MAX;
	if (used <= most)
		at_ms = now_ms;
	else if (r->kind == WINDOW_FIXED)
		at_ms = as_fixed(w)->begin_ms + r->window_ms;
	else if (r->kind == WINDOW_LOG)
		at_ms = as_log(w)->at_ms[log_slot(r, as_log(w), used - most - 1)] + r->window_ms;
	else
		at_ms = parts_below_ms(r, as_parts(w), most);
	return at_ms - now_ms + (int64_t)rounds * r->window_ms;
}
