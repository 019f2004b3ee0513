#include "cli/cache.h"

#include <stdio.h>
#include <string.h>

#include "cli/dialogue.h"
#include "cli/exits.h"
#include "cli/listing.h"

struct cache_call {
	struct dialogue with;
	struct buf target;
};

static void
add_parameter(struct cache_call *c, const char *name, const char *value)
{
	buf_add_char(&c->target, slice_index(buf_slice(&c->target), '?') < c->target.n ? '&' : '?');
	for (; *name != '\0'; name++)
		buf_add_char(&c->target, *name == '-' ? '_' : *name);
	buf_add_char(&c->target, '=');
	for (; *value != '\0'; value++)
		if (strchr("-._~/:*", *value) != NULL || (*value >= '0' && *value <= '9') ||
		    ((*value | 32) >= 'a' && (*value | 32) <= 'z'))
			buf_add_char(&c->target, *value);
		else
			buf_printf(&c->target, "%%%02X", (unsigned char)*value);
}

static bool
take_parameter(void *call, const struct option_row *row, const char *value, struct buf *why)
{
	struct cache_call *c = call;

	add_parameter(c, row->name, value);
	return true;
}

static bool
take_words(void *call, int count, char **words, struct buf *why)
{
	if (count == 1 && strcmp(words[0], "ls") == 0)
		return true;
	buf_printf(why, "the word is ls");
	return false;
}

#define PARAMETER(word, value_, text_)                                               \
	{                                                                            \
		.name = word, .value = value_, .text = text_, .take = take_parameter \
	}

static const struct option_row rows[] = {
    PARAMETER("url", "U", "this URL, with all its variants; /page on every host"),
    PARAMETER("prefix", "P", "what begins so"),
    PARAMETER("pattern", "G", "what fits, * for any run of characters"),
    PARAMETER("tag", "T", "what has this tag; with a star it is a pattern"),
    PARAMETER("min-size", "S", "of that, what takes so much memory or more: 100KiB"),
    PARAMETER("max-size", "S", "... or less"),
    PARAMETER("min-age", "T", "what is so old or older: 10m"),
    PARAMETER("max-age", "T", "... or younger"),
    PARAMETER("min-hits", "N", "what was asked for so often or more"),
    PARAMETER("max-hits", "N", "... or less"),
    PARAMETER("sort", "WORD", "size, age or hits: the largest, oldest, or most asked for first"),
    PARAMETER("limit", "N", "objects to list, at most 1000 (20)"),
    DIALOGUE_ROWS("the answer of GET /cache"),
};

static const struct command command = {
    .name = "cache",
    .usage = "ls [--url U]... [--prefix P]... [--pattern G]... [--tag T]...\n"
	     "                        [--min-size S] [--max-size S] [--min-age T] [--max-age T]\n"
	     "                        [--min-hits N] [--max-hits N]\n"
	     "                        [--sort size|age|hits] [--limit N] [--json]",
    .purpose =
	"Lists what the Forebay of this machine has in memory; without words, of everything.",
    .rows = rows,
    .count = sizeof(rows) / sizeof(*rows),
    .exits = "0 it was listed, 1 refused, 2 misused, or nobody answers.",
    .examples = "  forebay cache ls --sort hits\n"
		"  forebay cache ls --tag products --sort size --limit 100\n"
		"  forebay cache ls --max-hits 0 --min-age 1h --sort size\n"
		"  forebay cache ls --prefix www.example.com/ --json | jq '.objects[].url'\n",
    .take_words = take_words,
};

static int
converse(void *call)
{
	struct cache_call *c = call;
	int code;
	json_t *top;

	buf_add_char(&c->target, '\0');
	top = listing_ask(&c->with.door, "GET", c->target.p, SLICE_NONE, &code, &c->with.why);
	if (top == NULL)
		return code;
	if (c->with.json)
		dialogue_print_json(top);
	else {
		listing_print_objects(top);
		listing_print_count(top);
		printf(
		    ", %lld bytes\n", (long long)json_integer_value(json_object_get(top, "bytes")));
	}
	json_decref(top);
	return code;
}

int
cli_cache(int argc, char **argv)
{
	struct cache_call c = {0};
	int code;

	buf_add_lit(&c.target, "/cache");
	code = options_read(&command, argc, argv, &c);
	if (code < 0)
		code = dialogue_run(&command, &c, converse);
	buf_fini(&c.target);
	return code;
}
