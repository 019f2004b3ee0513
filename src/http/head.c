#include "http/head.h"

bool
method_is_safe(enum method m)
{
	switch (m) {
#define X(name, safe, idempotent) \
	case METHOD_##name:       \
		return safe;
		METHODS(X)
#undef X
	default:
		return false;
	}
}

bool
method_is_idempotent(enum method m)
{
	switch (m) {
#define X(name, safe, idempotent) \
	case METHOD_##name:       \
		return idempotent;
		METHODS(X)
#undef X
	default:
		return false;
	}
}

enum method
method_of(struct slice token)
{
	/* Almost every request. */
	if (token.n == 3 && memcmp(token.p, "GET", 3) == 0)
		return METHOD_GET;
#define X(name, safe, idempotent)              \
	if (slice_eq(token, SLICE_LIT(#name))) \
		return METHOD_##name;
	METHODS(X)
#undef X
	return METHOD_OTHER;
}

const struct field *
head_next(const struct head *h, const struct field *f)
{
	enum field_id id = f->id;

	while (++f < h->fields + h->count)
		if (f->id == id)
			return f;
	return NULL;
}

static const struct field *
find_name_from(const struct head *h, const struct field *f, struct slice name)
{
	for (; f < h->fields + h->count; f++)
		if (slice_ieq(field_name(h, f), name))
			return f;
	return NULL;
}

const struct field *
head_find_name(const struct head *h, struct slice name)
{
	enum field_id id = field_id_of(name);

	return id != FIELD_OTHER ? head_find(h, id) : find_name_from(h, h->fields, name);
}

const struct field *
head_next_name(const struct head *h, const struct field *f)
{
	return f->id != FIELD_OTHER ? head_next(h, f) : find_name_from(h, f + 1, field_name(h, f));
}

/* The end of the member that begins at at: the next comma outside a quoted string. A string that is never closed takes
 * the rest of the line with it: what stands in it is nobody's member. In an entity tag a backslash escapes nothing (RFC
 * 9110 section 8.8.3). */
static size_t
member_end(struct slice value, size_t at, bool escapes)
{
	bool quoted = false;

	for (; at < value.n; at++) {
		if (quoted && escapes && value.p[at] == '\\')
			at++;
		else if (value.p[at] == '"')
			quoted = !quoted;
		else if (value.p[at] == ',' && !quoted)
			return at;
	}
	return value.n;
}

bool
head_list_next(const struct head *h, enum field_id id, struct list_walk *w, struct slice *out)
{
	bool escapes = id != FIELD_IF_MATCH && id != FIELD_IF_NONE_MATCH;

	if (!w->started) {
		w->started = true;
		w->field = head_find(h, id);
	}
	while (w->field != NULL) {
		struct slice value = field_value(h, w->field);
		while (w->at < value.n) {
			size_t end = member_end(value, w->at, escapes);
			*out = slice_trim(slice_of(value.p + w->at, end - w->at));
			w->at = end + 1;
			if (out->n > 0)
				return true;
		}
		w->field = head_next(h, w->field);
		w->at = 0;
	}
	return false;
}

bool
head_list_holds(const struct head *h, enum field_id id, struct slice member)
{
	struct list_walk w = {0};
	struct slice found;

	while (head_list_next(h, id, &w, &found))
		if (slice_ieq(found, member))
			return true;
	return false;
}
