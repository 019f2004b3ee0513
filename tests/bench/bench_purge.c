/* LINK: cache/census cache/tagcounts cache/store cache/store_room cache/store_shard cache/store_walk cache/index cache/object cache/body cache/slab cache/purgelog cache/key event/mailbox event/loop http/vary http/negotiate http/head http/fields base/buf base/clock base/hash base/log base/mem base/thread */
/* What a purge of 100,000 among a million objects takes, and whether those who look things up meanwhile are held up.
 *
 * Two threads do what workers do for a hit: find, judge, let go. Each look-up of more than 100 us is told apart by
 * what the kernel says: the thread slept (somebody held a lock: a pause of our making) or was sent off the processor
 * (the machine had other work). First nobody purges, then the census clears away.
 */
#include "cache/census.h"

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <time.h>

#include "base/mem.h"

#define OBJECTS 1000000u
#define TAGGED 100000u
#define LOOKERS 2
#define SLOW_US 100

struct scene {
	struct loop *loop;
	struct mailbox *box;
	struct store *store;
	struct purgelog *log;
	struct census *census;
	_Atomic bool stops;
};

struct looker {
	struct scene *s;
	pthread_t thread;
	uint64_t looks, hits, slow;
	double longest_us, slept_us; /* any; those in which it slept */
};

static double
now_us(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (double)t.tv_sec * 1e6 + (double)t.tv_nsec / 1e3;
}

static struct slice
key_of(char text[64], unsigned n)
{
	return slice_of(text, (size_t)snprintf(text, 64, "https://shop.test/products/%u", n));
}

static void
put(struct scene *s, unsigned n)
{
	char key[64];
	struct body *b = body_of(
	    store_slab(s->store), SLICE_LIT("a body of some fifty bytes, as long as this one is"));
	struct object_parts parts = {.key = key_of(key, n),
	    .tags = n % (OBJECTS / TAGGED) == 0 ? SLICE_LIT("wide\0all\0") : SLICE_LIT("all\0"),
	    .head = SLICE_LIT("HTTP/1.1 200 OK\r\nContent-Type: text/html\r\n\r\n"),
	    .body = b,
	    .facts = {.log_pos = purgelog_head(s->log)}};
	struct object *o;

	parts.tags.n = n % (OBJECTS / TAGGED) == 0 ? 9 : 4;
	parts.hash = cache_key_of(parts.key).hash;
	o = object_new(store_slab(s->store), &parts);
	body_unref(&b);
	if (o == NULL || !store_put(s->store, o))
		bug("no room");
	object_unref(&o);
}

static void
look(struct looker *k, unsigned n)
{
	char text[64];
	struct cache_key key = cache_key_of(key_of(text, n));
	struct object *o = store_find(k->s->store, &key, NULL, NULL);

	k->looks++;
	if (o == NULL)
		return;
	if (purgelog_judge(k->s->log, o) == PURGE_GONE)
		store_remove(k->s->store, o);
	else
		k->hits++;
	object_unref(&o);
}

static void *
looker_run(void *arg)
{
	struct looker *k = arg;
	uint64_t dice = (uintptr_t)k;
	struct rusage was, is;

	getrusage(RUSAGE_THREAD, &was);
	while (!k->s->stops) {
		double from_us = now_us(), took_us;

		dice = dice * 6364136223846793005u + 1442695040888963407u;
		look(k, (unsigned)((dice >> 33) % OBJECTS));
		took_us = now_us() - from_us;
		if (took_us < SLOW_US)
			continue;
		getrusage(RUSAGE_THREAD, &is);
		k->slow++;
		k->longest_us = took_us > k->longest_us ? took_us : k->longest_us;
		if (is.ru_nivcsw == was.ru_nivcsw && took_us > k->slept_us)
			k->slept_us = took_us;
		was = is;
	}
	return NULL;
}

static void
lookers_begin(struct scene *s, struct looker lookers[LOOKERS])
{
	s->stops = false;
	for (int i = 0; i < LOOKERS; i++) {
		lookers[i] = (struct looker){.s = s};
		pthread_create(&lookers[i].thread, NULL, looker_run, &lookers[i]);
	}
}

static void
lookers_end(struct scene *s, struct looker lookers[LOOKERS], const char *when, double from_us)
{
	struct looker all = {0};

	s->stops = true;
	for (int i = 0; i < LOOKERS; i++) {
		pthread_join(lookers[i].thread, NULL);
		all.looks += lookers[i].looks;
		all.slow += lookers[i].slow;
		if (lookers[i].longest_us > all.longest_us)
			all.longest_us = lookers[i].longest_us;
		if (lookers[i].slept_us > all.slept_us)
			all.slept_us = lookers[i].slept_us;
	}
	printf("%-28s %7.2f s %11.0f look-ups/s, %llu over %d us; the longest %.0f us, of those "
	       "not sent off the processor %.0f us\n",
	    when, (now_us() - from_us) / 1e6, (double)all.looks / ((now_us() - from_us) / 1e6),
	    (unsigned long long)all.slow, SLOW_US, all.longest_us, all.slept_us);
}

/* What the longest step of a walk takes of the processor, locks held for all of it at most: how long somebody may have to wait
 * where no other work sends the one who holds a lock off the processor. */
struct steps {
	struct scene *s;
	double last_us, longest_us, longest_removal_us;
	bool removes;
};

static double
cpu_us(void)
{
	struct timespec t;

	clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t);
	return (double)t.tv_sec * 1e6 + (double)t.tv_nsec / 1e3;
}

static void
see_step(struct object *o, void *arg)
{
	struct steps *w = arg;
	double at_us = cpu_us();

	if (at_us - w->last_us > w->longest_us)
		w->longest_us = at_us - w->last_us;
	if (w->removes && purgelog_judge(w->s->log, o) == PURGE_GONE) {
		store_remove(w->s->store, o);
		if (cpu_us() - at_us > w->longest_removal_us)
			w->longest_removal_us = cpu_us() - at_us;
	}
	w->last_us = cpu_us();
}

static void
steps_of_a_walk(struct scene *s)
{
	struct steps w = {.s = s, .last_us = cpu_us(), .removes = true};

	store_walk(s->store, see_step, &w);
	printf("processor time of the longest step of a walk %.0f us, of the longest removal %.0f "
	       "us\n",
	    w.longest_us, w.longest_removal_us);
}

static void
on_done(struct census_ask *a)
{
}

static void
purge(struct scene *s)
{
	struct purge p = {.kind = PURGE_TAG, .what = SLICE_LIT("wide")};
	bool is_exact;
	double from_us = now_us();
	uint64_t count = census_tag_count(s->census, p.what, &is_exact);

	purgelog_add(s->log, &p);
	census_hurry(s->census);
	printf("the purge: %llu objects (%s) known, and in force after %.1f us\n",
	    (unsigned long long)count, is_exact ? "exact" : "about", now_us() - from_us);
}

static void
purge_only(struct scene *s, const char *tag)
{
	struct purge p = {.kind = PURGE_TAG, .what = slice_from(tag)};

	purgelog_add(s->log, &p);
}

static void
await_objects(struct scene *s, uint64_t objects)
{
	while (store_usage(s->store).objects > objects)
		nanosleep(&(struct timespec){.tv_nsec = 1000000}, NULL);
}

static void
await_prefix(struct scene *s)
{
	struct purge p = {.kind = PURGE_PREFIX, .what = SLICE_LIT("shop.test/products/1")};
	struct census_ask a = {.items = &p, .items_count = 1, .reply_to = s->box, .done = on_done};

	census_begin(s->census, &a);
	purgelog_add(s->log, &p);
	census_go(s->census, &a);
	while (!census_is_clean(s->census))
		nanosleep(&(struct timespec){.tv_nsec = 1000000}, NULL);
	mailbox_settle(s->box);
	printf("a prefix: %llu objects (%s)\n", (unsigned long long)a.count,
	    a.is_exact ? "exact" : "about");
}

int
main(void)
{
	struct scene s = {.loop = loop_new()};
	struct looker lookers[LOOKERS];
	double from_us;

	s.box = mailbox_new(s.loop);
	s.store = store_new((size_t)2 << 30);
	s.log = purgelog_new();
	s.census = census_new(s.store, s.log);
	from_us = now_us();
	for (unsigned n = 0; n < OBJECTS; n++)
		put(&s, n);
	printf("%llu objects stored, %.2f us each\n",
	    (unsigned long long)store_usage(s.store).objects, (now_us() - from_us) / OBJECTS);
	from_us = now_us();
	lookers_begin(&s, lookers);
	nanosleep(&(struct timespec){.tv_sec = 2}, NULL);
	lookers_end(&s, lookers, "nobody purges", from_us);
	from_us = now_us();
	lookers_begin(&s, lookers);
	purge(&s);
	await_objects(&s, OBJECTS - TAGGED);
	lookers_end(&s, lookers, "100,000 are cleared away", from_us);
	from_us = now_us();
	lookers_begin(&s, lookers);
	await_prefix(&s);
	lookers_end(&s, lookers, "a prefix is counted", from_us);
	purge_only(&s, "all");
	steps_of_a_walk(&s);
	census_free(&s.census);
	mailbox_free(&s.box);
	loop_free(&s.loop);
	store_free(&s.store);
	purgelog_free(&s.log);
	return 0;
}
