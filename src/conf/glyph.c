#include "conf/glyph.h"

struct range {
	uint32_t first, last;
};

/* Marks that sit on the character before them, and characters of no width. */
static const struct range combining[] = {{0x0300, 0x036f}, {0x0483, 0x0489}, {0x0591, 0x05bd},
    {0x0610, 0x061a}, {0x064b, 0x065f}, {0x093c, 0x093c}, {0x0941, 0x0948}, {0x0e31, 0x0e31},
    {0x0e34, 0x0e3a}, {0x0e47, 0x0e4e}, {0x1ab0, 0x1aff}, {0x1dc0, 0x1dff}, {0x200b, 0x200d},
    {0x20d0, 0x20ff}, {0xfe00, 0xfe0f}, {0xfe20, 0xfe2f}, {0xe0100, 0xe01ef}};

/* East Asian wide and full-width characters, and pictures. */
static const struct range wide[] = {{0x1100, 0x115f}, {0x2e80, 0x303e}, {0x3041, 0x33ff},
    {0x3400, 0x4dbf}, {0x4e00, 0x9fff}, {0xa000, 0xa4cf}, {0xac00, 0xd7a3}, {0xf900, 0xfaff},
    {0xfe30, 0xfe6f}, {0xff00, 0xff60}, {0xffe0, 0xffe6}, {0x1f300, 0x1f64f}, {0x1f680, 0x1f6ff},
    {0x1f900, 0x1f9ff}, {0x20000, 0x3fffd}};

/* Control characters, line separators, changes of direction, surrogates. */
static const struct range unsafe[] = {{0x00, 0x1f}, {0x7f, 0x9f}, {0x061c, 0x061c},
    {0x200e, 0x200f}, {0x2028, 0x202e}, {0x2066, 0x2069}, {0xd800, 0xdfff}, {0xfeff, 0xfeff}};

static bool
is_in(uint32_t cp, const struct range *r, size_t n)
{
	for (size_t i = 0; i < n && r[i].first <= cp; i++)
		if (cp <= r[i].last)
			return true;
	return false;
}

#define IS_IN(cp, table) is_in((cp), (table), sizeof(table) / sizeof(*(table)))

size_t
glyph_next(struct slice s, uint32_t *cp_out)
{
	static const uint32_t least[] = {0, 0, 0x80, 0x800, 0x10000};
	unsigned char c = (unsigned char)s.p[0];
	size_t n = c < 0x80 ? 1 : c >= 0xf0 && c < 0xf8 ? 4 : c >= 0xe0 ? 3 : c >= 0xc0 ? 2 : 0;
	uint32_t cp = n == 1 ? c : n == 2 ? c & 0x1fu : n == 3 ? c & 0x0fu : c & 0x07u;

	*cp_out = GLYPH_BAD;
	if (n == 0 || c >= 0xf8 || n > s.n)
		return 1;
	for (size_t i = 1; i < n; i++) {
		if (((unsigned char)s.p[i] & 0xc0) != 0x80)
			return 1;
		cp = cp << 6 | ((unsigned char)s.p[i] & 0x3fu);
	}
	if (cp < least[n] || cp > 0x10ffff || (cp >= 0xd800 && cp <= 0xdfff))
		return 1;
	*cp_out = cp;
	return n;
}

int
glyph_width(uint32_t cp)
{
	if (cp >= 0x20 && cp < 0x7f)
		return 1;
	if (cp == GLYPH_BAD || IS_IN(cp, unsafe))
		return -1;
	if (IS_IN(cp, combining))
		return 0;
	return IS_IN(cp, wide) ? 2 : 1;
}

const char *
glyph_clean(struct arena *mem, struct slice s, size_t most)
{
	bool cut = s.n > most;
	char *out, *to;

	if (cut)
		s.n = most;
	out = to = arena_alloc(mem, s.n + sizeof("..."));
	while (s.n > 0) {
		uint32_t cp;
		size_t n = glyph_next(s, &cp);

		if (glyph_width(cp) < 0)
			*to++ = '?';
		else
			to = (char *)memcpy(to, s.p, n) + n;
		s = slice_skip(s, n);
	}
	memcpy(to, cut ? "..." : "", cut ? 4 : 1);
	return out;
}
