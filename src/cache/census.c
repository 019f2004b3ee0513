#include "cache/census.h"

#include <pthread.h>
#include <stdlib.h>
#include <time.h>

#include "base/mem.h"
#include "base/thread.h"
#include "cache/slab.h"
#include "cache/tagcounts.h"

#define UNSWEPT_MAX 256		    /* purges remembered until what they took is out */
#define STEP_OBJECTS 256	    /* between two pauses */
#define PAUSE_NS 200000		    /* of a walk */
#define REST_LEAST_MS 5000	    /* between walks that nobody asked for */
#define REST_FACTOR 50		    /* and so many times as long as the last one took */
#define HURRIED_FACTOR 4	    /* where memory is wanted back soon */
#define BYTES_FOR_A_TAG (16 * 1024) /* of the store's limit */
#define TAGS_LEAST 256
#define TAGS_MOST (256 * 1024)

/* A hard purge since the last walk began. */
struct unswept {
	uint64_t pos;
	struct purge purge; /* own text */
};

struct census {
	struct store *store;
	struct purgelog *log;
	struct tagcounts *tags;
	size_t tags_bytes; /* charged to the store's memory */
	pthread_t thread;
	bool is_running;
	_Atomic bool stops;
	_Atomic unsigned purging; /* purges being counted */
	/* Under the lock, which is held for moments; within the log's own. */
	pthread_mutex_t lock;
	pthread_cond_t wake;
	struct link begun;   /* purges, until their walk has ended */
	struct link waiting; /* for the next walk */
	bool is_hurried;
	struct unswept unswept[UNSWEPT_MAX];
	unsigned unswept_count;
	uint64_t lost; /* newest purge that found no room there */
	/* The thread's */
	struct link walking; /* asked before this walk began */
	uint64_t swept;	     /* everything up to there is out */
	unsigned steps;
};

/* --- what was purged and is not out yet, under the lock --- */

static void
unswept_add(struct census *c, const struct purge *p, uint64_t pos)
{
	struct unswept *u;

	if (c->unswept_count == UNSWEPT_MAX) {
		c->lost = pos;
		return;
	}
	u = &c->unswept[c->unswept_count++];
	*u = (struct unswept){.pos = pos, .purge = *p};
	u->purge.what.p = must_strndup(p->what.p == NULL ? "" : p->what.p, p->what.n);
}

/* Those up to pos: what they took is out. */
static void
unswept_forget(struct census *c, uint64_t pos)
{
	unsigned gone = 0;

	for (; gone < c->unswept_count && c->unswept[gone].pos <= pos; gone++)
		free((char *)c->unswept[gone].purge.what.p);
	c->unswept_count -= gone;
	memmove(c->unswept, c->unswept + gone, c->unswept_count * sizeof(c->unswept[0]));
	if (c->lost <= pos)
		c->lost = 0;
}

/* Whether it had been purged already at that position. */
static bool
was_gone(const struct census *c, const struct object *o, uint64_t before)
{
	for (unsigned i = 0; i < c->unswept_count && c->unswept[i].pos <= before; i++)
		if (c->unswept[i].pos > o->facts.log_pos &&
		    purge_means(&c->unswept[i].purge, object_key(o), object_tags(o)))
			return true;
	return false;
}

static void
on_purge(void *arg, const struct purge *p, uint64_t pos)
{
	struct census *c = arg;

	if (p->soft)
		return;
	if (p->kind == PURGE_TAG)
		tagcounts_purged(c->tags, p->what, pos);
	else if (p->kind == PURGE_ALL)
		tagcounts_all_purged(c->tags, pos);
	pthread_mutex_lock(&c->lock);
	unswept_add(c, p, pos);
	pthread_mutex_unlock(&c->lock);
}

/* --- counting --- */

static bool
is_meant(const struct census_ask *a, const struct object *o)
{
	for (size_t i = 0; i < a->items_count; i++)
		if (purge_means(&a->items[i], object_key(o), object_tags(o)))
			return true;
	return a->items_count == 0;
}

/* Whoever takes it out, a purge that is being counted may have been its end. */
static void
count_leaver(struct census *c, const struct object *o)
{
	pthread_mutex_lock(&c->lock);
	for (struct link *l = c->begun.next; l != &c->begun; l = l->next) {
		struct census_ask *a = CONTAINER_OF(l, struct census_ask, link);

		if (o->facts.log_pos <= a->before && is_meant(a, o) && !was_gone(c, o, a->before)) {
			a->count++;
			a->bytes += o->charged_bytes;
		}
	}
	pthread_mutex_unlock(&c->lock);
}

static void
on_store(void *arg, struct object *o, bool came)
{
	struct census *c = arg;

	if (o->tags_len > 0)
		tagcounts_see(c->tags, o, came);
	if (!came && atomic_load_explicit(&c->purging, memory_order_acquire) > 0)
		count_leaver(c, o);
}

static int64_t
measure(const struct object *o, enum census_sort by, int64_t now_ms)
{
	switch (by) {
	case CENSUS_BY_SIZE:
		return o->charged_bytes;
	case CENSUS_BY_AGE:
		return object_age_ms(o, now_ms);
	case CENSUS_BY_HITS:
		return atomic_load_explicit(&o->hit_count, memory_order_relaxed);
	case CENSUS_UNSORTED:
	case CENSUS_SORTS:
		break;
	}
	return 0;
}

static int64_t
rank(const struct census_ask *a, const struct object *o)
{
	return measure(o, a->sort, a->now_ms);
}

static bool
is_in_ranges(const struct census_ask *a, const struct object *o)
{
	for (enum census_sort by = CENSUS_BY_SIZE; by < CENSUS_SORTS; by++) {
		const struct census_range *r = &a->ranges[by];
		int64_t n = r->is_set ? measure(o, by, a->now_ms) : 0;

		if (r->is_set && (n < r->least || n > r->most))
			return false;
	}
	return true;
}

/* A heap with the least at its head, which gives way to what is greater. */
static void
sift_down(struct census_ask *a, size_t at)
{
	for (;;) {
		size_t least = at, left = 2 * at + 1;

		for (size_t k = left; k <= left + 1 && k < a->rows_count; k++)
			if (rank(a, a->rows[k]) < rank(a, a->rows[least]))
				least = k;
		if (least == at)
			return;
		struct object *o = a->rows[at];
		a->rows[at] = a->rows[least];
		a->rows[least] = o;
		at = least;
	}
}

static void
list_object(struct census_ask *a, struct object *o)
{
	if (a->rows_most == 0)
		return;
	if (a->rows == NULL)
		a->rows = must_malloc(a->rows_most * sizeof(*a->rows));
	if (a->rows_count < a->rows_most) {
		a->rows[a->rows_count++] = object_ref(o);
		if (a->rows_count == a->rows_most && a->sort != CENSUS_UNSORTED)
			for (size_t i = a->rows_count / 2; i-- > 0;)
				sift_down(a, i);
	} else if (a->sort != CENSUS_UNSORTED && rank(a, o) > rank(a, a->rows[0])) {
		object_unref(&a->rows[0]);
		a->rows[0] = object_ref(o);
		sift_down(a, 0);
	}
}

static void
on_walk(struct object *o, void *arg)
{
	struct census *c = arg;

	if (++c->steps % STEP_OBJECTS == 0 && !c->stops)
		nanosleep(&(struct timespec){.tv_nsec = PAUSE_NS}, NULL);
	if (purgelog_judge(c->log, o) == PURGE_GONE) {
		store_remove(c->store, o);
		return;
	}
	for (struct link *l = c->walking.next; l != &c->walking; l = l->next) {
		struct census_ask *a = CONTAINER_OF(l, struct census_ask, link);

		if (!is_meant(a, o) || !is_in_ranges(a, o))
			continue;
		a->count++;
		a->bytes += o->charged_bytes;
		list_object(a, o);
	}
}

/* --- the thread --- */

static int
by_rank(const void *pa, const void *pb, void *arg)
{
	int64_t a = rank(arg, *(struct object *const *)pa),
		b = rank(arg, *(struct object *const *)pb);

	return a < b ? 1 : a > b ? -1 : 0;
}

static void
on_letter(struct letter *l)
{
	struct census_ask *a = CONTAINER_OF(l, struct census_ask, letter);

	a->done(a);
}

static void
answer(struct census_ask *a)
{
	if (a->rows_count > 1 && a->sort != CENSUS_UNSORTED)
		qsort_r(a->rows, a->rows_count, sizeof(*a->rows), by_rank, a);
	if (a->prepare != NULL)
		a->prepare(a);
	a->letter.deliver = on_letter;
	mailbox_post(a->reply_to, &a->letter);
}

static bool
is_asked(const struct census *c)
{
	for (const struct link *l = c->begun.next; l != &c->begun; l = l->next)
		if (CONTAINER_OF(l, struct census_ask, link)->stage == CENSUS_ASKED)
			return true;
	return !list_is_empty(&c->waiting);
}

/* Takes over who waits. Purges stay where those who take objects out find them. */
static void
walk_begin(struct census *c)
{
	c->is_hurried = false;
	for (struct link *l = c->begun.next; l != &c->begun; l = l->next) {
		struct census_ask *a = CONTAINER_OF(l, struct census_ask, link);

		if (a->stage == CENSUS_ASKED)
			a->stage = CENSUS_WALKED;
	}
	list_splice_back(&c->walking, &c->waiting);
}

static void
walk_end(struct census *c, uint64_t up_to)
{
	pthread_mutex_lock(&c->lock);
	for (struct link *l = c->begun.next, *next; l != &c->begun; l = next) {
		struct census_ask *a = CONTAINER_OF(l, struct census_ask, link);

		next = l->next;
		if (a->stage != CENSUS_WALKED)
			continue;
		a->is_exact = c->lost == 0 || c->lost > a->before;
		list_leave(l);
		list_push_back(&c->walking, l);
		atomic_fetch_sub(&c->purging, 1);
	}
	unswept_forget(c, up_to);
	c->swept = up_to;
	pthread_mutex_unlock(&c->lock);
}

/* A walk that was cut short has not seen all. */
static void
answer_all(struct census *c)
{
	while (!list_is_empty(&c->walking)) {
		struct census_ask *a = CONTAINER_OF(c->walking.next, struct census_ask, link);

		list_leave(&a->link);
		if (a->stage == CENSUS_LOOKS)
			a->is_exact = true;
		if (c->stops)
			a->is_exact = false;
		answer(a);
	}
}

static void
walk(struct census *c)
{
	uint64_t up_to = purgelog_head(c->log);

	store_walk(c->store, on_walk, c);
	purgelog_retire(c->log, up_to);
	walk_end(c, up_to);
	answer_all(c);
}

static int64_t
now_ms(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return t.tv_sec * 1000 + t.tv_nsec / 1000000;
}

/* Until a walk is due, asked for, or there will be none any more. */
static void
rest(struct census *c, int64_t hurried_ms, int64_t next_ms)
{
	for (;;) {
		bool is_dirty = purgelog_head(c->log) != c->swept;
		int64_t at_ms = now_ms() + (c->is_hurried ? 100 : 1000);
		struct timespec t;

		if (c->stops || is_asked(c) || purgelog_wants_sweep(c->log) ||
		    (is_dirty && now_ms() >= (c->is_hurried ? hurried_ms : next_ms)))
			return;
		t = (struct timespec){.tv_sec = at_ms / 1000, .tv_nsec = at_ms % 1000 * 1000000};
		pthread_cond_timedwait(&c->wake, &c->lock, &t);
	}
}

static void *
census_run(void *arg)
{
	struct census *c = arg;
	int64_t next_ms = now_ms() + REST_LEAST_MS, hurried_ms = 0, began_ms, took_ms;

	while (!c->stops) {
		pthread_mutex_lock(&c->lock);
		rest(c, hurried_ms, next_ms);
		walk_begin(c);
		pthread_mutex_unlock(&c->lock);
		began_ms = now_ms();
		if (!c->stops)
			walk(c);
		took_ms = now_ms() - began_ms;
		hurried_ms = now_ms() + HURRIED_FACTOR * took_ms;
		next_ms = now_ms() + REST_LEAST_MS + REST_FACTOR * took_ms;
	}
	return NULL;
}

/* --- from outside --- */

static size_t
tags_for(size_t limit_bytes)
{
	size_t tags = limit_bytes / BYTES_FOR_A_TAG;

	return tags < TAGS_LEAST ? TAGS_LEAST : tags > TAGS_MOST ? TAGS_MOST : tags;
}

static void
start(struct census *c)
{
	if (thread_start(&c->thread, "census", THREAD_PROMPT, census_run, c) != 0)
		bug("no thread can be made");
	c->is_running = true;
}

struct census *
census_new(struct store *s, struct purgelog *l)
{
	struct census *c = must_calloc(1, sizeof(*c));
	size_t tags = tags_for(store_usage(s).limit_bytes);
	pthread_condattr_t by_mono;

	c->store = s;
	c->log = l;
	c->swept = purgelog_head(l);
	c->tags = tagcounts_new(tags);
	if (slab_charge(store_slab(s), tagcounts_bytes(tags)))
		c->tags_bytes = tagcounts_bytes(tags);
	pthread_mutex_init(&c->lock, NULL);
	pthread_condattr_init(&by_mono);
	pthread_condattr_setclock(&by_mono, CLOCK_MONOTONIC);
	pthread_cond_init(&c->wake, &by_mono);
	pthread_condattr_destroy(&by_mono);
	list_init(&c->begun);
	list_init(&c->waiting);
	list_init(&c->walking);
	store_watch(s, on_store, c);
	purgelog_watch(l, on_purge, c);
	start(c);
	return c;
}

void
census_stop(struct census *c)
{
	if (!c->is_running)
		return;
	pthread_mutex_lock(&c->lock);
	c->stops = true;
	pthread_cond_signal(&c->wake);
	pthread_mutex_unlock(&c->lock);
	pthread_join(c->thread, NULL);
	c->is_running = false;
	list_splice_back(&c->walking, &c->waiting);
	list_splice_back(&c->walking, &c->begun);
	answer_all(c);
}

void
census_free(struct census **cp)
{
	struct census *c = *cp;

	*cp = NULL;
	if (c == NULL)
		return;
	census_stop(c);
	store_watch(c->store, NULL, NULL);
	purgelog_watch(c->log, NULL, NULL);
	unswept_forget(c, UINT64_MAX);
	slab_uncharge(store_slab(c->store), c->tags_bytes);
	tagcounts_free(&c->tags);
	pthread_cond_destroy(&c->wake);
	pthread_mutex_destroy(&c->lock);
	free(c);
}

static void
ask(struct census *c, struct census_ask *a)
{
	if (a->stage == CENSUS_BEGUN)
		a->stage = CENSUS_ASKED;
	else
		list_push_back(&c->waiting, &a->link);
	pthread_cond_signal(&c->wake);
}

void
census_begin(struct census *c, struct census_ask *a)
{
	list_init(&a->link);
	pthread_mutex_lock(&c->lock);
	a->stage = CENSUS_BEGUN;
	a->before = purgelog_head(c->log);
	list_push_back(&c->begun, &a->link);
	atomic_fetch_add(&c->purging, 1);
	pthread_mutex_unlock(&c->lock);
}

void
census_go(struct census *c, struct census_ask *a)
{
	pthread_mutex_lock(&c->lock);
	if (a->stage == CENSUS_LOOKS)
		list_init(&a->link);
	ask(c, a);
	pthread_mutex_unlock(&c->lock);
}

void
census_ask_fini(struct census_ask *a)
{
	while (a->rows_count > 0)
		object_unref(&a->rows[--a->rows_count]);
	free(a->rows);
	a->rows = NULL;
}

/* Objects that other purges took count for the tag until they are out. */
uint64_t
census_tag_count(struct census *c, struct slice tag, bool *is_exact_out)
{
	uint64_t count = tagcounts_of(c->tags, tag, is_exact_out);

	pthread_mutex_lock(&c->lock);
	if (c->lost != 0)
		*is_exact_out = false;
	for (unsigned i = 0; i < c->unswept_count && count > 0; i++) {
		const struct purge *p = &c->unswept[i].purge;

		if (p->kind != PURGE_ALL && (p->kind != PURGE_TAG || !slice_eq(p->what, tag)))
			*is_exact_out = false;
	}
	pthread_mutex_unlock(&c->lock);
	return count;
}

bool
census_is_clean(struct census *c)
{
	bool is_clean;

	pthread_mutex_lock(&c->lock);
	is_clean = c->unswept_count == 0 && c->lost == 0;
	pthread_mutex_unlock(&c->lock);
	return is_clean;
}

void
census_hurry(struct census *c)
{
	pthread_mutex_lock(&c->lock);
	c->is_hurried = true;
	pthread_cond_signal(&c->wake);
	pthread_mutex_unlock(&c->lock);
}
