#include "policy/headers.h"

#include <assert.h>
#include <stdlib.h>

#include "base/mem.h"
#include "policy/token.h"

struct headers {
	struct header_line lines[HEADERS_RULES_MAX]; /* those for https alone last */
	size_t line_count, plain_count;
	uint64_t drop_ids[4];			    /* a bit for each known name */
	struct slice drop_names[HEADERS_RULES_MAX]; /* the others */
	size_t drop_count;
	struct buf text;    /* the lines as they are sent, then the dropped names */
	size_t plain_bytes; /* of text: the lines without those for https alone */
	size_t all_bytes;   /* of text: all lines */
};

_Static_assert(FIELD_COUNT <= 4 * 64, "drop_ids has a bit for each field");

/* --- Merging ------------------------------------------------------------------------------------ */

/* What all levels come to: each name once. */
struct merge {
	struct header_rule rules[HEADERS_RULES_MAX];
	size_t count;
};

static struct header_rule *
merge_find(struct merge *m, struct slice name)
{
	for (size_t i = 0; i < m->count; i++)
		if (slice_ieq(m->rules[i].name, name))
			return &m->rules[i];
	return NULL;
}

/* False when there are too many. */
static bool
merge_rule(struct merge *m, const struct header_rule *r)
{
	struct header_rule *had = merge_find(m, r->name);
	bool is_kept_out = had != NULL && (had->mode == HEADER_FORCE || had->mode == HEADER_STRIP);

	if (had == NULL) {
		if (m->count == HEADERS_RULES_MAX)
			return false;
		had = &m->rules[m->count++];
	}
	*had = *r;
	/* Another value does not let the origin's in again; only `off` does. */
	if (is_kept_out && r->mode == HEADER_SET)
		had->mode = HEADER_FORCE;
	return true;
}

static void
merge_presets(struct merge *m, const struct headers_level *levels, size_t level_count)
{
	enum headers_preset preset = HEADERS_PRESET_STANDARD;
	enum headers_server server = HEADERS_SERVER_HIDE;

	for (size_t i = 0; i < level_count; i++) {
		if (levels[i].preset != HEADERS_PRESET_INHERIT)
			preset = levels[i].preset;
		if (levels[i].server != HEADERS_SERVER_INHERIT)
			server = levels[i].server;
	}
#define X(field, standard, strict, text)                       \
	if ((preset == HEADERS_PRESET_STANDARD && standard) || \
	    (preset == HEADERS_PRESET_STRICT && strict))       \
		merge_rule(m,                                  \
		    &(struct header_rule){                     \
			field_spelling(FIELD_##field), SLICE_LIT(text), HEADER_SET});
	HEADERS_PRESETS(X)
#undef X
#define X(name) merge_rule(m, &(struct header_rule){SLICE_LIT(name), SLICE_NONE, HEADER_STRIP});
	if (server == HEADERS_SERVER_HIDE) {
		HEADERS_HIDDEN(X)
	}
#undef X
}

/* --- Checking ----------------------------------------------------------------------------------- */

/* Fields that frame or label a message, or that Forebay writes itself from what it knows. */
static bool
is_ours_alone(enum field_id id)
{
	switch (id) {
	case FIELD_AGE:
	case FIELD_CACHE_STATUS:
	case FIELD_CONTENT_ENCODING:
	case FIELD_CONTENT_LENGTH:
	case FIELD_CONTENT_RANGE:
	case FIELD_DATE:
	case FIELD_VARY:
	case FIELD_VIA:
	case FIELD_X_CACHE_STATUS:
	case FIELD_X_REQUEST_ID:
		return true;
	default:
		return field_is(id, F_HOP);
	}
}

static const char *
value_fault(struct slice value)
{
	if (value.n == 0)
		return "the value is empty: to leave the field out say `off`";
	if (value.n > HEADERS_VALUE_MAX_BYTES)
		return "the value is longer than 4096 bytes";
	for (size_t i = 0; i < value.n; i++) {
		unsigned char c = (unsigned char)value.p[i];

		if (c == '\r' || c == '\n')
			return "a value must not hold a line break";
		if ((c < ' ' && c != '\t') || c >= 0x7f)
			return "a value may hold printable ASCII only";
	}
	return NULL;
}

/* Why this rule cannot be, or NULL. */
static const char *
rule_fault(const struct header_rule *r)
{
	bool has_value = r->mode == HEADER_SET || r->mode == HEADER_FORCE;

	if (!slice_is_token(r->name))
		return "this is no field name: letters, digits and !#$%&'*+-.^_`|~ only";
	if (is_ours_alone(field_id_of(r->name)))
		return "this field belongs to the message itself and cannot be set here";
	return has_value ? value_fault(slice_trim(r->value)) : NULL;
}

/* The rule of the same level that has this name already. */
static bool
is_given_before(const struct headers_level *l, size_t rule)
{
	for (size_t i = 0; i < rule; i++)
		if (slice_ieq(l->rules[i].name, l->rules[rule].name))
			return true;
	return false;
}

static bool
merge_levels(struct merge *m, const struct headers_level *levels, size_t level_count,
    struct headers_error *error_out)
{
	merge_presets(m, levels, level_count);
	for (size_t l = 0; l < level_count; l++)
		for (size_t i = 0; i < levels[l].rule_count; i++) {
			struct header_rule r = levels[l].rules[i];
			const char *fault = rule_fault(&r);

			r.value = slice_trim(r.value);
			if (fault == NULL && is_given_before(&levels[l], i))
				fault = "this field is given twice";
			if (fault == NULL && !merge_rule(m, &r))
				fault = "there are more than 64 fields";
			if (fault != NULL) {
				*error_out = (struct headers_error){l, i, fault};
				return false;
			}
		}
	return true;
}

/* --- Rendering ---------------------------------------------------------------------------------- */

static void
add_lines(struct headers *h, const struct merge *m, bool is_https_only)
{
	for (size_t i = 0; i < m->count; i++) {
		const struct header_rule *r = &m->rules[i];
		enum field_id id = field_id_of(r->name);

		if (r->mode == HEADER_OFF || r->mode == HEADER_STRIP ||
		    (id == FIELD_STRICT_TRANSPORT_SECURITY) != is_https_only)
			continue;
		h->lines[h->line_count++] = (struct header_line){
		    .name = r->name,
		    .value = r->value,
		    .id = (uint8_t)id,
		    .is_forced = r->mode == HEADER_FORCE,
		    .is_https_only = is_https_only,
		};
		buf_add_slice(&h->text, r->name);
		buf_add_lit(&h->text, ": ");
		buf_add_slice(&h->text, r->value);
		buf_add_lit(&h->text, "\r\n");
	}
}

static void
add_drops(struct headers *h, const struct merge *m)
{
	for (size_t i = 0; i < m->count; i++) {
		const struct header_rule *r = &m->rules[i];
		enum field_id id = field_id_of(r->name);

		if (r->mode != HEADER_FORCE && r->mode != HEADER_STRIP)
			continue;
		if (id != FIELD_OTHER) {
			h->drop_ids[id / 64] |= UINT64_C(1) << id % 64;
			continue;
		}
		h->drop_names[h->drop_count++] = r->name;
		buf_add_slice(&h->text, r->name);
	}
}

/* The slices point at the rules until the text is whole; from here on they point into it. */
static void
own_slices(struct headers *h)
{
	const char *at = h->text.p;

	for (size_t i = 0; i < h->line_count; i++) {
		struct header_line *l = &h->lines[i];

		l->name.p = at;
		l->value.p = at + l->name.n + 2;
		at = l->value.p + l->value.n + 2;
	}
	for (size_t i = 0; i < h->drop_count; i++) {
		h->drop_names[i].p = at;
		at += h->drop_names[i].n;
	}
	assert(at == h->text.p + h->text.n);
}

struct headers *
headers_compile(
    const struct headers_level *levels, size_t level_count, struct headers_error *error_out)
{
	struct merge merge = {.count = 0};
	struct headers *h;

	if (!merge_levels(&merge, levels, level_count, error_out))
		return NULL;
	h = must_calloc(1, sizeof(*h));
	buf_room(&h->text, 1); /* a place to point at, even with no line */
	add_lines(h, &merge, false);
	h->plain_count = h->line_count;
	h->plain_bytes = h->text.n;
	add_lines(h, &merge, true);
	h->all_bytes = h->text.n;
	add_drops(h, &merge);
	own_slices(h);
	return h;
}

void
headers_free(struct headers **hp)
{
	struct headers *h = *hp;

	*hp = NULL;
	if (h == NULL)
		return;
	buf_fini(&h->text);
	free(h);
}

/* --- Use ---------------------------------------------------------------------------------------- */

bool
headers_drops(const struct headers *h, const struct head *origin, const struct field *f)
{
	struct slice name;

	if (f->id != FIELD_OTHER)
		return (h->drop_ids[f->id / 64] >> f->id % 64 & 1) != 0;
	name = field_name(origin, f);
	for (size_t i = 0; i < h->drop_count; i++)
		if (slice_ieq(h->drop_names[i], name))
			return true;
	return false;
}

static bool
is_said_by(const struct head *origin, const struct header_line *l)
{
	if (origin == NULL || l->is_forced)
		return false;
	if (l->id != FIELD_OTHER)
		return head_has(origin, l->id);
	return head_find_name(origin, l->name) != NULL;
}

bool
headers_adds(const struct headers *h, size_t i, const struct head *origin, bool is_https)
{
	const struct header_line *l = &h->lines[i];

	return (is_https || !l->is_https_only) && !is_said_by(origin, l);
}

/* The lines lie one after another: what lies between two that are left out is one copy. */
void
headers_apply(const struct headers *h, const struct head *origin, bool is_https, struct buf *out)
{
	size_t count = is_https ? h->line_count : h->plain_count;
	const char *end = h->text.p + (is_https ? h->all_bytes : h->plain_bytes);
	const char *from = h->text.p;

	for (size_t i = 0; i < count; i++) {
		const struct header_line *l = &h->lines[i];

		if (!is_said_by(origin, l))
			continue;
		buf_add(out, from, (size_t)(l->name.p - from));
		from = l->value.p + l->value.n + 2;
	}
	buf_add(out, from, (size_t)(end - from));
}

size_t
headers_count(const struct headers *h)
{
	return h->line_count;
}

const struct header_line *
headers_line(const struct headers *h, size_t i)
{
	assert(i < h->line_count);
	return &h->lines[i];
}
