/* LINK: event/stream event/loop base/clock base/mem */
#include "event/stream.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/clock.h"

#define PATIENCE_MS 60000 /* what does not happen until then is a failure */

/* One stream and what its owner was told; what it does in return. */
struct owner {
	struct stream *stream;
	unsigned readable, writable;
	char in[65536];
	size_t n;
	ssize_t result; /* of the last read */
	bool idle;	/* reads nothing */
	struct owner *closes_on_readable, *closes_on_writable;
	struct owner *hands_over_to; /* on_writable */
	int reopens;		     /* a descriptor to open once the stream is closed; 0: none */
};

static struct loop *the_loop;

static void on_owner_readable(void *arg);
static void on_owner_writable(void *arg);
static const struct stream_handler owner_handler = {on_owner_readable, on_owner_writable};

static void
on_turn_over(void *arg)
{
	loop_stop(arg);
}

/* One turn, without waiting for anything. */
static void
turn(void)
{
	struct task over;

	task_init(&over, on_turn_over, the_loop);
	loop_later(the_loop, &over);
	loop_run(the_loop);
}

#define WAIT(condition)                                             \
	do {                                                        \
		int64_t until_ms_ = clock_mono_ms() + PATIENCE_MS;  \
		while (!(condition) && clock_mono_ms() < until_ms_) \
			turn();                                     \
		assert_true(condition);                             \
	} while (0)

static void
on_owner_readable(void *arg)
{
	struct owner *o = arg;

	o->readable++;
	if (!o->idle) {
		o->result = stream_read(o->stream, o->in + o->n, sizeof(o->in) - o->n);
		o->n += o->result > 0 ? (size_t)o->result : 0;
	}
	if (o->closes_on_readable != NULL)
		stream_close(&o->closes_on_readable->stream);
	if (o->reopens > 0)
		o->stream = stream_open(the_loop, o->reopens, &owner_handler, o);
	o->reopens = 0;
}

static void
on_owner_writable(void *arg)
{
	struct owner *o = arg;

	o->writable++;
	if (o->closes_on_writable != NULL)
		stream_close(&o->closes_on_writable->stream);
	if (o->hands_over_to != NULL) {
		o->hands_over_to->stream = o->stream;
		stream_set_handler(o->stream, &owner_handler, o->hands_over_to);
	}
}

static void
pair(int fds[2])
{
	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, fds), 0);
}

/* Returns the other end. */
static int
open_pair(struct owner *o)
{
	int fds[2];

	pair(fds);
	*o = (struct owner){.stream = stream_open(the_loop, fds[0], &owner_handler, o)};
	assert_non_null(o->stream);
	return fds[1];
}

static int
listen_somewhere(struct address *at)
{
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0);

	*at = (struct address){.len = sizeof(at->u.in4)};
	at->u.in4.sin_family = AF_INET;
	at->u.in4.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	assert_int_equal(bind(fd, &at->u.sa, at->len), 0);
	assert_int_equal(getsockname(fd, &at->u.sa, &at->len), 0);
	assert_int_equal(listen(fd, 8), 0);
	return fd;
}

static ssize_t
write_text(struct owner *o, const char *text)
{
	struct iovec iov = {(void *)(uintptr_t)text, strlen(text)};

	return stream_writev(o->stream, &iov, 1, false);
}

/* --- passing bytes --- */

static void
bytes_pass_in_both_directions(void **state)
{
	struct iovec pieces[] = {
	    {(char *)(uintptr_t) "res", 3}, {NULL, 0}, {(char *)(uintptr_t) "ponse", 5}};
	struct owner o;
	int fd = open_pair(&o);
	char got[16];

	assert_int_equal(write(fd, "request", 7), 7);
	WAIT(o.n == 7);
	assert_memory_equal(o.in, "request", 7);
	assert_int_equal(stream_writev(o.stream, pieces, 3, false), 8);
	assert_int_equal(read(fd, got, sizeof(got)), 8);
	assert_memory_equal(got, "response", 8);
	turn();
	assert_int_equal(o.writable, 0);
	assert_false(stream_is_tls(o.stream));
	stream_close(&o.stream);
	assert_null(o.stream);
	assert_int_equal(read(fd, got, sizeof(got)), 0);
	close(fd);
}

static void
bytes_stay_in_the_kernel_while_they_are_not_wanted(void **state)
{
	struct owner o;
	int fd = open_pair(&o);

	stream_want_read(o.stream, false);
	assert_false(stream_wants_read(o.stream));
	assert_int_equal(write(fd, "x", 1), 1);
	turn();
	turn();
	assert_int_equal(o.readable, 0);
	stream_want_read(o.stream, true);
	WAIT(o.n == 1);
	stream_close(&o.stream);
	close(fd);
}

static void
what_is_not_read_is_announced_again(void **state)
{
	struct owner o;
	int fd = open_pair(&o);

	o.idle = true;
	assert_int_equal(write(fd, "x", 1), 1);
	WAIT(o.readable == 3);
	close(fd);
	o.idle = false;
	WAIT(o.n == 1);
	WAIT(o.result == 0);
	stream_close(&o.stream);
}

static void
who_was_refused_is_told_once_there_is_room(void **state)
{
	static char body[1 << 20];
	struct iovec iov = {body, sizeof(body)};
	struct owner o;
	int fd = open_pair(&o);
	ssize_t sent = stream_writev(o.stream, &iov, 1, false);

	assert_in_range(sent, 1, sizeof(body) - 1);
	assert_int_equal(stream_writev(o.stream, &iov, 1, false), STREAM_AGAIN);
	turn();
	turn();
	assert_int_equal(o.writable, 0);
	while (read(fd, body, sizeof(body)) > 0)
		;
	WAIT(o.writable == 1);
	turn();
	assert_int_equal(o.writable, 1);
	stream_want_write(o.stream, true);
	WAIT(o.writable == 2);
	stream_close(&o.stream);
	close(fd);
}

static void
a_thousand_pieces_and_more_go_out(void **state)
{
	static struct iovec pieces[IOV_MAX + 100];
	struct owner o;
	int fd = open_pair(&o);

	for (int i = 0; i < IOV_MAX + 100; i++)
		pieces[i] = (struct iovec){(char *)(uintptr_t) "x", 1};
	assert_int_equal(stream_writev(o.stream, pieces, IOV_MAX + 100, false), IOV_MAX);
	WAIT(o.writable == 1);
	assert_int_equal(stream_writev(o.stream, pieces, 100, false), 100);
	assert_int_equal(stream_writev(o.stream, pieces, 0, false), 0);
	stream_close(&o.stream);
	close(fd);
}

/* --- ends --- */

static void
after_the_last_word_reading_goes_on(void **state)
{
	struct owner o;
	int fd = open_pair(&o);
	char got[4];

	stream_shutdown_write(o.stream);
	assert_int_equal(read(fd, got, sizeof(got)), 0);
	assert_int_equal(write_text(&o, "x"), STREAM_ERROR);
	assert_int_equal(stream_error(o.stream), EPIPE);
	assert_int_equal(write(fd, "late", 4), 4);
	WAIT(o.n == 4);
	stream_close(&o.stream);
	close(fd);
}

static void
a_reset_is_seen_as_one_on_the_other_side(void **state)
{
	struct address at;
	struct owner here, there = {0};
	int listening = listen_somewhere(&at);

	here = (struct owner){.stream = stream_connect(the_loop, &at, &owner_handler, &here)};
	WAIT(here.writable == 1);
	there.stream = stream_open(
	    the_loop, accept4(listening, NULL, NULL, SOCK_NONBLOCK), &owner_handler, &there);
	stream_reset(&here.stream);
	assert_null(here.stream);
	WAIT(there.result == STREAM_ERROR);
	assert_int_equal(stream_error(there.stream), ECONNRESET);
	stream_close(&there.stream);
	close(listening);
}

/* --- closing in callbacks --- */

static void
nothing_is_heard_of_a_stream_closed_in_its_callback(void **state)
{
	struct owner o;
	int fd = open_pair(&o);

	o.closes_on_readable = &o;
	assert_int_equal(write(fd, "x", 1), 1);
	WAIT(o.stream == NULL);
	turn();
	assert_int_equal(o.readable, 1);
	close(fd);

	/* Writable and readable in one event: the first closes, so the second is not told. */
	fd = open_pair(&o);
	o.closes_on_writable = &o;
	stream_want_write(o.stream, true);
	assert_int_equal(write(fd, "x", 1), 1);
	WAIT(o.stream == NULL);
	turn();
	assert_int_equal(o.readable, 0);
	close(fd);
}

static void
a_stream_may_close_another_whose_event_is_due(void **state)
{
	struct owner a, b;
	int fd_a = open_pair(&a), fd_b = open_pair(&b);

	a.closes_on_readable = &b;
	b.closes_on_readable = &a;
	assert_int_equal(write(fd_a, "x", 1), 1);
	assert_int_equal(write(fd_b, "x", 1), 1);
	WAIT(a.readable + b.readable > 0);
	turn();
	assert_int_equal(a.readable + b.readable, 1);
	stream_close(&a.stream);
	stream_close(&b.stream);
	close(fd_a);
	close(fd_b);
}

static void
a_stream_opened_where_another_was_closed_gets_its_events(void **state)
{
	struct owner o;
	int fds[2], fd = open_pair(&o), old = stream_fd(o.stream);

	pair(fds);
	assert_int_equal(write(fd, "x", 1), 1);
	assert_int_equal(write(fds[1], "new", 3), 3);
	o.closes_on_readable = &o;
	o.reopens = fds[0];
	WAIT(o.readable == 1);
	o.closes_on_readable = NULL;
	WAIT(o.n == 4);
	assert_memory_equal(o.in, "xnew", 4);
	stream_close(&o.stream);
	close(fd);
	close(fds[1]);

	/* And under the very number that has become free. */
	fd = open_pair(&o);
	assert_int_equal(stream_fd(o.stream), old);
	turn();
	stream_close(&o.stream);
	close(fd);
	fd = open_pair(&o);
	assert_int_equal(stream_fd(o.stream), old);
	assert_int_equal(write(fd, "y", 1), 1);
	WAIT(o.n == 1);
	stream_close(&o.stream);
	close(fd);
}

static void
a_new_owner_hears_only_what_is_still_so(void **state)
{
	struct owner old, new = {0};
	int fd = open_pair(&old);

	old.hands_over_to = &new;
	stream_want_write(old.stream, true);
	assert_int_equal(write(fd, "x", 1), 1);
	turn();
	assert_int_equal(old.writable, 1);
	assert_int_equal(old.readable + new.readable, 0);
	WAIT(new.n == 1);
	assert_int_equal(old.readable, 0);
	stream_close(&new.stream);
	close(fd);
}

/* What a request holds until the turn ends. */
struct holder {
	struct stream *stream;
	struct task release;
	bool holds;
};
static unsigned held, held_most, served;

static void
on_holder_release(void *arg)
{
	((struct holder *)arg)->holds = false;
	held--;
}

static void
on_holder_readable(void *arg)
{
	struct holder *h = arg;
	char byte;

	assert_int_equal(stream_read(h->stream, &byte, 1), 1);
	assert_false(h->holds);
	h->holds = true;
	loop_later(the_loop, &h->release);
	served++;
	if (++held > held_most)
		held_most = held;
}

static void
what_many_put_off_in_one_turn_does_not_wait_for_its_end(void **state)
{
	static const struct stream_handler handler = {.on_readable = on_holder_readable};
	enum { MANY = 400, ROUNDS = 6 }; /* libevent takes more at a time when it has seen many */
	static struct holder holders[MANY];
	static int fds[MANY][2];

	for (unsigned i = 0; i < MANY; i++) {
		pair(fds[i]);
		holders[i].stream = stream_open(the_loop, fds[i][0], &handler, &holders[i]);
		task_init(&holders[i].release, on_holder_release, &holders[i]);
	}
	for (unsigned round = 1; round <= ROUNDS; round++) {
		for (unsigned i = 0; i < MANY; i++)
			assert_int_equal(write(fds[i][1], "x", 1), 1);
		WAIT(served == MANY * round);
		turn();
		assert_int_equal(held, 0);
	}
	assert_in_range(held_most, 1, 40);
	for (unsigned i = 0; i < MANY; i++) {
		stream_close(&holders[i].stream);
		close(fds[i][1]);
	}
}

/* --- connecting --- */

static void
a_connection_is_told_of_once_it_stands(void **state)
{
	struct address at;
	struct owner o;
	int listening = listen_somewhere(&at), fd;
	char got[8];

	o = (struct owner){.stream = stream_connect(the_loop, &at, &owner_handler, &o)};
	assert_non_null(o.stream);
	WAIT(o.writable == 1);
	turn();
	assert_int_equal(o.writable, 1);
	assert_int_equal(stream_error(o.stream), 0);
	assert_int_equal(write_text(&o, "hello"), 5);
	fd = accept(listening, NULL, NULL);
	assert_int_equal(read(fd, got, sizeof(got)), 5);
	assert_int_equal(write(fd, "hi", 2), 2);
	WAIT(o.n == 2);
	stream_close(&o.stream);
	close(fd);
	close(listening);
}

static void
a_refused_connection_is_told_of_with_its_reason(void **state)
{
	struct address at;
	struct owner o;

	close(listen_somewhere(&at));
	o = (struct owner){.stream = stream_connect(the_loop, &at, &owner_handler, &o)};
	assert_non_null(o.stream);
	WAIT(o.writable == 1);
	assert_int_equal(stream_error(o.stream), ECONNREFUSED);
	stream_close(&o.stream);

	/* Closed at once, as owners do. */
	o = (struct owner){.stream = stream_connect(the_loop, &at, &owner_handler, &o)};
	o.closes_on_writable = &o;
	WAIT(o.stream == NULL);
	turn();
	assert_int_equal(o.writable, 1);
	assert_int_equal(o.readable, 0);
}

static void
a_unix_socket_is_connected_to_or_there_is_a_reason(void **state)
{
	struct address at = {.u.un = {.sun_family = AF_UNIX}, .len = sizeof(at.u.un)};
	int listening = socket(AF_UNIX, SOCK_STREAM, 0);
	struct owner o;

	snprintf(at.u.un.sun_path, sizeof(at.u.un.sun_path), "/tmp/forebay-stream-%d", getpid());
	assert_null(stream_connect(the_loop, &at, &owner_handler, &o));
	assert_int_equal(errno, ENOENT);
	assert_int_equal(bind(listening, &at.u.sa, at.len), 0);
	assert_null(stream_connect(the_loop, &at, &owner_handler, &o));
	assert_int_equal(errno, ECONNREFUSED);
	assert_int_equal(listen(listening, 1), 0);
	o = (struct owner){.stream = stream_connect(the_loop, &at, &owner_handler, &o)};
	WAIT(o.writable == 1);
	assert_int_equal(stream_error(o.stream), 0);
	stream_close(&o.stream);
	unlink(at.u.un.sun_path);
	close(listening);
}

static int
set_up(void **state)
{
	the_loop = loop_new();
	return the_loop == NULL;
}

static int
tear_down(void **state)
{
	loop_free(&the_loop);
	return 0;
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(bytes_pass_in_both_directions),
	    cmocka_unit_test(bytes_stay_in_the_kernel_while_they_are_not_wanted),
	    cmocka_unit_test(what_is_not_read_is_announced_again),
	    cmocka_unit_test(who_was_refused_is_told_once_there_is_room),
	    cmocka_unit_test(a_thousand_pieces_and_more_go_out),
	    cmocka_unit_test(after_the_last_word_reading_goes_on),
	    cmocka_unit_test(a_reset_is_seen_as_one_on_the_other_side),
	    cmocka_unit_test(nothing_is_heard_of_a_stream_closed_in_its_callback),
	    cmocka_unit_test(a_stream_may_close_another_whose_event_is_due),
	    cmocka_unit_test(a_stream_opened_where_another_was_closed_gets_its_events),
	    cmocka_unit_test(a_new_owner_hears_only_what_is_still_so),
	    cmocka_unit_test(what_many_put_off_in_one_turn_does_not_wait_for_its_end),
	    cmocka_unit_test(a_connection_is_told_of_once_it_stands),
	    cmocka_unit_test(a_refused_connection_is_told_of_with_its_reason),
	    cmocka_unit_test(a_unix_socket_is_connected_to_or_there_is_a_reason),
	};

	return cmocka_run_group_tests_name("event/stream", tests, set_up, tear_down);
}
