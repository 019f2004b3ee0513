#include "server/announcement.h"

#include <stdlib.h>
#include <unistd.h>

#include "base/log.h"
#include "base/mem.h"
#include "event/proxyreader.h"
#include "server/connection.h"
#include "server/exchange_priv.h"
#include "server/h1conn.h"
#include "server/request.h"

struct announcement {
	struct errand errand;
	struct door *door;
	struct address peer; /* the proxy */
	struct proxy_reader *reader;
};

static const struct site_proxies *
proxies_of(const struct door *d)
{
	const struct site *site = d->worker->site;

	for (unsigned i = 0; i < site->proxies_count && !d->is_admin; i++)
		if (strcmp(site->proxies[i].address, d->name) == 0)
			return &site->proxies[i];
	return NULL;
}

bool
door_wants_announcement(const struct door *d, const struct address *peer)
{
	const struct site_proxies *p = proxies_of(d);

	if (p == NULL)
		return false;
	return peer->u.sa.sa_family == AF_UNIX || address_is_in(peer, p->from, p->count);
}

/* --- one announcement --- */

static void
announcement_end(struct announcement *a)
{
	struct worker *w = a->door->worker;

	proxy_reader_free(&a->reader);
	list_leave(&a->errand.link);
	w->conns_count--;
	connection_discharge(w);
	free(a);
}

static void
refuse(const struct announcement *a, const char *why)
{
	struct arena scratch = {0};

	observe_add(a->door->worker->observer, COUNT_proxy_headers_bad, 1);
	log_info("%s: PROXY header from %.*s: %s", a->door->name,
	    SLICE_FMT(address_text(&scratch, &a->peer)), why);
	arena_fini(&scratch);
}

static void
on_announcement_heard(void *arg, int fd, const struct proxy_header *h, const char *why)
{
	struct announcement *a = arg;
	struct door *d = a->door;
	struct address peer = a->peer;

	a->reader = NULL;
	if (h == NULL)
		refuse(a, why);
	announcement_end(a);
	if (h != NULL)
		h1conn_accept(d, fd, h->has_addresses ? &h->from : &peer);
	worker_note_quiet(d->worker);
}

static void
on_announcement_cut(struct errand *e)
{
	announcement_end(CONTAINER_OF(e, struct announcement, errand));
}

void
announcement_begin(struct door *d, int fd, const struct address *peer)
{
	struct worker *w = d->worker;
	int64_t due_ms = loop_now_ms(w->loop) + proxies_of(d)->timeout_ms;
	struct announcement *a;

	if (!connection_admit(w)) {
		close(fd);
		return;
	}
	a = must_calloc(1, sizeof(*a));
	*a =
	    (struct announcement){.errand = {.cut = on_announcement_cut}, .door = d, .peer = *peer};
	list_push_back(&w->errands, &a->errand.link);
	w->conns_count++;
	a->reader = proxy_reader_new(w->loop, fd, due_ms, on_announcement_heard, a);
	if (a->reader == NULL) {
		close(fd);
		announcement_end(a);
	}
}

/* --- to a server --- */

/* The port is the client's own as long as no proxy spoke for him. What Forebay asks for itself is LOCAL. */
void
exchange_announce(const struct exchange *x, struct proxy_line *out)
{
	bool is_own = x->client != NULL && x->client->is_own;

	out->n = 0;
	if (x->route->upstream->conf.announces_clients)
		proxy_line_make(out, is_own ? NULL : &x->client_address,
		    x->client == NULL ? NULL : x->client->local);
}
