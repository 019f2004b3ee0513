/* daemon/sockets.h - the listening sockets: opened by the main thread, kept across reloads, closed at the very end.
 *
 * Closing a listening socket resets what waits in its queue, so an address that a new configuration still names keeps its
 * sockets. TCP addresses have one socket for each worker (SO_REUSEPORT), unix sockets one for all.
 */
#ifndef DAEMON_SOCKETS_H
#define DAEMON_SOCKETS_H

#include "base/buf.h"
#include "event/stream.h"

struct sockets;
struct tls_offer;

/* One address. */
struct socket_set {
	char *name; /* as configured */
	struct address address;
	bool is_admin;
	bool has_h2;		      /* HTTP/2 is spoken, too */
	struct tls_offer *tls;	      /* own; NULL: plain */
	struct tls_offer *tls_before; /* what the workers have, until the round has succeeded */
	unsigned count;
	int *fds;
	bool wanted;	/* by the newest configuration */
	bool fresh;	/* the workers have not opened it yet */
	bool is_opened; /* again, in this round: tls is new */
};

struct sockets *sockets_new(unsigned workers);
/* Closes all and removes the files of unix sockets. */
void sockets_free(struct sockets **sp);
/* The set for the address, opened if it is new. NULL, and why one line. tls is taken over in any case, *tlsp is NULL then. */
struct socket_set *sockets_open(
    struct sockets *s, const char *name, bool is_admin, struct tls_offer **tlsp, struct buf *why);
/* Begins a new round: what is not opened again is not wanted any more. */
void sockets_begin(struct sockets *s);
/* Goes back to what the round before wanted, closing what was fresh; tells of its certificates. */
void sockets_undo(struct sockets *s);
unsigned sockets_count(const struct sockets *s);
struct socket_set *sockets_at(struct sockets *s, unsigned i);
/* Closes the sets that are not wanted; the workers have closed their listeners on them. */
void sockets_sweep(struct sockets *s);
/* Closes all but the admin's: who comes now is refused at once instead of waiting in a queue for nobody. */
void sockets_close_doors(struct sockets *s);
/* Tells those who watch which certificates are in use (tls_expiries_each): before the workers use them, so that nobody who is
 * served is told of others. */
void sockets_tell_certificates(const struct sockets *s);
/* Looks at the files of all certificates; true: some have been read anew, for the workers to be told. */
bool sockets_look_at_certificates(struct sockets *s);
/* The workers use what was read anew: now it is counted and told. */
void sockets_tell_renewed(struct sockets *s);
/* The socket of the set for that worker. */
int socket_for(const struct socket_set *set, unsigned worker);

#endif
