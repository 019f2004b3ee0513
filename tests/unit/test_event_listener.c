/* LINK: event/listener event/loop base/mem base/log */
#include "event/listener.h"

#include <fcntl.h>
#include <netinet/tcp.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/log.h"
#include "still_clock.h"

#define CLIENTS 100

static struct loop *the_loop;
static char log_file[64];

/* Who accepts, and what then. */
struct door {
	struct listener *listener;
	struct address at;
	int listening, clients[CLIENTS];
	int fds[2 * CLIENTS];
	unsigned accepted;
	unsigned pauses_after, frees_after; /* so many; 0: never */
};

static unsigned settings;

/* In the place of libc's. */
int
setsockopt(int fd, int level, int name, const void *value, socklen_t len)
{
	settings++;
	return (int)syscall(SYS_setsockopt, fd, level, name, value, len);
}

static void
on_turn_over(void *arg)
{
	loop_stop(arg);
}

static void
turn(void)
{
	struct task over;

	task_init(&over, on_turn_over, the_loop);
	loop_later(the_loop, &over);
	loop_run(the_loop);
}

static void
on_accepted(void *arg, int fd, const struct address *peer)
{
	struct door *d = arg;
	int hurries = 0;
	socklen_t len = sizeof(hurries);

	assert_int_equal(peer->u.sa.sa_family, AF_INET);
	assert_true(fcntl(fd, F_GETFL) & O_NONBLOCK);
	assert_int_equal(getsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &hurries, &len), 0);
	assert_true(hurries);
	d->fds[d->accepted++] = fd;
	if (d->accepted == d->pauses_after)
		listener_pause(d->listener, true);
	if (d->accepted == d->frees_after)
		listener_free(&d->listener);
}

static void
open_door(struct door *d)
{
	settings = 0;
	*d = (struct door){.at.len = sizeof(d->at.u.in4)};
	d->at.u.in4.sin_family = AF_INET;
	d->at.u.in4.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	d->listening = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0);
	assert_int_equal(bind(d->listening, &d->at.u.sa, d->at.len), 0);
	assert_int_equal(getsockname(d->listening, &d->at.u.sa, &d->at.len), 0);
	assert_int_equal(listen(d->listening, CLIENTS), 0);
	for (int i = 0; i < CLIENTS; i++) {
		d->clients[i] = socket(AF_INET, SOCK_STREAM, 0);
		assert_int_equal(connect(d->clients[i], &d->at.u.sa, d->at.len), 0);
	}
	d->listener = listener_new(the_loop, d->listening, on_accepted, d);
	assert_non_null(d->listener);
}

static void
close_door(struct door *d)
{
	listener_free(&d->listener);
	close(d->listening);
	for (int i = 0; i < CLIENTS; i++)
		close(d->clients[i]);
	for (unsigned i = 0; i < d->accepted; i++)
		close(d->fds[i]);
}

static void
a_flood_is_taken_in_turns(void **state)
{
	struct door d;

	open_door(&d);
	turn();
	assert_in_range(d.accepted, 1, CLIENTS - 1);
	turn();
	assert_int_equal(d.accepted, CLIENTS);
	close_door(&d);
}

/* on_accepted looks. */
static void
nobody_s_bytes_are_held_back_and_only_who_came_early_has_to_be_told(void **state)
{
	struct door d;

	open_door(&d);
	for (int i = 0; i < 3; i++)
		turn();
	assert_int_equal(settings, CLIENTS + 1); /* they were there before the listener was */
	for (int i = 0; i < CLIENTS; i++) {
		close(d.clients[i]);
		d.clients[i] = socket(AF_INET, SOCK_STREAM, 0);
		assert_int_equal(connect(d.clients[i], &d.at.u.sa, d.at.len), 0);
	}
	for (int i = 0; i < 3; i++)
		turn();
	assert_int_equal(d.accepted, 2 * CLIENTS);
	assert_int_equal(settings, CLIENTS + 1);
	close_door(&d);
}

static void
a_pause_within_a_batch_holds_at_once(void **state)
{
	struct door d;

	open_door(&d);
	d.pauses_after = 5;
	turn();
	turn();
	assert_int_equal(d.accepted, 5);
	listener_pause(d.listener, false);
	turn();
	turn();
	assert_int_equal(d.accepted, CLIENTS);
	close_door(&d);
}

static void
a_listener_may_be_freed_by_whom_it_calls(void **state)
{
	struct door d;

	open_door(&d);
	d.frees_after = 3;
	turn();
	turn();
	assert_int_equal(d.accepted, 3);
	close_door(&d);
}

static unsigned
lines_in_log(const char *text)
{
	FILE *f = fopen(log_file, "r");
	char line[1024];
	unsigned n = 0;

	while (fgets(line, sizeof(line), f) != NULL)
		n += strstr(line, text) != NULL;
	fclose(f);
	return n;
}

static void
a_shortage_of_descriptors_is_told_once_and_waited_for(void **state)
{
	struct rlimit before, scarce;
	struct door d;
	int probe;

	open_door(&d);
	assert_int_equal(log_set_path(log_file), 0);
	getrlimit(RLIMIT_NOFILE, &before);
	scarce = before;
	probe = dup(0);
	close(probe);
	scarce.rlim_cur = (rlim_t)probe + 2;
	setrlimit(RLIMIT_NOFILE, &scarce);
	for (int i = 0; i < 10; i++) {
		turn();
		assert_int_equal(d.accepted, 2);
		clock_move(100);
	}
	setrlimit(RLIMIT_NOFILE, &before);
	assert_int_equal(lines_in_log("Too many open files"), 1);
	for (int i = 0; i < 3; i++) {
		clock_move(100);
		turn();
	}
	turn();
	assert_int_equal(d.accepted, CLIENTS);
	log_set_path(NULL);
	close_door(&d);
}

static int
set_up(void **state)
{
	snprintf(log_file, sizeof(log_file), "/tmp/forebay-listener-%d", getpid());
	the_loop = loop_new();
	return the_loop == NULL;
}

static int
tear_down(void **state)
{
	loop_free(&the_loop);
	unlink(log_file);
	return 0;
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(a_flood_is_taken_in_turns),
	    cmocka_unit_test(nobody_s_bytes_are_held_back_and_only_who_came_early_has_to_be_told),
	    cmocka_unit_test(a_pause_within_a_batch_holds_at_once),
	    cmocka_unit_test(a_listener_may_be_freed_by_whom_it_calls),
	    cmocka_unit_test(a_shortage_of_descriptors_is_told_once_and_waited_for),
	};

	return cmocka_run_group_tests_name("event/listener", tests, set_up, tear_down);
}
