/* LINK: server/tohttps base/buf base/mem */
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "server/tohttps.h"
#include "server/worker.h"

/* A request at one of two plain listeners: that on :80 sends to 443, that on :8080 to 8443; :81 keeps its clients. */
struct asked {
	struct exchange x;
	struct client client;
	struct door door;
	struct site site;
};
static struct site_sender senders[] = {
    {.address = ":80", .port = 443}, {.address = ":8080", .port = 8443}};

/* What the walk would do with it. */
enum exchange_next
exchange_own(struct exchange *x, unsigned status, const char *why)
{
	x->status = status;
	return EXCHANGE_GO;
}

static struct asked *
ask(const char *listener, enum method method, const char *path)
{
	static struct asked a;

	buf_fini(&a.x.own_fields);
	a = (struct asked){.door.name = listener,
	    .client.door = &a.door,
	    .site = {.senders = senders, .senders_count = 2}};
	a.x.client = &a.client;
	a.x.site = &a.site;
	a.x.head.method = method;
	a.x.url.host = SLICE_LIT("www.example.com");
	a.x.url.path = slice_from(path);
	return &a;
}

/* "301 https://..."; "" when the request goes on as it is. */
static const char *
outcome(struct asked *a)
{
	static char out[300];
	enum exchange_next next = EXCHANGE_WAIT;

	out[0] = '\0';
	if (tohttps_takes(&a->x, &next)) {
		assert_int_equal(next, EXCHANGE_GO);
		snprintf(out, sizeof(out), "%u %.*s", a->x.status,
		    SLICE_FMT(buf_slice(&a->x.own_fields)));
	}
	return out;
}

static void
who_came_by_http_is_sent_to_the_same_page_by_https(void **state)
{
	assert_string_equal(outcome(ask(":80", METHOD_GET, "/a/b%2F")),
	    "301 Location: https://www.example.com/a/b%2F\r\n");
	assert_string_equal(
	    outcome(ask(":80", METHOD_HEAD, "/")), "301 Location: https://www.example.com/\r\n");
}

static void
a_port_that_is_not_the_usual_one_is_named(void **state)
{
	assert_string_equal(outcome(ask(":8080", METHOD_GET, "/")),
	    "301 Location: https://www.example.com:8443/\r\n");
}

static void
a_query_goes_along_also_an_empty_one(void **state)
{
	struct asked *a = ask(":80", METHOD_GET, "/s");

	a->x.url.has_query = true;
	a->x.url.query = SLICE_LIT("q=1&q=%20");
	assert_string_equal(outcome(a), "301 Location: https://www.example.com/s?q=1&q=%20\r\n");
	a = ask(":80", METHOD_GET, "/s");
	a->x.url.has_query = true;
	assert_string_equal(outcome(a), "301 Location: https://www.example.com/s?\r\n");
}

static void
a_method_with_a_body_is_kept(void **state)
{
	assert_string_equal(outcome(ask(":80", METHOD_POST, "/form")),
	    "308 Location: https://www.example.com/form\r\n");
	assert_string_equal(outcome(ask(":80", METHOD_DELETE, "/form")),
	    "308 Location: https://www.example.com/form\r\n");
}

static void
who_came_by_https_as_a_trusted_proxy_says_goes_on(void **state)
{
	struct asked *a = ask(":80", METHOD_GET, "/");

	a->x.is_https = true;
	assert_string_equal(outcome(a), "");
}

static void
other_listeners_and_other_targets_send_nobody_away(void **state)
{
	struct asked *a;

	assert_string_equal(outcome(ask(":81", METHOD_GET, "/")), "");
	assert_string_equal(outcome(ask(":80", METHOD_OPTIONS, "*")), "");
	a = ask(":80", METHOD_GET, "/");
	a->client.door = NULL; /* a visit of our own */
	assert_string_equal(outcome(a), "");
	a = ask(":80", METHOD_GET, "/");
	a->x.client = NULL; /* a trial run, as of explain */
	assert_string_equal(outcome(a), "");
	a = ask(":80", METHOD_GET, "/");
	a->site.senders_count = 0;
	assert_string_equal(outcome(a), "");
	buf_fini(&a->x.own_fields);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(who_came_by_http_is_sent_to_the_same_page_by_https),
	    cmocka_unit_test(a_port_that_is_not_the_usual_one_is_named),
	    cmocka_unit_test(a_query_goes_along_also_an_empty_one),
	    cmocka_unit_test(a_method_with_a_body_is_kept),
	    cmocka_unit_test(who_came_by_https_as_a_trusted_proxy_says_goes_on),
	    cmocka_unit_test(other_listeners_and_other_targets_send_nobody_away),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
