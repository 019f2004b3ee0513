/* LINK: http/segment http/range http/conditional http/date http/head http/fields base/buf base/mem */
#include "http_usual.h"

#include "http/segment.h"

#define MIB UINT64_C(1048576)

static const struct byte_range second = {MIB, 2 * MIB - 1};
static struct segment_version got;

static bool
reads(const char *fields)
{
	struct head h = head_of(fields);

	h.status = 206;
	return segment_read(&h, &second, NOON_S, &got);
}

static void
expect_range(struct byte_range r, uint64_t from, uint64_t to)
{
	assert_int_equal(r.from, from);
	assert_int_equal(r.to, to);
}

static void
the_last_segment_ends_where_the_whole_does(void **state)
{
	expect_range(segment_range(MIB, 0, UINT64_MAX), 0, MIB - 1);
	expect_range(segment_range(MIB, 3, 4 * MIB), 3 * MIB, 4 * MIB - 1);
	expect_range(segment_range(MIB, 4, 4 * MIB + 1), 4 * MIB, 4 * MIB);
	expect_range(segment_range(MIB, 0, 1), 0, 0);
}

static uint64_t
wanted(const char *fields)
{
	struct head h = head_of(fields);

	return segment_wanted(&h, MIB);
}

static void
the_first_range_tells_where_an_answer_begins(void **state)
{
	assert_int_equal(wanted("Range: bytes=0-"), 0);
	assert_int_equal(wanted("Range: bytes=1048575-"), 0);
	assert_int_equal(wanted("Range: bytes=1048576-1048577"), 1);
	assert_int_equal(wanted("Range: bytes=1500000000-"), 1430);
	assert_int_equal(wanted("Range: bytes=5000000-5000001,0-1"), 4);
	assert_int_equal(wanted("Range: bytes=-500"), 0);
	assert_int_equal(wanted("Range: bytes=9223372036854775806-"), 0);
	assert_int_equal(wanted("Range: lines=5000000-"), 0);
	assert_int_equal(wanted("X: y"), 0);
}

static void
only_the_part_that_was_asked_for_is_taken(void **state)
{
	assert_true(reads("ETag: \"1\"\nContent-Range: bytes 1048576-2097151/3000000"));
	assert_int_equal(got.length, 3000000);
	assert_true(reads("ETag: \"1\"\nContent-Range: bytes 1048576-1048580/1048581"));
	static const char *const others[] = {
	    "ETag: \"1\"",
	    "ETag: \"1\"\nContent-Range: bytes 0-1048575/3000000",
	    "ETag: \"1\"\nContent-Range: bytes 1048576-2097150/3000000",
	    "ETag: \"1\"\nContent-Range: bytes 1048576-2097152/3000000",
	    "ETag: \"1\"\nContent-Range: bytes 1048576-2097151/*",
	    "ETag: \"1\"\nContent-Range: bytes */3000000",
	    "ETag: \"1\"\nContent-Range: bytes 1048576-2097151/3000000\n"
	    "Content-Range: bytes 1048576-2097151/3000000",
	    "ETag: \"1\"\nContent-Type: multipart/byteranges; boundary=x",
	};
	for (size_t i = 0; i < sizeof(others) / sizeof(*others); i++)
		if (reads(others[i]))
			fail_msg("taken for the part: %s", others[i]);
}

#define PART "Content-Range: bytes 1048576-2097151/3000000\n"

static void
what_does_not_say_its_version_strongly_is_not_put_together(void **state)
{
	assert_false(reads(PART "ETag: W/\"1\""));
	assert_false(reads(PART "ETag: 1"));
	assert_false(reads(PART));
	assert_false(reads(PART "Last-Modified: Wed, 18 Nov 2026 11:00:00 GMT"));
	assert_false(reads(PART "Last-Modified: Wed, 18 Nov 2026 11:00:00 GMT\n"
				"Date: Wed, 18 Nov 2026 11:00:00 GMT"));
	assert_true(reads(PART "ETag: W/\"1\"\nLast-Modified: Wed, 18 Nov 2026 11:00:00 GMT\n"
			       "Date: Wed, 18 Nov 2026 11:00:01 GMT"));
}

static void
versions_differ_in_any_validator_that_counts(void **state)
{
	struct slice strong = SLICE_LIT("\"1\""), weak = SLICE_LIT("W/\"1\"");
	struct segment_version a = segment_version_of(strong, 5, 100), b = a;

	assert_true(segment_is_same_version(&a, &b));
	b = segment_version_of(strong, 6, 100); /* servers may differ in it */
	assert_true(segment_is_same_version(&a, &b));
	b = segment_version_of(strong, 5, 101);
	assert_false(segment_is_same_version(&a, &b));
	b = segment_version_of(SLICE_LIT("\"2\""), 5, 100);
	assert_false(segment_is_same_version(&a, &b));
	a = segment_version_of(weak, 5, 100);
	b = segment_version_of(weak, 6, 100);
	assert_false(segment_is_same_version(&a, &b));
	b = segment_version_of(SLICE_NONE, 5, 100);
	assert_false(segment_is_same_version(&a, &b));
}

static void
the_wholes_head_has_the_wholes_length(void **state)
{
	struct head h = head_of("Content-Type: video/mp4\nContent-Length: 1048576\n" PART
				"Connection: close\nETag: \"1\"");
	struct buf b = {0};

	segment_whole_head(&h, 200, 3000000, &b);
	assert_true(slice_eq(buf_slice(&b),
	    SLICE_LIT("HTTP/1.1 200 OK\r\nContent-Type: video/mp4\r\nETag: \"1\"\r\n"
		      "Content-Length: 3000000\r\n\r\n")));
	buf_fini(&b);
}

static void
an_outlines_head_tells_the_wholes_length(void **state)
{
	struct head h = head_of("ETag: \"1\"\n" PART "Content-Length: 1048576");
	struct buf b = {0};
	uint64_t length = 0;

	segment_whole_head(&h, 206, 3000000, &b);
	assert_true(slice_eq(buf_slice(&b),
	    SLICE_LIT("HTTP/1.1 206 Partial Content\r\nETag: \"1\"\r\n"
		      "Content-Range: bytes */3000000\r\n\r\n")));
	h = head_of("Content-Range: bytes */3000000");
	assert_true(segment_outline_length(&h, &length));
	assert_int_equal(length, 3000000);
	h = head_of("Content-Range: bytes */0");
	assert_false(segment_outline_length(&h, &length));
	h = head_of("Content-Length: 3000000");
	assert_false(segment_outline_length(&h, &length));
	buf_fini(&b);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(the_last_segment_ends_where_the_whole_does),
	    cmocka_unit_test(the_first_range_tells_where_an_answer_begins),
	    cmocka_unit_test(only_the_part_that_was_asked_for_is_taken),
	    cmocka_unit_test(what_does_not_say_its_version_strongly_is_not_put_together),
	    cmocka_unit_test(versions_differ_in_any_validator_that_counts),
	    cmocka_unit_test(the_wholes_head_has_the_wholes_length),
	    cmocka_unit_test(an_outlines_head_tells_the_wholes_length),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
