/* event/nameserver.h - lists of name servers, as c-ares takes them: "192.0.2.1:53,[2001:db8::1]:5353". */
#ifndef EVENT_NAMESERVER_H
#define EVENT_NAMESERVER_H

#include "base/buf.h"

/* Adds one: "192.0.2.1", "192.0.2.1:5353", "2001:db8::1", "[2001:db8::1]:5353". False: it is no address, and nothing was added. */
bool nameserver_add(struct buf *list, const char *text);

#endif
