#include "http/sf_priv.h"

static bool
is_key_rest(char c)
{
	return sf_is_lower(c) || sf_is_digit(c) || c == '_' || c == '-' || c == '.' || c == '*';
}

static void
skip_sp(struct sf_walk *w)
{
	while (w->at < w->end && *w->at == ' ')
		w->at++;
}

static void
skip_ows(struct sf_walk *w)
{
	while (w->at < w->end && (*w->at == ' ' || *w->at == '\t'))
		w->at++;
}

static bool
read_key(struct sf_walk *w, struct slice *out)
{
	const char *from = w->at;

	if (w->at == w->end || !(sf_is_lower(*w->at) || *w->at == '*'))
		return false;
	while (w->at < w->end && is_key_rest(*w->at))
		w->at++;
	*out = slice_of(from, (size_t)(w->at - from));
	return true;
}

/* One ";key" or ";key=value", blanks between included. */
static bool
read_param(struct sf_walk *w, struct sf_member *out)
{
	out->params = SLICE_NONE;
	out->value = (struct sf_value){.type = SF_BOOLEAN, .number = 1};
	if (!sf_take(w, ';'))
		return false;
	skip_sp(w);
	if (!read_key(w, &out->key))
		return false;
	return !sf_take(w, '=') || sf_read_bare(w, &out->value);
}

static bool
read_params(struct sf_walk *w, struct slice *out)
{
	const char *from = w->at;
	struct sf_member one;

	while (w->at < w->end && *w->at == ';')
		if (!read_param(w, &one))
			return false;
	*out = slice_of(from, (size_t)(w->at - from));
	return true;
}

static bool
read_item(struct sf_walk *w, struct sf_member *m)
{
	return sf_read_bare(w, &m->value) && read_params(w, &m->params);
}

static bool
read_inner(struct sf_walk *w, struct sf_member *m)
{
	const char *from = ++w->at;
	struct sf_member one;

	while (w->at < w->end) {
		skip_sp(w);
		if (w->at < w->end && *w->at == ')') {
			m->value = (struct sf_value){
			    .type = SF_INNER, .text = slice_of(from, (size_t)(w->at - from))};
			w->at++;
			return read_params(w, &m->params);
		}
		if (!read_item(w, &one) || w->at == w->end || (*w->at != ' ' && *w->at != ')'))
			return false;
	}
	return false;
}

static bool
read_item_or_inner(struct sf_walk *w, struct sf_member *m)
{
	return w->at < w->end && *w->at == '(' ? read_inner(w, m) : read_item(w, m);
}

void
sf_walk_init(struct sf_walk *w, struct slice text)
{
	const char *from = text.n == 0 ? "" : text.p;

	*w = (struct sf_walk){.at = from, .end = from + text.n};
}

/* Stands before the next member: SF_MEMBER, SF_END, or SF_BAD for a missing or trailing comma. */
static enum sf_next
next_begins(struct sf_walk *w)
{
	if (!w->started) {
		w->started = true;
		skip_sp(w);
		return w->at == w->end ? SF_END : SF_MEMBER;
	}
	skip_ows(w);
	if (w->at == w->end)
		return SF_END;
	if (!sf_take(w, ','))
		return SF_BAD;
	skip_ows(w);
	return w->at == w->end ? SF_BAD : SF_MEMBER;
}

enum sf_next
sf_list_next(struct sf_walk *w, struct sf_member *out)
{
	enum sf_next next = next_begins(w);

	*out = (struct sf_member){0};
	if (next == SF_MEMBER && !read_item_or_inner(w, out))
		next = SF_BAD;
	return next;
}

enum sf_next
sf_dict_next(struct sf_walk *w, struct sf_member *out)
{
	enum sf_next next = next_begins(w);

	*out = (struct sf_member){.value = {.type = SF_BOOLEAN, .number = 1}};
	if (next != SF_MEMBER)
		return next;
	if (!read_key(w, &out->key))
		return SF_BAD;
	if (sf_take(w, '='))
		return read_item_or_inner(w, out) ? SF_MEMBER : SF_BAD;
	return read_params(w, &out->params) ? SF_MEMBER : SF_BAD;
}

enum sf_next
sf_inner_next(struct sf_walk *w, struct sf_member *out)
{
	*out = (struct sf_member){0};
	skip_sp(w);
	if (w->at == w->end)
		return SF_END;
	return read_item(w, out) ? SF_MEMBER : SF_BAD;
}

enum sf_next
sf_param_next(struct sf_walk *w, struct sf_member *out)
{
	*out = (struct sf_member){0};
	if (w->at == w->end)
		return SF_END;
	return read_param(w, out) ? SF_MEMBER : SF_BAD;
}

bool
sf_item(struct slice text, struct sf_member *out)
{
	struct sf_walk w;

	sf_walk_init(&w, text);
	*out = (struct sf_member){0};
	skip_sp(&w);
	if (!read_item(&w, out))
		return false;
	skip_sp(&w);
	return w.at == w.end;
}

static bool
is_valid(struct slice text, enum sf_next (*next)(struct sf_walk *, struct sf_member *))
{
	struct sf_walk w;
	struct sf_member m;
	enum sf_next got;

	sf_walk_init(&w, text);
	while ((got = next(&w, &m)) == SF_MEMBER)
		;
	return got == SF_END;
}

bool
sf_list_is_valid(struct slice text)
{
	return is_valid(text, sf_list_next);
}

bool
sf_dict_is_valid(struct slice text)
{
	return is_valid(text, sf_dict_next);
}

bool
sf_dict_get(struct slice text, struct slice key, struct sf_member *out)
{
	struct sf_walk w;
	struct sf_member m;
	enum sf_next got;
	bool found = false;

	sf_walk_init(&w, text);
	while ((got = sf_dict_next(&w, &m)) == SF_MEMBER)
		if (slice_eq(m.key, key)) {
			*out = m;
			found = true;
		}
	return found && got == SF_END;
}

bool
sf_param(const struct sf_member *m, struct slice name, struct sf_value *out)
{
	struct sf_walk w;
	struct sf_member p;
	bool found = false;

	sf_walk_init(&w, m->params);
	while (sf_param_next(&w, &p) == SF_MEMBER)
		if (slice_eq(p.key, name)) {
			*out = p.value;
			found = true;
		}
	return found;
}

bool
sf_is_key(struct slice s)
{
	struct sf_walk w;
	struct slice key;

	sf_walk_init(&w, s);
	return read_key(&w, &key) && w.at == w.end;
}
