#include "upstream/hedge.h"

#include "upstream/balance.h"
#include "upstream/health.h"

const char *
hedge_outcome_word(enum hedge_outcome o)
{
	static const char *const words[] = {
#define X(name, word, text) word,
	    HEDGE_OUTCOMES(X)
#undef X
	};

	return words[o];
}

bool
hedge_may(const struct fetch_plan *plan)
{
	return plan->upstream->conf.hedge.is_on && method_is_safe(plan->method) &&
	    plan->method != METHOD_QUERY && plan->upload == NULL && !plan->wants_upgrade &&
	    plan->affinity.n == 0;
}

static int64_t
hedge_now_ms(const struct hedge *h)
{
	return loop_now_ms(pool_loop(h->pool));
}

static void
count(_Atomic uint64_t *c)
{
	atomic_fetch_add_explicit(c, 1, memory_order_relaxed);
}

/* Where that fetch is held. */
static struct fetch **
fetch_of(struct hedge_try *t)
{
	struct hedge *h = t->hedge;

	return t->is_second && h->second != NULL ? &h->second : h->at;
}

/* The try's fetch has gone, and the other one asks alone. */
static void
leave_alone(struct hedge_try *t)
{
	struct hedge *h = t->hedge;

	if (!t->is_second)
		*h->at = h->second;
	h->second = NULL;
	fetch_hold(*h->at, false);
}

static bool
is_failure(const struct hedge *h, const struct head *head)
{
	return status_set_has(&h->plan.upstream->conf.retry_statuses, head->status);
}

/* This one answers; the other one is dropped. */
static void
decide(struct hedge_try *t)
{
	struct hedge *h = t->hedge;
	struct fetch *loser = t->is_second ? *h->at : h->second;

	if (t->is_second)
		*h->at = h->second;
	h->second = NULL;
	h->dropped_tries += fetch_tries(loser);
	fetch_outrun(&loser);
}

/* --- one of the fetches --- */

static void
on_try_interim(void *arg, const struct head *head)
{
	struct hedge_try *t = arg;

	if (t->is_second && t->hedge->second != NULL)
		return;
	t->hedge->handler->on_interim(t->hedge->arg, head);
}

static struct body *
on_try_head(void *arg, const struct head *head, const struct framing *framing)
{
	struct hedge_try *t = arg;
	struct hedge *h = t->hedge;

	if (h->second != NULL && is_failure(h, head)) {
		struct fetch *mine = *fetch_of(t);

		h->dropped_tries += fetch_tries(mine);
		leave_alone(t);
		fetch_abort(&mine);
		return NULL;
	}
	timer_disarm(&h->due);
	if (h->second != NULL)
		decide(t);
	if (t->is_second) {
		h->outcome = HEDGE_won;
		count(&fetch_server(*h->at)->hedges_won);
	}
	return h->handler->on_head(h->arg, head, framing);
}

static void
on_try_body(void *arg)
{
	struct hedge_try *t = arg;

	t->hedge->handler->on_body(t->hedge->arg);
}

static void
on_try_failing(void *arg)
{
	struct hedge_try *t = arg;
	struct hedge *h = t->hedge;

	if (h->second != NULL)
		h->dropped_tries += fetch_tries(*fetch_of(t));
	else
		h->handler->on_failing(h->arg);
}

static void
on_try_done(void *arg, enum fetch_end end)
{
	struct hedge_try *t = arg;
	struct hedge *h = t->hedge;

	if (h->second != NULL) {
		leave_alone(t);
		return;
	}
	timer_disarm(&h->due);
	h->handler->on_done(h->arg, end);
}

static const struct fetch_handler hedge_fetch_handler = {
    .on_interim = on_try_interim,
    .on_head = on_try_head,
    .on_body = on_try_body,
    .on_failing = on_try_failing,
    .on_done = on_try_done,
};

/* --- the second one --- */

static void
on_hedge_due(void *arg)
{
	struct hedge *h = arg;
	struct fetch_plan plan = h->plan;

	if (!fetch_add_tried(*h->at, &plan.avoid) ||
	    !upstream_has_spare(plan.upstream, &plan.avoid, hedge_now_ms(h)))
		return;
	if (!upstream_take_hedge(plan.upstream)) {
		count(&fetch_server(*h->at)->hedges_denied);
		return;
	}
	plan.is_spare = true;
	fetch_hold(*h->at, true);
	h->outcome = HEDGE_lost;
	h->second = fetch_start(h->pool, h->resolver, &plan, &hedge_fetch_handler, &h->tries[1]);
	fetch_hold(h->second, true);
}

void
hedge_start(struct hedge *h, struct pool *p, struct resolver *resolver,
    const struct fetch_plan *plan, const struct fetch_handler *handler, void *arg,
    struct fetch **at)
{
	int64_t after_ms;

	*h = (struct hedge){.pool = p,
	    .resolver = resolver,
	    .plan = *plan,
	    .handler = handler,
	    .arg = arg,
	    .at = at,
	    .tries = {{h, false}, {h, true}}};
	timer_init(&h->due, on_hedge_due, h);
	h->plan.began_ms = hedge_now_ms(h);
	after_ms = upstream_hedge_after_ms(plan->upstream);
	if (after_ms >= 0)
		timer_arm(pool_loop(p), &h->due, h->plan.began_ms + after_ms);
	*at = fetch_start(p, resolver, &h->plan, &hedge_fetch_handler, &h->tries[0]);
}

void
hedge_end(struct hedge *h)
{
	if (h->at == NULL)
		return;
	timer_disarm(&h->due);
	fetch_abort(&h->second);
}
