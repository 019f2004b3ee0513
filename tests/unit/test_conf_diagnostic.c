/* LINK: conf/diagnostic conf/excerpt conf/glyph conf/nearest conf/source base/arena base/buf base/mem */
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>

#include <cmocka.h>
#include <errno.h>
#include <jansson.h>

#include "conf/diagnostic.h"
#include "conf/nearest.h"

struct said {
	struct arena mem;
	struct conf_diag *d;
	struct buf out;
};

static const struct conf_file *
file(struct said *s, const char *text)
{
	if (s->d == NULL)
		s->d = conf_diag_new();
	return conf_file_new(&s->mem, "f.yaml", NULL, slice_from(text));
}

static const char *
text_of(struct said *s)
{
	s->out.n = 0;
	conf_diag_text(s->d, &s->out);
	buf_add_char(&s->out, '\0');
	return s->out.p;
}

static void
forget(struct said *s)
{
	arena_fini(&s->mem);
	conf_diag_free(&s->d);
	buf_fini(&s->out);
}

static void
the_caret_stands_under_wide_characters_and_tabs(void **state)
{
	struct said s = {0};
	const struct conf_file *f =
	    file(&s, "a: \xe6\x97\xa5\xe6\x9c\xac x\r\n\tb: e\xcc\x81 bad\n");

	conf_error(s.d, conf_place_of(f, 6, 7), "after two wide ones");
	conf_error(s.d, conf_place_of(f, 16, 19), "after a tab and a mark");
	assert_string_equal(text_of(&s),
	    "f.yaml:1:7: error: after two wide ones\n"
	    "     1 | a: \xe6\x97\xa5\xe6\x9c\xac x\n"
	    "                 ^\n"
	    "f.yaml:2:8: error: after a tab and a mark\n"
	    "     2 |         b: e\xcc\x81 bad\n"
	    "                      ^~~\n");
	forget(&s);
}

static void
a_long_line_is_shown_round_the_place(void **state)
{
	struct said s = {0};
	char line[301] = {0};
	const struct conf_file *f;

	memset(line, '.', 300);
	memcpy(line + 200, "here", 4);
	f = file(&s, line);
	conf_error(s.d, conf_place_of(f, 200, 204), "found");
	assert_string_equal(text_of(&s),
	    "f.yaml:1:201: error: found\n"
	    "     1 | "
	    "...........................................here......................................"
	    ".................\n"
	    "                                                    ^~~~\n");
	forget(&s);
}

static void
nothing_that_steers_a_terminal_gets_through(void **state)
{
	struct said s = {0};
	const struct conf_file *f = file(&s, "a: \x1b[31m \xff \xe2\x80\xae x\n");

	conf_warning(s.d, conf_place_of(f, 0, 1), "\x1b[2J\xff");
	assert_string_equal(text_of(&s),
	    "f.yaml:1:1: warning: ?[2J?\n"
	    "     1 | a: ?[31m ? ? x\n"
	    "         ^\n");
	forget(&s);
}

static void
they_are_sorted_said_once_and_bounded(void **state)
{
	struct said s = {0};
	const struct conf_file *f = file(&s, "a\nb\n");

	conf_error(s.d, conf_place_of(f, 2, 3), "second");
	conf_error(s.d, conf_place_of(f, 0, 1), "first");
	conf_hint(s.d, "do this");
	conf_error(s.d, conf_place_of(f, 0, 1), "first");
	conf_hint(s.d, "not shown");
	assert_int_equal(conf_diag_errors(s.d), 2);
	assert_string_equal(text_of(&s),
	    "f.yaml:1:1: error: first\n     1 | a\n         ^ do this\n"
	    "f.yaml:2:1: error: second\n     2 | b\n         ^\n");
	for (int i = 0; i < CONF_DIAG_MAX + 3; i++)
		conf_error(s.d, conf_place_of(f, 0, 1), "number %d", i);
	assert_int_equal(conf_diag_errors(s.d), CONF_DIAG_MAX + 5);
	assert_non_null(strstr(text_of(&s), "\nand 5 more\n"));
	forget(&s);
}

static void
programs_read_them_as_json(void **state)
{
	struct said s = {0};
	const struct conf_file *f = file(&s, "a: \"b\"\n");
	json_t *all, *one;

	conf_error(s.d, conf_place_of(f, 3, 6), "no \"b\"");
	conf_hint(s.d, "expected c");
	conf_warning(s.d, conf_place_of_file(f), "odd");
	conf_diag_json(s.d, &s.out);
	all = json_loadb(s.out.p, s.out.n, 0, NULL);
	assert_int_equal(json_integer_value(json_object_get(all, "errors")), 1);
	assert_int_equal(json_integer_value(json_object_get(all, "warnings")), 1);
	one = json_array_get(json_object_get(all, "diagnostics"), 1);
	assert_int_equal(json_integer_value(json_object_get(one, "column")), 4);
	assert_string_equal(json_string_value(json_object_get(one, "message")), "no \"b\"");
	assert_string_equal(json_string_value(json_object_get(one, "hint")), "expected c");
	assert_string_equal(json_string_value(json_object_get(one, "source")), "a: \"b\"");
	assert_null(
	    json_object_get(json_array_get(json_object_get(all, "diagnostics"), 0), "line"));
	json_decref(all);
	forget(&s);
}

static const char *
guess(const char *wrong)
{
	struct nearest n = nearest_to(wrong);

	nearest_try(&n, "cache");
	nearest_try(&n, "rate_limit");
	nearest_try(&n, "ttl");
	return n.best;
}

static void
only_a_near_word_is_proposed(void **state)
{
	assert_string_equal(guess("cahce"), "cache");
	assert_string_equal(guess("Cache"), "cache");
	assert_string_equal(guess("ratelimit"), "rate_limit");
	assert_string_equal(guess("tll"), "ttl");
	assert_null(guess("tags"));
	assert_null(guess("x"));
	assert_null(guess(""));
}

static void
a_file_that_cannot_be_read_weighs_what_it_means_for_who_looks(void **state)
{
	static const struct {
		enum conf_sight sight;
		int error;
		size_t errors;
	} cases[] = {{CONF_SIGHT_SERVES, ENOENT, 1}, {CONF_SIGHT_SERVES, EACCES, 1},
	    {CONF_SIGHT_LOOKS, ENOENT, 1}, {CONF_SIGHT_LOOKS, EACCES, 0},
	    {CONF_SIGHT_ELSEWHERE, ENOENT, 0}, {CONF_SIGHT_ELSEWHERE, EACCES, 0}};

	for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
		struct said s = {0};
		const struct conf_file *f = file(&s, "ca: a.pem\n");

		conf_diag_set_sight(s.d, cases[i].sight);
		conf_unreadable(s.d, conf_place_of(f, 4, 9), cases[i].error, "it is not read");
		assert_int_equal(conf_diag_errors(s.d), cases[i].errors);
		assert_int_equal(conf_diag_warnings(s.d), 1 - cases[i].errors);
		forget(&s);
	}
}

static void
a_file_is_named_with_the_reason(void **state)
{
	struct said s = {0};
	struct conf_place at = conf_place_of(file(&s, "ca: a.pem\n"), 4, 9);

	assert_true(conf_is_readable(s.d, at, "ca", NULL));
	assert_true(conf_is_readable(s.d, at, "ca", "/proc/self/exe"));
	assert_false(conf_is_readable(s.d, at, "ca", "/nowhere/a.pem"));
	assert_string_equal(text_of(&s),
	    "f.yaml:1:5: error: ca: /nowhere/a.pem: No such file or directory\n"
	    "     1 | ca: a.pem\n"
	    "             ^~~~~\n");
	forget(&s);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(the_caret_stands_under_wide_characters_and_tabs),
	    cmocka_unit_test(a_long_line_is_shown_round_the_place),
	    cmocka_unit_test(nothing_that_steers_a_terminal_gets_through),
	    cmocka_unit_test(they_are_sorted_said_once_and_bounded),
	    cmocka_unit_test(programs_read_them_as_json),
	    cmocka_unit_test(a_file_that_cannot_be_read_weighs_what_it_means_for_who_looks),
	    cmocka_unit_test(a_file_is_named_with_the_reason),
	    cmocka_unit_test(only_a_near_word_is_proposed),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
