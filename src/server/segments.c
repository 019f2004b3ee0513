#include "server/segments.h"

#include "cache/segmentkey.h"

#define ANEW_MAX 2 /* times that the whole is asked for anew before the head is sent */

bool
segments_apply(const struct exchange *x)
{
	return x->route->cache.slice_bytes > 0 && x->is_shared && x->head.method == METHOD_GET &&
	    !flights_is_unshared(
		x->worker->commons->flights, x->key.hash, loop_now_ms(x->worker->loop));
}

bool
segments_first_part(const struct exchange *x, struct byte_range *out)
{
	uint64_t size = x->route->cache.slice_bytes;

	if (!segments_apply(x))
		return false;
	*out = segment_range(size, segment_wanted(&x->head, size), UINT64_MAX);
	return true;
}

bool
segments_begin(struct exchange *x)
{
	struct segments *s = &x->segments;
	const struct object *o = x->object;

	uint64_t length = 0;

	s->is_on = segment_outline_length(&x->origin, &length);
	s->version = segment_version_of(object_etag(o), o->facts.modified_s, length);
	s->size = x->route->cache.slice_bytes;
	return s->is_on;
}

static struct cache_key
key_of(struct exchange *x, uint64_t number)
{
	return segment_key(&x->worker->scratch, object_key(x->object), x->segments.size,
	    &x->segments.version, object_vary(x->object), number);
}

static uint64_t
length_of(const struct segments *s, uint64_t number)
{
	struct byte_range r = segment_range(s->size, number, s->version.length);

	return r.to - r.from + 1;
}

/* The stored segment that no purge has taken, or NULL. A soft purge is the outline's matter. */
static struct object *
find_stored(struct exchange *x, uint64_t number)
{
	struct commons *c = x->worker->commons;
	struct cache_key key = key_of(x, number);
	struct object *o = exchange_find(x, &key, NULL);

	if (o == NULL)
		return NULL;
	if (purgelog_judge(c->purges, o) != PURGE_GONE &&
	    body_length(o->body) == length_of(&x->segments, number))
		return o;
	exchange_discard(x, &o);
	return NULL;
}

static void
forget_ahead(struct segments *s)
{
	object_unref(&s->ahead_object);
	flight_unref(&s->ahead_flight);
}

void
segments_let_go(struct exchange *x)
{
	forget_ahead(&x->segments);
}

/* --- the segment at hand --- */

static void
leave_present(struct exchange *x)
{
	exchange_leave_flight(x);
	if (x->source != NULL)
		body_unref(&x->source);
	x->segments.is_open = x->segments.is_asked = false;
}

static void
open_segment(struct exchange *x, struct object *o, uint64_t position)
{
	struct segments *s = &x->segments;

	s->is_open = true;
	s->at = s->number * s->size;
	x->source = body_ref(o->body);
	x->cursor = (struct body_cursor){0};
	x->seeks = position > s->at;
	x->seek_to = position;
}

/* What the cache did changes with the first segment that it did not have. */
static void
note_origin(struct exchange *x)
{
	x->tier = TIER_origin;
	if (x->word == CACHE_WORD_HIT) {
		x->word = CACHE_WORD_MISS;
		x->fwd = CACHE_FWD_PARTIAL;
		exchange_because(x, "", "a part of it is not stored");
	}
}

static void
note_fetched(struct exchange *x, const struct flight *f)
{
	if (!flight_is_from_redis(f))
		note_origin(x);
	else if (x->tier == TIER_memory)
		x->tier = TIER_redis;
}

/* --- one that is not at hand --- */

static bool
take_ahead(struct exchange *x, uint64_t position)
{
	struct segments *s = &x->segments;
	struct object *o = s->ahead_object;
	bool is_here;

	if (s->ahead_number != s->number)
		return false;
	if (s->ahead_flight != NULL && flight_state(s->ahead_flight) == FLIGHT_RESPONSE) {
		o = flight_object(s->ahead_flight);
		note_fetched(x, s->ahead_flight);
	}
	is_here = o != NULL && body_state(o->body) == BODY_WHOLE;
	if (is_here)
		open_segment(x, o, position);
	return is_here;
}

static bool
take_stored(struct exchange *x, uint64_t position)
{
	struct object *o = find_stored(x, x->segments.number);

	if (o == NULL)
		return false;
	open_segment(x, o, position);
	object_unref(&o);
	return true;
}

static void
fetch_segment(struct exchange *x, struct flight *f, uint64_t number)
{
	const struct segments *s = &x->segments;
	struct byte_range part = segment_range(s->size, number, s->version.length);
	struct cache_key key = key_of(x, number);

	fill_start_segment(x, f, &key, &part, &s->version);
}

static void
board_segment(struct exchange *x, bool led)
{
	struct segments *s = &x->segments;
	struct commons *c = x->worker->commons;
	struct cache_key key = key_of(x, s->number);

	s->is_asked = true;
	if (flight_board(c->flights, &key, SLICE_NONE, &x->rider, loop_now_ms(x->worker->loop),
		c->purges, object_tags(x->object)) != FLIGHT_RIDES)
		fetch_segment(x, flight_ref(x->rider.flight), s->number);
	else if (!led) /* who asked for the whole first rides in what came of that */
		observe_add(x->worker->observer, COUNT_flights_joined, 1);
}

/* The flight's answer was on its way when it was purged: for those who asked before, not for this one. */
static void
fetch_alone(struct exchange *x)
{
	struct commons *c = x->worker->commons;
	struct flight *f;

	exchange_leave_flight(x);
	f = flight_private(c->flights, x->worker->index, &x->rider, c->purges);
	fetch_segment(x, flight_ref(f), x->segments.number);
}

static enum segments_reach
look_at_flight(struct exchange *x, uint64_t position)
{
	struct flight *f = x->rider.flight;
	struct object *o;

	switch (flight_state(f)) {
	case FLIGHT_WAITING:
		return SEGMENT_WAITS;
	case FLIGHT_RESPONSE:
		o = flight_object(f);
		if (!x->rider.is_leader &&
		    purgelog_judge(x->worker->commons->purges, o) == PURGE_GONE) {
			fetch_alone(x);
			return SEGMENT_WAITS;
		}
		note_fetched(x, f);
		open_segment(x, o, position);
		return SEGMENT_READY;
	case FLIGHT_DISBANDED:
	case FLIGHT_FAILED:
		break;
	}
	x->segments.fault = flight_fault(f);
	return SEGMENT_LOST;
}

/* A body that broke off is asked for once more, from the same flight on: the version is known, so the answer goes on where it
 * stopped. True: do so. */
static bool
may_ask_again(struct segments *s)
{
	bool may = s->asked_again != s->number + 1;

	s->asked_again = s->number + 1;
	s->fault = FETCH_truncated;
	return may;
}

enum segments_reach
segments_reach(struct exchange *x, uint64_t position)
{
	struct segments *s = &x->segments;
	uint64_t number = position / s->size;

	if (s->is_open && s->number == number) {
		if (body_state(x->source) != BODY_BROKEN)
			return SEGMENT_READY;
		if (!may_ask_again(s))
			return SEGMENT_LOST;
		leave_present(x);
	}
	if (!s->is_asked || s->number != number) {
		bool led = x->rider.flight != NULL && x->rider.is_leader;

		leave_present(x);
		s->number = number;
		if (take_ahead(x, position) || take_stored(x, position)) {
			forget_ahead(s);
			return SEGMENT_READY;
		}
		board_segment(x, led);
		forget_ahead(s);
	}
	return look_at_flight(x, position);
}

void
segments_foresee(struct exchange *x, uint64_t position)
{
	struct object *o = find_stored(x, position / x->segments.size);

	if (o == NULL)
		note_origin(x);
	object_unref(&o);
}

/* --- trouble --- */

enum exchange_next
segments_lost(struct exchange *x)
{
	const struct fetch_end_row *end = &fetch_ends[x->segments.fault];

	if (x->segments.fault == FETCH_done && x->segments.anew < ANEW_MAX) {
		unsigned anew = x->segments.anew + 1;

		leave_present(x);
		forget_ahead(&x->segments);
		x->segments = (struct segments){.anew = anew};
		object_unref(&x->object);
		x->answer = ANSWER_NONE;
		x->word = CACHE_WORD_MISS;
		x->fwd = CACHE_FWD_MISS;
		return exchange_restart(x, "the origin has another version now");
	}
	if (x->segments.fault == FETCH_done)
		end = &fetch_ends[FETCH_part_refused];
	x->segments.is_on = false;
	x->word = CACHE_WORD_MISS;
	x->fetch_end = end->name;
	return exchange_answer_fault(x, (unsigned)end->status, end->text, end->proxy_status);
}

void
segments_note_loss(struct exchange *x)
{
	if (x->segments.fault != FETCH_done)
		x->fetch_end = fetch_ends[x->segments.fault].name;
	else
		x->reason = "the origin has another version now";
}

/* --- ahead --- */

void
segments_read_ahead(struct exchange *x)
{
	struct segments *s = &x->segments;
	struct commons *c = x->worker->commons;
	uint64_t next = s->number + 1;
	struct cache_key key;
	struct flight *f;

	if (!s->is_open || s->ahead_number == next || x->cursor.at < s->size / 2 ||
	    next * s->size >= x->send_until)
		return;
	forget_ahead(s);
	s->ahead_number = next;
	s->ahead_object = find_stored(x, next);
	if (s->ahead_object != NULL)
		return;
	key = key_of(x, next);
	f = flight_background(c->flights, &key, SLICE_NONE, x->worker->index, c->purges);
	if (f == NULL)
		return; /* somebody fetches it already */
	s->ahead_flight = flight_ref(f);
	fetch_segment(x, f, next);
}
