/* LINK: admin/metrics admin/metrics_edge admin/metrics_redis admin/scrape upstream/health upstream/latency upstream/target upstream/drains base/hash base/log event/redisnode event/tlsexpiry admin/process server/handler server/observe server/observe_read base/metric base/buf base/mem base/clock event/loop event/mailbox http/cachestatus http/negotiate http/sf http/sf_bare http/head http/fields */
#include "admin/metrics.h"

#include <pthread.h>

#include "admin_stage.h"
#include "cache/clerk.h"
#include "cache/redis.h"
#include "event/tls.h"
#include "event/tlsoffer.h"
#include "event/tlstickets.h"
#include "policy/recompress.h"
#include "server/accesslog.h"

/* What the page passes by */

const struct tls_counters *
tls_counters(void)
{
	static const struct tls_counters counters = {.handshakes = 5, .resumed = 2};

	return &counters;
}

const struct tls_offer_counts *
tls_offer_counts(void)
{
	static const struct tls_offer_counts counts = {.renewals = 4};

	return &counts;
}

const struct tls_ticket_counts *
tls_tickets_counts(void)
{
	static const struct tls_ticket_counts counts = {.rotations = 6};

	return &counts;
}

struct store_usage
store_usage(struct store *s)
{
	return (struct store_usage){.objects = 3, .bytes = 4096, .limit_bytes = 1 << 20};
}

const char *const recompress_drop_names[RECOMPRESS_DROP_COUNT] = {
#define X(name, text) #name,
    RECOMPRESS_DROPS(X)
#undef X
};

struct recompress_counts
recompress_counts(struct recompress *r)
{
	return (struct recompress_counts){
	    .done = {0, 1, 4, 2}, .dropped = {3}, .saved_bytes = 70000, .cpu_seconds = 1.5};
}

struct limit_table_size
limit_table_measure(struct limit_table *t)
{
	return (struct limit_table_size){.keys = 2, .bytes = 200, .max_bytes = 65536};
}

void
clerk_status(struct clerk *c, struct clerk_status *out)
{
	*out = (struct clerk_status){.metrics = {.taken = 5, .applied = 9}};
}

struct accesslog_counts
accesslog_counts(struct accesslog *a)
{
	return (struct accesslog_counts){.lines = 7, .dropped = 1};
}

struct limiter {
	const char *name;
};

const char *
limiter_name(const struct limiter *l)
{
	return l->name;
}

void
limiter_read_counts(const struct limiter *l, struct limit_counts *out)
{
	*out = (struct limit_counts){.n[LIMIT_COUNT_refused] = 5};
}

struct l2 {
	struct l2_counters counters;
};

const char *const l2_op_names[L2_OPS_COUNT] = {"get", "put", "delete", "probe"};
const char *const l2_result_names[L2_RESULTS_COUNT] = {
#define X(result, text) #result,
    L2_RESULTS(X)
#undef X
};

const struct l2_counters *
l2_counters(const struct l2 *l)
{
	return &l->counters;
}

static struct limiter login = {"login"};
static struct route routes[2] = {
    {.limits_count = 1, .limits = {{.limiter = &login}}},
    {.limits_count = 1, .limits = {{.limiter = &login}}},
};
static struct upstream app = {.conf.name = "app", .servers_count = 1};
static struct server server = {
    .name = (char *)(uintptr_t) "127.0.0.1:3000", .requests = 9, .in_flight = 2};
static struct upstream *upstreams[] = {&app};
static struct site site = {.generation = 4,
    .routes_count = 2,
    .routes = routes,
    .upstreams_count = 1,
    .upstreams = upstreams};

static void
open_stage(void)
{
	static struct worker *workers[] = {&stage.worker};

	app.servers = &server;
	stage_request(METHOD_GET);
	stage.worker.loop = loop_new();
	stage.worker.site = &site;
	stage.worker.l2 = NULL;
	stage.commons.workers_count = 1;
	stage.commons.workers = workers;
	stage.commons.observations = observations_new(2);
	stage.commons.access_log = (struct accesslog *)&stage;
}

static void
close_stage(void)
{
	observations_free(&stage.commons.observations);
	loop_free(&stage.worker.loop);
}

static void
assert_line(const char *line)
{
	const char *at = stage.body.p;

	while ((at = strstr(at, line)) != NULL) {
		if ((at == stage.body.p || at[-1] == '\n') && at[strlen(line)] == '\n')
			return;
		at++;
	}
	fail_msg("no line %s in\n%s", line, stage.body.p);
}

static void
everything_is_on_the_page(void **state)
{
	open_stage();
	metrics_serve(&stage.x);
	assert_int_equal(stage.answers, 1);
	assert_int_equal(stage.status, 200);
	assert_line("forebay_cache_objects 3");
	assert_line("forebay_config_generation 4");
	assert_line(
	    "forebay_upstream_requests_total{upstream=\"app\",server=\"127.0.0.1:3000\"} 9");
	assert_line("forebay_upstream_in_flight{upstream=\"app\",server=\"127.0.0.1:3000\"} 2");
	assert_line("forebay_ratelimit_decisions_total{limit=\"login\",decision=\"refused\"} 5");
	assert_line("forebay_access_log_dropped_total 1");
	assert_line("forebay_bytes_total{direction=\"in\"} 0");
	assert_null(strstr(stage.body.p, "\nforebay_redis_up "));
	close_stage();
}

/* Prometheus takes a page only if each family stands in one piece and each series once. */
static void
each_series_stands_once_under_its_family(void **state)
{
	char *families[200], *series[2000];
	unsigned families_count = 0, series_count = 0;
	char *line, *rest;

	open_stage();
	metrics_serve(&stage.x);
	for (line = strtok_r(stage.body.p, "\n", &rest); line != NULL;
	     line = strtok_r(NULL, "\n", &rest)) {
		if (strncmp(line, "# HELP ", 7) == 0) {
			char *name = line + 7;
			*strchr(name, ' ') = '\0';
			assert_true(strlen(name + strlen(name) + 1) > 0);
			for (unsigned i = 0; i < families_count; i++)
				assert_string_not_equal(families[i], name);
			families[families_count++] = name;
		} else if (line[0] != '#') {
			char *value = strrchr(line, ' ');
			*value = '\0';
			assert_memory_equal(line, families[families_count - 1],
			    strlen(families[families_count - 1]));
			for (unsigned i = 0; i < series_count; i++)
				assert_string_not_equal(series[i], line);
			series[series_count++] = line;
		}
	}
	assert_true(families_count > 40 && series_count > 60);
	close_stage();
}

/* Another worker, with a loop of its own */

struct other {
	struct worker worker;
	pthread_t thread;
	struct letter letter;
};

static void *
serve_other(void *arg)
{
	loop_run(((struct other *)arg)->worker.loop);
	return NULL;
}

static void
on_stop(struct letter *l)
{
	loop_stop(CONTAINER_OF(l, struct other, letter)->worker.loop);
}

static struct timer look;

static void
stop_when_answered(void *arg)
{
	if (stage.answers + stage.retired > 0)
		loop_stop(stage.worker.loop);
	else
		timer_arm(stage.worker.loop, &look, loop_now_ms(stage.worker.loop) + 1);
}

static void
open_two_workers(struct other *o, struct worker **both, struct l2 *l2s)
{
	open_stage();
	*o = (struct other){
	    .worker = {.l2 = &l2s[1], .loop = loop_new()}, .letter.deliver = on_stop};
	o->worker.mailbox = mailbox_new(o->worker.loop);
	both[0] = &stage.worker;
	both[1] = &o->worker;
	stage.worker.l2 = &l2s[0];
	stage.worker.mailbox = mailbox_new(stage.worker.loop);
	stage.commons.workers = both;
	stage.commons.workers_count = 2;
}

static void
close_two_workers(struct other *o)
{
	mailbox_post(o->worker.mailbox, &o->letter);
	pthread_join(o->thread, NULL);
	mailbox_free(&o->worker.mailbox);
	mailbox_free(&stage.worker.mailbox);
	loop_free(&o->worker.loop);
	close_stage();
}

static void
every_worker_is_asked_for_its_link_to_redis(void **state)
{
	static struct l2 l2s[2] = {
	    {.counters = {.requests[L2_OP_get][L2_hit] = 3, .reads_up = true, .writes_up = true}},
	    {.counters = {.requests[L2_OP_get][L2_hit] = 4, .reads_up = true}}};
	struct worker *both[2];
	struct other o;

	open_two_workers(&o, both, l2s);
	metrics_serve(&stage.x);
	assert_int_equal(stage.answers, 0);
	pthread_create(&o.thread, NULL, serve_other, &o);
	timer_init(&look, stop_when_answered, NULL);
	timer_arm(stage.worker.loop, &look, 0);
	loop_run(stage.worker.loop);
	assert_line("forebay_redis_requests_total{op=\"get\",result=\"hit\"} 7");
	assert_line("forebay_redis_up 0.5");
	close_two_workers(&o);
}

static void
a_scraper_that_leaves_harms_nobody(void **state)
{
	static struct l2 l2s[2];
	struct worker *both[2];
	struct other o;

	open_two_workers(&o, both, l2s);
	metrics_serve(&stage.x);
	stage.x.retire.run(stage.x.retire.arg); /* as at the end of the turn in which it left */
	assert_int_equal(stage.retired, 1);
	pthread_create(&o.thread, NULL, serve_other, &o);
	close_two_workers(&o);
	assert_int_equal(stage.answers, 0);
}

static void
one_who_is_being_stopped_asks_nobody(void **state)
{
	static struct l2 l2s[2];
	struct worker *both[2];
	struct other o;

	open_two_workers(&o, both, l2s);
	stage.commons.draining = true;
	metrics_serve(&stage.x);
	stage.commons.draining = false;
	assert_line("forebay_draining 1");
	pthread_create(&o.thread, NULL, serve_other, &o);
	close_two_workers(&o);
}

static void
the_page_of_metrics_says_what_the_tables_say(void **state)
{
	assert_page("docs/metrics.md", metrics_reference);
}

static int
end(void **state)
{
	buf_fini(&stage.body);
	return 0;
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(everything_is_on_the_page),
	    cmocka_unit_test(each_series_stands_once_under_its_family),
	    cmocka_unit_test(every_worker_is_asked_for_its_link_to_redis),
	    cmocka_unit_test(a_scraper_that_leaves_harms_nobody),
	    cmocka_unit_test(one_who_is_being_stopped_asks_nobody),
	    cmocka_unit_test(the_page_of_metrics_says_what_the_tables_say),
	};
	return cmocka_run_group_tests(tests, NULL, end);
}
