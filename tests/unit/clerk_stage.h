/* The cast of the clerk's tests: a Redis, and two instances with clerks of their own. */
#ifndef UNIT_CLERK_STAGE_H
#define UNIT_CLERK_STAGE_H

#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <string.h>
#include <sys/stat.h>

#include <cmocka.h>

#include "base/log.h"
#include "cache/clerk.h"
#include "redis_server.h"

#define LOG "{test}:log"
#define TIMEOUT_MS PATIENCE_MS
#define SHORT_MS 100

struct instance {
	struct purgelog *local;
	struct clerk *clerk;
	char state_dir[64];
	int64_t timeout_ms; /* how long Redis may take for a purge */
};

/* The cast: a Redis, and two instances with clerks of their own; the loop is that of whoever waits. */
struct stage {
	struct loop *loop;
	struct mailbox *mailbox;
	struct redis_server server;
	char dir[64];
	int64_t began_ms;
	struct instance a, b;
};

static char log_path[64];
static const struct slice page = {"http://a.test/page", 18}, other = {"http://a.test/other", 19};

/* --- the stage --- */

static inline void
instance_init(struct instance *i)
{
	i->local = purgelog_new();
	i->clerk = clerk_new(i->local);
	i->timeout_ms = TIMEOUT_MS;
	snprintf(i->state_dir, sizeof(i->state_dir), "/tmp/forebay-test-clerk-XXXXXX");
	assert_non_null(mkdtemp(i->state_dir));
}

static inline void
use(struct stage *s, struct instance *i, const char *url, bool is_strict, bool has_journal)
{
	const struct clerk_conf conf = {.url = url,
	    .prefix = "test",
	    .state_dir = has_journal ? i->state_dir : NULL,
	    .is_strict = is_strict,
	    .timeout_ms = i->timeout_ms};
	const char *why;

	assert_int_equal(clerk_use(i->clerk, &conf, &why), 0);
}

static inline void
instance_end(struct instance *i)
{
	char path[128];

	clerk_free(&i->clerk);
	purgelog_free(&i->local);
	snprintf(path, sizeof(path), "%s/purges.journal", i->state_dir);
	unlink(path);
	rmdir(i->state_dir);
}

static inline struct clerk_status
status(struct instance *i)
{
	struct clerk_status st;

	clerk_status(i->clerk, &st);
	return st;
}

static inline bool
is_connected(void *arg)
{
	return status(arg).state == CLERK_connected;
}

static inline bool
is_away(void *arg)
{
	return status(arg).state == CLERK_away;
}

static inline bool
has_told_all(void *arg)
{
	return status(arg).metrics.pending == 0;
}

static inline bool
is_in_second_epoch(void *arg)
{
	return status(arg).metrics.epochs == 2 && is_connected(arg);
}

static inline void
await(struct stage *s, bool (*is_so)(void *arg), struct instance *i)
{
	assert_true(run_until(s->loop, is_so, i));
}

static inline int
set_stage(void **state)
{
	struct stage *s = calloc(1, sizeof(*s));

	s->began_ms = clock_mono_ms();
	s->loop = loop_new();
	s->mailbox = mailbox_new(s->loop);
	redis_server_init(&s->server);
	snprintf(s->dir, sizeof(s->dir), "/tmp/forebay-test-redis-XXXXXX");
	assert_non_null(mkdtemp(s->dir));
	snprintf(log_path, sizeof(log_path), "/tmp/forebay-test-cache-clerk.%d.log", (int)getpid());
	log_set_path(log_path);
	instance_init(&s->a);
	instance_init(&s->b);
	*state = s;
	return 0;
}

static inline void
start_redis(struct stage *s)
{
	redis_server_start(&s->server, (const char *const[]){"--dir", s->dir, NULL});
}

static inline int
set_stage_with_redis(void **state)
{
	struct stage *s;

	set_stage(state);
	s = *state;
	start_redis(s);
	use(s, &s->a, s->server.url, false, true);
	await(s, is_connected, &s->a);
	use(s, &s->b, s->server.url, false, true);
	await(s, is_connected, &s->b);
	return 0;
}

static inline int
strike_stage(void **state)
{
	struct stage *s = *state;
	char path[128];

	instance_end(&s->a);
	instance_end(&s->b);
	mailbox_free(&s->mailbox);
	redis_server_kill(&s->server);
	snprintf(path, sizeof(path), "%s/%s", s->dir, s->server.dump);
	unlink(path);
	rmdir(s->dir);
	loop_free(&s->loop);
	log_set_path(NULL);
	unlink(log_path);
	free(s);
	return 0;
}

/* One command, its words parted by blanks; the first line of the answer, or the number in it. */
static inline long long
redis(struct stage *s, const char *command)
{
	struct sockaddr_in at = {.sin_family = AF_INET,
	    .sin_port = htons(s->server.port),
	    .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
	int fd = socket(AF_INET, SOCK_STREAM, 0);
	char line[512];
	ssize_t n;

	while (connect(fd, (struct sockaddr *)&at, sizeof(at)) != 0)
		usleep(1000); /* it is being started */
	assert_int_equal(write(fd, command, strlen(command)), strlen(command));
	assert_int_equal(write(fd, "\r\n", 2), 2);
	n = read(fd, line, sizeof(line) - 1);
	assert_true(n > 1);
	line[n] = '\0';
	if (line[0] == '-')
		fail_msg("%s: %s", command, line);
	close(fd);
	return atoll(line + 1);
}

struct entries {
	struct stage *stage;
	long long least;
};

static inline bool
are_there(void *arg)
{
	struct entries *e = arg;

	return redis(e->stage, "XLEN " LOG) >= e->least;
}

/* So many are in the log, a moment later at the latest: what a lost epoch had is told again. */
static inline void
assert_entries(struct stage *s, long long n)
{
	assert_true(run_until(s->loop, are_there, &(struct entries){s, n}));
	assert_int_equal(redis(s, "XLEN " LOG), n);
}

static inline unsigned
log_lines_with(const char *text)
{
	char log[65536] = "";
	int fd = open(log_path, O_RDONLY);
	unsigned n = 0;

	if (fd >= 0 && read(fd, log, sizeof(log) - 1) < 0)
		abort();
	close(fd);
	for (const char *p = log; (p = strstr(p, text)) != NULL; p++)
		n++;
	return n;
}

/* --- purging and waiting --- */

struct waiter {
	struct clerk_wait wait;
	bool is_done;
	enum purge_level level;
};

static inline void
on_done(struct clerk_wait *w)
{
	struct waiter *waiter = CONTAINER_OF(w, struct waiter, wait);

	waiter->is_done = true;
	waiter->level = w->level;
}

static inline bool
is_done(void *arg)
{
	return ((struct waiter *)arg)->is_done;
}

static inline uint64_t
take(struct instance *i, const char *url)
{
	struct purge p = {.kind = PURGE_EXACT, .what = slice_from(url)};

	return clerk_take(i->clerk, &p, 1);
}

static inline void
wait_for(struct stage *s, struct instance *i, uint64_t serial, bool is_everywhere, struct waiter *w)
{
	*w = (struct waiter){.wait = {.serial = serial,
				 .is_everywhere = is_everywhere,
				 .reply_to = s->mailbox,
				 .done = on_done}};
	clerk_await(i->clerk, &w->wait);
}

static inline enum purge_level
purge(struct stage *s, struct instance *i, const char *url, bool is_everywhere)
{
	struct waiter w;

	wait_for(s, i, take(i, url), is_everywhere, &w);
	assert_true(run_until(s->loop, is_done, &w));
	return w.level;
}

/* Until it has come that far: who waits is answered after some seconds at the latest, and Redis may be slower than that. */
static inline void
wait_until_it_is(struct stage *s, struct instance *i, uint64_t serial, enum purge_level level)
{
	int64_t give_up_ms = clock_mono_ms() + PATIENCE_MS;
	struct waiter w;

	do {
		wait_for(s, i, serial, level == PURGE_EVERYWHERE, &w);
		assert_true(run_until(s->loop, is_done, &w));
	} while (w.level < level && clock_mono_ms() < give_up_ms);
	assert_true(w.level >= level);
}

static inline void
purge_told(struct stage *s, struct instance *i, const char *url)
{
	wait_until_it_is(s, i, take(i, url), PURGE_APPENDED);
}

static inline void
purge_everywhere(struct stage *s, struct instance *i, const char *url)
{
	wait_until_it_is(s, i, take(i, url), PURGE_EVERYWHERE);
}

static inline enum purge_verdict
judged(struct instance *i, struct slice key)
{
	return purgelog_judge_parts(i->local, key, SLICE_NONE, 0);
}

static inline bool
page_is_purged(void *arg)
{
	return judged(arg, page) == PURGE_GONE;
}

static inline off_t
journal_bytes(struct instance *i)
{
	char path[128];
	struct stat st;

	snprintf(path, sizeof(path), "%s/purges.journal", i->state_dir);
	return stat(path, &st) == 0 ? st.st_size : -1;
}

static inline bool
journal_is_written(void *arg)
{
	return journal_bytes(arg) > 0;
}

static inline bool
journal_is_emptied(void *arg)
{
	return journal_bytes(arg) == 0;
}

static inline long long
intents_of(struct stage *s, struct instance *i)
{
	char command[96];

	snprintf(command, sizeof(command), "HLEN " LOG ":intents:%016llx",
	    (unsigned long long)sharedlog_instance(clerk_log(i->clerk)));
	return redis(s, command);
}

#define STAGED(f) cmocka_unit_test_setup_teardown(f, set_stage, strike_stage)
#define WITH_REDIS(f) cmocka_unit_test_setup_teardown(f, set_stage_with_redis, strike_stage)

#endif
