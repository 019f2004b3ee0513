/* http/sf_priv.h - between the files of http/sf.h: members and their parameters (sf.c), bare items (sf_bare.c). */
#ifndef HTTP_SF_PRIV_H
#define HTTP_SF_PRIV_H

#include "http/sf.h"

/* Section 4.2: each reader takes what it reads off w->at and returns false at the first byte that does not
 * fit. None of them skips blanks that the algorithm does not skip. */
bool sf_read_bare(struct sf_walk *w, struct sf_value *v);

static inline bool
sf_is_digit(char c)
{
	return c >= '0' && c <= '9';
}

static inline bool
sf_is_lower(char c)
{
	return c >= 'a' && c <= 'z';
}

static inline bool
sf_take(struct sf_walk *w, char c)
{
	if (w->at == w->end || *w->at != c)
		return false;
	w->at++;
	return true;
}

#endif
