#include <ctype.h>

#include "base/mem.h"
#include "policy/token.h"
#include "server/compile_priv.h"
#include "server/pathtext.h"

#define SLICE_LEAST_BYTES 65536

/* --- when it applies ---------------------------------------------------------------------------- */

static enum method
method_from(struct slice token)
{
	static const struct slice names[] = {
#define X(name, safe, idempotent) [METHOD_##name] = {#name, sizeof(#name) - 1},
	    METHODS(X)
#undef X
	};

	for (unsigned m = METHOD_OTHER + 1; m < METHOD_COUNT; m++)
		if (slice_eq(names[m], token))
			return (enum method)m;
	return METHOD_OTHER;
}

/* Room for others is the caller's. Who says GET means HEAD, too. */
static void
add_method(struct compiling *k, const struct match_conf *m, struct slice token, struct route *r,
    const char **others)
{
	enum method method = method_from(token);

	if (!slice_is_token(token)) {
		conf_error(
		    k->diag, m->conf.node->at, "match: \"%.*s\" is no method", SLICE_FMT(token));
		conf_hint(k->diag, "expected [METHOD|METHOD] PATH, as in GET|HEAD /products/{id}");
		return;
	}
	if (method == METHOD_OTHER) {
		struct slice upper = arena_copy(k->world->mem, token);

		for (size_t i = 0; i < upper.n; i++)
			((char *)(uintptr_t)upper.p)[i] = (char)toupper((unsigned char)upper.p[i]);
		if (method_from(upper) != METHOD_OTHER) {
			conf_error(
			    k->diag, m->conf.node->at, "match: methods are written in capitals");
			conf_hint(k->diag, "did you mean \"%s\"?", upper.p);
		}
		others[r->other_methods.count++] = arena_copy(k->world->mem, token).p;
		return;
	}
	r->methods |= 1u << method;
	if (method == METHOD_GET)
		r->methods |= 1u << METHOD_HEAD;
}

static void
compile_methods(struct compiling *k, const struct match_conf *m, struct route *r)
{
	struct slice rest = m->path.methods;
	size_t most = m->methods.count + 1;
	const char **others;

	for (size_t i = 0; i < rest.n; i++)
		most += rest.p[i] == '|';
	others = arena_zalloc(k->world->mem, most * sizeof(*others));
	r->other_methods.items = others;
	for (size_t i = 0; i < m->methods.count; i++)
		add_method(k, m, slice_from(m->methods.items[i]), r, others);
	while (rest.p != NULL) {
		size_t n = slice_index(rest, '|');

		add_method(k, m, slice_of(rest.p, n), r, others);
		rest = n < rest.n ? slice_skip(rest, n + 1) : SLICE_NONE;
	}
}

static bool
is_host(struct slice s)
{
	if (slice_starts(s, SLICE_LIT("*.")))
		s = slice_skip(s, 2);
	if (s.n > 2 && s.p[0] == '[' && s.p[s.n - 1] == ']')
		return strspn(s.p + 1, "0123456789abcdef:.") == s.n - 2;
	for (size_t i = 0; i < s.n; i++)
		if (!isalnum((unsigned char)s.p[i]) && strchr("-._", s.p[i]) == NULL)
			return false;
	return s.n > 0 && s.n <= 255;
}

static void
compile_hosts(struct compiling *k, const struct match_conf *m, struct route *r)
{
	const char **items = arena_zalloc(k->world->mem, (m->hosts.count + 1) * sizeof(*items));

	r->hosts = (struct names){0, items};
	for (size_t i = 0; i < m->hosts.count; i++) {
		struct slice s = arena_copy(k->world->mem, slice_from(m->hosts.items[i]));
		char *text = (char *)(uintptr_t)s.p;

		for (size_t j = 0; j < s.n; j++)
			text[j] = (char)ascii_lower((unsigned char)text[j]);
		if (s.n > 1 && text[s.n - 1] == '.')
			text[--s.n] = '\0';
		if (!is_host(s)) {
			conf_error(k->diag, conf_place(&match_table, m, "hosts"),
			    "hosts: \"%s\" is no name of a host", m->hosts.items[i]);
			conf_hint(k->diag, "expected example.com or *.example.com, without a port");
		}
		items[r->hosts.count++] = text;
	}
}

static void
compile_condition(struct compiling *k, const struct conf_pair *p, struct header_condition *out)
{
	const char *problem;
	size_t offset;

	out->name = p->name;
	out->value = strcmp(p->value, "*") == 0 ? NULL : p->value;
	if (p->value[0] != '~')
		return;
	out->is_regex = true;
	out->value = p->value + 1;
	out->regex = regex_new(out->value, &problem, &offset);
	if (out->regex == NULL)
		conf_error(k->diag, p->node->at,
		    "%s: the regular expression is wrong at its character %zu: %s", p->name,
		    offset + 1, problem);
}

static struct pattern *
pattern_of_line(struct arena *mem, const char *path, const char **problem_out)
{
	const char *normal;

	*problem_out = "a path ends before ? and #";
	if (strpbrk(path, "?#") != NULL)
		return NULL;
	normal = path_text_normal(mem, path, problem_out);
	return normal == NULL ? NULL : pattern_new(mem, normal, problem_out);
}

static void
compile_path(struct compiling *k, const struct match_conf *m, struct route *r)
{
	struct arena *mem = k->world->mem;
	const char *problem;
	size_t offset;

	if (m->path_regex == NULL) {
		r->path = pattern_of_line(mem, m->path.path, &problem);
		if (r->path == NULL)
			conf_error(k->diag, conf_place(&match_table, m, "path"), "match: %s: %s",
			    m->path.path, problem);
		return;
	}
	r->path = pattern_new_regex(mem, m->path_regex, &problem, &offset);
	if (r->path == NULL)
		conf_error(k->diag, conf_place(&match_table, m, "path_regex"),
		    "path_regex: wrong at its character %zu: %s", offset + 1, problem);
}

static void
compile_match(struct compiling *k, const struct match_conf *m, struct route *r)
{
	compile_path(k, m, r);
	compile_methods(k, m, r);
	compile_hosts(k, m, r);
	r->conditions =
	    arena_zalloc(k->world->mem, (m->headers.count + 1) * sizeof(*r->conditions));
	for (size_t i = 0; i < m->headers.count; i++)
		compile_condition(k, &m->headers.items[i], &r->conditions[r->conditions_count++]);
}

/* --- what it does ------------------------------------------------------------------------------- */

/* What its name is where it has none: the match as written, the long form in the short one's way. */
static const char *
name_of(struct compiling *k, const struct route_conf *c)
{
	const struct match_conf *m = &c->match;
	const char *path = m->path_regex != NULL ? m->path_regex : m->path.written;
	struct buf b = {0};
	const char *name;

	if (c->name != NULL)
		return c->name;
	for (size_t i = 0; i < m->methods.count; i++)
		buf_printf(&b, "%s%s", i > 0 ? "|" : "", m->methods.items[i]);
	buf_printf(&b, "%s", b.n > 0 ? " " : "");
	for (size_t i = 0; i < m->hosts.count; i++)
		buf_printf(&b, "%s%s", i > 0 ? "|" : "", m->hosts.items[i]);
	buf_printf(&b, "%s", path);
	name = arena_copy(k->world->mem, buf_slice(&b)).p;
	buf_fini(&b);
	return name;
}

/* Of a directive that holds a path; NULL stays NULL. */
static const char *
normal_path(struct compiling *k, const char *path, struct conf_place at, const char *directive)
{
	const char *problem, *normal = path;

	if (path == NULL)
		return NULL;
	normal = path_text_normal(k->world->mem, path, &problem);
	if (normal == NULL)
		conf_error(k->diag, at, "%s: \"%s\": %s", directive, path, problem);
	return normal == NULL ? path : normal;
}

static struct template **
compile_templates(struct compiling *k, const struct route *r, size_t count,
    const char *const *texts, struct conf_place at, const char *directive)
{
	struct template **out =
	    arena_zalloc(k->world->mem, (count + 1) * sizeof(struct template *));
	const char *problem;

	for (size_t i = 0; i < count && r->path != NULL; i++) {
		out[i] = template_new(k->world->mem, texts[i], r->path, &problem);
		if (out[i] == NULL)
			conf_error(k->diag, at, "%s: \"%s\": %s", directive, texts[i], problem);
	}
	return out;
}
#define TEMPLATES(k, r, table, c, field)                                \
	compile_templates((k), (r), (c)->field.count, (c)->field.items, \
	    conf_place(&(table), (c), #field), #field)

static void
compile_upstream(struct compiling *k, const struct route_conf *c, struct route *r)
{
	size_t count = k->conf->upstreams.count;

	for (size_t i = 0; i < count; i++)
		if (c->upstream != NULL
			? strcmp(k->conf->upstreams.items[i].conf.name, c->upstream) == 0
			: count == 1) {
			r->upstream = upstream_ref(k->site->upstreams[i]);
			return;
		}
	if (c->upstream != NULL) {
		conf_error(k->diag, conf_place(&route_table, c, "upstream"),
		    "upstream: there is none called \"%s\"", c->upstream);
		if (count > 0)
			conf_hint(k->diag, "the first of %zu is \"%s\"", count,
			    k->conf->upstreams.items[0].conf.name);
	} else if (count == 0) {
		conf_error(k->diag, c->conf.node->at,
		    "the route has nothing to ask: there are no upstreams");
		conf_hint(
		    k->diag, "upstreams: {app: \"127.0.0.1:3000\"}, or respond or redirect here");
	} else {
		conf_error(k->diag, c->conf.node->at, "which upstream? there are %zu", count);
		conf_hint(k->diag, "add upstream: %s", k->conf->upstreams.items[0].conf.name);
	}
}

static void
compile_action(struct compiling *k, const struct route_conf *c, struct route *r)
{
	struct arena *mem = k->world->mem;

	r->strip_prefix = normal_path(
	    k, c->strip_prefix, conf_place(&route_table, c, "strip_prefix"), "strip_prefix");
	r->add_prefix =
	    normal_path(k, c->add_prefix, conf_place(&route_table, c, "add_prefix"), "add_prefix");
	if (!c->respond.conf.is_off) {
		r->action = ROUTE_RESPOND;
		r->status = c->respond.status;
		r->text = template_literal(mem, slice_from(c->respond.body));
		r->content_type = c->respond.content_type;
	} else if (!c->redirect.conf.is_off) {
		r->action = ROUTE_REDIRECT;
		r->status = c->redirect.status;
		r->text = *compile_templates(k, r, 1, &c->redirect.to,
		    conf_place(&redirect_table, &c->redirect, "to"), "to");
	} else {
		r->action = ROUTE_PROXY;
		compile_upstream(k, c, r);
	}
}

static struct names
names_joined(struct arena *mem, struct names a, struct names b)
{
	const char **items = arena_alloc(mem, (a.count + b.count + 1) * sizeof(*items));
	struct names out = {0, items};

	for (unsigned i = 0; i < a.count; i++)
		items[out.count++] = a.items[i];
	for (unsigned i = 0; i < b.count; i++)
		items[out.count++] = b.items[i];
	return out;
}

/* Cookies of the key may be named in two places. */
static void
compile_cookies(struct compiling *k, const struct route_cache_conf *c, struct route_cache *out)
{
	struct names in_key = {(unsigned)c->key.cookies.count, c->key.cookies.items};

	out->cookies = c->cookies.rule;
	out->cookie_names = c->cookies.names;
	if (in_key.count == 0)
		return;
	if (c->cookies.rule == COOKIES_IGNORE || c->cookies.rule == COOKIES_STRIP) {
		conf_error(k->diag, conf_place(&cache_key_table, &c->key, "cookies"),
		    "cookies: they are part of the key here, and ignored or stripped by "
		    "\"cookies\"");
		return;
	}
	out->cookies = COOKIES_KEY;
	out->cookie_names = names_joined(k->world->mem, c->cookies.names, in_key);
}

static void
compile_lives(struct compiling *k, const struct route_cache_conf *c, struct route_cache *out)
{
	out->life = (struct life_policy){
	    .ttl_ms = CONF_IS_SET(&route_cache_table, c, ttl) ? c->ttl : LIFE_UNSET,
	    .overrides = c->origin != 0,
	    .heuristic = c->heuristic,
	    .stale_while_revalidate_ms = c->stale_while_revalidate,
	    .stale_if_error_ms = c->stale_if_error,
	    .by_status = c->statuses.items,
	    .by_status_count = c->statuses.count,
	};
	if (out->life.overrides && out->life.ttl_ms == LIFE_UNSET && c->statuses.count == 0) {
		conf_error(k->diag, conf_place(&route_cache_table, c, "origin"),
		    "origin: override wants a life that wins");
		conf_hint(k->diag, "add ttl: 10m");
	}
	out->sliding_ms = c->sliding;
	if (c->sliding > 0 && c->sliding < out->life.ttl_ms)
		conf_error(k->diag, conf_place(&route_cache_table, c, "sliding"),
		    "sliding: no age that a life can slide to is shorter than the ttl it begins "
		    "with");
	out->early_percent = (unsigned)(c->early_refresh * 100 + 0.5);
	out->jitter_percent = (unsigned)(c->jitter * 100 + 0.5);
	out->fetch_lock_ms = k->conf->cache.redis.fetch_lock;
	out->l2_fill_ms = k->conf->cache.redis.memory_life;
}

/* Who is in the key is answered from his own copy. */
static bool
key_has_authorization(const struct route_cache_conf *c)
{
	for (size_t i = 0; i < c->key.headers.count; i++)
		if (strcasecmp(c->key.headers.items[i], "authorization") == 0)
			return true;
	return false;
}

static void
compile_slice(struct compiling *k, const struct route_cache_conf *c, struct route_cache *out)
{
	out->slice_bytes = (uint64_t)c->slice;
	if (c->slice == 0)
		return;
	if (c->slice < SLICE_LEAST_BYTES) {
		conf_error(k->diag, conf_place(&route_cache_table, c, "slice"),
		    "slice: smaller than 64KiB");
		conf_hint(k->diag, "each slice is a request to the origin: 1MiB is a good size");
	} else if (c->slice > c->max_object) {
		conf_error(k->diag, conf_place(&route_cache_table, c, "slice"),
		    "slice: a slice would be larger than max_object, and so not be stored");
		conf_hint(k->diag, "make it smaller, or max_object larger");
	}
}

static void
compile_cache(struct compiling *k, const struct route_conf *c, struct route *r)
{
	struct route_cache_conf merged = c->cache;
	struct route_cache *out = &r->cache;

	if (k->conf->cache.conf.is_off || merged.conf.is_off)
		return;
	conf_inherit(k->world->mem, &route_cache_table, &merged, &k->conf->cache.rules);
	out->is_on = r->action == ROUTE_PROXY;
	compile_lives(k, &merged, out);
	compile_cookies(k, &merged, out);
	out->store = (struct store_policy){
	    .set_cookie = (enum set_cookie_rule)merged.set_cookie,
	    .cookies_covered = out->cookies != COOKIES_GUARD,
	    .authorization_covered = merged.authorization != 0 || key_has_authorization(&merged),
	    .max_object_bytes = (uint64_t)merged.max_object,
	};
	out->query = merged.query.rule;
	out->query_names = merged.query.names;
	out->query_sorted = merged.query.sorted;
	out->key_headers =
	    (struct names){(unsigned)merged.key.headers.count, merged.key.headers.items};
	out->offers_count = merged.vary.count;
	out->offers = merged.vary.items;
	out->drops_tracking = merged.tracking == TRACKING_DROP ||
	    (merged.tracking == TRACKING_AUTO && out->life.ttl_ms != LIFE_UNSET);
	out->keeps_post = merged.post != 0;
	if (out->keeps_post && (out->cookies == COOKIES_STRIP || out->cookies == COOKIES_KEY)) {
		conf_error(k->diag, conf_place(&route_cache_table, &merged, "post"),
		    "post: store would send writes without their cookies here");
		conf_hint(k->diag, "post: pass, or cookies: guard or ignore");
	}
	compile_slice(k, &merged, out);
	out->obey_request = merged.client_directives != 0;
	out->hides_tags = merged.tag_fields == 0;
	out->tags_count = (unsigned)merged.tags.count;
	out->tags = TEMPLATES(k, r, route_cache_table, &merged, tags);
}

/* Paths, as the log of purges has them: in normal form. */
static struct template **
compile_paths(struct compiling *k, const struct route *r, struct names texts, struct conf_place at,
    const char *directive)
{
	const char **normal = arena_alloc(k->world->mem, (texts.count + 1) * sizeof(*normal));

	for (unsigned i = 0; i < texts.count; i++)
		normal[i] = normal_path(k, texts.items[i], at, directive);
	return compile_templates(k, r, texts.count, normal, at, directive);
}
#define NAMES_OF(list) ((struct names){(unsigned)(list).count, (list).items})

/* The tags with a star, or those without. */
static struct names
tags_with_star(struct compiling *k, const struct purge_conf *c, bool with)
{
	const char **items = arena_alloc(k->world->mem, (c->tags.count + 1) * sizeof(*items));
	struct names out = {0, items};

	for (size_t i = 0; i < c->tags.count; i++)
		if ((strchr(c->tags.items[i], '*') != NULL) == with)
			items[out.count++] = c->tags.items[i];
	return out;
}

static void
compile_purge(struct compiling *k, const struct purge_conf *c, struct route *r)
{
	struct names tags = tags_with_star(k, c, false), patterns = tags_with_star(k, c, true);
	struct conf_place at = conf_place(&purge_table, c, "tags");

	r->purge = (struct route_purge){
	    .tags_count = tags.count,
	    .tags = compile_templates(k, r, tags.count, tags.items, at, "tags"),
	    .tag_patterns_count = patterns.count,
	    .tag_patterns = compile_templates(k, r, patterns.count, patterns.items, at, "tags"),
	    .urls_count = (unsigned)c->urls.count,
	    .urls =
		compile_paths(k, r, NAMES_OF(c->urls), conf_place(&purge_table, c, "urls"), "urls"),
	    .prefixes_count = (unsigned)c->prefixes.count,
	    .prefixes = compile_paths(
		k, r, NAMES_OF(c->prefixes), conf_place(&purge_table, c, "prefixes"), "prefixes"),
	    .patterns_count = (unsigned)c->patterns.count,
	    .patterns = compile_paths(
		k, r, NAMES_OF(c->patterns), conf_place(&purge_table, c, "patterns"), "patterns"),
	    .soft = c->soft,
	};
}

static void
compile_headers(struct compiling *k, const struct route_conf *c, struct route *r)
{
	const struct headers_conf *sections[2] = {&k->conf->security_headers, &c->security_headers};
	bool is_given = CONF_IS_SET(&route_table, c, security_headers);
	struct headers_level levels[2];
	struct headers_error error;
	size_t first = 0, count = is_given ? 2 : 1;

	/* Off is nothing to add to: the route then begins anew. */
	if (is_given && (sections[0]->conf.is_off || sections[1]->conf.is_off))
		first = 1;
	for (size_t i = first; i < count; i++)
		headers_level_from(k->world->mem, sections[i], &levels[i]);
	r->headers = headers_compile(levels + first, count - first, &error);
	if (r->headers == NULL)
		conf_error(k->diag, headers_rule_place(sections[first + error.level], error.rule),
		    "security_headers: %s", error.text);
}

static void
compile_compression(struct compiling *k, const struct route_conf *c, struct route *r)
{
	struct compression_conf merged = k->conf->compression;

	if (CONF_IS_SET(&route_table, c, compression)) {
		merged = c->compression;
		conf_inherit(k->world->mem, &compression_table, &merged, &k->conf->compression);
	}
	compression_rules_from(k->world->mem, &merged, &r->compress);
}

/* --- its limits --------------------------------------------------------------------------------- */

static const struct rate_limit_conf *
find_limit(const struct server_conf *c, const char *name)
{
	for (size_t i = 0; i < c->rate_limits.count; i++)
		if (strcmp(c->rate_limits.items[i].conf.name, name) == 0)
			return &c->rate_limits.items[i];
	return NULL;
}

static void
compile_limit(struct compiling *k, const struct rate_limit_conf *c, struct route_limit *out)
{
	struct limit_conf conf;

	rate_limit_from(c, &conf);
	out->limiter = limiter_get(k->world->limits, c->conf.name, &conf);
	out->name = c->conf.name;
	out->label = rate_label_of(k->world->mem, out->name, conf.limit, conf.window_ms);
	out->parts = arena_zalloc(k->world->mem, c->key.count * sizeof(*out->parts));
	for (; out->parts_count < c->key.count; out->parts_count++) {
		struct rate_key_part part;

		if (rate_key_part_from(c->key.items[out->parts_count], &part) != NULL)
			bug("rate limit %s: a key that was checked is none", c->conf.name);
		out->parts[out->parts_count].kind = part.kind;
		out->parts[out->parts_count].name = part.name;
	}
}

static void
compile_rate_limits(struct compiling *k, const struct route_conf *c, struct route *r)
{
	for (size_t i = 0; i < c->rate_limit.count; i++) {
		const struct rate_limit_conf *limit = find_limit(k->conf, c->rate_limit.items[i]);

		if (limit == NULL) {
			conf_error(k->diag, conf_place(&route_table, c, "rate_limit"),
			    "rate_limit: there is none called \"%s\"", c->rate_limit.items[i]);
			conf_hint(k->diag, "limits are declared by name in rate_limits");
			continue;
		}
		compile_limit(k, limit, &r->limits[r->limits_count++]);
	}
}

/* --- all of it ---------------------------------------------------------------------------------- */

static void
check_offers(struct compiling *k, const struct route_conf *c, const struct route *r)
{
	for (unsigned i = 0; i < r->cache.offers_count; i++)
		if (r->compress.is_on && strcmp(r->cache.offers[i].name, "accept-encoding") == 0) {
			conf_error(k->diag, conf_place(&route_cache_table, &c->cache, "vary"),
			    "vary: accept-encoding plays no part where Forebay codes");
			conf_hint(k->diag, "compression: off for this route, or leave it out here");
		}
}

void
route_compile(struct compiling *k, const struct route_conf *c, struct route *r)
{
	r->name = name_of(k, c);
	compile_match(k, &c->match, r);
	compile_action(k, c, r);
	compile_cache(k, c, r);
	compile_purge(k, &c->purge, r);
	compile_headers(k, c, r);
	compile_compression(k, c, r);
	check_offers(k, c, r);
	compile_rate_limits(k, c, r);
	r->wants_certificate = c->client_certificates == CLIENT_CERTIFICATES_REQUIRED;
	r->body_size =
	    CONF_IS_SET(&route_table, c, body_size) ? c->body_size : k->conf->limits.body_size;
}

void
route_fini(struct route *r)
{
	pattern_free(r->path);
	for (unsigned i = 0; i < r->conditions_count; i++)
		regex_free(&r->conditions[i].regex);
	for (unsigned i = 0; i < r->limits_count; i++)
		limiter_unref(&r->limits[i].limiter);
	headers_free(&r->headers);
	upstream_unref(&r->upstream);
}
