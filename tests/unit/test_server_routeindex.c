/* LINK: server/routeindex server/pattern server/regexends http/head http/fields base/arena base/buf base/hash base/mem */
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#include "base/mem.h"
#include "server/pattern.h"
#include "server/routeindex.h"
#include "server/site.h"

#define COUNT(a) (sizeof(a) / sizeof(*(a)))

static struct arena mem;
static struct site site;
static struct head head; /* of the request; its one kind of field is X-Tenant */
static enum method method = METHOD_GET;
static char tenants[256];

static void ask_with(enum method m, const char *const *values, unsigned count);

static int
begin(void **state)
{
	srandom(20261121);
	return 0;
}

static int
end(void **state)
{
	for (unsigned i = 0; i < site.routes_count; i++)
		pattern_free(site.routes[i].path);
	arena_fini(&mem);
	site = (struct site){0};
	ask_with(METHOD_GET, NULL, 0);
	return 0;
}

static void
reserve(unsigned count)
{
	site.routes = arena_zalloc(&mem, count * sizeof(*site.routes));
}

/* hosts: up to two, NULL for none. */
static void
add(const char *path, bool is_regex, const char *host, const char *other_host)
{
	struct route *r = &site.routes[site.routes_count++];
	const char **hosts = arena_zalloc(&mem, 2 * sizeof(*hosts));
	const char *problem;
	size_t offset;

	hosts[0] = host;
	hosts[1] = other_host;
	*r = (struct route){
	    .hosts = {.count = (host != NULL) + (other_host != NULL), .items = (void *)hosts}};
	r->path = is_regex ? pattern_new_regex(&mem, path, &problem, &offset)
			   : pattern_new(&mem, path, &problem);
	assert_non_null(r->path);
}

/* The last route is for these methods (bits; 0: any) and requests with such a tenant only ("*": any, NULL: that is not asked). */
static void
restrict_last(uint32_t methods, const char *tenant)
{
	struct route *r = &site.routes[site.routes_count - 1];

	r->methods = methods;
	if (tenant == NULL)
		return;
	r->conditions = arena_zalloc(&mem, sizeof(*r->conditions));
	r->conditions[r->conditions_count++] = (struct header_condition){
	    .name = "x-tenant", .value = strcmp(tenant, "*") == 0 ? NULL : tenant};
}

static void
ask_with(enum method m, const char *const *values, unsigned count)
{
	uint32_t at = 8;

	method = m;
	memcpy(tenants, "X-Tenant", 8);
	head.base = tenants;
	head.count = (uint16_t)count;
	for (unsigned i = 0; i < count; i++) {
		size_t n = strlen(values[i]);

		memcpy(tenants + at, values[i], n);
		head.fields[i] = (struct field){
		    .name_len = 8, .value_at = at, .value_len = (uint16_t)n, .id = FIELD_OTHER};
		at += (uint32_t)n;
	}
}

static void
make_index(void)
{
	site.routes_index = route_index_new(&mem, site.routes, site.routes_count);
	assert_non_null(site.routes_index);
}

static bool
method_fits(const struct route *r)
{
	uint32_t methods =
	    r->methods & 1u << METHOD_GET ? r->methods | 1u << METHOD_HEAD : r->methods;

	return methods == 0 || method == METHOD_COUNT || (methods & 1u << method) != 0;
}

static bool
conditions_hold(const struct route *r)
{
	bool holds = r->conditions_count == 0;

	for (unsigned i = 0; i < head.count && r->conditions_count > 0; i++)
		holds |= r->conditions->value == NULL ||
		    slice_eq(field_value(&head, &head.fields[i]), slice_from(r->conditions->value));
	return holds;
}

static bool
fits(const struct route *r, struct slice host, struct slice path)
{
	struct captures captures;
	bool is_host = r->hosts.count == 0;

	for (unsigned i = 0; i < r->hosts.count; i++) {
		struct slice h = slice_from(r->hosts.items[i]);

		is_host |= slice_eq(h, host) ||
		    (slice_starts(h, SLICE_LIT("*.")) && host.n > h.n - 1 &&
			slice_ends(host, slice_skip(h, 1)));
	}
	return is_host && method_fits(r) && conditions_hold(r) &&
	    pattern_matches(r->path, path, &captures);
}

static const struct route *
first_of_all(struct slice host, struct slice path)
{
	for (unsigned i = 0; i < site.routes_count; i++)
		if (fits(&site.routes[i], host, path))
			return &site.routes[i];
	return NULL;
}

static const struct route *
first_of_index(struct slice host, struct slice path, unsigned *looked_at_out)
{
	struct route_candidates c;
	const struct route *r, *before = NULL;

	*looked_at_out = 0;
	route_candidates_find(&site, &(struct route_ask){host, path, method, &head}, &c);
	while ((r = route_candidates_next(&c)) != NULL) {
		assert_true(before == NULL || r > before);
		before = r;
		++*looked_at_out;
		if (fits(r, host, path))
			return r;
	}
	return NULL;
}

static const char *
any_of(const char *const *words, size_t count)
{
	return words[(size_t)random() % count];
}

static struct slice
random_path(struct buf *b, bool is_pattern)
{
	static const char *const segments[] = {"a", "b", "aa", "products", "", "%2F"};
	unsigned depth = 1 + (unsigned)random() % 9;

	b->n = 0;
	for (unsigned i = 0; i < depth; i++) {
		buf_add_char(b, '/');
		if (is_pattern && random() % 5 == 0)
			buf_printf(b, "{n%u}", i);
		else
			buf_add_slice(b, slice_from(any_of(segments, COUNT(segments))));
	}
	if (is_pattern && random() % 3 == 0)
		buf_add_lit(b, "/**");
	buf_add_char(b, '\0');
	return slice_from(b->p);
}

static void
the_first_of_the_index_is_the_first_of_all(void **state)
{
	static const char *const hosts[] = {
	    NULL, NULL, "a.example", "*.example", "*.a.example", "b.test"};
	static const char *const asked[] = {
	    "a.example", "x.a.example", "y.x.a.example", "b.test", "example", ""};
	static const char *const regexes[] = {"/(a|b)/.*", "^/a/b(/.*)?$", "/a/aa?b*",
	    "/products/[ab]+", ".*/a", ".*a", "^/aa|/b/.*", "/a/+b", "/a(?i)/AA", "/a\\x2f.*b",
	    "/b/a{0}.*", "/a+b?", "/a/.*/b", "/\\Qa|b\\E", "/(?:a|aa)/b", "/products/a.*",
	    "/[^/]+/a", "/aa\\b.*", "/a(?=/b)/b", "(/a)?/b", "/a/b|/b", "/b/?a?", "/products?",
	    "/[]a(]/b", "/%2F/.*b/?", "/a/b{2,3}?/?", "/(?<n>a|b)/aa", "/a/\\/?b",
	    "/(?x) a # (\n|/b", ".*/(a|b)/b$"};
	static const char *const tenant[] = {NULL, NULL, "one", "two", "*"};
	static const enum method methods[] = {METHOD_GET, METHOD_HEAD, METHOD_POST, METHOD_COUNT};
	static const uint32_t wanted[] = {
	    0, 0, 1u << METHOD_GET, 1u << METHOD_POST, 1u << METHOD_PUT | 1u << METHOD_POST};
	struct buf text = {0};
	unsigned looked_at, found = 0;

	for (unsigned count = 9; count < 400; count += 60) {
		end(state);
		reserve(count);
		for (unsigned i = 0; i < count; i++) {
			bool is_regex = random() % 3 == 0;
			struct slice path = is_regex ? slice_from(any_of(regexes, COUNT(regexes)))
						     : random_path(&text, true);

			const char *host = any_of(hosts, COUNT(hosts));

			add(arena_copy(&mem, path).p, is_regex, host,
			    host != NULL && random() % 3 == 0 ? "b.test" : NULL);
			restrict_last(wanted[(size_t)random() % COUNT(wanted)],
			    any_of(tenant, COUNT(tenant)));
		}
		make_index();
		for (unsigned i = 0; i < 3000; i++) {
			struct slice host = slice_from(any_of(asked, COUNT(asked)));
			struct slice path = i == 0 ? SLICE_LIT("*") : random_path(&text, false);
			const struct route *r;

			ask_with(methods[(size_t)random() % COUNT(methods)], tenant + 2,
			    (unsigned)random() % 3);
			r = first_of_all(host, path);
			assert_ptr_equal(first_of_index(host, path, &looked_at), r);
			found += r != NULL;
		}
	}
	assert_true(found > 3000);
	buf_fini(&text);
}

static const char *
numbered(char text[64], const char *before, unsigned n, const char *behind)
{
	snprintf(text, 64, "%s%u%s", before, n, behind);
	return text;
}

static void
of_a_thousand_routes_a_few_are_looked_at(void **state)
{
	static const struct {
		const char *before, *behind, *asked;
	} forms[] = {{"/shop/", "/**", "/x"}, {"/api/v1/thing", "/{id}", "/7"}, {"/page", "", ""},
	    {"/", "/{lang}/**", "/en/x"}};
	struct slice host = SLICE_LIT("shop.example");
	unsigned looked_at, most = 0;
	char text[64];

	reserve(1001);
	for (unsigned i = 0; i < 1000; i++)
		add(numbered(text, forms[i % 4].before, i, forms[i % 4].behind), false,
		    i % 3 == 0 ? "shop.example" : NULL, NULL);
	add("/**", false, NULL, NULL);
	make_index();
	for (unsigned i = 0; i < 1000; i++) {
		struct slice path =
		    slice_from(numbered(text, forms[i % 4].before, i, forms[i % 4].asked));

		assert_ptr_equal(first_of_index(host, path, &looked_at), &site.routes[i]);
		most = looked_at > most ? looked_at : most;
	}
	assert_ptr_equal(
	    first_of_index(SLICE_LIT("x"), SLICE_LIT("/nowhere"), &looked_at), &site.routes[1000]);
	assert_in_range(most, 1, 2);
}

static void
a_thousand_regular_expressions_cost_no_more_than_a_few(void **state)
{
	static const struct {
		const char *before, *behind, *asked_before, *asked_behind;
	} forms[] = {{"^/api/v", "/(users|groups)/[0-9]+$", "/api/v", "/users/7"},
	    {"/page-", "(\\.html)?", "/page-", ".html"}, {"/a(b|c)/.*/part", "", "/ac/x/part", ""},
	    {".*\\.kind", "", "/x/y.kind", ""}};
	unsigned looked_at, most = 0;
	char text[64];

	reserve(1000);
	for (unsigned i = 0; i < 1000; i++)
		add(numbered(text, forms[i % 4].before, i, forms[i % 4].behind), true, NULL, NULL);
	make_index();
	for (unsigned i = 0; i < 1000; i++) {
		struct slice path = slice_from(
		    numbered(text, forms[i % 4].asked_before, i, forms[i % 4].asked_behind));

		assert_ptr_equal(first_of_index(SLICE_LIT("x"), path, &looked_at), &site.routes[i]);
		most = looked_at > most ? looked_at : most;
	}
	/* "page-1", "page-10" and "page-100" all begin what asks for the last of them. */
	assert_in_range(most, 1, 3);
}

static void
a_thousand_routes_that_differ_in_a_field_cost_no_more_than_one(void **state)
{
	const char *values[1000];
	unsigned looked_at;
	char text[64];

	reserve(1000);
	for (unsigned i = 0; i < 1000; i++) {
		values[i] = arena_copy(&mem, slice_from(numbered(text, "tenant", i, ""))).p;
		add("/**", false, NULL, NULL);
		restrict_last(i % 2 == 0 ? 1u << METHOD_GET : 1u << METHOD_POST, values[i]);
	}
	make_index();
	for (unsigned i = 0; i < 1000; i++) {
		ask_with(i % 2 == 0 ? METHOD_HEAD : METHOD_POST, &values[i], 1);
		assert_ptr_equal(
		    first_of_index(SLICE_LIT("x"), SLICE_LIT("/"), &looked_at), &site.routes[i]);
		assert_int_equal(looked_at, 1);
	}
	ask_with(METHOD_PUT, values, 1);
	assert_null(first_of_index(SLICE_LIT("x"), SLICE_LIT("/"), &looked_at));
	assert_int_equal(looked_at, 0);
}

static void
many_fields_of_many_routes_are_all_regarded(void **state)
{
	const char *values[60];
	unsigned looked_at;
	char text[64];

	reserve(60);
	for (unsigned i = 0; i < 60; i++) {
		values[i] = arena_copy(&mem, slice_from(numbered(text, "", i, ""))).p;
		add(i == 0 ? "/elsewhere" : "/**", false, NULL, NULL);
		restrict_last(0, values[i]);
	}
	make_index();
	ask_with(METHOD_GET, values, 60);
	assert_ptr_equal(
	    first_of_index(SLICE_LIT("x"), SLICE_LIT("/"), &looked_at), &site.routes[1]);
}

static void
a_thousand_hosts_cost_no_more_than_one(void **state)
{
	char text[64];
	unsigned looked_at;

	reserve(1000);
	for (unsigned i = 0; i < 1000; i++) {
		snprintf(text, sizeof(text), i % 2 == 0 ? "site%u.example" : "*.site%u.example", i);
		add("/**", false, arena_copy(&mem, slice_from(text)).p, NULL);
	}
	make_index();
	for (unsigned i = 0; i < 1000; i++) {
		snprintf(
		    text, sizeof(text), i % 2 == 0 ? "site%u.example" : "www.site%u.example", i);
		assert_ptr_equal(
		    first_of_index(slice_from(text), SLICE_LIT("/x"), &looked_at), &site.routes[i]);
		assert_int_equal(looked_at, 1);
	}
}

static void
a_name_of_many_labels_finds_its_route_too(void **state)
{
	char host[512] = "";
	unsigned looked_at;

	reserve(100);
	for (unsigned i = 0; i < 100; i++) {
		char below[512] = "*";

		for (unsigned k = 0; k < i; k++)
			strcat(below, ".a");
		strcat(below, ".z");
		add("/**", false, arena_copy(&mem, slice_from(below)).p, NULL);
	}
	make_index();
	for (unsigned i = 0; i < 100; i++)
		strcat(host, "a.");
	strcat(host, "z");
	assert_ptr_equal(
	    first_of_index(slice_from(host), SLICE_LIT("/"), &looked_at), &site.routes[0]);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test_teardown(the_first_of_the_index_is_the_first_of_all, end),
	    cmocka_unit_test_teardown(of_a_thousand_routes_a_few_are_looked_at, end),
	    cmocka_unit_test_teardown(a_thousand_regular_expressions_cost_no_more_than_a_few, end),
	    cmocka_unit_test_teardown(
		a_thousand_routes_that_differ_in_a_field_cost_no_more_than_one, end),
	    cmocka_unit_test_teardown(many_fields_of_many_routes_are_all_regarded, end),
	    cmocka_unit_test_teardown(a_thousand_hosts_cost_no_more_than_one, end),
	    cmocka_unit_test_teardown(a_name_of_many_labels_finds_its_route_too, end),
	};

	return cmocka_run_group_tests_name("server/routeindex", tests, begin, NULL);
}
