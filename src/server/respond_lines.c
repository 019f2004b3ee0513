/* Lines that answers of every kind carry. */
#include "http/fieldrun.h"
#include "http/statusline.h"
#include "server/affinity.h"
#include "server/respond_priv.h"

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

void
respond_add_limits(struct exchange *x)
{
	if (x->met_count > 0)
		rate_lines_add(&x->out, x->site->rate_style, x->met, x->met_count);
}

void
respond_add_date(struct exchange *x, struct buf *out)
{
	char date[DATE_LEN];

	date_format(loop_wall_ms(x->worker->loop) / 1000, date);
	field_line_add(out, SLICE_LIT("Date"), slice_of(date, DATE_LEN));
}

const struct headers *
respond_header_rules(const struct exchange *x)
{
	return x->route != NULL ? x->route->headers : x->site->headers;
}

void
respond_add_security(struct exchange *x, const struct head *origin)
{
	if (respond_header_rules(x) != NULL)
		headers_apply(respond_header_rules(x), origin, x->is_https, &x->out);
}

void
respond_add_own_lines(struct exchange *x)
{
	add_cache_status(x);
	respond_add_limits(x);
	affinity_add_field(x, &x->out);
	buf_add_lit(&x->out, "X-Request-Id: ");
	buf_add_slice(&x->out, x->request_id);
	buf_add_lit(&x->out, "\r\n");
}

void
respond_start_line(struct exchange *x, struct slice reason)
{
	status_line_begin(&x->out, x->status);
	buf_add_slice(&x->out, reason);
	buf_add_lit(&x->out, "\r\n");
}

enum exchange_next
respond_reply(struct exchange *x, bool has_body, bool has_length, uint64_t length)
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

void
respond_add_age(struct exchange *x)
{
	int64_t age_ms = object_age_ms(x->object, loop_now_ms(x->worker->loop));
	bool fetched_now = x->tier == TIER_origin && x->word != CACHE_WORD_REVALIDATED;

	if (fetched_now && (x->segments.is_on ? age_ms : x->object->facts.age_ms) < 1000)
		return; /* straight from the origin: no age to tell */
	buf_add_lit(&x->out, "Age: ");
	buf_add_u64(&x->out, (uint64_t)age_to_send_s(age_ms));
	buf_add_lit(&x->out, "\r\n");
}
