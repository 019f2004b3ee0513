/* upstream/namewatch.h - asks for names when their answers run out, whether or not requests come.
 *
 * So that the first request after a quiet night goes to an address of today, checks know whom to check from the start on, and
 * no request waits for a first answer but those that come with the start. One worker does it for all; requests ask as well (upstream/names.h),
 * and of both one asks. Belongs to that worker's loop.
 */
#ifndef UPSTREAM_NAMEWATCH_H
#define UPSTREAM_NAMEWATCH_H

#include "upstream/pool.h"

#define NAMEWATCH_MS 250 /* between two looks at the clock; answers hold a second at least */

struct resolver;
struct namewatch;

struct namewatch *namewatch_new(struct pool *p, struct resolver *r);
void namewatch_free(struct namewatch **wp);
/* From now on these and no others are looked after; references are taken. */
void namewatch_use(struct namewatch *w, struct upstream *const *upstreams, unsigned count);

#endif
