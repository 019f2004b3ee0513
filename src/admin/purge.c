#include "admin/purge.h"

#include <jansson.h>
#include <stdlib.h>
#include <string.h>

#include "base/buf.h"
#include "conf/value.h"
#include "server/purging.h"

/* clang-format off */
/*        list in the body  parameter  kind of purge */
#define SELECTORS(X)                           \
	X(urls,             url,       EXACT)   \
	X(prefixes,         prefix,    PREFIX)  \
	X(patterns,         pattern,   PATTERN) \
	X(tags,             tag,       TAG)
/*        word   sort     how it is written, also behind min_ and max_ */
#define SORTS(X)                    \
	X(size,  BY_SIZE, size)     \
	X(age,   BY_AGE,  duration) \
	X(hits,  BY_HITS, int)
/* clang-format on */

static const struct {
	const char *list, *parameter;
	enum purge_kind kind;
} selectors[] = {
#define X(list, parameter, kind) {#list, #parameter, PURGE_##kind},
    SELECTORS(X)
#undef X
};
#define SELECTORS_COUNT (sizeof(selectors) / sizeof(selectors[0]))

static void
refuse(struct exchange *x, const char *why)
{
	struct buf b = {0};

	buf_printf(&b, "{\"type\":\"about:blank\",\"title\":\"%s\",\"status\":400}\n", why);
	exchange_answer(x, 400, "application/problem+json", buf_slice(&b));
	buf_fini(&b);
}

/* --- POST /purge --- */

static bool
add_list(struct purging *p, const json_t *list, enum purge_kind kind)
{
	size_t i;
	json_t *item;

	if (list != NULL && !json_is_array(list))
		return false;
	json_array_foreach(list, i, item)
	{
		if (!json_is_string(item) ||
		    !purging_add(
			p, kind, slice_of(json_string_value(item), json_string_length(item))))
			return false;
	}
	return true;
}

static bool
read_flag(const json_t *top, const char *name, bool *out)
{
	const json_t *value = json_object_get(top, name);

	*out = json_is_true(value);
	return value == NULL || json_is_boolean(value);
}

/* NULL, or what is wrong. */
static const char *
read_order(struct purging *p, const json_t *top, struct purging_way *way)
{
	const json_t *limit = json_object_get(top, "limit");
	bool all;

	if (!json_is_object(top))
		return "the body is no JSON object";
	for (size_t i = 0; i < SELECTORS_COUNT; i++)
		if (!add_list(p, json_object_get(top, selectors[i].list), selectors[i].kind))
			return "urls, prefixes, patterns and tags are lists of texts, and a URL "
			       "has a "
			       "valid path";
	if (!read_flag(top, "all", &all) || !read_flag(top, "soft", &way->soft) ||
	    !read_flag(top, "wait", &way->wait) || !read_flag(top, "dry_run", &way->looks))
		return "all, soft, wait and dry_run are true or false";
	if (all)
		purging_add(p, PURGE_ALL, SLICE_NONE);
	if (!purging_has_any(p))
		return "nothing is named: urls, prefixes, patterns, tags, or all";
	if (limit != NULL &&
	    (!json_is_integer(limit) || json_integer_value(limit) < 0 ||
		json_integer_value(limit) > CENSUS_ROWS_MAX))
		return "limit is a number up to 1000";
	way->rows_most = limit == NULL ? LIST_LIMIT : (size_t)json_integer_value(limit);
	return NULL;
}

void
purge_serve(struct exchange *x)
{
	struct slice body = exchange_body(x);
	json_t *top = json_loadb(body.p == NULL ? "" : body.p, body.n, 0, NULL);
	struct purging *p = purging_new(x, "api");
	struct purging_way way = {0};
	const char *why = read_order(p, top, &way);

	json_decref(top);
	if (why == NULL)
		purging_go(&p, &way);
	else {
		purging_free(&p);
		refuse(x, why);
	}
}

/* --- GET /cache --- */

static int
digit(char c)
{
	const char *all = "0123456789abcdef", *at = c == '\0' ? NULL : strchr(all, c | 32);

	return at == NULL ? -1 : (int)(at - all);
}

static void
decode(struct slice text, struct buf *out)
{
	out->n = 0;
	for (size_t i = 0; i < text.n; i++) {
		bool is_escape = text.p[i] == '%' && i + 2 < text.n && digit(text.p[i + 1]) >= 0 &&
		    digit(text.p[i + 2]) >= 0;

		buf_add_char(out,
		    is_escape ? (char)(digit(text.p[i + 1]) * 16 + digit(text.p[i + 2]))
			: text.p[i] == '+' ? ' '
					   : text.p[i]);
		i += is_escape ? 2 : 0;
	}
}

static bool
read_sort(struct slice word, enum census_sort *out)
{
#define X(name, sort, type)                     \
	if (slice_eq(word, SLICE_LIT(#name))) { \
		*out = CENSUS_##sort;           \
		return true;                    \
	}
	SORTS(X)
#undef X
	return false;
}

/* min_size=1KiB, max_age=10m, min_hits=3. False: it is none of these, or its value is none. */
static bool
read_range(struct slice name, struct slice value, struct census_range ranges[CENSUS_SORTS])
{
	bool is_min = slice_starts(name, SLICE_LIT("min_"));
	struct slice word = slice_skip(name, 4);
	enum census_sort by;
	int64_t n = -1;
	char text[32];

	if ((!is_min && !slice_starts(name, SLICE_LIT("max_"))) || !read_sort(word, &by) ||
	    value.n >= sizeof(text))
		return false;
	memcpy(text, value.p, value.n);
	text[value.n] = '\0';
#define X(word, sort, type)                                                      \
	if (by == CENSUS_##sort && conf_value_##type(text, &n) != CONF_VALUE_OK) \
		return false;
	SORTS(X)
#undef X
	if (!ranges[by].is_set)
		ranges[by] = (struct census_range){.is_set = true, .most = INT64_MAX};
	*(is_min ? &ranges[by].least : &ranges[by].most) = n;
	return n >= 0;
}

/* NULL, or what is wrong. */
static const char *
read_parameter(struct purging *p, struct slice name, struct slice value, struct purging_way *way)
{
	uint64_t limit;

	for (size_t i = 0; i < SELECTORS_COUNT; i++)
		if (slice_eq(name, slice_from(selectors[i].parameter)))
			return purging_add(p, selectors[i].kind, value)
			    ? NULL
			    : "a URL wants a valid path, and nothing may be empty";
	if (slice_eq(name, SLICE_LIT("sort")))
		return read_sort(value, &way->sort) ? NULL : "sort is size, age or hits";
	if (slice_starts(name, SLICE_LIT("min_")) || slice_starts(name, SLICE_LIT("max_")))
		return read_range(name, value, way->ranges)
		    ? NULL
		    : "min_ and max_ are of size (10KiB), age (5m) or hits (3)";
	if (!slice_eq(name, SLICE_LIT("limit")))
		return "the parameters are url, prefix, pattern, tag, min_ and max_ of size, age "
		       "and hits, sort and limit";
	if (!slice_to_u64(value, &limit) || limit > CENSUS_ROWS_MAX)
		return "limit is a number up to 1000";
	way->rows_most = (size_t)limit;
	return NULL;
}

void
cache_serve(struct exchange *x)
{
	struct slice rest = exchange_query(x);
	struct purging *p = purging_new(x, "api");
	struct purging_way way = {.looks = true, .rows_most = LIST_LIMIT};
	struct buf value = {0};
	const char *why = NULL;

	while (why == NULL && rest.n > 0) {
		size_t n = slice_index(rest, '&'), eq;
		struct slice pair = slice_of(rest.p, n);

		eq = slice_index(pair, '=');
		decode(slice_skip(pair, eq < pair.n ? eq + 1 : eq), &value);
		if (pair.n > 0)
			why = read_parameter(p, slice_of(pair.p, eq), buf_slice(&value), &way);
		rest = slice_skip(rest, n < rest.n ? n + 1 : n);
	}
	buf_fini(&value);
	if (why == NULL)
		purging_go(&p, &way);
	else {
		purging_free(&p);
		refuse(x, why);
	}
}
