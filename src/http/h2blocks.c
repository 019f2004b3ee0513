/* A place for each of the numbers' residues. A text that has come once leaves its number there; one that comes again is kept,
 * so that what is asked for once takes no memory, and two that share a place do not push each other out in turns. */
#include "http/h2blocks.h"

#include <stdlib.h>

#include "base/mem.h"
#include "http/h2block.h"

struct kept {
	uint64_t number;
	uint32_t text_n, block_n;
	char bytes[]; /* text, block */
};

struct h2_blocks {
	struct {
		uint64_t seen;
		struct kept *kept;
	} places[H2_BLOCKS_MAX];
};

struct h2_blocks *
h2_blocks_new(void)
{
	return must_calloc(1, sizeof(struct h2_blocks));
}

void
h2_blocks_free(struct h2_blocks **bp)
{
	struct h2_blocks *b = *bp;

	*bp = NULL;
	if (b == NULL)
		return;
	for (unsigned i = 0; i < H2_BLOCKS_MAX; i++)
		free(b->places[i].kept);
	free(b);
}

/* NULL: no memory. */
static struct kept *
kept_new(uint64_t number, struct slice lines)
{
	struct buf block = {0};
	struct kept *k;

	h2_block_lines(&block, lines);
	k = malloc(sizeof(*k) + lines.n + block.n);
	if (k != NULL) {
		k->number = number;
		k->text_n = (uint32_t)lines.n;
		k->block_n = (uint32_t)block.n;
		memcpy(k->bytes, lines.p, lines.n);
		if (block.n > 0)
			memcpy(k->bytes + lines.n, block.p, block.n);
	}
	buf_fini(&block);
	return k;
}

struct slice
h2_blocks_find(struct h2_blocks *b, uint64_t number, struct slice lines)
{
	struct kept **k;

	if (lines.n == 0 || lines.n > H2_BLOCKS_TEXT_BYTES)
		return SLICE_NONE;
	k = &b->places[number % H2_BLOCKS_MAX].kept;
	if (*k == NULL || (*k)->number != number || (*k)->text_n != lines.n ||
	    memcmp((*k)->bytes, lines.p, lines.n) != 0) {
		if (b->places[number % H2_BLOCKS_MAX].seen != number) {
			b->places[number % H2_BLOCKS_MAX].seen = number;
			return SLICE_NONE;
		}
		free(*k);
		*k = kept_new(number, lines);
	}
	return *k == NULL ? SLICE_NONE : slice_of((*k)->bytes + (*k)->text_n, (*k)->block_n);
}
