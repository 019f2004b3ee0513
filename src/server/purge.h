/* server/purge.h - what a write makes invalid: what its route declares, and what RFC 9111 section 4.4 says of any unsafe
 * method.
 *
 * The story of a declared purge: its texts are expanded before the request goes upstream (the intent); when the response
 * is a success, or its outcome is in doubt (time-out, reset, 5xx, the client gone), they are entered in the purge log before
 * the writer hears of it; only a 4xx, or a request that never left, drops them. His answer waits until the log that
 * instances share has them, or the journal (strict coherence: until every instance has confirmed them). So nobody who asks
 * after the writer has his answer gets what was fetched before the write.
 */
#ifndef SERVER_PURGE_H
#define SERVER_PURGE_H

#include "base/buf.h"
#include "cache/clerk.h"
#include "http/head.h"
#include "server/audit.h"

struct exchange;
struct worker;

/* The purges of one request; {0} holds none. Owned by the fill. */
struct purge_set {
	unsigned count, cap;
	struct purge *items; /* their texts lie in texts, by offset until they are carried out */
	struct buf texts;
	json_t *audit;		     /* begun where there is a file for it; else NULL */
	struct clerk_intent *intent; /* of what was declared, while the request is under way */
	bool soft;
	unsigned taken;		/* so far: entered in the log */
	bool is_unsafe;		/* the target itself goes too, on success (RFC 9111 section 4.4) */
	size_t url_at, url_len; /* the target's key, in texts */
	size_t site_at;		/* scheme "://", with origin behind it */
	size_t origin_at,
	    origin_len; /* scheme and host of it: Location elsewhere is not believed */
};

/* What somebody waits with for his purges; embedded by him, {0} but for done. */
struct purge_ticket {
	void (*done)(struct purge_ticket *t);
	enum purge_level level;	     /* reached, when done is called (cache/clerk.h) */
	struct purge_notice *notice; /* purge.c's; NULL: none is under way */
};

/* Takes the purges in, in that order: from the return on they hold here, and the other instances are told. With a ticket
 * done is called once, on w's loop, never from within this call: when the purges are in the shared log, or, where
 * everywhere is asked for, confirmed by every instance; at the latest after some seconds, with the level that was
 * reached. ticket NULL: nobody waits. */
void purge_order(struct worker *w, const struct purge *items, size_t count, bool wait_everywhere,
    struct purge_ticket *ticket);
/* done will not be called; the purges go their way. w's thread. Nothing, when none is under way. */
void purge_forget(struct purge_ticket *t);
/* Expands what the exchange's route declares, and notes it as an intent: the request is about to go upstream. */
void purge_set_expand(struct purge_set *set, const struct exchange *x);
/* Takes what was declared in, once. ticket: of who is not to be answered before; NULL: nobody waits. */
void purge_set_carry_out(struct purge_set *set, struct worker *w, struct purge_ticket *ticket);
/* The response's head is there and has not been passed on: carries out, or drops. x, the writer's, waits with its ticket for
 * what was declared or named in groups (strict coherence: for all); NULL: he has left. */
void purge_after_response(
    struct purge_set *set, struct worker *w, const struct head *response, struct exchange *x);
/* What was not carried out is dropped. */
void purge_set_drop(struct purge_set *set, struct worker *w);
/* Whether a reference in the response to a write (its Content-Location) names the URL that was asked. */
bool purge_set_is_about(const struct purge_set *set, struct slice reference);
void purge_set_fini(struct purge_set *set);

#endif
