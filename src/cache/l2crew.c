#include "cache/l2crew.h"

#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"

struct l2_crew {
	struct helpers *helpers;
	pthread_mutex_t lock; /* for the list: a loop's moments */
	struct link makings;
	_Atomic unsigned makings_count; /* 0 is seen without the lock */
};

struct l2_crew *
l2_crew_new(size_t line_max_bytes)
{
	struct l2_crew *c = must_calloc(1, sizeof(*c));

	c->helpers = helpers_new(line_max_bytes);
	pthread_mutex_init(&c->lock, NULL);
	list_init(&c->makings);
	return c;
}

void
l2_crew_stop(struct l2_crew *c)
{
	helpers_stop(c->helpers);
}

void
l2_crew_free(struct l2_crew **cp)
{
	struct l2_crew *c = *cp;

	*cp = NULL;
	if (c == NULL)
		return;
	helpers_free(&c->helpers);
	pthread_mutex_destroy(&c->lock);
	free(c);
}

/* --- the seal: its secret may be gone before the chore is run --- */

static struct l2_seal
seal_copy(const struct l2_seal *seal)
{
	struct l2_seal own = {.secret_bytes = seal->secret_bytes};

	if (seal->secret != NULL)
		own.secret =
		    memcpy(must_malloc(seal->secret_bytes), seal->secret, seal->secret_bytes);
	return own;
}

static void
seal_fini(struct l2_seal *own)
{
	void *secret = (void *)(uintptr_t)own->secret;

	if (secret != NULL)
		explicit_bzero(secret, own->secret_bytes);
	free(secret);
	*own = (struct l2_seal){0};
}

/* --- making --- */

/* Under the lock. */
static void
outdate(struct l2_crew *c, const char *place)
{
	LIST_EACH (m, &c->makings, struct l2_making, link)
		if (strcmp(m->place, place) == 0)
			l2_making_give_up(m);
}

void
l2_crew_outdate(struct l2_crew *c, const char *place)
{
	if (atomic_load(&c->makings_count) == 0)
		return;
	pthread_mutex_lock(&c->lock);
	outdate(c, place);
	pthread_mutex_unlock(&c->lock);
}

static void
run_making(struct chore *chore)
{
	struct l2_making *m = CONTAINER_OF(chore, struct l2_making, chore);

	if (!atomic_load(&m->is_given_up))
		m->is_made =
		    l2_value_write(m->object, &m->now, &m->fetched, &m->own_seal, &m->value) == 0;
}

static void
on_making_back(struct chore *chore, bool was_run)
{
	struct l2_making *m = CONTAINER_OF(chore, struct l2_making, chore);

	pthread_mutex_lock(&m->crew->lock);
	list_leave(&m->link);
	atomic_fetch_sub(&m->crew->makings_count, 1);
	pthread_mutex_unlock(&m->crew->lock);
	if (atomic_load(&m->is_given_up))
		m->is_made = false;
	m->done(m);
}

bool
l2_make(struct l2_crew *c, struct l2_making *m)
{
	bool is_taken;

	m->crew = c;
	m->own_seal = seal_copy(m->seal);
	m->chore = (struct chore){.run = run_making,
	    .back = on_making_back,
	    .reply_to = m->reply_to,
	    .held_bytes = body_length(m->object->body)};
	pthread_mutex_lock(&c->lock);
	is_taken = helpers_take(c->helpers, HELPERS_UNAWAITED, &m->chore);
	if (is_taken) {
		object_ref(m->object);
		outdate(c, m->place);
		list_push_back(&c->makings, &m->link);
		atomic_fetch_add(&c->makings_count, 1);
	}
	pthread_mutex_unlock(&c->lock);
	if (!is_taken)
		seal_fini(&m->own_seal);
	return is_taken;
}

void
l2_making_fini(struct l2_making *m)
{
	object_unref(&m->object);
	buf_fini(&m->value);
	seal_fini(&m->own_seal);
}

/* --- reading --- */

static void
run_reading(struct chore *chore)
{
	struct l2_reading *r = CONTAINER_OF(chore, struct l2_reading, chore);

	if (atomic_load(&r->is_given_up))
		return;
	r->was_read = true;
	r->flaw = l2_value_read(buf_slice(&r->bytes), &r->now, &r->own_seal, &r->value);
	if (r->flaw == L2_FLAW_none && !r->value.is_index)
		r->body = l2_value_body(&r->value, r->slab);
}

static void
on_reading_back(struct chore *chore, bool was_run)
{
	struct l2_reading *r = CONTAINER_OF(chore, struct l2_reading, chore);

	r->done(r);
}

bool
l2_read(struct l2_crew *c, struct l2_reading *r)
{
	r->own_seal = seal_copy(r->seal);
	r->chore = (struct chore){.run = run_reading,
	    .back = on_reading_back,
	    .reply_to = r->reply_to,
	    .held_bytes = r->bytes.n + l2_value_work_bytes(buf_slice(&r->bytes))};
	if (helpers_take(c->helpers, HELPERS_AWAITED, &r->chore))
		return true;
	seal_fini(&r->own_seal);
	return false;
}

void
l2_reading_fini(struct l2_reading *r)
{
	body_unref(&r->body);
	buf_fini(&r->bytes);
	seal_fini(&r->own_seal);
}
