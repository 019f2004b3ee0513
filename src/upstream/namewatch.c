#include "upstream/namewatch.h"

#include <stdlib.h>

#include "base/mem.h"
#include "upstream/names.h"

struct namewatch {
	struct pool *pool;
	struct resolver *resolver;
	struct timer tick;
	unsigned count;
	struct upstream **upstreams; /* those with names; own references */
};

static void
on_tick(void *arg)
{
	struct namewatch *w = arg;

	for (unsigned i = 0; i < w->count; i++) {
		names_sweep(w->upstreams[i]);
		names_refresh(w->pool, w->resolver, w->upstreams[i]);
	}
	timer_arm(pool_loop(w->pool), &w->tick, loop_now_ms(pool_loop(w->pool)) + NAMEWATCH_MS);
}

struct namewatch *
namewatch_new(struct pool *p, struct resolver *r)
{
	struct namewatch *w = must_calloc(1, sizeof(*w));

	w->pool = p;
	w->resolver = r;
	timer_init(&w->tick, on_tick, w);
	return w;
}

static bool
has_names(const struct upstream *u)
{
	for (unsigned i = 0; i < u->entries_count; i++)
		if (!u->entries[i].is_literal)
			return true;
	return false;
}

static void
drop(struct upstream **upstreams, unsigned count)
{
	for (unsigned i = 0; i < count; i++)
		upstream_unref(&upstreams[i]);
	free(upstreams);
}

void
namewatch_use(struct namewatch *w, struct upstream *const *upstreams, unsigned count)
{
	struct upstream **before = w->upstreams;
	unsigned before_count = w->count;

	w->count = 0;
	w->upstreams = must_calloc(count + 1, sizeof(struct upstream *));
	for (unsigned i = 0; i < count; i++)
		if (has_names(upstreams[i]))
			w->upstreams[w->count++] = upstream_ref(upstreams[i]);
	drop(before, before_count);
	if (w->count > 0)
		timer_arm(pool_loop(w->pool), &w->tick, loop_now_ms(pool_loop(w->pool)));
	else
		timer_disarm(&w->tick);
}

void
namewatch_free(struct namewatch **wp)
{
	struct namewatch *w = *wp;

	*wp = NULL;
	if (w == NULL)
		return;
	timer_disarm(&w->tick);
	drop(w->upstreams, w->count);
	free(w);
}
