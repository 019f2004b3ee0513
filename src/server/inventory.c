#include "server/inventory.h"

#include "base/buf.h"
#include "base/clock.h"
#include "cache/key.h"
#include "server/audit.h"

/* What stands between the parts of a key (cache/key.h, server/key.c) and of a vary key (http/vary.h), for people. */
static const char *
shown(char c, bool is_vary)
{
	switch (c) {
	case '\0':
		return "; ";
	case '\n':
		return is_vary ? "; " : "=";
	case '\1':
		return "=";
	case '\2':
		return " absent";
	default:
		return NULL;
	}
}

static json_t *
json_of_parts(struct slice parts, bool is_vary)
{
	struct buf b = {0};
	json_t *text;

	for (size_t i = 0; i < parts.n; i++) {
		const char *s = shown(parts.p[i], is_vary);

		if (s == NULL)
			buf_add_char(&b, parts.p[i]);
		else if (i + 1 < parts.n || s[0] != ';')
			buf_add(&b, s, strlen(s));
	}
	text = json_of_bytes(buf_slice(&b));
	buf_fini(&b);
	return text;
}

static json_t *
json_of_tags(struct slice tags)
{
	json_t *list = json_array();

	while (tags.n > 0) {
		struct slice one = slice_cut(&tags, '\0');

		json_array_append_new(list, json_of_bytes(one));
	}
	return list;
}

static json_t *
json_of_object(const struct object *o, int64_t now_ms)
{
	struct slice key = object_key(o), url = cache_key_url(key);
	int64_t age_ms = object_age_ms(o, now_ms), left_ms = o->facts.life_ms - age_ms;
	bool is_stale = left_ms <= 0 || atomic_load_explicit(&o->soft_purged, memory_order_relaxed);

	return json_pack("{s:o,s:o,s:o,s:i,s:I,s:I,s:I,s:I,s:b,s:I,s:o}", "url", json_of_bytes(url),
	    "key", json_of_parts(slice_skip(key, url.n < key.n ? url.n + 1 : url.n), false),
	    "variant", json_of_parts(object_vary(o), true), "status", (int)o->facts.status, "bytes",
	    (json_int_t)o->charged_bytes, "body_bytes",
	    (json_int_t)(o->body == NULL ? 0 : body_length(o->body)), "age",
	    (json_int_t)(age_ms / 1000), "life_left",
	    (json_int_t)(left_ms >= 0 ? left_ms / 1000 : (left_ms - 999) / 1000), "stale", is_stale,
	    "hits", (json_int_t)atomic_load_explicit(&o->hit_count, memory_order_relaxed), "tags",
	    json_of_tags(object_tags(o)));
}

json_t *
inventory_of(const struct census_ask *a)
{
	json_t *list = json_array();
	int64_t now_ms = clock_mono_ms();

	for (size_t i = 0; i < a->rows_count; i++)
		json_array_append_new(list, json_of_object(a->rows[i], now_ms));
	return list;
}
