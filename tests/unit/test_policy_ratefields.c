/* LINK: policy/ratefields base/arena base/buf base/mem */
#include "policy/ratefields.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

/* login: refused for another 172.001 s; site: 812 of 1000 left, more in 40.5 s. */
static const struct rate_label LOGIN = {SLICE_LIT("login"), SLICE_LIT("\"login\""),
    SLICE_LIT("\"login\";q=5;w=300"),
    SLICE_LIT("RateLimit-Policy: \"login\";q=5;w=300\r\nRateLimit: \"login\";r=")};
static const struct rate_label SITE = {SLICE_LIT("site"), SLICE_LIT("\"site\""),
    SLICE_LIT("\"site\";q=1000;w=60"),
    SLICE_LIT("RateLimit-Policy: \"site\";q=1000;w=60\r\nRateLimit: \"site\";r=")};
static const struct rate_verdict MET[2] = {
    {.label = &LOGIN,
	.answer = {.verdict = LIMIT_REFUSED,
	    .limit = 5,
	    .window_ms = 300000,
	    .remaining = 0,
	    .reset_ms = 172001,
	    .retry_ms = 172001}},
    {.label = &SITE,
	.answer = {.verdict = LIMIT_ALLOWED,
	    .limit = 1000,
	    .window_ms = 60000,
	    .remaining = 812,
	    .reset_ms = 40500}},
};

/* The lines, NUL-terminated and without their CRs; freed by the caller. */
static char *
lines(enum rate_style style, const struct rate_verdict *met, unsigned n)
{
	struct buf b = {0}, out = {0};

	rate_lines_add(&b, style, met, n);
	for (size_t i = 0; i < b.n; i++) {
		if (b.p[i] == '\r')
			assert_true(i + 1 < b.n && b.p[i + 1] == '\n');
		else
			buf_add_char(&out, b.p[i]);
	}
	buf_fini(&b);
	buf_add_char(&out, '\0');
	return out.p;
}

static void
assert_lines(
    enum rate_style style, const struct rate_verdict *met, unsigned n, const char *expected)
{
	char *got = lines(style, met, n);

	assert_string_equal(got, expected);
	free(got);
}

static void
draft_11_tells_of_all_limits_rounded_up(void **state)
{
	assert_lines(RATE_STYLE_draft_11, MET, 2,
	    "RateLimit-Policy: \"login\";q=5;w=300, \"site\";q=1000;w=60\n"
	    "RateLimit: \"login\";r=0;t=173, \"site\";r=812;t=41\n"
	    "Retry-After: 173\n");
	assert_lines(RATE_STYLE_draft_11, MET + 1, 1,
	    "RateLimit-Policy: \"site\";q=1000;w=60\n"
	    "RateLimit: \"site\";r=812;t=41\n");
}

static void
a_label_has_what_is_the_same_for_all_answers(void **state)
{
	struct arena mem = {0};
	struct rate_label l = rate_label_of(&mem, "site", 1000, 59001);

	assert_true(slice_eq(l.name, SLICE_LIT("site")));
	assert_true(slice_eq(l.quoted, SLICE_LIT("\"site\"")));
	assert_true(slice_eq(l.policy, SLICE_LIT("\"site\";q=1000;w=60")));
	assert_true(slice_eq(l.alone, SITE.alone));
	arena_fini(&mem);
}

static void
with_all_permits_left_there_is_nothing_to_wait_for(void **state)
{
	struct rate_verdict met = MET[1];

	met.answer.remaining = 1000;
	met.answer.reset_ms = 0;
	assert_lines(RATE_STYLE_draft_11, &met, 1,
	    "RateLimit-Policy: \"site\";q=1000;w=60\n"
	    "RateLimit: \"site\";r=1000\n");
}

static void
the_older_spellings_tell_of_the_tightest(void **state)
{
	assert_lines(RATE_STYLE_draft_03, MET, 2,
	    "RateLimit-Limit: 5, 5;w=300, 1000;w=60\n"
	    "RateLimit-Remaining: 0\n"
	    "RateLimit-Reset: 173\n"
	    "Retry-After: 173\n");
	assert_lines(RATE_STYLE_x_ratelimit, MET, 2,
	    "X-RateLimit-Limit: 5\n"
	    "X-RateLimit-Remaining: 0\n"
	    "X-RateLimit-Reset: 173\n"
	    "Retry-After: 173\n");
}

static void
off_leaves_a_refusal_its_retry_after(void **state)
{
	assert_lines(RATE_STYLE_off, MET, 2, "Retry-After: 173\n");
	assert_lines(RATE_STYLE_off, MET + 1, 1, "");
	assert_lines(RATE_STYLE_draft_11, NULL, 0, "");
}

static void
nobody_is_asked_back_early(void **state)
{
	struct rate_verdict v = MET[0];

	v.answer.retry_ms = 0; /* never before t */
	assert_int_equal(rate_retry_s(&v, 1), 173);
	v.answer.reset_ms = v.answer.retry_ms = 1;
	assert_int_equal(rate_retry_s(&v, 1), 1);
	v.answer.retry_ms = 2000;
	assert_int_equal(rate_retry_s(&v, 1), 2);
}

static void
a_name_stays_within_its_quotes(void **state)
{
	struct rate_verdict v = MET[1];
	struct arena mem = {0};
	struct rate_label l = rate_label_of(&mem, "a\"b\\c\xc3\xa9\r\n", 1000, 60000);

	v.label = &l;
	assert_lines(RATE_STYLE_draft_11, &v, 1,
	    "RateLimit-Policy: \"a\\\"b\\\\c____\";q=1000;w=60\n"
	    "RateLimit: \"a\\\"b\\\\c____\";r=812;t=41\n");
	arena_fini(&mem);
}

static void
styles_are_found_by_their_written_names(void **state)
{
	assert_int_equal(rate_style_from(SLICE_LIT("draft-11")), RATE_STYLE_draft_11);
	assert_int_equal(rate_style_from(SLICE_LIT("x-ratelimit")), RATE_STYLE_x_ratelimit);
	assert_int_equal(rate_style_from(SLICE_LIT("draft-12")), RATE_STYLES);
}

static void
the_problem_names_the_violated_policies(void **state)
{
	struct buf b = {0};

	rate_problem_write(&b, 429, MET, 2);
	buf_add_char(&b, '\0');
	assert_string_equal(b.p,
	    "{\"type\":\"https://iana.org/assignments/http-problem-types#quota-exceeded\","
	    "\"title\":\"Too many requests\",\"status\":429,"
	    "\"detail\":\"More requests than allowed. Try again in 173 seconds.\","
	    "\"violated-policies\":[\"login\"]}\n");
	buf_fini(&b);
}

static void
the_page_says_when_in_words(void **state)
{
	struct buf b = {0};

	rate_page_write(&b, 429, MET, 1);
	buf_add_char(&b, '\0');
	assert_non_null(strstr(b.p, "<title>429 Too many requests</title>"));
	assert_non_null(strstr(b.p, "try again in 3 minutes."));
	buf_fini(&b);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(draft_11_tells_of_all_limits_rounded_up),
	    cmocka_unit_test(a_label_has_what_is_the_same_for_all_answers),
	    cmocka_unit_test(with_all_permits_left_there_is_nothing_to_wait_for),
	    cmocka_unit_test(the_older_spellings_tell_of_the_tightest),
	    cmocka_unit_test(off_leaves_a_refusal_its_retry_after),
	    cmocka_unit_test(nobody_is_asked_back_early),
	    cmocka_unit_test(a_name_stays_within_its_quotes),
	    cmocka_unit_test(styles_are_found_by_their_written_names),
	    cmocka_unit_test(the_problem_names_the_violated_policies),
	    cmocka_unit_test(the_page_says_when_in_words),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
