/* One SSL_CTX per context has the settings, the ticket keys, and the certificates for who names no host; others are given
 * to the connection by on_certificate_wanted, after the ClientHello has named the host and the
 * kinds of key the client knows; OpenSSL then takes the kind that suits both. */
#include <assert.h>
#include <errno.h>
#include <openssl/core_names.h>
#include <openssl/err.h>
#include <openssl/rand.h>
#include <openssl/x509v3.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/mem.h"
#include "event/tls_priv.h"
#include "event/tlsidentity.h"
#include "event/tlstickets.h"

#define NAME_BYTES 256 /* of a host, RFC 1035 allows 253 */
#define ALPN_BYTES 256
#define CLIENT_CERTIFICATES_BYTES 16384 /* of one client; it goes upstream in fields */
#define KINDS 4 /* of keys, a certificate of each at once: RSA, ECDSA, EdDSA, others */

/* Mozilla's intermediate recommendation; its DHE suites are left out: they are slow, made for
 * clients that are gone, and a way to make servers work (CVE-2002-20001). */
#define CIPHERS_12                                                   \
	"ECDHE-ECDSA-AES128-GCM-SHA256:ECDHE-RSA-AES128-GCM-SHA256:" \
	"ECDHE-ECDSA-AES256-GCM-SHA384:ECDHE-RSA-AES256-GCM-SHA384:" \
	"ECDHE-ECDSA-CHACHA20-POLY1305:ECDHE-RSA-CHACHA20-POLY1305"
#define CIPHERS_13 "TLS_AES_128_GCM_SHA256:TLS_AES_256_GCM_SHA384:TLS_CHACHA20_POLY1305_SHA256"
#define GROUPS "X25519:P-256:P-384"
#define GROUPS_HYBRID "X25519MLKEM768:" GROUPS /* where OpenSSL has it (3.5) */

/* A name that some identity is good for, in lower case, "*.example.com" included. */
struct name {
	char *text;
	unsigned identity;
};

struct tls_context {
	_Atomic unsigned refs;
	SSL_CTX *ssl;
	struct tls_identity *identities;
	unsigned count;
	struct name *names; /* sorted by text, then by identity */
	unsigned names_count;
	char *first_name;		   /* of the first identity; NULL: it has none */
	struct tls_identity *usual[KINDS]; /* for who names no host; given to ssl */
	unsigned char alpn[ALPN_BYTES];
	unsigned alpn_len;
	struct tls_tickets *tickets; /* own reference; NULL: OpenSSL's, which go with the context */
};

const char *
tls_complaint(char *text, size_t cap)
{
	unsigned long e = ERR_get_error();
	const char *reason = ERR_reason_error_string(e);

	if (e == 0)
		snprintf(text, cap, "no reason given");
	else if (ERR_SYSTEM_ERROR(e))
		snprintf(text, cap, "%s", strerror(ERR_GET_REASON(e)));
	else
		snprintf(text, cap, "%s", reason == NULL ? "unknown reason" : reason);
	ERR_clear_error();
	return text;
}

/* --- names --- */

static int
compare_names(const void *va, const void *vb)
{
	const struct name *a = va, *b = vb;
	int order = strcmp(a->text, b->text);

	return order != 0 ? order : (a->identity > b->identity) - (a->identity < b->identity);
}

/* A copy in lower case; NULL when it cannot be a host's. */
static char *
host_name_of(const ASN1_STRING *string)
{
	int n = ASN1_STRING_length(string);
	const char *text = (const char *)ASN1_STRING_get0_data(string);
	char *copy;

	if (n <= 0 || n >= NAME_BYTES || memchr(text, '\0', (size_t)n) != NULL)
		return NULL;
	copy = must_strndup(text, (size_t)n);
	for (char *c = copy; *c != '\0'; c++)
		*c = (char)ascii_lower((unsigned char)*c);
	return copy;
}

static void
add_name(struct tls_context *ctx, unsigned identity, const ASN1_STRING *string)
{
	char *text = host_name_of(string);

	if (text == NULL)
		return;
	ctx->names = must_realloc(ctx->names, (ctx->names_count + 1) * sizeof(*ctx->names));
	ctx->names[ctx->names_count++] = (struct name){text, identity};
	if (identity == 0 && ctx->first_name == NULL)
		ctx->first_name = must_strdup(text);
}

/* The common name counts only where there is no alternative name (RFC 6125 section 6.4.4). */
static void
add_names(struct tls_context *ctx, unsigned identity)
{
	X509 *x = ctx->identities[identity].leaf;
	const X509_NAME *subject = X509_get_subject_name(x);
	GENERAL_NAMES *names = X509_get_ext_d2i(x, NID_subject_alt_name, NULL, NULL);
	unsigned before = ctx->names_count;
	int at;

	for (int i = 0; i < sk_GENERAL_NAME_num(names); i++) {
		const GENERAL_NAME *name = sk_GENERAL_NAME_value(names, i);

		if (name->type == GEN_DNS)
			add_name(ctx, identity, name->d.dNSName);
	}
	GENERAL_NAMES_free(names);
	at = X509_NAME_get_index_by_NID(subject, NID_commonName, -1);
	if (ctx->names_count == before && at >= 0)
		add_name(ctx, identity, X509_NAME_ENTRY_get_data(X509_NAME_get_entry(subject, at)));
}

/* --- the choice --- */

static unsigned
kind_of(const struct tls_identity *id)
{
	switch (EVP_PKEY_get_base_id(id->key)) {
	case EVP_PKEY_RSA:
		return 0;
	case EVP_PKEY_EC:
		return 1;
	case EVP_PKEY_ED25519:
	case EVP_PKEY_ED448:
		return 2;
	default:
		return 3;
	}
}

/* Adds those good for exactly this name, for kinds of key that have none yet. */
static void
choose_by_name(struct tls_context *ctx, const char *text, struct tls_identity *chosen[KINDS])
{
	unsigned low = 0, high = ctx->names_count;

	while (low < high) {
		unsigned middle = (low + high) / 2;

		if (strcmp(ctx->names[middle].text, text) < 0)
			low = middle + 1;
		else
			high = middle;
	}
	for (; low < ctx->names_count && strcmp(ctx->names[low].text, text) == 0; low++) {
		struct tls_identity *id = &ctx->identities[ctx->names[low].identity];

		if (chosen[kind_of(id)] == NULL)
			chosen[kind_of(id)] = id;
	}
}

/* A wildcard stands for one whole label (RFC 6125 section 6.4.3). */
static void
choose_by_wildcard(struct tls_context *ctx, const char *host, struct tls_identity *chosen[KINDS])
{
	const char *dot = strchr(host, '.');
	char pattern[NAME_BYTES + 1];

	if (dot == NULL || dot == host)
		return;
	snprintf(pattern, sizeof(pattern), "*%s", dot);
	choose_by_name(ctx, pattern, chosen);
}

static bool
is_any(struct tls_identity *const chosen[KINDS])
{
	for (unsigned i = 0; i < KINDS; i++)
		if (chosen[i] != NULL)
			return true;
	return false;
}

/* The host the client asked for, in lower case without the root's dot; "" when it named none. */
static void
host_wanted(const SSL *s, char out[NAME_BYTES])
{
	const char *name = SSL_get_servername(s, TLSEXT_NAMETYPE_host_name);
	size_t n = name == NULL ? 0 : strlen(name);

	if (n > 0 && name[n - 1] == '.')
		n--;
	if (n >= NAME_BYTES)
		n = 0;
	for (size_t i = 0; i < n; i++)
		out[i] = (char)ascii_lower((unsigned char)name[i]);
	out[n] = '\0';
}

static void
choose(struct tls_context *ctx, const char *host, struct tls_identity *chosen[KINDS])
{
	choose_by_name(ctx, host, chosen);
	choose_by_wildcard(ctx, host, chosen);
	if (is_any(chosen))
		return;
	chosen[kind_of(&ctx->identities[0])] = &ctx->identities[0];
	if (ctx->first_name != NULL)
		choose_by_name(ctx, ctx->first_name, chosen);
}

static int
on_certificate_wanted(SSL *s, void *arg)
{
	struct tls_context *ctx = arg;
	struct tls_identity *chosen[KINDS] = {NULL};
	char host[NAME_BYTES];

	host_wanted(s, host);
	choose(ctx, host, chosen);
	if (memcmp(chosen, ctx->usual, sizeof(chosen)) == 0)
		return 1; /* it has them from its SSL_CTX */
	SSL_certs_clear(s);
	for (unsigned i = 0; i < KINDS; i++)
		if (chosen[i] != NULL &&
		    SSL_use_cert_and_key(s, chosen[i]->leaf, chosen[i]->key, chosen[i]->chain, 1) !=
			1)
			return 0;
	return 1;
}

/* Whether OpenSSL takes those for who names no host, which spares most connections to be given any. */
static bool
give_usual(struct tls_context *ctx)
{
	choose(ctx, "", ctx->usual);
	for (unsigned i = 0; i < KINDS; i++) {
		struct tls_identity *id = ctx->usual[i];

		if (id != NULL &&
		    SSL_CTX_use_cert_and_key(ctx->ssl, id->leaf, id->key, id->chain, 1) != 1)
			return false;
	}
	return true;
}

/* --- ALPN --- */

static int
on_alpn_offered(SSL *s, const unsigned char **out, unsigned char *out_len,
    const unsigned char *offered, unsigned offered_len, void *arg)
{
	const struct tls_context *ctx = arg;

	if (SSL_select_next_proto((unsigned char **)(uintptr_t)out, out_len, ctx->alpn,
		ctx->alpn_len, offered, offered_len) == OPENSSL_NPN_NEGOTIATED)
		return SSL_TLSEXT_ERR_OK;
	return SSL_TLSEXT_ERR_ALERT_FATAL;
}

void
tls_context_set_alpn(struct tls_context *ctx, const char *protocols)
{
	unsigned char *to = ctx->alpn;

	for (const char *at = protocols; *at != '\0';) {
		size_t n = strcspn(at, " ");

		if (n > 255 || (size_t)(to - ctx->alpn) + 1 + n > sizeof(ctx->alpn))
			bug("ALPN: too long: %s", protocols);
		*to++ = (unsigned char)n;
		to = (unsigned char *)mempcpy(to, at, n);
		at += n;
		at += strspn(at, " ");
	}
	ctx->alpn_len = (unsigned)(to - ctx->alpn);
}

/* --- tickets --- */

static int
use_ticket_key(const struct tls_ticket_key *key, const unsigned char *iv, EVP_CIPHER_CTX *cipher,
    EVP_MAC_CTX *mac, bool seals)
{
	OSSL_PARAM how[] = {OSSL_PARAM_construct_octet_string(OSSL_MAC_PARAM_KEY,
				(void *)(uintptr_t)key->sign, sizeof(key->sign)),
	    OSSL_PARAM_construct_utf8_string(OSSL_MAC_PARAM_DIGEST, (char[]){"sha256"}, 0),
	    OSSL_PARAM_construct_end()};

	return EVP_CipherInit_ex(
		   cipher, EVP_aes_256_cbc(), NULL, key->encrypt, iv, seals ? 1 : 0) == 1 &&
	    EVP_MAC_CTX_set_params(mac, how) == 1;
}

/* What OpenSSL asks for each ticket: 1 the key is set, 2 so, and a newer ticket is due, 0 no such
 * key: a whole handshake, -1 it cannot go on. */
static int
on_ticket(SSL *s, unsigned char name[16], unsigned char *iv, EVP_CIPHER_CTX *cipher,
    EVP_MAC_CTX *mac, int seals)
{
	const struct tls_context *ctx = SSL_CTX_get_app_data(SSL_get_SSL_CTX(s));
	struct tls_ticket_key key;
	int found = 1;

	if (seals) {
		tls_tickets_newest(ctx->tickets, &key);
		memcpy(name, key.name, sizeof(key.name));
		if (RAND_bytes(iv, EVP_MAX_IV_LENGTH) != 1)
			found = -1;
	} else
		found = tls_tickets_find(ctx->tickets, name, &key);
	if (found > 0 && !use_ticket_key(&key, iv, cipher, mac, seals))
		found = -1;
	OPENSSL_cleanse(&key, sizeof(key));
	return !seals && found > 0 ? (found == TLS_TICKET_NEWEST ? 1 : 2) : found;
}

void
tls_context_set_tickets(struct tls_context *ctx, struct tls_tickets *tickets)
{
	ctx->tickets = tls_tickets_ref(tickets);
	SSL_CTX_set_app_data(ctx->ssl, ctx);
	SSL_CTX_set_timeout(ctx->ssl, TLS_TICKET_GOOD_S);
	SSL_CTX_set_tlsext_ticket_key_evp_cb(ctx->ssl, on_ticket);
}

/* --- certificates of clients --- */

/* Always -1. */
static int
tell_authorities(const char *ca, const struct tls_hearer *to)
{
	struct tls_finding f = {.file = TLS_FILE_CLIENT_CA,
	    .weight = access(ca, R_OK) == 0 ? TLS_BAD : TLS_ABSENT,
	    .hint = "expected certificates of authorities, PEM"};
	char why[256];

	f.error = f.weight == TLS_ABSENT ? errno : 0;
	if (f.weight == TLS_ABSENT)
		snprintf(f.text, sizeof(f.text), "%s: %s", ca, strerror(errno));
	else
		snprintf(f.text, sizeof(f.text), "%s: not PEM, or no certificate in it (%s)", ca,
		    tls_complaint(why, sizeof(why)));
	to->hear(to->arg, &f);
	ERR_clear_error();
	return -1;
}

int
tls_context_set_clients(
    struct tls_context *ctx, const char *ca, bool is_required, const struct tls_hearer *to)
{
	STACK_OF(X509_NAME) * names;

	ERR_clear_error();
	names = SSL_load_client_CA_file(ca);
	if (names == NULL || sk_X509_NAME_num(names) == 0 ||
	    SSL_CTX_load_verify_file(ctx->ssl, ca) != 1) {
		sk_X509_NAME_pop_free(names, X509_NAME_free);
		return tell_authorities(ca, to);
	}
	SSL_CTX_set_client_CA_list(ctx->ssl, names); /* takes them over */
	SSL_CTX_set_verify(
	    ctx->ssl, SSL_VERIFY_PEER | (is_required ? SSL_VERIFY_FAIL_IF_NO_PEER_CERT : 0), NULL);
	SSL_CTX_set_max_cert_list(ctx->ssl, CLIENT_CERTIFICATES_BYTES);
	SSL_CTX_set_options(ctx->ssl, SSL_OP_NO_TICKET);
	SSL_CTX_set_num_tickets(ctx->ssl, 0);
	return 0;
}

/* --- the interface --- */

static SSL_CTX *
ssl_new(struct tls_context *ctx)
{
	static const unsigned char id[] = "forebay";
	SSL_CTX *ssl = SSL_CTX_new(TLS_server_method());

	if (ssl == NULL)
		return NULL;
	if (SSL_CTX_set_min_proto_version(ssl, TLS1_2_VERSION) != 1 ||
	    SSL_CTX_set_max_proto_version(ssl, TLS1_3_VERSION) != 1 ||
	    SSL_CTX_set_cipher_list(ssl, CIPHERS_12) != 1 ||
	    SSL_CTX_set_ciphersuites(ssl, CIPHERS_13) != 1 ||
	    (SSL_CTX_set1_groups_list(ssl, GROUPS_HYBRID) != 1 &&
		SSL_CTX_set1_groups_list(ssl, GROUPS) != 1) ||
	    SSL_CTX_set_session_id_context(ssl, id, sizeof(id) - 1) != 1) {
		SSL_CTX_free(ssl);
		return NULL;
	}
	SSL_CTX_set_options(ssl,
	    SSL_OP_NO_RENEGOTIATION | SSL_OP_NO_COMPRESSION | SSL_OP_CIPHER_SERVER_PREFERENCE |
		SSL_OP_PRIORITIZE_CHACHA | SSL_OP_IGNORE_UNEXPECTED_EOF);
	SSL_CTX_set_mode(ssl,
	    SSL_MODE_RELEASE_BUFFERS | SSL_MODE_ENABLE_PARTIAL_WRITE |
		SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER);
	SSL_CTX_set_read_ahead(ssl, 1);
	/* Tickets resume without a table, and so without a lock between workers. One for each connection, of OpenSSL's two: who
	 * opens several has several, and each is 3 % of a handshake. */
	SSL_CTX_set_num_tickets(ssl, 1);
	SSL_CTX_set_session_cache_mode(ssl, SSL_SESS_CACHE_OFF);
	SSL_CTX_set_cert_cb(ssl, on_certificate_wanted, ctx);
	SSL_CTX_set_alpn_select_cb(ssl, on_alpn_offered, ctx);
	ERR_clear_error();
	return ssl;
}

static void
context_free(struct tls_context *ctx)
{
	for (unsigned i = 0; i < ctx->count; i++)
		tls_identity_fini(&ctx->identities[i]);
	for (unsigned i = 0; i < ctx->names_count; i++)
		free(ctx->names[i].text);
	SSL_CTX_free(ctx->ssl);
	tls_tickets_unref(&ctx->tickets);
	free(ctx->first_name);
	free(ctx->names);
	free(ctx->identities);
	free(ctx);
}

struct tls_context *
tls_context_new(const struct tls_certificate *certs, unsigned count, const struct tls_hearer *to)
{
	struct tls_context *ctx = must_calloc(1, sizeof(*ctx));
	bool good = true;
	char why[256];

	assert(count > 0);
	ctx->refs = 1;
	ctx->identities = must_calloc(count, sizeof(*ctx->identities));
	tls_context_set_alpn(ctx, "http/1.1");
	ctx->ssl = ssl_new(ctx);
	if (ctx->ssl == NULL) {
		struct tls_finding f = {.weight = TLS_BAD};

		snprintf(f.text, sizeof(f.text), "OpenSSL (is its openssl.cnf too strict?): %s",
		    tls_complaint(why, sizeof(why)));
		to->hear(to->arg, &f);
		goto fail;
	}
	for (unsigned i = 0; i < count; i++)
		if (tls_identity_load(&ctx->identities[ctx->count++], ctx->ssl, &certs[i], i, to) ==
		    0)
			add_names(ctx, i);
		else
			good = false;
	if (!good)
		goto fail;
	qsort(ctx->names, ctx->names_count, sizeof(*ctx->names), compare_names);
	if (!give_usual(ctx))
		bug("a certificate that was good is not: %s", tls_complaint(why, sizeof(why)));
	return ctx;
fail:
	context_free(ctx);
	return NULL;
}

struct tls_context *
tls_context_ref(struct tls_context *ctx)
{
	atomic_fetch_add_explicit(&ctx->refs, 1, memory_order_relaxed);
	return ctx;
}

void
tls_context_unref(struct tls_context **ctxp)
{
	struct tls_context *ctx = *ctxp;

	*ctxp = NULL;
	if (ctx != NULL && atomic_fetch_sub_explicit(&ctx->refs, 1, memory_order_acq_rel) == 1)
		context_free(ctx);
}

int64_t
tls_context_certificate_expiry_s(const struct tls_context *ctx, unsigned i)
{
	return tls_identity_expiry_s(&ctx->identities[i]);
}

int64_t
tls_context_expiry_s(const struct tls_context *ctx)
{
	int64_t first_s = INT64_MAX;

	for (unsigned i = 0; i < ctx->count; i++) {
		int64_t s = tls_context_certificate_expiry_s(ctx, i);

		if (s < first_s)
			first_s = s;
	}
	return first_s;
}

SSL *
tls_context_connection(struct tls_context *ctx)
{
	SSL *s = SSL_new(ctx->ssl);

	if (s != NULL)
		SSL_set_accept_state(s);
	return s;
}
