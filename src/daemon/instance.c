#include "daemon/instance.h"

#include <errno.h>
#include <fcntl.h>
#include <libgen.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/mem.h"
#include "daemon/owner.h"

#define OWNER_BYTES 96

struct instance_lock {
	int fd; /* of the lock file, which stays: removing it would let two hold "the" lock */
};

/* The state directory */

static void
tell_holder(int fd, const char *directory, struct buf *why)
{
	char pid[24];
	ssize_t n = pread(fd, pid, sizeof(pid) - 1, 0);

	pid[n > 0 ? n : 0] = '\0';
	pid[strcspn(pid, "\n")] = '\0';
	buf_printf(why, "another Forebay");
	if (n > 0)
		buf_printf(why, " (pid %s)", pid);
	buf_printf(
	    why, " runs with %s: stop it, or give this one a directory of its own", directory);
}

static void
write_pid(int fd)
{
	char pid[24];
	int n = snprintf(pid, sizeof(pid), "%ld\n", (long)getpid());

	/* Only for people: without it the lock holds as well. */
	if (ftruncate(fd, 0) == 0 && pwrite(fd, pid, (size_t)n, 0) != n)
		(void)!ftruncate(fd, 0);
}

int
instance_lock(const char *directory, struct instance_lock **out, struct buf *why)
{
	char path[4096];
	int fd;

	if (snprintf(path, sizeof(path), "%s/forebay.lock", directory) >= (int)sizeof(path)) {
		buf_printf(why, "the name of the state directory is too long");
		return -1;
	}
	if ((fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0644)) == -1) {
		buf_printf(why, "%s: %s: the state directory must exist and be ours to write", path,
		    strerror(errno));
		return -1;
	}
	if (flock(fd, LOCK_EX | LOCK_NB) == -1) {
		if (errno == EWOULDBLOCK)
			tell_holder(fd, directory, why);
		else
			buf_printf(why, "%s: cannot be locked: %s", path, strerror(errno));
		close(fd);
		return -1;
	}
	write_pid(fd);
	*out = must_malloc(sizeof(**out));
	(*out)->fd = fd;
	return 0;
}

void
instance_unlock(struct instance_lock **lp)
{
	if (*lp == NULL)
		return;
	close((*lp)->fd);
	free(*lp);
	*lp = NULL;
}

/* TCP */

static unsigned
port_of(const struct address *a)
{
	return ntohs(a->u.sa.sa_family == AF_INET6 ? a->u.in6.sin6_port : a->u.in4.sin_port);
}

static void
tell_taken(const char *name, const struct address *a, struct buf *why)
{
	char text[OWNER_BYTES];
	struct owner o;

	if (!owner_of_port(a, &o)) {
		buf_printf(
		    why, "%s is taken by another process: stop it, or listen elsewhere", name);
		return;
	}
	buf_printf(why, "%s is taken (by %s): ", name, owner_text(&o, text, sizeof(text)));
	if (strncmp(o.name, "forebay", 7) == 0)
		buf_printf(why,
		    "Forebay runs already; `forebay reload` makes it read its "
		    "configuration again");
	else
		buf_printf(why, "stop it, or listen elsewhere");
}

static void
tell_why_not(const char *name, const struct address *a, int error, struct buf *why)
{
	if (error == EADDRINUSE)
		tell_taken(name, a, why);
	else if (error == EACCES)
		buf_printf(why,
		    "%s: not permitted to listen on port %u: give the process "
		    "CAP_NET_BIND_SERVICE, "
		    "lower net.ipv4.ip_unprivileged_port_start, or listen on a port from 1024 on",
		    name, port_of(a));
	else if (error == EADDRNOTAVAIL)
		buf_printf(why, "%s: this machine has no such address", name);
	else if (error == EAFNOSUPPORT)
		buf_printf(why, "%s: this machine has no %s", name,
		    a->u.sa.sa_family == AF_INET6 ? "IPv6" : "IPv4");
	else
		buf_printf(why, "%s: %s", name, strerror(error));
}

static int
set_option(int fd, int level, int option, bool value)
{
	int v = value;

	return setsockopt(fd, level, option, &v, sizeof(v));
}

/* Bound, and listening. -1 (errno). */
static int
open_tcp(const struct address *a, const struct listen_how *how, bool is_shared)
{
	int fd = socket(a->u.sa.sa_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0), error;

	if (fd == -1)
		return -1;
	/* SO_REUSEADDR: connections of the process before us may still be in TIME_WAIT. */
	if (set_option(fd, SOL_SOCKET, SO_REUSEADDR, true) == -1 ||
	    (is_shared && set_option(fd, SOL_SOCKET, SO_REUSEPORT, true) == -1) ||
	    (a->u.sa.sa_family == AF_INET6 &&
		set_option(fd, IPPROTO_IPV6, IPV6_V6ONLY, how->is_v6_only) == -1) ||
	    bind(fd, &a->u.sa, a->len) == -1 || listen(fd, how->backlog) == -1)
		goto fail;
	return fd;
fail:
	error = errno;
	close(fd);
	errno = error;
	return -1;
}

int
instance_listen_beside(
    const char *name, const struct address *a, const struct listen_how *how, struct buf *why)
{
	int fd = open_tcp(a, how, true);

	if (fd == -1)
		tell_why_not(name, a, errno, why);
	return fd;
}

static void
close_all(const int *fds, unsigned count)
{
	for (unsigned i = 0; i < count; i++)
		close(fds[i]);
}

static int
listen_tcp(const char *name, const struct address *a, const struct listen_how *how, int *fds_out,
    struct buf *why)
{
	struct address actual = *a;
	unsigned n = 1;

	if ((fds_out[0] = open_tcp(a, how, false)) == -1) {
		tell_why_not(name, a, errno, why);
		return -1;
	}
	/* Port 0 became a number of which the siblings must hear. */
	actual.len = sizeof(actual.u);
	if (set_option(fds_out[0], SOL_SOCKET, SO_REUSEPORT, true) == -1 ||
	    getsockname(fds_out[0], &actual.u.sa, &actual.len) == -1) {
		tell_why_not(name, a, errno, why);
		goto fail;
	}
	for (; n < how->count; n++)
		if ((fds_out[n] = instance_listen_beside(name, &actual, how, why)) == -1)
			goto fail;
	return 0;
fail:
	close_all(fds_out, n);
	return -1;
}

/* Unix sockets */

/* Who answers at the address, in words; false when nobody does (errno says how: ECONNREFUSED is a
 * socket without a process). */
static bool
somebody_answers(const struct address *a, char *who, size_t size)
{
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0), error;
	struct owner o = {.uid = (uid_t)-1};

	if (fd == -1)
		return false;
	error = connect(fd, &a->u.sa, a->len) == 0 ? 0 : errno;
	if (error == 0)
		owner_of_peer(fd, &o);
	close(fd);
	owner_text(&o, who, size);
	errno = error;
	/* A full queue and another kind of socket answer too, in their way. */
	return error == 0 || error == EAGAIN || error == EPROTOTYPE;
}

/* Makes the way to the path clear: removes a socket without a process behind it. 0 or -1. */
static int
clear_path(const char *name, const struct address *a, struct buf *why)
{
	char who[OWNER_BYTES];
	struct stat st;

	if (lstat(a->u.un.sun_path, &st) == -1)
		return 0; /* not there, or bind will say what is wrong with the way to it */
	if (!S_ISSOCK(st.st_mode))
		buf_printf(why,
		    "%s: there is a file that is no socket: remove it, or listen elsewhere", name);
	else if (somebody_answers(a, who, sizeof(who)))
		buf_printf(why, "%s is taken (by %s): stop it, or listen elsewhere", name, who);
	else if (errno != ECONNREFUSED && errno != ENOENT)
		buf_printf(why, "%s: who listens there cannot be asked: %s", name, strerror(errno));
	else if (unlink(a->u.un.sun_path) == -1 && errno != ENOENT)
		buf_printf(why, "%s: a process that is gone left it, and it cannot be removed: %s",
		    name, strerror(errno));
	else
		return 0;
	return -1;
}

/* A socket that is bound but does not listen yet looks like one that was left behind, so two that
 * start at once take turns: the lock is the directory's. -1: as good as none is to be had. */
static int
lock_directory_of(const char *path)
{
	char copy[sizeof(((struct sockaddr_un *)0)->sun_path) + 1];
	int fd;

	snprintf(copy, sizeof(copy), "%s", path);
	fd = open(dirname(copy), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (fd != -1 && flock(fd, LOCK_EX) == -1) {
		close(fd);
		fd = -1;
	}
	return fd;
}

static int
open_unix(const struct address *a, const struct listen_how *how)
{
	bool has_file = a->u.un.sun_path[0] != '\0';
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0), error;

	if (fd == -1)
		return -1;
	if (bind(fd, &a->u.sa, a->len) == -1)
		goto fail;
	if ((has_file && chmod(a->u.un.sun_path, how->unix_mode) == -1) ||
	    listen(fd, how->backlog) == -1)
		goto fail_bound;
	return fd;
fail_bound:
	error = errno;
	instance_forget(a);
	errno = error;
fail:
	error = errno;
	close(fd);
	errno = error;
	return -1;
}

static int
listen_unix(const char *name, const struct address *a, const struct listen_how *how, int *fd_out,
    struct buf *why)
{
	char who[OWNER_BYTES];

	if ((*fd_out = open_unix(a, how)) != -1)
		return 0;
	if (errno == EADDRINUSE && somebody_answers(a, who, sizeof(who)))
		buf_printf(why, "%s is taken (by %s): stop it, or listen elsewhere", name, who);
	else
		buf_printf(why, "%s: cannot listen there: %s", name, strerror(errno));
	return -1;
}

static int
listen_path(const char *name, const struct address *a, const struct listen_how *how, int *fd_out,
    struct buf *why)
{
	int lock = lock_directory_of(a->u.un.sun_path), result = clear_path(name, a, why);

	if (result == 0)
		result = listen_unix(name, a, how, fd_out, why);
	if (lock != -1)
		close(lock);
	return result;
}

int
instance_listen(const char *name, const struct address *a, const struct listen_how *how,
    int *fds_out, struct buf *why)
{
	if (a->u.sa.sa_family != AF_UNIX)
		return listen_tcp(name, a, how, fds_out, why);
	if (a->u.un.sun_path[0] != '\0')
		return listen_path(name, a, how, fds_out, why);
	return listen_unix(name, a, how, fds_out, why);
}

void
instance_forget(const struct address *a)
{
	if (a->u.sa.sa_family == AF_UNIX && a->u.un.sun_path[0] != '\0')
		(void)!unlink(a->u.un.sun_path);
}
