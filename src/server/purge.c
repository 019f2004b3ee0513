#include "server/purge.h"

#include <stdlib.h>

#include "base/log.h"
#include "base/mem.h"
#include "server/exchange_priv.h"

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

static void
add_templates(struct purge_set *set, const struct exchange *x, enum purge_kind kind,
    struct template *const *templates, unsigned count)
{
	for (unsigned i = 0; i < count; i++) {
		size_t at = set->texts.n;

		if (kind != PURGE_TAG) /* paths mean the host that was asked */
			buf_add_slice(&set->texts, x->url.authority);
		template_expand(templates[i], &x->captures, &set->texts);
		add(set, kind, at);
	}
}

void
purge_set_expand(struct purge_set *set, const struct exchange *x)
{
	const struct route_purge *p = &x->route->purge;

	set->is_unsafe = !method_is_safe(x->head.method);
	if (!set->is_unsafe && p->tags_count + p->urls_count + p->prefixes_count == 0)
		return;
	set->soft = p->soft;
	add_templates(set, x, PURGE_TAG, p->tags, p->tags_count);
	add_templates(set, x, PURGE_EXACT, p->urls, p->urls_count);
	add_templates(set, x, PURGE_PREFIX, p->prefixes, p->prefixes_count);
	set->origin_at = set->texts.n;
	buf_add_slice(&set->texts, x->url.authority);
	set->origin_len = set->texts.n - set->origin_at;
	set->url_at = set->texts.n;
	buf_add_slice(&set->texts, x->url.authority);
	buf_add_slice(&set->texts, x->url.path);
	if (x->url.has_query) {
		buf_add_char(&set->texts, '?');
		buf_add_slice(&set->texts, x->url.query);
	}
	set->url_len = set->texts.n - set->url_at;
}

void
purge_set_carry_out(struct purge_set *set, struct worker *w)
{
	for (unsigned i = 0; i < set->count; i++) {
		struct purge p = set->items[i];

		p.what.p = set->texts.p + (uintptr_t)p.what.p;
		purgelog_add(w->commons->purges, &p);
		observe_add(w->observer, COUNT_purges, 1);
	}
	set->count = 0;
}

static void
purge_url(struct purge_set *set, struct worker *w, struct slice what)
{
	struct purge p = {.kind = PURGE_EXACT, .what = what};

	purgelog_add(w->commons->purges, &p);
	observe_add(w->observer, COUNT_purges, 1);
}

/* Location and Content-Location name what has changed as well, on the same origin only. */
static void
purge_location(struct purge_set *set, struct worker *w, struct slice value)
{
	struct slice origin = slice_of(set->texts.p + set->origin_at, set->origin_len),
		     rest = value;
	struct buf what = {0};

	if (value.n == 0)
		return;
	if (slice_starts(rest, SLICE_LIT("http://")))
		rest = slice_skip(rest, 7);
	else if (slice_starts(rest, SLICE_LIT("https://")))
		rest = slice_skip(rest, 8);
	else if (rest.p[0] == '/' && !(rest.n > 1 && rest.p[1] == '/')) {
		buf_add_slice(&what, origin);
		buf_add_slice(&what, slice_of(rest.p, slice_index(rest, '#')));
		purge_url(set, w, buf_slice(&what));
		buf_fini(&what);
		return;
	} else
		return; /* relative to the target: rare, and never a cache's duty */
	if (slice_starts(rest, origin) && (rest.n == origin.n || rest.p[origin.n] == '/'))
		purge_url(set, w, slice_of(rest.p, slice_index(rest, '#')));
}

void
purge_after_response(struct purge_set *set, struct worker *w, const struct head *response)
{
	bool is_success = response->status < 400, is_doubt = response->status >= 500;

	if (is_success || is_doubt)
		purge_set_carry_out(set, w);
	set->count = 0;
	if (!set->is_unsafe || !is_success || set->texts.n == 0)
		return;
	purge_url(set, w, slice_of(set->texts.p + set->url_at, set->url_len));
	purge_location(set, w, head_value(response, FIELD_LOCATION));
	purge_location(set, w, head_value(response, FIELD_CONTENT_LOCATION));
	set->is_unsafe = false;
}

void
purge_set_fini(struct purge_set *set)
{
	free(set->items);
	buf_fini(&set->texts);
	*set = (struct purge_set){0};
}
