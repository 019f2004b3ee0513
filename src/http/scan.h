/* http/scan.h - how far allowed bytes reach: in a field's value, in a request's target, in a path.
 *
 * Each scan is there twice, byte by byte and sixteen bytes at a time where the processor has SSE2 (every x86-64 has). The
 * plain one is what is meant and the wide one must say the same of any bytes: tests/unit/test_http_scan.c and
 * tests/fuzz/fuzz_http_scan.c hold them against each other. None reads beyond the bytes it is given.
 */
#ifndef HTTP_SCAN_H
#define HTTP_SCAN_H

#include <stddef.h>
#include <stdint.h>
#ifdef __SSE2__
#include <emmintrin.h>
#endif

/* What a byte may be part of. Targets as browsers send them: they leave | and in queries { } \ ^ ` as they are. */
enum {
	SCAN_TOKEN = 1,
	SCAN_VALUE = 2,
	SCAN_TARGET = 4,
	SCAN_PATH =
	    8, /* of a path in normal form (RFC 3986), but for dots, which may be a dot segment's */
};

/* clang-format off */
static const uint8_t scan_classes[256] = {
    ['\t'] = SCAN_VALUE,
    [' '] = SCAN_VALUE,
    ['!'] = 15, ['"'] = SCAN_VALUE, ['#'] = 3, ['$'] = 15, ['%'] = 7, ['&'] = 15, ['\''] = 15,
    ['('] = 14, [')'] = 14, ['*'] = 15, ['+'] = 15, [','] = 14, ['-'] = 15, ['.'] = 7, ['/'] = 14,
    ['0' ... '9'] = 15,
    [':'] = 14, [';'] = 14, ['<'] = SCAN_VALUE, ['='] = 14, ['>'] = SCAN_VALUE, ['?'] = 6, ['@'] = 14,
    ['A' ... 'Z'] = 15,
    ['['] = 6, ['\\'] = 6, [']'] = 6, ['^'] = 7, ['_'] = 15,
    ['`'] = 7,
    ['a' ... 'z'] = 15,
    ['{'] = 6, ['|'] = 7, ['}'] = 6, ['~'] = 15,
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

/* All ones where a byte is from first to last. */
static inline __m128i
scan_between(__m128i v, char first, char last)
{
	__m128i from = _mm_sub_epi8(v, _mm_set1_epi8(first));

	return _mm_cmpeq_epi8(_mm_min_epu8(from, _mm_set1_epi8((char)(last - first))), from);
}

/* The same for paths. */
static inline unsigned
scan_no_path(__m128i v)
{
	__m128i signs = _mm_or_si128(scan_between(v, '&', '-'), scan_between(v, '/', ';'));
	__m128i letters = _mm_or_si128(scan_between(v, '@', 'Z'), scan_between(v, 'a', 'z'));
	__m128i lone = _mm_or_si128(
	    _mm_cmpeq_epi8(v, _mm_set1_epi8('!')), _mm_cmpeq_epi8(v, _mm_set1_epi8('$')));

	lone = _mm_or_si128(lone, _mm_cmpeq_epi8(v, _mm_set1_epi8('=')));
	lone = _mm_or_si128(lone, _mm_cmpeq_epi8(v, _mm_set1_epi8('_')));
	lone = _mm_or_si128(lone, _mm_cmpeq_epi8(v, _mm_set1_epi8('~')));
	return 0xffff ^
	    (unsigned)_mm_movemask_epi8(_mm_or_si128(_mm_or_si128(signs, letters), lone));
}

/* The last bytes, fewer than sixteen, are looked at once more with some before them, where there are as many. */
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
		if (i > 0 && i < n) {                                                    \
			const __m128i *last = (const __m128i *)(p + n - 16);             \
			unsigned bad = stops(_mm_loadu_si128(last)) >> (16 - (n - i));   \
                                                                                         \
			return bad == 0 ? n : i + (unsigned)__builtin_ctz(bad);          \
		}                                                                        \
		return i + scan_plain(p + i, n - i, class);                              \
	}
SCAN_WIDE(scan_value, SCAN_VALUE, scan_no_value)
SCAN_WIDE(scan_target, SCAN_TARGET, scan_no_target)
SCAN_WIDE(scan_path, SCAN_PATH, scan_no_path)
#undef SCAN_WIDE

/* Where the first colon is, or n. room: bytes that may be read, n of them or more. */
static inline size_t
scan_colon(const char *p, size_t n, size_t room)
{
	size_t i = 0;

	for (; i < n && room - i >= 16; i += 16) {
		__m128i v = _mm_loadu_si128((const __m128i *)(p + i));
		unsigned found = (unsigned)_mm_movemask_epi8(_mm_cmpeq_epi8(v, _mm_set1_epi8(':')));

		if (found != 0) {
			i += (unsigned)__builtin_ctz(found);
			return i < n ? i : n;
		}
	}
	while (i < n && p[i] != ':')
		i++;
	return i < n ? i : n;
}
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

static inline size_t
scan_path(const char *p, size_t n)
{
	return scan_plain(p, n, SCAN_PATH);
}

static inline size_t
scan_colon(const char *p, size_t n, size_t room)
{
	size_t i = 0;

	while (i < n && p[i] != ':')
		i++;
	return i;
}
#endif

#endif
