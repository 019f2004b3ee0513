/* policy/sharedlink.h - one worker's way to the Redis that keeps the rate limits shared by instances.
 *
 * The hub is the instance's: how many instances there are, and what the links of all workers have counted. A link belongs to
 * one worker's loop, and lives as long as it; which Redis it goes to may change.
 *
 *   new     just told where to go: connecting. Whoever asks tries again shortly; after NEW_MS it is away
 *   up      asked for each decision that cannot be made here
 *   away    no connection, answers that do not come in time, errors: nothing is asked but probes, until one succeeds
 *
 * That it went away and came back is said in the log once for the instance. Nothing here decides; policy/sharedlimit.h does.
 */
#ifndef POLICY_SHAREDLINK_H
#define POLICY_SHAREDLINK_H

#include <stdatomic.h>

#include "base/list.h"
#include "event/redisnet.h"
#include "policy/limitscript.h"

struct shared_link;

/* clang-format off */
/* How a round trip ended; the label of forebay_ratelimit_redis_requests_total{result}.
 *        name       text */
#define SHARED_RESULTS(X)                                          \
	X(answered, "in time")                                     \
	X(timeout,  "not within limits.rate_timeout")              \
	X(lost,     "the connection was lost meanwhile")           \
	X(error,    "Redis said no, or what makes no sense")       \
	X(busy,     "not sent: too much was waiting")
/* clang-format on */
#define SHARED_RESULT_ENUM(name, text) SHARED_##name,
enum shared_result { SHARED_RESULTS(SHARED_RESULT_ENUM) SHARED_RESULTS_COUNT };

/* Any thread reads it. */
struct shared_hub {
	_Atomic unsigned instances; /* that apply the same limits, this one included */
	_Atomic unsigned links, up, away;
	_Atomic uint64_t results[SHARED_RESULTS_COUNT];
	_Atomic uint64_t serial; /* of policy/sharedlimit.c */
	char id[33];		 /* of this instance */
};
void shared_hub_init(struct shared_hub *h);

struct shared_conf {
	const char *url, *prefix;
	int64_t timeout_ms;
	unsigned instances; /* 0: they are counted */
};

/* beats: this one tells that the instance lives, and counts the others. hub and resolver outlive it. */
struct shared_link *shared_link_new(
    struct loop *l, struct resolver *resolver, struct shared_hub *hub, bool beats);
void shared_link_free(struct shared_link **kp);
/* Goes there from now on; what is under way ends without an answer. NULL: nowhere. -1, *why_out, when the URL is none. */
int shared_link_use(struct shared_link *k, const struct shared_conf *conf, const char **why_out);
bool shared_link_is_up(const struct shared_link *k);
bool shared_link_is_new(const struct shared_link *k);
struct loop *shared_link_loop(const struct shared_link *k);
struct shared_hub *shared_link_hub(const struct shared_link *k);

/* A question under way; stands in the memory of whoever asks until done is called. */
struct shared_call {
	struct window_rule rule; /* the caller's: the question */
	struct limit_wish wish;
	void (*done)(struct shared_call *c, const struct limit_grant *g); /* g NULL: no answer */

	struct link link; /* the link's */
	struct shared_link *to;
	size_t name_len;
	char name[LIMIT_SCRIPT_KEY_BYTES];
	bool is_whole;
	int64_t due_ms;
};

/* Asks about the key of the limit of that name. False: it could not be sent, and done will not be called. done is not called
 * from within. */
bool shared_link_send(
    struct shared_link *k, struct shared_call *c, const char *limit, struct slice key);

#endif
