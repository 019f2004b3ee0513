#include "upstream/latency.h"

#define FINE_BITS 3 /* buckets to a power of two, as a power of two */
#define FINE (1 << FINE_BITS)

static unsigned
bucket_of(int64_t us)
{
	uint64_t v = us < FINE ? FINE : (uint64_t)us;
	unsigned octave = 63 - (unsigned)__builtin_clzll(v) - FINE_BITS;
	unsigned i = octave * FINE + (unsigned)(v >> octave) - FINE;

	return i < LATENCY_BUCKETS ? i : LATENCY_BUCKETS - 1;
}

/* The first that is in no earlier bucket and not in i. */
static int64_t
end_of(unsigned i)
{
	return (int64_t)(FINE + i % FINE + 1) << (i / FINE);
}

static void
forget_half(struct latency *l)
{
	l->total = 0;
	for (unsigned i = 0; i < LATENCY_BUCKETS; i++)
		l->total += l->counts[i] /= 2;
}

void
latency_note(struct latency *l, int64_t us)
{
	l->counts[bucket_of(us)]++;
	if (++l->total >= LATENCY_MOST)
		forget_half(l);
}

int64_t
latency_quantile_us(const struct latency *l, double part)
{
	double left = part * l->total;
	unsigned i = 0;

	if (l->total < LATENCY_LEAST)
		return -1;
	for (; i < LATENCY_BUCKETS - 1; i++) {
		left -= l->counts[i];
		if (left <= 0)
			break;
	}
	return end_of(i);
}
