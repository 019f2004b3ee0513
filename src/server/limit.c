/* The limit step: whose permits a request takes, the wait for them, and how a refusal is told. */
#include "base/clock.h"
#include "policy/sharedlimit.h"
#include "server/exchange_priv.h"

/* The named cookie's first value; SLICE_NONE if there is none. */
static struct slice
cookie_value(const struct head *h, struct slice name)
{
	struct cookie_walk walk = {0};
	struct slice value;

	return cookie_next(h, name, &walk, &value) ? value : SLICE_NONE;
}

static struct slice
header_value(const struct head *h, const char *name)
{
	const struct field *f = head_find_name(h, slice_from(name));

	return f == NULL ? SLICE_NONE : field_value(h, f);
}

static void
add_limit_parts(const struct exchange *x, const struct route_limit *l, struct limit_key *key)
{
	for (unsigned i = 0; i < l->parts_count; i++) {
		const struct limit_part *p = &l->parts[i];

		switch (p->kind) {
		case LIMIT_KEY_CLIENT:
			limit_key_add_client(key, &x->client_address.u.sa);
			break;
		case LIMIT_KEY_HEADER:
			limit_key_add(key, p->kind, header_value(&x->head, p->name));
			break;
		case LIMIT_KEY_COOKIE:
			limit_key_add(key, p->kind, cookie_value(&x->head, slice_from(p->name)));
			break;
		case LIMIT_KEY_ROUTE:
			limit_key_add(key, p->kind, slice_from(x->route->name));
			break;
		case LIMIT_KEY_JWT:
		case LIMIT_KEY_LITERAL:
			limit_key_add(key, p->kind, slice_from(p->name));
			break;
		}
	}
}

static inline void
build_limit_key(const struct exchange *x, const struct route_limit *l, struct limit_key *key)
{
	key->n = 0;
	if (l->parts_count == 1 && l->parts[0].kind == LIMIT_KEY_CLIENT) /* most often */
		limit_key_add_client(key, &x->client_address.u.sa);
	else
		add_limit_parts(x, l, key);
}

/* --- local or shared --- */

static void
ask_limit(
    struct exchange *x, struct limiter *l, const struct limit_ask *ask, struct limit_answer *out)
{
	if (limiter_conf(l)->shared)
		shared_ask(x->worker->shared, l, ask, out);
	else
		limiter_ask(l, ask, out);
}

static void
refund_limit(struct exchange *x, unsigned which, const struct limit_answer *a)
{
	struct limiter *l = x->route->limits[which].limiter;
	struct slice key = limit_key_slice(&x->limit_keys[which]);
	int64_t now_ms = loop_now_ms(x->worker->loop);

	if (limiter_conf(l)->shared)
		shared_refund(x->worker->shared, l, key, a, now_ms);
	else
		limiter_refund(l, key, 1, a->decided_ms, now_ms);
}

static bool
cancel_limit(struct exchange *x)
{
	struct limit_waiter *w = &x->waiter;
	int64_t now_ms = loop_now_ms(x->worker->loop);

	if (limiter_conf(w->limiter)->shared)
		return shared_cancel(x->worker->shared, w, now_ms);
	return limiter_cancel(w, now_ms);
}

/* --- the step --- */

/* What earlier limits allowed is given back when a later one refuses. */
static void
refund_earlier(struct exchange *x, unsigned before)
{
	for (unsigned i = 0; i < before; i++)
		refund_limit(x, i, &x->met[i].answer);
}

static enum exchange_next
limit_refused(struct exchange *x, unsigned which)
{
	bool html = accept_prefers_html(&x->head);

	refund_earlier(x, which);
	exchange_own(x, 429, x->route->limits[which].name);
	x->own_type = html ? "text/html; charset=utf-8" : "application/problem+json";
	(html ? rate_page_write : rate_problem_write)(&x->own_body, 429, x->met, x->met_count);
	return EXCHANGE_GO;
}

void
worker_on_limit_wake(struct limit_waiter *lw, void *arg)
{
	struct commons *c = arg;
	struct exchange *x = lw->owner;

	mailbox_post(c->mailboxes[lw->worker], &x->limit_letter);
}

/* The queue has decided. If the exchange has ended meanwhile, only its memory was waiting for this. */
static void
on_limit_letter(struct letter *l)
{
	struct exchange *x = CONTAINER_OF(l, struct exchange, limit_letter);

	x->waiter_is_out = false;
	if (x->is_over) {
		if (x->waiter.end == LIMIT_END_GRANTED)
			refund_limit(x, x->met_count - 1, &x->waiter.answer);
		loop_later(x->worker->loop, &x->retire);
		return;
	}
	exchange_wake(x);
}

bool
exchange_leave_limits(struct exchange *x)
{
	if (!x->waiter_is_out)
		return true;
	if (cancel_limit(x)) {
		x->waiter_is_out = false;
		return true;
	}
	return false;
}

static bool
is_by_client(const struct route_limit *l)
{
	for (unsigned i = 0; i < l->parts_count; i++)
		if (l->parts[i].kind == LIMIT_KEY_CLIENT)
			return true;
	return false;
}

/* For a dry run: only what does not depend on whose address the client has, and what this instance counts. */
static bool
would_refuse(const struct exchange *x, const struct route_limit *l)
{
	const struct limit_conf *conf = limiter_conf(l->limiter);
	struct limit_answer answer;
	struct limit_key key;

	if (conf->shared || conf->shadow || conf->queue > 0 || is_by_client(l))
		return false;
	build_limit_key(x, l, &key);
	limiter_peek(l->limiter, limit_key_slice(&key), loop_now_ms(x->worker->loop), &answer);
	return answer.verdict == LIMIT_REFUSED;
}

static enum exchange_next
foresee_limits(struct exchange *x)
{
	for (unsigned i = 0; i < x->route->limits_count; i++)
		if (would_refuse(x, &x->route->limits[i]))
			return exchange_own(x, 429, x->route->limits[i].name);
	return exchange_act(x);
}

/* Asks the limits in order; the one that queues us is asked again by its wake. */
enum exchange_next
step_limit(struct exchange *x)
{
	struct loop *loop = x->worker->loop;

	if (x->is_dry)
		return foresee_limits(x);
	if (x->is_own)
		return exchange_act(x);
	if (x->is_queued) {
		struct rate_verdict *met = &x->met[x->met_count - 1];

		if (x->waiter_is_out)
			return EXCHANGE_WAIT;
		x->is_queued = false;
		x->queued_us += clock_mono_us() - x->queue_began_us;
		met->answer = x->waiter.answer;
		if (x->waiter.end != LIMIT_END_GRANTED)
			return limit_refused(x, x->met_count - 1);
	}
	while (x->met_count < x->route->limits_count) {
		unsigned i = x->met_count++;
		const struct route_limit *l = &x->route->limits[i];
		const struct limit_conf *conf = limiter_conf(l->limiter);
		struct limit_ask ask = {
		    .permits = 1, .now_ms = loop_now_ms(loop), .wall_ms = loop_wall_ms(loop)};

		build_limit_key(x, l, &x->limit_keys[i]);
		ask.key = limit_key_slice(&x->limit_keys[i]);
		if (conf->shared || conf->queue > 0) {
			x->waiter = (struct limit_waiter){.worker = x->worker->index, .owner = x};
			x->limit_letter.deliver = on_limit_letter;
			ask.waiter = &x->waiter;
		}
		x->met[i].label = &l->label;
		ask_limit(x, l->limiter, &ask, &x->met[i].answer);
		if (x->met[i].answer.verdict == LIMIT_REFUSED)
			return limit_refused(x, i);
		if (x->met[i].answer.verdict == LIMIT_QUEUED) {
			x->is_queued = x->waiter_is_out = true;
			x->queue_began_us = clock_mono_us();
			if (!conf->shared)
				worker_poll_limits_at(x->worker, x->met[i].answer.look_again_ms);
			return EXCHANGE_WAIT;
		}
	}
	return exchange_act(x);
}
