/* LINK: http/hpack http/h2field http/h1 http/head http/fields base/buf base/mem */
#include "http_usual.h"

#include "hpack_twin.h"

#define BLOCK SLICE_LIT

/* A block of what the table has, as lines. */
static void
assert_fields(struct hpack *d, struct slice block, const char *wanted)
{
	struct buf told = {0};
	struct h2_field f;

	hpack_begin(d);
	while (hpack_next(d, &block, &f) == HPACK_FIELD) {
		buf_add_slice(&told, f.name);
		buf_add_char(&told, '=');
		buf_add_slice(&told, f.value);
		buf_add_char(&told, '\n');
	}
	buf_add_char(&told, '\0');
	assert_string_equal(told.p, wanted);
	buf_fini(&told);
}

/* RFC 7541 appendix C.4. */
static void
requests_that_refer_to_each_other_unfold(void **state)
{
	static const struct slice blocks[] = {
	    BLOCK("\x82\x86\x84\x41\x8c\xf1\xe3\xc2\xe5\xf2\x3a\x6b\xa0\xab\x90\xf4\xff"),
	    BLOCK("\x82\x86\x84\xbe\x58\x86\xa8\xeb\x10\x64\x9c\xbf"),
	    BLOCK("\x82\x87\x85\xbf\x40\x88\x25\xa8\x49\xe9\x5b\xa9\x7d\x7f\x89\x25\xa8\x49\xe9"
		  "\x5b\xb8\xe8\xb4\xbf")};
	struct hpack_twin t;
	bool is_bad;

	hpack_twin_init(&t);
	for (unsigned i = 0; i < 3; i++)
		assert_true(hpack_twin_block(&t, blocks[i], &is_bad) && !is_bad);
	assert_int_equal(t.ours.count, 3);
	assert_int_equal(t.ours.size, 164);
	assert_fields(&t.ours, BLOCK("\xbe\xbf\xc0"),
	    "custom-key=custom-value\ncache-control=no-cache\n:authority=www.example.com\n");
	hpack_twin_fini(&t);
}

static void
what_is_known_of_each_row_is_what_would_be_judged(void **state)
{
	struct hpack_twin t;
	char block[61];
	bool is_bad;

	hpack_twin_init(&t);
	for (unsigned i = 0; i < sizeof(block); i++)
		block[i] = (char)(0x81 + i);
	assert_true(hpack_twin_block(&t, slice_of(block, sizeof(block)), &is_bad));
	assert_int_equal(t.fields, sizeof(block));
	hpack_twin_fini(&t);
}

/* As a literal that is kept, of so much in Huffman's code that the deflater chooses it. */
static void
each_byte_comes_out_of_its_code(void **state)
{
	nghttp2_hd_deflater *d;
	uint8_t value[600], block[1000];
	struct hpack_twin t;
	bool is_bad;

	hpack_twin_init(&t);
	assert_int_equal(nghttp2_hd_deflate_new(&d, HPACK_TABLE_BYTES), 0);
	memset(value, '0', sizeof(value));
	for (unsigned i = 0; i < 256; i++) {
		nghttp2_nv nv = {(uint8_t *)(uintptr_t) "x", value, 1, sizeof(value), 0};
		ssize_t n;

		value[i % 7] = (uint8_t)i;
		n = nghttp2_hd_deflate_hd(d, block, sizeof(block), &nv, 1);
		assert_true(n > 0 && n < 500);
		assert_true(
		    hpack_twin_block(&t, slice_of((char *)block, (size_t)n), &is_bad) && !is_bad);
	}
	assert_int_equal(t.fields, 256);
	nghttp2_hd_deflate_del(d);
	hpack_twin_fini(&t);
}

static void
the_table_turns_over_within_its_bound(void **state)
{
	struct hpack_twin t;
	char block[1 + 1 + 4 + 3 + 4061];
	bool is_bad;

	hpack_twin_init(&t);
	memset(block, 'v', sizeof(block));
	memcpy(block, "\x40\x04name\x7f\xe9\x06", 9); /* 127 + 105 + 6 * 128 = 1000 */
	for (unsigned i = 0; i < 1000; i++) {
		block[8 + i % 100] = (char)('a' + i % 26);
		memcpy(block, "\x40\x04name\x7f\xe9\x06", 9);
		assert_true(hpack_twin_block(&t, slice_of(block, 1009), &is_bad) && !is_bad);
	}
	assert_int_equal(t.ours.count, 3);
	/* 3 * 1036 + 988 = 4096 fit; with one byte more the oldest goes. */
	memcpy(block, "\x40\x04name\x7f\xb9\x06", 9);
	assert_true(hpack_twin_block(&t, slice_of(block, 961), &is_bad) && !is_bad);
	assert_int_equal(t.ours.count, 4);
	assert_int_equal(t.ours.size, HPACK_TABLE_BYTES);
	memcpy(block, "\x40\x04name\x7f\xe9\x06", 9);
	for (unsigned i = 0; i < 4; i++)
		hpack_twin_block(&t, slice_of(block, 1009), &is_bad);
	assert_int_equal(t.ours.count, 3);
	/* One that takes what three have left, and a byte more. */
	memcpy(block, "\x40\x04name\x7f\xba\x06", 9);
	assert_true(hpack_twin_block(&t, slice_of(block, 962), &is_bad) && !is_bad);
	assert_int_equal(t.ours.count, 3);
	/* One that fills the table alone, and one that does not fit. */
	memcpy(block, "\x40\x04name\x7f\xdd\x1e", 9);
	assert_true(hpack_twin_block(&t, slice_of(block, 9 + 4060), &is_bad) && !is_bad);
	assert_int_equal(t.ours.size, HPACK_TABLE_BYTES);
	block[7]++;
	assert_true(hpack_twin_block(&t, slice_of(block, 9 + 4061), &is_bad) && !is_bad);
	assert_int_equal(t.ours.count, 0);
	memcpy(block, "\x40\x04name\x7f\xe9\x06", 9);
	for (unsigned i = 0; i < 3; i++)
		hpack_twin_block(&t, slice_of(block, 1009), &is_bad);
	/* The name of the oldest, which the new one evicts. */
	memcpy(block, "\x7f\x01\x7f\xe9\x06", 5);
	assert_true(hpack_twin_block(&t, slice_of(block, 1005), &is_bad) && !is_bad);
	assert_true(hpack_twin_block(&t, BLOCK("\x20"), &is_bad) && !is_bad);
	assert_int_equal(t.ours.count, 0);
	assert_true(hpack_twin_block(&t, slice_of(block + 5, 0), &is_bad) && !is_bad);
	hpack_twin_fini(&t);
}

static void
what_is_no_block_is_refused(void **state)
{
	static const struct slice blocks[] = {
	    BLOCK("\x80"),			   /* no index */
	    BLOCK("\xbe"),			   /* nothing is in the table */
	    BLOCK("\x82\x20"),			   /* a size behind a field */
	    BLOCK("\x3f\xe2\x1f"),		   /* 4097 */
	    BLOCK("\xff\x80\x80\x80\x80\x80\x00"), /* a number without end */
	    BLOCK("\xff\xff\xff\xff\xff\x7f"),	   /* beyond 32 bits */
	    BLOCK("\xff"),			   /* it is cut off */
	    BLOCK("\x44"),			   /* so is this */
	    BLOCK("\x44\x05/ab"),		   /* and this */
	    BLOCK("\x44\x82\x63\xff\xff"),	   /* what follows is no index */
	    BLOCK("\x44\x82\x1f\xff"),		   /* eight bits of padding and more */
	    BLOCK("\x44\x81\x60"),		   /* padding of noughts */
	    BLOCK("\x44\x84\xff\xff\xff\xff"),	   /* EOS */
	    BLOCK("\x44\x85\xff\xff\xff\xfc\x07"), /* EOS, and more */
	};

	for (size_t i = 0; i < sizeof(blocks) / sizeof(*blocks); i++) {
		struct hpack_twin t;
		bool is_bad = false;

		hpack_twin_init(&t);
		assert_true(hpack_twin_block(&t, blocks[i], &is_bad));
		if (!is_bad)
			fail_msg("row %zu", i);
		hpack_twin_fini(&t);
	}
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(requests_that_refer_to_each_other_unfold),
	    cmocka_unit_test(what_is_known_of_each_row_is_what_would_be_judged),
	    cmocka_unit_test(each_byte_comes_out_of_its_code),
	    cmocka_unit_test(the_table_turns_over_within_its_bound),
	    cmocka_unit_test(what_is_no_block_is_refused),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
