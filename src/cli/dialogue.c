#include "cli/dialogue.h"

#include <stdio.h>

#include "cli/exits.h"

int
dialogue_run(const struct command *c, void *call, int (*converse)(void *call))
{
	struct dialogue *d = call;
	struct arena mem = {0};
	int code = EXIT_MISUSED;

	if (admin_door_find(d->path, d->address, &mem, &d->door, &d->why) == 0)
		code = converse(call);
	if (d->why.n > 0)
		fprintf(stderr, "forebay %s: %.*s\n", c->name, SLICE_FMT(buf_slice(&d->why)));
	buf_fini(&d->why);
	arena_fini(&mem);
	return code;
}

void
dialogue_print_json(const json_t *top)
{
	json_dumpf(top, stdout, JSON_INDENT(2));
	putchar('\n');
}

const char *
member_text(const json_t *object, const char *name)
{
	const char *text = json_string_value(json_object_get(object, name));

	return text == NULL ? "" : text;
}

double
member_number(const json_t *object, const char *name)
{
	return json_number_value(json_object_get(object, name));
}

bool
member_is_true(const json_t *object, const char *name)
{
	return json_is_true(json_object_get(object, name));
}
