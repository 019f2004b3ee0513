#include "cli/warm.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "cli/dialogue.h"
#include "cli/exits.h"

#define LOOK_MS 200
#define BAR_CELLS 30

enum deed { DEED_BEGIN, DEED_STATUS, DEED_STOP };

struct warm_call {
	struct dialogue with;
	enum deed deed;
	bool no_wait;
	json_t *plan, *urls, *sitemaps; /* plan holds the others */
};

/* --- what is asked for --- */

static bool
take_file(void *call, const struct option_row *row, const char *path, struct buf *why)
{
	struct warm_call *w = call;
	FILE *f = strcmp(path, "-") == 0 ? stdin : fopen(path, "re");
	char line[8192];

	if (f == NULL) {
		buf_printf(why, "%s: %s", path, strerror(errno));
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
take_sitemap(void *call, const struct option_row *row, const char *value, struct buf *why)
{
	struct warm_call *w = call;

	json_array_append_new(w->sitemaps, json_string(value));
	return true;
}

static bool
take_base(void *call, const struct option_row *row, const char *value, struct buf *why)
{
	struct warm_call *w = call;

	json_object_set_new(w->plan, "base", json_string(value));
	return true;
}

static bool
take_number(void *call, const struct option_row *row, const char *value, struct buf *why)
{
	struct warm_call *w = call;
	uint64_t n;

	if (!slice_to_u64(slice_from(value), &n) || n == 0 || n > 86400) {
		buf_printf(why, "--%s %s: a whole number from 1 is expected", row->name, value);
		return false;
	}
	json_object_set_new(w->plan, row->name, json_integer((json_int_t)n));
	return true;
}

static bool
take_deed(void *call, const struct option_row *row, const char *value, struct buf *why)
{
	struct warm_call *w = call;

	w->deed = strcmp(row->name, "stop") == 0 ? DEED_STOP : DEED_STATUS;
	return true;
}

static bool
take_addresses(void *call, int count, char **words, struct buf *why)
{
	struct warm_call *w = call;

	for (int i = 0; i < count; i++)
		json_array_append_new(w->urls, json_string(words[i]));
	return true;
}

#define ROW(name_, value_, taker, text_)                                     \
	{                                                                    \
		.name = name_, .value = value_, .text = text_, .take = taker \
	}

static const struct option_row rows[] = {
    {.value = "ADDRESS", .text = "https://www.example.com/page, or /page on --base"},
    ROW("sitemap", "ADDRESS", take_sitemap, "all pages of this sitemap, also of those it names"),
    ROW("file", "FILE", take_file, "one address in each line; - reads standard input"),
    ROW("base", "URL", take_base, "whose paths are meant; else cache.warm.base"),
    ROW("rate", "N", take_number, "at most N requests a second"),
    ROW("concurrency", "N", take_number, "at most N at a time"),
    ROW("time", "S", take_number, "at most S seconds"),
    {.name = "no-wait",
	.text = "returns once it has begun",
	.at = offsetof(struct warm_call, no_wait)},
    ROW("status", NULL, take_deed, "how far it is, or what the last run came to"),
    ROW("stop", NULL, take_deed, "stops the run"),
    DIALOGUE_ROWS("the last answer of GET /warm"),
};

static const struct command command = {
    .name = "warm",
    .usage = "[ADDRESS...] [--sitemap ADDRESS]... [--file FILE] [--base URL]\n"
	     "                    [--rate N] [--concurrency N] [--time S] [--no-wait] [--json]\n"
	     "       forebay warm --status | --stop [--json]",
    .purpose =
	"Has the Forebay of this machine ask for pages before clients do, so that they find them "
	"in the cache. Without addresses: what cache.warm of its configuration names. How far it "
	"is, is shown on standard error: as a bar on a terminal, else as a line for each tenth.",
    .rows = rows,
    .count = sizeof(rows) / sizeof(*rows),
    .exits = "0 every page was reached, 1 some failed or the run was stopped, 2 misused, or "
	     "nobody answers.",
    .examples =
	"  forebay warm\n"
	"  forebay warm --base https://www.example.com / /products /about\n"
	"  forebay warm --sitemap https://www.example.com/sitemap.xml --rate 20\n"
	"  cut -d' ' -f7 access.log | sort | uniq -c | sort -rn | head -100 | awk '{print $2}' |\n"
	"    forebay warm --base https://www.example.com --file -\n",
    .take_words = take_addresses,
};

/* --- the conversation --- */

/* The answer as JSON; NULL: w->why tells. is_yes_out: with a status that says so. */
static json_t *
talk(struct warm_call *w, const char *method, struct slice body, bool *is_yes_out)
{
	struct answer a;
	json_t *top;

	if (ask(&w->with.door, method, "/warm", body, ASK_TIMEOUT_MS, &a, &w->with.why) != 0)
		return NULL;
	top = json_loadb(a.body.p, a.body.n, 0, NULL);
	*is_yes_out = a.status < 300;
	if (top == NULL)
		buf_printf(&w->with.why,
		    "%s: it answers %u, and not as Forebay's admin interface does",
		    w->with.door.name, a.status);
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
	bool has_bar = isatty(STDERR_FILENO) && !w->with.json, is_yes;
	long told = 0;

	while (top != NULL && (is_in(top, "starting") || is_in(top, "running"))) {
		json_decref(top);
		nanosleep(&(struct timespec){.tv_nsec = LOOK_MS * 1000000L}, NULL);
		top = talk(w, "GET", SLICE_NONE, &is_yes);
		if (has_bar && top != NULL)
			draw_bar(top);
		else if (!w->with.json && top != NULL && is_in(top, "running"))
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

	if (w->with.json) {
		dialogue_print_json(top);
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

	buf_printf(&w->with.why, "%s", title == NULL ? "it was refused" : title);
	return EXIT_WRONG;
}

static int
converse(void *call)
{
	struct warm_call *w = call;
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
	int code;

	json_object_set_new(w.plan, "urls", w.urls);
	json_object_set_new(w.plan, "sitemaps", w.sitemaps);
	code = options_read(&command, argc, argv, &w);
	if (code < 0)
		code = dialogue_run(&command, &w, converse);
	json_decref(w.plan);
	return code;
}
