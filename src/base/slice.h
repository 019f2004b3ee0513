/* base/slice.h - a borrowed run of bytes.
 *
 * A slice owns nothing: it points into a buffer, an arena, an object or a literal and is good for
 * as long as that is. It is not terminated by a NUL. {NULL, 0} means "absent"; {p, 0} with p set
 * means "present and empty".
 */
#ifndef BASE_SLICE_H
#define BASE_SLICE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

struct slice {
	const char *p;
	size_t n;
};

#define SLICE_LIT(s) ((struct slice){(s), sizeof(s) - 1})
#define SLICE_NONE ((struct slice){NULL, 0})
/* For printf: "%.*s", SLICE_FMT(s) */
#define SLICE_FMT(s) (int)(s).n, (s).p

static inline struct slice
slice_of(const void *p, size_t n)
{
	return (struct slice){p, n};
}

static inline struct slice
slice_from(const char *cstr)
{
	return (struct slice){cstr, cstr == NULL ? 0 : strlen(cstr)};
}

static inline bool
slice_eq(struct slice a, struct slice b)
{
	return a.n == b.n && (a.n == 0 || memcmp(a.p, b.p, a.n) == 0);
}

static inline unsigned char
ascii_lower(unsigned char c)
{
	return c >= 'A' && c <= 'Z' ? (unsigned char)(c | 0x20) : c;
}

/* Equal when ASCII letters are taken without their case; the locale has no say. */
static inline bool
slice_ieq(struct slice a, struct slice b)
{
	if (a.n != b.n)
		return false;
	for (size_t i = 0; i < a.n; i++)
		if (ascii_lower((unsigned char)a.p[i]) != ascii_lower((unsigned char)b.p[i]))
			return false;
	return true;
}

static inline bool
slice_starts(struct slice s, struct slice prefix)
{
	return s.n >= prefix.n && (prefix.n == 0 || memcmp(s.p, prefix.p, prefix.n) == 0);
}

static inline bool
slice_ends(struct slice s, struct slice suffix)
{
	return s.n >= suffix.n &&
	    (suffix.n == 0 || memcmp(s.p + s.n - suffix.n, suffix.p, suffix.n) == 0);
}

/* The rest after the first n bytes; n may be anything up to s.n. */
static inline struct slice
slice_skip(struct slice s, size_t n)
{
	return (struct slice){s.p + n, s.n - n};
}

/* Without the blanks (SP, HTAB: OWS of RFC 9110) at both ends. */
static inline struct slice
slice_trim(struct slice s)
{
	while (s.n > 0 && (s.p[0] == ' ' || s.p[0] == '\t'))
		s.p++, s.n--;
	while (s.n > 0 && (s.p[s.n - 1] == ' ' || s.p[s.n - 1] == '\t'))
		s.n--;
	return s;
}

/* The position of c in s, or s.n. */
static inline size_t
slice_index(struct slice s, char c)
{
	const char *at = s.n == 0 ? NULL : memchr(s.p, c, s.n);
	return at == NULL ? s.n : (size_t)(at - s.p);
}

/* What stands in *rest before c, or all of it; *rest is then what stands behind. */
static inline struct slice
slice_cut(struct slice *rest, char c)
{
	size_t n = slice_index(*rest, c);
	struct slice head = slice_of(rest->p, n);

	*rest = n < rest->n ? slice_of(rest->p + n + 1, rest->n - n - 1) : slice_of(rest->p + n, 0);
	return head;
}

/* The one strict reader of decimal numbers (no sign, no blank, no empty string, no overflow). True
 * and *out set, or false. */
static inline bool
slice_to_u64(struct slice s, uint64_t *out)
{
	uint64_t v = 0;

	if (s.n == 0)
		return false;
	for (size_t i = 0; i < s.n; i++) {
		unsigned d = (unsigned)(unsigned char)s.p[i] - '0';
		if (d > 9 || v > (UINT64_MAX - d) / 10)
			return false;
		v = v * 10 + d;
	}
	*out = v;
	return true;
}

#endif
