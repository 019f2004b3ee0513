/* policy/compress.h - which coding a response is sent in, and what that does to its head.
 *
 * Pure verdicts: rules (one route's), facts (one response's) and what the client accepts go in, a
 * plan comes out. Carrying it out is policy/codec.h. The rules of the house:
 *
 *   - Never twice: what the origin has coded is passed as it is to those who take it, and decoded
 *     for those who do not. There is no transcoding from one coding to another.
 *   - Never against the origin's word (no-transform), never part of a representation (206; and not
 *     for a request with Range, whose ranges count in the stored form), never without a body.
 *   - The plan for HEAD is the plan for GET, so that their heads agree; the caller just runs no
 *     codec.
 *   - Whoever may get another form by another Accept-Encoding is told so by Vary, also when this
 *     time nothing was changed.
 */
#ifndef POLICY_COMPRESS_H
#define POLICY_COMPRESS_H

#include "base/buf.h"
#include "http/head.h"
#include "policy/codec.h"

/* clang-format off */
/*   reason          what `forebay explain` says */
#define COMPRESS_REASONS(X)                                                                \
	X(encoded,       "encoded for this client")                                        \
	X(decoded,       "decoded, since the client does not take the origin's coding")    \
	X(coded_already, "coded by the origin")                                            \
	X(off,           "compression is off here")                                        \
	X(not_accepted,  "the client accepts none of the codings offered")                 \
	X(no_body,       "a response with this status has no body")                        \
	X(partial,       "part of a representation is not recoded")                        \
	X(range,         "the request asks for a range")                                   \
	X(no_transform,  "Cache-Control: no-transform")                                    \
	X(type,          "the media type is not on the list")                              \
	X(too_short,     "shorter than min_size")

/* Media types that gain by compression: as media_type_matches() reads them. */
#define COMPRESS_TYPES(X)                                                                  \
	X("text/*") X("+json") X("+xml") X("+yaml") X("+json-seq")                         \
	X("application/json") X("application/javascript") X("application/x-javascript")    \
	X("application/ecmascript") X("application/xml") X("application/wasm")             \
	X("application/ndjson") X("application/x-ndjson") X("application/jsonl")           \
	X("application/json-seq") X("application/yaml") X("application/x-yaml")            \
	X("application/graphql") X("application/rtf") X("application/sql")                 \
	X("application/vnd.apple.mpegurl") X("application/vnd.ms-fontobject")              \
	X("application/x-font-ttf") X("font/ttf") X("font/otf") X("font/collection")       \
	X("image/bmp") X("image/x-icon") X("image/vnd.microsoft.icon")
/* clang-format on */

enum compress_reason {
#define X(name, text) COMPRESS_##name,
	COMPRESS_REASONS(X)
#undef X
};
const char *compress_reason_text(enum compress_reason r);

/* One route's. Immutable once the configuration is loaded. */
struct compress_rules {
	bool is_on; /* default true */
	/* enum encoding, each once, best first, 0 at the end; default br, zstd, gzip */
	uint8_t encodings[ENC_KNOWN + 1];
	uint64_t min_size_bytes;   /* default 256; judged only where the length is known */
	const struct slice *types; /* default COMPRESS_TYPES; borrowed */
	size_t type_count;
	int gzip_level, br_quality,
	    zstd_level;		    /* while streaming; default 0: as codec.h measured */
	struct codec_limits decode; /* default 256 MiB and 200 : 1 */
};
void compress_rules_init(struct compress_rules *r);
/* Whether text may stand in a list of types: type/subtype, type/ and a star, or +suffix. */
bool compress_type_is_valid(struct slice text);

/* Whether a Content-Type is worth compressing, and whether it is an event stream. A missing or
 * malformed one is not. */
bool compress_type_is_listed(const struct compress_rules *r, struct slice content_type);
bool compress_type_is_events(struct slice content_type);

/* What the verdict looks at. */
struct compress_facts {
	uint16_t status;
	enum encoding origin_coding; /* encoding_of_body() of the response as it came */
	uint64_t length;	     /* of the body as it came, or CODEC_SIZE_UNKNOWN */
	bool is_listed;		     /* compress_type_is_listed() */
	bool is_events;	   /* compress_type_is_events(), or Incremental: flush after each piece */
	bool is_passing;   /* not kept: it is coded anew for each client */
	bool no_transform; /* of the response's Cache-Control */
	bool has_range;	   /* the request has a Range that would be honoured */
};

enum compress_verb { COMPRESS_PASS, COMPRESS_ENCODE, COMPRESS_DECODE };

struct compress_plan {
	enum compress_verb verb;
	enum compress_reason reason;
	enum encoding coding; /* ENCODE: to make. DECODE: to undo. PASS: as it is */
	bool has_vary;	      /* the form depends on Accept-Encoding: Vary must say so */
	bool is_flushed;      /* ENCODE: CODEC_FLUSH whenever no more input is at hand */
};

struct compress_plan compress_choose(const struct compress_rules *r, const struct compress_facts *f,
    const struct accept_encoding *accept);

/* The encoder for an ENCODE plan. */
struct codec_options compress_options(
    const struct compress_rules *r, const struct compress_plan *p, uint64_t length);

/* --- What a plan does to the head: copy the origin's fields but those that compress_replaces(), then
 * compress_add_fields(). Trailers with digests go by the same rule. */

/* Whether a field of that name must not be copied: because it is no longer true of the bytes sent
 * (Content-Length, Accept-Ranges, digests), or because compress_add_fields() writes it anew. */
bool compress_replaces(const struct compress_plan *p, enum field_id id);
/* Appends Content-Encoding, the origin's ETag made weak (left out when it is malformed) and one Vary
 * line with the members of the origin's and Accept-Encoding. */
void compress_add_fields(const struct compress_plan *p, const struct head *origin, struct buf *out);

#endif
