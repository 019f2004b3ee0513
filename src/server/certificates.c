#include "server/certificates.h"

#include "base/mem.h"

struct hearing {
	const struct listen_conf *listen;
	struct conf_diag *diag;
};

static struct conf_place
place_of(const struct listen_tls_conf *tls, const struct tls_finding *f)
{
	const struct certificate_conf *c = &tls->certificates.items[f->certificate];

	switch (f->file) {
	case TLS_FILE_CERT:
		return conf_place(&certificate_table, c, "cert");
	case TLS_FILE_KEY:
		return conf_place(&certificate_table, c, "key");
	case TLS_FILE_CLIENT_CA:
		return conf_place(&listen_tls_table, tls, "client_ca");
	case TLS_FILE_TICKET_KEYS:
		return conf_place(&listen_tls_table, tls, "ticket_keys");
	}
	bug("file %d", f->file);
}

static void
hear(void *arg, const struct tls_finding *f)
{
	static const char *const names[] = {[TLS_FILE_CERT] = "cert",
	    [TLS_FILE_KEY] = "key",
	    [TLS_FILE_CLIENT_CA] = "client_ca",
	    [TLS_FILE_TICKET_KEYS] = "ticket_keys"};
	const struct hearing *h = arg;
	struct conf_place at = place_of(&h->listen->tls, f);

	if (f->weight == TLS_ABSENT)
		conf_unreadable(h->diag, at, f->error, "%s: %s", names[f->file], f->text);
	else if (f->weight == TLS_DANGER)
		conf_warning(h->diag, at, "%s: %s", names[f->file], f->text);
	else
		conf_error(h->diag, at, "%s: %s", names[f->file], f->text);
	if (f->hint[0] != '\0')
		conf_hint(h->diag, "%s", f->hint);
}

static struct tls_offer *
offer_of(const struct listen_conf *l, struct arena *mem, const struct tls_hearer *to)
{
	const struct listen_tls_conf *t = &l->tls;
	size_t n = t->certificates.count;
	struct tls_certificate *certs = arena_zalloc(mem, n * sizeof(*certs));
	struct tls_offer_conf conf = {.certs = certs,
	    .count = (unsigned)n,
	    .protocols = l->http2 ? "h2 http/1.1" : "http/1.1",
	    .client_required = t->client_certificates == CLIENT_CERTIFICATES_REQUIRED,
	    .warn_s = t->expiry_warning / 1000};

	for (size_t i = 0; i < n; i++) {
		const struct certificate_conf *c = &t->certificates.items[i];

		certs[i].cert = server_conf_path(mem, &c->conf, c->cert);
		certs[i].key = server_conf_path(mem, &c->conf, c->key);
	}
	if (t->ticket_keys != NULL)
		conf.ticket_keys = server_conf_path(mem, &t->conf, t->ticket_keys);
	if (t->client_ca != NULL)
		conf.client_ca = server_conf_path(mem, &t->conf, t->client_ca);
	return tls_offer_new(&conf, to);
}

struct tls_offer *
certificates_offer(const struct listen_conf *l, struct conf_diag *diag)
{
	struct hearing h = {l, diag};
	struct arena mem = {0};
	struct tls_offer *o = offer_of(l, &mem, &(struct tls_hearer){hear, &h});

	arena_fini(&mem);
	return o;
}

void
certificates_try(const struct server_conf *c, struct conf_diag *diag)
{
	for (size_t i = 0; i < c->listen.count; i++)
		if (!c->listen.items[i].tls.conf.is_off) {
			struct tls_offer *o = certificates_offer(&c->listen.items[i], diag);

			tls_offer_free(&o);
		}
}
