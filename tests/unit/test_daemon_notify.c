/* LINK: daemon/notify base/log base/clock base/mem */
#include "daemon/notify.h"

#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/log.h"

/* The service manager's end. */
struct manager {
	int fd;
	char where[108];
};

static void
listen_at(struct manager *m, const char *where)
{
	struct sockaddr_un a = {.sun_family = AF_UNIX};
	size_t n = strlen(where);

	snprintf(m->where, sizeof(m->where), "%s", where);
	memcpy(a.sun_path, where, n + 1);
	if (where[0] == '@')
		a.sun_path[0] = '\0';
	m->fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	assert_int_equal(0,
	    bind(m->fd, (struct sockaddr *)&a,
		(socklen_t)(sizeof(a.sun_family) + n + (where[0] == '/'))));
	setenv("NOTIFY_SOCKET", where, 1);
}

static void
stop_listening(struct manager *m)
{
	close(m->fd);
	if (m->where[0] == '/')
		unlink(m->where);
}

static const char *
heard(struct manager *m)
{
	static char text[2048];
	ssize_t n = recv(m->fd, text, sizeof(text) - 1, MSG_DONTWAIT);

	text[n > 0 ? n : 0] = '\0';
	return text;
}

static struct notify *
told_by(struct manager *m)
{
	char where[64];

	snprintf(where, sizeof(where), "@forebay-test-%ld", (long)getpid());
	listen_at(m, where);
	return notify_new();
}

static void
the_manager_hears_each_state_as_the_protocol_words_it(void **state)
{
	struct manager m;
	struct notify *n = told_by(&m);
	long long usec;

	notify_ready(n);
	assert_string_equal("READY=1", heard(&m));
	notify_status(n, "%d workers serve\n%s", 4, "MAINPID=1");
	assert_string_equal("STATUS=4 workers serve MAINPID=1", heard(&m));
	notify_watchdog(n);
	assert_string_equal("WATCHDOG=1", heard(&m));
	notify_reloading(n);
	assert_int_equal(1, sscanf(heard(&m), "RELOADING=1\nMONOTONIC_USEC=%lld", &usec));
	assert_true(usec > 0);
	notify_stopping(n);
	assert_string_equal("STOPPING=1", heard(&m));
	notify_free(&n);
	stop_listening(&m);
}

static void
a_socket_may_also_be_a_path(void **state)
{
	char dir[] = "/tmp/forebay-notify-XXXXXX", where[64];
	struct manager m;
	struct notify *n;

	assert_non_null(mkdtemp(dir));
	snprintf(where, sizeof(where), "%s/notify", dir);
	listen_at(&m, where);
	n = notify_new();
	notify_ready(n);
	assert_string_equal("READY=1", heard(&m));
	notify_free(&n);
	stop_listening(&m);
	rmdir(dir);
}

static void
where_nobody_asked_nothing_is_said(void **state)
{
	struct notify *n;

	unsetenv("NOTIFY_SOCKET");
	setenv("WATCHDOG_USEC", "30000000", 1);
	n = notify_new();
	assert_null(n);
	notify_ready(n);
	notify_status(n, "quiet");
	notify_drop_fd(n, "listen");
	assert_int_equal(0, notify_store_fd(n, "listen", 0));
	assert_int_equal(0, notify_watchdog_ms(n));
	notify_free(&n);
}

static void
a_socket_of_an_unknown_kind_is_left_alone(void **state)
{
	setenv("NOTIFY_SOCKET", "vsock:2:1234", 1);
	assert_null(notify_new());
}

static void
no_child_speaks_in_our_name(void **state)
{
	struct manager m;
	struct notify *n = told_by(&m);

	assert_null(getenv("NOTIFY_SOCKET"));
	notify_free(&n);
	stop_listening(&m);
}

static int64_t
watchdog_ms(const char *usec, const char *pid)
{
	struct manager m;
	struct notify *n;
	int64_t ms;

	setenv("WATCHDOG_USEC", usec, 1);
	setenv("WATCHDOG_PID", pid, 1);
	n = told_by(&m);
	ms = notify_watchdog_ms(n);
	notify_free(&n);
	stop_listening(&m);
	return ms;
}

static void
the_watchdog_is_fed_twice_as_often_as_it_must_be(void **state)
{
	char pid[24];

	snprintf(pid, sizeof(pid), "%ld", (long)getpid());
	assert_int_equal(15000, watchdog_ms("30000000", pid));
	assert_int_equal(1, watchdog_ms("900", pid));
	assert_int_equal(0, watchdog_ms("30000000", "1"));
	assert_int_equal(0, watchdog_ms("-5", pid));
	assert_int_equal(0, watchdog_ms("5s", pid));
}

static void
a_descriptor_left_with_the_manager_is_the_same_file(void **state)
{
	struct manager m;
	struct notify *n = told_by(&m);
	char text[128], control[CMSG_SPACE(sizeof(int))];
	struct iovec iov = {text, sizeof(text)};
	struct msghdr h = {.msg_iov = &iov,
	    .msg_iovlen = 1,
	    .msg_control = control,
	    .msg_controllen = sizeof(control)};
	int fd = open("/dev/null", O_RDONLY | O_CLOEXEC), copy;
	struct stat ours, theirs;
	ssize_t len;

	assert_int_equal(0, notify_store_fd(n, "listen-0", fd));
	len = recvmsg(m.fd, &h, MSG_DONTWAIT | MSG_CMSG_CLOEXEC);
	assert_int_equal(strlen("FDSTORE=1\nFDNAME=listen-0"), len);
	assert_memory_equal("FDSTORE=1\nFDNAME=listen-0", text, len);
	assert_non_null(CMSG_FIRSTHDR(&h));
	memcpy(&copy, CMSG_DATA(CMSG_FIRSTHDR(&h)), sizeof(copy));
	assert_int_equal(0, fstat(fd, &ours));
	assert_int_equal(0, fstat(copy, &theirs));
	assert_int_equal(ours.st_rdev, theirs.st_rdev);
	notify_drop_fd(n, "listen-0");
	assert_string_equal("FDSTOREREMOVE=1\nFDNAME=listen-0", heard(&m));
	assert_int_equal(-1, notify_store_fd(n, "two:names", fd));
	assert_int_equal(-1, notify_store_fd(n, "a\nFDPOLL=0", fd));
	close(copy);
	close(fd);
	notify_free(&n);
	stop_listening(&m);
}

static void
a_manager_that_is_gone_holds_nobody_up(void **state)
{
	struct manager m;
	struct notify *n = told_by(&m);

	stop_listening(&m);
	notify_ready(n);
	notify_free(&n);
}

static void
a_barrier_waits_until_all_is_read(void **state)
{
	struct manager m;
	char where[64];
	struct notify *n;
	struct msghdr h = {0};
	char text[64];
	union {
		struct cmsghdr head;
		char bytes[CMSG_SPACE(sizeof(int))];
	} control;
	struct iovec iov = {text, sizeof(text)};
	int end;

	snprintf(where, sizeof(where), "@forebay-barrier-%d", (int)getpid());
	listen_at(&m, where);
	n = notify_new();
	assert_int_equal(notify_barrier(n, 20), -1);
	assert_int_equal(errno, ETIMEDOUT);
	h = (struct msghdr){.msg_iov = &iov,
	    .msg_iovlen = 1,
	    .msg_control = &control,
	    .msg_controllen = sizeof(control)};
	assert_int_equal(recvmsg(m.fd, &h, 0), 9);
	assert_memory_equal(text, "BARRIER=1", 9);
	memcpy(&end, CMSG_DATA(&control.head), sizeof(end));
	close(end);
	assert_int_equal(notify_barrier(NULL, 20), 0);
	notify_free(&n);
	stop_listening(&m);
}

static void
what_the_process_before_left_is_found_by_its_name(void **state)
{
	char text[16];
	int fds[2];

	/* As after exec: 3 is the first. What the test runner has there is put aside. */
	int aside[2] = {dup(3), dup(4)};

	assert_int_equal(pipe(fds), 0);
	dup2(fds[0], 3);
	dup2(fds[1], 4);
	snprintf(text, sizeof(text), "%d", (int)getpid());
	setenv("LISTEN_PID", text, 1);
	setenv("LISTEN_FDS", "2", 1);
	setenv("LISTEN_FDNAMES", "other:ours", 1);
	assert_int_equal(notify_handed_fd("ours"), 4);
	assert_int_equal(fcntl(4, F_GETFD), FD_CLOEXEC);
	assert_int_equal(fcntl(3, F_GETFD), -1);
	assert_null(getenv("LISTEN_FDS"));
	assert_int_equal(notify_handed_fd("ours"), -1);
	setenv("LISTEN_PID", "1", 1); /* meant for another process */
	setenv("LISTEN_FDS", "2", 1);
	setenv("LISTEN_FDNAMES", "other:ours", 1);
	assert_int_equal(notify_handed_fd("ours"), -1);
	assert_int_equal(fcntl(4, F_GETFD), FD_CLOEXEC);
	for (int i = 0; i < 2; i++) {
		if (fds[i] > 4)
			close(fds[i]);
		close(3 + i);
		if (aside[i] != -1) {
			dup2(aside[i], 3 + i);
			close(aside[i]);
		}
	}
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(the_manager_hears_each_state_as_the_protocol_words_it),
	    cmocka_unit_test(a_socket_may_also_be_a_path),
	    cmocka_unit_test(where_nobody_asked_nothing_is_said),
	    cmocka_unit_test(a_socket_of_an_unknown_kind_is_left_alone),
	    cmocka_unit_test(no_child_speaks_in_our_name),
	    cmocka_unit_test(the_watchdog_is_fed_twice_as_often_as_it_must_be),
	    cmocka_unit_test(a_descriptor_left_with_the_manager_is_the_same_file),
	    cmocka_unit_test(a_manager_that_is_gone_holds_nobody_up),
	    cmocka_unit_test(a_barrier_waits_until_all_is_read),
	    cmocka_unit_test(what_the_process_before_left_is_found_by_its_name),
	};

	log_set_level(LOG_LEVEL_ERROR);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
