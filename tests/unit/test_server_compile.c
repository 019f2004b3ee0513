/* LINK: server/compile server/rendered cache/object cache/body cache/slab server/compile_route server/routeindex server/judge server/pathtext server/conf event/nameserver event/address server/conf_route server/conf_vary server/pattern server/regexends cache/conf upstream/conf upstream/section upstream/secure upstream/target upstream/drains policy/conf policy/compress policy/headers policy/ratelimit policy/limiter policy/limittable policy/window policy/ratefields http/negotiate http/url http/head http/fields event/redisurl event/tlsclient event/tls event/tlsgreet event/tlssocket event/tlsstate event/tlswrite event/tlscontext event/tlsidentity event/tlstickets event/fileprint event/drain event/stream event/loop base/log base/clock conf/load conf/fill conf/scalar conf/table conf/inherit conf/value conf/yaml conf/include conf/substitute conf/diagnostic conf/excerpt conf/glyph conf/nearest conf/source base/arena base/buf base/mem base/hash http/cachestatus http/sf http/sf_bare */
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

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

/* The file of that name, with a table of limits of its own. */
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

static void
end_all(struct trial *t)
{
	end(t);
	limit_table_unref(&t->limits);
}

/* told, once more was given. */
static void
retell(struct trial *t)
{
	t->told.n = 0;
	conf_diag_text(t->diag, &t->told);
	buf_add_char(&t->told, '\0');
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

/* The text must be refused, with each of the lines somewhere. */
static void
must_say(const char *text, const char *const *lines, size_t count)
{
	WITH_SITE(t, text)
	{
		assert_null(t.site);
		for (size_t i = 0; i < count; i++)
			if (strstr(t.told.p, lines[i]) == NULL)
				fail_msg("not said: %s\nbut: %s", lines[i], t.told.p);
	}
}
#define MUST_SAY(text, ...)                                \
	must_say(text, (const char *const[]){__VA_ARGS__}, \
	    sizeof((const char *const[]){__VA_ARGS__}) / sizeof(const char *))

/* --- what configurations come to ---------------------------------------------------------------- */

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
		assert_int_equal(r->slot, 3);
		assert_ptr_equal(r->upstream, t.site->upstreams[0]);
		assert_true(r->cache.is_on && r->compress.is_on);
		assert_int_equal(r->cache.life.ttl_ms, LIFE_UNSET);
		assert_int_equal(r->cache.life.stale_if_error_ms, STALE_IF_ERROR_DEFAULT_MS);
		assert_int_equal(r->cache.cookies, COOKIES_GUARD);
		assert_int_equal(headers_count(r->headers), 6);
		assert_int_equal(t.site->body_size, 100 << 20);
		assert_int_equal(headers_count(t.site->headers), 6);
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
	end_all(&t);
}

/* Warnings may speak of certificates that are not on this machine, and of nothing else. */
static void
every_example_is_good(void **state)
{
	static const char *const paths[] = {"conf/forebay.yaml", "conf/examples/minimal.yaml",
	    "conf/examples/usual.yaml", "conf/examples/shop.yaml"};

	for (size_t i = 0; i < sizeof(paths) / sizeof(*paths); i++) {
		struct trial t;

		begin_file(&t, paths[i]);
		must_be_good(&t);
		site_judge(t.site->conf, t.site, t.diag);
		retell(&t);
		for (const char *w = t.told.p; (w = strstr(w, "warning: ")) != NULL; w++)
			if (strncmp(w + 9, "cert: cannot look", 17) != 0 &&
			    strncmp(w + 9, "key: cannot look", 16) != 0)
				fail_msg("%s: %s", paths[i], t.told.p);
		end_all(&t);
	}
}

static void
a_route_adds_to_the_general_settings(void **state)
{
	WITH_SITE(t,
	    "listen: \":8080\"\nupstreams: {app: \"127.0.0.1:3000\"}\n"
	    "cache: {ttl: 1m, stale_while_revalidate: 5s, max_object: 1MiB, cookies: ignore}\n"
	    "compression: {min_size: 1KiB, encodings: gzip}\n"
	    "security_headers: {preset: strict, x-site: one}\n"
	    "limits: {body_size: 2MiB}\n"
	    "routes:\n"
	    "  - match: /a\n"
	    "    cache: {ttl: 10m}\n"
	    "    compression: {min_size: 2KiB}\n"
	    "    security_headers: {x-route: two, content-security-policy: off}\n"
	    "    body_size: 4MiB\n"
	    "  - {match: /off, cache: off, compression: off, security_headers: off}\n"
	    "  - match: /**\n")
	{
		const struct route *r;

		must_be_good(&t);
		r = t.site->routes;
		assert_int_equal(r[0].cache.life.ttl_ms, 600000);
		assert_int_equal(r[0].cache.life.stale_while_revalidate_ms, 5000);
		assert_int_equal(r[0].cache.store.max_object_bytes, 1 << 20);
		assert_true(r[0].cache.store.cookies_covered);
		assert_int_equal(r[0].compress.min_size_bytes, 2048);
		assert_int_equal(r[0].compress.encodings[0], ENC_GZIP);
		assert_int_equal(r[0].compress.encodings[1], 0);
		assert_int_equal(headers_count(r[0].headers), 8); /* six, and one of each level */
		assert_int_equal(r[0].body_size, 4 << 20);
		assert_false(r[1].cache.is_on || r[1].compress.is_on);
		assert_int_equal(headers_count(r[1].headers), 0);
		assert_int_equal(r[2].cache.life.ttl_ms, 60000);
		assert_int_equal(headers_count(r[2].headers), 8);
		assert_int_equal(r[2].body_size, 2 << 20);
	}
}

static void
what_is_off_for_all_may_be_on_for_one(void **state)
{
	WITH_SITE(t,
	    "listen: \":8080\"\nupstreams: {app: \"127.0.0.1:3000\"}\n"
	    "compression: off\nsecurity_headers: off\nroutes:\n"
	    "  - {match: /a, compression: on, security_headers: on}\n"
	    "  - match: /**\n")
	{
		must_be_good(&t);
		assert_true(t.site->routes[0].compress.is_on);
		assert_int_equal(headers_count(t.site->routes[0].headers), 6);
		assert_false(t.site->routes[1].compress.is_on);
		assert_int_equal(headers_count(t.site->routes[1].headers), 0);
	}
}

static void
a_match_has_a_short_and_a_long_form(void **state)
{
	WITH_SITE(t,
	    LEAST "  - match: GET|POST|BREW /tea/{pot}\n"
		  "  - match:\n"
		  "      methods: [PUT]\n"
		  "      hosts: [Example.COM., \"*.example.org\"]\n"
		  "      path_regex: /v(?<version>\\d+)/.*\n"
		  "      headers: {X-Canary: \"true\", X-Any: \"*\", User-Agent: \"~(?i)bot\"}\n"
		  "    cache: {tags: [\"v{version}\"]}\n")
	{
		const struct route *r;
		struct captures c;

		must_be_good(&t);
		r = &t.site->routes[0];
		assert_int_equal(
		    r->methods, 1u << METHOD_GET | 1u << METHOD_HEAD | 1u << METHOD_POST);
		assert_int_equal(r->other_methods.count, 1);
		assert_string_equal(r->other_methods.items[0], "BREW");
		assert_string_equal(r->name, "GET|POST|BREW /tea/{pot}");
		r = &t.site->routes[1];
		assert_string_equal(r->hosts.items[0], "example.com");
		assert_int_equal(r->conditions_count, 3);
		assert_null(r->conditions[1].value);
		assert_true(regex_finds(r->conditions[2].regex, SLICE_LIT("GoogleBot")));
		assert_true(pattern_matches(r->path, SLICE_LIT("/v7/x"), &c));
		assert_true(slice_eq(c.values[0], SLICE_LIT("7")));
	}
	pattern_thread_end();
}

static void
paths_are_meant_in_normal_form(void **state)
{
	WITH_SITE(t,
	    LEAST "  - match: /caf%c3%a9/%7Euser/{x}/**\n"
		  "  - match: \"PUT /\u00e4/{x}\"\n"
		  "    purge: {urls: [\"/\u00e4/a-{x}-%7e?q=%7e\"], prefixes: [\"/a b/\"]}\n")
	{
		struct captures c = {1, {SLICE_LIT("7")}};
		struct buf b = {0};

		must_be_good(&t);
		assert_true(pattern_matches(
		    t.site->routes[0].path, SLICE_LIT("/caf%C3%A9/~user/7/8/9"), &c));
		assert_true(pattern_matches(t.site->routes[1].path, SLICE_LIT("/%C3%A4/7"), &c));
		template_expand(t.site->routes[1].purge.urls[0], &c, &b);
		template_expand(t.site->routes[1].purge.prefixes[0], &c, &b);
		assert_true(slice_eq(buf_slice(&b), SLICE_LIT("/%C3%A4/a-7-~?q=%7e/a%20b/")));
		buf_fini(&b);
	}
	MUST_SAY(LEAST "  - match: /a/../b\n  - match: /a%2\n  - match: /a?b\n",
	    "/a/../b: no path in normal form has . or ..",
	    "/a%2: the path has a percent sign without", "/a?b: a path ends before ? and #");
}

static void
the_key_takes_what_it_is_told(void **state)
{
	WITH_SITE(t,
	    LEAST "  - match: /a\n"
		  "    cache:\n"
		  "      cookies: {key: session}\n"
		  "      query: {drop: [utm_source], sort: yes}\n"
		  "      key: {headers: [Accept-Language]}\n"
		  "      statuses: {4xx: 5s, 404: 1m}\n"
		  "      set_cookie: strip\n"
		  "      jitter: 10%\n"
		  "      client_directives: obey\n"
		  "  - match: /b\n"
		  "    cache: {query: none, key: {cookies: [a, b]}}\n"
		  "  - match: /c\n"
		  "    cache: {query: {allow: page}}\n")
	{
		const struct route_cache *c;

		must_be_good(&t);
		c = &t.site->routes[0].cache;
		assert_int_equal(c->cookies, COOKIES_KEY);
		assert_string_equal(c->cookie_names.items[0], "session");
		assert_int_equal(c->query, QUERY_DROP);
		assert_true(c->query_sorted && c->obey_request);
		assert_string_equal(c->key_headers.items[0], "Accept-Language");
		assert_int_equal(c->life.by_status[0].status, 404); /* before its class */
		assert_int_equal(c->life.by_status[0].life_ms, 60000);
		assert_int_equal(c->life.by_status_count, 78); /* but those about a request */
		assert_int_equal(c->store.set_cookie, SET_COOKIE_STRIP);
		assert_int_equal(c->jitter_percent, 10);
		c = &t.site->routes[1].cache;
		assert_int_equal(c->cookies, COOKIES_KEY);
		assert_int_equal(c->cookie_names.count, 2);
		assert_int_equal(c->query, QUERY_NONE);
		assert_int_equal(t.site->routes[2].cache.query, QUERY_ALLOW);
	}
}

static void
answers_of_our_own_need_no_upstream(void **state)
{
	WITH_SITE(t,
	    "listen: [\":8080\", \"[::1]:8081\"]\nroutes:\n"
	    "  - {match: /robots.txt, respond: {body: \"{}\", content_type: application/json}}\n"
	    "  - {match: \"/old/{page}\", redirect: \"https://example.com/{page}\"}\n"
	    "  - {match: /**, respond: 404}\n")
	{
		struct captures c = {1, {SLICE_LIT("news")}};
		struct buf b = {0};

		must_be_good(&t);
		assert_int_equal(t.site->routes[0].status, 200);
		template_expand(t.site->routes[0].text, &c, &b);
		template_expand(t.site->routes[1].text, &c, &b);
		assert_true(slice_eq(buf_slice(&b), SLICE_LIT("{}https://example.com/news")));
		assert_int_equal(t.site->routes[1].status, 308);
		assert_int_equal(t.site->routes[2].status, 404);
		buf_fini(&b);
	}
}

static void
the_names_of_dotnet_count_as_dotnet_does(void **state)
{
	WITH_SITE(t,
	    "listen: \":8080\"\nupstreams: {app: \"127.0.0.1:3000\"}\nrate_limits:\n"
	    "  login: {algorithm: SlidingWindow, PermitLimit: 5, Window: \"00:05:00\", "
	    "SegmentsPerWindow: 5,\n"
	    "          QueueLimit: 2, QueueProcessingOrder: NewestFirst, key: [client, "
	    "\"header:X-Api-Key\"]}\n"
	    "routes:\n  - {match: /**, rate_limit: login}\n")
	{
		const struct route_limit *l;
		const struct limit_conf *c;

		must_be_good(&t);
		l = &t.site->routes[0].limits[0];
		c = limiter_conf(l->limiter);
		assert_true(c->dotnet && c->newest_first);
		assert_int_equal(c->limit, 5);
		assert_int_equal(c->window_ms, 300000);
		assert_int_equal(c->queue, 2);
		assert_int_equal(l->parts_count, 2);
		assert_string_equal(l->parts[1].name, "X-Api-Key");
	}
}

static void
trusted_networks_are_read(void **state)
{
	WITH_SITE(
	    t, "trusted_proxies: [10.0.0.0/8, \"fd00::/8\", 192.0.2.7]\n" LEAST "  - match: /**\n")
	{
		must_be_good(&t);
		assert_int_equal(t.site->trusted_count, 3);
		assert_int_equal(t.site->trusted[0].bits, 104);
		assert_int_equal(t.site->trusted[0].bytes[12], 10);
		assert_int_equal(t.site->trusted[1].bits, 8);
		assert_int_equal(t.site->trusted[2].bits, 128);
	}
}

/* --- reloads ------------------------------------------------------------------------------------ */

#define TWO_UPSTREAMS(idle)                                                     \
	"listen: \":8080\"\n"                                                   \
	"upstreams:\n"                                                          \
	"  same: 127.0.0.1:3000\n"                                              \
	"  other: {servers: 127.0.0.1:3001, connections: {idle: " idle "}}\n"   \
	"rate_limits: {api: {algorithm: fixed_window, limit: 9, window: 1m}}\n" \
	"routes:\n  - {match: /a, upstream: same, rate_limit: api}\n"           \
	"  - {match: /**, upstream: other}\n"

static void
what_did_not_change_survives_a_reload(void **state)
{
	WITH_SITE(t, TWO_UPSTREAMS("1m"))
	{
		struct trial next = {.limits = t.limits};

		must_be_good(&t);
		try_from(&next, TWO_UPSTREAMS("2m"), t.site);
		must_be_good(&next);
		assert_int_equal(next.site->generation, t.site->generation + 1);
		assert_ptr_equal(next.site->upstreams[0], t.site->upstreams[0]);
		assert_ptr_not_equal(next.site->upstreams[1], t.site->upstreams[1]);
		assert_ptr_equal(
		    next.site->routes[0].limits[0].limiter, t.site->routes[0].limits[0].limiter);
		end(&next);
	}
}

static void
a_site_lives_until_the_last_has_let_go(void **state)
{
	WITH_SITE(t, LEAST "  - match: /a/{b}\n")
	{
		struct site *mine = site_ref(t.site);

		site_unref(&t.site);
		assert_null(t.site);
		assert_string_equal(mine->routes[0].name, "/a/{b}");
		site_unref(&mine);
	}
}

/* --- errors ------------------------------------------------------------------------------------- */

static void
every_error_is_told_in_its_place(void **state)
{
	MUST_SAY(LEAST "  - match: /a/{id}\n"
		       "    cache: {tags: [\"x:{idd}\"]}\n"
		       "    rate_limit: login\n"
		       "  - match: FETCH|get /x\n"
		       "    upstream: ap\n"
		       "  - match: /a/**/b\n",
	    "test.yaml:5:19: error: tags: \"x:{idd}\": the route's path has no such {name}",
	    "test.yaml:6:17: error: rate_limit: there is none called \"login\"",
	    "test.yaml:7:12: error: match: methods are written in capitals",
	    "did you mean \"GET\"?", "test.yaml:8:15: error: upstream: there is none called \"ap\"",
	    "test.yaml:9:12: error: match: /a/**/b: ** may only stand at the end");
}

static void
what_does_not_work_yet_is_not_accepted(void **state)
{
	MUST_SAY("listen: \":8080\"\n"
		 "upstreams: {app: \"127.0.0.1:1\"}\n"
		 "rate_limits: {a: {algorithm: fixed_window, limit: 1, window: 1s, "
		 "key: \"jwt:sub\"}}\n"
		 "routes: [{match: /**}]\n",
	    "the claims of tokens are not read");
}

static void
a_shared_limit_needs_a_redis(void **state)
{
#define SHARED                                                                               \
	"rate_limits: {a: {algorithm: fixed_window, limit: 1, window: 1s, scope: shared}}\n" \
	"listen: \":8080\"\nupstreams: {app: \"127.0.0.1:3000\"}\n"                          \
	"routes: [{match: /**, rate_limit: a}]\n"
	MUST_SAY(SHARED, "test.yaml:1:73: error: scope: shared limits are counted in Redis",
	    "cache.redis.url");
	MUST_SAY(SHARED "cache: off\n", "shared limits are counted in Redis");
	WITH_SITE(t, SHARED "cache: {redis: \"redis://127.0.0.1\"}\n")
	{
		must_be_good(&t);
		assert_true(limiter_conf(t.site->routes[0].limits[0].limiter)->shared);
	}
}

static void
a_list_with_a_variable_that_is_not_set_is_refused(void **state)
{
	MUST_SAY(LEAST "  - {match: /**, purge: {urls: [/a, \"${FOREBAY_NOT_SET}\"]}}\n",
	    "the environment variable FOREBAY_NOT_SET is not set");
}

static void
a_route_needs_somewhere_to_go(void **state)
{
	MUST_SAY("listen: \":8080\"\nroutes: [{match: /**}]\n", "there are no upstreams");
	MUST_SAY("listen: \":8080\"\nupstreams: {a: \"h:1\", b: \"h:2\"}\nroutes: [{match: /**}]\n",
	    "which upstream? there are 2");
	MUST_SAY(LEAST "  - {match: /**, respond: 404, redirect: /x}\n", "cannot both be given");
	MUST_SAY("listen: \":8080\"\nupstreams: {app: \":3000\"}\nroutes: [{match: /**}]\n",
	    "names no host", "as in 127.0.0.1:3000");
}

static void
what_cannot_be_meant_is_refused(void **state)
{
	MUST_SAY(LEAST "  - {match: /a, cache: {cookies: ignore, key: {cookies: a}}}\n"
		       "  - {match: /b, cache: {origin: override}}\n"
		       "  - {match: /c, cache: {query: {allow: a, drop: b}}}\n"
		       "  - {match: /d, security_headers: {content-length: \"3\"}}\n"
		       "  - {match: {path: /e, path_regex: /e}}\n"
		       "  - {match: {hosts: [\"a.test:80\"], path: /f}}\n"
		       "  - {match: {path: /g, headers: {A: \"~(\"}}}\n"
		       "  - {match: /h, cache: {statuses: {6xx: 1s}}}\n"
		       "  - {match: /i, purge: {urls: [x]}}\n"
		       "  - {match: /j, strip_prefix: /a/}\n"
		       "  - {match: products}\n",
	    "query: this is not understood here", "path and path_regex cannot both be given",
	    "statuses: \"6xx\" is no status", "urls: \"x\" is no path",
	    "strip_prefix: \"/a/\" is no prefix of a path", "\"products\" is no path");
	MUST_SAY(LEAST "  - {match: /a, cache: {cookies: ignore, key: {cookies: a}}}\n"
		       "  - {match: /b, cache: {origin: override}}\n"
		       "  - {match: /d, security_headers: {content-length: \"3\"}}\n"
		       "  - {match: {hosts: [\"a.test:80\"], path: /f}}\n"
		       "  - {match: {path: /g, headers: {A: \"~(\"}}}\n",
	    "ignored or stripped by \"cookies\"", "origin: override wants a life that wins",
	    "test.yaml:6:52: error: security_headers: this field belongs to the message itself",
	    "\"a.test:80\" is no name of a host", "the regular expression is wrong");
	MUST_SAY("security_headers: {force: {x-a: \"\\n\"}}\n" LEAST "  - match: /**\n",
	    "test.yaml:1:33: error: security_headers: ");
	MUST_SAY("trusted_proxies: [10.0.0.0/33]\n" LEAST "  - match: /**\n",
	    "\"10.0.0.0/33\" is no network");
	MUST_SAY("admin: \":9090\"\nlisten: [\":8080\", \":8080\", \":9090\"]\nroutes: [{match: "
		 "/**, respond: 404}]\n",
	    "test.yaml:2:19: error: address: \":8080\" is listened on twice",
	    "test.yaml:2:28: error");
	MUST_SAY("cache: {redis: \"http://x\"}\n" LEAST "  - match: /**\n", "error: url: ");
}

/* --- warnings ----------------------------------------------------------------------------------- */

/* That many warnings, with each of the lines somewhere. */
static void
must_warn(const char *text, size_t warnings, const char *const *lines, size_t count)
{
	WITH_SITE(t, text)
	{
		must_be_good(&t);
		site_judge(t.site->conf, t.site, t.diag);
		retell(&t);
		if (conf_diag_warnings(t.diag) != warnings)
			fail_msg("%zu warnings wanted: %s", warnings, t.told.p);
		for (size_t i = 0; i < count; i++)
			if (strstr(t.told.p, lines[i]) == NULL)
				fail_msg("not said: %s\nbut: %s", lines[i], t.told.p);
	}
}
#define MUST_WARN(text, warnings, ...)                                \
	must_warn(text, warnings, (const char *const[]){__VA_ARGS__}, \
	    sizeof((const char *const[]){__VA_ARGS__}) / sizeof(const char *))

static void
a_route_that_can_never_match_is_told(void **state)
{
	MUST_WARN(LEAST "  - match: GET /a/**\n"
			"  - match: HEAD /a/{x}\n"
			"  - match: POST|PUT /b\n"
			"  - match: DELETE /b\n"
			"  - match: PUT|DELETE /b\n"
			"  - match: {hosts: [\"*.example.com\"], path: /c}\n"
			"  - match: {hosts: [www.example.com], path: /c}\n"
			"  - match: {path: /d, headers: {X-A: \"*\"}}\n"
			"  - match: {path: /d, headers: {X-A: \"1\"}}\n"
			"  - match: /**\n"
			"  - match: /e\n",
	    5, "test.yaml:5:12: warning: this route can never match", "by \"GET /a/**\" in line 4",
	    "test.yaml:8:12: warning", "test.yaml:10:12: warning", "test.yaml:12:12: warning",
	    "test.yaml:14:12: warning");
}

static void
a_route_that_takes_what_is_left_is_not_told(void **state)
{
	MUST_WARN(LEAST "  - match: GET /a\n"
			"  - match: /a\n"
			"  - match: {hosts: [a.test], path: /b}\n"
			"  - match: /b\n"
			"  - match: {path: /c, headers: {X-A: \"1\"}}\n"
			"  - match: /c\n"
			"  - match: /d/{x}\n"
			"  - match: /d/**\n"
			"  - match: /**\n",
	    0, "");
}

static void
lives_that_do_not_hold_for_browsers_are_told(void **state)
{
	MUST_WARN(LEAST "  - {match: /a, cache: 10m}\n"
			"  - {match: /b, cache: {ttl: 10m, cookies: guard}}\n"
			"  - {match: /c, cache: {ttl: 10m, cookies: {key: session}}}\n"
			"  - {match: POST /d, cache: {tags: [d]}}\n"
			"  - {match: /e, respond: 204, cache: {tags: [e]}}\n"
			"  - {match: /f, cache: {set_cookie: store}}\n"
			"  - {match: /g, cache: {authorization: ignore}}\n"
			"  - match: /**\n",
	    5, "test.yaml:4:24: warning: ttl: it does not hold for requests with a cookie",
	    "only answers to GET and QUERY are cached", "the route asks no upstream",
	    "set_cookie: store gives everybody the cookie", "authorization: ignore gives");
}

static void
a_limit_that_cannot_bind_is_told(void **state)
{
	MUST_WARN(
	    "listen: \":8080\"\nupstreams: {app: \"127.0.0.1:3000\", spare: \"127.0.0.1:3001\"}\n"
	    "rate_limits:\n"
	    "  few:   {algorithm: fixed_window, limit: 10, window: 1m}\n"
	    "  many:  {algorithm: fixed_window, limit: 20, window: 1m}\n"
	    "  some:  {algorithm: fixed_window, limit: 19, window: 1m}\n"
	    "  keyed: {algorithm: fixed_window, limit: 20, window: 1m, key: route}\n"
	    "  idle:  {algorithm: fixed_window, limit: 20, window: 1m}\n"
	    "routes:\n"
	    "  - {match: /**, upstream: app, rate_limit: [few, many, some, keyed]}\n",
	    3, "\"many\" cannot bind here, \"few\" always refuses before",
	    "no route has rate_limit: idle", "no route goes to the upstream spare");
}

static void
an_open_door_is_told(void **state)
{
	MUST_WARN("admin: {address: \":9090\"}\ntrusted_proxies: 0.0.0.0/0\n" LEAST
		  "  - match: GET /**\n"
		  "  - {match: /b/**, strip_prefix: /bc}\n",
	    4, "admin: whoever reaches :9090 can control this Forebay",
	    "trusted_proxies: everybody is", "no route takes what the others leave",
	    "strip_prefix: the route's paths need not begin with /bc");
}

static void
a_secret_that_others_can_read_is_told(void **state)
{
	char path[] = "/tmp/forebay-conf-XXXXXX";
	int fd = mkstemp(path);
	FILE *f = fdopen(fd, "w");
	struct trial t;

	fprintf(f,
	    "admin: {token: in-the-open}\nupstreams: {app: \"127.0.0.1:1\"}\nroutes: [{match: "
	    "/**}]\n"
	    "listen: \":8080\"\n");
	assert_int_equal(fchmod(fd, 0644), 0);
	fclose(f);
	begin_file(&t, path);
	must_be_good(&t);
	site_judge(t.site->conf, t.site, t.diag);
	retell(&t);
	unlink(path);
	assert_int_equal(conf_diag_warnings(t.diag), 1);
	assert_non_null(
	    strstr(t.told.p, "token: everybody on this machine can read it in this file"));
	end_all(&t);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(the_least_configuration_works),
	    cmocka_unit_test(the_usual_configuration_works),
	    cmocka_unit_test(every_example_is_good),
	    cmocka_unit_test(a_route_adds_to_the_general_settings),
	    cmocka_unit_test(what_is_off_for_all_may_be_on_for_one),
	    cmocka_unit_test(a_match_has_a_short_and_a_long_form),
	    cmocka_unit_test(paths_are_meant_in_normal_form),
	    cmocka_unit_test(the_key_takes_what_it_is_told),
	    cmocka_unit_test(answers_of_our_own_need_no_upstream),
	    cmocka_unit_test(the_names_of_dotnet_count_as_dotnet_does),
	    cmocka_unit_test(trusted_networks_are_read),
	    cmocka_unit_test(what_did_not_change_survives_a_reload),
	    cmocka_unit_test(a_site_lives_until_the_last_has_let_go),
	    cmocka_unit_test(every_error_is_told_in_its_place),
	    cmocka_unit_test(what_does_not_work_yet_is_not_accepted),
	    cmocka_unit_test(a_shared_limit_needs_a_redis),
	    cmocka_unit_test(a_list_with_a_variable_that_is_not_set_is_refused),
	    cmocka_unit_test(a_route_needs_somewhere_to_go),
	    cmocka_unit_test(what_cannot_be_meant_is_refused),
	    cmocka_unit_test(a_route_that_can_never_match_is_told),
	    cmocka_unit_test(a_route_that_takes_what_is_left_is_not_told),
	    cmocka_unit_test(lives_that_do_not_hold_for_browsers_are_told),
	    cmocka_unit_test(a_limit_that_cannot_bind_is_told),
	    cmocka_unit_test(an_open_door_is_told),
	    cmocka_unit_test(a_secret_that_others_can_read_is_told),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
