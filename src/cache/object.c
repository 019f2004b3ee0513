#include "cache/object.h"

#include <stddef.h>
#include <stdlib.h>

#include "cache/slab.h"

/* What an object costs beyond key, head and body is bounded: a body's own 24 bytes, two words of the slab's and 15
 * bytes of the index' come to it. */
_Static_assert(sizeof(struct object) <= 144, "an object's overhead has grown");

/* --- facts --- */

static int64_t
clamp_signed(int64_t v, unsigned bits)
{
	int64_t most = (int64_t)(UINT64_MAX >> (65 - bits));

	return v > most ? most : v < -most - 1 ? -most - 1 : v;
}

static uint64_t
clamp_unsigned(uint64_t v, unsigned bits)
{
	uint64_t most = UINT64_MAX >> (64 - bits);

	return v > most ? most : v;
}

static void
keep_facts(struct object_kept_facts *k, const struct object_facts *f)
{
#define X(type, name, kept, bits) k->name = clamp_##kept(f->name, bits);
	OBJECT_FACTS(X)
#undef X
	k->fetch_ms = f->fetch_ms;
	if (k->etag_at != f->etag_at || k->etag_len != f->etag_len)
		k->etag_len = 0;
}

struct object_facts
object_facts(const struct object *o)
{
	return (struct object_facts){.slide_ms = o->facts.slides ? object_sliding(o)->slide_ms : 0,
	    .fetch_ms = o->facts.fetch_ms,
#define X(type, name, kept, bits) .name = (type)o->facts.name,
	    OBJECT_FACTS(X)
#undef X
	};
}

/* --- memory --- */

struct slab *
object_slab(const struct object *o)
{
	return o->facts.is_in_slab ? slab_of(o) : NULL;
}

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
	o->facts.slides = parts->facts.slide_ms > 0;
	if (o->facts.slides) {
		object_sliding(o)->slide_ms = parts->facts.slide_ms;
		atomic_init(&object_sliding(o)->used_ms, 0);
	}
}

static size_t
bytes_for(const struct object_parts *p)
{
	size_t sliding = p->facts.slide_ms == 0
	    ? 0
	    : sizeof(struct object_sliding) + _Alignof(struct object_sliding) - 1;

	return offsetof(struct object, bytes) + p->key.n + p->vary.n + p->tags.n + p->head.n +
	    sliding;
}

struct object *
object_new(struct slab *slab, const struct object_parts *parts)
{
	struct object *o;

	if (parts->key.n > UINT16_MAX || parts->vary.n > UINT16_MAX || parts->tags.n > UINT16_MAX ||
	    parts->head.n > UINT32_MAX / 2)
		return NULL;
	if (slab != NULL && bytes_for(parts) > SLAB_ALLOC_MAX)
		return NULL;
	if ((o = memory_take(slab, bytes_for(parts))) == NULL)
		return NULL;
	memset(o, 0, sizeof(*o));
	atomic_init(&o->refs, 1);
	atomic_init(&o->valid_pos, parts->facts.log_pos);
	list_init(&o->in_queue);
	o->hash = parts->hash;
	keep_facts(&o->facts, &parts->facts);
	o->facts.is_in_slab = slab != NULL;
	o->body = parts->body == NULL ? NULL : body_ref(parts->body);
	object_fill(o, parts);
	return o;
}

static void
object_free(struct object *o)
{
	struct slab *slab = object_slab(o);
	struct object_variant *v = atomic_load_explicit(&o->variants, memory_order_relaxed);

	while (v != NULL) {
		struct object_variant *next = atomic_load_explicit(&v->next, memory_order_relaxed);

		body_unref(&v->body);
		memory_give(slab, v);
		v = next;
	}
	body_unref(&o->body);
	memory_give(slab, o);
}

void
object_drop(struct object **op)
{
	struct object *o = *op;

	*op = NULL;
	if (atomic_fetch_sub_explicit(&o->refs, 1, memory_order_acq_rel) == 1)
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
	struct slab *slab = object_slab(o);
	struct object_variant *first = NULL, *v = memory_take(slab, sizeof(*v));

	if (v == NULL)
		goto fail;
	v->body = *bodyp;
	v->encoding = encoding;
	atomic_init(&v->effort, VARIANT_STREAMED);
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
		memory_give(slab, v);
	body_unref(bodyp);
	return -1;
}

bool
object_copy_variants(struct object *o, const struct object *from, uint8_t except)
{
	struct object_variant *v = atomic_load_explicit(&from->variants, memory_order_acquire);
	bool all = true;

	for (; v != NULL; v = atomic_load_explicit(&v->next, memory_order_acquire)) {
		struct body *b;

		if (v->encoding == except)
			continue;
		b = body_ref(v->body);
		if (object_add_variant(o, v->encoding, &b) != 0) {
			all = false;
			continue;
		}
		atomic_store_explicit(&object_find_variant(o, v->encoding)->effort,
		    atomic_load_explicit(&v->effort, memory_order_relaxed), memory_order_relaxed);
	}
	return all;
}

/* A purge that is being judged marks the old one first and moves its position then: read the other way round, a mark that is not
 * seen belongs to a position that is not seen either, and is found again. */
static void
copy_notes(struct object *o, const struct object *from)
{
	atomic_init(&o->valid_pos, atomic_load_explicit(&from->valid_pos, memory_order_acquire));
#define COPY(field) atomic_init(&o->field, atomic_load_explicit(&from->field, memory_order_relaxed))
	COPY(soft_purged);
	COPY(hit_count);
	COPY(hits);
	COPY(refresh_failed_s);
#undef COPY
	if (o->facts.slides)
		atomic_init(&object_sliding(o)->used_ms,
		    atomic_load_explicit(&object_sliding(from)->used_ms, memory_order_relaxed));
}

struct object *
object_clone(const struct object *from)
{
	struct object_parts parts = {.hash = from->hash,
	    .key = object_key(from),
	    .vary = object_vary(from),
	    .tags = object_tags(from),
	    .head = object_head(from),
	    .facts = object_facts(from),
	    .body = from->body};
	struct object *o = object_new(object_slab(from), &parts);

	if (o != NULL)
		copy_notes(o, from);
	return o;
}

static size_t
part_bytes(const struct object *o, const void *p, size_t n)
{
	return o->facts.is_in_slab ? slab_size(slab_of(o), p) : n;
}

size_t
object_memory_bytes(const struct object *o)
{
	const struct object_variant *v = atomic_load_explicit(&o->variants, memory_order_acquire);
	size_t bytes = part_bytes(o, o,
	    offsetof(struct object, bytes) + o->key_len + o->vary_len + o->tags_len +
		(size_t)o->head_len);

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
	struct slab *slab = object_slab(o);

	if (slab == NULL)
		return;
	slab_tag(slab, o, o->hash);
	if (o->body != NULL)
		body_tag(o->body, o->hash);
	for (; v != NULL; v = atomic_load_explicit(&v->next, memory_order_acquire)) {
		slab_tag(slab, v, o->hash);
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
	uint32_t at_ms = kept_ms(o, now_ms), used_ms;
	struct object_sliding *s = object_sliding(o);

	if (!o->facts.slides)
		return false;
	used_ms = atomic_load_explicit(&s->used_ms, memory_order_relaxed);
	if (at_ms <= used_ms || at_ms - used_ms < s->slide_ms / SLIDE_STEPS)
		return false;
	atomic_store_explicit(&s->used_ms, at_ms, memory_order_relaxed);
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
