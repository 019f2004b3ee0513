/* event/redisnode.h - what the whole process has seen of each Redis server it talks to: connections,
 * commands and how long they took, and what memory it says to use, for metrics. Any thread.
 */
#ifndef EVENT_REDISNODE_H
#define EVENT_REDISNODE_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include "base/slice.h"

#define REDIS_NODES_MAX 256 /* what is beyond is counted together, as "other" */
#define REDIS_NODE_MEMORY_MS 15000

/* clang-format off */
/*        result      text */
#define REDIS_NODE_RESULTS(X)                                                   \
	X(answered,   "in time")                                                \
	X(error,      "refused")                                                \
	X(redirected, "told to go elsewhere (MOVED, ASK)")                      \
	X(timeout,    "not in time")                                            \
	X(lost,       "the connection was lost")
/* Upper bounds of the buckets, in microseconds, and as Prometheus' le. */
#define REDIS_NODE_BUCKETS(X)                                                   \
	X(250, "0.00025") X(500, "0.0005") X(1000, "0.001") X(2500, "0.0025")   \
	X(5000, "0.005") X(10000, "0.01") X(25000, "0.025") X(50000, "0.05")    \
	X(100000, "0.1") X(1000000, "1")
/* clang-format on */

enum redis_node_result {
#define X(result, text) REDIS_NODE_##result,
	REDIS_NODE_RESULTS(X)
#undef X
	    REDIS_NODE_RESULTS_COUNT
};
extern const char *const redis_node_result_names[REDIS_NODE_RESULTS_COUNT];

enum {
#define X(us, le) REDIS_NODE_BUCKET_##us,
	REDIS_NODE_BUCKETS(X)
#undef X
	    REDIS_NODE_BUCKETS_COUNT
};
extern const char *const redis_node_bucket_names[REDIS_NODE_BUCKETS_COUNT];

struct redis_node {
	char name[96];		    /* "host:port" */
	_Atomic int64_t wanted, up; /* connections that should be there, and that are */
	_Atomic uint64_t commands[REDIS_NODE_RESULTS_COUNT];
	_Atomic uint64_t buckets[REDIS_NODE_BUCKETS_COUNT + 1]; /* the last: above all bounds */
	_Atomic uint64_t took_us;				/* all of them together */
	_Atomic int64_t memory_bytes, memory_limit_bytes;	/* -1: not known; limit 0: none */
	_Atomic int64_t memory_due_ms; /* when it is asked again; 0: not yet */
};

/* Lives for ever. */
struct redis_node *redis_node_of(const char *name);
void redis_node_count(struct redis_node *n, enum redis_node_result result, int64_t took_us);
/* Whether the caller is the one to ask it now, of all threads: every REDIS_NODE_MEMORY_MS, first a second after the first call. */
bool redis_node_wants_memory(struct redis_node *n, int64_t now_ms);
/* Takes the answer to INFO memory. */
void redis_node_take_memory(struct redis_node *n, struct slice info);
/* The i-th that was ever asked for; NULL: there are no more. */
const struct redis_node *redis_node_at(unsigned i);

#endif
