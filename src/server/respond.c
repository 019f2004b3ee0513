/* The answer's head: which representation, which part of it, and the fields. */
#include <stdio.h>

#include "base/hash.h"
#include "base/mem.h"
#include "http/incremental.h"
#include "http/conditional.h"
#include "http/fieldrun.h"
#include "http/statusline.h"
#include "http/vary.h"
#include "server/exchange_priv.h"
#include "server/rendered.h"
#include "server/segments.h"
#include "server/affinity.h"

/* clang-format off */
#define STATUSES(X)                                                                              \
	X(100, "Continue") X(101, "Switching Protocols") X(200, "OK") X(201, "Created")          \
	X(202, "Accepted") X(204, "No Content") X(206, "Partial Content")                        \
	X(301, "Moved Permanently") X(302, "Found") X(303, "See Other") X(304, "Not Modified")   \
	X(307, "Temporary Redirect") X(308, "Permanent Redirect") X(400, "Bad Request")          \
	X(401, "Unauthorized") X(403, "Forbidden") X(404, "Not Found") X(405, "Method Not Allowed") \
	X(408, "Request Timeout") X(409, "Conflict") X(410, "Gone") X(411, "Length Required")    \
	X(412, "Precondition Failed") X(413, "Content Too Large") X(414, "URI Too Long")         \
	X(416, "Range Not Satisfiable") X(421, "Misdirected Request") X(429, "Too Many Requests") \
	X(431, "Request Header Fields Too Large") X(451, "Unavailable For Legal Reasons")        \
	X(500, "Internal Server Error") X(501, "Not Implemented") X(502, "Bad Gateway")          \
	X(503, "Service Unavailable") X(504, "Gateway Timeout") X(505, "HTTP Version Not Supported")
/* clang-format on */

const char *
status_phrase(unsigned status)
{
	switch (status) {
#define X(code, phrase) \
	case code:      \
		return phrase;
		STATUSES(X)
#undef X
	default:
		return "";
	}
}

/* --- answers of our own --- */

#define RETRY_AFTER_LEAST_S 1
#define RETRY_AFTER_SPREAD_S 3

/* RFC 9110 section 10.2.3. Spread, so that those who were turned away together do not come back together. */
void
exchange_add_retry_after(struct exchange *x)
{
	size_t n = x->request_id.n;
	unsigned spread = n == 0 ? 0 : (unsigned char)x->request_id.p[n - 1];

	buf_add_lit(&x->own_fields, "Retry-After: ");
	buf_add_u64(&x->own_fields, RETRY_AFTER_LEAST_S + spread % RETRY_AFTER_SPREAD_S);
	buf_add_lit(&x->own_fields, "\r\n");
}

enum exchange_next
exchange_own(struct exchange *x, unsigned status, const char *why)
{
	if (status == 503)
		exchange_add_retry_after(x);
	x->answer = ANSWER_OWN;
	x->status = status;
	x->reason = why;
	x->tier = TIER_self;
	x->own_type = NULL;
	return exchange_to(x, STEP_respond);
}

/* An error without a body gets one: problem details (RFC 9457), or a page for people. */
static void
write_error_body(struct exchange *x)
{
	const char *phrase = status_phrase(x->status);

	if (x->own_type != NULL || x->own_body.n > 0 || x->status < 300 || x->status == 304)
		return;
	if (x->head.base != NULL && accept_prefers_html(&x->head)) {
		x->own_type = "text/html; charset=utf-8";
		buf_printf(&x->own_body,
		    "<!doctype html><html lang=\"en\"><meta charset=\"utf-8\"><title>%u %s</title>"
		    "<h1>%u %s</h1>\n",
		    x->status, phrase, x->status, phrase);
		return;
	}
	if (x->status < 400)
		return;
	x->own_type = "application/problem+json";
	buf_printf(&x->own_body, "{\"type\":\"about:blank\",\"title\":\"%s\",\"status\":%u}\n",
	    phrase, x->status);
}

/* --- lines that every answer carries --- */

static void
add_line(struct buf *out, const char *name, struct slice value)
{
	buf_add(out, name, strlen(name));
	buf_add_lit(out, ": ");
	buf_add_slice(out, value);
	buf_add_lit(out, "\r\n");
}

/* Life left, in seconds, for Cache-Status; negative when stale. */
static int64_t
ttl_s(const struct exchange *x)
{
	const struct object *o = x->object;
	int64_t left = object_life_ms(o) - object_age_ms(o, loop_now_ms(x->worker->loop));

	return left >= 0 ? left / 1000 : (left - 999) / 1000;
}

/* What a writer may count on for his purges. */
static const char *
purged_detail(enum purge_level level)
{
	static const char *const details[] = {
	    [PURGE_HERE] = "purged-here",
	    [PURGE_JOURNALLED] = "purged-journalled",
	    [PURGE_APPENDED] = "purged-appended",
	    [PURGE_EVERYWHERE] = "purged-everywhere",
	};

	return details[level];
}

/* What the one word for it is, once it is known what became of the response. */
static const char *
detail(const struct exchange *x, bool from_store, bool stored)
{
	if (!from_store && !stored && x->is_shared && !x->is_collapsed)
		return store_verdict_detail(x->verdict);
	if (x->has_been_told)
		return purged_detail(x->told.level);
	return *x->detail == '\0' && x->tier == TIER_redis ? "redis" : x->detail;
}

static void
add_cache_status(struct exchange *x)
{
	bool from_store = x->tier == TIER_memory || x->tier == TIER_redis;
	struct cache_status s = {.name = slice_from(x->site->name),
	    .fwd = from_store ? CACHE_FWD_NONE : x->fwd,
	    .fwd_status = from_store || x->answer != ANSWER_OBJECT ? 0
		: x->word == CACHE_WORD_REVALIDATED		   ? 304
								   : x->object->facts.status,
	    .ttl_s = CACHE_TTL_NONE,
	    .collapsed = x->is_collapsed,
	    .stored = !from_store && x->answer == ANSWER_OBJECT && x->is_shared &&
		(x->is_collapsed ? x->object->facts.is_in_slab : x->verdict == STORE_STORED)};

	buf_add_lit(&x->out, "X-Cache-Status: ");
	buf_add_slice(&x->out, slice_from(cache_word_name(x->word)));
	buf_add_lit(&x->out, "\r\n");
	if (x->answer != ANSWER_OBJECT)
		return; /* RFC 9211 section 2: not on answers made here */
	if (from_store || s.stored)
		s.ttl_s = ttl_s(x);
	x->detail = detail(x, from_store, s.stored);
	s.detail = *x->detail == '\0' ? SLICE_NONE : slice_from(x->detail);
	buf_add_lit(&x->out, "Cache-Status: ");
	if (x->is_rendered)
		cache_status_write(&x->out, &s);
	else
		cache_status_append(&x->out, &x->origin, &s);
	buf_add_lit(&x->out, "\r\n");
}

static void
add_limits(struct exchange *x)
{
	if (x->met_count > 0)
		rate_lines_add(&x->out, x->site->rate_style, x->met, x->met_count);
}

static void
add_date(struct exchange *x, struct buf *out)
{
	char date[DATE_LEN];

	date_format(loop_wall_ms(x->worker->loop) / 1000, date);
	add_line(out, "Date", slice_of(date, DATE_LEN));
}

static const struct headers *
header_rules(const struct exchange *x)
{
	return x->route != NULL ? x->route->headers : x->site->headers;
}

static void
add_security(struct exchange *x, const struct head *origin)
{
	if (header_rules(x) != NULL)
		headers_apply(header_rules(x), origin, x->is_https, &x->out);
}

/* What differs from answer to answer. */
static void
add_own_lines(struct exchange *x)
{
	add_cache_status(x);
	add_limits(x);
	affinity_add_field(x, &x->out);
	buf_add_lit(&x->out, "X-Request-Id: ");
	buf_add_slice(&x->out, x->request_id);
	buf_add_lit(&x->out, "\r\n");
}

static void
start_line(struct exchange *x, struct slice reason)
{
	status_line_begin(&x->out, x->status);
	buf_add_slice(&x->out, reason);
	buf_add_lit(&x->out, "\r\n");
}

/* Hands the head to the client; the body follows by STEP_deliver. */
static enum exchange_next
reply(struct exchange *x, bool has_body, bool has_length, uint64_t length)
{
	struct reply r = {.status = x->status,
	    .head = &x->out,
	    .has_body = has_body,
	    .has_length = has_length,
	    .length = length,
	    .must_close = x->closes || x->worker->draining,
	    .drops_upload = x->rider.flight == NULL};

	x->replied = true;
	if (!has_body || x->answer == ANSWER_OWN)
		x->segments.is_on = false; /* nothing of them is sent */
	x->client->ops->reply(x->client, &r);
	if (!has_body && x->source != NULL)
		body_unref(&x->source);
	return exchange_to(x, STEP_deliver);
}

static enum exchange_next
respond_own(struct exchange *x)
{
	bool bodyless = x->head.method == METHOD_HEAD || x->status == 304 || x->status == 204;

	write_error_body(x);
	start_line(x, slice_from(status_phrase(x->status)));
	add_date(x, &x->out);
	if (x->own_body.n > 0 && x->own_type != NULL)
		add_line(&x->out, "Content-Type", slice_from(x->own_type));
	if (x->tier == TIER_self && x->status >= 400)
		add_line(&x->out, "Cache-Control", SLICE_LIT("no-store"));
	buf_add_slice(&x->out, buf_slice(&x->own_fields));
	add_security(x, NULL);
	add_own_lines(x);
	if (!bodyless && x->own_body.n > 0) {
		x->source = body_of(NULL, buf_slice(&x->own_body));
		if (x->source == NULL) {
			x->end = END_body_broken;
			return EXCHANGE_OVER;
		}
	}
	x->send_until = x->own_body.n;
	return reply(x, !bodyless, x->status != 304 && x->status != 204, x->own_body.n);
}

/* --- answers from an object --- */

/* Length of the object's own body, if it is known by now. */
static uint64_t
source_length(const struct body *b)
{
	if (b->expected != BODY_LENGTH_UNKNOWN)
		return b->expected;
	return body_state(b) == BODY_WHOLE ? body_length(b) : BODY_LENGTH_UNKNOWN;
}

static struct validators
validators_of(const struct object *o)
{
	return (struct validators){
	    .etag = object_etag(o), .modified_s = o->facts.modified_s, .date_s = o->facts.date_s};
}

/* The origin's fields, but for those that are written anew. part: the answer is a 206 or 416. */
static void
copy_fields(struct exchange *x, const struct compress_plan *plan, bool for_304, bool own_type)
{
	const struct head *h = &x->origin;
	struct field_run run = {h, &x->out, 0, 0};

	for (unsigned i = 0; i < h->count; i++) {
		const struct field *f = &h->fields[i];

		switch (f->id) {
		case FIELD_CONTENT_LENGTH:
		case FIELD_AGE:
		case FIELD_CACHE_STATUS:
		case FIELD_X_CACHE_STATUS:
		case FIELD_X_REQUEST_ID:
			continue;
		case FIELD_CACHE_TAG:
		case FIELD_SURROGATE_KEY:
		case FIELD_XKEY:
			if (x->route != NULL && x->route->cache.hides_tags)
				continue;
			break;
		case FIELD_CONTENT_RANGE:
			if (x->segments.is_on) /* the outline's */
				continue;
			break;
		case FIELD_CONTENT_TYPE:
			if (own_type)
				continue;
			break;
		default:
			break;
		}
		if ((header_rules(x) != NULL && headers_drops(header_rules(x), h, f)) ||
		    (plan != NULL && compress_replaces(plan, (enum field_id)f->id)) ||
		    (for_304 && !field_goes_in_304(h, f)))
			continue;
		field_run_add(&run, f);
	}
	field_run_end(&run);
}

static void
add_age(struct exchange *x)
{
	int64_t age_ms = object_age_ms(x->object, loop_now_ms(x->worker->loop));
	bool fetched_now = x->tier == TIER_origin && x->word != CACHE_WORD_REVALIDATED;

	if (fetched_now && (x->segments.is_on ? age_ms : x->object->facts.age_ms) < 1000)
		return; /* straight from the origin: no age to tell */
	buf_add_lit(&x->out, "Age: ");
	buf_add_u64(&x->out, (uint64_t)age_to_send_s(age_ms));
	buf_add_lit(&x->out, "\r\n");
}

static enum exchange_next
respond_304(struct exchange *x, const struct compress_plan *plan)
{
	struct compress_plan named = *plan;

	/* A 304 names the form by its ETag and Vary; a coding it does not carry. */
	if (named.verb == COMPRESS_ENCODE)
		named.verb = COMPRESS_DECODE;
	x->status = 304;
	start_line(x, SLICE_LIT("Not Modified"));
	copy_fields(x, &named, true, false);
	compress_add_fields(&named, &x->origin, &x->out);
	add_security(x, &x->origin);
	add_age(x);
	add_own_lines(x);
	return reply(x, false, false, 0);
}

static enum exchange_next
respond_416(struct exchange *x, uint64_t length)
{
	exchange_own(x, 416, "the range lies behind the end");
	x->tier = TIER_memory;
	content_range_write_unsatisfied(&x->own_fields, length);
	return respond_own(x);
}

static enum exchange_next
respond_one_range(struct exchange *x, const struct byte_range *r, uint64_t length)
{
	content_range_write(&x->out, r, length);
	x->seek_to = r->from;
	x->seeks = r->from > 0;
	x->send_until = r->to + 1;
	return reply(x, true, true, r->to + 1 - r->from);
}

static bool
is_ascending(const struct ranges *rs)
{
	for (unsigned i = 1; i < rs->count; i++)
		if (rs->at[i].from < rs->at[i - 1].from)
			return false;
	return true;
}

/* Several: the parts in the order asked for, each behind its own head. */
static enum exchange_next
respond_ranges(struct exchange *x, const struct ranges *rs, uint64_t length)
{
	struct slice type = head_value(&x->origin, FIELD_CONTENT_TYPE), boundary;
	struct buf text = {0};
	uint64_t random;

	random_bytes(&random, sizeof(random));
	boundary = arena_printf(&x->mem, "forebay%016llx", (unsigned long long)random);
	x->parts = arena_zalloc(&x->mem, (rs->count + 1) * sizeof(*x->parts));
	x->parts_count = rs->count;
	for (unsigned i = 0; i <= rs->count; i++) {
		text.n = 0;
		if (i < rs->count)
			multipart_part_head(&text, i == 0, boundary, type, &rs->at[i], length);
		else
			multipart_end(&text, boundary);
		x->parts[i].head = arena_copy(&x->mem, buf_slice(&text));
		if (i < rs->count)
			x->parts[i].range = rs->at[i];
	}
	buf_fini(&text);
	multipart_type_write(&x->out, boundary);
	x->part = 0;
	x->part_head = x->parts[0].head;
	x->seek_to = rs->at[0].from;
	x->seeks = true;
	x->send_until = rs->at[0].to + 1;
	return reply(x, true, true, multipart_length(rs, boundary, type, length));
}

/* The origin's answer to a HEAD: that no body came says nothing of its length. */
static bool
is_head_of_origin(const struct exchange *x)
{
	return x->head.method == METHOD_HEAD && x->tier == TIER_origin && !x->is_shared;
}

static struct compress_plan
choose_coding(struct exchange *x, bool has_range)
{
	const struct object *o = x->object;
	struct slice type = head_value(&x->origin, FIELD_CONTENT_TYPE);
	struct compress_facts facts = {.status = o->facts.status,
	    .origin_coding = (enum encoding)o->facts.encoding,
	    .length = source_length(o->body),
	    .is_listed =
		x->route->compress.is_on && compress_type_is_listed(&x->route->compress, type),
	    .is_events = compress_type_is_events(type) || message_is_incremental(&x->origin),
	    .is_passing = !o->facts.is_in_slab && !(is_head_of_origin(x) && x->route->cache.is_on),
	    .no_transform = o->facts.no_transform,
	    .has_range = has_range};

	/* What GET's would be is judged. */
	if (is_head_of_origin(x) && facts.length == 0 &&
	    !slice_to_u64(head_value(&x->origin, FIELD_CONTENT_LENGTH), &facts.length))
		facts.length = CODEC_SIZE_UNKNOWN;
	return compress_choose(&x->route->compress, &facts, &x->accept);
}

/* A coded variant that is there already is sent as it is. Else a codec makes it while it goes out, and what comes out of a
 * stored object is kept with it. */
static bool
begin_coding(struct exchange *x, const struct compress_plan *plan)
{
	struct codec_options options;
	struct object_variant *v;
	struct object *o = x->object;

	x->coded_as = plan->verb == COMPRESS_ENCODE ? plan->coding : ENC_IDENTITY;
	v = plan->verb == COMPRESS_ENCODE ? object_find_variant(o, (uint8_t)plan->coding) : NULL;
	if (v != NULL) {
		body_unref(&x->source);
		x->source = body_ref(v->body);
		return true;
	}
	options = compress_options(&x->route->compress, plan, source_length(o->body));
	x->codec = plan->verb == COMPRESS_ENCODE
	    ? codec_new_encoder(x->worker->codecs, &options)
	    : codec_new_decoder(x->worker->codecs, plan->coding, &x->route->compress.decode);
	if (x->codec == NULL)
		return false;
	x->codec_flushes = plan->verb == COMPRESS_ENCODE;
	x->coded_is_kept = o->facts.is_in_slab && plan->verb == COMPRESS_ENCODE;
	x->coded = body_new(x->coded_is_kept ? object_slab(o) : NULL, BODY_LENGTH_UNKNOWN);
	if (x->coded == NULL) {
		codec_free(&x->codec);
		return false;
	}
	observe_add(x->worker->observer, COUNT_compressed, 1);
	return true;
}

/* The body that goes out whole. Where its coding cannot be made (compressors take bounded memory) it goes as it is. False:
 * it cannot be decoded, as far as it has come. */
static bool
prepare_body(struct exchange *x, struct compress_plan *plan, bool bodyless)
{
	if (x->segments.is_on && !bodyless) {
		x->send_until = x->segments.version.length;
		return true;
	}
	x->source = body_ref(x->object->body);
	x->send_until = BODY_LENGTH_UNKNOWN;
	if (plan->verb != COMPRESS_PASS && !bodyless && !begin_coding(x, plan))
		plan->verb = COMPRESS_PASS;
	return plan->verb != COMPRESS_DECODE || x->coded == NULL || exchange_code(x);
}

static enum exchange_next
respond_undecodable(struct exchange *x)
{
	codec_free(&x->codec);
	body_unref(&x->coded);
	body_unref(&x->source);
	exchange_own(x, 502, "the origin's coded body is damaged");
	return respond_own(x);
}

#define RENDERED_FOR(x) .route = (x)->route, .is_tls = (x)->is_https, .accept = (x)->accept

/* A fresh hit asked for plainly: the whole, without conditions. */
static bool
is_plain_hit(const struct exchange *x)
{
	const struct head *h = &x->head;

	return x->word == CACHE_WORD_HIT && x->tier == TIER_memory && h->method == METHOD_GET &&
	    !object_is_outline(x->object) && !head_has(h, FIELD_RANGE) &&
	    !head_has(h, FIELD_IF_NONE_MATCH) && !head_has(h, FIELD_IF_MODIFIED_SINCE) &&
	    !head_has(h, FIELD_IF_MATCH) && !head_has(h, FIELD_IF_UNMODIFIED_SINCE);
}

/* Trailers came with a body of unannounced length, and this client can be given them. */
static bool
has_trailers_for(const struct exchange *x)
{
	const struct body *b = x->source;

	return x->head.minor >= 1 && b->expected == BODY_LENGTH_UNKNOWN &&
	    body_state(b) == BODY_WHOLE && body_trailers(b).n > 0;
}

/* What goes out is what every such request gets: nothing was left out for want of memory, or because this client cannot be given it. */
static bool
is_the_same_for_all(const struct exchange *x, const struct compress_plan *plan)
{
	bool is_makeshift = plan->verb == COMPRESS_PASS &&
	    (plan->reason == COMPRESS_encoded || plan->reason == COMPRESS_decoded);

	return is_plain_hit(x) && x->coded == NULL && !is_makeshift &&
	    body_trailers(x->source).n == 0 && !head_has(&x->origin, FIELD_CACHE_STATUS);
}

static enum exchange_next
respond_whole(struct exchange *x, const struct compress_plan *plan, bool bodyless)
{
	bool coded = plan->verb != COMPRESS_PASS;
	uint64_t length = coded && bodyless
	    ? BODY_LENGTH_UNKNOWN
	    : source_length(x->coded != NULL ? x->coded : x->source);

	if (length != BODY_LENGTH_UNKNOWN && x->coded == NULL && has_trailers_for(x))
		length = BODY_LENGTH_UNKNOWN; /* they need chunks */
	if (!bodyless && length != BODY_LENGTH_UNKNOWN && is_the_same_for_all(x, plan))
		rendered_keep(x->site->rendered, x->object, &(struct rendered_for){RENDERED_FOR(x)},
		    slice_of(x->out.p, x->fixed_len),
		    x->source == x->object->body ? 0 : (uint8_t)x->coded_as);
	if (is_head_of_origin(x))
		length = BODY_LENGTH_UNKNOWN;
	if (bodyless && is_head_of_origin(x) && !coded &&
	    head_has(&x->origin, FIELD_CONTENT_LENGTH) && body_length(x->object->body) == 0)
		slice_to_u64(head_value(&x->origin, FIELD_CONTENT_LENGTH), &length);
	return reply(
	    x, !bodyless, x->head.method == METHOD_HEAD && length != BODY_LENGTH_UNKNOWN, length);
}

static bool
status_has_no_body(unsigned status)
{
	return status == 204 || status == 304 || status < 200;
}

/* What of the object goes out, and in which form. */
struct form {
	uint64_t length; /* of the whole; BODY_LENGTH_UNKNOWN */
	bool bodyless, is_not_modified;
	enum range_answer ranged;
	struct ranges ranges;
	struct compress_plan plan;
};

/* Conditional, then range, then coding: RFC 9110 section 13.2.2 gives the order. */
static void
choose_form(struct exchange *x, struct form *f)
{
	struct object *o = x->object;
	struct validators v = validators_of(o);
	int64_t now_s = loop_wall_ms(x->worker->loop) / 1000;
	bool in_segments = x->segments.is_on;

	x->status = in_segments ? 200 : o->facts.status;
	f->length = in_segments ? x->segments.version.length : source_length(o->body);
	f->bodyless = x->head.method == METHOD_HEAD || status_has_no_body(o->facts.status);
	f->ranged = RANGE_WHOLE;
	if (x->is_shared && x->status == 200 && f->length != BODY_LENGTH_UNKNOWN &&
	    (x->head.method == METHOD_GET || x->is_query) &&
	    range_condition_holds(&x->head, &v, now_s))
		f->ranged = range_judge_request(&x->head, f->length, &f->ranges);
	if (f->ranged == RANGE_PARTS && body_state(o->body) == BODY_OPEN &&
	    !is_ascending(&f->ranges))
		f->ranged = RANGE_WHOLE; /* what passes cannot be gone back in */
	f->plan = choose_coding(x, f->ranged != RANGE_WHOLE || in_segments);
	if (f->plan.verb == COMPRESS_DECODE)
		f->ranged =
		    RANGE_WHOLE; /* positions in the coded body say nothing of the decoded one */
	f->is_not_modified = x->is_shared &&
	    condition_judge(&x->head, &v, o->facts.status, now_s) == CONDITION_NOT_MODIFIED;
}

static void
write_head(struct exchange *x, const struct form *f)
{
	start_line(x,
	    x->status == x->object->facts.status && !x->segments.is_on
		? head_reason(&x->origin)
		: slice_from(status_phrase(x->status)));
	copy_fields(x, &f->plan, false, f->ranged == RANGE_PARTS && f->ranges.count > 1);
	compress_add_fields(&f->plan, &x->origin, &x->out);
	if (!head_has(&x->origin, FIELD_DATE))
		add_date(x, &x->out);
	add_security(x, &x->origin);
	x->fixed_len = x->out.n;
	add_age(x);
	add_own_lines(x);
}

/* Segments: the one it begins in is at hand before anything is said, so that there may still be another answer. */
static enum segments_reach
reach_first(struct exchange *x, const struct form *f)
{
	if (!x->segments.is_on || f->bodyless)
		return SEGMENT_READY;
	return segments_reach(x, f->ranged == RANGE_PARTS ? f->ranges.at[0].from : 0);
}

void
exchange_has_head(struct exchange *x, struct object *o, const struct head *h)
{
	object_unref(&x->origin_of);
	x->origin_of = object_ref(o);
	head_copy(&x->origin, h);
	x->origin.base = object_head(o).p;
}

/* x->origin is the head of what is answered from. */
static void
exchange_read_head(struct exchange *x)
{
	if (x->origin_of == x->object)
		return;
	object_unref(&x->origin_of);
	if (!head_of_stored(&x->origin, object_head(x->object)))
		bug("a stored head does not parse");
}

void
exchange_foresee(struct exchange *x)
{
	struct form f;

	exchange_read_head(x);
	if (object_is_outline(x->object) && !segments_begin(x)) {
		exchange_own(x, 502, "what is stored does not say its length");
		return;
	}
	choose_form(x, &f);
	if (f.is_not_modified)
		x->status = 304;
	else if (f.ranged == RANGE_UNSATISFIABLE)
		x->status = 416;
	else if (f.ranged == RANGE_PARTS)
		x->status = 206;
	if (x->segments.is_on && !f.bodyless && x->status != 304 && x->status != 416)
		segments_foresee(x, f.ranged == RANGE_PARTS ? f.ranges.at[0].from : 0);
}

static enum exchange_next
respond_object(struct exchange *x)
{
	struct form f;

	exchange_read_head(x);
	if (object_is_outline(x->object) && !segments_begin(x))
		return exchange_own(x, 502, "what is stored does not say its length");
	choose_form(x, &f);
	if (f.is_not_modified)
		return respond_304(x, &f.plan);
	if (f.ranged == RANGE_UNSATISFIABLE)
		return respond_416(x, f.length);
	switch (reach_first(x, &f)) {
	case SEGMENT_READY:
		break;
	case SEGMENT_WAITS:
		return EXCHANGE_WAIT;
	case SEGMENT_LOST:
		return segments_lost(x);
	}
	if (f.ranged == RANGE_PARTS) {
		x->status = 206;
		if (!x->segments.is_on)
			x->source = body_ref(x->object->body);
	} else if (!prepare_body(x, &f.plan, f.bodyless))
		return respond_undecodable(x);
	write_head(x, &f);
	if (f.ranged == RANGE_PARTS)
		return f.ranges.count == 1 ? respond_one_range(x, &f.ranges.at[0], f.length)
					   : respond_ranges(x, &f.ranges, f.length);
	if (x->segments.is_on)
		return reply(x, !f.bodyless, true, f.length);
	return respond_whole(x, &f.plan, f.bodyless);
}

/* --- answers that have been rendered before --- */

/* The same lines as those of add_age and add_own_lines, of a hit of which there is nothing more to say. */
static void
add_hit_lines(struct exchange *x)
{
	const struct object *o = x->object;
	struct slice said = x->site->hit_lines, id = x->request_id;
	int64_t age_ms = object_age_ms(o, loop_now_ms(x->worker->loop));
	int64_t ttl_s = (object_life_ms(o) - age_ms) / 1000;
	char *at = buf_room(&x->out, said.n + id.n + 2 * U64_DIGITS + 64);

	at = LIT_WRITE(at, "Age: ");
	at = u64_write(at, (uint64_t)age_to_send_s(age_ms));
	at = LIT_WRITE(at, "\r\n");
	at = bytes_write(at, said.p, said.n);
	at = u64_write(at, (uint64_t)ttl_s);
	at = LIT_WRITE(at, "\r\n");
	if (x->met_count > 0) {
		x->out.n = (size_t)(at - x->out.p);
		add_limits(x);
		at = buf_room(&x->out, id.n + 64);
	}
	at = LIT_WRITE(at, "X-Request-Id: ");
	at = bytes_write(at, id.p, id.n);
	at = LIT_WRITE(at, "\r\n");
	x->out.n = (size_t)(at - x->out.p);
}

/* The head as it was rendered for such a request, and the lines that differ. False: there is none yet. */
static bool
respond_rendered(struct exchange *x)
{
	struct reply reply = {.head = &x->out, .has_body = true};
	struct body *body;

	if (!is_plain_hit(x) ||
	    !rendered_write(x->site->rendered, x->object, &(struct rendered_for){RENDERED_FOR(x)},
		&x->out, &body))
		return false;
	reply.fixed_bytes = x->out.n;
	/* A body is one coding's. */
	reply.fixed_number = x->key.hash ^ (uintptr_t)body ^ x->out.n;
	x->is_rendered = x->replied = true;
	x->status = x->object->facts.status;
	x->source = body;
	x->borrows_source = true;
	x->send_until = BODY_LENGTH_UNKNOWN;
	if (*x->detail == '\0' && !x->is_collapsed && !x->has_been_told)
		add_hit_lines(x);
	else {
		add_age(x);
		add_own_lines(x);
	}
	reply.status = x->status;
	reply.length = source_length(body);
	reply.must_close = x->closes || x->worker->draining;
	x->client->ops->reply(x->client, &reply);
	return true;
}

enum exchange_next
step_respond(struct exchange *x)
{
	if (x->answer == ANSWER_NONE)
		return EXCHANGE_WAIT; /* a handler that answers later */
	if (x->tier == TIER_origin)
		exchange_name_upstream(x);
	if (x->answer == ANSWER_OWN)
		return respond_own(x);
	if (respond_rendered(x))
		return exchange_to(x, STEP_deliver);
	return respond_object(x);
}
