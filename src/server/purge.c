#include "server/purge.h"

#include <stdlib.h>

#include "base/log.h"
#include "base/mem.h"
#include "http/origintags.h"
#include "server/exchange_priv.h"
#include "server/purgecount.h"

/* On its way to a ticket, which may be forgotten meanwhile. */
struct purge_notice {
	struct clerk_wait wait;
	struct purge_ticket *ticket; /* NULL: forgotten */
};

static void
on_notice(struct clerk_wait *w)
{
	struct purge_notice *n = CONTAINER_OF(w, struct purge_notice, wait);
	struct purge_ticket *t = n->ticket;
	enum purge_level level = w->level;

	free(n);
	if (t == NULL)
		return;
	t->notice = NULL;
	t->level = level;
	t->done(t);
}

static void
await(struct worker *w, uint64_t serial, bool is_everywhere, struct purge_ticket *ticket)
{
	struct purge_notice *n = must_calloc(1, sizeof(*n));

	n->ticket = ticket;
	n->wait = (struct clerk_wait){.serial = serial,
	    .is_everywhere = is_everywhere,
	    .reply_to = w->mailbox,
	    .done = on_notice};
	ticket->notice = n;
	clerk_await(w->commons->clerk, &n->wait);
}

static uint64_t
take(struct worker *w, const struct purge *items, size_t count)
{
	observe_add(w->observer, COUNT_purges, (int64_t)count);
	return clerk_take(w->commons->clerk, items, count);
}

void
purge_order(struct worker *w, const struct purge *items, size_t count, bool wait_everywhere,
    struct purge_ticket *ticket)
{
	uint64_t serial = take(w, items, count);

	if (ticket != NULL)
		await(w, serial, wait_everywhere, ticket);
}

void
purge_forget(struct purge_ticket *t)
{
	if (t->notice != NULL)
		t->notice->ticket = NULL;
	t->notice = NULL;
}

/* --- what a route declares --- */

/* While the set grows, what.p holds an offset into texts; carry_out turns it into a pointer. */
static void
add(struct purge_set *set, enum purge_kind kind, size_t at)
{
	if (set->count == set->cap) {
		set->cap = set->cap == 0 ? 4 : set->cap * 2;
		set->items = must_realloc(set->items, set->cap * sizeof(*set->items));
	}
	set->items[set->count++] = (struct purge){.kind = kind,
	    .soft = set->soft,
	    .what = slice_of((const char *)(uintptr_t)at, set->texts.n - at)};
}

/* For patterns: a star that came from a client is only a star. */
static struct captures
captures_escaped(const struct captures *c, struct buf *texts)
{
	struct captures out = *c;
	size_t at = 0;

	for (unsigned i = 0; i < c->count; i++)
		for (size_t k = 0; k < c->values[i].n; k++) {
			if (c->values[i].p[k] == '*' || c->values[i].p[k] == '\\')
				buf_add_char(texts, '\\');
			buf_add_char(texts, c->values[i].p[k]);
		}
	for (unsigned i = 0; i < c->count; i++) {
		size_t n = c->values[i].n;

		for (size_t k = 0; k < c->values[i].n; k++)
			n += c->values[i].p[k] == '*' || c->values[i].p[k] == '\\';
		out.values[i] = slice_of(texts->p + at, n);
		at += n;
	}
	return out;
}

static void
add_templates(struct purge_set *set, const struct exchange *x, enum purge_kind kind,
    struct template *const *templates, unsigned count)
{
	struct captures captures = x->captures;
	struct buf escaped = {0};

	if (count > 0 && (kind == PURGE_PATTERN || kind == PURGE_TAG_PATTERN))
		captures = captures_escaped(&x->captures, &escaped);
	for (unsigned i = 0; i < count; i++) {
		size_t at = set->texts.n;

		if (kind != PURGE_TAG && kind != PURGE_TAG_PATTERN) /* the host that was asked */
			buf_add_slice(&set->texts, x->url.authority);
		template_expand(templates[i], &captures, &set->texts);
		add(set, kind, at);
	}
	buf_fini(&escaped);
}

/* Texts do not move any more: their places, as pointers. For the caller to free. */
static struct purge *
items_of(const struct purge_set *set)
{
	struct purge *items = must_calloc(set->count + 1, sizeof(*items));

	for (unsigned i = 0; i < set->count; i++) {
		items[i] = set->items[i];
		items[i].what.p = set->texts.p + (uintptr_t)items[i].what.p;
	}
	return items;
}

static void
note_intent(struct purge_set *set, struct worker *w)
{
	struct purge *items = items_of(set);

	set->intent = clerk_intent(w->commons->clerk, items, set->count);
	free(items);
}

void
purge_set_expand(struct purge_set *set, const struct exchange *x)
{
	const struct route_purge *p = &x->route->purge;
	const struct route *get;

	set->is_unsafe = !method_is_safe(x->head.method);
	if (!set->is_unsafe &&
	    p->tags_count + p->tag_patterns_count + p->urls_count + p->prefixes_count +
		    p->patterns_count ==
		0)
		return;
	set->soft = p->soft;
	add_templates(set, x, PURGE_TAG, p->tags, p->tags_count);
	add_templates(set, x, PURGE_EXACT, p->urls, p->urls_count);
	add_templates(set, x, PURGE_PREFIX, p->prefixes, p->prefixes_count);
	add_templates(set, x, PURGE_TAG_PATTERN, p->tag_patterns, p->tag_patterns_count);
	add_templates(set, x, PURGE_PATTERN, p->patterns, p->patterns_count);
	if (set->count > 0 && audit_has_file()) {
		set->audit = audit_entry("purge", "route", (struct exchange *)x);
		json_object_set_new(set->audit, "route", json_string(x->route->name));
	}
	get = exchange_route_of_get(x);
	set->site_at = set->texts.n;
	buf_add_slice(&set->texts, exchange_scheme(x));
	buf_add_lit(&set->texts, "://");
	set->origin_at = set->texts.n;
	buf_add_slice(&set->texts, x->url.authority);
	set->origin_len = set->texts.n - set->origin_at;
	set->url_at = set->texts.n;
	buf_add_slice(&set->texts, x->url.authority);
	buf_add_slice(&set->texts, x->url.path);
	if (get != NULL)
		exchange_add_query(x, get, &set->texts);
	set->url_len = set->texts.n - set->url_at;
	note_intent(set, x->worker);
}

static void
finish(struct purge_set *set, struct worker *w, uint64_t serial)
{
	clerk_intent_end(w->commons->clerk, &set->intent, serial);
	set->count = 0;
}

/* Before they are taken: then they can be counted. The line's rest, which is written. */
static void
write_down(struct worker *w, json_t **line, const struct purge *items, size_t count, bool soft)
{
	bool is_exact;

	if (*line == NULL)
		return;
	json_object_set_new(*line, "what", json_of_purges(items, count));
	json_object_set_new(*line, "soft", json_boolean(soft));
	if (!purges_want_walk(items, count)) {
		uint64_t found = purges_count(w, items, count, &is_exact);

		json_object_set_new(*line, "count", json_integer((json_int_t)found));
		json_object_set_new(*line, "exact", json_boolean(is_exact));
	}
	audit_write(line);
}

void
purge_set_carry_out(struct purge_set *set, struct worker *w, struct purge_ticket *ticket)
{
	struct purge *items = items_of(set);
	uint64_t serial;

	if (set->count > 0) {
		write_down(w, &set->audit, items, set->count, set->soft);
		serial = take(w, items, set->count);
		set->taken += set->count;
		if (ticket != NULL)
			await(w, serial, clerk_is_strict(w->commons->clerk), ticket);
		finish(set, w, serial);
	}
	free(items);
}

void
purge_set_drop(struct purge_set *set, struct worker *w)
{
	finish(set, w, 0);
}

/* --- what RFC 9111 section 4.4 says --- */

/* Returns what to wait for. */
static uint64_t
purge_url(struct purge_set *set, struct worker *w, struct slice what)
{
	set->taken++;
	return take(w, &(struct purge){.kind = PURGE_EXACT, .what = what}, 1);
}

/* The authority of an absolute reference taken off. False: it has none, or is of another kind than http. */
static bool
take_authority(struct slice *rest, struct slice *authority_out)
{
	static const struct {
		struct slice start, port;
	} kinds[] = {{SLICE_LIT("http://"), SLICE_LIT(":80")},
	    {SLICE_LIT("https://"), SLICE_LIT(":443")}, {SLICE_LIT("//"), SLICE_LIT(":80")}};

	for (size_t i = 0; i < sizeof(kinds) / sizeof(*kinds); i++) {
		struct slice start = kinds[i].start, port = kinds[i].port, found;
		size_t end;

		if (rest->n < start.n || !slice_ieq(slice_of(rest->p, start.n), start))
			continue;
		found = slice_skip(*rest, start.n);
		for (end = 0; end < found.n && found.p[end] != '/' && found.p[end] != '?'; end++)
			;
		*rest = slice_skip(found, end);
		found.n = end;
		if (slice_ends(found, port))
			found.n -= port.n;
		*authority_out = found;
		return true;
	}
	return false;
}

/* What a reference names, against the path that was asked (RFC 3986 section 5.2); not normal yet. */
static void
resolve_path(struct slice target, struct slice path, struct buf *out)
{
	size_t keep = slice_index(target, '?');

	if (path.n > 0 && path.p[0] == '/')
		keep = 0;
	else if (path.n > 0)
		while (keep > 0 && target.p[keep - 1] != '/')
			keep--;
	buf_add_slice(out, slice_of(target.p, keep));
	buf_add_slice(out, path);
}

/* The URL that a reference names, as purges do, in *out. False: none, or on another host. Whichever scheme: TLS may end
 * before us. */
static bool
resolve(const struct purge_set *set, struct slice reference, struct buf *out)
{
	struct slice origin = slice_of(set->texts.p + set->origin_at, set->origin_len);
	struct slice target =
	    slice_of(set->texts.p + set->url_at + set->origin_len, set->url_len - set->origin_len);
	struct slice rest = slice_of(reference.p, slice_index(reference, '#')), authority, path;
	struct buf whole = {0};
	bool is_good;
	size_t path_n;
	char *space;

	if (rest.n == 0)
		return false;
	if (take_authority(&rest, &authority)) {
		if (!slice_ieq(authority, origin))
			return false;
		target = SLICE_LIT("/");
	}
	path_n = slice_index(rest, '?');
	resolve_path(target, slice_of(rest.p, path_n), &whole);
	space = must_malloc(3 * whole.n + 1);
	is_good = url_path_normal(buf_slice(&whole), space, &path) == URL_GOOD;
	if (is_good) {
		buf_add_slice(out, origin);
		buf_add_slice(out, path);
		buf_add_slice(out, slice_skip(rest, path_n));
	}
	free(space);
	buf_fini(&whole);
	return is_good;
}

/* Location and Content-Location name what has changed as well, on the same host only. */
static void
purge_location(struct purge_set *set, struct worker *w, struct slice value, uint64_t *serial)
{
	struct buf what = {0};

	if (resolve(set, value, &what))
		*serial = purge_url(set, w, buf_slice(&what));
	buf_fini(&what);
}

bool
purge_set_is_about(const struct purge_set *set, struct slice reference)
{
	struct buf what = {0};
	bool is_it = set->url_len > 0 && resolve(set, reference, &what) &&
	    slice_eq(buf_slice(&what), slice_of(set->texts.p + set->url_at, set->url_len));

	buf_fini(&what);
	return is_it;
}

/* RFC 9875 section 3: what the origin says in so many words, whatever the status. x may be NULL. Returns what to wait for; 0:
 * nothing. */
static uint64_t
purge_groups(
    struct purge_set *set, struct worker *w, const struct head *response, struct exchange *x)
{
	struct slice site =
	    slice_of(set->texts.p + set->site_at, set->origin_at + set->origin_len - set->site_at);
	struct buf tags = {0};
	size_t count = origin_groups_to_purge(response, site, &tags);
	struct purge *items = must_calloc(count, sizeof(*items));
	struct slice rest = buf_slice(&tags);
	uint64_t serial = 0;

	for (size_t i = 0; i < count; i++) {
		struct slice one = slice_cut(&rest, '\0');

		items[i] = (struct purge){.kind = PURGE_TAG, .what = one};
	}
	if (count > 0 && audit_has_file()) {
		json_t *line = audit_entry("purge", "origin", x);

		write_down(w, &line, items, count, false);
	}
	if (count > 0)
		serial = take(w, items, count);
	set->taken += (unsigned)count;
	free(items);
	buf_fini(&tags);
	return serial;
}

/* Whether the route has declared just that. */
static bool
declares(const struct purge_set *set, struct slice url)
{
	struct purge *items = items_of(set);
	bool found = false;

	for (unsigned i = 0; i < set->count && !found; i++)
		found =
		    items[i].kind == PURGE_EXACT && !items[i].soft && slice_eq(items[i].what, url);
	free(items);
	return found;
}

static uint64_t
purge_target(struct purge_set *set, struct worker *w, const struct head *response)
{
	struct slice url = slice_of(set->texts.p + set->url_at, set->url_len);
	uint64_t serial = 0;

	if (!declares(set, url))
		serial = purge_url(set, w, url);
	purge_location(set, w, head_value(response, FIELD_LOCATION), &serial);
	purge_location(set, w, head_value(response, FIELD_CONTENT_LOCATION), &serial);
	set->is_unsafe = false;
	return serial;
}

/* The target goes before what was declared: who waits for that waits for it, too. Under strict coherence nobody may find what
 * has changed, declared or not; else a log-in or a search by POST need not wait for what the standard adds. */
void
purge_after_response(
    struct purge_set *set, struct worker *w, const struct head *response, struct exchange *x)
{
	bool is_success = response->status < 400, is_doubt = response->status >= 500;
	bool is_strict = clerk_is_strict(w->commons->clerk);
	uint64_t serial = 0, target = 0;

	if (set->is_unsafe && head_has(response, FIELD_CACHE_GROUP_INVALIDATION))
		serial = purge_groups(set, w, response, x);
	if (set->is_unsafe && is_success && set->texts.n > 0)
		target = purge_target(set, w, response);
	if (is_strict && target > 0)
		serial = target;
	if ((is_success || is_doubt) && set->count > 0)
		purge_set_carry_out(set, w, x == NULL ? NULL : &x->told);
	else if (serial > 0 && x != NULL)
		await(w, serial, is_strict, &x->told);
	purge_set_drop(set, w);
}

void
purge_set_fini(struct purge_set *set)
{
	json_decref(set->audit);
	free(set->items);
	buf_fini(&set->texts);
	*set = (struct purge_set){0};
}
