/* daemon/notify.h - tells the service manager how we are: the datagrams of sd_notify(3), without
 * libsystemd.
 *
 * notify_new takes NOTIFY_SOCKET, WATCHDOG_USEC and WATCHDOG_PID out of the environment, so that no
 * child speaks in our name. Where nobody asked there is no notify: every function here takes NULL
 * and does nothing. One thread at a time. A message that cannot be delivered is lost: the service
 * manager then acts on its own time-outs, which is what they are for.
 */
#ifndef DAEMON_NOTIFY_H
#define DAEMON_NOTIFY_H

#include <stdint.h>

struct notify;

/* NULL when the environment names no socket, or one that cannot be used (said in the log). */
struct notify *notify_new(void);
void notify_free(struct notify **np);

/* Serving, at first or again after notify_reloading. */
void notify_ready(struct notify *n);
/* The configuration is being read; the next notify_ready ends it, whether the new one was taken or
 * not. */
void notify_reloading(struct notify *n);
void notify_stopping(struct notify *n);
/* The stop goes on for at most so much longer, whatever TimeoutStopSec says; to be called again before that is over. */
void notify_stop_goes_on(struct notify *n, int64_t ms);
/* One line for `systemctl status`. */
void notify_status(struct notify *n, const char *fmt, ...) __attribute__((format(printf, 2, 3)));

/* Still alive. To be called every notify_watchdog_ms: half the time after which we would be killed;
 * 0: nobody watches. */
void notify_watchdog(struct notify *n);
int64_t notify_watchdog_ms(const struct notify *n);

/* Leaves a copy of the descriptor with the service manager, which hands it to the process after us
 * under this name (letters, digits, and what is not ':' or a control character). 0, or -1 (errno).
 */
int notify_store_fd(struct notify *n, const char *name, int fd);
/* Waits until the service manager has read all that was told so far: it may not look at what a process
 * has said that has ended. 0, or -1 (errno; ETIMEDOUT after ms). */
int notify_barrier(struct notify *n, int64_t ms);
/* The descriptor that the process before us left under this name; the caller's. -1: none. Takes LISTEN_FDS and its kin out of
 * the environment and closes what else they name: to be called once, with or without a struct notify. */
int notify_handed_fd(const char *name);
/* Takes back all that was stored under the name. */
void notify_drop_fd(struct notify *n, const char *name);

#endif
