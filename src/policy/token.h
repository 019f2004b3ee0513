/* policy/token.h - the token of RFC 9110 section 5.6.2, for names that stand in the configuration. */
#ifndef POLICY_TOKEN_H
#define POLICY_TOKEN_H

#include "base/slice.h"

static inline bool
is_token_char(unsigned char c)
{
	unsigned char l = ascii_lower(c);

	return (l >= 'a' && l <= 'z') || (c >= '0' && c <= '9') ||
	    (c != '\0' && strchr("!#$%&'*+-.^_`|~", c) != NULL);
}

static inline bool
slice_is_token(struct slice s)
{
	for (size_t i = 0; i < s.n; i++)
		if (!is_token_char((unsigned char)s.p[i]))
			return false;
	return s.n > 0;
}

#endif
