#include "cache/sharedlog.h"

#include <stdlib.h>

#include "base/hash.h"
#include "base/mem.h"

#define SEEN_MAX \
	256 /* other instances whose newest serial is remembered; who is forgotten may purge twice */
#define OWN_MAX 1024
#define RUN_SHIFT 48 /* of a stamp: above it the run, below it the number */

struct seen {
	uint64_t instance, serial;
	uint64_t used; /* grows: the least used is forgotten */
};

/* A purge of ours that was not yet seen in the shared log, and all before it. */
struct own {
	uint64_t serial, pos; /* pos: of the local log, or an earlier one */
};

/* Readers take no lock. What belongs together, epoch, offset and runs, is read between two equal even values
 * of turn; entries go into shared before own_oldest and applied are moved, with release. */
struct sharedlog {
	struct purgelog *local;	 /* borrowed */
	struct purgelog *shared; /* position = offset + number */
	uint64_t instance;
	_Atomic uint64_t turn;
	_Atomic uint64_t epoch; /* 0: none */
	_Atomic int64_t offset;
	_Atomic uint64_t runs, run_base[LOG_RUNS_KEPT]; /* struct log_runs */
	_Atomic uint64_t applied;
	_Atomic uint64_t own_oldest; /* local position of the first purge of ours that was not seen;
					UINT64_MAX: all were */
	_Atomic int64_t lease_until_ms; /* 0: none */
	_Atomic bool is_settled;
	/* One at a time */
	int64_t granted_ms; /* asked for at, and not earned yet; 0: none */
	uint64_t granted_last;
	uint64_t serial; /* of our newest */
	unsigned own_first, own_count;
	struct own own[OWN_MAX];
	uint64_t uses;
	struct seen seen[SEEN_MAX];
};

static uint64_t
load(const _Atomic uint64_t *at)
{
	return atomic_load_explicit(at, memory_order_acquire);
}

static void
store(_Atomic uint64_t *at, uint64_t v)
{
	atomic_store_explicit(at, v, memory_order_release);
}

struct sharedlog *
sharedlog_new(struct purgelog *local)
{
	struct sharedlog *s = must_calloc(1, sizeof(*s));

	s->local = local;
	s->shared = purgelog_new();
	s->own_oldest = UINT64_MAX;
	while (s->instance == 0)
		random_bytes(&s->instance, sizeof(s->instance));
	return s;
}

void
sharedlog_free(struct sharedlog **sp)
{
	if (*sp == NULL)
		return;
	purgelog_free(&(*sp)->shared);
	free(*sp);
	*sp = NULL;
}

uint64_t
sharedlog_instance(const struct sharedlog *s)
{
	return s->instance;
}

uint64_t
sharedlog_epoch(const struct sharedlog *s)
{
	return load(&s->epoch);
}

uint64_t
sharedlog_applied(const struct sharedlog *s)
{
	return load(&s->applied);
}

/* --- any thread --- */

bool
sharedlog_has_lease(const struct sharedlog *s, int64_t now_ms)
{
	return now_ms < atomic_load_explicit(&s->lease_until_ms, memory_order_acquire);
}

bool
sharedlog_is_current(const struct sharedlog *s, int64_t now_ms)
{
	return atomic_load_explicit(&s->is_settled, memory_order_acquire) &&
	    sharedlog_has_lease(s, now_ms);
}

/* What an epoch's numbers mean, at one moment. */
struct view {
	uint64_t turn, epoch, runs;
	int64_t offset;
};

static struct view
look(const struct sharedlog *s)
{
	struct view v = {.turn = load(&s->turn)};

	v.epoch = load(&s->epoch);
	v.runs = load(&s->runs);
	v.offset = atomic_load_explicit(&s->offset, memory_order_acquire);
	return v;
}

static bool
is_still(const struct sharedlog *s, const struct view *v)
{
	atomic_thread_fence(memory_order_acquire);
	return v->turn % 2 == 0 && load(&s->turn) == v->turn && v->epoch != 0;
}

static struct l2_stamp
stamp_of(const struct sharedlog *s, const struct view *v)
{
	return (struct l2_stamp){
	    .epoch = v->epoch, .seq = v->runs << RUN_SHIFT | load(&s->applied)};
}

/* Whether the number is still what it was when it was read in that run: the log went on behind it. */
static bool
is_number_kept(const struct sharedlog *s, const struct view *v, uint64_t run, uint64_t number)
{
	if (run == v->runs)
		return true;
	return run < v->runs && v->runs - run <= LOG_RUNS_KEPT &&
	    number <= load(&s->run_base[(run + 1) % LOG_RUNS_KEPT]);
}

struct l2_stamp
sharedlog_place(const struct sharedlog *s)
{
	struct view v = look(s);
	struct l2_stamp stamp = stamp_of(s, &v);

	while (v.epoch != 0 && !is_still(s, &v)) {
		v = look(s);
		stamp = stamp_of(s, &v);
	}
	return stamp;
}

struct l2_stamp
sharedlog_stamp(const struct sharedlog *s, int64_t now_ms)
{
	struct view v = look(s);
	struct l2_stamp stamp = stamp_of(s, &v);

	return is_still(s, &v) && sharedlog_is_current(s, now_ms) ? stamp : (struct l2_stamp){0};
}

bool
sharedlog_is_of_epoch(const struct sharedlog *s, const struct l2_stamp *stamp)
{
	return stamp->epoch != 0 && stamp->epoch == sharedlog_epoch(s);
}

/* The order matters: the local head first, so that whatever comes into the local log later is judged by
 * it; then which of ours have no number; then the shared log, which has all others' entries up to that
 * head, and all of ours but those. Whether we are current comes after the epoch: who enters one says first that he is not. */
bool
sharedlog_judge(const struct sharedlog *s, const struct l2_stamp *stamp, struct slice key,
    struct slice tags, int64_t now_ms, uint64_t *log_pos_out)
{
	uint64_t head = purgelog_head(s->local), own = load(&s->own_oldest);
	struct view v = look(s);
	uint64_t number = stamp->seq & (((uint64_t)1 << RUN_SHIFT) - 1);
	int64_t pos = v.offset + (int64_t)number;

	if (!sharedlog_is_current(s, now_ms) || v.epoch != stamp->epoch ||
	    !is_number_kept(s, &v, stamp->seq >> RUN_SHIFT, number) ||
	    purgelog_judge_parts(s->shared, key, tags, pos < 0 ? 0 : (uint64_t)pos) != PURGE_VALID)
		return false;
	*log_pos_out = own <= head ? own - 1 : head;
	return is_still(s, &v);
}

/* --- our own purges --- */

static void
own_tell(struct sharedlog *s)
{
	store(&s->own_oldest, s->own_count == 0 ? UINT64_MAX : s->own[s->own_first].pos);
}

/* Where there is no room the newest also stands for this one: by an earlier position, which purges more. */
static void
own_add(struct sharedlog *s, uint64_t serial, uint64_t pos)
{
	struct own *last = &s->own[(s->own_first + s->own_count + OWN_MAX - 1) % OWN_MAX];

	if (s->own_count == OWN_MAX)
		last->serial = serial;
	else
		s->own[(s->own_first + s->own_count++) % OWN_MAX] =
		    (struct own){.serial = serial, .pos = pos};
	own_tell(s);
}

static void
own_seen(struct sharedlog *s, uint64_t serial)
{
	while (s->own_count > 0 && s->own[s->own_first].serial <= serial) {
		s->own_first = (s->own_first + 1) % OWN_MAX;
		s->own_count--;
	}
	own_tell(s);
}

/* Told of before it is in the local log: who sees it there finds it here, too. */
uint64_t
sharedlog_take(struct sharedlog *s, const struct purge *p, bool shared)
{
	s->serial++;
	if (shared)
		own_add(s, s->serial, purgelog_head(s->local) + 1);
	purgelog_add(s->local, p);
	return s->serial;
}

void
sharedlog_own_all(struct sharedlog *s)
{
	s->own_count = 0;
	if (s->serial > 0)
		own_add(s, s->serial, 1);
	own_tell(s);
}

/* --- the log's entries --- */

static const struct purge everything = {.kind = PURGE_ALL};

void
sharedlog_purge_memory(struct sharedlog *s)
{
	purgelog_add(s->local, &everything);
}

/* Entry first comes next, in that epoch. */
static void
begin_at(struct sharedlog *s, uint64_t epoch, uint64_t first)
{
	uint64_t turn = load(&s->turn);

	atomic_store(&s->turn, turn + 1);
	if (first > 1) {
		purgelog_add(s->shared, &everything);
		sharedlog_purge_memory(s);
	}
	atomic_store(&s->epoch, epoch);
	atomic_store(&s->offset, (int64_t)purgelog_head(s->shared) - (int64_t)(first - 1));
	atomic_store(&s->applied, first - 1);
	atomic_store(&s->turn, turn + 2);
}

void
sharedlog_enter(struct sharedlog *s, uint64_t epoch, uint64_t first)
{
	begin_at(s, epoch, first);
}

void
sharedlog_set_runs(struct sharedlog *s, const struct log_runs *runs)
{
	uint64_t turn = load(&s->turn);

	atomic_store(&s->turn, turn + 1);
	atomic_store(&s->runs, runs->count);
	for (unsigned i = 0; i < LOG_RUNS_KEPT; i++)
		atomic_store(&s->run_base[i], runs->base[i]);
	atomic_store(&s->turn, turn + 2);
}

void
sharedlog_missed(struct sharedlog *s, uint64_t first)
{
	begin_at(s, load(&s->epoch), first);
}

/* The least used one's place where it is not known. */
static struct seen *
seen_of(struct sharedlog *s, uint64_t instance)
{
	struct seen *oldest = &s->seen[0];

	for (unsigned i = 0; i < SEEN_MAX; i++) {
		if (s->seen[i].instance == instance)
			return &s->seen[i];
		if (s->seen[i].used < oldest->used)
			oldest = &s->seen[i];
	}
	*oldest = (struct seen){.instance = instance};
	return oldest;
}

static bool
is_news(struct sharedlog *s, uint64_t instance, uint64_t serial)
{
	struct seen *seen;

	if (instance == s->instance)
		return false;
	if (serial == 0)
		return true;
	seen = seen_of(s, instance);
	seen->used = ++s->uses;
	if (serial <= seen->serial)
		return false;
	seen->serial = serial;
	return true;
}

static void
earn_lease(struct sharedlog *s)
{
	int64_t until_ms = s->granted_ms + LEASE_MS - LEASE_MARGIN_MS;

	if (s->granted_ms == 0 || load(&s->applied) < s->granted_last)
		return;
	s->granted_ms = 0;
	atomic_store_explicit(&s->lease_until_ms, until_ms, memory_order_release);
}

bool
sharedlog_apply(struct sharedlog *s, uint64_t instance, uint64_t serial, const struct purge *p)
{
	bool is_new = is_news(s, instance, serial);

	purgelog_add(s->shared, p);
	if (instance == s->instance)
		own_seen(s, serial);
	else if (is_new)
		purgelog_add(s->local, p);
	store(&s->applied, load(&s->applied) + 1);
	earn_lease(s);
	return is_new;
}

/* --- the lease --- */

/* One that was granted later says more, but may take longer to earn: the first is not given up for it. */
void
sharedlog_grant(struct sharedlog *s, int64_t sent_ms, uint64_t last)
{
	if (s->granted_ms != 0 && load(&s->applied) < s->granted_last && last > s->granted_last)
		return;
	s->granted_ms = sent_ms;
	s->granted_last = last;
	earn_lease(s);
}

void
sharedlog_revoke(struct sharedlog *s)
{
	s->granted_ms = 0;
	atomic_store_explicit(&s->lease_until_ms, 0, memory_order_release);
}

void
sharedlog_settle(struct sharedlog *s, bool is_settled)
{
	atomic_store_explicit(&s->is_settled, is_settled, memory_order_release);
}
