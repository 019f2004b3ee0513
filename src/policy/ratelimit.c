#include "policy/ratelimit.h"

#include <assert.h>

#include "policy/limittable.h"

/* One visit of one key: everything happens between visit_begin() and visit_end(). */
struct visit {
	struct limiter *l;
	struct limit_shard *s;
	struct limit_entry *e; /* NULL: not remembered */
	int64_t now_ms;
	struct link woken; /* waiters decided during the visit, told after it */
};

static void
answer_fill(
    const struct visit *v, enum limit_verdict verdict, uint64_t permits, struct limit_answer *out)
{
	const struct window_rule *r = &v->l->rule;
	const struct window *w = limit_entry_window(v->e);
	uint32_t remaining = window_remaining(r, w);

	*out = (struct limit_answer){.verdict = verdict,
	    .limit = r->limit,
	    .window_ms = r->window_ms,
	    .remaining = remaining,
	    .decided_ms = v->now_ms};
	if (remaining < r->limit)
		out->reset_ms = window_wait_ms(r, w, (uint64_t)remaining + 1, v->now_ms);
	if (verdict == LIMIT_REFUSED)
		out->retry_ms = window_wait_ms(r, w, permits, v->now_ms);
}

/* The answer about a key that the table does not hold. */
static void
answer_unknown(const struct visit *v, enum limit_verdict verdict, struct limit_answer *out)
{
	*out = (struct limit_answer){.verdict = verdict,
	    .limit = v->l->rule.limit,
	    .window_ms = v->l->rule.window_ms,
	    .remaining = verdict == LIMIT_REFUSED ? 0 : v->l->rule.limit,
	    .decided_ms = v->now_ms};
	if (verdict == LIMIT_REFUSED)
		out->reset_ms = out->retry_ms = v->l->rule.window_ms;
}

static struct limit_queue *
visit_queue(const struct visit *v)
{
	return v->e == NULL ? NULL : limit_entry_queue(v->e);
}

static struct limit_waiter *
queue_oldest(const struct limit_queue *q)
{
	return list_first(&q->waiters, struct limit_waiter, link);
}

static struct limit_waiter *
queue_next(const struct limit_queue *q, bool newest_first)
{
	if (!newest_first || list_is_empty(&q->waiters))
		return queue_oldest(q);
	return CONTAINER_OF(q->waiters.prev, struct limit_waiter, link);
}

static void
waiter_leave(struct visit *v, struct limit_waiter *w, enum limit_end end)
{
	assert(w->end == LIMIT_END_WAITING && w->entry == v->e);
	list_leave(&w->link);
	visit_queue(v)->permits -= w->permits;
	w->entry = NULL;
	w->end = end;
}

static void
waiter_grant(struct visit *v, struct limit_waiter *w)
{
	waiter_leave(v, w, LIMIT_END_GRANTED);
	answer_fill(v, LIMIT_ALLOWED, w->permits, &w->answer);
	limit_count(v->l, v->s, LIMIT_COUNT_granted);
	list_push_back(&v->woken, &w->link);
}

static void
waiter_refuse(struct visit *v, struct limit_waiter *w, enum limit_end end)
{
	waiter_leave(v, w, end);
	if (v->l->conf.count_all)
		window_charge(&v->l->rule, limit_entry_window(v->e), w->permits, v->now_ms,
		    v->now_ms + w->wall_ahead_ms);
	answer_fill(v, LIMIT_REFUSED, visit_queue(v)->permits + w->permits, &w->answer);
	limit_count(v->l, v->s,
	    end == LIMIT_END_TIMEOUT ? LIMIT_COUNT_queue_timeout : LIMIT_COUNT_displaced);
	list_push_back(&v->woken, &w->link);
}

/* Serves who is next until the next one does not fit (smaller ones behind wait: they would starve
 * it), and refuses who has waited long enough. One found both served and late is served. */
static void
settle_queue(struct visit *v, struct limit_queue *q)
{
	struct limit_waiter *w;

	while ((w = queue_next(q, v->l->conf.newest_first)) != NULL) {
		if (window_take(&v->l->rule, limit_entry_window(v->e), w->permits, v->now_ms,
			v->now_ms + w->wall_ahead_ms)) {
			waiter_grant(v, w);
			continue;
		}
		w = queue_oldest(q);
		if (w->deadline_ms > v->now_ms)
			return;
		waiter_refuse(v, w, LIMIT_END_TIMEOUT);
	}
}

static inline void
visit_settle(struct visit *v)
{
	struct limit_queue *q = visit_queue(v);

	if (q != NULL && !list_is_empty(&q->waiters))
		settle_queue(v, q);
}

/* Brings an entry of a locked shard up to now. */
static inline void
visit_open(struct visit *v, struct limit_entry *e, int64_t now_ms)
{
	v->e = e;
	v->l = e->limiter;
	v->now_ms = e->seen_ms = now_ms > e->seen_ms ? now_ms : e->seen_ms;
	window_advance(&v->l->rule, limit_entry_window(e), v->now_ms);
	visit_settle(v);
}

/* When something can happen here next. */
static int64_t
visit_due_ms(const struct visit *v, const struct limit_queue *q)
{
	const struct limit_waiter *next = queue_next(q, v->l->conf.newest_first);
	int64_t free_ms = v->now_ms +
	    window_wait_ms(&v->l->rule, limit_entry_window(v->e), next->permits, v->now_ms);
	int64_t deadline_ms = queue_oldest(q)->deadline_ms;

	return free_ms < deadline_ms ? free_ms : deadline_ms;
}

static inline void
visit_close(struct visit *v)
{
	struct limit_queue *q = visit_queue(v);

	limit_shard_place(v->s, v->e);
	if (q == NULL || list_is_empty(&q->waiters))
		return;
	q->due_ms = visit_due_ms(v, q);
	if (q->due_ms < atomic_load_explicit(&v->s->due_ms, memory_order_relaxed))
		atomic_store_explicit(&v->s->due_ms, q->due_ms, memory_order_relaxed);
}

static inline void
visit_begin(struct visit *v, struct limiter *l, struct slice key, uint64_t hash, int64_t now_ms)
{
	struct limit_entry *e;

	*v = (struct visit){.l = l, .now_ms = now_ms, .s = limit_shard_of(l->table, hash)};
	list_init(&v->woken);
	pthread_mutex_lock(&v->s->lock);
	e = limit_shard_find(v->s, l, key, hash);
	if (e != NULL)
		visit_open(v, e, now_ms);
}

static inline void
visit_end(struct visit *v)
{
	struct limit_table *t = v->l->table;

	if (v->e != NULL)
		visit_close(v);
	pthread_mutex_unlock(&v->s->lock);
	if (!list_is_empty(&v->woken))
		limit_wake_all(t, &v->woken);
}

/* A newcomer takes its permits if they are there and nobody has the first claim. */
static inline bool
visit_take(struct visit *v, const struct limit_ask *ask, struct limit_answer *out)
{
	const struct limit_queue *q = visit_queue(v);
	const struct window_rule *r = &v->l->rule;
	struct window_told told;

	if (q != NULL && !list_is_empty(&q->waiters) && !v->l->conf.newest_first)
		return false;
	if (!window_take_told(
		r, limit_entry_window(v->e), ask->permits, v->now_ms, ask->wall_ms, &told))
		return false;
	*out = (struct limit_answer){.verdict = LIMIT_ALLOWED,
	    .limit = r->limit,
	    .window_ms = r->window_ms,
	    .remaining = told.remaining,
	    .reset_ms = told.reset_ms,
	    .decided_ms = v->now_ms};
	return true;
}

/* Finds the newcomer a place in the queue: false when there is none. A full queue refuses it, or
 * with newest_first fails the oldest until it fits. */
static bool
visit_make_place(struct visit *v, const struct limit_ask *ask)
{
	struct limit_queue *q = visit_queue(v);
	uint32_t most = v->l->conf.queue;

	if (q == NULL || ask->waiter == NULL || ask->permits > most ||
	    ask->permits > v->l->rule.limit)
		return false;
	if (q->permits + ask->permits > most && !v->l->conf.newest_first)
		return false;
	while (q->permits + ask->permits > most)
		waiter_refuse(v, queue_oldest(q), LIMIT_END_DISPLACED);
	return true;
}

static void
visit_join(struct visit *v, const struct limit_ask *ask, uint64_t hash)
{
	struct limit_queue *q = visit_queue(v);
	struct limit_waiter *w = ask->waiter;
	int64_t timeout_ms = v->l->conf.queue_timeout_ms;

	assert(w->end != LIMIT_END_WAITING);
	w->end = LIMIT_END_WAITING;
	w->limiter = v->l;
	w->entry = v->e;
	w->key = ask->key;
	w->hash = hash;
	w->permits = ask->permits;
	w->deadline_ms = timeout_ms == 0 ? INT64_MAX : v->now_ms + timeout_ms;
	w->wall_ahead_ms = ask->wall_ms - v->now_ms;
	list_push_back(&q->waiters, &w->link);
	q->permits += w->permits;
}

static void
visit_refuse(struct visit *v, const struct limit_ask *ask, struct limit_answer *out)
{
	const struct limit_queue *q = visit_queue(v);
	const struct limit_conf *conf = &v->l->conf;

	if (conf->count_all)
		window_charge(
		    &v->l->rule, limit_entry_window(v->e), ask->permits, v->now_ms, ask->wall_ms);
	answer_fill(v, LIMIT_REFUSED, (q == NULL ? 0 : q->permits) + ask->permits, out);
	limit_count(v->l, v->s, conf->shadow ? LIMIT_COUNT_shadow_refused : LIMIT_COUNT_refused);
	if (conf->shadow) {
		out->verdict = LIMIT_ALLOWED;
		out->shadow_refused = true;
	}
}

static inline void
visit_decide(struct visit *v, const struct limit_ask *ask, uint64_t hash, struct limit_answer *out)
{
	if (visit_take(v, ask, out)) {
		limit_count(v->l, v->s, LIMIT_COUNT_allowed);
	} else if (visit_make_place(v, ask)) {
		visit_join(v, ask, hash);
		answer_fill(v, LIMIT_QUEUED, 0, out);
		out->look_again_ms = visit_due_ms(v, visit_queue(v));
		limit_count(v->l, v->s, LIMIT_COUNT_queued);
	} else {
		visit_refuse(v, ask, out);
	}
}

void
limiter_ask(struct limiter *l, const struct limit_ask *ask, struct limit_answer *out)
{
	uint64_t hash = limit_key_hash(l, ask->key);
	struct limit_entry *e;
	struct visit v;

	assert(ask->permits > 0 && !l->conf.shared);
	visit_begin(&v, l, ask->key, hash, ask->now_ms);
	if (v.e == NULL && (e = limit_shard_add(v.s, l, ask->key, hash, v.now_ms)) != NULL)
		visit_open(&v, e, v.now_ms);
	if (v.e != NULL) {
		visit_decide(&v, ask, hash, out);
	} else {
		bool refuse = l->conf.refuse_untracked && !l->conf.shadow;

		answer_unknown(&v, refuse ? LIMIT_REFUSED : LIMIT_ALLOWED, out);
		limit_count(l, v.s, LIMIT_COUNT_untracked);
	}
	visit_end(&v);
}

static void
visit_refund(struct visit *v, uint32_t permits, int64_t decided_ms)
{
	limit_count(v->l, v->s, LIMIT_COUNT_refunded);
	if (v->e == NULL)
		return; /* forgotten with all it had out */
	window_refund(&v->l->rule, limit_entry_window(v->e), permits, decided_ms);
	visit_settle(v);
}

void
limiter_refund(
    struct limiter *l, struct slice key, uint32_t permits, int64_t decided_ms, int64_t now_ms)
{
	struct visit v;

	visit_begin(&v, l, key, limit_key_hash(l, key), now_ms);
	visit_refund(&v, permits, decided_ms);
	visit_end(&v);
}

bool
limiter_cancel(struct limit_waiter *w, int64_t now_ms)
{
	bool waiting;
	struct visit v;

	assert(!w->limiter->conf.shared);
	/* Opening the visit may serve the queue: w itself may be granted here, and is woken then.
	 */
	visit_begin(&v, w->limiter, w->key, w->hash, now_ms);
	waiting = w->end == LIMIT_END_WAITING;
	if (waiting) {
		waiter_leave(&v, w, LIMIT_END_CANCELLED);
		limit_count(v.l, v.s, LIMIT_COUNT_cancelled);
		visit_settle(&v);
	} else if (w->end == LIMIT_END_GRANTED) {
		w->end = LIMIT_END_CANCELLED;
		visit_refund(&v, w->permits, w->answer.decided_ms);
	}
	visit_end(&v);
	return waiting;
}

bool
limiter_peek(struct limiter *l, struct slice key, int64_t now_ms, struct limit_answer *out)
{
	struct visit v;
	bool known;

	assert(!l->conf.shared);
	visit_begin(&v, l, key, limit_key_hash(l, key), now_ms);
	known = v.e != NULL;
	if (!known)
		answer_unknown(&v, LIMIT_ALLOWED, out);
	else if (window_remaining(&l->rule, limit_entry_window(v.e)) > 0)
		answer_fill(&v, LIMIT_ALLOWED, 0, out);
	else
		answer_fill(&v, LIMIT_REFUSED, 1, out);
	visit_end(&v);
	return known;
}

/* Settles the due queues of one shard; returns when its next one is due. */
static int64_t
shard_poll(struct limit_table *t, struct limit_shard *s, int64_t now_ms)
{
	int64_t due_ms = INT64_MAX;
	struct link waiting;
	struct visit v = {.s = s};

	list_init(&v.woken);
	list_init(&waiting);
	pthread_mutex_lock(&s->lock);
	list_splice_back(&waiting, &s->waiting);
	atomic_store_explicit(&s->due_ms, INT64_MAX, memory_order_relaxed);
	LIST_EACH_SAFE (e, &waiting, struct limit_entry, link) {
		if (limit_entry_queue(e)->due_ms <= now_ms) {
			visit_open(&v, e, now_ms);
			visit_close(&v);
		} else {
			list_leave(&e->link);
			list_push_back(&s->waiting, &e->link);
		}
		if (!list_is_empty(&limit_entry_queue(e)->waiters) &&
		    limit_entry_queue(e)->due_ms < due_ms)
			due_ms = limit_entry_queue(e)->due_ms;
	}
	atomic_store_explicit(&s->due_ms, due_ms, memory_order_relaxed);
	pthread_mutex_unlock(&s->lock);
	limit_wake_all(t, &v.woken);
	return due_ms;
}

int64_t
limit_table_poll(struct limit_table *t, int64_t now_ms)
{
	int64_t next_ms = INT64_MAX;

	for (unsigned i = 0; i < t->shard_count; i++) {
		int64_t due_ms = atomic_load_explicit(&t->shards[i].due_ms, memory_order_relaxed);

		if (due_ms <= now_ms)
			due_ms = shard_poll(t, &t->shards[i], now_ms);
		if (due_ms < next_ms)
			next_ms = due_ms;
	}
	return next_ms;
}
