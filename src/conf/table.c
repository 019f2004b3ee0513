#include "conf/table.h"

#include <strings.h>

#include "base/mem.h"
#include "conf/fill.h"

const char *
conf_row_name(const struct conf_directive *row)
{
	return row->called != NULL ? row->called : row->name;
}

/* Whether name is one of the blank-separated words of list, letters taken without case. */
static bool
is_among(const char *list, const char *name)
{
	size_t n = strlen(name);

	while (list != NULL && *list != '\0') {
		size_t word = strcspn(list, " ");

		if (word == n && strncasecmp(list, name, n) == 0)
			return true;
		list += word + strspn(list + word, " ");
	}
	return false;
}

const struct conf_directive *
conf_row_find(const struct conf_table *t, const char *name)
{
	for (size_t i = 0; i < t->count; i++)
		if (!t->rows[i].is_rest && strcmp(conf_row_name(&t->rows[i]), name) == 0)
			return &t->rows[i];
	for (size_t i = 0; i < t->count; i++)
		if (is_among(t->rows[i].also, name))
			return &t->rows[i];
	return NULL;
}

const struct conf_directive *
conf_row_rest(const struct conf_table *t)
{
	for (size_t i = 0; i < t->count; i++)
		if (t->rows[i].is_rest)
			return &t->rows[i];
	return NULL;
}

const struct conf_word *
conf_word_find(const struct conf_word *words, const char *text)
{
	for (; words != NULL && words->word != NULL; words++)
		if (strcasecmp(words->word, text) == 0)
			return words;
	return NULL;
}

const char *
conf_word_of(const struct conf_word *words, int64_t value)
{
	for (; words != NULL && words->word != NULL; words++)
		if (words->value == value && !words->is_also)
			return words->word;
	return NULL;
}

bool
conf_is_set(const struct conf_table *t, const void *target, size_t offset)
{
	const struct conf_head *head = target;

	for (size_t i = 0; i < t->count; i++)
		if (t->rows[i].offset == offset)
			return head->set >> i & 1;
	bug("table %s has no field at %zu", t->name, offset);
}

struct conf_place
conf_place(const struct conf_table *t, const void *target, const char *name)
{
	const struct conf_node *map = ((const struct conf_head *)target)->node;
	const struct conf_directive *row = conf_row_find(t, name);

	if (map == NULL)
		return (struct conf_place){0};
	if (map->kind != CONF_MAPPING)
		return map->at;
	for (size_t i = 0; i < map->count; i++)
		if (conf_row_find(t, map->entries[i].key) == row && row != NULL)
			return map->entries[i].value->at;
	return map->at;
}

static size_t
size_of_field(const struct conf_directive *row)
{
	switch (row->type) {
	case CONF_BOOL:
		return sizeof(bool);
	case CONF_INT:
	case CONF_DURATION:
	case CONF_SIZE:
		return sizeof(int64_t);
	case CONF_RATIO:
		return sizeof(double);
	case CONF_STATUS:
	case CONF_CHOICE:
		return sizeof(int);
	case CONF_STRING:
	case CONF_SECRET:
	case CONF_ADDRESS:
		return sizeof(const char *);
	case CONF_MAP:
		return row->table->size;
	case CONF_CUSTOM:
		return row->size;
	default:
		return sizeof(struct conf_pairs);
	}
}

static void
verify_texts(const struct conf_table *t, const struct conf_directive *row)
{
	struct conf_diag *d = conf_diag_new();
	struct arena mem = {0};
	struct conf_context cx = {.mem = &mem, .diag = d};
	void *field = arena_zalloc(&mem, row->size);

	if (row->def != NULL && conf_fill_text(&cx, row, row->def, field) < 0) {
		struct buf b = {0};

		conf_diag_text(d, &b);
		bug("table %s, %s: the default is wrong: %.*s", t->name, row->name,
		    SLICE_FMT(buf_slice(&b)));
	}
	arena_fini(&mem);
	conf_diag_free(&d);
}

static void
verify_row(const struct conf_table *t, size_t i)
{
	const struct conf_directive *row = &t->rows[i];
	const char *name = conf_row_name(row);
	bool has_table = row->type == CONF_MAP || row->type == CONF_LIST || row->type == CONF_NAMED;

	if (row->text == NULL || row->offset < sizeof(struct conf_head))
		bug("table %s, %s: no text, or conf is not first in its struct", t->name, name);
	if (row->size != size_of_field(row))
		bug("table %s, %s: the field has another type", t->name, name);
	if (has_table != (row->table != NULL) || (row->type == CONF_CUSTOM) != (row->parse != NULL))
		bug("table %s, %s: no table or parser, or one too many", t->name, name);
	if ((row->type == CONF_CHOICE || row->type == CONF_CHOICES) && row->words == NULL)
		bug("table %s, %s: no words", t->name, name);
	if (row->is_rest && row->type != CONF_PAIRS)
		bug("table %s, %s: only pairs can take the rest", t->name, name);
	for (size_t j = 0; j < i; j++)
		if (strcmp(name, conf_row_name(&t->rows[j])) == 0)
			bug("table %s: %s stands twice", t->name, name);
	verify_texts(t, row);
}

#define TABLES_MAX 128

struct seen {
	const struct conf_table *tables[TABLES_MAX];
	size_t count;
};

static void
verify(struct seen *s, const struct conf_table *t)
{
	for (size_t i = 0; i < s->count; i++) {
		if (s->tables[i] == t)
			return;
		if (strcmp(s->tables[i]->name, t->name) == 0)
			bug("two tables are called %s", t->name);
	}
	if (s->count == TABLES_MAX || t->count > CONF_ROWS_MAX)
		bug("table %s: too many tables or rows", t->name);
	s->tables[s->count++] = t;
	if (t->shortcut != NULL && conf_row_find(t, t->shortcut) == NULL)
		bug("table %s: no directive %s for the short form", t->name, t->shortcut);
	for (size_t i = 0; i < t->count; i++) {
		verify_row(t, i);
		if (t->rows[i].table != NULL)
			verify(s, t->rows[i].table);
	}
}

void
conf_table_verify(const struct conf_table *root)
{
	struct seen s = {.count = 0};

	verify(&s, root);
}
