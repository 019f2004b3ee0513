/* The answer's head, from an object or as it was rendered before. */
#include "base/hash.h"
#include "base/mem.h"
#include "http/fieldrun.h"
#include "server/rendered.h"
#include "server/respond_priv.h"
#include "server/segments.h"

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
		if ((respond_header_rules(x) != NULL &&
			headers_drops(respond_header_rules(x), h, f)) ||
		    (plan != NULL && compress_replaces(plan, (enum field_id)f->id)) ||
		    (for_304 && !field_goes_in_304(h, f)))
			continue;
		field_run_add(&run, f);
	}
	field_run_end(&run);
}

static enum exchange_next
respond_304(struct exchange *x, const struct compress_plan *plan)
{
	struct compress_plan named = *plan;

	/* A 304 names the form by its ETag and Vary; a coding it does not carry. */
	if (named.verb == COMPRESS_ENCODE)
		named.verb = COMPRESS_DECODE;
	x->status = 304;
	respond_start_line(x, SLICE_LIT("Not Modified"));
	copy_fields(x, &named, true, false);
	compress_add_fields(&named, &x->origin, &x->out);
	respond_add_security(x, &x->origin);
	respond_add_age(x);
	respond_add_own_lines(x);
	return respond_reply(x, false, false, 0);
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
	return respond_reply(x, true, true, r->to + 1 - r->from);
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
	return respond_reply(x, true, true, multipart_length(rs, boundary, type, length));
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
	options = compress_options(&x->route->compress, plan, respond_source_length(o->body));
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
	    : respond_source_length(x->coded != NULL ? x->coded : x->source);

	if (length != BODY_LENGTH_UNKNOWN && x->coded == NULL && has_trailers_for(x))
		length = BODY_LENGTH_UNKNOWN; /* they need chunks */
	if (!bodyless && length != BODY_LENGTH_UNKNOWN && is_the_same_for_all(x, plan))
		rendered_keep(x->site->rendered, x->object, &(struct rendered_for){RENDERED_FOR(x)},
		    slice_of(x->out.p, x->fixed_len),
		    x->source == x->object->body ? 0 : (uint8_t)x->coded_as);
	if (respond_is_head_of_origin(x))
		length = BODY_LENGTH_UNKNOWN;
	if (bodyless && respond_is_head_of_origin(x) && !coded &&
	    head_has(&x->origin, FIELD_CONTENT_LENGTH) && body_length(x->object->body) == 0)
		slice_to_u64(head_value(&x->origin, FIELD_CONTENT_LENGTH), &length);
	return respond_reply(
	    x, !bodyless, x->head.method == METHOD_HEAD && length != BODY_LENGTH_UNKNOWN, length);
}

static void
write_head(struct exchange *x, const struct respond_form *f)
{
	respond_start_line(x,
	    x->status == x->object->facts.status && !x->segments.is_on
		? head_reason(&x->origin)
		: slice_from(status_phrase(x->status)));
	copy_fields(x, &f->plan, false, f->ranged == RANGE_PARTS && f->ranges.count > 1);
	compress_add_fields(&f->plan, &x->origin, &x->out);
	if (!head_has(&x->origin, FIELD_DATE))
		respond_add_date(x, &x->out);
	respond_add_security(x, &x->origin);
	x->fixed_len = x->out.n;
	respond_add_age(x);
	respond_add_own_lines(x);
}

/* Segments: the one it begins in is at hand before anything is said, so that there may still be another answer. */
static enum segments_reach
reach_first(struct exchange *x, const struct respond_form *f)
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
	struct respond_form f;

	exchange_read_head(x);
	if (object_is_outline(x->object) && !segments_begin(x)) {
		exchange_own(x, 502, "what is stored does not say its length");
		return;
	}
	respond_choose_form(x, &f);
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
	struct respond_form f;

	exchange_read_head(x);
	if (object_is_outline(x->object) && !segments_begin(x))
		return exchange_own(x, 502, "what is stored does not say its length");
	respond_choose_form(x, &f);
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
		return respond_reply(x, !f.bodyless, true, f.length);
	return respond_whole(x, &f.plan, f.bodyless);
}

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
		respond_add_limits(x);
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
		respond_add_age(x);
		respond_add_own_lines(x);
	}
	reply.status = x->status;
	reply.length = respond_source_length(body);
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
