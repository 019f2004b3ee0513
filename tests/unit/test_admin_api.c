/* LINK: admin/api server/handler server/pattern server/regexends server/observe server/observe_read base/metric base/arena base/buf base/mem http/cachestatus http/sf http/sf_bare http/head http/fields */
#include "admin/api.h"

#include "admin/explain.h"
#include "admin/health.h"
#include "admin/metrics.h"
#include "admin/purge.h"
#include "admin/servers.h"
#include "admin/warm.h"
#include "admin_stage.h"

static void
answer_ok(struct exchange *x)
{
	exchange_answer(x, 200, "text/plain", SLICE_LIT("fine"));
}

void
health_alive(struct exchange *x)
{
	answer_ok(x);
}

void
health_ready(struct exchange *x)
{
	answer_ok(x);
}

void
metrics_serve(struct exchange *x)
{
	answer_ok(x);
}

void
explain_serve(struct exchange *x)
{
	answer_ok(x);
}

void
purge_serve(struct exchange *x)
{
	fail();
}

void
cache_serve(struct exchange *x)
{
	fail();
}

void
servers_serve(struct exchange *x)
{
	answer_ok(x);
}

void
warm_serve(struct exchange *x)
{
	answer_ok(x);
}

static struct site *admin;

static void
with_token(const char *token)
{
	static struct site site = {.head_size = 8192};

	admin = admin_site_new(&stage.commons, &site, token);
	assert_int_equal(admin->head_size, 8192);
}

static void
gone(void)
{
	arena_fini(&admin->mem);
	free(admin);
	observations_free(&stage.commons.observations);
}

static unsigned
ask(enum method m, const char *path, const char *authorization)
{
	static char line[256];
	struct exchange *x = stage_request(m);
	struct captures c;

	if (stage.commons.observations == NULL)
		stage.commons.observations = observations_new(1);
	stage.worker.observer = observations_worker(stage.commons.observations, 0);
	if (authorization != NULL) {
		snprintf(line, sizeof(line), "%s", authorization);
		x->head.base = line;
		x->head.count = 1;
		x->head.fields[0] =
		    (struct field){.value_len = (uint16_t)strlen(line), .id = FIELD_AUTHORIZATION};
		x->head.first[FIELD_AUTHORIZATION] = 1;
	}
	for (unsigned i = 0; i < admin->routes_count; i++)
		if (pattern_matches(admin->routes[i].path, slice_from(path), &c)) {
			admin->routes[i].handler(x, admin->routes[i].handler_arg);
			break;
		}
	assert_int_equal(stage.answers, 1);
	return stage.status;
}

static bool
told_field(const char *line)
{
	return stage.x.own_fields.n > 0 &&
	    memmem(stage.x.own_fields.p, stage.x.own_fields.n, line, strlen(line)) != NULL;
}

static void
each_endpoint_answers_what_it_is_asked_by(void **state)
{
	with_token(NULL);
	assert_int_equal(ask(METHOD_GET, "/health", NULL), 200);
	assert_true(told_field("Cache-Control: no-store\r\n"));
	assert_int_equal(ask(METHOD_HEAD, "/metrics", NULL), 200);
	assert_int_equal(ask(METHOD_GET, "/health/ready", NULL), 200);
	assert_int_equal(ask(METHOD_POST, "/metrics", NULL), 405);
	assert_true(told_field("Allow: GET, HEAD\r\n"));
	assert_int_equal(ask(METHOD_OTHER, "/health", NULL), 405);
	assert_int_equal(ask(METHOD_GET, "/", NULL), 404);
	assert_int_equal(ask(METHOD_GET, "/healthy", NULL), 404);
	assert_string_equal(stage.type, "application/problem+json");
	gone();
}

static void
what_the_token_guards_is_shown_to_its_bearer_only(void **state)
{
	with_token("s3cret");
	assert_int_equal(ask(METHOD_GET, "/metrics", NULL), 401);
	assert_true(told_field("WWW-Authenticate: Bearer"));
	assert_int_equal(ask(METHOD_GET, "/metrics", "Bearer s3cre"), 401);
	assert_int_equal(ask(METHOD_GET, "/metrics", "Bearer s3crets3cret"), 401);
	assert_int_equal(ask(METHOD_GET, "/metrics", "Bearer S3cret"), 401);
	assert_int_equal(ask(METHOD_GET, "/metrics", "Bearer "), 401);
	assert_int_equal(ask(METHOD_GET, "/metrics", "Basic s3cret"), 401);
	assert_int_equal(ask(METHOD_GET, "/metrics", "bearer s3cret"), 200);
	assert_int_equal(observations_count(stage.commons.observations, COUNT_admin_denied), 6);
	gone();
}

static void
health_is_told_without_a_token_and_a_stranger_learns_no_paths(void **state)
{
	with_token("s3cret");
	assert_int_equal(ask(METHOD_GET, "/health", NULL), 200);
	assert_int_equal(ask(METHOD_GET, "/health/ready", NULL), 200);
	assert_int_equal(ask(METHOD_GET, "/nothing", NULL), 401);
	assert_int_equal(ask(METHOD_POST, "/metrics", NULL), 401);
	assert_int_equal(ask(METHOD_GET, "/nothing", "Bearer s3cret"), 404);
	gone();
}

static void
admin_requests_are_not_counted_as_visitors(void **state)
{
	with_token("");
	for (unsigned i = 0; i < admin->routes_count; i++)
		assert_int_equal(admin->routes[i].slot, ROUTE_SLOT_UNCOUNTED);
	assert_false(admin->access_log);
	gone();
}

static void
the_page_says_what_the_tables_say(void **state)
{
	assert_page("docs/admin.md", admin_reference);
}

static int
end(void **state)
{
	buf_fini(&stage.x.own_fields);
	buf_fini(&stage.body);
	return 0;
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(each_endpoint_answers_what_it_is_asked_by),
	    cmocka_unit_test(what_the_token_guards_is_shown_to_its_bearer_only),
	    cmocka_unit_test(health_is_told_without_a_token_and_a_stranger_learns_no_paths),
	    cmocka_unit_test(admin_requests_are_not_counted_as_visitors),
	    cmocka_unit_test(the_page_says_what_the_tables_say),
	};
	return cmocka_run_group_tests(tests, NULL, end);
}
