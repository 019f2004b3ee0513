#include "server/rendered.h"

#include <pthread.h>
#include <stdlib.h>

#include "base/hash.h"
#include "base/mem.h"

#define ID_BITS 13
#define IDS_OF_OBJECT 3
#define GENERATION_SHIFT (ID_BITS * IDS_OF_OBJECT)
#define LINES_MAX 64 /* of a stored head that a rendering can leave out */
#define BUCKETS 16384

_Static_assert(RENDERED_MAX < 1 << ID_BITS, "numbers of renderings fit an object's word");

struct rendering {
	struct rendered_for use;
	uint64_t dropped; /* bit n: line n of the stored head is left out */
	uint8_t coding;	  /* of the variant; 0: the object's own body */
	bool has_etag;	  /* the object's entity tag stands in the text, at etag_at */
	uint32_t etag_at;
	uint32_t len;
	const char *text; /* behind the lines that stay */
};

struct rendered_table {
	uint64_t generation; /* as it stands in an object's word */
	struct rendering *_Atomic *by_id;
	/* Whoever adds: */
	pthread_mutex_t lock;
	unsigned count;
	size_t text_bytes;
	uint16_t *buckets; /* ids by hash, open addressing; 0: none */
};

struct rendered_table *
rendered_table_new(unsigned generation)
{
	struct rendered_table *t = must_calloc(1, sizeof(*t));

	t->generation = (uint64_t)generation << GENERATION_SHIFT;
	t->by_id = must_calloc(RENDERED_MAX + 1, sizeof(*t->by_id));
	t->buckets = must_calloc(BUCKETS, sizeof(*t->buckets));
	pthread_mutex_init(&t->lock, NULL);
	return t;
}

void
rendered_table_free(struct rendered_table **tp)
{
	struct rendered_table *t = *tp;

	*tp = NULL;
	if (t == NULL)
		return;
	for (unsigned id = 1; id <= t->count; id++)
		free(t->by_id[id]);
	pthread_mutex_destroy(&t->lock);
	free(t->buckets);
	free(t->by_id);
	free(t);
}

/* --- an object's word: the configuration's generation, and numbers --- */

static unsigned
id_of(uint64_t word, unsigned i)
{
	return (unsigned)(word >> (i * ID_BITS)) & ((1u << ID_BITS) - 1);
}

static uint64_t
word_of(const struct rendered_table *t, const struct object *o)
{
	uint64_t word = atomic_load_explicit(&o->rendered, memory_order_acquire);

	return word >> GENERATION_SHIFT == t->generation >> GENERATION_SHIFT ? word : t->generation;
}

static bool
is_for(const struct rendering *r, const struct rendered_for *use)
{
	const struct rendered_for *a = &r->use;

	return a->route == use->route && a->is_tls == use->is_tls &&
	    a->accept.present == use->accept.present && a->accept.any_q == use->accept.any_q &&
	    memcmp(a->accept.q, use->accept.q, sizeof(a->accept.q)) == 0;
}

static const struct rendering *
find(const struct rendered_table *t, uint64_t word, const struct rendered_for *use)
{
	for (unsigned i = 0; i < IDS_OF_OBJECT && id_of(word, i) != 0; i++) {
		const struct rendering *r =
		    atomic_load_explicit(&t->by_id[id_of(word, i)], memory_order_acquire);

		if (is_for(r, use))
			return r;
	}
	return NULL;
}

/* Notes the number; not where there are enough, nor where another worker has just noted one for the same use. */
static void
note(const struct rendered_table *t, struct object *o, const struct rendering *r, unsigned id)
{
	uint64_t was = atomic_load_explicit(&o->rendered, memory_order_acquire), word;
	unsigned i;

	do {
		word = was >> GENERATION_SHIFT == t->generation >> GENERATION_SHIFT ? was
										    : t->generation;
		for (i = 0; i < IDS_OF_OBJECT && id_of(word, i) != 0; i++)
			;
		if (i == IDS_OF_OBJECT || find(t, word, &r->use) != NULL)
			return;
		word |= (uint64_t)id << (i * ID_BITS);
	} while (!atomic_compare_exchange_weak_explicit(
	    &o->rendered, &was, word, memory_order_acq_rel, memory_order_acquire));
}

/* --- from the stored head to the text --- */

/* The stored head's next line, with its end; none left: the empty line that ends it. */
static struct slice
take_line(struct slice *head)
{
	const char *end = memchr(head->p, '\n', head->n);
	struct slice line = slice_of(head->p, (size_t)(end + 1 - head->p));

	*head = slice_skip(*head, line.n);
	return line;
}

static void
write_kept_lines(const struct object *o, uint64_t dropped, struct buf *out)
{
	struct slice head = object_head(o);

	head.n -= 2;
	for (; dropped != 0; dropped >>= 1) {
		struct slice line = take_line(&head);

		if ((dropped & 1) == 0)
			buf_add_slice(out, line);
	}
	buf_add_slice(out, head);
}

/* The entity tag as a weak one has it. */
static struct slice
opaque_tag(const struct object *o)
{
	struct slice etag = object_etag(o);

	return slice_starts(etag, SLICE_LIT("W/")) ? slice_skip(etag, 2) : etag;
}

bool
rendered_write(const struct rendered_table *t, const struct object *o,
    const struct rendered_for *use, struct buf *out, struct body **bodyp_out)
{
	const struct rendering *r = find(t, word_of(t, o), use);

	if (r == NULL)
		return false;
	write_kept_lines(o, r->dropped, out);
	buf_add(out, r->text, r->etag_at);
	if (r->has_etag)
		buf_add_slice(out, opaque_tag(o));
	buf_add(out, r->text + r->etag_at, r->len - r->etag_at);
	*bodyp_out = r->coding == 0 ? o->body : object_find_variant(o, r->coding)->body;
	return true;
}

/* --- from the text back to what is left out and added --- */

/* Lines that the text does not have next are left out; what is then left of the text is what is added. Whatever the text is, this
 * makes it again. False: too many lines. */
static bool
split_text(const struct object *o, struct slice text, struct rendering *r, struct slice *added_out)
{
	struct slice head = object_head(o);

	head.n -= 2;
	for (unsigned i = 0; head.n > 0; i++) {
		struct slice line = take_line(&head);

		if (slice_starts(text, line))
			text = slice_skip(text, line.n);
		else if (i < LINES_MAX)
			r->dropped |= (uint64_t)1 << i;
		else
			return false;
	}
	*added_out = text;
	return true;
}

/* A coded form's weak entity tag is the object's own: it is left out of the text, so that this can be shared. */
static void
cut_etag(const struct object *o, struct slice added, struct rendering *r, struct buf *out)
{
	static const char name[] = "ETag: W/";
	struct slice tag = opaque_tag(o);
	const char *at = memmem(added.p, added.n, name, sizeof(name) - 1);

	r->etag_at = 0;
	if (at != NULL && tag.n > 0) {
		struct slice rest = slice_skip(added, (size_t)(at - added.p) + sizeof(name) - 1);

		if (slice_starts(rest, tag)) {
			r->has_etag = true;
			r->etag_at = (uint32_t)(rest.p - added.p);
			buf_add(out, added.p, r->etag_at);
			added = slice_skip(rest, tag.n);
		}
	}
	buf_add_slice(out, added);
}

/* --- the table --- */

static bool
is_same(const struct rendering *a, const struct rendering *b)
{
	return is_for(a, &b->use) && a->dropped == b->dropped && a->coding == b->coding &&
	    a->has_etag == b->has_etag && a->etag_at == b->etag_at && a->len == b->len &&
	    memcmp(a->text, b->text, a->len) == 0;
}

static struct rendering *
rendering_copy(const struct rendering *r)
{
	struct rendering *copy = must_malloc(sizeof(*copy) + r->len);

	*copy = *r;
	copy->text = (char *)(copy + 1);
	memcpy(copy + 1, r->text, r->len);
	return copy;
}

/* The number of an equal rendering, which is added where there is none; 0 when the table is full. */
static unsigned
intern(struct rendered_table *t, const struct rendering *r)
{
	uint64_t hash = hash_bytes(r->text, r->len) ^ r->dropped;
	unsigned id, bucket = (unsigned)hash;

	pthread_mutex_lock(&t->lock);
	while ((id = t->buckets[bucket % BUCKETS]) != 0 && !is_same(t->by_id[id], r))
		bucket++;
	if (id == 0 && t->count < RENDERED_MAX &&
	    t->text_bytes + r->len <= RENDERED_TEXT_MAX_BYTES) {
		id = ++t->count;
		t->text_bytes += r->len;
		atomic_store_explicit(&t->by_id[id], rendering_copy(r), memory_order_release);
		t->buckets[bucket % BUCKETS] = (uint16_t)id;
	}
	pthread_mutex_unlock(&t->lock);
	return id;
}

void
rendered_keep(struct rendered_table *t, struct object *o, const struct rendered_for *use,
    struct slice text, uint8_t coding)
{
	struct rendering r = {.use = *use, .coding = coding};
	struct slice added;
	struct buf cut = {0};
	unsigned id;

	if (!o->facts.is_in_slab || id_of(word_of(t, o), IDS_OF_OBJECT - 1) != 0 ||
	    !split_text(o, text, &r, &added))
		return;
	cut_etag(o, added, &r, &cut);
	r.text = cut.n > 0 ? cut.p : "";
	r.len = (uint32_t)cut.n;
	if ((id = intern(t, &r)) != 0)
		note(t, o, &r, id);
	buf_fini(&cut);
}
