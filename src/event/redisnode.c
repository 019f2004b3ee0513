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
		n->memory_bytes = n->memory_limit_bytes = -1;
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

bool
redis_node_wants_memory(struct redis_node *n, int64_t now_ms)
{
	int64_t due_ms = atomic_load_explicit(&n->memory_due_ms, memory_order_relaxed);

	if (now_ms < due_ms)
		return false;
	return atomic_compare_exchange_strong(&n->memory_due_ms, &due_ms,
		   now_ms + (due_ms == 0 ? 1000 : REDIS_NODE_MEMORY_MS)) &&
	    due_ms != 0;
}

static int64_t
find_number(struct slice info, struct slice name)
{
	while (info.n > 0) {
		size_t n = slice_index(info, '\n');
		struct slice line = slice_of(info.p, slice_index(slice_of(info.p, n), '\r'));
		uint64_t number;

		if (slice_starts(line, name))
			return slice_to_u64(slice_skip(line, name.n), &number) &&
				number <= INT64_MAX
			    ? (int64_t)number
			    : -1;
		info = slice_skip(info, n < info.n ? n + 1 : n);
	}
	return -1;
}

void
redis_node_take_memory(struct redis_node *n, struct slice info)
{
	n->memory_bytes = find_number(info, SLICE_LIT("used_memory:"));
	n->memory_limit_bytes = find_number(info, SLICE_LIT("maxmemory:"));
}

const struct redis_node *
redis_node_at(unsigned i)
{
	return i > REDIS_NODES_MAX ? NULL : atomic_load(&nodes[i]);
}
