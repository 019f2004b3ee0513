/* policy/codecpool.h - the memory that compressors are made in, kept for the next one.
 *
 * One per thread, without a lock. Blocks come in sizes of four steps to the octave and are kept by
 * size when they are given back, so that making the same kind of codec again costs no malloc and no
 * page faults. What is kept is bounded, and so is what lives: past live_max_bytes the pool is full,
 * and codec_new_*() makes no further codec (one that has begun is never refused for that).
 */
#ifndef POLICY_CODECPOOL_H
#define POLICY_CODECPOOL_H

#include <stdbool.h>
#include <stddef.h>

struct codec_pool;

struct codec_pool *codec_pool_new(size_t keep_bytes, size_t live_max_bytes);
/* Every block must have come back. */
void codec_pool_free(struct codec_pool **pp);

/* Aligned for any type, contents undefined. NULL when the machine has no memory. */
void *codec_pool_take(struct codec_pool *p, size_t n);
/* NULL is nothing. */
void codec_pool_give(struct codec_pool *p, void *block);

bool codec_pool_is_full(const struct codec_pool *p);
size_t codec_pool_live_bytes(const struct codec_pool *p);
size_t codec_pool_kept_bytes(const struct codec_pool *p);

#endif
