/* server/pace.h - is the peer slow, or only far away? A minimum rate with grace, for bodies in both directions.
 *
 * Only the time in which we wait for the peer counts. One wait may be grace_ms; all of them together as much, and 1 s more
 * for each KiB that came or went. Pure; the owner arms a timer for what pace_wait returns.
 */
#ifndef SERVER_PACE_H
#define SERVER_PACE_H

#include <stdint.h>

#define PACE_BYTES_PER_S 1024

struct pace {
	int64_t waited_ms; /* until the present wait */
	int64_t since_ms;  /* of the present wait; 0: not waiting */
	uint64_t bytes;
};

/* We wait for the peer (again). Returns the date at which it is too slow. */
static inline int64_t
pace_wait(struct pace *p, int64_t grace_ms, int64_t now_ms)
{
	int64_t credit_ms = (int64_t)(p->bytes * 1000 / PACE_BYTES_PER_S) - p->waited_ms;

	if (p->since_ms == 0)
		p->since_ms = now_ms;
	return p->since_ms + grace_ms + (credit_ms < 0 ? credit_ms : 0);
}

/* n bytes went through, now. */
static inline void
pace_went(struct pace *p, uint64_t n, int64_t now_ms)
{
	if (p->since_ms != 0)
		p->waited_ms += now_ms - p->since_ms;
	p->since_ms = 0;
	p->bytes += n;
}

#endif
