#include "event/tlsexpiry.h"

#include <pthread.h>
#include <stdlib.h>

#include "base/mem.h"

/* Texts are the entries' own. */
struct expiries {
	struct tls_expiry *items;
	unsigned count;
};

static pthread_mutex_t shown_lock = PTHREAD_MUTEX_INITIALIZER;
static struct expiries shown, next;

static void
expiries_fini(struct expiries *e)
{
	for (unsigned i = 0; i < e->count; i++) {
		free((void *)(uintptr_t)e->items[i].listener);
		free((void *)(uintptr_t)e->items[i].cert);
	}
	free(e->items);
	*e = (struct expiries){0};
}

void
tls_expiries_begin(void)
{
	expiries_fini(&next);
}

void
tls_expiries_add(const struct tls_expiry *e)
{
	next.items = must_realloc(next.items, (next.count + 1) * sizeof(*next.items));
	next.items[next.count] = *e;
	next.items[next.count].listener = must_strdup(e->listener);
	next.items[next.count++].cert = must_strdup(e->cert);
}

void
tls_expiries_publish(void)
{
	struct expiries before;

	pthread_mutex_lock(&shown_lock);
	before = shown;
	shown = next;
	pthread_mutex_unlock(&shown_lock);
	next = (struct expiries){0};
	expiries_fini(&before);
}

void
tls_expiries_each(void (*see)(void *arg, const struct tls_expiry *e), void *arg)
{
	pthread_mutex_lock(&shown_lock);
	for (unsigned i = 0; i < shown.count; i++)
		see(arg, &shown.items[i]);
	pthread_mutex_unlock(&shown_lock);
}
