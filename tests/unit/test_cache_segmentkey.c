/* LINK: cache/segmentkey cache/key http/segment http/range http/conditional http/date http/head http/fields base/buf base/mem base/hash */
#include "http_usual.h"

#include "cache/segmentkey.h"

#define WHOLE SLICE_LIT("https://a.example/film\0cuser\n1")

static void
purges_name_a_segment_as_they_name_the_whole(void **state)
{
	struct segment_version v = segment_version_of(SLICE_LIT("\"1\""), 5, 100);
	struct buf text = {0};
	struct cache_key key = segment_key(&text, WHOLE, 65536, &v, SLICE_NONE, 7);

	assert_true(slice_eq(cache_key_url(key.text), SLICE_LIT("https://a.example/film")));
	assert_true(slice_starts(key.text, WHOLE));
	assert_int_not_equal(key.hash, cache_key_of(WHOLE).hash);
	buf_fini(&text);
}

static void
nothing_else_has_the_same_key(void **state)
{
	struct segment_version v = segment_version_of(SLICE_LIT("\"1\""), 5, 100),
			       dated = segment_version_of(SLICE_NONE, 5, 100),
			       others[] = {segment_version_of(SLICE_LIT("\"2\""), 5, 100),
				   segment_version_of(SLICE_LIT("\"1\""), 5, 101),
				   segment_version_of(SLICE_NONE, 6, 100), dated};
	struct buf a = {0}, b = {0};
	struct slice vary = SLICE_LIT("x-tongue\0de"),
		     key = segment_key(&a, WHOLE, 65536, &v, vary, 7).text;

	for (size_t i = 0; i < sizeof(others) / sizeof(*others); i++)
		assert_false(
		    slice_eq(key, segment_key(&b, WHOLE, 65536, &others[i], vary, 7).text));
	assert_false(slice_eq(key, segment_key(&b, WHOLE, 65536, &v, vary, 8).text));
	assert_false(slice_eq(key, segment_key(&b, WHOLE, 131072, &v, vary, 7).text));
	assert_false(slice_eq(key, segment_key(&b, WHOLE, 65536, &v, SLICE_NONE, 7).text));
	assert_true(slice_eq(key, segment_key(&b, WHOLE, 65536, &v, vary, 7).text));
	buf_fini(&a);
	buf_fini(&b);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(purges_name_a_segment_as_they_name_the_whole),
	    cmocka_unit_test(nothing_else_has_the_same_key),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
