#include "conf/scalar.h"

#include <string.h>

#include "base/buf.h"
#include "base/mem.h"
#include "conf/fill.h"
#include "conf/glyph.h"
#include "conf/nearest.h"
#include "conf/value.h"

#define SHOWN_BYTES_MAX 60 /* of a value in a message */

static const struct {
	const char *noun, *expected;
} kinds[CONF_TYPES] = {
    [CONF_BOOL] = {"yes or no", "yes or no"},
    [CONF_INT] = {"a whole number", "a whole number"},
    [CONF_DURATION] = {"a duration", "500ms, 10s, 5m, 1h, 7d or \"00:05:00\""},
    [CONF_SIZE] = {"a size", "512B, 4KiB, 256MiB, 1GiB or the like"},
    [CONF_RATIO] = {"a share", "5% or 0.05"},
    [CONF_STATUS] = {"an HTTP status", "100 to 599"},
    [CONF_STRING] = {"a text", "a text"},
    [CONF_SECRET] = {"a secret", "\"${file:/path}\" or \"${NAME}\""},
    [CONF_ADDRESS] = {"an address", "host:port, :port, [v6]:port or unix:/path"},
    [CONF_CHOICE] = {"a word", "a word"},
};

const char *
conf_shown(struct conf_context *cx, const struct conf_directive *row, const struct conf_node *n)
{
	const char *text = n->is_substituted ? n->written : n->text;

	if ((n->is_secret && !n->is_substituted) ||
	    (row != NULL && row->type == CONF_SECRET && !n->is_substituted))
		return "the value";
	return arena_printf(
	    cx->mem, "\"%s\"", glyph_clean(cx->mem, slice_from(text), SHOWN_BYTES_MAX))
	    .p;
}

static const char *
words_text(struct conf_context *cx, const struct conf_word *words)
{
	struct buf b = {0};
	const char *s;

	for (size_t n = 0; words != NULL && words->word != NULL; words++)
		if (!words->is_also)
			buf_printf(&b, "%s%s", n++ > 0 ? ", " : "", words->word);
	s = arena_copy(cx->mem, buf_slice(&b)).p;
	buf_fini(&b);
	return s;
}

static void
hint_expected(struct conf_context *cx, const struct conf_directive *row)
{
	enum conf_type type = row->type == CONF_STRINGS ? CONF_STRING
	    : row->type == CONF_ADDRESSES		? CONF_ADDRESS
							: row->type;

	if (type == CONF_CHOICE || type == CONF_CHOICES)
		conf_hint(cx->diag, "expected one of %s", words_text(cx, row->words));
	else if (row->form != NULL)
		conf_hint(cx->diag, "expected %s", row->form);
	else if (kinds[type].expected != NULL)
		conf_hint(cx->diag, "expected %s%s%s", kinds[type].expected,
		    row->words == NULL ? "" : ", or ", words_text(cx, row->words));
}

static int
refuse_kind(struct conf_context *cx, const struct conf_directive *row, const struct conf_node *n)
{
	static const char *const found[] = {"nothing", "a list", "a map"};

	conf_error(cx->diag, n->at, "%s: one value is expected here, not %s", conf_row_name(row),
	    found[n->kind]);
	hint_expected(cx, row);
	return -1;
}

static int
refuse_value(struct conf_context *cx, const struct conf_directive *row, const struct conf_node *n)
{
	enum conf_type type = row->type == CONF_ADDRESSES ? CONF_ADDRESS : row->type;

	if (conf_node_is_empty(n))
		conf_error(cx->diag, n->at, "%s: the value is missing", conf_row_name(row));
	else
		conf_error(cx->diag, n->at, "%s: %s is not %s", conf_row_name(row),
		    conf_shown(cx, row, n), kinds[type].noun);
	hint_expected(cx, row);
	return -1;
}

static int
refuse_unit(struct conf_context *cx, const struct conf_directive *row, const struct conf_node *n)
{
	const char *v = n->text;

	conf_error(
	    cx->diag, n->at, "%s: %s has no unit", conf_row_name(row), conf_shown(cx, row, n));
	if (n->is_substituted || strlen(v) > 18)
		hint_expected(cx, row);
	else if (row->type == CONF_DURATION)
		conf_hint(cx->diag, "did you mean %ss? units are ms, s, m, h, d", v);
	else
		conf_hint(
		    cx->diag, "did you mean %sKiB? units are B, KiB, MiB, GiB, KB, MB, GB", v);
	return -1;
}

static int
refuse_range(struct conf_context *cx, const struct conf_directive *row, const struct conf_node *n,
    bool is_less)
{
	conf_error(cx->diag, n->at, "%s: %s is %s than %s", conf_row_name(row),
	    conf_shown(cx, row, n), is_less ? "less" : "more", is_less ? row->least : row->most);
	if (row->least != NULL && row->most != NULL)
		conf_hint(cx->diag, "expected %s to %s", row->least, row->most);
	else
		conf_hint(cx->diag, "expected %s %s", is_less ? "at least" : "at most",
		    is_less ? row->least : row->most);
	return -1;
}

static enum conf_value_result
read_number(enum conf_type type, const char *text, int64_t *out)
{
	switch (type) {
	case CONF_DURATION:
		return conf_value_duration(text, out);
	case CONF_SIZE:
		return conf_value_size(text, out);
	default:
		return conf_value_int(text, out);
	}
}

int64_t
conf_bound(const struct conf_directive *row, const char *text)
{
	int64_t v = 0;

	if (read_number(row->type, text, &v) != CONF_VALUE_OK)
		bug("%s: \"%s\" is no bound", row->name, text);
	return v;
}

static int
check_range(
    struct conf_context *cx, const struct conf_directive *row, const struct conf_node *n, int64_t v)
{
	if (row->least != NULL && v < conf_bound(row, row->least))
		return refuse_range(cx, row, n, true);
	if (row->most != NULL && v > conf_bound(row, row->most))
		return refuse_range(cx, row, n, false);
	return 0;
}

static int
fill_number(struct conf_context *cx, const struct conf_directive *row, const struct conf_node *n,
    int64_t *out)
{
	const struct conf_word *w = conf_word_find(row->words, n->text);
	enum conf_value_result r;
	int64_t v = 0;

	if (w != NULL) {
		*out = w->value;
		return 0;
	}
	r = read_number(row->type, n->text, &v);
	if (r == CONF_VALUE_NO_UNIT && row->may_be_bare)
		r = conf_value_int(n->text, &v);
	switch (r) {
	case CONF_VALUE_OK:
		*out = v;
		return check_range(cx, row, n, v);
	case CONF_VALUE_NO_UNIT:
		return refuse_unit(cx, row, n);
	case CONF_VALUE_TOO_LARGE:
		conf_error(cx->diag, n->at, "%s: %s is too large", conf_row_name(row),
		    conf_shown(cx, row, n));
		return -1;
	case CONF_VALUE_BAD:
		break;
	}
	return refuse_value(cx, row, n);
}

static int
fill_ratio(struct conf_context *cx, const struct conf_directive *row, const struct conf_node *n,
    double *out)
{
	double least = 0, most = 1;

	if (conf_value_ratio(n->text, out) != CONF_VALUE_OK)
		return refuse_value(cx, row, n);
	if ((row->least != NULL && conf_value_ratio(row->least, &least) != CONF_VALUE_OK) ||
	    (row->most != NULL && conf_value_ratio(row->most, &most) != CONF_VALUE_OK))
		bug("%s: a bound is no share", row->name);
	if (*out >= least && *out <= most)
		return 0;
	conf_error(
	    cx->diag, n->at, "%s: %s is out of range", conf_row_name(row), conf_shown(cx, row, n));
	conf_hint(cx->diag, "expected %s to %s", row->least == NULL ? "0%" : row->least,
	    row->most == NULL ? "100%" : row->most);
	return -1;
}

static int
fill_status(
    struct conf_context *cx, const struct conf_directive *row, const struct conf_node *n, int *out)
{
	int64_t v = 0;

	if (conf_value_int(n->text, &v) != CONF_VALUE_OK || v < 100 || v > 599)
		return refuse_value(cx, row, n);
	*out = (int)v;
	return check_range(cx, row, n, v);
}

static int
fill_choice(
    struct conf_context *cx, const struct conf_directive *row, const struct conf_node *n, int *out)
{
	const struct conf_word *w = conf_word_find(row->words, n->text);
	struct nearest near = nearest_to(n->text);

	if (w != NULL) {
		*out = (int)w->value;
		return 0;
	}
	if (conf_node_is_empty(n))
		return refuse_value(cx, row, n);
	conf_error(
	    cx->diag, n->at, "%s: unknown word %s", conf_row_name(row), conf_shown(cx, row, n));
	for (w = row->words; !n->is_substituted && w->word != NULL; w++)
		if (!w->is_also)
			nearest_try(&near, w->word);
	if (near.best != NULL)
		conf_hint(cx->diag, "did you mean \"%s\"?", near.best);
	else
		hint_expected(cx, row);
	return -1;
}

/* Texts: least and most are bytes. */
static int
fill_string(struct conf_context *cx, const struct conf_directive *row, const struct conf_node *n,
    const char **out)
{
	size_t len = strlen(n->text);
	int64_t least = row->least == NULL ? 0 : conf_bound(row, row->least);
	int64_t most = row->most == NULL ? INT64_MAX : conf_bound(row, row->most);

	if (conf_node_is_empty(n))
		return refuse_value(cx, row, n);
	*out = n->text;
	if ((int64_t)len >= least && (int64_t)len <= most)
		return 0;
	conf_error(cx->diag, n->at, "%s: %s is too %s", conf_row_name(row), conf_shown(cx, row, n),
	    (int64_t)len < least ? "short" : "long");
	conf_hint(cx->diag, "%s %s bytes", (int64_t)len < least ? "at least" : "at most",
	    (int64_t)len < least ? row->least : row->most);
	return -1;
}

static int
fill_address(struct conf_context *cx, const struct conf_directive *row, const struct conf_node *n,
    const char **out)
{
	int64_t port;

	*out = n->text;
	if (conf_value_is_address(n->text))
		return 0;
	refuse_value(cx, row, n);
	if (!n->is_substituted && conf_value_int(n->text, &port) == CONF_VALUE_OK && port > 0 &&
	    port < 65536)
		conf_hint(cx->diag, "did you mean \":%s\"?", n->text);
	return -1;
}

/* What stands between the colon and the @ of a URL is a password. */
static void
hide_password(struct conf_context *cx, const char *text)
{
	const char *start = strstr(text, "://");
	struct slice rest = start == NULL ? SLICE_NONE : slice_from(start + 3);
	size_t end = slice_index(rest, '/'), colon = slice_index(rest, ':');
	struct buf password = {0};

	while (end > 0 && rest.p[end - 1] != '@')
		end--;
	if (end == 0 || colon + 1 >= end - 1)
		return;
	buf_add(&password, rest.p + colon + 1, end - 1 - (colon + 1));
	buf_add_char(&password, '\0');
	conf_diag_hide(cx->diag, password.p);
	buf_fini(&password);
}

int
conf_fill_scalar(struct conf_context *cx, const struct conf_directive *row,
    const struct conf_node *n, void *field)
{
	if (n->kind != CONF_SCALAR)
		return refuse_kind(cx, row, n);
	switch (row->type) {
	case CONF_BOOL:
		return conf_value_bool(n->text, field) == CONF_VALUE_OK ? 0
									: refuse_value(cx, row, n);
	case CONF_INT:
	case CONF_DURATION:
	case CONF_SIZE:
		return fill_number(cx, row, n, field);
	case CONF_RATIO:
		return fill_ratio(cx, row, n, field);
	case CONF_STATUS:
		return fill_status(cx, row, n, field);
	case CONF_CHOICE:
	case CONF_CHOICES:
		return fill_choice(cx, row, n, field);
	case CONF_ADDRESS:
	case CONF_ADDRESSES:
		return fill_address(cx, row, n, field);
	case CONF_SECRET:
		if (!n->is_substituted)
			conf_diag_hide(cx->diag, n->text);
		return fill_string(cx, row, n, field);
	case CONF_STRINGS: /* least and most count elements there */
		*(const char **)field = n->text;
		return conf_node_is_empty(n) ? refuse_value(cx, row, n) : 0;
	default:
		if (!n->is_substituted)
			hide_password(cx, n->text);
		return fill_string(cx, row, n, field);
	}
}
