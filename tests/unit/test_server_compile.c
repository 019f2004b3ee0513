/* LINK: server/compile server/compile_route server/conf server/conf_route server/pattern cache/conf upstream/conf upstream/target policy/conf policy/compress policy/headers policy/ratelimit policy/limittable policy/window policy/ratefields http/negotiate http/head http/fields event/redisurl conf/load conf/fill conf/scalar conf/table conf/inherit conf/value conf/yaml conf/include conf/substitute conf/diagnostic conf/excerpt conf/glyph conf/nearest conf/source base/arena base/buf base/mem base/hash */
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>

#include <cmocka.h>

#include "server/compile.h"

/* A configuration, tried. */
struct trial {
	struct limit_table *limits;
	struct arena mem;
	struct conf_diag *diag;
	struct site *site; /* NULL: refused */
	struct buf told;
};

static unsigned
slot_of(void *arg, const char *name)
{
	return (unsigned)strlen(name);
}

static void
wake(struct limit_waiter *w, void *arg)
{
}

static void
try_from(struct trial *t, const char *text, const struct site *previous)
{
	struct site_world world = {&t->mem, previous, t->limits, 2, slot_of, NULL};
	struct server_conf *c;

	t->diag = conf_diag_new();
	c = server_conf_load_text(
	    &(struct conf_text){"test.yaml", slice_from(text)}, &t->mem, t->diag);
	t->site = c == NULL ? NULL : site_compile(c, &world, t->diag);
	conf_diag_text(t->diag, &t->told);
	buf_add_char(&t->told, '\0');
}

static void
begin_file(struct trial *t, const char *path)
{
	struct site_world world;
	struct server_conf *c;

	*t = (struct trial){.limits = limit_table_new(0, wake, NULL), .diag = conf_diag_new()};
	world = (struct site_world){&t->mem, NULL, t->limits, 2, slot_of, NULL};
	c = server_conf_load(path, &t->mem, t->diag);
	t->site = c == NULL ? NULL : site_compile(c, &world, t->diag);
	conf_diag_text(t->diag, &t->told);
	buf_add_char(&t->told, '\0');
}

static void
end(struct trial *t)
{
	site_unref(&t->site);
	arena_fini(&t->mem);
	conf_diag_free(&t->diag);
	buf_fini(&t->told);
}

#define WITH_SITE(t, text)                                                \
	for (struct trial t = {.limits = limit_table_new(0, wake, NULL)}; \
	     t.limits != NULL && (try_from(&t, text, NULL), true);        \
	     end(&t), limit_table_unref(&t.limits))

#define LEAST "listen: \":8080\"\nupstreams: {app: \"127.0.0.1:3000\"}\nroutes:\n"

static void
must_be_good(const struct trial *t)
{
	if (t->site == NULL || t->told.n > 1)
		fail_msg("%s", t->told.p);
}

static void
the_least_configuration_works(void **state)
{
	WITH_SITE(t, LEAST "  - match: /**\n")
	{
		const struct route *r;

		must_be_good(&t);
		assert_int_equal(t.site->routes_count, 1);
		r = &t.site->routes[0];
		assert_string_equal(r->name, "/**");
		assert_ptr_equal(r->upstream, t.site->upstreams[0]);
		assert_true(r->cache.is_on && r->compress.is_on);
		assert_int_equal(r->cache.life.ttl_ms, LIFE_UNSET);
		assert_int_equal(r->cache.cookies, COOKIES_GUARD);
		assert_int_equal(headers_count(r->headers), 6);
		assert_int_equal(t.site->body_size, 100 << 20);
	}
}

static void
the_usual_configuration_works(void **state)
{
	struct trial t;
	const struct route *r;

	begin_file(&t, "conf/examples/usual.yaml");
	must_be_good(&t);
	assert_int_equal(t.site->routes_count, 8);
	r = t.site->routes;
	assert_int_equal(r[0].methods, 1u << METHOD_POST);
	assert_string_equal(r[0].limits[0].name, "login");
	assert_int_equal(r[1].cache.life.ttl_ms, 600000);
	assert_int_equal(r[1].cache.store.max_object_bytes, 8 << 20);
	assert_int_equal(r[2].purge.tags_count, 1);
	assert_int_equal(r[3].cache.cookies, COOKIES_IGNORE);
	assert_int_equal(r[4].purge.urls_count, 1);
	assert_true(r[5].cache.life.overrides);
	assert_int_equal(headers_count(r[5].headers), 6);
	assert_int_equal(headers_count(r[4].headers), 7);
	assert_int_equal(r[6].action, ROUTE_RESPOND);
	assert_int_equal(r[6].status, 404);
	assert_int_equal(r[7].limits_count, 1);
	assert_int_equal(t.site->upstreams[0]->servers_count, 2);
	end(&t);
	limit_table_unref(&t.limits);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(the_least_configuration_works),
	    cmocka_unit_test(the_usual_configuration_works),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
