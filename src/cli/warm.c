#include "cli/warm.h"

#include <errno.h>
#include <getopt.h>
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "cli/ask.h"
#include "cli/exits.h"

#define LOOK_MS 200
#define BAR_CELLS 30

static const char usage[] =
    "usage: forebay warm [ADDRESS...] [--sitemap ADDRESS]... [--file FILE] [--base URL]\n"
    "                    [--rate N] [--concurrency N] [--time S] [--no-wait] [--json]\n"
    "       forebay warm --status | --stop [--json]\n"
    "\n"
    "Has the Forebay of this machine ask for pages before clients do, so that they find them in\n"
    "the cache. Without addresses: what cache.warm of its configuration names. How far it is, is\n"
    "shown on standard error: as a bar on a terminal, else as a line for each tenth.\n"
    "\n"
    "  ADDRESS            https://www.example.com/page, or /page on --base\n"
    "  --sitemap ADDRESS  all pages of this sitemap, also of those it names\n"
    "  --file FILE        one address in each line; - reads standard input\n"
    "  --base URL         whose paths are meant; else cache.warm.base\n"
    "  --rate N           at most N requests a second\n"
    "  --concurrency N    at most N at a time\n"
    "  --time S           at most S seconds\n"
    "  --no-wait          returns once it has begun\n"
    "  --status           how far it is, or what the last run came to\n"
    "  --stop             stops the run\n"
    "  --json             for programs: the last answer of GET /warm\n"
    "  -c, --config FILE  whose admin.address is asked; instead of conf/forebay.yaml here or "
    "beside\n"
    "                     the binary, or /etc/forebay/forebay.yaml\n"
    "  --address ADDRESS  asks there and reads no configuration: 127.0.0.1:9090, unix:/path\n"
    "\n"
    "Exit code: 0 every page was reached, 1 some failed or the run was stopped, 2 misused, or "
    "nobody\n"
    "answers.\n"
    "\n"
    "  forebay warm\n"
    "  forebay warm --base https://www.example.com / /products /about\n"
    "  forebay warm --sitemap https://www.example.com/sitemap.xml --rate 20\n"
    "  cut -d' ' -f7 access.log | sort | uniq -c | sort -rn | head -100 | awk '{print $2}' |\n"
    "    forebay warm --base https://www.example.com --file -\n";

enum deed { DEED_BEGIN, DEED_STATUS, DEED_STOP };

struct warm_call {
	const char *path, *address; /* NULL: the usual ones */
	enum deed deed;
	bool json, help, no_wait;
	json_t *plan, *urls, *sitemaps; /* plan holds the others */
	struct admin_door door;
	struct buf why;
};

/* --- what is asked for --- */

static bool
add_file(struct warm_call *w, const char *path)
{
	FILE *f = strcmp(path, "-") == 0 ? stdin : fopen(path, "re");
	char line[8192];

	if (f == NULL) {
		fprintf(stderr, "forebay warm: %s: %s\n", path, strerror(errno));
		return false;
	}
	while (fgets(line, sizeof(line), f) != NULL) {
		struct slice s = slice_trim(slice_of(line, strcspn(line, "\r\n")));

		if (s.n > 0 && s.p[0] != '#')
			json_array_append_new(w->urls, json_stringn(s.p, s.n));
	}
	if (f != stdin)
		fclose(f);
	return true;
}

static bool
add_number(struct warm_call *w, const char *name, const char *text)
{
	uint64_t n;

	if (!slice_to_u64(slice_from(text), &n) || n == 0 || n > 86400) {
		fprintf(stderr, "forebay warm: --%s %s: a whole number from 1 is expected\n", name,
		    text);
		return false;
	}
	json_object_set_new(w->plan, name, json_integer((json_int_t)n));
	return true;
}

static bool
take_option(struct warm_call *w, int o)
{
	switch (o) {
	case 'c':
		w->path = optarg;
		return true;
	case 'a':
		w->address = optarg;
		return true;
	case 'm':
		json_array_append_new(w->sitemaps, json_string(optarg));
		return true;
	case 'f':
		return add_file(w, optarg);
	case 'b':
		json_object_set_new(w->plan, "base", json_string(optarg));
		return true;
	case 'r':
		return add_number(w, "rate", optarg);
	case 'n':
		return add_number(w, "concurrency", optarg);
	case 't':
		return add_number(w, "time", optarg);
	case 'w':
		return w->no_wait = true;
	case 's':
		w->deed = DEED_STATUS;
		return true;
	case 'x':
		w->deed = DEED_STOP;
		return true;
	case 'j':
		return w->json = true;
	case 'h':
		return w->help = true;
	default:
		return false;
	}
}

static bool
read_options(int argc, char **argv, struct warm_call *w)
{
	static const struct option options[] = {{"config", required_argument, NULL, 'c'},
	    {"address", required_argument, NULL, 'a'}, {"sitemap", required_argument, NULL, 'm'},
	    {"file", required_argument, NULL, 'f'}, {"base", required_argument, NULL, 'b'},
	    {"rate", required_argument, NULL, 'r'}, {"concurrency", required_argument, NULL, 'n'},
	    {"time", required_argument, NULL, 't'}, {"no-wait", no_argument, NULL, 'w'},
	    {"status", no_argument, NULL, 's'}, {"stop", no_argument, NULL, 'x'},
	    {"json", no_argument, NULL, 'j'}, {"help", no_argument, NULL, 'h'}, {0}};
	int o;

	optind = 0;
	while ((o = getopt_long(argc, argv, "c:h", options, NULL)) != -1)
		if (!take_option(w, o))
			return false;
	for (int i = optind; i < argc; i++)
		json_array_append_new(w->urls, json_string(argv[i]));
	return true;
}

/* --- the conversation --- */

/* The answer as JSON; NULL: w->why tells. is_yes_out: with a status that says so. */
static json_t *
talk(struct warm_call *w, const char *method, struct slice body, bool *is_yes_out)
{
	struct answer a;
	json_t *top;

	if (ask(&w->door, method, "/warm", body, ASK_TIMEOUT_MS, &a, &w->why) != 0)
		return NULL;
	top = json_loadb(a.body.p, a.body.n, 0, NULL);
	*is_yes_out = a.status < 300;
	if (top == NULL)
		buf_printf(&w->why, "%s: it answers %u, and not as Forebay's admin interface does",
		    w->door.name, a.status);
	answer_fini(&a);
	return top;
}

static json_t *
begin(struct warm_call *w, bool *is_yes_out)
{
	bool is_named = json_array_size(w->urls) + json_array_size(w->sitemaps) > 0;
	char *text = is_named ? json_dumps(w->plan, JSON_COMPACT) : NULL;
	json_t *top = talk(w, "POST", text == NULL ? SLICE_NONE : slice_from(text), is_yes_out);

	free(text);
	return top;
}

static long
number(const json_t *top, const char *name)
{
	return (long)json_integer_value(json_object_get(top, name));
}

static bool
is_in(const json_t *top, const char *state)
{
	const char *is = json_string_value(json_object_get(top, "state"));

	return is != NULL && strcmp(is, state) == 0;
}

static long
reached(const json_t *top)
{
	return number(top, "fetched") + number(top, "cached") + number(top, "passed");
}

/* On a terminal, over and over in the same line. */
static void
draw_bar(const json_t *top)
{
	long found = number(top, "found"), done = reached(top) + number(top, "failed");
	long cells = found > 0 ? BAR_CELLS * done / found : 0;

	fprintf(stderr, "\r[");
	for (long i = 0; i < BAR_CELLS; i++)
		fputc(i < cells ? '#' : '.', stderr);
	fprintf(stderr, "] %ld of %ld pages, %ld failed ", done, found, number(top, "failed"));
}

/* Elsewhere, as in a log: a line for each further tenth. What is found may grow meanwhile. */
static void
tell_tenth(const json_t *top, long *told)
{
	long found = number(top, "found"), done = reached(top) + number(top, "failed");

	if (done == *told || (done - *told) * 10 < found)
		return;
	fprintf(stderr, "%ld of %ld pages, %ld failed\n", done, found, number(top, "failed"));
	*told = done;
}

/* Looks until the run has ended. */
static json_t *
watch(struct warm_call *w, json_t *top)
{
	bool has_bar = isatty(STDERR_FILENO) && !w->json, is_yes;
	long told = 0;

	while (top != NULL && (is_in(top, "starting") || is_in(top, "running"))) {
		json_decref(top);
		nanosleep(&(struct timespec){.tv_nsec = LOOK_MS * 1000000L}, NULL);
		top = talk(w, "GET", SLICE_NONE, &is_yes);
		if (has_bar && top != NULL)
			draw_bar(top);
		else if (!w->json && top != NULL && is_in(top, "running"))
			tell_tenth(top, &told);
	}
	if (has_bar)
		fputc('\n', stderr);
	return top;
}

static void
tell(const struct warm_call *w, json_t *top)
{
	const char *trouble = json_string_value(json_object_get(top, "trouble"));

	if (w->json) {
		json_dumpf(top, stdout, JSON_INDENT(2));
		putchar('\n');
		return;
	}
	printf("%s (%.1f s)\n", json_string_value(json_object_get(top, "text")),
	    json_number_value(json_object_get(top, "took")));
	printf("  %ld pages: %ld fetched, %ld cached before, %ld not cacheable, %ld failed\n",
	    number(top, "found"), number(top, "fetched"), number(top, "cached"),
	    number(top, "passed"), number(top, "failed"));
	if (number(top, "sitemaps") + number(top, "sitemaps_failed") > 0)
		printf("  %ld sitemaps read, %ld not\n", number(top, "sitemaps"),
		    number(top, "sitemaps_failed"));
	if (number(top, "skipped") > 0)
		printf("  %ld addresses name nothing here\n", number(top, "skipped"));
	if (trouble != NULL && *trouble != '\0')
		printf("  last trouble: %s\n", trouble);
}

static int
refused(struct warm_call *w, const json_t *top)
{
	const char *title = json_string_value(json_object_get(top, "title"));

	buf_printf(&w->why, "%s", title == NULL ? "it was refused" : title);
	return EXIT_WRONG;
}

static int
converse(struct warm_call *w)
{
	bool is_yes = false;
	json_t *top = w->deed == DEED_BEGIN ? begin(w, &is_yes)
	    : w->deed == DEED_STOP	    ? talk(w, "DELETE", SLICE_NONE, &is_yes)
					    : talk(w, "GET", SLICE_NONE, &is_yes);
	int code = EXIT_MISUSED;

	if (top != NULL && !is_yes) {
		code = refused(w, top);
	} else if (top != NULL) {
		if (w->deed == DEED_STOP || (w->deed == DEED_BEGIN && !w->no_wait))
			top = watch(w, top);
		if (top != NULL) {
			tell(w, top);
			code = number(top, "failed") + number(top, "sitemaps_failed") > 0 ||
				(w->deed == DEED_BEGIN &&
				    (is_in(top, "stopped") || is_in(top, "out_of_time")))
			    ? EXIT_WRONG
			    : EXIT_GOOD;
		}
	}
	json_decref(top);
	return code;
}

int
cli_warm(int argc, char **argv)
{
	struct warm_call w = {
	    .plan = json_object(), .urls = json_array(), .sitemaps = json_array()};
	struct arena mem = {0};
	int code = EXIT_MISUSED;

	json_object_set_new(w.plan, "urls", w.urls);
	json_object_set_new(w.plan, "sitemaps", w.sitemaps);
	if (!read_options(argc, argv, &w)) {
		fputs("try: forebay warm --help\n", stderr);
	} else if (w.help) {
		fputs(usage, stdout);
		code = EXIT_GOOD;
	} else if (admin_door_find(w.path, w.address, &mem, &w.door, &w.why) == 0)
		code = converse(&w);
	if (w.why.n > 0)
		fprintf(stderr, "forebay warm: %.*s\n", SLICE_FMT(buf_slice(&w.why)));
	buf_fini(&w.why);
	json_decref(w.plan);
	arena_fini(&mem);
	return code;
}
