#include "server/warm.h"

#include <pthread.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/hash.h"
#include "base/log.h"
#include "base/mem.h"
#include "http/absolute.h"
#include "http/sitemap.h"
#include "server/visit.h"

#define BUSY_MS 50     /* between two looks at busy upstreams */
#define LATE_MS 20     /* that a timer may be late by */
#define VISITS_MAX 256 /* at a time */

/* Addresses, one after the other. */
struct queue {
	struct buf text;
	size_t at; /* the first not taken yet */
};

struct warm_visit {
	struct warmer *warmer;
	struct visit *visit; /* NULL: free for the next */
	struct sitemap *sitemap;
};

struct warmer {
	struct worker *worker;
	struct warm_plan *plan; /* of the run under way; NULL: none */
	struct queue page_queue, sitemap_queue;
	unsigned sitemaps_known;
	uint64_t known[WARM_SITEMAPS_MAX]; /* hashes of their addresses */
	struct warm_visit visits[VISITS_MAX];
	unsigned under_way;
	bool reads_sitemap; /* one at a time: its pages may be many */
	int64_t began_ms;
	int64_t next_us; /* when the next may go, by the rate */
	struct timer timer;
	struct letter stop;
	_Atomic bool stop_asked; /* it is on its way */
	/* What others read */
	_Atomic int state;
	_Atomic int64_t began_wall_ms, took_ms;
#define X(count, text) _Atomic uint64_t count;
	WARM_COUNTS(X)
#undef X
	pthread_mutex_t lock; /* of trouble */
	char trouble[256];
};

const char *
warm_state_name(enum warm_state s)
{
	static const char *const names[] = {
#define X(state, text) [WARM_##state] = #state,
	    WARM_STATES(X)
#undef X
	};

	return names[s];
}

/* --- plans and queues --- */

struct warm_plan *
warm_plan_new(const char *base)
{
	struct warm_plan *p = must_calloc(1, sizeof(*p));

	if (base != NULL)
		p->base = must_strndup(base, strlen(base));
	return p;
}

void
warm_plan_add(struct buf *list, struct slice address)
{
	buf_add_slice(list, address);
	buf_add_char(list, '\0');
}

void
warm_plan_free(struct warm_plan **pp)
{
	struct warm_plan *p = *pp;

	*pp = NULL;
	if (p == NULL)
		return;
	free(p->base);
	buf_fini(&p->pages);
	buf_fini(&p->sitemaps);
	free(p);
}

static bool
queue_take(struct queue *q, struct slice *out)
{
	struct slice rest = slice_skip(buf_slice(&q->text), q->at);

	if (rest.n == 0)
		return false;
	*out = slice_of(rest.p, slice_index(rest, '\0'));
	q->at += out->n + 1;
	return true;
}

static void
count(_Atomic uint64_t *at)
{
	atomic_fetch_add_explicit(at, 1, memory_order_relaxed);
}

static void trouble(struct warmer *wm, const char *format, ...)
    __attribute__((format(printf, 2, 3)));

static void
trouble(struct warmer *wm, const char *format, ...)
{
	va_list ap;

	pthread_mutex_lock(&wm->lock);
	va_start(ap, format);
	vsnprintf(wm->trouble, sizeof(wm->trouble), format, ap);
	va_end(ap);
	pthread_mutex_unlock(&wm->lock);
}

/* --- a run --- */

static void go_on(struct warmer *wm);

static void
run_ended(struct warmer *wm, enum warm_state state)
{
	struct warm_progress p;

	timer_disarm(&wm->timer);
	warm_plan_free(&wm->plan);
	buf_fini(&wm->page_queue.text);
	buf_fini(&wm->sitemap_queue.text);
	wm->page_queue = wm->sitemap_queue = (struct queue){0};
	atomic_store(&wm->took_ms, loop_now_ms(wm->worker->loop) - wm->began_ms);
	atomic_store(&wm->state, state);
	warmer_read(wm, &p);
	log_info(
	    "warming %s after %lld ms: of %llu pages %llu fetched, %llu cached before, %llu not "
	    "cacheable, %llu failed%s%s",
	    warm_state_name(state), (long long)p.took_ms, (unsigned long long)p.found,
	    (unsigned long long)p.fetched, (unsigned long long)p.cached,
	    (unsigned long long)p.passed, (unsigned long long)p.failed,
	    p.trouble[0] == '\0' ? "" : "; last trouble: ", p.trouble);
}

/* Visits under way are left; whoever shares their flights goes on. */
static void
break_off(struct warmer *wm, enum warm_state state)
{
	for (unsigned i = 0; i < VISITS_MAX; i++) {
		visit_leave(&wm->visits[i].visit);
		sitemap_free(&wm->visits[i].sitemap);
	}
	wm->under_way = 0;
	wm->reads_sitemap = false;
	run_ended(wm, state);
}

static void
count_page(struct warmer *wm, const struct visit_end *end)
{
	if (end->status == 0 || end->status >= 400 || !end->is_whole) {
		count(&wm->failed);
		return;
	}
	switch (end->word) {
	case CACHE_WORD_HIT:
	case CACHE_WORD_STALE:
	case CACHE_WORD_UPDATING:
		count(&wm->cached);
		break;
	case CACHE_WORD_BYPASS:
		count(&wm->passed);
		break;
	default:
		count(&wm->fetched);
		break;
	}
}

static void
on_page_end(void *arg, const struct visit_end *end)
{
	struct warm_visit *v = arg;
	struct warmer *wm = v->warmer;

	v->visit = NULL;
	wm->under_way--;
	count_page(wm, end);
	go_on(wm);
}

static const struct visit_handler page_handler = {.on_end = on_page_end};

static struct slice
base_of(const struct warmer *wm)
{
	return wm->plan->base == NULL ? SLICE_NONE : slice_from(wm->plan->base);
}

/* Whether a sitemap of ours may name it. */
static bool
is_ours(const struct warmer *wm, struct slice address)
{
	struct absolute own, named;

	return absolute_read(base_of(wm), SLICE_LIT("/"), &own) &&
	    absolute_read(base_of(wm), address, &named) && slice_ieq(own.host, named.host);
}

static bool
has_room(const struct queue *q, struct slice address)
{
	return q->text.n + address.n < WARM_BYTES_MAX;
}

static void
add_page(struct warmer *wm, struct slice address)
{
	if (!has_room(&wm->page_queue, address) || atomic_load(&wm->found) == WARM_PAGES_MAX) {
		count(&wm->skipped);
		return;
	}
	warm_plan_add(&wm->page_queue.text, address);
	count(&wm->found);
}

static void
add_sitemap(struct warmer *wm, struct slice address)
{
	uint64_t hash = hash_bytes(address.p, address.n);

	for (unsigned i = 0; i < wm->sitemaps_known; i++)
		if (wm->known[i] == hash)
			return;
	if (!has_room(&wm->sitemap_queue, address) || wm->sitemaps_known == WARM_SITEMAPS_MAX) {
		count(&wm->skipped);
		return;
	}
	warm_plan_add(&wm->sitemap_queue.text, address);
	wm->known[wm->sitemaps_known++] = hash;
}

static void
on_loc(void *arg, struct slice loc, bool is_sitemap)
{
	struct warmer *wm = ((struct warm_visit *)arg)->warmer;

	if (!is_ours(wm, loc))
		count(&wm->skipped);
	else if (is_sitemap)
		add_sitemap(wm, loc);
	else
		add_page(wm, loc);
}

static const struct sitemap_handler loc_handler = {on_loc};

static void
on_sitemap_body(void *arg, unsigned status, struct slice piece)
{
	struct warm_visit *v = arg;

	if (status == 200)
		sitemap_read(v->sitemap, piece);
}

static void
on_sitemap_end(void *arg, const struct visit_end *end)
{
	struct warm_visit *v = arg;
	struct warmer *wm = v->warmer;
	enum sitemap_flaw flaw = sitemap_end(v->sitemap);

	v->visit = NULL;
	sitemap_free(&v->sitemap);
	wm->under_way--;
	wm->reads_sitemap = false;
	count(end->status == 200 && end->is_whole && flaw == SITEMAP_none ? &wm->sitemaps
									  : &wm->sitemaps_failed);
	if (end->status != 200 || !end->is_whole)
		trouble(wm, "a sitemap was answered with status %u", end->status);
	else if (flaw != SITEMAP_none)
		trouble(wm, "a sitemap is of no use: %s", sitemap_flaw_text(flaw));
	go_on(wm);
}

/* When the next may go, by the rate: what could not go in time is not made up for, beyond what timers are late by. */
static int64_t
next_us(const struct warmer *wm)
{
	int64_t least_us = (loop_now_ms(wm->worker->loop) - LATE_MS) * 1000;

	return wm->next_us > least_us ? wm->next_us : least_us;
}

static int64_t
next_ms(const struct warmer *wm)
{
	return (next_us(wm) + 999) / 1000;
}

static const struct visit_handler sitemap_handler = {
    .on_body = on_sitemap_body, .on_end = on_sitemap_end};

/* Pages are asked for as browsers do, so that the coded form is made, too. */
static bool
launch(struct warmer *wm, struct slice address, bool is_sitemap)
{
	struct warm_visit *v = wm->visits;
	struct absolute at;
	struct visit_request request;

	if (!absolute_read(base_of(wm), address, &at))
		return false;
	while (v->visit != NULL)
		v++;
	request = (struct visit_request){.host = at.host,
	    .target = at.target,
	    .is_tls = at.is_tls,
	    .accept_encoding = is_sitemap ? SLICE_NONE : SLICE_LIT("gzip, deflate, br, zstd")};
	v->warmer = wm;
	v->sitemap = is_sitemap ? sitemap_new(&loc_handler, v) : NULL;
	if (is_sitemap && v->sitemap == NULL)
		return false;
	v->visit =
	    visit_begin(wm->worker, &request, is_sitemap ? &sitemap_handler : &page_handler, v);
	if (v->visit == NULL) {
		sitemap_free(&v->sitemap);
		return false;
	}
	wm->under_way++;
	wm->next_us = next_us(wm) + 1000000 / wm->plan->rate;
	wm->reads_sitemap |= is_sitemap;
	return true;
}

/* What comes next: a sitemap while none is being read, else a page. False: nothing is left but what is under way. */
static bool
launch_next(struct warmer *wm)
{
	struct slice address;

	if (!wm->reads_sitemap && queue_take(&wm->sitemap_queue, &address)) {
		if (!launch(wm, address, true))
			count(&wm->sitemaps_failed);
		return true;
	}
	if (!queue_take(&wm->page_queue, &address))
		return false;
	if (!launch(wm, address, false))
		count(&wm->skipped);
	return true;
}

/* Clients come first. */
static bool
is_busy(const struct warmer *wm)
{
	const struct site *site = wm->worker->site;

	for (unsigned i = 0; i < site->upstreams_count; i++) {
		const struct upstream *u = site->upstreams[i];

		for (unsigned j = 0; j < u->servers_count; j++) {
			unsigned used =
			    atomic_load_explicit(&u->servers[j].in_flight, memory_order_relaxed);

			if (used > wm->under_way && used - wm->under_way >= (u->conf.max + 1) / 2)
				return true;
		}
	}
	return false;
}

static void
go_on(struct warmer *wm)
{
	int64_t now_ms = loop_now_ms(wm->worker->loop);
	bool is_left = true;

	if (wm->worker->draining) {
		break_off(wm, WARM_stopped);
		return;
	}
	if (now_ms - wm->began_ms >= wm->plan->time_ms) {
		break_off(wm, WARM_out_of_time);
		return;
	}
	if (is_busy(wm)) {
		timer_arm(wm->worker->loop, &wm->timer, now_ms + BUSY_MS);
		return;
	}
	while (is_left && wm->under_way < wm->plan->concurrency && next_ms(wm) <= now_ms)
		is_left = launch_next(wm);
	if (!is_left && wm->under_way == 0)
		run_ended(wm, WARM_done);
	else if (is_left && wm->under_way < wm->plan->concurrency)
		timer_arm(wm->worker->loop, &wm->timer, next_ms(wm));
	else
		timer_arm(wm->worker->loop, &wm->timer, wm->began_ms + wm->plan->time_ms);
}

static void
on_timer(void *arg)
{
	go_on(arg);
}

/* --- from other threads --- */

static void
clear_counts(struct warmer *wm)
{
#define X(count, text) atomic_store(&wm->count, 0);
	WARM_COUNTS(X)
#undef X
	pthread_mutex_lock(&wm->lock);
	wm->trouble[0] = '\0';
	pthread_mutex_unlock(&wm->lock);
}

static void
on_plan(struct letter *letter)
{
	struct warm_plan *plan = CONTAINER_OF(letter, struct warm_plan, letter);
	struct warmer *wm = plan->warmer;
	struct queue given = {.text = plan->pages};
	struct slice address;

	clear_counts(wm);
	wm->plan = plan;
	wm->sitemaps_known = 0;
	wm->began_ms = loop_now_ms(wm->worker->loop);
	wm->next_us = wm->began_ms * 1000;
	atomic_store(&wm->began_wall_ms, loop_wall_ms(wm->worker->loop));
	atomic_store(&wm->state, WARM_running);
	while (queue_take(&given, &address))
		add_page(wm, address);
	given = (struct queue){.text = plan->sitemaps};
	while (queue_take(&given, &address))
		add_sitemap(wm, address);
	go_on(wm);
}

bool
warmer_claim(struct warmer *wm)
{
	int was = atomic_load(&wm->state);

	return was != WARM_running && was != WARM_starting &&
	    atomic_compare_exchange_strong(&wm->state, &was, WARM_starting);
}

void
warmer_release(struct warmer *wm)
{
	atomic_store(&wm->state, WARM_stopped);
}

void
warmer_run(struct warmer *wm, struct warm_plan **planp)
{
	struct warm_plan *plan = *planp;

	*planp = NULL;
	if (plan->concurrency > VISITS_MAX)
		plan->concurrency = VISITS_MAX;
	plan->warmer = wm;
	plan->letter.deliver = on_plan;
	mailbox_post(wm->worker->mailbox, &plan->letter);
}

static void
on_stop(struct letter *letter)
{
	struct warmer *wm = CONTAINER_OF(letter, struct warmer, stop);

	atomic_store(&wm->stop_asked, false);
	if (wm->plan != NULL)
		break_off(wm, WARM_stopped);
}

void
warmer_stop(struct warmer *wm)
{
	if (!atomic_exchange(&wm->stop_asked, true))
		mailbox_post(wm->worker->mailbox, &wm->stop);
}

void
warmer_read(struct warmer *wm, struct warm_progress *out)
{
	out->state = (enum warm_state)atomic_load(&wm->state);
	out->began_wall_ms = atomic_load(&wm->began_wall_ms);
	out->took_ms = atomic_load(&wm->took_ms);
#define X(count, text) out->count = atomic_load(&wm->count);
	WARM_COUNTS(X)
#undef X
	pthread_mutex_lock(&wm->lock);
	snprintf(out->trouble, sizeof(out->trouble), "%s", wm->trouble);
	pthread_mutex_unlock(&wm->lock);
}

struct warmer *
warmer_new(struct worker *w)
{
	struct warmer *wm = must_calloc(1, sizeof(*wm));

	wm->worker = w;
	timer_init(&wm->timer, on_timer, wm);
	wm->stop.deliver = on_stop;
	pthread_mutex_init(&wm->lock, NULL);
	return wm;
}

void
warmer_free(struct warmer **wp)
{
	struct warmer *wm = *wp;

	*wp = NULL;
	if (wm == NULL)
		return;
	if (wm->plan != NULL)
		break_off(wm, WARM_stopped);
	pthread_mutex_destroy(&wm->lock);
	free(wm);
}
