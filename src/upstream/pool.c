#include "upstream/pool.h"

#include <errno.h>
#include <limits.h>
#include <stdlib.h>

#include "base/mem.h"
#include "upstream/names.h"

#define POLL_MS 20

struct pool {
	struct loop *loop;
	unsigned worker;
	struct mailbox *const *mailboxes;
	struct link questions;
	struct spare fetches;
	struct buf input;
};

struct pool *
pool_new(struct loop *l, unsigned worker, struct mailbox *const *mailboxes)
{
	struct pool *p = must_calloc(1, sizeof(*p));

	p->loop = l;
	p->worker = worker;
	p->mailboxes = mailboxes;
	list_init(&p->questions);
	return p;
}

void
pool_free(struct pool **pp)
{
	if (*pp == NULL)
		return;
	spare_empty(&(*pp)->fetches, free);
	buf_fini(&(*pp)->input);
	free(*pp);
	*pp = NULL;
}

unsigned
pool_worker(const struct pool *p)
{
	return p->worker;
}

struct loop *
pool_loop(const struct pool *p)
{
	return p->loop;
}

struct link *
pool_questions(struct pool *p)
{
	return &p->questions;
}

/* --- memory that is lent --- */

struct spare *
pool_spare_fetches(struct pool *p)
{
	return &p->fetches;
}

void
pool_lend_input(struct pool *p, struct buf *in)
{
	*in = p->input;
	p->input = (struct buf){0};
	(void)buf_room(in, POOL_INPUT_BYTES);
}

void
pool_keep_input(struct pool *p, struct buf *in)
{
	if (p->input.cap > 0 || in->cap > 2 * POOL_INPUT_BYTES) {
		buf_fini(in);
		return;
	}
	p->input = *in;
	p->input.n = 0;
	*in = (struct buf){0};
}

/* --- waiting for room --- */

static void
waiter_leave(struct pool_waiter *w)
{
	if (!list_has(&w->link))
		return;
	list_leave(&w->link);
	pool_seat(w->server, w->pool->worker)->waiting_count--;
	timer_disarm(&w->poll);
}

static void
waiter_look(struct pool_waiter *w)
{
	waiter_leave(w);
	loop_later(w->pool->loop, &w->task);
}

static void
on_waiter_poll(void *arg)
{
	waiter_look(arg);
}

void
pool_waiter_init(struct pool_waiter *w, void (*look)(void *arg), void *arg)
{
	*w = (struct pool_waiter){0};
	list_init(&w->link);
	task_init(&w->task, look, arg);
	timer_init(&w->poll, on_waiter_poll, w);
}

static void on_plea(struct letter *l);

/* Says so to the seats of other workers that have idle connections (or, waiting: that wait). */
static void
plead(struct pool *p, struct server *s, bool waiting)
{
	for (unsigned i = 0; i < s->upstream->workers; i++) {
		struct server_seat *seat = pool_seat(s, i);

		if (i == p->worker || (waiting ? seat->waiting_count : seat->idle_count) == 0 ||
		    atomic_exchange(&seat->has_plea, true))
			continue;
		upstream_ref(s->upstream);
		seat->plea.deliver = on_plea;
		mailbox_post(p->mailboxes[i], &seat->plea);
	}
}

static unsigned
waiting_elsewhere(const struct server *s, unsigned worker)
{
	unsigned n = 0;

	for (unsigned i = 0; i < s->upstream->workers; i++)
		n += i == worker ? 0 : s->seats[i].waiting_count;
	return n;
}

bool
pool_wait(struct pool *p, struct server *s, struct pool_waiter *w)
{
	struct server_seat *seat = pool_seat(s, p->worker);

	if (seat->waiting_count >= s->upstream->conf.pending)
		return false;
	w->pool = p;
	w->server = s;
	list_push_back(&seat->waiting, &w->link);
	seat->waiting_count++;
	timer_arm(p->loop, &w->poll, loop_now_ms(p->loop) + POLL_MS);
	plead(p, s, false);
	return true;
}

void
pool_stop_waiting(struct pool_waiter *w)
{
	waiter_leave(w);
	task_cancel(&w->task);
}

/* A connection of this worker to s has become free, or may be opened. */
static void
wake_waiter(struct pool *p, struct server *s)
{
	struct pool_waiter *w =
	    list_first(&pool_seat(s, p->worker)->waiting, struct pool_waiter, link);

	if (w != NULL)
		waiter_look(w);
}

/* --- connections --- */

static void
upconn_leave_idle(struct upconn *c)
{
	list_leave(&c->link);
	pool_seat(c->server, c->pool->worker)->idle_count--;
	timer_disarm(&c->idle);
}

static void
upconn_close(struct upconn *c)
{
	struct upstream *u = c->server->upstream;

	if (c->h2 != NULL)
		c->on_close(c);
	stream_close(&c->stream);
	atomic_fetch_sub_explicit(&c->server->connections, 1, memory_order_relaxed);
	wake_waiter(c->pool, c->server);
	free(c);
	upstream_unref(&u);
}

/* Another worker's request waits: what is idle here makes room for it. Or there is room now: who waits here looks again. */
static void
on_plea(struct letter *l)
{
	struct server_seat *seat = CONTAINER_OF(l, struct server_seat, plea);
	struct server *s = seat->server;
	struct upstream *u = s->upstream;
	bool is_leaving = !server_keeps_idle(s);
	unsigned wanted = is_leaving ? UINT_MAX : waiting_elsewhere(s, (unsigned)(seat - s->seats));
	struct pool *p = NULL;
	struct upconn *c;

	atomic_store(&seat->has_plea, false);
	for (unsigned n = seat->waiting_count; n > 0; n--)
		waiter_look(list_first(&seat->waiting, struct pool_waiter, link));
	for (; wanted > 0 && !list_is_empty(&seat->idle); wanted--) {
		c = CONTAINER_OF(seat->idle.prev, struct upconn, link); /* the oldest */
		p = c->pool;
		upconn_leave_idle(c);
		upconn_close(c);
	}
	if (p != NULL && !is_leaving)
		plead(p, s, true);
	upstream_unref(&u);
}

/* Whatever comes on an idle connection, nobody asked for it (design: Trusting the origin). */
static void
on_idle_over(void *arg)
{
	struct upconn *c = arg;

	upconn_leave_idle(c);
	upconn_close(c);
}

/* TLS speaks for itself at times (a session for later, new keys): that is no word of the server's. */
static void
on_idle_readable(void *arg)
{
	struct upconn *c = arg;
	char byte;

	if (!stream_is_tls(c->stream) || stream_read(c->stream, &byte, 1) != STREAM_AGAIN)
		on_idle_over(c);
}

static void
on_idle_writable(void *arg)
{
}

static const struct stream_handler idle_handler = {on_idle_readable, on_idle_writable};

struct upconn *
pool_borrow_idle(struct pool *p, struct server *s, const struct pool_wish *wish)
{
	struct link *idle = &pool_seat(s, p->worker)->idle;

	for (struct link *l = idle->next; l != idle; l = l->next) {
		struct upconn *c = CONTAINER_OF(l, struct upconn, link);

		if (c->h2 != NULL || !proxy_line_eq(&c->announced, wish->announce))
			continue;
		upconn_leave_idle(c);
		stream_set_handler(c->stream, wish->handler, wish->arg);
		return c;
	}
	return NULL;
}

/* The connection that has been idle the longest here, for one that is wanted more. */
static bool
make_room(struct pool *p, struct server *s)
{
	struct link *idle = &pool_seat(s, p->worker)->idle;
	struct upconn *c;

	if (list_is_empty(idle))
		return false;
	c = CONTAINER_OF(idle->prev, struct upconn, link);
	upconn_leave_idle(c);
	upconn_close(c);
	return true;
}

/* Counts the connection in unless that would be one too many. */
static bool
count_in(struct server *s)
{
	unsigned n = atomic_load_explicit(&s->connections, memory_order_relaxed);

	do
		if (n >= s->upstream->conf.max)
			return false;
	while (!atomic_compare_exchange_weak(&s->connections, &n, n + 1));
	return true;
}

struct upconn *
pool_connect(
    struct pool *p, struct server *s, const struct address *to, const struct pool_wish *wish)
{
	struct upconn *c;
	int e;

	if (!count_in(s) && !(make_room(p, s) && count_in(s))) {
		errno = EBUSY;
		return NULL;
	}
	c = must_calloc(1, sizeof(*c));
	c->pool = p;
	c->server = s;
	c->announced = *wish->announce;
	c->opened_ms = loop_now_ms(p->loop);
	list_init(&c->link);
	timer_init(&c->idle, on_idle_over, c);
	c->stream = stream_connect(p->loop, to, wish->handler, wish->arg);
	if (c->stream == NULL)
		goto fail;
	atomic_fetch_add_explicit(&s->connects, 1, memory_order_relaxed);
	upstream_ref(s->upstream);
	return c;
fail:
	e = errno;
	atomic_fetch_sub_explicit(&s->connections, 1, memory_order_relaxed);
	free(c);
	errno = e;
	return NULL;
}

static void
close_seat(struct server_seat *seat)
{
	struct upconn *c;

	while ((c = list_first(&seat->idle, struct upconn, link)) != NULL) {
		upconn_leave_idle(c);
		upconn_close(c);
	}
}

/* The rest of max is for the other workers, who cannot take an idle one from here. */
static bool
has_its_share(const struct server *s, const struct server_seat *seat)
{
	return seat->waiting_count == 0 &&
	    seat->idle_count >= s->upstream->conf.max / s->upstream->workers;
}

/* Whether another worker's request waits for room that only this connection takes. */
static bool
is_wanted_elsewhere(const struct pool *p, const struct server *s, const struct server_seat *seat)
{
	return atomic_load_explicit(&s->connections, memory_order_relaxed) >=
	    s->upstream->conf.max &&
	    seat->waiting_count == 0 && waiting_elsewhere(s, p->worker) > 0;
}

void
pool_return(struct upconn **cp)
{
	struct upconn *c = *cp;
	struct pool *p = c->pool;
	struct server *s = c->server;
	struct server_seat *seat = pool_seat(c->server, c->pool->worker);
	const struct upstream_conf *conf = &c->server->upstream->conf;
	int64_t now_ms = loop_now_ms(c->pool->loop);

	*cp = NULL;
	c->served++;
	if (is_wanted_elsewhere(p, s, seat)) {
		struct upstream *u = upstream_ref(s->upstream);

		upconn_close(c);
		plead(p, s, true);
		upstream_unref(&u);
		return;
	}
	if (seat->is_retired || !server_keeps_idle(s) ||
	    (c->h2 == NULL && stream_has_pending(c->stream)) || has_its_share(c->server, seat) ||
	    (conf->life_ms > 0 && now_ms - c->opened_ms >= conf->life_ms)) {
		upconn_close(c);
		return;
	}
	if (c->h2 == NULL) {
		stream_set_handler(c->stream, &idle_handler, c);
		stream_want_write(c->stream, false);
		stream_want_read(c->stream, true);
	}
	list_push_front(&seat->idle, &c->link);
	seat->idle_count++;
	timer_arm(c->pool->loop, &c->idle, now_ms + conf->idle_ms);
	wake_waiter(c->pool, c->server);
	if (!server_keeps_idle(s)) /* said between the look and the count, when nobody told us */
		close_seat(seat);
}

void
pool_reuse(struct upconn *c)
{
	upconn_leave_idle(c);
}

void
pool_wake(struct pool *p, struct server *s, unsigned count)
{
	unsigned waiting = pool_seat(s, p->worker)->waiting_count;

	for (count = count < waiting ? count : waiting; count > 0; count--)
		wake_waiter(p, s);
}

void
pool_discard(struct upconn **cp)
{
	if (*cp == NULL)
		return;
	upconn_close(*cp);
	*cp = NULL;
}

void
pool_close_leaving(struct pool *p, struct server *s)
{
	close_seat(pool_seat(s, p->worker));
	plead(p, s, false);
}

void
pool_close_idle(struct pool *p, struct upstream *u)
{
	for (unsigned i = 0; i < u->servers_count; i++) {
		struct server_seat *seat = pool_seat(&u->servers[i], p->worker);

		seat->is_retired = true;
		close_seat(seat);
	}
	names_forget(p, u);
}
