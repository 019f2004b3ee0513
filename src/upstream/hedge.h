/* upstream/hedge.h - a request that one server is slow to answer is asked of another one as well; who answers first wins.
 *
 * The story of a hedge: it starts a fetch like any other, and a timer. Has no head come when that fires, a second fetch
 * goes to a server that was not asked, if one is fit and the upstream's budget has one left. While both are under way
 * neither tries elsewhere. The first final head decides: the other fetch is dropped, and what its server is known for
 * includes that it took at least that long. Fails one, the other asks alone, as any fetch. The owner's callbacks are
 * those of one fetch, and its pointer is the fetch that counts.
 *
 * Embedded in the owner; one worker. Embeds no reference: plan.head and the rest are the owner's, good until the end.
 */
#ifndef UPSTREAM_HEDGE_H
#define UPSTREAM_HEDGE_H

#include "upstream/fetch.h"

struct hedge;
struct hedge_try {
	struct hedge *hedge;
	bool is_second;
};

/* clang-format off */
#define HEDGE_OUTCOMES(X)                                       \
	X(none, "",     "no second server was asked")           \
	X(lost, "lost", "one was, and the first answered")      \
	X(won,  "won",  "one was, and answered first")
/* clang-format on */
enum hedge_outcome {
#define X(name, word, text) HEDGE_##name,
	HEDGE_OUTCOMES(X)
#undef X
};
const char *hedge_outcome_word(enum hedge_outcome o);

struct hedge {
	struct pool *pool;
	struct resolver *resolver;
	struct fetch_plan plan;
	const struct fetch_handler *handler;
	void *arg;
	struct fetch **at;    /* the owner's: the first fetch, or who is left, or who won */
	struct fetch *second; /* while two ask */
	struct hedge_try tries[2];
	struct timer due;
	enum hedge_outcome outcome;
	unsigned dropped_tries; /* of the fetch that does not count (fetch_tries) */
};

/* Whether the upstream hedges, and a request like this may be asked twice. */
bool hedge_may(const struct fetch_plan *plan);
/* As fetch_start; the fetch is *at, which stays the owner's to abort, after hedge_end. */
void hedge_start(struct hedge *h, struct pool *p, struct resolver *resolver,
    const struct fetch_plan *plan, const struct fetch_handler *handler, void *arg,
    struct fetch **at);
/* No second fetch any more: before *at is aborted from outside. Fine for one that was never started ({0}). */
void hedge_end(struct hedge *h);

#endif
