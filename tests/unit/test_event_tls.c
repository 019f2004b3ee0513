/* LINK: event/tls event/tlsgreet event/tlssocket event/tlsstate event/tlswrite event/tlscontext event/tlsidentity event/tlstickets event/fileprint event/drain event/stream event/loop base/mem base/log base/buf base/hash */
#include "event/tls.h"

#include <linux/tcp.h>
#include <netinet/in.h>
#include <openssl/hmac.h>
#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>

#include "base/buf.h"
#include "base/log.h"
#include "event/drain.h"
#include "event/tlsfinding.h"
#include "still_clock.h"
#include "tls_cast.h"

#define MANY_BYTES (4 << 20)
#define NARROW_BYTES 16384 /* a socket's buffer in tests that fill it */

/* What the owner of the server's stream sees and does. */
struct owner {
	struct stream *stream;
	struct buf in;
	unsigned readable, writable; /* callbacks */
	bool ended, failed, closes, answers;
	size_t bite; /* bytes read per callback */
};

static void
hear_nothing(void *arg, const struct tls_finding *f)
{
}

static const struct tls_hearer to_nobody = {hear_nothing, NULL};
static struct loop *the_loop;
static struct tls_context *the_context;
static SSL_CTX *the_client;

static void
on_owner_readable(void *arg)
{
	struct owner *o = arg;
	char some[65536];
	ssize_t got;

	o->readable++;
	assert_true(o->bite <= sizeof(some));
	got = stream_read(o->stream, some, o->bite);
	if (got > 0)
		buf_add(&o->in, some, (size_t)got);
	if (got == 0)
		o->ended = true;
	if (got == STREAM_ERROR)
		o->failed = true;
	if (o->answers && got > 0) {
		struct iovec iov = {(void *)(uintptr_t) "response", 8};

		assert_int_equal(stream_writev(o->stream, &iov, 1, false), 8);
	}
	if (o->closes)
		stream_close(&o->stream);
	else if (got == 0 || got == STREAM_ERROR)
		stream_want_read(o->stream, false);
}

static void
on_owner_writable(void *arg)
{
	((struct owner *)arg)->writable++;
}

static const struct stream_handler owner_handler = {on_owner_readable, on_owner_writable};

/* A server's stream and the client's end of a TCP connection. */
static void
connect_pair(int fds[2])
{
	struct sockaddr_in at = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
	socklen_t len = sizeof(at);
	int listening = socket(AF_INET, SOCK_STREAM, 0);
	const int one = 1;

	assert_int_equal(bind(listening, (struct sockaddr *)&at, len), 0);
	assert_int_equal(getsockname(listening, (struct sockaddr *)&at, &len), 0);
	assert_int_equal(listen(listening, 1), 0);
	fds[1] = socket(AF_INET, SOCK_STREAM, 0);
	assert_int_equal(connect(fds[1], (struct sockaddr *)&at, len), 0);
	fds[0] = accept4(listening, NULL, NULL, SOCK_NONBLOCK);
	assert_true(fds[0] >= 0);
	for (int i = 0; i < 2; i++)
		setsockopt(fds[i], IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one));
	close(listening);
}

static void
open_both(struct owner *o, struct peer *p, const char *server_name)
{
	int fds[2];

	connect_pair(fds);
	*o = (struct owner){.bite = 65536};
	o->stream = stream_open_tls(the_loop, fds[0], the_context, &owner_handler, o);
	assert_non_null(o->stream);
	peer_init(p, the_client, fds[1], server_name);
}

static void
greet_both(struct owner *o, struct peer *p, const char *server_name)
{
	open_both(o, p, server_name);
	assert_true(peer_greet(p, the_loop));
}

/* So little is under way that each side soon waits for the other. */
static void
make_narrow(struct owner *o, struct peer *p)
{
	const int bytes = NARROW_BYTES;

	for (int i = 0; i < 2; i++) {
		int fd = i == 0 ? p->fd : stream_fd(o->stream);

		setsockopt(fd, SOL_SOCKET, SO_SNDBUF, &bytes, sizeof(bytes));
		setsockopt(fd, SOL_SOCKET, SO_RCVBUF, &bytes, sizeof(bytes));
	}
}

static void
close_both(struct owner *o, struct peer *p)
{
	stream_close(&o->stream);
	buf_fini(&o->in);
	peer_fini(p);
}

static void
peer_send(struct peer *p, const void *bytes, size_t n)
{
	assert_int_equal(SSL_write(p->ssl, bytes, (int)n), (int)n);
	peer_exchange(p);
}

#define WAIT(condition)                                       \
	do {                                                  \
		time_t until_s_ = 0;                          \
		while (!(condition) && is_patient(&until_s_)) \
			turn(the_loop);                       \
		assert_true(condition);                       \
	} while (0)

static ssize_t
send_text(struct owner *o, const char *text)
{
	struct iovec iov = {(void *)(uintptr_t)text, strlen(text)};

	return stream_writev(o->stream, &iov, 1, false);
}

/* What has come for the client, n bytes at most. *over: and no more will. */
static size_t
peer_read_there(struct peer *p, char *to, size_t n, bool *over)
{
	size_t filled = 0, got;

	while (filled < n) {
		peer_exchange(p);
		ERR_clear_error();
		if (SSL_read_ex(p->ssl, to + filled, n - filled, &got) != 1) {
			*over = SSL_get_error(p->ssl, 0) != SSL_ERROR_WANT_READ || p->ended;
			break;
		}
		filled += got;
	}
	return filled;
}

/* Reads on, while the loop turns, until the client has n bytes or its end. Returns how many. */
static size_t
peer_read(struct peer *p, char *to, size_t n)
{
	size_t filled = 0;
	time_t until_s = 0;
	bool over = false;

	while (filled < n && !over && is_patient(&until_s)) {
		filled += peer_read_there(p, to + filled, n - filled, &over);
		turn(the_loop);
	}
	return filled;
}

/* --- how much at once --- */

static unsigned sends;

/* In the place of libc's. */
ssize_t
send(int fd, const void *p, size_t n, int flags)
{
	sends++;
	return sendto(fd, p, n, flags, NULL, 0);
}

#define RECORDS_MAX 64

struct volley {
	unsigned sends, records;
	size_t sizes[RECORDS_MAX]; /* of the application's bytes in each record */
};

/* The client's reading of n bytes, record by record. */
static void
read_records(struct peer *p, size_t n, struct volley *v)
{
	static char got[RECORDS_MAX * 16384];
	size_t filled = 0;
	time_t until_s = 0;

	while (filled < n && is_patient(&until_s)) {
		size_t *size = &v->sizes[v->records];

		peer_exchange(p);
		ERR_clear_error();
		if (SSL_read_ex(p->ssl, got + filled, n - filled, size) == 1) {
			filled += *size;
			v->records++;
		} else
			turn(the_loop);
	}
	assert_int_equal(filled, n);
	for (size_t i = 0; i < n; i++)
		assert_int_equal(got[i], (char)(i * 31));
}

/* n bytes in one write, all of which the socket takes. */
static struct volley
volley_of(struct owner *o, struct peer *p, size_t n)
{
	static char space[RECORDS_MAX * 16384];
	struct iovec iov[] = {{space, n / 3}, {space + n / 3, n - n / 3}};
	struct volley v = {0};

	for (size_t i = 0; i < n; i++)
		space[i] = (char)(i * 31);
	sends = 0;
	assert_int_equal(stream_writev(o->stream, iov, 2, false), n);
	v.sends = sends;
	read_records(p, n, &v);
	return v;
}

static void
roomy_both(struct owner *o, struct peer *p)
{
	const int bytes = 4 << 20;

	greet_both(o, p, NULL);
	setsockopt(stream_fd(o->stream), SOL_SOCKET, SO_SNDBUF, &bytes, sizeof(bytes));
	setsockopt(p->fd, SOL_SOCKET, SO_RCVBUF, &bytes, sizeof(bytes));
}

static void
what_a_connection_says_first_or_after_a_pause_goes_in_small_records(void **state)
{
	struct owner o;
	struct peer p;

	roomy_both(&o, &p);
	for (int i = 0; i < 2; i++) {
		struct volley v = volley_of(&o, &p, 36864);

		assert_int_equal(v.records, 6);
		for (int k = 0; k < 4; k++)
			assert_int_equal(v.sizes[k], 4096);
		assert_int_equal(v.sizes[4], 16384);
		assert_int_equal(v.sizes[5], 4096);
		assert_int_equal(volley_of(&o, &p, 32768).records, 2);
		clock_move(1000);
		turn(the_loop);
	}
	close_both(&o, &p);
}

static void
the_records_of_a_large_write_go_out_in_few_sends(void **state)
{
	struct owner o;
	struct peer p;

	roomy_both(&o, &p);
	/* 16, 32, 64, 64, 64 and the last 16 KiB; then 64 each time */
	assert_int_equal(volley_of(&o, &p, 262144).sends, 6);
	assert_int_equal(volley_of(&o, &p, 262144).sends, 4);
	assert_int_equal(volley_of(&o, &p, 1024).sends, 1);
	assert_int_equal(volley_of(&o, &p, 65536).sends, 1);
	close_both(&o, &p);
}

/* --- passing bytes --- */

static void
check_talk(const char *version)
{
	struct tls_info info;
	struct owner o;
	struct peer p;
	char got[8];

	open_both(&o, &p, "site.example");
	assert_false(stream_tls_info(o.stream, &info));
	assert_true(peer_greet(&p, the_loop));
	assert_int_equal(o.readable, 0);
	peer_send(&p, "request", 7);
	WAIT(o.in.n == 7);
	assert_memory_equal(o.in.p, "request", 7);
	assert_int_equal(send_text(&o, "response"), 8);
	assert_int_equal(peer_read(&p, got, 8), 8);
	assert_memory_equal(got, "response", 8);
	assert_true(stream_is_tls(o.stream));
	assert_true(stream_tls_info(o.stream, &info));
	assert_string_equal(info.version, version);
	assert_string_equal(info.server_name, "site.example");
	assert_string_equal(info.cipher, SSL_get_cipher_name(p.ssl));
	assert_null(info.protocol.p);
	close_both(&o, &p);
}

static void
a_request_and_its_answer_pass_over_both_versions(void **state)
{
	check_talk("TLSv1.3");
	SSL_CTX_set_max_proto_version(the_client, TLS1_2_VERSION);
	check_talk("TLSv1.2");
	SSL_CTX_set_max_proto_version(the_client, 0);
}

static void
a_handshake_and_a_request_may_come_byte_by_byte(void **state)
{
	bool is_asked = false;
	struct owner o;
	struct peer p;

	open_both(&o, &p, NULL);
	for (time_t until_s = 0; o.in.n == 0 && is_patient(&until_s);) {
		if (SSL_do_handshake(p.ssl) == 1 && BIO_pending(p.out) == 0 && !is_asked) {
			is_asked = true;
			assert_int_equal(o.readable, 0);
			assert_int_equal(SSL_write(p.ssl, "x", 1), 1);
		}
		peer_push(&p, 1);
		peer_pull(&p, SIZE_MAX);
		turn(the_loop);
	}
	assert_int_equal(o.in.n, 1);
	close_both(&o, &p);
}

/* Bytes that are their own position, in generations: what is offered again after a refusal is not
 * what was offered before. */
static void
fill(char *p, size_t n, size_t from, unsigned generation)
{
	for (size_t i = 0; i < n; i++)
		p[i] = (char)((from + i) * 31 + generation);
}

static void
only_bytes_that_were_taken_arrive_however_the_rest_changes(void **state)
{
	static char space[100000], got[MANY_BYTES];
	struct buf taken = {0};
	struct owner o;
	struct peer p;
	size_t read = 0;
	unsigned generation = 0, refusals = 0;
	time_t until_s = 0;

	greet_both(&o, &p, NULL);
	make_narrow(&o, &p);
	while (taken.n < MANY_BYTES / 4) {
		size_t a = 1 + taken.n % 977, b = (taken.n * 7919) % 60000;
		struct iovec iov[] = {{space, a}, {space + a, 0}, {space + a, b}, {space, 3}};
		ssize_t sent;

		fill(space, sizeof(space), taken.n, generation++);
		sent = stream_writev(o.stream, iov, 4, false);
		assert_true(sent > 0 || sent == STREAM_AGAIN);
		for (int i = 0; i < 4 && sent > 0; i++) {
			size_t n = iov[i].iov_len < (size_t)sent ? iov[i].iov_len : (size_t)sent;

			buf_add(&taken, iov[i].iov_base, n);
			sent -= (ssize_t)n;
		}
		if (sent == STREAM_AGAIN) {
			bool over;

			refusals++;
			read += peer_read_there(&p, got + read, 50000, &over);
			turn(the_loop);
			assert_true(is_patient(&until_s));
		} else
			until_s = 0;
	}
	assert_true(refusals > 5);
	read += peer_read(&p, got + read, taken.n - read);
	assert_int_equal(read, taken.n);
	assert_memory_equal(got, taken.p, taken.n);
	buf_fini(&taken);
	close_both(&o, &p);
}

static void
an_upload_waits_with_the_client_while_it_is_not_wanted(void **state)
{
	static char body[MANY_BYTES];
	struct owner o;
	struct peer p;
	size_t sent = 0;
	unsigned before;

	fill(body, sizeof(body), 0, 0);
	greet_both(&o, &p, NULL);
	make_narrow(&o, &p);
	peer_send(&p, body, 1000);
	stream_want_read(o.stream, false);
	before = o.readable;
	for (sent = 1000; BIO_pending(p.out) < 100000; sent += 1000)
		peer_send(&p, body + sent, 1000);
	for (int i = 0; i < 10; i++)
		turn(the_loop);
	assert_int_equal(o.readable, before);
	stream_want_read(o.stream, true);
	for (; sent < sizeof(body); sent += 1000) {
		size_t n = sizeof(body) - sent < 1000 ? sizeof(body) - sent : 1000;

		peer_send(&p, body + sent, n);
		turn(the_loop);
	}
	for (time_t until_s = 0; o.in.n < sizeof(body) && is_patient(&until_s);) {
		peer_exchange(&p);
		turn(the_loop);
	}
	assert_int_equal(o.in.n, sizeof(body));
	assert_memory_equal(o.in.p, body, sizeof(body));
	close_both(&o, &p);
}

static void
what_is_decrypted_already_is_announced_until_it_is_read(void **state)
{
	static const char body[10000];
	struct owner o;
	struct peer p;

	greet_both(&o, &p, NULL);
	o.bite = 100;
	peer_send(&p, body, sizeof(body));
	WAIT(o.in.n >= 1000);
	assert_true(stream_has_pending(o.stream));
	stream_want_read(o.stream, false);
	turn(the_loop);
	turn(the_loop);
	assert_true(o.in.n < 2000);
	stream_want_read(o.stream, true);
	WAIT(o.in.n == sizeof(body));
	assert_false(stream_has_pending(o.stream));
	o.readable = 0;
	for (int i = 0; i < 10; i++)
		turn(the_loop);
	assert_int_equal(o.readable, 0);
	close_both(&o, &p);
}

static void
a_request_sent_with_the_last_of_the_handshake_is_announced(void **state)
{
	struct owner o;
	struct peer p;

	open_both(&o, &p, NULL);
	while (SSL_do_handshake(p.ssl) != 1) {
		peer_exchange(&p);
		turn(the_loop);
	}
	assert_true(BIO_pending(p.out) > 0);
	peer_send(&p, "early bird", 10);
	WAIT(o.in.n == 10);
	close_both(&o, &p);
}

/* As many writes as the server's socket has seen, none of them being large. */
static unsigned
segments_sent(const struct owner *o)
{
	struct tcp_info info;
	socklen_t n = sizeof(info);

	assert_int_equal(getsockopt(stream_fd(o->stream), IPPROTO_TCP, TCP_INFO, &info, &n), 0);
	return info.tcpi_data_segs_out;
}

static void
tickets_go_out_in_one_write_with_the_answer_to_a_request_that_has_come(void **state)
{
	struct owner o;
	struct peer p;
	char got[8];

	open_both(&o, &p, NULL);
	o.answers = true;
	while (SSL_do_handshake(p.ssl) != 1) {
		peer_exchange(&p);
		turn(the_loop);
	}
	assert_int_equal(segments_sent(&o), 1);
	peer_send(&p, "early bird", 10);
	assert_int_equal(peer_read(&p, got, 8), 8);
	assert_int_equal(segments_sent(&o), 2);
	close_both(&o, &p);
}

static void
tickets_do_not_wait_for_a_request_that_does_not_come(void **state)
{
	time_t until_s = 0;
	struct owner o;
	struct peer p;

	greet_both(&o, &p, NULL);
	while (segments_sent(&o) < 2 && is_patient(&until_s))
		turn(the_loop);
	assert_int_equal(segments_sent(&o), 2);
	close_both(&o, &p);
}

static void
writing_before_the_handshake_is_over_waits_for_it(void **state)
{
	struct owner o;
	struct peer p;
	char got[5];

	open_both(&o, &p, NULL);
	assert_int_equal(send_text(&o, "hello"), STREAM_AGAIN);
	for (int i = 0; i < 10; i++)
		turn(the_loop);
	assert_int_equal(o.writable, 0);
	assert_true(peer_greet(&p, the_loop));
	WAIT(o.writable == 1);
	assert_int_equal(send_text(&o, "hello"), 5);
	assert_int_equal(peer_read(&p, got, 5), 5);
	close_both(&o, &p);
}

/* --- ends --- */

/* Writes until nothing more is taken; returns how much was. */
static size_t
write_all_it_takes(struct owner *o)
{
	static char space[50000];
	struct iovec iov = {space, sizeof(space)};
	size_t taken = 0;
	ssize_t sent;

	while ((sent = stream_writev(o->stream, &iov, 1, false)) > 0)
		taken += (size_t)sent;
	assert_int_equal(sent, STREAM_AGAIN);
	return taken;
}

static void
what_was_taken_arrives_though_the_owner_closes_at_once(void **state)
{
	static char got[MANY_BYTES];
	struct owner o;
	struct peer p;
	size_t taken;

	greet_both(&o, &p, NULL);
	make_narrow(&o, &p);
	taken = write_all_it_takes(&o);
	assert_true(taken < sizeof(got));
	stream_close(&o.stream);
	assert_int_equal(peer_read(&p, got, sizeof(got)), taken);
	assert_int_equal(SSL_get_shutdown(p.ssl), SSL_RECEIVED_SHUTDOWN);
	close_both(&o, &p);
}

static void
a_client_that_takes_nothing_is_not_waited_for_for_ever(void **state)
{
	static char got[MANY_BYTES];
	struct owner o;
	struct peer p;
	size_t taken;

	greet_both(&o, &p, NULL);
	make_narrow(&o, &p);
	taken = write_all_it_takes(&o);
	stream_close(&o.stream);
	turn(the_loop);
	clock_move(DRAIN_MS + 100);
	for (int i = 0; i < 10; i++)
		turn(the_loop);
	assert_true(peer_read(&p, got, sizeof(got)) < taken);
	assert_int_equal(p.error, ECONNRESET);
	close_both(&o, &p);
}

static void
a_reset_is_no_orderly_end(void **state)
{
	struct owner o;
	struct peer p;
	char got[10];

	greet_both(&o, &p, NULL);
	send_text(&o, "half");
	stream_reset(&o.stream);
	assert_true(peer_read(&p, got, sizeof(got)) <= 4);
	assert_int_equal(SSL_get_shutdown(p.ssl), 0);
	assert_int_equal(p.error, ECONNRESET);
	close_both(&o, &p);
}

static void
after_the_last_word_reading_goes_on(void **state)
{
	static char got[MANY_BYTES];
	struct owner o;
	struct peer p;
	size_t taken;

	greet_both(&o, &p, NULL);
	make_narrow(&o, &p);
	taken = write_all_it_takes(&o);
	stream_shutdown_write(o.stream);
	assert_int_equal(send_text(&o, "more"), STREAM_ERROR);
	assert_int_equal(peer_read(&p, got, sizeof(got)), taken);
	assert_int_equal(SSL_get_shutdown(p.ssl), SSL_RECEIVED_SHUTDOWN);
	WAIT((peer_pull(&p, 1), p.ended));
	assert_int_equal(p.error, 0);
	peer_send(&p, "late", 4);
	WAIT(o.in.n == 4);
	close_both(&o, &p);
}

static void
an_end_is_an_end_with_close_notify_or_without(void **state)
{
	for (int bare = 0; bare < 2; bare++) {
		struct owner o;
		struct peer p;
		char got[8];

		greet_both(&o, &p, NULL);
		peer_send(&p, "whole", 5);
		if (!bare)
			SSL_shutdown(p.ssl);
		peer_exchange(&p);
		if (bare)
			shutdown(p.fd, SHUT_WR);
		WAIT(o.ended);
		assert_int_equal(o.in.n, 5);
		assert_int_equal(stream_error(o.stream), 0);
		/* The answer still goes out. */
		assert_int_equal(send_text(&o, "response"), 8);
		assert_int_equal(peer_read(&p, got, 8), 8);
		close_both(&o, &p);
	}
}

static void
an_end_that_is_wanted_again_is_announced_again(void **state)
{
	struct owner o;
	struct peer p;

	greet_both(&o, &p, NULL);
	SSL_shutdown(p.ssl);
	peer_exchange(&p);
	WAIT(o.ended);
	o.ended = false;
	stream_want_read(o.stream, true);
	WAIT(o.ended);
	close_both(&o, &p);
}

static void
a_stream_closed_in_its_own_callback_is_gone(void **state)
{
	static const char body[40000];
	struct owner o;
	struct peer p;

	greet_both(&o, &p, NULL);
	o.closes = true;
	o.bite = 100;
	peer_send(&p, body, sizeof(body));
	WAIT(o.stream == NULL);
	for (int i = 0; i < 10; i++)
		turn(the_loop);
	assert_int_equal(o.readable, 1);
	close_both(&o, &p);
}

static void
a_connection_reset_by_the_client_fails(void **state)
{
	const struct linger now = {.l_onoff = 1, .l_linger = 0};
	struct owner o;
	struct peer p;

	greet_both(&o, &p, NULL);
	setsockopt(p.fd, SOL_SOCKET, SO_LINGER, &now, sizeof(now));
	close(p.fd);
	p.fd = -1;
	WAIT(o.failed);
	assert_int_equal(stream_error(o.stream), ECONNRESET);
	assert_int_equal(send_text(&o, "x"), STREAM_ERROR);
	close_both(&o, &p);
}

/* --- handshakes that fail --- */

static void
plain_http_is_told_so_and_ends(void **state)
{
	static const char *const requests[] = {"GET / HTTP/1.1\r\nHost: a\r\n\r\n",
	    "DELETE /thing HTTP/1.1\r\nHost: a\r\n\r\n", "OPTIONS * HTTP/1.1\r\n\r\n"};

	for (unsigned i = 0; i < 3; i++) {
		uint64_t plain = tls_counters()->plain, failed = tls_counters()->failed;
		struct owner o;
		struct peer p;
		char got[1000];
		ssize_t n;

		open_both(&o, &p, NULL);
		assert_true(write(p.fd, requests[i], strlen(requests[i])) > 0);
		WAIT(o.failed);
		assert_int_equal(stream_error(o.stream), EPROTO);
		n = recv(p.fd, got, sizeof(got), 0);
		assert_true(n > 0);
		assert_memory_equal(got, "HTTP/1.1 400 ", 13);
		assert_non_null(memmem(got, (size_t)n, "\r\n\r\nThis port speaks HTTPS", 26));
		assert_int_equal(tls_counters()->plain, plain + 1);
		assert_int_equal(tls_counters()->failed, failed + 1);
		close_both(&o, &p);
	}
}

/* The client's settings are such that no handshake can succeed. */
static void
check_refused(void)
{
	uint64_t failed = tls_counters()->failed;
	struct owner o;
	struct peer p;

	open_both(&o, &p, NULL);
	assert_false(peer_greet(&p, the_loop));
	WAIT(o.failed);
	assert_int_equal(o.in.n, 0);
	assert_int_equal(send_text(&o, "x"), STREAM_ERROR);
	assert_int_equal(tls_counters()->failed, failed + 1);
	close_both(&o, &p);
}

static void
old_versions_weak_ciphers_and_unknown_protocols_are_refused(void **state)
{
	SSL_CTX_set_security_level(the_client, 0);
	SSL_CTX_set_min_proto_version(the_client, TLS1_VERSION);
	SSL_CTX_set_max_proto_version(the_client, TLS1_1_VERSION);
	check_refused();
	SSL_CTX_set_max_proto_version(the_client, TLS1_2_VERSION);
	assert_int_equal(SSL_CTX_set_cipher_list(the_client, "AES128-SHA:AES256-GCM-SHA384"), 1);
	check_refused();
	SSL_CTX_set_cipher_list(the_client, "DEFAULT");
	SSL_CTX_set_max_proto_version(the_client, 0);
	SSL_CTX_set_alpn_protos(the_client, (const unsigned char *)"\x06spdy/1", 7);
	check_refused();
	SSL_CTX_set_alpn_protos(the_client, NULL, 0);
}

static void
a_client_that_leaves_during_the_handshake_is_counted_apart(void **state)
{
	uint64_t left = tls_counters()->left, failed = tls_counters()->failed;
	struct owner o;
	struct peer p;

	open_both(&o, &p, NULL);
	SSL_do_handshake(p.ssl);
	peer_push(&p, 50);
	turn(the_loop);
	shutdown(p.fd, SHUT_WR);
	WAIT(o.ended || o.failed);
	assert_int_equal(tls_counters()->left, left + 1);
	assert_int_equal(tls_counters()->failed, failed);
	close_both(&o, &p);
}

/* --- what is agreed on --- */

static void
check_protocol(const char *server, const char *client, const char *agreed)
{
	struct tls_info info;
	struct owner o;
	struct peer p;

	tls_context_set_alpn(the_context, server);
	open_both(&o, &p, NULL);
	SSL_set_alpn_protos(p.ssl, (const unsigned char *)client, (unsigned)strlen(client));
	assert_true(peer_greet(&p, the_loop));
	assert_true(stream_tls_info(o.stream, &info));
	assert_true(slice_eq(info.protocol, slice_from(agreed)));
	close_both(&o, &p);
	tls_context_set_alpn(the_context, "http/1.1");
}

static void
the_protocol_is_the_first_of_ours_that_the_client_speaks(void **state)
{
	check_protocol("http/1.1", "\x02h2\x08http/1.1", "http/1.1");
	check_protocol("h2 http/1.1", "\x08http/1.1\x02h2", "h2");
	check_protocol("h2 http/1.1", "\x08http/1.1", "http/1.1");
}

static void
a_session_is_resumed_on_another_connection(void **state)
{
	static const int versions[] = {TLS1_2_VERSION, TLS1_3_VERSION};

	for (int i = 0; i < 2; i++) {
		struct tls_info info;
		SSL_SESSION *session;
		struct owner o;
		struct peer p;
		char got;

		SSL_CTX_set_max_proto_version(the_client, versions[i]);
		greet_both(&o, &p, "site.example");
		send_text(&o, "x");
		peer_read(&p, &got, 1); /* the tickets came before it */
		session = SSL_get1_session(p.ssl);
		SSL_shutdown(p.ssl);
		close_both(&o, &p);
		open_both(&o, &p, "site.example");
		SSL_set_session(p.ssl, session);
		SSL_SESSION_free(session);
		assert_true(peer_greet(&p, the_loop));
		assert_true(stream_tls_info(o.stream, &info));
		assert_true(info.is_resumed);
		close_both(&o, &p);
	}
	SSL_CTX_set_max_proto_version(the_client, 0);
}

static void
asking_to_renegotiate_changes_nothing(void **state)
{
	struct owner o;
	struct peer p;

	SSL_CTX_set_max_proto_version(the_client, TLS1_2_VERSION);
	greet_both(&o, &p, NULL);
	SSL_CTX_set_max_proto_version(the_client, 0);
	assert_int_equal(SSL_renegotiate(p.ssl), 1);
	SSL_do_handshake(p.ssl);
	peer_exchange(&p);
	turn(the_loop);
	peer_exchange(&p);
	assert_int_not_equal(SSL_do_handshake(p.ssl), 1);
	assert_false(o.failed);
	assert_int_equal(send_text(&o, "still here"), 10);
	close_both(&o, &p);
}

static void
new_keys_do_not_disturb_what_is_said(void **state)
{
	struct owner o;
	struct peer p;
	char got[8];

	greet_both(&o, &p, NULL);
	SSL_key_update(p.ssl, SSL_KEY_UPDATE_REQUESTED);
	peer_send(&p, "request", 7);
	WAIT(o.in.n == 7);
	assert_int_equal(send_text(&o, "response"), 8);
	assert_int_equal(peer_read(&p, got, 8), 8);
	assert_memory_equal(got, "response", 8);
	close_both(&o, &p);
}

/* --- half a message of a handshake ---
 *
 * No client library cuts a key update in two, so the test encrypts its halves itself, with the keys
 * that the client tells (RFC 8446 sections 4.6.3, 5.2 and 7.3; TLS_AES_128_GCM_SHA256). */

static unsigned char client_secret[32];

static void
on_secret_told(const SSL *ssl, const char *line)
{
	const char *hex = strrchr(line, ' ') + 1;

	if (strncmp(line, "CLIENT_TRAFFIC_SECRET_0 ", 24) != 0)
		return;
	for (int i = 0; i < 32; i++)
		assert_int_equal(sscanf(hex + 2 * i, "%2hhx", &client_secret[i]), 1);
}

/* HKDF-Expand-Label for at most one block. */
static void
derive(const char *label, unsigned char *out, unsigned char n)
{
	unsigned char info[32] = {0, n, (unsigned char)(6 + strlen(label))}, block[32];
	int len = 3 + sprintf((char *)info + 3, "tls13 %s", label);

	info[len++] = 0; /* no context */
	info[len++] = 1; /* the first block */
	HMAC(EVP_sha256(), client_secret, 32, info, (size_t)len, block, NULL);
	memcpy(out, block, n);
}

/* A record with a piece of a handshake message, the sequence-th of the client's. */
static void
send_handshake_piece(struct peer *p, const char *piece, int n, unsigned char sequence)
{
	unsigned char key[16], iv[12], inner[16], record[64] = {23, 3, 3, 0};
	EVP_CIPHER_CTX *c = EVP_CIPHER_CTX_new();
	int len;

	derive("key", key, sizeof(key));
	derive("iv", iv, sizeof(iv));
	iv[11] ^= sequence;
	memcpy(inner, piece, (size_t)n);
	inner[n] = 22;
	record[4] = (unsigned char)(n + 1 + 16);
	EVP_EncryptInit_ex(c, EVP_aes_128_gcm(), NULL, key, iv);
	EVP_EncryptUpdate(c, NULL, &len, record, 5);
	EVP_EncryptUpdate(c, record + 5, &len, inner, n + 1);
	EVP_EncryptFinal_ex(c, record + 5 + len, &len);
	EVP_CIPHER_CTX_ctrl(c, EVP_CTRL_GCM_GET_TAG, 16, record + 5 + n + 1);
	EVP_CIPHER_CTX_free(c);
	assert_int_equal(send(p->fd, record, (size_t)n + 22, 0), n + 22);
}

static void
writing_waits_for_the_other_half_of_a_key_update(void **state)
{
	struct owner o;
	struct peer p;
	char got[8];
	unsigned before;

	SSL_CTX_set_keylog_callback(the_client, on_secret_told);
	greet_both(&o, &p, NULL);
	SSL_CTX_set_keylog_callback(the_client, NULL);
	assert_string_equal(SSL_get_cipher_name(p.ssl), "TLS_AES_128_GCM_SHA256");
	send_handshake_piece(&p, "\x18\0\0\1", 4, 0);
	WAIT(o.readable > 0);
	assert_false(o.failed);
	assert_int_equal(send_text(&o, "response"), STREAM_AGAIN);
	before = o.readable;
	for (int i = 0; i < 10; i++)
		turn(the_loop);
	assert_int_equal(o.writable, 0);
	assert_int_equal(o.readable, before);
	send_handshake_piece(&p, "\0", 1, 1);
	WAIT(o.writable == 1);
	assert_int_equal(send_text(&o, "response"), 8);
	assert_int_equal(peer_read(&p, got, 8), 8);
	assert_memory_equal(got, "response", 8);
	close_both(&o, &p);
}

/* --- certificates --- */

/* The common name of the certificate that a client gets which asks for server_name. */
static void
check_certificate(const char *server_name, const char *common_name, int key)
{
	char got[64];
	struct owner o;
	struct peer p;
	X509 *x;

	greet_both(&o, &p, server_name);
	x = SSL_get1_peer_certificate(p.ssl);
	X509_NAME_get_text_by_NID(X509_get_subject_name(x), NID_commonName, got, sizeof(got));
	assert_string_equal(got, common_name);
	assert_int_equal(EVP_PKEY_get_base_id(X509_get0_pubkey(x)), key);
	X509_free(x);
	close_both(&o, &p);
}

static void
the_certificate_is_the_one_for_the_name(void **state)
{
	check_certificate("site.example", "site ec", EVP_PKEY_EC);
	check_certificate("SITE.Example.", "site ec", EVP_PKEY_EC);
	check_certificate("www.site.example", "site ec", EVP_PKEY_EC);
	check_certificate("shop.site.example", "wild", EVP_PKEY_EC);
	check_certificate("a.shop.site.example", "site ec", EVP_PKEY_EC);
	check_certificate("exact.site.example", "exact", EVP_PKEY_EC);
	check_certificate("old.example", "old.example", EVP_PKEY_RSA);
	check_certificate("elsewhere.example", "site ec", EVP_PKEY_EC);
	check_certificate("example", "site ec", EVP_PKEY_EC);
	check_certificate(NULL, "site ec", EVP_PKEY_EC);
}

static void
a_client_that_knows_only_rsa_gets_the_rsa_certificate(void **state)
{
	SSL_CTX_set1_sigalgs_list(the_client, "RSA-PSS+SHA256:RSA+SHA256");
	check_certificate("site.example", "site rsa", EVP_PKEY_RSA);
	check_certificate("elsewhere.example", "site rsa", EVP_PKEY_RSA);
	check_certificate(NULL, "site rsa", EVP_PKEY_RSA);
	SSL_CTX_set1_sigalgs_list(the_client, "ECDSA+SHA256:RSA-PSS+SHA256:RSA+SHA256");
}

static void
the_certificates_above_are_sent_along(void **state)
{
	struct owner o;
	struct peer p;

	greet_both(&o, &p, "site.example");
	assert_int_equal(sk_X509_num(SSL_get_peer_cert_chain(p.ssl)), 2);
	close_both(&o, &p);
}

/* What was found, one after the other. */
struct heard {
	struct tls_finding last;
	struct buf texts;
};

static void
hear(void *arg, const struct tls_finding *f)
{
	struct heard *h = arg;

	h->last = *f;
	buf_printf(&h->texts, "%s\n%s\n", f->text, f->hint);
}

static void
forget(struct heard *h)
{
	buf_fini(&h->texts);
}

static void
check_problem(const char *cert, const char *key, const char *file, const char *reason)
{
	struct tls_certificate c = {cast_path(cert), cast_path(key)};
	struct heard h = {0};
	const char *text = h.last.text;

	assert_null(tls_context_new(&c, 1, &(struct tls_hearer){hear, &h}));
	if (strstr(text, cast_path(file)) != text || strstr(text, reason) == NULL)
		fail_msg("%s %s: %s", cert, key, text);
	assert_true(h.last.weight != TLS_DANGER && h.last.hint[0] != '\0');
	assert_int_equal(h.last.file,
	    strcmp(file, key) == 0 && strcmp(file, cert) != 0 ? TLS_FILE_KEY : TLS_FILE_CERT);
	forget(&h);
}

static void
what_is_wrong_with_a_certificate_is_told_with_its_path(void **state)
{
	check_problem("absent.pem", "ec.key", "absent.pem", "No such file or directory");
	check_problem("ec.pem", "absent.key", "absent.key", "No such file or directory");
	check_problem(".", "ec.key", ".", "is a directory");
	check_problem("text", "ec.key", "text", "not PEM, or no certificate in it");
	check_problem("ec.key", "ec.key", "ec.key", "not PEM, or no certificate in it");
	check_problem("ec.pem", "text", "text", "not PEM, or no private key in it");
	check_problem("broken.pem", "ec.key", "broken.pem", "bad certificate: ");
	check_problem("half.pem", "ec.key", "half.pem", "bad certificate above the first: ");
	check_problem("ec.pem", "broken.key", "broken.key", "cannot be read");
	check_problem("ec.pem", "locked.key", "locked.key", "has a pass phrase");
	check_problem("ec.pem", "rsa.key", "rsa.key", "does not belong to the certificate");
	check_problem("ec.pem", "wild.key", "wild.key", "does not belong to the certificate");
	check_problem("turned.pem", "rsa.key", "turned.pem", "must be the first");
	check_problem("weak.pem", "weak.key", "weak.pem", "its key, RSA of 1024 bits, is too weak");
}

static void
check_hint(const char *cert, const char *key, const char *hint)
{
	struct tls_certificate c = {cast_path(cert), cast_path(key)};
	struct heard h = {0};

	assert_null(tls_context_new(&c, 1, &(struct tls_hearer){hear, &h}));
	if (strstr(h.last.hint, hint) == NULL)
		fail_msg("%s %s: %s", cert, key, h.last.hint);
	forget(&h);
}

static void
what_was_expected_is_told_by_what_stands_there_instead(void **state)
{
	check_hint("text", "ec.key", "expected a PEM file with the server's certificate");
	check_hint("ec.pem", "text", "expected a PEM file with the certificate's private key");
	check_hint("ec.key", "ec.key", "are cert and key exchanged?");
	check_hint("ec.pem", "ec.pem", "are cert and key exchanged?");
	check_hint("der", "ec.key", "openssl x509 -inform der");
	check_hint("ec.pem", "der", "openssl pkey -inform der");
	check_hint("request.pem", "ec.key", "the certificate that the authority made of it");
	check_hint("ec.pem", "locked.key", "openssl pkey -in FILE -out NEW writes it without");
	check_hint("weak.pem", "weak.key", "RSA of 2048 bits or more");
}

static void
all_that_is_wrong_is_told_at_once(void **state)
{
	struct tls_certificate pairs[] = {{cast_path("absent.pem"), cast_path("text")},
	    {cast_path("ec.pem"), cast_path("ec.key")},
	    {cast_path("ec.pem"), cast_path("rsa.key")}};
	struct heard h = {0};

	assert_null(tls_context_new(pairs, 3, &(struct tls_hearer){hear, &h}));
	buf_add_char(&h.texts, '\0');
	assert_non_null(strstr(h.texts.p, "absent.pem: No such file"));
	assert_non_null(strstr(h.texts.p, "text: not PEM"));
	assert_non_null(strstr(h.texts.p, "rsa.key: this private key does not belong"));
	assert_int_equal(h.last.certificate, 2);
	forget(&h);
}

static void
check_warning(const char *cert, const char *key, const char *warning)
{
	struct tls_certificate c = {cast_path(cert), cast_path(key)};
	struct heard h = {0};
	struct tls_context *ctx = tls_context_new(&c, 1, &(struct tls_hearer){hear, &h});

	assert_non_null(ctx);
	if ((*warning == '\0') != (h.texts.n == 0) || strstr(h.last.text, warning) == NULL)
		fail_msg("%s: %.*s", cert, (int)h.texts.n, h.texts.p);
	assert_true(h.texts.n == 0 || h.last.weight == TLS_DANGER);
	tls_context_unref(&ctx);
	assert_null(ctx);
	forget(&h);
}

static void
dangers_are_warned_of_but_accepted(void **state)
{
	check_warning("ec.pem", "ec.key", "");
	check_warning("expired.pem", "expired.key", "expired.pem: the certificate ran out on 20");
	check_warning("early.pem", "early.key", "early.pem: the certificate is not good before 20");
	assert_int_equal(chmod(cast_path("ec.key"), 0644), 0);
	check_warning(
	    "ec.pem", "ec.key", "ec.key: a private key that everybody on this machine can read");
	assert_int_equal(chmod(cast_path("ec.key"), 0640), 0);
	check_warning("ec.pem", "ec.key", "");
}

static void
a_chain_without_its_intermediate_is_warned_of(void **state)
{
	check_warning("issued.pem", "issued.key",
	    "issued.pem: the certificate of its issuer (middle) is not in the file");
	check_warning("issued-other.pem", "issued.key",
	    "the certificate of its issuer (middle) is not in the file");
	check_warning("issued-full.pem", "issued.key", "");
	check_warning("private.pem", "private.key", ""); /* its authority signs by itself */
}

static void
the_first_certificate_to_run_out_counts(void **state)
{
	struct tls_certificate c[] = {{cast_path("ec.pem"), cast_path("ec.key")},
	    {cast_path("soon.pem"), cast_path("soon.key")}};
	struct tls_context *ctx = tls_context_new(c, 2, &to_nobody);
	int64_t left_s = tls_context_expiry_s(ctx) - time(NULL);

	assert_in_range(left_s, 3500, 3600);
	tls_context_unref(&ctx);
}

static void
a_connection_outlives_the_reload_of_its_certificates(void **state)
{
	struct tls_context *kept = the_context;
	struct owner o;
	struct peer p;
	struct tls_certificate c = {cast_path("ec.pem"), cast_path("ec.key")};
	char got[2];

	the_context = tls_context_new(&c, 1, &to_nobody);
	open_both(&o, &p, NULL);
	tls_context_unref(&the_context);
	the_context = kept;
	assert_true(peer_greet(&p, the_loop));
	assert_int_equal(send_text(&o, "ok"), 2);
	assert_int_equal(peer_read(&p, got, 2), 2);
	close_both(&o, &p);
}

/* --- the cast --- */

static void
copy_files(const char *to, const char *const *from, unsigned n, long cut)
{
	FILE *out = fopen(cast_path(to), "w");
	char some[8192];

	for (unsigned i = 0; i < n; i++) {
		FILE *in = fopen(cast_path(from[i]), "r");
		size_t got = fread(some, 1, sizeof(some), in);

		fwrite(some, 1, i == n - 1 ? got - (size_t)cut : got, out);
		fclose(in);
	}
	fclose(out);
}

static void
write_locked_key(void)
{
	EVP_PKEY *key = make_key("ec");
	FILE *f = fopen(cast_path("locked.key"), "w");

	PEM_write_PrivateKey(
	    f, key, EVP_aes_128_cbc(), (const unsigned char *)"sesame", 6, NULL, NULL);
	fclose(f);
	EVP_PKEY_free(key);
}

static void
write_cast(void)
{
	static const struct {
		const char *file;
		struct cast_certificate certificate;
	} pairs[] = {
	    {"ec", {"ec", "site ec", "DNS:site.example,DNS:www.site.example", 0, 0, NULL, NULL}},
	    {"rsa", {"rsa", "site rsa", "DNS:site.example,DNS:www.site.example", 0, 0, NULL, NULL}},
	    {"wild", {"ec", "wild", "DNS:*.site.example", 0, 0, NULL, NULL}},
	    {"exact", {"ec", "exact", "DNS:exact.site.example", 0, 0, NULL, NULL}},
	    {"old", {"rsa", "old.example", NULL, 0, 0, NULL, NULL}},
	    {"expired", {"ec", "expired", NULL, -2 * DAY_S, -DAY_S, NULL, NULL}},
	    {"early", {"ec", "early", NULL, DAY_S, 2 * DAY_S, NULL, NULL}},
	    {"soon", {"ec", "soon", NULL, 0, 3600, NULL, NULL}},
	    {"weak", {"weak", "weak", NULL, 0, 0, NULL, NULL}},
	    {"root", {"ec", "root", NULL, 0, 0, NULL, NULL}},
	    {"middle", {"ec", "middle", NULL, 0, 0, "root", NULL}},
	    {"issued",
		{"ec", "issued", NULL, 0, 0, "middle", "caIssuers;URI:http://ca.example/middle"}},
	    {"private", {"ec", "private", NULL, 0, 0, "root", NULL}},
	};

	for (unsigned i = 0; i < sizeof(pairs) / sizeof(pairs[0]); i++)
		write_pair(pairs[i].file, &pairs[i].certificate);
	write_text("text", "This is a shopping list.\n");
	write_text("der", "0\x82\x01\x02nothing to be read");
	write_text("request.pem",
	    "-----BEGIN CERTIFICATE REQUEST-----\nMIHA\n-----END CERTIFICATE REQUEST-----\n");
	write_locked_key();
	copy_files("chain.pem", (const char *const[]){"ec.pem", "old.pem"}, 2, 0);
	copy_files("issued-full.pem", (const char *const[]){"issued.pem", "middle.pem"}, 2, 0);
	copy_files("issued-other.pem", (const char *const[]){"issued.pem", "root.pem"}, 2, 0);
	copy_files("turned.pem", (const char *const[]){"ec.pem", "rsa.pem"}, 2, 0);
	copy_files("half.pem", (const char *const[]){"ec.pem", "old.pem"}, 2, 200);
	copy_files("broken.pem", (const char *const[]){"ec.pem"}, 1, 200);
	write_text(
	    "broken.key", "-----BEGIN PRIVATE KEY-----\nMIGHAgEAAAAA\n-----END PRIVATE KEY-----\n");
}

static int
set_up(void **state)
{
	static const char *const files[] = {"wild", "ec", "rsa", "exact", "old"};
	struct tls_certificate certs[5];
	char paths[10][200];

	cast_dir_make();
	write_cast();
	for (unsigned i = 0; i < 5; i++) {
		snprintf(paths[2 * i], 200, "%s/%s.pem", cast_dir, i == 1 ? "chain" : files[i]);
		snprintf(paths[2 * i + 1], 200, "%s/%s.key", cast_dir, files[i]);
		certs[i] = (struct tls_certificate){paths[2 * i], paths[2 * i + 1]};
	}
	/* The first is for all others: the wildcard stands second here. */
	struct tls_certificate first = certs[0];
	certs[0] = certs[1];
	certs[1] = first;
	the_context = tls_context_new(certs, 5, &to_nobody);
	if (the_context == NULL)
		print_error("no context\n");
	the_loop = loop_new();
	the_client = SSL_CTX_new(TLS_client_method());
	return the_context == NULL;
}

static int
tear_down(void **state)
{
	tls_context_unref(&the_context);
	loop_free(&the_loop);
	SSL_CTX_free(the_client);
	cast_dir_remove();
	return 0;
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(what_a_connection_says_first_or_after_a_pause_goes_in_small_records),
	    cmocka_unit_test(the_records_of_a_large_write_go_out_in_few_sends),
	    cmocka_unit_test(a_request_and_its_answer_pass_over_both_versions),
	    cmocka_unit_test(a_handshake_and_a_request_may_come_byte_by_byte),
	    cmocka_unit_test(only_bytes_that_were_taken_arrive_however_the_rest_changes),
	    cmocka_unit_test(an_upload_waits_with_the_client_while_it_is_not_wanted),
	    cmocka_unit_test(what_is_decrypted_already_is_announced_until_it_is_read),
	    cmocka_unit_test(a_request_sent_with_the_last_of_the_handshake_is_announced),
	    cmocka_unit_test(
		tickets_go_out_in_one_write_with_the_answer_to_a_request_that_has_come),
	    cmocka_unit_test(tickets_do_not_wait_for_a_request_that_does_not_come),
	    cmocka_unit_test(writing_before_the_handshake_is_over_waits_for_it),
	    cmocka_unit_test(what_was_taken_arrives_though_the_owner_closes_at_once),
	    cmocka_unit_test(a_client_that_takes_nothing_is_not_waited_for_for_ever),
	    cmocka_unit_test(a_reset_is_no_orderly_end),
	    cmocka_unit_test(after_the_last_word_reading_goes_on),
	    cmocka_unit_test(an_end_is_an_end_with_close_notify_or_without),
	    cmocka_unit_test(an_end_that_is_wanted_again_is_announced_again),
	    cmocka_unit_test(a_stream_closed_in_its_own_callback_is_gone),
	    cmocka_unit_test(a_connection_reset_by_the_client_fails),
	    cmocka_unit_test(plain_http_is_told_so_and_ends),
	    cmocka_unit_test(old_versions_weak_ciphers_and_unknown_protocols_are_refused),
	    cmocka_unit_test(a_client_that_leaves_during_the_handshake_is_counted_apart),
	    cmocka_unit_test(the_protocol_is_the_first_of_ours_that_the_client_speaks),
	    cmocka_unit_test(a_session_is_resumed_on_another_connection),
	    cmocka_unit_test(asking_to_renegotiate_changes_nothing),
	    cmocka_unit_test(new_keys_do_not_disturb_what_is_said),
	    cmocka_unit_test(writing_waits_for_the_other_half_of_a_key_update),
	    cmocka_unit_test(the_certificate_is_the_one_for_the_name),
	    cmocka_unit_test(a_client_that_knows_only_rsa_gets_the_rsa_certificate),
	    cmocka_unit_test(the_certificates_above_are_sent_along),
	    cmocka_unit_test(what_is_wrong_with_a_certificate_is_told_with_its_path),
	    cmocka_unit_test(what_was_expected_is_told_by_what_stands_there_instead),
	    cmocka_unit_test(all_that_is_wrong_is_told_at_once),
	    cmocka_unit_test(dangers_are_warned_of_but_accepted),
	    cmocka_unit_test(a_chain_without_its_intermediate_is_warned_of),
	    cmocka_unit_test(the_first_certificate_to_run_out_counts),
	    cmocka_unit_test(a_connection_outlives_the_reload_of_its_certificates),
	};

	return cmocka_run_group_tests_name("event/tls", tests, set_up, tear_down);
}
