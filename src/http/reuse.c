#include "http/reuse.h"

#define S_MS INT64_C(1000)

static const struct {
	enum reuse_action action;
	enum cache_word word;
	enum cache_fwd fwd;
	const char *detail, *text;
} reuses[] = {
#define X(reason, action, word, fwd, detail, text) \
	{REUSE_##action, CACHE_WORD_##word, CACHE_FWD_##fwd, detail, text},
    REUSES(X)
#undef X
};

enum reuse_action
reuse_action(enum reuse r)
{
	return reuses[r].action;
}

enum cache_word
reuse_word(enum reuse r)
{
	return reuses[r].word;
}

enum cache_fwd
reuse_fwd(enum reuse r)
{
	return reuses[r].fwd;
}

const char *
reuse_detail(enum reuse r)
{
	return reuses[r].detail;
}

const char *
reuse_text(enum reuse r)
{
	return reuses[r].text;
}

static bool
is_fresh(const struct reuse_stored *s)
{
	return s->life_ms > s->age_ms && !s->soft_purged;
}

/* How long it has been stale; 0 for what a soft purge made stale before its time. */
static int64_t
stale_ms(const struct reuse_stored *s)
{
	return s->age_ms > s->life_ms ? s->age_ms - s->life_ms : 0;
}

/* Credentials and a life that is not the origin's word do not go together (design: Cookies). REUSE_IS_FRESH if
 * nothing stands in the way. */
static enum reuse
judge_person(const struct reuse_stored *s, const struct reuse_request *r)
{
	if (s->by_route && r->has_cookie && !r->cookies_covered)
		return REUSE_IS_COOKIE;
	if (s->by_route && r->has_authorization && !r->authorization_covered)
		return REUSE_IS_AUTHORIZATION;
	return REUSE_IS_FRESH;
}

/* A reload says max-age=0, which RFC 8246 spares what is immutable; a forced reload says no-cache and gets it. */
static bool
is_too_old(const struct reuse_stored *s, const struct cache_control *cc)
{
	if (cc->max_age_s == CC_NONE || (s->immutable && is_fresh(s)))
		return false;
	return cc->max_age_s == 0 || s->age_ms > cc->max_age_s * S_MS;
}

static bool
is_allowed_stale(const struct reuse_stored *s, const struct reuse_request *r)
{
	if (!r->may_revalidate || r->cc->max_stale_s == CC_NONE || s->no_stale || s->soft_purged)
		return false;
	return r->cc->max_stale_s == CC_MAX_S || stale_ms(s) <= r->cc->max_stale_s * S_MS;
}

static enum reuse
judge(const struct reuse_stored *s, const struct reuse_request *r)
{
	enum reuse person = judge_person(s, r);

	if (person != REUSE_IS_FRESH)
		return person;
	if (s->no_cache)
		return REUSE_IS_NO_CACHE;
	if (r->may_revalidate && r->cc->no_cache)
		return REUSE_IS_REQUEST_NO_CACHE;
	if (r->may_revalidate && is_too_old(s, r->cc))
		return REUSE_IS_REQUEST_MAX_AGE;
	if (is_fresh(s)) {
		if (r->may_revalidate && s->life_ms - s->age_ms < r->cc->min_fresh_s * S_MS)
			return REUSE_IS_REQUEST_MIN_FRESH;
		return REUSE_IS_FRESH;
	}
	if (is_allowed_stale(s, r))
		return REUSE_IS_MAX_STALE;
	return stale_ms(s) < s->swr_ms ? REUSE_IS_WHILE_REVALIDATE : REUSE_IS_EXPIRED;
}

enum reuse
reuse_judge(const struct reuse_stored *s, const struct reuse_request *r)
{
	enum reuse found = judge(s, r);
	enum reuse_action action = reuse_action(found);

	if (r->cc->only_if_cached && (action == REUSE_VALIDATE || action == REUSE_PASS))
		return REUSE_IS_ONLY_IF_CACHED;
	return found;
}

bool
reuse_on_error(const struct reuse_stored *s, const struct reuse_request *r)
{
	if (judge_person(s, r) != REUSE_IS_FRESH || s->no_cache)
		return false;
	return is_fresh(s) || stale_ms(s) < s->sie_ms;
}

bool
status_is_failure(uint16_t status)
{
	return status == 500 || (status >= 502 && status <= 504);
}
