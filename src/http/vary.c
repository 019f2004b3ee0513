#include "http/vary.h"

#include "http/negotiate.h"

/* Where a key goes: into a buffer, or against one that is stored, byte by byte, so that a match copies nothing. */
struct sink {
	struct buf *into;      /* NULL: compare */
	struct slice expected; /* what is still to come */
	bool differs;
};

static void
sink_add(struct sink *s, const char *p, size_t n)
{
	if (s->into != NULL) {
		buf_add(s->into, p, n);
	} else if (!slice_starts(s->expected, slice_of(p, n))) {
		s->differs = true;
	} else {
		s->expected = slice_skip(s->expected, n);
	}
}

static void
sink_add_char(struct sink *s, char c)
{
	sink_add(s, &c, 1);
}

bool
vary_is_star(const struct head *response)
{
	for (const struct field *f = head_find(response, FIELD_VARY); f != NULL;
	     f = head_next(response, f)) {
		struct slice value = field_value(response, f);
		if (slice_index(value, '*') < value.n)
			return true;
	}
	return false;
}

/* Fields whose value is one thing, commas and blanks included. */
static bool
is_single(enum field_id id)
{
	switch (id) {
	case FIELD_AUTHORIZATION:
	case FIELD_COOKIE:
	case FIELD_FROM:
	case FIELD_HOST:
	case FIELD_IF_MODIFIED_SINCE:
	case FIELD_IF_RANGE:
	case FIELD_IF_UNMODIFIED_SINCE:
	case FIELD_ORIGIN:
	case FIELD_REFERER:
	case FIELD_USER_AGENT:
	case FIELD_X_API_KEY:
		return true;
	default:
		return false;
	}
}

/* One line of a list without the blanks that mean nothing. */
static void
sink_list_line(struct sink *s, struct slice line, bool lower)
{
	bool quoted = false;
	size_t held = 0; /* blanks seen that count unless a comma follows */

	for (size_t i = 0; i < line.n; i++) {
		char c = line.p[i];
		if (!quoted && (c == ' ' || c == '\t')) {
			held++;
			continue;
		}
		bool after_comma = i > held && line.p[i - held - 1] == ',';
		if (held > 0 && c != ',' && !after_comma)
			sink_add(s, line.p + i - held, held);
		held = 0;
		sink_add_char(s, lower ? (char)ascii_lower((unsigned char)c) : c);
		if (quoted && c == '\\' && i + 1 < line.n)
			sink_add_char(s, line.p[++i]);
		else if (c == '"')
			quoted = !quoted;
	}
}

/* False if its normal form is too long; it is then taken as it stands. */
static bool
sink_accept_encoding(struct sink *s, const struct head *request)
{
	char normal[ACCEPT_ENCODING_MAX];
	size_t n = accept_encoding_normal(request, normal);

	if (n > sizeof(normal))
		return false;
	sink_add(s, normal, n);
	return true;
}

/* The line itself, or the next that goes upstream: what Connection takes away the origin cannot have varied on. */
static const struct field *
seen(const struct head *request, const struct field *f)
{
	while (f != NULL && f->is_hop)
		f = head_next_name(request, f);
	return f;
}

/* The value of one field of the request, its mark in front. */
static void
sink_value(struct sink *s, const struct head *request, struct slice name)
{
	const struct field *f = seen(request, head_find_name(request, name));
	enum field_id id = field_id_of(name);

	sink_add_char(s, f == NULL ? '\2' : '\1');
	if (f != NULL && id == FIELD_ACCEPT_ENCODING && sink_accept_encoding(s, request))
		return;
	for (bool first = true; f != NULL;
	     f = seen(request, head_next_name(request, f)), first = false) {
		if (!first)
			sink_add_char(s, ',');
		struct slice line = field_value(request, f);
		if (is_single(id))
			sink_add(s, line.p, line.n);
		else
			sink_list_line(s, line, id == FIELD_ACCEPT_LANGUAGE);
	}
}

static int
compare_names(struct slice a, struct slice b)
{
	size_t n = a.n < b.n ? a.n : b.n;

	for (size_t i = 0; i < n; i++) {
		int d = ascii_lower((unsigned char)a.p[i]) - ascii_lower((unsigned char)b.p[i]);
		if (d != 0)
			return d;
	}
	return a.n < b.n ? -1 : a.n > b.n;
}

static bool
is_name(struct slice s)
{
	for (size_t i = 0; i < s.n; i++) {
		char c = s.p[i];
		char lower = (char)ascii_lower((unsigned char)c);
		if (!(lower >= 'a' && lower <= 'z') && !(c >= '0' && c <= '9') &&
		    (c == '\0' || strchr("!#$%&'+-.^_`|~", c) == NULL))
			return false;
	}
	return true;
}

struct names {
	struct slice name[VARY_NAMES_MAX]; /* sorted, each once */
	unsigned n;
};

static bool
insert_name(struct names *names, struct slice name)
{
	unsigned at = 0;

	while (at < names->n && compare_names(names->name[at], name) < 0)
		at++;
	if (at < names->n && compare_names(names->name[at], name) == 0)
		return true;
	if (names->n == VARY_NAMES_MAX)
		return false;
	memmove(names->name + at + 1, names->name + at, (names->n - at) * sizeof(name));
	names->name[at] = name;
	names->n++;
	return true;
}

/* What the connection says of itself is in no request's head: it cannot be compared (RFC 9440 section 3.2). */
static bool
is_of_connection(struct slice name)
{
	enum field_id id = field_id_of(name);

	return id == FIELD_CLIENT_CERT || id == FIELD_CLIENT_CERT_CHAIN;
}

/* The names in Vary. False if there are too many, or one is "*", no name or of the connection. Commas separate here whatever quotes
 * stand around them: a name must not hide in a string. */
static bool
collect_names(const struct head *response, struct names *names)
{
	names->n = 0;
	for (const struct field *f = head_find(response, FIELD_VARY); f != NULL;
	     f = head_next(response, f)) {
		struct slice rest = field_value(response, f);
		while (rest.n > 0) {
			size_t n = slice_index(rest, ',');
			struct slice name = slice_trim(slice_of(rest.p, n));
			if (!is_name(name) || is_of_connection(name) ||
			    (name.n > 0 && !insert_name(names, name)))
				return false;
			rest = slice_skip(rest, n < rest.n ? n + 1 : n);
		}
	}
	return true;
}

bool
vary_key(const struct head *response, const struct head *request, struct buf *b)
{
	struct names names;
	struct sink s = {.into = b};
	size_t from = b->n;

	if (!collect_names(response, &names))
		return false;
	for (unsigned i = 0; i < names.n; i++) {
		struct slice name = names.name[i];
		for (size_t k = 0; k < name.n; k++)
			sink_add_char(&s, (char)ascii_lower((unsigned char)name.p[k]));
		sink_value(&s, request, name);
		sink_add_char(&s, '\n');
	}
	if (b->n - from <= VARY_KEY_MAX)
		return true;
	b->n = from;
	return false;
}

/* The length of the name that a vary key begins with. */
static size_t
name_length(struct slice key)
{
	size_t n = 0;

	while (n < key.n && key.p[n] != '\1' && key.p[n] != '\2')
		n++;
	return n;
}

void
vary_key_like(struct slice key, const struct head *request, struct buf *b)
{
	struct sink s = {.into = b};

	while (key.n > 0) {
		struct slice name = slice_of(key.p, name_length(key));
		size_t line = slice_index(key, '\n');

		sink_add(&s, name.p, name.n);
		sink_value(&s, request, name);
		sink_add_char(&s, '\n');
		key = slice_skip(key, line < key.n ? line + 1 : line);
	}
}

bool
vary_matches(struct slice key, const struct head *request)
{
	while (key.n > 0) {
		size_t n = name_length(key);
		struct sink s = {.expected = slice_skip(key, n)};
		sink_value(&s, request, slice_of(key.p, n));
		sink_add_char(&s, '\n');
		if (s.differs)
			return false;
		key = s.expected;
	}
	return true;
}
