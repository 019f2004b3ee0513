#include "event/tlsoffer.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/log.h"
#include "base/mem.h"
#include "event/fileprint.h"
#include "event/tlsexpiry.h"
#include "event/tlstickets.h"

struct tls_offer {
	struct tls_certificate *certs; /* own paths */
	unsigned count;
	char *protocols;
	char *client_ca; /* NULL: clients show nothing */
	bool client_required;
	int64_t warn_s;
	struct tls_tickets *tickets; /* own reference */
	struct tls_context *ctx;     /* own reference */
	struct file_print *
	    used; /* two for each certificate, and the authorities: what ctx was read from, or what was found bad */
	struct file_print *seen; /* at the last look */
	bool is_untold;		 /* ctx was read anew, and who accepts may have the one before */
};

static struct tls_offer_counts counts;

const struct tls_offer_counts *
tls_offer_counts(void)
{
	return &counts;
}

/* --- files --- */

static unsigned
prints_of(const struct tls_offer *o)
{
	return 2 * o->count + (o->client_ca != NULL);
}

static void
take_prints(const struct tls_offer *o, struct file_print *to)
{
	for (unsigned i = 0; i < o->count; i++) {
		file_print_take(&to[2 * i], o->certs[i].cert);
		file_print_take(&to[2 * i + 1], o->certs[i].key);
	}
	if (o->client_ca != NULL)
		file_print_take(&to[2 * o->count], o->client_ca);
}

static bool
are_same(const struct tls_offer *o, const struct file_print *a, const struct file_print *b)
{
	for (unsigned i = 0; i < prints_of(o); i++)
		if (!file_print_is_same(&a[i], &b[i]))
			return false;
	return true;
}

static struct tls_context *
read_context(const struct tls_offer *o, const struct tls_hearer *to)
{
	struct tls_context *ctx = tls_context_new(o->certs, o->count, to);

	if (ctx == NULL)
		return NULL;
	tls_context_set_alpn(ctx, o->protocols);
	tls_context_set_tickets(ctx, o->tickets);
	if (o->client_ca != NULL &&
	    tls_context_set_clients(ctx, o->client_ca, o->client_required, to) != 0)
		tls_context_unref(&ctx);
	return ctx;
}

static void
tell(const struct tls_hearer *to, struct tls_finding *f, const char *text)
{
	f->weight = TLS_BAD;
	snprintf(f->text, sizeof(f->text), "%s", text);
	to->hear(to->arg, f);
}

/* A certificate that has run out takes no other's place, unless that one has, too. */
static struct tls_context *
read_renewed(const struct tls_offer *o, const struct tls_hearer *to)
{
	struct tls_context *ctx = read_context(o, to);
	struct tls_finding f = {.file = TLS_FILE_CERT};
	int64_t now_s = clock_wall_ms() / 1000;
	char text[sizeof(f.text)];

	for (unsigned i = 0; ctx != NULL && i < o->count; i++)
		if (tls_context_certificate_expiry_s(ctx, i) <= now_s &&
		    tls_context_certificate_expiry_s(o->ctx, i) > now_s) {
			snprintf(text, sizeof(text), "%s: the certificate has run out already",
			    o->certs[i].cert);
			f.certificate = i;
			tell(to, &f, text);
			tls_context_unref(&ctx);
		}
	return ctx;
}

static void
hear_later(void *arg, const struct tls_finding *f)
{
	const char *address = arg;

	if (f->weight == TLS_DANGER)
		log_warn("listen %s: %s", address, f->text);
	else
		log_error("listen %s: %s; the certificates in use are kept", address, f->text);
}

bool
tls_offer_look(struct tls_offer *o, const char *address)
{
	struct file_print *now = must_calloc(prints_of(o), sizeof(*now)), *before = o->seen;
	const struct tls_hearer to = {hear_later, (void *)(uintptr_t)address};
	struct tls_context *ctx = NULL;

	take_prints(o, now);
	o->seen = now;
	if (are_same(o, now, before) && !are_same(o, now, o->used)) {
		ctx = read_renewed(o, &to);
		memcpy(o->used, now, prints_of(o) * sizeof(*now));
		if (ctx == NULL)
			atomic_fetch_add_explicit(&counts.failures, 1, memory_order_relaxed);
	}
	free(before);
	if (ctx == NULL)
		return false;
	tls_context_unref(&o->ctx);
	o->ctx = ctx;
	o->is_untold = true;
	return true;
}

void
tls_offer_tell_used(struct tls_offer *o, const char *address)
{
	if (!o->is_untold)
		return;
	o->is_untold = false;
	atomic_fetch_add_explicit(&counts.renewals, 1, memory_order_relaxed);
	log_info("listen %s: certificates read anew", address);
}

/* --- holding --- */

struct tls_offer *
tls_offer_new(const struct tls_offer_conf *conf, const struct tls_hearer *to)
{
	struct tls_offer *o = must_calloc(1, sizeof(*o));
	struct tls_finding f = {.file = TLS_FILE_TICKET_KEYS};
	char problem[sizeof(f.text)];

	o->count = conf->count;
	o->warn_s = conf->warn_s;
	o->protocols = must_strdup(conf->protocols);
	o->client_ca = conf->client_ca == NULL ? NULL : must_strdup(conf->client_ca);
	o->client_required = conf->client_required;
	o->certs = must_calloc(conf->count, sizeof(*o->certs));
	for (unsigned i = 0; i < conf->count; i++)
		o->certs[i] = (struct tls_certificate){
		    must_strdup(conf->certs[i].cert), must_strdup(conf->certs[i].key)};
	o->used = must_calloc(prints_of(o), sizeof(*o->used));
	o->seen = must_calloc(prints_of(o), sizeof(*o->seen));
	take_prints(o, o->used);
	memcpy(o->seen, o->used, prints_of(o) * sizeof(*o->used));
	o->tickets = tls_tickets_get(conf->ticket_keys, clock_mono_ms(), problem, sizeof(problem));
	if (o->tickets != NULL)
		o->ctx = read_context(o, to);
	else
		tell(to, &f, problem);
	if (o->ctx == NULL)
		tls_offer_free(&o);
	return o;
}

void
tls_offer_free(struct tls_offer **op)
{
	struct tls_offer *o = *op;

	*op = NULL;
	if (o == NULL)
		return;
	tls_context_unref(&o->ctx);
	tls_tickets_unref(&o->tickets);
	for (unsigned i = 0; i < o->count; i++) {
		free((void *)(uintptr_t)o->certs[i].cert);
		free((void *)(uintptr_t)o->certs[i].key);
	}
	free(o->certs);
	free(o->protocols);
	free(o->client_ca);
	free(o->used);
	free(o->seen);
	free(o);
}

struct tls_context *
tls_offer_context(const struct tls_offer *o)
{
	return o->ctx;
}

void
tls_offer_tell_expiry(const struct tls_offer *o, const char *listener)
{
	for (unsigned i = 0; i < o->count; i++)
		tls_expiries_add(&(struct tls_expiry){
		    .listener = listener,
		    .cert = o->certs[i].cert,
		    .not_after_s = tls_context_certificate_expiry_s(o->ctx, i),
		    .warn_s = o->warn_s,
		});
}
