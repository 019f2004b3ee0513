#include "cli/listing.h"

#include <stdio.h>

#include "cli/exits.h"

json_t *
listing_ask(const struct admin_door *door, const char *method, const char *target,
    struct slice body, int *code_out, struct buf *why)
{
	struct answer a;
	json_t *top;

	*code_out = EXIT_MISUSED;
	if (ask(door, method, target, body, LISTING_WAIT_MS, &a, why) != 0)
		return NULL;
	top = json_loadb(a.body.p, a.body.n, 0, NULL);
	if (top == NULL)
		buf_printf(why, "%s: it answers %u, and not as Forebay's admin interface does",
		    door->name, a.status);
	else if (a.status >= 300) {
		const char *title = json_string_value(json_object_get(top, "title"));

		buf_printf(why, "%s", title == NULL ? "it was refused" : title);
		if (a.status == 401)
			buf_printf(why, ": admin.token is another than in this configuration");
		*code_out = EXIT_WRONG;
		json_decref(top);
		top = NULL;
	} else
		*code_out = EXIT_GOOD;
	answer_fini(&a);
	return top;
}

void
listing_print_count(const json_t *top)
{
	long count = (long)json_integer_value(json_object_get(top, "count"));

	printf("%s%ld object%s", json_is_true(json_object_get(top, "exact")) ? "" : "about ", count,
	    count == 1 ? "" : "s");
}

/* 1.5K, 20M */
static void
print_size(json_int_t bytes)
{
	static const char units[] = "BKMGT";
	double n = (double)bytes;
	int unit = 0;

	for (; n >= 1024 && units[unit + 1] != '\0'; unit++)
		n /= 1024;
	printf(n < 10 && unit > 0 ? "%6.1f%c" : "%6.0f%c", n, units[unit]);
}

/* The greatest unit that leaves something to tell. */
static void
print_time(json_int_t seconds)
{
	static const struct {
		json_int_t seconds;
		char name;
	} units[] = {{86400, 'd'}, {3600, 'h'}, {60, 'm'}, {1, 's'}};
	json_int_t size = seconds < 0 ? -seconds : seconds;
	int unit = 0;

	while (unit < 3 && size < 2 * units[unit].seconds)
		unit++;
	printf("%6lld%c", (long long)(seconds / units[unit].seconds), units[unit].name);
}

static json_int_t
number(const json_t *o, const char *name)
{
	return json_integer_value(json_object_get(o, name));
}

static void
print_text(const char *before, const json_t *o, const char *name)
{
	const char *text = json_string_value(json_object_get(o, name));

	if (text != NULL && *text != '\0')
		printf("%s%s", before, text);
}

static void
print_object(const json_t *o)
{
	const json_t *tags = json_object_get(o, "tags");
	const json_t *tag;
	size_t i;

	print_size(number(o, "bytes"));
	print_time(number(o, "age"));
	print_time(number(o, "life_left"));
	printf("%8lld %4lld%c ", (long long)number(o, "hits"), (long long)number(o, "status"),
	    json_is_true(json_object_get(o, "stale")) ? '*' : ' ');
	print_text("", o, "url");
	print_text("  ", o, "key");
	print_text("  ", o, "variant");
	for (i = 0; (tag = json_array_get(tags, i)) != NULL; i++)
		printf(i == 0 ? "  [%s" : " %s", json_string_value(tag));
	printf("%s\n", i > 0 ? "]" : "");
}

void
listing_print_objects(const json_t *top)
{
	const json_t *objects = json_object_get(top, "objects");

	if (json_array_size(objects) > 0)
		printf(
		    "   SIZE    AGE   LEFT    HITS CODE  URL  KEY  VARIANT  [TAGS]     * stale\n");
	for (size_t i = 0; i < json_array_size(objects); i++)
		print_object(json_array_get(objects, i));
}
