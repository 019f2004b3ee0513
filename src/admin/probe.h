/* admin/probe.h - can a TCP (or unix) connection be made to that address now, and how long does it take?
 *
 * Resolves the name if it is one, connects, tells, and closes: nothing is sent. Belongs to one loop. Whoever starts it bounds
 * its time and stops it.
 */
#ifndef ADMIN_PROBE_H
#define ADMIN_PROBE_H

#include "event/resolver.h"

#define PROBE_WHY_BYTES 96

struct probe {
	/* the owner's */
	void (*done)(struct probe *p); /* once, perhaps from within probe_start */
	void *arg;
	/* the outcome */
	bool is_over, is_connected;
	int64_t took_us;
	char why[PROBE_WHY_BYTES]; /* it is not connected */
	/* its own */
	struct loop *loop;
	struct resolve *resolve;
	struct stream *stream;
	int64_t started_us;
};

/* It is known without asking. */
void probe_fail(struct probe *p, const char *why);
/* host as event/resolver.h takes it: a name, a literal address, or "unix:/path". */
void probe_start(struct probe *p, struct loop *l, struct resolver *r, const char *host,
    uint16_t port, int64_t timeout_ms);
/* The same where the address is known. */
void probe_start_address(struct probe *p, struct loop *l, const struct address *to);
/* Whatever it was doing ends without a word; why is what it is to say of it. */
void probe_stop(struct probe *p, const char *why);

#endif
