/* admin/metrics_priv.h - between the files of admin/metrics.h: the table of families (metrics.c), those who collect them, and
 * the scrape that has the page written (scrape.c).
 */
#ifndef ADMIN_METRICS_PRIV_H
#define ADMIN_METRICS_PRIV_H

#include "admin/metrics.h"
#include "admin/process.h"
#include "cache/clerk.h"
#include "cache/redis.h"
#include "policy/recompress.h"
#include "server/accesslog.h"
#include "server/worker.h"

/* What all workers' links to Redis have counted. */
struct redis_sums {
	unsigned links, up;
	uint64_t requests[L2_OPS_COUNT][L2_RESULTS_COUNT];
};

/* The page being written. */
struct page {
	struct buf *out;
	struct buf labels;
	struct worker *worker; /* the one that answers */
	struct commons *commons;
	struct site *site;
	const struct redis_sums *redis;
	const struct row *row;
	/* read once for the page */
	struct process_facts process;
	struct store_usage store;
	struct accesslog_counts access;
	struct limit_table_size limits;
	struct clerk_status clerk;
	struct recompress_counts recompress;
};

struct row {
	struct metric_family family;
	void (*collect)(struct page *p);
	size_t at; /* of the value in what collect looks at */
};

/* One series of p->row, with p->labels, which are empty afterwards. suffix: of a part of a histogram, or "". */
void page_show_as(struct page *p, const char *suffix, double value);
void page_show(struct page *p, double value);

/* Collectors that stand elsewhere than their rows. */
void collect_redis_up(struct page *p);
void collect_redis(struct page *p);
void collect_redis_node(struct page *p);
void collect_redis_commands(struct page *p);
void collect_redis_seconds(struct page *p);
void collect_server_count(struct page *p);
void collect_server_up(struct page *p);
void collect_server_drained(struct page *p);
void collect_server_gauge(struct page *p);
void collect_tls_handshakes(struct page *p);
void collect_tls_expiry(struct page *p);
void collect_tls_renewals(struct page *p);
void collect_tls_rotations(struct page *p);

/* The whole page; of p, out, worker, commons, site and redis are set. */
void metrics_write_page(struct page *p);

#endif
