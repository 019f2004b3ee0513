#include "cli/options.h"

#include <getopt.h>
#include <stdio.h>
#include <string.h>

#include "base/mem.h"
#include "cli/exits.h"
#include "conf/nearest.h"

#define VAL_FIRST 256 /* getopt_long's number of the first row; below are letters */
#define TEXT_COLUMN 21
#define LINE_COLUMNS 96

/* --- reading --- */

struct reading {
	const struct command *c;
	struct option longs[OPTIONS_MAX + 2];
	char letters[2 * OPTIONS_MAX + 3];
};

static void
list_options(const struct command *c, struct reading *out)
{
	struct option *o = out->longs;
	char *l = out->letters;

	if (c->count > OPTIONS_MAX)
		bug("forebay %s has %zu options", c->name, c->count);
	*out = (struct reading){.c = c};
	*l++ = ':';
	*l++ = 'h';
	*o++ = (struct option){"help", no_argument, NULL, 'h'};
	for (size_t i = 0; i < c->count; i++) {
		const struct option_row *row = &c->rows[i];

		if (row->name == NULL)
			continue;
		*o++ = (struct option){row->name,
		    row->value == NULL ? no_argument : required_argument, NULL, VAL_FIRST + (int)i};
		if (row->letter != 0)
			*l++ = row->letter;
		if (row->letter != 0 && row->value != NULL)
			*l++ = ':';
	}
}

static const struct option_row *
row_of(const struct command *c, int val)
{
	if (val >= VAL_FIRST)
		return &c->rows[val - VAL_FIRST];
	for (size_t i = 0; i < c->count; i++)
		if (val != 0 && c->rows[i].letter == val)
			return &c->rows[i];
	return NULL;
}

/* word: of the command line, as "--colour=blue". */
static void
tell_unknown(const struct reading *r, const char *word, struct buf *why)
{
	size_t n = strcspn(word, "="), alike = 0;
	char name[64];
	struct nearest near;

	snprintf(name, sizeof(name), "%.*s", (int)n, word);
	near = nearest_to(name + strspn(name, "-"));
	buf_printf(why, "there is no option %s", name);
	for (const struct option *o = r->longs; o->name != NULL; o++) {
		nearest_try(&near, o->name);
		if (name[0] == '-' && name[1] == '-' && strncmp(o->name, name + 2, n - 2) == 0)
			buf_printf(why, "%s--%s", alike++ == 0 ? ": it may be " : " or ", o->name);
	}
	if (alike == 0 && near.best != NULL)
		buf_printf(why, ": --%s is meant?", near.best);
}

/* What getopt_long has refused: ':' for want of a value, '?' for the rest. */
static void
tell_refusal(const struct reading *r, int answer, char **argv, struct buf *why)
{
	const struct option_row *row = row_of(r->c, optopt);

	if (answer == ':')
		buf_printf(why, "--%s %s: its value is missing", row->name, row->value);
	else if (optopt == 'h' || optopt >= VAL_FIRST)
		buf_printf(why, "--%s takes no value", row == NULL ? "help" : row->name);
	else if (optopt != 0)
		buf_printf(why, "there is no option -%c", optopt);
	else
		tell_unknown(r, argv[optind - 1], why);
}

static bool
take_row(const struct option_row *row, void *call, const char *value, struct buf *why)
{
	if (row->take != NULL)
		return row->take(call, row, value, why);
	if (row->value != NULL)
		*(const char **)((char *)call + row->at) = value;
	else
		*(bool *)((char *)call + row->at) = true;
	return true;
}

static bool
take_words(const struct command *c, int count, char **words, void *call, struct buf *why)
{
	if (c->take_words != NULL)
		return c->take_words(call, count, words, why);
	if (count > 0)
		buf_printf(why, "unexpected \"%s\"", words[0]);
	return count == 0;
}

enum options_result
options_take(const struct command *c, int argc, char **argv, void *call, struct buf *why)
{
	struct reading r;
	int answer;

	list_options(c, &r);
	optind = 0; /* another command may have read options before */
	opterr = 0;
	while ((answer = getopt_long(argc, argv, r.letters, r.longs, NULL)) != -1) {
		if (answer == 'h')
			return OPTIONS_HELP;
		if (answer == ':' || answer == '?') {
			tell_refusal(&r, answer, argv, why);
			return OPTIONS_WRONG;
		}
		if (!take_row(row_of(c, answer), call, optarg, why))
			return OPTIONS_WRONG;
	}
	return take_words(c, argc - optind, argv + optind, call, why) ? OPTIONS_TAKEN
								      : OPTIONS_WRONG;
}

/* --- explaining --- */

/* A paragraph whose first line has used columns already; the others begin at column. */
static void
add_paragraph(struct buf *out, const char *text, size_t used, size_t column)
{
	const char *space = "";

	while (*text != '\0') {
		size_t n = strcspn(text, " ");

		if (*space != '\0' && used + 1 + n > LINE_COLUMNS) {
			buf_printf(out, "\n%*s", (int)column, "");
			used = column;
			space = "";
		}
		buf_printf(out, "%s%.*s", space, (int)n, text);
		used += strlen(space) + n;
		space = " ";
		text += n + strspn(text + n, " ");
	}
	buf_add_char(out, '\n');
}

static void
add_row(struct buf *out, const struct option_row *row)
{
	size_t from = out->n, used;

	buf_add_lit(out, "  ");
	if (row->letter != 0)
		buf_printf(out, "-%c, ", row->letter);
	if (row->name != NULL)
		buf_printf(out, "--%s", row->name);
	if (row->value != NULL)
		buf_printf(out, "%s%s", row->name == NULL ? "" : " ", row->value);
	used = out->n - from;
	if (used + 2 > TEXT_COLUMN) {
		buf_add_char(out, '\n');
		used = 0;
	}
	buf_printf(out, "%*s", (int)(TEXT_COLUMN - used), "");
	add_paragraph(out, row->text, TEXT_COLUMN, TEXT_COLUMN);
}

void
options_help(const struct command *c, struct buf *out)
{
	buf_printf(
	    out, "usage: forebay %s%s%s\n\n", c->name, *c->usage == '\0' ? "" : " ", c->usage);
	add_paragraph(out, c->purpose, 0, 0);
	buf_add_char(out, '\n');
	for (size_t i = 0; i < c->count; i++)
		add_row(out, &c->rows[i]);
	if (c->count > 0)
		buf_add_char(out, '\n');
	if (c->exits != NULL) {
		buf_add_lit(out, "Exit code: ");
		add_paragraph(out, c->exits, strlen("Exit code: "), 0);
		buf_add_char(out, '\n');
	}
	buf_printf(out, "%s", c->examples);
}

int
options_read(const struct command *c, int argc, char **argv, void *call)
{
	struct buf said = {0};
	enum options_result result = options_take(c, argc, argv, call, &said);

	if (result == OPTIONS_HELP) {
		options_help(c, &said);
		fwrite(said.p, 1, said.n, stdout);
	} else if (result == OPTIONS_WRONG)
		fprintf(stderr, "forebay %s: %.*s\ntry: forebay %s --help\n", c->name,
		    SLICE_FMT(buf_slice(&said)), c->name);
	buf_fini(&said);
	return result == OPTIONS_TAKEN ? -1 : result == OPTIONS_HELP ? EXIT_GOOD : EXIT_MISUSED;
}
