#include "conf/yaml.h"

#include <stdlib.h>
#include <yaml.h>

#include "conf/reader.h"

#define ANCHORS_MAX 256 /* in one file */

struct anchor {
	struct anchor *older;
	const char *name;
	const struct conf_node *node;
	bool is_whole; /* its node has ended */
};

/* One child of a collection that is still being read. */
struct cell {
	struct cell *next;
	struct conf_entry entry; /* without key in a sequence */
};

/* A collection that is still being read. */
struct frame {
	struct conf_node *node;
	struct cell *first, **last;
	struct conf_entry pending; /* the key that waits for its value */
	struct anchor *anchor;	   /* of the collection, or NULL */
};

struct build {
	struct conf_reader *r;
	const struct conf_file *file;
	struct conf_node *root;
	struct anchor *anchors;
	size_t anchor_count;
	struct frame stack[CONF_DEPTH_MAX];
	size_t depth;
	unsigned documents;
};

static struct conf_place
place_of(const struct build *b, const yaml_event_t *e)
{
	return conf_place_of(b->file, e->start_mark.index, e->end_mark.index);
}

static struct conf_node *
node_new(struct build *b, enum conf_kind kind, const yaml_event_t *e)
{
	struct conf_node *n = arena_zalloc(b->r->mem, sizeof(*n));

	n->kind = kind;
	n->at = place_of(b, e);
	if (kind != CONF_SCALAR && n->at.width > 1)
		n->at.width = 1;
	n->text = n->written = "";
	n->weight = 1;
	return n;
}

static int
is_too_large(struct build *b, const yaml_event_t *e, size_t more)
{
	b->r->nodes += more;
	if (b->r->nodes <= CONF_NODES_MAX)
		return 0;
	conf_error(b->r->diag, place_of(b, e), "more than %d values", CONF_NODES_MAX);
	conf_hint(b->r->diag, "an alias counts as much as what it stands for");
	return -1;
}

static int
take_anchor(struct build *b, const yaml_event_t *e, const yaml_char_t *name, struct conf_node *n,
    struct anchor **out)
{
	struct anchor *a;

	*out = NULL;
	if (name == NULL)
		return 0;
	if (b->anchor_count++ == ANCHORS_MAX) {
		conf_error(b->r->diag, place_of(b, e), "more than %d anchors", ANCHORS_MAX);
		return -1;
	}
	a = arena_zalloc(b->r->mem, sizeof(*a));
	a->name = arena_copy(b->r->mem, slice_from((const char *)name)).p;
	a->node = n;
	a->is_whole = n->kind == CONF_SCALAR;
	a->older = b->anchors;
	b->anchors = *out = a;
	return 0;
}

static int
refuse_tag(struct build *b, const yaml_event_t *e, const yaml_char_t *tag)
{
	if (tag == NULL)
		return 0;
	conf_error(b->r->diag, place_of(b, e), "a tag (%s) has no meaning here", (const char *)tag);
	conf_hint(b->r->diag, "the directive decides what a value is: leave the tag out");
	return -1;
}

/* Puts a finished node where it belongs: under the pending key, at the end of a list, at the top.
 */
static void
attach(struct build *b, struct conf_node *n)
{
	struct frame *f;
	struct cell *c;

	if (b->depth == 0) {
		b->root = n;
		return;
	}
	f = &b->stack[b->depth - 1];
	c = arena_zalloc(b->r->mem, sizeof(*c));
	c->entry = f->pending;
	c->entry.value = n;
	f->pending = (struct conf_entry){0};
	*f->last = c;
	f->last = &c->next;
	f->node->count++;
	f->node->weight += n->weight;
	if (n->height + 1 > f->node->height)
		f->node->height = n->height + 1;
}

static bool
wants_key(const struct build *b)
{
	const struct frame *f = b->depth == 0 ? NULL : &b->stack[b->depth - 1];

	return f != NULL && f->node->kind == CONF_MAPPING && f->pending.key == NULL;
}

static int
refuse_key(struct build *b, const yaml_event_t *e)
{
	struct conf_place at = place_of(b, e);

	at.width = 1;
	conf_error(b->r->diag, at, "a key must be a single word");
	conf_hint(b->r->diag, "a text with ${...} or { } needs quotes inside { } and [ ]");
	return -1;
}

static bool
has_nul(const yaml_event_t *e)
{
	return memchr(e->data.scalar.value, '\0', e->data.scalar.length) != NULL;
}

static int
on_key(struct build *b, const yaml_event_t *e)
{
	struct frame *f = &b->stack[b->depth - 1];
	struct slice key = slice_of(e->data.scalar.value, e->data.scalar.length);

	if (e->data.scalar.style == YAML_PLAIN_SCALAR_STYLE && slice_eq(key, SLICE_LIT("<<"))) {
		conf_error(b->r->diag, place_of(b, e), "merge keys (<<) are not supported");
		conf_hint(b->r->diag, "write the values out, or give a whole map by an alias");
		return -1;
	}
	if (e->data.scalar.anchor != NULL)
		return refuse_key(b, e);
	f->pending = (struct conf_entry){.key = arena_copy(b->r->mem, key).p, .at = place_of(b, e)};
	return 0;
}

static int
on_scalar(struct build *b, const yaml_event_t *e)
{
	struct conf_node *n;
	struct anchor *a;

	if (refuse_tag(b, e, e->data.scalar.tag) < 0 || is_too_large(b, e, 1) < 0)
		return -1;
	if (has_nul(e)) {
		conf_error(b->r->diag, place_of(b, e), "a NUL byte cannot be part of a value");
		return -1;
	}
	if (wants_key(b))
		return on_key(b, e);
	n = node_new(b, CONF_SCALAR, e);
	n->is_plain = e->data.scalar.style == YAML_PLAIN_SCALAR_STYLE;
	n->text = n->written =
	    arena_copy(b->r->mem, slice_of(e->data.scalar.value, e->data.scalar.length)).p;
	if (take_anchor(b, e, e->data.scalar.anchor, n, &a) < 0)
		return -1;
	conf_substitute(b->r, n);
	attach(b, n);
	return 0;
}

static int
refuse_depth(struct build *b, const yaml_event_t *e)
{
	struct conf_place at = place_of(b, e);

	at.width = 1;
	conf_error(b->r->diag, at, "nested more than %d deep", CONF_DEPTH_MAX);
	return -1;
}

static int
on_alias(struct build *b, const yaml_event_t *e)
{
	const char *name = (const char *)e->data.alias.anchor;
	struct anchor *a = b->anchors;

	if (wants_key(b))
		return refuse_key(b, e);
	while (a != NULL && strcmp(a->name, name) != 0)
		a = a->older;
	if (a == NULL) {
		conf_error(
		    b->r->diag, place_of(b, e), "no anchor &%s stands before this alias", name);
		return -1;
	}
	if (!a->is_whole) {
		conf_error(b->r->diag, place_of(b, e), "&%s would contain itself", name);
		return -1;
	}
	if (is_too_large(b, e, a->node->weight) < 0)
		return -1;
	if (b->depth + a->node->height + 1 > CONF_DEPTH_MAX)
		return refuse_depth(b, e);
	attach(b, (struct conf_node *)a->node);
	return 0;
}

static int
on_start(struct build *b, const yaml_event_t *e, enum conf_kind kind)
{
	bool is_map = kind == CONF_MAPPING;
	struct frame *f = &b->stack[b->depth];
	struct conf_node *n;

	if (wants_key(b))
		return refuse_key(b, e);
	if (refuse_tag(b, e, is_map ? e->data.mapping_start.tag : e->data.sequence_start.tag) < 0 ||
	    is_too_large(b, e, 1) < 0)
		return -1;
	if (b->depth == CONF_DEPTH_MAX)
		return refuse_depth(b, e);
	n = node_new(b, kind, e);
	*f = (struct frame){.node = n};
	f->last = &f->first;
	b->depth++;
	return take_anchor(b, e,
	    is_map ? e->data.mapping_start.anchor : e->data.sequence_start.anchor, n, &f->anchor);
}

static void
gather(struct build *b, struct frame *f)
{
	struct conf_node *n = f->node;
	size_t i = 0;

	if (n->kind == CONF_MAPPING) {
		n->entries = arena_alloc(b->r->mem, n->count * sizeof(*n->entries));
		for (struct cell *c = f->first; c != NULL; c = c->next)
			n->entries[i++] = c->entry;
		n->count = conf_drop_duplicates(b->r, n->entries, n->count);
		return;
	}
	n->items = arena_alloc(b->r->mem, n->count * sizeof(*n->items));
	for (struct cell *c = f->first; c != NULL; c = c->next)
		n->items[i++] = c->entry.value;
}

static void
on_end(struct build *b)
{
	struct frame *f = &b->stack[--b->depth];

	gather(b, f);
	if (f->anchor != NULL)
		f->anchor->is_whole = true;
	attach(b, f->node);
}

static int
on_document(struct build *b, const yaml_event_t *e)
{
	if (b->documents++ == 0)
		return 0;
	conf_error(b->r->diag, place_of(b, e), "a second document in one file");
	conf_hint(b->r->diag, "remove the line with ---");
	return -1;
}

static int
on_event(struct build *b, const yaml_event_t *e)
{
	switch (e->type) {
	case YAML_DOCUMENT_START_EVENT:
		return on_document(b, e);
	case YAML_SCALAR_EVENT:
		return on_scalar(b, e);
	case YAML_ALIAS_EVENT:
		return on_alias(b, e);
	case YAML_MAPPING_START_EVENT:
		return on_start(b, e, CONF_MAPPING);
	case YAML_SEQUENCE_START_EVENT:
		return on_start(b, e, CONF_SEQUENCE);
	case YAML_MAPPING_END_EVENT:
	case YAML_SEQUENCE_END_EVENT:
		on_end(b);
		return 0;
	default:
		return 0;
	}
}

static void
hint_about_syntax(struct build *b, struct conf_place at)
{
	struct slice line = at.line == 0 ? SLICE_NONE : conf_line_text(b->file, at.line);

	if (line.n > 0 && memchr(line.p, '\t', line.n) != NULL && line.p[0] == '\t')
		conf_hint(b->r->diag, "YAML is indented with blanks, not with tabs");
	else if (line.n > 2 && memmem(line.p, line.n, "${", 2) != NULL)
		conf_hint(b->r->diag, "a text with ${...} needs quotes inside { } and [ ]");
}

static int
refuse_syntax(struct build *b, const yaml_parser_t *p)
{
	struct conf_place at = p->error == YAML_READER_ERROR
	    ? conf_place_of_byte(b->file, p->problem_offset)
	    : conf_place_of(b->file, p->problem_mark.index, p->problem_mark.index + 1);
	const char *problem = p->problem == NULL ? "not YAML" : p->problem;

	if (p->error == YAML_MEMORY_ERROR)
		conf_error(b->r->diag, conf_place_of_file(b->file), "no memory to read it");
	else if (p->context != NULL)
		conf_error(b->r->diag, at, "%s %s", p->context, problem);
	else
		conf_error(b->r->diag, at, "%s", problem);
	hint_about_syntax(b, at);
	return -1;
}

static int
run(struct build *b, yaml_parser_t *p)
{
	yaml_event_t e;
	int result = 0;

	for (bool is_over = false; !is_over && result == 0;) {
		if (!yaml_parser_parse(p, &e))
			return refuse_syntax(b, p);
		is_over = e.type == YAML_STREAM_END_EVENT;
		result = on_event(b, &e);
		yaml_event_delete(&e);
	}
	return result;
}

static struct conf_node *
check_top(struct build *b)
{
	struct conf_node *n = b->root;

	if (n == NULL || conf_node_is_empty(n)) {
		n = arena_zalloc(b->r->mem, sizeof(*n));
		*n = (struct conf_node){
		    .kind = CONF_MAPPING, .text = "", .written = "", .weight = 1};
		n->at = conf_place_of_file(b->file);
		return n;
	}
	if (n->kind == CONF_MAPPING)
		return n;
	conf_error(b->r->diag, n->at, "the top level must be a map");
	conf_hint(b->r->diag, "expected \"directive: value\"");
	return NULL;
}

struct conf_node *
conf_parse_document(struct conf_reader *r, const struct conf_file *f)
{
	struct build b = {.r = r, .file = f};
	yaml_parser_t p;
	int result;

	if (!yaml_parser_initialize(&p)) {
		conf_error(r->diag, conf_place_of_file(f), "no memory to read it");
		return NULL;
	}
	yaml_parser_set_encoding(&p, YAML_UTF8_ENCODING);
	yaml_parser_set_input_string(&p, (const unsigned char *)f->text.p, f->text.n);
	result = run(&b, &p);
	yaml_parser_delete(&p);
	return result < 0 ? NULL : check_top(&b);
}

static int
by_key(const void *va, const void *vb)
{
	const struct conf_entry *a = *(struct conf_entry *const *)va;
	const struct conf_entry *b = *(struct conf_entry *const *)vb;
	int c = strcmp(a->key, b->key);

	return c != 0 ? c : a < b ? -1 : a > b;
}

static void
refuse_duplicate(struct conf_reader *r, const struct conf_entry *first, const struct conf_entry *e)
{
	conf_error(r->diag, e->at, "duplicate key \"%s\"", e->key);
	conf_hint(r->diag, "first given at %s:%u:%u", first->at.file->name, first->at.line,
	    first->at.column);
}

size_t
conf_drop_duplicates(struct conf_reader *r, struct conf_entry *entries, size_t n)
{
	struct conf_entry **sorted = arena_alloc(r->mem, n * sizeof(struct conf_entry *));
	struct conf_entry *first;
	size_t kept = 0;

	for (size_t i = 0; i < n; i++)
		sorted[i] = &entries[i];
	if (n > 1)
		qsort(sorted, n, sizeof(struct conf_entry *), by_key);
	first = n > 0 ? sorted[0] : NULL;
	for (size_t i = 1; i < n; i++) {
		if (strcmp(sorted[i]->key, first->key) != 0) {
			first = sorted[i];
			continue;
		}
		refuse_duplicate(r, first, sorted[i]);
		sorted[i]->value = NULL; /* marks it as dropped; keys are still compared */
	}
	for (size_t i = 0; i < n; i++)
		if (entries[i].value != NULL)
			entries[kept++] = entries[i];
	return kept;
}

struct conf_node *
conf_node_get(const struct conf_node *map, const char *key)
{
	if (map->kind != CONF_MAPPING)
		return NULL;
	for (size_t i = 0; i < map->count; i++)
		if (strcmp(map->entries[i].key, key) == 0)
			return map->entries[i].value;
	return NULL;
}

bool
conf_node_is_empty(const struct conf_node *n)
{
	return n->kind == CONF_SCALAR && n->is_plain && !n->is_substituted && !n->is_broken &&
	    (n->text[0] == '\0' || strcmp(n->text, "~") == 0 || strcmp(n->text, "null") == 0);
}
