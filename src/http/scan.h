/* http/scan.h - how far allowed bytes reach: in a field's value, in a request's target.
 *
 * Each scan is there twice, byte by byte and sixteen bytes at a time where the processor has SSE2 (every x86-64 has). The
 * plain one is what is meant and the wide one must say the same of any bytes: tests/unit/test_http_scan.c and
 * tests/fuzz/fuzz_http_scan.c hold them against each other. None reads beyond the n bytes it is given.
 */
#ifndef HTTP_SCAN_H
#define HTTP_SCAN_H

#include <stddef.h>
#include <stdint.h>
#ifdef __SSE2__
#include <emmintrin.h>
#endif

/* What a byte may be part of. Targets as browsers send them: they leave | and in queries { } \ ^ ` as they are. */
enum { SCAN_TOKEN = 1, SCAN_VALUE = 2, SCAN_TARGET = 4 };

/* clang-format off */
static const uint8_t scan_classes[256] = {
    ['\t'] = SCAN_VALUE,
    [' '] = SCAN_VALUE,
    ['!'] = 7, ['"'] = SCAN_VALUE, ['#'] = 3, ['$'] = 7, ['%'] = 7, ['&'] = 7, ['\''] = 7,
    ['('] = 6, [')'] = 6, ['*'] = 7, ['+'] = 7, [','] = 6, ['-'] = 7, ['.'] = 7, ['/'] = 6,
    ['0' ... '9'] = 7,
    [':'] = 6, [';'] = 6, ['<'] = SCAN_VALUE, ['='] = 6, ['>'] = SCAN_VALUE, ['?'] = 6, ['@'] = 6,
    ['A' ... 'Z'] = 7,
    ['['] = 6, ['\\'] = 6, [']'] = 6, ['^'] = 7, ['_'] = 7,
    ['`'] = 7,
    ['a' ... 'z'] = 7,
    ['{'] = 6, ['|'] = 7, ['}'] = 6, ['~'] = 7,
    [0x80 ... 0xff] = SCAN_VALUE, /* obs-text */
};
/* clang-format on */

/* How many of the first bytes are all of that class. */
static inline size_t
scan_plain(const char *p, size_t n, uint8_t class)
{
	size_t i = 0;

	while (i < n && (scan_classes[(unsigned char)p[i]] & class))
		i++;
	return i;
}

#ifdef __SSE2__
/* A bit for each of sixteen bytes that no value has: controls but the tab, and DEL. */
static inline unsigned
scan_no_value(__m128i v)
{
	__m128i control = _mm_cmpeq_epi8(_mm_min_epu8(v, _mm_set1_epi8(0x1f)), v);
	__m128i tab = _mm_cmpeq_epi8(v, _mm_set1_epi8('\t'));
	__m128i del = _mm_cmpeq_epi8(v, _mm_set1_epi8(0x7f));

	return (unsigned)_mm_movemask_epi8(_mm_or_si128(_mm_andnot_si128(tab, control), del));
}

/* The same for targets: what is not above the blank as a signed number, which takes in all beyond ASCII; DEL; and " # < >, of
 * which two differ in one bit each. */
static inline unsigned
scan_no_target(__m128i v)
{
	__m128i low = _mm_cmplt_epi8(v, _mm_set1_epi8('!'));
	__m128i del = _mm_cmpeq_epi8(v, _mm_set1_epi8(0x7f));
	__m128i quote =
	    _mm_cmpeq_epi8(_mm_and_si128(v, _mm_set1_epi8((char)0xfe)), _mm_set1_epi8('"'));
	__m128i angle =
	    _mm_cmpeq_epi8(_mm_and_si128(v, _mm_set1_epi8((char)0xfd)), _mm_set1_epi8('<'));

	return (unsigned)_mm_movemask_epi8(
	    _mm_or_si128(_mm_or_si128(low, del), _mm_or_si128(quote, angle)));
}

#define SCAN_WIDE(name, class, stops)                                                    \
	static inline size_t name(const char *p, size_t n)                               \
	{                                                                                \
		size_t i = 0;                                                            \
                                                                                         \
		for (; n - i >= 16; i += 16) {                                           \
			unsigned bad = stops(_mm_loadu_si128((const __m128i *)(p + i))); \
                                                                                         \
			if (bad != 0)                                                    \
				return i + (unsigned)__builtin_ctz(bad);                 \
		}                                                                        \
		return i + scan_plain(p + i, n - i, class);                              \
	}
SCAN_WIDE(scan_value, SCAN_VALUE, scan_no_value)
SCAN_WIDE(scan_target, SCAN_TARGET, scan_no_target)
#undef SCAN_WIDE
#else
static inline size_t
scan_value(const char *p, size_t n)
{
	return scan_plain(p, n, SCAN_VALUE);
}

static inline size_t
scan_target(const char *p, size_t n)
{
	return scan_plain(p, n, SCAN_TARGET);
}
#endif

#endif
