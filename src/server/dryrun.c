#include "server/dryrun.h"

#include <arpa/inet.h>
#include <stdlib.h>

#include "base/mem.h"
#include "http/h1.h"
#include "server/exchange_priv.h"
#include "server/request.h"

struct dryrun {
	struct client client;
	struct exchange *x;
	struct buf head, body;
	size_t body_read;
	struct address self;
};

static void
dryrun_done(struct client *c, bool whole)
{
}

static struct dryrun *
dryrun_of(struct upload *u)
{
	return CONTAINER_OF(u, struct dryrun, client.upload);
}

static void
body_begin(struct upload *u)
{
}

static int
body_peek_all(struct upload *u, struct iovec *iov, int max, bool *end_out)
{
	struct dryrun *d = dryrun_of(u);

	iov[0] = (struct iovec){d->body.p + d->body_read, d->body.n - d->body_read};
	*end_out = true;
	return iov[0].iov_len > 0;
}

static void
body_consume(struct upload *u, size_t n)
{
	dryrun_of(u)->body_read += n;
}

/* The walk ends before anything is sent. */
static const struct client_ops dryrun_ops = {.done = dryrun_done};

static void
walk(struct exchange *x)
{
	enum exchange_next next = EXCHANGE_GO;

	while (next == EXCHANGE_GO)
		switch (x->step) {
		case STEP_route:
			next = step_route(x);
			break;
		case STEP_admit:
			next = step_admit(x);
			break;
		case STEP_limit:
			next = step_limit(x);
			break;
		case STEP_lookup:
			next = step_lookup(x);
			break;
		default:
			return;
		}
}

static bool
parse(struct dryrun *d)
{
	struct h1_limits limits = {
	    .head_bytes = d->x->site->head_size, .target_bytes = d->x->site->target_size};
	struct h1_parser parser;

	h1_parser_init(&parser, H1_REQUEST, &limits);
	return h1_parse(&parser, exchange_head(d->x), d->head.p, d->head.n) == H1_WHOLE;
}

struct dryrun *
dryrun_new(struct worker *w, struct slice head, struct slice body, bool is_tls)
{
	struct dryrun *d = must_calloc(1, sizeof(*d));

	buf_add_slice(&d->head, head);
	buf_add_slice(&d->body, body);
	d->self = (struct address){.len = sizeof(d->self.u.in4)};
	d->self.u.in4 =
	    (struct sockaddr_in){.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
	d->client = (struct client){.ops = &dryrun_ops,
	    .worker = w,
	    .peer = &d->self,
	    .local = &d->self,
	    .is_tls = is_tls,
	    .is_own = true};
	d->client.has_upload = d->body.n > 0;
	d->client.upload = (struct upload){.length = d->body.n,
	    .begin = body_begin,
	    .peek = body_peek_all,
	    .consume = body_consume};
	d->x = exchange_new(w, &d->client, false);
	d->x->is_dry = true;
	if (!parse(d)) {
		dryrun_free(&d);
		return NULL;
	}
	request_identify_client(d->x);
	walk(d->x);
	if (d->x->answer == ANSWER_OBJECT)
		exchange_foresee(d->x);
	return d;
}

const struct exchange *
dryrun_exchange(const struct dryrun *d)
{
	return d->x;
}

void
dryrun_free(struct dryrun **dp)
{
	struct dryrun *d = *dp;

	*dp = NULL;
	if (d == NULL)
		return;
	object_unref(&d->x->object);
	object_unref(&d->x->stale);
	exchange_drop(&d->x);
	buf_fini(&d->head);
	buf_fini(&d->body);
	free(d);
}
