/* LINK: conf/load conf/fill conf/scalar conf/table conf/inherit conf/value conf/yaml conf/include conf/substitute conf/diagnostic conf/excerpt conf/glyph conf/nearest conf/source base/arena base/buf base/mem */
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include <cmocka.h>

#include "conf/load.h"
#include "conf_usual.h"

struct loaded {
	struct usual_conf conf;
	struct arena mem;
	struct conf_diag *diag;
	struct buf text; /* what was said */
	int result;
};

static void
load(struct loaded *l, const char *yaml)
{
	struct conf_text src = {"forebay.yaml", slice_from(yaml)};

	*l = (struct loaded){.diag = conf_diag_new()};
	l->result = conf_load_text(&src, &usual_table, &l->conf, &l->mem, l->diag);
	conf_diag_text(l->diag, &l->text);
	buf_add_char(&l->text, '\0');
}

static void
forget(struct loaded *l)
{
	arena_fini(&l->mem);
	conf_diag_free(&l->diag);
	buf_fini(&l->text);
}

/* The least that works, and one more line or more. */
#define LEAST                                    \
	"listen: \":8080\"\n"                    \
	"upstreams: {app: \"127.0.0.1:3000\"}\n" \
	"routes:\n"                              \
	"  - match: /**\n"

static void
says(const char *yaml, const char *expected)
{
	struct loaded l;

	load(&l, yaml);
	assert_string_equal(l.text.p, expected);
	assert_int_equal(l.result, -1);
	forget(&l);
}

static void
the_least_configuration_is_enough(void **state)
{
	struct loaded l;

	load(&l, LEAST);
	assert_string_equal(l.text.p, "");
	assert_int_equal(l.result, 0);
	assert_int_equal(l.conf.listen.count, 1);
	assert_string_equal(l.conf.listen.items[0].address, ":8080");
	assert_int_equal(l.conf.upstreams.count, 1);
	assert_string_equal(l.conf.upstreams.items[0].conf.name, "app");
	assert_string_equal(l.conf.upstreams.items[0].servers.items[0].address, "127.0.0.1:3000");
	assert_int_equal(l.conf.upstreams.items[0].connections.idle, 300000);
	assert_string_equal(l.conf.routes.items[0].match.path, "/**");
	assert_int_equal(l.conf.workers, AUTO);
	assert_int_equal(l.conf.cache.memory, 256 << 20);
	assert_int_equal(l.conf.compression.encodings.count, 2);
	assert_int_equal(l.conf.compression.encodings.items[1], ENCODING_GZIP);
	assert_false(CONF_IS_SET(&usual_table, &l.conf, workers));
	assert_true(CONF_IS_SET(&usual_table, &l.conf, listen));
	assert_null(l.conf.cache.redis.conf.node);
	forget(&l);
}

static const char usual[] =
    "workers: auto\n"
    "listen:\n"
    "  - address: \":8080\"\n"
    "  - address: \":8443\"\n"
    "    tls: {certificates: [{cert: /etc/tls/site.pem, key: /etc/tls/site.key}]}\n"
    "admin: {address: 127.0.0.1:9090, token: \"${FOREBAY_TEST_TOKEN}\"}\n"
    "log: {level: info, access: {path: /var/log/forebay/access.log, format: json}}\n"
    "limits: {head_size: 32KiB, body_size: 100MiB, head_timeout: 10s, body_timeout: 30s,\n"
    "  keepalive_timeout: 75s, connections: auto}\n"
    "trusted_proxies: [10.0.0.0/8]\n"
    "upstreams:\n"
    "  app:\n"
    "    servers: [127.0.0.1:3000, 127.0.0.1:3001]\n"
    "    balance: least_connections\n"
    "    connections: {max: 100, idle: 300s}\n"
    "    timeouts: {connect: 2s, response: 30s}\n"
    "    health: {path: /health/ready, interval: 5s}\n"
    "cache:\n"
    "  memory: 256MiB\n"
    "  max_object: 8MiB\n"
    "  redis: {url: redis://127.0.0.1:6379/0, timeout: 50ms, prefix: forebay}\n"
    "compression: {encodings: [br, gzip], min_size: 256}\n"
    "security_headers:\n"
    "  preset: strict\n"
    "  content-security-policy: \"default-src 'self'\"\n"
    "rate_limits:\n"
    "  api:   {algorithm: fixed_window,   limit: 100, window: 1m, queue: 10, key: client}\n"
    "  login: {algorithm: sliding_window, PermitLimit: 5, Window: 00:05:00,\n"
    "    SegmentsPerWindow: 5, QueueLimit: 2, QueueProcessingOrder: NewestFirst}\n"
    "routes:\n"
    "  - match: POST /login\n"
    "    rate_limit: login\n"
    "  - match: GET /products/**\n"
    "    cache: {ttl: 10m, tags: [products]}\n"
    "  - match: POST|PUT|PATCH|DELETE /products/**\n"
    "    purge: {tags: [products]}\n"
    "  - match: GET /profile/{userId}\n"
    "    cache: {ttl: 10m, cookies: ignore, tags: [\"user:{userId}\"]}\n"
    "  - match: PUT|PATCH|DELETE /profile/{userId}\n"
    "    purge: {tags: [\"user:{userId}\"], urls: [\"/users/{userId}/skills\"]}\n"
    "  - match: GET /static/**\n"
    "    cache: {ttl: 365d, origin: override}\n"
    "    security_headers: {content-security-policy: off}\n"
    "  - match: /metrics-internal\n"
    "    respond: {status: 404}\n"
    "  - match: /**\n"
    "    rate_limit: api\n"
    "    cache: off\n";

static void
the_usual_configuration_fills_every_struct(void **state)
{
	struct loaded l;
	const struct usual_conf *c = &l.conf;
	const struct rate_conf *login;

	setenv("FOREBAY_TEST_TOKEN", "hunter2hunter2", 1);
	load(&l, usual);
	assert_string_equal(l.text.p, "");
	assert_string_equal(c->admin.token, "hunter2hunter2");
	assert_string_equal(c->listen.items[1].tls.certificates.items[0].key, "/etc/tls/site.key");
	assert_null(c->listen.items[0].tls.conf.node);
	assert_int_equal(c->log.access.format, 1);
	assert_int_equal(c->upstreams.items[0].servers.count, 2);
	assert_int_equal(c->upstreams.items[0].balance, BALANCE_LEAST);
	assert_int_equal(c->cache.redis.timeout, 50);
	assert_int_equal(c->security_headers.fields.count, 1);
	assert_string_equal(c->security_headers.fields.items[0].value, "default-src 'self'");
	login = &c->rate_limits.items[1];
	assert_string_equal(login->conf.name, "login");
	assert_int_equal(login->limit, 5);
	assert_int_equal(login->window, 300000);
	assert_int_equal(login->segments, 5);
	assert_int_equal(login->queue, 2);
	assert_int_equal(login->queue_order, ORDER_NEWEST);
	assert_string_equal(login->key.items[0], "client");
	assert_int_equal(c->routes.count, 8);
	assert_string_equal(c->routes.items[2].match.methods, "POST|PUT|PATCH|DELETE");
	assert_int_equal(c->routes.items[5].cache.ttl, 365LL * 86400000);
	assert_int_equal(c->routes.items[6].respond.status, 404);
	assert_true(c->routes.items[7].cache.conf.is_off);
	assert_string_equal(c->routes.items[3].cache.tags.items[0], "user:{userId}");
	forget(&l);
}

static void
a_route_inherits_what_it_leaves_unset(void **state)
{
	struct loaded l;
	struct headers_conf *own;

	load(&l,
	    LEAST "    security_headers: {X-Frame-Options: off, X-Two: \"off\"}\n"
		  "  - match: /plain\n"
		  "    security_headers: off\n"
		  "  - match: /same\n"
		  "security_headers: {preset: strict, X-One: a, x-frame-options: DENY}\n");
	assert_string_equal(l.text.p, "");
	for (size_t i = 0; i < 3; i++)
		conf_inherit(&l.mem, &headers_table, &l.conf.routes.items[i].security_headers,
		    &l.conf.security_headers);
	own = &l.conf.routes.items[0].security_headers;
	assert_int_equal(own->preset, 1);
	assert_int_equal(own->fields.count, 3);
	assert_string_equal(own->fields.items[0].name, "X-One");
	assert_string_equal(own->fields.items[1].name, "X-Frame-Options");
	assert_true(own->fields.items[1].is_off);
	assert_false(own->fields.items[2].is_off);
	assert_string_equal(own->fields.items[2].value, "off");
	assert_true(CONF_IS_SET(&headers_table, own, preset));
	assert_true(l.conf.routes.items[1].security_headers.conf.is_off);
	assert_int_equal(l.conf.routes.items[1].security_headers.fields.count, 0);
	assert_int_equal(l.conf.routes.items[2].security_headers.fields.count, 2);
	forget(&l);
}

static void
all_errors_come_at_once_each_in_its_place(void **state)
{
	says("listen: \":8080\"\n"
	     "upstreams: {app: {servers: [127.0.0.1], balance: lest_connections}}\n"
	     "cache: {memory: 256, max_object: 2GiB}\n"
	     "routes:\n"
	     "  - match: /a\n"
	     "    cahce: {ttl: 10m}\n"
	     "  - match: /b\n"
	     "    cache:\n"
	     "      ttl: ten\n"
	     "      zebra: 1\n"
	     "  - rate_limit: [a]\n",
	    "forebay.yaml:2:29: error: address: \"127.0.0.1\" is not an address\n"
	    "     2 | upstreams: {app: {servers: [127.0.0.1], balance: lest_connections}}\n"
	    "                                     ^~~~~~~~~ expected host:port, :port, [v6]:port "
	    "or "
	    "unix:/path\n"
	    "forebay.yaml:2:50: error: balance: unknown word \"lest_connections\"\n"
	    "     2 | upstreams: {app: {servers: [127.0.0.1], balance: lest_connections}}\n"
	    "                                                          ^~~~~~~~~~~~~~~~ did you "
	    "mean "
	    "\"least_connections\"?\n"
	    "forebay.yaml:3:17: error: memory: \"256\" has no unit\n"
	    "     3 | cache: {memory: 256, max_object: 2GiB}\n"
	    "                         ^~~ did you mean 256KiB? units are B, KiB, MiB, GiB, KB, MB, "
	    "GB\n"
	    "forebay.yaml:3:34: error: max_object: \"2GiB\" is more than 1GiB\n"
	    "     3 | cache: {memory: 256, max_object: 2GiB}\n"
	    "                                          ^~~~ expected 1KiB to 1GiB\n"
	    "forebay.yaml:6:5: error: unknown directive \"cahce\" in routes[0]\n"
	    "     6 |     cahce: {ttl: 10m}\n"
	    "             ^~~~~ did you mean \"cache\"?\n"
	    "forebay.yaml:9:12: error: ttl: \"ten\" is not a duration\n"
	    "     9 |       ttl: ten\n"
	    "                    ^~~ expected 500ms, 10s, 5m, 1h, 7d or \"00:05:00\"\n"
	    "forebay.yaml:10:7: error: unknown directive \"zebra\" in routes[1].cache\n"
	    "    10 |       zebra: 1\n"
	    "               ^~~~~ known here: ttl, origin, cookies, tags\n"
	    "forebay.yaml:11:5: error: \"match\" is missing in routes[2]\n"
	    "    11 |   - rate_limit: [a]\n"
	    "             ^ match: Which requests\n"
	    "forebay.yaml:11:17: error: rate_limit: one value is expected here, not a list\n"
	    "    11 |   - rate_limit: [a]\n"
	    "                         ^ expected a text\n");
}

static void
a_name_and_its_other_name_are_one(void **state)
{
	says(LEAST
	    "rate_limits: {a: {algorithm: fixed_window, window: 1m, limit: 1, PermitLimit: 2}}\n",
	    "forebay.yaml:5:66: error: \"limit\" and \"PermitLimit\" are the same directive, given "
	    "twice\n"
	    "     5 | rate_limits: {a: {algorithm: fixed_window, window: 1m, limit: 1, "
	    "PermitLimit: "
	    "2}}\n"
	    "                                                                          "
	    "^~~~~~~~~~~\n");
}

static void
a_secret_is_never_printed(void **state)
{
	setenv("FOREBAY_TEST_TOKEN", "hunter2", 1);
	says(LEAST "admin: {token: \"${FOREBAY_TEST_TOKEN}\"}\n",
	    "forebay.yaml:5:16: error: token: \"${FOREBAY_TEST_TOKEN}\" is too short\n"
	    "     5 | admin: {token: \"${FOREBAY_TEST_TOKEN}\"}\n"
	    "                        ^~~~~~~~~~~~~~~~~~~~~~~ at least 8 bytes\n");
	says(LEAST "admin: {address: \"${FOREBAY_TEST_TOKEN}\"}\n",
	    "forebay.yaml:5:18: error: address: \"${FOREBAY_TEST_TOKEN}\" is not an address\n"
	    "     5 | admin: {address: \"${FOREBAY_TEST_TOKEN}\"}\n"
	    "                          ^~~~~~~~~~~~~~~~~~~~~~~ expected host:port, :port, "
	    "[v6]:port or "
	    "unix:/path\n");
}

static void
a_value_of_the_wrong_shape_is_told(void **state)
{
	says(LEAST
	    "limits: 5\ncache: [x]\nrate_limits: [a]\nlog: {level: }\ncompression: {gain: 5}\n",
	    "forebay.yaml:5:9: error: a map is expected here in limits\n"
	    "     5 | limits: 5\n"
	    "                 ^ known here: head_size, body_size, head_timeout, body_timeout, "
	    "keepalive_timeout, connections\n"
	    "forebay.yaml:6:8: error: a map is expected here in cache\n"
	    "     6 | cache: [x]\n"
	    "                ^ known here: memory, max_object, redis\n"
	    "forebay.yaml:7:14: error: rate_limits: a map of names is expected here\n"
	    "     7 | rate_limits: [a]\n"
	    "                      ^ expected \"rate_limits: {name: ...}\"\n"
	    "forebay.yaml:8:14: error: level: the value is missing\n"
	    "     8 | log: {level: }\n"
	    "                      ^ expected one of error, warning, info, debug\n"
	    "forebay.yaml:9:21: error: gain: \"5\" is out of range\n"
	    "     9 | compression: {gain: 5}\n"
	    "                             ^ expected 0% to 100%\n");
}

static void
a_map_may_be_off_or_on_where_the_table_says_so(void **state)
{
	struct loaded l;

	load(
	    &l, LEAST "cache: off\ncompression: on\nlog: {access: no}\nsecurity_headers: strict\n");
	assert_string_equal(l.text.p, "");
	assert_true(l.conf.cache.conf.is_off);
	assert_false(l.conf.compression.conf.is_off);
	assert_int_equal(l.conf.compression.encodings.count, 2);
	assert_true(l.conf.log.access.conf.is_off);
	assert_int_equal(l.conf.security_headers.preset, 1);
	forget(&l);
}

static void
on_does_not_stand_for_what_must_be_given(void **state)
{
	says("listen: {address: \":8443\", tls: on}\nupstreams: {app: \"127.0.0.1:3000\"}\n"
	     "routes: [{match: /**}]\n",
	    "forebay.yaml:1:33: error: \"certificates\" is missing in listen.tls\n"
	    "     1 | listen: {address: \":8443\", tls: on}\n"
	    "                                         ^~ certificates: Certificates, chosen by "
	    "name\n");
}

static void
a_room_finds_the_place_of_what_it_rejects_later(void **state)
{
	struct loaded l;
	struct conf_place at;

	load(&l, LEAST "    rate_limit: nosuch\n");
	at = conf_place(&route_table, &l.conf.routes.items[0], "rate_limit");
	assert_int_equal(at.line, 5);
	assert_int_equal(at.column, 17);
	assert_int_equal(at.width, 6);
	forget(&l);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(the_least_configuration_is_enough),
	    cmocka_unit_test(the_usual_configuration_fills_every_struct),
	    cmocka_unit_test(a_route_inherits_what_it_leaves_unset),
	    cmocka_unit_test(all_errors_come_at_once_each_in_its_place),
	    cmocka_unit_test(a_name_and_its_other_name_are_one),
	    cmocka_unit_test(a_secret_is_never_printed),
	    cmocka_unit_test(a_value_of_the_wrong_shape_is_told),
	    cmocka_unit_test(a_map_may_be_off_or_on_where_the_table_says_so),
	    cmocka_unit_test(on_does_not_stand_for_what_must_be_given),
	    cmocka_unit_test(a_room_finds_the_place_of_what_it_rejects_later),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
