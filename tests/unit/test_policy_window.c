/* LINK: policy/window */
#include "policy/window.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#define NOON_MS 43200000

/* A key under one rule, and every permit it was ever given. */
struct subject {
	struct window_rule rule;
	struct window *w;
	int64_t *given_ms;
	unsigned given;
};

static struct subject
subject_new(struct window_rule rule)
{
	struct subject s = {.rule = rule, .w = calloc(1, window_state_bytes(&rule))};

	s.given_ms = calloc(100000, sizeof(*s.given_ms));
	assert_non_null(s.w);
	assert_non_null(s.given_ms);
	return s;
}

static void
subject_free(struct subject *s)
{
	free(s->w);
	free(s->given_ms);
}

/* What is told with the permits is what would be said if asked for. */
static bool
take(const struct window_rule *r, struct window *w, uint32_t permits, int64_t now_ms)
{
	struct window_told told;

	if (permits % 2 == 0)
		return window_take(r, w, permits, now_ms, now_ms);
	if (!window_take_told(r, w, permits, now_ms, now_ms, &told))
		return false;
	assert_int_equal(told.remaining, window_remaining(r, w));
	assert_int_equal(told.reset_ms, window_wait_ms(r, w, (uint64_t)told.remaining + 1, now_ms));
	return true;
}

static bool
ask(struct subject *s, uint32_t permits, int64_t now_ms)
{
	window_advance(&s->rule, s->w, now_ms);
	if (!take(&s->rule, s->w, permits, now_ms))
		return false;
	while (permits-- > 0)
		s->given_ms[s->given++] = now_ms;
	return true;
}

/* The most permits given within any [t, t + span). */
static unsigned
most_within(const struct subject *s, int64_t span_ms)
{
	unsigned most = 0, from = 0;

	for (unsigned to = 0; to < s->given; to++) {
		while (s->given_ms[to] - s->given_ms[from] >= span_ms)
			from++;
		if (to - from + 1 > most)
			most = to - from + 1;
	}
	return most;
}

static struct window_rule
fixed(uint32_t limit, int64_t window_ms)
{
	return (struct window_rule){.kind = WINDOW_FIXED, .limit = limit, .window_ms = window_ms};
}

static void
a_fixed_window_begins_with_the_first_request(void **state)
{
	struct subject s = subject_new(fixed(2, 1000));

	assert_true(ask(&s, 1, NOON_MS + 700));
	assert_true(ask(&s, 1, NOON_MS + 1600));
	assert_false(ask(&s, 1, NOON_MS + 1699));
	assert_int_equal(window_wait_ms(&s.rule, s.w, 1, NOON_MS + 1699), 1);
	assert_true(ask(&s, 1, NOON_MS + 1700));
	subject_free(&s);
}

static void
a_clock_aligned_window_ends_on_the_full_minute(void **state)
{
	struct window_rule r = fixed(1, 60000);
	struct window *w = calloc(1, window_state_bytes(&r));

	r.align_clock = true;
	/* 5 s of our clock are 12:00:50 of the wall's */
	assert_true(window_take(&r, w, 1, 5000, NOON_MS + 50000));
	assert_int_equal(window_wait_ms(&r, w, 1, 5000), 10000);
	window_advance(&r, w, 14999);
	assert_false(window_take(&r, w, 1, 14999, NOON_MS + 59999));
	window_advance(&r, w, 15000);
	assert_true(window_take(&r, w, 1, 15000, NOON_MS + 60000));
	free(w);
}

/* learn.microsoft.com/aspnet/core/performance/rate-limit: 100 per 30 s in 3 segments; at each time
 * what is available, taken, recycled and carried over. */
static void
dotnet_segments_follow_microsofts_worked_example(void **state)
{
	static const struct {
		int64_t at_s;
		uint32_t available, taken, recycled, carried;
	} rows[] = {{0, 100, 20, 0, 80}, {10, 80, 30, 0, 50}, {20, 50, 40, 0, 10},
	    {30, 10, 30, 20, 0}, {40, 0, 10, 30, 20}, {50, 20, 10, 40, 50}, {60, 50, 35, 30, 45}};
	struct subject s = subject_new(window_rule_sliding(100, 30000, 3, true));

	assert_int_equal(s.rule.kind, WINDOW_DOTNET);
	for (unsigned i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		int64_t now_ms = NOON_MS + rows[i].at_s * 1000;

		assert_int_equal(window_remaining(&s.rule, s.w), rows[i].available);
		window_advance(&s.rule, s.w, now_ms);
		assert_int_equal(
		    window_remaining(&s.rule, s.w), rows[i].available + rows[i].recycled);
		assert_true(ask(&s, rows[i].taken, now_ms));
		assert_int_equal(window_remaining(&s.rule, s.w), rows[i].carried);
	}
	subject_free(&s);
}

static void
all_due_segments_slide_at_once_after_a_pause(void **state)
{
	struct subject s = subject_new(window_rule_sliding(100, 30000, 3, true));

	assert_true(ask(&s, 40, NOON_MS));
	assert_true(ask(&s, 50, NOON_MS + 12000));
	window_advance(&s.rule, s.w, NOON_MS + 39999); /* nobody came for 28 s */
	assert_int_equal(window_remaining(&s.rule, s.w), 50);
	window_advance(&s.rule, s.w, NOON_MS + 40000);
	assert_int_equal(window_remaining(&s.rule, s.w), 100);
	subject_free(&s);
}

static void
small_sliding_limits_are_exact_logs_and_large_ones_segments(void **state)
{
	assert_int_equal(window_rule_sliding(5, 300000, 5, false).kind, WINDOW_LOG);
	assert_int_equal(window_rule_sliding(64, 300000, 0, false).kind, WINDOW_LOG);
	assert_int_equal(window_rule_sliding(65, 300000, 0, false).kind, WINDOW_SEGMENTS);
	assert_int_equal(window_rule_sliding(65, 300000, 0, false).segments, 10);
	assert_int_equal(window_rule_sliding(5, 300000, 5, true).kind, WINDOW_DOTNET);
}

static void
a_logged_permit_is_back_exactly_one_window_later(void **state)
{
	struct subject s = subject_new(window_rule_sliding(2, 1000, 0, false));

	assert_true(ask(&s, 1, NOON_MS));
	assert_true(ask(&s, 1, NOON_MS + 400));
	assert_false(ask(&s, 1, NOON_MS + 999));
	assert_int_equal(window_wait_ms(&s.rule, s.w, 1, NOON_MS + 999), 1);
	assert_int_equal(window_wait_ms(&s.rule, s.w, 2, NOON_MS + 999), 401);
	assert_int_equal(window_wait_ms(&s.rule, s.w, 3, NOON_MS + 999), 1001);
	assert_true(ask(&s, 1, NOON_MS + 1000));
	assert_false(ask(&s, 1, NOON_MS + 1399));
	assert_true(ask(&s, 1, NOON_MS + 1400));
	subject_free(&s);
}

static void
a_segments_permit_is_back_one_window_after_the_end_of_its_segment(void **state)
{
	struct subject s = subject_new(window_rule_sliding(100, 1000, 10, false));

	assert_true(ask(&s, 1, NOON_MS)); /* segment 0 ends at 100 */
	assert_true(ask(&s, 99, NOON_MS + 250));
	assert_false(ask(&s, 1, NOON_MS + 1099));
	assert_int_equal(window_wait_ms(&s.rule, s.w, 1, NOON_MS + 1099), 1);
	assert_int_equal(window_wait_ms(&s.rule, s.w, 2, NOON_MS + 1099), 201);
	assert_true(ask(&s, 1, NOON_MS + 1100));
	assert_false(ask(&s, 2, NOON_MS + 1299));
	assert_true(ask(&s, 2, NOON_MS + 1300));
	subject_free(&s);
}

/* Bursts at the ends of segments and just over boundaries, gaps of all sizes. */
static void
hammer(struct subject *s, unsigned asks, uint32_t most_at_once)
{
	int64_t now_ms = NOON_MS, step = s->rule.window_ms / s->rule.segments;

	for (unsigned i = 0; i < asks; i++) {
		switch (rand() % 6) {
		case 0:
			now_ms += rand() % (3 * s->rule.window_ms);
			break;
		case 1:
			now_ms += step - 1;
			break;
		case 2:
			now_ms += s->rule.window_ms - step + rand() % 3;
			break;
		case 3:
			now_ms += rand() % (step + 1);
			break;
		default:
			break;
		}
		for (unsigned burst = 1 + (unsigned)rand() % (s->rule.limit * 2); burst > 0;
		     burst--) {
			if (s->given > 90000)
				return;
			if (!ask(s, 1 + (uint32_t)rand() % most_at_once, now_ms)) {
				int64_t wait = window_wait_ms(&s->rule, s->w, 1, now_ms);

				assert_in_range(wait, 0, s->rule.window_ms + step + 1);
			}
		}
	}
}

static void
never_more_than_the_limit_in_any_window(void **state)
{
	static const uint32_t limits[] = {1, 2, 5, 64, 65, 100, 300};
	static const uint32_t segments[] = {1, 2, 3, 7, 10, 60};

	srand(1);
	for (unsigned i = 0; i < sizeof(limits) / sizeof(limits[0]); i++)
		for (unsigned k = 0; k < sizeof(segments) / sizeof(segments[0]); k++) {
			struct subject s =
			    subject_new(window_rule_sliding(limits[i], 1000, segments[k], false));

			hammer(&s, 1500, 1 + limits[i] / 4);
			assert_in_range(most_within(&s, 1000), 1, limits[i]);
			assert_in_range(s.given, limits[i], 100000);
			subject_free(&s);
		}
}

static void
dotnet_segments_hold_the_limit_in_a_window_less_one_segment(void **state)
{
	static const uint32_t segments[] = {2, 3, 6, 10, 60};

	srand(2);
	for (unsigned k = 0; k < sizeof(segments) / sizeof(segments[0]); k++) {
		struct subject s = subject_new(window_rule_sliding(50, 6000, segments[k], true));

		hammer(&s, 1500, 4);
		assert_in_range(most_within(&s, 6000 - 6000 / segments[k]), 1, 50);
		subject_free(&s);
	}
}

static void
dotnet_segments_let_almost_twice_the_limit_through_in_one_window(void **state)
{
	struct subject s = subject_new(window_rule_sliding(100, 30000, 3, true));

	assert_true(ask(&s, 1, NOON_MS));
	assert_true(ask(&s, 99, NOON_MS + 9999));
	assert_true(ask(&s, 1, NOON_MS + 30000));
	assert_true(ask(&s, 98, NOON_MS + 30000));
	assert_int_equal(most_within(&s, 30000), 198);
	subject_free(&s);
}

static void
the_wait_that_is_told_is_exact(void **state)
{
	static const uint32_t limits[] = {1, 7, 64, 90};

	srand(3);
	for (unsigned i = 0; i < 4; i++)
		for (unsigned kind = 0; kind < 3; kind++) {
			struct window_rule r = kind == 0
			    ? fixed(limits[i], 997)
			    : window_rule_sliding(limits[i], 997, 7, kind == 2);
			struct subject s = subject_new(r);
			int64_t now_ms = NOON_MS;

			for (unsigned n = 0; n < 2000; n++) {
				uint32_t want = 1 + (uint32_t)rand() % limits[i];
				int64_t wait;

				now_ms += rand() % 300;
				if (ask(&s, want, now_ms))
					continue;
				wait = window_wait_ms(&s.rule, s.w, want, now_ms);
				assert_true(wait > 0);
				window_advance(&s.rule, s.w, now_ms + wait - 1);
				assert_true(window_remaining(&s.rule, s.w) < want);
				now_ms += wait;
				assert_true(ask(&s, want, now_ms));
			}
			subject_free(&s);
		}
}

static void
a_refunded_permit_is_there_again_but_only_once(void **state)
{
	for (unsigned kind = 0; kind < 3; kind++) {
		struct window_rule r = kind == 0
		    ? fixed(70, 1000)
		    : window_rule_sliding(kind == 1 ? 5 : 70, 1000, 10, false);
		struct subject s = subject_new(r);

		assert_true(ask(&s, r.limit, NOON_MS));
		window_refund(&r, s.w, 2, NOON_MS);
		assert_int_equal(window_remaining(&r, s.w), 2);
		window_advance(&r, s.w, NOON_MS + 1100);
		assert_true(ask(&s, 3, NOON_MS + 1100));
		window_refund(&r, s.w, 3, NOON_MS); /* long back by itself */
		assert_int_equal(window_remaining(&r, s.w), r.limit - 3);
		subject_free(&s);
	}
}

static void
charged_refusals_keep_a_persistent_client_out(void **state)
{
	for (unsigned kind = 0; kind < 2; kind++) {
		struct window_rule r = window_rule_sliding(kind == 0 ? 5 : 70, 1000, 10, false);
		struct subject s = subject_new(r);
		int64_t now_ms = NOON_MS;

		assert_true(ask(&s, r.limit, now_ms));
		for (unsigned i = 0; i < 5000; i++) {
			now_ms += 5;
			assert_false(ask(&s, 1, now_ms));
			window_charge(&r, s.w, 1, now_ms, now_ms);
		}
		now_ms += window_wait_ms(&r, s.w, 1, now_ms);
		assert_true(ask(&s, 1, now_ms));
		subject_free(&s);
	}
}

static void
a_key_busy_for_a_year_counts_as_on_its_first_day(void **state)
{
	struct subject s = subject_new(window_rule_sliding(100, 365ll * 86400000, 1000, false));
	int64_t now_ms = NOON_MS;

	for (unsigned i = 0; i < 800; i++) {
		ask(&s, 1, now_ms);
		now_ms += 86400000ll;
	}
	assert_in_range(most_within(&s, 365ll * 86400000), 99, 100);
	subject_free(&s);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(a_fixed_window_begins_with_the_first_request),
	    cmocka_unit_test(a_clock_aligned_window_ends_on_the_full_minute),
	    cmocka_unit_test(dotnet_segments_follow_microsofts_worked_example),
	    cmocka_unit_test(all_due_segments_slide_at_once_after_a_pause),
	    cmocka_unit_test(small_sliding_limits_are_exact_logs_and_large_ones_segments),
	    cmocka_unit_test(a_logged_permit_is_back_exactly_one_window_later),
	    cmocka_unit_test(a_segments_permit_is_back_one_window_after_the_end_of_its_segment),
	    cmocka_unit_test(never_more_than_the_limit_in_any_window),
	    cmocka_unit_test(dotnet_segments_hold_the_limit_in_a_window_less_one_segment),
	    cmocka_unit_test(dotnet_segments_let_almost_twice_the_limit_through_in_one_window),
	    cmocka_unit_test(the_wait_that_is_told_is_exact),
	    cmocka_unit_test(a_refunded_permit_is_there_again_but_only_once),
	    cmocka_unit_test(charged_refusals_keep_a_persistent_client_out),
	    cmocka_unit_test(a_key_busy_for_a_year_counts_as_on_its_first_day),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
