/* LINK: base/mem */
/* What a request costs: bench_serve FOREBAY [SECONDS [ROUNDS]].
 *
 * Forebay (one worker, no access log) beside a bare responder, which parses nothing, looks nothing up and sends what it
 * was given: what a request costs on this machine before anybody thinks. They take turns within one run, so that the
 * machine's moods hit both alike. Processor time per request is the figure to look at: it includes the kernel's part
 * of sending, and moves little when something else runs here; requests per second tell as much about the client,
 * which is this process. With two processors or more the server has the first and everything else the others. The
 * origin is one more bare responder.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/tcp.h>
#include <sched.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "base/mem.h"

#define CLIENTS 32
#define ROUNDS_MAX 50
#define HEAD_MAX 4096
#define PIECE (256 * 1024)
#define WARM_S 0.3

static const struct bench {
	const char *name, *path;
	size_t body_bytes;
	const char *cache_control;
} benches[] = {
    {"hit, 1 KiB", "/hit-1k", 1024, "max-age=36000"},
    {"hit, 64 KiB", "/hit-64k", 65536, "max-age=36000"},
    {"passed on, 1 KiB", "/pass-1k", 1024, "no-store"},
};
#define BENCHES (sizeof(benches) / sizeof(benches[0]))

static char piece[PIECE];

static double
clock_s(clockid_t id)
{
	struct timespec t;

	clock_gettime(id, &t);
	return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

static void
stay_on(unsigned cpu)
{
	cpu_set_t set;

	CPU_ZERO(&set);
	CPU_SET(cpu, &set);
	(void)sched_setaffinity(
	    0, sizeof(set), &set); /* where it is not allowed, the scheduler decides */
}

static void
watch(int ep, int op, int fd, void *of, uint32_t events)
{
	struct epoll_event e = {.events = events, .data.ptr = of};

	if (epoll_ctl(ep, op, fd, &e) != 0)
		bug("epoll_ctl: %s", strerror(errno));
}

static int
listen_somewhere(uint16_t *port_out)
{
	struct sockaddr_in a = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
	socklen_t n = sizeof(a);
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

	if (fd == -1 || bind(fd, (struct sockaddr *)&a, n) != 0 || listen(fd, 1024) != 0 ||
	    getsockname(fd, (struct sockaddr *)&a, &n) != 0)
		bug("a port to listen on: %s", strerror(errno));
	*port_out = ntohs(a.sin_port);
	return fd;
}

static int
connect_to(uint16_t port)
{
	struct sockaddr_in a = {.sin_family = AF_INET,
	    .sin_port = htons(port),
	    .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0), one = 1;

	if (fd == -1)
		bug("socket: %s", strerror(errno));
	setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one));
	if (connect(fd, (struct sockaddr *)&a, sizeof(a)) == 0)
		return fd;
	close(fd);
	return -1;
}

/* --- the bare responder --- */

struct text {
	char *bytes;
	size_t n;
};

static struct text
text_of(const struct bench *b)
{
	struct text t = {.bytes = must_calloc(1, HEAD_MAX + b->body_bytes)};
	time_t now = time(NULL);
	struct tm tm;
	char date[64];
	int head;

	gmtime_r(&now, &tm);
	strftime(date, sizeof(date), "%a, %d %b %Y %H:%M:%S GMT", &tm);
	head = snprintf(t.bytes, HEAD_MAX,
	    "HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nDate: %s\r\n"
	    "ETag: \"1\"\r\nCache-Control: %s\r\nContent-Length: %zu\r\n\r\n",
	    date, b->cache_control, b->body_bytes);

	memset(t.bytes + head, 'x', b->body_bytes);
	t.n = (size_t)head + b->body_bytes;
	return t;
}

/* Each read is one request: that is all that our clients and Forebay send. */
static void
respond(int fd, const struct text *texts)
{
	ssize_t n = recv(fd, piece, sizeof(piece), 0);

	if (n <= 0) {
		close(fd);
		return;
	}
	for (size_t i = 0; i < BENCHES; i++) {
		size_t path = strlen(benches[i].path);

		if ((size_t)n > 4 + path && memcmp(piece + 4, benches[i].path, path) == 0) {
			if (send(fd, texts[i].bytes, texts[i].n, MSG_NOSIGNAL) < 0)
				close(fd);
			return;
		}
	}
}

static void
responder(int listener, unsigned cpu)
{
	int ep = epoll_create1(EPOLL_CLOEXEC), one = 1;
	struct text texts[BENCHES];
	struct epoll_event ready[64];

	prctl(PR_SET_PDEATHSIG, SIGKILL);
	stay_on(cpu);
	for (size_t i = 0; i < BENCHES; i++)
		texts[i] = text_of(&benches[i]);
	watch(ep, EPOLL_CTL_ADD, listener, NULL, EPOLLIN);
	for (;;) {
		int n = epoll_wait(ep, ready, 64, -1);

		for (int i = 0; i < n; i++) {
			int fd;

			if (ready[i].data.ptr != NULL) {
				respond((int)(intptr_t)ready[i].data.ptr, texts);
				continue;
			}
			fd = accept4(listener, NULL, NULL, SOCK_CLOEXEC);
			setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one));
			watch(ep, EPOLL_CTL_ADD, fd, (void *)(intptr_t)fd, EPOLLIN);
		}
	}
}

static pid_t
start_responder(uint16_t *port_out, unsigned cpu)
{
	int listener = listen_somewhere(port_out);
	pid_t pid = fork();

	if (pid == 0)
		responder(listener, cpu);
	if (pid == -1)
		bug("fork: %s", strerror(errno));
	close(listener);
	return pid;
}

/* --- Forebay --- */

static void
write_conf(const char *path, uint16_t port, uint16_t origin)
{
	FILE *f = fopen(path, "w");

	if (f == NULL)
		bug("%s: %s", path, strerror(errno));
	fprintf(f,
	    "workers: 1\nlisten: \"127.0.0.1:%u\"\nadmin: off\nlog: {level: error, access: off}\n"
	    "upstreams: {origin: \"127.0.0.1:%u\"}\ncompression: off\nroutes:\n  - match: /**\n",
	    port, origin);
	fclose(f);
}

static pid_t
start_forebay(const char *binary, uint16_t *port_out, uint16_t origin)
{
	char path[] = "/tmp/forebay-bench-XXXXXX";
	int fd = mkstemp(path);
	pid_t pid;

	close(listen_somewhere(port_out));
	write_conf(path, *port_out, origin);
	if ((pid = fork()) == 0) {
		prctl(PR_SET_PDEATHSIG, SIGKILL);
		stay_on(0);
		execl(binary, binary, "serve", "-c", path, NULL);
		fprintf(stderr, "%s: %s\n", binary, strerror(errno));
		_exit(127);
	}
	for (int tries = 0; tries < 200; tries++) {
		int c = connect_to(*port_out);

		if (c != -1) {
			close(c);
			close(fd);
			unlink(path);
			return pid;
		}
		if (waitpid(pid, NULL, WNOHANG) != 0)
			break;
		usleep(50000);
	}
	unlink(path);
	bug("%s does not serve", binary);
}

/* --- the clients --- */

struct client {
	int fd;
	size_t got, wanted; /* bytes of the answer; wanted 0: its head is not whole */
	char head[HEAD_MAX];
};

static void
ask(const struct client *c, const struct bench *b)
{
	char text[128];
	int n = snprintf(text, sizeof(text), "GET %s HTTP/1.1\r\nHost: bench\r\n\r\n", b->path);

	if (send(c->fd, text, (size_t)n, MSG_NOSIGNAL) != n)
		bug("a client's request: %s", strerror(errno));
}

static size_t
whole_bytes_of(struct client *c)
{
	char *end, *length;

	c->head[c->got < HEAD_MAX ? c->got : HEAD_MAX - 1] = '\0';
	end = strstr(c->head, "\r\n\r\n");
	if (end == NULL)
		return 0;
	length = strcasestr(c->head, "\r\nContent-Length: ");
	if (length == NULL || length > end || strncmp(c->head, "HTTP/1.1 200", 12) != 0)
		bug("an answer that should not be: %.200s", c->head);
	return (size_t)(end + 4 - c->head) + strtoul(length + 18, NULL, 10);
}

/* What the cache did, as the last answer had it: a race between hits must be one. */
static char cache_word[16];

static void
read_word(const char *head, const char *field, char out[16])
{
	const char *at = strcasestr(head, field);

	if (at != NULL)
		snprintf(
		    out, 16, "%.*s", (int)strcspn(at + strlen(field), "\r"), at + strlen(field));
}

/* True when the answer is whole. */
static bool
hear(struct client *c)
{
	ssize_t n = recv(c->fd, piece, sizeof(piece), MSG_DONTWAIT);

	if (n == -1 && errno == EAGAIN)
		return false;
	if (n <= 0)
		bug("the server hung up on a client");
	if (c->wanted == 0) {
		size_t room = c->got < HEAD_MAX - 1 ? HEAD_MAX - 1 - c->got : 0;

		memcpy(c->head + c->got, piece, (size_t)n < room ? (size_t)n : room);
		c->got += (size_t)n;
		c->wanted = whole_bytes_of(c);
	} else {
		c->got += (size_t)n;
	}
	if (c->wanted == 0 || c->got < c->wanted)
		return false;
	read_word(c->head, "\r\nX-Cache-Status: ", cache_word);
	c->got = c->wanted = 0;
	return true;
}

/* Answers heard in that time. */
static uint64_t
run_clients(struct client *clients, int ep, const struct bench *b, double seconds)
{
	double until = clock_s(CLOCK_MONOTONIC) + seconds;
	struct epoll_event ready[CLIENTS];
	uint64_t answers = 0;

	while (clock_s(CLOCK_MONOTONIC) < until) {
		int n = epoll_wait(ep, ready, CLIENTS, 1000);

		for (int i = 0; i < n; i++)
			if (hear(ready[i].data.ptr)) {
				answers++;
				ask(ready[i].data.ptr, b);
			}
	}
	return answers;
}

/* --- the race --- */

struct server {
	const char *name;
	pid_t pid;
	uint16_t port;
};
struct result {
	double cpu_us, per_s;
};

static struct result
run_round(const struct server *s, const struct bench *b, double seconds)
{
	struct client *clients = must_calloc(CLIENTS, sizeof(*clients));
	int ep = epoll_create1(EPOLL_CLOEXEC);
	clockid_t cpu;
	double began, cpu_began;
	uint64_t answers;
	struct result r;

	if (clock_getcpuclockid(s->pid, &cpu) != 0)
		bug("%s is gone", s->name);
	for (int i = 0; i < CLIENTS; i++) {
		if ((clients[i].fd = connect_to(s->port)) == -1)
			bug("%s: %s", s->name, strerror(errno));
		watch(ep, EPOLL_CTL_ADD, clients[i].fd, &clients[i], EPOLLIN);
		ask(&clients[i], b);
	}
	run_clients(clients, ep, b, WARM_S);
	began = clock_s(CLOCK_MONOTONIC);
	cpu_began = clock_s(cpu);
	answers = run_clients(clients, ep, b, seconds);
	if (answers == 0)
		bug("%s answers nothing", s->name);
	r.cpu_us = (clock_s(cpu) - cpu_began) / (double)answers * 1e6;
	r.per_s = (double)answers / (clock_s(CLOCK_MONOTONIC) - began);
	for (int i = 0; i < CLIENTS; i++)
		close(clients[i].fd);
	close(ep);
	free(clients);
	return r;
}

static int
compare(const void *a, const void *b)
{
	double x = *(const double *)a, y = *(const double *)b;

	return (x > y) - (x < y);
}

static double
median(double *values, unsigned n)
{
	qsort(values, n, sizeof(*values), compare);
	return values[n / 2];
}

static void
race(const struct server *bare, const struct server *ours, const struct bench *b, double seconds,
    unsigned rounds)
{
	double bare_us[ROUNDS_MAX], ours_us[ROUNDS_MAX], ratio[ROUNDS_MAX], per_s[ROUNDS_MAX];

	for (unsigned i = 0; i < rounds; i++) {
		struct result limit = run_round(bare, b, seconds), r = run_round(ours, b, seconds);

		bare_us[i] = limit.cpu_us;
		ours_us[i] = r.cpu_us;
		ratio[i] = r.cpu_us / limit.cpu_us;
		per_s[i] = r.per_s;
	}
	printf("%-18s %-6s %8.2f %8.2f %7.2f %11.0f\n", b->name, cache_word,
	    median(bare_us, rounds), median(ours_us, rounds), median(ratio, rounds),
	    median(per_s, rounds));
}

int
main(int argc, char **argv)
{
	double seconds = argc > 2 ? atof(argv[2]) : 2;
	unsigned rounds = argc > 3 ? (unsigned)atoi(argv[3]) : 5;
	unsigned others = sysconf(_SC_NPROCESSORS_ONLN) > 1;
	struct server bare = {.name = "the bare responder"}, ours = {.name = "Forebay"};
	uint16_t origin_port;
	pid_t origin;

	if (argc < 2 || seconds <= 0 || rounds < 1 || rounds > ROUNDS_MAX) {
		fprintf(stderr, "usage: bench_serve FOREBAY [SECONDS [ROUNDS]]\n");
		return 2;
	}
	origin = start_responder(&origin_port, others);
	bare.pid = start_responder(&bare.port, 0);
	ours.pid = start_forebay(argv[1], &ours.port, origin_port);
	stay_on(others);
	printf("%u rounds of %g s, %d clients; processor time per request, median\n", rounds,
	    seconds, CLIENTS);
	printf("                   cache   bare us  ours us   ratio  requests/s\n");
	for (size_t i = 0; i < BENCHES; i++)
		race(&bare, &ours, &benches[i], seconds, rounds);
	kill(ours.pid, SIGTERM);
	waitpid(ours.pid, NULL, 0);
	kill(bare.pid, SIGKILL);
	kill(origin, SIGKILL);
	while (wait(NULL) > 0)
		;
	return 0;
}
