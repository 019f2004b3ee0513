/* A WebSocket on a stream (RFC 8441). The tunnel wants a stream of bytes: it gets one end of a pair of sockets, and the other is
 * ours. The kernel's buffers bound what is between, and both sides feel it: DATA is consumed as the pair takes it, and what
 * comes from it is read only in the stream's turn, into a frame. */
#include <sys/socket.h>
#include <unistd.h>

#include "server/h2conn_priv.h"

static void
on_pipe_readable(void *arg)
{
	struct h2stream *s = arg;

	stream_want_read(s->pipe, false);
	h2_queue(s);
}

static void
on_pipe_writable(void *arg)
{
	h2tunnel_feed(arg);
}

static const struct stream_handler pipe_handler = {on_pipe_readable, on_pipe_writable};

struct stream *
h2tunnel_open(struct h2stream *s)
{
	struct loop *loop = s->conn->worker->loop;
	struct stream *far;
	int fds[2];

	if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, fds) != 0)
		return NULL;
	s->pipe = stream_open(loop, fds[0], &pipe_handler, s);
	if (s->pipe == NULL)
		goto fail;
	/* The tunnel takes it over at once. */
	far = stream_open(loop, fds[1], &pipe_handler, NULL);
	if (far == NULL)
		goto fail_pipe;
	stream_want_read(far, false);
	return far;
fail_pipe:
	stream_close(&s->pipe);
	close(fds[1]);
	return NULL;
fail:
	close(fds[0]);
	close(fds[1]);
	return NULL;
}

void
h2tunnel_close(struct h2stream *s)
{
	stream_close(&s->pipe);
}

/* Both have ended, or one side's way is broken. */
static void
end_tunnel(struct h2stream *s, enum h2_error code)
{
	if (code != H2_NO_ERROR)
		h2_reset(s->conn->session, &s->wire, code);
	h2stream_leave(s);
	h2_stir(s->conn);
}

void
h2tunnel_feed(struct h2stream *s)
{
	while (s->pipe != NULL && s->upload_at < s->upload.n) {
		struct iovec iov = {s->upload.p + s->upload_at, s->upload.n - s->upload_at};
		ssize_t sent = stream_writev(s->pipe, &iov, 1, false);

		if (sent == STREAM_AGAIN)
			return;
		if (sent == STREAM_ERROR) {
			end_tunnel(s, H2_CANCEL);
			return;
		}
		s->upload_at += (size_t)sent;
		h2_consumed(s->conn->session, &s->wire, (size_t)sent);
		h2_stir(s->conn);
	}
	s->upload_at = s->upload.n = 0;
	if (!s->wire.receive_ended || s->pipe == NULL || s->pipe_shut)
		return;
	s->pipe_shut = true;
	stream_shutdown_write(s->pipe);
	if (s->pipe_ended)
		end_tunnel(s, H2_NO_ERROR);
}

/* The origin's side is over. A client that never ends its own is not waited for for ever. */
static void
end_of_pipe(struct h2stream *s)
{
	s->pipe_ended = true;
	h2_copy_data(s, NULL, 0, 0, true);
	if (s->pipe_shut)
		end_tunnel(s, H2_NO_ERROR);
	else
		timer_arm(s->conn->worker->loop, &s->deadline,
		    h2_now_ms(s->conn) + h2_site(s->conn)->body_timeout_ms);
}

void
h2tunnel_run(struct h2stream *s)
{
	struct h2conn *c = s->conn;
	char bytes[H2_PAYLOAD_MAX];
	size_t may = h2_may_send(c->session, &s->wire);
	struct iovec iov = {.iov_base = bytes};
	ssize_t got;

	if (s->pipe_ended)
		return;
	if (may == 0) {
		s->is_blocked = true;
		return;
	}
	got = stream_read(s->pipe, bytes, may < sizeof(bytes) ? may : sizeof(bytes));
	if (got == STREAM_AGAIN) {
		stream_want_read(s->pipe, true);
		return;
	}
	if (got <= 0) {
		end_of_pipe(s);
		return;
	}
	iov.iov_len = (size_t)got;
	h2_copy_data(s, &iov, 1, (size_t)got, false);
	c->turn_left -= (size_t)got < c->turn_left ? (size_t)got : c->turn_left;
	h2_queue(s);
}
