#include "conf/nearest.h"

#include <string.h>

#include "base/slice.h"

#define WORD_MAX 48 /* longer words are not compared */

static size_t
least_of(size_t a, size_t b, size_t c)
{
	size_t m = a < b ? a : b;

	return m < c ? m : c;
}

static bool
is_same(const char *s, size_t i, const char *t, size_t j)
{
	return ascii_lower((unsigned char)s[i]) == ascii_lower((unsigned char)t[j]);
}

/* Letters to add, drop, change, or swap with their neighbour (optimal string alignment). */
static size_t
distance(const char *s, size_t n, const char *t, size_t m)
{
	size_t rows[3][WORD_MAX + 1];
	size_t *before = rows[0], *last = rows[1], *row = rows[2];

	for (size_t j = 0; j <= m; j++)
		last[j] = j;
	for (size_t i = 1; i <= n; i++) {
		size_t *oldest = before;

		row[0] = i;
		for (size_t j = 1; j <= m; j++) {
			size_t change = last[j - 1] + !is_same(s, i - 1, t, j - 1);

			row[j] = least_of(last[j] + 1, row[j - 1] + 1, change);
			if (i > 1 && j > 1 && is_same(s, i - 1, t, j - 2) &&
			    is_same(s, i - 2, t, j - 1) && before[j - 2] + 1 < row[j])
				row[j] = before[j - 2] + 1;
		}
		before = last;
		last = row;
		row = oldest;
	}
	return last[m];
}

struct nearest
nearest_to(const char *wrong)
{
	size_t third = (strlen(wrong) + 2) / 3;

	return (struct nearest){.wrong = wrong, .distance = (third > 3 ? 3 : third) + 1};
}

void
nearest_try(struct nearest *near, const char *word)
{
	size_t n = strlen(near->wrong), m = strlen(word), d;

	if (n == 0 || n > WORD_MAX || m > WORD_MAX)
		return;
	d = distance(near->wrong, n, word, m);
	if (d >= near->distance || d >= m)
		return;
	near->best = word;
	near->distance = d;
}
