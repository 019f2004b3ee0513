#include "server/tunnel.h"

#include <stdlib.h>

#include "base/mem.h"

#define BUFFER_BYTES 65536

struct tunnel;

struct side {
	struct tunnel *tunnel;
	struct stream *stream; /* the origin's belongs to its upconn */
	struct side *other;
	char *buf; /* bytes on their way to this side */
	size_t at, n;
	bool read_ended, write_ended;
	uint64_t written;
};

struct tunnel {
	struct worker *worker;
	struct errand errand;
	struct upconn *origin_conn;
	struct side client, origin;
	struct timer idle;
	struct task bury;
	int64_t idle_ms;
	bool closed;
	void (*done)(void *arg, uint64_t to_client, uint64_t to_origin);
	void *arg;
};

static void
on_tunnel_bury(void *arg)
{
	struct tunnel *t = arg;

	free(t->client.buf);
	free(t->origin.buf);
	free(t);
}

static void
tunnel_close(struct tunnel *t)
{
	struct worker *w = t->worker;

	if (t->closed)
		return;
	t->closed = true;
	list_leave(&t->errand.link);
	timer_disarm(&t->idle);
	stream_close(&t->client.stream);
	pool_discard(&t->origin_conn);
	t->done(t->arg, t->client.written, t->origin.written);
	w->exchanges--;
	loop_later(w->loop, &t->bury);
	worker_note_quiet(w);
}

static void
touch(struct tunnel *t)
{
	timer_arm(t->worker->loop, &t->idle, loop_now_ms(t->worker->loop) + t->idle_ms);
}

/* Writes what waits for s. False: the tunnel has gone. */
static bool
flush(struct side *s)
{
	while (s->at < s->n) {
		struct iovec iov = {s->buf + s->at, s->n - s->at};
		ssize_t sent = stream_writev(s->stream, &iov, 1, false);

		if (sent == STREAM_AGAIN)
			return true;
		if (sent == STREAM_ERROR) {
			tunnel_close(s->tunnel);
			return false;
		}
		s->at += (size_t)sent;
		s->written += (uint64_t)sent;
	}
	s->at = s->n = 0;
	if (s->other->read_ended && !s->write_ended) {
		s->write_ended = true;
		stream_shutdown_write(s->stream);
		if (s->other->write_ended) {
			tunnel_close(s->tunnel);
			return false;
		}
	}
	return true;
}

/* Reads from s into the buffer that goes to the other side. */
static void
on_side_readable(void *arg)
{
	struct side *s = arg, *to = s->other;
	ssize_t got;

	if (to->n >= BUFFER_BYTES) {
		stream_want_read(s->stream, false);
		return;
	}
	got = stream_read(s->stream, to->buf + to->n, BUFFER_BYTES - to->n);
	if (got == STREAM_AGAIN)
		return;
	touch(s->tunnel);
	if (got == STREAM_ERROR) {
		tunnel_close(s->tunnel);
		return;
	}
	if (got == 0) {
		s->read_ended = true;
		stream_want_read(s->stream, false);
	} else
		to->n += (size_t)got;
	flush(to);
}

static void
on_side_writable(void *arg)
{
	struct side *s = arg;

	touch(s->tunnel);
	if (!flush(s))
		return;
	if (s->n == 0 && !s->other->read_ended)
		stream_want_read(s->other->stream, true);
}

static void
on_tunnel_idle(void *arg)
{
	tunnel_close(arg);
}

static void
on_tunnel_cut(struct errand *e)
{
	tunnel_close(CONTAINER_OF(e, struct tunnel, errand));
}

static const struct stream_handler side_handler = {on_side_readable, on_side_writable};

static void
side_init(struct side *s, struct tunnel *t, struct stream *stream, struct side *other,
    struct slice head, struct slice first)
{
	s->tunnel = t;
	s->stream = stream;
	s->other = other;
	s->buf = must_malloc(head.n + first.n + BUFFER_BYTES);
	if (head.n > 0)
		memcpy(s->buf, head.p, head.n);
	if (first.n > 0)
		memcpy(s->buf + head.n, first.p, first.n);
	s->n = head.n + first.n;
	stream_set_handler(stream, &side_handler, s);
	stream_want_read(stream, true);
}

void
tunnel_join(struct worker *w, struct stream *client, struct upconn *origin, struct slice head,
    struct slice to_client, struct slice to_origin, int64_t idle_ms,
    void (*done)(void *arg, uint64_t to_client, uint64_t to_origin), void *arg)
{
	struct tunnel *t = must_calloc(1, sizeof(*t));

	w->exchanges++;
	t->worker = w;
	t->errand.cut = on_tunnel_cut;
	list_push_back(&w->errands, &t->errand.link);
	t->origin_conn = origin;
	t->idle_ms = idle_ms;
	t->done = done;
	t->arg = arg;
	timer_init(&t->idle, on_tunnel_idle, t);
	task_init(&t->bury, on_tunnel_bury, t);
	side_init(&t->client, t, client, &t->origin, head, to_client);
	side_init(&t->origin, t, origin->stream, &t->client, SLICE_NONE, to_origin);
	touch(t);
	if (flush(&t->client))
		flush(&t->origin);
}
