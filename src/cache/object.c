#include "cache/object.h"

#include <stdlib.h>

#include "cache/slab.h"

/* What an object costs beyond key, head and body is bounded; 12 bytes more are the index's. */
_Static_assert(sizeof(struct object) + 12 < 200, "an object's overhead has grown");

static void *
memory_take(struct slab *slab, size_t bytes)
{
	return slab == NULL ? malloc(bytes) : slab_alloc(slab, bytes);
}

static void
memory_give(struct slab *slab, void *p)
{
	if (slab == NULL)
		free(p);
	else
		slab_release(slab, p);
}

static void
object_fill(struct object *o, const struct object_parts *parts)
{
	const struct slice all[] = {parts->key, parts->vary, parts->tags, parts->head};
	char *at = o->bytes;

	for (size_t i = 0; i < sizeof(all) / sizeof(all[0]); i++) {
		if (all[i].n > 0)
			memcpy(at, all[i].p, all[i].n);
		at += all[i].n;
	}
	o->key_len = (uint16_t)parts->key.n;
	o->vary_len = (uint16_t)parts->vary.n;
	o->tags_len = (uint16_t)parts->tags.n;
	o->head_len = (uint32_t)parts->head.n;
}

struct object *
object_new(struct slab *slab, const struct object_parts *parts)
{
	size_t bytes = sizeof(struct object) + parts->key.n + parts->vary.n + parts->tags.n;
	struct object *o;

	if (parts->key.n > UINT16_MAX || parts->vary.n > UINT16_MAX || parts->tags.n > UINT16_MAX ||
	    parts->head.n > UINT32_MAX / 2)
		return NULL;
	bytes += parts->head.n;
	if (slab != NULL && bytes > SLAB_ALLOC_MAX)
		return NULL;
	if ((o = memory_take(slab, bytes)) == NULL)
		return NULL;
	memset(o, 0, sizeof(*o));
	atomic_init(&o->refs, 1);
	atomic_init(&o->valid_pos, parts->facts.log_pos);
	list_init(&o->in_queue);
	o->hash = parts->hash;
	o->facts = parts->facts;
	o->slab = slab;
	o->body = parts->body == NULL ? NULL : body_ref(parts->body);
	object_fill(o, parts);
	return o;
}

static void
object_free(struct object *o)
{
	struct object_variant *v = atomic_load_explicit(&o->variants, memory_order_relaxed);

	while (v != NULL) {
		struct object_variant *next = atomic_load_explicit(&v->next, memory_order_relaxed);

		body_unref(&v->body);
		memory_give(o->slab, v);
		v = next;
	}
	body_unref(&o->body);
	memory_give(o->slab, o);
}

void
object_unref(struct object **op)
{
	struct object *o = *op;

	*op = NULL;
	if (o != NULL && atomic_fetch_sub_explicit(&o->refs, 1, memory_order_acq_rel) == 1)
		object_free(o);
}

struct object_variant *
object_find_variant(const struct object *o, uint8_t encoding)
{
	struct object_variant *v = atomic_load_explicit(&o->variants, memory_order_acquire);

	while (v != NULL && v->encoding != encoding)
		v = atomic_load_explicit(&v->next, memory_order_acquire);
	return v;
}

int
object_add_variant(struct object *o, uint8_t encoding, struct body **bodyp)
{
	struct object_variant *first = NULL, *v = memory_take(o->slab, sizeof(*v));

	if (v == NULL)
		goto fail;
	v->body = *bodyp;
	v->encoding = encoding;
	first = atomic_load_explicit(&o->variants, memory_order_acquire);
	do {
		if (object_find_variant(o, encoding) != NULL)
			goto fail;
		atomic_init(&v->next, first);
	} while (!atomic_compare_exchange_weak_explicit(
	    &o->variants, &first, v, memory_order_acq_rel, memory_order_acquire));
	*bodyp = NULL;
	return 0;
fail:
	if (v != NULL)
		memory_give(o->slab, v);
	body_unref(bodyp);
	return -1;
}

static size_t
part_bytes(const struct object *o, const void *p, size_t n)
{
	return o->slab == NULL ? n : slab_size(o->slab, p);
}

size_t
object_memory_bytes(const struct object *o)
{
	const struct object_variant *v = atomic_load_explicit(&o->variants, memory_order_acquire);
	size_t bytes = part_bytes(
	    o, o, sizeof(*o) + o->key_len + o->vary_len + o->tags_len + (size_t)o->head_len);

	if (o->body != NULL)
		bytes += body_memory_bytes(o->body);
	for (; v != NULL; v = atomic_load_explicit(&v->next, memory_order_acquire))
		bytes += part_bytes(o, v, sizeof(*v)) + body_memory_bytes(v->body);
	return bytes;
}

void
object_tag(struct object *o)
{
	struct object_variant *v = atomic_load_explicit(&o->variants, memory_order_acquire);

	if (o->slab == NULL)
		return;
	slab_tag(o->slab, o, o->hash);
	if (o->body != NULL)
		body_tag(o->body, o->hash);
	for (; v != NULL; v = atomic_load_explicit(&v->next, memory_order_acquire)) {
		slab_tag(o->slab, v, o->hash);
		body_tag(v->body, o->hash);
	}
}

#define SLIDE_STEPS 16 /* a use is noted when the life has run down by that part */
#define FAILED_WAIT_S \
	2 /* at least one second, at most this, after a refresh that came to nothing */

static uint32_t
kept_ms(const struct object *o, int64_t now_ms)
{
	int64_t ms = now_ms - o->facts.born_ms;

	return ms <= 0 ? 0 : ms < UINT32_MAX ? (uint32_t)ms : UINT32_MAX;
}

bool
object_slide(struct object *o, int64_t now_ms)
{
	uint32_t at_ms = kept_ms(o, now_ms);
	uint32_t used_ms = atomic_load_explicit(&o->used_ms, memory_order_relaxed);

	if (o->facts.slide_ms == 0 || at_ms <= used_ms ||
	    at_ms - used_ms < o->facts.slide_ms / SLIDE_STEPS)
		return false;
	atomic_store_explicit(&o->used_ms, at_ms, memory_order_relaxed);
	return true;
}

void
object_note_failed_refresh(struct object *o, int64_t now_ms)
{
	uint16_t at_s = (uint16_t)(kept_ms(o, now_ms) / 1000);

	atomic_store_explicit(&o->refresh_failed_s, at_s == 0 ? 1 : at_s, memory_order_relaxed);
}

bool
object_refresh_just_failed(const struct object *o, int64_t now_ms)
{
	uint16_t at_s = atomic_load_explicit(&o->refresh_failed_s, memory_order_relaxed);

	return at_s != 0 && (uint16_t)(kept_ms(o, now_ms) / 1000 - at_s) < FAILED_WAIT_S;
}
