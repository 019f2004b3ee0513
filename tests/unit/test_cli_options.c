/* LINK: cli/options conf/nearest base/buf base/mem */
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "cli/options.h"

struct call {
	const char *path;
	bool json;
	unsigned tags;
	const char *first;
};

static bool
take_tag(void *call, const struct option_row *row, const char *value, struct buf *why)
{
	((struct call *)call)->tags++;
	if (strcmp(value, "bad") != 0)
		return true;
	buf_printf(why, "--%s %s: another %s is expected", row->name, value, row->arg);
	return false;
}

static bool
take_first(void *call, int count, char **words, struct buf *why)
{
	((struct call *)call)->first = count > 0 ? words[0] : NULL;
	return true;
}

static const struct option_row rows[] = {
    {.value = "URL", .text = "a page"},
    {.name = "config",
	.letter = 'c',
	.value = "FILE",
	.text = "one two three four five six seven eight nine ten eleven twelve thirteen fourteen "
		"fifteen sixteen",
	.at = offsetof(struct call, path)},
    {.name = "json", .text = "for programs", .at = offsetof(struct call, json)},
    {.name = "tag", .value = "T", .text = "of it", .take = take_tag, .arg = "tag"},
    {.name = "tags-of-a-long-name", .value = "T", .text = "likewise", .take = take_tag},
};
static const struct command silent = {.name = "try",
    .usage = "[--json]",
    .purpose = "Tries.",
    .rows = rows,
    .count = sizeof(rows) / sizeof(*rows),
    .exits = "0 good.",
    .examples = "  forebay try\n"};

static enum options_result
take_with(const struct command *c, const char *line, struct call *call, char *why)
{
	static char copy[200]; /* the call borrows from it */
	char *argv[20], *rest = copy;
	struct buf said = {0};
	int argc = 0;
	enum options_result result;

	snprintf(copy, sizeof(copy), "%s", line);
	while ((argv[argc] = strsep(&rest, " ")) != NULL)
		argc++;
	*call = (struct call){0};
	result = options_take(c, argc, argv, call, &said);
	snprintf(why, 200, "%.*s", SLICE_FMT(buf_slice(&said)));
	buf_fini(&said);
	return result;
}

static void
assert_refused(const char *line, const char *expected)
{
	struct call call;
	char why[200];

	assert_int_equal(take_with(&silent, line, &call, why), OPTIONS_WRONG);
	assert_string_equal(why, expected);
}

static void
a_value_and_a_flag_go_to_their_fields(void **state)
{
	struct call call;
	char why[200];

	assert_int_equal(take_with(&silent, "try -c a.yaml --json", &call, why), OPTIONS_TAKEN);
	assert_string_equal(call.path, "a.yaml");
	assert_true(call.json);
	assert_int_equal(
	    take_with(&silent, "try --config=b.yaml --tag a --tag b", &call, why), OPTIONS_TAKEN);
	assert_string_equal(call.path, "b.yaml");
	assert_false(call.json);
	assert_int_equal(call.tags, 2);
}

static void
options_stand_before_and_behind_the_words(void **state)
{
	struct command c = silent;
	struct call call;
	char why[200];

	c.take_words = take_first;
	assert_int_equal(take_with(&c, "try /page --json", &call, why), OPTIONS_TAKEN);
	assert_string_equal(call.first, "/page");
	assert_true(call.json);
	assert_int_equal(take_with(&c, "try -- --json", &call, why), OPTIONS_TAKEN);
	assert_string_equal(call.first, "--json");
	assert_false(call.json);
}

static void
a_name_may_be_shortened_as_far_as_it_is_clear(void **state)
{
	struct call call;
	char why[200];

	assert_int_equal(take_with(&silent, "try --js", &call, why), OPTIONS_TAKEN);
	assert_true(call.json);
	assert_int_equal(take_with(&silent, "try --tag x", &call, why), OPTIONS_TAKEN);
	assert_refused(
	    "try --ta x", "there is no option --ta: it may be --tag or --tags-of-a-long-name");
}

static void
what_is_misspelt_is_answered_with_what_was_meant(void **state)
{
	assert_refused("try --jsno", "there is no option --jsno: --json is meant?");
	assert_refused("try --confg=a", "there is no option --confg: --config is meant?");
	assert_refused("try --colour", "there is no option --colour");
	assert_refused("try -x", "there is no option -x");
}

static void
a_value_that_is_missing_or_too_much_is_told(void **state)
{
	assert_refused("try -c", "--config FILE: its value is missing");
	assert_refused("try --config", "--config FILE: its value is missing");
	assert_refused("try --json=1", "--json takes no value");
	assert_refused("try --help=1", "--help takes no value");
	assert_refused("try --tag bad", "--tag bad: another tag is expected");
}

static void
words_are_refused_where_none_is_expected(void **state)
{
	assert_refused("try now", "unexpected \"now\"");
}

static void
help_wins_over_what_stands_behind_it(void **state)
{
	struct call call;
	char why[200];

	assert_int_equal(take_with(&silent, "try --json --help --jsno", &call, why), OPTIONS_HELP);
	assert_int_equal(take_with(&silent, "try -h now", &call, why), OPTIONS_HELP);
}

static void
the_help_has_a_line_for_each_row(void **state)
{
	struct buf page = {0};

	options_help(&silent, &page);
	buf_add_char(&page, '\0');
	assert_string_equal(page.p,
	    "usage: forebay try [--json]\n"
	    "\n"
	    "Tries.\n"
	    "\n"
	    "  URL                a page\n"
	    "  -c, --config FILE  one two three four five six seven eight nine ten eleven twelve "
	    "thirteen\n"
	    "                     fourteen fifteen sixteen\n"
	    "  --json             for programs\n"
	    "  --tag T            of it\n"
	    "  --tags-of-a-long-name T\n"
	    "                     likewise\n"
	    "\n"
	    "Exit code: 0 good.\n"
	    "\n"
	    "  forebay try\n");
	buf_fini(&page);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(a_value_and_a_flag_go_to_their_fields),
	    cmocka_unit_test(options_stand_before_and_behind_the_words),
	    cmocka_unit_test(a_name_may_be_shortened_as_far_as_it_is_clear),
	    cmocka_unit_test(what_is_misspelt_is_answered_with_what_was_meant),
	    cmocka_unit_test(a_value_that_is_missing_or_too_much_is_told),
	    cmocka_unit_test(words_are_refused_where_none_is_expected),
	    cmocka_unit_test(help_wins_over_what_stands_behind_it),
	    cmocka_unit_test(the_help_has_a_line_for_each_row),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
