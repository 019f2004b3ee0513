/* LINK: event/redisio event/redisio_connect event/redisoutbox event/tlsclient event/tls event/tlsgreet event/tlssocket event/tlsstate event/tlswrite event/tlscontext event/tlsidentity event/tlstickets event/fileprint event/drain event/redisreply event/redisurl event/resolver event/address event/srvanswer event/lookup event/stream event/loop base/clock base/buf base/mem base/log base/hash */
#include "event/redisio.h"

#include <event2/event.h>
#include <setjmp.h>
#include <stdarg.h>
#include <string.h>
#include <sys/un.h>

#include <cmocka.h>

#include "base/log.h"
#include "event/redisurl.h"
#include "redis_server.h"

#define LONG_MS PATIENCE_MS
#define SHORT_MS 30
#define SILENT_MS 60
#define CONNECT_MS 300 /* in vain; where it must be enough, tries follow each other */
#define REPLY_MAX_BYTES (1 << 20)
#define QUEUE_MAX_BYTES (8u << 20)

/* The cast: a loop, a Redis (or what plays one), the connection, and what it told. */
struct stage {
	struct loop *loop;
	struct resolver *resolver;
	struct redis_server server;
	struct redisio *io;
	unsigned ups, downs;
	/* What plays Redis: answers PING, and everything else with script. */
	int fd, peer;
	struct event *acceptable, *readable;
	const char *script;
	size_t script_len;
	bool is_mute;
};

/* One command and what became of it. */
struct said {
	struct stage *stage;
	struct redisio_call *call;
	unsigned times, order;
	enum redisio_end end;
	enum reply_type type;
	int64_t integer;
	char text[64];
	size_t text_len;
	bool then_free;
};

static unsigned answers;

static void
on_up(void *arg)
{
	((struct stage *)arg)->ups++;
}

static void
on_down(void *arg, const char *why)
{
	((struct stage *)arg)->downs++;
}

static const struct redisio_handler watcher = {.on_up = on_up, .on_down = on_down};

static void
on_said(void *arg, enum redisio_end end, const struct redis_reply *reply)
{
	struct said *s = arg;

	s->times++;
	s->order = answers++;
	s->end = end;
	s->call = NULL;
	if (reply != NULL) {
		s->type = reply->type;
		s->integer = reply->type == REPLY_ARRAY ? (int64_t)reply->count : reply->integer;
		s->text_len = reply->text.n;
		snprintf(s->text, sizeof(s->text), "%.*s",
		    (int)(reply->text.n < 60 ? reply->text.n : 60),
		    reply->text.p == NULL ? "" : reply->text.p);
	}
	if (s->then_free)
		redisio_free(&s->stage->io);
}

/* words: separated by blanks. */
static enum redisio_sent
say(struct stage *st, struct said *s, int64_t timeout_ms, const char *words)
{
	struct slice argv[16], rest = slice_from(words);
	unsigned n = 0;

	s->stage = st;
	while (rest.n > 0) {
		argv[n] = slice_of(rest.p, slice_index(rest, ' '));
		rest = slice_skip(rest, argv[n].n + (argv[n].n < rest.n));
		n++;
	}
	return redisio_send(st->io,
	    &(struct redisio_command){
		.argv = argv, .argc = n, .timeout_ms = timeout_ms, .done = on_said, .arg = s},
	    &s->call);
}

static bool
is_said(void *arg)
{
	return ((struct said *)arg)->times > 0;
}

static bool
is_up(void *arg)
{
	return redisio_is_up(((struct stage *)arg)->io);
}

static bool
is_down(void *arg)
{
	return !is_up(arg);
}

static bool
has_trouble(void *arg)
{
	return strcmp(redisio_trouble(((struct stage *)arg)->io), "not connected yet") != 0;
}

static void
open_io(struct stage *s, const char *url, int64_t silent_ms)
{
	const struct redisio_conf conf = {.url = url,
	    .connect_ms = 10000,
	    .silent_ms = silent_ms,
	    .in_flight_max = 100,
	    .queue_max_bytes = QUEUE_MAX_BYTES,
	    .reply_max_bytes = REPLY_MAX_BYTES,
	    .logs = true};
	const char *why;

	s->io = redisio_new(s->loop, s->resolver, &conf, &watcher, s, &why);
	assert_non_null(s->io);
}

static int
set_stage(void **state)
{
	struct stage *s = calloc(1, sizeof(*s));

	log_set_level(LOG_LEVEL_ERROR);
	s->loop = loop_new();
	s->resolver = resolver_new(s->loop, NULL);
	s->fd = s->peer = -1;
	redis_server_init(&s->server);
	*state = s;
	return 0;
}

static int
strike_stage(void **state)
{
	struct stage *s = *state;

	redisio_free(&s->io);
	resolver_free(&s->resolver);
	redis_server_kill(&s->server);
	if (s->acceptable != NULL)
		event_free(s->acceptable);
	if (s->readable != NULL)
		event_free(s->readable);
	if (s->fd >= 0)
		close(s->fd);
	if (s->peer >= 0)
		close(s->peer);
	loop_free(&s->loop);
	free(s);
	return 0;
}

static int
set_stage_with_redis(void **state)
{
	struct stage *s;

	set_stage(state);
	s = *state;
	redis_server_start(&s->server, NULL);
	open_io(s, s->server.url, LONG_MS);
	return run_until(s->loop, is_up, s) ? 0 : -1;
}

/* Another connection, that is left when nothing has come for a while. */
static void
open_impatient_io(struct stage *s)
{
	redisio_free(&s->io);
	open_io(s, s->server.url, SILENT_MS);
	assert_true(run_until(s->loop, is_up, s));
}

/* --- what plays Redis --- */

static void
on_played_readable(evutil_socket_t fd, short what, void *arg)
{
	struct stage *s = arg;
	char bytes[65536];
	ssize_t n = recv(fd, bytes, sizeof(bytes), MSG_DONTWAIT);

	if (n <= 0) {
		event_del(s->readable);
		return;
	}
	if (s->is_mute)
		return;
	if (memmem(bytes, (size_t)n, "PING", 4) != NULL)
		send(fd, "+PONG\r\n", 7, MSG_NOSIGNAL);
	else
		send(fd, s->script, s->script_len, MSG_NOSIGNAL | MSG_DONTWAIT);
}

static void
on_played_acceptable(evutil_socket_t fd, short what, void *arg)
{
	struct stage *s = arg;

	if (s->peer >= 0) {
		event_free(s->readable);
		close(s->peer);
	}
	s->peer = accept4(fd, NULL, NULL, SOCK_NONBLOCK);
	s->readable =
	    event_new(loop_base(s->loop), s->peer, EV_READ | EV_PERSIST, on_played_readable, s);
	event_add(s->readable, NULL);
}

static void
play_redis(struct stage *s, const char *script, size_t n)
{
	struct sockaddr_in at = {.sin_family = AF_INET,
	    .sin_addr.s_addr = htonl(INADDR_LOOPBACK),
	    .sin_port = htons(s->server.port)};
	const int one = 1;

	s->fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0);
	setsockopt(s->fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof(one));
	assert_int_equal(bind(s->fd, (struct sockaddr *)&at, sizeof(at)), 0);
	assert_int_equal(listen(s->fd, 8), 0);
	s->acceptable =
	    event_new(loop_base(s->loop), s->fd, EV_READ | EV_PERSIST, on_played_acceptable, s);
	event_add(s->acceptable, NULL);
	s->script = script;
	s->script_len = n;
}

/* --- with a Redis --- */

static void
commands_are_answered_each_in_its_turn(void **state)
{
	struct stage *s = *state;
	struct said set = {0}, get = {0}, none = {0}, incr = {0}, list = {0}, bad = {0};

	assert_int_equal(say(s, &set, LONG_MS, "SET a hello"), REDISIO_SENT);
	say(s, &get, LONG_MS, "GET a");
	say(s, &none, LONG_MS, "GET b");
	say(s, &incr, LONG_MS, "INCRBY n 41");
	say(s, &list, LONG_MS, "MGET a b n");
	say(s, &bad, LONG_MS, "LPUSH a x");
	assert_int_equal(set.times, 0);
	assert_true(run_until(s->loop, is_said, &bad));
	assert_int_equal(set.type, REPLY_STATUS);
	assert_string_equal(get.text, "hello");
	assert_int_equal(none.type, REPLY_NIL);
	assert_int_equal(incr.integer, 41);
	assert_int_equal(list.integer, 3);
	assert_int_equal(bad.end, REDISIO_ANSWERED);
	assert_int_equal(bad.type, REPLY_ERROR);
	assert_true(strncmp(bad.text, "WRONGTYPE", 9) == 0);
	assert_int_equal(bad.order, set.order + 5);
}

static void
a_large_argument_is_taken_over_and_arrives(void **state)
{
	struct stage *s = *state;
	const struct slice argv[] = {SLICE_LIT("SET"), SLICE_LIT("big")};
	struct said set = {.stage = s}, length = {0};
	struct buf value = {0};

	memset(buf_room(&value, 5000000), 'x', 5000000);
	value.n = 5000000;
	assert_int_equal(redisio_send(s->io,
			     &(struct redisio_command){.argv = argv,
				 .argc = 2,
				 .tail = &value,
				 .timeout_ms = LONG_MS,
				 .done = on_said,
				 .arg = &set},
			     NULL),
	    REDISIO_SENT);
	assert_null(value.p);
	say(s, &length, LONG_MS, "STRLEN big");
	assert_true(run_until(s->loop, is_said, &length));
	assert_string_equal(set.text, "OK");
	assert_int_equal(length.integer, 5000000);
}

static void
a_reply_larger_than_allowed_ends_the_connection(void **state)
{
	struct stage *s = *state;
	struct said range = {0}, get = {0}, again = {0};

	say(s, &range, LONG_MS, "SETRANGE big 3000000 x");
	say(s, &get, LONG_MS, "GET big");
	assert_true(run_until(s->loop, is_said, &get));
	assert_int_equal(get.end, REDISIO_LOST);
	assert_int_equal(say(s, &again, LONG_MS, "PING"), REDISIO_DOWN);
	assert_string_equal(redisio_trouble(s->io), "not understood: a reply larger than allowed");
	assert_true(run_until(s->loop, is_up, s));
}

static void
it_comes_up_by_itself_when_redis_starts_later(void **state)
{
	struct stage *s = *state;
	struct said early = {0};

	open_io(s, s->server.url, LONG_MS);
	assert_true(run_until(s->loop, has_trouble, s));
	assert_int_equal(say(s, &early, LONG_MS, "PING"), REDISIO_DOWN);
	redis_server_start(&s->server, NULL);
	assert_true(run_until(s->loop, is_up, s));
	assert_int_equal(s->ups, 1);
	assert_int_equal(early.times, 0);
}

static void
a_redis_killed_and_restarted_is_found_again(void **state)
{
	struct stage *s = *state;
	struct said waiting = {0}, refused = {0}, after = {0};

	say(s, &waiting, LONG_MS, "BLPOP nothing 30");
	assert_false(is_said(&waiting));
	redis_server_kill(&s->server);
	assert_true(run_until(s->loop, is_said, &waiting));
	assert_int_equal(waiting.end, REDISIO_LOST);
	assert_int_equal(s->downs, 1);
	assert_int_equal(say(s, &refused, LONG_MS, "PING"), REDISIO_DOWN);
	redis_server_start(&s->server, NULL);
	assert_true(run_until(s->loop, is_up, s));
	say(s, &after, LONG_MS, "PING");
	assert_true(run_until(s->loop, is_said, &after));
	assert_string_equal(after.text, "PONG");
	assert_int_equal(s->ups, 2);
}

static void
a_stopped_redis_costs_each_command_its_own_deadline(void **state)
{
	struct stage *s = *state;
	struct said brief = {0}, patient = {0};

	redis_server_stop(&s->server);
	say(s, &patient, LONG_MS, "GET a");
	say(s, &brief, SHORT_MS, "GET b");
	assert_true(run_until(s->loop, is_said, &brief));
	assert_int_equal(brief.end, REDISIO_TIMEOUT);
	assert_int_equal(patient.times, 0);
	redis_server_continue(&s->server);
	assert_true(run_until(s->loop, is_said, &patient));
	assert_int_equal(patient.end, REDISIO_ANSWERED);
	assert_int_equal(brief.times + patient.times, 2);
}

static void
a_redis_that_says_nothing_is_left_and_found_again(void **state)
{
	struct stage *s = *state;
	struct said said = {0};

	open_impatient_io(s);
	redis_server_stop(&s->server);
	say(s, &said, SHORT_MS, "GET c");
	assert_true(run_until(s->loop, is_down, s));
	assert_int_equal(said.times, 1);
	assert_int_equal(said.end, REDISIO_TIMEOUT);
	redis_server_continue(&s->server);
	assert_true(run_until(s->loop, is_up, s));
}

static void
a_late_reply_finds_nobody_and_harms_nobody(void **state)
{
	struct stage *s = *state;
	struct said late = {0}, next = {0};

	redis_server_stop(&s->server);
	say(s, &late, 5, "SET a late");
	assert_true(run_until(s->loop, is_said, &late));
	say(s, &next, LONG_MS, "GET a");
	redis_server_continue(&s->server);
	assert_true(run_until(s->loop, is_said, &next));
	assert_int_equal(late.times, 1);
	assert_int_equal(late.end, REDISIO_TIMEOUT);
	assert_string_equal(next.text, "late");
	assert_int_equal(redisio_counters(s->io)->late, 1);
	assert_int_equal(redisio_counters(s->io)->timeouts, 1);
	assert_int_equal(s->downs, 0);
}

static void
a_cancelled_command_is_silent_but_its_silence_is_noticed(void **state)
{
	struct stage *s = *state;
	struct said given_up = {0}, other = {0};

	say(s, &given_up, LONG_MS, "GET a");
	redisio_cancel(&given_up.call);
	assert_null(given_up.call);
	say(s, &other, LONG_MS, "GET a");
	assert_true(run_until(s->loop, is_said, &other));
	open_impatient_io(s);
	redis_server_stop(&s->server);
	say(s, &given_up, SHORT_MS, "GET a");
	redisio_cancel(&given_up.call);
	assert_true(run_until(s->loop, is_down, s));
	assert_int_equal(given_up.times, 0);
	redis_server_continue(&s->server);
}

static void
too_many_commands_or_bytes_are_refused_at_once(void **state)
{
	struct stage *s = *state;
	struct said many[101] = {0}, more = {0};
	const struct slice argv[] = {SLICE_LIT("ECHO")};
	struct buf value = {0};

	for (unsigned i = 0; i < 100; i++)
		assert_int_equal(say(s, &many[i], LONG_MS, "PING"), REDISIO_SENT);
	assert_int_equal(say(s, &many[100], LONG_MS, "PING"), REDISIO_BUSY);
	assert_true(run_until(s->loop, is_said, &many[99]));
	memset(buf_room(&value, QUEUE_MAX_BYTES), 'x', QUEUE_MAX_BYTES);
	value.n = QUEUE_MAX_BYTES;
	assert_int_equal(redisio_send(s->io,
			     &(struct redisio_command){
				 .argv = argv, .argc = 1, .tail = &value, .timeout_ms = LONG_MS},
			     NULL),
	    REDISIO_BUSY);
	assert_int_equal(value.n, QUEUE_MAX_BYTES);
	buf_fini(&value);
	say(s, &more, LONG_MS, "PING");
	assert_true(run_until(s->loop, is_said, &more));
	assert_int_equal(many[100].times, 0);
	assert_int_equal(redisio_counters(s->io)->refused, 2);
}

static void
it_may_be_freed_with_commands_under_way_and_in_a_callback(void **state)
{
	struct stage *s = *state;
	struct said first = {.then_free = true}, second = {0}, third = {0};

	say(s, &first, LONG_MS, "PING");
	say(s, &second, LONG_MS, "PING");
	assert_true(run_until(s->loop, is_said, &first));
	assert_int_equal(second.times, 0);
	open_io(s, s->server.url, LONG_MS);
	assert_true(run_until(s->loop, is_up, s));
	say(s, &third, LONG_MS, "PING");
	redisio_free(&s->io);
	assert_null(s->io);
	assert_int_equal(third.times, 0);
}

static void
it_may_be_freed_when_told_of_a_loss(void **state)
{
	struct stage *s = *state;
	struct said first = {.then_free = true}, second = {0};

	say(s, &first, LONG_MS, "BLPOP nothing 30");
	say(s, &second, LONG_MS, "PING");
	redis_server_kill(&s->server);
	assert_true(run_until(s->loop, is_said, &first));
	assert_int_equal(first.end, REDISIO_LOST);
	assert_int_equal(second.times, 0);
}

static void
a_password_and_a_database_are_given_at_every_connection(void **state)
{
	static const char *const secret[] = {"--requirepass", "s:cr@t", NULL};
	struct stage *s = *state;
	struct said set = {0}, get = {0};
	char url[96];

	redis_server_start(&s->server, secret);
	snprintf(url, sizeof(url), "redis://default:s%%3acr@t@localhost:%u/3", s->server.port);
	open_io(s, url, LONG_MS);
	for (int i = 0; i < 2; i++) {
		assert_true(run_until(s->loop, is_up, s));
		set = get = (struct said){0};
		say(s, &set, LONG_MS, "SET a hello");
		say(s, &get, LONG_MS, "CLIENT INFO");
		assert_true(run_until(s->loop, is_said, &get));
		assert_string_equal(set.text, "OK");
		redis_server_kill(&s->server);
		assert_true(run_until(s->loop, is_down, s));
		redis_server_start(&s->server, secret);
	}
}

static void
a_wrong_password_is_said_and_no_command_is_sent(void **state)
{
	static const char *const secret[] = {"--requirepass", "secret", NULL};
	struct stage *s = *state;
	char url[96];

	redis_server_start(&s->server, secret);
	snprintf(url, sizeof(url), "redis://:wrong@127.0.0.1:%u", s->server.port);
	open_io(s, url, LONG_MS);
	while (strstr(redisio_trouble(s->io), "WRONGPASS") == NULL)
		assert_true(run_until(s->loop, has_trouble, s));
	assert_false(redisio_is_up(s->io));
	assert_null(strstr(redisio_name(s->io), "wrong"));
	assert_int_equal(s->ups, 0);
}

static void
a_unix_socket_serves_too(void **state)
{
	char path[64], url[96];
	const char *const extra[] = {"--unixsocket", path, NULL};
	struct stage *s = *state;

	snprintf(path, sizeof(path), "/tmp/forebay-redis-%d.sock", (int)getpid());
	snprintf(url, sizeof(url), "unix:%s?db=2", path);
	redis_server_start(&s->server, extra);
	open_io(s, url, LONG_MS);
	assert_true(run_until(s->loop, is_up, s));
	unlink(path);
}

/* --- with what only plays Redis --- */

static void
assert_ends_the_connection(struct stage *s, const char *script, size_t n, const char *trouble)
{
	struct said said = {0};

	play_redis(s, script, n);
	open_io(s, s->server.url, LONG_MS);
	assert_true(run_until(s->loop, is_up, s));
	say(s, &said, LONG_MS, "GET a");
	assert_true(run_until(s->loop, is_down, s));
	assert_int_equal(said.times, 1);
	assert_non_null(strstr(redisio_trouble(s->io), trouble));
}

#define ENDS(state, script, trouble) \
	assert_ends_the_connection(state, script, sizeof(script) - 1, trouble)

static void
garbage_ends_the_connection(void **state)
{
	ENDS(*state, "HTTP/1.1 400 Bad Request\r\n\r\n", "not understood");
}

static void
a_reply_nobody_asked_for_ends_the_connection(void **state)
{
	ENDS(*state, "+OK\r\n+OK\r\n", "nobody asked");
}

static void
an_array_that_is_only_announced_takes_no_memory(void **state)
{
	ENDS(*state, "*2147483647\r\n", "larger than allowed");
}

static void
arrays_in_arrays_take_no_more_than_one_reply_may(void **state)
{
	ENDS(*state, "*10000\r\n*10000\r\n*10000\r\n*10000\r\n*10000\r\n", "larger than allowed");
}

static void
a_broken_length_ends_the_connection(void **state)
{
	ENDS(*state, "$-7\r\n", "not understood");
}

static void
a_server_that_accepts_but_never_speaks_is_left_in_time(void **state)
{
	struct stage *s = *state;
	const struct redisio_conf conf = {.url = s->server.url,
	    .connect_ms = CONNECT_MS,
	    .silent_ms = SILENT_MS,
	    .in_flight_max = 1,
	    .queue_max_bytes = 1000,
	    .reply_max_bytes = 1000};
	const char *why;

	play_redis(s, "", 0);
	s->is_mute = true;
	s->io = redisio_new(s->loop, s->resolver, &conf, NULL, NULL, &why);
	assert_true(run_until(s->loop, has_trouble, s));
	assert_non_null(strstr(redisio_trouble(s->io), "no connection within"));
	s->is_mute = false;
	assert_true(run_until(s->loop, is_up, s));
}

/* One byte at a time is no sign of life for ever. */
static void
a_server_that_trickles_is_left_in_the_end(void **state)
{
	struct stage *s = *state;
	struct said said = {0};

	play_redis(s, "$100000\r\n", 9);
	open_io(s, s->server.url, SILENT_MS);
	assert_true(run_until(s->loop, is_up, s));
	say(s, &said, SHORT_MS, "GET a");
	while (redisio_is_up(s->io)) {
		assert_true(run_until(s->loop, is_said, &said));
		if (s->peer >= 0)
			send(s->peer, "x", 1, MSG_NOSIGNAL | MSG_DONTWAIT);
	}
	assert_int_equal(said.times, 1);
	assert_int_equal(said.end, REDISIO_TIMEOUT);
}

/* --- URLs --- */

static void
urls_say_where_redis_is(void **state)
{
	static const struct {
		const char *text, *host, *user, *password, *shown;
		unsigned port, database;
	} good[] = {
	    {"redis://cache", "cache", NULL, NULL, "cache:6379", 6379, 0},
	    {"valkey://h:1/15", "h", NULL, NULL, "h:1/15", 1, 15},
	    {"redis://[::1]:7000/", "[::1]", NULL, NULL, "[::1]:7000", 7000, 0},
	    {"redis://:p%40ss@h", "h", NULL, "p@ss", "h:6379", 6379, 0},
	    {"redis://u:p:@@h:2/3", "h", "u", "p:@", "h:2/3", 2, 3},
	    {"unix:/run/r.sock", "unix:/run/r.sock", NULL, NULL, "unix:/run/r.sock", 0, 0},
	    {"unix:///r?db=4&password=x%26", "unix:/r", NULL, "x&", "unix:/r", 0, 4},
	};

	for (size_t i = 0; i < sizeof(good) / sizeof(good[0]); i++) {
		struct redis_url u;
		const char *why;

		assert_int_equal(redis_url_parse(good[i].text, &u, &why), 0);
		assert_string_equal(u.places[0].host, good[i].host);
		assert_string_equal(u.shown, good[i].shown);
		assert_int_equal(u.places[0].port, good[i].port);
		assert_int_equal(u.database, good[i].database);
		assert_string_equal(u.user ? u.user : "-", good[i].user ? good[i].user : "-");
		assert_string_equal(
		    u.password ? u.password : "-", good[i].password ? good[i].password : "-");
		redis_url_fini(&u);
	}
}

static void
a_wrong_url_is_refused_with_a_reason(void **state)
{
	static const char *const bad[] = {"", "localhost:6379", "http://h", "redis://",
	    "redis://:1", "redis://h:0", "redis://h:65536", "redis://h:+1", "redis://h/x",
	    "redis://h/-1", "redis://secret@h", "redis://:%zz@h", "redis://:%00@h", "redis://:%4",
	    "redis://[::1", "redis://[::1]x", "unix:relative", "unix:/r?what=1", "unix:/",
	    "redis://a,b", "redis://h?ca=/x", "rediss://h?cert=/x", "rediss://h?what=1",
	    "redis+x://h", "redis+sentinel://h", "redis+sentinel://h/m/x",
	    "redis+sentinel://h/m?ca=/x", "redis+cluster://a,,b", "redis+cluster://a/1",
	    "redis+cluster://", "redis+cluster://1,2,3,4,5,6,7,8,9,10,11,12,13,14,15,16,17"};
	struct redis_url u;
	const char *why;

	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		assert_int_equal(redis_url_parse(bad[i], &u, &why), -1);
		assert_non_null(why);
		assert_null(u.places[0].host);
	}
}

static void
a_url_names_sentinels_or_nodes_and_how_to_trust_them(void **state)
{
	struct redis_url u, one;
	const char *why;

	assert_int_equal(
	    redis_url_parse("rediss+sentinel://u:p@a,b:2,[::1]:3/the%20one/4?ca=/c%26a.pem&name=n"
			    "&sentinel_user=su&sentinel_password=s%40p",
		&u, &why),
	    0);
	assert_int_equal(u.kind, REDIS_SENTINEL);
	assert_true(u.is_tls);
	assert_string_equal(u.shown, "a:26379,b:2,[::1]:3/the one/4");
	redis_url_sentinel(&u, &u.places[1], &one);
	assert_string_equal(one.shown, "b:2");
	assert_string_equal(one.user, "su");
	assert_string_equal(one.password, "s@p");
	assert_string_equal(one.ca, "/c&a.pem");
	assert_int_equal(one.database, 0);
	redis_url_fini(&one);
	redis_url_server(&u, "m", 7, &one);
	assert_string_equal(one.shown, "m:7/4");
	assert_string_equal(one.password, "p");
	assert_string_equal(one.name, "n");
	assert_int_equal(one.kind, REDIS_SINGLE);
	redis_url_fini(&one);
	redis_url_fini(&u);
	assert_int_equal(redis_url_parse("valkey+cluster://a:1,b/", &u, &why), 0);
	assert_int_equal(u.kind, REDIS_CLUSTER);
	assert_int_equal(u.places_count, 2);
	redis_url_fini(&u);
}

#define STAGED(f) cmocka_unit_test_setup_teardown(f, set_stage, strike_stage)
#define WITH_REDIS(f) cmocka_unit_test_setup_teardown(f, set_stage_with_redis, strike_stage)

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    WITH_REDIS(commands_are_answered_each_in_its_turn),
	    WITH_REDIS(a_large_argument_is_taken_over_and_arrives),
	    WITH_REDIS(a_reply_larger_than_allowed_ends_the_connection),
	    STAGED(it_comes_up_by_itself_when_redis_starts_later),
	    WITH_REDIS(a_redis_killed_and_restarted_is_found_again),
	    WITH_REDIS(a_stopped_redis_costs_each_command_its_own_deadline),
	    WITH_REDIS(a_redis_that_says_nothing_is_left_and_found_again),
	    WITH_REDIS(a_late_reply_finds_nobody_and_harms_nobody),
	    WITH_REDIS(a_cancelled_command_is_silent_but_its_silence_is_noticed),
	    WITH_REDIS(too_many_commands_or_bytes_are_refused_at_once),
	    WITH_REDIS(it_may_be_freed_with_commands_under_way_and_in_a_callback),
	    WITH_REDIS(it_may_be_freed_when_told_of_a_loss),
	    STAGED(a_password_and_a_database_are_given_at_every_connection),
	    STAGED(a_wrong_password_is_said_and_no_command_is_sent),
	    STAGED(a_unix_socket_serves_too),
	    STAGED(garbage_ends_the_connection),
	    STAGED(a_reply_nobody_asked_for_ends_the_connection),
	    STAGED(an_array_that_is_only_announced_takes_no_memory),
	    STAGED(arrays_in_arrays_take_no_more_than_one_reply_may),
	    STAGED(a_broken_length_ends_the_connection),
	    STAGED(a_server_that_accepts_but_never_speaks_is_left_in_time),
	    STAGED(a_server_that_trickles_is_left_in_the_end),
	    cmocka_unit_test(urls_say_where_redis_is),
	    cmocka_unit_test(a_url_names_sentinels_or_nodes_and_how_to_trust_them),
	    cmocka_unit_test(a_wrong_url_is_refused_with_a_reason),
	};

	return cmocka_run_group_tests_name("event/redisio", tests, NULL, NULL);
}
