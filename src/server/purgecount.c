#include "server/purgecount.h"

#include "cache/census.h"
#include "cache/searchrules.h"
#include "http/searchrule.h"
#include "server/audit.h"
#include "server/worker.h"

bool
purges_want_walk(const struct purge *items, size_t count)
{
	for (size_t i = 0; i < count; i++)
		if (items[i].kind != PURGE_TAG && items[i].kind != PURGE_ALL &&
		    (items[i].kind != PURGE_EXACT || items[i].what.p[0] == '/'))
			return true;
	return false;
}

/* Whether nothing but the URL is in this site's keys: then a URL's objects are found by it, unless it is one that answers
 * several queries (No-Vary-Search). */
static bool
keys_are_urls(const struct site *s)
{
	for (unsigned i = 0; i < s->routes_count; i++) {
		const struct route_cache *rc = &s->routes[i].cache;

		if (rc->is_on &&
		    (rc->key_headers.count > 0 || rc->offers_count > 0 ||
			rc->cookies == COOKIES_KEY || rc->slice_bytes > 0 ||
			s->routes[i].conditions_count > 0))
			return false;
	}
	return s->trusted_count == 0;
}

static uint64_t
count_url(const struct worker *w, struct slice name, bool *is_exact_out)
{
	char rule[SEARCH_RULE_MAX];
	static const char *const schemes[] = {"http://", "https://"};
	struct object *found[STORE_VARIANTS_MAX];
	struct buf key = {0};
	uint64_t count = 0;

	for (int i = 0; i < 2; i++) {
		struct cache_key k;
		size_t n;

		key.n = 0;
		buf_add_slice(&key, slice_from(schemes[i]));
		buf_add_slice(&key, name);
		k = cache_key_of(buf_slice(&key));
		if (searchrules_find(w->commons->searches,
			slice_of(key.p, slice_index(buf_slice(&key), '?')), rule)
			.n > 0)
			*is_exact_out = false;
		n = store_list(w->commons->store, &k, found, STORE_VARIANTS_MAX);
		while (n > 0) {
			count += purgelog_judge(w->commons->purges, found[--n]) != PURGE_GONE;
			object_unref(&found[n]);
		}
	}
	buf_fini(&key);
	return count;
}

static uint64_t
count_one(struct worker *w, const struct purge *p, bool *is_exact_out)
{
	*is_exact_out = true;
	if (p->kind == PURGE_TAG)
		return census_tag_count(w->commons->census, p->what, is_exact_out);
	if (p->kind == PURGE_EXACT) {
		*is_exact_out = keys_are_urls(w->site);
		return count_url(w, p->what, is_exact_out);
	}
	*is_exact_out = census_is_clean(w->commons->census);
	return store_usage(w->commons->store).objects;
}

uint64_t
purges_count(struct worker *w, const struct purge *items, size_t count, bool *is_exact_out)
{
	uint64_t sum = 0;
	bool is_exact;

	*is_exact_out = true;
	for (size_t i = 0; i < count; i++) {
		sum += count_one(w, &items[i], &is_exact);
		*is_exact_out &= is_exact;
	}
	*is_exact_out &= count == 1 || sum == 0;
	return sum;
}

json_t *
json_of_purges(const struct purge *items, size_t count)
{
	static const char *const names[] = {[PURGE_EXACT] = "url",
	    [PURGE_PREFIX] = "prefix",
	    [PURGE_PATTERN] = "pattern",
	    [PURGE_TAG] = "tag",
	    [PURGE_ALL] = "all",
	    [PURGE_TAG_PATTERN] = "tag"};
	json_t *list = json_array();

	for (size_t i = 0; i < count; i++)
		json_array_append_new(
		    list, json_pack("{s:o}", names[items[i].kind], json_of_bytes(items[i].what)));
	return list;
}
