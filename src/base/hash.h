/* base/hash.h - the seeded hash of keys (XXH3). The seed is drawn once at start, so nobody outside
 * can aim at a bucket. */
#ifndef BASE_HASH_H
#define BASE_HASH_H

#include "base/slice.h"

/* Draws the seed. Called once, before any thread; without it the seed is 0 (unit tests). */
void hash_seed(void);
uint64_t hash_bytes(const void *p, size_t n);
/* Continues from an earlier hash, for keys in several parts. */
uint64_t hash_more(uint64_t h, const void *p, size_t n);
/* Cryptographically random bytes from the kernel. */
void random_bytes(void *out, size_t n);

#endif
