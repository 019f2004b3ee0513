#include "daemon/notify.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

#include "base/log.h"
#include "base/mem.h"

#define MESSAGE_BYTES 1024
#define SEND_MOST_S 2
#define HANDED_FIRST 3 /* sd_listen_fds(3) */
#define HANDED_MAX 65536

struct notify {
	int fd;
	struct sockaddr_un to;
	socklen_t to_len;
	int64_t watchdog_ms; /* between two signs of life; 0: not wanted */
};

/* A path, or with '@' a name in the abstract namespace. */
static bool
address_of(const char *where, struct sockaddr_un *to, socklen_t *len_out)
{
	size_t n = strlen(where);

	if ((where[0] != '/' && where[0] != '@') || n < 2 || n >= sizeof(to->sun_path))
		return false;
	*to = (struct sockaddr_un){.sun_family = AF_UNIX};
	memcpy(to->sun_path, where, n);
	*len_out = (socklen_t)(offsetof(struct sockaddr_un, sun_path) + n + 1);
	if (where[0] == '@') {
		to->sun_path[0] = '\0';
		*len_out -= 1; /* an abstract name has no NUL at its end */
	}
	return true;
}

/* The variable as a whole positive number; 0 where it is missing or something else. */
static int64_t
env_number(const char *name)
{
	const char *s = getenv(name);
	char *end;
	long long v;

	if (s == NULL || *s < '0' || *s > '9')
		return 0;
	errno = 0;
	v = strtoll(s, &end, 10);
	return errno == 0 && *end == '\0' ? v : 0;
}

static int64_t
watchdog_ms_asked(void)
{
	int64_t pid = env_number("WATCHDOG_PID"), usec = env_number("WATCHDOG_USEC");

	if (pid != 0 && pid != getpid())
		return 0; /* meant for another process */
	return usec > 0 && usec < 2000 ? 1 : usec / 2000;
}

static struct notify *
open_notify(const char *where)
{
	struct timeval most = {.tv_sec = SEND_MOST_S};
	struct notify *n = must_calloc(1, sizeof(*n));

	if (!address_of(where, &n->to, &n->to_len)) {
		log_warn("NOTIFY_SOCKET=%s is neither a path nor an abstract socket: the service "
			 "manager will not hear from us",
		    where);
		goto fail;
	}
	if ((n->fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0)) == -1) {
		log_warn("no socket for NOTIFY_SOCKET=%s: %s", where, strerror(errno));
		goto fail;
	}
	setsockopt(n->fd, SOL_SOCKET, SO_SNDTIMEO, &most, sizeof(most));
	n->watchdog_ms = watchdog_ms_asked();
	return n;
fail:
	free(n);
	return NULL;
}

struct notify *
notify_new(void)
{
	const char *where = getenv("NOTIFY_SOCKET");
	struct notify *n = where != NULL && *where != '\0' ? open_notify(where) : NULL;

	unsetenv("NOTIFY_SOCKET");
	unsetenv("WATCHDOG_USEC");
	unsetenv("WATCHDOG_PID");
	return n;
}

void
notify_free(struct notify **np)
{
	if (*np == NULL)
		return;
	close((*np)->fd);
	free(*np);
	*np = NULL;
}

/* One datagram, with a descriptor unless fd is -1. 0, or -1 (errno). */
static int
send_message(struct notify *n, const char *text, int fd)
{
	union {
		struct cmsghdr head;
		char bytes[CMSG_SPACE(sizeof(int))];
	} control = {0};
	struct iovec iov = {(char *)text, strlen(text)};
	struct msghdr m = {&n->to, n->to_len, &iov, 1, NULL, 0, 0};
	ssize_t sent;

	if (fd != -1) {
		m.msg_control = &control;
		m.msg_controllen = sizeof(control);
		control.head = (struct cmsghdr){CMSG_LEN(sizeof(int)), SOL_SOCKET, SCM_RIGHTS};
		memcpy(CMSG_DATA(&control.head), &fd, sizeof(int));
	}
	do
		sent = sendmsg(n->fd, &m, MSG_NOSIGNAL);
	while (sent == -1 && errno == EINTR);
	return sent == -1 ? -1 : 0;
}

/* A state that nobody can act upon if it is lost. */
static void
tell(struct notify *n, const char *text)
{
	if (n != NULL && send_message(n, text, -1) == -1)
		log_warn("the service manager did not take \"%s\": %s", text, strerror(errno));
}

void
notify_ready(struct notify *n)
{
	tell(n, "READY=1");
}

void
notify_reloading(struct notify *n)
{
	struct timespec t;
	char text[64];

	/* The protocol's own clock: base/clock's runs during suspend, and tests may move it. */
	clock_gettime(CLOCK_MONOTONIC, &t);
	snprintf(text, sizeof(text), "RELOADING=1\nMONOTONIC_USEC=%lld",
	    (long long)t.tv_sec * 1000000 + t.tv_nsec / 1000);
	tell(n, text);
}

void
notify_stopping(struct notify *n)
{
	tell(n, "STOPPING=1");
}

void
notify_stop_goes_on(struct notify *n, int64_t ms)
{
	char text[64];

	snprintf(text, sizeof(text), "EXTEND_TIMEOUT_USEC=%lld", (long long)ms * 1000);
	tell(n, text);
}

void
notify_status(struct notify *n, const char *fmt, ...)
{
	char text[MESSAGE_BYTES] = "STATUS=";
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(text + strlen(text), sizeof(text) - strlen(text), fmt, ap);
	va_end(ap);
	for (char *p = text; *p != '\0'; p++)
		if (*p == '\n')
			*p = ' '; /* a second line would be a second assignment */
	tell(n, text);
}

void
notify_watchdog(struct notify *n)
{
	tell(n, "WATCHDOG=1");
}

int64_t
notify_watchdog_ms(const struct notify *n)
{
	return n == NULL ? 0 : n->watchdog_ms;
}

static bool
is_fd_name(const char *name)
{
	size_t n = strlen(name);

	for (size_t i = 0; i < n; i++)
		if ((unsigned char)name[i] < 0x20 || name[i] == 0x7f || name[i] == ':')
			return false;
	return n > 0 && n < 256;
}

int
notify_store_fd(struct notify *n, const char *name, int fd)
{
	char text[MESSAGE_BYTES];

	if (!is_fd_name(name)) {
		errno = EINVAL;
		return -1;
	}
	if (n == NULL)
		return 0;
	snprintf(text, sizeof(text), "FDSTORE=1\nFDNAME=%s", name);
	return send_message(n, text, fd);
}

void
notify_drop_fd(struct notify *n, const char *name)
{
	char text[MESSAGE_BYTES];

	snprintf(text, sizeof(text), "FDSTOREREMOVE=1\nFDNAME=%s", name);
	if (is_fd_name(name))
		tell(n, text);
}

int
notify_barrier(struct notify *n, int64_t ms)
{
	struct pollfd p = {.events = 0}; /* the other end is closed when it is read */
	int ends[2], r;

	if (n == NULL)
		return 0;
	if (pipe2(ends, O_CLOEXEC) == -1)
		return -1;
	r = send_message(n, "BARRIER=1", ends[1]);
	close(ends[1]);
	p.fd = ends[0];
	if (r == 0) {
		do
			r = poll(&p, 1, (int)ms);
		while (r == -1 && errno == EINTR);
		if (r == 0)
			errno = ETIMEDOUT;
		r = r == 1 ? 0 : -1;
	}
	close(ends[0]);
	return r;
}

/* The names are parted by colons, in the order of the descriptors. */
static bool
next_name_is(const char **names, const char *name)
{
	size_t n = *names == NULL ? 0 : strcspn(*names, ":");
	bool same = n == strlen(name) && n > 0 && memcmp(*names, name, n) == 0;

	if (*names != NULL)
		*names += n + ((*names)[n] == ':');
	return same;
}

int
notify_handed_fd(const char *name)
{
	const char *names = getenv("LISTEN_FDNAMES");
	int64_t count = env_number("LISTEN_PID") == getpid() ? env_number("LISTEN_FDS") : 0;
	int found = -1;

	if (count > HANDED_MAX)
		count = HANDED_MAX;
	for (int fd = HANDED_FIRST; fd < HANDED_FIRST + count; fd++) {
		if (next_name_is(&names, name) && found == -1)
			found = fd;
		else
			close(fd);
	}
	if (found != -1)
		fcntl(found, F_SETFD, FD_CLOEXEC);
	unsetenv("LISTEN_PID");
	unsetenv("LISTEN_FDS");
	unsetenv("LISTEN_FDNAMES");
	return found;
}
