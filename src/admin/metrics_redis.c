/* What is told of Redis: how its links are, and what each node was asked. */
#include "admin/metrics_priv.h"
#include "event/redisnode.h"

void
collect_redis_up(struct page *p)
{
	if (p->redis->links > 0)
		page_show(p, (double)p->redis->up / p->redis->links);
}

void
collect_redis(struct page *p)
{
	for (unsigned op = 0; op < L2_OPS_COUNT; op++)
		for (unsigned r = 0; r < L2_RESULTS_COUNT; r++) {
			uint64_t n = p->redis->requests[op][r];

			if (n == 0)
				continue;
			metric_label(&p->labels, "op", slice_from(l2_op_names[op]));
			metric_label(&p->labels, "result", slice_from(l2_result_names[r]));
			page_show(p, (double)n);
		}
}

void
collect_redis_node(struct page *p)
{
	const struct redis_node *n;

	for (unsigned i = 0; (n = redis_node_at(i)) != NULL; i++) {
		const _Atomic int64_t *at = (const void *)((const char *)n + p->row->at);
		int64_t value = atomic_load_explicit(at, memory_order_relaxed);

		if (value < 0)
			continue;
		metric_label(&p->labels, "node", slice_from(n->name));
		page_show(p, (double)value);
	}
}

void
collect_redis_commands(struct page *p)
{
	const struct redis_node *n;

	for (unsigned i = 0; (n = redis_node_at(i)) != NULL; i++)
		for (unsigned r = 0; r < REDIS_NODE_RESULTS_COUNT; r++) {
			metric_label(&p->labels, "node", slice_from(n->name));
			metric_label(&p->labels, "result", slice_from(redis_node_result_names[r]));
			page_show(
			    p, (double)atomic_load_explicit(&n->commands[r], memory_order_relaxed));
		}
}

/* One of the histogram's lines; le NULL: it has none. */
static void
show_part(
    struct page *p, const struct redis_node *n, const char *suffix, const char *le, double value)
{
	metric_label(&p->labels, "node", slice_from(n->name));
	if (le != NULL)
		metric_label(&p->labels, "le", slice_from(le));
	page_show_as(p, suffix, value);
}

void
collect_redis_seconds(struct page *p)
{
	const struct redis_node *n;

	for (unsigned i = 0; (n = redis_node_at(i)) != NULL; i++) {
		uint64_t sum = 0;

		for (unsigned b = 0; b <= REDIS_NODE_BUCKETS_COUNT; b++) {
			sum += atomic_load_explicit(&n->buckets[b], memory_order_relaxed);
			show_part(p, n, "_bucket",
			    b < REDIS_NODE_BUCKETS_COUNT ? redis_node_bucket_names[b] : "+Inf",
			    (double)sum);
		}
		show_part(p, n, "_sum", NULL,
		    (double)atomic_load_explicit(&n->took_us, memory_order_relaxed) / 1e6);
		show_part(p, n, "_count", NULL, (double)sum);
	}
}
