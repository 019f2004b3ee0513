#include "http/refresh.h"

#include <math.h>

#define LN_MOST 23 /* -ln of the least random number, 2^-32, rounded up */

static int64_t
delta_ms(const struct refresh_view *v)
{
	int64_t ms = v->fetch_ms > 0 ? v->fetch_ms : 1;

	if (v->hits >= REFRESH_HOT_HITS)
		ms += REFRESH_GAPS * v->kept_ms / v->hits;
	return ms * v->percent / 100;
}

/* What was asked for once only is left to expire. */
bool
refresh_is_near(const struct refresh_view *v)
{
	return v->percent > 0 && v->hits > 0 && v->left_ms < delta_ms(v) * LN_MOST;
}

bool
refresh_is_early(const struct refresh_view *v, uint32_t random)
{
	double at_most_one = ((double)random + 1) / 4294967296.0;

	return refresh_is_near(v) && (double)v->left_ms < (double)delta_ms(v) * -log(at_most_one);
}
