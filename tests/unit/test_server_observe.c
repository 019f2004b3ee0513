/* LINK: server/observe server/observe_read base/metric base/buf base/mem http/cachestatus http/sf http/sf_bare http/head http/fields base/clock */
#include "server/observe.h"

#include <math.h>
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#include "base/clock.h"

#define EACH 20000

static void
add_sample(void *arg, const struct metric_sample *s)
{
	metric_write_sample(arg, s);
}

/* Everything, as /metrics would tell it. */
static const char *
told(struct observations *o)
{
	static struct buf b;

	b.n = 0;
	for (unsigned i = 0; i < observer_families_count(); i++) {
		metric_write_family(&b, observer_family(i));
		observations_read(o, i, add_sample, &b);
	}
	buf_add_char(&b, '\0');
	return b.p;
}

static void
assert_told(struct observations *o, const char *line)
{
	const char *text = told(o);
	const char *at = strstr(text, line);

	if (at == NULL || (at > text && at[-1] != '\n') || at[strlen(line)] != '\n')
		fail_msg("no line %s in\n%s", line, text);
}

static void
assert_not_told(struct observations *o, const char *part)
{
	if (strstr(told(o), part) != NULL)
		fail_msg("%s in\n%s", part, told(o));
}

static struct tally
a_hit(unsigned slot)
{
	return (struct tally){.route_slot = slot,
	    .method = METHOD_GET,
	    .status = 200,
	    .cache_word = CACHE_WORD_HIT,
	    .tier = TIER_memory,
	    .end = END_done,
	    .total_us = 90};
}

static void
a_request_is_counted_under_its_route_method_and_code(void **state)
{
	struct observations *o = observations_new(2);
	struct tally hit = a_hit(observations_route_slot(o, "GET /news"));

	observe_request(observations_worker(o, 0), &hit);
	observe_request(observations_worker(o, 1), &hit);
	hit.status = 304;
	observe_request(observations_worker(o, 1), &hit);
	assert_told(
	    o, "forebay_http_requests_total{route=\"GET /news\",method=\"GET\",code=\"200\"} 2");
	assert_told(
	    o, "forebay_http_requests_total{route=\"GET /news\",method=\"GET\",code=\"304\"} 1");
	assert_told(o,
	    "forebay_cache_requests_total{route=\"GET /news\",status=\"HIT\",tier=\"memory\"} 3");
	assert_told(o, "forebay_http_requests_ended_total{end=\"done\"} 3");
	observations_free(&o);
}

static void
a_duration_falls_into_its_bucket_and_all_above(void **state)
{
	struct observations *o = observations_new(1);
	struct observer *ob = observations_worker(o, 0);
	struct tally out = a_hit(observations_route_slot(o, "/"));

	out.total_us = 100;
	observe_request(ob, &out);
	out.total_us = 101;
	observe_request(ob, &out);
	out.total_us = 90000000;
	observe_request(ob, &out);
#define D "forebay_http_request_duration_seconds"
	assert_told(o, D "_bucket{route=\"/\",status=\"HIT\",le=\"0.0001\"} 1");
	assert_told(o, D "_bucket{route=\"/\",status=\"HIT\",le=\"0.00025\"} 2");
	assert_told(o, D "_bucket{route=\"/\",status=\"HIT\",le=\"30\"} 2");
	assert_told(o, D "_bucket{route=\"/\",status=\"HIT\",le=\"+Inf\"} 3");
	assert_told(o, D "_count{route=\"/\",status=\"HIT\"} 3");
	assert_told(o, D "_sum{route=\"/\",status=\"HIT\"} 90.000201");
	observations_free(&o);
}

static void
a_tunnel_and_an_admin_request_do_not_spoil_the_response_times(void **state)
{
	struct observations *o = observations_new(1);
	struct observer *ob = observations_worker(o, 0);
	struct tally out = a_hit(observations_route_slot(o, "/ws"));

	out.end = END_tunnel;
	out.status = 101;
	observe_request(ob, &out);
	assert_told(o, "forebay_http_requests_total{route=\"/ws\",method=\"GET\",code=\"101\"} 1");
	assert_not_told(o, D "_count{");
	out = a_hit(ROUTE_SLOT_UNCOUNTED);
	observe_request(ob, &out);
	assert_told(o, "forebay_http_requests_ended_total{end=\"done\"} 0");
	observations_free(&o);
}

static void
a_name_keeps_its_slot_and_the_surplus_is_other(void **state)
{
	struct observations *o = observations_new(1);
	unsigned slot = observations_route_slot(o, "/a");
	struct tally out;
	char name[32];

	for (int i = 0; i < ROUTE_SLOTS; i++) {
		snprintf(name, sizeof(name), "/%d", i);
		observations_route_slot(o, name);
	}
	assert_int_equal(observations_route_slot(o, "/a"), slot);
	assert_int_equal(observations_route_slot(o, "/one too many"), 0);
	out = a_hit(0);
	out.method = METHOD_OTHER;
	observe_request(observations_worker(o, 0), &out);
	assert_told(
	    o, "forebay_http_requests_total{route=\"other\",method=\"OTHER\",code=\"200\"} 1");
	observations_free(&o);
}

static void
any_status_an_origin_invents_is_counted(void **state)
{
	struct observations *o = observations_new(1);
	struct tally out = a_hit(observations_route_slot(o, "/"));
	const int odd[] = {0, 999, -1, 1000};

	for (unsigned i = 0; i < 4; i++) {
		out.status = odd[i];
		observe_request(observations_worker(o, 0), &out);
	}
	assert_told(o, "forebay_http_requests_total{route=\"/\",method=\"GET\",code=\"0\"} 3");
	assert_told(o, "forebay_http_requests_total{route=\"/\",method=\"GET\",code=\"999\"} 1");
	observations_free(&o);
}

static void
a_routes_name_cannot_break_the_page(void **state)
{
	struct observations *o = observations_new(1);
	struct tally out = a_hit(observations_route_slot(o, "/\"\\\n\xff"));

	observe_request(observations_worker(o, 0), &out);
	assert_told(o,
	    "forebay_http_requests_total{route=\"/\\\"\\\\\\n\xef\xbf\xbd\",method="
	    "\"GET\",code=\"200\"} 1");
	observations_free(&o);
}

static void
counters_and_gauges_add_up_over_workers(void **state)
{
	struct observations *o = observations_new(2);
	unsigned door = observations_listener_slot(o, ":8080");

	observe_add(observations_worker(o, 0), COUNT_bytes_out, 5000000000);
	observe_add(observations_worker(o, 1), COUNT_bytes_out, 1);
	assert_told(o, "forebay_bytes_total{direction=\"out\"} 5000000001");
	assert_told(o, "forebay_bytes_total{direction=\"in\"} 0");
	/* Opened by one, closed by another: the sum is what counts. */
	observe_connection(observations_worker(o, 0), door, CONNECTION_idle, 2);
	observe_connection(observations_worker(o, 1), door, CONNECTION_idle, -1);
	assert_told(o, "forebay_connections{listener=\":8080\",state=\"idle\"} 1");
	assert_told(o, "forebay_connections{listener=\":8080\",state=\"active\"} 0");
	assert_not_told(o, "listener=\"other\"");
	assert_told(o, "# TYPE forebay_connections_open gauge");
	assert_told(o, "# TYPE forebay_connections_accepted_total counter");
	observations_free(&o);
}

static void
each_family_is_declared_once_and_explained(void **state)
{
	for (unsigned i = 0; i < observer_families_count(); i++) {
		assert_true(strlen(observer_family(i)->help) > 0);
		for (unsigned k = 0; k < i; k++)
			assert_string_not_equal(observer_family(i)->name, observer_family(k)->name);
	}
}

static void *
serve(void *ob)
{
	for (unsigned i = 0; i < EACH; i++) {
		struct tally out = a_hit(i % 50);

		out.status = 200 + (int)(i % 300);
		observe_request(ob, &out);
	}
	return NULL;
}

static void
add_value(void *arg, const struct metric_sample *s)
{
	*(double *)arg += s->value;
}

static void
reading_while_workers_count_sees_no_more_and_no_less(void **state)
{
	struct observations *o = observations_new(2);
	pthread_t threads[2];
	double sum, before = 0;

	for (unsigned i = 0; i < 49; i++) {
		char name[16];
		snprintf(name, sizeof(name), "/%u", i);
		observations_route_slot(o, name);
	}
	for (unsigned i = 0; i < 2; i++)
		pthread_create(&threads[i], NULL, serve, observations_worker(o, i));
	do {
		sum = 0;
		observations_read(o, 0, add_value, &sum);
		assert_true(sum >= before && sum <= 2.0 * EACH);
		before = sum;
	} while (sum < 2.0 * EACH);
	for (unsigned i = 0; i < 2; i++)
		pthread_join(threads[i], NULL);
	observations_free(&o);
}

/* Not a test but a measurement: FOREBAY_MEASURE=1 prints what one request costs. */
static void
counting_is_cheap(void **state)
{
	const int n = 20000000;
	struct observations *o;
	struct observer *ob;
	struct tally out;
	int64_t from_us;

	if (getenv("FOREBAY_MEASURE") == NULL)
		skip();
	o = observations_new(1);
	ob = observations_worker(o, 0);
	out = a_hit(observations_route_slot(o, "/"));
	from_us = clock_mono_us();
	for (int i = 0; i < n; i++) {
		out.total_us = 50 + (i & 1023);
		observe_request(ob, &out);
	}
	printf("%.1f ns per request\n", (double)(clock_mono_us() - from_us) * 1e3 / n);
	observations_free(&o);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(a_request_is_counted_under_its_route_method_and_code),
	    cmocka_unit_test(a_duration_falls_into_its_bucket_and_all_above),
	    cmocka_unit_test(a_tunnel_and_an_admin_request_do_not_spoil_the_response_times),
	    cmocka_unit_test(a_name_keeps_its_slot_and_the_surplus_is_other),
	    cmocka_unit_test(any_status_an_origin_invents_is_counted),
	    cmocka_unit_test(a_routes_name_cannot_break_the_page),
	    cmocka_unit_test(counters_and_gauges_add_up_over_workers),
	    cmocka_unit_test(each_family_is_declared_once_and_explained),
	    cmocka_unit_test(reading_while_workers_count_sees_no_more_and_no_less),
	    cmocka_unit_test(counting_is_cheap),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
