/* event/lookup.h - where a service is: the addresses of a name (event/resolver.h), or those that its SRV records lead to.
 *
 * An SRV record names a target, a port, a priority and a weight (RFC 2782); the targets are resolved side by side. What
 * comes back is one list of addresses with their ports, each with its share: of records of one priority the weights
 * count relative to their mean, so that 1 is usual, divided among the addresses of a target; weight 0 beside others is a hundredth.
 */
#ifndef EVENT_LOOKUP_H
#define EVENT_LOOKUP_H

#include "event/resolver.h"
#include "event/srvanswer.h"

#define LOOKUP_MAX 32 /* addresses in one answer; what is beyond is left out */

struct lookup;

struct lookup_what {
	const char *host; /* with port: a name, or a literal address */
	uint16_t port;
	const char *service; /* "_http._tcp.example.com": by SRV instead; NULL: not */
};

/* As resolver_start(). The answer to a service has shares, and is_partial where nobody answered about a target. */
struct lookup *lookup_start(struct resolver *r, const struct lookup_what *what, int64_t timeout_ms,
    void (*done)(void *arg, const struct resolved *answer), void *arg);
/* No callback will come. Sets *lp to NULL; NULL is allowed. */
void lookup_cancel(struct lookup **lp);

#endif
