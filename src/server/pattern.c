#include "server/pattern.h"

#define PCRE2_CODE_UNIT_WIDTH 8
#include <pcre2.h>
#include <stdlib.h>

#include "base/mem.h"
#include "server/regexends.h"

#define GROUPS_MAX 64
#define MATCH_LIMIT \
	100000 /* backtracking steps of one match: a hostile path cannot hold the loop */

/* The last two are of regular expressions only. */
enum segment_kind { SEGMENT_LITERAL, SEGMENT_CAPTURE, SEGMENT_REST, SEGMENT_BEGIN, SEGMENT_TAIL };

struct segment {
	enum segment_kind kind;
	struct slice text; /* the literal, or the capture's name */
};

struct pattern_regex {
	pcre2_code *code;
};

struct pattern {
	unsigned segments_count;
	struct segment *segments;
	pcre2_code *regex; /* matches instead of segments: these only say what it has in common */
	unsigned names_count;
	struct slice names[CAPTURES_MAX];
	uint32_t groups[CAPTURES_MAX]; /* the regex group of each name */
};

struct piece {
	struct slice text;
	int capture; /* -1: text */
};

struct template
{
	unsigned count;
	struct piece *pieces;
};

/* --- compiling --- */

static bool
add_name(struct pattern *p, struct slice name, const char **problem_out)
{
	for (unsigned i = 0; i < p->names_count; i++)
		if (slice_eq(p->names[i], name)) {
			*problem_out = "a name stands twice";
			return false;
		}
	if (p->names_count == CAPTURES_MAX) {
		*problem_out = "more than 16 names";
		return false;
	}
	p->names[p->names_count++] = name;
	return true;
}

static bool
add_segment(struct pattern *p, struct slice text, bool last, const char **problem_out)
{
	struct segment *s = &p->segments[p->segments_count++];

	if (slice_eq(text, SLICE_LIT("**"))) {
		*s = (struct segment){SEGMENT_REST, text};
		*problem_out = "** may only stand at the end";
		return last;
	}
	if (text.n >= 2 && text.p[0] == '{' && text.p[text.n - 1] == '}') {
		*s = (struct segment){SEGMENT_CAPTURE, slice_of(text.p + 1, text.n - 2)};
		*problem_out = "a name is missing between { and }";
		return s->text.n > 0 && add_name(p, s->text, problem_out);
	}
	*s = (struct segment){SEGMENT_LITERAL, text};
	*problem_out = "{name} and ** stand for whole segments";
	return slice_index(text, '{') == text.n && slice_index(text, '}') == text.n &&
	    slice_index(text, '*') == text.n;
}

struct pattern *
pattern_new(struct arena *mem, const char *text, const char **problem_out)
{
	struct slice rest = arena_copy(mem, slice_from(text));
	struct pattern *p = arena_zalloc(mem, sizeof(*p));
	unsigned most = 1;

	*problem_out = "a path begins with /";
	if (rest.n == 0 || rest.p[0] != '/')
		return NULL;
	for (size_t i = 0; i < rest.n; i++)
		most += rest.p[i] == '/';
	p->segments = arena_zalloc(mem, most * sizeof(*p->segments));
	do {
		size_t n;

		rest = slice_skip(rest, 1);
		n = slice_index(rest, '/');
		if (!add_segment(p, slice_of(rest.p, n), n == rest.n, problem_out))
			return NULL;
		rest = slice_skip(rest, n);
	} while (rest.n > 0);
	*problem_out = NULL;
	return p;
}

static pcre2_code *
compile_regex(const char *regex, uint32_t flags, const char **problem_out, size_t *offset_out)
{
	static _Thread_local PCRE2_UCHAR message[160];
	pcre2_code *code;
	int e;

	code = pcre2_compile((PCRE2_SPTR)regex, PCRE2_ZERO_TERMINATED, flags, &e, offset_out, NULL);
	if (code == NULL) {
		pcre2_get_error_message(e, message, sizeof(message));
		*problem_out = (const char *)message;
		return NULL;
	}
	pcre2_jit_compile(code, PCRE2_JIT_COMPLETE); /* only slower without */
	return code;
}

/* Whole segments of the text that all begin with, then a piece of one, then the text that all end with. */
static void
add_regex_segments(struct pattern *p, struct arena *mem, const char *regex)
{
	size_t room = strlen(regex) + 1, n;
	struct regex_ends ends = {.first = arena_alloc(mem, room), .last = arena_alloc(mem, room)};
	struct slice rest;

	regex_ends_find(regex, &ends);
	rest = slice_of(ends.first, ends.first_len);
	p->segments = arena_zalloc(mem, (room + 1) * sizeof(*p->segments));
	while (rest.n > 0 && rest.p[0] == '/' &&
	    (n = slice_index(slice_skip(rest, 1), '/')) < rest.n - 1) {
		p->segments[p->segments_count++] =
		    (struct segment){SEGMENT_LITERAL, slice_of(rest.p + 1, n)};
		rest = slice_skip(rest, n + 1);
	}
	if (rest.n > 1 && rest.p[0] == '/')
		p->segments[p->segments_count++] =
		    (struct segment){SEGMENT_BEGIN, slice_skip(rest, 1)};
	if (ends.last_len > 0)
		p->segments[p->segments_count++] =
		    (struct segment){SEGMENT_TAIL, slice_of(ends.last, ends.last_len)};
	else
		p->segments[p->segments_count++] = (struct segment){SEGMENT_REST, SLICE_NONE};
}

struct pattern *
pattern_new_regex(
    struct arena *mem, const char *regex, const char **problem_out, size_t *offset_out)
{
	struct pattern *p = arena_zalloc(mem, sizeof(*p));
	uint32_t count, size;
	const char *table;

	p->regex =
	    compile_regex(regex, PCRE2_ANCHORED | PCRE2_ENDANCHORED, problem_out, offset_out);
	if (p->regex == NULL)
		return NULL;
	pcre2_pattern_info(p->regex, PCRE2_INFO_NAMECOUNT, &count);
	pcre2_pattern_info(p->regex, PCRE2_INFO_NAMEENTRYSIZE, &size);
	pcre2_pattern_info(p->regex, PCRE2_INFO_NAMETABLE, &table);
	for (uint32_t i = 0; i < count; i++, table += size) {
		uint32_t group = (uint32_t)(unsigned char)table[0] << 8 | (unsigned char)table[1];

		*problem_out = "more than 63 groups";
		p->groups[i < CAPTURES_MAX ? i : 0] = group;
		if (group >= GROUPS_MAX ||
		    !add_name(p, arena_copy(mem, slice_from(table + 2)), problem_out)) {
			*offset_out = 0;
			pattern_free(p);
			return NULL;
		}
	}
	*problem_out = NULL;
	add_regex_segments(p, mem, regex);
	return p;
}

void
pattern_free(struct pattern *p)
{
	if (p == NULL || p->regex == NULL)
		return;
	pcre2_code_free(p->regex);
	p->regex = NULL;
}

unsigned
pattern_names(const struct pattern *p, const struct slice **names_out)
{
	*names_out = p->names;
	return p->names_count;
}

/* --- matching --- */

/* Buffers of a match, one set per thread: a match takes no memory. */
static _Thread_local pcre2_match_data *thread_data;
static _Thread_local pcre2_match_context *thread_bounds;

static pcre2_match_data *
match_data(void)
{
	if (thread_data == NULL) {
		thread_data = pcre2_match_data_create(GROUPS_MAX, NULL);
		thread_bounds = pcre2_match_context_create(NULL);
		if (thread_data == NULL || thread_bounds == NULL)
			bug("out of memory for a regular expression");
		pcre2_set_match_limit(thread_bounds, MATCH_LIMIT);
	}
	return thread_data;
}

void
pattern_thread_end(void)
{
	pcre2_match_data_free(thread_data);
	pcre2_match_context_free(thread_bounds);
	thread_data = NULL;
	thread_bounds = NULL;
}

static bool
matches_regex(const struct pattern *p, struct slice path, struct captures *out)
{
	pcre2_match_data *data = match_data();
	size_t *at = pcre2_get_ovector_pointer(data);

	if (pcre2_match(p->regex, (PCRE2_SPTR)path.p, path.n, 0, 0, data, thread_bounds) < 0)
		return false;
	out->count = p->names_count;
	for (unsigned i = 0; i < p->names_count; i++) {
		uint32_t g = p->groups[i];
		out->values[i] = at[2 * g] == PCRE2_UNSET
		    ? slice_of(path.p, 0)
		    : slice_of(path.p + at[2 * g], at[2 * g + 1] - at[2 * g]);
	}
	return true;
}

bool
pattern_matches(const struct pattern *p, struct slice path, struct captures *out)
{
	out->count = 0;
	if (p->regex != NULL)
		return matches_regex(p, path, out);
	for (unsigned i = 0; i < p->segments_count; i++) {
		const struct segment *s = &p->segments[i];
		size_t n;

		if (s->kind == SEGMENT_REST)
			return true; /* of nothing, too: the path without its last slash matches */
		if (path.n == 0 || path.p[0] != '/')
			return false;
		path = slice_skip(path, 1);
		n = slice_index(path, '/');
		if (s->kind == SEGMENT_CAPTURE) {
			if (n == 0)
				return false;
			out->values[out->count++] = slice_of(path.p, n);
		} else if (!slice_eq(s->text, slice_of(path.p, n)))
			return false;
		path = slice_skip(path, n);
	}
	return path.n == 0;
}

enum pattern_wish
pattern_wish(const struct pattern *p, unsigned i, struct slice *text_out)
{
	if (i == p->segments_count)
		return PATTERN_END;
	*text_out = p->segments[i].text;
	switch (p->segments[i].kind) {
	case SEGMENT_LITERAL:
		return PATTERN_TEXT;
	case SEGMENT_CAPTURE:
		return PATTERN_ANY;
	case SEGMENT_REST:
		return PATTERN_REST;
	case SEGMENT_BEGIN:
		return PATTERN_BEGIN;
	case SEGMENT_TAIL:
		return PATTERN_TAIL;
	}
	bug("segment of kind %d", p->segments[i].kind);
}

bool
pattern_covers(const struct pattern *a, const struct pattern *b)
{
	unsigned i;

	if (a->regex != NULL || b->regex != NULL)
		return false;
	for (i = 0; i < a->segments_count; i++) {
		const struct segment *sa = &a->segments[i], *sb = &b->segments[i];

		if (sa->kind == SEGMENT_REST)
			return true;
		if (i >= b->segments_count || sb->kind == SEGMENT_REST)
			return false;
		if (sa->kind == SEGMENT_LITERAL &&
		    (sb->kind != SEGMENT_LITERAL || !slice_eq(sa->text, sb->text)))
			return false;
		if (sa->kind == SEGMENT_CAPTURE && sb->kind == SEGMENT_LITERAL && sb->text.n == 0)
			return false;
	}
	return i == b->segments_count;
}

struct pattern_regex *
regex_new(const char *regex, const char **problem_out, size_t *offset_out)
{
	pcre2_code *code = compile_regex(regex, 0, problem_out, offset_out);
	struct pattern_regex *r;

	if (code == NULL)
		return NULL;
	r = must_malloc(sizeof(*r));
	r->code = code;
	return r;
}

void
regex_free(struct pattern_regex **rp)
{
	if (*rp == NULL)
		return;
	pcre2_code_free((*rp)->code);
	free(*rp);
	*rp = NULL;
}

bool
regex_finds(const struct pattern_regex *r, struct slice text)
{
	pcre2_match_data *data = match_data();

	return pcre2_match(r->code, (PCRE2_SPTR)(text.p == NULL ? "" : text.p), text.n, 0, 0, data,
		   thread_bounds) >= 0;
}

/* --- templates --- */

static int
name_index(const struct pattern *p, struct slice name)
{
	for (unsigned i = 0; i < p->names_count; i++)
		if (slice_eq(p->names[i], name))
			return (int)i;
	return -1;
}

struct template *
template_new(struct arena *mem, const char *text, const struct pattern *p, const char **problem_out)
{
	struct slice rest = arena_copy(mem, slice_from(text));
	struct template *t = arena_zalloc(mem, sizeof(*t));
	unsigned most = 1;

	for (size_t i = 0; i < rest.n; i++)
		most += rest.p[i] == '{' ? 2 : 0;
	t->pieces = arena_zalloc(mem, most * sizeof(*t->pieces));
	while (rest.n > 0) {
		size_t open = slice_index(rest, '{'), close;

		if (open > 0)
			t->pieces[t->count++] = (struct piece){slice_of(rest.p, open), -1};
		rest = slice_skip(rest, open);
		if (rest.n == 0)
			break;
		close = slice_index(rest, '}');
		*problem_out = "{ without }";
		if (close == rest.n)
			return NULL;
		*problem_out = "the route's path has no such {name}";
		t->pieces[t->count] = (struct piece){SLICE_NONE, -1};
		t->pieces[t->count].capture = name_index(p, slice_of(rest.p + 1, close - 1));
		if (t->pieces[t->count++].capture < 0)
			return NULL;
		rest = slice_skip(rest, close + 1);
	}
	*problem_out = NULL;
	return t;
}

struct template *
template_literal(struct arena *mem, struct slice text)
{
	struct template *t = arena_zalloc(mem, sizeof(*t));

	t->count = 1;
	t->pieces = arena_zalloc(mem, sizeof(*t->pieces));
	t->pieces[0] = (struct piece){arena_copy(mem, text), -1};
	return t;
}

void
template_expand(const struct template *t, const struct captures *c, struct buf *out)
{
	for (unsigned i = 0; i < t->count; i++) {
		const struct piece *piece = &t->pieces[i];
		buf_add_slice(out,
		    piece->capture < 0			      ? piece->text
			: (unsigned)piece->capture < c->count ? c->values[piece->capture]
							      : SLICE_NONE);
	}
}
