/* Which representation of an object goes out, and which part of it. */
#include "http/conditional.h"
#include "http/incremental.h"
#include "server/respond_priv.h"

uint64_t
respond_source_length(const struct body *b)
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

bool
respond_is_head_of_origin(const struct exchange *x)
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
	    .length = respond_source_length(o->body),
	    .is_listed =
		x->route->compress.is_on && compress_type_is_listed(&x->route->compress, type),
	    .is_events = compress_type_is_events(type) || message_is_incremental(&x->origin),
	    .is_passing =
		!o->facts.is_in_slab && !(respond_is_head_of_origin(x) && x->route->cache.is_on),
	    .no_transform = o->facts.no_transform,
	    .has_range = has_range};

	/* What GET's would be is judged. */
	if (respond_is_head_of_origin(x) && facts.length == 0 &&
	    !slice_to_u64(head_value(&x->origin, FIELD_CONTENT_LENGTH), &facts.length))
		facts.length = CODEC_SIZE_UNKNOWN;
	return compress_choose(&x->route->compress, &facts, &x->accept);
}

static bool
is_ascending(const struct ranges *rs)
{
	for (unsigned i = 1; i < rs->count; i++)
		if (rs->at[i].from < rs->at[i - 1].from)
			return false;
	return true;
}

static bool
status_has_no_body(unsigned status)
{
	return status == 204 || status == 304 || status < 200;
}

void
respond_choose_form(struct exchange *x, struct respond_form *f)
{
	struct object *o = x->object;
	struct validators v = validators_of(o);
	int64_t now_s = loop_wall_ms(x->worker->loop) / 1000;
	bool in_segments = x->segments.is_on;

	x->status = in_segments ? 200 : o->facts.status;
	f->length = in_segments ? x->segments.version.length : respond_source_length(o->body);
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
