/* upstream/names.h - servers configured by name: as many as the name has addresses, looked up again when
 * an answer's life (its TTL) is over.
 *
 * The story: a request that comes to a name whose answer has run out starts a question in the background and goes
 * where the last answer says. Only where no address is known at all a request waits (upstream/attempt.h). An
 * answer is taken under the upstream's lock, whoever asked: an address that is new gets an empty place, one that is
 * missing from it leaves (no more requests, idle connections closed, what is on its way goes on), and its place is
 * empty when nothing of it is left. Where an answer has no address of a kind (IPv4, IPv6) that there was, that kind is asked for once
 * more by itself: only who knows that there is none takes those away. When nobody answers, or says there is no such name, the last good answer stays,
 * and the question is asked again after NAMES_RETRY_MS. Questions belong to a worker's pool.
 */
#ifndef UPSTREAM_NAMES_H
#define UPSTREAM_NAMES_H

#include "upstream/balance.h"
#include "upstream/pool.h"

struct lookup;
struct resolver;
struct resolved;

#define NAMES_RETRY_MS 5000
#define NAMES_FIRST_RETRY_MS 1000 /* while no address is known at all */
#define NAMES_ANSWER_MS 5000	  /* for an answer in the background: nobody waits for it */

/* Asks for the names whose answers have run out, those that nobody asks for yet. */
void names_refresh(struct pool *p, struct resolver *r, struct upstream *u);
/* One question for all that is behind an entry that is no literal, by its name or its SRV records (event/lookup.h). */
struct lookup *names_ask(struct resolver *r, const struct server_entry *e, int64_t timeout_ms,
    void (*done)(void *arg, const struct resolved *answer), void *arg);
/* Makes the answer hold. The places it has emptied (leaving) are told in *leaving_out. */
void names_take(struct upstream *u, struct server_entry *e, const struct resolved *answer,
    int64_t now_ms, struct server_set *leaving_out);
/* The same, and closes this worker's idle connections to what leaves; other workers are told to. */
void names_take_and_close(
    struct pool *p, struct upstream *u, struct server_entry *e, const struct resolved *answer);
/* Servers that have left, and of which nothing is left, are gone: their places are empty. */
void names_sweep(struct upstream *u);
/* Questions for this upstream are forgotten. */
void names_forget(struct pool *p, struct upstream *u);

#endif
