/* http/incremental.h - Incremental (RFC 10036): a message that is to be passed on as it comes. Pure. */
#ifndef HTTP_INCREMENTAL_H
#define HTTP_INCREMENTAL_H

#include "http/head.h"

/* Whether the message says "?1", once; what is malformed says nothing. */
bool message_is_incremental(const struct head *h);

#endif
