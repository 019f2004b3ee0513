#include "event/helpers.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>

#include "base/mem.h"
#include "base/thread.h"

#define HELPERS 2

struct helper {
	struct helpers *all;
	bool is_for_awaited; /* alone */
	pthread_t thread;
};

struct helpers {
	size_t line_max_bytes;
	_Atomic size_t held_bytes[HELPERS_LINES];
	pthread_mutex_t lock; /* for all below */
	pthread_cond_t wake;
	struct link lines[HELPERS_LINES];
	unsigned running;
	bool stops;
	struct helper members[HELPERS];
};

/* --- on the way back --- */

static void
on_letter(struct letter *l)
{
	struct chore *c = CONTAINER_OF(l, struct chore, letter);

	atomic_fetch_sub(&c->helpers->held_bytes[c->line], c->held_bytes);
	c->back(c, c->was_run);
}

static void
send_back(struct chore *c, bool was_run)
{
	c->was_run = was_run;
	c->letter.deliver = on_letter;
	mailbox_post(c->reply_to, &c->letter);
}

/* --- a helper --- */

/* NULL: there is nothing for it. */
static struct chore *
next_chore(const struct helper *m)
{
	struct helpers *h = m->all;
	struct chore *c = list_first(&h->lines[HELPERS_AWAITED], struct chore, link);

	if (c == NULL && !m->is_for_awaited)
		c = list_first(&h->lines[HELPERS_UNAWAITED], struct chore, link);
	if (c != NULL)
		list_leave(&c->link);
	return c;
}

static void *
helper_main(void *arg)
{
	struct helper *m = arg;
	struct helpers *h = m->all;
	struct chore *c;

	pthread_mutex_lock(&h->lock);
	while (!h->stops) {
		c = next_chore(m);
		if (c == NULL) {
			pthread_cond_wait(&h->wake, &h->lock);
			continue;
		}
		pthread_mutex_unlock(&h->lock);
		c->run(c);
		send_back(c, true);
		pthread_mutex_lock(&h->lock);
	}
	pthread_mutex_unlock(&h->lock);
	return NULL;
}

/* Under the lock. One that could not be made is tried again with the next chore. */
static bool
start(struct helpers *h)
{
	while (h->running < HELPERS) {
		struct helper *m = &h->members[h->running];

		*m = (struct helper){.all = h, .is_for_awaited = h->running > 0};
		if (thread_start(&m->thread, m->is_for_awaited ? "helper-awaited" : "helper",
			THREAD_PROMPT, helper_main, m) != 0)
			break;
		h->running++;
	}
	return h->running > 0; /* the first takes from both lines */
}

/* --- the interface --- */

struct helpers *
helpers_new(size_t line_max_bytes)
{
	struct helpers *h = must_calloc(1, sizeof(*h));

	h->line_max_bytes = line_max_bytes;
	pthread_mutex_init(&h->lock, NULL);
	pthread_cond_init(&h->wake, NULL);
	for (int i = 0; i < HELPERS_LINES; i++)
		list_init(&h->lines[i]);
	return h;
}

/* Only under the lock is anything added; what comes back meanwhile makes more room. */
static bool
has_room(const struct helpers *h, enum helpers_line line, size_t bytes)
{
	size_t held = atomic_load(&h->held_bytes[line]);

	return held == 0 || (bytes <= h->line_max_bytes && held <= h->line_max_bytes - bytes);
}

bool
helpers_take(struct helpers *h, enum helpers_line line, struct chore *c)
{
	bool is_taken;

	pthread_mutex_lock(&h->lock);
	is_taken =
	    !h->stops && has_room(h, line, c->held_bytes) && (h->running == HELPERS || start(h));
	if (is_taken) {
		c->helpers = h;
		c->line = line;
		atomic_fetch_add(&h->held_bytes[line], c->held_bytes);
		list_push_back(&h->lines[line], &c->link);
		pthread_cond_broadcast(&h->wake);
	}
	pthread_mutex_unlock(&h->lock);
	return is_taken;
}

void
helpers_stop(struct helpers *h)
{
	unsigned running;

	pthread_mutex_lock(&h->lock);
	h->stops = true;
	running = h->running;
	h->running = 0;
	pthread_cond_broadcast(&h->wake);
	pthread_mutex_unlock(&h->lock);
	for (unsigned i = 0; i < running; i++)
		pthread_join(h->members[i].thread, NULL);
	for (int i = 0; i < HELPERS_LINES; i++) {
		struct chore *c;

		while ((c = list_first(&h->lines[i], struct chore, link)) != NULL) {
			list_leave(&c->link);
			send_back(c, false);
		}
	}
}

void
helpers_free(struct helpers **hp)
{
	struct helpers *h = *hp;

	*hp = NULL;
	if (h == NULL)
		return;
	helpers_stop(h);
	pthread_cond_destroy(&h->wake);
	pthread_mutex_destroy(&h->lock);
	free(h);
}

size_t
helpers_held_bytes(const struct helpers *h, enum helpers_line line)
{
	return atomic_load(&h->held_bytes[line]);
}
