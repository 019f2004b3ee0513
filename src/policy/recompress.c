#include "policy/recompress.h"

#include <pthread.h>
#include <stdlib.h>

#include "base/clock.h"
#include "base/mem.h"
#include "base/thread.h"
#include "policy/press.h"

#define NOTES_MAX 16384u
#define LOOKS 1024u /* at notes in one turn */
#define TURN_NS 250000000L
/* What fits one packet is not sooner there for being smaller. */
#define CODED_LEAST_BYTES 1024u

/* Of an object that has a variant to be made smaller. */
struct note {
	uint64_t hash;
	const struct body *body; /* only compared */
};

struct recompress {
	struct store *store;
	struct purgelog *log;
	pthread_t thread;
	_Atomic bool is_on;
	_Atomic uint64_t done[ENC_KNOWN], dropped[RECOMPRESS_DROP_COUNT], saved_bytes, cpu_us;
	pthread_mutex_t lock; /* for what stands from here to the next blank line */
	pthread_cond_t wake;
	struct recompress_rules rules;
	struct note *notes; /* NOTES_MAX; NULL: nothing has been noted yet */
	unsigned notes_count, displaced;
	bool is_running, stops;

	/* The thread's own */
	struct press *press;
	struct note at; /* what the press is at; its body is held */
	enum encoding coding;
	int64_t rests_until_ms;
	unsigned hand; /* the note that is looked at next */
};

const char *const recompress_drop_names[RECOMPRESS_DROP_COUNT] = {
#define X(name, text) [RECOMPRESS_DROP_##name] = #name,
    RECOMPRESS_DROPS(X)
#undef X
};

static void
count(_Atomic uint64_t *c, uint64_t n)
{
	atomic_fetch_add_explicit(c, n, memory_order_relaxed);
}

static void
drop(struct recompress *r, enum recompress_drop why)
{
	count(&r->dropped[why], 1);
}

/* --- what is worth doing --- */

uint64_t
recompress_worth(const struct recompress_rules *r, const struct recompress_view *v)
{
	uint64_t kept_ms = v->kept_ms < 1000 ? 1000 : (uint64_t)v->kept_ms, expected;

	if (v->left_ms <= 0 || v->hits < r->hits_least || v->coded_bytes < CODED_LEAST_BYTES)
		return 0;
	if (__builtin_mul_overflow((uint64_t)v->hits, (uint64_t)v->left_ms, &expected))
		expected = UINT64_MAX;
	expected /= kept_ms;
	if (expected < r->hits_least)
		return 0;
	return expected > UINT32_MAX ? UINT32_MAX * v->coded_bytes : expected * v->coded_bytes;
}

static struct object_variant *
first_to_do(const struct object *o)
{
	struct object_variant *v = atomic_load_explicit(&o->variants, memory_order_acquire);

	while (v != NULL &&
	    atomic_load_explicit(&v->effort, memory_order_relaxed) == VARIANT_STRONGEST)
		v = atomic_load_explicit(&v->next, memory_order_acquire);
	return v;
}

static uint64_t
worth(const struct recompress_rules *rules, const struct object *o, const struct object_variant *v)
{
	int64_t now_ms = clock_mono_ms();
	struct recompress_view view = {
	    .hits = atomic_load_explicit(&o->hit_count, memory_order_relaxed),
	    .kept_ms = now_ms - o->facts.born_ms,
	    .left_ms = object_life_ms(o) - object_age_ms(o, now_ms),
	    .coded_bytes = body_length(v->body)};

	return recompress_worth(rules, &view);
}

/* It is not tried again. */
static void
give_up(struct recompress *r, struct object_variant *v, enum recompress_drop why)
{
	atomic_store_explicit(&v->effort, VARIANT_STRONGEST, memory_order_relaxed);
	drop(r, why);
}

/* --- notes --- */

static void *recompress_main(void *arg);

/* Under the lock. One that could not be made is tried again with the next note. */
static void
start(struct recompress *r)
{
	if (r->notes == NULL && (r->notes = calloc(NOTES_MAX, sizeof(*r->notes))) == NULL)
		return;
	r->is_running =
	    thread_start(&r->thread, "recompress", THREAD_PROMPT, recompress_main, r) == 0;
}

void
recompress_note(struct recompress *r, const struct object *o)
{
	struct note n = {o->hash, o->body};

	if (!atomic_load_explicit(&r->is_on, memory_order_relaxed) || !o->facts.is_in_slab)
		return;
	pthread_mutex_lock(&r->lock);
	if (!r->is_running && !r->stops)
		start(r);
	if (r->is_running && r->notes_count < NOTES_MAX) {
		r->notes[r->notes_count++] = n;
	} else if (r->is_running) {
		r->notes[r->displaced++ % NOTES_MAX] = n;
		drop(r, RECOMPRESS_DROP_crowded);
	}
	if (r->notes_count == 1)
		pthread_cond_signal(&r->wake);
	pthread_mutex_unlock(&r->lock);
}

/* Unless something else stands there by now. */
static void
forget(struct recompress *r, unsigned i, const struct note *n)
{
	pthread_mutex_lock(&r->lock);
	if (i < r->notes_count && r->notes[i].hash == n->hash && r->notes[i].body == n->body)
		r->notes[i] = r->notes[--r->notes_count];
	pthread_mutex_unlock(&r->lock);
}

static bool
read_note(struct recompress *r, unsigned i, struct note *out)
{
	bool is_there;

	pthread_mutex_lock(&r->lock);
	is_there = i < r->notes_count;
	if (is_there)
		*out = r->notes[i];
	pthread_mutex_unlock(&r->lock);
	return is_there;
}

/* Looks at some notes, and forgets those of which nothing is to be had any more. The best of the others, with a reference; NULL:
 * there is none. */
static struct object *
choose(struct recompress *r, const struct recompress_rules *rules)
{
	struct object *best = NULL;
	uint64_t most = 0;
	struct note n;

	for (unsigned looks = 0; looks < LOOKS; looks++) {
		struct object_variant *v = NULL;
		struct object *o;
		uint64_t is_worth;

		if (!read_note(r, r->hand, &n)) {
			r->hand = 0;
			break;
		}
		o = store_find_body(r->store, n.hash, n.body);
		if (o == NULL || body_length(o->body) > rules->max_bytes ||
		    (v = first_to_do(o)) == NULL) {
			forget(r, r->hand, &n);
			object_unref(&o);
			continue;
		}
		r->hand++;
		is_worth = worth(rules, o, v);
		if (is_worth > most) {
			struct object *less = best;

			most = is_worth;
			best = o;
			o = less;
		}
		object_unref(&o);
	}
	return best;
}

/* --- one of them --- */

static char *
copy_of_body(const struct body *b)
{
	struct body_cursor at = {0};
	size_t n = body_length(b);
	char *copy = malloc(n);
	struct iovec iov;

	while (copy != NULL && body_peek(b, &at, &iov, 1, n) == 1) {
		memcpy(copy + at.at, iov.iov_base, iov.iov_len);
		body_advance(&at, iov.iov_len);
	}
	return copy;
}

/* Takes the reference. */
static void
begin(struct recompress *r, struct object *o)
{
	struct object_variant *v = first_to_do(o);
	struct press_job job = {.coding = (enum encoding)v->encoding,
	    .text = copy_of_body(o->body),
	    .text_n = body_length(o->body),
	    .most_bytes = body_length(v->body)};

	if (r->press == NULL)
		r->press = press_new();
	if (r->press == NULL || job.text == NULL) {
		free(job.text);
		give_up(r, v, RECOMPRESS_DROP_memory);
	} else {
		r->at = (struct note){o->hash, body_ref(o->body)};
		r->coding = job.coding;
		press_begin(r->press, &job);
	}
	object_unref(&o);
}

/* The same with the smaller variant. NULL: no memory. */
static struct object *
clone_with(struct recompress *r, const struct object *o, struct slice coded)
{
	struct body *b = body_of(store_slab(r->store), coded);
	struct object *clone = object_clone(o);

	if (clone == NULL || b == NULL || !object_copy_variants(clone, o, (uint8_t)r->coding) ||
	    object_add_variant(clone, (uint8_t)r->coding, &b) != 0) {
		body_unref(&b);
		object_unref(&clone);
		return NULL;
	}
	atomic_store_explicit(&object_find_variant(clone, (uint8_t)r->coding)->effort,
	    VARIANT_STRONGEST, memory_order_relaxed);
	return clone;
}

/* What was purged while it was being put there is taken out, as the census would have. */
static void
put_in_place(struct recompress *r, struct object *o, const struct press_job *job)
{
	struct object *clone = clone_with(r, o, slice_of(job->out, job->out_n));

	if (clone == NULL) {
		give_up(r, object_find_variant(o, (uint8_t)r->coding), RECOMPRESS_DROP_memory);
		return;
	}
	if (store_swap(r->store, o, clone)) {
		count(&r->saved_bytes, job->most_bytes - job->out_n);
		count(&r->done[__builtin_ctz((unsigned)r->coding)], 1);
		if (purgelog_judge(r->log, clone) == PURGE_GONE)
			store_remove(r->store, clone);
	} else
		drop(r, RECOMPRESS_DROP_gone);
	object_unref(&clone);
}

static void
rest_after(struct recompress *r, double cpu_ms, const struct recompress_rules *rules)
{
	double part = (double)rules->share_percent / 100;

	count(&r->cpu_us, (uint64_t)(cpu_ms * 1000));
	r->rests_until_ms = clock_mono_ms() + (int64_t)(cpu_ms * (1 - part) / part);
}

/* What the press has made is put in place. It may be that the variant went meanwhile, or another of the coding came: then there is
 * nothing to compare with, and what was copied is not what counts any more. */
static void
conclude(struct recompress *r, const struct press_job *job)
{
	struct object *o = store_find_body(r->store, r->at.hash, r->at.body);
	struct object_variant *v = o == NULL ? NULL : object_find_variant(o, (uint8_t)r->coding);

	if (v == NULL || body_length(v->body) != job->most_bytes)
		drop(r, RECOMPRESS_DROP_gone);
	else if (job->is_smaller)
		put_in_place(r, o, job);
	else if (job->was_cancelled)
		drop(r, RECOMPRESS_DROP_gone);
	else
		give_up(r, v, RECOMPRESS_DROP_larger);
	object_unref(&o);
}

static void
let_body_go(struct recompress *r)
{
	struct body *b = (struct body *)(uintptr_t)r->at.body;

	body_unref(&b);
	r->at = (struct note){0};
}

/* --- the thread --- */

static bool
is_still_wanted(struct recompress *r, const struct recompress_rules *rules)
{
	struct object *o = store_find_body(r->store, r->at.hash, r->at.body);
	bool is_listed = o != NULL;

	object_unref(&o);
	return is_listed && rules->is_on;
}

static void
turn(struct recompress *r, const struct recompress_rules *rules)
{
	struct press_job job;
	struct object *o;

	if (r->at.body != NULL && press_finish(r->press, &job)) {
		conclude(r, &job);
		free(job.text);
		free(job.out);
		let_body_go(r);
		rest_after(r, job.cpu_ms, rules);
	}
	if (r->at.body != NULL) {
		if (!is_still_wanted(r, rules))
			press_cancel(r->press);
		return;
	}
	if (rules->is_on && clock_mono_ms() >= r->rests_until_ms && (o = choose(r, rules)) != NULL)
		begin(r, o);
}

/* Under the lock: until there is something to look at, or a turn long. */
static void
wait_a_turn(struct recompress *r)
{
	struct timespec until;

	if (r->notes_count == 0 && r->at.body == NULL) {
		press_free(&r->press); /* its thread is made again when there is work */
		pthread_cond_wait(&r->wake, &r->lock);
		return;
	}
	clock_gettime(CLOCK_MONOTONIC, &until);
	until.tv_nsec += TURN_NS;
	until.tv_sec += until.tv_nsec / 1000000000;
	until.tv_nsec %= 1000000000;
	pthread_cond_timedwait(&r->wake, &r->lock, &until);
}

static void *
recompress_main(void *arg)
{
	struct recompress *r = arg;
	struct recompress_rules rules;

	pthread_mutex_lock(&r->lock);
	while (!r->stops) {
		rules = r->rules;
		pthread_mutex_unlock(&r->lock);
		turn(r, &rules);
		pthread_mutex_lock(&r->lock);
		if (!r->stops)
			wait_a_turn(r);
	}
	pthread_mutex_unlock(&r->lock);
	press_free(&r->press);
	if (r->at.body != NULL)
		let_body_go(r);
	return NULL;
}

/* --- the interface --- */

struct recompress *
recompress_new(struct store *s, struct purgelog *l)
{
	struct recompress *r = must_calloc(1, sizeof(*r));
	pthread_condattr_t monotonic;

	r->store = s;
	r->log = l;
	pthread_mutex_init(&r->lock, NULL);
	pthread_condattr_init(&monotonic);
	pthread_condattr_setclock(&monotonic, CLOCK_MONOTONIC);
	pthread_cond_init(&r->wake, &monotonic);
	pthread_condattr_destroy(&monotonic);
	return r;
}

void
recompress_rule(struct recompress *r, const struct recompress_rules *rules)
{
	pthread_mutex_lock(&r->lock);
	r->rules = *rules;
	if (!rules->is_on)
		r->notes_count = 0;
	atomic_store(&r->is_on, rules->is_on);
	pthread_cond_signal(&r->wake);
	pthread_mutex_unlock(&r->lock);
}

struct recompress_counts
recompress_counts(struct recompress *r)
{
	struct recompress_counts c = {.saved_bytes = atomic_load(&r->saved_bytes),
	    .cpu_seconds = (double)atomic_load(&r->cpu_us) / 1e6};

	for (unsigned i = 0; i < ENC_KNOWN; i++)
		c.done[i] = atomic_load(&r->done[i]);
	for (unsigned i = 0; i < RECOMPRESS_DROP_COUNT; i++)
		c.dropped[i] = atomic_load(&r->dropped[i]);
	return c;
}

void
recompress_stop(struct recompress *r)
{
	bool was_running;

	atomic_store(&r->is_on, false);
	pthread_mutex_lock(&r->lock);
	r->stops = true;
	was_running = r->is_running;
	r->is_running = false;
	pthread_cond_signal(&r->wake);
	pthread_mutex_unlock(&r->lock);
	if (was_running)
		pthread_join(r->thread, NULL);
}

void
recompress_free(struct recompress **rp)
{
	struct recompress *r = *rp;

	*rp = NULL;
	if (r == NULL)
		return;
	recompress_stop(r);
	pthread_cond_destroy(&r->wake);
	pthread_mutex_destroy(&r->lock);
	free(r->notes);
	free(r);
}
