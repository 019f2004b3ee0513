/* Files that include files, and the merge of their top levels: see conf/yaml.h. */
#include <errno.h>
#include <glob.h>
#include <stdlib.h>

#include "base/buf.h"
#include "conf/reader.h"

/* A top level that grows while includes are merged into it. */
struct merged {
	struct conf_entry *entries;
	size_t count, cap;
};

static int merge_file(struct conf_reader *r, const char *path, const struct conf_opened *by,
    struct conf_place at, struct merged *out);

const char *
conf_path_from(struct conf_reader *r, const struct conf_file *f, const char *path)
{
	if (path[0] == '/' || f->dir == NULL || f->dir[0] == '\0')
		return path;
	return arena_printf(r->mem, "%s/%s", f->dir, path).p;
}

static const char *
directory_of(struct arena *mem, const char *path)
{
	const char *slash = strrchr(path, '/');

	if (slash == NULL)
		return "";
	return arena_copy(mem, slice_of(path, slash == path ? 1 : (size_t)(slash - path))).p;
}

static void
merged_add(struct conf_reader *r, struct merged *m, struct conf_entry e)
{
	if (m->count == m->cap) {
		size_t cap = m->cap == 0 ? 16 : m->cap * 2;
		struct conf_entry *grown = arena_alloc(r->mem, cap * sizeof(*grown));

		if (m->count > 0)
			memcpy(grown, m->entries, m->count * sizeof(*grown));
		m->entries = grown;
		m->cap = cap;
	}
	m->entries[m->count++] = e;
}

static struct conf_node *
joined(struct conf_reader *r, const struct conf_node *a, const struct conf_node *b)
{
	struct conf_node *n = arena_alloc(r->mem, sizeof(*n));

	*n = *a;
	n->count = a->count + b->count;
	n->weight = a->weight + b->weight;
	n->height = a->height > b->height ? a->height : b->height;
	return n;
}

static struct conf_node *
join_sequences(struct conf_reader *r, const struct conf_node *a, const struct conf_node *b)
{
	struct conf_node *n = joined(r, a, b);

	n->items = arena_alloc(r->mem, n->count * sizeof(*n->items));
	for (size_t i = 0; i < n->count; i++)
		n->items[i] = i < a->count ? a->items[i] : b->items[i - a->count];
	return n;
}

static struct conf_node *
join_mappings(struct conf_reader *r, const struct conf_node *a, const struct conf_node *b)
{
	struct conf_node *n = joined(r, a, b);

	n->entries = arena_alloc(r->mem, n->count * sizeof(*n->entries));
	for (size_t i = 0; i < n->count; i++)
		n->entries[i] = i < a->count ? a->entries[i] : b->entries[i - a->count];
	n->count = conf_drop_duplicates(r, n->entries, n->count);
	return n;
}

/* A list or map that stands there already grows; anything else is there twice, which is told when
 * all is merged. */
static void
merge_entry(struct conf_reader *r, struct merged *m, const struct conf_entry *e)
{
	for (size_t i = 0; i < m->count; i++) {
		struct conf_node **had = &m->entries[i].value;

		if (strcmp(m->entries[i].key, e->key) != 0 || (*had)->kind != e->value->kind ||
		    e->value->kind == CONF_SCALAR)
			continue;
		*had = e->value->kind == CONF_SEQUENCE ? join_sequences(r, *had, e->value)
						       : join_mappings(r, *had, e->value);
		return;
	}
	merged_add(r, m, *e);
}

static int
include_pattern(struct conf_reader *r, const struct conf_node *n, const struct conf_opened *by,
    struct merged *out)
{
	const char *pattern;
	glob_t g = {0};
	int result = 0, failure;

	if (n->is_broken)
		return -1;
	if (n->kind != CONF_SCALAR || n->text[0] == '\0') {
		conf_error(r->diag, n->at, "include: a path is expected here");
		return -1;
	}
	pattern = conf_path_from(r, n->at.file, n->text);
	if (strpbrk(pattern, "*?[") == NULL)
		return merge_file(r, pattern, by, n->at, out);
	failure = glob(pattern, 0, NULL, &g);
	if (failure != 0 && failure != GLOB_NOMATCH) {
		conf_error(r->diag, n->at, "include: cannot read what %s matches", pattern);
		result = -1;
	}
	for (size_t i = 0; failure == 0 && i < g.gl_pathc; i++)
		if (merge_file(r, g.gl_pathv[i], by, n->at, out) < 0)
			result = -1;
	globfree(&g);
	return result;
}

static int
include(struct conf_reader *r, const struct conf_node *n, const struct conf_opened *by,
    struct merged *out)
{
	int result = 0;

	if (r->is_closed) {
		conf_error(r->diag, n->at, "include: files cannot be named here");
		return -1;
	}
	if (n->kind != CONF_SEQUENCE)
		return include_pattern(r, n, by, out);
	for (size_t i = 0; i < n->count; i++)
		if (include_pattern(r, n->items[i], by, out) < 0)
			result = -1;
	return result;
}

static int
merge_top(struct conf_reader *r, const struct conf_node *top, const struct conf_opened *self,
    struct merged *out)
{
	int result = 0;

	for (size_t i = 0; i < top->count; i++) {
		const struct conf_entry *e = &top->entries[i];

		if (strcmp(e->key, "include") != 0)
			merge_entry(r, out, e);
		else if (include(r, e->value, self, out) < 0)
			result = -1;
	}
	return result;
}

/* Whether path may be opened now: not too deep, not too many, not within itself. */
static int
may_open(
    struct conf_reader *r, const char *path, const struct conf_opened *self, struct conf_place at)
{
	for (const struct conf_opened *o = self->by; o != NULL; o = o->by)
		if (o->real != NULL && self->real != NULL && strcmp(o->real, self->real) == 0) {
			conf_error(r->diag, at, "include: %s would include itself", path);
			return -1;
		}
	if (self->depth > CONF_INCLUDE_DEPTH_MAX) {
		conf_error(r->diag, at, "include: more than %d files deep", CONF_INCLUDE_DEPTH_MAX);
		return -1;
	}
	if (r->files < CONF_INCLUDE_FILES_MAX)
		return 0;
	conf_error(r->diag, at, "include: more than %d files", CONF_INCLUDE_FILES_MAX);
	return -1;
}

static struct conf_file *
open_file(
    struct conf_reader *r, const char *path, const struct conf_opened *self, struct conf_place at)
{
	struct slice text = SLICE_NONE;
	int failure = conf_read(r->mem, path, CONF_FILE_BYTES_MAX, &text, NULL);
	struct conf_file *f;

	f = conf_file_new(r->mem, path, directory_of(r->mem, path), text);
	f->ordinal = r->files++;
	if (self->by == NULL)
		r->main = f;
	if (failure == 0)
		return f;
	conf_error(r->diag, self->by == NULL ? conf_place_of_file(f) : at, "cannot read %s: %s",
	    path, failure == EFBIG ? "it is larger than 4 MiB" : strerror(failure));
	return NULL;
}

static int
merge_file(struct conf_reader *r, const char *path, const struct conf_opened *by,
    struct conf_place at, struct merged *out)
{
	char *real = realpath(path, NULL);
	struct conf_opened self = {.by = by, .depth = by == NULL ? 0 : by->depth + 1};
	const struct conf_file *f;
	const struct conf_node *top;

	self.real = real == NULL ? NULL : arena_copy(r->mem, slice_from(real)).p;
	free(real);
	if (may_open(r, path, &self, at) < 0 || (f = open_file(r, path, &self, at)) == NULL ||
	    (top = conf_parse_document(r, f)) == NULL)
		return -1;
	return merge_top(r, top, &self, out);
}

static struct conf_node *
finish(struct conf_reader *r, struct conf_node *top, struct merged *m)
{
	*top = (struct conf_node){.kind = CONF_MAPPING, .at = top->at, .text = "", .written = ""};
	top->count = conf_drop_duplicates(r, m->entries, m->count);
	top->entries = m->entries;
	return top;
}

struct conf_node *
conf_yaml_load(const char *path, struct arena *mem, struct conf_diag *d)
{
	struct conf_reader r = {.mem = mem, .diag = d};
	struct conf_node *top = arena_zalloc(mem, sizeof(*top));
	struct merged m = {0};

	if (merge_file(&r, path, NULL, (struct conf_place){0}, &m) < 0)
		return NULL;
	top->at = conf_place_of_file(r.main);
	return finish(&r, top, &m);
}

struct conf_node *
conf_yaml_parse(const char *name, struct slice text, struct arena *mem, struct conf_diag *d)
{
	struct conf_reader r = {.mem = mem, .diag = d, .is_closed = true};
	const struct conf_file *f;
	struct conf_node *top;
	struct merged m = {0};

	if (text.n > CONF_FILE_BYTES_MAX)
		text.n = CONF_FILE_BYTES_MAX + 1;
	f = conf_file_new(mem, name, NULL, arena_copy(mem, text));
	if (text.n > CONF_FILE_BYTES_MAX) {
		conf_error(d, conf_place_of_file(f), "it is larger than 4 MiB");
		return NULL;
	}
	if ((top = conf_parse_document(&r, f)) == NULL ||
	    merge_top(&r, top, &(struct conf_opened){0}, &m) < 0)
		return NULL;
	return finish(&r, top, &m);
}
