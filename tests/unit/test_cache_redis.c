/* LINK: cache/redis cache/redis_get cache/redis_put cache/l2crew cache/l2breaker cache/l2value cache/l2value_read cache/l2wire cache/sharedlog cache/purgelog cache/key cache/object cache/body cache/slab http/vary http/negotiate http/head http/fields event/redisnet event/redisnet_call event/redisnet_node event/redisnet_map event/redisnode event/redisscout event/rediscluster event/redisio event/redisio_connect event/redisoutbox event/tlsclient event/tls event/tlsgreet event/tlssocket event/tlsstate event/tlswrite event/tlscontext event/tlsidentity event/tlstickets event/fileprint event/drain event/redisreply event/redisurl event/resolver event/address event/srvanswer event/lookup event/stream event/loop event/helpers event/mailbox base/clock base/buf base/mem base/thread base/log base/hash */
#include "cache/redis.h"

#include <event2/event.h>
#include <fcntl.h>
#include <semaphore.h>
#include <setjmp.h>
#include <stdarg.h>
#include <string.h>

#include <cmocka.h>

#include "base/log.h"
#include "cache/l2crew.h"
#include "cache/slab.h"
#include "event/redisio.h"
#include "l2_cast.h"
#include "redis_server.h"

#define TIMEOUT_MS PATIENCE_MS
#define SHORT_MS \
	1500 /* the connection is left some times as long after it: that is not meant where this is */
#define TIMEOUTS_THAT_PAUSE 5
#define VALUE_MAX_BYTES (1 << 20)
#define QUEUE_MAX_BYTES (4 << 20)
#define CREW_MOST_BYTES (32 << 20)

/* The cast: a loop, a Redis, our own line to it, the tier of one instance and that of another. */
struct stage {
	struct loop *loop;
	struct resolver *resolver;
	struct redis_server server;
	struct redisio *line;
	struct slab *slab;
	struct l2_crew *crew;
	struct mailbox *mailbox;
	struct purgelog *local_here, *local_there;
	struct sharedlog *log_here, *log_there; /* both have applied all of it */
	struct l2 *here, *there;
	struct head request;
};

/* One look-up and what it brought. */
struct found {
	struct stage *stage;
	struct l2_get *get;
	unsigned times;
	struct object *object; /* own reference */
	bool then_free;
};

static const struct slice page = {"http://example.org/page", 23};
static char log_path[64];

static void
on_found(void *arg, struct object *o)
{
	struct found *f = arg;

	f->times++;
	f->get = NULL;
	f->object = o == NULL ? NULL : object_ref(o);
	if (f->then_free)
		l2_free(&f->stage->there);
}

static bool
was_found(void *arg)
{
	return ((struct found *)arg)->times > 0;
}

static struct cache_key
key_of(struct slice text)
{
	return (struct cache_key){4711, text};
}

/* --- the stage --- */

/* The one that logs is here, the other there. */
static struct l2 *
open_l2(struct stage *s, const char *url, int64_t timeout_ms, bool logs)
{
	const struct l2_conf conf = {.url = url,
	    .prefix = "test",
	    .secret = "rosebud",
	    .timeout_ms = timeout_ms,
	    .value_max_bytes = VALUE_MAX_BYTES,
	    .write_queue_max_bytes = QUEUE_MAX_BYTES,
	    .log = logs ? s->log_here : s->log_there,
	    .slab = s->slab,
	    .crew = s->crew,
	    .reply_to = s->mailbox,
	    .logs = logs};
	const char *why;

	return l2_new(s->loop, s->resolver, &conf, &why);
}

static bool
is_up(void *arg)
{
	const struct l2_counters *c = l2_counters(arg);

	return c->reads_up && c->writes_up;
}

static bool
reads_are_down(void *arg)
{
	return !l2_counters(arg)->reads_up;
}

static bool
writes_are_down(void *arg)
{
	return !l2_counters(arg)->writes_up;
}

static bool
line_is_up(void *arg)
{
	return redisio_is_up(((struct stage *)arg)->line);
}

static void
open_line(struct stage *s)
{
	const struct redisio_conf conf = {.url = s->server.url,
	    .connect_ms = 10000,
	    .silent_ms = PATIENCE_MS,
	    .in_flight_max = 10,
	    .queue_max_bytes = 4 << 20,
	    .reply_max_bytes = 4 << 20};
	const char *why;

	s->line = redisio_new(s->loop, s->resolver, &conf, NULL, NULL, &why);
	assert_true(run_until(s->loop, line_is_up, s));
}

/* An instance that hears of every purge for the next hour. */
static struct sharedlog *
open_log(struct purgelog *local)
{
	struct sharedlog *log = sharedlog_new(local);

	sharedlog_enter(log, 7, 1);
	sharedlog_settle(log, true);
	sharedlog_grant(log, clock_mono_ms() + 3600 * 1000, 0);
	return log;
}

static int
set_stage(void **state)
{
	struct stage *s = calloc(1, sizeof(*s));

	s->loop = loop_new();
	s->resolver = resolver_new(s->loop, NULL);
	s->slab = slab_new(64 << 20);
	s->crew = l2_crew_new(CREW_MOST_BYTES);
	s->mailbox = mailbox_new(s->loop);
	s->local_here = purgelog_new();
	s->local_there = purgelog_new();
	s->log_here = open_log(s->local_here);
	s->log_there = open_log(s->local_there);
	redis_server_init(&s->server);
	request_of(&s->request, "");
	snprintf(log_path, sizeof(log_path), "/tmp/forebay-test-cache-redis.%d.log", (int)getpid());
	log_set_path(log_path);
	*state = s;
	return s->slab == NULL ? -1 : 0;
}

static int
set_stage_with_redis(void **state)
{
	struct stage *s;

	set_stage(state);
	s = *state;
	redis_server_start(&s->server, NULL);
	open_line(s);
	s->here = open_l2(s, s->server.url, TIMEOUT_MS, true);
	s->there = open_l2(s, s->server.url, TIMEOUT_MS, false);
	return run_until(s->loop, is_up, s->here) && run_until(s->loop, is_up, s->there) ? 0 : -1;
}

static int
strike_stage(void **state)
{
	struct stage *s = *state;

	l2_free(&s->here);
	l2_free(&s->there);
	l2_crew_stop(s->crew);
	mailbox_free(&s->mailbox);
	l2_crew_free(&s->crew);
	sharedlog_free(&s->log_here);
	sharedlog_free(&s->log_there);
	purgelog_free(&s->local_here);
	purgelog_free(&s->local_there);
	redisio_free(&s->line);
	resolver_free(&s->resolver);
	redis_server_kill(&s->server);
	assert_int_equal(slab_usage(s->slab).used_bytes, 0);
	slab_free_all(&s->slab);
	loop_free(&s->loop);
	log_set_path(NULL);
	unlink(log_path);
	free(s);
	return 0;
}

/* What our own line brings, as text. */
struct said {
	unsigned times;
	enum reply_type type;
	int64_t integer;
	char text[256];
};

static void
on_said(void *arg, enum redisio_end end, const struct redis_reply *reply)
{
	struct said *s = arg;

	assert_int_equal(end, REDISIO_ANSWERED);
	s->times++;
	s->type = reply->type;
	s->integer = reply->integer;
	if (reply->type == REPLY_ARRAY && reply->count > 0)
		reply = &reply->items[0];
	snprintf(s->text, sizeof(s->text), "%.*s", SLICE_FMT(reply->text));
}

static bool
was_said(void *arg)
{
	return ((struct said *)arg)->times > 0;
}

static struct said
redis(struct stage *st, const char *fmt, ...)
{
	struct slice argv[16], rest;
	struct said s = {0};
	char words[512];
	unsigned n = 0;
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(words, sizeof(words), fmt, ap);
	va_end(ap);
	for (rest = slice_from(words); rest.n > 0; n++) {
		argv[n] = slice_of(rest.p, slice_index(rest, ' '));
		rest = slice_skip(rest, argv[n].n + (argv[n].n < rest.n));
	}
	redisio_send(st->line,
	    &(struct redisio_command){
		.argv = argv, .argc = n, .timeout_ms = PATIENCE_MS, .done = on_said, .arg = &s},
	    NULL);
	assert_true(run_until(st->loop, was_said, &s));
	return s;
}

static unsigned
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

static uint64_t
count_of(struct l2 *l, enum l2_op op, enum l2_result result)
{
	return l2_counters(l)->requests[op][result];
}

struct counted {
	struct l2 *l2;
	enum l2_op op;
	enum l2_result result;
	uint64_t more_than;
};

static bool
is_counted(void *arg)
{
	struct counted *c = arg;

	return count_of(c->l2, c->op, c->result) > c->more_than;
}

static void
put_fetched(struct stage *st, struct slice key, struct slice vary, struct slice body,
    enum l2_result result, struct l2_stamp fetched)
{
	struct object *o = response_of(key, vary, body, loop_now_ms(st->loop));
	struct counted c = {st->here, L2_OP_put, result, 0};

	c.more_than = count_of(st->here, L2_OP_put, result);
	l2_put(st->here, o, &fetched);
	object_unref(&o);
	assert_true(run_until(st->loop, is_counted, &c));
}

static void
put_and_wait(
    struct stage *st, struct slice key, struct slice vary, struct slice body, enum l2_result result)
{
	put_fetched(st, key, vary, body, result, l2_stamp(st->here));
}

/* Asks the other instance. */
static void
look_up(struct stage *st, struct found *f, struct slice text)
{
	struct cache_key key = key_of(text);

	*f = (struct found){.stage = st, .then_free = f->then_free};
	f->get = l2_get(st->there, &key, &st->request, on_found, f);
	assert_non_null(f->get);
	assert_true(run_until(st->loop, was_found, f));
	assert_int_equal(f->times, 1);
}

static void
assert_found(struct stage *st, struct slice key, const char *body)
{
	char got[4096];
	struct found f = {0};

	look_up(st, &f, key);
	assert_non_null(f.object);
	assert_true(slice_eq(body_text(f.object, got, sizeof(got)), slice_from(body)));
	assert_int_equal(f.object->hash, 4711);
	object_unref(&f.object);
}

static void
assert_not_found(struct stage *st, struct slice key, enum l2_result result)
{
	uint64_t before = count_of(st->there, L2_OP_get, result);
	struct found f = {0};

	look_up(st, &f, key);
	assert_null(f.object);
	assert_int_equal(count_of(st->there, L2_OP_get, result), before + 1);
}

/* --- the play --- */

static void
what_one_instance_stores_another_finds(void **state)
{
	assert_not_found(*state, page, L2_miss);
	put_and_wait(*state, page, SLICE_NONE, SLICE_LIT("spring flood"), L2_done);
	assert_found(*state, page, "spring flood");
	assert_not_found(*state, SLICE_LIT("http://example.org/other"), L2_miss);
}

static void
what_is_stored_leaves_redis_when_nobody_can_use_it(void **state)
{
	struct said name, left;

	put_and_wait(*state, page, SLICE_NONE, SLICE_LIT("x"), L2_done);
	name = redis(*state, "KEYS test:o:*");
	left = redis(*state, "PTTL %s", name.text);
	assert_true(left.integer > 50000 && left.integer <= MINUTE_MS - 1500 + 3000);
}

static void
responses_that_vary_are_found_by_the_request_they_are_for(void **state)
{
	struct stage *s = *state;

	put_and_wait(s, page, SLICE_LIT("accept-language\1de\n"), SLICE_LIT("Flut"), L2_done);
	put_and_wait(s, page, SLICE_LIT("accept-language\1en\n"), SLICE_LIT("flood"), L2_done);
	request_of(&s->request, "Host: example.org\nAccept-Language: DE\n");
	assert_found(s, page, "Flut");
	request_of(&s->request, "Accept-Language: en\nHost: example.org\n");
	assert_found(s, page, "flood");
	request_of(&s->request, "Accept-Language: fr\n");
	assert_not_found(s, page, L2_miss);
	request_of(&s->request, "Host: example.org\n");
	assert_not_found(s, page, L2_miss);
}

static void
a_deleted_response_is_not_found_nor_its_variants(void **state)
{
	struct stage *s = *state;
	struct counted c = {s->here, L2_OP_delete, L2_done, 0};
	struct cache_key key = key_of(page);

	put_and_wait(s, page, SLICE_LIT("accept-language\1de\n"), SLICE_LIT("Flut"), L2_done);
	request_of(&s->request, "Accept-Language: de\n");
	assert_found(s, page, "Flut");
	l2_delete(s->here, &key);
	assert_true(run_until(s->loop, is_counted, &c));
	assert_not_found(s, page, L2_miss);
}

static void
a_value_tampered_with_is_never_used(void **state)
{
	struct said name;

	put_and_wait(*state, page, SLICE_NONE, SLICE_LIT("spring flood"), L2_done);
	name = redis(*state, "KEYS test:o:*");
	redis(*state, "SETRANGE %s 300 X", name.text);
	assert_not_found(*state, page, L2_corrupt);
	redis(*state, "SET %s garbage", name.text);
	assert_not_found(*state, page, L2_corrupt);
	put_and_wait(*state, page, SLICE_NONE, SLICE_LIT("spring flood"), L2_done);
	assert_found(*state, page, "spring flood");
}

static void
a_value_moved_to_another_key_is_not_taken_for_it(void **state)
{
	static const struct slice other = {"http://example.org/admin", 24};
	struct said public, private;

	put_and_wait(*state, page, SLICE_NONE, SLICE_LIT("public"), L2_done);
	public = redis(*state, "KEYS test:o:*");
	redis(*state, "RENAME %s kept", public.text);
	put_and_wait(*state, other, SLICE_NONE, SLICE_LIT("private"), L2_done);
	private = redis(*state, "KEYS test:o:*");
	redis(*state, "RENAME kept %s", private.text);
	assert_not_found(*state, other, L2_miss);
}

static void
too_much_is_neither_written_nor_taken(void **state)
{
	struct stage *s = *state;
	char *big = text_of(VALUE_MAX_BYTES + 1, false);
	struct said name;

	put_and_wait(s, page, SLICE_NONE, slice_of(big, VALUE_MAX_BYTES + 1), L2_too_large);
	put_and_wait(s, page, SLICE_NONE, slice_of(big, VALUE_MAX_BYTES - 100), L2_too_large);
	put_and_wait(s, page, SLICE_NONE, SLICE_LIT("x"), L2_done);
	name = redis(s, "KEYS test:o:*");
	redis(s, "SETRANGE %s %u x", name.text, 3 * VALUE_MAX_BYTES);
	assert_not_found(s, page, L2_too_large);
	assert_true(is_up(s->there));
	free(big);
}

static void
writes_beyond_the_bound_are_dropped(void **state)
{
	struct stage *s = *state;
	char *text = text_of(L2_AT_ONCE_BYTES, false);
	struct object *o =
	    response_of(page, SLICE_NONE, slice_of(text, L2_AT_ONCE_BYTES), loop_now_ms(s->loop));
	struct counted c = {s->here, L2_OP_put, L2_done, 62};
	struct l2_stamp now = l2_stamp(s->here);

	for (int i = 0; i < 100; i++)
		l2_put(s->here, o, &now);
	assert_int_equal(count_of(s->here, L2_OP_put, L2_busy), 37);
	assert_true(run_until(s->loop, is_counted, &c));
	object_unref(&o);
	free(text);
}

static void
what_has_no_life_left_is_not_written(void **state)
{
	struct stage *s = *state;
	struct object *o =
	    response_of(page, SLICE_NONE, SLICE_LIT("x"), loop_now_ms(s->loop) - 2 * MINUTE_MS);
	struct l2_stamp now = l2_stamp(s->here);

	l2_put(s->here, o, &now);
	assert_int_equal(count_of(s->here, L2_OP_put, L2_unfit), 1);
	object_unref(&o);
}

static void
a_full_cache_means_no_object(void **state)
{
	struct stage *s = *state;
	char *big = text_of(VALUE_MAX_BYTES / 2, false);

	put_and_wait(s, page, SLICE_NONE, slice_of(big, VALUE_MAX_BYTES / 2), L2_done);
	slab_resize(s->slab, SLAB_PAGE_BYTES);
	assert_not_found(s, page, L2_memory);
	free(big);
}

/* --- purges --- */

static const struct slice other_page = {"http://example.org/other", 24};

/* Taken here, and applied by both. */
static void
purge(struct stage *s, enum purge_kind kind, const char *what)
{
	struct purge p = {.kind = kind, .what = slice_from(what)};
	uint64_t serial = sharedlog_take(s->log_here, &p, true);

	sharedlog_apply(s->log_here, sharedlog_instance(s->log_here), serial, &p);
	sharedlog_apply(s->log_there, sharedlog_instance(s->log_here), serial, &p);
}

static void
put_both(struct stage *s)
{
	put_and_wait(s, page, SLICE_NONE, SLICE_LIT("page"), L2_done);
	put_and_wait(s, other_page, SLICE_NONE, SLICE_LIT("other"), L2_done);
	assert_found(s, page, "page");
	assert_found(s, other_page, "other");
}

static void
a_purge_here_holds_there_for_what_it_names_only(void **state)
{
	static const char *const names[] = {
	    "http://example.org/page", "example.org/page", "/page", "https://example.org/page"};
	struct stage *s = *state;

	for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
		put_both(s);
		purge(s, PURGE_EXACT, names[i]);
		assert_not_found(s, page, L2_purged);
		assert_found(s, other_page, "other");
	}
	purge(s, PURGE_EXACT, "elsewhere.org/other");
	assert_found(s, other_page, "other");
}

static void
a_purge_by_tag_holds_there_for_every_tag(void **state)
{
	static const char *const tags[] = {"products", "user:7"};
	struct stage *s = *state;

	put_both(s);
	purge(s, PURGE_TAG, "product");
	purge(s, PURGE_TAG, "");
	assert_found(s, page, "page");
	for (size_t i = 0; i < sizeof(tags) / sizeof(tags[0]); i++) {
		put_both(s);
		purge(s, PURGE_TAG, tags[i]);
		assert_not_found(s, page, L2_purged);
		assert_not_found(s, other_page, L2_purged);
	}
}

static void
a_purge_holds_for_all_that_varies(void **state)
{
	struct stage *s = *state;

	request_of(&s->request, "Accept-Language: de\n");
	put_and_wait(s, page, SLICE_LIT("accept-language\1de\n"), SLICE_LIT("Flut"), L2_done);
	assert_found(s, page, "Flut");
	purge(s, PURGE_EXACT, "/page");
	assert_not_found(s, page, L2_purged);
	put_and_wait(s, page, SLICE_LIT("accept-language\1de\n"), SLICE_LIT("Ebbe"), L2_done);
	assert_found(s, page, "Ebbe");
}

static void
a_purge_by_prefix_or_pattern_holds_for_what_it_matches(void **state)
{
	static const enum purge_kind kinds[] = {PURGE_PREFIX, PURGE_PATTERN, PURGE_ALL};
	static const char *const what[] = {"/pa", "/p*ge", ""};
	struct stage *s = *state;

	for (size_t i = 0; i < sizeof(kinds) / sizeof(kinds[0]); i++) {
		put_both(s);
		purge(s, kinds[i], what[i]);
		assert_not_found(s, page, L2_purged);
		if (kinds[i] != PURGE_ALL)
			assert_found(s, other_page, "other");
	}
	assert_not_found(s, other_page, L2_purged);
}

static void
what_was_fetched_before_a_purge_and_is_written_after_it_is_not_found(void **state)
{
	struct stage *s = *state;
	struct l2_stamp before = l2_stamp(s->here);

	purge(s, PURGE_EXACT, "/page");
	put_fetched(s, page, SLICE_NONE, SLICE_LIT("old"), L2_done, before);
	assert_not_found(s, page, L2_purged);
	put_and_wait(s, page, SLICE_NONE, SLICE_LIT("new"), L2_done);
	assert_found(s, page, "new");
}

static void
what_was_fetched_without_the_log_is_not_written(void **state)
{
	struct stage *s = *state;

	put_fetched(s, page, SLICE_NONE, SLICE_LIT("x"), L2_unfit, (struct l2_stamp){0});
	put_fetched(s, page, SLICE_NONE, SLICE_LIT("x"), L2_unfit, (struct l2_stamp){8, 0});
	sharedlog_settle(s->log_here, false);
	assert_int_equal(l2_stamp(s->here).epoch, 0);
}

static void
nothing_is_looked_up_while_purges_may_be_missed(void **state)
{
	struct stage *s = *state;
	struct cache_key key = key_of(page);
	struct found f = {.stage = s};

	put_and_wait(s, page, SLICE_NONE, SLICE_LIT("x"), L2_done);
	sharedlog_revoke(s->log_there);
	assert_null(l2_get(s->there, &key, &s->request, on_found, &f));
	assert_int_equal(count_of(s->there, L2_OP_get, L2_purged), 1);
	sharedlog_grant(s->log_there, clock_mono_ms(), 0);
	assert_found(s, page, "x");
}

static void
a_value_of_another_epoch_is_of_no_use(void **state)
{
	struct stage *s = *state;

	put_and_wait(s, page, SLICE_NONE, SLICE_LIT("x"), L2_done);
	sharedlog_enter(s->log_there, 8, 1);
	assert_not_found(s, page, L2_purged);
}

static void
a_purge_of_ours_holds_before_the_log_has_it(void **state)
{
	struct stage *s = *state;
	struct purge p = {.kind = PURGE_EXACT, .what = SLICE_LIT("/page")};
	struct found f = {0};

	put_both(s);
	sharedlog_take(s->log_there, &p, true);
	look_up(s, &f, page);
	assert_non_null(f.object);
	assert_int_equal(purgelog_judge(s->local_there, f.object), PURGE_GONE);
	object_unref(&f.object);
	look_up(s, &f, other_page);
	assert_int_equal(purgelog_judge(s->local_there, f.object), PURGE_VALID);
	object_unref(&f.object);
}

/* --- when Redis is not well --- */

static void
assert_refused_at_once(struct stage *s)
{
	uint64_t before = count_of(s->there, L2_OP_get, L2_breaker);
	struct cache_key key = key_of(page);
	struct found f = {0};

	assert_null(l2_get(s->there, &key, &s->request, on_found, &f));
	assert_int_equal(count_of(s->there, L2_OP_get, L2_breaker), before + 1);
}

static void
a_redis_that_starts_later_is_found(void **state)
{
	struct stage *s = *state;

	s->here = open_l2(s, s->server.url, TIMEOUT_MS, true);
	s->there = open_l2(s, s->server.url, TIMEOUT_MS, false);
	assert_refused_at_once(s);
	redis_server_start(&s->server, NULL);
	assert_true(run_until(s->loop, is_up, s->here));
	assert_true(run_until(s->loop, is_up, s->there));
	assert_string_equal(l2_trouble(s->here), "");
	put_and_wait(s, page, SLICE_NONE, SLICE_LIT("x"), L2_done);
	assert_found(s, page, "x");
}

static void
a_redis_killed_and_restarted_is_used_again(void **state)
{
	struct stage *s = *state;

	redis_server_kill(&s->server);
	assert_true(run_until(s->loop, reads_are_down, s->there));
	assert_true(run_until(s->loop, writes_are_down, s->here));
	assert_refused_at_once(s);
	assert_string_not_equal(l2_trouble(s->there), "");
	redis_server_start(&s->server, NULL);
	assert_true(run_until(s->loop, is_up, s->here));
	assert_true(run_until(s->loop, is_up, s->there));
	put_and_wait(s, page, SLICE_NONE, SLICE_LIT("x"), L2_done);
	assert_found(s, page, "x");
}

/* The other instance, with a time-out of its own. */
static void
open_there_anew(struct stage *s, int64_t timeout_ms)
{
	l2_free(&s->there);
	s->there = open_l2(s, s->server.url, timeout_ms, false);
	assert_true(run_until(s->loop, is_up, s->there));
}

static void
a_stopped_redis_costs_a_few_time_outs_and_then_nothing(void **state)
{
	struct stage *s = *state;

	struct found f[TIMEOUTS_THAT_PAUSE] = {0};
	struct cache_key key = key_of(page);

	open_there_anew(s, SHORT_MS);
	redis_server_stop(&s->server);
	for (int i = 0; i < TIMEOUTS_THAT_PAUSE; i++)
		assert_non_null(l2_get(s->there, &key, &s->request, on_found, &f[i]));
	for (int i = 0; i < TIMEOUTS_THAT_PAUSE; i++) {
		assert_true(run_until(s->loop, was_found, &f[i]));
		assert_null(f[i].object);
	}
	assert_int_equal(count_of(s->there, L2_OP_get, L2_timeout), TIMEOUTS_THAT_PAUSE);
	assert_refused_at_once(s);
	assert_true(reads_are_down(s->there));
	redis_server_continue(&s->server);
	assert_true(run_until(s->loop, is_up, s->there));
}

static void
a_look_up_given_up_still_teaches_the_breaker(void **state)
{
	struct stage *s = *state;
	struct cache_key key = key_of(page);
	struct found f = {0};
	struct l2_get *g;

	open_there_anew(s, SHORT_MS);
	redis_server_stop(&s->server);
	for (int i = 0; i < TIMEOUTS_THAT_PAUSE; i++) {
		g = l2_get(s->there, &key, &s->request, on_found, &f);
		l2_get_cancel(&g);
		assert_null(g);
	}
	assert_true(run_until(s->loop, reads_are_down, s->there));
	assert_int_equal(f.times, 0);
	redis_server_continue(&s->server);
}

static void
a_full_redis_is_still_read_and_written_again_when_there_is_room(void **state)
{
	struct stage *s = *state;

	put_and_wait(s, page, SLICE_NONE, SLICE_LIT("kept"), L2_done);
	redis(s, "CONFIG SET maxmemory-policy noeviction");
	redis(s, "CONFIG SET maxmemory 1");
	put_and_wait(s, page, SLICE_NONE, SLICE_LIT("new"), L2_error);
	assert_true(writes_are_down(s->here));
	put_and_wait(s, page, SLICE_NONE, SLICE_LIT("new"), L2_breaker);
	assert_found(s, page, "kept");
	assert_non_null(strstr(l2_trouble(s->here), "maxmemory"));
	assert_int_equal(log_lines_with("maxmemory-policy to volatile-lfu (OOM"), 1);
	redis(s, "CONFIG SET maxmemory 0");
	assert_true(run_until(s->loop, is_up, s->here));
	assert_int_equal(log_lines_with("writes go on"), 1);
	put_and_wait(s, page, SLICE_NONE, SLICE_LIT("new"), L2_done);
	assert_found(s, page, "new");
}

static void
a_replica_is_read_but_not_written(void **state)
{
	struct stage *s = *state;

	redis(s, "REPLICAOF 127.0.0.1 1");
	put_and_wait(s, page, SLICE_NONE, SLICE_LIT("x"), L2_error);
	assert_not_found(s, page, L2_miss);
	assert_int_equal(
	    log_lines_with("it is a replica"), 2); /* the refusal, and that writes pause */
	redis(s, "REPLICAOF NO ONE");
	assert_true(run_until(s->loop, is_up, s->here));
}

static void
a_key_of_somebody_else_is_an_error_but_no_outage(void **state)
{
	struct stage *s = *state;
	struct said name;

	put_and_wait(s, page, SLICE_NONE, SLICE_LIT("x"), L2_done);
	name = redis(s, "KEYS test:o:*");
	redis(s, "DEL %s", name.text);
	redis(s, "LPUSH %s x", name.text);
	for (int i = 0; i < 10; i++)
		assert_not_found(s, page, L2_error);
	assert_true(is_up(s->there));
	put_and_wait(s, page, SLICE_NONE, SLICE_LIT("x"), L2_done); /* PSETEX replaces any type */
	assert_found(s, page, "x");
}

static void
rights_that_are_missing_pause_that_side_only(void **state)
{
	struct stage *s = *state;

	redis(s, "ACL SETUSER default -psetex");
	put_and_wait(s, page, SLICE_NONE, SLICE_LIT("x"), L2_error);
	assert_true(writes_are_down(s->here));
	assert_not_found(s, page, L2_miss);
	assert_int_equal(log_lines_with("ACL does not allow"), 2);
	redis(s, "ACL SETUSER default +psetex");
	assert_true(run_until(s->loop, is_up, s->here));
}

/* What is no Redis: it greets like a web server. */
static void
on_stranger(evutil_socket_t fd, short what, void *arg)
{
	int peer = accept(fd, NULL, NULL);

	if (write(peer, "HTTP/1.1 400 Bad Request\r\n\r\n", 28) != 28)
		abort();
	(*(unsigned *)arg)++;
	close(peer);
}

static bool
were_many(void *arg)
{
	return *(unsigned *)arg >= 4;
}

static void
something_else_at_redis_address_is_never_used(void **state)
{
	struct sockaddr_in at = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
	struct stage *s = *state;
	int fd = socket(AF_INET, SOCK_STREAM, 0);
	const int one = 1;
	struct event *e;
	unsigned visits = 0;

	at.sin_port = htons(s->server.port);
	setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof(one));
	assert_int_equal(bind(fd, (struct sockaddr *)&at, sizeof(at)), 0);
	assert_int_equal(listen(fd, 8), 0);
	e = event_new(loop_base(s->loop), fd, EV_READ | EV_PERSIST, on_stranger, &visits);
	event_add(e, NULL);
	s->there = open_l2(s, s->server.url, TIMEOUT_MS, true);
	assert_true(run_until(s->loop, were_many, &visits));
	assert_refused_at_once(s);
	assert_int_equal(log_lines_with("warning"), 1);
	event_free(e);
	close(fd);
}

/* --- ends --- */

static void
it_ends_cleanly_with_everything_under_way(void **state)
{
	struct stage *s = *state;
	struct cache_key key = key_of(page);
	struct found f[3] = {0};

	put_and_wait(s, page, SLICE_NONE, SLICE_LIT("x"), L2_done);
	redis_server_stop(&s->server);
	for (int i = 0; i < 3; i++)
		f[i].get = l2_get(s->there, &key, &s->request, on_found, &f[i]);
	l2_get_cancel(&f[1].get);
	l2_delete(s->there, &key);
	l2_free(&s->there);
	assert_null(s->there);
	redis_server_continue(&s->server);
	put_and_wait(s, page, SLICE_NONE, SLICE_LIT("y"), L2_done);
	assert_int_equal(f[0].times, 1); /* told that nothing was found */
	assert_int_equal(f[1].times, 0);
	assert_int_equal(f[2].times, 1);
	assert_null(f[0].object);
}

static void
it_may_end_in_a_callback(void **state)
{
	struct stage *s = *state;
	struct cache_key key = key_of(page);
	struct found first = {.stage = s, .then_free = true}, second = {.stage = s};

	put_and_wait(s, page, SLICE_NONE, SLICE_LIT("x"), L2_done);
	l2_get(s->there, &key, &s->request, on_found, &first);
	l2_get(s->there, &key, &s->request, on_found, &second);
	assert_true(run_until(s->loop, was_found, &first));
	assert_non_null(first.object);
	object_unref(&first.object);
	assert_int_equal(second.times, 1);
	assert_null(second.object);
}

/* --- what is long: made and read by the crew --- */

#define LONG_BYTES (900 * 1024)

static void
put_long(struct stage *s, struct slice key, bool packs)
{
	char *text = text_of(LONG_BYTES, packs);
	struct object *o =
	    response_of(key, SLICE_NONE, slice_of(text, LONG_BYTES), loop_now_ms(s->loop));
	struct l2_stamp now = l2_stamp(s->here);

	l2_put(s->here, o, &now);
	object_unref(&o);
	free(text);
}

static void
wait_put(struct stage *s, enum l2_result result)
{
	struct counted c = {s->here, L2_OP_put, result, 0};

	assert_true(run_until(s->loop, is_counted, &c));
}

static void
assert_long_found(struct stage *s, struct slice key, bool packs)
{
	char *text = text_of(LONG_BYTES, packs), *got = malloc(LONG_BYTES);
	struct found f = {0};

	look_up(s, &f, key);
	assert_non_null(f.object);
	assert_int_equal(body_length(f.object->body), LONG_BYTES);
	assert_true(slice_eq(body_text(f.object, got, LONG_BYTES), slice_of(text, LONG_BYTES)));
	assert_ptr_equal(object_slab(f.object), s->slab);
	object_unref(&f.object);
	free(text);
	free(got);
}

static void
long_text_is_packed_and_what_does_not_pack_is_there_as_it_is(void **state)
{
	struct stage *s = *state;
	struct said name, bytes;

	for (int packs = 0; packs < 2; packs++) {
		redis(s, "FLUSHALL");
		put_long(s, page, packs);
		assert_int_equal(count_of(s->here, L2_OP_put, L2_done), packs);
		assert_true(run_until(s->loop, is_counted,
		    &(struct counted){s->here, L2_OP_put, L2_done, (uint64_t)packs}));
		name = redis(s, "KEYS test:o:*");
		bytes = redis(s, "STRLEN %s", name.text);
		assert_true(packs ? bytes.integer < LONG_BYTES / 50 : bytes.integer > LONG_BYTES);
		assert_long_found(s, page, packs);
	}
}

static void
a_long_response_that_varies_is_found_by_its_index(void **state)
{
	struct stage *s = *state;
	char *text = text_of(LONG_BYTES, true);

	put_and_wait(
	    s, page, SLICE_LIT("accept-language\1de\n"), slice_of(text, LONG_BYTES), L2_done);
	request_of(&s->request, "Accept-Language: de\n");
	assert_long_found(s, page, true);
	request_of(&s->request, "Accept-Language: fr\n");
	assert_not_found(s, page, L2_miss);
	free(text);
}

static void
a_newer_response_is_not_overwritten_by_one_that_was_being_made(void **state)
{
	struct stage *s = *state;

	put_long(s, page, true);
	put_and_wait(s, page, SLICE_NONE, SLICE_LIT("newer"), L2_done);
	wait_put(s, L2_outdated);
	assert_found(s, page, "newer");
	put_long(s, page, false);
	put_long(s, page, true);
	assert_true(
	    run_until(s->loop, is_counted, &(struct counted){s->here, L2_OP_put, L2_done, 1}));
	assert_int_equal(count_of(s->here, L2_OP_put, L2_outdated), 2);
	assert_long_found(s, page, true);
}

static void
nor_is_one_that_another_worker_wrote(void **state)
{
	struct stage *s = *state;
	struct counted c = {s->there, L2_OP_put, L2_done, 0};
	struct object *o = response_of(page, SLICE_NONE, SLICE_LIT("newer"), loop_now_ms(s->loop));
	struct l2_stamp now = l2_stamp(s->there);

	put_long(s, page, true);
	l2_put(s->there, o, &now);
	wait_put(s, L2_outdated);
	assert_true(run_until(s->loop, is_counted, &c));
	assert_found(s, page, "newer");
	object_unref(&o);
}

static void
what_is_purged_while_it_is_being_made_is_not_written(void **state)
{
	struct stage *s = *state;

	put_long(s, page, true);
	put_long(s, other_page, true);
	purge(s, PURGE_EXACT, "/page");
	wait_put(s, L2_purged);
	wait_put(s, L2_done);
	assert_not_found(s, page, L2_miss);
	assert_long_found(s, other_page, true);
}

static void
long_values_beyond_the_bound_are_not_written(void **state)
{
	struct stage *s = *state;
	unsigned fit = CREW_MOST_BYTES / LONG_BYTES;
	char name[32];

	for (unsigned i = 0; i < fit + 5; i++) {
		snprintf(name, sizeof(name), "http://example.org/%u", i);
		put_long(s, slice_from(name), true);
	}
	assert_int_equal(count_of(s->here, L2_OP_put, L2_busy), 5);
	assert_true(run_until(
	    s->loop, is_counted, &(struct counted){s->here, L2_OP_put, L2_done, fit - 1}));
	assert_long_found(s, SLICE_LIT("http://example.org/0"), true);
}

static void
a_long_value_tampered_with_or_cut_short_is_never_used(void **state)
{
	static const char cut[] = "redis.call('SET',KEYS[1],redis.call('GETRANGE',KEYS[1],0,-9))";
	struct stage *s = *state;
	struct said name;

	for (int packs = 0; packs < 2; packs++) {
		put_long(s, page, packs);
		assert_true(run_until(s->loop, is_counted,
		    &(struct counted){s->here, L2_OP_put, L2_done, 2 * (uint64_t)packs}));
		name = redis(s, "KEYS test:o:*");
		redis(s, "SETRANGE %s 400 X", name.text);
		assert_not_found(s, page, L2_corrupt);
		put_long(s, page, packs);
		assert_true(run_until(s->loop, is_counted,
		    &(struct counted){s->here, L2_OP_put, L2_done, 2 * (uint64_t)packs + 1}));
		redis(s, "EVAL %s 1 %s", cut, name.text);
		assert_not_found(s, page, L2_corrupt);
	}
}

static sem_t gate;
static _Atomic bool is_at_gate;

/* Who wants memory, and is no loop, waits. */
static bool
wait_at_gate(void *arg, size_t bytes, unsigned attempt)
{
	atomic_store(&is_at_gate, true);
	while (sem_wait(&gate) != 0)
		;
	return false;
}

static void
close_gate(struct stage *s)
{
	sem_init(&gate, 0, 0);
	atomic_store(&is_at_gate, false);
	slab_set_pressure(s->slab, wait_at_gate, NULL);
	slab_resize(s->slab, SLAB_PAGE_BYTES);
}

static bool
somebody_is_at_gate(void *arg)
{
	return atomic_load(&is_at_gate);
}

static bool
has_found(void *arg)
{
	return l2_get_has_found(((struct found *)arg)->get);
}

static void
reading_that_takes_too_long_is_given_up_in_time(void **state)
{
	struct stage *s = *state;

	put_long(s, page, true);
	wait_put(s, L2_done);
	open_there_anew(s, SHORT_MS);
	close_gate(s);
	assert_not_found(s, page, L2_timeout);
	assert_true(is_up(s->there)); /* Redis was quick */
	sem_post(&gate);
}

static void
who_has_found_something_may_give_it_up_or_end(void **state)
{
	struct stage *s = *state;
	struct cache_key key = key_of(page);
	struct found first = {.stage = s}, second = {.stage = s};

	put_long(s, page, true);
	wait_put(s, L2_done);
	close_gate(s);
	first.get = l2_get(s->there, &key, &s->request, on_found, &first);
	assert_false(l2_get_has_found(first.get));
	assert_true(run_until(s->loop, somebody_is_at_gate, NULL));
	assert_true(l2_get_has_found(first.get));
	l2_get_cancel(&first.get);
	assert_int_equal(count_of(s->there, L2_OP_get, L2_cancelled), 1);
	second.get = l2_get(s->there, &key, &s->request, on_found, &second);
	assert_true(run_until(s->loop, has_found, &second));
	l2_free(&s->there);
	assert_int_equal(first.times, 0);
	assert_int_equal(second.times, 1);
	assert_null(second.object);
	sem_post(&gate);
	sem_post(&gate);
}

static void
a_tier_may_end_while_something_is_made_for_it(void **state)
{
	struct stage *s = *state;

	put_long(s, page, true);
	put_long(s, other_page, false);
	l2_free(&s->here);
}

static void
a_wrong_url_is_refused(void **state)
{
	struct stage *s = *state;

	assert_null(open_l2(s, "redis://h:0", TIMEOUT_MS, false));
}

#define STAGED(f) cmocka_unit_test_setup_teardown(f, set_stage, strike_stage)
#define WITH_REDIS(f) cmocka_unit_test_setup_teardown(f, set_stage_with_redis, strike_stage)

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    WITH_REDIS(what_one_instance_stores_another_finds),
	    WITH_REDIS(what_is_stored_leaves_redis_when_nobody_can_use_it),
	    WITH_REDIS(responses_that_vary_are_found_by_the_request_they_are_for),
	    WITH_REDIS(a_deleted_response_is_not_found_nor_its_variants),
	    WITH_REDIS(a_value_tampered_with_is_never_used),
	    WITH_REDIS(a_value_moved_to_another_key_is_not_taken_for_it),
	    WITH_REDIS(too_much_is_neither_written_nor_taken),
	    WITH_REDIS(writes_beyond_the_bound_are_dropped),
	    WITH_REDIS(what_has_no_life_left_is_not_written),
	    WITH_REDIS(a_full_cache_means_no_object),
	    WITH_REDIS(a_purge_here_holds_there_for_what_it_names_only),
	    WITH_REDIS(a_purge_by_tag_holds_there_for_every_tag),
	    WITH_REDIS(a_purge_holds_for_all_that_varies),
	    WITH_REDIS(a_purge_by_prefix_or_pattern_holds_for_what_it_matches),
	    WITH_REDIS(what_was_fetched_before_a_purge_and_is_written_after_it_is_not_found),
	    WITH_REDIS(what_was_fetched_without_the_log_is_not_written),
	    WITH_REDIS(nothing_is_looked_up_while_purges_may_be_missed),
	    WITH_REDIS(a_value_of_another_epoch_is_of_no_use),
	    WITH_REDIS(a_purge_of_ours_holds_before_the_log_has_it),
	    STAGED(a_redis_that_starts_later_is_found),
	    WITH_REDIS(a_redis_killed_and_restarted_is_used_again),
	    WITH_REDIS(a_stopped_redis_costs_a_few_time_outs_and_then_nothing),
	    WITH_REDIS(a_look_up_given_up_still_teaches_the_breaker),
	    WITH_REDIS(a_full_redis_is_still_read_and_written_again_when_there_is_room),
	    WITH_REDIS(a_replica_is_read_but_not_written),
	    WITH_REDIS(a_key_of_somebody_else_is_an_error_but_no_outage),
	    WITH_REDIS(rights_that_are_missing_pause_that_side_only),
	    STAGED(something_else_at_redis_address_is_never_used),
	    WITH_REDIS(it_ends_cleanly_with_everything_under_way),
	    WITH_REDIS(it_may_end_in_a_callback),
	    WITH_REDIS(long_text_is_packed_and_what_does_not_pack_is_there_as_it_is),
	    WITH_REDIS(a_long_response_that_varies_is_found_by_its_index),
	    WITH_REDIS(a_newer_response_is_not_overwritten_by_one_that_was_being_made),
	    WITH_REDIS(nor_is_one_that_another_worker_wrote),
	    WITH_REDIS(what_is_purged_while_it_is_being_made_is_not_written),
	    WITH_REDIS(long_values_beyond_the_bound_are_not_written),
	    WITH_REDIS(a_long_value_tampered_with_or_cut_short_is_never_used),
	    WITH_REDIS(reading_that_takes_too_long_is_given_up_in_time),
	    WITH_REDIS(who_has_found_something_may_give_it_up_or_end),
	    WITH_REDIS(a_tier_may_end_while_something_is_made_for_it),
	    STAGED(a_wrong_url_is_refused),
	};

	return cmocka_run_group_tests_name("cache/redis", tests, NULL, NULL);
}
