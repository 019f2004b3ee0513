/* http/forwarded.h - Forwarded (RFC 7239), as a trusted proxy sends it. Pure. */
#ifndef HTTP_FORWARDED_H
#define HTTP_FORWARDED_H

#include "base/buf.h"
#include "http/head.h"

/* Whether all lines are what RFC 7239 section 4 allows; true also without any. */
bool forwarded_is_valid(const struct head *h);
/* Appends what the field says of the outside but who asked: for each element in order, every parameter but for= and by=,
 * as ";name=value" with the name in lower case, and "," behind each element. Only of a valid field. */
void forwarded_add_outside(const struct head *h, struct buf *out);

#endif
