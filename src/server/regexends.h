/* server/regexends.h - with which text everything begins, and with which it ends, that a regular expression matches.
 *
 * Read off the expression as far as that is certain: where it is not plain (alternatives at its top, options within it, escapes
 * that take what follows), there is no such text. Of PCRE2's syntax, anchored at both ends, without options.
 */
#ifndef SERVER_REGEXENDS_H
#define SERVER_REGEXENDS_H

#include "base/slice.h"

struct regex_ends {
	size_t first_len, last_len;
	char *first, *last; /* room for as many bytes as the expression has, each: the caller's */
};

/* The two texts never share a byte of what is matched, but where the expression is that one text: then it is the first. */
void regex_ends_find(const char *regex, struct regex_ends *ends);

#endif
