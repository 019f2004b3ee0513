/* GET /metrics: the workers are asked for what each alone may look at, then the page is written. */
#include <stdlib.h>

#include "admin/metrics_priv.h"
#include "base/mem.h"
#include "server/handler.h"

#define TEXT "text/plain; version=0.0.4; charset=utf-8"
#define WAIT_MS 1000 /* for the numbers of other workers; then what has come is told */

/* One scrape of ours: lives until the last worker has told, though it may have been answered before. */
struct scrape {
	struct later later;
	struct worker *worker;
	struct timer timer;
	struct redis_sums redis;
	unsigned waiting;
	struct ask {
		struct letter letter;
		struct scrape *scrape;
		struct worker *asked;
		struct redis_sums sums;
	} asks[];
};

static void
add_link(struct redis_sums *s, const struct l2 *l)
{
	const struct l2_counters *c;

	if (l == NULL)
		return;
	c = l2_counters(l);
	s->links++;
	s->up += c->reads_up && c->writes_up;
	for (unsigned op = 0; op < L2_OPS_COUNT; op++)
		for (unsigned r = 0; r < L2_RESULTS_COUNT; r++)
			s->requests[op][r] +=
			    atomic_load_explicit(&c->requests[op][r], memory_order_relaxed);
}

static void
add_sums(struct redis_sums *to, const struct redis_sums *from)
{
	to->links += from->links;
	to->up += from->up;
	for (unsigned op = 0; op < L2_OPS_COUNT; op++)
		for (unsigned r = 0; r < L2_RESULTS_COUNT; r++)
			to->requests[op][r] += from->requests[op][r];
}

static void
scrape_answer(struct scrape *s)
{
	struct buf out = {0};
	struct page p = {.out = &out,
	    .worker = s->worker,
	    .commons = s->worker->commons,
	    .site = s->worker->site,
	    .redis = &s->redis};

	timer_disarm(&s->timer);
	if (s->later.x == NULL)
		return;
	metrics_write_page(&p);
	later_answer(&s->later, 200, TEXT, buf_slice(&out));
	buf_fini(&out);
}

static void
scrape_one_less(struct scrape *s)
{
	if (--s->waiting > 0)
		return;
	scrape_answer(s);
	free(s);
}

static void
on_scrape_timeout(void *arg)
{
	scrape_answer(arg);
}

static void
on_scrape_over(struct later *l)
{
	timer_disarm(&CONTAINER_OF(l, struct scrape, later)->timer);
}

/* On the asking worker again. */
static void
on_told(struct letter *l)
{
	struct ask *a = CONTAINER_OF(l, struct ask, letter);

	add_sums(&a->scrape->redis, &a->sums);
	scrape_one_less(a->scrape);
}

/* On the asked worker. */
static void
on_asked(struct letter *l)
{
	struct ask *a = CONTAINER_OF(l, struct ask, letter);

	add_link(&a->sums, a->asked->l2);
	a->letter.deliver = on_told;
	mailbox_post(a->scrape->worker->mailbox, &a->letter);
}

static void
ask_others(struct scrape *s)
{
	struct commons *c = s->worker->commons;

	for (unsigned i = 0; i < c->workers_count; i++) {
		struct ask *a = &s->asks[i];

		if (c->workers[i] == s->worker)
			continue;
		*a = (struct ask){.letter.deliver = on_asked, .scrape = s, .asked = c->workers[i]};
		s->waiting++;
		mailbox_post(c->workers[i]->mailbox, &a->letter);
	}
}

void
metrics_serve(struct exchange *x)
{
	struct worker *w = exchange_worker(x);
	struct commons *c = w->commons;
	struct scrape *s = must_calloc(1, sizeof(*s) + c->workers_count * sizeof(struct ask));

	s->worker = w;
	s->waiting = 1;
	timer_init(&s->timer, on_scrape_timeout, s);
	later_begin(&s->later, x, on_scrape_over);
	add_link(&s->redis, w->l2);
	if (w->l2 != NULL && !c->draining) { /* one that is being stopped may not read its mail */
		timer_arm(w->loop, &s->timer, loop_now_ms(w->loop) + WAIT_MS);
		ask_others(s);
	}
	scrape_one_less(s);
}
