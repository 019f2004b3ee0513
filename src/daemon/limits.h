/* daemon/limits.h - how many descriptors the process may have, and what that is enough for. */
#ifndef DAEMON_LIMITS_H
#define DAEMON_LIMITS_H

#include <stdint.h>

/* Raises the soft limit on open files to the hard one and says in the log what was reached, as a
 * warning where it is little. Returns what is in force now. */
uint64_t limits_raise_files(void);
/* Clients that this many descriptors can serve at once: a quarter is left for connections to origins, since most clients are idle or
 * answered from the cache, and some are kept for listeners, logs and Redis. At least 1. */
unsigned limits_connections(uint64_t files);

#endif
