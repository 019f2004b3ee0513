#include "upstream/check.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/buf.h"
#include "base/clock.h"
#include "base/mem.h"
#include "http/h1.h"
#include "http/head.h"
#include "upstream/h2link.h"
#include "upstream/health.h"
#include "upstream/secure.h"

#define HEAD_MOST 16384
#define FIRST_MS 100 /* the first check after a start */

struct watch;

/* One place's checks, one after another. */
struct probe {
	struct watch *watch;
	struct server *server;
	bool is_under_way;
	struct upconn *conn;
	struct h2link *h2; /* in its place, where HTTP/2 is spoken */
	struct h2_call call;
	struct timer deadline;
	struct buf in;
	struct h1_parser parser;
	struct head head;
	enum { PROBE_CONNECTING, PROBE_SECURING, PROBE_ASKING } step;
	bool has_head;
	unsigned in_row;     /* results alike, */
	bool was_well;	     /* of this kind */
	unsigned generation; /* whose address they are about */
};

/* One upstream. */
struct watch {
	struct link link;
	struct checks *checks;
	struct upstream *upstream; /* own reference */
	struct timer tick;
	struct buf request;
	struct probe *probes; /* as many as places */
	bool is_kept;	      /* while checks_use looks */
};

struct checks {
	struct pool *pool;
	struct loop *loop;
	struct link watches;
};

static void on_probe_readable(void *arg);
static void on_probe_writable(void *arg);
static const struct stream_handler probe_stream_handler = {on_probe_readable, on_probe_writable};

static const struct check_conf *
conf_of(const struct probe *p)
{
	return &p->watch->upstream->conf.check;
}

static int64_t
now_ms(const struct probe *p)
{
	return loop_now_ms(p->watch->checks->loop);
}

static void
probe_end(struct probe *p)
{
	timer_disarm(&p->deadline);
	buf_fini(&p->in);
	if (p->h2 != NULL)
		h2link_drop(p->h2, &p->call);
	p->h2 = NULL;
	pool_discard(&p->conn);
	p->is_under_way = false;
}

static void
probe_over(struct probe *p, bool is_well, const char *why)
{
	const struct check_conf *c = conf_of(p);

	probe_end(p);
	p->in_row = p->was_well == is_well ? p->in_row + 1 : 1;
	p->was_well = is_well;
	if (!is_well)
		atomic_fetch_add_explicit(&p->server->checks_failed, 1, memory_order_relaxed);
	if (p->in_row >= (is_well ? c->rise : c->fall))
		server_checked(p->server, is_well, why, now_ms(p));
	atomic_fetch_add_explicit(&p->server->checks, 1, memory_order_release);
}

static void
on_probe_deadline(void *arg)
{
	probe_over(arg, false, "no answer to a check in time");
}

static bool
has_text(const struct probe *p)
{
	struct slice body = slice_skip(buf_slice(&p->in), p->head.size);

	return memmem(body.p, body.n, conf_of(p)->body, strlen(conf_of(p)->body)) != NULL;
}

/* False: it is over. */
static bool
judge_head(struct probe *p)
{
	const struct check_conf *c = conf_of(p);

	for (;;) {
		switch (h1_parse(&p->parser, &p->head, p->in.p, p->in.n)) {
		case H1_PARTIAL:
			return true;
		case H1_BAD:
			probe_over(p, false, "the answer to a check is not valid HTTP");
			return false;
		case H1_WHOLE:
			break;
		}
		if (p->head.status >= 200)
			break;
		buf_eat(&p->in, p->head.size);
		h1_parser_init(
		    &p->parser, H1_RESPONSE, &(struct h1_limits){.head_bytes = HEAD_MOST});
	}
	p->has_head = true;
	if (!status_set_has(&c->statuses, p->head.status))
		probe_over(p, false, "a check was answered with another status");
	else if (c->body == NULL)
		probe_over(p, true, "");
	return p->is_under_way;
}

/* More of the answer has come. False: it is over. */
static bool
judge(struct probe *p)
{
	if (!p->has_head && !judge_head(p))
		return false;
	if (p->has_head && has_text(p))
		probe_over(p, true, "");
	else if (p->in.n > HEAD_MOST + CHECK_BODY_MAX)
		probe_over(p, false, "the answer to a check lacks the text expected");
	return p->is_under_way;
}

static void
not_well(struct probe *p)
{
	probe_over(p, false,
	    p->has_head ? "the answer to a check lacks the text expected"
			: "a check was not answered");
}

static void
on_probe_readable(void *arg)
{
	struct probe *p = arg;
	ssize_t got;

	if (p->step != PROBE_ASKING)
		return;
	while ((got = stream_read(p->conn->stream, buf_room(&p->in, 4096), 4096)) > 0) {
		p->in.n += (size_t)got;
		if (!judge(p))
			return;
	}
	if (got != STREAM_AGAIN)
		not_well(p);
}

/* --- by HTTP/2 --- */

static void
on_probe_news(void *arg)
{
	struct probe *p = arg;
	struct slice data = p->call.data;

	buf_add_slice(&p->in, buf_slice(&p->call.heads));
	p->call.heads.n = 0;
	buf_add_slice(&p->in, data);
	p->call.data = SLICE_NONE;
	h2_call_consumed(&p->call, data.n);
	if (judge(p) && (p->call.is_ended || p->call.end != H2_CALL_open))
		not_well(p);
}

static const struct h2_call_owner probe_call_owner = {.on_news = on_probe_news};

/* A link of its own, as the connection would be. */
static bool
probe_call(struct probe *p)
{
	const struct h2_call_start start = {.head = buf_slice(&p->watch->request),
	    .is_https = p->watch->upstream->secure != NULL,
	    .head_limit = HEAD_MOST};

	p->h2 = h2link_open(&p->conn);
	if (p->h2 == NULL)
		return false;
	h2link_retire(p->h2);
	p->call = (struct h2_call){.owner = &probe_call_owner, .arg = p};
	return h2link_begin(p->h2, &p->call, &start) == 0;
}

static bool
speaks_h2(const struct probe *p)
{
	return p->watch->upstream->conf.protocol == PROTOCOL_h2;
}

/* On a new connection some hundred bytes are taken at once. */
static bool
probe_send(struct probe *p, struct slice bytes)
{
	struct iovec iov = {(void *)(uintptr_t)bytes.p, bytes.n};

	return stream_writev(p->conn->stream, &iov, 1, false) == (ssize_t)bytes.n;
}

static void
probe_ask(struct probe *p)
{
	p->step = PROBE_ASKING;
	if (conf_of(p)->path == NULL)
		probe_over(p, true, "");
	else if (!(speaks_h2(p) ? probe_call(p) : probe_send(p, buf_slice(&p->watch->request))))
		probe_over(p, false, "a check could not be sent");
}

static void
probe_connected(struct probe *p)
{
	const struct upstream *u = p->watch->upstream;
	struct proxy_line nobody;

	proxy_line_make(&nobody, NULL, NULL);
	if (stream_error(p->conn->stream) != 0)
		probe_over(p, false, "no connection for a check");
	else if (u->conf.announces_clients &&
	    !probe_send(p, slice_of((const char *)nobody.bytes, nobody.n)))
		probe_over(p, false, "a check could not be sent");
	else if (u->secure == NULL)
		probe_ask(p);
	else {
		p->step = PROBE_SECURING;
		if (secure_begin(p->conn, pool_seat(p->server, pool_worker(p->watch->checks->pool)),
			speaks_h2(p) ? "h2" : "http/1.1") != 0)
			probe_over(p, false, "TLS could not be begun for a check");
	}
}

static void
on_probe_writable(void *arg)
{
	struct probe *p = arg;

	if (p->step == PROBE_CONNECTING)
		probe_connected(p);
	else if (p->step == PROBE_SECURING && secure_done(p->conn) != FETCH_done)
		probe_over(p, false, "TLS failed with a check");
	else if (p->step == PROBE_SECURING)
		probe_ask(p);
}

/* The place's address, if there is one; false: there is none now, or it is another than to. */
static bool
probe_address(struct probe *p, struct address *to, bool is_first)
{
	struct server *s = p->server;
	bool is_there;

	pthread_mutex_lock(&s->upstream->lock);
	is_there = s->place == SERVER_there && (is_first || s->generation == p->generation);
	if (is_there && is_first && s->generation != p->generation)
		p->in_row = 0; /* another address: nothing is known of it */
	p->generation = s->generation;
	*to = s->address;
	pthread_mutex_unlock(&s->upstream->lock);
	return is_there;
}

/* While it has a connection its place is not given to another address. When the server has as many connections as it may,
 * it has work to do and is not checked. */
static void
probe_start(struct probe *p)
{
	struct checks *c = p->watch->checks;
	struct proxy_line nobody = {0};
	struct pool_wish wish = {&nobody, &probe_stream_handler, p};
	struct address to;

	if (p->is_under_way || !probe_address(p, &to, true))
		return;
	p->step = PROBE_CONNECTING;
	p->has_head = false;
	h1_parser_init(&p->parser, H1_RESPONSE, &(struct h1_limits){.head_bytes = HEAD_MOST});
	p->conn = pool_connect(c->pool, p->server, &to, &wish);
	if (p->conn == NULL && errno != EBUSY)
		probe_over(p, false, "no connection for a check");
	if (p->conn != NULL && !probe_address(p, &to, false))
		probe_end(p);
	p->is_under_way = p->conn != NULL;
	if (p->is_under_way)
		timer_arm(c->loop, &p->deadline,
		    loop_now_ms(c->loop) + p->watch->upstream->conf.check.timeout_ms);
}

static void
on_tick(void *arg)
{
	struct watch *w = arg;

	for (unsigned i = 0; i < w->upstream->servers_count; i++)
		probe_start(&w->probes[i]);
	timer_arm(w->checks->loop, &w->tick,
	    loop_now_ms(w->checks->loop) + w->upstream->conf.check.interval_ms);
}

static void
watch_new(struct checks *c, struct upstream *u)
{
	struct watch *w = must_calloc(1, sizeof(*w));
	const struct check_conf *conf = &u->conf.check;

	w->checks = c;
	w->upstream = upstream_ref(u);
	w->is_kept = true;
	if (conf->path != NULL)
		buf_printf(&w->request,
		    "GET %s HTTP/1.1\r\nHost: %s\r\nUser-Agent: forebay-check\r\nConnection: "
		    "close\r\n\r\n",
		    conf->path, conf->host == NULL ? u->conf.name : conf->host);
	w->probes = must_calloc(u->servers_count, sizeof(*w->probes));
	for (unsigned i = 0; i < u->servers_count; i++) {
		w->probes[i] = (struct probe){.watch = w, .server = &u->servers[i]};
		timer_init(&w->probes[i].deadline, on_probe_deadline, &w->probes[i]);
	}
	timer_init(&w->tick, on_tick, w);
	timer_arm(c->loop, &w->tick, loop_now_ms(c->loop) + FIRST_MS);
	list_push_back(&c->watches, &w->link);
}

static void
watch_free(struct watch *w)
{
	list_leave(&w->link);
	timer_disarm(&w->tick);
	for (unsigned i = 0; i < w->upstream->servers_count; i++)
		probe_end(&w->probes[i]);
	free(w->probes);
	buf_fini(&w->request);
	upstream_unref(&w->upstream);
	free(w);
}

struct checks *
checks_new(struct pool *p)
{
	struct checks *c = must_calloc(1, sizeof(*c));

	c->pool = p;
	c->loop = pool_loop(p);
	list_init(&c->watches);
	return c;
}

void
checks_free(struct checks **cp)
{
	if (*cp == NULL)
		return;
	checks_use(*cp, NULL, 0);
	free(*cp);
	*cp = NULL;
}

static struct watch *
watch_of(struct checks *c, const struct upstream *u)
{
	LIST_EACH (w, &c->watches, struct watch, link)
		if (w->upstream == u)
			return w;
	return NULL;
}

void
checks_use(struct checks *c, struct upstream *const *upstreams, unsigned count)
{
	LIST_EACH (w, &c->watches, struct watch, link)
		w->is_kept = false;
	for (unsigned i = 0; i < count; i++) {
		struct watch *w = watch_of(c, upstreams[i]);

		if (w != NULL)
			w->is_kept = true;
		else if (upstreams[i]->conf.check.is_on)
			watch_new(c, upstreams[i]);
	}
	LIST_EACH_SAFE (w, &c->watches, struct watch, link)
		if (!w->is_kept)
			watch_free(w);
}
