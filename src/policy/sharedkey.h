/* policy/sharedkey.h - one key of a shared limit under its shard's lock: what is taken from where, who is served, what comes next.
 *
 * Only sharedkey.c and sharedlimit.c include this: it is the inside of policy/sharedlimit.h. Nothing here asks a clock,
 * sends or wakes: a visit collects what is to be done, and sharedlimit.c does it when the lock has been given back.
 */
#ifndef POLICY_SHAREDKEY_H
#define POLICY_SHAREDKEY_H

#include "policy/limittable.h"
#include "policy/sharedlimit.h"

struct trip;

enum next { NEXT_NOTHING, NEXT_GO, NEXT_REST };

/* One visit of one key: everything between visit_begin() and visit_end() is under the shard's lock. */
struct sharedkey_visit {
	const struct shared_limits *all; /* whose visit it is */
	struct shared_hub *hub;
	struct limiter *l;
	struct limit_shard *s;
	struct limit_entry *e; /* NULL: not remembered */
	struct limit_shared *st;
	struct limit_queue *q;
	struct slice key;
	uint64_t hash;
	int64_t now_ms, wall_ms;
	bool by_share;	    /* Redis is away: decided here */
	uint32_t fresh;	    /* permits that Redis has just given for those in line */
	uint32_t asked_for; /* of the line, from its head: Redis' answer is about them */
	struct link woken;
	/* what is done after it */
	uint32_t back; /* permits to give back, booked at back_ms */
	int64_t back_ms;
	enum next next;
	struct trip
	    *trip; /* who does it: the one whose visit it is, or who rests; NULL: a new one */
	uint64_t serial;
	int64_t rest_until_ms;
	struct limit_wish wish;
};

/* Brings an entry up to v->now_ms; what was leased and not used in time is to be given back. */
void sharedkey_open(struct sharedkey_visit *v, struct limit_entry *e);
/* A request: takes a permit, joins the line, or is refused. */
void sharedkey_decide(
    struct sharedkey_visit *v, const struct limit_ask *ask, struct limit_answer *out);
/* The same where the table has no room for the key. */
void sharedkey_decide_untracked(struct sharedkey_visit *v, struct limit_answer *out);
/* Redis' answer to that wish; NULL: none came. */
void sharedkey_answer(struct sharedkey_visit *v, const struct limit_wish *wish, int64_t sent_ms,
    const struct limit_grant *g);
/* Serves the line from what there is, and plans for the rest. */
void sharedkey_settle(struct sharedkey_visit *v);
/* The permit goes to who is next, or back to Redis. */
void sharedkey_refund(struct sharedkey_visit *v, const struct limit_answer *a);
/* Out of the line. */
void sharedkey_leave(struct sharedkey_visit *v, struct limit_waiter *w, enum limit_end end);
/* These go back to Redis after the visit. */
void sharedkey_give_back(struct sharedkey_visit *v, uint32_t permits, int64_t booked_ms);
/* Nobody will look after the key here: the permits in hand go back. False: somebody stands in line. */
bool sharedkey_abandon(struct sharedkey_visit *v);

#endif
