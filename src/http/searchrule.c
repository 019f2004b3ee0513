#include "http/searchrule.h"

#include <stdlib.h>

#include "http/sf.h"

/* --- application/x-www-form-urlencoded, in one spelling --- */

static int
hex_value(char c)
{
	if (c >= '0' && c <= '9')
		return c - '0';
	c = (char)ascii_lower((unsigned char)c);
	return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

static bool
is_plain(unsigned char c)
{
	return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
	    c == '-' || c == '.' || c == '_' || c == '~';
}

/* Decoded, and coded again as little as can be. */
static void
add_normal(struct slice s, struct buf *out)
{
	static const char digits[] = "0123456789ABCDEF";

	for (size_t i = 0; i < s.n; i++) {
		unsigned char c = (unsigned char)s.p[i];
		int high, low;

		if (c == '+')
			c = ' ';
		else if (c == '%' && s.n - i > 2 && (high = hex_value(s.p[i + 1])) >= 0 &&
		    (low = hex_value(s.p[i + 2])) >= 0) {
			c = (unsigned char)(high << 4 | low);
			i += 2;
		}
		if (is_plain(c)) {
			buf_add_char(out, (char)c);
			continue;
		}
		buf_add_char(out, '%');
		buf_add_char(out, digits[c >> 4]);
		buf_add_char(out, digits[c & 15]);
	}
}

static int
compare(struct slice a, struct slice b)
{
	int d = memcmp(a.p, b.p, a.n < b.n ? a.n : b.n);

	return d != 0 ? d : (a.n > b.n) - (a.n < b.n);
}

/* --- the rule --- */

/* The names of an inner list into a buffer, "," behind each. False: something else than strings is in there. */
static bool
add_names(struct slice inner, struct buf *names)
{
	struct sf_walk w;
	struct sf_member m;
	enum sf_next next;

	sf_walk_init(&w, inner);
	while ((next = sf_inner_next(&w, &m)) == SF_MEMBER) {
		char plain[SEARCH_RULE_MAX];

		if (m.value.type != SF_STRING || m.value.text.n > sizeof(plain))
			return false;
		add_normal(slice_of(plain, sf_string_copy(&m.value, plain)), names);
		buf_add_char(names, ',');
		if (names->n > SEARCH_RULE_MAX)
			return false;
	}
	return next == SF_END;
}

static int
compare_names(const void *a, const void *b)
{
	return compare(*(const struct slice *)a, *(const struct slice *)b);
}

/* The same sorted, each once. */
static void
add_sorted(struct slice names, struct buf *out)
{
	struct slice list[SEARCH_RULE_MAX];
	size_t n = 0;

	while (names.n > 0) {
		list[n++] = slice_of(names.p, slice_index(names, ','));
		names = slice_skip(names, list[n - 1].n + 1);
	}
	qsort(list, n, sizeof(*list), compare_names);
	for (size_t i = 0; i < n; i++) {
		if (i > 0 && slice_eq(list[i], list[i - 1]))
			continue;
		buf_add_slice(out, list[i]);
		buf_add_char(out, ',');
	}
}

/* Section 5.1 of the draft, on the field's value. */
static bool
read_value(struct slice value, struct buf *out)
{
	struct sf_member order, list;
	struct buf names = {0};
	bool is_but, has_list, is_good = true;

	if (!sf_dict_is_valid(value))
		return false;
	if (sf_dict_get(value, SLICE_LIT("key-order"), &order)) {
		if (order.value.type != SF_BOOLEAN)
			return false;
		if (order.value.number != 0)
			buf_add_char(out, 'k');
	}
	is_but = sf_dict_get(value, SLICE_LIT("except"), &list);
	has_list = is_but;
	if (sf_dict_get(value, SLICE_LIT("params"), &order)) {
		if (is_but)
			return false;
		list = order;
		has_list = true;
	}
	buf_add_char(out, is_but ? 'e' : 'p');
	if (has_list)
		is_good = list.value.type == SF_INNER && add_names(list.value.text, &names);
	if (is_good)
		add_sorted(buf_slice(&names), out);
	buf_fini(&names);
	return is_good;
}

bool
search_rule_read(const struct head *response, struct buf *out)
{
	const struct field *f = head_find(response, FIELD_NO_VARY_SEARCH);
	size_t before = out->n;
	struct buf whole = {0};
	bool is_good;

	if (f == NULL)
		return false;
	for (; f != NULL; f = head_next(response, f)) {
		if (whole.n > 0)
			buf_add_lit(&whole, ", ");
		buf_add_slice(&whole, field_value(response, f));
	}
	is_good = read_value(buf_slice(&whole), out) && out->n - before <= SEARCH_RULE_MAX &&
	    !(out->n - before == 1 && out->p[before] == 'p');
	buf_fini(&whole);
	if (!is_good)
		out->n = before;
	return is_good;
}

/* --- the query --- */

struct param {
	size_t at, name_n, n; /* in the text that is made: "name=value" */
	unsigned place;
	const char *text;
};

static int
compare_params(const void *va, const void *vb)
{
	const struct param *a = va, *b = vb;
	int d = compare(slice_of(a->text + a->at, a->name_n), slice_of(b->text + b->at, b->name_n));

	return d != 0 ? d : (int)a->place - (int)b->place;
}

/* names: "," behind each. */
static bool
is_among(struct slice names, struct slice name)
{
	while (names.n > 0) {
		size_t n = slice_index(names, ',');

		if (slice_eq(slice_of(names.p, n), name))
			return true;
		names = slice_skip(names, n + 1);
	}
	return false;
}

/* The pairs that count, in normal form. Returns how many, or -1: too many. */
static int
collect(struct slice query, struct slice names, bool is_but, struct buf *text, struct param *params)
{
	int count = 0;

	while (query.n > 0) {
		size_t end = slice_index(query, '&');
		struct slice pair = slice_of(query.p, end);
		size_t eq = slice_index(pair, '=');
		struct param p = {.at = text->n, .place = (unsigned)count};
		struct slice name = SLICE_LIT("");

		query = slice_skip(query, end < query.n ? end + 1 : end);
		if (pair.n == 0)
			continue;
		add_normal(slice_of(pair.p, eq), text);
		if ((p.name_n = text->n - p.at) > 0)
			name = slice_of(text->p + p.at, p.name_n);
		if (is_among(names, name) != is_but) {
			text->n = p.at;
			continue;
		}
		if (count == SEARCH_PARAMS_MAX)
			return -1;
		buf_add_char(text, '=');
		add_normal(slice_skip(pair, eq < pair.n ? eq + 1 : eq), text);
		p.n = text->n - p.at;
		params[count++] = p;
	}
	return count;
}

bool
search_simplify(struct slice rule, struct slice query, struct buf *out)
{
	struct param params[SEARCH_PARAMS_MAX];
	bool is_sorted = rule.p[0] == 'k';
	struct slice names = slice_skip(rule, is_sorted ? 2 : 1);
	struct buf text = {0};
	int count = collect(query, names, rule.p[is_sorted ? 1 : 0] == 'e', &text, params);

	for (int i = 0; i < count; i++)
		params[i].text = text.p;
	if (is_sorted && count > 1)
		qsort(params, (size_t)count, sizeof(*params), compare_params);
	for (int i = 0; i < count; i++) {
		if (i > 0)
			buf_add_char(out, '&');
		buf_add(out, text.p + params[i].at, params[i].n);
	}
	buf_fini(&text);
	return count >= 0;
}
