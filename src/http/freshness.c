#include "http/freshness.h"

#define S_MS INT64_C(1000)

static const struct {
	bool by_route;
	const char *text;
} sources[] = {
#define X(source, by_route, text) {by_route, text},
    LIFE_SOURCES(X)
#undef X
};

const char *
life_source_text(enum life_source s)
{
	return sources[s].text;
}

bool
status_is_heuristic(uint16_t status)
{
	switch (status) {
	case 200:
	case 203:
	case 204:
	case 300:
	case 301:
	case 308:
	case 404:
	case 405:
	case 410:
	case 414:
	case 501:
		return true;
	default:
		return false;
	}
}

/* The statuses a route's plain ttl is meant for. A temporary redirect is often one user's (a login), and an error kept
 * as long as a page would be an outage: these need words of their own. */
static bool
status_takes_ttl(uint16_t status)
{
	return status_is_heuristic(status) && status < 400;
}

int32_t
age_of_head(const struct head *h)
{
	struct slice value = head_value(h, FIELD_AGE);
	int32_t s = delta_seconds(slice_trim(slice_of(value.p, slice_index(value, ','))));

	return s == CC_NONE ? 0 : s;
}

/* Section 4.2.3. Date is known to a second only: the apparent age is the least that it can be, or a response with
 * max-age=1 would often be stale when it arrives. */
static int64_t
initial_age_ms(const struct head *h, int64_t date_s, const struct arrival *arrival)
{
	int64_t apparent_ms = arrival->now_ms - (date_s * S_MS + 999);
	int64_t corrected_ms = age_of_head(h) * S_MS + arrival->delay_ms;

	return apparent_ms > corrected_ms ? apparent_ms : corrected_ms;
}

/* The date of a field that must stand alone; several lines count if they are equal. */
static int64_t
date_of_field(const struct head *h, enum field_id id, struct date_memo *memo, int64_t now_s)
{
	const struct field *first = head_find(h, id);

	for (const struct field *f = first; f != NULL; f = head_next(h, f))
		if (!slice_eq(field_value(h, f), field_value(h, first)))
			return DATE_NONE;
	return first == NULL ? DATE_NONE
	    : memo == NULL   ? date_parse(field_value(h, first), now_s)
			     : date_parse_again(memo, field_value(h, first), now_s);
}

/* Section 4.2.2. What was modified after its Date was modified now. */
static int64_t
heuristic_ms(const struct life *life)
{
	int64_t ms = (life->date_s - life->modified_s) * S_MS / 10;

	return ms < 0 ? 0 : ms > HEURISTIC_MAX_MS ? HEURISTIC_MAX_MS : ms;
}

static int64_t
life_of_expires(const struct head *h, const struct life *life, int64_t now_s)
{
	int64_t expires_s = date_of_field(h, FIELD_EXPIRES, NULL, now_s);

	if (expires_s == DATE_NONE || expires_s <= life->date_s)
		return 0;
	return (expires_s - life->date_s) * S_MS;
}

/* The route's life for this status, LIFE_UNSET if it has none. */
static int64_t
life_of_route(uint16_t status, const struct life_policy *p, enum life_source *source)
{
	for (size_t i = 0; i < p->by_status_count; i++)
		if (p->by_status[i].status == status) {
			*source = LIFE_ROUTE_ERROR;
			return p->by_status[i].life_ms;
		}
	*source = LIFE_ROUTE;
	return status_takes_ttl(status) ? p->ttl_ms : LIFE_UNSET;
}

static void
set_life(struct life *life, enum life_source source, int64_t ms)
{
	life->source = source;
	life->life_ms = ms;
	life->by_route = sources[source].by_route;
}

/* What the origin states (section 4.2.1). False if it states nothing. */
static bool
life_by_origin(
    const struct head *h, const struct cache_control *cc, int64_t now_s, struct life *life)
{
	bool targeted = cc->source == CC_FROM_TARGETED;

	if (cc->s_maxage_s != CC_NONE)
		set_life(life, targeted ? LIFE_TARGETED : LIFE_S_MAXAGE, cc->s_maxage_s * S_MS);
	else if (cc->max_age_s != CC_NONE)
		set_life(life, targeted ? LIFE_TARGETED : LIFE_MAX_AGE, cc->max_age_s * S_MS);
	else if (!targeted &&
	    head_has(h, FIELD_EXPIRES)) /* RFC 9213: a targeted field puts Expires aside too */
		set_life(life, LIFE_EXPIRES, life_of_expires(h, life, now_s));
	else
		return false;
	return true;
}

static void
choose_life(const struct head *h, const struct cache_control *cc, const struct life_policy *p,
    int64_t now_s, struct life *life)
{
	enum life_source source;
	int64_t route_ms = life_of_route(h->status, p, &source);

	if (p->overrides && route_ms != LIFE_UNSET) {
		set_life(life, source, route_ms);
		life->overrides = true;
		life->no_cache = false;
		return;
	}
	if (life_by_origin(h, cc, now_s, life))
		return;
	if (route_ms != LIFE_UNSET)
		set_life(life, source, route_ms);
	else if (p->heuristic && life->modified_s != DATE_NONE &&
	    (status_is_heuristic(h->status) || cc->is_public))
		set_life(life, LIFE_HEURISTIC, heuristic_ms(life));
	else
		set_life(life, LIFE_NONE, 0);
}

/* RFC 5861 and RFC 9111 section 4.2.4. must-revalidate and its kin forbid serving stale. s-maxage does so too
 * (section 5.2.2.10), but an origin that writes stale-while-revalidate beside it means it: only the route's
 * windows are off then. What was never fresh is stale only by the origin's word. */
static void
set_windows(const struct cache_control *cc, const struct life_policy *p, struct life *life)
{
	bool forbidden = cc->must_revalidate || cc->proxy_revalidate || life->no_cache;
	bool defaults = !forbidden && cc->s_maxage_s == CC_NONE && life->life_ms > life->age_ms;

	life->no_stale = forbidden || cc->s_maxage_s != CC_NONE;
	life->swr_ms = defaults ? p->stale_while_revalidate_ms : 0;
	life->sie_ms = defaults ? p->stale_if_error_ms : 0;
	if (!forbidden && cc->stale_while_revalidate_s != CC_NONE)
		life->swr_ms = cc->stale_while_revalidate_s * S_MS;
	if (!forbidden && cc->stale_if_error_s != CC_NONE)
		life->sie_ms = cc->stale_if_error_s * S_MS;
}

void
life_of_response(const struct head *response, const struct cache_control *cc,
    const struct life_policy *policy, const struct arrival *arrival, struct life *out)
{
	int64_t now_s = arrival->now_ms / S_MS;

	*out = (struct life){.no_cache = cc->no_cache, .immutable = cc->immutable};
	out->date_s = date_of_field(response, FIELD_DATE, arrival->dates, now_s);
	if (out->date_s == DATE_NONE)
		out->date_s = now_s;
	out->modified_s = date_of_field(response, FIELD_LAST_MODIFIED, NULL, now_s);
	out->age_ms = initial_age_ms(response, out->date_s, arrival);
	choose_life(response, cc, policy, now_s, out);
	/* The origin's word that it is for everybody: then for requests with credentials too. */
	if (cc->is_public || cc->s_maxage_s > 0)
		out->by_route = false;
	set_windows(cc, policy, out);
}

int64_t
life_with_jitter(int64_t life_ms, unsigned percent, uint32_t random)
{
	int64_t most = life_ms / 100 * percent;

	return life_ms - (int64_t)(((unsigned __int128)(uint64_t)most * random) >> 32);
}

int32_t
age_to_send_s(int64_t age_ms)
{
	int64_t s = (age_ms + S_MS / 2) / S_MS;

	return s < 0 ? 0 : s > INT32_MAX ? INT32_MAX : (int32_t)s;
}
