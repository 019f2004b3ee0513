#include "cache/l2value.h"

#include <brotli/decode.h>
#include <brotli/encode.h>
#include <endian.h>
#include <openssl/crypto.h>
#include <openssl/evp.h>
#include <openssl/hmac.h>
#include <stdio.h>
#include <stdlib.h>
#define XXH_INLINE_ALL
#include <xxhash.h>

#include "base/mem.h"
#include "http/date.h"
#include "http/negotiate.h"

#define MAGIC 0x324c4246u /* "FBL2" */
#define VERSION 4
#define LIFE_MAX_MS (400ll * 86400 * 1000) /* no time in a value is longer */
#define SECONDS_MAX 253402300799ll	   /* the end of year 9999 */
#define SEAL_BYTES 8			   /* XXH3 */
#define SIGNED_SEAL_BYTES 32		   /* HMAC-SHA256 */
#define PACK_QUALITY 1
#define PACK_WINDOW 18 /* 256 KiB */
#define PEEK_PIECES 16
#define TRIM_LEAST_BYTES 4096

enum {
	KIND_OBJECT = 0,
	KIND_INDEX = 1,
};
enum {
	FLAG_SIGNED = 1,
	FLAG_PACKED = 2,
	FLAG_NO_CACHE = 4,
	FLAG_NO_STALE = 8,
	FLAG_LIFE_BY_ROUTE = 16,
	FLAG_TEXT = 32,
	FLAG_NO_TRANSFORM = 64,
	FLAG_IMMUTABLE = 128,
	FLAGS_ALL = 255,
};

/* clang-format off */
/* The fixed head, in the order of its bytes, little-endian.
 *        type      field            */
#define WIRE(X)                       \
	X(uint32_t, magic)            \
	X(uint8_t,  version)          \
	X(uint8_t,  kind)             \
	X(uint16_t, flags)            \
	X(uint64_t, seq)              \
	X(uint16_t, key_len)          \
	X(uint16_t, vary_len)         \
	X(uint16_t, tags_len)         \
	X(uint16_t, status)           \
	X(uint16_t, encoding)         \
	X(uint16_t, etag_len)         \
	X(uint32_t, head_len)         \
	X(uint32_t, etag_at)          \
	X(uint64_t, stored_len)       \
	X(uint64_t, body_len)         \
	X(uint64_t, epoch)            \
	X(uint64_t, log_pos)          \
	X(int64_t,  born_wall_ms)     \
	X(int64_t,  expires_wall_ms)  \
	X(int64_t,  age_ms)           \
	X(int64_t,  life_ms)          \
	X(int64_t,  swr_ms)           \
	X(int64_t,  sie_ms)           \
	X(int64_t,  date_s)           \
	X(int64_t,  modified_s)       \
	X(uint32_t, slide_ms)         \
	X(uint16_t, fetch_ms)
/* clang-format on */

struct wire {
#define X(type, field) type field;
	WIRE(X)
#undef X
};

#define X(type, field) +sizeof(type)
#define WIRE_BYTES (0 WIRE(X))
enum { WIRE_SIZE = WIRE_BYTES };
#undef X

static void
put_number(unsigned char *at, uint64_t v, size_t n)
{
	for (size_t i = 0; i < n; i++)
		at[i] = (unsigned char)(v >> (8 * i));
}

static uint64_t
get_number(const unsigned char *at, size_t n)
{
	uint64_t v = 0;

	for (size_t i = 0; i < n; i++)
		v |= (uint64_t)at[i] << (8 * i);
	return v;
}

static void
wire_write(const struct wire *w, char *out)
{
	unsigned char *at = (unsigned char *)out;

#define X(type, field)                                        \
	put_number(at, (uint64_t)w->field, sizeof(w->field)); \
	at += sizeof(w->field);
	WIRE(X)
#undef X
}

static void
wire_read(struct wire *w, const char *in)
{
	const unsigned char *at = (const unsigned char *)in;

#define X(type, field)                                     \
	w->field = (type)get_number(at, sizeof(w->field)); \
	at += sizeof(w->field);
	WIRE(X)
#undef X
}

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

/* --- the seal --- */

static size_t
seal_bytes(const struct l2_seal *seal)
{
	return seal->secret == NULL ? SEAL_BYTES : SIGNED_SEAL_BYTES;
}

static void
seal_make(const struct l2_seal *seal, const char *p, size_t n, unsigned char *out)
{
	unsigned len = SIGNED_SEAL_BYTES;

	if (seal->secret == NULL)
		put_number(out, XXH3_64bits(p, n), SEAL_BYTES);
	else if (HMAC(EVP_sha256(), seal->secret, (int)seal->secret_bytes, (const unsigned char *)p,
		     n, out, &len) == NULL)
		bug("HMAC-SHA256 is not to be had from OpenSSL");
}

static bool
seal_holds(const struct l2_seal *seal, struct slice bytes)
{
	size_t n = bytes.n - seal_bytes(seal);
	unsigned char made[SIGNED_SEAL_BYTES];

	seal_make(seal, bytes.p, n, made);
	return CRYPTO_memcmp(made, bytes.p + n, seal_bytes(seal)) == 0;
}

/* --- writing --- */

int64_t
l2_value_life_ms(const struct object *o, int64_t mono_ms)
{
	const struct object_facts kept = object_facts(o), *f = &kept;
	int64_t stale_ms = f->swr_ms > f->sie_ms ? f->swr_ms : f->sie_ms;
	int64_t left_ms = object_life_ms(o) - object_age_ms(o, mono_ms);

	/* The value does not tell when it was last used: what slides is there as long as it is fresh. */
	if (!f->no_stale && f->slide_ms == 0)
		left_ms += stale_ms;

	if (left_ms > LIFE_MAX_MS)
		return LIFE_MAX_MS;
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
	struct iovec iov[PEEK_PIECES];
	int n;

	while ((n = body_peek(b, &c, iov, PEEK_PIECES, UINT64_MAX)) > 0)
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
	return (uint16_t)((f->no_cache ? FLAG_NO_CACHE : 0) | (f->no_stale ? FLAG_NO_STALE : 0) |
	    (f->life_by_route ? FLAG_LIFE_BY_ROUTE : 0) | (f->is_text ? FLAG_TEXT : 0) |
	    (f->no_transform ? FLAG_NO_TRANSFORM : 0) | (f->immutable ? FLAG_IMMUTABLE : 0));
}

static struct wire
wire_of(const struct object *o, const struct l2_clocks *now, const struct l2_stamp *stamp)
{
	const struct object_facts kept = object_facts(o), *f = &kept;

	return (struct wire){
	    .magic = MAGIC,
	    .version = VERSION,
	    .kind = KIND_OBJECT,
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
	    .life_ms = f->life_ms < LIFE_MAX_MS ? f->life_ms : LIFE_MAX_MS,
	    .swr_ms = f->swr_ms < LIFE_MAX_MS ? f->swr_ms : LIFE_MAX_MS,
	    .sie_ms = f->sie_ms < LIFE_MAX_MS ? f->sie_ms : LIFE_MAX_MS,
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
	*out = (struct buf){.cap = WIRE_SIZE + parts + seal_bytes(seal)};
	out->p = malloc(out->cap);
	if (out->p == NULL) {
		out->cap = 0;
		return -1;
	}
	*at = out->p + WIRE_SIZE;
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
close_value(struct buf *out, struct wire *w, const struct l2_seal *seal, char *end)
{
	if (seal->secret != NULL)
		w->flags |= FLAG_SIGNED;
	wire_write(w, out->p);
	out->n = (size_t)(end - out->p);
	seal_make(seal, out->p, out->n, (unsigned char *)out->p + out->n);
	out->n += seal_bytes(seal);
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
	struct wire w = wire_of(o, now, stamp);
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
		w.flags |= FLAG_PACKED;
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
	struct wire w = {.magic = MAGIC,
	    .version = VERSION,
	    .kind = KIND_INDEX,
	    .key_len = (uint16_t)key.n,
	    .born_wall_ms = now->wall_ms,
	    .expires_wall_ms = now->wall_ms + LIFE_MAX_MS};
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

/* --- reading --- */

static bool
is_between(int64_t v, int64_t least, int64_t most)
{
	return v >= least && v <= most;
}

static bool
are_facts_possible(const struct wire *w)
{
	if (w->kind == KIND_INDEX)
		return w->vary_len > 0 && w->tags_len + w->head_len == 0 && w->stored_len == 0;
	return w->kind == KIND_OBJECT && (w->flags & ~FLAGS_ALL) == 0 && w->key_len > 0 &&
	    is_between(w->status, 200, 599) && w->encoding <= ENC_ZSTD &&
	    (w->encoding & (w->encoding - 1)) == 0 && w->etag_at <= w->head_len &&
	    w->etag_len <= w->head_len - w->etag_at && is_between(w->age_ms, 0, LIFE_MAX_MS) &&
	    is_between(w->life_ms, 0, LIFE_MAX_MS) && is_between(w->swr_ms, 0, LIFE_MAX_MS) &&
	    is_between(w->sie_ms, 0, LIFE_MAX_MS) && is_between(w->date_s, 0, SECONDS_MAX) &&
	    (w->modified_s == DATE_NONE || is_between(w->modified_s, -SECONDS_MAX, SECONDS_MAX)) &&
	    is_between(w->born_wall_ms, 0, SECONDS_MAX * 1000) &&
	    is_between(w->expires_wall_ms, w->born_wall_ms, SECONDS_MAX * 1000) &&
	    (w->flags & FLAG_PACKED ? w->body_len <= L2_BODY_MOST_BYTES && w->stored_len > 0
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
facts_of(const struct wire *w, const struct l2_clocks *now)
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
	    .no_cache = w->flags & FLAG_NO_CACHE,
	    .no_stale = w->flags & FLAG_NO_STALE,
	    .life_by_route = w->flags & FLAG_LIFE_BY_ROUTE,
	    .is_text = w->flags & FLAG_TEXT,
	    .no_transform = w->flags & FLAG_NO_TRANSFORM,
	    .immutable = w->flags & FLAG_IMMUTABLE,
	};
}

/* Whether the bytes are whole and ours; w is read then. */
static enum l2_flaw
judge_envelope(struct slice bytes, const struct l2_seal *seal, struct wire *w)
{
	uint64_t parts;

	if (bytes.n < WIRE_SIZE + SEAL_BYTES)
		return L2_FLAW_foreign;
	wire_read(w, bytes.p);
	if (w->magic != MAGIC)
		return L2_FLAW_foreign;
	if (w->version != VERSION)
		return L2_FLAW_version;
	if (((w->flags & FLAG_SIGNED) != 0) != (seal->secret != NULL))
		return L2_FLAW_unsealed;
	if (bytes.n < WIRE_SIZE + seal_bytes(seal))
		return L2_FLAW_length;
	parts = bytes.n - WIRE_SIZE - seal_bytes(seal);
	if (w->stored_len > parts ||
	    (uint64_t)w->key_len + w->vary_len + w->tags_len + w->head_len != parts - w->stored_len)
		return L2_FLAW_length;
	return seal_holds(seal, bytes) ? L2_FLAW_none : L2_FLAW_seal;
}

size_t
l2_value_work_bytes(struct slice bytes)
{
	struct wire w = {0};

	if (bytes.n < WIRE_SIZE)
		return bytes.n;
	wire_read(&w, bytes.p);
	if (w.body_len > L2_BODY_MOST_BYTES)
		w.body_len = 0; /* refused unread, unless it stands there as it is */
	return bytes.n > w.body_len ? bytes.n : w.body_len;
}

enum l2_flaw
l2_value_read(struct slice bytes, const struct l2_clocks *now, const struct l2_seal *seal,
    struct l2_value *out)
{
	struct wire w = {0};
	enum l2_flaw flaw = judge_envelope(bytes, seal, &w);

	*out = (struct l2_value){0};
	if (flaw != L2_FLAW_none)
		return flaw;
	if (!are_facts_possible(&w))
		return L2_FLAW_facts;
	bytes = slice_skip(bytes, WIRE_SIZE);
	out->is_index = w.kind == KIND_INDEX;
	out->key = take(&bytes, w.key_len);
	out->vary = take(&bytes, w.vary_len);
	out->tags = take(&bytes, w.tags_len);
	out->head = take(&bytes, w.head_len);
	out->body = take(&bytes, w.stored_len);
	out->is_packed = w.flags & FLAG_PACKED;
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
