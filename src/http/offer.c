#include "http/offer.h"

#include "http/negotiate.h"

/* --- Accept-Language --- */

/* Whether the tag is the range or one of its subtags. */
static bool
is_within(struct slice tag, struct slice range)
{
	return tag.n >= range.n && slice_ieq(slice_of(tag.p, range.n), range) &&
	    (tag.n == range.n || tag.p[range.n] == '-');
}

/* What the ranges say of one tag: the one that names it, else the closest above it, the best below it, or "*". */
struct wish {
	int exact, above, below, any; /* q, or -1: nobody said */
	size_t above_n;
};

static void
wish_add(struct wish *w, struct slice tag, const struct preference *p)
{
	if (slice_eq(p->what, SLICE_LIT("*"))) {
		w->any = w->any < 0 ? p->q : w->any;
	} else if (slice_ieq(p->what, tag)) {
		w->exact = w->exact < 0 ? p->q : w->exact;
	} else if (is_within(tag, p->what)) {
		if (p->what.n > w->above_n) {
			w->above = p->q;
			w->above_n = p->what.n;
		}
	} else if (is_within(p->what, tag) && p->q > w->below)
		w->below = p->q;
}

/* A tag that is refused in so many words stays refused, whatever is wished of its subtags. */
static int
wish_q(const struct wish *w)
{
	int q = w->exact >= 0 ? w->exact : w->above;

	if (q == 0)
		return 0;
	if (w->below > q)
		return w->below;
	return q > 0 ? q : w->any;
}

static int
language_quality(const struct head *request, struct slice tag)
{
	struct wish wish = {-1, -1, -1, -1, 0};
	struct list_walk w = {0};
	struct slice member;
	struct preference p;

	while (head_list_next(request, FIELD_ACCEPT_LANGUAGE, &w, &member))
		if (preference_read(member, &p))
			wish_add(&wish, tag, &p);
	return wish_q(&wish);
}

/* --- the others --- */

static int
type_quality(const struct head *request, struct slice type)
{
	return (int)accept_quality(request, type);
}

/* Of known codings only; the bare form is what remains where none is wanted. */
static int
coding_quality(const struct head *request, struct slice token)
{
	struct accept_encoding a;
	enum encoding e = encoding_of_token(token);

	accept_encoding_read(request, &a);
	return e == ENC_OTHER ? 0 : a.q[__builtin_ctz(e)];
}

static int
best_of(const struct head *request, const char *const *values, unsigned count,
    int (*quality)(const struct head *request, struct slice value))
{
	int best = OFFER_NONE, best_q = 0;

	for (unsigned i = 0; i < count; i++) {
		int q = quality(request, slice_from(values[i]));

		if (q > best_q) {
			best = (int)i;
			best_q = q;
		}
	}
	return best;
}

static int
same_of(
    const struct head *request, const struct field *f, const char *const *values, unsigned count)
{
	for (unsigned i = 0; i < count; i++)
		if (slice_ieq(field_value(request, f), slice_from(values[i])))
			return (int)i;
	return OFFER_NONE;
}

int
offer_choose(
    const struct head *request, struct slice name, const char *const *values, unsigned count)
{
	const struct field *f = head_find_name(request, name);

	while (f != NULL && f->is_hop)
		f = head_next_name(request, f);
	if (f == NULL)
		return OFFER_NONE;
	switch (field_id_of(name)) {
	case FIELD_ACCEPT_LANGUAGE:
		return best_of(request, values, count, language_quality);
	case FIELD_ACCEPT:
		return best_of(request, values, count, type_quality);
	case FIELD_ACCEPT_ENCODING:
		return best_of(request, values, count, coding_quality);
	default:
		return same_of(request, f, values, count);
	}
}
