#include "cli/explain.h"

#include <getopt.h>
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cli/ask.h"
#include "cli/exits.h"

static const char usage[] =
    "usage: forebay explain URL [--request 'Name: value']... [--method METHOD]\n"
    "                           [--data TEXT] [--json]\n"
    "\n"
    "Says what a request would get from the Forebay of this machine now, and why: its route, its\n"
    "key, what is stored under it, how long that lives, why the last response was stored or not.\n"
    "Nothing is sent to the origin, and nothing changes.\n"
    "\n"
    "  URL                https://www.example.com/page?x=1; the host is part of what a response "
    "is\n"
    "                     stored under\n"
    "  --request FIELD    a field of the request, as in 'Cookie: session=1'; may be repeated\n"
    "  --method METHOD    instead of GET\n"
    "  --data TEXT        the request's body, as of a QUERY\n"
    "  --json             for programs: the answer of POST /explain\n"
    "  -c, --config FILE  whose admin.address is asked; instead of conf/forebay.yaml here or "
    "beside\n"
    "                     the binary, or /etc/forebay/forebay.yaml\n"
    "  --address ADDRESS  asks there and reads no configuration: 127.0.0.1:9090, unix:/path\n"
    "\n"
    "Exit code: 0 it was explained, 1 that is no request, 2 misused, or nobody answers.\n"
    "\n"
    "  forebay explain https://www.example.com/products\n"
    "  forebay explain https://www.example.com/profile/7 --request 'Cookie: session=1'\n"
    "  forebay explain http://localhost/ --json | jq -r .outcome.reason\n";

struct explain_call {
	const char *path, *address; /* NULL: the usual ones */
	bool json, help;
	json_t *question, *headers;
	struct buf why;
};

static bool
take_option(struct explain_call *c, int o)
{
	switch (o) {
	case 'c':
		c->path = optarg;
		return true;
	case 'a':
		c->address = optarg;
		return true;
	case 'r':
		json_array_append_new(c->headers, json_string(optarg));
		return true;
	case 'm':
		json_object_set_new(c->question, "method", json_string(optarg));
		return true;
	case 'd':
		json_object_set_new(c->question, "body", json_string(optarg));
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
read_options(int argc, char **argv, struct explain_call *c)
{
	static const struct option options[] = {{"config", required_argument, NULL, 'c'},
	    {"address", required_argument, NULL, 'a'}, {"request", required_argument, NULL, 'r'},
	    {"method", required_argument, NULL, 'm'}, {"data", required_argument, NULL, 'd'},
	    {"json", no_argument, NULL, 'j'}, {"help", no_argument, NULL, 'h'}, {0}};
	int o;

	optind = 0;
	while ((o = getopt_long(argc, argv, "c:h", options, NULL)) != -1)
		if (!take_option(c, o))
			return false;
	if (c->help)
		return true;
	if (optind + 1 != argc) {
		fprintf(stderr, "forebay explain: one URL is expected\n");
		return false;
	}
	json_object_set_new(c->question, "url", json_string(argv[optind]));
	return true;
}

/* --- as people read it --- */

static const char *
text_of(const json_t *object, const char *name)
{
	const char *text = json_string_value(json_object_get(object, name));

	return text == NULL ? "" : text;
}

static double
number_of(const json_t *object, const char *name)
{
	return json_number_value(json_object_get(object, name));
}

static bool
is_true(const json_t *object, const char *name)
{
	return json_is_true(json_object_get(object, name));
}

static void
print_list(const char *label, const json_t *list)
{
	for (size_t i = 0; i < json_array_size(list); i++)
		printf("%s%s", i == 0 ? label : ", ", json_string_value(json_array_get(list, i)));
	if (json_array_size(list) > 0)
		putchar('\n');
}

static void
print_way(const json_t *top)
{
	const json_t *route = json_object_get(top, "route"), *key = json_object_get(top, "key");
	const json_t *outcome = json_object_get(top, "outcome");
	const json_t *code = json_object_get(outcome, "code");

	printf("%s: %s\n", text_of(outcome, "status"), text_of(outcome, "does"));
	if (*text_of(outcome, "reason") != '\0')
		printf("  because      %s\n", text_of(outcome, "reason"));
	if (json_is_integer(code))
		printf("  status       %d\n", (int)json_integer_value(code));
	if (json_is_object(route))
		printf("  route        %.0f of %.0f: %s (%s%s%s%s)\n", number_of(route, "number"),
		    number_of(route, "of"), text_of(route, "name"), text_of(route, "does"),
		    *text_of(route, "upstream") == '\0' ? "" : " ", text_of(route, "upstream"),
		    is_true(route, "caches") ? "" : ", does not cache");
	print_list("  limits       ", json_object_get(top, "limits"));
	if (!json_is_object(key))
		return;
	printf("  key          %s\n", text_of(key, "url"));
	print_list("               and ", json_object_get(key, "parts"));
	print_list("  tags         ", json_object_get(key, "tags"));
}

static void
print_vary(const json_t *vary)
{
	json_t *fields = (json_t *)(uintptr_t)vary;

	for (void *at = json_object_iter(fields); at != NULL;
	     at = json_object_iter_next(fields, at)) {
		const char *value = json_string_value(json_object_iter_value(at));

		printf("    for        %s: %s\n", json_object_iter_key(at),
		    value == NULL ? "(absent)" : value);
	}
}

static void
print_life(const json_t *o)
{
	double left = number_of(o, "left");

	printf("    age        %.0f s of %.0f s, %s%.0f s%s\n", number_of(o, "age"),
	    number_of(o, "life"), left > 0 ? "fresh for " : "stale for ", left > 0 ? left : -left,
	    is_true(o, "life_by_route") ? "; the life is the route's" : "");
	if (number_of(o, "stale_while_revalidate") > 0)
		printf("    stale      may be served while it is refreshed for %.0f s\n",
		    number_of(o, "stale_while_revalidate"));
	if (number_of(o, "stale_if_error") > 0)
		printf("    stale      may be served when the origin fails for %.0f s\n",
		    number_of(o, "stale_if_error"));
}

static const char *
purged_words(const json_t *o)
{
	const char *is = text_of(o, "purged");

	return strcmp(is, "no") == 0  ? ""
	    : strcmp(is, "soft") == 0 ? "; purged softly: counts as stale"
				      : "; purged";
}

/* What it is sent as, coded. */
static void
print_variants(const json_t *variants)
{
	for (size_t i = 0; i < json_array_size(variants); i++) {
		const json_t *v = json_array_get(variants, i);

		printf("    as %-7s  %.0f bytes%s\n", text_of(v, "coding"), number_of(v, "bytes"),
		    is_true(v, "is_strongest") ? ", as small as it gets" : "");
	}
}

static void
print_object(const json_t *o)
{
	printf("  in memory    %.0f, %.0f bytes, %.0f hits%s%s\n", number_of(o, "status"),
	    number_of(o, "bytes"), number_of(o, "hits"),
	    is_true(o, "answers_this") ? "" : "; for other requests", purged_words(o));
	print_vary(json_object_get(o, "vary"));
	print_life(o);
	print_list("    codings    ", json_object_get(o, "codings"));
	print_variants(json_object_get(o, "variants"));
	if (*text_of(o, "etag") != '\0')
		printf("    validator  %s\n", text_of(o, "etag"));
	print_list("    tags       ", json_object_get(o, "tags"));
	printf("    purge log  fetched at %.0f, valid up to %.0f\n", number_of(o, "fetched_at"),
	    number_of(o, "valid_to"));
}

static void
print_stored(const json_t *stored)
{
	for (size_t i = 0; i < json_array_size(stored); i++)
		print_object(json_array_get(stored, i));
}

static void
print_log(const json_t *log)
{
	printf("  purge log    at %.0f", number_of(log, "head"));
	if (*text_of(log, "epoch") != '\0')
		printf("; shared: %s, %s, number %.0f of epoch %s", text_of(log, "shared"),
		    text_of(log, "coherence"), number_of(log, "applied"), text_of(log, "epoch"));
	putchar('\n');
}

static void
print_rest(const json_t *top)
{
	const json_t *redis = json_object_get(top, "redis");
	const json_t *last = json_object_get(top, "last_response");

	if (json_is_object(redis) && is_true(redis, "found"))
		printf("  in Redis     age %.0f s of %.0f s\n", number_of(redis, "age"),
		    number_of(redis, "life"));
	else if (json_is_object(redis))
		printf("  in Redis     not found\n");
	if (json_is_object(last))
		printf("  last time    %.0f s ago: %s, %.0f, %s%s\n", number_of(last, "ago"),
		    text_of(last, "text"), number_of(last, "status"),
		    is_true(last, "stored") ? "" : "not stored: ", text_of(last, "why"));
	if (is_true(top, "is_unshared"))
		printf(
		    "  lately       proved not to be for everybody: requests do not wait for one "
		    "another\n");
	print_log(json_object_get(top, "purge_log"));
}

static int
tell(struct explain_call *c, const struct answer *a)
{
	json_t *top = json_loadb(a->body.p, a->body.n, 0, NULL);
	int code = EXIT_GOOD;

	if (a->status != 200 || !json_is_object(json_object_get(top, "outcome"))) {
		buf_printf(&c->why, "%s",
		    *text_of(top, "title") == '\0'
			? "it answers, but not as Forebay's admin interface does"
			: text_of(top, "title"));
		code = EXIT_WRONG;
	} else if (c->json) {
		json_dumpf(top, stdout, JSON_INDENT(2));
		putchar('\n');
	} else {
		print_way(top);
		print_stored(json_object_get(top, "stored"));
		print_rest(top);
	}
	json_decref(top);
	return code;
}

static int
put_question(struct explain_call *c)
{
	char *question = json_dumps(c->question, JSON_COMPACT);
	struct arena mem = {0};
	struct admin_door door;
	struct answer a;
	int code = EXIT_MISUSED;

	if (admin_door_find(c->path, c->address, &mem, &door, &c->why) == 0 &&
	    ask(&door, "POST", "/explain", slice_from(question), ASK_TIMEOUT_MS, &a, &c->why) ==
		0) {
		code = tell(c, &a);
		answer_fini(&a);
	}
	free(question);
	arena_fini(&mem);
	return code;
}

int
cli_explain(int argc, char **argv)
{
	struct explain_call c = {.question = json_object(), .headers = json_array()};
	int code = EXIT_MISUSED;

	json_object_set_new(c.question, "headers", c.headers);
	if (!read_options(argc, argv, &c)) {
		fputs("try: forebay explain --help\n", stderr);
	} else if (c.help) {
		fputs(usage, stdout);
		code = EXIT_GOOD;
	} else
		code = put_question(&c);
	if (c.why.n > 0)
		fprintf(stderr, "forebay explain: %.*s\n", SLICE_FMT(buf_slice(&c.why)));
	buf_fini(&c.why);
	json_decref(c.question);
	return code;
}
