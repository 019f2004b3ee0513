/* http/refresh.h - when a fresh response is fetched again before its time, and how far a life slides. Pure.
 *
 * Early refresh is XFetch (Vattani, Chierichetti, Lowenstein: Optimal Probabilistic Cache Stampede Prevention, VLDB 2015):
 * each hit throws a die, and refreshes if life left < -delta * beta * ln(random), delta being what the fetch took. The busier
 * the object, the surer one of its hits does so before the end, and they do so at different moments. As it stands that
 * only guards objects hit several times within one fetch; so that nobody waits for an object that is merely hit again
 * and again, delta is longer by some mean gaps between its hits, once there were enough of them to tell.
 */
#ifndef HTTP_REFRESH_H
#define HTTP_REFRESH_H

#include <stdbool.h>
#include <stdint.h>

#define REFRESH_HOT_HITS 256 /* from so many on the gaps between hits count */
#define REFRESH_GAPS 8 /* of them: then the odds that no hit refreshes in time are one in 100,000 */

/* A stored response that is about to answer. */
struct refresh_view {
	int64_t left_ms;  /* of its life; > 0 */
	int64_t fetch_ms; /* what fetching it took */
	int64_t kept_ms;  /* since it was stored or validated */
	uint32_t hits;	  /* since then, without this one */
	unsigned percent; /* 100 beta; 0: never */
};

/* Whether a die is worth throwing: beyond that, none would do it. */
bool refresh_is_near(const struct refresh_view *v);
/* Whether this hit is to refresh it; random is any 32 bits. */
bool refresh_is_early(const struct refresh_view *v, uint32_t random);

/* The life of what was last used at that age: each use gives it slide_ms again, up to cap_ms. All are ages. */
static inline int64_t
life_slid_ms(int64_t used_age_ms, int64_t slide_ms, int64_t cap_ms)
{
	int64_t slid_ms = used_age_ms + slide_ms;

	return slid_ms < cap_ms ? slid_ms : cap_ms;
}

#endif
