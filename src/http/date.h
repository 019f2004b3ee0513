/* http/date.h - the dates of HTTP (RFC 9110 section 5.6.7), in seconds since 1970.
 *
 * Three forms are understood, in any case: IMF-fixdate, RFC 850 and asctime. Everything else is no date, and
 * whoever asked decides what that means (an Expires that is no date has passed). Pure; no allocation.
 */
#ifndef HTTP_DATE_H
#define HTTP_DATE_H

#include "base/slice.h"

#define DATE_LEN 29			/* "Sun, 06 Nov 1994 08:49:37 GMT" */
#define DATE_NONE (-(INT64_C(1) << 39)) /* long before the first date there is */

/* Seconds since 1970, or DATE_NONE. now_s decides the century of a two-digit year (at most 50 years ahead). The
 * day of the week must be one, but need not be the right one. */
int64_t date_parse(struct slice s, int64_t now_s);
/* A date read before: the same text is the same date. {0}: none. */
struct date_memo {
	int64_t s;
	char text[DATE_LEN];
};
/* As date_parse; memo, the caller's, spares the reading of what it holds, and holds s from then on. */
int64_t date_parse_again(struct date_memo *memo, struct slice s, int64_t now_s);
/* Writes exactly DATE_LEN bytes of IMF-fixdate, no NUL. Years outside 0 to 9999 are clamped. */
void date_format(int64_t s, char out[DATE_LEN]);

#endif
