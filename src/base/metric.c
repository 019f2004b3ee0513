#include "base/metric.h"

#include <math.h>

#include "base/utf8.h"

#define EXACT_MAX 9007199254740992.0 /* a double holds every integer up to here */

static const char *const kinds[] = {
    [METRIC_counter] = "counter",
    [METRIC_gauge] = "gauge",
    [METRIC_histogram] = "histogram",
};

static void
add_escaped(struct buf *b, struct slice value)
{
	while (value.n > 0) {
		size_t n = utf8_length(value);

		if (n == 0)
			buf_add_lit(b, "\xef\xbf\xbd");
		else if (value.p[0] == '\n')
			buf_add_lit(b, "\\n");
		else if (value.p[0] == '"' || value.p[0] == '\\')
			buf_add(b, value.p[0] == '"' ? "\\\"" : "\\\\", 2);
		else
			buf_add(b, value.p, n);
		value = slice_skip(value, n == 0 ? 1 : n);
	}
}

void
metric_label(struct buf *labels, const char *name, struct slice value)
{
	if (labels->n > 0)
		buf_add_char(labels, ',');
	buf_add(labels, name, strlen(name));
	buf_add_lit(labels, "=\"");
	add_escaped(labels, value);
	buf_add_char(labels, '"');
}

void
metric_write_family(struct buf *b, const struct metric_family *f)
{
	buf_printf(b, "# HELP %s %s\n# TYPE %s %s\n", f->name, f->help, f->name, kinds[f->kind]);
}

void
metric_write_sample(struct buf *b, const struct metric_sample *s)
{
	buf_add(b, s->family->name, strlen(s->family->name));
	buf_add(b, s->suffix, strlen(s->suffix));
	if (s->labels.n > 0) {
		buf_add_char(b, '{');
		buf_add_slice(b, s->labels);
		buf_add_char(b, '}');
	}
	buf_add_char(b, ' ');
	if (s->value >= 0 && s->value < EXACT_MAX && s->value == floor(s->value))
		buf_add_u64(b, (uint64_t)s->value);
	else
		buf_printf(b, "%.15g", s->value);
	buf_add_char(b, '\n');
}

void
metric_write_reference(struct buf *b, const struct metric_family *f)
{
	buf_printf(b, "| `%s` | %s | %s | %s |\n", f->name, kinds[f->kind], f->labels, f->help);
}
