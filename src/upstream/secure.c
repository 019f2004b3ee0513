#include "upstream/secure.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/log.h"
#include "base/mem.h"
#include "event/tls.h"

struct secure {
	struct tls_client *client; /* NULL: problem says why */
	char *name;
	char problem[200];
};

struct secure *
secure_new(const struct secure_conf *conf)
{
	struct secure *s = must_calloc(1, sizeof(*s));

	s->name = conf->name == NULL ? NULL : must_strdup(conf->name);
	s->client = tls_client_get(&conf->tls, s->problem, sizeof(s->problem));
	return s;
}

void
secure_free(struct secure **sp)
{
	struct secure *s = *sp;

	*sp = NULL;
	if (s == NULL)
		return;
	tls_client_unref(&s->client);
	free(s->name);
	free(s);
}

const char *
secure_problem(const struct secure *s)
{
	return s->client == NULL ? s->problem : "";
}

/* Equal files give the same client (event/tlsclient.h). */
bool
secure_is_same(const struct secure *a, const struct secure *b)
{
	if (a == NULL || b == NULL)
		return a == b;
	if (a->client != b->client || (a->name == NULL) != (b->name == NULL))
		return false;
	return a->name == NULL || strcmp(a->name, b->name) == 0;
}

static void
on_upstream_free(struct upstream *u)
{
	for (unsigned i = 0; i < u->servers_count; i++)
		for (unsigned w = 0; w < u->workers; w++)
			tls_session_free(&pool_seat(&u->servers[i], w)->tls_session);
	secure_free(&u->secure);
}

void
secure_give(struct upstream *u, struct secure **sp)
{
	u->secure = *sp;
	u->on_free = on_upstream_free;
	*sp = NULL;
}

/* --- one connection --- */

/* Once until it works again. */
static void
tell_failure(struct server *s, const char *why)
{
	atomic_fetch_add_explicit(&s->tls_failures, 1, memory_order_relaxed);
	if (!atomic_exchange(&s->tls_is_broken, true))
		log_warn("upstream %s, server %s: %s", s->upstream->conf.name, s->name, why);
}

static void
tell_success(struct upconn *c)
{
	struct server *s = c->server;
	struct tls_info info;

	atomic_fetch_add_explicit(&s->tls_handshakes, 1, memory_order_relaxed);
	if (stream_tls_info(c->stream, &info) && info.is_resumed)
		atomic_fetch_add_explicit(&s->tls_resumed, 1, memory_order_relaxed);
	if (atomic_load_explicit(&s->tls_is_broken, memory_order_relaxed) &&
	    atomic_exchange(&s->tls_is_broken, false))
		log_info(
		    "upstream %s, server %s: TLS works again", s->upstream->conf.name, s->name);
}

int
secure_begin(struct upconn *c, struct server_seat *seat, const char *protocols)
{
	struct secure *s = c->server->upstream->secure;
	const struct tls_opening opening = {
	    .name = s->name != NULL ? s->name : c->server->entry->host,
	    .protocols = protocols,
	    .session = &seat->tls_session};

	if (s->client != NULL && stream_start_tls(c->stream, s->client, &opening) == 0)
		return 0;
	tell_failure(c->server, s->client == NULL ? s->problem : strerror(errno));
	return -1;
}

enum fetch_end
secure_end(const struct upconn *c, enum fetch_end otherwise)
{
	enum tls_fault fault = stream_tls_fault(c->stream);

	if (fault == TLS_FAULT_none)
		return otherwise;
	tell_failure(c->server, stream_tls_failure(c->stream));
	switch (fault) {
	case TLS_FAULT_certificate:
		return FETCH_tls_certificate;
	case TLS_FAULT_alert:
		return FETCH_tls_refused;
	case TLS_FAULT_none:
	case TLS_FAULT_protocol:
		break;
	}
	return FETCH_tls_failed;
}

/* Before anything was read an end of TLS is an end of the handshake. */
enum fetch_end
secure_done(struct upconn *c)
{
	if (stream_error(c->stream) != 0)
		return secure_end(c, FETCH_refused);
	if (!stream_tls_info(c->stream, &(struct tls_info){0})) {
		tell_failure(c->server, "TLS: it closed the connection during the handshake");
		return FETCH_tls_failed;
	}
	tell_success(c);
	return FETCH_done;
}
