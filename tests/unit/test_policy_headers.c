/* LINK: policy/headers http/fields http/head base/buf base/mem */
#include "policy/headers.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>

#include <cmocka.h>

#define STANDARD                                               \
	"X-Content-Type-Options: nosniff\r\n"                  \
	"X-Frame-Options: DENY\r\n"                            \
	"X-XSS-Protection: 1; mode=block\r\n"                  \
	"Referrer-Policy: strict-origin-when-cross-origin\r\n" \
	"Permissions-Policy: geolocation=(), microphone=(), camera=()\r\n"
#define HSTS "Strict-Transport-Security: max-age=31536000\r\n"
#define LEVELS(...)                                  \
	(const struct headers_level[]){__VA_ARGS__}, \
	    sizeof((const struct headers_level[]){__VA_ARGS__}) / sizeof(struct headers_level)
#define RULES(...)                                          \
	.rules = (const struct header_rule[]){__VA_ARGS__}, \
	.rule_count =                                       \
	    sizeof((const struct header_rule[]){__VA_ARGS__}) / sizeof(struct header_rule)
#define SET(name, value)                                      \
	{                                                     \
		SLICE_LIT(name), SLICE_LIT(value), HEADER_SET \
	}
#define FORCE(name, value)                                      \
	{                                                       \
		SLICE_LIT(name), SLICE_LIT(value), HEADER_FORCE \
	}
#define OFF(name)                                       \
	{                                               \
		SLICE_LIT(name), SLICE_NONE, HEADER_OFF \
	}
#define STRIP(name)                                       \
	{                                                 \
		SLICE_LIT(name), SLICE_NONE, HEADER_STRIP \
	}

/* A head of "Name: value\n" lines. */
static struct head
head_of(const char *lines)
{
	struct head h = {.base = lines, .status = 200};

	for (const char *at = lines; *at != '\0';) {
		const char *colon = strchr(at, ':'), *end = strchr(at, '\n');
		struct field *f = &h.fields[h.count];

		f->name_at = (uint32_t)(at - lines);
		f->name_len = (uint16_t)(colon - at);
		f->value_at = (uint32_t)(colon + 2 - lines);
		f->value_len = (uint16_t)(end - colon - 2);
		f->id = (uint8_t)field_id_of(field_name(&h, f));
		h.count++;
		if (h.first[f->id] == 0)
			h.first[f->id] = (uint8_t)h.count;
		at = end + 1;
	}
	return h;
}

static struct headers *
compiled(const struct headers_level *levels, size_t count)
{
	struct headers_error error;
	struct headers *h = headers_compile(levels, count, &error);

	assert_non_null(h);
	return h;
}

static void
assert_adds(const struct headers *h, const char *origin_lines, bool is_https, const char *expected)
{
	struct head origin = head_of(origin_lines == NULL ? "" : origin_lines);
	struct buf out = {0};
	char *seen;

	headers_apply(h, origin_lines == NULL ? NULL : &origin, is_https, &out);
	buf_add_char(&out, '\0');
	seen = out.p;
	assert_string_equal(seen, expected);
	buf_fini(&out);
}

static bool
drops(const struct headers *h, const char *line)
{
	struct head origin = head_of(line);

	return headers_drops(h, &origin, &origin.fields[0]);
}

static void
without_a_word_the_standard_set_is_sent(void **state)
{
	struct headers *h = compiled(NULL, 0);

	assert_adds(h, "Content-Type: text/html\n", false, STANDARD);
	assert_true(drops(h, "Server: nginx\n"));
	assert_true(drops(h, "x-powered-by: Express\n"));
	assert_true(drops(h, "X-AspNet-Version: 4.0\n"));
	assert_false(drops(h, "X-Frame-Options: DENY\n"));
	assert_false(drops(h, "X-Mine: 1\n"));
	headers_free(&h);
	assert_null(h);
}

static void
an_answer_of_our_own_has_them_too(void **state)
{
	struct headers *h = compiled(NULL, 0);

	assert_adds(h, NULL, false, STANDARD);
	assert_adds(h, NULL, true, STANDARD HSTS);
	headers_free(&h);
}

static void
transport_security_is_promised_over_https_alone(void **state)
{
	struct headers *h = compiled(
	    LEVELS({RULES(SET("strict-transport-security", "max-age=60"), SET("X-Last", "1"))}));

	assert_adds(h, "", false, STANDARD "X-Last: 1\r\n");
	assert_adds(h, "", true, STANDARD "X-Last: 1\r\nstrict-transport-security: max-age=60\r\n");
	headers_free(&h);
}

static void
what_the_origin_says_stands(void **state)
{
	struct headers *h = compiled(LEVELS({RULES(SET("X-Mine", "ours"))}));

	assert_adds(h,
	    "X-Content-Type-Options: nosniff\nreferrer-policy: no-referrer\nx-mine: theirs\n"
	    "Strict-Transport-Security: max-age=1\n",
	    true,
	    "X-Frame-Options: DENY\r\nX-XSS-Protection: 1; mode=block\r\n"
	    "Permissions-Policy: geolocation=(), microphone=(), camera=()\r\n");
	headers_free(&h);
}

static void
a_forced_value_takes_the_place_of_the_origins(void **state)
{
	struct headers *h = compiled(LEVELS({.preset = HEADERS_PRESET_NONE,
	    RULES(FORCE("X-Frame-Options", "SAMEORIGIN"), FORCE("X-Mine", "ours"))}));

	assert_adds(h, "x-frame-options: DENY\nX-Mine: theirs\n", false,
	    "X-Frame-Options: SAMEORIGIN\r\nX-Mine: ours\r\n");
	assert_true(drops(h, "x-frame-options: DENY\n"));
	assert_true(drops(h, "x-mine: theirs\n"));
	headers_free(&h);
}

static void
a_route_adds_changes_and_removes(void **state)
{
	struct headers *h = compiled(
	    LEVELS({.preset = HEADERS_PRESET_STRICT,
		       RULES(SET("X-Robots-Tag", "noindex"), SET("X-Frame-Options", "SAMEORIGIN"))},
		{RULES(OFF("content-security-policy"), SET("X-XSS-Protection", "0"),
		    OFF("Permissions-Policy"), STRIP("X-Debug"))}));

	assert_adds(h, "", false,
	    "X-Content-Type-Options: nosniff\r\nX-Frame-Options: SAMEORIGIN\r\n"
	    "X-XSS-Protection: 0\r\nReferrer-Policy: strict-origin-when-cross-origin\r\n"
	    "X-Robots-Tag: noindex\r\n");
	assert_false(drops(h, "Content-Security-Policy: default-src *\n"));
	assert_true(drops(h, "x-debug: 1\n"));
	headers_free(&h);
}

static void
a_preset_of_the_route_replaces_the_general_one_but_not_the_general_rules(void **state)
{
	struct headers *h =
	    compiled(LEVELS({RULES(SET("X-Mine", "1"))}, {.preset = HEADERS_PRESET_NONE}));

	assert_adds(h, "", true, "X-Mine: 1\r\n");
	headers_free(&h);
}

static void
what_is_kept_from_the_origin_stays_so_until_off(void **state)
{
	struct headers_level general = {.preset = HEADERS_PRESET_NONE,
	    RULES(FORCE("X-Frame-Options", "DENY"), SET("Server", "weir"))};
	struct headers *h =
	    compiled(LEVELS(general, {RULES(SET("X-Frame-Options", "SAMEORIGIN"))}));

	assert_adds(h, "X-Frame-Options: ALLOWALL\nServer: IIS\n", false,
	    "Server: weir\r\nX-Frame-Options: SAMEORIGIN\r\n");
	headers_free(&h);
	h = compiled(LEVELS(general, {RULES(OFF("X-Frame-Options"), OFF("Server"))}));
	assert_adds(h, "", false, "");
	assert_false(drops(h, "X-Frame-Options: ALLOWALL\n"));
	assert_false(drops(h, "Server: IIS\n"));
	headers_free(&h);
}

static void
the_origins_server_passes_where_it_may(void **state)
{
	struct headers *h = compiled(LEVELS({.server = HEADERS_SERVER_KEEP}));

	assert_false(drops(h, "Server: nginx\n"));
	assert_false(drops(h, "X-Powered-By: PHP\n"));
	headers_free(&h);
	h = compiled(LEVELS({.server = HEADERS_SERVER_KEEP}, {.server = HEADERS_SERVER_HIDE}));
	assert_true(drops(h, "Server: nginx\n"));
	headers_free(&h);
}

static void
nothing_to_say_is_said(void **state)
{
	struct headers *h =
	    compiled(LEVELS({.preset = HEADERS_PRESET_NONE, .server = HEADERS_SERVER_KEEP}));

	assert_adds(h, "Age: 1\n", true, "");
	assert_int_equal(headers_count(h), 0);
	headers_free(&h);
}

static void
line_by_line_is_the_same_as_in_one(void **state)
{
	static const char *const origins[] = {"", "X-Frame-Options: DENY\n", "X-B: 1\nServer: x\n"};
	struct headers *h = compiled(
	    LEVELS({.preset = HEADERS_PRESET_STRICT, RULES(SET("X-B", "2"), FORCE("X-C", "3"))}));

	for (size_t o = 0; o < 3; o++)
		for (int is_https = 0; is_https < 2; is_https++) {
			struct head origin = head_of(origins[o]);
			struct buf lines = {0};

			for (size_t i = 0; i < headers_count(h); i++) {
				const struct header_line *l = headers_line(h, i);

				if (headers_adds(h, i, &origin, is_https))
					buf_printf(&lines, "%.*s: %.*s\r\n", SLICE_FMT(l->name),
					    SLICE_FMT(l->value));
			}
			buf_add_char(&lines, '\0');
			assert_adds(h, origins[o], is_https, lines.p);
			buf_fini(&lines);
		}
	headers_free(&h);
}

static void
assert_refused(const struct header_rule *bad)
{
	struct header_rule rules[] = {SET("X-Good", "1"), *bad};
	struct headers_level levels[] = {{0}, {.rules = rules, .rule_count = 2}};
	struct headers_error error = {0};

	assert_null(headers_compile(levels, 2, &error));
	assert_int_equal(error.level, 1);
	assert_int_equal(error.rule, 1);
	assert_non_null(error.text);
}

static void
a_name_or_value_that_could_break_a_message_is_refused(void **state)
{
	const struct header_rule bad[] = {SET("", "1"), SET("X Y", "1"), SET("X:", "1"),
	    SET("X\r\nY", "1"), SET("X\xc3\xa4", "1"), SET("X", ""), SET("X", " \t "),
	    SET("X", "a\r\nSet-Cookie: b"), SET("X", "a\nb"), SET("X", "a\0b"), SET("X", "\x7f"),
	    FORCE("X", "a\rb"), SET("Content-Length", "0"), STRIP("Transfer-Encoding"),
	    OFF("Connection"), SET("Vary", "*"), SET("x-good", "2")};

	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
		assert_refused(&bad[i]);
}

static void
more_fields_than_there_is_room_for_are_refused(void **state)
{
	struct header_rule rules[HEADERS_RULES_MAX + 1];
	char names[HEADERS_RULES_MAX + 1][8];
	struct headers_level level = {HEADERS_PRESET_NONE, HEADERS_SERVER_KEEP, rules, 0};
	struct headers_error error;
	struct headers *h;

	for (size_t i = 0; i <= HEADERS_RULES_MAX; i++) {
		names[i][0] = 'X';
		names[i][1] = (char)('A' + i / 26);
		names[i][2] = (char)('A' + i % 26);
		rules[i] = (struct header_rule){
		    slice_of(names[i], 3), SLICE_LIT("v"), i % 2 ? HEADER_FORCE : HEADER_STRIP};
	}
	level.rule_count = HEADERS_RULES_MAX;
	h = compiled(&level, 1);
	assert_true(drops(h, "xaa: 1\n"));
	headers_free(&h);
	level.rule_count++;
	assert_null(headers_compile(&level, 1, &error));
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(without_a_word_the_standard_set_is_sent),
	    cmocka_unit_test(an_answer_of_our_own_has_them_too),
	    cmocka_unit_test(transport_security_is_promised_over_https_alone),
	    cmocka_unit_test(what_the_origin_says_stands),
	    cmocka_unit_test(a_forced_value_takes_the_place_of_the_origins),
	    cmocka_unit_test(a_route_adds_changes_and_removes),
	    cmocka_unit_test(
		a_preset_of_the_route_replaces_the_general_one_but_not_the_general_rules),
	    cmocka_unit_test(what_is_kept_from_the_origin_stays_so_until_off),
	    cmocka_unit_test(the_origins_server_passes_where_it_may),
	    cmocka_unit_test(nothing_to_say_is_said),
	    cmocka_unit_test(line_by_line_is_the_same_as_in_one),
	    cmocka_unit_test(a_name_or_value_that_could_break_a_message_is_refused),
	    cmocka_unit_test(more_fields_than_there_is_room_for_are_refused),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
