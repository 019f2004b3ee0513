#include "event/proxyreader.h"

#include <errno.h>
#include <event2/event.h>
#include <event2/event_struct.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/buf.h"
#include "base/mem.h"

#define GULP_BYTES 4096

struct proxy_reader {
	struct loop *loop;
	struct event readable;
	struct timer late;
	int fd;
	struct buf in; /* of the header, taken from the socket */
	void (*heard)(void *arg, int fd, const struct proxy_header *h, const char *why);
	void *arg;
};

void
proxy_reader_free(struct proxy_reader **rp)
{
	struct proxy_reader *r = *rp;

	*rp = NULL;
	if (r == NULL)
		return;
	timer_disarm(&r->late);
	if (event_del(&r->readable) != 0)
		bug("event_del");
	if (r->fd >= 0)
		close(r->fd);
	buf_fini(&r->in);
	free(r);
}

static void
tell(struct proxy_reader *r, const struct proxy_header *h, const char *why)
{
	void (*heard)(void *, int, const struct proxy_header *, const char *) = r->heard;
	void *arg = r->arg;
	int fd = r->fd;

	if (h != NULL)
		r->fd = -1;
	proxy_reader_free(&r);
	heard(arg, h == NULL ? -1 : fd, h, why);
}

/* Takes n bytes that have been looked at. */
static bool
take(struct proxy_reader *r, size_t n)
{
	if (recv(r->fd, buf_room(&r->in, n), n, 0) != (ssize_t)n)
		return false;
	r->in.n += n;
	return true;
}

/* What is there is looked at first and then taken as far as it belongs to the header: all of it as long as
 * the header is not whole. */
static void
on_proxy_readable(evutil_socket_t fd, short what, void *arg)
{
	struct proxy_reader *r = arg;
	struct proxy_header h;
	size_t had = r->in.n;
	enum proxy_answer answer;
	const char *why;
	ssize_t got = recv(r->fd, buf_room(&r->in, GULP_BYTES), GULP_BYTES, MSG_PEEK);

	if (got < 0 && (errno == EAGAIN || errno == EINTR))
		return;
	if (got <= 0) {
		tell(r, NULL, "the connection ended before it was whole");
		return;
	}
	answer = proxy_parse(slice_of(r->in.p, had + (size_t)got), &h, &why);
	if (answer == PROXY_BAD)
		tell(r, NULL, why);
	else if (!take(r, answer == PROXY_WHOLE ? h.size - had : (size_t)got))
		tell(r, NULL, "the connection broke");
	else if (answer == PROXY_WHOLE)
		tell(r, &h, "");
}

static void
on_proxy_late(void *arg)
{
	tell(arg, NULL, "it did not come in time");
}

struct proxy_reader *
proxy_reader_new(struct loop *l, int fd, int64_t due_ms,
    void (*heard)(void *arg, int fd, const struct proxy_header *h, const char *why), void *arg)
{
	struct proxy_reader *r = must_calloc(1, sizeof(*r));

	r->loop = l;
	r->fd = fd;
	r->heard = heard;
	r->arg = arg;
	timer_init(&r->late, on_proxy_late, r);
	event_assign(&r->readable, loop_base(l), fd, EV_READ | EV_PERSIST, on_proxy_readable, r);
	if (event_add(&r->readable, NULL) != 0) {
		free(r);
		return NULL;
	}
	timer_arm(l, &r->late, due_ms);
	return r;
}
