#include "conf/fill.h"

#include <strings.h>

#include "conf/glyph.h"
#include "conf/nearest.h"
#include "conf/scalar.h"

#define SHOWN_BYTES_MAX 60 /* of a name in a message */
#define NAMES_MAX 8	   /* directives listed in a hint */

/* The layout that all CONF_LIST_OF() share. */
struct any_list {
	size_t count;
	void *items;
};

static void
path_add(struct buf *b, const struct conf_path *p)
{
	if (p == NULL)
		return;
	path_add(b, p->up);
	if (p->name == NULL)
		buf_printf(b, "[%zu]", p->index);
	else
		buf_printf(b, "%s%s", b->n > 4 ? "." : "", p->name);
}

const char *
conf_where(struct conf_context *cx)
{
	struct buf b = {0};
	const char *s;

	if (cx->path == NULL)
		return "";
	buf_add_lit(&b, " in ");
	path_add(&b, cx->path);
	s = arena_copy(cx->mem, buf_slice(&b)).p;
	buf_fini(&b);
	return s;
}

static bool
is_word(const struct conf_node *n, const char *const words[3])
{
	for (size_t i = 0; n->kind == CONF_SCALAR && i < 3; i++)
		if (strcasecmp(n->text, words[i]) == 0)
			return true;
	return false;
}

static bool
is_off(const struct conf_node *n)
{
	return is_word(n, (const char *const[]){"off", "no", "false"});
}

static bool
is_on(const struct conf_node *n)
{
	return is_word(n, (const char *const[]){"on", "yes", "true"});
}

/* The elements of a list; one value stands for a list of one, nothing for an empty one. */
static struct conf_node *const *
elements(const struct conf_node *const *n, size_t *count_out)
{
	if ((*n)->kind == CONF_SEQUENCE) {
		*count_out = (*n)->count;
		return (*n)->items;
	}
	*count_out = !conf_node_is_empty(*n);
	return (struct conf_node *const *)n;
}

static int
check_count(struct conf_context *cx, const struct conf_directive *row, const struct conf_node *n,
    size_t count)
{
	struct conf_directive as_int = *row;
	bool is_few, is_many;

	as_int.type = CONF_INT;
	is_few = row->least != NULL && (int64_t)count < conf_bound(&as_int, row->least);
	is_many = row->most != NULL && (int64_t)count > conf_bound(&as_int, row->most);
	if (!is_few && !is_many)
		return 0;
	conf_error(cx->diag, n->at, "%s: %zu given, %s %s wanted", conf_row_name(row), count,
	    is_few ? "at least" : "at most", is_few ? row->least : row->most);
	return -1;
}

static int
fill_values(struct conf_context *cx, const struct conf_directive *row, const struct conf_node *n,
    void *field)
{
	size_t each = row->type == CONF_CHOICES ? sizeof(int) : sizeof(const char *), count;
	struct conf_node *const *items = elements(&n, &count);
	struct any_list list = {count, arena_zalloc(cx->mem, count * each)};
	int result = check_count(cx, row, n, count);

	for (size_t i = 0; i < count; i++)
		if (items[i]->is_broken ||
		    conf_fill_scalar(cx, row, items[i], (char *)list.items + i * each) < 0)
			result = -1;
	memcpy(field, &list, sizeof(list));
	return result;
}

/* "on" stands for a map with nothing in it, at the word's place: its defaults, its required directives and its rules hold. */
static const struct conf_node *
nothing_of(struct conf_context *cx, const struct conf_node *n)
{
	struct conf_node *map = arena_zalloc(cx->mem, sizeof(*map));

	*map = (struct conf_node){
	    .kind = CONF_MAPPING, .at = n->at, .text = "", .written = "", .weight = 1};
	return map;
}

static int
fill_map(struct conf_context *cx, const struct conf_directive *row, const struct conf_node *n,
    void *field)
{
	struct conf_path here = {cx->path, conf_row_name(row), 0};
	struct conf_context inner = {cx->mem, cx->diag, &here};
	struct conf_head *head = field;
	int result;

	if (row->may_be_off && is_off(n) && (n->is_plain || row->table->shortcut == NULL)) {
		result = conf_fill(&inner, row->table, NULL, field);
		head->node = n;
		head->is_off = true;
		return result;
	}
	return conf_fill(
	    &inner, row->table, row->may_be_off && is_on(n) ? nothing_of(cx, n) : n, field);
}

static int
fill_list(struct conf_context *cx, const struct conf_directive *row, const struct conf_node *n,
    void *field)
{
	struct conf_path list_path = {cx->path, conf_row_name(row), 0};
	size_t count, each = row->table->size;
	struct conf_node *const *items = elements(&n, &count);
	struct any_list list;
	int result = 0;

	if (row->may_be_off && is_off(n))
		count = 0;
	list = (struct any_list){count, arena_zalloc(cx->mem, count * each)};
	for (size_t i = 0; i < count; i++) {
		struct conf_path item = {&list_path, NULL, i};
		struct conf_context inner = {
		    cx->mem, cx->diag, n->kind == CONF_SEQUENCE ? &item : &list_path};

		if (conf_fill(&inner, row->table, items[i], (char *)list.items + i * each) < 0)
			result = -1;
	}
	memcpy(field, &list, sizeof(list));
	return check_count(cx, row, n, count) < 0 ? -1 : result;
}

static int
refuse_no_map(struct conf_context *cx, const struct conf_directive *row, const struct conf_node *n)
{
	conf_error(cx->diag, n->at, "%s: a map of names is expected here", conf_row_name(row));
	conf_hint(cx->diag, "expected \"%s: {name: ...}\"", conf_row_name(row));
	return -1;
}

static int
fill_named(struct conf_context *cx, const struct conf_directive *row, const struct conf_node *n,
    void *field)
{
	struct conf_path map_path = {cx->path, conf_row_name(row), 0};
	size_t count = n->kind == CONF_MAPPING ? n->count : 0, each = row->table->size;
	struct any_list list = {count, arena_zalloc(cx->mem, count * each)};
	int result = 0;

	if (n->kind != CONF_MAPPING && !conf_node_is_empty(n) && !(row->may_be_off && is_off(n)))
		return refuse_no_map(cx, row, n);
	for (size_t i = 0; i < count; i++) {
		struct conf_path item = {&map_path, n->entries[i].key, 0};
		struct conf_context inner = {cx->mem, cx->diag, &item};
		struct conf_head *head = (void *)((char *)list.items + i * each);

		if (conf_fill(&inner, row->table, n->entries[i].value, head) < 0)
			result = -1;
		head->name = n->entries[i].key;
	}
	memcpy(field, &list, sizeof(list));
	return check_count(cx, row, n, count) < 0 ? -1 : result;
}

static int
fill_pair(struct conf_context *cx, const struct conf_entry *e, struct conf_pair *p)
{
	const struct conf_node *n = e->value;

	if (n->kind != CONF_SCALAR || conf_node_is_empty(n)) {
		conf_error(cx->diag, n->at, "%s: a text is expected here", e->key);
		conf_hint(cx->diag, "expected a text in quotes, or off");
		return -1;
	}
	*p = (struct conf_pair){.name = e->key, .value = n->text, .node = n};
	if (n->is_plain && strcasecmp(n->text, "off") == 0) {
		p->is_off = true;
		p->value = "";
	}
	return n->is_broken ? -1 : 0;
}

/* All entries of a map; with t, those alone that t does not know. */
static int
fill_pairs(struct conf_context *cx, const struct conf_table *t, const struct conf_node *n,
    struct conf_pairs *out)
{
	int result = 0;

	out->count = 0;
	out->items = arena_zalloc(cx->mem, n->count * sizeof(*out->items));
	for (size_t i = 0; i < n->count; i++)
		if (t != NULL && conf_row_find(t, n->entries[i].key) != NULL)
			continue;
		else if (fill_pair(cx, &n->entries[i], &out->items[out->count]) < 0)
			result = -1;
		else
			out->count++;
	return result;
}

int
conf_fill_value(struct conf_context *cx, const struct conf_directive *row,
    const struct conf_node *n, void *field)
{
	if (n->is_broken)
		return -1;
	switch (row->type) {
	case CONF_STRINGS:
	case CONF_ADDRESSES:
	case CONF_CHOICES:
		return fill_values(cx, row, n, field);
	case CONF_MAP:
		return fill_map(cx, row, n, field);
	case CONF_LIST:
		return fill_list(cx, row, n, field);
	case CONF_NAMED:
		return fill_named(cx, row, n, field);
	case CONF_PAIRS:
		if (n->kind != CONF_MAPPING && !conf_node_is_empty(n))
			return refuse_no_map(cx, row, n);
		return fill_pairs(cx, NULL, n, field);
	case CONF_CUSTOM:
		return row->parse(cx, n, row, field);
	default:
		return conf_fill_scalar(cx, row, n, field);
	}
}

static struct conf_node *
scalar_of(struct arena *mem, struct slice text)
{
	struct conf_node *n = arena_zalloc(mem, sizeof(*n));

	*n = (struct conf_node){.kind = CONF_SCALAR, .is_plain = true, .weight = 1};
	n->text = n->written = arena_copy(mem, slice_trim(text)).p;
	return n;
}

/* "[a, b]" as a list, everything else as one value. */
static struct conf_node *
node_of(struct arena *mem, const char *text)
{
	struct slice rest = slice_from(text);
	struct conf_node *list;

	if (rest.n < 2 || rest.p[0] != '[' || rest.p[rest.n - 1] != ']')
		return scalar_of(mem, rest);
	list = arena_zalloc(mem, sizeof(*list));
	*list = (struct conf_node){.kind = CONF_SEQUENCE, .text = "", .written = "", .weight = 1};
	list->items = arena_alloc(mem, rest.n * sizeof(*list->items));
	rest = slice_of(rest.p + 1, rest.n - 2);
	while (rest.n > 0) {
		struct slice one = slice_cut(&rest, ',');

		list->items[list->count++] = scalar_of(mem, one);
	}
	return list;
}

int
conf_fill_text(
    struct conf_context *cx, const struct conf_directive *row, const char *text, void *field)
{
	return conf_fill_value(cx, row, node_of(cx->mem, text), field);
}

static void
hint_known(struct conf_context *cx, const struct conf_table *t)
{
	struct buf b = {0};

	for (size_t i = 0; i < t->count && i < NAMES_MAX; i++)
		if (!t->rows[i].is_rest)
			buf_printf(&b, "%s%s", b.n > 0 ? ", " : "", conf_row_name(&t->rows[i]));
	conf_hint(cx->diag, "known here: %.*s%s", SLICE_FMT(buf_slice(&b)),
	    t->count > NAMES_MAX ? ", ..." : "");
	buf_fini(&b);
}

/* A name nobody knows. What it was meant for counts as given, so that it is not missed as well. */
static int
refuse_name(struct conf_context *cx, const struct conf_table *t, const struct conf_entry *e,
    struct conf_head *target)
{
	struct nearest near = nearest_to(e->key);

	conf_error(cx->diag, e->at, "unknown directive \"%s\"%s",
	    glyph_clean(cx->mem, slice_from(e->key), SHOWN_BYTES_MAX), conf_where(cx));
	for (size_t i = 0; i < t->count; i++)
		nearest_try(&near, conf_row_name(&t->rows[i]));
	if (near.best == NULL) {
		hint_known(cx, t);
		return -1;
	}
	conf_hint(cx->diag, "did you mean \"%s\"?", near.best);
	target->set |= (uint64_t)1 << (conf_row_find(t, near.best) - t->rows);
	return -1;
}

static int
fill_entry(struct conf_context *cx, const struct conf_entry *e, const struct conf_table *t,
    const struct conf_directive *row, struct conf_head *target)
{
	uint64_t bit = (uint64_t)1 << (row - t->rows);

	if (target->set & bit) {
		conf_error(cx->diag, e->at, "\"%s\" and \"%s\" are the same directive, given twice",
		    conf_row_name(row), e->key);
		return -1;
	}
	target->set |= bit;
	return conf_fill_value(cx, row, e->value, (char *)target + row->offset);
}

static int
fill_mapping(struct conf_context *cx, const struct conf_table *t, const struct conf_node *n,
    struct conf_head *target)
{
	const struct conf_directive *rest = conf_row_rest(t);
	struct conf_pairs *pairs;
	int result = 0;

	for (size_t i = 0; i < n->count; i++) {
		const struct conf_directive *row = conf_row_find(t, n->entries[i].key);

		if (row != NULL && fill_entry(cx, &n->entries[i], t, row, target) < 0)
			result = -1;
	}
	for (size_t i = 0; rest == NULL && i < n->count; i++)
		if (conf_row_find(t, n->entries[i].key) == NULL)
			result = refuse_name(cx, t, &n->entries[i], target);
	if (rest == NULL)
		return result;
	pairs = (void *)((char *)target + rest->offset);
	if (fill_pairs(cx, t, n, pairs) < 0)
		result = -1;
	if (pairs->count > 0)
		target->set |= (uint64_t)1 << (rest - t->rows);
	return result;
}

static int
fill_short(struct conf_context *cx, const struct conf_table *t, const struct conf_node *n,
    struct conf_head *target)
{
	const struct conf_directive *row =
	    t->shortcut == NULL ? NULL : conf_row_find(t, t->shortcut);

	if (row != NULL) {
		target->set |= (uint64_t)1 << (row - t->rows);
		return conf_fill_value(cx, row, n, (char *)target + row->offset);
	}
	conf_error(cx->diag, n->at, "a map is expected here%s", conf_where(cx));
	hint_known(cx, t);
	return -1;
}

/* Defaults for what was not given; what must be given and was not is an error, where the map stands
 * at all. */
static int
fill_missing(struct conf_context *cx, const struct conf_table *t, const struct conf_node *n,
    struct conf_head *target)
{
	int result = 0;

	for (size_t i = 0; i < t->count; i++) {
		const struct conf_directive *row = &t->rows[i];
		void *field = (char *)target + row->offset;

		if (target->set >> i & 1)
			continue;
		if (row->required && n != NULL) {
			conf_error(cx->diag, n->at, "\"%s\" is missing%s", conf_row_name(row),
			    conf_where(cx));
			conf_hint(cx->diag, "%s: %s", conf_row_name(row), row->text);
			result = -1;
		} else if (row->def != NULL) {
			result |= conf_fill_text(cx, row, row->def, field);
		} else if (row->type == CONF_MAP) {
			result |= conf_fill(cx, row->table, NULL, field);
		}
	}
	return result;
}

int
conf_fill(
    struct conf_context *cx, const struct conf_table *t, const struct conf_node *n, void *target)
{
	struct conf_head *head = memset(target, 0, t->size);
	bool is_map = n != NULL && (n->kind == CONF_MAPPING || conf_node_is_empty(n));
	int result = 0;

	head->node = n;
	if (n != NULL && n->is_broken)
		result = -1;
	else if (n != NULL && n->kind == CONF_MAPPING)
		result = fill_mapping(cx, t, n, head);
	else if (n != NULL && !is_map)
		result = fill_short(cx, t, n, head);
	result |= fill_missing(cx, t, is_map || result == 0 ? n : NULL, head);
	if (result == 0 && n != NULL && t->check != NULL) {
		size_t before = conf_diag_errors(cx->diag);

		t->check(cx, t, target);
		result = conf_diag_errors(cx->diag) > before ? -1 : 0;
	}
	return result;
}
