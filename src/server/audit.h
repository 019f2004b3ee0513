/* server/audit.h - who controlled what: a JSON line for each order, in the file of log.audit or, without one, in the log.
 *
 *	{"time", "action", "by" (address), "via" (api, method, route, origin, signal), "user" (as the command line says), ...}
 *
 * A line is one write, in the order in which they were given, by a thread of its own: whoever orders does not wait for a disk.
 * What the file does not take, and what comes while more than AUDIT_WAITING_MOST bytes wait for it, stands in the log
 * instead. Any thread, but for audit_set_path and audit_stop.
 */
#ifndef SERVER_AUDIT_H
#define SERVER_AUDIT_H

#include <jansson.h>

#include "base/slice.h"
#include "server/exchange.h"

#define AUDIT_WAITING_MOST ((size_t)4 << 20)

/* From now on into that file; NULL: into the log. 0, or -1 (errno) and nothing has changed. */
int audit_set_path(const char *path);
/* All that waits is written, or told in the log; afterwards lines go into the log. */
void audit_stop(void);
/* Opens the file again under its name. 0, or -1 (errno) and the old one stays. */
int audit_reopen(void);
/* Whether there is a file: then what routes do is told as well. */
bool audit_has_file(void);

/* The beginning of a line; x may be NULL. The caller adds to it, and ends it with audit_write. */
json_t *audit_entry(const char *action, const char *via, struct exchange *x);
/* Writes and drops it; *ep is NULL afterwards. */
void audit_write(json_t **ep);
/* Both at once. */
void audit_order(const char *action, const char *via, struct exchange *x);

/* A JSON text of bytes that may be anything: what is no UTF-8, or a control character, is replaced. */
json_t *json_of_bytes(struct slice s);

#endif
