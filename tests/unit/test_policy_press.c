/* LINK: policy/press policy/codec policy/codecpool policy/codec_gzip policy/codec_br policy/codec_zstd http/negotiate http/head http/fields base/buf base/log base/clock_test base/mem base/thread */
#include "policy/press.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/mem.h"
#include "policy/codec.h"
#include "steered_clock.h"

static struct press_job
job_of(enum encoding coding, size_t n)
{
	struct press_job j = {
	    .coding = coding, .text = must_malloc(n), .text_n = n, .most_bytes = n};

	for (size_t i = 0; i < n; i++)
		j.text[i] = (char)('a' + i * i % 23 * (i % 7) % 26);
	return j;
}

static struct press_job
finished(struct press *p)
{
	struct press_job j;

	while (!press_finish(p, &j))
		usleep(1000);
	return j;
}

static void
what_comes_out_is_smaller_and_decodes_to_the_text(void **state)
{
	static const enum encoding codings[] = {ENC_GZIP, ENC_BR, ENC_ZSTD};
	static const struct codec_limits no_limits;
	struct codec_pool *pool = codec_pool_new(0, SIZE_MAX);
	struct press *p = press_new();

	for (unsigned i = 0; i < 3; i++) {
		struct press_job j = job_of(codings[i], 50000), done;
		struct codec *c = codec_new_decoder(pool, codings[i], &no_limits);
		char *back = must_malloc(60000);
		struct slice coded;
		size_t n;

		press_begin(p, &j);
		assert_null(j.text);
		assert_true(press_is_busy(p));
		done = finished(p);
		assert_false(press_is_busy(p));
		assert_true(done.is_smaller && done.out_n < 50000 && done.cpu_ms > 0);
		coded = slice_of(done.out, done.out_n);
		assert_int_equal(codec_run(c, &coded, back, 60000, &n, CODEC_FINISH), CODEC_DONE);
		assert_int_equal(n, 50000);
		assert_memory_equal(back, done.text, n);
		codec_free(&c);
		free(back);
		free(done.text);
		free(done.out);
	}
	press_free(&p);
	assert_null(p);
	codec_pool_free(&pool);
}

static void
what_is_no_smaller_than_it_must_be_is_not_kept(void **state)
{
	struct press *p = press_new();
	struct press_job j = job_of(ENC_BR, 20000), done;
	size_t least;

	press_begin(p, &j);
	done = finished(p);
	least = done.out_n;
	free(done.text);
	free(done.out);
	for (size_t most = least; most <= least + 1; most++) {
		j = job_of(ENC_BR, 20000);
		j.most_bytes = most;
		press_begin(p, &j);
		done = finished(p);
		assert_int_equal(done.is_smaller, most > least);
		assert_false(done.was_cancelled);
		free(done.text);
		free(done.out);
	}
	press_free(&p);
}

static void
what_is_cancelled_stops_at_the_next_piece(void **state)
{
	struct press *p = press_new();
	struct press_job j = job_of(ENC_BR, 16u << 20), done;

	press_begin(p, &j);
	press_cancel(p);
	done = finished(p);
	assert_true(done.was_cancelled && !done.is_smaller && done.out == NULL);
	assert_true(done.cpu_ms < 10000);
	free(done.text);
	j = job_of(ENC_GZIP, 5000); /* and it works on */
	press_begin(p, &j);
	done = finished(p);
	assert_true(done.is_smaller && !done.was_cancelled);
	free(done.text);
	free(done.out);
	press_free(&p);
}

static void
a_press_at_work_is_left_behind_without_waiting(void **state)
{
	for (int i = 0; i < 20; i++) {
		struct press *p = press_new();
		struct press_job j = job_of(ENC_BR, 100000);

		if (i % 2 == 0)
			press_begin(p, &j);
		free(j.text);
		press_free(&p);
	}
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(what_comes_out_is_smaller_and_decodes_to_the_text),
	    cmocka_unit_test(what_is_no_smaller_than_it_must_be_is_not_kept),
	    cmocka_unit_test(what_is_cancelled_stops_at_the_next_piece),
	    cmocka_unit_test(a_press_at_work_is_left_behind_without_waiting),
	};

	begin_steered();
	return cmocka_run_group_tests(tests, NULL, NULL);
}
