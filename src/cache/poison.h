/* cache/poison.h - tells AddressSanitizer which of our own free memory must not be touched, so that
 * a use after release is found in slots and pooled chunks as it is in malloc's; and spoils what is inherited without being
 * cleared, so that whoever reads it before it is written does not find what happens to be good. Nothing in release builds. */
#ifndef CACHE_POISON_H
#define CACHE_POISON_H

#ifdef __has_feature
#if __has_feature(address_sanitizer)
#define CACHE_POISONS
#endif
#endif
#ifdef __SANITIZE_ADDRESS__
#define CACHE_POISONS
#endif

#ifdef CACHE_POISONS
#include <sanitizer/asan_interface.h>
#include <string.h>
#define poison(p, n) __asan_poison_memory_region((p), (n))
#define unpoison(p, n) __asan_unpoison_memory_region((p), (n))
#define spoil(p, n) memset((p), 0xa5, (n))
#else
#define poison(p, n) ((void)(p), (void)(n))
#define unpoison(p, n) ((void)(p), (void)(n))
#define spoil(p, n) ((void)(p), (void)(n))
#endif

#endif
