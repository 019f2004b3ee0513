#include "http/h2fields.h"

#include "http/fields.h"

static bool
add_field(struct h2_fields *f, struct slice name, struct slice value, unsigned flags)
{
	if (f->count == H2_FIELDS_MAX)
		return false;
	f->nv[f->count++] = (nghttp2_nv){(uint8_t *)(uintptr_t)name.p,
	    (uint8_t *)(uintptr_t)value.p, name.n, value.n, (uint8_t)flags};
	return true;
}

static struct slice
next_line(struct slice *text)
{
	size_t end = slice_index(*text, '\n');
	struct slice line = slice_of(text->p, end);

	*text = slice_skip(*text, end < text->n ? end + 1 : end);
	if (line.n > 0 && line.p[line.n - 1] == '\r')
		line.n--;
	return line;
}

/* What must not stand in the dynamic table, where lengths could be found out by guessing. */
static bool
is_secret(enum field_id id)
{
	return id == FIELD_AUTHORIZATION || id == FIELD_COOKIE;
}

static bool
add_lines(struct h2_fields *f, struct slice text)
{
	struct buf *names = &f->names;
	struct slice line;

	buf_room(names, text.n); /* so that it does not move */
	while ((line = next_line(&text)).n > 0) {
		size_t colon = slice_index(line, ':');
		struct slice name = slice_of(line.p, colon);
		enum field_id id = field_id_of(name);
		char *at = names->p + names->n;

		if (id == FIELD_HOST || field_is(id, F_HOP))
			continue;
		for (size_t i = 0; i < name.n; i++)
			at[i] = (char)ascii_lower((unsigned char)name.p[i]);
		names->n += name.n;
		if (!add_field(f, slice_of(at, name.n), slice_trim(slice_skip(line, colon + 1)),
			is_secret(id) ? NGHTTP2_NV_FLAG_NO_INDEX : NGHTTP2_NV_FLAG_NONE))
			return false;
	}
	return true;
}

static struct slice
host_of(struct slice text)
{
	struct slice line;

	while ((line = next_line(&text)).n > 0)
		if (slice_ieq(slice_of(line.p, slice_index(line, ':')), SLICE_LIT("Host")))
			return slice_trim(slice_skip(line, 5));
	return SLICE_NONE;
}

static void
init(struct h2_fields *f)
{
	f->count = 0;
	f->names = (struct buf){0};
}

int
h2_fields_of_head(struct h2_fields *f, struct slice head, bool is_https)
{
	struct slice line = next_line(&head);
	size_t method = slice_index(line, ' ');
	struct slice rest = slice_skip(line, method < line.n ? method + 1 : method);

	init(f);
	add_field(f, SLICE_LIT(":method"), slice_of(line.p, method), 0);
	add_field(f, SLICE_LIT(":scheme"), is_https ? SLICE_LIT("https") : SLICE_LIT("http"), 0);
	add_field(f, SLICE_LIT(":authority"), host_of(head), 0);
	add_field(f, SLICE_LIT(":path"), slice_of(rest.p, slice_index(rest, ' ')), 0);
	if (!add_lines(f, head) || !add_field(f, SLICE_LIT("te"), SLICE_LIT("trailers"), 0))
		return -1;
	return 0;
}

int
h2_fields_of_lines(struct h2_fields *f, struct slice lines)
{
	init(f);
	return add_lines(f, lines) ? 0 : -1;
}

void
h2_fields_fini(struct h2_fields *f)
{
	buf_fini(&f->names);
}
