/* server/visit.h - a request that Forebay makes to itself: it walks as any other, and what comes out of it is read by
 * who asked instead of being sent.
 *
 * For warming: what a visit fetches is stored as if a client had asked. It is nobody's request: it waits for no rate limit
 * and takes nothing from one, and stands in no access log and no count of requests. Belongs to its worker's loop.
 */
#ifndef SERVER_VISIT_H
#define SERVER_VISIT_H

#include "server/observe.h"
#include "server/worker.h"

struct visit;

struct visit_request {
	struct slice host, target;    /* copied */
	bool is_tls;		      /* the URL's scheme is https */
	struct slice accept_encoding; /* empty: any form will do */
};

struct visit_end {
	unsigned status; /* 0: there was no answer */
	bool is_whole;
	enum cache_word word;
	enum tier tier;
};

struct visit_handler {
	/* A piece of the answer's body, in order; NULL: nobody reads it. Must not end the visit. */
	void (*on_body)(void *arg, unsigned status, struct slice piece);
	/* Once, never from within visit_begin; the visit is gone. */
	void (*on_end)(void *arg, const struct visit_end *end);
};

/* NULL: the target or host cannot stand in a request. */
struct visit *visit_begin(struct worker *w, const struct visit_request *request,
    const struct visit_handler *h, void *arg);
/* No callback comes any more. Sets *vp to NULL; NULL is allowed. */
void visit_leave(struct visit **vp);

#endif
