#include "conf/diagnostic.h"

#include <errno.h>
#include <jansson.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/mem.h"
#include "conf/excerpt.h"
#include "conf/glyph.h"

#define TEXT_BYTES_MAX 600 /* of one message or hint */

enum severity { SEVERITY_ERROR, SEVERITY_WARNING, SEVERITIES };

static const char *const severity_words[] = {"error", "warning"};

struct diagnosis {
	enum severity severity;
	unsigned ordinal; /* of the file */
	size_t seq;
	uint32_t line, column;
	const char *file; /* NULL: none */
	const char *message, *hint;
	struct excerpt excerpt;
};

#define CONF_SECRETS_MAX 64 /* hidden in source lines; more of them hide the lines whole */

struct conf_diag {
	struct arena mem;
	struct diagnosis kept[SEVERITIES * CONF_DIAG_MAX];
	size_t count;
	struct diagnosis *last; /* NULL: it was not kept */
	size_t given[SEVERITIES], stored[SEVERITIES];
	const char *secrets[CONF_SECRETS_MAX]; /* in mem */
	size_t secrets_count;
	enum conf_sight sight;
};

struct conf_diag *
conf_diag_new(void)
{
	return must_calloc(1, sizeof(struct conf_diag));
}

void
conf_diag_free(struct conf_diag **dp)
{
	if (*dp == NULL)
		return;
	arena_fini(&(*dp)->mem);
	free(*dp);
	*dp = NULL;
}

static const char *format(struct conf_diag *d, const char *fmt, va_list ap)
    __attribute__((format(printf, 2, 0)));

static const char *
format(struct conf_diag *d, const char *fmt, va_list ap)
{
	char *raw = NULL;
	const char *clean;
	int n = vasprintf(&raw, fmt, ap);

	if (n < 0)
		bug("format \"%s\"", fmt);
	clean = glyph_clean(&d->mem, slice_of(raw, (size_t)n), TEXT_BYTES_MAX);
	free(raw);
	return clean;
}

static bool
is_known(const struct conf_diag *d, const struct conf_place *at, const char *message)
{
	for (size_t i = 0; i < d->count; i++) {
		const struct diagnosis *x = &d->kept[i];

		if (at->file != NULL && at->file->ordinal == x->ordinal && at->line == x->line &&
		    at->column == x->column && strcmp(message, x->message) == 0)
			return true;
	}
	return false;
}

static void
report(struct conf_diag *d, enum severity s, struct conf_place at, const char *message)
{
	struct diagnosis *x;

	d->last = NULL;
	if (is_known(d, &at, message))
		return;
	d->given[s]++;
	if (d->stored[s] == CONF_DIAG_MAX)
		return;
	d->stored[s]++;
	x = d->last = &d->kept[d->count];
	*x = (struct diagnosis){.severity = s, .seq = d->count++, .message = message};
	if (at.file == NULL)
		return;
	x->file = glyph_clean(&d->mem, slice_from(at.file->name), TEXT_BYTES_MAX);
	x->ordinal = at.file->ordinal;
	x->line = at.line;
	x->column = at.column;
	if (at.line > 0)
		x->excerpt = excerpt_of(&d->mem, at);
}

void
conf_diag_hide(struct conf_diag *d, const char *secret)
{
	if (secret[0] == '\0')
		return;
	if (d->secrets_count < CONF_SECRETS_MAX)
		d->secrets[d->secrets_count] = arena_copy(&d->mem, slice_from(secret)).p;
	d->secrets_count++;
}

/* The source line as it may be shown. */
static const char *
shown_line(struct conf_diag *d, const struct diagnosis *x)
{
	char *line = (char *)(uintptr_t)arena_copy(&d->mem, slice_from(x->excerpt.line)).p;

	if (d->secrets_count > CONF_SECRETS_MAX)
		return "(not shown: it may hold a secret)";
	for (size_t i = 0; i < d->secrets_count; i++)
		for (char *at = line; (at = strstr(at, d->secrets[i])) != NULL;)
			for (size_t n = strlen(d->secrets[i]); n > 0; n--)
				*at++ = '*';
	return line;
}

void
conf_error(struct conf_diag *d, struct conf_place at, const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	report(d, SEVERITY_ERROR, at, format(d, fmt, ap));
	va_end(ap);
}

void
conf_warning(struct conf_diag *d, struct conf_place at, const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	report(d, SEVERITY_WARNING, at, format(d, fmt, ap));
	va_end(ap);
}

void
conf_diag_set_sight(struct conf_diag *d, enum conf_sight sight)
{
	d->sight = sight;
}

void
conf_unreadable(struct conf_diag *d, struct conf_place at, int error, const char *fmt, ...)
{
	bool is_absent = error == ENOENT || error == ENOTDIR;
	bool is_excused =
	    is_absent ? d->sight == CONF_SIGHT_ELSEWHERE : d->sight != CONF_SIGHT_SERVES;
	va_list ap;

	va_start(ap, fmt);
	report(d, is_excused ? SEVERITY_WARNING : SEVERITY_ERROR, at, format(d, fmt, ap));
	va_end(ap);
}

bool
conf_is_readable(struct conf_diag *d, struct conf_place at, const char *directive, const char *path)
{
	if (path == NULL || access(path, R_OK) == 0)
		return true;
	conf_unreadable(d, at, errno, "%s: %s: %s", directive, path, strerror(errno));
	return false;
}

void
conf_hint(struct conf_diag *d, const char *fmt, ...)
{
	va_list ap;

	if (d->last == NULL)
		return;
	va_start(ap, fmt);
	d->last->hint = format(d, fmt, ap);
	va_end(ap);
}

size_t
conf_diag_errors(const struct conf_diag *d)
{
	return d->given[SEVERITY_ERROR];
}

size_t
conf_diag_warnings(const struct conf_diag *d)
{
	return d->given[SEVERITY_WARNING];
}

static int
by_place(const void *va, const void *vb)
{
	const struct diagnosis *a = va, *b = vb;

	if ((a->file != NULL) != (b->file != NULL))
		return a->file != NULL ? 1 : -1;
	if (a->ordinal != b->ordinal)
		return a->ordinal < b->ordinal ? -1 : 1;
	if (a->line != b->line)
		return a->line < b->line ? -1 : 1;
	if (a->column != b->column)
		return a->column < b->column ? -1 : 1;
	return a->seq < b->seq ? -1 : a->seq > b->seq;
}

static void
sort(struct conf_diag *d)
{
	d->last = NULL; /* it moves */
	qsort(d->kept, d->count, sizeof(*d->kept), by_place);
}

static size_t
not_kept(const struct conf_diag *d)
{
	return d->given[SEVERITY_ERROR] + d->given[SEVERITY_WARNING] - d->count;
}

static void
add_text(struct conf_diag *d, const struct diagnosis *x, struct buf *out)
{
	if (x->file != NULL)
		buf_printf(out, "%s:", x->file);
	if (x->line > 0)
		buf_printf(out, "%u:%u:", x->line, x->column);
	buf_printf(
	    out, "%s%s: %s\n", x->file == NULL ? "" : " ", severity_words[x->severity], x->message);
	if (x->line > 0)
		buf_printf(out, "%6u | %s\n         %s%s%s\n", x->line, shown_line(d, x),
		    x->excerpt.marks, x->hint == NULL ? "" : " ", x->hint == NULL ? "" : x->hint);
	else if (x->hint != NULL)
		buf_printf(out, "         %s\n", x->hint);
}

void
conf_diag_text(struct conf_diag *d, struct buf *out)
{
	sort(d);
	for (size_t i = 0; i < d->count; i++)
		add_text(d, &d->kept[i], out);
	if (not_kept(d) > 0)
		buf_printf(out, "and %zu more\n", not_kept(d));
}

static json_t *
as_json(struct conf_diag *d, const struct diagnosis *x)
{
	json_t *o = json_object();

	json_object_set_new(o, "severity", json_string(severity_words[x->severity]));
	if (x->file != NULL)
		json_object_set_new(o, "file", json_string(x->file));
	if (x->line > 0) {
		json_object_set_new(o, "line", json_integer(x->line));
		json_object_set_new(o, "column", json_integer(x->column));
		json_object_set_new(o, "source", json_string(shown_line(d, x)));
	}
	json_object_set_new(o, "message", json_string(x->message));
	if (x->hint != NULL)
		json_object_set_new(o, "hint", json_string(x->hint));
	return o;
}

void
conf_diag_json(struct conf_diag *d, struct buf *out)
{
	json_t *all = json_object(), *list = json_array();
	char *text;

	sort(d);
	for (size_t i = 0; i < d->count; i++)
		json_array_append_new(list, as_json(d, &d->kept[i]));
	json_object_set_new(all, "errors", json_integer((json_int_t)conf_diag_errors(d)));
	json_object_set_new(all, "warnings", json_integer((json_int_t)conf_diag_warnings(d)));
	json_object_set_new(all, "diagnostics", list);
	text = json_dumps(all, JSON_INDENT(2));
	json_decref(all);
	if (text == NULL)
		bug("diagnostics are no JSON");
	buf_add(out, text, strlen(text));
	buf_add_char(out, '\n');
	free(text);
}
