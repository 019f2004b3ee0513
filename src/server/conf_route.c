#include "server/conf_route.h"

#include "conf/fill.h"
#include "conf/value.h"
#include "policy/token.h"

/* --- match -------------------------------------------------------------------------------------- */

static int
refuse_line(struct conf_context *cx, const struct conf_node *n, const struct conf_directive *row)
{
	conf_error(cx->diag, n->at, "%s: %s is no path", conf_row_name(row),
	    n->kind == CONF_SCALAR ? conf_shown(cx, row, n) : "this");
	conf_hint(
	    cx->diag, "expected [METHOD|METHOD] PATH, as in GET|HEAD /products/{id} or /static/**");
	return -1;
}

int
match_line_parse(struct conf_context *cx, const struct conf_node *n,
    const struct conf_directive *row, void *field)
{
	struct match_line *m = field;
	struct slice text = n->kind == CONF_SCALAR ? slice_trim(slice_from(n->text)) : SLICE_NONE;
	size_t blank = slice_index(text, ' ');

	if (text.n == 0)
		return refuse_line(cx, n, row);
	m->written = arena_copy(cx->mem, text).p;
	if (blank < text.n) {
		m->methods = slice_of(m->written, blank);
		text = slice_trim(slice_skip(text, blank));
	}
	m->path = arena_copy(cx->mem, text).p;
	return text.p[0] == '/' ? 0 : refuse_line(cx, n, row);
}

static void
check_match(struct conf_context *cx, const struct conf_table *t, void *target)
{
	const struct match_conf *m = target;

	if ((m->path.written != NULL) == (m->path_regex != NULL)) {
		conf_error(cx->diag, m->conf.node->at,
		    m->path_regex != NULL ? "path and path_regex cannot both be given%s"
					  : "the path is missing%s",
		    conf_where(cx));
		conf_hint(cx->diag, "path: /** matches every path");
	}
	if (m->path.methods.n > 0 && m->methods.count > 0)
		conf_error(cx->diag, conf_place(t, m, "methods"),
		    "methods: they stand before the path already");
	for (size_t i = 0; i < m->headers.count; i++)
		if (!slice_is_token(slice_from(m->headers.items[i].name)) ||
		    m->headers.items[i].is_off)
			conf_error(cx->diag, m->headers.items[i].node->at, "%s: %s",
			    m->headers.items[i].name,
			    m->headers.items[i].is_off ? "only what is there can be matched"
						       : "this is no field name");
}

#define CONF_TARGET struct match_conf
static const struct conf_directive match_rows[] = {MATCH_DIRECTIVES(CONF_ROW)};
#undef CONF_TARGET
const struct conf_table match_table =
    CONF_TABLE("match", struct match_conf, match_rows, .shortcut = "path", .check = check_match,
	.text = "The path is matched in normal form: percent-encoding in upper case, unreserved "
		"characters decoded, dot "
		"segments removed. All that is said must hold.");

/* --- cache -------------------------------------------------------------------------------------- */

const struct conf_word client_certificates_words[] = {
    {"required", CLIENT_CERTIFICATES_REQUIRED, false},
    {"optional", CLIENT_CERTIFICATES_OPTIONAL, false}, {0}};
const struct conf_word cache_origin_words[] = {
    {"obey", 0, false}, {"override", 1, false}, {"respect", 0, true}, {0}};
const struct conf_word cache_set_cookie_words[] = {{"bypass", SET_COOKIE_BYPASS, false},
    {"strip", SET_COOKIE_STRIP, false}, {"store", SET_COOKIE_STORE, false}, {0}};
const struct conf_word cache_authorization_words[] = {
    {"guard", 0, false}, {"ignore", 1, false}, {0}};
const struct conf_word cache_tag_fields_words[] = {{"hide", 0, false}, {"pass", 1, false}, {0}};
const struct conf_word cache_client_words[] = {{"ignore", 0, false}, {"obey", 1, false}, {0}};
const struct conf_word cache_tracking_words[] = {{"auto", TRACKING_AUTO, false},
    {"drop", TRACKING_DROP, false}, {"keep", TRACKING_KEEP, false}, {0}};
const struct conf_word cache_post_words[] = {{"pass", 0, false}, {"store", 1, false}, {0}};

static const struct conf_word cookies_words[] = {{"guard", COOKIES_GUARD, false},
    {"ignore", COOKIES_IGNORE, false}, {"strip", COOKIES_STRIP, false}, {0}};
static const struct conf_word query_words[] = {
    {"all", QUERY_ALL, false}, {"none", QUERY_NONE, false}, {0}};

static int
refuse_form(struct conf_context *cx, const struct conf_node *n, const struct conf_directive *row)
{
	conf_error(cx->diag, n->at, "%s: %s is not understood here", conf_row_name(row),
	    n->kind == CONF_SCALAR ? conf_shown(cx, row, n) : "this");
	conf_hint(cx->diag, "expected %s", row->form);
	return -1;
}

/* Statuses of one key: "404" or "5xx". */
static bool
read_statuses(const char *key, unsigned *first, unsigned *last)
{
	uint64_t v = 0;

	if (strlen(key) != 3 || key[0] < '2' || key[0] > '5')
		return false;
	if (strcmp(key + 1, "xx") == 0) {
		*first = (unsigned)(key[0] - '0') * 100;
		*last = *first + 99;
		return true;
	}
	if (!slice_to_u64(slice_from(key), &v))
		return false;
	*first = *last = (unsigned)v;
	return true;
}

/* Statuses that say what was wrong with one request, not what its URL is: a class does not mean them, or one client's broken
 * request would be answered for everybody. */
static bool
is_about_request(unsigned status)
{
	return status == 400 || status == 401 || (status >= 405 && status <= 408) ||
	    (status >= 411 && status <= 417) || (status >= 421 && status <= 431 && status != 424);
}

static int
add_status(struct conf_context *cx, const struct conf_directive *row, const struct conf_entry *e,
    struct cache_statuses *out)
{
	struct conf_directive life = {
	    .name = e->key, .type = CONF_DURATION, .least = "0", .most = "3650d"};
	unsigned first = 0, last = 0;
	int64_t ms = 0;

	if (!read_statuses(e->key, &first, &last)) {
		conf_error(cx->diag, e->at, "%s: \"%s\" is no status", conf_row_name(row), e->key);
		conf_hint(cx->diag, "expected 200 to 599, or 4xx for all of a class");
		return -1;
	}
	if (conf_fill_value(cx, &life, e->value, &ms) < 0)
		return -1;
	for (unsigned s = first; s <= last; s++)
		if (first == last || !is_about_request(s))
			out->items[out->count++] = (struct status_life){(uint16_t)s, ms};
	return 0;
}

/* Single statuses before classes: the first that fits counts. */
int
cache_statuses_parse(struct conf_context *cx, const struct conf_node *n,
    const struct conf_directive *row, void *field)
{
	struct cache_statuses *out = field;
	int result = 0;

	if (n->kind != CONF_MAPPING)
		return refuse_form(cx, n, row);
	out->items = arena_alloc(cx->mem, (n->count * 100 + 1) * sizeof(*out->items));
	for (int classes = 0; classes <= 1; classes++)
		for (size_t i = 0; i < n->count; i++)
			if ((strstr(n->entries[i].key, "xx") != NULL) == classes)
				result |= add_status(cx, row, &n->entries[i], out);
	return result;
}

struct names_conf {
	struct conf_head conf;
	CONF_LIST_OF(const char *) key, allow, drop;
	bool sort;
};
static const struct conf_directive cookies_map_rows[] = {
    {.name = "key",
	.type = CONF_STRINGS,
	CONF_AT(struct names_conf, key),
	.least = "1",
	.text = "Cookies that are part of the key",
	.required = true},
};
static const struct conf_table cookies_map =
    CONF_TABLE("cookies", struct names_conf, cookies_map_rows, );
static const struct conf_directive query_map_rows[] = {
    {.name = "allow", .type = CONF_STRINGS, CONF_AT(struct names_conf, allow), .text = ""},
    {.name = "drop", .type = CONF_STRINGS, CONF_AT(struct names_conf, drop), .text = ""},
    {.name = "sort", .type = CONF_BOOL, CONF_AT(struct names_conf, sort), .text = ""},
};
static const struct conf_table query_map = CONF_TABLE("query", struct names_conf, query_map_rows, );

#define NAMES_OF(list) ((struct names){(unsigned)(list).count, (list).items})

int
cache_cookies_parse(struct conf_context *cx, const struct conf_node *n,
    const struct conf_directive *row, void *field)
{
	struct conf_directive word = {
	    .name = row->name, .type = CONF_CHOICE, .words = cookies_words, .form = row->form};
	struct cache_cookies *out = field;
	struct names_conf map;
	int rule = 0;

	if (n->kind == CONF_MAPPING) {
		if (conf_fill(cx, &cookies_map, n, &map) < 0)
			return -1;
		*out = (struct cache_cookies){COOKIES_KEY, NAMES_OF(map.key)};
		return 0;
	}
	if (n->kind != CONF_SCALAR)
		return refuse_form(cx, n, row);
	if (conf_fill_value(cx, &word, n, &rule) < 0)
		return -1;
	out->rule = (enum cookies_rule)rule;
	return 0;
}

static int
query_map_parse(struct conf_context *cx, const struct conf_node *n,
    const struct conf_directive *row, struct cache_query *out)
{
	struct names_conf map;

	if (conf_fill(cx, &query_map, n, &map) < 0)
		return -1;
	if (CONF_IS_SET(&query_map, &map, allow) && CONF_IS_SET(&query_map, &map, drop))
		return refuse_form(cx, n, row);
	out->sorted = map.sort;
	if (CONF_IS_SET(&query_map, &map, allow)) {
		out->rule = QUERY_ALLOW;
		out->names = NAMES_OF(map.allow);
	} else if (CONF_IS_SET(&query_map, &map, drop)) {
		out->rule = QUERY_DROP;
		out->names = NAMES_OF(map.drop);
	}
	return 0;
}

int
cache_query_parse(struct conf_context *cx, const struct conf_node *n,
    const struct conf_directive *row, void *field)
{
	struct conf_directive word = {
	    .name = row->name, .type = CONF_CHOICE, .words = query_words, .form = row->form};
	struct cache_query *out = field;
	int rule = 0;

	if (n->kind == CONF_MAPPING)
		return query_map_parse(cx, n, row, out);
	if (n->kind != CONF_SCALAR)
		return refuse_form(cx, n, row);
	if (conf_fill_value(cx, &word, n, &rule) < 0)
		return -1;
	out->rule = (enum query_rule)rule;
	return 0;
}

static void
check_key(struct conf_context *cx, const struct conf_table *t, void *target)
{
	const struct cache_key_conf *k = target;

	for (size_t i = 0; i < k->headers.count; i++)
		if (!slice_is_token(slice_from(k->headers.items[i])))
			conf_error(cx->diag, conf_place(t, k, "headers"),
			    "headers: \"%s\" is no field name", k->headers.items[i]);
	for (size_t i = 0; i < k->cookies.count; i++)
		if (!slice_is_token(slice_from(k->cookies.items[i])))
			conf_error(cx->diag, conf_place(t, k, "cookies"),
			    "cookies: \"%s\" is no cookie's name", k->cookies.items[i]);
}

#define CONF_TARGET struct cache_key_conf
static const struct conf_directive cache_key_rows[] = {CACHE_KEY_DIRECTIVES(CONF_ROW)};
#undef CONF_TARGET
const struct conf_table cache_key_table =
    CONF_TABLE("cache_key", struct cache_key_conf, cache_key_rows, .check = check_key,
	.text = "Scheme, host and path always are, and the query as `query` says.");

#define CONF_TARGET struct route_cache_conf
static const struct conf_directive route_cache_rows[] = {ROUTE_CACHE_DIRECTIVES(CONF_ROW)};
#undef CONF_TARGET
const struct conf_table route_cache_table =
    CONF_TABLE("route_cache", struct route_cache_conf, route_cache_rows, .shortcut = "ttl",
	.text = "What a route caches is what RFC 9111 allows, unless this says otherwise. What is "
		"not said here is taken "
		"from the general `cache`.");

/* --- the rest ----------------------------------------------------------------------------------- */

static void
check_paths(struct conf_context *cx, struct conf_place at, const char *name, size_t count,
    const char *const *items)
{
	for (size_t i = 0; i < count; i++)
		if (items[i][0] != '/')
			conf_error(cx->diag, at, "%s: \"%s\" is no path", name, items[i]);
}

static void
check_purge(struct conf_context *cx, const struct conf_table *t, void *target)
{
	const struct purge_conf *p = target;

	check_paths(cx, conf_place(t, p, "urls"), "urls", p->urls.count, p->urls.items);
	check_paths(
	    cx, conf_place(t, p, "prefixes"), "prefixes", p->prefixes.count, p->prefixes.items);
	check_paths(
	    cx, conf_place(t, p, "patterns"), "patterns", p->patterns.count, p->patterns.items);
}

#define CONF_TARGET struct purge_conf
static const struct conf_directive purge_rows[] = {PURGE_DIRECTIVES(CONF_ROW)};
#undef CONF_TARGET
const struct conf_table purge_table =
    CONF_TABLE("purge", struct purge_conf, purge_rows, .check = check_purge,
	.text = "Carried out before the answer is passed on, when the upstream has answered with "
		"2xx or 3xx, and when "
		"its end left the outcome in doubt.");

static bool
is_printable(const char *text)
{
	for (; *text != '\0'; text++)
		if ((unsigned char)*text < ' ' || (unsigned char)*text >= 0x7f)
			return false;
	return true;
}

static void
check_respond(struct conf_context *cx, const struct conf_table *t, void *target)
{
	const struct respond_conf *r = target;

	if (!is_printable(r->content_type))
		conf_error(cx->diag, conf_place(t, r, "content_type"),
		    "content_type: only printable ASCII may stand in a field");
}

static void
check_redirect(struct conf_context *cx, const struct conf_table *t, void *target)
{
	const struct redirect_conf *r = target;

	if (r->status > 303 && r->status < 307) {
		conf_error(cx->diag, conf_place(t, r, "status"), "status: %d does not redirect",
		    r->status);
		conf_hint(cx->diag, "expected 301, 302, 303, 307 or 308");
	}
	if (!is_printable(r->to) || strchr(r->to, ' ') != NULL) {
		conf_error(cx->diag, conf_place(t, r, "to"), "to: this is no URL");
		conf_hint(cx->diag, "blanks and other than ASCII are written percent-encoded");
	}
}

#define CONF_TARGET struct respond_conf
static const struct conf_directive respond_rows[] = {RESPOND_DIRECTIVES(CONF_ROW)};
#undef CONF_TARGET
const struct conf_table respond_table = CONF_TABLE("respond", struct respond_conf, respond_rows,
    .shortcut = "status", .check = check_respond, .text = "A fixed answer.");

#define CONF_TARGET struct redirect_conf
static const struct conf_directive redirect_rows[] = {REDIRECT_DIRECTIVES(CONF_ROW)};
#undef CONF_TARGET
const struct conf_table redirect_table = CONF_TABLE("redirect", struct redirect_conf, redirect_rows,
    .shortcut = "to", .check = check_redirect, .text = "Sends the client elsewhere.");

static void
check_prefix(struct conf_context *cx, const struct conf_table *t, const void *target,
    const char *name, const char *prefix)
{
	if (prefix == NULL ||
	    (prefix[0] == '/' && prefix[strlen(prefix) - 1] != '/' && is_printable(prefix) &&
		strpbrk(prefix, " ?#") == NULL))
		return;
	conf_error(cx->diag, conf_place(t, target, name), "%s: \"%s\" is no prefix of a path", name,
	    prefix);
	conf_hint(cx->diag, "expected whole segments, as in /api");
}

static void
check_route(struct conf_context *cx, const struct conf_table *t, void *target)
{
	const struct route_conf *r = target;
	bool responds = !r->respond.conf.is_off, redirects = !r->redirect.conf.is_off;

	if (responds && redirects)
		conf_error(cx->diag, conf_place(t, r, "redirect"),
		    "respond and redirect cannot both be given%s", conf_where(cx));
	if ((responds || redirects) && r->upstream != NULL)
		conf_error(cx->diag, conf_place(t, r, "upstream"),
		    "upstream: a route that %s asks none", responds ? "responds" : "redirects");
	check_prefix(cx, t, r, "strip_prefix", r->strip_prefix);
	check_prefix(cx, t, r, "add_prefix", r->add_prefix);
}

#define CONF_TARGET struct route_conf
static const struct conf_directive route_rows[] = {ROUTE_DIRECTIVES(CONF_ROW)};
#undef CONF_TARGET
const struct conf_table route_table = CONF_TABLE("route", struct route_conf, route_rows,
    .shortcut = "match", .check = check_route,
    .text =
	"The first route that matches a request answers it; where none does, the answer is 404.");
