/* LINK: http/origintags http/sf http/sf_bare http/head http/fields base/buf base/hash base/mem */
#include "http_usual.h"

#include <stdio.h>
#include <stdlib.h>

#include "http/origintags.h"

#define SITE SLICE_LIT("https://a.test")

/* The tags, a bar behind each; "(too many)". */
static const char *
tags_of(const char *fields)
{
	static char text[20000];
	struct head h = head_of(fields);
	struct buf tags = {0};

	buf_add(&tags, "route", 6);
	snprintf(text, sizeof(text), "(too many)");
	if (origin_tags_add(&h, SITE, &tags)) {
		for (size_t i = 0; i < tags.n; i++)
			text[i] = tags.p[i] == '\0' ? '|' : tags.p[i];
		text[tags.n] = '\0';
	}
	buf_fini(&tags);
	return text;
}

static const char *
long_field(const char *name, size_t count, const char *each)
{
	struct buf b = {0};
	static char text[65536];

	buf_printf(&b, "%s: ", name);
	for (size_t i = 0; i < count; i++)
		buf_printf(&b, "%s%zu ", each, i);
	snprintf(text, sizeof(text), "%.*sx", SLICE_FMT(buf_slice(&b)));
	buf_fini(&b);
	return text;
}

static void
each_field_has_its_own_separator(void **state)
{
	assert_string_equal(
	    tags_of("Cache-Tag: red, big blue ,,green"), "route|red|big blue|green|");
	assert_string_equal(tags_of("Surrogate-Key: red,1  blue"), "route|red,1|blue|");
	assert_string_equal(tags_of("xkey: red\nxkey: blue green"), "route|red|blue|green|");
}

static void
a_tag_said_twice_counts_once(void **state)
{
	assert_string_equal(
	    tags_of("Cache-Tag: red, route, red\nSurrogate-Key: red re"), "route|red|re|");
}

static void
a_group_belongs_to_its_origin(void **state)
{
	assert_string_equal(tags_of("Cache-Groups: \"red\", \"b\\\"c\";p=1\nCache-Groups: \"d e\""),
	    "route|https://a.test#red|https://a.test#b\"c|https://a.test#d e|");
}

static void
groups_that_are_no_list_of_strings_count_as_absent(void **state)
{
	assert_string_equal(tags_of("Cache-Groups: \"red\", blue"), "route|");
	assert_string_equal(tags_of("Cache-Groups: \"red"), "route|");
	assert_string_equal(tags_of("Cache-Groups: (\"red\")"), "route|");
	assert_string_equal(tags_of("Cache-Groups: \"red\"\nCache-Groups: 7"), "route|");
}

static void
what_is_too_much_is_not_cut(void **state)
{
	assert_string_not_equal(tags_of(long_field("xkey", 997, "t")), "(too many)");
	assert_string_equal(tags_of(long_field("xkey", 1000, "t")), "(too many)");
	assert_string_equal(
	    tags_of(long_field("xkey", 600, "a-tag-of-30-bytes-or-so-----")), "(too many)");
	assert_string_equal(tags_of(long_field("xkey", 1, "tttttttttttttttttttttttttttttttt")),
	    "route|tttttttttttttttttttttttttttttttt0|x|");
}

static void
the_site_is_what_stands_before_the_path(void **state)
{
	assert_true(slice_eq(
	    origin_site_of(SLICE_LIT("http://a.test:81/b//c")), SLICE_LIT("http://a.test:81")));
	assert_true(
	    slice_eq(origin_site_of(SLICE_LIT("http://a.test")), SLICE_LIT("http://a.test")));
	assert_int_equal(origin_site_of(SLICE_LIT("a.test")).n, 0);
}

static void
groups_to_purge_are_named_likewise(void **state)
{
	struct head h = head_of("Cache-Group-Invalidation: \"red\", \"blue\"");
	struct buf tags = {0};

	assert_int_equal(origin_groups_to_purge(&h, SITE, &tags), 2);
	assert_memory_equal(tags.p, "https://a.test#red\0https://a.test#blue", tags.n);
	buf_fini(&tags);
}

static void
groups_to_purge_that_are_no_list_of_strings_are_none(void **state)
{
	struct head h = head_of("Cache-Group-Invalidation: \"red\", 7");
	struct buf tags = {0};

	assert_int_equal(origin_groups_to_purge(&h, SITE, &tags), 0);
	assert_int_equal(tags.n, 0);
	buf_fini(&tags);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(each_field_has_its_own_separator),
	    cmocka_unit_test(a_tag_said_twice_counts_once),
	    cmocka_unit_test(a_group_belongs_to_its_origin),
	    cmocka_unit_test(groups_that_are_no_list_of_strings_count_as_absent),
	    cmocka_unit_test(what_is_too_much_is_not_cut),
	    cmocka_unit_test(the_site_is_what_stands_before_the_path),
	    cmocka_unit_test(groups_to_purge_are_named_likewise),
	    cmocka_unit_test(groups_to_purge_that_are_no_list_of_strings_are_none),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
