#include "cli/cache.h"

#include <getopt.h>
#include <stdio.h>
#include <string.h>

#include "cli/exits.h"
#include "cli/listing.h"

static const char usage[] =
    "usage: forebay cache ls [--url U]... [--prefix P]... [--pattern G]... [--tag T]...\n"
    "                        [--min-size S] [--max-size S] [--min-age T] [--max-age T]\n"
    "                        [--min-hits N] [--max-hits N]\n"
    "                        [--sort size|age|hits] [--limit N] [--json]\n"
    "\n"
    "Lists what the Forebay of this machine has in memory; without words, of everything.\n"
    "\n"
    "  --url U            this URL, with all its variants; /page on every host\n"
    "  --prefix P         what begins so; --pattern G what fits, * for any run of characters\n"
    "  --tag T            what has this tag; with a star it is a pattern\n"
    "  --min-size S       of that, what takes so much memory or more: 100KiB; --max-size S or "
    "less\n"
    "  --min-age T        what is so old or older: 10m; --max-age T or younger\n"
    "  --min-hits N       what was asked for so often or more; --max-hits N or less\n"
    "  --sort WORD        the largest, oldest, or most asked for first\n"
    "  --limit N          objects to list, at most 1000 (20)\n"
    "  --json             for programs: the answer of GET /cache\n"
    "  -c, --config FILE  whose admin.address is asked; instead of conf/forebay.yaml here or "
    "beside\n"
    "                     the binary, or /etc/forebay/forebay.yaml\n"
    "  --address ADDRESS  asks there and reads no configuration: 127.0.0.1:9090, unix:/path\n"
    "\n"
    "Exit code: 0 it was listed, 1 refused, 2 misused, or nobody answers.\n"
    "\n"
    "  forebay cache ls --sort hits\n"
    "  forebay cache ls --tag products --sort size --limit 100\n"
    "  forebay cache ls --max-hits 0 --min-age 1h --sort size\n"
    "  forebay cache ls --prefix www.example.com/ --json | jq '.objects[].url'\n";

struct cache_call {
	const char *path, *address; /* NULL: the usual ones */
	bool json, help;
	struct buf target;
	struct admin_door door;
	struct buf why;
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
take_option(struct cache_call *c, int o, const char *name)
{
	switch (o) {
	case 'c':
		c->path = optarg;
		return true;
	case 'a':
		c->address = optarg;
		return true;
	case 'q':
		add_parameter(c, name, optarg);
		return true;
	case 'j':
		return c->json = true;
	case 'h':
		return c->help = true;
	default:
		return false;
	}
}

static bool
read_options(int argc, char **argv, struct cache_call *c)
{
	static const struct option options[] = {{"config", required_argument, NULL, 'c'},
	    {"address", required_argument, NULL, 'a'}, {"url", required_argument, NULL, 'q'},
	    {"prefix", required_argument, NULL, 'q'}, {"pattern", required_argument, NULL, 'q'},
	    {"tag", required_argument, NULL, 'q'}, {"sort", required_argument, NULL, 'q'},
	    {"limit", required_argument, NULL, 'q'}, {"min-size", required_argument, NULL, 'q'},
	    {"max-size", required_argument, NULL, 'q'}, {"min-age", required_argument, NULL, 'q'},
	    {"max-age", required_argument, NULL, 'q'}, {"min-hits", required_argument, NULL, 'q'},
	    {"max-hits", required_argument, NULL, 'q'}, {"json", no_argument, NULL, 'j'},
	    {"help", no_argument, NULL, 'h'}, {0}};
	int o, which = 0;

	buf_add_lit(&c->target, "/cache");
	optind = 0;
	while ((o = getopt_long(argc, argv, "c:h", options, &which)) != -1)
		if (!take_option(c, o, options[which].name))
			return false;
	if (c->help || (optind + 1 == argc && strcmp(argv[optind], "ls") == 0))
		return true;
	fputs("forebay cache: the word is ls\n", stderr);
	return false;
}

static int
converse(struct cache_call *c)
{
	int code;
	json_t *top;

	buf_add_char(&c->target, '\0');
	top = listing_ask(&c->door, "GET", c->target.p, SLICE_NONE, &code, &c->why);
	if (top == NULL)
		return code;
	if (c->json) {
		json_dumpf(top, stdout, JSON_INDENT(2));
		putchar('\n');
	} else {
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
	struct arena mem = {0};
	int code = EXIT_MISUSED;

	if (!read_options(argc, argv, &c)) {
		fputs("try: forebay cache --help\n", stderr);
	} else if (c.help) {
		fputs(usage, stdout);
		code = EXIT_GOOD;
	} else if (admin_door_find(c.path, c.address, &mem, &c.door, &c.why) == 0)
		code = converse(&c);
	if (c.why.n > 0)
		fprintf(stderr, "forebay cache: %.*s\n", SLICE_FMT(buf_slice(&c.why)));
	buf_fini(&c.why);
	buf_fini(&c.target);
	arena_fini(&mem);
	return code;
}
