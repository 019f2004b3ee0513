/* cli/options.h - what a command is told: one table of its options, out of which they are read, refused and explained.
 *
 * Long options may be shortened as far as they are clear, and stand before or behind the words without a dash
 * (getopt_long). -h and --help are every command's. A command with a new option has a new row, and nothing else of it to
 * keep in step.
 */
#ifndef CLI_OPTIONS_H
#define CLI_OPTIONS_H

#include <stdbool.h>
#include <stddef.h>

#include "base/buf.h"

#define OPTIONS_MAX 32 /* of one command; a longer table is a bug */

struct option_row {
	const char
	    *name; /* without its dashes; NULL: a row of --help alone, about words without a dash */
	const char *value; /* what --help calls its value; NULL: it has none */
	const char *text;  /* a paragraph, broken where it must be */
	char letter;	   /* 'c' for -c; 0: none */
	/* False: the value is wrong, why tells. NULL: goes to the field of the call at the offset at, a const char * if there is a
	 * value (borrowed from argv), else a bool. */
	bool (*take)(void *call, const struct option_row *row, const char *value, struct buf *why);
	const char *arg; /* take's own */
	size_t at;
};

/* The configuration's path, in call_'s member path; what stands in front of where it is looked for else. */
#define OPTION_CONFIG(call_, what)                                                         \
	{                                                                                  \
		.name = "config", .letter = 'c', .value = "FILE",                          \
		.text = what "instead of conf/forebay.yaml here or beside the binary, or " \
			     "/etc/forebay/forebay.yaml",                                  \
		.at = offsetof(call_, path)                                                \
	}

struct command {
	const char *name;
	const char *usage;   /* behind "usage: forebay NAME": lines as they are */
	const char *purpose; /* a paragraph */
	const struct option_row *rows;
	size_t count;
	const char *exits;    /* a paragraph behind "Exit code: "; NULL: none */
	const char *examples; /* lines as they are */
	/* The words that are no options, once all of those are taken. False: why tells. NULL: there must be none. */
	bool (*take_words)(void *call, int count, char **words, struct buf *why);
};

enum options_result { OPTIONS_TAKEN, OPTIONS_HELP, OPTIONS_WRONG };

/* Reads argv (argv[0] is the command's own name) into call. OPTIONS_WRONG: why tells, one line without its end.
 * One thread: getopt_long keeps its place in globals. */
enum options_result options_take(
    const struct command *c, int argc, char **argv, void *call, struct buf *why);

/* The page that --help prints. */
void options_help(const struct command *c, struct buf *out);

/* The whole of it: -1 when call is ready to be carried out, else the exit code, with the help printed or the trouble told. */
int options_read(const struct command *c, int argc, char **argv, void *call);

#endif
