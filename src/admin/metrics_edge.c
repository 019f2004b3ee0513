/* What is told of TLS with clients, and of the servers behind us. */
#include "admin/metrics_priv.h"
#include "base/clock.h"
#include "event/tlsexpiry.h"
#include "event/tlsoffer.h"
#include "event/tlstickets.h"
#include "upstream/health.h"

static void
show_result(struct page *p, const char *result, const _Atomic uint64_t *count)
{
	metric_label(&p->labels, "result", slice_from(result));
	page_show(p, (double)atomic_load_explicit(count, memory_order_relaxed));
}

void
collect_tls_handshakes(struct page *p)
{
	const struct tls_counters *c = tls_counters();

	show_result(p, "done", &c->handshakes);
	show_result(p, "resumed", &c->resumed);
	show_result(p, "failed", &c->failed);
	show_result(p, "left", &c->left);
	show_result(p, "plain", &c->plain);
}

static void
show_expiry(void *arg, const struct tls_expiry *e)
{
	struct page *p = arg;
	int64_t now_s = loop_wall_ms(p->worker->loop) / 1000;

	metric_label(&p->labels, "listener", slice_from(e->listener));
	metric_label(&p->labels, "certificate", slice_from(e->cert));
	page_show(p, (double)(e->not_after_s - now_s));
}

void
collect_tls_expiry(struct page *p)
{
	tls_expiries_each(show_expiry, p);
}

void
collect_tls_renewals(struct page *p)
{
	show_result(p, "renewed", &tls_offer_counts()->renewals);
	show_result(p, "failed", &tls_offer_counts()->failures);
}

void
collect_tls_rotations(struct page *p)
{
	show_result(p, "renewed", &tls_tickets_counts()->rotations);
	show_result(p, "failed", &tls_tickets_counts()->failures);
}

static void
each_server(struct page *p, double (*value)(const struct server *s, size_t at))
{
	for (unsigned i = 0; i < p->site->upstreams_count; i++) {
		struct upstream *u = p->site->upstreams[i];

		pthread_mutex_lock(&u->lock); /* names change under it */
		for (unsigned k = 0; k < u->servers_count; k++) {
			if (!server_is_listed(&u->servers[k]))
				continue;
			metric_label(&p->labels, "upstream", slice_from(u->conf.name));
			metric_label(&p->labels, "server", slice_from(u->servers[k].name));
			page_show(p, value(&u->servers[k], p->row->at));
		}
		pthread_mutex_unlock(&u->lock);
	}
}

static double
server_count(const struct server *s, size_t at)
{
	const void *counter = (const char *)s + at;

	return (double)atomic_load_explicit(
	    (const _Atomic uint64_t *)counter, memory_order_relaxed);
}

static double
server_gauge(const struct server *s, size_t at)
{
	const void *gauge = (const char *)s + at;

	return atomic_load_explicit((const _Atomic unsigned *)gauge, memory_order_relaxed);
}

void
collect_server_count(struct page *p)
{
	each_server(p, server_count);
}

static double
server_up(const struct server *s, size_t at)
{
	return server_state(s, clock_mono_ms()) == SERVER_STATE_up;
}

void
collect_server_up(struct page *p)
{
	each_server(p, server_up);
}

static double
server_drained(const struct server *s, size_t at)
{
	return server_is_drained(s);
}

void
collect_server_drained(struct page *p)
{
	each_server(p, server_drained);
}

void
collect_server_gauge(struct page *p)
{
	each_server(p, server_gauge);
}
