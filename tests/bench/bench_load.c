/* LINK: base/mem */
/* The load of a bench, from one thread: bench_load -p PORT [OPTION...] PATH. Prints one line of JSON.
 *
 * Each connection asks, reads the whole answer, asks again (closed loop). A time is from what was meant to be the moment of asking to
 * the last byte; all are kept, so that the worst is the worst there was. %d in PATH is a number: of -n of them one by one in turn (or any,
 * with -r), else each time a new one. Answers other than 200 and connections that end are errors; what ended is opened again.
 *   -c N     connections (50)                     -d S  seconds that count (1)         -w S  seconds before, that do not (0)
 *   -H TEXT  one more field, "Name: value"        -b N  first number (0)               -n N  as many numbers; -r at random
 *   -t       TLS 1.3                              -k    a new connection for each request, its handshake with it
 *   -o RATE  open loop: that many a second, due at even distances whatever the server does; times are from when they were due
 *   -N N     ends with so many answers            -B    each connection asks once, all at the same moment
 *   -I       each asks once, a hundred at a time; then prints and holds the connections until its input ends
 *   -P PID   its processor time is counted, may stand several times
 */
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/tcp.h>
#include <openssl/ssl.h>
#include <poll.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/prctl.h>
#include <sys/queue.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include "base/mem.h"

#define HEAD_MAX 16384
#define PIECE_BYTES (256 * 1024)
#define PIDS_MAX 256
#define READY_MAX 256
#define GROUP 100
#define NS 1000000000LL
#define PATIENCE_NS (15 * NS)

enum part { PART_HEAD, PART_LENGTH, PART_CHUNK_SIZE, PART_CHUNK, PART_TRAILER };

struct client {
	int fd;
	SSL *ssl;
	char *request; /* what of it could not be written yet stands at unwritten */
	size_t request_bytes, unwritten;
	int64_t asked_ns; /* when it was due; 0: asks nothing */
	enum part part;
	size_t got;  /* of the head */
	size_t left; /* of a body or chunk */
	unsigned line_bytes;
	bool is_good;
	char head[HEAD_MAX];
	TAILQ_ENTRY(client) in_line; /* of those that ask nothing */
};

static struct options {
	uint16_t port;
	unsigned connections;
	double seconds, warm_s, rate;
	const char *field, *path;
	unsigned long first, numbers, most;
	bool is_random, is_tls, is_fresh, is_burst, is_held;
	pid_t pids[PIDS_MAX];
	unsigned pid_count;
} opt = {.connections = 50, .seconds = 1};

static int ep;
static SSL_CTX *tls;
static char piece[PIECE_BYTES];
static struct client *clients;
static TAILQ_HEAD(, client) idle = TAILQ_HEAD_INITIALIZER(idle);
static unsigned long number;
static uint32_t *times; /* in tenths of a microsecond */
static size_t time_count, time_room;
static unsigned long answers, errors;
static bool is_counted, asks_again = true;

static int64_t
clock_ns(clockid_t id)
{
	struct timespec t;

	clock_gettime(id, &t);
	return t.tv_sec * NS + t.tv_nsec;
}

static int64_t
now_ns(void)
{
	return clock_ns(CLOCK_MONOTONIC);
}

/* Of all processes named. One that has ended meanwhile counts nothing. */
static double
servers_cpu_s(void)
{
	int64_t sum = 0;

	for (unsigned i = 0; i < opt.pid_count; i++) {
		clockid_t id;

		if (clock_getcpuclockid(opt.pids[i], &id) == 0)
			sum += clock_ns(id);
	}
	return (double)sum / 1e9;
}

/* --- one connection --- */

static void
client_open(struct client *c)
{
	struct sockaddr_in a = {.sin_family = AF_INET,
	    .sin_port = htons(opt.port),
	    .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
	struct epoll_event e = {.events = EPOLLIN, .data.ptr = c};
	int one = 1;

	c->fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	if (c->fd == -1 || connect(c->fd, (struct sockaddr *)&a, sizeof(a)) != 0 ||
	    fcntl(c->fd, F_SETFL, O_NONBLOCK) != 0) {
		fprintf(stderr, "bench_load: port %u: %s\n", opt.port, strerror(errno));
		exit(1);
	}
	setsockopt(c->fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one));
	if (epoll_ctl(ep, EPOLL_CTL_ADD, c->fd, &e) != 0)
		bug("epoll_ctl: %s", strerror(errno));
	if (opt.is_tls) {
		c->ssl = SSL_new(tls);
		SSL_set_fd(c->ssl, c->fd);
		SSL_set_tlsext_host_name(c->ssl, "bench.test");
		SSL_set_connect_state(c->ssl);
	}
}

static void
client_close(struct client *c)
{
	SSL_free(c->ssl);
	c->ssl = NULL;
	close(c->fd);
}

static unsigned long
next_number(void)
{
	if (opt.numbers == 0)
		return opt.first + number++;
	if (opt.is_random)
		return opt.first + (unsigned long)random() % opt.numbers;
	return opt.first + number++ % opt.numbers;
}

static void
write_request(struct client *c)
{
	const char *at = strstr(opt.path, "%d");
	char path[1024];

	if (at == NULL && c->request_bytes > 0)
		return;
	if (at == NULL)
		snprintf(path, sizeof(path), "%s", opt.path);
	else
		snprintf(path, sizeof(path), "%.*s%lu%s", (int)(at - opt.path), opt.path,
		    next_number(), at + 2);
	c->request_bytes = (size_t)snprintf(c->request, HEAD_MAX,
	    "GET %s HTTP/1.1\r\nHost: bench.test\r\nUser-Agent: bench\r\n%s%s\r\n", path,
	    opt.field != NULL ? opt.field : "", opt.field != NULL ? "\r\n" : "");
}

/* Requests are small: what cannot be written at once waits for a handshake, never for room. False: it has failed. */
static bool
client_write(struct client *c)
{
	int n;

	if (c->unwritten == 0)
		return true;
	if (c->ssl == NULL) {
		if (send(c->fd, c->request, c->request_bytes, MSG_NOSIGNAL) !=
		    (ssize_t)c->request_bytes)
			return false;
		c->unwritten = 0;
		return true;
	}
	n = SSL_write(c->ssl, c->request, (int)c->request_bytes);
	if (n > 0)
		c->unwritten = 0;
	return n > 0 || SSL_get_error(c->ssl, n) == SSL_ERROR_WANT_READ;
}

static void client_failed(struct client *c);

static void
client_ask(struct client *c, int64_t due_ns)
{
	write_request(c);
	c->asked_ns = due_ns;
	c->part = PART_HEAD;
	c->got = 0;
	c->unwritten = c->request_bytes;
	if (!client_write(c))
		client_failed(c);
}

static void
client_rests(struct client *c)
{
	c->asked_ns = 0;
	if (opt.rate > 0)
		TAILQ_INSERT_HEAD(&idle, c, in_line);
}

/* A connection that ended, or an answer that cannot be read. It is not asked again at once: it could fail for ever. */
static void
client_failed(struct client *c)
{
	errors++;
	if (errors > 1000) {
		fprintf(stderr, "bench_load: port %u: more than 1000 errors\n", opt.port);
		exit(1);
	}
	client_close(c);
	client_open(c);
	c->unwritten = 0;
	if (c->asked_ns != 0 && asks_again && !opt.is_burst && opt.rate == 0)
		client_ask(c, now_ns());
	else if (c->asked_ns != 0)
		client_rests(c);
}

static void
note_time(int64_t took_ns)
{
	if (time_count == time_room) {
		time_room = time_room == 0 ? 1 << 20 : time_room * 2;
		times = must_realloc(times, time_room * sizeof(*times));
	}
	times[time_count++] = took_ns / 100 < UINT32_MAX ? (uint32_t)(took_ns / 100) : UINT32_MAX;
}

static void
client_answered(struct client *c)
{
	int64_t now = now_ns();

	if (!c->is_good)
		errors++;
	else if (is_counted) {
		answers++;
		note_time(now - c->asked_ns);
	}
	c->asked_ns = 0;
	if (opt.is_fresh) {
		client_close(c);
		client_open(c);
	}
	if (opt.rate > 0 || opt.is_burst || !asks_again)
		client_rests(c);
	else
		client_ask(c, now);
}

/* --- answers --- */

static bool
has_field(const char *head, const char *line)
{
	return strcasestr(head, line) != NULL;
}

/* Takes what of a head is in the piece; the bytes used, or -1 when it is none. */
static ssize_t
take_head(struct client *c, const char *p, size_t n)
{
	size_t before = c->got, room = HEAD_MAX - 1 - c->got;
	const char *length;
	char *end;

	n = n < room ? n : room;
	memcpy(c->head + c->got, p, n);
	c->got += n;
	c->head[c->got] = '\0';
	if ((end = strstr(c->head, "\r\n\r\n")) == NULL)
		return c->got < HEAD_MAX - 1 ? (ssize_t)n : -1;
	end[2] = '\0';
	c->is_good = strncmp(c->head, "HTTP/1.1 200", 12) == 0;
	if ((length = strcasestr(c->head, "\r\nContent-Length:")) != NULL) {
		c->left = strtoul(length + 17, NULL, 10);
		c->part = PART_LENGTH;
	} else if (has_field(c->head, "\r\nTransfer-Encoding: chunked")) {
		c->left = 0;
		c->part = PART_CHUNK_SIZE;
	} else {
		return -1;
	}
	return end + 4 - c->head - (ssize_t)before;
}

static size_t
take_body(struct client *c, size_t n)
{
	n = n < c->left ? n : c->left;
	c->left -= n;
	return n;
}

/* A byte of a line of the chunked framing; the line is in head, which is free by then. */
static void
take_framing(struct client *c, char byte)
{
	if (byte != '\n') {
		if (byte != '\r' && c->line_bytes < 31)
			c->head[c->line_bytes++] = byte;
		return;
	}
	c->head[c->line_bytes] = '\0';
	if (c->part == PART_CHUNK_SIZE) {
		c->left = strtoul(c->head, NULL, 16);
		c->part = c->left == 0 ? PART_TRAILER : PART_CHUNK;
		c->left += c->left > 0 ? 2 : 0;
	} else if (c->line_bytes == 0) {
		c->part = PART_LENGTH; /* with nothing left: whole */
	}
	c->line_bytes = 0;
}

/* False: it is no answer. Sets *whole_out when one ends; nothing is behind it, nobody pipelines. */
static bool
take(struct client *c, const char *p, size_t n, bool *whole_out)
{
	while (n > 0) {
		size_t used = 1;
		ssize_t head;

		switch (c->part) {
		case PART_HEAD:
			if ((head = take_head(c, p, n)) < 0)
				return false;
			used = (size_t)head;
			break;
		case PART_LENGTH:
			used = take_body(c, n);
			if (used == 0)
				return false; /* more than was announced */
			break;
		case PART_CHUNK:
			used = take_body(c, n);
			if (c->left == 0)
				c->part = PART_CHUNK_SIZE;
			break;
		default:
			take_framing(c, *p);
		}
		p += used;
		n -= used;
	}
	*whole_out = c->part == PART_LENGTH && c->left == 0;
	return true;
}

static ssize_t
client_read(struct client *c)
{
	ssize_t n;

	if (c->ssl == NULL) {
		n = recv(c->fd, piece, sizeof(piece), 0);
		return n > 0 ? n : n == -1 && errno == EAGAIN ? 0 : -1;
	}
	n = SSL_read(c->ssl, piece, sizeof(piece));
	return n > 0 ? n : SSL_get_error(c->ssl, (int)n) == SSL_ERROR_WANT_READ ? 0 : -1;
}

static void
on_client_readable(struct client *c)
{
	for (;;) {
		bool is_whole = false;
		ssize_t n;

		if (!client_write(c)) {
			client_failed(c);
			return;
		}
		n = client_read(c);
		if (n == 0)
			return;
		if (n < 0 || c->asked_ns == 0 || !take(c, piece, (size_t)n, &is_whole)) {
			client_failed(c);
			return;
		}
		if (is_whole) {
			client_answered(c);
			return;
		}
		if (c->ssl == NULL)
			return;
	}
}

/* --- the run --- */

static bool
wait_some(int64_t until_ns)
{
	struct epoll_event ready[READY_MAX];
	int64_t left = until_ns - now_ns();
	struct timespec wait = {left > 0 ? left / NS : 0, left > 0 ? left % NS : 0};
	int n = epoll_pwait2(ep, ready, READY_MAX, &wait, NULL);

	for (int i = 0; i < n; i++)
		on_client_readable(ready[i].data.ptr);
	return n > 0;
}

static bool
has_enough(void)
{
	return opt.most > 0 && answers + errors >= opt.most;
}

static void
run_closed(int64_t until_ns)
{
	while (now_ns() < until_ns && !has_enough())
		wait_some(until_ns);
}

/* What is due and finds no connection idle is asked by the first that becomes so, and was late from its due time on. */
static void
run_open(int64_t until_ns)
{
	static int64_t due_ns;
	int64_t each_ns = (int64_t)(1e9 / opt.rate), now;

	due_ns = due_ns != 0 ? due_ns : now_ns();
	while ((now = now_ns()) < until_ns) {
		struct client *c;

		while (due_ns <= now && (c = TAILQ_FIRST(&idle)) != NULL) {
			TAILQ_REMOVE(&idle, c, in_line);
			client_ask(c, due_ns);
			due_ns += each_ns;
		}
		wait_some(due_ns > now && due_ns < until_ns ? due_ns : until_ns);
	}
}

static bool
is_somebody_waiting(void)
{
	for (unsigned i = 0; i < opt.connections; i++)
		if (clients[i].asked_ns != 0)
			return true;
	return false;
}

static void
hear_all(void)
{
	int64_t until_ns = now_ns() + PATIENCE_NS;

	while (is_somebody_waiting() && now_ns() < until_ns)
		wait_some(until_ns);
}

/* Those that still wait are heard to their end: the worst may be among them. */
static void
run_out(void)
{
	asks_again = false;
	hear_all();
	for (unsigned i = 0; i < opt.connections; i++)
		errors += clients[i].asked_ns != 0;
}

static int
compare(const void *a, const void *b)
{
	uint32_t x = *(const uint32_t *)a, y = *(const uint32_t *)b;

	return (x > y) - (x < y);
}

static double
percentile_us(double share)
{
	size_t at = (size_t)(share * (double)time_count);

	return time_count == 0 ? 0 : times[at < time_count ? at : time_count - 1] / 10.0;
}

/* asked is how many were answered in the seconds that processor time was taken over. */
static void
tell(double seconds, double cpu_s, double own_cpu_s, unsigned long asked)
{
	qsort(times, time_count, sizeof(*times), compare);
	printf("{\"answers\": %lu, \"errors\": %lu, \"seconds\": %.6f, \"cpu_s\": %.9f, "
	       "\"client_cpu_s\": %.9f, \"p50_us\": %.1f, \"p99_us\": %.1f, \"p999_us\": %.1f, "
	       "\"worst_us\": %.1f}\n",
	    asked, errors, seconds, cpu_s, own_cpu_s, percentile_us(0.5), percentile_us(0.99),
	    percentile_us(0.999), percentile_us(1));
	fflush(stdout);
}

static void
start_clients(void)
{
	clients = must_calloc(opt.connections, sizeof(*clients));
	for (unsigned i = 0; i < opt.connections; i++) {
		clients[i].request = must_malloc(HEAD_MAX);
		client_open(&clients[i]);
		client_rests(&clients[i]);
	}
}

static void
run(void)
{
	int64_t began_ns;
	double cpu_s, own_s, seconds;
	unsigned long asked;

	start_clients();
	began_ns = now_ns();
	is_counted = opt.warm_s <= 0;
	for (unsigned i = 0; i < opt.connections && opt.rate <= 0; i++) {
		client_ask(&clients[i], opt.is_burst && !opt.is_held ? began_ns : now_ns());
		if (opt.is_held && i % GROUP == GROUP - 1)
			hear_all();
	}
	if (opt.warm_s > 0) {
		(opt.rate > 0 ? run_open : run_closed)(began_ns + (int64_t)(opt.warm_s * 1e9));
		is_counted = true;
	}
	began_ns = now_ns();
	cpu_s = servers_cpu_s();
	own_s = (double)clock_ns(CLOCK_PROCESS_CPUTIME_ID) / 1e9;
	if (opt.is_burst)
		run_out();
	else
		(opt.rate > 0 ? run_open : run_closed)(began_ns + (int64_t)(opt.seconds * 1e9));
	cpu_s = servers_cpu_s() - cpu_s;
	own_s = (double)clock_ns(CLOCK_PROCESS_CPUTIME_ID) / 1e9 - own_s;
	seconds = (double)(now_ns() - began_ns) / 1e9;
	asked = answers;
	if (!opt.is_burst)
		run_out();
	tell(seconds, cpu_s, own_s, asked);
}

static void
read_options(int argc, char **argv)
{
	int c;

	while ((c = getopt(argc, argv, "p:c:d:w:H:b:n:o:N:P:rtkBI")) != -1) {
		switch (c) {
		case 'p':
			opt.port = (uint16_t)atoi(optarg);
			break;
		case 'c':
			opt.connections = (unsigned)atoi(optarg);
			break;
		case 'd':
			opt.seconds = atof(optarg);
			break;
		case 'w':
			opt.warm_s = atof(optarg);
			break;
		case 'H':
			opt.field = optarg;
			break;
		case 'b':
			opt.first = strtoul(optarg, NULL, 10);
			break;
		case 'n':
			opt.numbers = strtoul(optarg, NULL, 10);
			break;
		case 'o':
			opt.rate = atof(optarg);
			break;
		case 'N':
			opt.most = strtoul(optarg, NULL, 10);
			break;
		case 'P':
			if (opt.pid_count < PIDS_MAX)
				opt.pids[opt.pid_count++] = atoi(optarg);
			break;
		case 'r':
			opt.is_random = true;
			break;
		case 't':
			opt.is_tls = true;
			break;
		case 'k':
			opt.is_fresh = true;
			break;
		case 'I':
			opt.is_held = opt.is_burst = true;
			break;
		case 'B':
			opt.is_burst = true;
			break;
		default:
			exit(2);
		}
	}
	if (optind != argc - 1 || opt.port == 0 || opt.connections == 0 || opt.seconds <= 0) {
		fprintf(stderr, "usage: bench_load -p PORT [OPTION...] PATH\n");
		exit(2);
	}
	opt.path = argv[optind];
}

int
main(int argc, char **argv)
{
	prctl(PR_SET_PDEATHSIG, SIGKILL);
	signal(SIGPIPE, SIG_IGN);
	read_options(argc, argv);
	ep = epoll_create1(EPOLL_CLOEXEC);
	if (opt.is_tls) {
		tls = SSL_CTX_new(TLS_client_method());
		SSL_CTX_set_min_proto_version(tls, TLS1_3_VERSION);
		SSL_CTX_set_session_cache_mode(tls, SSL_SESS_CACHE_OFF);
	}
	run();
	if (opt.is_held)
		while (read(0, piece, sizeof(piece)) > 0)
			;
	return 0;
}
