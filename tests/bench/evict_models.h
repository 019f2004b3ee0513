/* tests/bench/evict_models.h - policies that the store's is compared with, each a model that counts bytes and wastes none:
 * LRU; SIEVE (Zhang et al., NSDI 2024); S3-FIFO, the store's own (Yang et al., SOSP 2023); ARC (Megiddo and Modha, FAST 2003), which counts bytes here; and the offline optimum:
 * it knows when each object is asked for next and keeps what comes soonest, which is best where all are of one size and near
 * it where they are not (finding the best is NP-hard there).
 */
#ifndef BENCH_EVICT_MODELS_H
#define BENCH_EVICT_MODELS_H

#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>

#include "base/list.h"
#include "base/mem.h"

struct entry {
	struct link link;
	unsigned charge; /* 0: not in */
	uint8_t in;	 /* S3-FIFO, ARC: which list; 0: none */
	bool visited;	 /* SIEVE */
	uint8_t hits;	 /* S3-FIFO */
};

struct model {
	size_t limit_bytes, bytes;
	struct entry *entries; /* by number */
	struct link order;     /* LRU, SIEVE: the newest first */
	struct link *hand;     /* SIEVE */
	/* S3-FIFO, ARC: */
	struct link lists[5];
	size_t held[5];
	double part; /* ARC */
};

static inline void
model_init(struct model *m, size_t limit_bytes, size_t numbers)
{
	*m = (struct model){
	    .limit_bytes = limit_bytes, .entries = must_calloc(numbers, sizeof(struct entry))};
	list_init(&m->order);
	m->hand = &m->order;
	for (int i = 0; i < 5; i++)
		list_init(&m->lists[i]);
}

/* Each asks for a number whose object takes charge bytes, and says whether it was there; it is afterwards. */

static inline bool
lru_ask(struct model *m, unsigned number, unsigned charge)
{
	struct entry *e = &m->entries[number];
	bool hit = e->charge > 0;

	if (hit) {
		list_leave(&e->link);
		list_push_front(&m->order, &e->link);
		return true;
	}
	while (m->bytes + charge > m->limit_bytes && !list_is_empty(&m->order)) {
		struct entry *last = CONTAINER_OF(m->order.prev, struct entry, link);

		list_leave(&last->link);
		m->bytes -= last->charge;
		last->charge = 0;
	}
	e->charge = charge;
	m->bytes += charge;
	list_push_front(&m->order, &e->link);
	return false;
}

static inline void
sieve_evict(struct model *m)
{
	struct link *at = m->hand == &m->order ? m->order.prev : m->hand;
	struct entry *e;

	for (;; at = at->prev) {
		if (at == &m->order)
			continue;
		e = CONTAINER_OF(at, struct entry, link);
		if (!e->visited)
			break;
		e->visited = false;
	}
	m->hand = at->prev;
	list_leave(at);
	m->bytes -= e->charge;
	e->charge = 0;
}

static inline bool
sieve_ask(struct model *m, unsigned number, unsigned charge)
{
	struct entry *e = &m->entries[number];

	if (e->charge > 0) {
		e->visited = true;
		return true;
	}
	while (m->bytes + charge > m->limit_bytes && !list_is_empty(&m->order))
		sieve_evict(m);
	e->charge = charge;
	e->visited = false;
	m->bytes += charge;
	list_push_front(&m->order, &e->link);
	return false;
}

enum s3_list { S3_OUT, S3_SMALL, S3_MAIN, S3_GHOST };

static inline void
list_change(struct model *m, struct entry *e, unsigned to)
{
	if (e->in != 0) {
		list_leave(&e->link);
		m->held[e->in] -= e->charge;
	}
	e->in = (uint8_t)to;
	if (to == 0) {
		e->charge = 0;
		return;
	}
	list_push_front(&m->lists[to], &e->link);
	m->held[to] += e->charge;
}

static inline struct entry *
list_last(struct model *m, unsigned l)
{
	return CONTAINER_OF(m->lists[l].prev, struct entry, link);
}

/* One look at a queue's end. */
static inline void
s3_step(struct model *m)
{
	bool small = m->held[S3_MAIN] == 0 ||
	    (m->held[S3_SMALL] > 0 &&
		m->held[S3_SMALL] >= (m->held[S3_SMALL] + m->held[S3_MAIN]) / 10);
	struct entry *e = list_last(m, small ? S3_SMALL : S3_MAIN);

	if (e->hits > 0) {
		e->hits--;
		list_change(m, e, S3_MAIN);
		return;
	}
	list_change(m, e, small ? S3_GHOST : S3_OUT);
	while (m->held[S3_GHOST] > m->limit_bytes)
		list_change(m, list_last(m, S3_GHOST), S3_OUT);
}

static inline bool
s3_ask(struct model *m, unsigned number, unsigned charge)
{
	struct entry *e = &m->entries[number];
	bool was_ghost = e->in == S3_GHOST;

	if (e->in == S3_SMALL || e->in == S3_MAIN) {
		e->hits += e->hits < 3;
		return true;
	}
	list_change(m, e, S3_OUT);
	while (m->held[S3_SMALL] + m->held[S3_MAIN] + charge > m->limit_bytes)
		s3_step(m);
	e->charge = charge;
	e->hits = 0;
	list_change(m, e, was_ghost ? S3_MAIN : S3_SMALL);
	return false;
}

enum arc_list { ARC_OUT, ARC_T1, ARC_T2, ARC_B1, ARC_B2 };

static inline void
arc_make_room(struct model *m, unsigned charge, bool from_b2)
{
	while (m->held[ARC_T1] + m->held[ARC_T2] + charge > m->limit_bytes) {
		double t1 = (double)m->held[ARC_T1];
		bool first = m->held[ARC_T1] > 0 &&
		    (t1 > m->part || (from_b2 && t1 >= m->part) || m->held[ARC_T2] == 0);

		if (!first && m->held[ARC_T2] == 0)
			return;
		list_change(m, list_last(m, first ? ARC_T1 : ARC_T2), first ? ARC_B1 : ARC_B2);
	}
}

static inline void
arc_forget(struct model *m)
{
	while (m->held[ARC_T1] + m->held[ARC_B1] > m->limit_bytes && m->held[ARC_B1] > 0)
		list_change(m, list_last(m, ARC_B1), ARC_OUT);
	while (m->held[ARC_T1] + m->held[ARC_T2] + m->held[ARC_B1] + m->held[ARC_B2] >
		2 * m->limit_bytes &&
	    m->held[ARC_B2] > 0)
		list_change(m, list_last(m, ARC_B2), ARC_OUT);
}

static inline bool
arc_ask(struct model *m, unsigned number, unsigned charge)
{
	struct entry *e = &m->entries[number];
	double b1 = (double)m->held[ARC_B1], b2 = (double)m->held[ARC_B2];
	enum arc_list was = (enum arc_list)e->in;

	if (was == ARC_T1 || was == ARC_T2) {
		list_change(m, e, ARC_T2);
		return true;
	}
	if (was == ARC_B1) {
		m->part += charge * (b2 > b1 ? b2 / b1 : 1);
		if (m->part > (double)m->limit_bytes)
			m->part = (double)m->limit_bytes;
	} else if (was == ARC_B2) {
		m->part -= charge * (b1 > b2 ? b1 / b2 : 1);
		if (m->part < 0)
			m->part = 0;
	}
	if (was != ARC_OUT)
		list_change(m, e, ARC_OUT);
	arc_make_room(m, charge, was == ARC_B2);
	e->charge = charge;
	list_change(m, e, was == ARC_OUT ? ARC_T1 : ARC_T2);
	arc_forget(m);
	return false;
}

/* --- the offline optimum --- */

struct due {
	uint32_t at; /* when it is asked for next; UINT32_MAX: never */
	unsigned number;
};

struct due_heap {
	struct due *items; /* the latest first; some are of the past */
	size_t count;
};

static inline void
due_push(struct due_heap *h, struct due d)
{
	size_t i = h->count++;

	for (; i > 0 && h->items[(i - 1) / 2].at < d.at; i = (i - 1) / 2)
		h->items[i] = h->items[(i - 1) / 2];
	h->items[i] = d;
}

static inline struct due
due_pop(struct due_heap *h)
{
	struct due top = h->items[0], last = h->items[--h->count];
	size_t i = 0, child;

	while ((child = 2 * i + 1) < h->count) {
		if (child + 1 < h->count && h->items[child + 1].at > h->items[child].at)
			child++;
		if (h->items[child].at <= last.at)
			break;
		h->items[i] = h->items[child];
		i = child;
	}
	h->items[i] = last;
	return top;
}

/* How many of the requests hit. charges: by number. */
static inline uint64_t
optimum(const unsigned *trace, size_t requests, const unsigned *charges, size_t numbers,
    size_t limit_bytes)
{
	uint32_t *next = must_malloc(requests * sizeof(*next));
	uint32_t *due = must_malloc(numbers * sizeof(*due)); /* of what is in; 0: it is not */
	struct due_heap heap = {.items = must_malloc((requests + 1) * sizeof(struct due))};
	size_t bytes = 0;
	uint64_t hits = 0;

	memset(due, 0xff, numbers * sizeof(*due));
	for (size_t i = requests; i-- > 0; due[trace[i]] = (uint32_t)i)
		next[i] = due[trace[i]];
	memset(due, 0, numbers * sizeof(*due));
	for (size_t i = 0; i < requests; i++) {
		unsigned number = trace[i];

		if (due[number] != 0)
			hits++;
		else
			bytes += charges[number];
		due[number] = next[i];
		due_push(&heap, (struct due){next[i], number});
		while (bytes > limit_bytes) {
			struct due d = due_pop(&heap);

			if (due[d.number] != d.at)
				continue; /* asked for since */
			due[d.number] = 0;
			bytes -= charges[d.number];
		}
	}
	free(next);
	free(due);
	free(heap.items);
	return hits;
}

#endif
