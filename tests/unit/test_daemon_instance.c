/* LINK: daemon/instance daemon/owner base/buf base/mem */
#include "daemon/instance.h"

#include <arpa/inet.h>
#include <errno.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#define WORKERS 3

static const struct listen_how usual = {WORKERS, 16, true, 0600};
static char directory[64];
static struct buf why;

static struct address
loopback(unsigned port)
{
	struct address a = {.len = sizeof(a.u.in4)};

	a.u.in4 = (struct sockaddr_in){.sin_family = AF_INET,
	    .sin_port = htons((uint16_t)port),
	    .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
	return a;
}

static struct address
at_path(const char *name)
{
	struct address a = {.len = sizeof(a.u.un)};

	a.u.un.sun_family = AF_UNIX;
	snprintf(a.u.un.sun_path, sizeof(a.u.un.sun_path), "%s/%s", directory, name);
	return a;
}

static struct address
address_of(int fd)
{
	struct address a = {.len = sizeof(a.u)};

	assert_int_equal(0, getsockname(fd, &a.u.sa, &a.len));
	return a;
}

/* 0, or errno */
static int
connects(const struct address *a)
{
	int fd = socket(a->u.sa.sa_family, SOCK_STREAM | SOCK_CLOEXEC, 0);
	int error = connect(fd, &a->u.sa, a->len) == 0 ? 0 : errno;

	close(fd);
	return error;
}

static void
assert_why(const char *part)
{
	buf_add_char(&why, '\0');
	if (strstr(why.p, part) == NULL)
		fail_msg("\"%s\" does not say \"%s\"", why.p, part);
}

static void
close_all(int *fds, unsigned n)
{
	for (unsigned i = 0; i < n; i++)
		close(fds[i]);
}

static void
workers_share_a_port(void **state)
{
	int fds[WORKERS], accepted[WORKERS] = {0}, waiting, got = 0, clients[60];
	struct address any = loopback(0), a;

	assert_int_equal(0, instance_listen("any", &any, &usual, fds, &why));
	a = address_of(fds[0]);
	for (unsigned i = 0; i < 60; i++) {
		clients[i] = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
		assert_int_equal(0, connect(clients[i], &a.u.sa, a.len));
		for (unsigned w = 0; w < WORKERS; w++)
			while ((waiting = accept4(fds[w], NULL, NULL, SOCK_CLOEXEC)) != -1) {
				close(waiting);
				accepted[w]++;
				got++;
			}
	}
	assert_int_equal(60, got);
	for (unsigned w = 0; w < WORKERS; w++)
		assert_true(accepted[w] > 0);
	close_all(clients, 60);
	close_all(fds, WORKERS);
}

static void
a_taken_port_is_refused_with_the_name_of_who_has_it(void **state)
{
	struct address any = loopback(0), a;
	int theirs[WORKERS], ours[WORKERS];
	char pid[48];

	assert_int_equal(0, instance_listen("any", &any, &usual, theirs, &why));
	a = address_of(theirs[0]);
	assert_int_equal(-1, instance_listen("127.0.0.1:8080", &a, &usual, ours, &why));
	assert_why("127.0.0.1:8080 is taken (by pid ");
	snprintf(pid, sizeof(pid), "pid %ld, test_daemon_ins", (long)getpid());
	assert_why(pid);
	close_all(theirs, WORKERS);
}

static void
a_port_taken_at_all_addresses_is_taken_at_each(void **state)
{
	struct address any = loopback(0), a;
	struct listen_how one = {1, 16, false, 0};
	int theirs, ours;

	any.u.in4.sin_addr.s_addr = htonl(INADDR_ANY);
	assert_int_equal(0, instance_listen("any", &any, &one, &theirs, &why));
	a = address_of(theirs);
	a.u.in4.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	assert_int_equal(-1, instance_listen("127.0.0.1:8080", &a, &one, &ours, &why));
	assert_why("is taken (by pid ");
	close(theirs);
}

static void
a_reload_may_add_a_worker_to_a_port(void **state)
{
	struct address any = loopback(0), a;
	int fds[WORKERS], more;

	assert_int_equal(0, instance_listen("any", &any, &usual, fds, &why));
	a = address_of(fds[0]);
	more = instance_listen_beside("127.0.0.1:8080", &a, &usual, &why);
	assert_true(more != -1);
	close(more);
	close_all(fds, WORKERS);
}

static void
a_port_is_free_again_though_its_connections_linger(void **state)
{
	struct listen_how one = {1, 16, false, 0};
	struct address any = loopback(0), a;
	int listening, client, served;

	assert_int_equal(0, instance_listen("any", &any, &one, &listening, &why));
	a = address_of(listening);
	client = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	assert_int_equal(0, connect(client, &a.u.sa, a.len));
	served = accept4(listening, NULL, NULL, SOCK_CLOEXEC);
	close(served); /* our side closes first: TIME_WAIT on our port */
	close(client);
	close(listening);
	assert_int_equal(0, instance_listen("again", &a, &one, &listening, &why));
	close(listening);
}

static void
an_address_of_another_machine_is_refused(void **state)
{
	struct address a = loopback(0);
	int fds[WORKERS];

	a.u.in4.sin_addr.s_addr = htonl(0xc0000201); /* 192.0.2.1, for documentation only */
	assert_int_equal(-1, instance_listen("192.0.2.1:80", &a, &usual, fds, &why));
	assert_why("192.0.2.1:80: this machine has no such address");
}

static void
a_unix_socket_has_the_permissions_asked_for(void **state)
{
	struct address a = at_path("open.sock");
	struct stat st;
	int fd;

	assert_int_equal(0, instance_listen("unix:open.sock", &a, &usual, &fd, &why));
	assert_int_equal(0, stat(a.u.un.sun_path, &st));
	assert_int_equal(0600, st.st_mode & 0777);
	assert_int_equal(0, connects(&a));
	instance_forget(&a);
	close(fd);
	assert_int_equal(-1, stat(a.u.un.sun_path, &st));
}

static void
a_unix_socket_of_a_dead_process_is_replaced(void **state)
{
	struct address a = at_path("stale.sock");
	int fd;

	assert_int_equal(0, instance_listen("unix:stale.sock", &a, &usual, &fd, &why));
	close(fd); /* as kill -9 does: the file stays */
	assert_int_equal(ECONNREFUSED, connects(&a));
	assert_int_equal(0, instance_listen("unix:stale.sock", &a, &usual, &fd, &why));
	assert_int_equal(0, connects(&a));
	instance_forget(&a);
	close(fd);
}

static void
a_unix_socket_that_answers_is_left_alone(void **state)
{
	struct address a = at_path("alive.sock");
	int theirs, ours;

	assert_int_equal(0, instance_listen("unix:alive.sock", &a, &usual, &theirs, &why));
	assert_int_equal(-1, instance_listen("unix:alive.sock", &a, &usual, &ours, &why));
	assert_why("unix:alive.sock is taken (by pid ");
	assert_int_equal(0, connects(&a));
	instance_forget(&a);
	close(theirs);
}

static void
a_file_that_is_no_socket_is_never_removed(void **state)
{
	struct address a = at_path("precious.txt");
	FILE *f = fopen(a.u.un.sun_path, "we");
	int fd;

	assert_non_null(f);
	fclose(f);
	assert_int_equal(-1, instance_listen("unix:precious.txt", &a, &usual, &fd, &why));
	assert_why("there is a file that is no socket");
	assert_int_equal(0, unlink(a.u.un.sun_path));
}

static void
a_missing_directory_is_said(void **state)
{
	struct address a = at_path("nowhere/s.sock");
	int fd;

	assert_int_equal(-1, instance_listen("unix:nowhere/s.sock", &a, &usual, &fd, &why));
	assert_why("No such file or directory");
}

static void
one_directory_has_one_instance(void **state)
{
	struct instance_lock *first, *second = NULL;
	char pid[48];

	assert_int_equal(0, instance_lock(directory, &first, &why));
	assert_int_equal(-1, instance_lock(directory, &second, &why));
	snprintf(pid, sizeof(pid), "another Forebay (pid %ld) runs with /", (long)getpid());
	assert_why(pid);
	instance_unlock(&first);
	assert_int_equal(0, instance_lock(directory, &second, &why));
	instance_unlock(&second);
}

static void
the_lock_of_a_killed_instance_is_free(void **state)
{
	struct instance_lock *lock;
	pid_t child = fork();
	int status;

	if (child == 0) {
		if (instance_lock(directory, &lock, &why) == 0)
			kill(getpid(), SIGKILL);
		_exit(1);
	}
	assert_int_equal(child, waitpid(child, &status, 0));
	assert_true(WIFSIGNALED(status));
	assert_int_equal(0, instance_lock(directory, &lock, &why));
	instance_unlock(&lock);
}

static void
a_directory_that_cannot_be_written_is_said(void **state)
{
	struct instance_lock *lock;

	assert_int_equal(-1, instance_lock("/nowhere/at/all", &lock, &why));
	assert_why("/nowhere/at/all/forebay.lock: No such file or directory");
}

static int
make_directory(void **state)
{
	snprintf(directory, sizeof(directory), "/tmp/forebay-instance-XXXXXX");
	return mkdtemp(directory) == NULL ? -1 : 0;
}

static int
remove_directory(void **state)
{
	char lock[96];

	snprintf(lock, sizeof(lock), "%s/forebay.lock", directory);
	unlink(lock);
	buf_fini(&why);
	return rmdir(directory);
}

#define IN_A_DIRECTORY(test) cmocka_unit_test_setup_teardown(test, make_directory, remove_directory)

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    IN_A_DIRECTORY(workers_share_a_port),
	    IN_A_DIRECTORY(a_taken_port_is_refused_with_the_name_of_who_has_it),
	    IN_A_DIRECTORY(a_port_taken_at_all_addresses_is_taken_at_each),
	    IN_A_DIRECTORY(a_reload_may_add_a_worker_to_a_port),
	    IN_A_DIRECTORY(a_port_is_free_again_though_its_connections_linger),
	    IN_A_DIRECTORY(an_address_of_another_machine_is_refused),
	    IN_A_DIRECTORY(a_unix_socket_has_the_permissions_asked_for),
	    IN_A_DIRECTORY(a_unix_socket_of_a_dead_process_is_replaced),
	    IN_A_DIRECTORY(a_unix_socket_that_answers_is_left_alone),
	    IN_A_DIRECTORY(a_file_that_is_no_socket_is_never_removed),
	    IN_A_DIRECTORY(a_missing_directory_is_said),
	    IN_A_DIRECTORY(one_directory_has_one_instance),
	    IN_A_DIRECTORY(the_lock_of_a_killed_instance_is_free),
	    IN_A_DIRECTORY(a_directory_that_cannot_be_written_is_said),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
