#include "upstream/balance.h"

#include <limits.h>
#include <math.h>
#include <string.h>
#include <xxhash.h>

#include "base/mem.h"
#include "upstream/drains.h"
#include "upstream/health.h"

#define SLOW_LEAST 0.1	     /* of its weight, at the beginning of a slow start */
#define UNKNOWN_US 1000000.0 /* what a server that has not answered yet costs, once it is asked */

/* Who may be chosen, and the weight each has now. */
struct field_of_choice {
	unsigned count;
	double total; /* of the weights */
	struct server *servers[SERVERS_MAX];
	double weights[SERVERS_MAX];
};

static unsigned
index_of(const struct server *s)
{
	return (unsigned)(s - s->upstream->servers);
}

void
server_set_add(struct server_set *set, const struct server *s)
{
	set->bits[index_of(s) / 64] |= 1ull << (index_of(s) % 64);
}

bool
server_set_has(const struct server_set *set, const struct server *s)
{
	return (set->bits[index_of(s) / 64] >> (index_of(s) % 64)) & 1;
}

unsigned
server_set_count(const struct server_set *set)
{
	unsigned n = 0;

	for (unsigned i = 0; i < SERVERS_MAX / 64; i++)
		n += (unsigned)__builtin_popcountll(set->bits[i]);
	return n;
}

static unsigned
load_of(const struct server *s)
{
	return atomic_load_explicit(&s->in_flight, memory_order_relaxed);
}

/* --- who may be chosen --- */

static double
weight_now(const struct server *s, int64_t now_ms)
{
	int64_t whole_ms = s->upstream->conf.slow_start_ms, since_ms = now_ms - s->back_ms;
	double part;

	if (s->back_ms == 0 || since_ms >= whole_ms)
		return s->weight;
	part = since_ms < 0 ? 0 : (double)since_ms / (double)whole_ms;
	return s->weight * (part < SLOW_LEAST ? SLOW_LEAST : part);
}

static bool
is_there(const struct server *s)
{
	return atomic_load_explicit(&s->place, memory_order_relaxed) == SERVER_there;
}

static bool
is_avoided(const struct choice *c, const struct server *s)
{
	return c->avoid != NULL && server_set_has(c->avoid, s);
}

static bool
is_near(const struct upstream *u, const struct server *s)
{
	return u->conf.zone != NULL && s->entry->zone != NULL &&
	    strcmp(u->conf.zone, s->entry->zone) == 0;
}

/* What a server must be to be gathered, with one condition less each time that nobody was. */
enum strictness { ANY_AT_ALL, NOT_DRAINED, NOT_TRIED, FIT, FIT_AND_NEAR };

static bool
has_room(const struct server *s)
{
	unsigned most = s->upstream->conf.requests;

	return most == 0 || load_of(s) < most;
}

static bool
may_have(struct server *s, const struct choice *c, enum strictness how)
{
	if (!is_there(s) || !has_room(s))
		return false;
	if (how >= NOT_DRAINED && server_is_drained(s))
		return false;
	if (how >= NOT_TRIED && is_avoided(c, s))
		return false;
	if (how >= FIT && !server_is_fit(s, c->now_ms))
		return false;
	return how < FIT_AND_NEAR || is_near(s->upstream, s);
}

#define ANY_PRIORITY UINT_MAX

/* The lowest of those that may have it; ANY_PRIORITY: nobody may, or there is but one. */
static unsigned
best_priority(struct upstream *u, const struct choice *c, enum strictness how)
{
	unsigned best = ANY_PRIORITY;

	for (unsigned i = 0; u->has_priorities && i < u->servers_count; i++)
		if (u->servers[i].priority < best && may_have(&u->servers[i], c, how))
			best = u->servers[i].priority;
	return best;
}

/* Whether the lowest that there are, fit or not, have no say any more: a later priority stands in for them. */
static bool
has_stand_in(struct upstream *u, const struct choice *c)
{
	return best_priority(u, c, FIT) != best_priority(u, c, NOT_DRAINED) &&
	    best_priority(u, c, FIT) != ANY_PRIORITY;
}

/* Too few are fit for their unfitness to be believed. */
static bool
is_panic(struct upstream *u, const struct choice *c)
{
	unsigned there = 0, fit = 0;

	for (unsigned i = 0; i < u->servers_count; i++) {
		struct server *s = &u->servers[i];

		if (!is_there(s) || server_is_drained(s))
			continue;
		there++;
		fit += server_is_fit(s, c->now_ms);
	}
	return fit < there && fit < u->conf.panic * there && !has_stand_in(u, c);
}

/* Whether enough of our own zone is left for it to carry all. */
static bool
zone_suffices(struct upstream *u, const struct choice *c, unsigned priority)
{
	double all = 0, left = 0;

	for (unsigned i = 0; u->conf.zone != NULL && i < u->servers_count; i++) {
		struct server *s = &u->servers[i];

		if (!is_near(u, s) || !is_there(s) ||
		    (priority != ANY_PRIORITY && s->priority != priority))
			continue;
		all += s->weight;
		left += may_have(s, c, FIT) ? s->weight : 0;
	}
	return left > 0 && left >= u->conf.zone_share * all;
}

static void
gather(struct upstream *u, const struct choice *c, enum strictness how, unsigned priority,
    struct field_of_choice *out)
{
	out->count = 0;
	out->total = 0;
	for (unsigned i = 0; i < u->servers_count; i++) {
		struct server *s = &u->servers[i];

		if (!may_have(s, c, how) || (priority != ANY_PRIORITY && s->priority != priority))
			continue;
		out->servers[out->count] = s;
		out->weights[out->count] = weight_now(s, c->now_ms);
		out->total += out->weights[out->count++];
	}
}

/* --- the rules: each an index into the field --- */

static unsigned
pick_round_robin(struct field_of_choice *f)
{
	unsigned best = 0;

	for (unsigned i = 0; i < f->count; i++) {
		f->servers[i]->turn += f->weights[i];
		if (f->servers[i]->turn > f->servers[best]->turn)
			best = i;
	}
	f->servers[best]->turn -= f->total;
	return best;
}

/* Those with equally little take turns. */
static unsigned
pick_least(struct field_of_choice *f)
{
	struct field_of_choice least = {0};
	unsigned at[SERVERS_MAX];
	double best = INFINITY;

	for (unsigned i = 0; i < f->count; i++) {
		double load = load_of(f->servers[i]) / f->weights[i];

		if (load > best)
			continue;
		if (load < best) {
			least.count = 0;
			least.total = 0;
			best = load;
		}
		at[least.count] = i;
		least.servers[least.count] = f->servers[i];
		least.weights[least.count++] = f->weights[i];
		least.total += f->weights[i];
	}
	return at[pick_round_robin(&least)];
}

/* splitmix64, as a share of 1 */
static double
draw(struct upstream *u)
{
	uint64_t z = (u->random += 0x9e3779b97f4a7c15ull);

	z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9ull;
	z = (z ^ (z >> 27)) * 0x94d049bb133111ebull;
	return (double)((z ^ (z >> 31)) >> 11) / (double)(1ull << 53);
}

/* By weight; not the one at not (f->count: any). */
static unsigned
pick_random(struct upstream *u, const struct field_of_choice *f, unsigned not )
{
	double left = draw(u) * (f->total - (not < f->count ? f->weights[not ] : 0));
	unsigned last = 0;

	for (unsigned i = 0; i < f->count; i++) {
		if (i == not )
			continue;
		last = i;
		left -= f->weights[i];
		if (left < 0)
			break;
	}
	return last;
}

static double
decayed_cost(const struct server *s, int64_t now_ms)
{
	int64_t since_ms = now_ms > s->cost_at_ms ? now_ms - s->cost_at_ms : 0;

	return s->cost_us * exp(-(double)since_ms / (double)s->upstream->conf.ewma_ms);
}

/* What is on its way counts by weight; what nothing is on its way to, by the draw alone. */
static double
expected_us(const struct server *s, double weight, int64_t now_ms)
{
	double cost = decayed_cost(s, now_ms);

	if (s->cost_at_ms == 0 && load_of(s) > 0)
		cost = UNKNOWN_US;
	return (cost + 1) * (load_of(s) / weight + 1);
}

static unsigned
pick_of_two(struct upstream *u, const struct field_of_choice *f, int64_t now_ms)
{
	unsigned a = pick_random(u, f, f->count), b;

	if (f->count == 1)
		return a;
	b = pick_random(u, f, a);
	return expected_us(f->servers[b], f->weights[b], now_ms) <
		expected_us(f->servers[a], f->weights[a], now_ms)
	    ? b
	    : a;
}

/* Weighted rendezvous: of draws that depend on key and server alone, the server's weight times as good a one wins. */
static double
rank_of(const struct server *s, double weight, uint64_t key)
{
	uint64_t h = XXH3_64bits_withSeed(&key, sizeof(key), s->hash);

	return weight / -log(((double)(h >> 11) + 0.5) / (double)(1ull << 53));
}

static bool
has_its_share(const struct field_of_choice *f, unsigned i, double all)
{
	double bound = f->servers[i]->upstream->conf.hash_bound;

	return load_of(f->servers[i]) >= ceil(bound * (all + 1) * f->weights[i] / f->total);
}

static unsigned
pick_by_key(const struct field_of_choice *f, uint64_t key)
{
	unsigned best = f->count, first = 0;
	double all = 0, best_rank = 0, first_rank = 0;

	for (unsigned i = 0; i < f->count; i++)
		all += load_of(f->servers[i]);
	for (unsigned i = 0; i < f->count; i++) {
		double rank = rank_of(f->servers[i], f->weights[i], key);

		if (rank > first_rank) {
			first_rank = rank;
			first = i;
		}
		if (rank > best_rank && !has_its_share(f, i, all)) {
			best_rank = rank;
			best = i;
		}
	}
	return best == f->count ? first : best;
}

static unsigned
pick(struct upstream *u, struct field_of_choice *f, const struct choice *c)
{
	switch (u->conf.balance) {
	case BALANCE_round_robin:
		return pick_round_robin(f);
	case BALANCE_least_connections:
		return pick_least(f);
	case BALANCE_peak_ewma:
		return pick_of_two(u, f, c->now_ms);
	case BALANCE_consistent_hash:
		return pick_by_key(f, c->key);
	}
	bug("unknown balance");
}

/* The one the client began with, if it may have the request. */
static struct server *
find_wanted(const struct field_of_choice *f, struct slice token)
{
	for (unsigned i = 0; i < f->count; i++)
		if (token.n == AFFINITY_TOKEN_LEN &&
		    memcmp(f->servers[i]->token, token.p, token.n) == 0)
			return f->servers[i];
	return NULL;
}

/* --- the interface --- */

/* Into out; false: nobody may have it. */
static bool
gather_some(struct upstream *u, const struct choice *c, struct field_of_choice *out)
{
	unsigned priority = best_priority(u, c, FIT);
	enum strictness how = is_panic(u, c) && !c->is_spare ? NOT_TRIED
	    : zone_suffices(u, c, priority)		     ? FIT_AND_NEAR
							     : FIT;

	for (;; how--) {
		gather(u, c, how, best_priority(u, c, how == FIT_AND_NEAR ? FIT : how), out);
		if (out->count > 0 || how == (c->is_spare ? FIT : ANY_AT_ALL))
			return out->count > 0;
	}
}

struct server *
upstream_choose(struct upstream *u, const struct choice *c)
{
	struct field_of_choice f;
	struct server *s = NULL;

	pthread_mutex_lock(&u->lock);
	drains_follow(u, c->now_ms);
	u->budget += u->conf.retry_budget;
	if (c->wanted.n > 0) {
		gather(u, c, FIT, ANY_PRIORITY, &f);
		s = find_wanted(&f, c->wanted);
	}
	if (s == NULL && u->servers_count == 1 && may_have(&u->servers[0], c, FIT))
		s = &u->servers[0]; /* as all rules would have it */
	if (s == NULL && gather_some(u, c, &f))
		s = f.servers[pick(u, &f, c)];
	if (s != NULL)
		atomic_fetch_add_explicit(&s->in_flight, 1, memory_order_relaxed);
	pthread_mutex_unlock(&u->lock);
	return s;
}

bool
upstream_has_spare(struct upstream *u, const struct server_set *avoid, int64_t now_ms)
{
	const struct choice c = {.avoid = avoid, .now_ms = now_ms};
	bool has_one = false;

	pthread_mutex_lock(&u->lock);
	for (unsigned i = 0; i < u->servers_count && !has_one; i++)
		has_one = may_have(&u->servers[i], &c, FIT);
	pthread_mutex_unlock(&u->lock);
	return has_one;
}

unsigned
upstream_size(const struct upstream *u)
{
	unsigned there = 0, taking = 0;

	for (unsigned i = 0; i < u->servers_count; i++) {
		there += is_there(&u->servers[i]);
		taking += is_there(&u->servers[i]) && !server_is_drained(&u->servers[i]);
	}
	return taking > 0 ? taking : there;
}

void
server_done(struct server *s)
{
	atomic_fetch_sub_explicit(&s->in_flight, 1, memory_order_relaxed);
}
