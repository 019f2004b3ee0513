/* LINK: policy/ratefields base/buf base/mem */
#include "policy/ratefields.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

/* login: refused for another 172.001 s; site: 812 of 1000 left, more in 40.5 s. */
static const struct rate_verdict MET[2] = {
    {.name = SLICE_LIT("login"),
	.answer = {.verdict = LIMIT_REFUSED,
	    .limit = 5,
	    .window_ms = 300000,
	    .remaining = 0,
	    .reset_ms = 172001,
	    .retry_ms = 172001}},
    {.name = SLICE_LIT("site"),
	.answer = {.verdict = LIMIT_ALLOWED,
	    .limit = 1000,
	    .window_ms = 60000,
	    .remaining = 812,
	    .reset_ms = 40500}},
};

/* The fields as lines; freed by the caller. */
static char *
lines(enum rate_style style, const struct rate_verdict *met, unsigned n)
{
	struct rate_field f[RATE_FIELDS_MAX];
	struct buf b = {0}, out = {0};
	unsigned count = rate_fields_write(&b, style, met, n, f);

	for (unsigned i = 0; i < count; i++)
		buf_printf(&out, "%.*s: %.*s\n", SLICE_FMT(f[i].name), SLICE_FMT(f[i].value));
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
a_policy_that_was_written_before_is_taken_as_it_is(void **state)
{
	struct rate_verdict met = MET[1];
	struct buf policy = {0};

	rate_policy_write(&policy, met.name, met.answer.limit, met.answer.window_ms);
	met.policy = buf_slice(&policy);
	assert_lines(RATE_STYLE_draft_11, &met, 1,
	    "RateLimit-Policy: \"site\";q=1000;w=60\n"
	    "RateLimit: \"site\";r=812;t=41\n");
	buf_fini(&policy);
	met.policy = SLICE_LIT("\"other\";q=1;w=2");
	assert_lines(RATE_STYLE_draft_11, &met, 1,
	    "RateLimit-Policy: \"other\";q=1;w=2\n"
	    "RateLimit: \"site\";r=812;t=41\n");
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

	v.name = SLICE_LIT("a\"b\\c\xc3\xa9\r\n");
	assert_lines(RATE_STYLE_draft_11, &v, 1,
	    "RateLimit-Policy: \"a\\\"b\\\\c____\";q=1000;w=60\n"
	    "RateLimit: \"a\\\"b\\\\c____\";r=812;t=41\n");
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
	    cmocka_unit_test(a_policy_that_was_written_before_is_taken_as_it_is),
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
