#include "upstream/names.h"

#include <arpa/inet.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "event/resolver.h"
#include "upstream/balance.h"
#include "upstream/drains.h"

/* A question in the background. */
struct refresh {
	struct link link; /* the pool's */
	struct pool *pool;
	struct upstream *upstream; /* own reference */
	struct server_entry *entry;
	struct resolve *resolving;
};

/* --- taking an answer --- */

static bool
is_same_host(const struct address *a, const struct address *b)
{
	if (a->u.sa.sa_family != b->u.sa.sa_family)
		return false;
	if (a->u.sa.sa_family == AF_INET6)
		return memcmp(&a->u.in6.sin6_addr, &b->u.in6.sin6_addr, sizeof(struct in6_addr)) ==
		    0;
	return a->u.in4.sin_addr.s_addr == b->u.in4.sin_addr.s_addr;
}

static bool
is_among(const struct address *a, const struct resolved *answer)
{
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

	inet_ntop(a->u.sa.sa_family,
	    a->u.sa.sa_family == AF_INET6 ? (const void *)&a->u.in6.sin6_addr
					  : (const void *)&a->u.in4.sin_addr,
	    ip, sizeof(ip));
	free(s->name);
	if (asprintf(&s->name, "%s/%s", s->entry->text, ip) < 0)
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

void
names_take(struct upstream *u, struct server_entry *e, const struct resolved *answer,
    int64_t now_ms, struct server_set *leaving_out)
{
	bool is_first;

	*leaving_out = (struct server_set){{0}};
	pthread_mutex_lock(&u->lock);
	is_first = e->until_ms == 0;
	e->is_asked = false;
	if (answer->count == 0) {
		e->until_ms = is_first ? 0 : now_ms + NAMES_RETRY_MS;
		pthread_mutex_unlock(&u->lock);
		return;
	}
	e->until_ms = now_ms + (answer->ttl_s < 1 ? 1 : (int64_t)answer->ttl_s) * 1000;
	for (unsigned i = e->first; i < e->first + e->count; i++) {
		struct server *s = &u->servers[i];

		if (s->place != SERVER_there || is_among(&s->address, answer))
			continue;
		atomic_store(&s->place, SERVER_leaving);
		server_set_add(leaving_out, s);
	}
	for (unsigned i = 0; i < answer->count; i++) {
		struct server *s = place_for(u, e, &answer->addresses[i]);

		if (s == NULL || s->place == SERVER_there)
			continue;
		if (s->place == SERVER_leaving && is_same_host(&s->address, &answer->addresses[i]))
			atomic_store(&s->place, SERVER_there);
		else
			fill_place(s, &answer->addresses[i], is_first, now_ms);
	}
	pthread_mutex_unlock(&u->lock);
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

/* --- asking in the background --- */

static void
refresh_free(struct refresh *q)
{
	struct upstream *u = q->upstream;

	resolver_cancel(&q->resolving);
	list_leave(&q->link);
	free(q);
	upstream_unref(&u);
}

static void
on_refreshed(void *arg, const struct resolved *answer)
{
	struct refresh *q = arg;

	q->resolving = NULL;
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
	list_push_back(pool_questions(p), &q->link);
	q->resolving = resolver_start(r, e->host, e->port, u->conf.connect_ms, on_refreshed, q);
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
	is_due = !e->is_asked && now_ms >= e->until_ms;
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
