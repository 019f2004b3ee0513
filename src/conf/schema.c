#include "conf/schema.h"

#include <jansson.h>
#include <stdlib.h>

#include "base/mem.h"
#include "conf/value.h"

#define DOLLAR "\\$\\{" /* a text that will be filled in */
#define DURATION                                                                     \
	"^(0|([0-9]+([mM][sS]|[sSmMhHdDwW]))+|([0-9]+\\.)?[0-9]{1,2}:[0-9]{2}:[0-9]" \
	"{2}(\\.[0-9]{1,7})?)$"
#define SIZE "^(0|([0-9]+([kKmMgGtT][iI]?)?[bB])+)$"

struct schema {
	json_t *defs; /* a definition for each table met, by its name */
};

static json_t *
of_type(const char *type)
{
	return json_pack("{s:s}", "type", type);
}

static json_t *
of_pattern(const char *pattern)
{
	return json_pack("{s:s, s:s}", "type", "string", "pattern", pattern);
}

static json_t *
any_of(json_t *alternatives)
{
	if (json_array_size(alternatives) == 1) {
		json_t *only = json_incref(json_array_get(alternatives, 0));

		json_decref(alternatives);
		return only;
	}
	return json_pack("{s:o}", "anyOf", alternatives);
}

static json_t *
words_of(const struct conf_word *words)
{
	json_t *list = json_array();

	for (; words != NULL && words->word != NULL; words++)
		json_array_append_new(list, json_string(words->word));
	return json_pack("{s:o}", "enum", list);
}

static json_t *
integers(const char *least, const char *most)
{
	json_t *o = of_type("integer");
	int64_t v = 0;

	if (least != NULL && conf_value_int(least, &v) == CONF_VALUE_OK)
		json_object_set_new(o, "minimum", json_integer(v));
	if (most != NULL && conf_value_int(most, &v) == CONF_VALUE_OK)
		json_object_set_new(o, "maximum", json_integer(v));
	return o;
}

static json_t *
bounded_string(const struct conf_directive *row)
{
	json_t *o = of_type("string");
	int64_t v = 0;

	if (row->most != NULL && conf_value_int(row->most, &v) == CONF_VALUE_OK)
		json_object_set_new(o, "maxLength", json_integer(v));
	v = 0;
	if (row->least != NULL && conf_value_int(row->least, &v) == CONF_VALUE_OK)
		json_object_set_new(o, "minLength", json_integer(v));
	return o;
}

/* What a row of one value takes, besides ${...}. */
static void
add_value(json_t *any, const struct conf_directive *row)
{
	switch (row->type) {
	case CONF_BOOL:
		json_array_append_new(any, of_type("boolean"));
		json_array_append_new(
		    any, json_pack("{s:[ssss]}", "enum", "yes", "no", "on", "off"));
		break;
	case CONF_INT:
		json_array_append_new(any, integers(row->least, row->most));
		json_array_append_new(any, of_pattern("^-?[0-9]+$"));
		break;
	case CONF_STATUS:
		json_array_append_new(any,
		    integers(row->least == NULL ? "100" : row->least,
			row->most == NULL ? "599" : row->most));
		json_array_append_new(any, of_pattern("^[1-5][0-9]{2}$"));
		break;
	case CONF_DURATION:
		json_array_append_new(any, of_pattern(DURATION));
		json_array_append_new(any, json_pack("{s:i}", "const", 0));
		break;
	case CONF_SIZE:
		json_array_append_new(any, of_pattern(SIZE));
		json_array_append_new(
		    any, row->may_be_bare ? integers("0", NULL) : json_pack("{s:i}", "const", 0));
		break;
	case CONF_RATIO:
		json_array_append_new(any, of_pattern("^[0-9]+(\\.[0-9]+)?%?$"));
		json_array_append_new(any, json_pack("{s:s, s:i}", "type", "number", "minimum", 0));
		break;
	case CONF_CHOICE:
	case CONF_CHOICES:
		json_array_append_new(any, words_of(row->words));
		return;
	default: /* a scalar of any look is a text here */
		json_array_append_new(
		    any, row->type == CONF_STRINGS ? of_type("string") : bounded_string(row));
		json_array_append_new(any, json_pack("{s:[ss]}", "type", "number", "boolean"));
		return;
	}
	if (row->words != NULL)
		json_array_append_new(any, words_of(row->words));
}

static json_t *
value_schema(const struct conf_directive *row)
{
	json_t *any = json_array();

	add_value(any, row);
	json_array_append_new(any, of_pattern(DOLLAR));
	return any_of(any);
}

static json_t *
counted(json_t *o, const struct conf_directive *row, const char *least, const char *most)
{
	int64_t v = 0;

	if (row->least != NULL && conf_value_int(row->least, &v) == CONF_VALUE_OK)
		json_object_set_new(o, least, json_integer(v));
	if (row->most != NULL && conf_value_int(row->most, &v) == CONF_VALUE_OK)
		json_object_set_new(o, most, json_integer(v));
	return o;
}

static json_t *
list_schema(const struct conf_directive *row, json_t *item)
{
	json_t *any = json_array();

	json_array_append(any, item);
	json_array_append_new(any,
	    counted(json_pack("{s:s, s:o}", "type", "array", "items", item), row, "minItems",
		"maxItems"));
	return any_of(any);
}

static json_t *reference(struct schema *s, const struct conf_table *t);

static json_t *
with_off(const struct conf_directive *row, json_t *o)
{
	json_t *any, *words;

	if (!row->may_be_off)
		return o;
	words = json_pack("{s:[b, s, s, s]}", "enum", 0, "off", "no", "false");
	if (row->type == CONF_MAP) {
		json_t *list = json_object_get(words, "enum");

		json_array_append_new(list, json_true());
		json_array_append_new(list, json_string("on"));
		json_array_append_new(list, json_string("yes"));
	}
	any = json_array();
	json_array_append_new(any, o);
	json_array_append_new(any, words);
	return any_of(any);
}

/* The value of a free name: off without quotes is a boolean to some readers of YAML. */
static json_t *
pair_schema(void)
{
	return json_pack("{s:[sss]}", "type", "string", "number", "boolean");
}

static json_t *
custom_schema(const struct conf_directive *row)
{
	json_t *o = row->schema == NULL ? json_object() : json_loads(row->schema, 0, NULL);

	if (o == NULL)
		bug("%s: its schema is no JSON", row->name);
	return o;
}

static json_t *
row_schema(struct schema *s, const struct conf_directive *row)
{
	switch (row->type) {
	case CONF_STRINGS:
	case CONF_ADDRESSES:
	case CONF_CHOICES:
		return list_schema(row, value_schema(row));
	case CONF_MAP:
		return with_off(row, reference(s, row->table));
	case CONF_LIST:
		return with_off(row, list_schema(row, reference(s, row->table)));
	case CONF_NAMED:
		return with_off(row,
		    counted(json_pack("{s:s, s:o}", "type", "object", "additionalProperties",
				reference(s, row->table)),
			row, "minProperties", "maxProperties"));
	case CONF_PAIRS:
		return json_pack(
		    "{s:s, s:o}", "type", "object", "additionalProperties", pair_schema());
	case CONF_CUSTOM:
		return custom_schema(row);
	default:
		return value_schema(row);
	}
}

static void
describe(json_t *o, const struct conf_directive *row)
{
	json_object_set_new(o, "description", json_string(row->text));
	if (row->def != NULL)
		json_object_set_new(o, "default", json_string(row->def));
}

/* Further names are properties of their own, so that they pass. */
static void
add_also(json_t *properties, const struct conf_directive *row, json_t *o)
{
	const char *at = row->also;

	while (at != NULL && *at != '\0') {
		size_t n = strcspn(at, " ");
		char *name = must_strndup(at, n);

		json_object_set(properties, name, o);
		free(name);
		at += n + strspn(at + n, " ");
	}
}

/* A row that has further names cannot be required under one of them alone. */
static json_t *
required_of(const struct conf_table *t)
{
	json_t *list = json_array();

	for (size_t i = 0; i < t->count; i++)
		if (t->rows[i].required && t->rows[i].also == NULL)
			json_array_append_new(list, json_string(conf_row_name(&t->rows[i])));
	return list;
}

static bool
has_required(const struct conf_table *t)
{
	for (size_t i = 0; i < t->count; i++)
		if (t->rows[i].required)
			return true;
	return false;
}

static json_t *
map_schema(struct schema *s, const struct conf_table *t)
{
	json_t *properties = json_object(), *o, *required = required_of(t);
	const struct conf_directive *rest = conf_row_rest(t);

	for (size_t i = 0; i < t->count; i++) {
		const struct conf_directive *row = &t->rows[i];
		json_t *p;

		if (row->is_rest)
			continue;
		p = row_schema(s, row);
		describe(p, row);
		add_also(properties, row, p);
		json_object_set_new(properties, conf_row_name(row), p);
	}
	o = json_pack("{s:s, s:o}", "type", "object", "properties", properties);
	json_object_set_new(o, "additionalProperties", rest == NULL ? json_false() : pair_schema());
	if (json_array_size(required) > 0)
		json_object_set(o, "required", required);
	json_decref(required);
	return o;
}

/* The long form, nothing at all, and the short form where there is one. */
static json_t *
table_schema(struct schema *s, const struct conf_table *t)
{
	json_t *any = json_array();

	json_array_append_new(any, map_schema(s, t));
	if (t->shortcut != NULL)
		json_array_append_new(any, row_schema(s, conf_row_find(t, t->shortcut)));
	if (!has_required(t))
		json_array_append_new(any, of_type("null"));
	return any_of(any);
}

static json_t *
reference(struct schema *s, const struct conf_table *t)
{
	json_t *o, *definition;

	if (json_object_get(s->defs, t->name) == NULL) {
		json_object_set_new(s->defs, t->name, json_null()); /* it may contain itself */
		definition = table_schema(s, t);
		if (t->text != NULL)
			json_object_set_new(definition, "description", json_string(t->text));
		json_object_set_new(s->defs, t->name, definition);
	}
	o = json_object();
	json_object_set_new(o, "$ref", json_sprintf("#/$defs/%s", t->name));
	return o;
}

void
conf_schema(const struct conf_table *root, const char *title, struct buf *out)
{
	struct schema s = {.defs = json_object()};
	json_t *top = json_object(), *properties;
	char *text;

	json_object_set_new(
	    top, "$schema", json_string("https://json-schema.org/draft/2020-12/schema"));
	json_object_set_new(top, "title", json_string(title));
	json_object_update_new(top, map_schema(&s, root));
	properties = json_object_get(top, "properties");
	json_object_set_new(properties, "include",
	    json_pack("{s:[ss], s:{s:s}, s:s}", "type", "string", "array", "items", "type",
		"string", "description",
		"Further files, merged here: a path, a pattern or a list"));
	json_object_set_new(top, "$defs", s.defs);
	text = json_dumps(top, JSON_INDENT(2));
	json_decref(top);
	if (text == NULL)
		bug("the schema is no JSON");
	buf_add(out, text, strlen(text));
	buf_add_char(out, '\n');
	free(text);
}
