#include "conf/excerpt.h"

#include "base/buf.h"
#include "conf/glyph.h"

#define COLUMNS_MAX 96	  /* of a source line */
#define COLUMNS_BEFORE 40 /* shown left of the caret when a line is cut */
#define BYTES_MAX 2048	  /* many marks may sit on one character */
#define TAB 8

/* One character as it is shown. */
struct cell {
	struct slice bytes; /* in the line */
	size_t column, width;
	bool is_tab, is_hidden;
};

struct cells {
	struct slice rest;
	size_t column;
};

static bool
cell_next(struct cells *it, struct cell *c)
{
	uint32_t cp;
	size_t n;
	int width;

	if (it->rest.n == 0)
		return false;
	n = glyph_next(it->rest, &cp);
	width = glyph_width(cp);
	*c = (struct cell){.bytes = slice_of(it->rest.p, n), .column = it->column};
	c->is_tab = cp == '\t';
	c->is_hidden = width < 0 && !c->is_tab;
	c->width = c->is_tab ? TAB - it->column % TAB : c->is_hidden ? 1 : (size_t)width;
	it->rest = slice_skip(it->rest, n);
	it->column += c->width;
	return true;
}

/* Where the place begins and ends and the whole line ends, in columns. */
struct extent {
	size_t first, end, total;
};

static struct extent
measure(struct slice line, struct conf_place at)
{
	struct cells it = {line, 0};
	struct extent e = {SIZE_MAX, SIZE_MAX, 0};
	struct cell c;

	for (size_t i = 1; cell_next(&it, &c); i++) {
		if (i == at.column)
			e.first = c.column;
		if (i == (size_t)at.column + at.width)
			e.end = c.column;
	}
	e.total = it.column;
	if (e.first == SIZE_MAX)
		e.first = e.total;
	if (e.end == SIZE_MAX)
		e.end = e.total;
	return e;
}

static void
add_cell(struct buf *b, const struct cell *c)
{
	if (c->is_tab)
		for (size_t i = 0; i < c->width; i++)
			buf_add_char(b, ' ');
	else if (c->is_hidden)
		buf_add_char(b, '?');
	else
		buf_add_slice(b, c->bytes);
}

static const char *
kept(struct arena *mem, struct buf *b)
{
	const char *s = arena_copy(mem, buf_slice(b)).p;

	buf_fini(b);
	return s;
}

struct excerpt
excerpt_of(struct arena *mem, struct conf_place at)
{
	struct slice line = conf_line_text(at.file, at.line);
	struct extent e = measure(line, at);
	struct cells it = {line, 0};
	struct buf text = {0}, marks = {0};
	struct excerpt out;
	struct cell c;
	size_t from = 0, to = e.total, shown;

	if (e.total > COLUMNS_MAX) {
		from = e.first > COLUMNS_BEFORE ? e.first - COLUMNS_BEFORE : 0;
		to = from + COLUMNS_MAX < e.total ? from + COLUMNS_MAX : e.total;
	}
	shown = from;
	if (from > 0)
		buf_add_lit(&text, "...");
	while (cell_next(&it, &c)) {
		if (c.column < from || c.column >= to || text.n > BYTES_MAX)
			continue;
		for (; shown < c.column; shown++) /* a wide one was cut in two */
			buf_add_char(&text, ' ');
		add_cell(&text, &c);
		shown += c.width;
	}
	if (to < e.total)
		buf_add_lit(&text, "...");
	for (size_t i = 0; i < e.first - from + (from > 0 ? 3 : 0); i++)
		buf_add_char(&marks, ' ');
	buf_add_char(&marks, '^');
	for (size_t i = e.first + 1; i < e.end && i < to; i++)
		buf_add_char(&marks, '~');
	out.line = kept(mem, &text);
	out.marks = kept(mem, &marks);
	return out;
}
