/* http/offer.h - which of the values that a site offers a request is best served with (RFC 9110 section 12.5). Pure.
 *
 * A site that says what it offers has as many variants as values, however its visitors spell their wishes: the one
 * chosen here is all of the field that counts, and all that the origin is told.
 *
 * Accept-Language: the greatest q counts, and among equal ones the site's order. A range stands for its subtags ("en" for
 * "en-GB", RFC 4647 section 3.3.1), and a wish for a subtag is met by what it belongs to ("en-GB" by "en", section 3.4);
 * "*" for what no range names. Accept: likewise by media type, where the most specific range counts. Accept-Encoding: the
 * best coding, "identity" where none is wanted. Any other field: the value itself, without case.
 */
#ifndef HTTP_OFFER_H
#define HTTP_OFFER_H

#include "http/head.h"

#define OFFER_NONE (-1)

/* The index of the chosen value; OFFER_NONE: the field is absent or accepts none of them. Lines that Connection takes away
 * are absent. name: the field's, in any case. */
int offer_choose(
    const struct head *request, struct slice name, const char *const *values, unsigned count);

#endif
