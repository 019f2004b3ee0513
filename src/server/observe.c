#include "server/observe_priv.h"

#include <stdlib.h>

#include "base/mem.h"

#define X(us, le) us,
static const int64_t bucket_us[BUCKETS] = {DURATION_BUCKETS(X)};
#undef X

static inline void
count(count64 *c, uint64_t n)
{
	atomic_store_explicit(
	    c, atomic_load_explicit(c, memory_order_relaxed) + n, memory_order_relaxed);
}

/* Slots */

static void
slots_init(struct slots *s, unsigned max)
{
	*s = (struct slots){.max = max, .names = must_calloc(max, sizeof(*s->names))};
	s->names[0] = must_strdup("other");
	atomic_store(&s->count, 1);
}

static void
slots_fini(struct slots *s)
{
	for (unsigned i = 0; i < s->count; i++)
		free(s->names[i]);
	free(s->names);
}

static unsigned
slots_find(struct slots *s, const char *name)
{
	unsigned n = atomic_load(&s->count);

	for (unsigned i = 0; i < n; i++)
		if (strcmp(s->names[i], name) == 0)
			return i;
	if (n == s->max)
		return 0;
	s->names[n] = must_strdup(name);
	atomic_store_explicit(&s->count, n + 1, memory_order_release);
	return n;
}

static unsigned
find_locked(struct observations *o, struct slots *s, const char *name)
{
	unsigned slot;

	pthread_mutex_lock(&o->lock);
	slot = slots_find(s, name);
	pthread_mutex_unlock(&o->lock);
	return slot;
}

unsigned
observations_route_slot(struct observations *o, const char *name)
{
	return find_locked(o, &o->routes, name);
}

unsigned
observations_listener_slot(struct observations *o, const char *name)
{
	return find_locked(o, &o->listeners, name);
}

/* Birth and death */

static struct observer *
observer_new(void)
{
	struct observer *ob = aligned_alloc(LINE, sizeof(*ob));

	if (ob == NULL)
		bug("no memory for %zu bytes of counters", sizeof(*ob));
	memset(ob, 0, sizeof(*ob));
	return ob;
}

static void
observer_free(struct observer *ob)
{
	for (unsigned i = 0; i < ROUTE_SLOTS; i++) {
		struct route_counts *r = ob->routes[i];

		if (r == NULL)
			continue;
		for (unsigned m = 0; m < METHOD_COUNT; m++)
			for (unsigned c = 0; c < CODE_CLASSES; c++)
				free(r->codes[m][c]);
		free(r);
	}
	free(ob);
}

struct observations *
observations_new(unsigned workers)
{
	struct observations *o = must_calloc(1, sizeof(*o));

	pthread_mutex_init(&o->lock, NULL);
	slots_init(&o->routes, ROUTE_SLOTS);
	slots_init(&o->listeners, LISTENER_SLOTS);
	o->workers = workers;
	o->observers = must_calloc(workers, sizeof(struct observer *));
	for (unsigned i = 0; i < workers; i++)
		o->observers[i] = observer_new();
	return o;
}

void
observations_free(struct observations **op)
{
	struct observations *o = *op;

	*op = NULL;
	if (o == NULL)
		return;
	for (unsigned i = 0; i < o->workers; i++)
		observer_free(o->observers[i]);
	free(o->observers);
	slots_fini(&o->routes);
	slots_fini(&o->listeners);
	pthread_mutex_destroy(&o->lock);
	free(o);
}

struct observer *
observations_worker(struct observations *o, unsigned worker)
{
	return o->observers[worker];
}

/* Counting */

static struct route_counts *
route_counts_of(struct observer *ob, unsigned slot)
{
	struct route_counts *r = atomic_load_explicit(&ob->routes[slot], memory_order_relaxed);

	if (r == NULL) {
		r = must_calloc(1, sizeof(*r));
		atomic_store_explicit(&ob->routes[slot], r, memory_order_release);
	}
	return r;
}

static struct codes *
codes_of(struct route_counts *r, enum method m, unsigned class)
{
	struct codes *c = atomic_load_explicit(&r->codes[m][class], memory_order_relaxed);

	if (c == NULL) {
		c = must_calloc(1, sizeof(*c));
		atomic_store_explicit(&r->codes[m][class], c, memory_order_release);
	}
	return c;
}

static void
histogram_add(struct histogram *h, int64_t us)
{
	unsigned i = 0;

	if (us < 0)
		us = 0;
	while (i < BUCKETS && us > bucket_us[i])
		i++;
	count(&h->buckets[i], 1);
	count(&h->sum_us, (uint64_t)us);
}

void
observe_request(struct observer *ob, const struct tally *t)
{
	unsigned code = t->status < 0 || t->status > 999 ? 0 : (unsigned)t->status;
	struct route_counts *r;

	if (t->route_slot == ROUTE_SLOT_UNCOUNTED)
		return;
	r = route_counts_of(ob, t->route_slot < ROUTE_SLOTS ? t->route_slot : 0);
	count(&codes_of(r, t->method, code / CODES_IN_CLASS)->n[code % CODES_IN_CLASS], 1);
	count(&r->cache[t->cache_word][t->tier], 1);
	count(&ob->ends[t->end], 1);
	if (t->end == END_tunnel) /* its life is no response time */
		return;
	histogram_add(&r->duration[t->cache_word], t->total_us);
	if (t->origin_us > 0)
		histogram_add(&r->origin, t->origin_us);
}

void
observe_add(struct observer *ob, enum observer_counter c, int64_t n)
{
	count(&ob->counters[c], (uint64_t)n);
}

void
observe_connection(
    struct observer *ob, unsigned listener_slot, enum connection_state state, int64_t n)
{
	count(&ob->connections[listener_slot < LISTENER_SLOTS ? listener_slot : 0][state],
	    (uint64_t)n);
}
