/* daemon/instance.h - takes what only one Forebay may have: its state directory and its addresses.
 *
 * With SO_REUSEPORT the kernel would let a second instance of the same user share a port silently,
 * and half of the connections would go astray. So the first socket of an address listens before it
 * is given that option: that succeeds only when nobody else listens there, whoever comes at the
 * same moment. Then its siblings, one per worker, may join it.
 *
 * Failures are told in words, with what to do: why gets one line without its newline. Main thread.
 */
#ifndef DAEMON_INSTANCE_H
#define DAEMON_INSTANCE_H

#include <stdbool.h>
#include <sys/types.h>

#include "base/buf.h"
#include "event/stream.h"

struct instance_lock;

/* Holds directory/forebay.lock until instance_unlock, or until the process ends, however it does.
 * 0, or -1: why tells who has it, or why it cannot be had. */
int instance_lock(const char *directory, struct instance_lock **out, struct buf *why);
void instance_unlock(struct instance_lock **lp);

struct listen_how {
	unsigned count;	  /* sockets that share the address; a unix socket has 1 */
	int backlog;	  /* the kernel bounds it by net.core.somaxconn */
	bool is_v6_only;  /* an IPv6 address takes no IPv4 connections */
	mode_t unix_mode; /* permissions of a unix socket, e.g. 0660 */
};

/* Listens on a with how->count sockets, non-blocking and closed on exec; name is a as it was
 * configured. A unix socket that a dead process left behind is replaced; one that answers is not,
 * nor is a file of another kind. 0, or -1: why tells, and no socket is left open. */
int instance_listen(const char *name, const struct address *a, const struct listen_how *how,
    int *fds_out, struct buf *why);
/* One more socket (TCP) beside those that listen already: for workers added by a reload. The
 * descriptor, or -1. */
int instance_listen_beside(
    const char *name, const struct address *a, const struct listen_how *how, struct buf *why);
/* Removes the file of a unix socket that we listened on; others have no file. */
void instance_forget(const struct address *a);

#endif
