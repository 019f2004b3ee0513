#include "event/lookup.h"

#include <stdlib.h>
#include <string.h>

#include "base/mem.h"

#define WEIGHTLESS 0.01 /* of a record of weight 0 beside others that have some */

struct target {
	struct lookup *lookup;
	struct resolve *resolving;
	struct srv_record record;
	unsigned count;
	struct address addresses[RESOLVED_MAX];
	bool is_ill; /* nobody answered */
};

struct lookup {
	struct loop *loop;
	struct resolver *resolver;
	struct resolve *resolving; /* the name, or the SRV records */
	int64_t until_ms;
	uint32_t ttl_s;
	unsigned waiting; /* for targets, and one more while they are started */
	unsigned targets_count;
	struct target *targets;
	void (*done)(void *arg, const struct resolved *answer);
	void *arg;
};

static void
lookup_free(struct lookup *l)
{
	resolver_cancel(&l->resolving);
	for (unsigned i = 0; i < l->targets_count; i++)
		resolver_cancel(&l->targets[i].resolving);
	free(l->targets);
	free(l);
}

/* The handle is dead when the callback comes. */
static void
lookup_end(struct lookup *l, const struct resolved *answer)
{
	void (*done)(void *, const struct resolved *) = l->done;
	void *arg = l->arg;

	lookup_free(l);
	done(arg, answer);
}

static void
on_name(void *arg, const struct resolved *answer)
{
	struct lookup *l = arg;

	l->resolving = NULL;
	lookup_end(l, answer);
}

/* --- SRV --- */

/* Relative to the mean of its priority. */
static double
weight_of(const struct lookup *l, const struct srv_record *r)
{
	double sum = 0;
	unsigned n = 0;

	for (unsigned i = 0; i < l->targets_count; i++)
		if (l->targets[i].record.priority == r->priority) {
			sum += l->targets[i].record.weight;
			n++;
		}
	if (sum == 0)
		return 1;
	return r->weight == 0 ? WEIGHTLESS : r->weight * n / sum;
}

struct gathered {
	struct resolved answer;
	struct address addresses[LOOKUP_MAX];
	struct srv_share shares[LOOKUP_MAX];
};

static void
gather(const struct lookup *l, const struct target *t, struct gathered *g)
{
	struct srv_share share = {
	    t->record.priority, t->count == 0 ? 0 : weight_of(l, &t->record) / t->count};

	g->answer.is_partial |= t->is_ill;
	for (unsigned i = 0; i < t->count && g->answer.count < LOOKUP_MAX; i++) {
		g->addresses[g->answer.count] = t->addresses[i];
		g->shares[g->answer.count++] = share;
	}
}

static void
one_less(struct lookup *l)
{
	struct gathered g = {.answer = {.ttl_s = l->ttl_s}};

	if (--l->waiting > 0)
		return;
	for (unsigned i = 0; i < l->targets_count; i++)
		gather(l, &l->targets[i], &g);
	g.answer.addresses = g.addresses;
	g.answer.shares = g.shares;
	if (g.answer.count == 0) {
		g.answer.is_unknown = !g.answer.is_partial;
		g.answer.error = g.answer.is_partial
		    ? "nobody answers about the targets of its SRV records"
		    : "the targets of its SRV records have no address";
	}
	lookup_end(l, &g.answer);
}

static void
on_target(void *arg, const struct resolved *answer)
{
	struct target *t = arg;

	t->resolving = NULL;
	t->count = answer->count;
	memcpy(t->addresses, answer->addresses, answer->count * sizeof(t->addresses[0]));
	t->is_ill = answer->count == 0 && !answer->is_unknown;
	if (answer->count > 0 && answer->ttl_s < t->lookup->ttl_s)
		t->lookup->ttl_s = answer->ttl_s;
	one_less(t->lookup);
}

static void
start_target(struct lookup *l, const struct srv_record *r)
{
	struct target *t = &l->targets[l->targets_count++];
	int64_t left_ms = l->until_ms - loop_now_ms(l->loop);

	t->lookup = l;
	t->record = *r;
	l->waiting++;
	t->resolving =
	    resolver_start(l->resolver, r->host, r->port, left_ms > 1 ? left_ms : 1, on_target, t);
	if (t->resolving == NULL) {
		t->is_ill = true;
		l->waiting--;
	}
}

static void
on_records(void *arg, const struct resolved *answer)
{
	struct lookup *l = arg;

	if (answer->records_count == 0) {
		on_name(l, answer);
		return;
	}
	l->resolving = NULL;
	l->ttl_s = answer->ttl_s;
	l->waiting = 1;
	l->targets = must_calloc(answer->records_count, sizeof(*l->targets));
	for (unsigned i = 0; i < answer->records_count; i++)
		if (answer->records[i].host[0] != '\0' && answer->records[i].port != 0)
			start_target(l, &answer->records[i]);
	one_less(l);
}

/* --- the interface --- */

struct lookup *
lookup_start(struct resolver *r, const struct lookup_what *what, int64_t timeout_ms,
    void (*done)(void *arg, const struct resolved *answer), void *arg)
{
	struct lookup *l = must_calloc(1, sizeof(*l));

	l->resolver = r;
	l->loop = resolver_loop(r);
	l->until_ms = loop_now_ms(l->loop) + timeout_ms;
	l->done = done;
	l->arg = arg;
	l->resolving = what->service != NULL
	    ? resolver_start_srv(r, what->service, timeout_ms, on_records, l)
	    : resolver_start(r, what->host, what->port, timeout_ms, on_name, l);
	if (l->resolving != NULL)
		return l;
	free(l);
	return NULL;
}

void
lookup_cancel(struct lookup **lp)
{
	struct lookup *l = *lp;

	*lp = NULL;
	if (l != NULL)
		lookup_free(l);
}
