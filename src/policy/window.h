/* policy/window.h - how many permits one key has left, and when the next ones come back.
 *
 * The pure algorithms of the rate limits: no table, no lock, no clock. A rule says how to count;
 * a state is the plain memory of one key under that rule, window_state_bytes() long, 8-aligned and
 * all zero at first. All zero and "everything has come back" mean the same: a key nobody remembers
 * behaves exactly as one whose permits are all back, so forgetting such a key changes nothing (.NET
 * forgets it after 10 s; until then its segments keep their phase there).
 *
 * Times are milliseconds on one monotonic clock and must not run backwards for one state (the
 * table sees to that). Every call but window_advance() expects a state advanced to the same now_ms.
 *
 * What each kind promises, for a limit L and a window W (taken as half open, [t, t + W)):
 *   fixed     L in each window; a window begins with the first permit taken after the last one
 * ended (or on a multiple of W of the wall clock). Over a boundary up to 2 L can pass within W. log
 * never more than L in any W: the time of each permit is kept, it is back at its time + W. segments
 * never more than L in any W: counted in n parts of W, back one window after the END of its part,
 * so after W to W + W/n. dotnet    System.Threading.RateLimiting's segments, slid by elapsed time:
 * back one window after the BEGINNING of its part. Never more than L in W - W/n; up to 2 L - 1 in
 * W.
 */
#ifndef POLICY_WINDOW_H
#define POLICY_WINDOW_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum window_kind { WINDOW_FIXED, WINDOW_LOG, WINDOW_SEGMENTS, WINDOW_DOTNET };

/* Up to this limit a sliding window is an exact log. */
#define WINDOW_LOG_MAX 64
#define WINDOW_SEGMENTS_DEFAULT 10
#define WINDOW_SEGMENTS_MAX 1000
#define WINDOW_LIMIT_MAX 1000000000u

struct window_rule {
	enum window_kind kind;
	bool align_clock;  /* fixed: windows begin on multiples of window_ms of the wall clock */
	uint32_t limit;	   /* permits, 1 to WINDOW_LIMIT_MAX */
	uint32_t segments; /* of segments and dotnet, 1 to WINDOW_SEGMENTS_MAX */
	int64_t window_ms; /* more than 0 */
};

/* The rule of a sliding window: dotnet's own segments where asked for; else the log up to
 * WINDOW_LOG_MAX, which keeps every promise that segments make; above that segments. segments 0:
 * the default number. */
struct window_rule window_rule_sliding(
    uint32_t limit, int64_t window_ms, uint32_t segments, bool dotnet);

struct window;

struct window_told {
	uint32_t remaining;
	int64_t reset_ms; /* until there is one more */
};

size_t window_state_bytes(const struct window_rule *r);

/* Takes back what is due at now_ms. First thing on each visit of a key. */
void window_advance(const struct window_rule *r, struct window *w, int64_t now_ms);

/* Permits out. More than the limit only after window_charge(). 0: as good as never seen. */
uint32_t window_used(const struct window_rule *r, const struct window *w);
/* Permits that could be taken now. */
uint32_t window_remaining(const struct window_rule *r, const struct window *w);

/* Takes permits (at least 1) if they are all there: true, or false and nothing has changed. wall_ms
 * is read only where the rule says align_clock. */
bool window_take(const struct window_rule *r, struct window *w, uint32_t permits, int64_t now_ms,
    int64_t wall_ms);
/* The same, and if they were taken what window_remaining() says then, and window_wait_ms() of one permit more than that. */
bool window_take_told(const struct window_rule *r, struct window *w, uint32_t permits,
    int64_t now_ms, int64_t wall_ms, struct window_told *told);
/* Counts permits that were refused (`count: all`), beyond the limit too. */
void window_charge(const struct window_rule *r, struct window *w, uint32_t permits, int64_t now_ms,
    int64_t wall_ms);
/* Gives back permits taken at taken_ms. What has come back by itself meanwhile is not given twice.
 */
void window_refund(
    const struct window_rule *r, struct window *w, uint32_t permits, int64_t taken_ms);

/* How long until so many permits are free if nobody takes any: 0 when they are; exact up to the
 * limit; what exceeds it is reckoned as whole windows. */
int64_t window_wait_ms(
    const struct window_rule *r, const struct window *w, uint64_t permits, int64_t now_ms);

#endif
