#include "http/storable.h"

#include "http/negotiate.h"
#include "http/vary.h"

static const struct {
	const char *detail, *text;
} verdicts[] = {
#define X(verdict, detail, text) {detail, text},
    STORE_VERDICTS(X)
#undef X
};

const char *
store_verdict_detail(enum store_verdict v)
{
	return verdicts[v].detail;
}

const char *
store_verdict_text(enum store_verdict v)
{
	return verdicts[v].text;
}

bool
status_is_understood(uint16_t status)
{
	if (status >= 200 && status <= 206)
		return true;
	if (status >= 300 && status <= 308)
		return status != 306;
	if (status >= 400 && status <= 431)
		return status <= 417 || (status >= 421 && status != 427 && status != 430);
	return status == 451 || (status >= 500 && status <= 505) || status == 511;
}

bool
head_has_validator(const struct head *response, const struct life *life)
{
	return head_value(response, FIELD_ETAG).n > 0 || life->modified_s != DATE_NONE;
}

static enum store_verdict
judge_status(const struct store_ask *a)
{
	switch (a->response->status) {
	case 206:
		return STORE_PARTIAL;
	case 304: /* updates what is stored, is not stored */
	case 407: /* between the client and a proxy */
	case 412:
	case 416:
		return STORE_STATUS_SPECIAL;
	default:
		return a->response->status < 200 ? STORE_INTERIM : STORE_STORED;
	}
}

/* What the origin forbids. A route that overrides the origin is not held by it, except where the status is one
 * that we do not know. */
static enum store_verdict
judge_origin(const struct store_ask *a)
{
	const struct cache_control *cc = a->cc;
	bool understood = status_is_understood(a->response->status);

	if (cc->must_understand && !understood)
		return STORE_NOT_UNDERSTOOD;
	if (a->life->overrides)
		return STORE_STORED;
	if (cc->no_store && !cc->must_understand)
		return STORE_NO_STORE;
	return cc->is_private ? STORE_PRIVATE : STORE_STORED;
}

static bool
sets_cookie(const struct store_ask *a)
{
	const struct head *h = a->response;

	if (head_has(h, FIELD_SET_COOKIE) && !cache_control_names(a->cc, SLICE_LIT("set-cookie")))
		return true;
	return head_has(h, FIELD_SET_COOKIE2) &&
	    !cache_control_names(a->cc, SLICE_LIT("set-cookie2"));
}

/* Section 3.5, and narrower: must-revalidate opens what the origin gave a life, not what the route did. */
static bool
is_barred_by_authorization(const struct store_ask *a)
{
	const struct cache_control *cc = a->cc;

	if (!a->has_authorization || a->policy->authorization_covered)
		return false;
	if (cc->is_public || cc->s_maxage_s > 0)
		return false;
	return !cc->must_revalidate || a->life->by_route;
}

/* Whether it could ever answer a request: fresh, stale within a window, or after validation. */
static enum store_verdict
judge_use(const struct store_ask *a)
{
	const struct life *life = a->life;
	int64_t window_ms = life->swr_ms > life->sie_ms ? life->swr_ms : life->sie_ms;

	if (life->source == LIFE_NONE && !status_is_heuristic(a->response->status) &&
	    !a->cc->is_public)
		return STORE_STATUS;
	if (head_has_validator(a->response, life))
		return STORE_STORED;
	if (life->source == LIFE_NONE)
		return STORE_NO_FRESHNESS;
	if (life->no_cache)
		return STORE_NO_VALIDATOR;
	return life->life_ms + window_ms > life->age_ms ? STORE_STORED : STORE_EXPIRED;
}

/* Files of a site that are the same for everybody, and never a page. */
static bool
names_file(struct slice path)
{
	static const char *const kinds[] = {"css", "js", "mjs", "map", "wasm", "png", "jpg", "jpeg",
	    "gif", "webp", "avif", "ico", "svg", "bmp", "woff", "woff2", "ttf", "otf", "eot", "mp3",
	    "mp4", "webm", "ogg", "pdf", "zip"};
	size_t at = path.n;

	while (at > 0 && path.p[at - 1] != '.' && path.p[at - 1] != '/')
		at--;
	if (at == 0 || path.p[at - 1] != '.')
		return false;
	for (size_t i = 0; i < sizeof(kinds) / sizeof(*kinds); i++)
		if (slice_ieq(slice_skip(path, at), slice_from(kinds[i])))
			return true;
	return false;
}

/* /account/x.css, to an application that takes it for /account: a route that caches by names of files would publish what one
 * visitor saw (web cache deception). */
static bool
is_page_in_disguise(const struct store_ask *a)
{
	struct slice type = media_type_of(head_value(a->response, FIELD_CONTENT_TYPE));
	bool is_page = slice_ieq(type, SLICE_LIT("text/html")) ||
	    slice_ieq(type, SLICE_LIT("application/xhtml+xml"));

	return is_page && a->life->by_route && a->response->status < 300 && names_file(a->path);
}

/* Whose answer it is. */
static enum store_verdict
judge_person(const struct store_ask *a)
{
	if (a->policy->set_cookie == SET_COOKIE_BYPASS && sets_cookie(a))
		return STORE_SET_COOKIE;
	if (is_barred_by_authorization(a))
		return STORE_AUTHORIZATION;
	if (a->has_cookie && !a->policy->cookies_covered && a->life->by_route)
		return STORE_COOKIE;
	return is_page_in_disguise(a) ? STORE_PATH_TYPE : STORE_STORED;
}

enum store_verdict
store_judge(const struct store_ask *a)
{
	enum store_verdict v;

	if (a->method != METHOD_GET && a->method != METHOD_QUERY)
		return STORE_METHOD;
	if ((v = judge_status(a)) != STORE_STORED)
		return v;
	if (a->request_cc->no_store)
		return STORE_REQUEST_NO_STORE;
	if ((v = judge_origin(a)) != STORE_STORED)
		return v;
	if (vary_is_star(a->response))
		return STORE_VARY_STAR;
	if ((v = judge_use(a)) != STORE_STORED)
		return v;
	if ((v = judge_person(a)) != STORE_STORED)
		return v;
	if (a->body_bytes >= 0 && (uint64_t)a->body_bytes > a->policy->max_object_bytes)
		return STORE_TOO_LARGE;
	return STORE_STORED;
}
