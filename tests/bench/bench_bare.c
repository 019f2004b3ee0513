/* LINK: base/mem */
/* The bare ends of a bench: bench_bare answer BYTES | relay PORT | origin, and then CERTIFICATE KEY for TLS.
 *
 * One thread around epoll, on a free port of the loopback, which is the first line printed. Ends with its parent.
 *   answer  reads what comes and sends a fixed answer with a body of that many bytes: what nothing that speaks HTTP can undercut
 *   relay   hands bytes on, each client having a connection of its own to PORT
 *   origin  reads the path: /stored/BYTES/... may be stored, /passed/BYTES/... may not; with /slow before it the answer comes after half
 *           a second. /asked tells how many requests there were, itself left out
 * A read is a whole request for the first, as all clients here send it; the origin gathers pieces.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/tcp.h>
#include <openssl/ssl.h>
#include <poll.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/prctl.h>
#include <sys/queue.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include "base/mem.h"

#define HEAD_MAX 8192
#define PIECE_BYTES 65536
#define BODY_MAX (1024 * 1024)
#define DELAY_MS 500
#define READY_MAX 128

struct link {
	int fd;
	SSL *ssl;	   /* NULL: plain */
	struct link *peer; /* relay: where its bytes go */
	size_t got;	   /* origin: bytes of a head that is not whole */
	char *head;
	int64_t due_ms; /* origin: when the delayed answer goes out; 0: none is owed */
	bool is_gone;
	TAILQ_ENTRY(link) in_line; /* in the order of due_ms */
};

static int ep;
static SSL_CTX *tls;
static char body[BODY_MAX], piece[PIECE_BYTES];
static char *fixed;
static size_t fixed_bytes;
static uint16_t relay_port;
static unsigned long asked;
static TAILQ_HEAD(, link) delayed = TAILQ_HEAD_INITIALIZER(delayed);

static int64_t
now_ms(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return t.tv_sec * 1000 + t.tv_nsec / 1000000;
}

/* Words in lines, so that codings have something to find: the same ones each time. */
static void
write_body(void)
{
	static const char *const words[] = {"river", "stone", "<p class=\"note\">", "and", "of",
	    "harbour", "</p>", "lantern", "the", "winter", "over", "bridge", "\n", "to", "market",
	    "quiet"};
	uint32_t seed = 1;

	for (size_t n = 0; n < BODY_MAX;) {
		char word[40];
		int len;

		seed = seed * 1664525 + 1013904223;
		len = snprintf(word, sizeof(word), seed >> 30 == 0 ? "%s%u " : "%s ",
		    words[seed >> 12 & 15], seed >> 20 & 1023);
		if ((size_t)len > BODY_MAX - n)
			len = (int)(BODY_MAX - n);
		memcpy(body + n, word, (size_t)len);
		n += (size_t)len;
	}
}

static void
watch(struct link *l)
{
	struct epoll_event e = {.events = EPOLLIN, .data.ptr = l};

	if (epoll_ctl(ep, EPOLL_CTL_ADD, l->fd, &e) != 0)
		bug("epoll_ctl: %s", strerror(errno));
}

static struct link *
link_new(int fd)
{
	struct link *l = must_calloc(1, sizeof(*l));
	int one = 1;

	l->fd = fd;
	setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one));
	watch(l);
	return l;
}

static void
link_close(struct link *l)
{
	close(l->fd);
	SSL_free(l->ssl);
	free(l->head);
	l->head = NULL;
	l->ssl = NULL;
	l->is_gone = true;
	if (l->due_ms == 0) /* else the line of delayed answers still has it */
		free(l);
}

/* > 0 bytes; 0: nothing for now; -1: it has ended. */
static ssize_t
link_read(struct link *l, char *to, size_t room)
{
	ssize_t n;

	if (l->ssl == NULL) {
		n = recv(l->fd, to, room, 0);
		return n > 0 ? n : n == -1 && errno == EAGAIN ? 0 : -1;
	}
	n = SSL_read(l->ssl, to, (int)room);
	return n > 0 ? n : SSL_get_error(l->ssl, (int)n) == SSL_ERROR_WANT_READ ? 0 : -1;
}

/* All of it, however long the reader takes: there is nothing else to do in a bench. */
static bool
link_write(struct link *l, const char *from, size_t n)
{
	struct pollfd p = {.fd = l->fd, .events = POLLOUT};

	while (n > 0) {
		ssize_t sent;
		bool is_full;

		if (l->ssl == NULL) {
			sent = send(l->fd, from, n, MSG_NOSIGNAL);
			is_full = sent == -1 && errno == EAGAIN;
		} else {
			sent = SSL_write(l->ssl, from, (int)n);
			is_full =
			    sent <= 0 && SSL_get_error(l->ssl, (int)sent) == SSL_ERROR_WANT_WRITE;
		}
		if (is_full && poll(&p, 1, 10000) == 1)
			continue;
		if (sent <= 0)
			return false;
		from += sent;
		n -= (size_t)sent;
	}
	return true;
}

static size_t
write_head(char *to, size_t bytes, bool is_stored)
{
	time_t now = time(NULL);
	struct tm tm;
	char date[64];

	gmtime_r(&now, &tm);
	strftime(date, sizeof(date), "%a, %d %b %Y %H:%M:%S GMT", &tm);
	return (size_t)snprintf(to, HEAD_MAX,
	    "HTTP/1.1 200 OK\r\nServer: bare\r\nDate: %s\r\nContent-Type: text/html; "
	    "charset=utf-8\r\n"
	    "Content-Length: %zu\r\nCache-Control: %s\r\nETag: \"%zx\"\r\n\r\n",
	    date, bytes, is_stored ? "public, max-age=36000" : "no-store", bytes);
}

static bool
is_path(const char *head, const char *start)
{
	return strncmp(head + 4, start, strlen(start)) == 0;
}

static bool
send_answer(struct link *l)
{
	const char *kind = l->head + 4 + (is_path(l->head, "/slow/") ? 5 : 0);
	char text[HEAD_MAX + PIECE_BYTES];
	size_t bytes, n;

	if (is_path(l->head, "/asked ")) {
		n = write_head(text, 20, false);
		n += (size_t)snprintf(text + n, 21, "%-20lu", asked);
		return link_write(l, text, n);
	}
	bytes = strncmp(kind, "/stored/", 8) == 0 || strncmp(kind, "/passed/", 8) == 0
	    ? strtoul(kind + 8, NULL, 10)
	    : 0;
	bytes = bytes < BODY_MAX ? bytes : BODY_MAX;
	asked++;
	n = write_head(text, bytes, kind[1] == 's');
	if (bytes > PIECE_BYTES)
		return link_write(l, text, n) && link_write(l, body, bytes);
	memcpy(text + n, body, bytes);
	return link_write(l, text, n + bytes);
}

/* Forgets the head that was answered. */
static void
next_head(struct link *l)
{
	char *end = strstr(l->head, "\r\n\r\n") + 4;

	l->got -= (size_t)(end - l->head);
	memmove(l->head, end, l->got + 1);
}

/* All whole heads that are there, up to one whose answer is delayed. False: the link has failed. */
static bool
answer_heads(struct link *l)
{
	while (l->got > 0 && strstr(l->head, "\r\n\r\n") != NULL) {
		if (is_path(l->head, "/slow/")) {
			l->due_ms = now_ms() + DELAY_MS;
			TAILQ_INSERT_TAIL(&delayed, l, in_line);
			return true;
		}
		if (!send_answer(l))
			return false;
		next_head(l);
	}
	return true;
}

static bool
on_origin_readable(struct link *l)
{
	ssize_t n;

	if (l->head == NULL)
		l->head = must_malloc(HEAD_MAX);
	n = link_read(l, l->head + l->got, HEAD_MAX - 1 - l->got);
	if (n <= 0)
		return n == 0;
	l->got += (size_t)n;
	l->head[l->got] = '\0';
	return l->due_ms != 0 || answer_heads(l);
}

static void
answer_delayed(void)
{
	struct link *l;
	int64_t now = now_ms();

	while ((l = TAILQ_FIRST(&delayed)) != NULL && l->due_ms <= now) {
		TAILQ_REMOVE(&delayed, l, in_line);
		l->due_ms = 0;
		if (l->is_gone) {
			free(l);
			continue;
		}
		if (!send_answer(l)) {
			link_close(l);
			continue;
		}
		next_head(l);
		if (!answer_heads(l))
			link_close(l);
	}
}

static bool
on_answer_readable(struct link *l)
{
	ssize_t n = link_read(l, piece, sizeof(piece));

	return n > 0 ? link_write(l, fixed, fixed_bytes) : n == 0;
}

/* The other half of a closed link hears of its end by shutdown, and so closes itself. */
static bool
on_relay_readable(struct link *l)
{
	ssize_t n = link_read(l, piece, sizeof(piece));

	if (n > 0 && l->peer != NULL && link_write(l->peer, piece, (size_t)n))
		return true;
	if (n == 0)
		return true;
	if (l->peer != NULL) {
		shutdown(l->peer->fd, SHUT_RDWR);
		l->peer->peer = NULL;
	}
	return false;
}

static void
join_relay(struct link *l)
{
	struct sockaddr_in a = {.sin_family = AF_INET,
	    .sin_port = htons(relay_port),
	    .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

	if (fd == -1 || connect(fd, (struct sockaddr *)&a, sizeof(a)) != 0)
		bug("relay to port %u: %s", relay_port, strerror(errno));
	if (fcntl(fd, F_SETFL, O_NONBLOCK) != 0)
		bug("fcntl: %s", strerror(errno));
	l->peer = link_new(fd);
	l->peer->peer = l;
}

static void
accept_all(int listener)
{
	int fd;

	while ((fd = accept4(listener, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK)) != -1) {
		struct link *l = link_new(fd);

		if (relay_port != 0)
			join_relay(l);
		if (tls != NULL) {
			l->ssl = SSL_new(tls);
			SSL_set_fd(l->ssl, fd);
			SSL_set_accept_state(l->ssl);
		}
	}
}

static void
serve(int listener, bool (*on_readable)(struct link *))
{
	struct epoll_event ready[READY_MAX];
	struct link *door = must_calloc(1, sizeof(*door));

	door->fd = listener;
	watch(door);
	for (;;) {
		struct link *first = TAILQ_FIRST(&delayed);
		int64_t wait_ms = first == NULL ? -1 : first->due_ms - now_ms();
		int n = epoll_wait(
		    ep, ready, READY_MAX, first != NULL && wait_ms < 0 ? 0 : (int)wait_ms);

		for (int i = 0; i < n; i++) {
			struct link *l = ready[i].data.ptr;

			if (l == door)
				accept_all(listener);
			else if (!on_readable(l))
				link_close(l);
		}
		answer_delayed();
	}
}

static int
listen_somewhere(void)
{
	struct sockaddr_in a = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
	socklen_t n = sizeof(a);
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);

	if (fd == -1 || bind(fd, (struct sockaddr *)&a, n) != 0 || listen(fd, 4096) != 0 ||
	    getsockname(fd, (struct sockaddr *)&a, &n) != 0)
		bug("a port to listen on: %s", strerror(errno));
	printf("%u\n", ntohs(a.sin_port));
	fflush(stdout);
	return fd;
}

static void
use_tls(const char *certificate, const char *key)
{
	tls = SSL_CTX_new(TLS_server_method());
	if (tls == NULL || SSL_CTX_use_certificate_chain_file(tls, certificate) != 1 ||
	    SSL_CTX_use_PrivateKey_file(tls, key, SSL_FILETYPE_PEM) != 1)
		bug("%s and %s do not serve", certificate, key);
	SSL_CTX_set_min_proto_version(tls, TLS1_3_VERSION);
	SSL_CTX_set_mode(tls, SSL_MODE_ENABLE_PARTIAL_WRITE | SSL_MODE_RELEASE_BUFFERS);
	SSL_CTX_set_num_tickets(tls, 1);
}

int
main(int argc, char **argv)
{
	bool (*on_readable)(struct link *) = NULL;
	int words = 0;

	if (argc >= 3 && strcmp(argv[1], "answer") == 0)
		on_readable = on_answer_readable, words = 3;
	else if (argc >= 3 && strcmp(argv[1], "relay") == 0)
		on_readable = on_relay_readable, words = 3;
	else if (argc >= 2 && strcmp(argv[1], "origin") == 0)
		on_readable = on_origin_readable, words = 2;
	if (on_readable == NULL || (argc != words && argc != words + 2)) {
		fprintf(
		    stderr, "usage: bench_bare answer BYTES|relay PORT|origin [CERTIFICATE KEY]\n");
		return 2;
	}
	prctl(PR_SET_PDEATHSIG, SIGKILL);
	signal(SIGPIPE, SIG_IGN);
	ep = epoll_create1(EPOLL_CLOEXEC);
	write_body();
	if (on_readable == on_relay_readable)
		relay_port = (uint16_t)atoi(argv[2]);
	if (on_readable == on_answer_readable) {
		size_t n = strtoul(argv[2], NULL, 10);

		fixed = must_malloc(HEAD_MAX + BODY_MAX);
		fixed_bytes = write_head(fixed, n < BODY_MAX ? n : BODY_MAX, true);
		memcpy(fixed + fixed_bytes, body, n < BODY_MAX ? n : BODY_MAX);
		fixed_bytes += n < BODY_MAX ? n : BODY_MAX;
	}
	if (argc > words)
		use_tls(argv[words], argv[words + 1]);
	serve(listen_somewhere(), on_readable);
}
