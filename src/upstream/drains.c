#include "upstream/drains.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"

struct drains {
	_Atomic unsigned refs;
	_Atomic unsigned version; /* one more with each change */
	pthread_mutex_t lock;
	unsigned count;
	char *texts[DRAINS_MAX];
};

struct drains *
drains_new(void)
{
	struct drains *d = must_calloc(1, sizeof(*d));

	atomic_init(&d->refs, 1);
	pthread_mutex_init(&d->lock, NULL);
	return d;
}

void
drains_unref(struct drains **dp)
{
	struct drains *d = *dp;

	*dp = NULL;
	if (d == NULL || atomic_fetch_sub(&d->refs, 1) != 1)
		return;
	for (unsigned i = 0; i < d->count; i++)
		free(d->texts[i]);
	pthread_mutex_destroy(&d->lock);
	free(d);
}

bool
server_is_called(const struct server *s, const char *text)
{
	return strcmp(s->entry->text, text) == 0 ||
	    (server_is_listed(s) && strcmp(s->name, text) == 0);
}

static bool
has_name_of(const struct drains *d, const struct server *s)
{
	for (unsigned i = 0; i < d->count; i++)
		if (server_is_called(s, d->texts[i]))
			return true;
	return false;
}

static bool
is_anybody(const struct upstream *u, const char *text)
{
	for (unsigned i = 0; i < u->servers_count; i++)
		if (server_is_called(&u->servers[i], text))
			return true;
	return false;
}

static void
forget(struct drains *d, unsigned i)
{
	free(d->texts[i]);
	d->texts[i] = d->texts[--d->count];
}

static void
forget_strangers(struct drains *d, const struct upstream *u)
{
	for (unsigned i = d->count; i-- > 0;)
		if (!is_anybody(u, d->texts[i]))
			forget(d, i);
}

/* Who puts a name back means each of its addresses: "app.internal:80" is over "app.internal:80/10.0.0.1". */
static bool
is_over(const char *name, const char *text)
{
	size_t n = strlen(name);

	return strncmp(text, name, n) == 0 &&
	    (text[n] == '\0' || (text[n] == '/' && strncmp(name, "unix:", 5) != 0));
}

static void
forget_all(struct drains *d, const char *name)
{
	for (unsigned i = d->count; i-- > 0;)
		if (is_over(name, d->texts[i]))
			forget(d, i);
}

static unsigned
find(const struct drains *d, const char *text)
{
	unsigned i = 0;

	while (i < d->count && strcmp(d->texts[i], text) != 0)
		i++;
	return i;
}

/* As many as there is room for: an upstream has no more servers, and each may be known by its entry's name as well. */
void
drains_set(struct upstream *u, const char *text, bool is_drained)
{
	static_assert(DRAINS_MAX >= 2 * SERVERS_MAX, "all that is called something fits");
	struct drains *d = u->drains;

	pthread_mutex_lock(&d->lock);
	if (!is_drained) {
		forget_all(d, text);
	} else if (find(d, text) == d->count) {
		if (d->count == DRAINS_MAX)
			forget_strangers(d, u);
		if (d->count < DRAINS_MAX)
			d->texts[d->count++] = must_strdup(text);
	}
	atomic_fetch_add(&d->version, 1);
	pthread_mutex_unlock(&d->lock);
}

/* back_ms is when it begins again with what slow_start leaves it. */
static void
mark(struct server *s, bool is_drained, int64_t now_ms)
{
	if (server_is_drained(s) && !is_drained) {
		s->back_ms = now_ms;
		s->turn = s->cost_us = 0;
		s->cost_at_ms = 0;
	}
	atomic_store(&s->is_drained, is_drained);
}

void
drains_follow(struct upstream *u, int64_t now_ms)
{
	struct drains *d = u->drains;

	if (atomic_load_explicit(&d->version, memory_order_acquire) == u->drains_seen)
		return;
	pthread_mutex_lock(&d->lock);
	u->drains_seen = d->version;
	for (unsigned i = 0; i < u->servers_count; i++)
		mark(&u->servers[i], has_name_of(d, &u->servers[i]), now_ms);
	pthread_mutex_unlock(&d->lock);
}

void
drains_look(struct server *s)
{
	struct drains *d = s->upstream->drains;

	pthread_mutex_lock(&d->lock);
	atomic_store(&s->is_drained, has_name_of(d, s));
	pthread_mutex_unlock(&d->lock);
}

void
drains_share(struct upstream *u, const struct upstream *from, int64_t now_ms)
{
	drains_unref(&u->drains);
	atomic_fetch_add(&from->drains->refs, 1);
	u->drains = from->drains;
	u->drains_seen = u->drains->version - 1;
	pthread_mutex_lock(&u->lock);
	drains_follow(u, now_ms);
	pthread_mutex_unlock(&u->lock);
}
