/* event/tlsfinding.h - what is to be said of the files that TLS reads: each finding of which file, what is wrong, and what was
 * expected, so that who has the configuration at hand can say where it stands.
 */
#ifndef EVENT_TLSFINDING_H
#define EVENT_TLSFINDING_H

#include <stdbool.h>

enum tls_file { TLS_FILE_CERT, TLS_FILE_KEY, TLS_FILE_CLIENT_CA, TLS_FILE_TICKET_KEYS };
enum tls_weight {
	TLS_DANGER, /* it is used all the same */
	TLS_ABSENT, /* it is not there, or not for us to read */
	TLS_BAD,
};

struct tls_finding {
	enum tls_weight weight;
	enum tls_file file;
	int error;	      /* TLS_ABSENT: why, an errno */
	unsigned certificate; /* of the pairs, which; for their two files */
	char text[512];	      /* begins with the file's path */
	char hint[512];	      /* what was expected or what to do; may be empty */
};

/* Who hears of them, of all that there are. */
struct tls_hearer {
	void (*hear)(void *arg, const struct tls_finding *f);
	void *arg;
};

#endif
