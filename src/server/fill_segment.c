/* What a response's head makes of a fill that has asked for a part (server/segments.h).
 *
 * The first part of something that is not known yet brings the outline with it: the fill makes it from the part's head, tells those who wait
 * for the whole, and goes on as the fill of that segment. A further part must be what the outline says, to the byte and in
 * its validators. No If-Range is sent: where the version has changed, a part of the new one comes back to be looked
 * at, not all of it; and a part that answers If-Range may leave Last-Modified out (RFC 9110 section 15.3.7). */
#include "base/mem.h"
#include "cache/segmentkey.h"
#include "server/fill_priv.h"

#define DROP_SEGMENTS_MAX \
	4096 /* of an old version at once; what is beyond leaves by not being asked for */

/* The part whose head this is, all in one piece and in a form that may be put together. */
static bool
is_sound(struct fill *f, const struct head *h, const struct framing *framing,
    struct segment_version *version)
{
	const struct byte_range *r = &f->segment.range;
	uint64_t last;

	if (!segment_read(h, r, loop_wall_ms(fill_loop(f)) / 1000, version) ||
	    (f->route->compress.is_on && encoding_of_body(h) != ENC_IDENTITY))
		return false;
	last = r->to < version->length ? r->to : version->length - 1;
	return framing->kind == FRAMING_LENGTH && framing->length == last - r->from + 1;
}

/* Old segments would never be found again, and only take room. */
static void
drop_segments(struct fill *f, const struct object *outline, const struct segment_version *v)
{
	uint64_t size = f->route->cache.slice_bytes, count = v->length / size + 1;
	struct buf text = {0};

	for (uint64_t n = 0; n < count && n < DROP_SEGMENTS_MAX; n++) {
		struct cache_key key =
		    segment_key(&text, object_key(outline), size, v, object_vary(outline), n);

		store_remove_key(f->worker->commons->store, &key);
	}
	buf_fini(&text);
}

/* --- the segment --- */

/* The body, and its object: stored if it may be, and else only passing. NULL: no memory. */
static struct body *
receive_segment(
    struct fill *f, const struct head *h, const struct framing *framing, const struct life *life)
{
	bool keep = f->verdict == STORE_STORED;
	struct object *passing = NULL;

	f->body = keep ? body_new(store_slab(f->worker->commons->store), framing->length) : NULL;
	if (f->body == NULL)
		f->body = body_new(NULL, framing->length);
	else
		f->object = fill_make_stored(f, h, life, f->body);
	if (f->body == NULL)
		return NULL;
	f->windowed = f->object == NULL;
	if (f->object == NULL) {
		struct buf text = {0};

		segment_whole_head(h, 206, framing->length, &text);
		if (!head_of_stored(&f->own_head, buf_slice(&text)))
			bug("a head of ours does not parse");
		passing = fill_make_object(f, &f->own_head, life, NULL, f->body);
		buf_fini(&text);
	}
	if (f->object == NULL && passing == NULL) {
		body_unref(&f->body);
		return NULL;
	}
	if (f->windowed) /* what has passed cannot be had by who comes later */
		flight_close(f->flight);
	flight_publish(f->flight, f->object != NULL ? f->object : passing);
	object_unref(&passing);
	return f->body;
}

static struct body *
give_up(struct fill *f, enum fetch_end end)
{
	fill_drop_fetch(f);
	fill_fail(f, end);
	return NULL;
}

/* Statuses that say that what the outline describes is not there any more; others only that it cannot be had now. */
static bool
says_changed(unsigned status)
{
	return status < 400 || status == 404 || status == 410 || status == 416;
}

static struct body *
take_segment(struct fill *f, const struct head *h, const struct framing *framing)
{
	struct segment_version version;
	struct head as_whole = *h;
	struct life life;
	struct body *b;

	if (!is_sound(f, h, framing, &version) ||
	    !segment_is_same_version(&version, &f->segment.version)) {
		if (!says_changed(h->status))
			return give_up(f, FETCH_part_refused);
		observe_add(f->worker->observer, COUNT_segments_changed, 1);
		store_remove(f->worker->commons->store, f->segment.outline);
		drop_segments(f, f->segment.outline, &f->segment.version);
		return give_up(f, FETCH_done);
	}
	as_whole.status = 200;
	f->verdict = fill_judge(f, &as_whole, METHOD_GET, (int64_t)framing->length, &life);
	b = receive_segment(f, h, framing, &life);
	return b != NULL ? b : give_up(f, FETCH_no_memory);
}

/* --- the outline --- */

/* An object without a body; NULL: it may not be stored, or there is no room. */
static struct object *
make_outline(struct fill *f, struct head *whole, struct life *life)
{
	struct body *none;
	struct object *o;

	whole->status = 200; /* what it stands for */
	f->verdict = fill_judge(f, whole, METHOD_GET, -1, life);
	/* Fields that are for the first client only cannot be left out of what it gets. */
	if (f->verdict != STORE_STORED || f->response_cc.name_lists > 0)
		return NULL;
	none = body_new(store_slab(f->worker->commons->store), 0);
	if (none == NULL)
		return NULL;
	body_end(none, BODY_WHOLE);
	whole->status = 206;
	o = fill_make_stored(f, whole, life, none);
	body_unref(&none);
	return o;
}

/* Who waits for the whole is given the outline, and the fill leaves their flight for the segment's. False: somebody
 * fetches that one already. */
static bool
change_flights(struct fill *f, const struct life *life)
{
	struct object *outline = f->segment.outline;
	uint64_t size = f->route->cache.slice_bytes;
	struct buf text = {0};
	struct cache_key key = segment_key(&text, object_key(outline), size, &f->segment.version,
	    object_vary(outline), f->segment.range.from / size);
	struct commons *c = f->worker->commons;
	struct flight *next =
	    flight_background(c->flights, &key, SLICE_NONE, f->worker->index, c->purges);

	if (f->x != NULL)
		f->x->verdict = STORE_STORED;
	f->x = NULL;
	fill_announce(f, outline, life);
	if (purgelog_judge(c->purges, outline) != PURGE_GONE)
		fill_put(f, outline);
	flight_close(f->flight);
	flight_set_owner(f->flight, NULL, NULL);
	fill_rename(f, &key, object_tags(outline));
	buf_fini(&text);
	if (next == NULL)
		return false;
	flight_unref(&f->flight);
	f->flight = next;
	flight_set_owner(next, f, on_fill_room);
	return true;
}

/* Segments of what was stored before have no outline any more. */
static void
replace_version(struct fill *f)
{
	struct segment_version old;
	uint64_t length;

	if (f->stale == NULL || !object_is_outline(f->stale) ||
	    !segment_outline_length(&f->stale_head, &length))
		return;
	old = segment_version_of(object_etag(f->stale), f->stale->facts.modified_s, length);
	if (!segment_is_same_version(&old, &f->segment.version))
		drop_segments(f, f->stale, &old);
}

static struct body *
ask_plainly(struct fill *f)
{
	fill_drop_fetch(f);
	fill_ask_again(f, NULL);
	return NULL;
}

/* What is smaller than a segment is no whole of segments: it goes on as if all had been asked for. */
static struct body *
take_first(struct fill *f, const struct head *h, const struct framing *framing)
{
	struct segment_version version;
	struct buf text = {0};
	struct head whole;
	struct life life;
	struct body *b;
	bool is_all, is_ours;

	if (!is_sound(f, h, framing, &version))
		return ask_plainly(f);
	is_all = framing->length == version.length;
	segment_whole_head(h, is_all ? 200 : 206, version.length, &text);
	if (!head_of_stored(&whole, buf_slice(&text)))
		bug("a head of ours does not parse");
	if (is_all) {
		f->segment.is_asked = false;
		b = fill_take_head(f, &whole, framing);
		buf_fini(&text);
		return b;
	}
	f->segment.outline = make_outline(f, &whole, &life);
	buf_fini(&text);
	if (f->segment.outline == NULL)
		return ask_plainly(f);
	version.etag = object_etag(f->segment.outline);
	f->segment.version = version;
	is_ours = change_flights(f, &life);
	replace_version(f);
	if (!is_ours) {
		f->done = true;
		fill_drop_fetch(f);
		fill_free(f);
		return NULL;
	}
	observe_add(f->worker->observer, COUNT_segments, 1);
	b = receive_segment(f, h, framing, &life);
	return b != NULL ? b : give_up(f, FETCH_no_memory);
}

struct body *
fill_take_part(struct fill *f, const struct head *h, const struct framing *framing)
{
	struct byte_range first;

	if (f->segment.outline != NULL)
		return take_segment(f, h, framing);
	if (h->status == 206)
		return take_first(f, h, framing);
	if (h->status == 416 && f->segment.range.from > 0) {
		/* The client asked for what lies behind the end: the first part tells where that is. */
		first = segment_range(f->route->cache.slice_bytes, 0, UINT64_MAX);
		fill_drop_fetch(f);
		fill_ask_again(f, &first);
		return NULL;
	}
	if (h->status == 416)
		return ask_plainly(f);
	f->segment.is_asked = false;
	return fill_take_head(f, h, framing);
}
