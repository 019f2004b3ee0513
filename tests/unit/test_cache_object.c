/* LINK: cache/object cache/body cache/slab base/mem */
#include "cache/object.h"

#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>

#include <cmocka.h>

#include "cache/slab.h"
#include "http/date.h"

#define MIB ((size_t)1 << 20)

static struct object_parts
usual_parts(void)
{
	return (struct object_parts){.hash = 77,
	    .key = SLICE_LIT("http://shop.test/\0json"),
	    .vary = SLICE_LIT("accept\1json\n"),
	    .tags = SLICE_LIT("a\0b\0"),
	    .head = SLICE_LIT("HTTP/1.1 200 OK\r\nETag: \"x1\"\r\n\r\n"),
	    .facts = {.log_pos = 9, .etag_at = 23, .etag_len = 4, .born_ms = 1000, .age_ms = 50}};
}

static void
an_object_holds_copies_of_its_parts(void **state)
{
	struct slab *slab = slab_new(MIB);
	struct slab *from[] = {NULL, slab};

	for (int i = 0; i < 2; i++) {
		struct object_parts parts = usual_parts();
		struct object *o;

		parts.body = body_of(from[i], SLICE_LIT("hello"));
		o = object_new(from[i], &parts);
		body_unref(&parts.body);
		assert_true(slice_eq(object_key(o), parts.key));
		assert_true(slice_eq(object_vary(o), parts.vary));
		assert_true(slice_eq(object_tags(o), parts.tags));
		assert_true(slice_eq(object_head(o), parts.head));
		assert_true(slice_eq(object_etag(o), SLICE_LIT("\"x1\"")));
		assert_int_equal(o->valid_pos, 9);
		assert_int_equal(object_age_ms(o, 1500), 550);
		assert_int_equal(object_age_ms(o, 900), 50); /* a clock that went back */
		assert_int_equal(body_length(o->body), 5);
		object_unref(&o);
		assert_null(o);
	}
	assert_int_equal(slab_usage(slab).used_bytes, 0);
	slab_free_all(&slab);
}

static void
facts_come_back_and_those_beyond_all_use_as_near_as_they_go(void **state)
{
	struct object_parts parts = usual_parts();
	const int64_t years_17_ms = (int64_t)17 * 365 * 86400 * 1000;
	struct object_facts f;
	struct object *o;

	parts.facts = (struct object_facts){.born_ms = -5,
	    .age_ms = (int64_t)INT32_MAX * 1000,
	    .life_ms = years_17_ms,
	    .swr_ms = INT64_MAX,
	    .sie_ms = years_17_ms,
	    .date_s = 253402300799, /* the last second of the year 9999 */
	    .modified_s = DATE_NONE,
	    .etag_at = 17,
	    .etag_len = 10,
	    .status = 599,
	    .encoding = 8,
	    .no_stale = true,
	    .immutable = true};
	o = object_new(NULL, &parts);
	f = object_facts(o);
	assert_true(f.swr_ms >= years_17_ms);
	f.swr_ms = INT64_MAX;
#define X(type, name, kept, bits) assert_true(f.name == parts.facts.name);
	OBJECT_FACTS(X)
#undef X
	assert_true(o->facts.modified_s == DATE_NONE);
	object_unref(&o);
	parts.facts.etag_len = UINT16_MAX; /* nobody's, and no half of it is kept */
	o = object_new(NULL, &parts);
	assert_int_equal(o->facts.etag_len, 0);
	object_unref(&o);
}

static void
a_sliding_life_is_as_long_as_its_last_use_lets_it(void **state)
{
	struct object_parts parts = usual_parts();
	struct object *o;

	parts.facts.slide_ms = 1600;
	parts.facts.life_ms = 5000;
	o = object_new(NULL, &parts);
	assert_int_equal(object_life_ms(o), 1650);
	assert_false(object_slide(o, 1099)); /* too soon to be noted: a sixteenth */
	assert_true(object_slide(o, 1100));
	assert_int_equal(object_life_ms(o), 1750);
	assert_false(object_slide(o, 1100));
	assert_false(object_slide(o, 900)); /* a clock that went back */
	assert_true(object_slide(o, 4900));
	assert_int_equal(object_life_ms(o), 5000); /* its cap */
	object_unref(&o);
	parts.facts.slide_ms = 0;
	o = object_new(NULL, &parts);
	assert_false(object_slide(o, 4900));
	assert_int_equal(object_life_ms(o), 5000);
	object_unref(&o);
}

static void
after_a_failed_refresh_the_next_waits_a_moment(void **state)
{
	struct object_parts parts = usual_parts();
	struct object *o = object_new(NULL, &parts);
	const int64_t hours_19_ms = 19 * 3600 * 1000;

	assert_false(object_refresh_just_failed(o, 1000));
	object_note_failed_refresh(o, 1200);
	assert_true(object_refresh_just_failed(o, 1200 + 1000));
	assert_false(object_refresh_just_failed(o, 1200 + 3000));
	object_note_failed_refresh(o, hours_19_ms); /* more seconds than are kept of it */
	assert_true(object_refresh_just_failed(o, hours_19_ms + 900));
	assert_false(object_refresh_just_failed(o, hours_19_ms + 2900));
	object_unref(&o);
}

static void
an_object_without_body_or_tags_is_one_too(void **state)
{
	struct object_parts parts = {.key = SLICE_LIT("http://a/")};
	struct object *o = object_new(NULL, &parts);

	assert_null(o->body);
	assert_int_equal(object_tags(o).n, 0);
	object_unref(&o);
	object_unref(&o); /* NULL by now */
}

static void
what_is_too_long_makes_no_object(void **state)
{
	struct slab *slab = slab_new(4 * MIB);
	static char bytes[70000];
	struct object_parts parts = usual_parts();

	parts.head = slice_of(bytes, SLAB_ALLOC_MAX);
	assert_null(object_new(slab, &parts));
	parts = usual_parts();
	parts.key = slice_of(bytes, 65536);
	assert_null(object_new(NULL, &parts));
	parts = usual_parts();
	parts.tags = slice_of(bytes, 65536);
	assert_null(object_new(NULL, &parts));
	slab_free_all(&slab);
}

static void
full_memory_makes_no_object_and_takes_nothing(void **state)
{
	struct slab *slab = slab_new(MIB);
	struct object_parts parts = usual_parts();
	struct object *kept[20000];
	unsigned count = 0;

	while (count < 20000 && (kept[count] = object_new(slab, &parts)) != NULL)
		count++;
	assert_in_range(count, 1000, 19999);
	parts.body = body_of(NULL, SLICE_LIT("hello"));
	assert_null(object_new(slab, &parts));
	assert_int_equal(parts.body->refs, 1);
	body_unref(&parts.body);
	while (count > 0)
		object_unref(&kept[--count]);
	assert_int_equal(slab_usage(slab).used_bytes, 0);
	slab_free_all(&slab);
}

/* --- variants --- */

static void
a_clone_is_the_same_to_whoever_asks_but_for_its_variants(void **state)
{
	struct slab *slab = slab_new(MIB);
	struct object_parts parts = usual_parts();
	struct body *packed = body_of(slab, SLICE_LIT("packed")), *squeezed;
	struct object *o, *clone;

	parts.facts.slide_ms = 1000;
	parts.body = body_of(slab, SLICE_LIT("hello"));
	o = object_new(slab, &parts);
	body_unref(&parts.body);
	squeezed = body_ref(packed);
	assert_int_equal(object_add_variant(o, 4, &packed), 0);
	assert_int_equal(object_add_variant(o, 2, &squeezed), 0);
	atomic_store(&object_find_variant(o, 2)->effort, VARIANT_STRONGEST);
	atomic_store(&o->hit_count, 17);
	atomic_store(&o->hits, 2);
	atomic_store(&o->valid_pos, 99);
	atomic_store(&o->soft_purged, true);
	atomic_store(&object_sliding(o)->used_ms, 5);
	clone = object_clone(o);
	assert_true(slice_eq(object_key(clone), parts.key));
	assert_true(slice_eq(object_vary(clone), parts.vary));
	assert_true(slice_eq(object_tags(clone), parts.tags));
	assert_true(slice_eq(object_head(clone), parts.head));
	assert_true(slice_eq(object_etag(clone), object_etag(o)));
	assert_ptr_equal(clone->body, o->body);
	assert_true(clone->hit_count == 17 && clone->hits == 2 && clone->valid_pos == 99);
	assert_true(clone->soft_purged && object_sliding(clone)->used_ms == 5);
	assert_int_equal(object_life_ms(clone), object_life_ms(o));
	assert_null(clone->variants);
	assert_true(object_copy_variants(clone, o, 4));
	assert_null(object_find_variant(clone, 4));
	assert_ptr_equal(object_find_variant(clone, 2)->body, object_find_variant(o, 2)->body);
	assert_int_equal(object_find_variant(clone, 2)->effort, VARIANT_STRONGEST);
	object_unref(&o);
	object_unref(&clone);
	assert_int_equal(slab_usage(slab).used_bytes, 0);
	slab_free_all(&slab);
}

#define HANGERS 4

struct hanger {
	struct object *o;
	unsigned hung;
};

static void *
hang_all(void *arg)
{
	struct hanger *h = arg;

	for (unsigned encoding = 1; encoding < 200; encoding++) {
		struct body *b = body_of(object_slab(h->o), SLICE_LIT("packed"));

		if (object_add_variant(h->o, (uint8_t)encoding, &b) == 0)
			h->hung++;
		if (object_find_variant(h->o, (uint8_t)encoding) == NULL)
			abort();
	}
	return NULL;
}

static void
of_one_coding_there_is_one_variant_whoever_hangs_it(void **state)
{
	struct slab *slab = slab_new(8 * MIB);
	struct object_parts parts = usual_parts();
	struct object *o = object_new(slab, &parts);
	struct hanger hangers[HANGERS];
	pthread_t threads[HANGERS];
	unsigned hung = 0;

	for (int i = 0; i < HANGERS; i++) {
		hangers[i] = (struct hanger){.o = object_ref(o)};
		pthread_create(&threads[i], NULL, hang_all, &hangers[i]);
	}
	for (int i = 0; i < HANGERS; i++) {
		pthread_join(threads[i], NULL);
		hung += hangers[i].hung;
		object_unref(&hangers[i].o);
	}
	assert_int_equal(hung, 199);
	assert_int_equal(object_memory_bytes(o), slab_usage(slab).used_bytes);
	object_unref(&o);
	assert_int_equal(slab_usage(slab).used_bytes, 0);
	slab_free_all(&slab);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(an_object_holds_copies_of_its_parts),
	    cmocka_unit_test(an_object_without_body_or_tags_is_one_too),
	    cmocka_unit_test(facts_come_back_and_those_beyond_all_use_as_near_as_they_go),
	    cmocka_unit_test(a_sliding_life_is_as_long_as_its_last_use_lets_it),
	    cmocka_unit_test(after_a_failed_refresh_the_next_waits_a_moment),
	    cmocka_unit_test(what_is_too_long_makes_no_object),
	    cmocka_unit_test(full_memory_makes_no_object_and_takes_nothing),
	    cmocka_unit_test(a_clone_is_the_same_to_whoever_asks_but_for_its_variants),
	    cmocka_unit_test(of_one_coding_there_is_one_variant_whoever_hangs_it),
	};

	return cmocka_run_group_tests_name("cache/object", tests, NULL, NULL);
}
