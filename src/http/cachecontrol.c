#include "http/cachecontrol.h"

#include "http/sf.h"

enum argument { ARGUMENT_IGNORED, ARGUMENT_NAMES };

struct flag_row {
	struct slice directive;
	uint16_t member;
	enum argument argument;
};

struct seconds_row {
	struct slice directive;
	uint16_t member;
	int32_t malformed;
};

static const struct flag_row flag_rows[] = {
#define X(member, directive, argument)                                               \
	{{directive, sizeof(directive) - 1}, offsetof(struct cache_control, member), \
	    ARGUMENT_##argument},
    CC_FLAGS(X)
#undef X
};

static const struct seconds_row seconds_rows[] = {
#define X(member, directive, malformed) \
	{{directive, sizeof(directive) - 1}, offsetof(struct cache_control, member), malformed},
    CC_SECONDS(X)
#undef X
};

#define ROWS(table) (sizeof(table) / sizeof((table)[0]))

static bool *
flag_of(struct cache_control *cc, const struct flag_row *row)
{
	return (bool *)((char *)cc + row->member);
}

static int32_t *
seconds_of(struct cache_control *cc, const struct seconds_row *row)
{
	return (int32_t *)(void *)((char *)cc + row->member);
}

/* Cheaper than to compare: most rows differ in length, or at once. */
static bool
may_be(struct slice directive, struct slice name)
{
	return directive.n == name.n && ((directive.p[0] ^ name.p[0]) & ~0x20) == 0;
}

static const struct flag_row *
find_flag(struct slice name)
{
	for (size_t i = 0; i < ROWS(flag_rows); i++)
		if (may_be(flag_rows[i].directive, name) && slice_ieq(flag_rows[i].directive, name))
			return &flag_rows[i];
	return NULL;
}

static const struct seconds_row *
find_seconds(struct slice name)
{
	for (size_t i = 0; i < ROWS(seconds_rows); i++)
		if (may_be(seconds_rows[i].directive, name) &&
		    slice_ieq(seconds_rows[i].directive, name))
			return &seconds_rows[i];
	return NULL;
}

/* What a message says that says nothing. */
static const struct cache_control nothing = {
#define X(member, directive, malformed) .member = CC_NONE,
    CC_SECONDS(X)
#undef X
};

static void
cache_control_init(struct cache_control *cc)
{
	*cc = nothing;
}

int32_t
delta_seconds(struct slice s)
{
	int64_t v = 0;

	if (s.n == 0)
		return CC_NONE;
	for (size_t i = 0; i < s.n; i++) {
		unsigned d = (unsigned)(unsigned char)s.p[i] - '0';
		if (d > 9)
			return CC_NONE;
		v = v * 10 + d;
		if (v > CC_MAX_S)
			v = CC_MAX_S;
	}
	return (int32_t)v;
}

/* One directive as it stands between two commas. */
struct directive {
	struct slice name;
	bool has_value;	    /* an "=" follows the name */
	bool is_proper;	    /* nothing between name and "=", nor behind the value */
	struct slice value; /* without its quotes */
};

static bool
is_blank(char c)
{
	return c == ' ' || c == '\t';
}

/* The end of a quoted string that begins at s.p[0], behind its closing quote; 0 if it is never closed. */
static size_t
quoted_end(struct slice s)
{
	for (size_t i = 1; i < s.n; i++) {
		if (s.p[i] == '\\')
			i++;
		else if (s.p[i] == '"')
			return i + 1;
	}
	return 0;
}

/* Takes one directive off *rest, up to and with its comma. A string that is never closed ends at the next comma: what
 * stands behind it may be a no-store. */
static void
take_directive(struct slice *rest, struct directive *d)
{
	size_t i = 0, n = rest->n, string_end;
	const char *p = rest->p;

	while (i < n && p[i] != '=' && p[i] != ',' && p[i] != '"')
		i++;
	d->name = slice_trim(slice_of(p, i));
	d->has_value = i < n && p[i] == '=';
	d->is_proper = d->has_value && i > 0 && !is_blank(p[i - 1]);
	d->value = SLICE_NONE;
	if (d->has_value) {
		struct slice at = slice_skip(*rest, i + 1);
		if (at.n > 0 && at.p[0] == '"' && (string_end = quoted_end(at)) > 0) {
			d->value = slice_of(at.p + 1, string_end - 2);
			i += 1 + string_end;
			while (i < n && is_blank(p[i]))
				i++;
			d->is_proper = d->is_proper && (i == n || p[i] == ',');
		} else {
			size_t end = slice_index(at, ',');
			d->is_proper = d->is_proper && end > 0 && !is_blank(at.p[0]);
			d->value = slice_trim(slice_of(at.p, end));
		}
	}
	i += slice_index(slice_skip(*rest, i), ',');
	*rest = slice_skip(*rest, i < n ? i + 1 : n);
}

static bool
is_field_name_byte(char c)
{
	return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') ||
	    (c != '\0' && strchr("!#$%&'*+-.^_`|~", c) != NULL);
}

/* A list of at least one field name and nothing else. */
static bool
is_name_list(struct slice s)
{
	bool any = false;

	for (size_t i = 0; i < s.n; i++) {
		if (is_field_name_byte(s.p[i]))
			any = true;
		else if (s.p[i] != ',' && !is_blank(s.p[i]))
			return false;
	}
	return any;
}

static void
apply_flag(struct cache_control *cc, const struct flag_row *row, const struct directive *d)
{
	bool narrows = row->argument == ARGUMENT_NAMES && d->is_proper && is_name_list(d->value);

	if (narrows && cc->name_lists < CC_NAMES_MAX)
		cc->names[cc->name_lists++] = d->value;
	else
		*flag_of(cc, row) = true;
}

static void
apply_seconds(struct cache_control *cc, const struct seconds_row *row, const struct directive *d)
{
	int32_t *at = seconds_of(cc, row);
	int32_t s = d->is_proper ? delta_seconds(d->value) : CC_NONE;

	if (*at == CC_NONE)
		*at = s == CC_NONE ? row->malformed : s;
}

/* The name up to its first blank: `no-store x` still forbids. */
static struct slice
first_word(struct slice s)
{
	size_t n = 0;

	while (n < s.n && !is_blank(s.p[n]))
		n++;
	return slice_of(s.p, n);
}

static void
apply(struct cache_control *cc, const struct directive *d)
{
	const struct flag_row *flag;
	const struct seconds_row *seconds;

	if ((flag = find_flag(first_word(d->name))) != NULL)
		apply_flag(cc, flag, d);
	else if ((seconds = find_seconds(d->name)) != NULL)
		apply_seconds(cc, seconds, d);
}

static void
read_line(struct cache_control *cc, struct slice rest)
{
	struct directive d;

	while (rest.n > 0) {
		take_directive(&rest, &d);
		apply(cc, &d);
	}
}

/* Section 2.1 of RFC 9213: structured types, parameters ignored. False if the field does not count: it is empty, does
 * not parse, or gives a lifetime that is no number. */
static bool
read_targeted_member(struct cache_control *cc, const struct sf_member *m)
{
	const struct flag_row *flag = find_flag(m->key);
	const struct seconds_row *seconds = find_seconds(m->key);

	if (flag != NULL) {
		if (m->value.type != SF_BOOLEAN || m->value.number != 0)
			*flag_of(cc, flag) = true;
	} else if (seconds != NULL) {
		if (m->value.type != SF_INTEGER)
			return false;
		int64_t s = m->value.number;
		*seconds_of(cc, seconds) = s < 0 ? seconds->malformed
		    : s > CC_MAX_S		 ? CC_MAX_S
						 : (int32_t)s;
	}
	return true;
}

static bool
read_targeted(const struct head *h, enum field_id id, struct cache_control *cc)
{
	struct sf_walk w;
	struct sf_member m;
	enum sf_next next;
	bool any = false;

	cache_control_init(cc);
	for (const struct field *f = head_find(h, id); f != NULL; f = head_next(h, f)) {
		sf_walk_init(&w, field_value(h, f));
		while ((next = sf_dict_next(&w, &m)) == SF_MEMBER) {
			any = true;
			if (!read_targeted_member(cc, &m))
				return false;
		}
		if (next == SF_BAD)
			return false;
	}
	cc->source = CC_FROM_TARGETED;
	return any;
}

static void
read_cache_control(const struct head *h, struct cache_control *cc)
{
	cache_control_init(cc);
	for (const struct field *f = head_find(h, FIELD_CACHE_CONTROL); f != NULL;
	     f = head_next(h, f)) {
		cc->source = CC_FROM_CACHE_CONTROL;
		read_line(cc, field_value(h, f));
	}
}

void
cache_control_of_response(const struct head *h, struct cache_control *out)
{
	if (head_has(h, FIELD_FOREBAY_CACHE_CONTROL) &&
	    read_targeted(h, FIELD_FOREBAY_CACHE_CONTROL, out))
		return;
	if (head_has(h, FIELD_CDN_CACHE_CONTROL) && read_targeted(h, FIELD_CDN_CACHE_CONTROL, out))
		return;
	read_cache_control(h, out);
}

/* max-stale alone is met by any staleness (section 5.2.1.2). */
static bool
has_bare_max_stale(const struct head *h)
{
	return head_list_has(h, FIELD_CACHE_CONTROL, SLICE_LIT("max-stale"));
}

void
cache_control_of_request(const struct head *h, struct cache_control *out)
{
	if (!head_has(h, FIELD_CACHE_CONTROL) && !head_has(h, FIELD_PRAGMA)) {
		*out = nothing;
		return;
	}
	read_cache_control(h, out);
	if (out->source == CC_FROM_CACHE_CONTROL) {
		if (out->max_stale_s == CC_NONE && has_bare_max_stale(h))
			out->max_stale_s = CC_MAX_S;
	} else if (head_list_has(h, FIELD_PRAGMA, SLICE_LIT("no-cache"))) {
		out->source = CC_FROM_PRAGMA;
		out->no_cache = true;
	}
}

bool
cache_control_names(const struct cache_control *cc, struct slice field_name)
{
	for (unsigned i = 0; i < cc->name_lists; i++) {
		struct slice rest = cc->names[i];
		while (rest.n > 0) {
			size_t n = slice_index(rest, ',');
			if (slice_ieq(slice_trim(slice_of(rest.p, n)), field_name))
				return true;
			rest = slice_skip(rest, n < rest.n ? n + 1 : n);
		}
	}
	return false;
}
