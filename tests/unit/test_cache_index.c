/* LINK: cache/index cache/object cache/body cache/slab base/mem */
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#include "cache/index.h"
#include "cache/slab.h"

#define COUNT 4000

static struct object *objects[COUNT];
static bool is_in[COUNT];
static unsigned added_at[COUNT], clock_now;

/* Few hashes of the upper half, so that buckets overflow and several share a hash. */
static uint64_t
random_hash(unsigned few)
{
	uint64_t upper = few > 0 ? (uint64_t)(random() % few) * 0x9e3779b9u : (uint64_t)random();

	return upper << 33 | (uint64_t)(random() % 2) << 20 | (uint64_t)(random() % 4);
}

static void
begin(struct index *x, unsigned few)
{
	srandom(20261121);
	clock_now = 0;
	for (unsigned i = 0; i < COUNT; i++) {
		struct object_parts parts = {.hash = random_hash(few)};

		objects[i] = object_new(NULL, &parts);
		is_in[i] = false;
	}
	index_init(x, 0);
}

static void
end(struct index *x)
{
	for (unsigned i = 0; i < COUNT; i++)
		object_unref(&objects[i]);
	index_fini(x);
}

static void
add(struct index *x, unsigned i)
{
	if (index_wants_segment(x))
		assert_true(index_give_segment(x, index_segment_new()));
	index_add(x, objects[i]);
	is_in[i] = true;
	added_at[i] = ++clock_now;
}

static void
take_out(struct index *x, unsigned i)
{
	struct index_segment *spare;

	index_remove(x, objects[i]);
	is_in[i] = false;
	while ((spare = index_take_segment(x)) != NULL)
		free(spare);
}

/* The objects of a hash as the index and as a look at all of them tells, the newest first. */
static void
check_hash(const struct index *x, uint64_t hash)
{
	struct index_look look;
	unsigned newest = UINT32_MAX, found = 0, there = 0;

	for (struct object *o = index_first(x, hash, &look); o != NULL; o = index_next(&look))
		for (unsigned i = 0; i < COUNT; i++)
			if (objects[i] == o && o->hash == hash) {
				assert_true(is_in[i]);
				assert_true(added_at[i] < newest);
				newest = added_at[i];
				found++;
			}
	for (unsigned i = 0; i < COUNT; i++)
		there += is_in[i] && objects[i]->hash == hash;
	assert_int_equal(found, there);
}

static void
check_walk(const struct index *x)
{
	struct object *seen[COUNT];
	size_t n = 0, there = 0;

	for (size_t b = 0; b < x->buckets; b++)
		n += index_bucket_list(x, b, seen + n, COUNT - n);
	for (unsigned i = 0; i < COUNT; i++)
		there += is_in[i];
	assert_int_equal(n, there);
	assert_int_equal(n, x->objects);
	for (size_t k = 0; k < n; k++)
		seen[k]->hit_count++;
	for (unsigned i = 0; i < COUNT; i++) {
		assert_int_equal(objects[i]->hit_count, is_in[i]);
		objects[i]->hit_count = 0;
	}
}

static void
play(unsigned few)
{
	struct index x;

	begin(&x, few);
	for (unsigned turn = 0; turn < 40000; turn++) {
		unsigned i = (unsigned)random() % COUNT;
		bool grows = turn % 20000 < 12000; /* then it shrinks */

		if (!is_in[i] && (grows || random() % 4 == 0))
			add(&x, i);
		else if (is_in[i] && (!grows || random() % 4 == 0))
			take_out(&x, i);
		if (turn % 64 == 0)
			check_hash(&x, objects[random() % COUNT]->hash);
		if (turn % 4000 == 0)
			check_walk(&x);
	}
	for (unsigned i = 0; i < COUNT; i++)
		if (is_in[i])
			take_out(&x, i);
	check_walk(&x);
	end(&x);
}

static void
what_was_added_is_found_the_newest_first_and_nothing_else(void **state)
{
	play(0);
}

static void
hashes_that_crowd_a_few_buckets_are_found_as_well(void **state)
{
	play(40);
	play(1);
}

static void
what_is_swapped_keeps_its_place(void **state)
{
	struct index x;

	begin(&x, 3);
	for (unsigned i = 0; i < 60; i++)
		add(&x, i);
	for (unsigned i = 0; i < 60; i++) {
		objects[100 + i]->hash = objects[i]->hash;
		index_swap(&x, objects[i], objects[100 + i]);
		is_in[i] = false;
		is_in[100 + i] = true;
		added_at[100 + i] = added_at[i];
		check_hash(&x, objects[i]->hash);
	}
	check_walk(&x);
	end(&x);
}

static void
a_ghost_is_known_once(void **state)
{
	struct index x;

	begin(&x, 0);
	for (unsigned i = 0; i < 2000; i++)
		add(&x, i);
	for (unsigned i = 2000; i < 2100; i++) {
		index_ghost_add(&x, objects[i]->hash);
		assert_true(index_ghost_take(&x, objects[i]->hash));
		assert_false(index_ghost_take(&x, objects[i]->hash));
	}
	end(&x);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(what_was_added_is_found_the_newest_first_and_nothing_else),
	    cmocka_unit_test(hashes_that_crowd_a_few_buckets_are_found_as_well),
	    cmocka_unit_test(what_is_swapped_keeps_its_place),
	    cmocka_unit_test(a_ghost_is_known_once),
	};

	return cmocka_run_group_tests_name("cache/index", tests, NULL, NULL);
}
