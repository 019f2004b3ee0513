/* The first steps: the URL and its route, and what may not pass at all. */
#include "base/mem.h"
#include "server/challenge.h"
#include "server/exchange_priv.h"
#include "server/routeindex.h"
#include "server/tohttps.h"
#include "server/affinity.h"

/* --- route --- */

static bool
names_hold(const struct names *names, struct slice s)
{
	for (unsigned i = 0; i < names->count; i++)
		if (slice_eq(slice_from(names->items[i]), s))
			return true;
	return false;
}

static bool
method_fits(const struct route *r, enum method method, struct slice name)
{
	if (r->methods == 0 && r->other_methods.count == 0)
		return true;
	if (method != METHOD_OTHER && (r->methods & (1u << method)))
		return true;
	/* Who routes GET means HEAD, too: it asks for the same without the body. */
	if (method == METHOD_HEAD && (r->methods & (1u << METHOD_GET)))
		return true;
	return method == METHOD_OTHER && names_hold(&r->other_methods, name);
}

/* Without its port: a host pattern names machines. "*.example.com" stands for any depth below. */
static bool
host_fits(const struct route *r, struct slice host)
{
	if (r->hosts.count == 0)
		return true;
	for (unsigned i = 0; i < r->hosts.count; i++) {
		struct slice pattern = slice_from(r->hosts.items[i]);

		if (slice_eq(pattern, host))
			return true;
		if (slice_starts(pattern, SLICE_LIT("*.")) && host.n > pattern.n - 1 &&
		    slice_ends(host, slice_skip(pattern, 1)))
			return true;
	}
	return false;
}

static bool
condition_holds(const struct header_condition *c, const struct head *h)
{
	struct slice name = slice_from(c->name);

	for (const struct field *f = head_find_name(h, name); f != NULL; f = head_next_name(h, f)) {
		struct slice value = field_value(h, f);

		if (c->value == NULL)
			return true;
		if (c->is_regex ? regex_finds(c->regex, value)
				: slice_eq(value, slice_from(c->value)))
			return true;
	}
	return false;
}

static bool
conditions_hold(const struct route *r, const struct head *h)
{
	for (unsigned i = 0; i < r->conditions_count; i++)
		if (!condition_holds(&r->conditions[i], h))
			return false;
	return true;
}

/* All but the method. */
static bool
place_fits(const struct route *r, const struct exchange *x, struct captures *captures)
{
	return host_fits(r, x->url.host) && pattern_matches(r->path, x->url.path, captures) &&
	    conditions_hold(r, &x->head);
}

static const struct route *
find_route(const struct exchange *x, enum method method, struct captures *captures)
{
	struct route_ask ask = {x->url.host, x->url.path, method, &x->head};
	struct route_candidates candidates;
	const struct route *r;

	route_candidates_find(x->site, &ask, &candidates);
	while ((r = route_candidates_next(&candidates)) != NULL)
		if (method_fits(r, method, head_method(&x->head)) && place_fits(r, x, captures))
			return r;
	return NULL;
}

const struct route *
exchange_route_of_get(const struct exchange *x)
{
	struct captures captures;

	return find_route(x, METHOD_GET, &captures);
}

static void
add_member(struct buf *list, const char *text)
{
	if (list->n > 0)
		buf_add_lit(list, ", ");
	buf_add(list, text, strlen(text));
}

/* With another method there would be a route: 405, and which methods those are (RFC 9110 section 15.5.6). */
static enum exchange_next
no_route(struct exchange *x)
{
	static const char *const names[] = {
#define X(name, safe, idempotent) [METHOD_##name] = #name,
	    METHODS(X)
#undef X
	};
	struct route_ask ask = {x->url.host, x->url.path, METHOD_COUNT, &x->head};
	struct route_candidates candidates;
	const struct route *r;
	struct buf allow = {0};
	uint32_t methods = 0;

	route_candidates_find(x->site, &ask, &candidates);
	while ((r = route_candidates_next(&candidates)) != NULL) {
		if (!place_fits(r, x, &x->captures))
			continue;
		methods |= r->methods;
		for (unsigned k = 0; k < r->other_methods.count; k++)
			add_member(&allow, r->other_methods.items[k]);
	}
	for (unsigned m = 0; m < METHOD_COUNT; m++)
		if (methods & (1u << m))
			add_member(&allow, names[m]);
	if (allow.n == 0)
		return exchange_own(x, 404, "no route");
	buf_printf(&x->own_fields, "Allow: %.*s\r\n", SLICE_FMT(buf_slice(&allow)));
	buf_fini(&allow);
	return exchange_own(x, 405, "no route for this method");
}

enum exchange_next
step_route(struct exchange *x)
{
	char *space = arena_alloc(&x->mem, url_space(&x->head));
	enum url_fault fault = url_of_request(&x->head, exchange_scheme(x), space, &x->url);
	enum exchange_next next;

	if (fault != URL_GOOD) {
		x->closes = true;
		return exchange_own(x, 400, url_fault_text(fault));
	}
	if (x->head.method == METHOD_PURGE)
		return exchange_purge(x);
	if (challenge_takes(x, &next) || tohttps_takes(x, &next))
		return next;
	x->route = find_route(x, x->head.method, &x->captures);
	if (x->route == NULL)
		return no_route(x);
	return exchange_to(x, STEP_admit);
}

/* --- admit --- */

static struct exchange *
exchange_of_upload(struct upload *u)
{
	return CONTAINER_OF(u, struct exchange, upload);
}

static void
counted_begin(struct upload *u)
{
	struct upload *inner = &exchange_of_upload(u)->client->upload;

	inner->begin(inner);
}

static int
counted_peek(struct upload *u, struct iovec *iov, int max, bool *end_out)
{
	struct exchange *x = exchange_of_upload(u);
	struct upload *inner = &x->client->upload;
	int n;

	*end_out = false;
	if (x->upload_too_large)
		return 0;
	if (x->replays && x->replayed < x->collected.n) {
		iov[0] = (struct iovec){x->collected.p + x->replayed, x->collected.n - x->replayed};
		return 1;
	}
	n = inner->peek(inner, iov, max, end_out);
	u->trailers = inner->trailers;
	return n;
}

static void
on_upload_too_large(struct exchange *x)
{
	x->upload_too_large = true;
	loop_later(x->worker->loop, &x->turn);
}

static void
counted_consume(struct upload *u, size_t n)
{
	struct exchange *x = exchange_of_upload(u);
	struct upload *inner = &x->client->upload;

	if (x->replays && x->replayed < x->collected.n) {
		x->replayed += n;
		return;
	}
	x->upload_bytes += n;
	inner->consume(inner, n);
	if (x->upload_bytes > (uint64_t)x->route->body_size)
		on_upload_too_large(x);
}

static bool
is_upgrade(const struct exchange *x)
{
	return x->head.minor >= 1 && head_has(&x->head, FIELD_UPGRADE) &&
	    head_list_has(&x->head, FIELD_CONNECTION, SLICE_LIT("upgrade")) &&
	    x->head.method == METHOD_GET && !x->client->has_upload &&
	    !head_list_has(&x->head, FIELD_UPGRADE, SLICE_LIT("h2c"));
}

bool
exchange_collect(struct exchange *x)
{
	struct upload *u = &x->upload;
	struct iovec iov[8];
	int n;

	if (!x->is_collecting) {
		x->is_collecting = true;
		u->begin(u);
	}
	do {
		size_t total = 0;

		n = u->peek(u, iov, 8, &x->is_collected);
		for (int i = 0; i < n; i++) {
			buf_add(&x->collected, iov[i].iov_base, iov[i].iov_len);
			total += iov[i].iov_len;
		}
		if (total > 0)
			u->consume(u, total);
	} while (n > 0 && !x->is_collected);
	return x->is_collected;
}

/* A handler gets the whole request. */
static enum exchange_next
run_handler(struct exchange *x)
{
	if (x->client->has_upload && !x->is_collected && !exchange_collect(x)) {
		if (x->upload_is_bad)
			return exchange_own(x, 400, "the request's body is not valid");
		if (!x->upload_too_large)
			return EXCHANGE_WAIT;
	}
	if (x->upload_too_large) {
		x->closes = true;
		return exchange_own(x, 413, "the request's body is larger than it may be");
	}
	x->step = STEP_respond;
	x->reason = "handler";
	x->route->handler(x, x->route->handler_arg);
	return x->answer == ANSWER_NONE ? EXCHANGE_WAIT : EXCHANGE_GO;
}

enum exchange_next
exchange_act(struct exchange *x)
{
	const struct route *r = x->route;
	struct buf text = {0};

	switch (r->action) {
	case ROUTE_PROXY:
		return exchange_to(x, STEP_lookup);
	case ROUTE_RESPOND:
		x->answer = ANSWER_OWN;
		x->status = (unsigned)r->status;
		x->own_type = r->content_type;
		x->tier = TIER_self;
		x->reason = "fixed answer";
		if (r->text != NULL)
			template_expand(r->text, &x->captures, &x->own_body);
		return exchange_to(x, STEP_respond);
	case ROUTE_REDIRECT:
		exchange_own(x, (unsigned)r->status, "redirect");
		template_expand(r->text, &x->captures, &text);
		buf_add_lit(&x->own_fields, "Location: ");
		for (size_t i = 0; i < text.n; i++) /* captures come from a path in normal form */
			buf_add_char(&x->own_fields, text.p[i]);
		buf_add_lit(&x->own_fields, "\r\n");
		buf_fini(&text);
		return EXCHANGE_GO;
	case ROUTE_HANDLER:
		return run_handler(x);
	}
	bug("no such action");
}

enum exchange_next
step_admit(struct exchange *x)
{
	const struct upload *u = &x->client->upload;

	if (x->route->wants_certificate && x->client->certificate.own.n == 0)
		return exchange_own(x, 403, "no client certificate was shown");
	if (x->head.method == METHOD_CONNECT || x->head.method == METHOD_TRACE) {
		buf_add_lit(
		    &x->own_fields, "Allow: GET, HEAD, POST, PUT, PATCH, DELETE, OPTIONS\r\n");
		return exchange_own(x, 405, "method not allowed here");
	}
	if (x->head.method == METHOD_OPTIONS &&
	    slice_eq(head_value(&x->head, FIELD_MAX_FORWARDS), SLICE_LIT("0")))
		return exchange_own(x, 204, "Max-Forwards is used up");
	if (x->client->has_upload) {
		if (u->length != BODY_LENGTH_UNKNOWN && u->length > (uint64_t)x->route->body_size)
			return exchange_own(
			    x, 413, "the request's body is larger than limits.body_size");
		x->upload = (struct upload){.length = u->length,
		    .peek = counted_peek,
		    .consume = counted_consume,
		    .begin = counted_begin};
	}
	cache_control_of_request(&x->head, &x->cc);
	accept_encoding_read(&x->head, &x->accept);
	x->has_cookie = affinity_has_other_cookies(x);
	/* What the server says to one certificate is as little for others as what it says to one login. */
	x->has_authorization =
	    head_has(&x->head, FIELD_AUTHORIZATION) || x->client->certificate.own.n > 0;
	x->is_upgrade = is_upgrade(x);
	if (x->route->limits_count > 0)
		return exchange_to(x, STEP_limit);
	return x->route->action == ROUTE_PROXY ? exchange_to(x, STEP_lookup) : exchange_act(x);
}

/* --- cookies --- */

bool
cookie_next(const struct head *h, struct slice name, struct cookie_walk *w, struct slice *value_out)
{
	if (w->line == NULL && (w->line = head_find(h, FIELD_COOKIE)) != NULL)
		w->rest = field_value(h, w->line);
	while (w->line != NULL) {
		while (w->rest.n > 0) {
			size_t end = slice_index(w->rest, ';');
			struct slice pair = slice_trim(slice_of(w->rest.p, end));
			size_t eq = slice_index(pair, '=');

			w->rest = slice_skip(w->rest, end < w->rest.n ? end + 1 : end);
			if (eq == pair.n || !slice_eq(slice_trim(slice_of(pair.p, eq)), name))
				continue;
			*value_out = slice_skip(pair, eq + 1);
			return true;
		}
		if ((w->line = head_next(h, w->line)) != NULL)
			w->rest = field_value(h, w->line);
	}
	return false;
}
