#include "cli/ask.h"

#include <arpa/inet.h>
#include <errno.h>
#include <poll.h>
#include <pwd.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/clock.h"
#include "event/address.h"
#include "http/h1.h"
#include "server/conf.h"

#define HEAD_BYTES_MAX 65536

/* Whom to ask */

/* Where to knock for a name that one listens on: any address of the machine has no door, but its loopback. */
static bool
address_to_ask(const char *name, struct address *out)
{
	if (!address_of_listener(name, "127.0.0.1", out))
		return false;
	if (out->u.sa.sa_family == AF_INET && out->u.in4.sin_addr.s_addr == INADDR_ANY)
		out->u.in4.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	if (out->u.sa.sa_family == AF_INET6 && IN6_IS_ADDR_UNSPECIFIED(&out->u.in6.sin6_addr))
		out->u.in6.sin6_addr = in6addr_loopback;
	return true;
}

static int
door_of_conf(const char *path, struct arena *mem, struct admin_door *out, struct buf *why)
{
	struct conf_diag *diag = conf_diag_new();
	const struct server_conf *conf = server_conf_load(path, mem, diag);
	int r = -1;

	if (conf == NULL) {
		conf_diag_text(diag, why);
		buf_printf(
		    why, "where to ask stands in the configuration; --address names it as well");
	} else if (conf->admin.conf.is_off) {
		buf_printf(why, "%s has \"admin: off\": there is nobody to ask", path);
	} else {
		out->name = conf->admin.address;
		out->token = conf->admin.token;
		r = 0;
	}
	conf_diag_free(&diag);
	return r;
}

int
admin_door_find(const char *path, const char *address, struct arena *mem, struct admin_door *out,
    struct buf *why)
{
	*out = (struct admin_door){.name = address};
	if (path == NULL && address == NULL)
		path = server_conf_default_path(mem);
	if (address == NULL && door_of_conf(path, mem, out, why) != 0)
		return -1;
	if (address_to_ask(out->name, &out->address))
		return 0;
	buf_printf(
	    why, "\"%s\" is no address: 127.0.0.1:9090, [::1]:9090 or unix:/path", out->name);
	return -1;
}

/* Asking */

struct call {
	const struct admin_door *door;
	int fd;
	int64_t deadline_ms;
	int timeout_ms;
	struct buf bytes; /* that have come */
	struct buf *why;
};

/* Waits until the socket is ready for what. False: why tells. */
static bool
wait_for(struct call *c, short what)
{
	struct pollfd p = {.fd = c->fd, .events = what};

	for (;;) {
		int64_t left_ms = c->deadline_ms - clock_mono_ms();
		int n = left_ms <= 0 ? 0 : poll(&p, 1, (int)left_ms);

		if (n > 0)
			return true;
		if (n == 0) {
			buf_printf(c->why,
			    "%s does not answer within %d s: it may be overloaded or stopped (see "
			    "its log)",
			    c->door->name, c->timeout_ms / 1000);
			return false;
		}
		if (errno != EINTR) {
			buf_printf(c->why, "%s: %s", c->door->name, strerror(errno));
			return false;
		}
	}
}

static bool
fails(struct call *c, int error)
{
	buf_printf(c->why, "%s: %s", c->door->name, strerror(error));
	if (error == ECONNREFUSED || error == ENOENT)
		buf_printf(
		    c->why, "; nobody listens there: is Forebay running, with this configuration?");
	else if (error == EACCES)
		buf_printf(c->why, "; another user's: try with sudo");
	return false;
}

static bool
open_call(struct call *c)
{
	const struct address *to = &c->door->address;
	socklen_t size = sizeof(int);
	int error = 0;

	c->fd = socket(to->u.sa.sa_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	if (c->fd == -1)
		return fails(c, errno);
	if (connect(c->fd, &to->u.sa, to->len) == 0)
		return true;
	if (errno != EINPROGRESS)
		return fails(c, errno);
	if (!wait_for(c, POLLOUT))
		return false;
	getsockopt(c->fd, SOL_SOCKET, SO_ERROR, &error, &size);
	return error == 0 || fails(c, error);
}

/* For the audit log: who typed it, or who became root for that. NULL: nobody knows. */
static const char *
user_name(char name[64])
{
	const char *sudo = getenv("SUDO_USER");
	const struct passwd *pw = getpwuid(getuid());

	if (pw == NULL)
		return NULL;
	if (pw->pw_uid == 0 && sudo != NULL && *sudo != '\0')
		snprintf(name, 64, "%s (%s)", pw->pw_name, sudo);
	else
		snprintf(name, 64, "%s", pw->pw_name);
	for (const char *p = name; *p != '\0'; p++)
		if (*p < ' ' || *p > '~')
			return NULL;
	return name;
}

static bool
say(struct call *c, const char *method, const char *target, struct slice json)
{
	struct buf b = {0};
	char name[64];
	const char *user;
	bool is_said = true;

	buf_printf(
	    &b, "%s %s HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n", method, target);
	if (c->door->token != NULL && c->door->token[0] != '\0')
		buf_printf(&b, "Authorization: Bearer %s\r\n", c->door->token);
	if ((user = user_name(name)) != NULL)
		buf_printf(&b, "Forebay-User: %s\r\n", user);
	if (json.n > 0)
		buf_printf(&b, "Content-Type: application/json\r\nContent-Length: %zu\r\n", json.n);
	buf_printf(&b, "\r\n");
	buf_add_slice(&b, json);
	while (is_said && b.n > 0) {
		ssize_t n = send(c->fd, b.p, b.n, MSG_NOSIGNAL);

		if (n >= 0)
			buf_eat(&b, (size_t)n);
		else if (errno == EAGAIN)
			is_said = wait_for(c, POLLOUT);
		else if (errno != EINTR)
			is_said = fails(c, errno);
	}
	buf_fini(&b);
	return is_said;
}

/* To the end of the connection, which we asked it to close. */
static bool
listen_to_the_end(struct call *c)
{
	for (;;) {
		char *room = buf_room(&c->bytes, 16384);
		ssize_t n = recv(c->fd, room, 16384, 0);

		if (n == 0)
			return true;
		if (n > 0)
			c->bytes.n += (size_t)n;
		else if (errno == EAGAIN && !wait_for(c, POLLIN))
			return false;
		else if (errno != EAGAIN && errno != EINTR)
			return fails(c, errno);
		if (c->bytes.n > ASK_BODY_MAX) {
			buf_printf(c->why, "%s: the answer is too long", c->door->name);
			return false;
		}
	}
}

static bool
take_chunks(struct slice rest, struct buf *body)
{
	struct buf trailers = {0};
	struct h1_chunked chunked;
	struct slice payload;
	enum chunk_result r;
	size_t used;

	h1_chunked_init(&chunked);
	do {
		r = h1_chunked_next(&chunked, rest, &payload, &used, &trailers);
		if (r == CHUNK_DATA)
			buf_add_slice(body, payload);
		rest = slice_skip(rest, used);
	} while (r == CHUNK_DATA);
	buf_fini(&trailers);
	return r == CHUNK_END;
}

/* The answer out of all that has come. False: it is none, or not whole. */
static bool
understand(const struct call *c, const char *method, struct answer *out)
{
	static const struct h1_limits limits = {.head_bytes = HEAD_BYTES_MAX, .target_bytes = 0};
	struct h1_parser parser;
	struct framing framing;
	enum h1_fault fault;
	struct head head;
	struct slice rest;

	h1_parser_init(&parser, H1_RESPONSE, &limits);
	if (h1_parse(&parser, &head, c->bytes.p, c->bytes.n) != H1_WHOLE ||
	    !h1_response_framing(&head, method_of(slice_from(method)), &framing, &fault))
		return false;
	out->status = head.status;
	rest = slice_skip(buf_slice(&c->bytes), head.size);
	if (framing.kind == FRAMING_CHUNKED)
		return take_chunks(rest, &out->body);
	if (framing.kind == FRAMING_LENGTH && rest.n != framing.length)
		return false;
	buf_add_slice(&out->body, rest);
	return true;
}

int
ask(const struct admin_door *door, const char *method, const char *target, struct slice json,
    int timeout_ms, struct answer *out, struct buf *why)
{
	struct call c = {.door = door,
	    .deadline_ms = clock_mono_ms() + timeout_ms,
	    .timeout_ms = timeout_ms,
	    .why = why};
	bool is_whole = false;

	*out = (struct answer){0};
	if (open_call(&c) && say(&c, method, target, json) && listen_to_the_end(&c)) {
		is_whole = understand(&c, method, out);
		if (!is_whole)
			buf_printf(why, "%s: what answers there is not Forebay's admin interface",
			    door->name);
	}
	if (c.fd != -1)
		close(c.fd);
	buf_fini(&c.bytes);
	if (!is_whole)
		answer_fini(out);
	return is_whole ? 0 : -1;
}

void
answer_fini(struct answer *a)
{
	buf_fini(&a->body);
	a->status = 0;
}
