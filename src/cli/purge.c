#include "cli/purge.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cli/dialogue.h"
#include "cli/exits.h"
#include "cli/listing.h"

struct purge_call {
	struct dialogue with;
	bool wait;
	json_t *order;
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

static bool
take_into_list(void *call, const struct option_row *row, const char *value, struct buf *why)
{
	add_to(call, row->arg, value);
	return true;
}

static bool
take_flag(void *call, const struct option_row *row, const char *value, struct buf *why)
{
	struct purge_call *p = call;

	json_object_set_new(p->order, row->arg, json_true());
	p->wait |= strcmp(row->arg, "wait") == 0;
	return true;
}

static bool
take_limit(void *call, const struct option_row *row, const char *value, struct buf *why)
{
	struct purge_call *p = call;
	uint64_t n;

	if (!slice_to_u64(slice_from(value), &n) || n > 1000) {
		buf_printf(why, "--limit %s: a number up to 1000 is expected", value);
		return false;
	}
	json_object_set_new(p->order, "limit", json_integer((json_int_t)n));
	return true;
}

static bool
take_urls(void *call, int count, char **words, struct buf *why)
{
	static const char *const names[] = {"urls", "prefixes", "patterns", "tags", "all"};
	struct purge_call *p = call;

	for (int i = 0; i < count; i++)
		add_to(p, "urls", words[i]);
	for (size_t i = 0; i < sizeof(names) / sizeof(*names); i++)
		if (json_object_get(p->order, names[i]) != NULL)
			return true;
	buf_printf(why, "nothing is named: a URL, --prefix, --pattern, --tag or --all");
	return false;
}

#define LIST(name_, value_, list, text_)                                                           \
	{                                                                                          \
		.name = name_, .value = value_, .text = text_, .take = take_into_list, .arg = list \
	}
#define FLAG(name_, flag, text_)                                             \
	{                                                                    \
		.name = name_, .text = text_, .take = take_flag, .arg = flag \
	}

static const struct option_row rows[] = {
    {.value = "URL",
	.text = "https://www.example.com/page?x=1, with or without the scheme; /page on every "
		"host"},
    LIST("prefix", "P", "prefixes", "all that begins so: www.example.com/products/, /products/"),
    LIST("pattern", "G", "patterns",
	"all that fits; * stands for any run of characters: '/users/*/skills'"),
    LIST("tag", "T", "tags", "all with this tag; with a star it is a pattern: 'vehicle:7:*'"),
    FLAG("all", "all", "everything"),
    FLAG("soft", "soft", "makes it stale: it may be served while it is fetched again"),
    FLAG("dry-run", "dry_run", "purges nothing: counts and lists what it would"),
    {.name = "limit",
	.value = "N",
	.text = "objects in that list, at most 1000 (20)",
	.take = take_limit},
    FLAG("wait", "wait", "until every instance has confirmed it"),
    DIALOGUE_ROWS("the answer of POST /purge"),
};

static const struct command command = {
    .name = "purge",
    .usage = "URL... [--soft] [--wait] [--dry-run [--limit N]] [--json]\n"
	     "       forebay purge [--prefix P]... [--pattern G]... [--tag T]... | --all",
    .purpose = "Has the Forebay of this machine drop what is stored, in memory and in Redis, on "
	       "every instance that shares them, and says how much that was here.",
    .rows = rows,
    .count = sizeof(rows) / sizeof(*rows),
    .exits =
	"0 done, 1 refused, or not confirmed by all with --wait, 2 misused, or nobody answers.",
    .examples = "  forebay purge https://www.example.com/products\n"
		"  forebay purge --tag products --tag product:7 --soft\n"
		"  forebay purge --pattern '/users/*/skills' --dry-run\n"
		"  forebay purge --all --wait\n",
    .take_words = take_urls,
};

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

	if (p->with.json) {
		dialogue_print_json(top);
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
converse(void *call)
{
	struct purge_call *p = call;
	char *text = json_dumps(p->order, JSON_COMPACT);
	int code;
	json_t *top = listing_ask(&p->with.door, "POST", "/purge",
	    slice_from(text == NULL ? "" : text), &code, &p->with.why);

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
	int code = options_read(&command, argc, argv, &p);

	if (code < 0)
		code = dialogue_run(&command, &p, converse);
	json_decref(p.order);
	return code;
}
