#include "event/redisnode.h"

#include <pthread.h>
#include <stdio.h>
#include <string.h>

#include "base/mem.h"

const char *const redis_node_result_names[REDIS_NODE_RESULTS_COUNT] = {
#define X(result, text) #result,
    REDIS_NODE_RESULTS(X)
#undef X
};
const char *const redis_node_bucket_names[REDIS_NODE_BUCKETS_COUNT] = {
#define X(us, le) le,
    REDIS_NODE_BUCKETS(X)
#undef X
};
static const int64_t bounds_us[REDIS_NODE_BUCKETS_COUNT] = {
#define X(us, le) us,
    REDIS_NODE_BUCKETS(X)
#undef X
};

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
/* Filled from the front; who reads takes no lock. */
static struct redis_node *_Atomic nodes[REDIS_NODES_MAX + 1];

struct redis_node *
redis_node_of(const char *name)
{
	struct redis_node *n;
	unsigned i = 0;

	pthread_mutex_lock(&lock);
	while ((n = atomic_load(&nodes[i])) != NULL && strcmp(n->name, name) != 0 &&
	    i < REDIS_NODES_MAX)
		i++;
	if (n == NULL) {
		n = must_calloc(1, sizeof(*n));
		snprintf(n->name, sizeof(n->name), "%s", i < REDIS_NODES_MAX ? name : "other");
		atomic_store(&nodes[i], n);
	}
	pthread_mutex_unlock(&lock);
	return n;
}

static void
add(_Atomic uint64_t *to, uint64_t n)
{
	atomic_fetch_add_explicit(to, n, memory_order_relaxed);
}

void
redis_node_count(struct redis_node *n, enum redis_node_result result, int64_t took_us)
{
	unsigned i = 0;

	add(&n->commands[result], 1);
	if (result == REDIS_NODE_timeout || result == REDIS_NODE_lost)
		return;
	while (i < REDIS_NODE_BUCKETS_COUNT && took_us > bounds_us[i])
		i++;
	add(&n->buckets[i], 1);
	add(&n->took_us, (uint64_t)took_us);
}

const struct redis_node *
redis_node_at(unsigned i)
{
	return i > REDIS_NODES_MAX ? NULL : atomic_load(&nodes[i]);
}
