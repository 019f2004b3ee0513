/* LINK: cli/schema cli/options server/conf event/nameserver event/address server/conf_route server/conf_vary cache/conf upstream/conf upstream/section upstream/secure upstream/target upstream/drains policy/conf policy/compress policy/ratelimit policy/limiter policy/limittable policy/window http/negotiate http/head http/fields event/redisurl event/tlsclient event/tls event/tlsgreet event/tlssocket event/tlsstate event/tlswrite event/tlscontext event/tlsidentity event/tlstickets event/fileprint event/drain event/stream event/loop base/log base/clock conf/reference conf/schema conf/load conf/fill conf/scalar conf/table conf/inherit conf/value conf/yaml conf/include conf/substitute conf/diagnostic conf/excerpt conf/glyph conf/nearest conf/source base/arena base/buf base/mem base/hash */
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>

#include <cmocka.h>
#include <jansson.h>

#include "cli/schema.h"
#include "conf/schema.h"
#include "server/conf.h"

static void
the_tables_do_not_contradict_themselves(void **state)
{
	conf_table_verify(&server_table); /* aborts if they do */
}

static void
the_reference_page_is_not_stale(void **state)
{
	struct arena mem = {0};
	struct buf page = {0};
	struct slice kept = SLICE_NONE;

	reference_page(&page);
	assert_int_equal(conf_read(&mem, "docs/configuration.md", 1 << 20, &kept, NULL), 0);
	if (!slice_eq(kept, buf_slice(&page)))
		fail_msg(
		    "docs/configuration.md is stale: forebay reference > docs/configuration.md");
	buf_fini(&page);
	arena_fini(&mem);
}

static void
the_schema_in_the_tree_is_not_stale(void **state)
{
	struct arena mem = {0};
	struct buf schema = {0};
	struct slice kept = SLICE_NONE;
	json_t *top;

	conf_schema(&server_table, "Forebay", &schema);
	top = json_loadb(schema.p, schema.n, 0, NULL);
	assert_non_null(json_object_get(json_object_get(top, "$defs"), "route_cache"));
	assert_int_equal(conf_read(&mem, "conf/forebay.schema.json", 1 << 20, &kept, NULL), 0);
	if (!slice_eq(kept, buf_slice(&schema)))
		fail_msg(
		    "conf/forebay.schema.json is stale: forebay schema > conf/forebay.schema.json");
	json_decref(top);
	buf_fini(&schema);
	arena_fini(&mem);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(the_tables_do_not_contradict_themselves),
	    cmocka_unit_test(the_reference_page_is_not_stale),
	    cmocka_unit_test(the_schema_in_the_tree_is_not_stale),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
