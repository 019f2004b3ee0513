/* The answer's body: from the object, or through a codec, to the client, as it comes and as the client takes it.
 *
 * Without a codec the client reads the source itself: pieces of it go to one writev as they lie. With one, the codec
 * reads the source and writes another body, which the client reads; that body is passing, or becomes a variant of the stored
 * object. A turn codes at most CODE_TURN_BYTES, so a large body does not hold up the loop. */
#include "base/mem.h"
#include "policy/recompress.h"
#include "server/exchange_priv.h"
#include "server/segments.h"

#define PIECES 16
#define CODE_TURN_BYTES (64 * 1024)
#define CODED_WINDOW_BYTES (256 * 1024) /* coded and not yet taken by the client */

static enum exchange_next
end_with(struct exchange *x, enum request_end end)
{
	x->end = end;
	return EXCHANGE_OVER;
}

/* --- coding --- */

enum coded { CODED, CODED_DRY /* the source has no more for now */, CODED_FULL, CODED_BROKEN };

/* Feeds one piece of the source to the codec. */
static enum coded
code_piece(struct exchange *x, struct slice *piece, enum codec_flush flush)
{
	for (;;) {
		struct iovec room[2];
		enum codec_result result;
		size_t out_n;

		if (body_space(x->coded, room, 16384) < 1)
			return CODED_BROKEN;
		if (room[0].iov_len <
		    CODEC_ROOM_MIN) { /* the rest of a chunk: too small to code into */
			char small[CODEC_ROOM_MIN];

			result = codec_run(x->codec, piece, small, sizeof(small), &out_n, flush);
			if (body_append(x->coded, slice_of(small, out_n)) != 0)
				return CODED_BROKEN;
		} else {
			result = codec_run(
			    x->codec, piece, room[0].iov_base, room[0].iov_len, &out_n, flush);
			body_publish(x->coded, out_n);
		}
		if (result == CODEC_BAD)
			return CODED_BROKEN;
		if (result != CODEC_FULL)
			return CODED;
	}
}

static enum coded
code_some(struct exchange *x, size_t *budget)
{
	struct body_cursor *at = &x->coding;
	struct iovec iov;
	struct slice piece;
	enum coded coded;
	size_t n;

	if (body_length(x->coded) - x->cursor.at > CODED_WINDOW_BYTES && !x->coded_is_kept)
		return CODED_FULL;
	if (body_peek(x->source, at, &iov, 1, *budget) == 1) {
		piece = slice_of(iov.iov_base, iov.iov_len);
		n = piece.n;
		coded = code_piece(x, &piece, CODEC_RUN);
		if (coded == CODED_BROKEN)
			return coded;
		body_advance(at, n - piece.n);
		*budget -= n < *budget ? n : *budget;
		return CODED;
	}
	piece = SLICE_NONE;
	if (body_state(x->source) == BODY_BROKEN)
		return CODED_BROKEN;
	if (body_state(x->source) == BODY_WHOLE && body_length(x->source) == at->at) {
		x->codec_done = true;
		coded = code_piece(x, &piece, CODEC_FINISH);
		body_end(x->coded, coded == CODED ? BODY_WHOLE : BODY_BROKEN);
		return coded;
	}
	/* The origin pauses: what has been coded goes out now (server-sent events). */
	return x->codec_flushes && code_piece(x, &piece, CODEC_FLUSH) == CODED_BROKEN ? CODED_BROKEN
										      : CODED_DRY;
}

/* A variant that is whole stays with the object. */
static void
keep_variant(struct exchange *x)
{
	struct commons *c = x->worker->commons;
	struct body *b;

	if (!x->coded_is_kept || !x->object->facts.is_in_slab)
		return;
	b = body_ref(x->coded);
	if (store_add_variant(c->store, x->object, (uint8_t)x->coded_as, &b) == 0)
		recompress_note(c->recompress, x->object);
}

bool
exchange_code(struct exchange *x)
{
	size_t budget = CODE_TURN_BYTES;
	enum coded coded = CODED;

	if (x->coded->is_passing) /* the cache has no room for it */
		x->coded_is_kept = false;
	while (coded == CODED && budget > 0 && !x->codec_done)
		coded = code_some(x, &budget);
	if (coded == CODED_BROKEN)
		return false;
	if (x->rider.flight != NULL)
		flight_moved(&x->rider, x->coding.at);
	if (x->codec_done) {
		codec_free(&x->codec);
		if (body_state(x->coded) == BODY_WHOLE)
			keep_variant(x);
	} else if (budget == 0)
		loop_later(x->worker->loop, &x->turn);
	return true;
}

/* --- sending --- */

static struct body *
sent_body(const struct exchange *x)
{
	return x->coded != NULL ? x->coded : x->source;
}

/* Where in the whole the next byte to be sent lies. */
static uint64_t
position(const struct exchange *x)
{
	return x->seeks ? x->seek_to : x->segments.at + x->cursor.at;
}

/* The next of several ranges: its head, then its bytes; after the last only the closing boundary. */
static void
next_part(struct exchange *x)
{
	if (x->parts_count == 0 || x->part >= x->parts_count || x->part_head.n > 0 ||
	    position(x) < x->send_until)
		return;
	x->part++;
	x->part_head = x->parts[x->part].head;
	if (x->part == x->parts_count)
		return;
	x->seek_to = x->parts[x->part].range.from;
	x->seeks = true;
	x->send_until = x->parts[x->part].range.to + 1;
}

/* Goes to where the range begins, with what has arrived: a body that only passes is kept in memory from where its slowest
 * reader is. False: it is not there yet. */
static bool
seek(struct exchange *x, const struct body *b)
{
	uint64_t have = x->segments.at + body_length(b);

	body_seek(b, &x->cursor, (have < x->seek_to ? have : x->seek_to) - x->segments.at);
	if (x->rider.flight != NULL && x->coded == NULL)
		flight_moved(&x->rider, x->cursor.at);
	x->seeks = have <= x->seek_to;
	return !x->seeks;
}

/* Pieces to send now, at iov. Returns how many, *own_out bytes of a part's head in front of them. */
static int
gather(struct exchange *x, struct iovec *iov, size_t *own_out)
{
	struct body *b = sent_body(x);
	uint64_t limit = UINT64_MAX;
	int n = 0;

	*own_out = 0;
	if (x->part_head.n > 0) {
		iov[n++] = (struct iovec){(void *)(uintptr_t)x->part_head.p, x->part_head.n};
		*own_out = x->part_head.n;
	}
	if (b == NULL || (x->parts_count > 0 && x->part >= x->parts_count))
		return n;
	if (x->seeks && !seek(x, b))
		return n;
	if (x->send_until != BODY_LENGTH_UNKNOWN)
		limit = x->send_until - position(x);
	return n + body_peek(b, &x->cursor, iov + n, PIECES - n, limit);
}

static void
book(struct exchange *x, size_t went, size_t own)
{
	size_t head = went < own ? went : own;

	x->bytes_out += went;
	x->part_head = slice_skip(x->part_head, head);
	body_advance(&x->cursor, went - head);
	if (x->coded == NULL && x->rider.flight != NULL && went > head)
		flight_moved(&x->rider, x->cursor.at);
	if (x->coded != NULL && !x->coded_is_kept)
		body_trim(x->coded, x->cursor.at);
}

/* Whether so many bytes of the body are the last, if all of them are taken. */
static bool
ends_with(const struct exchange *x, uint64_t bytes)
{
	const struct body *b = sent_body(x);

	if (b == NULL)
		return true;
	if (x->parts_count > 0)
		return x->part == x->parts_count;
	if (x->send_until != BODY_LENGTH_UNKNOWN)
		return position(x) + bytes == x->send_until;
	return body_state(b) == BODY_WHOLE && x->cursor.at + bytes == body_length(b);
}

static void
tell_trailers(struct exchange *x)
{
	const struct body *b = sent_body(x);

	if (b != NULL && b == x->source && !x->segments.is_on && body_state(b) == BODY_WHOLE &&
	    body_trailers(b).n > 0)
		x->client->ops->set_trailers(x->client, body_trailers(b));
}

/* One write. Returns what the client took, -1: gone. */
static ssize_t
send_some(struct exchange *x, size_t *offered_out, bool *last_out)
{
	struct iovec iov[PIECES + CLIENT_IOV_EXTRA];
	size_t own, offered = 0;
	ssize_t went;
	int n = gather(x, iov + CLIENT_IOV_FRONT, &own);

	for (int i = 0; i < n; i++)
		offered += iov[CLIENT_IOV_FRONT + i].iov_len;
	*offered_out = offered;
	*last_out = ends_with(x, offered - own);
	if (*last_out)
		tell_trailers(x);
	went = x->client->ops->write(x->client, iov, n, *last_out);
	if (went > 0)
		book(x, (size_t)went, own);
	return went;
}

static enum exchange_next
wait_for_source(struct exchange *x)
{
	struct body *b = sent_body(x);

	if (body_state(b) == BODY_BROKEN ||
	    (x->coded != NULL && body_state(x->source) == BODY_BROKEN))
		return end_with(x, END_body_broken);
	if (x->rider.flight != NULL && flight_is_expelled(&x->rider))
		return end_with(x, END_client_slow);
	return EXCHANGE_WAIT;
}

/* The codec may have stopped for what the client has taken since. */
static bool
has_more_to_code(const struct exchange *x)
{
	return x->codec != NULL &&
	    (body_state(x->source) == BODY_WHOLE || body_length(x->source) > x->coding.at);
}

static enum exchange_next
flushed(struct exchange *x)
{
	if (!x->client->ops->is_flushed(x->client))
		return EXCHANGE_WAIT;
	return exchange_to(x, STEP_finish);
}

/* The segment that is sent from next, unless only a part's last head is left. */
static enum segments_reach
reach(struct exchange *x)
{
	if (!x->segments.is_on || (x->parts_count > 0 && x->part >= x->parts_count))
		return SEGMENT_READY;
	return segments_reach(x, position(x));
}

static enum exchange_next
end_with_loss(struct exchange *x)
{
	segments_note_loss(x);
	return end_with(x, END_body_broken);
}

enum exchange_next
step_deliver(struct exchange *x)
{
	size_t offered;
	bool last;
	ssize_t went;

	if (x->source_ended && x->client->ops->is_flushed(x->client))
		return exchange_to(x, STEP_finish);
	if (x->codec != NULL && !exchange_code(x))
		return end_with(x, END_body_broken);
	do {
		next_part(x);
		switch (reach(x)) {
		case SEGMENT_READY:
			break;
		case SEGMENT_WAITS:
			return EXCHANGE_WAIT;
		case SEGMENT_LOST:
			return end_with_loss(x);
		}
		went = send_some(x, &offered, &last);
		if (went < 0)
			return end_with(x, END_client_gone);
		if (x->segments.is_on)
			segments_read_ahead(x);
		if ((size_t)went < offered)
			return wait_for_source(x); /* the client is full, or the pieces before it */
	} while (offered > 0 && !last);
	if (!last && has_more_to_code(x))
		loop_later(x->worker->loop, &x->turn);
	if (!last)
		return wait_for_source(x);
	x->source_ended = true;
	return flushed(x);
}
