#include "admin/explain.h"

#include <jansson.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "cache/clerk.h"
#include "cache/redis.h"
#include "http/absolute.h"
#include "server/conf.h"
#include "server/dryrun.h"
#include "server/exchange_priv.h"
#include "server/handler.h"

/* One question. Ends with its answer, or with its exchange. */
struct question {
	struct later later;
	struct dryrun *run;
	struct l2_get *l2; /* under way */
	json_t *answer;
};

static json_t *
text(struct slice s)
{
	json_t *j = json_stringn(s.p, s.n);

	return j != NULL ? j : json_string("(not UTF-8)");
}

static json_t *
seconds(int64_t ms)
{
	return json_real((double)ms / 1000);
}

/* Texts with a NUL after each. */
static json_t *
texts(struct slice list)
{
	json_t *array = json_array();

	while (list.n > 0) {
		struct slice one = slice_cut(&list, '\0');

		json_array_append_new(array, text(one));
	}
	return array;
}

/* A part of the key (server/key.c) as people read it: "header Accept: a, b". */
static json_t *
key_part(struct slice part)
{
	static const struct {
		char kind;
		const char *what;
	} kinds[] = {{'h', "header "}, {'c', "cookie "}, {'f', "forwarded "}, {'m', "condition "},
	    {'v', "offered "}, {'q', "content "}};
	struct slice values = slice_skip(part, slice_index(part, '\n'));
	struct slice name = slice_of(part.p, part.n - values.n);
	struct buf b = {0};
	json_t *j;

	for (size_t i = 0; i < sizeof(kinds) / sizeof(*kinds); i++)
		if (name.n > 0 && name.p[0] == kinds[i].kind) {
			buf_add(&b, kinds[i].what, strlen(kinds[i].what));
			name = slice_skip(name, 1);
			break;
		}
	buf_add_slice(&b, name);
	if (values.n == 0 && part.p[0] != 'q')
		buf_add_lit(&b, " (absent)");
	for (size_t i = 0; i < values.n; i++)
		if (values.p[i] != '\n')
			buf_add_char(&b, values.p[i]);
		else if (i == 0)
			buf_add_lit(&b, ": ");
		else
			buf_add_lit(&b, ", ");
	j = text(buf_slice(&b));
	buf_fini(&b);
	return j;
}

static json_t *
key_parts(struct slice parts)
{
	json_t *array = json_array();

	while (parts.n > 0) {
		struct slice one = slice_cut(&parts, '\0');

		json_array_append_new(array, key_part(one));
	}
	return array;
}

/* A vary key (http/vary.h) as fields. */
static json_t *
vary_fields(struct slice vary)
{
	json_t *object = json_object();

	while (vary.n > 0) {
		size_t line = slice_index(vary, '\n'), n = 0;

		while (n < line && vary.p[n] != '\1' && vary.p[n] != '\2')
			n++;
		json_object_setn_new_nocheck(object, vary.p, n,
		    n < line && vary.p[n] == '\1' ? text(slice_of(vary.p + n + 1, line - n - 1))
						  : json_null());
		vary = slice_skip(vary, line < vary.n ? line + 1 : line);
	}
	return object;
}

/* --- the parts of the answer --- */

static json_t *
about_request(const struct exchange *x)
{
	return json_pack("{s:o,s:o,s:o,s:o,s:o}", "method", text(head_method(&x->head)), "scheme",
	    text(exchange_scheme(x)), "host", text(x->url.authority), "path", text(x->url.path),
	    "query", x->url.has_query ? text(x->url.query) : json_null());
}

static json_t *
about_route(const struct exchange *x)
{
	static const char *const does[] = {[ROUTE_PROXY] = "passes to the upstream",
	    [ROUTE_RESPOND] = "answers by itself",
	    [ROUTE_REDIRECT] = "redirects",
	    [ROUTE_HANDLER] = "is served by Forebay"};
	const struct route *r = x->route;

	if (r == NULL)
		return json_null();
	return json_pack("{s:s,s:I,s:I,s:s,s:s?,s:b}", "name", r->name, "number",
	    (json_int_t)(r - x->site->routes) + 1, "of", (json_int_t)x->site->routes_count, "does",
	    does[r->action], "upstream", r->upstream == NULL ? NULL : r->upstream->conf.name,
	    "caches", r->action == ROUTE_PROXY && r->cache.is_on);
}

static json_t *
about_limits(const struct exchange *x)
{
	json_t *names = json_array();

	for (unsigned i = 0; x->route != NULL && i < x->route->limits_count; i++)
		json_array_append_new(names, json_string(x->route->limits[i].name));
	return names;
}

static json_t *
about_key(const struct exchange *x)
{
	struct slice url = cache_key_url(x->key.text);

	if (x->key.text.n == 0)
		return json_null();
	return json_pack("{s:o,s:o,s:o}", "url", text(url), "parts",
	    key_parts(slice_skip(x->key.text, url.n < x->key.text.n ? url.n + 1 : url.n)), "tags",
	    texts(x->tags));
}

/* As fills ask it (server/fill.c). */
static bool
asks_redis(const struct exchange *x)
{
	return x->step == STEP_board && x->is_shared && x->head.method != METHOD_HEAD &&
	    x->stale == NULL && x->worker->l2 != NULL && !cache_key_is_loose(x->key.text);
}

static bool
is_unshared(const struct exchange *x)
{
	return x->key.text.n > 0 &&
	    flights_is_unshared(
		x->worker->commons->flights, x->key.hash, loop_now_ms(x->worker->loop));
}

static const char *
deed(const struct exchange *x)
{
	bool alone = exchange_goes_alone(x) || is_unshared(x);

	if (x->step == STEP_respond && x->answer == ANSWER_OWN)
		return "answers by itself";
	if (x->step == STEP_respond && x->reuse == REUSE_IS_WHILE_REVALIDATE)
		return "answers from memory, and refreshes it behind";
	if (x->step == STEP_respond && x->word == CACHE_WORD_MISS)
		return "asks the origin for the part that is not stored";
	if (x->step == STEP_respond)
		return "answers from memory";
	if (x->stale != NULL)
		return "asks the origin whether the stored response is still good";
	if (asks_redis(x))
		return alone ? "looks into Redis, then asks the origin, for this request alone"
			     : "looks into Redis, then asks the origin; who asks meanwhile shares "
			       "the answer";
	return alone ? "asks the origin, for this request alone"
		     : "asks the origin; who asks meanwhile shares the answer";
}

static json_t *
about_outcome(const struct exchange *x)
{
	return json_pack("{s:s,s:s,s:s,s:s,s:o}", "status", cache_word_name(x->word), "does",
	    deed(x), "reason", x->reason, "detail", x->detail, "code",
	    x->step == STEP_respond ? json_integer(x->status) : json_null());
}

static json_t *
about_codings(const struct object *o)
{
	json_t *codings = json_array();
	const struct object_variant *v = atomic_load_explicit(&o->variants, memory_order_acquire);

	json_array_append_new(codings, text(encoding_token((enum encoding)o->facts.encoding)));
	for (; v != NULL; v = atomic_load_explicit(&v->next, memory_order_acquire))
		json_array_append_new(codings, text(encoding_token((enum encoding)v->encoding)));
	return codings;
}

static json_t *
about_variants(const struct object *o)
{
	json_t *variants = json_array();
	struct object_variant *v = atomic_load_explicit(&o->variants, memory_order_acquire);

	for (; v != NULL; v = atomic_load_explicit(&v->next, memory_order_acquire))
		json_array_append_new(variants,
		    json_pack("{s:o,s:I,s:b}", "coding",
			text(encoding_token((enum encoding)v->encoding)), "bytes",
			(json_int_t)body_length(v->body), "is_strongest",
			atomic_load(&v->effort) == VARIANT_STRONGEST));
	return variants;
}

static const char *
purged_word(struct purgelog *log, struct object *o)
{
	switch (purgelog_judge(log, o)) {
	case PURGE_VALID:
		return "no";
	case PURGE_STALE:
		return "soft";
	case PURGE_GONE:
		return "yes";
	}
	return "";
}

static json_t *
about_object(const struct exchange *x, struct object *o)
{
	const struct object_facts kept = object_facts(o), *f = &kept;
	int64_t age_ms = object_age_ms(o, loop_now_ms(x->worker->loop));
	int64_t life_ms = object_life_ms(o);
	json_t *j = json_pack("{s:o,s:I,s:I,s:o,s:o,s:o,s:o}", "vary", vary_fields(object_vary(o)),
	    "status", (json_int_t)f->status, "bytes", (json_int_t)body_length(o->body), "codings",
	    about_codings(o), "age", seconds(age_ms), "life", seconds(life_ms), "left",
	    seconds(life_ms - age_ms));

	json_object_set_new(j, "variants", about_variants(o));
	json_object_update_new(j,
	    json_pack("{s:o,s:o,s:b,s:b,s:s,s:o,s:b}", "stale_while_revalidate", seconds(f->swr_ms),
		"stale_if_error", seconds(f->sie_ms), "no_cache", f->no_cache, "life_by_route",
		f->life_by_route, "purged", purged_word(x->worker->commons->purges, o), "etag",
		f->etag_len > 0 ? text(object_etag(o)) : json_null(), "answers_this",
		vary_matches(object_vary(o), &x->head)));
	json_object_update_new(j,
	    json_pack("{s:o,s:I,s:I,s:I}", "tags", texts(object_tags(o)), "hits",
		(json_int_t)atomic_load(&o->hit_count), "fetched_at", (json_int_t)f->log_pos,
		"valid_to", (json_int_t)atomic_load(&o->valid_pos)));
	return j;
}

static json_t *
about_stored(const struct exchange *x)
{
	struct object *found[STORE_VARIANTS_MAX];
	json_t *array = json_array();
	size_t n = x->key.text.n == 0
	    ? 0
	    : store_list(x->worker->commons->store, &x->key, found, STORE_VARIANTS_MAX);

	for (size_t i = 0; i < n; i++) {
		json_array_append_new(array, about_object(x, found[i]));
		object_unref(&found[i]);
	}
	return array;
}

static json_t *
about_last(const struct exchange *x)
{
	const struct commons *c = x->worker->commons;
	int64_t now_s = (loop_wall_ms(x->worker->loop) - c->started_wall_ms) / 1000;
	struct verdict_note note;
	enum store_verdict verdict;

	if (x->key.text.n == 0 || !verdicts_recall(c->verdicts, x->key.hash, &note))
		return json_null();
	verdict = (enum store_verdict)note.verdict;
	return json_pack("{s:s,s:s,s:I,s:b,s:s,s:I}", "source", source_name(note.source), "text",
	    source_text(note.source), "status", (json_int_t)note.status, "stored",
	    verdict == STORE_STORED, "why", store_verdict_text(verdict), "ago",
	    (json_int_t)(now_s - note.at_s));
}

/* The log of this process, and where it stands in the one that instances share. */
static json_t *
about_purge_log(const struct commons *c)
{
	struct clerk_status s;
	json_t *j = json_object();

	clerk_status(c->clerk, &s);
	json_object_set_new(j, "head", json_integer((json_int_t)purgelog_head(c->purges)));
	json_object_set_new(j, "shared", json_string(clerk_state_names[s.state]));
	if (s.state != CLERK_off)
		json_object_update_new(j,
		    json_pack("{s:s,s:o,s:I,s:I}", "coherence", s.is_strict ? "strict" : "eventual",
			"epoch", json_sprintf("%016llx", (unsigned long long)s.epoch), "applied",
			(json_int_t)s.metrics.applied, "lag", (json_int_t)s.metrics.lag));
	return j;
}

static json_t *
describe(const struct exchange *x)
{
	struct commons *c = x->worker->commons;

	return json_pack("{s:o,s:o,s:o,s:o,s:o,s:o,s:o,s:b,s:n,s:o}", "request", about_request(x),
	    "route", about_route(x), "limits", about_limits(x), "key", about_key(x), "outcome",
	    about_outcome(x), "stored", about_stored(x), "last_response", about_last(x),
	    "is_unshared", is_unshared(x), "redis", "purge_log", about_purge_log(c));
}

/* --- the question --- */

static void
refuse(struct exchange *x, const char *why)
{
	struct buf b = {0};

	buf_printf(&b, "{\"type\":\"about:blank\",\"title\":\"%s\",\"status\":400}\n", why);
	exchange_answer(x, 400, "application/problem+json", buf_slice(&b));
	buf_fini(&b);
}

static void
question_free(struct question *q)
{
	if (q->l2 != NULL)
		l2_get_cancel(&q->l2);
	dryrun_free(&q->run);
	json_decref(q->answer);
	free(q);
}

static void
on_over(struct later *l)
{
	question_free(CONTAINER_OF(l, struct question, later));
}

static char *
answer_text(const struct question *q)
{
	return json_dumps(q->answer, JSON_COMPACT);
}

/* By the same rules as what is found in memory (server/fill_l2.c); an outline says nothing of its parts. */
static bool
may_answer(const struct exchange *x, const struct object *o)
{
	struct reuse_stored s = exchange_stored_facts(x, o, false);
	struct reuse_request r = exchange_request_facts(x);

	return asks_redis(x) && o->facts.status != 206 && reuse_judge(&s, &r) == REUSE_IS_FRESH;
}

static void
on_redis(void *arg, struct object *o)
{
	struct question *q = arg;
	const struct exchange *x = dryrun_exchange(q->run);
	json_t *found = json_pack("{s:b}", "found", o != NULL);
	char *json;

	q->l2 = NULL;
	if (o != NULL) {
		json_object_set_new(
		    found, "age", seconds(object_age_ms(o, loop_now_ms(x->worker->loop))));
		json_object_set_new(found, "life", seconds(object_life_ms(o)));
		if (may_answer(x, o))
			json_object_update_new(json_object_get(q->answer, "outcome"),
			    json_pack("{s:s,s:s,s:s}", "status", cache_word_name(CACHE_WORD_HIT),
				"does", "answers from Redis, and keeps it in memory", "reason",
				"in Redis"));
	}
	json_object_set_new(q->answer, "redis", found);
	json = answer_text(q);
	later_answer(&q->later, 200, "application/json", slice_from(json));
	free(json);
	question_free(q);
}

/* "Name: value" lines become a head; what would end one early is refused. */
static bool
add_fields(const json_t *headers, struct buf *head)
{
	for (size_t i = 0; i < json_array_size(headers); i++) {
		const char *s = json_string_value(json_array_get(headers, i));

		if (s == NULL || strpbrk(s, "\r\n") != NULL)
			return false;
		buf_printf(head, "%s\r\n", s);
	}
	return headers == NULL || json_is_array(headers);
}

static bool
has_host(const json_t *headers)
{
	for (size_t i = 0; i < json_array_size(headers); i++) {
		const char *s = json_string_value(json_array_get(headers, i));

		if (s != NULL && strncasecmp(s, "host:", 5) == 0)
			return true;
	}
	return false;
}

/* A path alone is of any host. False: the body asks nothing. */
static bool
write_head(const json_t *body, struct buf *head, bool *is_tls_out)
{
	const char *url = json_string_value(json_object_get(body, "url"));
	const char *method = json_string_value(json_object_get(body, "method"));
	const json_t *headers = json_object_get(body, "headers");
	struct absolute at;

	if (url == NULL || strpbrk(url, " \r\n") != NULL ||
	    (method != NULL && strpbrk(method, " \r\n") != NULL) ||
	    !absolute_read(SLICE_LIT("http://localhost"), slice_from(url), &at))
		return false;
	*is_tls_out = at.is_tls;
	buf_printf(
	    head, "%s %.*s HTTP/1.1\r\n", method == NULL ? "GET" : method, SLICE_FMT(at.target));
	if (!has_host(headers))
		buf_printf(head, "Host: %.*s\r\n", SLICE_FMT(at.host));
	if (!add_fields(headers, head))
		return false;
	buf_add_lit(head, "\r\n");
	return true;
}

static void
explain(struct exchange *x, struct slice head, struct slice body, bool is_tls)
{
	struct question *q;
	struct dryrun *run = dryrun_new(exchange_worker(x), head, body, is_tls);
	const struct exchange *dry;
	char *json;

	if (run == NULL) {
		refuse(x, "that is no valid request");
		return;
	}
	q = must_calloc(1, sizeof(*q));
	q->run = run;
	dry = dryrun_exchange(run);
	q->answer = describe(dry);
	later_begin(&q->later, x, on_over);
	if (dry->worker->l2 != NULL && dry->key.text.n > 0)
		q->l2 = l2_look(dry->worker->l2, &dry->key, &dry->head, on_redis, q);
	if (q->l2 != NULL)
		return;
	json = answer_text(q);
	later_answer(&q->later, 200, "application/json", slice_from(json));
	free(json);
	question_free(q);
}

void
explain_serve(struct exchange *x)
{
	struct slice body = exchange_body(x);
	json_t *top = json_loadb(body.p, body.n, 0, NULL);
	const json_t *content = json_object_get(top, "body");
	struct slice sent = slice_of(json_string_value(content), json_string_length(content));
	struct buf head = {0};
	bool is_tls;

	if (top != NULL && (content == NULL || json_is_string(content)) &&
	    write_head(top, &head, &is_tls))
		explain(x, buf_slice(&head), sent, is_tls);
	else
		refuse(x, "the body is not {url, method, headers: [\\\"Name: value\\\"], body}");
	buf_fini(&head);
	json_decref(top);
}
