/* LINK: server/accesslog server/accessfile server/accessrecord server/accessring server/accessline server/clientip server/observe server/observe_read base/metric base/buf base/mem base/thread base/log base/clock http/cachestatus http/sf http/sf_bare http/head http/fields */
#include "server/accesslog.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>
#include <jansson.h>

#include "base/clock.h"
#include "base/log.h"

#define NOON_MS 1795262400123 /* 2026-11-21T12:00:00.123Z */
#define PATIENCE_MS 20000
#define SMALL_RING ((size_t)2 * ACCESS_LINE_MAX)

static char directory[] = "/tmp/forebay-accesslog-XXXXXX";
static struct access_stamp stamp;
static char line[ACCESS_LINE_MAX + 1];

static struct outcome
a_request(void)
{
	return (struct outcome){.route = SLICE_LIT("GET /news/**"),
	    .method = METHOD_GET,
	    .method_text = SLICE_LIT("GET"),
	    .target = SLICE_LIT("/news?page=2"),
	    .host = SLICE_LIT("example.com"),
	    .scheme = SLICE_LIT("https"),
	    .version_minor = 1,
	    .status = 200,
	    .cache_word = CACHE_WORD_HIT,
	    .tier = TIER_memory,
	    .reason = "fresh",
	    .detail = "redis",
	    .end = END_done,
	    .client = {CLIENT_IP_V4, {192, 0, 2, 7}},
	    .request_id = SLICE_LIT("0a1b"),
	    .user_agent = SLICE_LIT("curl/8"),
	    .referer = SLICE_LIT("https://example.com/"),
	    .upstream = SLICE_LIT("app"),
	    .server = SLICE_LIT("10.0.0.7:3000"),
	    .tries = 2,
	    .hedge = "won",
	    .started_wall_ms = NOON_MS,
	    .total_us = 1234,
	    .wait_us = 0,
	    .origin_us = 0,
	    .bytes_in = 0,
	    .bytes_out = 5120};
}

static const char *
line_of(enum access_format format, const struct outcome *out)
{
	size_t n = access_line(line, format, &stamp, out);

	assert_true(n > 0 && n <= ACCESS_LINE_MAX);
	assert_int_equal(line[n - 1], '\n');
	line[n - 1] = '\0';
	assert_int_equal(strlen(line), n - 1);
	assert_null(strchr(line, '\n'));
	return line;
}

static json_t *
json_of(const struct outcome *out)
{
	json_error_t e;
	json_t *j =
	    json_loads(line_of(ACCESS_JSON, out), JSON_REJECT_DUPLICATES | JSON_ALLOW_NUL, &e);

	if (j == NULL)
		fail_msg("%s: %s", e.text, line);
	return j;
}

static const char *
member(json_t *j, const char *name)
{
	return json_string_value(json_object_get(j, name));
}

static void
a_json_line_tells_everything_in_a_fixed_shape(void **state)
{
	struct outcome out = a_request();

	assert_string_equal(line_of(ACCESS_JSON, &out),
	    "{\"time\":\"2026-11-21T12:00:00.123Z\",\"request_id\":\"0a1b\",\"client\":"
	    "\"192.0.2.7\","
	    "\"method\":\"GET\",\"scheme\":\"https\",\"host\":\"example.com\",\"path\":\"/"
	    "news?page=2\","
	    "\"protocol\":\"HTTP/1.1\",\"status\":200,\"bytes\":5120,\"bytes_in\":0,"
	    "\"duration_ms\":1.234,\"wait_ms\":0.000,\"origin_ms\":null,\"route\":\"GET "
	    "/news/**\","
	    "\"cache\":\"HIT\",\"tier\":\"memory\",\"reason\":\"fresh\",\"detail\":\"redis\","
	    "\"upstream\":\"app\",\"server\":\"10.0.0.7:3000\",\"tries\":2,\"hedge\":\"won\","
	    "\"end\":\"done\",\"fetch_end\":\"\",\"referer\":\"https://example.com/\","
	    "\"user_agent\":\"curl/8\"}");
	out.origin_us = 70005;
	assert_non_null(strstr(line_of(ACCESS_JSON, &out), "\"origin_ms\":70.005,"));
}

static void
a_combined_line_is_what_every_tool_reads(void **state)
{
	struct outcome out = a_request();

	assert_string_equal(line_of(ACCESS_COMBINED, &out),
	    "192.0.2.7 - - [21/Nov/2026:12:00:00 +0000] \"GET /news?page=2 HTTP/1.1\" 200 5120 "
	    "\"https://example.com/\" \"curl/8\"");
	out.referer = out.user_agent = out.method_text = SLICE_NONE;
	out.client.kind = CLIENT_IP_NONE;
	out.status = 0;
	assert_string_equal(line_of(ACCESS_COMBINED, &out),
	    "- - - [21/Nov/2026:12:00:00 +0000] \"-\" 000 5120 \"-\" \"-\"");
}

static void
an_extended_line_is_a_combined_one_that_tells_more(void **state)
{
	struct outcome out = a_request();
	const char *combined, *extended;
	char was[256];

	out.origin_us = 70005;
	combined = line_of(ACCESS_COMBINED, &out);
	snprintf(was, sizeof(was), "%s HIT 10.0.0.7:3000 2 70.005 1.234", combined);
	extended = line_of(ACCESS_EXTENDED, &out);
	assert_string_equal(extended, was);
	out.server = SLICE_NONE;
	out.tries = 0;
	out.origin_us = 0;
	assert_non_null(strstr(line_of(ACCESS_EXTENDED, &out), "\" HIT - 0 - 1.234"));
}

static void
what_a_peer_sent_cannot_leave_its_place(void **state)
{
	struct outcome out = a_request();
	json_t *j;

	out.user_agent = SLICE_LIT("a\"},{\"b\\\n\t\x01\x7f\xc3\xa9\xff\xed\xa0\x80 z");
	j = json_of(&out);
	assert_string_equal(member(j, "user_agent"),
	    "a\"},{\"b\\\n\t\x01\x7f\xc3\xa9"
	    "\xef\xbf\xbd"
	    "\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbd z");
	json_decref(j);
	assert_non_null(strstr(line_of(ACCESS_COMBINED, &out),
	    "\"a\\x22},{\\x22b\\x5c\\x0a\\x09\\x01\\x7f\\xc3\\xa9\\xff\\xed\\xa0\\x80 z\""));
}

static void
any_bytes_of_any_length_make_a_line_that_parses(void **state)
{
	static char noise[20000];
	uint32_t seed = 1;

	for (unsigned round = 0; round < 300; round++) {
		struct outcome out = a_request();
		size_t n = round * 67 % sizeof(noise);

		for (size_t i = 0; i < n; i++)
			noise[i] =
			    (char)((seed = seed * 1664525 + 1013904223) >> (round % 2 ? 24 : 27));
		out.target = out.host = out.user_agent = out.referer = out.route = out.method_text =
		    out.request_id = out.upstream = slice_of(noise, n);
		out.bytes_in = out.bytes_out = INT64_MAX; /* what JSON readers take */
		out.total_us = out.wait_us = out.origin_us = INT64_MAX;
		json_decref(json_of(&out));
		line_of(ACCESS_COMBINED, &out);
	}
}

static void
a_text_too_long_is_cut_and_says_so(void **state)
{
	static char path[9000];
	struct outcome out = a_request();
	const char *told;
	json_t *j;

	memset(path, 'a', sizeof(path));
	path[0] = '/';
	out.target = slice_of(path, sizeof(path));
	j = json_of(&out);
	told = member(j, "path");
	assert_in_range(strlen(told), 6000, 6200);
	assert_string_equal(told + strlen(told) - 3, "\xe2\x80\xa6");
	json_decref(j);
}

static void
a_password_in_a_url_is_not_logged(void **state)
{
	struct outcome out = a_request();
	json_t *j;

	out.target = SLICE_LIT("http://anna:s3@cret@example.com/a@b");
	out.referer = SLICE_LIT("https://anna:s3cret@example.com?x=y@z");
	j = json_of(&out);
	assert_string_equal(member(j, "path"), "http://example.com/a@b");
	assert_string_equal(member(j, "referer"), "https://example.com?x=y@z");
	json_decref(j);
	out.target = SLICE_LIT("/go?to=http://a@b/");
	assert_non_null(strstr(line_of(ACCESS_COMBINED, &out), "GET /go?to=http://a@b/ "));
}

/* The writer */

static char *
in_directory(const char *name)
{
	char *path;

	assert_true(asprintf(&path, "%s/%s", directory, name) > 0);
	return path;
}

static struct accesslog *
a_log(const char *path, unsigned workers, size_t ring)
{
	struct accesslog_conf conf = {path, ACCESS_JSON, workers, ring};
	struct accesslog *a = accesslog_new(&conf);

	assert_non_null(a);
	return a;
}

static void
write_numbered(struct accesslog *a, unsigned worker, unsigned number)
{
	struct outcome out = a_request();

	out.status = (int)worker;
	out.bytes_out = number;
	accesslog_write(a, worker, &out);
}

/* Lines of the file, each of them whole; per worker in their order and without a gap up to `each`. */
static unsigned
count_whole(const char *path, unsigned workers, unsigned *next)
{
	FILE *f = fopen(path, "r");
	unsigned lines = 0;
	char *text = NULL;
	size_t cap = 0;

	assert_non_null(f);
	while (getline(&text, &cap, f) > 0) {
		json_t *j = json_loads(text, 0, NULL);
		unsigned worker, number;

		if (j == NULL)
			fail_msg("not whole: %s", text);
		worker = (unsigned)json_integer_value(json_object_get(j, "status"));
		number = (unsigned)json_integer_value(json_object_get(j, "bytes"));
		assert_true(worker < workers);
		if (next != NULL)
			assert_int_equal(number, next[worker]++);
		json_decref(j);
		lines++;
	}
	free(text);
	fclose(f);
	return lines;
}

#define EACH 20000
#define FIRST 10000 /* all numbers are of five digits, all lines of one length */

static size_t one_length;

struct writing {
	struct accesslog *a;
	unsigned worker, written;
};

static void *
write_many(void *arg)
{
	struct writing *w = arg;

	for (; w->written < EACH; w->written++) {
		/* As fast as the file takes them: here nothing may get lost. */
		while (accesslog_counts(w->a).lines * one_length >
		    accesslog_counts(w->a).bytes + 200000)
			sched_yield();
		write_numbered(w->a, w->worker, FIRST + w->written);
	}
	return NULL;
}

static void
lines_of_all_workers_arrive_whole_and_in_order(void **state)
{
	char *path = in_directory("many.log");
	struct accesslog *a = a_log(path, 2, SMALL_RING * 16);
	struct writing w[2] = {{a, 0, 0}, {a, 1, 0}};
	unsigned next[2] = {FIRST, FIRST};
	struct outcome out = a_request();
	pthread_t threads[2];

	out.status = 1;
	out.bytes_out = FIRST;
	one_length = access_line(line, ACCESS_JSON, &stamp, &out);

	for (unsigned i = 0; i < 2; i++)
		pthread_create(&threads[i], NULL, write_many, &w[i]);
	for (unsigned i = 0; i < 2; i++)
		pthread_join(threads[i], NULL);
	assert_int_equal(accesslog_flush(a, PATIENCE_MS), 0);
	assert_int_equal(accesslog_counts(a).dropped, 0);
	assert_int_equal(count_whole(path, 2, next), 2 * EACH);
	assert_int_equal(accesslog_counts(a).lines, 2 * EACH);
	accesslog_free(&a);
	free(path);
}

static void
after_a_rotation_the_old_file_has_the_old_lines_and_the_new_the_new(void **state)
{
	char *path = in_directory("access.log"), *old = in_directory("access.log.1");
	struct accesslog *a = a_log(path, 1, 0);
	unsigned next = 0;
	struct stat st;

	for (unsigned i = 0; i < 10; i++)
		write_numbered(a, 0, i);
	assert_int_equal(rename(path, old), 0);
	for (unsigned i = 10; i < 15; i++)
		write_numbered(a, 0, i);
	assert_int_equal(accesslog_reopen(a), 0);
	assert_int_equal(accesslog_flush(a, PATIENCE_MS), 0);
	for (unsigned i = 15; i < 20; i++)
		write_numbered(a, 0, i);
	accesslog_free(&a);
	assert_int_equal(count_whole(old, 1, &next), 15);
	assert_int_equal(count_whole(path, 1, &next), 5);
	assert_int_equal(stat(path, &st), 0);
	assert_int_equal(st.st_mode & 0777, 0640);
	free(path);
	free(old);
}

static void
lines_under_way_keep_their_format_when_it_changes(void **state)
{
	char *path = in_directory("formats.log"), text[4096];
	struct accesslog *a = a_log(path, 1, 0);
	unsigned json = 0, combined = 0;
	FILE *f;

	for (unsigned i = 0; i < 3; i++)
		write_numbered(a, 0, i);
	assert_int_equal(accesslog_change(a, path, ACCESS_COMBINED), 0);
	for (unsigned i = 0; i < 4; i++)
		write_numbered(a, 0, i);
	accesslog_free(&a);
	f = fopen(path, "r");
	while (fgets(text, sizeof(text), f) != NULL) {
		json += text[0] == '{' && combined == 0;
		combined += text[0] == '1';
	}
	assert_int_equal(json, 3);
	assert_int_equal(combined, 4);
	fclose(f);
	free(path);
}

static void
a_path_that_cannot_be_opened_changes_nothing(void **state)
{
	char *path = in_directory("stays.log"), *wrong = in_directory("no/such/dir.log");
	struct accesslog_conf conf = {wrong, ACCESS_JSON, 1, 0};
	struct accesslog *a = a_log(path, 1, 0);

	assert_null(accesslog_new(&conf));
	assert_int_equal(errno, ENOENT);
	assert_int_equal(accesslog_change(a, wrong, ACCESS_COMBINED), -1);
	write_numbered(a, 0, 0);
	assert_int_equal(accesslog_flush(a, PATIENCE_MS), 0);
	assert_int_equal(count_whole(path, 1, NULL), 1);
	accesslog_free(&a);
	free(path);
	free(wrong);
}

static void
a_full_disk_costs_lines_and_nothing_else(void **state)
{
	struct accesslog *a = a_log("/dev/full", 1, SMALL_RING);
	char *path = in_directory("room.log");
	struct accesslog_counts c;
	unsigned kept;

	for (unsigned i = 0; i < 1000; i++)
		write_numbered(a, 0, i);
	assert_int_equal(accesslog_flush(a, PATIENCE_MS), -1);
	c = accesslog_counts(a);
	assert_true(c.dropped > 0 && c.dropped < 1000 && c.errors > 0);
	assert_int_equal(c.bytes, 0);
	/* What had room is written as soon as there is a file that takes it. */
	kept = 1000 - (unsigned)c.dropped;
	assert_int_equal(accesslog_change(a, path, ACCESS_JSON), 0);
	assert_int_equal(accesslog_flush(a, PATIENCE_MS), 0);
	assert_int_equal(count_whole(path, 1, NULL), kept);
	accesslog_free(&a);
	free(path);
}

static void
a_line_cut_by_a_full_disk_is_completed_or_left_behind(void **state)
{
	char *path = in_directory("cut.log"), *other = in_directory("other.log");
	struct accesslog *a;
	int reader;
	char drained[4096];

	/* A pipe of one page that nobody empties stands for the disk. */
	assert_int_equal(mkfifo(path, 0600), 0);
	reader = open(path, O_RDONLY | O_NONBLOCK);
	a = a_log(path, 1, SMALL_RING * 8);
	assert_true(fcntl(reader, F_SETPIPE_SZ, 4096) >= 4096);
	for (unsigned i = 0; i < 40; i++)
		write_numbered(a, 0, i);
	assert_int_equal(accesslog_flush(a, PATIENCE_MS), -1);
	assert_int_equal(read(reader, drained, sizeof(drained)), sizeof(drained));
	assert_int_not_equal(drained[sizeof(drained) - 1], '\n');
	assert_int_equal(accesslog_change(a, other, ACCESS_JSON), 0);
	accesslog_flush(a, PATIENCE_MS);
	accesslog_flush(a, PATIENCE_MS);
	assert_in_range(count_whole(other, 1, NULL), 1, 30);
	accesslog_free(&a);
	close(reader);
	free(path);
	free(other);
}

static void
stopping_does_not_wait_for_a_pipe_that_nobody_reads(void **state)
{
	char *path = in_directory("fifo");
	struct accesslog *a;
	int reader;

	assert_int_equal(mkfifo(path, 0600), 0);
	reader = open(path, O_RDONLY | O_NONBLOCK);
	a = a_log(path, 1, 0);
	for (unsigned i = 0; i < 2000; i++)
		write_numbered(a, 0, i);
	assert_int_equal(accesslog_flush(a, PATIENCE_MS), -1);
	close(reader);
	accesslog_free(&a);
	free(path);
}

/* Nobody flushes here: each line finds the writer asleep and must wake it. */
static void
a_line_reaches_the_file_by_itself(void **state)
{
	char *path = in_directory("idle.log");
	struct accesslog *a = a_log(path, 1, 0);

	for (unsigned i = 0; i < 5; i++) {
		int64_t until_ms = clock_mono_ms() + PATIENCE_MS;
		uint64_t before = accesslog_counts(a).bytes;

		write_numbered(a, 0, i);
		while (accesslog_counts(a).bytes == before && clock_mono_ms() < until_ms)
			sched_yield();
		assert_true(accesslog_counts(a).bytes > before);
	}
	assert_int_equal(count_whole(path, 1, &(unsigned){0}), 5);
	accesslog_free(&a);
	free(path);
}

/* Not a test but a measurement: FOREBAY_MEASURE=1 prints what one line costs its worker. */
static void
a_line_is_cheap(void **state)
{
	struct accesslog *a;
	struct outcome out = a_request();
	const unsigned n = 1000000;
	int64_t from_us;

	if (getenv("FOREBAY_MEASURE") == NULL)
		skip();
	out.user_agent = SLICE_LIT("Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, "
				   "like Gecko) Chrome/126.0.0.0 Safari/537.36");
	for (enum access_format f = ACCESS_COMBINED; f <= ACCESS_JSON; f++) {
		from_us = clock_mono_us();
		for (unsigned i = 0; i < n; i++) {
			out.started_wall_ms++;
			access_line(line, f, &stamp, &out);
		}
		printf("%s: %.0f ns to format\n",
		    f == ACCESS_JSON	       ? "json"
			: f == ACCESS_EXTENDED ? "extended"
					       : "combined",
		    (double)(clock_mono_us() - from_us) * 1e3 / n);
	}
	a = a_log("/dev/null", 1, 0);
	from_us = clock_mono_us();
	for (unsigned i = 0; i < n; i++) {
		out.started_wall_ms++;
		accesslog_write(a, 0, &out);
	}
	printf("json: %.0f ns with the ring, %llu dropped\n",
	    (double)(clock_mono_us() - from_us) * 1e3 / n,
	    (unsigned long long)accesslog_counts(a).dropped);
	accesslog_free(&a);
}

static int
enter(void **state)
{
	signal(SIGPIPE, SIG_IGN);
	setenv("TZ", "UTC", 1);
	log_set_path("/dev/null");
	return mkdtemp(directory) == NULL ? -1 : 0;
}

static int
leave(void **state)
{
	char *command;

	log_set_path(NULL);
	if (asprintf(&command, "rm -r %s", directory) < 0)
		return -1;
	if (system(command) != 0)
		return -1;
	free(command);
	return 0;
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(a_json_line_tells_everything_in_a_fixed_shape),
	    cmocka_unit_test(a_combined_line_is_what_every_tool_reads),
	    cmocka_unit_test(an_extended_line_is_a_combined_one_that_tells_more),
	    cmocka_unit_test(what_a_peer_sent_cannot_leave_its_place),
	    cmocka_unit_test(any_bytes_of_any_length_make_a_line_that_parses),
	    cmocka_unit_test(a_text_too_long_is_cut_and_says_so),
	    cmocka_unit_test(a_password_in_a_url_is_not_logged),
	    cmocka_unit_test(lines_of_all_workers_arrive_whole_and_in_order),
	    cmocka_unit_test(after_a_rotation_the_old_file_has_the_old_lines_and_the_new_the_new),
	    cmocka_unit_test(lines_under_way_keep_their_format_when_it_changes),
	    cmocka_unit_test(a_path_that_cannot_be_opened_changes_nothing),
	    cmocka_unit_test(a_full_disk_costs_lines_and_nothing_else),
	    cmocka_unit_test(a_line_cut_by_a_full_disk_is_completed_or_left_behind),
	    cmocka_unit_test(stopping_does_not_wait_for_a_pipe_that_nobody_reads),
	    cmocka_unit_test(a_line_reaches_the_file_by_itself),
	    cmocka_unit_test(a_line_is_cheap),
	};
	return cmocka_run_group_tests(tests, enter, leave);
}
