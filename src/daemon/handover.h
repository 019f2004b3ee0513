/* daemon/handover.h - the memory cache, from a process that stops in good order to the one after it.
 *
 * At the end, when all is answered, what the store lists is written down as a snapshot (cache/snapshot.h) and freed as it is written. The
 * snapshot lies in memory and goes to the service manager, which gives its descriptor to the next process; where there is
 * none, or cache.persist says so, it is a file in the state directory. It is used once: whoever starts takes it away first, so
 * that what a crash leaves behind is nothing.
 *
 * At the start a thread of its own looks at all of it, and then lists what is still good, while requests are answered; what
 * they ask for and is not listed yet is a miss. Where instances share a purge log, it waits until this one has read all of that
 * log, and lists what no purge since then is about; if that does not come to pass within a minute, nothing is.
 */
#ifndef DAEMON_HANDOVER_H
#define DAEMON_HANDOVER_H

#include <stdbool.h>

#include "daemon/notify.h"
#include "server/worker.h"

struct handover;

/* Takes what the process before has left, and begins to restore it; with is_wanted false it only takes it away. NULL: there is
 * nothing. state_dir: NULL, or this process' alone. */
struct handover *handover_begin(
    struct commons *c, struct notify *n, const char *state_dir, bool is_wanted);
/* Ends the restoring, be it done or not. NULL is allowed. Sets *hp to NULL. */
void handover_end(struct handover **hp);

/* Leaves what the store holds to the next process; the store is empty afterwards. in_file: in the state directory even where
 * there is a service manager. No worker runs any more. */
void handover_save(struct commons *c, struct notify *n, const char *state_dir, bool in_file);

#endif
