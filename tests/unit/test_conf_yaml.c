/* LINK: conf/yaml conf/include conf/substitute conf/diagnostic conf/excerpt conf/glyph conf/source base/arena base/buf base/mem */
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "conf/yaml.h"

/* Runs in a directory of its own, so that paths in messages are short. */
struct tried {
	struct arena mem;
	struct conf_diag *d;
	struct conf_node *top;
	struct buf text;
};

static void
put(const char *path, const char *text)
{
	FILE *f = fopen(path, "w");

	assert_non_null(f);
	fputs(text, f);
	fclose(f);
	chmod(path, 0600);
}

static void
load(struct tried *t, const char *text)
{
	*t = (struct tried){.d = conf_diag_new()};
	put("f.yaml", text);
	t->top = conf_yaml_load("f.yaml", &t->mem, t->d);
	conf_diag_text(t->d, &t->text);
	buf_add_char(&t->text, '\0');
}

static void
forget(struct tried *t)
{
	arena_fini(&t->mem);
	conf_diag_free(&t->d);
	buf_fini(&t->text);
}

static void
says(const char *text, const char *expected)
{
	struct tried t;

	load(&t, text);
	assert_string_equal(t.text.p, expected);
	forget(&t);
}

static const char *
value(struct tried *t, const char *key)
{
	return conf_node_get(t->top, key)->text;
}

static void
a_scalar_is_only_text(void **state)
{
	struct tried t;

	load(&t,
	    "\xef\xbb\xbf"
	    "a: no\nb: 08:00\nc: \"q\"\nd:\n");
	assert_string_equal(t.text.p, "");
	assert_string_equal(value(&t, "a"), "no");
	assert_string_equal(value(&t, "b"), "08:00");
	assert_int_equal(conf_node_get(t.top, "c")->at.line, 3);
	assert_int_equal(conf_node_get(t.top, "c")->at.column, 4);
	assert_true(conf_node_is_empty(conf_node_get(t.top, "d")));
	forget(&t);
}

static void
variables_and_files_are_filled_in(void **state)
{
	struct tried t;

	setenv("FB_SET", "set", 1);
	setenv("FB_EMPTY", "", 1);
	unsetenv("FB_NOT");
	put("secret", "hunter2\n");
	load(&t,
	    "a: x${FB_SET}y\nb: \"${FB_NOT:-d:e}\"\nc: ${FB_EMPTY:-d}${FB_EMPTY}\n"
	    "d: ${file:secret}\ne: $$${FB_SET} $1 $$\n");
	assert_string_equal(t.text.p, "");
	assert_string_equal(value(&t, "a"), "xsety");
	assert_string_equal(value(&t, "b"), "d:e");
	assert_string_equal(value(&t, "c"), "d");
	assert_string_equal(value(&t, "d"), "hunter2");
	assert_string_equal(value(&t, "e"), "$set $1 $");
	assert_true(conf_node_get(t.top, "d")->is_secret);
	assert_false(conf_node_get(t.top, "a")->is_secret);
	assert_string_equal(conf_node_get(t.top, "d")->written, "${file:secret}");
	forget(&t);
}

static void
what_cannot_be_filled_in_is_told_in_its_place(void **state)
{
	unsetenv("FB_NOT");
	put("open", "x");
	chmod("open", 0644);
	says("a: \"x ${FB_NOT}\"\nb: ${file:nosuch}\nc: ${file:.}\nd: ${1x}\ne: ${FB\nf: "
	     "${file:open}\n",
	    "f.yaml:1:7: error: the environment variable FB_NOT is not set\n"
	    "     1 | a: \"x ${FB_NOT}\"\n"
	    "               ^~~~~~~~~ set it, or give a default: ${FB_NOT:-default}\n"
	    "f.yaml:2:4: error: cannot read nosuch: No such file or directory\n"
	    "     2 | b: ${file:nosuch}\n"
	    "            ^~~~~~~~~~~~~~\n"
	    "f.yaml:3:4: error: cannot read .: it is not a regular file\n"
	    "     3 | c: ${file:.}\n"
	    "            ^~~~~~~~~\n"
	    "f.yaml:4:4: error: \"1x\" is not the name of a variable\n"
	    "     4 | d: ${1x}\n"
	    "            ^~~~~ expected ${NAME}, ${NAME:-default} or ${file:/path}; write $$ for a "
	    "dollar\n"
	    "f.yaml:5:4: error: \"${\" without its \"}\"\n"
	    "     5 | e: ${FB\n"
	    "            ^~~~ write $${ for a dollar and a brace\n"
	    "f.yaml:6:4: warning: everybody on this machine can read open\n"
	    "     6 | f: ${file:open}\n"
	    "            ^~~~~~~~~~~~ chmod o-r open\n");
}

static void
a_key_stands_once(void **state)
{
	says("a: 1\nb: {x: 1, y: 2, x: 3}\na: 2\n",
	    "f.yaml:2:17: error: duplicate key \"x\"\n"
	    "     2 | b: {x: 1, y: 2, x: 3}\n"
	    "                         ^ first given at f.yaml:2:5\n"
	    "f.yaml:3:1: error: duplicate key \"a\"\n"
	    "     3 | a: 2\n"
	    "         ^ first given at f.yaml:1:1\n");
}

static void
an_alias_is_what_it_stands_for_within_bounds(void **state)
{
	struct tried t;

	load(&t, "a: &x {b: [1, 2]}\nc: *x\n");
	assert_string_equal(t.text.p, "");
	assert_string_equal(conf_node_get(conf_node_get(t.top, "c"), "b")->items[1]->text, "2");
	forget(&t);
	load(&t,
	    "a: &a [1,1,1,1,1,1,1,1,1,1]\nb: &b [*a,*a,*a,*a,*a,*a,*a,*a,*a,*a]\n"
	    "c: &c [*b,*b,*b,*b,*b,*b,*b,*b,*b,*b]\nd: &d [*c,*c,*c,*c,*c,*c,*c,*c,*c,*c]\n"
	    "e: &e [*d,*d,*d,*d,*d,*d,*d,*d,*d,*d]\n");
	assert_null(t.top);
	assert_non_null(strstr(t.text.p, "error: more than 100000 values"));
	forget(&t);
	says("a: &x [*x]\n",
	    "f.yaml:1:8: error: &x would contain itself\n"
	    "     1 | a: &x [*x]\n"
	    "                ^~\n");
	says("a: *nosuch\n",
	    "f.yaml:1:4: error: no anchor &nosuch stands before this alias\n"
	    "     1 | a: *nosuch\n"
	    "            ^~~~~~~\n");
}

static void
what_is_not_understood_is_refused(void **state)
{
	char deep[200];
	struct tried t;

	says("a: &x {b: 1}\nc:\n  <<: *x\n",
	    "f.yaml:3:3: error: merge keys (<<) are not supported\n"
	    "     3 |   <<: *x\n"
	    "           ^~ write the values out, or give a whole map by an alias\n");
	says("a: !!int 1\n",
	    "f.yaml:1:4: error: a tag (tag:yaml.org,2002:int) has no meaning here\n"
	    "     1 | a: !!int 1\n"
	    "            ^~~~~~~ the directive decides what a value is: leave the tag out\n");
	says("- a\n",
	    "f.yaml:1:1: error: the top level must be a map\n"
	    "     1 | - a\n"
	    "         ^ expected \"directive: value\"\n");
	says("a: 1\n---\nb: 1\n",
	    "f.yaml:2:1: error: a second document in one file\n"
	    "     2 | ---\n"
	    "         ^~~ remove the line with ---\n");
	says("a: {b: ${C}}\n",
	    "f.yaml:1:9: error: while parsing a flow mapping did not find expected ',' or '}'\n"
	    "     1 | a: {b: ${C}}\n"
	    "                 ^ a text with ${...} needs quotes inside { } and [ ]\n");
	says("a:\n\tb: 1\n",
	    "f.yaml:2:1: error: while scanning for the next token found character that cannot "
	    "start "
	    "any token\n"
	    "     2 |         b: 1\n"
	    "         ^~~~~~~~ YAML is indented with blanks, not with tabs\n");
	says("a: \"\\0\"\n",
	    "f.yaml:1:4: error: a NUL byte cannot be part of a value\n"
	    "     1 | a: \"\\0\"\n"
	    "            ^~~~\n");
	memset(deep, '[', sizeof(deep));
	memcpy(deep, "a: ", 3);
	deep[sizeof(deep) - 1] = '\0';
	load(&t, deep);
	assert_non_null(strstr(t.text.p, "f.yaml:1:67: error: nested more than 64 deep"));
	forget(&t);
	load(&t, "a: 1\nb: \xff\n");
	assert_non_null(strstr(t.text.p, "f.yaml:2:4: error: "));
	forget(&t);
}

static void
includes_are_merged_where_they_stand(void **state)
{
	struct tried t;
	struct conf_node *routes;

	mkdir("d", 0700);
	put("d/1.yaml", "routes: [b]\nups: {x: 1}\n");
	put("d/2.yaml", "routes: [c]\nups: {y: 1}\ninclude: ../last.yaml\n");
	put("last.yaml", "routes: [d]\nz: 1\n");
	load(&t, "routes: [a]\ninclude: [\"d/*.yaml\", \"none-*.yaml\"]\nups: {w: 1}\n");
	assert_string_equal(t.text.p, "");
	routes = conf_node_get(t.top, "routes");
	assert_int_equal(routes->count, 4);
	for (size_t i = 0; i < 4; i++)
		assert_int_equal(routes->items[i]->text[0], "abcd"[i]);
	assert_int_equal(conf_node_get(t.top, "ups")->count, 3);
	assert_string_equal(routes->items[1]->at.file->name, "d/1.yaml");
	assert_null(conf_node_get(t.top, "include"));
	forget(&t);
}

static void
what_two_files_both_say_is_an_error(void **state)
{
	put("other.yaml", "a: 2\nups: {x: 1}\n");
	says("a: 1\nups: {x: 1}\ninclude: other.yaml\n",
	    "other.yaml:1:1: error: duplicate key \"a\"\n"
	    "     1 | a: 2\n"
	    "         ^ first given at f.yaml:1:1\n"
	    "other.yaml:2:7: error: duplicate key \"x\"\n"
	    "     2 | ups: {x: 1}\n"
	    "               ^ first given at f.yaml:2:7\n");
}

static void
an_include_that_cannot_be_is_told(void **state)
{
	put("other.yaml", "include: f.yaml\n");
	says("include: [other.yaml, nosuch.yaml]\n",
	    "f.yaml:1:23: error: cannot read nosuch.yaml: No such file or directory\n"
	    "     1 | include: [other.yaml, nosuch.yaml]\n"
	    "                               ^~~~~~~~~~~\n"
	    "other.yaml:1:10: error: include: f.yaml would include itself\n"
	    "     1 | include: f.yaml\n"
	    "                  ^~~~~~\n");
}

static void
a_text_without_files_names_none(void **state)
{
	struct tried t = {.d = conf_diag_new()};

	t.top = conf_yaml_parse(
	    "api", SLICE_LIT("a: ${file:/etc/passwd}\ninclude: /etc/passwd\n"), &t.mem, t.d);
	assert_null(t.top);
	assert_int_equal(conf_diag_errors(t.d), 2);
	forget(&t);
}

static void
a_file_that_is_not_there_is_told(void **state)
{
	struct tried t = {.d = conf_diag_new()};

	assert_null(conf_yaml_load("nosuch.yaml", &t.mem, t.d));
	conf_diag_text(t.d, &t.text);
	buf_add_char(&t.text, '\0');
	assert_string_equal(
	    t.text.p, "nosuch.yaml: error: cannot read nosuch.yaml: No such file or directory\n");
	forget(&t);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(a_scalar_is_only_text),
	    cmocka_unit_test(variables_and_files_are_filled_in),
	    cmocka_unit_test(what_cannot_be_filled_in_is_told_in_its_place),
	    cmocka_unit_test(a_key_stands_once),
	    cmocka_unit_test(an_alias_is_what_it_stands_for_within_bounds),
	    cmocka_unit_test(what_is_not_understood_is_refused),
	    cmocka_unit_test(includes_are_merged_where_they_stand),
	    cmocka_unit_test(what_two_files_both_say_is_an_error),
	    cmocka_unit_test(an_include_that_cannot_be_is_told),
	    cmocka_unit_test(a_text_without_files_names_none),
	    cmocka_unit_test(a_file_that_is_not_there_is_told),
	};
	char dir[] = "/tmp/forebay-conf-XXXXXX", command[64];
	int failed;

	if (mkdtemp(dir) == NULL || chdir(dir) < 0)
		return 1;
	failed = cmocka_run_group_tests(tests, NULL, NULL);
	snprintf(command, sizeof(command), "rm -r %s", dir);
	return system(command) == 0 ? failed : 1;
}
