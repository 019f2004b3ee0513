#include <brotli/decode.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cache/l2wire.h"
#include "http/date.h"
#include "http/negotiate.h"

#define SECONDS_MAX 253402300799ll /* the end of year 9999 */

const char *
l2_flaw_text(enum l2_flaw flaw)
{
	static const char *const texts[] = {
#define X(name, text) [L2_FLAW_##name] = text,
	    L2_FLAWS(X)
#undef X
	};

	return texts[flaw];
}

static bool
is_between(int64_t v, int64_t least, int64_t most)
{
	return v >= least && v <= most;
}

static bool
are_facts_possible(const struct l2_wire *w)
{
	if (w->kind == L2_KIND_INDEX)
		return w->vary_len > 0 && w->tags_len + w->head_len == 0 && w->stored_len == 0;
	return w->kind == L2_KIND_OBJECT && (w->flags & ~L2_FLAGS_ALL) == 0 && w->key_len > 0 &&
	    is_between(w->status, 200, 599) && w->encoding <= ENC_ZSTD &&
	    (w->encoding & (w->encoding - 1)) == 0 && w->etag_at <= w->head_len &&
	    w->etag_len <= w->head_len - w->etag_at && is_between(w->age_ms, 0, L2_LIFE_MAX_MS) &&
	    is_between(w->life_ms, 0, L2_LIFE_MAX_MS) && is_between(w->swr_ms, 0, L2_LIFE_MAX_MS) &&
	    is_between(w->sie_ms, 0, L2_LIFE_MAX_MS) && is_between(w->date_s, 0, SECONDS_MAX) &&
	    (w->modified_s == DATE_NONE || is_between(w->modified_s, -SECONDS_MAX, SECONDS_MAX)) &&
	    is_between(w->born_wall_ms, 0, SECONDS_MAX * 1000) &&
	    is_between(w->expires_wall_ms, w->born_wall_ms, SECONDS_MAX * 1000) &&
	    (w->flags & L2_FLAG_PACKED ? w->body_len <= L2_BODY_MOST_BYTES && w->stored_len > 0
				       : w->body_len == w->stored_len);
}

/* One line of a canonical head, without its CRLF: no control but HTAB, a colon behind a name. */
static bool
is_field_line(struct slice line)
{
	size_t colon = slice_index(line, ':');

	if (colon == 0 || colon == line.n)
		return false;
	for (size_t i = 0; i < line.n; i++) {
		unsigned char c = (unsigned char)line.p[i];

		if ((c < 0x20 && c != '\t') || c == 0x7f || (i < colon && c <= ' '))
			return false;
	}
	return true;
}

/* Well-formed enough to be cut into fields and sent: what is behind a checksum only may come from
 * anybody who can write to Redis. */
static bool
is_head(struct slice head, uint16_t status)
{
	char start[32];
	size_t n = (size_t)snprintf(start, sizeof(start), "HTTP/1.1 %u ", status);

	if (!slice_starts(head, slice_of(start, n)) || !slice_ends(head, SLICE_LIT("\r\n\r\n")))
		return false;
	for (bool is_first = true; head.n > 2; is_first = false) {
		n = slice_index(head, '\r');
		if (n + 1 >= head.n || head.p[n + 1] != '\n')
			return false;
		if (is_first ? memchr(head.p, '\n', n) != NULL || memchr(head.p, '\0', n) != NULL
			     : !is_field_line(slice_of(head.p, n)))
			return false;
		head = slice_skip(head, n + 2);
	}
	return slice_eq(head, SLICE_LIT("\r\n"));
}

static struct slice
take(struct slice *from, size_t n)
{
	struct slice s = slice_of(from->p, n);

	*from = slice_skip(*from, n);
	return s;
}

static struct object_facts
facts_of(const struct l2_wire *w, const struct l2_clocks *now)
{
	int64_t resident_ms = now->wall_ms - w->born_wall_ms;

	return (struct object_facts){
	    .born_ms = now->mono_ms - (resident_ms > 0 ? resident_ms : 0),
	    .age_ms = w->age_ms,
	    .life_ms = w->life_ms,
	    .swr_ms = w->swr_ms,
	    .sie_ms = w->sie_ms,
	    .date_s = w->date_s,
	    .modified_s = w->modified_s,
	    .slide_ms = w->slide_ms,
	    .fetch_ms = w->fetch_ms,
	    .log_pos = w->log_pos,
	    .etag_at = w->etag_at,
	    .etag_len = w->etag_len,
	    .status = w->status,
	    .encoding = (uint8_t)w->encoding,
	    .no_cache = w->flags & L2_FLAG_NO_CACHE,
	    .no_stale = w->flags & L2_FLAG_NO_STALE,
	    .life_by_route = w->flags & L2_FLAG_LIFE_BY_ROUTE,
	    .is_text = w->flags & L2_FLAG_TEXT,
	    .no_transform = w->flags & L2_FLAG_NO_TRANSFORM,
	    .immutable = w->flags & L2_FLAG_IMMUTABLE,
	};
}

/* Whether the bytes are whole and ours; w is read then. */
static enum l2_flaw
judge_envelope(struct slice bytes, const struct l2_seal *seal, struct l2_wire *w)
{
	uint64_t parts;

	if (bytes.n < L2_WIRE_SIZE + L2_SEAL_BYTES)
		return L2_FLAW_foreign;
	l2_wire_read(w, bytes.p);
	if (w->magic != L2_MAGIC)
		return L2_FLAW_foreign;
	if (w->version != L2_VERSION)
		return L2_FLAW_version;
	if (((w->flags & L2_FLAG_SIGNED) != 0) != (seal->secret != NULL))
		return L2_FLAW_unsealed;
	if (bytes.n < L2_WIRE_SIZE + l2_seal_bytes(seal))
		return L2_FLAW_length;
	parts = bytes.n - L2_WIRE_SIZE - l2_seal_bytes(seal);
	if (w->stored_len > parts ||
	    (uint64_t)w->key_len + w->vary_len + w->tags_len + w->head_len != parts - w->stored_len)
		return L2_FLAW_length;
	return l2_seal_holds(seal, bytes) ? L2_FLAW_none : L2_FLAW_seal;
}

size_t
l2_value_work_bytes(struct slice bytes)
{
	struct l2_wire w = {0};

	if (bytes.n < L2_WIRE_SIZE)
		return bytes.n;
	l2_wire_read(&w, bytes.p);
	if (w.body_len > L2_BODY_MOST_BYTES)
		w.body_len = 0; /* refused unread, unless it stands there as it is */
	return bytes.n > w.body_len ? bytes.n : w.body_len;
}

enum l2_flaw
l2_value_read(struct slice bytes, const struct l2_clocks *now, const struct l2_seal *seal,
    struct l2_value *out)
{
	struct l2_wire w = {0};
	enum l2_flaw flaw = judge_envelope(bytes, seal, &w);

	*out = (struct l2_value){0};
	if (flaw != L2_FLAW_none)
		return flaw;
	if (!are_facts_possible(&w))
		return L2_FLAW_facts;
	bytes = slice_skip(bytes, L2_WIRE_SIZE);
	out->is_index = w.kind == L2_KIND_INDEX;
	out->key = take(&bytes, w.key_len);
	out->vary = take(&bytes, w.vary_len);
	out->tags = take(&bytes, w.tags_len);
	out->head = take(&bytes, w.head_len);
	out->body = take(&bytes, w.stored_len);
	out->is_packed = w.flags & L2_FLAG_PACKED;
	out->body_bytes = w.body_len;
	out->stamp = (struct l2_stamp){.epoch = w.epoch, .seq = w.seq};
	out->facts = facts_of(&w, now);
	if (out->is_index)
		return L2_FLAW_none;
	if (out->tags.n > 0 && out->tags.p[out->tags.n - 1] != '\0')
		return L2_FLAW_facts;
	if (!is_head(out->head, w.status))
		return L2_FLAW_head;
	if (w.born_wall_ms > now->wall_ms + L2_SKEW_MS)
		return L2_FLAW_skewed;
	return w.expires_wall_ms <= now->wall_ms ? L2_FLAW_expired : L2_FLAW_none;
}

/* Unpacks straight into the body's memory, never more than it says. */
static int
unpack(struct slice packed, struct body *b, uint64_t body_bytes)
{
	BrotliDecoderState *s = BrotliDecoderCreateInstance(NULL, NULL, NULL);
	BrotliDecoderResult r = BROTLI_DECODER_RESULT_NEEDS_MORE_OUTPUT;
	const uint8_t *in = (const uint8_t *)packed.p;
	size_t in_left = packed.n;

	while (s != NULL && r == BROTLI_DECODER_RESULT_NEEDS_MORE_OUTPUT &&
	    body_length(b) < body_bytes) {
		uint64_t rest = body_bytes - body_length(b);
		struct iovec iov[2];
		uint8_t *out;
		size_t room, offered;

		if (body_space(b, iov, 1) < 0)
			break;
		offered = room = iov[0].iov_len < rest ? iov[0].iov_len : (size_t)rest;
		out = iov[0].iov_base;
		r = BrotliDecoderDecompressStream(s, &in_left, &in, &room, &out, NULL);
		body_publish(b, offered - room);
	}
	/* The last byte of a body may be out before the decoder has seen the stream's end. */
	if (s != NULL && r == BROTLI_DECODER_RESULT_NEEDS_MORE_OUTPUT) {
		size_t none = 0;
		uint8_t *nowhere = NULL;

		r = BrotliDecoderDecompressStream(s, &in_left, &in, &none, &nowhere, NULL);
	}
	BrotliDecoderDestroyInstance(s);
	return r == BROTLI_DECODER_RESULT_SUCCESS && in_left == 0 && body_length(b) == body_bytes
	    ? 0
	    : -1;
}

struct body *
l2_value_body(const struct l2_value *v, struct slab *slab)
{
	struct body *b;

	if (!v->is_packed)
		return body_of(slab, v->body);
	b = body_new(slab, v->body_bytes);
	if (b == NULL)
		return NULL;
	if (unpack(v->body, b, v->body_bytes) != 0) {
		body_unref(&b);
		return NULL;
	}
	body_end(b, BODY_WHOLE);
	return b;
}

struct object *
l2_value_object(const struct l2_value *v, struct body *body, uint64_t hash, struct slab *slab)
{
	struct object_parts parts = {.hash = hash,
	    .key = v->key,
	    .vary = v->vary,
	    .tags = v->tags,
	    .head = v->head,
	    .facts = v->facts,
	    .body = body};

	return object_new(slab, &parts);
}
