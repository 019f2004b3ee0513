/* LINK: event/redisnet event/redisnet_call event/redisnet_node event/redisnet_map event/redisnode event/redisscout event/rediscluster event/redisio event/redisio_connect event/redisoutbox event/tlsclient event/tls event/tlsgreet event/tlssocket event/tlsstate event/tlswrite event/tlscontext event/tlsidentity event/tlstickets event/fileprint event/drain event/redisreply event/redisurl event/resolver event/address event/srvanswer event/lookup event/stream event/loop base/clock base/buf base/mem base/log base/hash */
#include "event/redisnet.h"

#include <setjmp.h>
#include <stdarg.h>
#include <string.h>
#include <sys/un.h>

#include <cmocka.h>

#include "event/rediscluster.h"
#include "redis_server.h"

#define LONG_MS PATIENCE_MS
#define SHORT_MS 30
#define NODES 3
#define KEYS 60
#define TIMEOUTS_THAT_PAUSE 5
#define TIMEOUTS_MOST 9 /* where this process was stopped for longer than each pause: they double */

/* Of all tests: three masters, and what they serve. */
static struct redis_server cluster[NODES];
static uint16_t bus[NODES];
static char cluster_url[128];

/* The cast: a loop, the way to Redis, and what it told. */
struct stage {
	struct loop *loop;
	struct resolver *resolver;
	struct redisnet *net;
	unsigned ups, downs;
};

/* One command and what became of it. */
struct said {
	struct stage *stage;
	unsigned times;
	enum redisio_end end;
	enum reply_type type;
	char text[80];
	bool then_free;
};

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
	s->end = end;
	if (reply != NULL) {
		s->type = reply->type;
		snprintf(s->text, sizeof(s->text), "%.*s",
		    (int)(reply->text.n < 79 ? reply->text.n : 79),
		    reply->text.p == NULL ? "" : reply->text.p);
	}
	if (s->then_free)
		redisnet_free(&s->stage->net);
}

static bool
is_said(void *arg)
{
	return ((struct said *)arg)->times > 0;
}

static bool
is_up(void *arg)
{
	return redisnet_is_up(((struct stage *)arg)->net);
}

static bool
is_down(void *arg)
{
	return !is_up(arg);
}

static enum redisio_sent
say(struct stage *st, struct said *s, int64_t timeout_ms, const char *a, const char *b,
    const char *c)
{
	const struct slice argv[3] = {slice_from(a), slice_from(b), slice_from(c)};

	*s = (struct said){.stage = st, .then_free = s->then_free};
	return redisnet_send(st->net,
	    &(struct redisio_command){.argv = argv,
		.argc = c == NULL ? 2 : 3,
		.timeout_ms = timeout_ms,
		.done = on_said,
		.arg = s},
	    NULL);
}

/* The answer, in words. */
static const char *
ask(struct stage *st, const char *a, const char *b, const char *c)
{
	static struct said s;

	s.then_free = false;
	if (say(st, &s, LONG_MS, a, b, c) != REDISIO_SENT)
		return "(not sent)";
	assert_true(run_until(st->loop, is_said, &s));
	assert_int_equal(s.end, REDISIO_ANSWERED);
	return s.text;
}

/* --- the stage --- */

/* What redis-cli says to a server's port. */
static void cli(char *out, size_t cap, uint16_t port, const char *fmt, ...)
    __attribute__((format(printf, 4, 5)));
static void
cli(char *out, size_t cap, uint16_t port, const char *fmt, ...)
{
	char words[400], command[512];
	va_list ap;
	FILE *from;
	size_t n;

	va_start(ap, fmt);
	vsnprintf(words, sizeof(words), fmt, ap);
	va_end(ap);
	snprintf(command, sizeof(command), "redis-cli -p %u %s 2>&1", port, words);
	from = popen(command, "r");
	assert_non_null(from);
	n = fread(out, 1, cap - 1, from);
	while (n > 0 && out[n - 1] == '\n')
		n--;
	out[n] = '\0';
	pclose(from);
}

static bool
says(uint16_t port, const char *words, const char *expected)
{
	char out[4096];

	cli(out, sizeof(out), port, "%s", words);
	return strstr(out, expected) != NULL;
}

static void
wait_for_words(uint16_t port, const char *words, const char *expected)
{
	int64_t end_ms = clock_mono_ms() + PATIENCE_MS;

	while (!says(port, words, expected)) {
		assert_true(clock_mono_ms() < end_ms);
		usleep(20000);
	}
}

static int
found_cluster(void **state)
{
	char out[256];

	for (unsigned i = 0; i < NODES; i++) {
		char bus_port[8], file[64];
		const char *extra[] = {"--cluster-enabled", "yes", "--cluster-port", bus_port,
		    "--cluster-config-file", file, "--cluster-require-full-coverage", "no",
		    "--cluster-node-timeout", "60000", NULL};

		redis_server_init(&cluster[i]);
		bus[i] = free_port();
		snprintf(bus_port, sizeof(bus_port), "%u", bus[i]);
		snprintf(file, sizeof(file), "forebay-nodes-%u.conf", cluster[i].port);
		redis_server_start(&cluster[i], extra);
	}
	for (unsigned i = 0; i < NODES; i++) {
		wait_for_words(cluster[i].port, "PING", "PONG");
		cli(out, sizeof(out), cluster[i].port, "CLUSTER ADDSLOTSRANGE %u %u",
		    i * REDIS_SLOTS / NODES, (i + 1) * REDIS_SLOTS / NODES - 1);
		cli(out, sizeof(out), cluster[i].port, "CLUSTER SET-CONFIG-EPOCH %u", i + 1);
		if (i > 0)
			cli(out, sizeof(out), cluster[0].port, "CLUSTER MEET 127.0.0.1 %u %u",
			    cluster[i].port, bus[i]);
	}
	for (unsigned i = 0; i < NODES; i++) {
		wait_for_words(cluster[i].port, "CLUSTER INFO", "cluster_slots_assigned:16384");
		wait_for_words(cluster[i].port, "CLUSTER INFO", "cluster_state:ok");
	}
	snprintf(cluster_url, sizeof(cluster_url), "redis+cluster://127.0.0.1:1,127.0.0.1:%u",
	    cluster[0].port);
	return 0;
}

static int
dissolve_cluster(void **state)
{
	char file[64];

	for (unsigned i = 0; i < NODES; i++) {
		redis_server_kill(&cluster[i]);
		snprintf(file, sizeof(file), "/tmp/forebay-nodes-%u.conf", cluster[i].port);
		unlink(file);
	}
	return 0;
}

static int
set_stage(void **state)
{
	struct stage *s = calloc(1, sizeof(*s));

	s->loop = loop_new();
	s->resolver = resolver_new(s->loop, NULL);
	*state = s;
	return 0;
}

static int
strike_stage(void **state)
{
	struct stage *s = *state;

	redisnet_free(&s->net);
	resolver_free(&s->resolver);
	loop_free(&s->loop);
	free(s);
	return 0;
}

static void
open_net(struct stage *s, const char *url)
{
	const struct redisio_conf conf = {.url = url,
	    .connect_ms = 10000,
	    .silent_ms = LONG_MS,
	    .in_flight_max = 100,
	    .queue_max_bytes = 1 << 20,
	    .reply_max_bytes = 4096};
	const char *why;

	s->net = redisnet_new(s->loop, s->resolver, &conf, &watcher, s, &why);
	assert_non_null(s->net);
	assert_true(run_until(s->loop, is_up, s));
}

/* All nodes: what fails would be told. */
static bool
has_no_trouble(void *arg)
{
	return redisnet_trouble(((struct stage *)arg)->net)[0] == '\0';
}

static void
open_cluster(struct stage *s)
{
	open_net(s, cluster_url);
	assert_true(run_until(s->loop, has_no_trouble, s));
	assert_true(redisnet_has_nodes(s->net));
}

static unsigned
node_of(const char *key)
{
	unsigned i = 0;

	while (redis_slot(slice_from(key)) >= (i + 1) * REDIS_SLOTS / NODES)
		i++;
	return i;
}

/* Of the cluster: the key is on that node. */
static bool
is_at(const char *key, unsigned node)
{
	char words[64];

	snprintf(words, sizeof(words), "EXISTS %s", key);
	return says(cluster[node].port, words, "1");
}

static void
id_of(unsigned node, char out[64])
{
	cli(out, 64, cluster[node].port, "CLUSTER MYID");
}

/* Begins to move the key's slot from its node to another. */
static void
begin_move(const char *key, unsigned from, unsigned to)
{
	char from_id[64], to_id[64], out[128];
	unsigned slot = redis_slot(slice_from(key));

	id_of(from, from_id);
	id_of(to, to_id);
	cli(out, sizeof(out), cluster[to].port, "CLUSTER SETSLOT %u IMPORTING %s", slot, from_id);
	cli(out, sizeof(out), cluster[from].port, "CLUSTER SETSLOT %u MIGRATING %s", slot, to_id);
	cli(out, sizeof(out), cluster[from].port, "MIGRATE 127.0.0.1 %u %s 0 60000",
	    cluster[to].port, key);
}

static void
end_move(const char *key, unsigned from, unsigned to)
{
	char id[64], out[128];

	id_of(to, id);
	cli(out, sizeof(out), cluster[to].port, "CLUSTER SETSLOT %u NODE %s",
	    redis_slot(slice_from(key)), id);
	cli(out, sizeof(out), cluster[from].port, "CLUSTER SETSLOT %u NODE %s",
	    redis_slot(slice_from(key)), id);
}

/* --- a cluster --- */

static void
each_key_is_kept_by_the_node_of_its_slot(void **state)
{
	struct stage *s = *state;
	unsigned at[NODES] = {0};
	char key[16];

	open_cluster(s);
	for (unsigned i = 0; i < KEYS; i++) {
		snprintf(key, sizeof(key), "k%u", i);
		assert_string_equal(ask(s, "SET", key, key), "OK");
		at[node_of(key)]++;
	}
	for (unsigned i = 0; i < KEYS; i++) {
		snprintf(key, sizeof(key), "k%u", i);
		assert_string_equal(ask(s, "GET", key, NULL), key);
		assert_true(i >= NODES || is_at(key, node_of(key)));
	}
	for (unsigned i = 0; i < NODES; i++)
		assert_true(at[i] > 0);
	assert_int_equal(s->ups, 1);
}

static void
a_slot_that_has_moved_is_found_where_it_is_now(void **state)
{
	struct stage *s = *state;
	unsigned from = node_of("moved"), to = (from + 1) % NODES;

	open_cluster(s);
	assert_string_equal(ask(s, "SET", "moved", "1"), "OK");
	begin_move("moved", from, to);
	end_move("moved", from, to);
	assert_string_equal(ask(s, "GET", "moved", NULL), "1");
	assert_true(is_at("moved", to));
	begin_move("moved", to, from);
	end_move("moved", to, from);
	assert_string_equal(ask(s, "GET", "moved", NULL), "1");
}

static void
a_slot_on_its_way_is_read_and_written_at_both_ends(void **state)
{
	struct stage *s = *state;
	unsigned from = node_of("{moving}"), to = (from + 1) % NODES;

	open_cluster(s);
	assert_string_equal(ask(s, "SET", "{moving}", "1"), "OK");
	assert_string_equal(ask(s, "SET", "{moving}stays", "2"), "OK");
	begin_move("{moving}", from, to);
	assert_string_equal(ask(s, "GET", "{moving}", NULL), "1");
	assert_string_equal(ask(s, "GET", "{moving}stays", NULL), "2");
	assert_string_equal(ask(s, "SET", "{moving}new", "3"), "OK");
	assert_string_equal(ask(s, "GET", "{moving}new", NULL), "3");
	assert_string_equal(ask(s, "DEL", "{moving}new", NULL), "");
	assert_string_equal(ask(s, "DEL", "{moving}stays", NULL), "");
	end_move("{moving}", from, to);
	assert_string_equal(ask(s, "GET", "{moving}", NULL), "1");
	begin_move("{moving}", to, from);
	end_move("{moving}", to, from);
}

static bool
is_in_trouble(void *arg)
{
	return strstr(redisnet_trouble(((struct stage *)arg)->net), "1 of 3 nodes in trouble") !=
	    NULL;
}

static void
a_node_that_hangs_takes_no_other_with_it(void **state)
{
	struct stage *s = *state;
	struct said said = {0};
	const char *key = "hangs";
	unsigned tries = 0;
	char port[16], other[16] = "k0";

	open_cluster(s);
	for (unsigned i = 1; node_of(other) == node_of(key); i++)
		snprintf(other, sizeof(other), "k%u", i);
	snprintf(port, sizeof(port), ":%u", cluster[node_of(key)].port);
	redis_server_stop(&cluster[node_of(key)]);
	while (say(s, &said, SHORT_MS, "GET", key, NULL) == REDISIO_SENT) {
		assert_true(run_until(s->loop, is_said, &said));
		assert_int_not_equal(said.end, REDISIO_ANSWERED);
		assert_true(++tries <= TIMEOUTS_MOST);
		assert_string_equal(ask(s, "SET", other, "here"), "OK");
	}
	assert_true(tries >= TIMEOUTS_THAT_PAUSE);
	assert_true(is_in_trouble(s));
	assert_non_null(strstr(redisnet_trouble(s->net), port));
	assert_string_equal(ask(s, "GET", other, NULL), "here");
	assert_true(redisnet_is_up(s->net));
	assert_int_equal(s->downs, 0);
	redis_server_continue(&cluster[node_of(key)]);
	while (say(s, &said, LONG_MS, "GET", key, NULL) != REDISIO_SENT ||
	    !run_until(s->loop, is_said, &said) || said.end != REDISIO_ANSWERED)
		assert_true(run_until(s->loop, is_up, s));
	assert_true(run_until(s->loop, has_no_trouble, s));
}

static void
who_has_a_home_hears_of_its_node_only(void **state)
{
	struct stage *s = *state;
	unsigned home = node_of("home"), other = (home + 1) % NODES;
	char out[64];

	open_cluster(s);
	redisnet_set_home(s->net, SLICE_LIT("home"));
	cli(out, sizeof(out), cluster[other].port, "CLIENT KILL TYPE normal");
	assert_string_equal(ask(s, "SET", "home", "x"), "OK");
	assert_int_equal(s->downs, 0);
	cli(out, sizeof(out), cluster[home].port, "CLIENT KILL TYPE normal");
	assert_true(run_until(s->loop, is_down, s));
	assert_int_equal(s->downs, 1);
	assert_true(run_until(s->loop, is_up, s));
	assert_int_equal(s->ups, 2);
}

static void
it_may_be_freed_in_the_callback_of_a_command(void **state)
{
	struct stage *s = *state;
	struct said first = {.then_free = true}, second = {0};

	open_cluster(s);
	assert_int_equal(say(s, &first, LONG_MS, "GET", "a", NULL), REDISIO_SENT);
	assert_int_equal(say(s, &second, LONG_MS, "GET", "a", NULL), REDISIO_SENT);
	assert_true(run_until(s->loop, is_said, &first));
	assert_null(s->net);
	assert_int_equal(second.times, 0);
}

/* --- sentinels --- */

static bool
is_writable(void *arg)
{
	struct stage *s = arg;
	struct said said = {0};

	return say(s, &said, LONG_MS, "SET", "a", "2") == REDISIO_SENT &&
	    run_until(s->loop, is_said, &said) && strcmp(said.text, "OK") == 0;
}

/* It leaves to the test when somebody is down: of who is slow it would think so, too. */
static void
start_sentinel(struct redis_server *s, const struct redis_server *master, const char *directory)
{
	char path[96], text[512];
	FILE *to;

	redis_server_init(s);
	snprintf(path, sizeof(path), "%s/sentinel.conf", directory);
	to = fopen(path, "w");
	assert_non_null(to);
	snprintf(text, sizeof(text),
	    "port %u\nbind 127.0.0.1\nsentinel monitor m 127.0.0.1 %u 1\n"
	    "sentinel down-after-milliseconds m 3600000\nsentinel failover-timeout m 60000\n",
	    s->port, master->port);
	fputs(text, to);
	fclose(to);
	s->pid = fork();
	if (s->pid != 0)
		return;
	prctl(PR_SET_PDEATHSIG, SIGKILL);
	if (freopen("/dev/null", "w", stdout) == NULL)
		_exit(1);
	execl("/usr/bin/redis-server", "redis-server", path, "--sentinel", (char *)NULL);
	_exit(1);
}

static void
the_new_master_is_found_when_the_old_one_dies(void **state)
{
	struct stage *s = *state;
	struct redis_server master, replica, sentinel;
	char port[8], url[128], directory[] = "/tmp/forebay-sentinel-XXXXXX", sweep[64];
	const char *of_master[] = {
	    "--replicaof", "127.0.0.1", port, "--repl-diskless-sync-delay", "0", NULL};
	const char *extra[] = {"--repl-diskless-sync-delay", "0", NULL};

	redis_server_init(&master);
	redis_server_init(&replica);
	snprintf(port, sizeof(port), "%u", master.port);
	redis_server_start(&master, extra);
	redis_server_start(&replica, of_master);
	wait_for_words(replica.port, "ROLE", "connected");
	assert_non_null(mkdtemp(directory));
	start_sentinel(&sentinel, &master, directory);
	wait_for_words(sentinel.port, "SENTINEL REPLICAS m", "master-link-status\nok");
	snprintf(url, sizeof(url), "redis+sentinel://127.0.0.1:1,127.0.0.1:%u/m", sentinel.port);
	open_net(s, url);
	assert_string_equal(ask(s, "SET", "a", "1"), "OK");
	assert_false(redisnet_has_nodes(s->net));
	redis_server_kill(&master);
	assert_true(run_until(s->loop, is_down, s));
	wait_for_words(sentinel.port, "SENTINEL FAILOVER m", "OK");
	while (!is_writable(s))
		assert_true(run_until(s->loop, is_up, s));
	assert_int_equal(s->downs, 1);
	assert_true(says(replica.port, "GET a", "2"));
	redis_server_kill(&replica);
	redis_server_kill(&sentinel);
	snprintf(sweep, sizeof(sweep), "rm -r %s", directory);
	assert_int_equal(system(sweep), 0);
}

#define STAGED(f) cmocka_unit_test_setup_teardown(f, set_stage, strike_stage)

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    STAGED(each_key_is_kept_by_the_node_of_its_slot),
	    STAGED(a_slot_that_has_moved_is_found_where_it_is_now),
	    STAGED(a_slot_on_its_way_is_read_and_written_at_both_ends),
	    STAGED(a_node_that_hangs_takes_no_other_with_it),
	    STAGED(who_has_a_home_hears_of_its_node_only),
	    STAGED(it_may_be_freed_in_the_callback_of_a_command),
	    STAGED(the_new_master_is_found_when_the_old_one_dies),
	};

	return cmocka_run_group_tests(tests, found_cluster, dissolve_cluster);
}
