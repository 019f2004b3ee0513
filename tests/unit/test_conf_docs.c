/* LINK: conf/schema conf/reference conf/load conf/fill conf/scalar conf/table conf/inherit conf/value conf/yaml conf/include conf/substitute conf/diagnostic conf/excerpt conf/glyph conf/nearest conf/source base/arena base/buf base/mem */
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>

#include <cmocka.h>
#include <jansson.h>

#include "conf/reference.h"
#include "conf/schema.h"
#include "conf_usual.h"

/* Follows properties from the top: "upstreams", then "$defs" where a reference stands. */
static json_t *
property(json_t *map, const char *name)
{
	json_t *long_form = json_object_get(map, "anyOf") == NULL
	    ? map
	    : json_array_get(json_object_get(map, "anyOf"), 0);

	return json_object_get(json_object_get(long_form, "properties"), name);
}

static void
the_schema_tells_an_editor_what_is_allowed(void **state)
{
	struct buf b = {0};
	json_t *top, *defs, *p;

	conf_schema(&usual_table, "Forebay", &b);
	top = json_loadb(b.p, b.n, 0, NULL);
	assert_non_null(top);
	assert_string_equal(json_string_value(json_object_get(top, "$schema")),
	    "https://json-schema.org/draft/2020-12/schema");
	assert_true(json_is_false(json_object_get(top, "additionalProperties")));
	assert_non_null(property(top, "include"));
	defs = json_object_get(top, "$defs");
	p = property(json_object_get(defs, "rate_limit"), "PermitLimit");
	assert_string_equal(
	    json_string_value(json_object_get(p, "description")), "Permits in one window");
	p = property(json_object_get(defs, "connections"), "max");
	assert_string_equal(json_string_value(json_object_get(p, "default")), "100");
	p = json_array_get(json_object_get(p, "anyOf"), 0);
	assert_int_equal(json_integer_value(json_object_get(p, "maximum")), 65535);
	p = json_array_get(json_object_get(json_object_get(defs, "security_headers"), "anyOf"), 0);
	assert_false(json_is_false(json_object_get(p, "additionalProperties")));
	assert_int_equal(
	    json_array_size(json_object_get(json_object_get(defs, "upstream"), "anyOf")), 2);
	json_decref(top);
	buf_fini(&b);
}

static void
the_reference_has_a_line_for_each_directive(void **state)
{
	struct buf b = {0};

	conf_reference(&upstream_table, &b);
	buf_add_char(&b, '\0');
	assert_string_equal(b.p,
	    "## Top level\n\n"
	    "Short form: the value of `servers` instead of the map.\n\n"
	    "| directive | type | default | range | what it does |\n"
	    "|---|---|---|---|---|\n"
	    "| `servers` | [list](#server), each also as its `address` alone | **required** | at "
	    "least 1 of "
	    "them | "
	    "Where requests go |\n"
	    "| `balance` | word | `round_robin` | `round_robin`, `least_connections` | Which "
	    "server is "
	    "next |\n"
	    "| `connections` | [map](#connections) |  |  | The pool of connections |\n"
	    "| `timeouts` | [map](#timeouts) |  |  | How long to wait |\n"
	    "| `health` | [map](#health), or its `path` alone |  |  | Active checks |\n"
	    "\n<a id=\"server\"></a>\n## `servers[]`\n\n"
	    "Short form: the value of `address` instead of the map.\n\n"
	    "| directive | type | default | range | what it does |\n"
	    "|---|---|---|---|---|\n"
	    "| `address` | address | **required** |  | host:port |\n"
	    "| `weight` | number | `1` | 0 to 1000 | Its share |\n"
	    "\n<a id=\"connections\"></a>\n## `connections`\n\n"
	    "| directive | type | default | range | what it does |\n"
	    "|---|---|---|---|---|\n"
	    "| `max` | number | `100` | 1 to 65535 | Connections to one server |\n"
	    "| `idle` | duration | `300s` | 1s to 1d | How long an idle connection is kept |\n"
	    "\n<a id=\"timeouts\"></a>\n## `timeouts`\n\n"
	    "| directive | type | default | range | what it does |\n"
	    "|---|---|---|---|---|\n"
	    "| `connect` | duration | `2s` | 1ms to 1m | To connect |\n"
	    "| `response` | duration | `30s` | 1ms to 1h | To the response head |\n"
	    "\n<a id=\"health\"></a>\n## `health`\n\n"
	    "Short form: the value of `path` instead of the map.\n\n"
	    "| directive | type | default | range | what it does |\n"
	    "|---|---|---|---|---|\n"
	    "| `path` | text | **required** | at least 1 bytes | What is asked for |\n"
	    "| `interval` | duration | `5s` | 100ms to 1h | Between two checks |\n");
	buf_fini(&b);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(the_schema_tells_an_editor_what_is_allowed),
	    cmocka_unit_test(the_reference_has_a_line_for_each_directive),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
