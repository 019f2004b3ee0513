/* A Redis of the test's own, on a free port, gone with the test; and a loop that runs until
 * something is so. */
#ifndef UNIT_REDIS_SERVER_H
#define UNIT_REDIS_SERVER_H

#include <arpa/inet.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/clock.h"
#include "event/loop.h"

#define PATIENCE_MS 20000 /* what does not happen until then is a failure */

struct redis_server {
	pid_t pid; /* 0: not running */
	uint16_t port;
	char url[64];
};

static inline uint16_t
free_port(void)
{
	struct sockaddr_in at = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
	socklen_t len = sizeof(at);
	int fd = socket(AF_INET, SOCK_STREAM, 0);

	if (bind(fd, (struct sockaddr *)&at, sizeof(at)) != 0 ||
	    getsockname(fd, (struct sockaddr *)&at, &len) != 0)
		abort();
	close(fd);
	return ntohs(at.sin_port);
}

static inline void
redis_server_init(struct redis_server *s)
{
	*s = (struct redis_server){.port = free_port()};
	snprintf(s->url, sizeof(s->url), "redis://127.0.0.1:%u/0", s->port);
}

/* extra: further arguments, NULL at the end; or NULL. */
static inline void
redis_server_start(struct redis_server *s, const char *const *extra)
{
	const char *argv[32] = {"redis-server", "--port", NULL, "--bind", "127.0.0.1", "--save", "",
	    "--appendonly", "no", "--dir", "/tmp", "--proto-max-bulk-len", "64mb"};
	unsigned n = 13;
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
	if (s->pid == 0)
		return;
	kill(s->pid, SIGKILL);
	waitpid(s->pid, NULL, 0);
	s->pid = 0;
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

struct until {
	struct loop *loop;
	bool (*is_so)(void *arg);
	void *arg;
	struct timer look;
	int64_t give_up_ms;
	bool was_so;
};

static inline void
on_look(void *arg)
{
	struct until *u = arg;

	u->was_so = u->is_so(u->arg);
	if (u->was_so || loop_now_ms(u->loop) > u->give_up_ms)
		loop_stop(u->loop);
	else
		timer_arm(u->loop, &u->look, loop_now_ms(u->loop) + 2);
}

/* Runs the loop until it is so; false when it never is. */
static inline bool
run_until(struct loop *l, bool (*is_so)(void *arg), void *arg)
{
	struct until u = {.loop = l, .is_so = is_so, .arg = arg};

	u.give_up_ms = clock_mono_ms() + PATIENCE_MS;
	timer_init(&u.look, on_look, &u);
	timer_arm(l, &u.look, 0);
	loop_run(l);
	timer_disarm(&u.look);
	return u.was_so;
}

#endif
