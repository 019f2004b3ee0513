/* LINK: admin/health upstream/health upstream/latency upstream/target upstream/drains base/hash base/log admin/probe admin/process admin/timestamp server/handler event/loop event/stream event/resolver event/address event/srvanswer event/lookup event/redisurl event/tlsexpiry base/buf base/mem base/clock */
#include "admin/health.h"

#include <arpa/inet.h>
#include <jansson.h>
#include <unistd.h>

#include "admin_stage.h"
#include "cache/clerk.h"
#include "cache/redis.h"
#include "server/conf.h"

struct l2 {
	struct l2_counters counters;
	bool is_well;
};

static struct l2 link_to_redis;

const struct l2_counters *
l2_counters(const struct l2 *l)
{
	return &l->counters;
}

const char *
l2_trouble(const struct l2 *l)
{
	return l->is_well ? "" : "wrong password";
}

const char *const clerk_state_texts[] = {
#define X(state, text) text,
    CLERK_STATES(X)
#undef X
};
static enum clerk_state purgelog = CLERK_connected;

void
clerk_status(struct clerk *c, struct clerk_status *out)
{
	*out = (struct clerk_status){.state = purgelog, .epoch = 0x4711, .metrics = {.applied = 9}};
}

static struct site site;
static unsigned site_refs;

struct site *
site_ref(struct site *s)
{
	site_refs++;
	return s;
}

void
site_unref(struct site **sp)
{
	site_refs--;
	*sp = NULL;
}

static struct upstream *upstreams[2]; /* app, images */
static char up[32], down[32];	      /* servers */
static struct server_conf conf;
static int door, wall; /* somebody listens; nobody, and nobody else can */

static struct address
local_address(int fd)
{
	struct address a = {.len = sizeof(a.u)};

	assert_int_equal(getsockname(fd, &a.u.sa, &a.len), 0);
	return a;
}

/* An address on loopback; somebody listens there, or the port is only held. */
static struct address
an_address(bool somebody)
{
	struct address a = {.len = sizeof(a.u.in4)};
	int fd = socket(AF_INET, SOCK_STREAM, 0);

	a.u.in4.sin_family = AF_INET;
	a.u.in4.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	assert_int_equal(bind(fd, &a.u.sa, a.len), 0);
	a = local_address(fd);
	if (somebody)
		assert_int_equal(listen(door = fd, 8), 0);
	else
		wall = fd;
	return a;
}

static void
name_address(char out[32], struct address a)
{
	snprintf(out, 32, "127.0.0.1:%u", ntohs(a.u.in4.sin_port));
}

/* second may be NULL */
static struct upstream *
an_upstream(const char *name, const char *first, const char *second)
{
	const struct upstream_conf c = {.name = name};
	const struct server_spec specs[] = {{first, NULL, 1}, {second, NULL, 1}};
	struct upstream *u = upstream_new(&c, specs, second == NULL ? 1 : 2, 1);

	assert_non_null(u);
	return u;
}

static void
open_stage(void)
{
	stage.worker.loop = loop_new();
	stage.worker.resolver = resolver_new(stage.worker.loop, NULL);
	stage.worker.site = &site;
	stage.worker.l2 = NULL;
	stage.commons.draining = false;
	stage.commons.workers_count = 2;
	stage.commons.started_wall_ms = loop_wall_ms(stage.worker.loop) - 5000;
	conf = (struct server_conf){.cache.redis.conf.is_off = true};
	site = (struct site){.upstreams_count = 1, .upstreams = upstreams, .conf = &conf};
	name_address(up, an_address(true));
	name_address(down, an_address(false));
	upstreams[0] = an_upstream("app", up, down);
	upstreams[1] = an_upstream("images", down, NULL);
}

static void
only(const char *server)
{
	upstream_unref(&upstreams[0]);
	upstreams[0] = an_upstream("app", server, NULL);
}

static void
close_stage(void)
{
	assert_int_equal(site_refs, 0);
	resolver_free(&stage.worker.resolver);
	loop_free(&stage.worker.loop);
	close(door);
	close(wall);
	upstream_unref(&upstreams[0]);
	upstream_unref(&upstreams[1]);
}

static struct timer look;

static void
stop_when_answered(void *arg)
{
	if (stage.answers > 0)
		loop_stop(stage.worker.loop);
	else
		timer_arm(stage.worker.loop, &look, loop_now_ms(stage.worker.loop) + 1);
}

/* Asks, waits, and gives the answer; json_decref() it. */
static json_t *
ready(void)
{
	struct exchange *x = stage_request(METHOD_GET);
	json_t *told;

	health_ready(x);
	timer_init(&look, stop_when_answered, NULL);
	timer_arm(stage.worker.loop, &look, 0);
	loop_run(stage.worker.loop);
	assert_int_equal(stage.answers, 1);
	assert_string_equal(stage.type, "application/json");
	assert_ptr_equal(x->retire.run, on_stage_retired);
	told = json_loads(stage.body.p, 0, NULL);
	assert_non_null(told);
	return told;
}

static json_t *
check_of(json_t *told, const char *name)
{
	json_t *check = json_object_get(json_object_get(told, "checks"), name);

	assert_non_null(check);
	return check;
}

static bool
is_healthy(json_t *told, const char *name)
{
	return json_is_true(json_object_get(check_of(told, name), "healthy"));
}

static const char *
text_of(json_t *o, const char *name)
{
	return json_string_value(json_object_get(o, name));
}

static void
it_is_ready_while_one_server_of_its_upstream_accepts(void **state)
{
	json_t *told;

	open_stage();
	told = ready();
	assert_int_equal(stage.status, 200);
	assert_string_equal(text_of(told, "service"), "forebay");
	assert_string_equal(text_of(told, "status"), "ok");
	assert_int_equal(json_integer_value(json_object_get(told, "uptime")), 5);
	assert_non_null(text_of(told, "timestamp"));
	assert_true(json_integer_value(
			json_object_get(json_object_get(told, "system"), "memory_rss_bytes")) > 0);
	assert_true(is_healthy(told, "upstream.app"));
	assert_non_null(strstr(text_of(check_of(told, "upstream.app"), "message"), "1 of 2"));
	assert_true(json_is_real(json_object_get(check_of(told, "upstream.app"), "latency")));
	json_decref(told);
	close_stage();
}

static void
it_is_not_ready_when_no_upstream_accepts(void **state)
{
	json_t *told;

	open_stage();
	only(down);
	told = ready();
	assert_int_equal(stage.status, 503);
	assert_string_equal(text_of(told, "status"), "unavailable");
	assert_false(is_healthy(told, "upstream.app"));
	assert_non_null(
	    strstr(text_of(check_of(told, "upstream.app"), "message"), "Connection refused"));
	assert_true(json_is_null(json_object_get(check_of(told, "upstream.app"), "latency")));
	json_decref(told);
	close_stage();
}

static void
one_upstream_down_beside_another_degrades_it(void **state)
{
	json_t *told;

	open_stage();
	site.upstreams_count = 2;
	told = ready();
	assert_int_equal(stage.status, 200);
	assert_string_equal(text_of(told, "status"), "degraded");
	assert_false(is_healthy(told, "upstream.images"));
	json_decref(told);
	close_stage();
}

static void
redis_down_is_told_but_does_not_make_it_unready(void **state)
{
	char url[64];
	json_t *told;

	open_stage();
	snprintf(url, sizeof(url), "redis://%s/0", down);
	conf.cache.redis.conf.is_off = false;
	conf.cache.redis.url = url;
	stage.worker.l2 = &link_to_redis;
	told = ready();
	assert_int_equal(stage.status, 200);
	assert_string_equal(text_of(told, "status"), "degraded");
	assert_false(is_healthy(told, "redis"));
	json_decref(told);

	/* There, but of no use: why it is not used is what people want to read. */
	snprintf(url, sizeof(url), "redis://%s/0", up);
	told = ready();
	assert_string_equal(text_of(check_of(told, "redis"), "message"), "wrong password");
	json_decref(told);

	/* In use, with one node of several in trouble. */
	link_to_redis.counters.reads_up = link_to_redis.counters.writes_up = true;
	told = ready();
	assert_false(is_healthy(told, "redis"));
	assert_string_equal(text_of(told, "status"), "degraded");
	json_decref(told);

	link_to_redis.is_well = true;
	told = ready();
	assert_true(is_healthy(told, "redis"));
	assert_string_equal(text_of(told, "status"), "ok");
	json_decref(told);
	close_stage();
}

static void
it_is_not_ready_while_it_is_being_stopped(void **state)
{
	json_t *told;

	open_stage();
	stage.commons.draining = true;
	told = ready();
	assert_int_equal(stage.status, 503);
	assert_string_equal(text_of(told, "status"), "draining");
	json_decref(told);
	health_alive(stage_request(METHOD_GET));
	assert_int_equal(stage.status, 200);
	close_stage();
}

static void
names_are_resolved(void **state)
{
	char name[32];
	json_t *told;

	open_stage();
	snprintf(name, sizeof(name), "localhost%s", strchr(up, ':'));
	only(name);
	told = ready();
	/* localhost may be ::1 first, where nobody listens: then the answer says so. */
	assert_true(is_healthy(told, "upstream.app") ||
	    strstr(text_of(check_of(told, "upstream.app"), "message"), "refused") != NULL);
	json_decref(told);
	close_stage();
}

static void
who_leaves_takes_his_question_along_and_many_at_once_are_refused(void **state)
{
	open_stage();
	for (unsigned i = 0; i < 3 * READY_RUNS_MAX; i++) {
		health_ready(stage_request(METHOD_GET));
		assert_int_equal(stage.answers, 0);
		stage.x.retire.run(stage.x.retire.arg);
		assert_int_equal(stage.retired, 1);
	}
	close_stage();
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
	    cmocka_unit_test(it_is_ready_while_one_server_of_its_upstream_accepts),
	    cmocka_unit_test(it_is_not_ready_when_no_upstream_accepts),
	    cmocka_unit_test(one_upstream_down_beside_another_degrades_it),
	    cmocka_unit_test(redis_down_is_told_but_does_not_make_it_unready),
	    cmocka_unit_test(it_is_not_ready_while_it_is_being_stopped),
	    cmocka_unit_test(names_are_resolved),
	    cmocka_unit_test(who_leaves_takes_his_question_along_and_many_at_once_are_refused),
	};
	return cmocka_run_group_tests(tests, NULL, end);
}
