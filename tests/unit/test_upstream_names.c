/* LINK: upstream/names upstream/balance upstream/health upstream/latency base/log upstream/target upstream/drains upstream/pool event/resolver event/address event/srvanswer event/lookup event/stream event/mailbox event/loop base/clock base/mem base/hash base/buf */
#include "upstream/names.h"

#include <arpa/inet.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/mem.h"
#include "event/lookup.h"
#include "upstream/health.h"

#define NOON_MS 43200000
#define TTL_S 30

static struct upstream *app;
static struct server_set leaving;

static void
open_stage(void)
{
	struct upstream_conf conf = {.name = "app",
	    .zone_share = 0.7,
	    .connect_ms = 1000,
	    .idle_ms = 1000,
	    .slow_start_ms = 60000,
	    .max = 10};

	app = upstream_new(&conf, &(struct server_spec){"app.test:80", NULL, 1}, 1, 2);
	assert_non_null(app);
}

static void
close_stage(void)
{
	upstream_unref(&app);
}

/* "1 2 3": 10.0.0.1 and so on. "": nobody answered. */
static void
answer(const char *hosts, int64_t now_ms)
{
	struct address addresses[RESOLVED_MAX] = {0};
	struct resolved said = {.addresses = addresses, .ttl_s = TTL_S};

	for (; *hosts != '\0'; hosts++) {
		struct address *a = &addresses[said.count];

		if (*hosts == ' ')
			continue;
		a->len = sizeof(a->u.in4);
		a->u.in4.sin_family = AF_INET;
		a->u.in4.sin_port = htons(80);
		a->u.in4.sin_addr.s_addr = htonl(0x0a000000u + (unsigned)(*hosts - '0'));
		said.count++;
	}
	names_take(app, &app->entries[0], &said, now_ms, &leaving);
}

static struct server *
server_at(const char *ip)
{
	for (unsigned i = 0; i < app->servers_count; i++) {
		struct server *s = &app->servers[i];

		if (server_is_listed(s) && strcmp(strchr(s->name, '/') + 1, ip) == 0)
			return s;
	}
	return NULL;
}

static struct server *
choose(int64_t now_ms)
{
	return upstream_choose(app, &(struct choice){.now_ms = now_ms});
}

static void
before_the_first_answer_there_is_nobody_to_ask(void **state)
{
	open_stage();
	assert_null(choose(NOON_MS));
	answer("", NOON_MS);
	assert_null(choose(NOON_MS));
	assert_int_equal(app->entries[0].until_ms, 0);
	close_stage();
}

static void
each_address_is_a_server(void **state)
{
	open_stage();
	answer("1 2 3", NOON_MS);
	assert_int_equal(upstream_size(app), 3);
	for (unsigned i = 0; i < 30; i++)
		choose(NOON_MS);
	assert_int_equal(server_at("10.0.0.1")->in_flight, 10);
	assert_int_equal(server_at("10.0.0.3")->in_flight, 10);
	assert_string_equal(server_at("10.0.0.2")->name, "app.test:80/10.0.0.2");
	assert_int_equal(app->entries[0].until_ms, NOON_MS + TTL_S * 1000);
	close_stage();
}

static void
an_address_that_is_missing_gets_no_more_requests_and_its_place_is_kept_until_they_are_over(
    void **state)
{
	struct server *busy;

	open_stage();
	answer("1", NOON_MS);
	busy = choose(NOON_MS);
	answer("2", NOON_MS);
	assert_true(server_set_has(&leaving, busy));
	assert_int_equal(busy->place, SERVER_leaving);
	assert_ptr_not_equal(choose(NOON_MS), busy);
	answer("2 3 4 5 6 7 8 9", NOON_MS);
	assert_int_equal(busy->place, SERVER_leaving);
	assert_string_equal(busy->name, "app.test:80/10.0.0.1");
	server_done(busy);
	answer("3 4 5 6 7 8 9", NOON_MS);
	answer("0 3 4 5 6 7 8 9", NOON_MS);
	assert_int_equal(upstream_size(app), 8);
	close_stage();
}

static void
an_address_that_comes_back_before_it_is_gone_goes_on(void **state)
{
	struct server *s;

	open_stage();
	answer("1 2", NOON_MS);
	s = server_at("10.0.0.1");
	atomic_fetch_add(&s->in_flight, 1);
	answer("2", NOON_MS);
	answer("1 2", NOON_MS);
	assert_ptr_equal(server_at("10.0.0.1"), s);
	assert_int_equal(s->place, SERVER_there);
	server_done(s);
	close_stage();
}

static void
when_nobody_answers_the_last_good_answer_stays(void **state)
{
	open_stage();
	answer("1 2", NOON_MS);
	answer("", NOON_MS + 40000);
	assert_int_equal(upstream_size(app), 2);
	assert_int_equal(app->entries[0].until_ms, NOON_MS + 40000 + NAMES_RETRY_MS);
	close_stage();
}

static void
a_new_address_starts_slowly_but_the_first_ones_do_not(void **state)
{
	struct server *s;

	open_stage();
	answer("1", NOON_MS);
	answer("1 2", NOON_MS + 1000);
	for (unsigned i = 0; i < 110; i++)
		server_done(choose(NOON_MS + 1000));
	s = server_at("10.0.0.1");
	assert_int_equal(s->back_ms, 0);
	assert_int_equal(server_at("10.0.0.2")->back_ms, NOON_MS + 1000);
	close_stage();
}

static void
a_kind_of_address_that_nobody_could_tell_of_stays(void **state)
{
	struct address six = {.len = sizeof(six.u.in6)};
	struct resolved said = {
	    .addresses = &six, .count = 1, .ttl_s = TTL_S, .ill_family = AF_INET};

	open_stage();
	answer("1 2", NOON_MS);
	six.u.in6.sin6_family = AF_INET6;
	six.u.in6.sin6_port = htons(80);
	six.u.in6.sin6_addr = in6addr_loopback;
	names_take(app, &app->entries[0], &said, NOON_MS, &leaving);
	assert_int_equal(upstream_size(app), 3);
	said.ill_family = 0;
	names_take(app, &app->entries[0], &said, NOON_MS, &leaving);
	assert_int_equal(upstream_size(app), 1);
	close_stage();
}

static void
who_has_left_is_gone_when_nothing_of_it_is_left(void **state)
{
	struct server *busy;

	open_stage();
	answer("1", NOON_MS);
	busy = choose(NOON_MS);
	answer("2", NOON_MS);
	names_sweep(app);
	assert_true(server_is_listed(busy));
	server_done(busy);
	names_sweep(app);
	assert_false(server_is_listed(busy));
	close_stage();
}

/* --- services: SRV records --- */

static void
open_service(double panic)
{
	struct upstream_conf conf = {.name = "app", .zone_share = 0.7, .panic = panic, .max = 10};

	app = upstream_new(&conf, &(struct server_spec){"_http._tcp.app.test", NULL, 2}, 1, 1);
	assert_non_null(app);
}

/* Ports of 10.0.0.1, each with its share. */
static void
answer_service(
    unsigned count, const uint16_t *ports, const struct srv_share *shares, bool is_partial)
{
	struct address addresses[LOOKUP_MAX] = {0};
	struct resolved said = {.addresses = addresses,
	    .shares = shares,
	    .count = count,
	    .ttl_s = TTL_S,
	    .is_partial = is_partial};

	for (unsigned i = 0; i < count; i++) {
		addresses[i].len = sizeof(addresses[i].u.in4);
		addresses[i].u.in4.sin_family = AF_INET;
		addresses[i].u.in4.sin_port = htons(ports[i]);
		addresses[i].u.in4.sin_addr.s_addr = htonl(0x0a000001u);
	}
	names_take(app, &app->entries[0], &said, NOON_MS, &leaving);
}

static unsigned
chosen_of(const char *server, unsigned choices)
{
	unsigned n = 0;

	for (unsigned i = 0; i < choices; i++) {
		struct server *s = choose(NOON_MS);

		n += strcmp(strchr(s->name, '/') + 1, server) == 0;
		server_done(s);
	}
	return n;
}

static void
a_service_has_a_server_for_each_port_with_its_weight(void **state)
{
	open_service(0);
	answer_service(2, (uint16_t[]){81, 82}, (struct srv_share[]){{10, 0.5}, {10, 1.5}}, false);
	assert_string_equal(app->servers[0].name, "_http._tcp.app.test/10.0.0.1:81");
	assert_true(app->servers[1].weight == 3);
	assert_int_equal(chosen_of("10.0.0.1:82", 40), 30);
	answer_service(2, (uint16_t[]){81, 82}, (struct srv_share[]){{10, 1.5}, {10, 0.5}}, false);
	assert_int_equal(chosen_of("10.0.0.1:82", 40), 10);
	close_stage();
}

static void
a_later_priority_stands_in_when_the_first_is_down_and_there_is_no_panic(void **state)
{
	struct srv_share shares[] = {{10, 1}, {10, 1}, {20, 1}};
	struct server_set tried = {{0}};

	open_service(0.5);
	answer_service(3, (uint16_t[]){81, 82, 83}, shares, false);
	assert_int_equal(chosen_of("10.0.0.1:83", 10), 0);
	server_set_add(&tried, &app->servers[0]);
	server_set_add(&tried, &app->servers[1]);
	assert_ptr_equal(upstream_choose(app, &(struct choice){.avoid = &tried, .now_ms = NOON_MS}),
	    &app->servers[2]);
	server_checked(&app->servers[0], false, "", NOON_MS);
	assert_int_equal(chosen_of("10.0.0.1:82", 10), 10);
	server_checked(&app->servers[1], false, "", NOON_MS);
	assert_int_equal(chosen_of("10.0.0.1:83", 10), 10);
	server_checked(&app->servers[2], false, "", NOON_MS); /* now it is not the servers */
	assert_int_equal(chosen_of("10.0.0.1:83", 10), 0);
	close_stage();
}

static void
an_answer_in_part_takes_nothing_away(void **state)
{
	open_service(0);
	answer_service(2, (uint16_t[]){81, 82}, (struct srv_share[]){{10, 1}, {10, 1}}, false);
	answer_service(1, (uint16_t[]){83}, (struct srv_share[]){{10, 1}}, true);
	assert_int_equal(upstream_size(app), 3);
	assert_int_equal(app->entries[0].until_ms, NOON_MS + NAMES_RETRY_MS);
	answer_service(1, (uint16_t[]){83}, (struct srv_share[]){{10, 1}}, false);
	assert_int_equal(upstream_size(app), 1);
	close_stage();
}

static void
services_have_names_of_three_parts(void **state)
{
	static const char *const bad[] = {"", "_http", "_http._tcp", "_http._tcp.", "http._tcp.a",
	    "_http.tcp.a", "_._tcp.a", "_http._tcp.a:80", "_http._tcp..a", "_http._tcp.a b",
	    "app.test:80"};

	assert_string_equal(service_domain("_http._tcp.app.test"), "app.test");
	assert_string_equal(service_domain("_app._tcp.local"), "local");
	for (unsigned i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
		assert_null(service_domain(bad[i]));
}

static enum drain_verdict
drain(const char *server, bool is_drained)
{
	return upstream_drain(
	    app, &(struct drain_order){.server = server, .is_drained = is_drained}, NOON_MS);
}

static void
a_drained_name_keeps_out_the_addresses_that_come(void **state)
{
	open_stage();
	answer("1 2", NOON_MS);
	assert_int_equal(drain("app.test:80", true), DRAIN_last);
	upstream_drain(app, &(struct drain_order){"app.test:80", true, true}, NOON_MS);
	answer("2 3", NOON_MS);
	assert_true(server_is_drained(server_at("10.0.0.3")));
	assert_int_equal(drain("app.test:80/10.0.0.3", false), DRAIN_with_name);
	assert_int_equal(drain("app.test:80", false), DRAIN_done);
	assert_false(server_is_drained(server_at("10.0.0.3")));
	close_stage();
}

static void
a_drained_address_that_goes_and_comes_back_is_still_out(void **state)
{
	open_stage();
	answer("1 2", NOON_MS);
	assert_int_equal(drain("app.test:80/10.0.0.1", true), DRAIN_done);
	answer("2", NOON_MS);
	answer("2 3", NOON_MS);
	assert_null(server_at("10.0.0.1"));
	assert_false(server_is_drained(server_at("10.0.0.3")));
	answer("1 2 3", NOON_MS);
	assert_true(server_is_drained(server_at("10.0.0.1")));
	assert_int_equal(drain("app.test:80", false), DRAIN_done); /* the name over it */
	assert_false(server_is_drained(server_at("10.0.0.1")));
	close_stage();
}

static void
more_names_than_there_are_places_for_are_refused(void **state)
{
	struct server_spec specs[22];
	struct upstream_conf conf = {.name = "app"};

	for (unsigned i = 0; i < 22; i++)
		specs[i] = (struct server_spec){"app.test:80", NULL, 1};
	assert_null(upstream_new(&conf, specs, 22, 1));
	app = upstream_new(&conf, specs, 21, 1);
	assert_non_null(app);
	close_stage();
}

/* --- with a loop: a name that the hosts file knows --- */

static struct loop *loop;

static void
on_look(void *arg)
{
	struct timer *t = arg;

	if (choose(NOON_MS) != NULL)
		loop_stop(loop);
	else
		timer_arm(loop, t, loop_now_ms(loop) + 1);
}

static void
a_name_is_asked_for_once_in_the_background(void **state)
{
	struct upstream_conf conf = {
	    .name = "app", .zone_share = 0.7, .connect_ms = 5000, .idle_ms = 1000, .max = 10};
	struct resolver *resolver;
	struct pool *pool;
	struct timer look;

	loop = loop_new();
	resolver = resolver_new(loop, NULL);
	pool = pool_new(loop, 0, NULL);
	app = upstream_new(&conf, &(struct server_spec){"localhost:80", NULL, 1}, 1, 1);
	names_refresh(pool, resolver, app);
	assert_true(app->entries[0].is_asked);
	names_refresh(pool, resolver, app);
	assert_ptr_equal(pool_questions(pool)->next, pool_questions(pool)->prev);
	timer_init(&look, on_look, &look);
	timer_arm(loop, &look, 0);
	loop_run(loop);
	assert_true(list_is_empty(pool_questions(pool)));
	assert_false(app->entries[0].is_asked);
	pool_close_idle(pool, app);
	names_refresh(pool, resolver, app); /* not for who has left the configuration */
	assert_true(list_is_empty(pool_questions(pool)));
	resolver_free(&resolver);
	pool_free(&pool);
	close_stage();
	loop_free(&loop);
}

static void
a_question_is_forgotten_with_its_upstream(void **state)
{
	struct upstream_conf conf = {.name = "app", .connect_ms = 5000};
	struct resolver *resolver;
	struct pool *pool;

	loop = loop_new();
	resolver = resolver_new(loop, "127.0.0.1:9");
	pool = pool_new(loop, 0, NULL);
	app = upstream_new(&conf, &(struct server_spec){"app.test:80", NULL, 1}, 1, 1);
	names_refresh(pool, resolver, app);
	assert_int_equal(app->refs, 2);
	pool_close_idle(pool, app);
	assert_int_equal(app->refs, 1);
	assert_false(app->entries[0].is_asked);
	resolver_free(&resolver);
	pool_free(&pool);
	close_stage();
	loop_free(&loop);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(before_the_first_answer_there_is_nobody_to_ask),
	    cmocka_unit_test(each_address_is_a_server),
	    cmocka_unit_test(
		an_address_that_is_missing_gets_no_more_requests_and_its_place_is_kept_until_they_are_over),
	    cmocka_unit_test(an_address_that_comes_back_before_it_is_gone_goes_on),
	    cmocka_unit_test(when_nobody_answers_the_last_good_answer_stays),
	    cmocka_unit_test(a_new_address_starts_slowly_but_the_first_ones_do_not),
	    cmocka_unit_test(a_kind_of_address_that_nobody_could_tell_of_stays),
	    cmocka_unit_test(who_has_left_is_gone_when_nothing_of_it_is_left),
	    cmocka_unit_test(a_service_has_a_server_for_each_port_with_its_weight),
	    cmocka_unit_test(
		a_later_priority_stands_in_when_the_first_is_down_and_there_is_no_panic),
	    cmocka_unit_test(an_answer_in_part_takes_nothing_away),
	    cmocka_unit_test(services_have_names_of_three_parts),
	    cmocka_unit_test(a_drained_name_keeps_out_the_addresses_that_come),
	    cmocka_unit_test(a_drained_address_that_goes_and_comes_back_is_still_out),
	    cmocka_unit_test(more_names_than_there_are_places_for_are_refused),
	    cmocka_unit_test(a_name_is_asked_for_once_in_the_background),
	    cmocka_unit_test(a_question_is_forgotten_with_its_upstream),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
