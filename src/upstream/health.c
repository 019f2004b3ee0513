#include "upstream/health.h"

#include <math.h>
#include <stdlib.h>

#include "base/log.h"
#include "upstream/balance.h"
#include "upstream/drains.h"

#define BUDGET_PER_S 10	      /* retries that are always there, */
#define BUDGET_MOST 100	      /* and that may be saved up */
#define SLOW_WINDOW_MS 10000  /* between two looks at latencies */
#define SLOW_ANSWERS 10	      /* fewer tell nothing */
#define SLOW_LEAST_US 20000.0 /* nobody is slow below that */

/* --- states --- */

static void
come_back(struct server *s, int64_t at_ms)
{
	s->back_ms = at_ms;
	s->turn = 0;
	s->cost_us = 0;
	s->cost_at_ms = 0;
	s->health.silent_since_ms = 0;
}

static bool
is_ejected(const struct server *s, int64_t now_ms)
{
	return s->health.ejected_until_ms > now_ms;
}

bool
server_is_fit(struct server *s, int64_t now_ms)
{
	struct server_health *h = &s->health;

	if (h->ejected_until_ms != 0 && !is_ejected(s, now_ms)) {
		h->ejected_until_ms = 0;
		h->failures = s->upstream->conf.eject.errors > 0
		    ? s->upstream->conf.eject.errors - 1
		    : 0; /* one more is enough */
		come_back(s, now_ms);
	}
	return !server_is_drained(s) && !h->is_down && h->ejected_until_ms == 0;
}

enum server_state
server_state(const struct server *s, int64_t now_ms)
{
	if (s->place == SERVER_leaving)
		return SERVER_STATE_leaving;
	if (server_is_drained(s))
		return SERVER_STATE_drained;
	if (s->health.is_down)
		return SERVER_STATE_down;
	return is_ejected(s, now_ms) ? SERVER_STATE_ejected : SERVER_STATE_up;
}

const char *
server_state_word(enum server_state s)
{
	static const char *const words[] = {[SERVER_STATE_up] = "up",
	    [SERVER_STATE_down] = "down",
	    [SERVER_STATE_ejected] = "ejected",
	    [SERVER_STATE_drained] = "drained",
	    [SERVER_STATE_leaving] = "leaving"};

	return words[s];
}

/* --- ejection --- */

static bool
may_eject(const struct server *s, int64_t now_ms)
{
	const struct upstream *u = s->upstream;
	unsigned there = 0, ejected = 0;

	for (unsigned i = 0; i < u->servers_count; i++) {
		const struct server *o = &u->servers[i];

		if (o->place != SERVER_there)
			continue;
		there++;
		ejected += is_ejected(o, now_ms);
	}
	return ejected + 1 <= u->conf.eject.share * there;
}

/* Returns for how long; 0: not at all. */
static int64_t
eject(struct server *s, int64_t now_ms)
{
	const struct eject_conf *c = &s->upstream->conf.eject;
	struct server_health *h = &s->health;
	int64_t for_ms = c->time_ms;

	if (is_ejected(s, now_ms) || !may_eject(s, now_ms))
		return 0;
	for (unsigned i = 0; i < h->ejections && for_ms < c->max_time_ms; i++)
		for_ms *= 2;
	for_ms = for_ms < c->max_time_ms ? for_ms : c->max_time_ms;
	h->ejections++;
	h->ejected_until_ms = now_ms + for_ms;
	h->ejected_for_ms = for_ms;
	atomic_fetch_add_explicit(&s->ejections, 1, memory_order_relaxed);
	return for_ms;
}

static void
tell_ejected(const struct server *s, int64_t for_ms, const char *why)
{
	if (for_ms > 0)
		log_warn("upstream %s: %s is not asked for %lld s: %s", s->upstream->conf.name,
		    s->name, (long long)(for_ms + 999) / 1000, why);
}

/* Peak-EWMA: up at once, down by and by. */
static void
learn_cost(struct server *s, double took, int64_t now_ms)
{
	double keep;

	if (s->upstream->conf.balance != BALANCE_peak_ewma)
		return;
	keep = exp(-(double)(now_ms > s->cost_at_ms ? now_ms - s->cost_at_ms : 0) /
	    (double)s->upstream->conf.ewma_ms);
	s->cost_us = took >= s->cost_us ? took : s->cost_us * keep + took * (1 - keep);
	s->cost_at_ms = now_ms;
}

static int
compare_means(const void *a, const void *b)
{
	double x = *(const double *)a, y = *(const double *)b;

	return (x > y) - (x < y);
}

/* The mean of each with enough answers since the last look, sorted; returns how many. */
static unsigned
collect_means(const struct upstream *u, double means[SERVERS_MAX])
{
	unsigned n = 0;

	for (unsigned i = 0; i < u->servers_count; i++) {
		const struct server_health *h = &u->servers[i].health;

		if (u->servers[i].place == SERVER_there && h->answers >= SLOW_ANSWERS)
			means[n++] = h->answers_us / h->answers;
	}
	qsort(means, n, sizeof(*means), compare_means);
	return n;
}

/* Now and then: who is much slower than the others? The slowest of those, one at a look. */
static struct server *
find_slow(struct upstream *u, int64_t now_ms)
{
	double means[SERVERS_MAX], worst, limit;
	struct server *slow = NULL;
	unsigned n;

	if (u->conf.eject.latency == 0 || now_ms < u->slow_looked_ms + SLOW_WINDOW_MS)
		return NULL;
	u->slow_looked_ms = now_ms;
	n = collect_means(u, means);
	limit = n < 2 ? INFINITY : means[(n - 1) / 2] * u->conf.eject.latency;
	worst = limit > SLOW_LEAST_US ? limit : SLOW_LEAST_US;
	for (unsigned i = 0; i < u->servers_count; i++) {
		struct server_health *h = &u->servers[i].health;

		if (n >= 2 && h->answers >= SLOW_ANSWERS && h->answers_us / h->answers > worst) {
			worst = h->answers_us / h->answers;
			slow = &u->servers[i];
		}
		h->answers = 0;
		h->answers_us = 0;
	}
	return slow;
}

/* A failure more. Returns for how long it is ejected. */
static int64_t
count_failure(struct server *s, int64_t now_ms)
{
	const struct eject_conf *c = &s->upstream->conf.eject;

	if (++s->health.failures < c->errors || c->errors == 0)
		return 0;
	return eject(s, now_ms);
}

/* What it took, whoever goes by that. */
static void
learn_latency(struct server *s, int64_t us)
{
	s->health.answers++;
	s->health.answers_us += (double)us;
	if (s->upstream->conf.hedge.after_part > 0)
		latency_note(&s->upstream->latency, us);
}

void
server_answered(struct server *s, unsigned status, int64_t us, int64_t now_ms)
{
	struct server_health *h = &s->health;
	struct upstream *u = s->upstream;
	struct server *slow;
	int64_t for_ms = 0, slow_ms = 0;

	pthread_mutex_lock(&u->lock);
	learn_cost(s, us < 1 ? 1 : (double)us, now_ms);
	learn_latency(s, us);
	h->silent_since_ms = 0;
	if (status_set_has(&u->conf.eject.statuses, status))
		for_ms = count_failure(s, now_ms);
	else {
		h->failures = 0;
		if (h->ejections > 0 && now_ms >= s->back_ms + h->ejected_for_ms)
			h->ejections = 0;
	}
	slow = find_slow(u, now_ms);
	if (slow != NULL)
		slow_ms = eject(slow, now_ms);
	pthread_mutex_unlock(&u->lock);
	tell_ejected(s, for_ms, "it answers with errors");
	if (slow != NULL)
		tell_ejected(slow, slow_ms, "it is much slower than the others");
}

void
server_failed(struct server *s, int64_t us, int64_t now_ms)
{
	int64_t for_ms;

	pthread_mutex_lock(&s->upstream->lock);
	learn_cost(s, us < 1 ? 1 : (double)us, now_ms);
	for_ms = count_failure(s, now_ms);
	pthread_mutex_unlock(&s->upstream->lock);
	tell_ejected(s, for_ms, "requests to it fail");
}

/* Whether it has not answered anything for longer than one request would be waited for. */
static bool
is_silent(struct server *s, int64_t us, int64_t now_ms)
{
	const struct upstream_conf *c = &s->upstream->conf;
	struct server_health *h = &s->health;

	if (h->silent_since_ms == 0)
		h->silent_since_ms = now_ms - us / 1000;
	return now_ms - h->silent_since_ms >= (c->try_ms > 0 ? c->try_ms : c->response_ms);
}

void
server_outrun(struct server *s, int64_t us, int64_t now_ms)
{
	int64_t for_ms = 0;

	pthread_mutex_lock(&s->upstream->lock);
	if ((double)us > s->cost_us)
		learn_cost(s, (double)us, now_ms);
	learn_latency(s, us);
	if (is_silent(s, us, now_ms))
		for_ms = count_failure(s, now_ms);
	pthread_mutex_unlock(&s->upstream->lock);
	tell_ejected(s, for_ms, "others answer for it");
}

void
server_checked(struct server *s, bool is_up, const char *why, int64_t now_ms)
{
	bool was_down;

	pthread_mutex_lock(&s->upstream->lock);
	was_down = s->health.is_down;
	s->health.is_down = !is_up;
	if (was_down && is_up) {
		s->health.ejected_until_ms = 0; /* checks have seen it later than requests */
		s->health.failures = 0;
		come_back(s, now_ms);
	}
	pthread_mutex_unlock(&s->upstream->lock);
	if (was_down && is_up)
		log_info("upstream %s: %s is up again", s->upstream->conf.name, s->name);
	else if (!was_down && !is_up)
		log_warn("upstream %s: %s is down: %s", s->upstream->conf.name, s->name, why);
}

/* What an order is about, and who is left without it. */
static void
look_at_order(struct upstream *u, const struct drain_order *o, int64_t now_ms, bool *is_known_out,
    bool *is_last_out)
{
	*is_known_out = false;
	*is_last_out = true;
	for (unsigned i = 0; i < u->servers_count; i++) {
		struct server *s = &u->servers[i];

		if (server_is_called(s, o->server))
			*is_known_out = true;
		else if (s->place == SERVER_there && server_is_fit(s, now_ms))
			*is_last_out = false;
	}
}

static bool
is_any_drained(const struct upstream *u, const char *name)
{
	for (unsigned i = 0; i < u->servers_count; i++)
		if (server_is_called(&u->servers[i], name) && server_is_drained(&u->servers[i]))
			return true;
	return false;
}

enum drain_verdict
upstream_drain(struct upstream *u, const struct drain_order *o, int64_t now_ms)
{
	enum drain_verdict verdict = DRAIN_done;
	bool is_known, is_last;

	pthread_mutex_lock(&u->lock);
	drains_follow(u, now_ms);
	look_at_order(u, o, now_ms, &is_known, &is_last);
	if (!is_known)
		verdict = DRAIN_unknown;
	else if (o->is_drained && is_last && !o->is_forced)
		verdict = DRAIN_last;
	else {
		drains_set(u, o->server, o->is_drained);
		drains_follow(u, now_ms);
		if (!o->is_drained && is_any_drained(u, o->server))
			verdict = DRAIN_with_name;
	}
	pthread_mutex_unlock(&u->lock);
	if (verdict == DRAIN_done)
		log_info("upstream %s: %s %s", u->conf.name, o->server,
		    o->is_drained ? "is drained: no new requests" : "is no longer drained");
	return verdict;
}

bool
upstream_take_retry(struct upstream *u, int64_t now_ms)
{
	double by_time;
	bool has_one;

	pthread_mutex_lock(&u->lock);
	by_time = u->budget_at_ms == 0 ? BUDGET_PER_S
				       : (double)(now_ms - u->budget_at_ms) * BUDGET_PER_S / 1000;
	by_time = by_time > BUDGET_PER_S ? BUDGET_PER_S : by_time;
	u->budget_at_ms = now_ms;
	u->budget += by_time;
	u->budget = u->budget > BUDGET_MOST ? BUDGET_MOST : u->budget;
	has_one = u->budget >= 1;
	u->budget -= has_one ? 1 : 0;
	pthread_mutex_unlock(&u->lock);
	return has_one;
}

int64_t
upstream_hedge_after_ms(struct upstream *u)
{
	const struct hedge_conf *c = &u->conf.hedge;
	int64_t us;

	pthread_mutex_lock(&u->lock);
	u->hedge_budget += c->budget;
	if (u->hedge_budget > HEDGES_SAVED)
		u->hedge_budget = HEDGES_SAVED;
	us = c->after_part > 0 ? latency_quantile_us(&u->latency, c->after_part)
			       : c->after_ms * 1000;
	pthread_mutex_unlock(&u->lock);
	return us < 0 ? -1 : (us + 999) / 1000;
}

bool
upstream_take_hedge(struct upstream *u)
{
	bool has_one;

	pthread_mutex_lock(&u->lock);
	has_one = u->hedge_budget >= 1;
	u->hedge_budget -= has_one ? 1 : 0;
	pthread_mutex_unlock(&u->lock);
	return has_one;
}
