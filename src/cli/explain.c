#include "cli/explain.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cli/dialogue.h"
#include "cli/exits.h"

struct explain_call {
	struct dialogue with;
	json_t *question, *headers;
};

/* --- what is asked --- */

static bool
take_field(void *call, const struct option_row *row, const char *value, struct buf *why)
{
	struct explain_call *c = call;

	json_array_append_new(c->headers, json_string(value));
	return true;
}

static bool
take_member(void *call, const struct option_row *row, const char *value, struct buf *why)
{
	struct explain_call *c = call;

	json_object_set_new(c->question, row->arg, json_string(value));
	return true;
}

static bool
take_url(void *call, int count, char **words, struct buf *why)
{
	struct explain_call *c = call;

	if (count == 1)
		json_object_set_new(c->question, "url", json_string(words[0]));
	else
		buf_printf(why, "one URL is expected");
	return count == 1;
}

static const struct option_row rows[] = {
    {.value = "URL",
	.text = "https://www.example.com/page?x=1; the host is part of what a response is stored "
		"under"},
    {.name = "request",
	.value = "FIELD",
	.text = "a field of the request, as in 'Cookie: session=1'; may be repeated",
	.take = take_field},
    {.name = "method",
	.value = "METHOD",
	.text = "instead of GET",
	.take = take_member,
	.arg = "method"},
    {.name = "data",
	.value = "TEXT",
	.text = "the request's body, as of a QUERY",
	.take = take_member,
	.arg = "body"},
    DIALOGUE_ROWS("the answer of POST /explain"),
};

static const struct command command = {
    .name = "explain",
    .usage = "URL [--request 'Name: value']... [--method METHOD]\n"
	     "                           [--data TEXT] [--json]",
    .purpose =
	"Says what a request would get from the Forebay of this machine now, and why: its route, "
	"its key, what is stored under it, how long that lives, why the last response was stored "
	"or not. Nothing is sent to the origin, and nothing changes.",
    .rows = rows,
    .count = sizeof(rows) / sizeof(*rows),
    .exits = "0 it was explained, 1 that is no request, 2 misused, or nobody answers.",
    .examples = "  forebay explain https://www.example.com/products\n"
		"  forebay explain https://www.example.com/profile/7 --request 'Cookie: "
		"session=1'\n"
		"  forebay explain http://localhost/ --json | jq -r .outcome.reason\n",
    .take_words = take_url,
};

/* --- as people read it --- */

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

	printf("%s: %s\n", member_text(outcome, "status"), member_text(outcome, "does"));
	if (*member_text(outcome, "reason") != '\0')
		printf("  because      %s\n", member_text(outcome, "reason"));
	if (json_is_integer(code))
		printf("  status       %d\n", (int)json_integer_value(code));
	if (json_is_object(route))
		printf("  route        %.0f of %.0f: %s (%s%s%s%s)\n",
		    member_number(route, "number"), member_number(route, "of"),
		    member_text(route, "name"), member_text(route, "does"),
		    *member_text(route, "upstream") == '\0' ? "" : " ",
		    member_text(route, "upstream"),
		    member_is_true(route, "caches") ? "" : ", does not cache");
	print_list("  limits       ", json_object_get(top, "limits"));
	if (!json_is_object(key))
		return;
	printf("  key          %s\n", member_text(key, "url"));
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
	double left = member_number(o, "left");

	printf("    age        %.0f s of %.0f s, %s%.0f s%s\n", member_number(o, "age"),
	    member_number(o, "life"), left > 0 ? "fresh for " : "stale for ",
	    left > 0 ? left : -left,
	    member_is_true(o, "life_by_route") ? "; the life is the route's" : "");
	if (member_number(o, "stale_while_revalidate") > 0)
		printf("    stale      may be served while it is refreshed for %.0f s\n",
		    member_number(o, "stale_while_revalidate"));
	if (member_number(o, "stale_if_error") > 0)
		printf("    stale      may be served when the origin fails for %.0f s\n",
		    member_number(o, "stale_if_error"));
}

static const char *
purged_words(const json_t *o)
{
	const char *is = member_text(o, "purged");

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

		printf("    as %-7s  %.0f bytes%s\n", member_text(v, "coding"),
		    member_number(v, "bytes"),
		    member_is_true(v, "is_strongest") ? ", as small as it gets" : "");
	}
}

static void
print_object(const json_t *o)
{
	printf("  in memory    %.0f, %.0f bytes, %.0f hits%s%s\n", member_number(o, "status"),
	    member_number(o, "bytes"), member_number(o, "hits"),
	    member_is_true(o, "answers_this") ? "" : "; for other requests", purged_words(o));
	print_vary(json_object_get(o, "vary"));
	print_life(o);
	print_list("    codings    ", json_object_get(o, "codings"));
	print_variants(json_object_get(o, "variants"));
	if (*member_text(o, "etag") != '\0')
		printf("    validator  %s\n", member_text(o, "etag"));
	print_list("    tags       ", json_object_get(o, "tags"));
	printf("    purge log  fetched at %.0f, valid up to %.0f\n", member_number(o, "fetched_at"),
	    member_number(o, "valid_to"));
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
	printf("  purge log    at %.0f", member_number(log, "head"));
	if (*member_text(log, "epoch") != '\0')
		printf("; shared: %s, %s, number %.0f of epoch %s", member_text(log, "shared"),
		    member_text(log, "coherence"), member_number(log, "applied"),
		    member_text(log, "epoch"));
	putchar('\n');
}

static void
print_rest(const json_t *top)
{
	const json_t *redis = json_object_get(top, "redis");
	const json_t *last = json_object_get(top, "last_response");

	if (json_is_object(redis) && member_is_true(redis, "found"))
		printf("  in Redis     age %.0f s of %.0f s\n", member_number(redis, "age"),
		    member_number(redis, "life"));
	else if (json_is_object(redis))
		printf("  in Redis     not found\n");
	if (json_is_object(last))
		printf("  last time    %.0f s ago: %s, %.0f, %s%s\n", member_number(last, "ago"),
		    member_text(last, "text"), member_number(last, "status"),
		    member_is_true(last, "stored") ? "" : "not stored: ", member_text(last, "why"));
	if (member_is_true(top, "is_unshared"))
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
		buf_printf(&c->with.why, "%s",
		    *member_text(top, "title") == '\0'
			? "it answers, but not as Forebay's admin interface does"
			: member_text(top, "title"));
		code = EXIT_WRONG;
	} else if (c->with.json) {
		dialogue_print_json(top);
	} else {
		print_way(top);
		print_stored(json_object_get(top, "stored"));
		print_rest(top);
	}
	json_decref(top);
	return code;
}

static int
put_question(void *call)
{
	struct explain_call *c = call;
	char *question = json_dumps(c->question, JSON_COMPACT);
	struct answer a;
	int code = EXIT_MISUSED;

	if (ask(&c->with.door, "POST", "/explain", slice_from(question), ASK_TIMEOUT_MS, &a,
		&c->with.why) == 0) {
		code = tell(c, &a);
		answer_fini(&a);
	}
	free(question);
	return code;
}

int
cli_explain(int argc, char **argv)
{
	struct explain_call c = {.question = json_object(), .headers = json_array()};
	int code;

	json_object_set_new(c.question, "headers", c.headers);
	code = options_read(&command, argc, argv, &c);
	if (code < 0)
		code = dialogue_run(&command, &c, put_question);
	json_decref(c.question);
	return code;
}
