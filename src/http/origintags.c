#include "http/origintags.h"

#include "base/hash.h"
#include "http/sf.h"

#define SLOTS 2048 /* more than twice ORIGIN_TAGS_MAX */

/* What is there already, by hash: where it begins in tags, and 1 more. */
struct collection {
	struct buf *tags;
	unsigned count;
	uint16_t at[SLOTS];
};

/* Takes the tag in that begins at from and is tags' last, its NUL included; a second of the same goes again. */
static bool
take_last(struct collection *c, size_t from)
{
	struct slice tag = slice_of(c->tags->p + from, c->tags->n - from);
	unsigned slot = (unsigned)(hash_bytes(tag.p, tag.n) % SLOTS);

	if (tag.n == 1) {
		c->tags->n = from;
		return true;
	}
	if (tag.n > ORIGIN_TAG_BYTES_MAX + 1 || c->tags->n > ORIGIN_TAGS_BYTES_MAX)
		return false;
	for (; c->at[slot] != 0; slot = (slot + 1) % SLOTS) {
		size_t other = c->at[slot] - 1u;

		if (other + tag.n <= from && memcmp(c->tags->p + other, tag.p, tag.n) == 0) {
			c->tags->n = from;
			return true;
		}
	}
	if (++c->count > ORIGIN_TAGS_MAX)
		return false;
	c->at[slot] = (uint16_t)(from + 1);
	return true;
}

static bool
take(struct collection *c, struct slice tag)
{
	size_t from = c->tags->n;

	buf_add_slice(c->tags, tag);
	buf_add_char(c->tags, '\0');
	return take_last(c, from);
}

/* The route's own, which stand there first. */
static bool
take_given(struct collection *c)
{
	struct buf given = *c->tags;
	struct slice rest = buf_slice(&given);
	bool fits = true;

	*c->tags = (struct buf){0};
	while (fits && rest.n > 0) {
		struct slice one = slice_cut(&rest, '\0');

		fits = take(c, one);
	}
	buf_fini(&given);
	return fits;
}

static bool
is_blank(char c)
{
	return c == ' ' || c == '\t';
}

static bool
take_words(struct collection *c, const struct head *h, enum field_id id)
{
	for (const struct field *f = head_find(h, id); f != NULL; f = head_next(h, f)) {
		struct slice rest = field_value(h, f);

		while (rest.n > 0) {
			size_t n = 0;

			while (n < rest.n && !is_blank(rest.p[n]))
				n++;
			if (!take(c, slice_of(rest.p, n)))
				return false;
			rest = slice_skip(rest, n < rest.n ? n + 1 : n);
		}
	}
	return true;
}

static bool
take_members(struct collection *c, const struct head *h, enum field_id id)
{
	for (const struct field *f = head_find(h, id); f != NULL; f = head_next(h, f)) {
		struct slice rest = field_value(h, f);

		while (rest.n > 0) {
			struct slice one = slice_cut(&rest, ',');

			if (!take(c, slice_trim(one)))
				return false;
		}
	}
	return true;
}

/* All lines of a list as one; empty unless it is a list of strings. */
static void
join_strings(const struct head *h, enum field_id id, struct buf *out)
{
	struct sf_member m;
	struct sf_walk w;
	enum sf_next next;

	for (const struct field *f = head_find(h, id); f != NULL; f = head_next(h, f)) {
		if (out->n > 0)
			buf_add_lit(out, ", ");
		buf_add_slice(out, field_value(h, f));
	}
	sf_walk_init(&w, buf_slice(out));
	while ((next = sf_list_next(&w, &m)) == SF_MEMBER)
		if (m.value.type != SF_STRING)
			break;
	if (next != SF_END)
		out->n = 0;
}

static void
add_group(struct slice site, const struct sf_value *group, struct buf *tags)
{
	buf_add_slice(tags, site);
	buf_add_char(tags, '#');
	tags->n += sf_string_copy(group, buf_room(tags, group->text.n));
	buf_add_char(tags, '\0');
}

static bool
take_groups(struct collection *c, const struct head *h, struct slice site)
{
	struct buf list = {0};
	struct sf_member m;
	struct sf_walk w;
	bool fits = true;

	join_strings(h, FIELD_CACHE_GROUPS, &list);
	sf_walk_init(&w, buf_slice(&list));
	while (fits && sf_list_next(&w, &m) == SF_MEMBER) {
		size_t from = c->tags->n;

		add_group(site, &m.value, c->tags);
		fits = take_last(c, from);
	}
	buf_fini(&list);
	return fits;
}

static bool
has_tags(const struct head *response)
{
	return head_has(response, FIELD_CACHE_TAG) || head_has(response, FIELD_SURROGATE_KEY) ||
	    head_has(response, FIELD_XKEY) || head_has(response, FIELD_CACHE_GROUPS);
}

bool
origin_tags_add(const struct head *response, struct slice site, struct buf *tags)
{
	struct collection c;

	if (tags->n == 0 && !has_tags(response))
		return true;
	c = (struct collection){.tags = tags};
	return take_given(&c) && take_members(&c, response, FIELD_CACHE_TAG) &&
	    take_words(&c, response, FIELD_SURROGATE_KEY) && take_words(&c, response, FIELD_XKEY) &&
	    (!head_has(response, FIELD_CACHE_GROUPS) || take_groups(&c, response, site));
}

size_t
origin_groups_to_purge(const struct head *response, struct slice site, struct buf *tags)
{
	struct buf list = {0};
	size_t count = 0;
	struct sf_member m;
	struct sf_walk w;

	join_strings(response, FIELD_CACHE_GROUP_INVALIDATION, &list);
	sf_walk_init(&w, buf_slice(&list));
	for (; sf_list_next(&w, &m) == SF_MEMBER; count++)
		add_group(site, &m.value, tags);
	buf_fini(&list);
	return count;
}

struct slice
origin_site_of(struct slice url)
{
	size_t at = 0, slashes = 0;

	while (at < url.n && url.p[at] != '\0' && (url.p[at] != '/' || ++slashes < 3))
		at++;
	return slashes < 2 ? SLICE_NONE : slice_of(url.p, at);
}
