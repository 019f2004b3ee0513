#include "cache/l2value.h"

#include <brotli/encode.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "cache/l2wire.h"
#include "http/date.h"
#include "http/negotiate.h"

#define PACK_QUALITY 1
#define PACK_WINDOW 18 /* 256 KiB */
#define TRIM_LEAST_BYTES 4096

int64_t
l2_value_life_ms(const struct object *o, int64_t mono_ms)
{
	const struct object_facts kept = object_facts(o), *f = &kept;
	int64_t stale_ms = f->swr_ms > f->sie_ms ? f->swr_ms : f->sie_ms;
	int64_t left_ms = object_life_ms(o) - object_age_ms(o, mono_ms);

	/* The value does not tell when it was last used: what slides is there as long as it is fresh. */
	if (!f->no_stale && f->slide_ms == 0)
		left_ms += stale_ms;

	if (left_ms > L2_LIFE_MAX_MS)
		return L2_LIFE_MAX_MS;
	return left_ms > 0 ? left_ms : 0;
}

static bool
is_worth_packing(const struct object *o, uint64_t body_bytes)
{
	return o->facts.is_text && o->facts.encoding == ENC_IDENTITY &&
	    body_bytes >= L2_PACK_LEAST_BYTES && body_bytes <= L2_BODY_MOST_BYTES;
}

static void
copy_body(const struct body *b, char *out)
{
	struct body_cursor c = {0};
	struct iovec iov[L2_PEEK_PIECES];
	int n;

	while ((n = body_peek(b, &c, iov, L2_PEEK_PIECES, UINT64_MAX)) > 0)
		for (int i = 0; i < n; i++) {
			memcpy(out, iov[i].iov_base, iov[i].iov_len);
			out += iov[i].iov_len;
			body_advance(&c, iov[i].iov_len);
		}
}

static bool
feed_packer(
    BrotliEncoderState *s, BrotliEncoderOperation op, struct iovec in, char **out, size_t *room)
{
	const uint8_t *next_in = in.iov_base;
	uint8_t *next_out = (uint8_t *)*out;
	size_t left = in.iov_len;
	bool is_fine = BrotliEncoderCompressStream(s, op, &left, &next_in, room, &next_out, NULL);

	*out = (char *)next_out;
	return is_fine && left == 0 &&
	    (op != BROTLI_OPERATION_FINISH || BrotliEncoderIsFinished(s));
}

/* The body as brotli; its length, or 0 when it does not fit into room: then it was not worth it. */
static size_t
pack_body(const struct body *b, char *out, size_t room)
{
	BrotliEncoderState *s = BrotliEncoderCreateInstance(NULL, NULL, NULL);
	struct body_cursor c = {0};
	const char *start = out;
	bool is_fine = s != NULL;
	struct iovec piece;

	if (s == NULL)
		return 0;
	BrotliEncoderSetParameter(s, BROTLI_PARAM_QUALITY, PACK_QUALITY);
	BrotliEncoderSetParameter(s, BROTLI_PARAM_LGWIN, PACK_WINDOW);
	while (is_fine && body_peek(b, &c, &piece, 1, UINT64_MAX) > 0) {
		is_fine = feed_packer(s, BROTLI_OPERATION_PROCESS, piece, &out, &room);
		body_advance(&c, piece.iov_len);
	}
	if (is_fine)
		is_fine =
		    feed_packer(s, BROTLI_OPERATION_FINISH, (struct iovec){NULL, 0}, &out, &room);
	BrotliEncoderDestroyInstance(s);
	return is_fine ? (size_t)(out - start) : 0;
}

/* A packed body in out; its length, or 0 when it is not worth it. */
static size_t
put_packed(const struct object *o, uint64_t body_bytes, char *out)
{
	const struct object_variant *v = object_find_variant(o, ENC_BR);

	if (v == NULL || body_length(v->body) >= body_bytes)
		return pack_body(o->body, out, body_bytes - 1);
	copy_body(v->body, out);
	return body_length(v->body);
}

static uint16_t
flags_of(const struct object_facts *f)
{
	return (uint16_t)((f->no_cache ? L2_FLAG_NO_CACHE : 0) |
	    (f->no_stale ? L2_FLAG_NO_STALE : 0) | (f->life_by_route ? L2_FLAG_LIFE_BY_ROUTE : 0) |
	    (f->is_text ? L2_FLAG_TEXT : 0) | (f->no_transform ? L2_FLAG_NO_TRANSFORM : 0) |
	    (f->immutable ? L2_FLAG_IMMUTABLE : 0));
}

static struct l2_wire
wire_of(const struct object *o, const struct l2_clocks *now, const struct l2_stamp *stamp)
{
	const struct object_facts kept = object_facts(o), *f = &kept;

	return (struct l2_wire){
	    .magic = L2_MAGIC,
	    .version = L2_VERSION,
	    .kind = L2_KIND_OBJECT,
	    .flags = flags_of(f),
	    .status = f->status,
	    .encoding = f->encoding,
	    .key_len = o->key_len,
	    .vary_len = o->vary_len,
	    .tags_len = o->tags_len,
	    .etag_len = f->etag_len,
	    .head_len = o->head_len,
	    .etag_at = f->etag_at,
	    .epoch = stamp->epoch,
	    .seq = stamp->seq,
	    .log_pos = f->log_pos,
	    .born_wall_ms = now->wall_ms - (now->mono_ms - f->born_ms),
	    .expires_wall_ms =
		now->wall_ms + l2_value_life_ms(o, now->mono_ms) + f->life_ms - object_life_ms(o),
	    .age_ms = f->age_ms,
	    .life_ms = f->life_ms < L2_LIFE_MAX_MS ? f->life_ms : L2_LIFE_MAX_MS,
	    .swr_ms = f->swr_ms < L2_LIFE_MAX_MS ? f->swr_ms : L2_LIFE_MAX_MS,
	    .sie_ms = f->sie_ms < L2_LIFE_MAX_MS ? f->sie_ms : L2_LIFE_MAX_MS,
	    .date_s = f->date_s,
	    .modified_s = f->modified_s,
	    .slide_ms = f->slide_ms,
	    .fetch_ms = f->fetch_ms,
	};
}

/* Memory for a value whose parts are that long; *at is where the parts go. */
static int
open_value(struct buf *out, size_t parts, const struct l2_seal *seal, char **at)
{
	*out = (struct buf){.cap = L2_WIRE_SIZE + parts + l2_seal_bytes(seal)};
	out->p = malloc(out->cap);
	if (out->p == NULL) {
		out->cap = 0;
		return -1;
	}
	*at = out->p + L2_WIRE_SIZE;
	return 0;
}

static void
put_slice(char **at, struct slice s)
{
	if (s.n > 0)
		memcpy(*at, s.p, s.n);
	*at += s.n;
}

/* The head in front, now that all is known, and the seal behind. */
static void
close_value(struct buf *out, struct l2_wire *w, const struct l2_seal *seal, char *end)
{
	if (seal->secret != NULL)
		w->flags |= L2_FLAG_SIGNED;
	l2_wire_write(w, out->p);
	out->n = (size_t)(end - out->p);
	l2_seal_make(seal, out->p, out->n, (unsigned char *)out->p + out->n);
	out->n += l2_seal_bytes(seal);
}

/* Gives back the room that was kept for a body that has not been packed. */
static void
trim(struct buf *b)
{
	char *p = b->cap - b->n < TRIM_LEAST_BYTES ? NULL : realloc(b->p, b->n);

	if (p == NULL)
		return;
	b->p = p;
	b->cap = b->n;
}

int
l2_value_write(const struct object *o, const struct l2_clocks *now, const struct l2_stamp *stamp,
    const struct l2_seal *seal, struct buf *out)
{
	uint64_t body_bytes = o->body == NULL ? 0 : body_length(o->body);
	struct l2_wire w = wire_of(o, now, stamp);
	size_t packed = 0;
	char *at;

	*out = (struct buf){0};
	if (o->body != NULL && body_state(o->body) != BODY_WHOLE)
		return -1;
	if (open_value(out, o->key_len + o->vary_len + o->tags_len + o->head_len + body_bytes, seal,
		&at) != 0)
		return -1;
	put_slice(&at, object_key(o));
	put_slice(&at, object_vary(o));
	put_slice(&at, object_tags(o));
	put_slice(&at, object_head(o));
	if (is_worth_packing(o, body_bytes))
		packed = put_packed(o, body_bytes, at);
	if (packed > 0)
		w.flags |= L2_FLAG_PACKED;
	else if (body_bytes > 0)
		copy_body(o->body, at);
	w.body_len = body_bytes;
	w.stored_len = packed > 0 ? packed : body_bytes;
	close_value(out, &w, seal, at + w.stored_len);
	trim(out);
	return 0;
}

int
l2_index_write(struct slice key, struct slice vary, const struct l2_clocks *now,
    const struct l2_seal *seal, struct buf *out)
{
	struct l2_wire w = {.magic = L2_MAGIC,
	    .version = L2_VERSION,
	    .kind = L2_KIND_INDEX,
	    .key_len = (uint16_t)key.n,
	    .born_wall_ms = now->wall_ms,
	    .expires_wall_ms = now->wall_ms + L2_LIFE_MAX_MS};
	char *at, *names;

	if (open_value(out, key.n + vary.n, seal, &at) != 0)
		return -1;
	put_slice(&at, key);
	names = at;
	while (vary.n > 0) {
		size_t n = 0;

		while (n < vary.n && vary.p[n] != '\1' && vary.p[n] != '\2')
			n++;
		if (at != names)
			*at++ = ',';
		put_slice(&at, slice_of(vary.p, n));
		n = slice_index(vary, '\n');
		vary = slice_skip(vary, n < vary.n ? n + 1 : n);
	}
	w.vary_len = (uint16_t)(at - names);
	close_value(out, &w, seal, at);
	return 0;
}
