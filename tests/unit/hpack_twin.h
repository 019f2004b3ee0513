/* The same header blocks by our decoder and by libnghttp2's inflater: they must say the same of all, and keep the same table. For unit
 * tests and fuzz targets. */
#ifndef TESTS_HPACK_TWIN_H
#define TESTS_HPACK_TWIN_H

#include <nghttp2/nghttp2.h>
#include <stdlib.h>

#include "http/hpack.h"

struct hpack_twin {
	struct hpack ours;
	nghttp2_hd_inflater *theirs;
	unsigned fields; /* seen so far */
};

static inline void
hpack_twin_init(struct hpack_twin *t)
{
	hpack_init(&t->ours);
	t->fields = 0;
	if (nghttp2_hd_inflate_new(&t->theirs) != 0)
		abort();
}

static inline void
hpack_twin_fini(struct hpack_twin *t)
{
	hpack_fini(&t->ours);
	nghttp2_hd_inflate_del(t->theirs);
}

/* What a table may remember is what would be judged anew. */
static inline bool
hpack_twin_judged(const struct h2_field *f)
{
	struct h2_field again = {.name = f->name, .value = f->value};

	h2_field_judge_name(&again);
	h2_field_judge_value(&again);
	return again.pseudo == f->pseudo && again.id == f->id && again.judged == f->judged;
}

static inline bool
hpack_twin_is(const struct h2_field *f, const nghttp2_nv *nv)
{
	return slice_eq(f->name, slice_of(nv->name, nv->namelen)) &&
	    slice_eq(f->value, slice_of(nv->value, nv->valuelen)) && hpack_twin_judged(f);
}

/* The next field of theirs. */
static inline enum hpack_result
hpack_twin_next(struct hpack_twin *t, struct slice *block, nghttp2_nv *nv)
{
	for (;;) {
		int flags = 0;
		ssize_t used = nghttp2_hd_inflate_hd2(
		    t->theirs, nv, &flags, (const uint8_t *)block->p, block->n, 1);

		if (used < 0)
			return HPACK_BAD;
		*block = slice_skip(*block, (size_t)used);
		if (flags & NGHTTP2_HD_INFLATE_EMIT)
			return HPACK_FIELD;
		if (flags & NGHTTP2_HD_INFLATE_FINAL) {
			nghttp2_hd_inflate_end_headers(t->theirs);
			return HPACK_END;
		}
	}
}

static inline bool
hpack_twin_same_table(const struct hpack_twin *t)
{
	return nghttp2_hd_inflate_get_num_table_entries(t->theirs) == t->ours.count + 61 &&
	    nghttp2_hd_inflate_get_dynamic_table_size(t->theirs) == t->ours.size &&
	    t->ours.bytes.cap <= 4 * HPACK_TABLE_BYTES;
}

/* One block. False: they differ. *is_bad_out: both refuse it, and no more may come. */
static inline bool
hpack_twin_block(struct hpack_twin *t, struct slice block, bool *is_bad_out)
{
	struct slice ours = block, theirs = block;
	enum hpack_result a, b;

	hpack_begin(&t->ours);
	do {
		struct h2_field f;
		nghttp2_nv nv;

		a = hpack_next(&t->ours, &ours, &f);
		b = hpack_twin_next(t, &theirs, &nv);
		if (a != b || (a == HPACK_FIELD && !hpack_twin_is(&f, &nv)))
			return false;
		t->fields += a == HPACK_FIELD;
	} while (a == HPACK_FIELD);
	*is_bad_out = a == HPACK_BAD;
	hpack_sleep(&t->ours);
	return a == HPACK_BAD || hpack_twin_same_table(t);
}

#endif
