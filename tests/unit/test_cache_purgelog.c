/* LINK: cache/purgelog cache/object cache/body cache/slab cache/key base/hash base/mem */
#include "cache/purgelog.h"

#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#include "base/mem.h"

#define KEY SLICE_LIT("https://shop.test/products/7?page=2\0accept\0json")
#define TAGS SLICE_LIT("products\0vehicle:7\0")

static uint64_t
purge(struct purgelog *l, enum purge_kind kind, const char *what)
{
	struct purge p = {.kind = kind, .what = slice_from(what)};

	return purgelog_add(l, &p);
}

static uint64_t
purge_softly(struct purgelog *l, enum purge_kind kind, const char *what)
{
	struct purge p = {.kind = kind, .soft = true, .what = slice_from(what)};

	return purgelog_add(l, &p);
}

/* An object whose fetch began at that position. */
static struct object *
fetched_at(uint64_t pos)
{
	struct object_parts parts = {.key = KEY, .tags = TAGS, .facts = {.log_pos = pos}};

	return object_new(NULL, &parts);
}

/* What becomes of an object fetched before this purge. */
static enum purge_verdict
after(enum purge_kind kind, const char *what)
{
	struct purgelog *l = purgelog_new();
	struct object *o = fetched_at(purgelog_head(l));
	enum purge_verdict verdict;

	purge(l, kind, what);
	verdict = purgelog_judge(l, o);
	assert_int_equal(purgelog_judge_parts(l, KEY, TAGS, 0), verdict);
	object_unref(&o);
	purgelog_free(&l);
	return verdict;
}

static void
a_purge_names_what_it_drops(void **state)
{
	const struct {
		enum purge_kind kind;
		const char *what;
		bool drops;
	} cases[] = {
	    {PURGE_EXACT, "shop.test/products/7?page=2", true},
	    {PURGE_EXACT, "https://shop.test/products/7?page=2", true},
	    {PURGE_EXACT, "/products/7?page=2", true},
	    {PURGE_EXACT, "shop.test/products/7", false},
	    {PURGE_EXACT, "/products/7", false},
	    {PURGE_EXACT, "other.test/products/7?page=2", false},
	    {PURGE_PREFIX, "shop.test/prod", true},
	    {PURGE_PREFIX, "http://shop.test/prod", true},
	    {PURGE_PREFIX, "/prod", true},
	    {PURGE_PREFIX, "shop.test/products/7?page=2", true},
	    {PURGE_PREFIX, "shop.test/products/7?page=22", false},
	    {PURGE_PREFIX, "/shop", false},
	    {PURGE_PREFIX, "", true},
	    {PURGE_PATTERN, "shop.test/*/7*", true},
	    {PURGE_PATTERN, "*.test/products/*", true},
	    {PURGE_PATTERN, "/products/*", true},
	    {PURGE_PATTERN, "/products", false},
	    {PURGE_PATTERN, "/products/7?page=2", true},
	    {PURGE_PATTERN, "/products/?page=2", false},
	    {PURGE_PATTERN, "/*7*7*", false},
	    {PURGE_PATTERN, "*", true},
	    {PURGE_PATTERN, "**page=2", true},
	    {PURGE_PATTERN, "*page", false},
	    {PURGE_TAG, "products", true},
	    {PURGE_TAG, "vehicle:7", true},
	    {PURGE_TAG, "vehicle:", false},
	    {PURGE_TAG, "accept", false},
	    {PURGE_ALL, "", true},
	};

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++)
		if (after(cases[i].kind, cases[i].what) !=
		    (cases[i].drops ? PURGE_GONE : PURGE_VALID))
			fail_msg("kind %d \"%s\"", cases[i].kind, cases[i].what);
}

static void
a_response_on_its_way_during_a_purge_is_gone(void **state)
{
	struct purgelog *l = purgelog_new();
	uint64_t began = purgelog_head(l);
	struct object *before, *since;

	purge(l, PURGE_TAG, "products");
	before = fetched_at(began); /* arrives and is stored after the purge */
	since = fetched_at(purgelog_head(l));
	assert_int_equal(purgelog_judge(l, before), PURGE_GONE);
	assert_int_equal(purgelog_judge(l, since), PURGE_VALID);
	object_unref(&before);
	object_unref(&since);
	purgelog_free(&l);
}

static void
purge_many(struct purgelog *l, unsigned from, unsigned count)
{
	for (unsigned i = from; i < from + count; i++) {
		char url[64];

		snprintf(url, sizeof(url), "shop.test/orders/%u", i);
		purge(l, PURGE_EXACT, url);
		purge(l, PURGE_TAG, url);
	}
}

static void
what_is_looked_at_now_and_then_outlives_any_number_of_purges_of_others(void **state)
{
	struct purgelog *l = purgelog_new();
	struct object *o = fetched_at(0);

	for (unsigned round = 0; round < 200; round++) {
		purge_many(l, round * 3000, 3000);
		assert_int_equal(purgelog_judge(l, o), PURGE_VALID);
	}
	object_unref(&o);
	purgelog_free(&l);
}

static void
what_was_purged_stays_so_whatever_is_purged_behind_it(void **state)
{
	for (unsigned count = 1; count < 2000000; count *= 8) {
		struct purgelog *l = purgelog_new();

		purge(l, PURGE_EXACT, "shop.test/products/7?page=2");
		purge_many(l, 0, count);
		assert_int_equal(purgelog_judge_parts(l, KEY, SLICE_NONE, 0), PURGE_GONE);
		purge(l, PURGE_TAG, "vehicle:7");
		purge_many(l, 0, count);
		assert_int_equal(
		    purgelog_judge_parts(l, KEY, TAGS, purgelog_head(l) - 2 * count - 1),
		    PURGE_GONE);
		purgelog_free(&l);
	}
}

static void
an_object_found_valid_is_not_judged_again(void **state)
{
	struct purgelog *l = purgelog_new();
	struct object *o = fetched_at(0);

	purge(l, PURGE_TAG, "something else");
	assert_int_equal(purgelog_judge(l, o), PURGE_VALID);
	assert_int_equal(o->valid_pos, 1);
	purge(l, PURGE_EXACT, "shop.test/products/7?page=2");
	assert_int_equal(purgelog_judge(l, o), PURGE_GONE);
	assert_int_equal(purgelog_judge(l, o), PURGE_GONE);
	object_unref(&o);
	purgelog_free(&l);
}

static void
a_soft_purge_makes_stale_until_a_newer_object_comes(void **state)
{
	const struct {
		enum purge_kind kind;
		const char *what;
	} ways[] = {{PURGE_EXACT, "/products/7?page=2"}, {PURGE_TAG, "products"},
	    {PURGE_PREFIX, "/products/"}, {PURGE_PATTERN, "*/7*"}, {PURGE_ALL, ""}};

	for (size_t i = 0; i < sizeof(ways) / sizeof(ways[0]); i++) {
		struct purgelog *l = purgelog_new();
		struct object *o = fetched_at(0), *newer;

		purge_softly(l, ways[i].kind, ways[i].what);
		assert_int_equal(purgelog_judge_parts(l, KEY, TAGS, 0), PURGE_STALE);
		assert_int_equal(purgelog_judge(l, o), PURGE_STALE);
		purge(l, PURGE_TAG, "something else");
		assert_int_equal(purgelog_judge(l, o), PURGE_STALE);
		newer = fetched_at(purgelog_head(l));
		assert_int_equal(purgelog_judge(l, newer), PURGE_VALID);
		purge(l, ways[i].kind, ways[i].what);
		assert_int_equal(purgelog_judge(l, o), PURGE_GONE);
		object_unref(&o);
		object_unref(&newer);
		purgelog_free(&l);
	}
}

static void
a_soft_purge_after_a_hard_one_does_not_soften_it(void **state)
{
	struct purgelog *l = purgelog_new();

	purge(l, PURGE_TAG, "products");
	purge_softly(l, PURGE_TAG, "products");
	purge(l, PURGE_PREFIX, "/products");
	purge_softly(l, PURGE_PREFIX, "/products");
	assert_int_equal(purgelog_judge_parts(l, KEY, TAGS, 0), PURGE_GONE);
	assert_int_equal(purgelog_judge_parts(l, KEY, TAGS, 2), PURGE_GONE);
	assert_int_equal(purgelog_judge_parts(l, KEY, TAGS, 3), PURGE_STALE);
	assert_int_equal(purgelog_judge_parts(l, KEY, TAGS, 4), PURGE_VALID);
	purgelog_free(&l);
}

static void
a_full_list_of_patterns_loses_none(void **state)
{
	struct purgelog *l = purgelog_new();
	uint64_t ours;

	assert_false(purgelog_wants_sweep(l));
	ours = purge(l, PURGE_PREFIX, "/products/");
	for (int i = 0; i < 3 * PURGELOG_PATTERNS_MAX; i++) {
		char what[32];

		snprintf(what, sizeof(what), "other.test/%d", i);
		purge(l, PURGE_PREFIX, what);
		assert_int_equal(purgelog_judge_parts(l, KEY, TAGS, ours - 1), PURGE_GONE);
	}
	assert_true(purgelog_wants_sweep(l));
	assert_int_equal(purgelog_judge_parts(l, KEY, TAGS, purgelog_head(l) - 1), PURGE_VALID);
	purgelog_free(&l);
}

static void
soft_patterns_stay_soft_when_the_list_is_full(void **state)
{
	struct purgelog *l = purgelog_new();

	for (int i = 0; i < 2 * PURGELOG_PATTERNS_MAX; i++) {
		char what[32];

		snprintf(what, sizeof(what), "other.test/%d", i);
		purge_softly(l, PURGE_PREFIX, what);
	}
	assert_int_equal(purgelog_judge_parts(l, KEY, TAGS, 0), PURGE_STALE);
	purgelog_free(&l);
}

static void
the_same_pattern_again_takes_no_more_room(void **state)
{
	struct purgelog *l = purgelog_new();

	for (int i = 0; i < 10 * PURGELOG_PATTERNS_MAX; i++)
		purge(l, PURGE_PATTERN, i % 2 == 0 ? "other.test/*" : "another.test/*");
	assert_false(purgelog_wants_sweep(l));
	assert_int_equal(purgelog_judge_parts(l, KEY, TAGS, 0), PURGE_VALID);
	purgelog_free(&l);
}

static void
a_pattern_that_is_too_long_purges_more_and_not_less(void **state)
{
	struct purgelog *l = purgelog_new();
	static char key[5000], what[5000];
	const enum purge_kind kinds[] = {PURGE_PREFIX, PURGE_PATTERN};

	memset(key, 'a', sizeof(key));
	memcpy(key, "http://h/", 9);
	memcpy(what, key, sizeof(key) - 1);
	for (int i = 0; i < 2; i++) {
		uint64_t pos = purgelog_head(l);

		purge(l, kinds[i], what);
		assert_int_equal(
		    purgelog_judge_parts(l, slice_of(key, sizeof(key) - 1), SLICE_NONE, pos),
		    PURGE_GONE);
		assert_int_equal(purgelog_judge_parts(l, KEY, TAGS, pos), PURGE_VALID);
	}
	purgelog_free(&l);
}

/* The cut may fall behind a backslash, which must not take the star's meaning. */
static void
a_pattern_cut_behind_a_backslash_purges_no_less(void **state)
{
	struct purgelog *l = purgelog_new();
	char key[1100], what[1200];
	size_t n = 0;

	memset(key, 'a', sizeof(key));
	memcpy(key, "http://h/", 9);
	memset(what, 0, sizeof(what));
	for (size_t i = 7; i < sizeof(key); i++) {
		if (i >= 1020)
			what[n++] = '\\';
		what[n++] = key[i];
	}
	for (int i = 0; i < 4; i++) { /* wherever it falls */
		uint64_t pos = purgelog_head(l);

		purge(l, PURGE_PATTERN, what);
		assert_int_equal(
		    purgelog_judge_parts(l, slice_of(key, sizeof(key)), SLICE_NONE, pos),
		    PURGE_GONE);
		memmove(what + 2, what + 1, n++ - 1);
		what[1] = '*';
	}
	purgelog_free(&l);
}

static void
what_a_sweep_did_not_see_is_gone(void **state)
{
	struct purgelog *l = purgelog_new();
	struct object *swept = fetched_at(0);

	purge(l, PURGE_PREFIX, "other.test/");
	assert_int_equal(purgelog_judge(l, swept), PURGE_VALID);
	purgelog_retire(l, purgelog_head(l));
	assert_int_equal(purgelog_judge(l, swept), PURGE_VALID);
	/* Began before, was in nobody's hands: what the pattern said is not known any more. */
	assert_int_equal(purgelog_judge_parts(l, KEY, TAGS, 0), PURGE_GONE);
	assert_int_equal(purgelog_judge_parts(l, KEY, TAGS, 1), PURGE_VALID);
	object_unref(&swept);
	purgelog_free(&l);
}

/* --- a purge that has returned holds for everybody, at once --- */

#define ROUNDS 3000
#define JUDGES 3

struct race {
	struct purgelog *log;
	_Atomic uint64_t acknowledged; /* a purge of this position has returned */
	_Atomic bool is_over;
};

static void *
race_judge(void *arg)
{
	struct race *r = arg;
	uint64_t began = 0;

	while (!atomic_load(&r->is_over)) {
		struct object *o = fetched_at(began);
		uint64_t done = atomic_load(&r->acknowledged), head;
		enum purge_verdict verdict = purgelog_judge(r->log, o);

		if (done > began && verdict != PURGE_GONE)
			bug_at(__FILE__, __LINE__, "a purge was lost");
		object_unref(&o);
		head = purgelog_head(r->log);
		/* Older ones stay in play now and then. */
		began = head % 3 == 0 && head > 5 ? head - 5 : head;
	}
	return NULL;
}

static void
a_purge_that_has_returned_is_never_missed(void **state)
{
	struct race r = {.log = purgelog_new()};
	pthread_t judges[JUDGES];
	char what[64];

	for (int i = 0; i < JUDGES; i++)
		pthread_create(&judges[i], NULL, race_judge, &r);
	for (int i = 0; i < ROUNDS; i++) {
		uint64_t pos;

		switch (i % 4) {
		case 0:
			pos = purge(r.log, PURGE_TAG, "products");
			break;
		case 1:
			snprintf(what, sizeof(what), "/products*%dpage=2", i);
			purge(r.log, PURGE_PATTERN, what); /* no match; fills the list */
			snprintf(what, sizeof(what), "/prod%.*s", i % 5, "ucts");
			pos = purge(r.log, PURGE_PREFIX, what);
			break;
		case 2:
			pos = purge(r.log, PURGE_EXACT, "/products/7?page=2");
			break;
		default:
			purge_softly(r.log, PURGE_TAG, "products");
			pos = purge(r.log, PURGE_PATTERN, "*page=2");
			break;
		}
		atomic_store(&r.acknowledged, pos);
		if (i % 500 == 0)
			purgelog_retire(r.log, pos - 1);
	}
	atomic_store(&r.is_over, true);
	for (int i = 0; i < JUDGES; i++)
		pthread_join(judges[i], NULL);
	purgelog_free(&r.log);
}

/* One object judged by all while purges of other things go on: it must stay valid, and its valid_pos
 * never runs ahead of what was judged. */
static void *
race_hit(void *arg)
{
	struct race *r = ((void **)arg)[0];
	struct object *o = ((void **)arg)[1];

	while (!atomic_load(&r->is_over)) {
		uint64_t done = atomic_load(&r->acknowledged);
		enum purge_verdict verdict = purgelog_judge(r->log, o);

		if (verdict != (done == UINT64_MAX ? PURGE_GONE : PURGE_VALID) &&
		    verdict != PURGE_GONE)
			bug_at(__FILE__, __LINE__, "a purge was lost on a shared object");
		if (verdict == PURGE_GONE && purgelog_head(r->log) < ROUNDS)
			bug_at(__FILE__, __LINE__, "purged by nobody");
	}
	return NULL;
}

static void
an_object_judged_by_many_is_purged_for_all(void **state)
{
	struct race r = {.log = purgelog_new()};
	struct object *o = fetched_at(0);
	void *arg[] = {&r, o};
	pthread_t judges[JUDGES];

	for (int i = 0; i < JUDGES; i++)
		pthread_create(&judges[i], NULL, race_hit, arg);
	for (int i = 0; i < ROUNDS - 1; i++)
		purge(r.log, i % 2 == 0 ? PURGE_TAG : PURGE_PREFIX, "not.this/");
	purge(r.log, PURGE_TAG, "products");
	atomic_store(&r.acknowledged, UINT64_MAX);
	assert_int_equal(purgelog_judge(r.log, o), PURGE_GONE);
	atomic_store(&r.is_over, true);
	for (int i = 0; i < JUDGES; i++)
		pthread_join(judges[i], NULL);
	assert_int_equal(purgelog_judge(r.log, o), PURGE_GONE);
	object_unref(&o);
	purgelog_free(&r.log);
}

/* An object that answers other queries than that of its key, by its own rule. */
static void
a_purge_of_any_query_drops_what_answers_many(void **state)
{
	static const struct {
		enum purge_kind kind;
		const char *what;
		bool drops;
	} rows[] = {
	    {PURGE_EXACT, "shop.test/products/7?id=9&utm=1", true},
	    {PURGE_EXACT, "https://shop.test/products/7", true},
	    {PURGE_EXACT, "/products/7?x", true},
	    {PURGE_EXACT, "shop.test/products/8?id=2", false},
	    {PURGE_EXACT, "/products", false},
	    {PURGE_PREFIX, "shop.test/products/7?utm", true},
	    {PURGE_PREFIX, "/products/7?utm", true},
	    {PURGE_PREFIX, "/orders", false},
	    {PURGE_PATTERN, "/products/*?utm=*", true},
	    {PURGE_PATTERN, "*utm=1*", true},
	    {PURGE_PATTERN, "shop.test/orders/*", false},
	};

	for (size_t i = 0; i < sizeof(rows) / sizeof(*rows); i++) {
		struct purgelog *l = purgelog_new();
		struct object_parts parts = {
		    .key = SLICE_LIT("https://shop.test/products/7?id=2\0n\nputm,\0hX-A")};
		struct object *o = object_new(NULL, &parts);

		purge(l, rows[i].kind, rows[i].what);
		assert_int_equal(
		    purgelog_judge_parts(l, parts.key, SLICE_NONE, 0) == PURGE_GONE, rows[i].drops);
		assert_int_equal(purgelog_judge(l, o) == PURGE_GONE, rows[i].drops);
		object_unref(&o);
		purgelog_free(&l);
	}
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(a_purge_of_any_query_drops_what_answers_many),
	    cmocka_unit_test(a_purge_names_what_it_drops),
	    cmocka_unit_test(a_response_on_its_way_during_a_purge_is_gone),
	    cmocka_unit_test(
		what_is_looked_at_now_and_then_outlives_any_number_of_purges_of_others),
	    cmocka_unit_test(what_was_purged_stays_so_whatever_is_purged_behind_it),
	    cmocka_unit_test(an_object_found_valid_is_not_judged_again),
	    cmocka_unit_test(a_soft_purge_makes_stale_until_a_newer_object_comes),
	    cmocka_unit_test(a_soft_purge_after_a_hard_one_does_not_soften_it),
	    cmocka_unit_test(a_full_list_of_patterns_loses_none),
	    cmocka_unit_test(soft_patterns_stay_soft_when_the_list_is_full),
	    cmocka_unit_test(the_same_pattern_again_takes_no_more_room),
	    cmocka_unit_test(a_pattern_that_is_too_long_purges_more_and_not_less),
	    cmocka_unit_test(a_pattern_cut_behind_a_backslash_purges_no_less),
	    cmocka_unit_test(what_a_sweep_did_not_see_is_gone),
	    cmocka_unit_test(a_purge_that_has_returned_is_never_missed),
	    cmocka_unit_test(an_object_judged_by_many_is_purged_for_all),
	};

	return cmocka_run_group_tests_name("cache/purgelog", tests, NULL, NULL);
}
