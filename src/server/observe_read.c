/* Reading: one family at a time, each series summed over the workers. */
#include <stdio.h>

#include "server/observe_priv.h"

#define X(us, le) le,
static const char *const bucket_le[BUCKETS] = {DURATION_BUCKETS(X)};
#undef X
#define X(name, text) #name,
static const char *const tier_names[] = {TIERS(X)};
static const char *const end_names[] = {REQUEST_ENDS(X)};
static const char *const connection_names[] = {CONNECTION_STATES(X)};
#undef X
static const char *const method_names[METHOD_COUNT] = {"OTHER",
#define X(name, safe, idempotent) #name,
    METHODS(X)
#undef X
};
static const char *const counter_series[] = {
#define X(name, series, help) series,
    OBSERVER_COUNTERS(X)
#undef X
};
static const char *const counter_helps[] = {
#define X(name, series, help) help,
    OBSERVER_COUNTERS(X)
#undef X
};

struct reading {
	struct observations *o;
	const struct metric_family *family;
	metric_see *see;
	void *arg;
	unsigned slot;
	struct buf labels;
};

static const struct metric_family families[] = {
#define X(name, series, kind, labels, help) {series, METRIC_##kind, labels, help},
    OBSERVER_FAMILIES(X)
#undef X
};
enum {
#define X(name, series, kind, labels, help) FAMILY_##name,
	OBSERVER_FAMILIES(X)
#undef X
	    FAMILY_COUNT
};

/* The families of OBSERVER_COUNTERS: rows of the same name up to the brace are one. */
static struct metric_family counter_families[COUNT_COUNT];
static unsigned counter_firsts[COUNT_COUNT + 1]; /* row that each begins with */
static unsigned counter_families_count;
static pthread_once_t counters_once = PTHREAD_ONCE_INIT;

static struct slice
series_name(const char *series)
{
	struct slice s = slice_from(series);

	s.n = slice_index(s, '{');
	return s;
}

/* What stands between the braces. */
static struct slice
series_labels(const char *series)
{
	struct slice s = slice_from(series);

	s = slice_skip(s, slice_index(s, '{'));
	return s.n < 2 ? SLICE_NONE : slice_of(s.p + 1, s.n - 2);
}

/* A name lives as long as the process: the table is static. */
static void
add_counter_family(unsigned row)
{
	struct slice name = series_name(counter_series[row]);
	struct slice labels = series_labels(counter_series[row]);
	struct metric_family *f = &counter_families[counter_families_count];
	static char names[COUNT_COUNT][64], label_names[COUNT_COUNT][32];

	snprintf(names[row], sizeof(names[row]), "%.*s", SLICE_FMT(name));
	snprintf(label_names[row], sizeof(label_names[row]), "%.*s", (int)slice_index(labels, '='),
	    labels.p == NULL ? "" : labels.p);
	*f = (struct metric_family){names[row],
	    slice_ends(name, SLICE_LIT("_total")) ? METRIC_counter : METRIC_gauge, label_names[row],
	    counter_helps[row]};
	counter_firsts[counter_families_count++] = row;
}

static void
find_counter_families(void)
{
	for (unsigned row = 0; row < COUNT_COUNT; row++)
		if (row == 0 ||
		    !slice_eq(
			series_name(counter_series[row - 1]), series_name(counter_series[row])))
			add_counter_family(row);
	counter_firsts[counter_families_count] = COUNT_COUNT;
}

unsigned
observer_families_count(void)
{
	pthread_once(&counters_once, find_counter_families);
	return FAMILY_COUNT + counter_families_count;
}

const struct metric_family *
observer_family(unsigned i)
{
	pthread_once(&counters_once, find_counter_families);
	return i < FAMILY_COUNT ? &families[i] : &counter_families[i - FAMILY_COUNT];
}

static void
show(struct reading *r, const char *suffix, double value)
{
	struct metric_sample s = {r->family, suffix, buf_slice(&r->labels), value};

	r->see(r->arg, &s);
}

static struct route_counts *
seen_route(struct reading *r, unsigned worker)
{
	return atomic_load_explicit(
	    &r->o->observers[worker]->routes[r->slot], memory_order_acquire);
}

static void
label_route(struct reading *r)
{
	r->labels.n = 0;
	metric_label(&r->labels, "route", slice_from(r->o->routes.names[r->slot]));
}

static void
read_class(struct reading *r, enum method m, unsigned class)
{
	uint64_t sums[CODES_IN_CLASS] = {0};
	bool any = false;

	for (unsigned w = 0; w < r->o->workers; w++) {
		struct route_counts *rc = seen_route(r, w);
		struct codes *c = rc == NULL
		    ? NULL
		    : atomic_load_explicit(&rc->codes[m][class], memory_order_acquire);

		for (unsigned i = 0; c != NULL && i < CODES_IN_CLASS; i++)
			sums[i] += counted(&c->n[i]);
		any |= c != NULL;
	}
	for (unsigned i = 0; any && i < CODES_IN_CLASS; i++) {
		char code[12];

		if (sums[i] == 0)
			continue;
		snprintf(code, sizeof(code), "%u", class * CODES_IN_CLASS + i);
		label_route(r);
		metric_label(&r->labels, "method", slice_from(method_names[m]));
		metric_label(&r->labels, "code", slice_from(code));
		show(r, "", (double)sums[i]);
	}
}

static void
read_requests(struct reading *r)
{
	for (unsigned m = 0; m < METHOD_COUNT; m++)
		for (unsigned class = 0; class < CODE_CLASSES; class ++)
			read_class(r, (enum method)m, class);
}

/* One histogram, summed. word < 0: the origin's. */
static void
read_histogram(struct reading *r, int word)
{
	uint64_t buckets[BUCKETS + 1] = {0}, sum_us = 0, n = 0;
	size_t labels;

	for (unsigned w = 0; w < r->o->workers; w++) {
		struct route_counts *rc = seen_route(r, w);
		struct histogram *h = rc == NULL ? NULL
		    : word < 0			 ? &rc->origin
						 : &rc->duration[word];

		for (unsigned i = 0; h != NULL && i <= BUCKETS; i++)
			buckets[i] += counted(&h->buckets[i]);
		sum_us += h == NULL ? 0 : counted(&h->sum_us);
	}
	for (unsigned i = 0; i <= BUCKETS; i++)
		n += buckets[i];
	if (n == 0)
		return;
	label_route(r);
	if (word >= 0)
		metric_label(
		    &r->labels, "status", slice_from(cache_word_name((enum cache_word)word)));
	labels = r->labels.n;
	n = 0;
	for (unsigned i = 0; i <= BUCKETS; i++) {
		n += buckets[i];
		metric_label(&r->labels, "le", slice_from(i < BUCKETS ? bucket_le[i] : "+Inf"));
		show(r, "_bucket", (double)n);
		r->labels.n = labels;
	}
	show(r, "_sum", (double)sum_us / 1e6);
	show(r, "_count", (double)n);
}

static void
read_duration(struct reading *r)
{
	for (int word = 0; word < CACHE_WORD_COUNT; word++)
		read_histogram(r, word);
}

static void
read_origin(struct reading *r)
{
	read_histogram(r, -1);
}

static void
read_cache(struct reading *r)
{
	for (unsigned i = 0; i < CACHE_WORD_COUNT * TIER_COUNT; i++) {
		unsigned word = i / TIER_COUNT, tier = i % TIER_COUNT;
		uint64_t sum = 0;

		for (unsigned w = 0; w < r->o->workers; w++) {
			struct route_counts *rc = seen_route(r, w);

			sum += rc == NULL ? 0 : counted(&rc->cache[word][tier]);
		}
		if (sum == 0)
			continue;
		label_route(r);
		metric_label(
		    &r->labels, "status", slice_from(cache_word_name((enum cache_word)word)));
		metric_label(&r->labels, "tier", slice_from(tier_names[tier]));
		show(r, "", (double)sum);
	}
}

static void
each_route(struct reading *r, void (*read)(struct reading *))
{
	unsigned n = atomic_load_explicit(&r->o->routes.count, memory_order_acquire);

	for (r->slot = 0; r->slot < n; r->slot++)
		read(r);
}

static void
read_ends(struct reading *r)
{
	for (unsigned e = 0; e < END_COUNT; e++) {
		uint64_t sum = 0;

		for (unsigned w = 0; w < r->o->workers; w++)
			sum += counted(&r->o->observers[w]->ends[e]);
		r->labels.n = 0;
		metric_label(&r->labels, "end", slice_from(end_names[e]));
		show(r, "", (double)sum);
	}
}

static void
read_connections(struct reading *r)
{
	unsigned n = atomic_load_explicit(&r->o->listeners.count, memory_order_acquire);

	for (unsigned i = 0; i < n * CONNECTION_STATE_COUNT; i++) {
		unsigned slot = i / CONNECTION_STATE_COUNT, state = i % CONNECTION_STATE_COUNT;
		uint64_t sum = 0;

		for (unsigned w = 0; w < r->o->workers; w++)
			sum += counted(&r->o->observers[w]->connections[slot][state]);
		if (slot == 0 && sum == 0)
			continue;
		r->labels.n = 0;
		metric_label(&r->labels, "listener", slice_from(r->o->listeners.names[slot]));
		metric_label(&r->labels, "state", slice_from(connection_names[state]));
		show(r, "", (double)(int64_t)sum);
	}
}

int64_t
observations_count(struct observations *o, enum observer_counter c)
{
	uint64_t sum = 0;

	for (unsigned w = 0; w < o->workers; w++)
		sum += counted(&o->observers[w]->counters[c]);
	return (int64_t)sum;
}

static void
read_counters(struct reading *r, unsigned family)
{
	for (unsigned row = counter_firsts[family]; row < counter_firsts[family + 1]; row++) {
		r->labels.n = 0;
		buf_add_slice(&r->labels, series_labels(counter_series[row]));
		show(r, "", (double)observations_count(r->o, (enum observer_counter)row));
	}
}

void
observations_read(struct observations *o, unsigned i, metric_see *see, void *arg)
{
	struct reading r = {.o = o, .family = observer_family(i), .see = see, .arg = arg};

	switch (i) {
	case FAMILY_requests:
		each_route(&r, read_requests);
		break;
	case FAMILY_duration:
		each_route(&r, read_duration);
		break;
	case FAMILY_origin:
		each_route(&r, read_origin);
		break;
	case FAMILY_cache:
		each_route(&r, read_cache);
		break;
	case FAMILY_ends:
		read_ends(&r);
		break;
	case FAMILY_connections:
		read_connections(&r);
		break;
	default:
		read_counters(&r, i - FAMILY_COUNT);
	}
	buf_fini(&r.labels);
}

const char *
tier_name(enum tier t)
{
	return tier_names[t];
}

const char *
request_end_name(enum request_end e)
{
	return end_names[e];
}
