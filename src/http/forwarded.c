#include "http/forwarded.h"

/* A token: what a name is made of, and a value without quotes. */
static size_t
token_length(struct slice s)
{
	size_t n = 0;

	while (n < s.n) {
		char c = (char)ascii_lower((unsigned char)s.p[n]);

		if (!(c >= 'a' && c <= 'z') && !(c >= '0' && c <= '9') &&
		    (c == '\0' || strchr("!#$%&'*+-.^_`|~", c) == NULL))
			break;
		n++;
	}
	return n;
}

/* With its quotes; 0 if it does not end, or holds what may not stand there. */
static size_t
quoted_length(struct slice s)
{
	for (size_t i = 1; i < s.n; i++) {
		unsigned char c = (unsigned char)s.p[i];

		if (c == '"')
			return i + 1;
		if ((c < ' ' && c != '\t') || c == 0x7f)
			return 0;
		if (c == '\\')
			i++;
	}
	return 0;
}

struct pair {
	struct slice name, value; /* value with its quotes */
};

enum pair_next { PAIR, PAIR_END, PAIR_BAD };

/* The next pair of an element. Empty ones are skipped, as the grammar allows. */
static enum pair_next
next_pair(struct slice *rest, struct pair *out)
{
	size_t n;

	while (rest->n > 0 && (rest->p[0] == ';' || rest->p[0] == ' ' || rest->p[0] == '\t'))
		*rest = slice_skip(*rest, 1);
	if (rest->n == 0)
		return PAIR_END;
	n = token_length(*rest);
	if (n == 0 || n == rest->n || rest->p[n] != '=')
		return PAIR_BAD;
	out->name = slice_of(rest->p, n);
	*rest = slice_skip(*rest, n + 1);
	n = rest->n > 0 && rest->p[0] == '"' ? quoted_length(*rest) : token_length(*rest);
	if (n == 0)
		return PAIR_BAD;
	out->value = slice_of(rest->p, n);
	*rest = slice_skip(*rest, n);
	*rest = slice_trim(*rest);
	return rest->n > 0 && rest->p[0] != ';' ? PAIR_BAD : PAIR;
}

bool
forwarded_is_valid(const struct head *h)
{
	struct list_walk w = {0};
	struct slice element;
	struct pair pair;
	enum pair_next next;

	while (head_list_next(h, FIELD_FORWARDED, &w, &element)) {
		while ((next = next_pair(&element, &pair)) == PAIR)
			;
		if (next == PAIR_BAD)
			return false;
	}
	return true;
}

static void
add_pair(const struct pair *pair, struct buf *out)
{
	if (slice_ieq(pair->name, SLICE_LIT("for")) || slice_ieq(pair->name, SLICE_LIT("by")))
		return;
	buf_add_char(out, ';');
	for (size_t i = 0; i < pair->name.n; i++)
		buf_add_char(out, (char)ascii_lower((unsigned char)pair->name.p[i]));
	buf_add_char(out, '=');
	buf_add_slice(out, pair->value);
}

void
forwarded_add_outside(const struct head *h, struct buf *out)
{
	struct list_walk w = {0};
	struct slice element;
	struct pair pair;

	while (head_list_next(h, FIELD_FORWARDED, &w, &element)) {
		while (next_pair(&element, &pair) == PAIR)
			add_pair(&pair, out);
		buf_add_char(out, ',');
	}
}
