#include "server/visit.h"

#include <arpa/inet.h>
#include <stdlib.h>

#include "base/mem.h"
#include "http/h1.h"
#include "server/exchange_priv.h"

#define TURN_BYTES \
	8192 /* read in one turn: what unfolds and is parsed may be a hundred times as long */

struct visit {
	struct client client; /* first: what the exchange knows of us */
	struct errand errand;
	struct task start, turn;
	struct exchange *x; /* NULL: over */
	struct buf head;
	bool has_reply;
	struct visit_end end;
	const struct visit_handler *handler; /* NULL: nobody listens any more */
	void *arg;
	struct address self;
};

static struct visit *
visit_of(struct client *c)
{
	return CONTAINER_OF(c, struct visit, client);
}

static void
visit_free(struct visit *v)
{
	list_leave(&v->errand.link);
	task_cancel(&v->start);
	task_cancel(&v->turn);
	buf_fini(&v->head);
	free(v);
}

/* --- the client whom the exchange serves --- */

static bool
visit_upload_is_here(struct client *c)
{
	return true;
}

static void
visit_interim(struct client *c, struct slice head)
{
}

static void
visit_reply(struct client *c, const struct reply *r)
{
	struct visit *v = visit_of(c);

	v->has_reply = true;
	v->end.status = r->status;
}

static ssize_t
visit_write(struct client *c, struct iovec *iov, int n, bool last)
{
	struct visit *v = visit_of(c);
	bool is_read = v->handler != NULL && v->handler->on_body != NULL;
	size_t left = is_read ? TURN_BYTES : SIZE_MAX, taken = 0;

	for (int i = 0; i < n; i++) {
		const struct iovec *piece = &iov[CLIENT_IOV_FRONT + i];
		size_t some = piece->iov_len < left ? piece->iov_len : left;

		if (is_read && some > 0)
			v->handler->on_body(v->arg, v->end.status, slice_of(piece->iov_base, some));
		taken += some;
		left -= some;
		if (some < piece->iov_len)
			loop_later(v->client.worker->loop, &v->turn);
	}
	return (ssize_t)taken;
}

static void
visit_set_trailers(struct client *c, struct slice lines)
{
}

static bool
visit_is_flushed(const struct client *c)
{
	return CONTAINER_OF(c, const struct visit, client)->has_reply;
}

static void
visit_done(struct client *c, bool whole)
{
	struct visit *v = visit_of(c);
	const struct visit_handler *h = v->handler;
	struct visit_end end = v->end;
	void *arg = v->arg;

	end.is_whole = whole;
	end.word = v->x->word;
	end.tier = v->x->tier;
	visit_free(v);
	if (h != NULL)
		h->on_end(arg, &end);
}

static struct stream *
visit_take_stream(struct client *c, struct buf *head, struct buf *rest)
{
	bug("a visit asked for an upgrade");
}

static const struct client_ops visit_ops = {
    .upload_is_here = visit_upload_is_here,
    .interim = visit_interim,
    .reply = visit_reply,
    .write = visit_write,
    .set_trailers = visit_set_trailers,
    .is_flushed = visit_is_flushed,
    .done = visit_done,
    .take_stream = visit_take_stream,
};

/* --- beginning and end --- */

static void
on_visit_cut(struct errand *e)
{
	exchange_client_gone(CONTAINER_OF(e, struct visit, errand)->x);
}

static void
on_visit_turn(void *arg)
{
	struct visit *v = arg;

	exchange_wake(v->x);
}

static void
on_visit_start(void *arg)
{
	struct visit *v = arg;

	exchange_begin(v->x);
}

static void
write_head(struct visit *v, const struct visit_request *r)
{
	buf_printf(&v->head, "GET %.*s HTTP/1.1\r\nHost: %.*s\r\nUser-Agent: forebay-warm\r\n",
	    SLICE_FMT(r->target), SLICE_FMT(r->host));
	if (r->accept_encoding.n > 0)
		buf_printf(&v->head, "Accept-Encoding: %.*s\r\n", SLICE_FMT(r->accept_encoding));
	buf_add_lit(&v->head, "\r\n");
}

/* Lists of URLs are written by others: what ends a line would begin a field of the request. */
static bool
can_stand_in_head(struct slice s)
{
	for (size_t i = 0; i < s.n; i++)
		if ((unsigned char)s.p[i] <= ' ' || s.p[i] == 0x7f)
			return false;
	return true;
}

/* Only a head that any client might send. */
static bool
parse_head(struct visit *v)
{
	struct h1_limits limits = {
	    .head_bytes = v->x->site->head_size, .target_bytes = v->x->site->target_size};
	struct h1_parser parser;

	h1_parser_init(&parser, H1_REQUEST, &limits);
	return h1_parse(&parser, exchange_head(v->x), v->head.p, v->head.n) == H1_WHOLE &&
	    exchange_head(v->x)->size == v->head.n;
}

struct visit *
visit_begin(
    struct worker *w, const struct visit_request *request, const struct visit_handler *h, void *arg)
{
	struct visit *v;

	if (!can_stand_in_head(request->host) || !can_stand_in_head(request->target))
		return NULL;
	v = must_calloc(1, sizeof(*v));
	v->self = (struct address){.len = sizeof(v->self.u.in4)};
	v->self.u.in4 =
	    (struct sockaddr_in){.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
	v->client = (struct client){.ops = &visit_ops,
	    .worker = w,
	    .peer = &v->self,
	    .local = &v->self,
	    .is_tls = request->is_tls,
	    .is_own = true};
	v->handler = h;
	v->arg = arg;
	v->errand.cut = on_visit_cut;
	list_push_back(&w->errands, &v->errand.link);
	task_init(&v->start, on_visit_start, v);
	task_init(&v->turn, on_visit_turn, v);
	write_head(v, request);
	v->x = exchange_new(w, &v->client, false);
	if (!parse_head(v)) {
		exchange_drop(&v->x);
		visit_free(v);
		return NULL;
	}
	loop_later(w->loop, &v->start);
	return v;
}

void
visit_leave(struct visit **vp)
{
	struct visit *v = *vp;

	*vp = NULL;
	if (v == NULL)
		return;
	v->handler = NULL;
	exchange_client_gone(v->x);
}
