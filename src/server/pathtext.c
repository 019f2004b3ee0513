#include "server/pathtext.h"

#include "base/buf.h"
#include "http/url.h"

/* One segment, or the part of one beside a {name}. */
static bool
add_literal(struct arena *mem, struct slice part, struct buf *out, const char **problem_out)
{
	char *path = arena_alloc(mem, part.n + 1);
	char *space = arena_alloc(mem, 3 * (part.n + 1) + 1);
	struct slice normal;
	enum url_fault fault;

	path[0] = '/';
	memcpy(path + 1, part.p, part.n);
	fault = url_path_normal(slice_of(path, part.n + 1), space, &normal);
	if (fault != URL_GOOD) {
		*problem_out = url_fault_text(fault);
		return false;
	}
	buf_add_slice(out, slice_skip(normal, 1));
	return true;
}

/* Where the literal part at the front of s ends. */
static size_t
literal_length(struct slice s)
{
	size_t n = 0;

	while (n < s.n && s.p[n] != '/' && s.p[n] != '{' && s.p[n] != '?')
		n++;
	return n;
}

/* From a "{" to its "}", or to the end: that one is missing is told by whoever reads the names. */
static size_t
name_length(struct slice s)
{
	size_t close = slice_index(s, '}');

	return close < s.n ? close + 1 : s.n;
}

static bool
is_dots(struct slice part)
{
	return slice_eq(part, SLICE_LIT(".")) || slice_eq(part, SLICE_LIT(".."));
}

static bool
add_all(struct arena *mem, struct slice rest, struct buf *out, const char **problem_out)
{
	while (rest.n > 0) {
		size_t n = literal_length(rest);
		bool is_whole = n == rest.n || rest.p[n] == '/' || rest.p[n] == '?';

		*problem_out = "no path in normal form has . or .. as a segment";
		if (is_whole && out->n > 0 && out->p[out->n - 1] == '/' &&
		    is_dots(slice_of(rest.p, n)))
			return false;
		if (n > 0 && !add_literal(mem, slice_of(rest.p, n), out, problem_out))
			return false;
		rest = slice_skip(rest, n);
		n = rest.n == 0	       ? 0
		    : rest.p[0] == '{' ? name_length(rest)
		    : rest.p[0] == '?' ? rest.n
				       : 1;
		buf_add(out, rest.p, n);
		rest = slice_skip(rest, n);
	}
	return true;
}

const char *
path_text_normal(struct arena *mem, const char *text, const char **problem_out)
{
	struct buf out = {0};
	const char *normal = NULL;

	if (add_all(mem, slice_from(text), &out, problem_out))
		normal = arena_copy(mem, buf_slice(&out)).p;
	buf_fini(&out);
	return normal;
}
