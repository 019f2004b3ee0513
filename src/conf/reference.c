#include "conf/reference.h"

#include "base/mem.h"

#define SECTIONS_MAX 128

struct section {
	const struct conf_table *t;
	struct slice path; /* how it is reached: upstreams.<name>.health */
};

struct page {
	struct arena mem;
	struct buf *out;
	struct section sections[SECTIONS_MAX]; /* those written, then those still to write */
	size_t count;
};

static const char *const type_words[CONF_TYPES] = {
    [CONF_BOOL] = "yes or no",
    [CONF_INT] = "number",
    [CONF_DURATION] = "duration",
    [CONF_SIZE] = "size",
    [CONF_RATIO] = "share",
    [CONF_STATUS] = "HTTP status",
    [CONF_STRING] = "text",
    [CONF_SECRET] = "secret",
    [CONF_ADDRESS] = "address",
    [CONF_CHOICE] = "word",
    [CONF_STRINGS] = "list of texts",
    [CONF_ADDRESSES] = "list of addresses",
    [CONF_CHOICES] = "list of words",
    [CONF_MAP] = "map",
    [CONF_LIST] = "list",
    [CONF_NAMED] = "map of names",
    [CONF_PAIRS] = "map of texts",
};

/* Texts in a cell: a bar would end it. */
static void
add_cell(struct buf *out, const char *text)
{
	for (; *text != '\0'; text++) {
		if (*text == '|')
			buf_add_char(out, '\\');
		buf_add_char(out, *text);
	}
}

static void
add_code(struct buf *out, const char *text)
{
	buf_add_char(out, '`');
	add_cell(out, text);
	buf_add_char(out, '`');
}

static struct slice
path_below(struct page *p, struct slice path, const struct conf_directive *row)
{
	const char *tail = row->type == CONF_LIST ? "[]" : row->type == CONF_NAMED ? ".<name>" : "";

	return arena_printf(&p->mem, "%.*s%s%s%s", SLICE_FMT(path), path.n > 0 ? "." : "",
	    conf_row_name(row), tail);
}

/* The section of a table; it is put in line if nothing met it before. */
static const struct section *
section_for(struct page *p, struct slice path, const struct conf_directive *row)
{
	struct section *s;

	for (size_t i = 0; i < p->count; i++)
		if (p->sections[i].t == row->table)
			return &p->sections[i];
	if (p->count == SECTIONS_MAX)
		bug("more than %d tables", SECTIONS_MAX);
	s = &p->sections[p->count++];
	*s = (struct section){row->table, path_below(p, path, row)};
	return s;
}

static void
add_type(struct page *p, struct slice path, const struct conf_directive *row)
{
	const struct section *s;

	if (row->table == NULL) {
		add_cell(p->out,
		    row->type == CONF_CUSTOM ? row->form == NULL ? "text" : row->form
					     : type_words[row->type]);
	} else {
		s = section_for(p, path, row);
		buf_printf(p->out, "[%s](#%s)", type_words[row->type], s->t->name);
		if (row->table->shortcut != NULL)
			buf_printf(p->out, "%s `%s` alone",
			    row->type == CONF_MAP ? ", or its" : ", each also as its",
			    row->table->shortcut);
	}
	if (row->may_be_off)
		buf_add_lit(p->out, ", or `off`");
}

static void
add_words(struct buf *out, const struct conf_word *words)
{
	for (size_t n = 0; words != NULL && words->word != NULL; words++) {
		if (words->is_also)
			continue;
		buf_printf(out, "%s`%s`", n++ > 0 ? ", " : "", words->word);
	}
}

static void
add_range(struct buf *out, const struct conf_directive *row)
{
	bool is_count = row->type >= CONF_STRINGS && row->type <= CONF_NAMED;
	const char *what = is_count				   ? " of them"
	    : row->type == CONF_STRING || row->type == CONF_SECRET ? " bytes"
								   : "";

	add_words(out, row->words);
	if (row->words != NULL && (row->least != NULL || row->most != NULL))
		buf_add_lit(out, ", or ");
	if (row->least != NULL && row->most != NULL)
		buf_printf(out, "%s to %s%s", row->least, row->most, what);
	else if (row->least != NULL)
		buf_printf(out, "at least %s%s", row->least, what);
	else if (row->most != NULL)
		buf_printf(out, "at most %s%s", row->most, what);
}

static void
add_names(struct buf *out, const struct conf_directive *row)
{
	const char *at = row->also;

	if (row->is_rest) {
		buf_add_lit(out, "*any other name*");
		return;
	}
	add_code(out, conf_row_name(row));
	while (at != NULL && *at != '\0') {
		size_t n = strcspn(at, " ");

		buf_printf(out, ", `%.*s`", (int)n, at);
		at += n + strspn(at + n, " ");
	}
}

static void
add_row(struct page *p, struct slice path, const struct conf_directive *row)
{
	struct buf *out = p->out;

	buf_add_lit(out, "| ");
	add_names(out, row);
	buf_add_lit(out, " | ");
	add_type(p, path, row);
	buf_add_lit(out, " | ");
	if (row->required)
		buf_add_lit(out, "**required**");
	else if (row->def != NULL)
		add_code(out, row->def);
	buf_add_lit(out, " | ");
	add_range(out, row);
	buf_add_lit(out, " | ");
	add_cell(out, row->text);
	buf_add_lit(out, " |\n");
}

static void
add_section(struct page *p, struct section s)
{
	if (s.path.n > 0)
		buf_printf(
		    p->out, "\n<a id=\"%s\"></a>\n## `%.*s`\n\n", s.t->name, SLICE_FMT(s.path));
	else
		buf_add_lit(p->out, "## Top level\n\n");
	if (s.t->text != NULL)
		buf_printf(p->out, "%s\n\n", s.t->text);
	if (s.t->shortcut != NULL)
		buf_printf(
		    p->out, "Short form: the value of `%s` instead of the map.\n\n", s.t->shortcut);
	buf_add_lit(p->out,
	    "| directive | type | default | range | what it does |\n"
	    "|---|---|---|---|---|\n");
	for (size_t i = 0; i < s.t->count; i++)
		add_row(p, s.path, &s.t->rows[i]);
}

void
conf_reference(const struct conf_table *root, struct buf *out)
{
	struct page p = {.out = out, .count = 1};

	p.sections[0] = (struct section){root, SLICE_LIT("")};
	for (size_t i = 0; i < p.count; i++)
		add_section(&p, p.sections[i]);
	arena_fini(&p.mem);
}
