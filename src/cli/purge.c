#include "cli/purge.h"

#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cli/exits.h"
#include "cli/listing.h"

static const char usage[] =
    "usage: forebay purge URL... [--soft] [--wait] [--dry-run [--limit N]] [--json]\n"
    "       forebay purge [--prefix P]... [--pattern G]... [--tag T]... | --all\n"
    "\n"
    "Has the Forebay of this machine drop what is stored, in memory and in Redis, on every "
    "instance\n"
    "that shares them, and says how much that was here.\n"
    "\n"
    "  URL                https://www.example.com/page?x=1, with or without the scheme; "
    "/page on every host\n"
    "  --prefix P         all that begins so: www.example.com/products/, /products/\n"
    "  --pattern G        all that fits; * stands for any run of characters: '/users/*/skills'\n"
    "  --tag T            all with this tag; with a star it is a pattern: 'vehicle:7:*'\n"
    "  --all              everything\n"
    "  --soft             makes it stale: it may be served while it is fetched again\n"
    "  --dry-run          purges nothing: counts and lists what it would\n"
    "  --limit N          objects in that list, at most 1000 (20)\n"
    "  --wait             until every instance has confirmed it\n"
    "  --json             for programs: the answer of POST /purge\n"
    "  -c, --config FILE  whose admin.address is asked; instead of conf/forebay.yaml here or "
    "beside\n"
    "                     the binary, or /etc/forebay/forebay.yaml\n"
    "  --address ADDRESS  asks there and reads no configuration: 127.0.0.1:9090, unix:/path\n"
    "\n"
    "Exit code: 0 done, 1 refused, or not confirmed by all with --wait, 2 misused, or nobody "
    "answers.\n"
    "\n"
    "  forebay purge https://www.example.com/products\n"
    "  forebay purge --tag products --tag product:7 --soft\n"
    "  forebay purge --pattern '/users/*/skills' --dry-run\n"
    "  forebay purge --all --wait\n";

struct purge_call {
	const char *path, *address; /* NULL: the usual ones */
	bool json, help, wait;
	json_t *order;
	struct admin_door door;
	struct buf why;
};

static void
add_to(struct purge_call *p, const char *list, const char *text)
{
	json_t *l = json_object_get(p->order, list);

	if (l == NULL) {
		l = json_array();
		json_object_set_new(p->order, list, l);
	}
	json_array_append_new(l, json_string(text));
}

static void
set(struct purge_call *p, const char *flag)
{
	json_object_set_new(p->order, flag, json_true());
}

static bool
take_limit(struct purge_call *p, const char *text)
{
	uint64_t n;

	if (!slice_to_u64(slice_from(text), &n) || n > 1000) {
		fprintf(
		    stderr, "forebay purge: --limit %s: a number up to 1000 is expected\n", text);
		return false;
	}
	json_object_set_new(p->order, "limit", json_integer((json_int_t)n));
	return true;
}

static bool
take_option(struct purge_call *p, int o)
{
	switch (o) {
	case 'c':
		p->path = optarg;
		return true;
	case 'a':
		p->address = optarg;
		return true;
	case 'p':
		add_to(p, "prefixes", optarg);
		return true;
	case 'g':
		add_to(p, "patterns", optarg);
		return true;
	case 't':
		add_to(p, "tags", optarg);
		return true;
	case 'A':
		set(p, "all");
		return true;
	case 's':
		set(p, "soft");
		return true;
	case 'd':
		set(p, "dry_run");
		return true;
	case 'w':
		set(p, "wait");
		return p->wait = true;
	case 'l':
		return take_limit(p, optarg);
	case 'j':
		return p->json = true;
	case 'h':
		return p->help = true;
	default:
		return false;
	}
}

static bool
read_options(int argc, char **argv, struct purge_call *p)
{
	static const struct option options[] = {{"config", required_argument, NULL, 'c'},
	    {"address", required_argument, NULL, 'a'}, {"prefix", required_argument, NULL, 'p'},
	    {"pattern", required_argument, NULL, 'g'}, {"tag", required_argument, NULL, 't'},
	    {"all", no_argument, NULL, 'A'}, {"soft", no_argument, NULL, 's'},
	    {"dry-run", no_argument, NULL, 'd'}, {"wait", no_argument, NULL, 'w'},
	    {"limit", required_argument, NULL, 'l'}, {"json", no_argument, NULL, 'j'},
	    {"help", no_argument, NULL, 'h'}, {0}};
	int o;

	optind = 0;
	while ((o = getopt_long(argc, argv, "c:h", options, NULL)) != -1)
		if (!take_option(p, o))
			return false;
	for (int i = optind; i < argc; i++)
		add_to(p, "urls", argv[i]);
	if (p->help || json_object_get(p->order, "urls") != NULL ||
	    json_object_get(p->order, "prefixes") != NULL ||
	    json_object_get(p->order, "patterns") != NULL ||
	    json_object_get(p->order, "tags") != NULL || json_object_get(p->order, "all") != NULL)
		return true;
	fputs("forebay purge: nothing is named: a URL, --prefix, --pattern, --tag or --all\n",
	    stderr);
	return false;
}

/* What the level means for who asked. */
static const char *
level_text(const char *level, bool is_shared)
{
	if (strcmp(level, "everywhere") == 0)
		return "confirmed by every instance";
	if (strcmp(level, "appended") == 0)
		return "in the shared log: connected instances have it";
	if (strcmp(level, "journalled") == 0)
		return "here, and on disk until Redis is back";
	return is_shared ? "here only: Redis does not answer, and there is no journal" : "here";
}

static int
tell(struct purge_call *p, const json_t *top)
{
	bool is_dry = json_is_true(json_object_get(p->order, "dry_run"));
	bool is_shared = json_is_true(json_object_get(top, "shared"));
	const char *level = json_string_value(json_object_get(top, "level"));

	if (p->json) {
		json_dumpf(top, stdout, JSON_INDENT(2));
		putchar('\n');
	} else if (is_dry) {
		listing_print_objects(top);
		printf("would purge ");
		listing_print_count(top);
		putchar('\n');
	} else {
		printf("%s ", json_is_true(json_object_get(top, "soft")) ? "made stale" : "purged");
		listing_print_count(top);
		printf(" (%s)\n", level_text(level == NULL ? "" : level, is_shared));
	}
	return p->wait && !is_dry && is_shared &&
		(level == NULL || strcmp(level, "everywhere") != 0)
	    ? EXIT_WRONG
	    : EXIT_GOOD;
}

static int
converse(struct purge_call *p)
{
	char *text = json_dumps(p->order, JSON_COMPACT);
	int code;
	json_t *top = listing_ask(
	    &p->door, "POST", "/purge", slice_from(text == NULL ? "" : text), &code, &p->why);

	if (top != NULL)
		code = tell(p, top);
	json_decref(top);
	free(text);
	return code;
}

int
cli_purge(int argc, char **argv)
{
	struct purge_call p = {.order = json_object()};
	struct arena mem = {0};
	int code = EXIT_MISUSED;

	if (!read_options(argc, argv, &p)) {
		fputs("try: forebay purge --help\n", stderr);
	} else if (p.help) {
		fputs(usage, stdout);
		code = EXIT_GOOD;
	} else if (admin_door_find(p.path, p.address, &mem, &p.door, &p.why) == 0)
		code = converse(&p);
	if (p.why.n > 0)
		fprintf(stderr, "forebay purge: %.*s\n", SLICE_FMT(buf_slice(&p.why)));
	buf_fini(&p.why);
	json_decref(p.order);
	arena_fini(&mem);
	return code;
}
