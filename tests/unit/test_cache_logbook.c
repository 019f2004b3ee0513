/* LINK: cache/logbook base/mem base/log base/buf base/clock */
#include "cache/logbook.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#define ME 1
#define OTHER 2

static struct log_entry *
entry(uint64_t instance, uint64_t serial)
{
	return log_entry_new(instance, serial,
	    &(struct purge){.kind = PURGE_EXACT, .what = SLICE_LIT("a.test/page")});
}

static void
what_is_pending_is_told_in_order_and_known_when_it_is_told(void **state)
{
	struct logbook *b = logbook_new();
	struct logbook_batch batch;

	assert_false(logbook_next(b, &batch));
	for (uint64_t i = 1; i <= 600; i++)
		assert_true(logbook_add_pending(b, entry(ME, i)));
	for (uint64_t at = 1; at <= 600;) {
		assert_true(logbook_next(b, &batch));
		assert_false(batch.is_again);
		assert_true(batch.count <= LOGBOOK_BATCH_MAX);
		for (unsigned k = 0; k < batch.count; k++)
			assert_int_equal(batch.entries[k]->serial, at++);
		logbook_told(b, &batch);
	}
	assert_int_equal(logbook_pending(b), 0);
	assert_false(logbook_next(b, &batch));
	logbook_free(&b);
}

static void
what_was_not_acknowledged_is_told_again(void **state)
{
	struct logbook *b = logbook_new();
	struct logbook_batch first, again;

	logbook_add_pending(b, entry(ME, 1));
	assert_true(logbook_next(b, &first));
	logbook_add_pending(b, entry(ME, 2));
	assert_true(logbook_next(b, &again));
	assert_int_equal(again.count, 2);
	logbook_told(b, &first);
	assert_int_equal(logbook_pending(b), 1);
	logbook_told(b, &again);
	assert_int_equal(logbook_pending(b), 0);
	logbook_free(&b);
}

static void
too_many_become_one_of_everything(void **state)
{
	struct logbook *b = logbook_new();
	struct logbook_batch batch;

	for (uint64_t i = 1; i <= LOGBOOK_PENDING_MAX; i++)
		assert_true(logbook_add_pending(b, entry(ME, i)));
	assert_false(logbook_add_pending(b, entry(ME, LOGBOOK_PENDING_MAX + 1)));
	assert_int_equal(logbook_pending(b), 1);
	assert_true(logbook_next(b, &batch));
	assert_int_equal(batch.entries[0]->kind, PURGE_ALL);
	assert_int_equal(batch.entries[0]->serial, LOGBOOK_PENDING_MAX + 1);
	assert_int_equal(batch.serial, LOGBOOK_PENDING_MAX + 1);
	logbook_free(&b);
}

static void
a_new_epoch_is_told_what_is_known_before_what_is_pending(void **state)
{
	struct logbook *b = logbook_new();
	struct logbook_batch batch;

	for (uint64_t i = 1; i <= 300; i++)
		logbook_add_known(b, entry(OTHER, i));
	logbook_add_pending(b, entry(ME, 1));
	logbook_tell_again(b);
	assert_true(logbook_next(b, &batch));
	assert_true(batch.is_again);
	assert_int_equal(batch.entries[0]->serial, 1);
	logbook_told(b, &batch);
	logbook_add_known(b, entry(OTHER, 301)); /* heard meanwhile: it is there already */
	assert_true(logbook_next(b, &batch));
	assert_int_equal(batch.entries[batch.count - 1]->serial, 300);
	logbook_told(b, &batch);
	assert_false(logbook_is_telling_again(b));
	assert_true(logbook_next(b, &batch));
	assert_int_equal(batch.entries[0]->instance, ME);
	logbook_free(&b);
}

static void
the_oldest_known_are_forgotten_and_that_is_known(void **state)
{
	struct logbook *b = logbook_new();
	struct logbook_batch batch;

	for (uint64_t i = 1; i <= LOGBOOK_KNOWN_MAX; i++)
		logbook_add_known(b, entry(OTHER, i));
	assert_false(logbook_has_forgotten(b));
	logbook_tell_again(b);
	logbook_add_known(b, entry(OTHER, LOGBOOK_KNOWN_MAX + 1));
	assert_true(logbook_has_forgotten(b));
	assert_true(logbook_next(b, &batch));
	assert_int_equal(batch.entries[0]->serial, 2);
	logbook_free(&b);
}

/* Whatever is cut purges more, never less. */
static void
what_is_too_long_purges_more(void **state)
{
	static char text[LOG_WHAT_BYTES_MAX + 2];
	struct purge p = {.what = {text, sizeof(text)}};
	static const enum purge_kind kinds[] = {
	    PURGE_EXACT, PURGE_PREFIX, PURGE_PATTERN, PURGE_TAG};
	static const enum purge_kind become[] = {
	    PURGE_PREFIX, PURGE_PREFIX, PURGE_PREFIX, PURGE_ALL};

	memset(text, 'x', sizeof(text));
	text[7] = '*';
	for (size_t i = 0; i < 4; i++) {
		struct log_entry *e;

		p.kind = kinds[i];
		e = log_entry_new(ME, 1, &p);
		assert_int_equal(e->kind, become[i]);
		assert_true(e->len <= PURGELOG_PATTERN_BYTES_MAX);
		if (kinds[i] == PURGE_PATTERN)
			assert_int_equal(e->len, 7);
		free(e);
	}
}

static void
kinds_have_a_letter_each(void **state)
{
	enum purge_kind kind;

	for (int k = PURGE_EXACT; k <= PURGE_ALL; k++) {
		assert_true(log_kind_of(log_kind_letter((enum purge_kind)k), &kind));
		assert_int_equal(kind, k);
	}
	assert_false(log_kind_of('?', &kind));
	assert_false(log_kind_of('\0', &kind));
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(what_is_pending_is_told_in_order_and_known_when_it_is_told),
	    cmocka_unit_test(what_was_not_acknowledged_is_told_again),
	    cmocka_unit_test(too_many_become_one_of_everything),
	    cmocka_unit_test(a_new_epoch_is_told_what_is_known_before_what_is_pending),
	    cmocka_unit_test(the_oldest_known_are_forgotten_and_that_is_known),
	    cmocka_unit_test(what_is_too_long_purges_more),
	    cmocka_unit_test(kinds_have_a_letter_each),
	};

	return cmocka_run_group_tests_name("cache/logbook", tests, NULL, NULL);
}
