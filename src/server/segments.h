/* server/segments.h - answers put together from segments: parts of a large response that are stored each for itself
 * ("slices" in the configuration).
 *
 * The story: under the whole's key lies an outline, the head without a body; it alone is fresh or stale, is validated, varies. The
 * exchange answers from it as from any object, but its body comes from one segment after the other: found in the store, taken
 * from a flight under way, or fetched. While one is sent the next is fetched ahead, one at most. A segment's key names the version
 * of the outline (cache/segmentkey.h), and what the origin sends is taken only when it is of that version
 * (server/fill_segment.c): an answer is of one version or is cut off.
 *
 * Belongs to the exchange's worker. Part of the steps respond and deliver.
 */
#ifndef SERVER_SEGMENTS_H
#define SERVER_SEGMENTS_H

#include "server/exchange_priv.h"

/* Whether the route keeps segments and this request is answered so, as far as is known before the origin has answered. */
bool segments_apply(const struct exchange *x);
/* If so, what the origin is asked for first, when there is no outline that is still good. */
bool segments_first_part(const struct exchange *x, struct byte_range *out);

/* x->object is an outline, x->origin its head: what follows is about its segments. False: its length is not stated. */
bool segments_begin(struct exchange *x);

enum segments_reach {
	SEGMENT_READY, /* x->source is the segment that position lies in; its first byte at x->segments.at */
	SEGMENT_WAITS, /* exchange_wake comes */
	SEGMENT_LOST,  /* it cannot be had, or not in this version */
};
enum segments_reach segments_reach(struct exchange *x, uint64_t position);
/* For a dry run: what the look-up said becomes what is so when the segment that position lies in is not stored. */
void segments_foresee(struct exchange *x, uint64_t position);
/* SEGMENT_LOST before the head has been sent: the whole is asked for anew, once, or an error is the answer. */
enum exchange_next segments_lost(struct exchange *x);
/* SEGMENT_LOST afterwards: what the log says of it. */
void segments_note_loss(struct exchange *x);
/* Fetches the next segment if half of the present one has been sent and the answer goes on. */
void segments_read_ahead(struct exchange *x);
/* Gives back what is held besides x->source and the rider. */
void segments_let_go(struct exchange *x);

#endif
