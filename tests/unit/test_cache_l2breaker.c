/* LINK: cache/l2breaker event/loop base/clock base/mem base/hash */
#include "cache/l2breaker.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

static unsigned probes;

static void
on_probe(void *arg)
{
	probes++;
}

static int
new_breaker(void **state)
{
	static struct breaker b;

	probes = 0;
	breaker_init(&b, loop_new(), on_probe, NULL);
	*state = &b;
	return 0;
}

static int
free_breaker(void **state)
{
	struct breaker *b = *state;

	breaker_fini(b);
	loop_free(&b->loop);
	return 0;
}

static void
close_it(struct breaker *b)
{
	breaker_probe_now(b);
	assert_true(breaker_probed(b, true));
	assert_false(b->is_open);
}

static int64_t
wait_ms(const struct breaker *b)
{
	return b->probe.due_ms - loop_now_ms(b->loop);
}

static void
it_is_open_until_the_first_probe_succeeds(void **state)
{
	struct breaker *b = *state;

	assert_true(b->is_open);
	assert_false(timer_is_armed(&b->probe));
	close_it(b);
	assert_int_equal(probes, 1);
}

static void
failures_in_a_row_open_it_and_a_probe_is_due(void **state)
{
	struct breaker *b = *state;

	close_it(b);
	for (int i = 0; i < BREAKER_FAILURES - 1; i++)
		assert_false(breaker_failure(b));
	breaker_success(b);
	for (int i = 0; i < BREAKER_FAILURES - 1; i++)
		assert_false(breaker_failure(b));
	assert_true(breaker_failure(b));
	assert_true(b->is_open);
	assert_true(timer_is_armed(&b->probe));
	assert_false(breaker_failure(b)); /* what was under way still fails */
}

static void
every_second_command_failing_opens_it(void **state)
{
	struct breaker *b = *state;
	int n = 0;

	close_it(b);
	while (n < 1000 && !b->is_open) {
		breaker_success(b);
		breaker_failure(b);
		n++;
	}
	assert_int_equal(n, BREAKER_SAMPLES / 2);
}

static void
every_third_command_failing_does_not(void **state)
{
	struct breaker *b = *state;

	close_it(b);
	for (int i = 0; i < 1000; i++) {
		breaker_success(b);
		breaker_success(b);
		assert_false(breaker_failure(b));
	}
}

static void
probes_come_more_and_more_rarely_up_to_a_bound(void **state)
{
	struct breaker *b = *state;
	int64_t most_ms = BREAKER_PROBE_LEAST_MS;

	close_it(b);
	breaker_open(b);
	for (int i = 0; i < 10; i++) {
		assert_in_range(wait_ms(b), most_ms * 3 / 4, most_ms);
		timer_disarm(&b->probe);
		assert_false(breaker_probed(b, false));
		most_ms = 2 * most_ms < BREAKER_PROBE_MOST_MS ? 2 * most_ms : BREAKER_PROBE_MOST_MS;
	}
	assert_true(breaker_probed(b, true));
	breaker_open(b);
	assert_in_range(wait_ms(b), BREAKER_PROBE_LEAST_MS / 2, BREAKER_PROBE_LEAST_MS);
}

static void
without_a_connection_nothing_is_probed(void **state)
{
	struct breaker *b = *state;

	close_it(b);
	breaker_open(b);
	breaker_disconnect(b);
	assert_true(b->is_open);
	assert_false(timer_is_armed(&b->probe));
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, new_breaker, free_breaker)

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    TEST(it_is_open_until_the_first_probe_succeeds),
	    TEST(failures_in_a_row_open_it_and_a_probe_is_due),
	    TEST(every_second_command_failing_opens_it),
	    TEST(every_third_command_failing_does_not),
	    TEST(probes_come_more_and_more_rarely_up_to_a_bound),
	    TEST(without_a_connection_nothing_is_probed),
	};

	return cmocka_run_group_tests_name("cache/l2breaker", tests, NULL, NULL);
}
