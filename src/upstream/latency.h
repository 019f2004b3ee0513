/* upstream/latency.h - how long answers took lately: a histogram that forgets, asked for quantiles.
 *
 * Buckets an eighth of a power of two wide: a quantile is at most 12.5 % too high, never too low. When LATENCY_MOST answers
 * have been noted every count is halved, so that what is known is about the last half to whole of them. No lock, no
 * clock, no allocation; {0} is empty.
 */
#ifndef UPSTREAM_LATENCY_H
#define UPSTREAM_LATENCY_H

#include <stdint.h>

#define LATENCY_BUCKETS 256
#define LATENCY_MOST 1000
#define LATENCY_LEAST 100 /* fewer answers tell nothing */

struct latency {
	unsigned total;
	uint16_t counts[LATENCY_BUCKETS];
};

void latency_note(struct latency *l, int64_t us);
/* What that part (0 to 1) of the answers took at most; -1: too few are known. */
int64_t latency_quantile_us(const struct latency *l, double part);

#endif
