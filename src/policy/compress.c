#include "policy/compress.h"

#include "policy/token.h"

#define CODABLE (ENC_GZIP | ENC_BR | ENC_ZSTD) /* what policy/codec.h can make and undo */

const char *
compress_reason_text(enum compress_reason r)
{
	static const char *const texts[] = {
#define X(name, text) [COMPRESS_##name] = text,
	    COMPRESS_REASONS(X)
#undef X
	};

	return texts[r];
}

/* --- Media types -------------------------------------------------------------------------------- */

bool
compress_type_is_valid(struct slice text)
{
	size_t slash = slice_index(text, '/');

	if (slash == text.n)
		return text.n > 1 && text.p[0] == '+' && slice_is_token(text);
	return slice_is_token(slice_of(text.p, slash)) &&
	    slice_is_token(slice_skip(text, slash + 1));
}

bool
compress_type_is_listed(const struct compress_rules *r, struct slice content_type)
{
	struct slice type = media_type_of(content_type);

	for (size_t i = 0; i < r->type_count; i++)
		if (media_type_matches(type, r->types[i]))
			return true;
	return false;
}

bool
compress_type_is_events(struct slice content_type)
{
	return slice_ieq(media_type_of(content_type), SLICE_LIT("text/event-stream"));
}

/* --- The rules ---------------------------------------------------------------------------------- */

static const struct slice default_types[] = {
#define X(text) {text, sizeof(text) - 1},
    COMPRESS_TYPES(X)
#undef X
};

void
compress_rules_init(struct compress_rules *r)
{
	*r = (struct compress_rules){
	    .is_on = true,
	    .encodings = {ENC_BR, ENC_ZSTD, ENC_GZIP},
	    .min_size_bytes = 256,
	    .types = default_types,
	    .type_count = sizeof(default_types) / sizeof(default_types[0]),
	    .decode = {.out_bytes = UINT64_C(256) << 20, .ratio = 200},
	};
}

/* --- The verdict -------------------------------------------------------------------------------- */

static bool
status_has_body(uint16_t status)
{
	return status >= 200 && status != 204 && status != 205 && status != 304;
}

static struct compress_plan
plan_pass(enum encoding coding, enum compress_reason why)
{
	return (struct compress_plan){.verb = COMPRESS_PASS, .coding = coding, .reason = why};
}

/* The origin has coded it: as it is to those who take it, decoded to those who do not. */
static struct compress_plan
choose_for_coded(const struct compress_facts *f, const struct accept_encoding *accept)
{
	struct compress_plan p = plan_pass(f->origin_coding, COMPRESS_coded_already);

	if (f->no_transform) {
		p.reason = COMPRESS_no_transform;
		return p;
	}
	if ((f->origin_coding & CODABLE) == 0)
		return p;
	p.has_vary = true;
	if ((accept->accepted & f->origin_coding) != 0 || (accept->accepted & ENC_IDENTITY) == 0)
		return p;
	p.verb = COMPRESS_DECODE;
	p.reason = COMPRESS_decoded;
	return p;
}

/* Why this response is encoded for nobody, or COMPRESS_encoded. */
static enum compress_reason
reason_against(const struct compress_rules *r, const struct compress_facts *f)
{
	if (!r->is_on || r->encodings[0] == 0)
		return COMPRESS_off;
	if (f->no_transform)
		return COMPRESS_no_transform;
	if (!f->is_listed)
		return COMPRESS_type;
	if (f->length == 0 || f->length < r->min_size_bytes) /* CODEC_SIZE_UNKNOWN is above all */
		return COMPRESS_too_short;
	return COMPRESS_encoded;
}

/* The route's order with one coding at the front, where the route offers it. */
static void
order_with_first(const uint8_t *order, enum encoding first, uint8_t out[ENC_KNOWN + 1])
{
	size_t n = 0;

	if (memchr(order, first, strlen((const char *)order)) != NULL)
		out[n++] = (uint8_t)first;
	for (; *order != 0; order++)
		if (*order != first)
			out[n++] = *order;
	out[n] = 0;
}

/* For streams of small events gzip does as well as the others with an eighth of the memory. What is coded anew for each
 * client is coded by zstd in half of brotli's time, and comes out as small. */
static enum encoding
choose_coding(const struct compress_rules *r, const struct compress_facts *f,
    const struct accept_encoding *accept)
{
	uint8_t order[ENC_KNOWN + 1];

	if (!f->is_events && !f->is_passing)
		return accept_encoding_choose(accept, r->encodings, CODABLE | ENC_IDENTITY);
	order_with_first(r->encodings, f->is_events ? ENC_GZIP : ENC_ZSTD, order);
	return accept_encoding_choose(accept, order, CODABLE | ENC_IDENTITY);
}

struct compress_plan
compress_choose(const struct compress_rules *r, const struct compress_facts *f,
    const struct accept_encoding *accept)
{
	enum compress_reason against;
	struct compress_plan p;

	if (!status_has_body(f->status))
		return plan_pass(f->origin_coding, COMPRESS_no_body);
	if (f->status == 206)
		return plan_pass(f->origin_coding, COMPRESS_partial);
	if (f->origin_coding != ENC_IDENTITY)
		return choose_for_coded(f, accept);
	if ((against = reason_against(r, f)) != COMPRESS_encoded)
		return plan_pass(ENC_IDENTITY, against);
	p = (struct compress_plan){.verb = COMPRESS_ENCODE, .reason = COMPRESS_encoded};
	p.has_vary = true;
	p.is_flushed = f->is_events;
	p.coding = choose_coding(r, f, accept);
	if (f->has_range || p.coding == ENC_IDENTITY) {
		p.verb = COMPRESS_PASS;
		p.reason = f->has_range ? COMPRESS_range : COMPRESS_not_accepted;
		p.coding = ENC_IDENTITY;
	}
	return p;
}

struct codec_options
compress_options(const struct compress_rules *r, const struct compress_plan *p, uint64_t length)
{
	int level = p->coding == ENC_BR ? r->br_quality
	    : p->coding == ENC_ZSTD	? r->zstd_level
					: r->gzip_level;

	return (struct codec_options){
	    .coding = p->coding,
	    .level = level,
	    .size_hint = length,
	    .is_long_lived = p->is_flushed,
	};
}

/* --- The head ----------------------------------------------------------------------------------- */

bool
compress_replaces(const struct compress_plan *p, enum field_id id)
{
	switch (id) {
	case FIELD_VARY:
		return p->has_vary;
	case FIELD_CONTENT_LENGTH:
	case FIELD_CONTENT_ENCODING:
	case FIELD_ACCEPT_RANGES:
	case FIELD_ETAG:
	case FIELD_CONTENT_MD5:
	case FIELD_DIGEST:
	case FIELD_CONTENT_DIGEST:
	case FIELD_REPR_DIGEST:
		return p->verb != COMPRESS_PASS;
	default:
		return false;
	}
}

/* Other bytes, same meaning: no longer the origin's strong validator (RFC 9110 section 8.8.1). */
static void
add_weak_etag(struct slice etag, struct buf *out)
{
	bool is_weak = slice_starts(etag, SLICE_LIT("W/"));
	struct slice opaque = is_weak ? slice_skip(etag, 2) : etag;

	if (opaque.n < 2 || opaque.p[0] != '"' || opaque.p[opaque.n - 1] != '"')
		return;
	buf_add_lit(out, "ETag: W/");
	buf_add_slice(out, opaque);
	buf_add_lit(out, "\r\n");
}

static void
add_vary(const struct head *origin, struct buf *out)
{
	struct list_walk walk = {0};
	struct slice member;
	bool is_told = false;

	buf_add_lit(out, "Vary: ");
	while (head_list_next(origin, FIELD_VARY, &walk, &member)) {
		is_told |= slice_eq(member, SLICE_LIT("*")) ||
		    slice_ieq(member, SLICE_LIT("Accept-Encoding"));
		buf_add_slice(out, member);
		buf_add_lit(out, ", ");
	}
	if (is_told)
		out->n -= 2;
	else
		buf_add_lit(out, "Accept-Encoding");
	buf_add_lit(out, "\r\n");
}

void
compress_add_fields(const struct compress_plan *p, const struct head *origin, struct buf *out)
{
	if (p->verb == COMPRESS_ENCODE) {
		buf_add_lit(out, "Content-Encoding: ");
		buf_add_slice(out, encoding_token(p->coding));
		buf_add_lit(out, "\r\n");
	}
	if (p->verb != COMPRESS_PASS)
		add_weak_etag(head_value(origin, FIELD_ETAG), out);
	if (p->has_vary)
		add_vary(origin, out);
}
