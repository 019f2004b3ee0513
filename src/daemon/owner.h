/* daemon/owner.h - who has a socket: for messages that say more than "Address already in use".
 *
 * Reads /proc: slow, for errors only. What another user's processes have open may not be looked
 * into; then only the user is known.
 */
#ifndef DAEMON_OWNER_H
#define DAEMON_OWNER_H

#include <stdbool.h>
#include <sys/types.h>

#include "event/stream.h"

struct owner {
	pid_t pid;     /* 0: not known */
	uid_t uid;     /* (uid_t)-1: not known either */
	char name[32]; /* of the process, "" if not known */
};

/* The process that listens on a's port, at a's address or at one that includes it (TCP). False when
 * nobody does. */
bool owner_of_port(const struct address *a, struct owner *out);
/* The process at the other end of a connected unix socket. */
bool owner_of_peer(int fd, struct owner *out);
/* "pid 812, nginx", or as much of it as is known. Returns text. */
char *owner_text(const struct owner *o, char *text, size_t size);

#endif
