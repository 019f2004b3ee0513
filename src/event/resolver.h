/* event/resolver.h - names to addresses, without ever blocking the loop (c-ares).
 *
 * One per loop. /etc/hosts goes before DNS; servers and search list come from /etc/resolv.conf,
 * which is read again when it has changed, or servers from the configuration (resolver_use). Questions under way when either
 * changes are asked anew, of the new ones. Nothing is kept here: an answer says how long it holds,
 * and whoever asked keeps it, also beyond that when the next question fails.
 */
#ifndef EVENT_RESOLVER_H
#define EVENT_RESOLVER_H

#include "event/stream.h"

#define RESOLVED_MAX 8		/* addresses in one answer; what is beyond is left out */
#define RESOLVER_TTL_MAX_S 3600 /* no answer holds longer */
#define RESOLVES_MAX 1024	/* questions under way */

struct resolver;
struct resolve; /* one question under way */

struct srv_record;

/* What belongs to an address that an SRV record led to (event/lookup.h). */
struct srv_share {
	unsigned priority; /* the lowest goes first */
	double weight;	   /* 1 is usual */
};

struct resolved {
	unsigned count;			 /* 0: error says why */
	const struct address *addresses; /* with the port asked for, the best first (RFC 6724); good
					    during the callback */
	uint32_t ttl_s;			 /* 1 to RESOLVER_TTL_MAX_S */
	const char *error;		 /* for the log; NULL when there is an address */
	bool is_unknown;		 /* the name does not exist, or has no address: said by one
					    who knows. Else: nobody answered */
	/* Of an SRV question instead of addresses (event/srvanswer.h): */
	unsigned records_count;
	const struct srv_record *records;
	/* For whoever puts answers together; no answer of this resolver has them: */
	const struct srv_share *shares; /* one for each address; NULL: none */
	sa_family_t ill_family;		/* of this nobody answered, the rest is whole; 0: all is */
	bool is_partial;		/* of something else nobody answered */
};

/* Which name servers are asked from now on by each resolver that was made for NULL: a list (event/nameserver.h), or
 * NULL for those of the system. Any thread. */
void resolver_use(const char *servers);
/* servers: NULL for those of resolver_use(), or "192.0.2.1:53,192.0.2.2". NULL when c-ares cannot
 * start (memory, descriptors) or servers is no such list. */
struct resolver *resolver_new(struct loop *l, const char *servers);
/* Questions under way are forgotten without a callback; their handles are dead. Allowed in a
 * callback. */
void resolver_free(struct resolver **rp);

/* Asks for the addresses of host: a name or a literal address. Exactly one callback comes, never
 * from within this call, at the latest after timeout_ms. NULL: RESOLVES_MAX are under way. The
 * handle is dead when the callback comes. */
struct resolve *resolver_start(struct resolver *r, const char *host, uint16_t port,
    int64_t timeout_ms, void (*done)(void *arg, const struct resolved *answer), void *arg);
/* The same for addresses of one family alone: AF_INET, AF_INET6; AF_UNSPEC is as resolver_start(), which may bring those of one
 * family though nobody answered about the other. */
struct resolve *resolver_start_family(struct resolver *r, const char *host, uint16_t port,
    sa_family_t family, int64_t timeout_ms, void (*done)(void *arg, const struct resolved *answer),
    void *arg);
/* Asks for the SRV records of a service; no search list goes with it. */
struct resolve *resolver_start_srv(struct resolver *r, const char *service, int64_t timeout_ms,
    void (*done)(void *arg, const struct resolved *answer), void *arg);
struct loop *resolver_loop(const struct resolver *r);
/* No callback will come. Sets *qp to NULL; NULL is allowed. */
void resolver_cancel(struct resolve **qp);

#endif
