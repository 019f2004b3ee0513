/* ${NAME}, ${NAME:-text} and ${file:path} in scalars: see conf/yaml.h. */
#include <errno.h>
#include <stdlib.h>
#include <sys/stat.h>

#include "base/buf.h"
#include "conf/reader.h"

#define VALUE_BYTES_MAX (1u << 20) /* of one scalar, replaced */

struct substitution {
	struct conf_reader *r;
	struct conf_node *node;
	struct slice whole; /* the ${...} at hand, as written */
	struct buf *out;
};

/* Where in the file the ${...} at hand stands; the scalar if it cannot be found as it is (escapes).
 */
static struct conf_place
place_of(const struct substitution *s)
{
	struct conf_place at = s->node->at;
	struct slice text = conf_text_from(at);
	const char *found;

	if (text.n > s->node->at.width)
		text.n = (size_t)at.width * 4 < text.n ? (size_t)at.width * 4 : text.n;
	found = text.n == 0 ? NULL : memmem(text.p, text.n, s->whole.p, s->whole.n);
	if (found == NULL || memchr(text.p, '\n', (size_t)(found - text.p)) != NULL)
		return at;
	at = conf_place_of_byte(at.file, (size_t)(found - at.file->text.p));
	at.width = 0;
	for (size_t i = 0; i < s->whole.n; i++)
		at.width += ((unsigned char)s->whole.p[i] & 0xc0) != 0x80;
	return at;
}

static bool
is_name(struct slice s)
{
	for (size_t i = 0; i < s.n; i++) {
		unsigned char c = ascii_lower((unsigned char)s.p[i]);

		if (!(c == '_' || (c >= 'a' && c <= 'z') || (i > 0 && c >= '0' && c <= '9')))
			return false;
	}
	return s.n > 0;
}

static void
put_environment(struct substitution *s, struct slice inner)
{
	const char *colon = memmem(inner.p, inner.n, ":-", 2), *value;
	struct slice name = colon == NULL ? inner : slice_of(inner.p, (size_t)(colon - inner.p));

	if (!is_name(name)) {
		s->node->is_broken = true;
		conf_error(s->r->diag, place_of(s), "\"%.*s\" is not the name of a variable",
		    SLICE_FMT(name));
		conf_hint(s->r->diag,
		    "expected ${NAME}, ${NAME:-default} or ${file:/path}; write $$ for a dollar");
		return;
	}
	value = getenv(arena_copy(s->r->mem, name).p);
	if (value != NULL && (colon == NULL || value[0] != '\0')) {
		buf_add_slice(s->out, slice_from(value));
	} else if (colon != NULL) {
		buf_add_slice(s->out, slice_skip(inner, name.n + 2));
	} else {
		s->node->is_broken = true;
		conf_error(s->r->diag, place_of(s), "the environment variable %.*s is not set",
		    SLICE_FMT(name));
		conf_hint(
		    s->r->diag, "set it, or give a default: ${%.*s:-default}", SLICE_FMT(name));
	}
}

static const char *
why_unfit(struct slice content)
{
	return memchr(content.p, '\0', content.n) != NULL ? "it contains a NUL byte" : NULL;
}

static const char *
read_secret(struct substitution *s, const char *path, struct slice *out)
{
	unsigned mode;
	int failure = conf_read(s->r->mem, path, CONF_SECRET_BYTES_MAX, out, &mode);

	if (failure == EFBIG)
		return "it is larger than 64 KiB";
	if (failure != 0)
		return strerror(failure);
	if (mode & S_IROTH) {
		conf_warning(
		    s->r->diag, place_of(s), "everybody on this machine can read %s", path);
		conf_hint(s->r->diag, "chmod o-r %s", path);
	}
	if (out->n > 0 && out->p[out->n - 1] == '\n')
		out->n--;
	if (out->n > 0 && out->p[out->n - 1] == '\r')
		out->n--;
	return why_unfit(*out);
}

static bool
is_regular(const char *path)
{
	struct stat st;

	return stat(path, &st) < 0 ||
	    S_ISREG(st.st_mode); /* what is not there is told by reading */
}

static void
put_file(struct substitution *s, struct slice written)
{
	const char *path = arena_copy(s->r->mem, written).p, *why;
	struct slice content = SLICE_NONE;

	s->node->is_secret = true;
	if (s->r->is_closed) {
		why = "files cannot be named here";
	} else {
		path = conf_path_from(s->r, s->node->at.file, path);
		why =
		    is_regular(path) ? read_secret(s, path, &content) : "it is not a regular file";
	}
	if (why == NULL) {
		buf_add_slice(s->out, content);
		return;
	}
	s->node->is_broken = true;
	conf_error(s->r->diag, place_of(s), "cannot read %s: %s", path, why);
}

/* The text after "${": what to put for it. Returns the bytes it takes, the closing brace included.
 */
static size_t
put_one(struct substitution *s, struct slice rest)
{
	size_t n = slice_index(rest, '}');
	struct slice inner = slice_of(rest.p, n);

	if (n == rest.n) {
		s->whole = slice_of(rest.p - 2, rest.n + 2);
		s->node->is_broken = true;
		conf_error(s->r->diag, place_of(s), "\"${\" without its \"}\"");
		conf_hint(s->r->diag, "write $${ for a dollar and a brace");
		return n;
	}
	s->whole = slice_of(rest.p - 2, n + 3);
	if (slice_starts(inner, SLICE_LIT("file:")))
		put_file(s, slice_skip(inner, 5));
	else
		put_environment(s, inner);
	return n + 1;
}

static void
put_all(struct substitution *s, struct slice rest)
{
	while (rest.n > 0 && s->out->n <= VALUE_BYTES_MAX) {
		size_t n = slice_index(rest, '$');

		buf_add(s->out, rest.p, n);
		rest = slice_skip(rest, n);
		if (slice_starts(rest, SLICE_LIT("${"))) {
			rest = slice_skip(rest, 2);
			rest = slice_skip(rest, put_one(s, rest));
		} else if (rest.n > 0) {
			buf_add_char(s->out, '$');
			rest = slice_skip(rest, slice_starts(rest, SLICE_LIT("$$")) ? 2 : 1);
		}
	}
	if (rest.n > 0) {
		s->node->is_broken = true;
		conf_error(s->r->diag, s->node->at, "longer than 1 MiB when filled in");
	}
}

void
conf_substitute(struct conf_reader *r, struct conf_node *n)
{
	struct slice text = slice_from(n->written);
	struct buf out = {0};
	struct substitution s = {.r = r, .node = n, .out = &out};

	if (slice_index(text, '$') == text.n)
		return;
	n->is_substituted = memmem(text.p, text.n, "${", 2) != NULL;
	put_all(&s, text);
	n->text = n->is_broken ? "" : arena_copy(r->mem, buf_slice(&out)).p;
	buf_fini(&out);
}
