/* Limiters: what each is set to, who has it, what it has counted; and the table that they share, found by name. */
#include <assert.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "policy/limittable.h"

const char *
limit_conf_problem(const struct limit_conf *c)
{
	if (c->limit == 0)
		return "limit must be at least 1";
	if (c->limit > WINDOW_LIMIT_MAX)
		return "limit must be at most 1000000000";
	if (c->window_ms <= 0)
		return "window must be longer than 0";
	if (c->segments > WINDOW_SEGMENTS_MAX)
		return "segments must be at most 1000";
	if (c->segments > c->window_ms)
		return "segments must not be shorter than 1ms";
	if (c->queue > LIMIT_QUEUE_MAX)
		return "queue must be at most 1000000";
	if (c->queue_timeout_ms < 0)
		return "queue_timeout must not be negative";
	if (c->algorithm == LIMIT_SLIDING_WINDOW && c->align_clock)
		return "align: clock goes with fixed_window only";
	if (c->algorithm == LIMIT_FIXED_WINDOW && (c->segments > 0 || c->dotnet))
		return "segments and semantics go with sliding_window only";
	return NULL;
}

static bool
conf_is_same(const struct limit_conf *a, const struct limit_conf *b)
{
	return a->algorithm == b->algorithm && a->limit == b->limit &&
	    a->window_ms == b->window_ms && a->segments == b->segments && a->dotnet == b->dotnet &&
	    a->align_clock == b->align_clock && a->queue == b->queue &&
	    a->newest_first == b->newest_first && a->queue_timeout_ms == b->queue_timeout_ms &&
	    a->count_all == b->count_all && a->shadow == b->shadow &&
	    a->refuse_untracked == b->refuse_untracked && a->shared == b->shared;
}

static struct window_rule
conf_rule(const struct limit_conf *c)
{
	struct window_rule fixed = {.kind = WINDOW_FIXED,
	    .align_clock = c->align_clock,
	    .limit = c->limit,
	    .window_ms = c->window_ms};

	if (c->algorithm == LIMIT_FIXED_WINDOW)
		return fixed;
	return window_rule_sliding(c->limit, c->window_ms, c->segments, c->dotnet);
}

struct limit_table *
limit_table_new(size_t max_bytes, limit_wake_fn *on_wake, void *arg)
{
	struct limit_table *t = calloc(1, sizeof(*t));

	if (t == NULL)
		return NULL;
	if (max_bytes < LIMIT_TABLE_BYTES_MIN)
		max_bytes = LIMIT_TABLE_BYTES_MIN;
	if (limit_shards_init(t, max_bytes) == -1)
		goto fail;
	atomic_init(&t->refs, 1);
	t->on_wake = on_wake;
	t->on_wake_arg = arg;
	pthread_mutex_init(&t->registry, NULL);
	list_init(&t->limiters);
	return t;
fail:
	free(t);
	return NULL;
}

struct limit_table *
limit_table_ref(struct limit_table *t)
{
	atomic_fetch_add(&t->refs, 1);
	return t;
}

void
limit_table_unref(struct limit_table **tp)
{
	struct limit_table *t = *tp;

	*tp = NULL;
	if (t == NULL || atomic_fetch_sub(&t->refs, 1) > 1)
		return;
	limit_shards_fini(t);
	pthread_mutex_destroy(&t->registry);
	free(t);
}

struct limit_table_size
limit_table_measure(struct limit_table *t)
{
	struct limit_table_size size = {0};

	for (unsigned i = 0; i < t->shard_count; i++) {
		struct limit_shard *s = &t->shards[i];

		pthread_mutex_lock(&s->lock);
		size.keys += s->keys;
		size.bytes += s->used_bytes;
		size.max_bytes += s->max_bytes;
		pthread_mutex_unlock(&s->lock);
	}
	return size;
}

static struct limit_tally *
tally_new(void)
{
	struct limit_tally *tally =
	    aligned_alloc(_Alignof(struct limit_tally), sizeof(struct limit_tally));

	if (tally == NULL)
		bug("out of memory for the counters of a rate limit");
	memset(tally, 0, sizeof(*tally));
	return tally;
}

static struct limiter *
limiter_new(struct limit_table *t, const char *name, const struct limit_conf *conf)
{
	struct limiter *l = must_calloc(1, sizeof(*l));
	uint32_t at = sizeof(struct limit_entry);

	assert(limit_conf_problem(conf) == NULL);
	l->table = limit_table_ref(t);
	l->name = must_strdup(name);
	l->conf = *conf;
	l->rule = conf_rule(conf);
	l->seed = hash_bytes(&t->serial, sizeof(t->serial));
	t->serial++;
	if (conf->shared || (conf->queue > 0 && !conf->shadow)) {
		l->queue_at = at;
		at += sizeof(struct limit_queue);
	}
	if (conf->shared) {
		l->shared_at = at;
		at += sizeof(struct limit_shared);
	}
	l->state_at = at;
	l->key_at = at + (uint32_t)window_state_bytes(&l->rule);
	return l;
}

/* Under the registry's lock. */
static struct limiter *
limiter_find_or_new(struct limit_table *t, const char *name, const struct limit_conf *conf)
{
	struct limit_tally *tally = NULL;
	struct limiter *l;

	LIST_EACH (had, &t->limiters, struct limiter, link) {
		if (strcmp(had->name, name) != 0)
			continue;
		if (conf_is_same(&had->conf, conf))
			return had;
		tally = had->tally;
	}
	l = limiter_new(t, name, conf);
	l->tally = tally == NULL ? tally_new() : tally;
	l->tally->refs++;
	list_push_back(&t->limiters, &l->link);
	return l;
}

struct limiter *
limiter_get(struct limit_table *t, const char *name, const struct limit_conf *conf)
{
	struct limiter *l;

	pthread_mutex_lock(&t->registry);
	l = limiter_find_or_new(t, name, conf);
	l->refs++;
	pthread_mutex_unlock(&t->registry);
	return l;
}

struct limiter *
limiter_ref(struct limiter *l)
{
	pthread_mutex_lock(&l->table->registry);
	l->refs++;
	pthread_mutex_unlock(&l->table->registry);
	return l;
}

static void
limiter_free(struct limiter *l, struct limit_tally *tally)
{
	for (unsigned i = 0; i < l->table->shard_count; i++) {
		struct limit_shard *s = &l->table->shards[i];

		pthread_mutex_lock(&s->lock);
		limit_shard_forget(s, l);
		pthread_mutex_unlock(&s->lock);
	}
	limit_table_unref(&l->table);
	free(tally);
	free(l->name);
	free(l);
}

void
limiter_unref(struct limiter **lp)
{
	struct limit_tally *unused = NULL;
	struct limiter *l = *lp;
	bool last;

	*lp = NULL;
	if (l == NULL)
		return;
	pthread_mutex_lock(&l->table->registry);
	last = --l->refs == 0;
	if (last) {
		list_leave(&l->link); /* from here on nobody finds it */
		if (--l->tally->refs == 0)
			unused = l->tally;
	}
	pthread_mutex_unlock(&l->table->registry);
	if (last)
		limiter_free(l, unused);
}

const char *
limiter_name(const struct limiter *l)
{
	return l->name;
}

const struct limit_conf *
limiter_conf(const struct limiter *l)
{
	return &l->conf;
}

void
limiter_describe(const struct limiter *l, char *buf, size_t cap)
{
	static const char *const how[] = {
	    [WINDOW_FIXED] = "fixed window",
	    [WINDOW_LOG] = "sliding window, exact log",
	    [WINDOW_SEGMENTS] = "sliding window, segments",
	    [WINDOW_DOTNET] = "sliding window, .NET segments",
	};
	const struct window_rule *r = &l->rule;
	int n = snprintf(buf, cap, "%s%s: %u per %.12g s", l->conf.shared ? "shared " : "",
	    how[r->kind], r->limit, (double)r->window_ms / 1000);

	if (n < 0 || (size_t)n >= cap)
		return;
	if (r->kind == WINDOW_SEGMENTS || r->kind == WINDOW_DOTNET)
		snprintf(buf + n, cap - (size_t)n, " in %u segments", r->segments);
}

void
limiter_read_counts(const struct limiter *l, struct limit_counts *out)
{
	for (unsigned which = 0; which < LIMIT_COUNTS; which++) {
		out->n[which] = 0;
		for (unsigned i = 0; i < l->table->shard_count; i++)
			out->n[which] += atomic_load_explicit(
			    &l->tally->stripes[i].n[which], memory_order_relaxed);
	}
}
