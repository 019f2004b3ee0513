/* server/fill.h - one request to the origin on behalf of a flight: sends it, judges the response, hands it to the
 * riders and, if it may be kept, to the store.
 *
 * The story: the leader's exchange starts a fill and rides like everybody else. The fill keeps a copy of what it needs of the
 * request, so the leader may leave; it goes on when others ride or the response is worth storing. Redis is asked first where there is one: if it
 * is silent for some milliseconds the origin is asked as well, and who answers first wins. A refresh behind a stale
 * answer is a fill without riders. Belongs to the flight's leading worker; frees itself.
 */
#ifndef SERVER_FILL_H
#define SERVER_FILL_H

#include "cache/flight.h"
#include "cache/object.h"
#include "http/segment.h"

struct exchange;
struct fill;

/* Rider's view of a flight that failed: flight_fault() is the fetch_end. */

/* Starts the fill for the exchange's request; x rides flight f as its leader. */
void fill_start(struct exchange *x, struct flight *f);
/* A refresh of o for the exchange's URL, which nobody waits for; the flight reference is taken over. */
void fill_start_refresh(struct exchange *x, struct flight *f, struct object *o);
/* Fetches one segment of what the exchange answers from, its x->object, an outline of that version. The fill depends on nobody:
 * it goes on to the segment's end when the exchange has left. The flight reference is taken over. */
void fill_start_segment(struct exchange *x, struct flight *f, const struct cache_key *key,
    const struct byte_range *part, const struct segment_version *version);
/* The leader's exchange leaves: no upload, interim response or upgrade can reach it any more. */
void fill_leader_left(struct flight *f, struct exchange *x);
/* The leader's upload has more, or its end. */
void fill_upload_ready(struct flight *f);
/* Memory that a worker keeps for the next fill (worker's spare_fills). */
void fill_scrap(void *p);

#endif
