/* server/purge.h - what a write makes invalid: what its route declares, and what RFC 9111 section 4.4 says of any unsafe
 * method.
 *
 * The story of a declared purge: its texts are expanded before the request goes upstream (the intent); when the response
 * is a success, or its outcome is in doubt (time-out, reset, 5xx, the client gone), they are entered in the purge log before
 * the writer hears of it; only a 4xx, or a request that never left, drops them. So nobody who asks after the writer has his
 * answer gets what was fetched before the write.
 */
#ifndef SERVER_PURGE_H
#define SERVER_PURGE_H

#include "base/buf.h"
#include "cache/purgelog.h"
#include "http/head.h"

struct exchange;
struct worker;

/* The purges of one request; {0} holds none. Owned by the fill. */
struct purge_set {
	unsigned count, cap;
	struct purge *items; /* their texts lie in texts, by offset until they are carried out */
	struct buf texts;
	bool soft;
	bool is_unsafe;		/* the target itself goes too, on success (RFC 9111 section 4.4) */
	size_t url_at, url_len; /* the target's key, in texts */
	size_t origin_at,
	    origin_len; /* scheme and host of it: Location elsewhere is not believed */
};

/* Takes one purge in: from the return on it holds here, and Redis is told of it. */
void purge_take(struct worker *w, const struct purge *p);
/* Expands what the exchange's route declares. */
void purge_set_expand(struct purge_set *set, const struct exchange *x);
/* Enters all of it in the log, once. */
void purge_set_carry_out(struct purge_set *set, struct worker *w);
/* The response's head is there and has not been passed on: carries out, or drops. */
void purge_after_response(struct purge_set *set, struct worker *w, const struct head *response);
void purge_set_fini(struct purge_set *set);

#endif
