/* event/tlstickets.h - the keys that session tickets are sealed with: shared by all workers, kept when certificates change,
 * and by instances when they come from a file.
 *
 * Keys of our own are made anew each hour; the two before still open what they sealed, for as long as a ticket is good (two
 * hours). They are this process's alone and go with it.
 *
 * A file has one key a line: 80 bytes in base64 (`openssl rand 80 | openssl base64 -A`), of which 16 name it, 32 sign and
 * 32 encrypt. The first seals, all open. Empty lines and those that begin with # mean nothing. Keys that a new file no longer
 * has open for two hours more. A file that has changed is read by tls_tickets_tick(); one that is then bad changes nothing.
 *
 * Getting, giving back and ticking is for one thread; sealing and opening for any, under a lock of the keys' own.
 */
#ifndef EVENT_TLSTICKETS_H
#define EVENT_TLSTICKETS_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define TLS_TICKET_GOOD_S 7200 /* from when a session began */
#define TLS_TICKET_KEYS_MAX 16

struct tls_ticket_key {
	unsigned char name[16], sign[32], encrypt[32];
	int64_t until_ms; /* monotonic; INT64_MAX: no end is known yet */
};

struct tls_tickets;

/* The keys of that file; path NULL: those of our own making. One path, one object. A reference is given. NULL, and problem
 * says which line is wrong and what was expected. */
struct tls_tickets *tls_tickets_get(
    const char *path, int64_t now_ms, char *problem, size_t problem_cap);
struct tls_tickets *tls_tickets_ref(struct tls_tickets *t);
/* Any thread. The last one wipes the keys. */
void tls_tickets_unref(struct tls_tickets **tp);
/* Makes keys anew that are due, and reads files that have changed; wants to be called each second. */
void tls_tickets_tick(int64_t now_ms);

/* The key to seal with, a copy: wipe it. */
void tls_tickets_newest(struct tls_tickets *t, struct tls_ticket_key *out);
enum tls_ticket_found { TLS_TICKET_UNKNOWN, TLS_TICKET_OLD, TLS_TICKET_NEWEST };
/* The key of that name, likewise. */
enum tls_ticket_found tls_tickets_find(
    struct tls_tickets *t, const unsigned char name[16], struct tls_ticket_key *out);

struct tls_ticket_counts {
	_Atomic uint64_t rotations,
	    failures; /* key sets that replaced others; files that could not be used */
};
const struct tls_ticket_counts *tls_tickets_counts(void);

#endif
