/* LINK: http/h2blocks http/h2block http/head http/fields base/hash base/buf base/mem */
#include "http_usual.h"

#include <stdlib.h>

#include "base/buf.h"
#include "base/hash.h"
#include "http/h2block.h"
#include "http/h2blocks.h"

#define HEAD "HTTP/1.1 200 OK\r\nContent-Type: text/html\r\nETag: \"1\"\r\n"

static void
assert_is_plain_rendering(struct slice block, struct slice lines)
{
	struct buf plain = {0};

	h2_block_lines(&plain, lines);
	assert_int_equal(block.n, plain.n);
	assert_memory_equal(block.p, plain.p, plain.n);
	buf_fini(&plain);
}

static struct slice
find(struct h2_blocks *b, struct slice lines)
{
	return h2_blocks_find(b, hash_bytes(lines.p, lines.n), lines);
}

static void
what_comes_again_is_kept_as_it_is_rendered(void **state)
{
	struct h2_blocks *b = h2_blocks_new();
	struct slice lines = SLICE_LIT(HEAD);

	assert_int_equal(find(b, lines).n, 0);
	assert_is_plain_rendering(find(b, lines), lines);
	assert_is_plain_rendering(find(b, lines), lines);
	h2_blocks_free(&b);
}

static void
of_many_texts_each_has_its_own_block(void **state)
{
	struct h2_blocks *b = h2_blocks_new();
	struct buf text = {0};
	unsigned kept = 0;

	for (unsigned round = 0; round < 3; round++)
		for (unsigned i = 0; i < 4 * H2_BLOCKS_MAX; i++) {
			struct slice block;

			text.n = 0;
			buf_printf(&text, HEAD "X-%x: %0*u\r\n", i % 7, (int)(i % 200), i);
			for (unsigned again = 0; again < 2; again++) {
				block = find(b, buf_slice(&text));
				if (block.n > 0)
					assert_is_plain_rendering(block, buf_slice(&text));
			}
			kept += block.n > 0;
		}
	assert_int_equal(kept, 3 * 4 * H2_BLOCKS_MAX);
	buf_fini(&text);
	h2_blocks_free(&b);
}

static void
what_is_asked_for_once_pushes_nothing_out(void **state)
{
	struct h2_blocks *b = h2_blocks_new();
	struct slice lines = SLICE_LIT(HEAD);
	struct buf text = {0};

	find(b, lines);
	find(b, lines);
	for (unsigned i = 0; i < 8 * H2_BLOCKS_MAX; i++) {
		text.n = 0;
		buf_printf(&text, HEAD "X-N: %u\r\n", i);
		assert_int_equal(find(b, buf_slice(&text)).n, 0);
	}
	assert_is_plain_rendering(find(b, lines), lines);
	buf_fini(&text);
	h2_blocks_free(&b);
}

static void
what_is_long_or_nothing_is_not_kept(void **state)
{
	static char text[H2_BLOCKS_TEXT_BYTES + 1];
	struct h2_blocks *b = h2_blocks_new();

	memset(text, 'a', sizeof(text));
	text[1] = ':';
	for (int i = 0; i < 3; i++) {
		assert_int_equal(find(b, slice_of(text, sizeof(text))).n, 0);
		assert_int_equal(find(b, SLICE_NONE).n, 0);
	}
	h2_blocks_free(&b);
}

static void
texts_of_one_number_are_told_apart(void **state)
{
	struct h2_blocks *b = h2_blocks_new();
	struct slice texts[] = {SLICE_LIT(HEAD "X: 1\r\n"), SLICE_LIT(HEAD "X: 2\r\n")};

	h2_blocks_find(b, 7, texts[0]);
	for (unsigned i = 1; i < 9; i++)
		assert_is_plain_rendering(h2_blocks_find(b, 7, texts[i % 2]), texts[i % 2]);
	h2_blocks_free(&b);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(what_comes_again_is_kept_as_it_is_rendered),
	    cmocka_unit_test(of_many_texts_each_has_its_own_block),
	    cmocka_unit_test(what_is_asked_for_once_pushes_nothing_out),
	    cmocka_unit_test(texts_of_one_number_are_told_apart),
	    cmocka_unit_test(what_is_long_or_nothing_is_not_kept),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
