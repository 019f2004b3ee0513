#include "server/rendered.h"

#include <stdlib.h>

#include "cache/slab.h"

static bool
is_same(const struct rendered_for *a, const struct rendered_for *b)
{
	return a->route == b->route && a->generation == b->generation && a->is_tls == b->is_tls &&
	    a->accept.present == b->accept.present && a->accept.any_q == b->accept.any_q &&
	    memcmp(a->accept.q, b->accept.q, sizeof(a->accept.q)) == 0;
}

const struct rendered *
rendered_find(const struct object *o, const struct rendered_for *use)
{
	const struct rendered *r = atomic_load_explicit(&o->rendered, memory_order_acquire);

	for (; r != NULL; r = r->next)
		if (is_same(&r->use, use))
			return r;
	return NULL;
}

void
rendered_keep(
    struct object *o, const struct rendered_for *use, struct slice text, struct body *body)
{
	void *newest = atomic_load_explicit(&o->rendered, memory_order_acquire);
	size_t bytes = sizeof(struct rendered) + text.n;
	struct rendered *r;
	unsigned n = 0;

	for (r = newest; r != NULL; r = r->next)
		n++;
	if (n >= RENDERED_MAX || o->slab == NULL || (r = malloc(bytes)) == NULL)
		return;
	if (!slab_charge(o->slab, bytes)) {
		free(r);
		return;
	}
	r->slab = o->slab;
	r->use = *use;
	r->body = body;
	r->len = (uint32_t)text.n;
	memcpy(r->text, text.p, text.n);
	do
		r->next = newest;
	while (!atomic_compare_exchange_weak_explicit(
	    &o->rendered, &newest, r, memory_order_acq_rel, memory_order_acquire));
}

void
rendered_free(void *list)
{
	struct rendered *r, *next;

	for (r = list; r != NULL; r = next) {
		next = r->next;
		slab_uncharge(r->slab, sizeof(*r) + r->len);
		free(r);
	}
}
