/* LINK: cache/slab base/mem */
#include "cache/slab.h"

#include <assert.h>
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#define MIB ((size_t)1 << 20)

static unsigned
next_random(uint64_t *state)
{
	*state = *state * 6364136223846793005u + 1442695040888963407u;
	return (unsigned)(*state >> 33);
}

/* What the kernel says the mapping occupies. */
static size_t
resident_bytes(void)
{
	FILE *f = fopen("/proc/self/smaps", "r");
	char line[512];
	bool ours = false;
	size_t sum = 0, kib;

	assert_non_null(f);
	while (fgets(line, sizeof(line), f) != NULL) {
		if (strstr(line, "memfd:") != NULL)
			ours = strstr(line, "forebay-cache") != NULL;
		else if (strchr(line, '-') != NULL && strchr(line, '-') - line == 12)
			ours = false;
		if (ours && sscanf(line, "Rss: %zu", &kib) == 1)
			sum += kib * 1024;
	}
	fclose(f);
	return sum;
}

static void
slots_hold_what_was_asked_for_and_waste_little(void **state)
{
	struct slab *small = slab_new(4 * MIB), *large = slab_new(256 * MIB);

	for (size_t n = 1; n <= SLAB_ALLOC_MAX; n++) {
		size_t slot = slab_slot_bytes(small, n), fine = slab_slot_bytes(large, n);

		assert_true(slot >= n && slot % 16 == 0 && fine >= n && fine % 16 == 0);
		if (n > 128 && n < 7000)
			assert_true(slot <= n + n / 6 + 16);
		if (n > 128 && n < 1800)
			assert_true(fine <= n + n / 24 + 16);
	}
	assert_int_equal(slab_slot_bytes(small, 1), 64);
	assert_int_equal(slab_slot_bytes(small, SLAB_ALLOC_MAX), SLAB_ALLOC_MAX);
	slab_free_all(&small);
	slab_free_all(&large);
}

static void
pieces_of_a_long_run_fill_their_slots(void **state)
{
	struct slab *s[] = {slab_new(4 * MIB), slab_new(256 * MIB)};

	for (size_t i = 0; i < 2; i++) {
		for (size_t n = 64; n <= SLAB_ALLOC_MAX; n++) {
			size_t piece = slab_piece_bytes(s[i], n);

			assert_int_equal(piece, slab_slot_bytes(s[i], piece));
			assert_true(piece <= n || piece - n <= piece / 8);
		}
		slab_free_all(&s[i]);
	}
}

static void
slots_do_not_overlap_and_are_aligned(void **state)
{
	struct slab *s = slab_new(8 * MIB);
	static struct {
		unsigned char *p;
		size_t n;
	} live[2000];
	uint64_t dice = 1;
	const size_t count = sizeof(live) / sizeof(live[0]);

	for (int round = 0; round < 200000; round++) {
		size_t i = next_random(&dice) % count;

		if (live[i].p != NULL) {
			for (size_t k = 0; k < live[i].n; k += 1 + live[i].n / 7)
				assert_int_equal(live[i].p[k], (unsigned char)i);
			slab_release(s, live[i].p);
		}
		live[i].n = 1 + next_random(&dice) % (next_random(&dice) % 50 == 0 ? 65536 : 3000);
		live[i].p = slab_alloc(s, live[i].n);
		if (live[i].p != NULL) {
			assert_int_equal((uintptr_t)live[i].p % 16, 0);
			assert_true(slab_size(s, live[i].p) >= live[i].n);
			memset(live[i].p, (int)i, live[i].n);
		}
	}
	for (size_t i = 0; i < count; i++)
		if (live[i].p != NULL)
			slab_release(s, live[i].p);
	assert_int_equal(slab_usage(s).used_bytes, 0);
	assert_int_equal(slab_usage(s).page_bytes, 0);
	slab_free_all(&s);
}

static size_t
fill(struct slab *s, size_t n, void **slots, size_t max)
{
	size_t count = 0;

	while (count < max && (slots[count] = slab_alloc(s, n)) != NULL) {
		memset(slots[count], 1, n);
		count++;
	}
	return count;
}

static void
the_limit_is_never_passed(void **state)
{
	struct slab *s = slab_new(4 * MIB);
	static void *slots[70000];
	const size_t sizes[] = {64, 1000, 20000, 65536};

	for (size_t i = 0; i < 4; i++) {
		size_t count = fill(s, sizes[i], slots, 70000);

		assert_true(count * slab_slot_bytes(s, sizes[i]) > 3 * MIB);
		assert_true(slab_usage(s).page_bytes <= 4 * MIB);
		assert_true(resident_bytes() <= 4 * MIB);
		while (count > 0)
			slab_release(s, slots[--count]);
	}
	slab_free_all(&s);
}

static void
memory_not_needed_goes_back_to_the_kernel(void **state)
{
	struct slab *s = slab_new(64 * MIB);
	static void *slots[2000];
	size_t count = fill(s, 65536, slots, 2000);

	assert_true(resident_bytes() > 60 * MIB);
	while (count > 0)
		slab_release(s, slots[--count]);
	assert_true(resident_bytes() <= 64 * MIB / 32);
	assert_int_equal(slab_usage(s).resident_bytes, resident_bytes());
	assert_true(fill(s, 65536, slots, 2000) > 1000);
	slab_free_all(&s);
}

static void
what_is_charged_elsewhere_leaves_less_room(void **state)
{
	struct slab *s = slab_new(4 * MIB);
	static void *slots[100];
	size_t all = fill(s, 65536, slots, 100), count = all;

	assert_false(slab_charge(s, MIB));
	while (count > all / 2)
		slab_release(s, slots[--count]);
	assert_true(slab_charge(s, MIB));
	count += fill(s, 65536, slots + count, 100);
	assert_in_range(count, all - 17, all - 16);
	slab_uncharge(s, MIB);
	count += fill(s, 65536, slots + count, 100);
	assert_int_equal(count, all);
	slab_free_all(&s);
}

static void
a_limit_grows_and_shrinks(void **state)
{
	struct slab *s = slab_new(2 * MIB);
	static void *slots[200];
	size_t count = fill(s, 65536, slots, 200);

	assert_int_equal(slab_resize(s, 8 * MIB), 0);
	count += fill(s, 65536, slots + count, 200 - count);
	assert_true(count > 100);
	assert_int_equal(slab_resize(s, MIB), 0);
	assert_true(slab_is_over(s));
	assert_null(slab_alloc(s, 65536));
	while (count > 0)
		slab_release(s, slots[--count]);
	assert_false(slab_is_over(s));
	assert_true(resident_bytes() <= MIB);
	assert_int_equal(slab_resize(s, (size_t)1 << 50), -1);
	slab_free_all(&s);
}

/* --- pressure --- */

struct hoard {
	struct slab *slab;
	void *slots[20000];
	size_t count;
	unsigned calls;
};

static bool
on_pressure_let_go(void *arg, size_t bytes, unsigned attempt)
{
	struct hoard *h = arg;

	h->calls++;
	if (h->count == 0)
		return false;
	slab_release(h->slab, h->slots[--h->count]);
	return true;
}

static void
a_full_slab_asks_for_room_and_tries_again(void **state)
{
	static struct hoard h;
	void *p;

	h.slab = slab_new(2 * MIB);
	h.count = fill(h.slab, 3000, h.slots, 20000);
	slab_set_pressure(h.slab, on_pressure_let_go, &h);
	p = slab_alloc(h.slab, 3000);
	assert_non_null(p);
	assert_int_equal(h.calls, 1);
	p = slab_alloc(h.slab, 65536); /* a page of the other class has to be emptied first */
	assert_non_null(p);
	slab_free_all(&h.slab);
}

static void
a_victim_is_the_page_that_costs_least(void **state)
{
	struct slab *s = slab_new(2 * MIB);
	static void *slots[2000];
	static uint32_t tags[SLAB_SLOTS_MAX];
	size_t count = fill(s, 3000, slots, 2000), per_page = 21;

	for (size_t i = 0; i < count; i++)
		slab_tag(s, slots[i], (uint64_t)(i + 5) << 33);
	/* The third page keeps three. */
	for (size_t i = 2 * per_page; i < 3 * per_page - 3; i++)
		slab_release(s, slots[i]);
	assert_int_equal(slab_victim(s, 65536, tags), 3);
	for (unsigned i = 0; i < 3; i++)
		assert_in_range(tags[i], 3 * per_page - 3 + 5, 3 * per_page + 5);
	/* Nothing came of it: the next one is another. */
	assert_int_equal(slab_victim(s, 65536, tags), per_page);
	assert_int_equal(slab_victim(s, 3000, tags), 0);
	slab_free_all(&s);
}

static void
a_page_with_a_slot_that_nobody_owns_is_no_victim(void **state)
{
	struct slab *s = slab_new(2 * MIB);
	static uint32_t tags[SLAB_SLOTS_MAX];
	void *a = slab_alloc(s, 3000), *b = slab_alloc(s, 3000);

	slab_tag(s, a, 7);
	assert_int_equal(slab_victim(s, 65536, tags), 0);
	slab_tag(s, b, 7);
	assert_int_equal(slab_victim(s, 65536, tags), 2);
	slab_free_all(&s);
}

/* --- threads --- */

struct churn {
	struct slab *slab;
	uint64_t dice;
};

static void *
churn_run(void *arg)
{
	struct churn *c = arg;
	unsigned char *live[64] = {0};
	uint32_t tags[SLAB_SLOTS_MAX];

	for (int round = 0; round < 60000; round++) {
		size_t i = next_random(&c->dice) % 64;

		if (live[i] != NULL)
			slab_release(c->slab, live[i]);
		live[i] = slab_alloc(c->slab, 1 + next_random(&c->dice) % 30000);
		if (live[i] != NULL) {
			*live[i] = (unsigned char)round;
			slab_tag(c->slab, live[i], c->dice);
		}
		if (round % 64 == 0)
			slab_victim(c->slab, 1 + i * 100, tags);
		assert(slab_usage(c->slab).page_bytes <= 4 * MIB);
	}
	for (size_t i = 0; i < 64; i++)
		if (live[i] != NULL)
			slab_release(c->slab, live[i]);
	return NULL;
}

static void
threads_share_the_memory(void **state)
{
	struct slab *s = slab_new(4 * MIB);
	struct churn churns[4];
	pthread_t threads[4];

	for (unsigned i = 0; i < 4; i++) {
		churns[i] = (struct churn){.slab = s, .dice = i};
		pthread_create(&threads[i], NULL, churn_run, &churns[i]);
	}
	for (int i = 0; i < 4; i++)
		pthread_join(threads[i], NULL);
	assert_int_equal(slab_usage(s).used_bytes, 0);
	assert_int_equal(slab_usage(s).page_bytes, 0);
	slab_free_all(&s);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(slots_hold_what_was_asked_for_and_waste_little),
	    cmocka_unit_test(pieces_of_a_long_run_fill_their_slots),
	    cmocka_unit_test(slots_do_not_overlap_and_are_aligned),
	    cmocka_unit_test(the_limit_is_never_passed),
	    cmocka_unit_test(memory_not_needed_goes_back_to_the_kernel),
	    cmocka_unit_test(what_is_charged_elsewhere_leaves_less_room),
	    cmocka_unit_test(a_limit_grows_and_shrinks),
	    cmocka_unit_test(a_full_slab_asks_for_room_and_tries_again),
	    cmocka_unit_test(a_victim_is_the_page_that_costs_least),
	    cmocka_unit_test(a_page_with_a_slot_that_nobody_owns_is_no_victim),
	    cmocka_unit_test(threads_share_the_memory),
	};

	return cmocka_run_group_tests_name("cache/slab", tests, NULL, NULL);
}
