/* A Redis of the test's own, on a free port, gone with the test; and a loop that runs until
 * something is so. */
#ifndef UNIT_REDIS_SERVER_H
#define UNIT_REDIS_SERVER_H

#include <arpa/inet.h>
#include <errno.h>
#include <signal.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/prctl.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/clock.h"
#include "event/loop.h"

#define PATIENCE_MS 60000 /* what does not happen until then is a failure */
#define PORT_FIRST 20000
#define PORT_LAST 31999

struct redis_server {
	pid_t pid; /* 0: not running */
	uint16_t port;
	char url[64];
	char dump[32]; /* the name of its file, in --dir: a replica writes one unasked */
};

static inline bool
is_bound(int family, uint16_t port)
{
	struct sockaddr_in four = {.sin_family = AF_INET,
	    .sin_port = htons(port),
	    .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
	struct sockaddr_in6 six = {
	    .sin6_family = AF_INET6, .sin6_port = htons(port), .sin6_addr = IN6ADDR_LOOPBACK_INIT};
	const int one = 1;
	int fd = socket(family, SOCK_STREAM | SOCK_CLOEXEC, 0);
	bool is_taken;

	if (fd < 0)
		return false; /* a machine without IPv6 */
	setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof(one));
	is_taken = (family == AF_INET ? bind(fd, (struct sockaddr *)&four, sizeof(four))
				      : bind(fd, (struct sockaddr *)&six, sizeof(six))) != 0 &&
	    errno == EADDRINUSE;
	close(fd);
	return is_taken;
}

/* Claims a port by a name in the abstract name space, as the scenarios do; the kernel takes it back when this process ends. */
static inline bool
claim_port(uint16_t port)
{
	struct sockaddr_un name = {.sun_family = AF_UNIX};
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	int n =
	    snprintf(name.sun_path + 1, sizeof(name.sun_path) - 1, "forebay-tests-port-%u", port);

	if (bind(fd, (struct sockaddr *)&name,
		(socklen_t)(offsetof(struct sockaddr_un, sun_path) + 1 + (size_t)n)) == 0 &&
	    !is_bound(AF_INET, port) && !is_bound(AF_INET6, port))
		return true;
	close(fd);
	return false;
}

/* One that no other test picks, of this run or of another beside it, and below those that connections are given. */
static inline uint16_t
free_port(void)
{
	static unsigned tried;

	for (unsigned i = 0; i <= PORT_LAST - PORT_FIRST; i++) {
		unsigned at = ((unsigned)getpid() * 37 + tried++) % (PORT_LAST - PORT_FIRST + 1);

		if (claim_port((uint16_t)(PORT_FIRST + at)))
			return (uint16_t)(PORT_FIRST + at);
	}
	abort();
}

static inline void
redis_server_init(struct redis_server *s)
{
	*s = (struct redis_server){.port = free_port()};
	snprintf(s->url, sizeof(s->url), "redis://127.0.0.1:%u/0", s->port);
	snprintf(s->dump, sizeof(s->dump), "forebay-%u.rdb", s->port);
}

/* extra: further arguments, NULL at the end; or NULL. */
static inline void
redis_server_start(struct redis_server *s, const char *const *extra)
{
	const char *argv[32] = {"redis-server", "--port", NULL, "--bind", "127.0.0.1", "--save", "",
	    "--appendonly", "no", "--dir", "/tmp", "--proto-max-bulk-len", "64mb", "--dbfilename",
	    s->dump};
	unsigned n = 15;
	char port[8];

	snprintf(port, sizeof(port), "%u", s->port);
	argv[2] = port;
	for (; extra != NULL && *extra != NULL; extra++)
		argv[n++] = *extra;
	s->pid = fork();
	if (s->pid != 0)
		return;
	prctl(PR_SET_PDEATHSIG, SIGKILL);
	if (freopen("/dev/null", "w", stdout) == NULL)
		_exit(1);
	execv("/usr/bin/redis-server", (char *const *)(uintptr_t)argv);
	_exit(1);
}

static inline void
redis_server_kill(struct redis_server *s)
{
	char path[64];

	if (s->pid == 0)
		return;
	kill(s->pid, SIGKILL);
	waitpid(s->pid, NULL, 0);
	s->pid = 0;
	snprintf(path, sizeof(path), "/tmp/%s", s->dump);
	unlink(path);
}

/* Stopped for good: until the kernel says so, it may still answer. */
static inline void
redis_server_stop(struct redis_server *s)
{
	kill(s->pid, SIGSTOP);
	waitpid(s->pid, NULL, WUNTRACED);
}

static inline void
redis_server_continue(struct redis_server *s)
{
	kill(s->pid, SIGCONT);
}

/* --- until --- */

/* The longest time that this process did not run when it wanted to; a test may set it to 0. */
static int64_t held_up_ms;

struct until {
	struct loop *loop;
	bool (*is_so)(void *arg);
	void *arg;
	struct timer look;
	int64_t give_up_ms, looked_ms;
	bool was_so;
};

static inline void
on_look(void *arg)
{
	struct until *u = arg;
	int64_t now_ms = loop_now_ms(u->loop);

	if (now_ms - u->looked_ms > held_up_ms)
		held_up_ms = now_ms - u->looked_ms;
	u->looked_ms = now_ms;
	u->was_so = u->is_so(u->arg);
	if (u->was_so || now_ms > u->give_up_ms)
		loop_stop(u->loop);
	else
		timer_arm(u->loop, &u->look, now_ms + 2);
}

/* Runs the loop until it is so; false when it never is. */
static inline bool
run_until(struct loop *l, bool (*is_so)(void *arg), void *arg)
{
	struct until u = {.loop = l, .is_so = is_so, .arg = arg};

	u.looked_ms = clock_mono_ms();
	u.give_up_ms = u.looked_ms + PATIENCE_MS;
	timer_init(&u.look, on_look, &u);
	timer_arm(l, &u.look, 0);
	loop_run(l);
	timer_disarm(&u.look);
	return u.was_so;
}

#endif
