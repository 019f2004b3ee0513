#include "upstream/names.h"

#include <arpa/inet.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/log.h"
#include "base/mem.h"
#include "event/lookup.h"
#include "upstream/balance.h"
#include "upstream/drains.h"

/* A question in the background. */
struct refresh {
	struct link link; /* the pool's */
	struct pool *pool;
	struct upstream *upstream; /* own reference */
	struct server_entry *entry;
	struct resolver *resolver;
	struct lookup *resolving;
	struct resolve *rest; /* the question for what is missing */
	/* An answer that lacks a kind of address, while that is asked for by itself: */
	struct resolved half;
	struct address addresses[2 * RESOLVED_MAX];
	sa_family_t missing; /* 0: not yet */
};

/* --- taking an answer --- */

static bool
is_same_host(const struct address *a, const struct address *b)
{
	if (a->u.sa.sa_family != b->u.sa.sa_family)
		return false;
	if (a->u.sa.sa_family == AF_INET6)
		return memcmp(&a->u.in6.sin6_addr, &b->u.in6.sin6_addr, sizeof(struct in6_addr)) ==
		    0 &&
		    a->u.in6.sin6_port == b->u.in6.sin6_port;
	return a->u.in4.sin_addr.s_addr == b->u.in4.sin_addr.s_addr &&
	    a->u.in4.sin_port == b->u.in4.sin_port;
}

static bool
is_among(const struct address *a, const struct resolved *answer)
{
	if (answer->ill_family != 0 && a->u.sa.sa_family == answer->ill_family)
		return true; /* nobody knows */
	if (answer->is_partial)
		return true;
	for (unsigned i = 0; i < answer->count; i++)
		if (is_same_host(a, &answer->addresses[i]))
			return true;
	return false;
}

/* Nothing of it is left. */
static bool
is_empty(const struct server *s)
{
	return s->place == SERVER_absent ||
	    (s->place == SERVER_leaving && s->in_flight == 0 && s->connections == 0);
}

static void
name_place(struct server *s)
{
	char ip[INET6_ADDRSTRLEN] = "";
	const struct address *a = &s->address;
	bool is_six = a->u.sa.sa_family == AF_INET6;

	inet_ntop(a->u.sa.sa_family,
	    is_six ? (const void *)&a->u.in6.sin6_addr : (const void *)&a->u.in4.sin_addr, ip,
	    sizeof(ip));
	free(s->name);
	if (s->entry->is_service
		? asprintf(&s->name, is_six ? "%s/[%s]:%u" : "%s/%s:%u", s->entry->text, ip,
		      ntohs(is_six ? a->u.in6.sin6_port : a->u.in4.sin_port)) < 0
		: asprintf(&s->name, "%s/%s", s->entry->text, ip) < 0)
		bug("no memory for a server's name");
	server_sign(s);
}

static void
fill_place(struct server *s, const struct address *a, bool is_first, int64_t now_ms)
{
	s->address = *a;
	s->generation++;
	s->health = (struct server_health){0};
	name_place(s);
	s->turn = s->cost_us = 0;
	s->cost_at_ms = 0;
	s->back_ms = is_first ? 0 : now_ms;
#define X(counter, kind, text) atomic_store_explicit(&s->counter, 0, memory_order_relaxed);
	SERVER_COUNTERS(X)
#undef X
	atomic_store(&s->place, SERVER_there);
	drains_look(s);
}

/* Where the address is already, else an empty place, else NULL: those that leave take too long. */
static struct server *
place_for(struct upstream *u, const struct server_entry *e, const struct address *a)
{
	struct server *empty = NULL;

	for (unsigned i = e->first; i < e->first + e->count; i++) {
		struct server *s = &u->servers[i];

		if (s->place != SERVER_absent && is_same_host(&s->address, a))
			return s;
		if (empty == NULL && is_empty(s))
			empty = s;
	}
	return empty;
}

/* Nobody answered, or who did knows no address: what there is stays. Returns whether that is news. */
static bool
take_nothing(struct server_entry *e, int64_t now_ms)
{
	bool was_failing = e->is_failing;

	e->is_failing = true;
	e->again_ms = now_ms + (e->until_ms == 0 ? NAMES_FIRST_RETRY_MS : NAMES_RETRY_MS);
	if (e->until_ms != 0)
		e->until_ms = now_ms + NAMES_RETRY_MS;
	return !was_failing;
}

/* Returns how many leave. */
static unsigned
take_leave(struct upstream *u, const struct server_entry *e, const struct resolved *answer,
    struct server_set *leaving_out)
{
	unsigned n = 0;

	for (unsigned i = e->first; i < e->first + e->count; i++) {
		struct server *s = &u->servers[i];

		if (s->place != SERVER_there || is_among(&s->address, answer))
			continue;
		atomic_store(&s->place, SERVER_leaving);
		server_set_add(leaving_out, s);
		n++;
	}
	return n;
}

/* What an SRV record says of it may change while it is there. */
static void
take_share(struct server *s, const struct resolved *answer, unsigned i)
{
	s->weight = s->entry->weight * (answer->shares == NULL ? 1 : answer->shares[i].weight);
	s->priority = answer->shares == NULL ? 0 : answer->shares[i].priority;
}

/* Returns how many come. */
static unsigned
take_in(
    struct upstream *u, const struct server_entry *e, const struct resolved *answer, int64_t now_ms)
{
	bool is_first = e->until_ms == 0;
	unsigned n = 0;

	for (unsigned i = 0; i < answer->count; i++) {
		struct server *s = place_for(u, e, &answer->addresses[i]);

		if (s == NULL)
			continue;
		take_share(s, answer, i);
		if (s->place == SERVER_there)
			continue;
		if (s->place == SERVER_leaving && is_same_host(&s->address, &answer->addresses[i]))
			atomic_store(&s->place, SERVER_there);
		else
			fill_place(s, &answer->addresses[i], is_first, now_ms);
		n++;
	}
	return n;
}

static void
tell_answer(const struct upstream *u, const struct server_entry *e, unsigned came, unsigned left,
    bool is_well_again)
{
	if (is_well_again)
		log_info("upstream %s: %s is answered again", u->conf.name, e->text);
	if (came + left > 0)
		log_info("upstream %s: %s has other addresses: %u new, %u left", u->conf.name,
		    e->text, came, left);
}

void
names_take(struct upstream *u, struct server_entry *e, const struct resolved *answer,
    int64_t now_ms, struct server_set *leaving_out)
{
	unsigned came = 0, left = 0;
	bool is_news, is_known;

	*leaving_out = (struct server_set){{0}};
	pthread_mutex_lock(&u->lock);
	e->is_asked = false;
	is_known = e->until_ms != 0;
	if (answer->count == 0) {
		is_news = take_nothing(e, now_ms);
	} else {
		left = take_leave(u, e, answer, leaving_out);
		came = take_in(u, e, answer, now_ms);
		is_news = e->is_failing;
		e->is_failing = false;
		e->again_ms = 0;
		e->until_ms = now_ms + (answer->ttl_s < 1 ? 1 : (int64_t)answer->ttl_s) * 1000;
		if (answer->is_partial && e->until_ms > now_ms + NAMES_RETRY_MS)
			e->until_ms = now_ms + NAMES_RETRY_MS;
	}
	pthread_mutex_unlock(&u->lock);
	if (answer->count > 0)
		tell_answer(u, e, is_known ? came : 0, left, is_news);
	else if (is_news && answer->error != NULL)
		log_warn("upstream %s: %s is not resolved: %s; %s", u->conf.name, e->text,
		    answer->error, is_known ? "the last addresses stay" : "it has no address yet");
}

void
names_take_and_close(
    struct pool *p, struct upstream *u, struct server_entry *e, const struct resolved *answer)
{
	struct server_set leaving;

	names_take(u, e, answer, loop_now_ms(pool_loop(p)), &leaving);
	for (unsigned i = e->first; i < e->first + e->count; i++)
		if (server_set_has(&leaving, &u->servers[i]))
			pool_close_leaving(p, &u->servers[i]);
}

/* --- asking --- */

struct lookup *
names_ask(struct resolver *r, const struct server_entry *e, int64_t timeout_ms,
    void (*done)(void *arg, const struct resolved *answer), void *arg)
{
	const struct lookup_what what = {
	    .host = e->host, .port = e->port, .service = e->is_service ? e->text : NULL};

	return lookup_start(r, &what, timeout_ms, done, arg);
}

static void
refresh_free(struct refresh *q)
{
	struct upstream *u = q->upstream;

	lookup_cancel(&q->resolving);
	resolver_cancel(&q->rest);
	list_leave(&q->link);
	free(q);
	upstream_unref(&u);
}

static bool
has_family(const struct resolved *answer, sa_family_t family)
{
	for (unsigned i = 0; i < answer->count; i++)
		if (answer->addresses[i].u.sa.sa_family == family)
			return true;
	return false;
}

/* Of which there are servers, but no address in the answer; 0: none. */
static sa_family_t
missing_family(const struct refresh *q, const struct resolved *answer)
{
	struct upstream *u = q->upstream;
	sa_family_t missing = 0;

	if (q->entry->is_service)
		return 0; /* each target was asked for by itself */
	pthread_mutex_lock(&u->lock);
	for (unsigned i = q->entry->first; i < q->entry->first + q->entry->count; i++) {
		const struct server *s = &u->servers[i];

		if (s->place == SERVER_there && !has_family(answer, s->address.u.sa.sa_family))
			missing = s->address.u.sa.sa_family;
	}
	pthread_mutex_unlock(&u->lock);
	return missing;
}

static void on_rest(void *arg, const struct resolved *answer);

/* False: it is whole. */
static bool
ask_for_rest(struct refresh *q, const struct resolved *answer)
{
	q->missing = answer->count == 0 ? 0 : missing_family(q, answer);
	if (q->missing == 0)
		return false;
	q->half = *answer;
	memcpy(q->addresses, answer->addresses, answer->count * sizeof(q->addresses[0]));
	q->half.addresses = q->addresses;
	q->rest = resolver_start_family(
	    q->resolver, q->entry->host, q->entry->port, q->missing, NAMES_ANSWER_MS, on_rest, q);
	return q->rest != NULL;
}

/* What the first answer lacked, whoever knows it, and the first together. */
static void
on_rest(void *arg, const struct resolved *answer)
{
	struct refresh *q = arg;

	q->rest = NULL;
	for (unsigned i = 0; i < answer->count; i++)
		q->addresses[q->half.count++] = answer->addresses[i];
	if (answer->count > 0 && answer->ttl_s < q->half.ttl_s)
		q->half.ttl_s = answer->ttl_s;
	if (answer->count == 0 && !answer->is_unknown)
		q->half.ill_family = q->missing;
	names_take_and_close(q->pool, q->upstream, q->entry, &q->half);
	refresh_free(q);
}

static void
on_refreshed(void *arg, const struct resolved *answer)
{
	struct refresh *q = arg;

	q->resolving = NULL;
	if (ask_for_rest(q, answer))
		return;
	names_take_and_close(q->pool, q->upstream, q->entry, answer);
	refresh_free(q);
}

static void
refresh_start(struct pool *p, struct resolver *r, struct upstream *u, struct server_entry *e)
{
	struct refresh *q = must_calloc(1, sizeof(*q));

	q->pool = p;
	q->upstream = upstream_ref(u);
	q->entry = e;
	q->resolver = r;
	list_push_back(pool_questions(p), &q->link);
	q->resolving = names_ask(r, e, NAMES_ANSWER_MS, on_refreshed, q);
	if (q->resolving == NULL) {
		struct resolved none = {0};
		struct server_set leaving;

		names_take(u, e, &none, loop_now_ms(pool_loop(p)), &leaving);
		refresh_free(q);
	}
}

/* The asker's claim, so that one worker asks. */
static bool
claim(struct upstream *u, struct server_entry *e, int64_t now_ms)
{
	bool is_due;

	pthread_mutex_lock(&u->lock);
	is_due = !e->is_asked && now_ms >= e->until_ms && now_ms >= e->again_ms;
	e->is_asked |= is_due;
	pthread_mutex_unlock(&u->lock);
	return is_due;
}

void
names_refresh(struct pool *p, struct resolver *r, struct upstream *u)
{
	for (unsigned i = 0; i < u->entries_count; i++) {
		struct server_entry *e = &u->entries[i];
		struct server *first = &u->servers[e->first];

		if (e->is_literal || pool_seat(first, pool_worker(p))->is_retired)
			continue;
		if (claim(u, e, loop_now_ms(pool_loop(p))))
			refresh_start(p, r, u, e);
	}
}

void
names_sweep(struct upstream *u)
{
	pthread_mutex_lock(&u->lock);
	for (unsigned i = 0; i < u->servers_count; i++)
		if (u->servers[i].place == SERVER_leaving && is_empty(&u->servers[i]))
			atomic_store(&u->servers[i].place, SERVER_absent);
	pthread_mutex_unlock(&u->lock);
}

void
names_forget(struct pool *p, struct upstream *u)
{
	LIST_EACH_SAFE (q, pool_questions(p), struct refresh, link)
		if (q->upstream == u) {
			struct resolved none = {0};
			struct server_set leaving;

			names_take(u, q->entry, &none, loop_now_ms(pool_loop(p)), &leaving);
			refresh_free(q);
		}
}
