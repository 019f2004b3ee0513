#include "event/tlsidentity.h"

#include <errno.h>
#include <openssl/err.h>
#include <openssl/pem.h>
#include <openssl/x509v3.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>

#include "event/tls_priv.h"

#define LOOK_BYTES 4096 /* of a file that is not what it should be */

/* What is being read, and who hears of it. */
struct reading {
	const struct tls_certificate *files;
	unsigned number;
	const struct tls_hearer *to;
};

static void __attribute__((format(printf, 5, 6))) tell(const struct reading *r, enum tls_file file,
    enum tls_weight weight, const char *hint, const char *fmt, ...)
{
	struct tls_finding f = {.weight = weight,
	    .file = file,
	    .error = weight == TLS_ABSENT ? errno : 0,
	    .certificate = r->number};
	const char *path = file == TLS_FILE_CERT ? r->files->cert : r->files->key;
	int n = snprintf(f.text, sizeof(f.text), "%s: ", path);
	va_list ap;

	va_start(ap, fmt);
	if (n > 0 && (size_t)n < sizeof(f.text))
		vsnprintf(f.text + n, sizeof(f.text) - (size_t)n, fmt, ap);
	va_end(ap);
	snprintf(f.hint, sizeof(f.hint), "%s", hint);
	ERR_clear_error();
	r->to->hear(r->to->arg, &f);
}

/* --- files --- */

static const char *
expected_of(enum tls_file file)
{
	return file == TLS_FILE_CERT
	    ? "expected a PEM file with the server's certificate, then those above it"
	    : "expected a PEM file with the certificate's private key, without a pass phrase";
}

/* An open file that can hold PEM, or NULL and the problem told. */
static FILE *
open_pem(const struct reading *r, enum tls_file file, struct stat *st)
{
	FILE *f = fopen(file == TLS_FILE_CERT ? r->files->cert : r->files->key, "re");

	if (f == NULL || fstat(fileno(f), st) != 0)
		tell(r, file, TLS_ABSENT,
		    errno == EACCES ? "the user that Forebay runs as must be able to read it"
				    : expected_of(file),
		    "%s", strerror(errno));
	else if (S_ISDIR(st->st_mode))
		tell(r, file, TLS_BAD, expected_of(file), "is a directory, not a PEM file");
	else
		return f;
	if (f != NULL)
		fclose(f);
	return NULL;
}

/* What stands in a file instead of what should, as far as it is easily seen. Always -1. */
static int
tell_other_content(const struct reading *r, enum tls_file file, FILE *f)
{
	static const struct {
		enum tls_file file;
		const char *mark, *hint;
	} others[] = {
	    {TLS_FILE_CERT, "CERTIFICATE REQUEST-----",
		"it holds a request; expected the certificate that the authority made of it"},
	    {TLS_FILE_CERT, "PRIVATE KEY-----",
		"it holds a private key: are cert and key exchanged?"},
	    {TLS_FILE_KEY, "BEGIN CERTIFICATE-----",
		"it holds a certificate: are cert and key exchanged?"},
	    {TLS_FILE_KEY, "PUBLIC KEY-----", "it holds the public half; expected the private one"},
	};
	const char *what = file == TLS_FILE_CERT ? "certificate" : "private key";
	const char *hint = expected_of(file);
	char look[LOOK_BYTES + 1];
	size_t n;

	rewind(f);
	n = fread(look, 1, LOOK_BYTES, f);
	look[n] = '\0';
	if (n > 2 && look[0] == 0x30)
		hint = file == TLS_FILE_CERT
		    ? "it may be DER: openssl x509 -inform der -in FILE -out NEW makes PEM of it"
		    : "it may be DER: openssl pkey -inform der -in FILE -out NEW makes PEM of it";
	for (size_t i = 0; i < sizeof(others) / sizeof(others[0]); i++)
		if (others[i].file == file && strstr(look, others[i].mark) != NULL) {
			hint = others[i].hint;
			break;
		}
	OPENSSL_cleanse(look, sizeof(look));
	tell(r, file, TLS_BAD, hint, "not PEM, or no %s in it", what);
	return -1;
}

/* Whether the queue says only that there is no (further) block of the kind asked for. */
static bool
is_end_of_pem(void)
{
	unsigned long e = ERR_peek_last_error();

	return (ERR_GET_LIB(e) == ERR_LIB_PEM && ERR_GET_REASON(e) == PEM_R_NO_START_LINE) ||
	    (ERR_GET_LIB(e) == ERR_LIB_OSSL_DECODER && ERR_GET_REASON(e) == ERR_R_UNSUPPORTED);
}

static int
read_certificates(const struct reading *r, FILE *f, struct tls_identity *id)
{
	char why[256];
	X509 *x;

	id->chain = sk_X509_new_null();
	ERR_clear_error();
	/* The first may be in OpenSSL's own format, which carries trust settings. */
	id->leaf = PEM_read_X509_AUX(f, NULL, NULL, NULL);
	if (id->leaf == NULL && is_end_of_pem())
		return tell_other_content(r, TLS_FILE_CERT, f);
	if (id->leaf == NULL) {
		tell(r, TLS_FILE_CERT, TLS_BAD, "is the file whole?", "bad certificate: %s",
		    tls_complaint(why, sizeof(why)));
		return -1;
	}
	while ((x = PEM_read_X509(f, NULL, NULL, NULL)) != NULL)
		sk_X509_push(id->chain, x);
	if (!is_end_of_pem()) {
		tell(r, TLS_FILE_CERT, TLS_BAD, "is the file whole?",
		    "bad certificate above the first: %s", tls_complaint(why, sizeof(why)));
		return -1;
	}
	ERR_clear_error();
	return 0;
}

static int
load_certificates(const struct reading *r, struct tls_identity *id)
{
	struct stat st;
	FILE *f = open_pem(r, TLS_FILE_CERT, &st);
	int result;

	if (f == NULL)
		return -1;
	result = read_certificates(r, f, id);
	fclose(f);
	return result;
}

/* Never asks on the terminal. */
static int
on_pass_phrase_wanted(char *text, int cap, int writing, void *arg)
{
	*(bool *)arg = true;
	return -1;
}

static int
read_key(const struct reading *r, FILE *f, struct tls_identity *id)
{
	bool has_pass_phrase = false;

	ERR_clear_error();
	id->key = PEM_read_PrivateKey(f, NULL, on_pass_phrase_wanted, &has_pass_phrase);
	if (id->key != NULL)
		return 0;
	if (has_pass_phrase)
		tell(r, TLS_FILE_KEY, TLS_BAD,
		    "openssl pkey -in FILE -out NEW writes it without; let nobody else read that",
		    "the private key has a pass phrase, which nobody could type");
	else if (is_end_of_pem())
		tell_other_content(r, TLS_FILE_KEY, f);
	else
		tell(r, TLS_FILE_KEY, TLS_BAD, "is the file whole?",
		    "the private key in it cannot be read");
	return -1;
}

static int
load_key(const struct reading *r, struct tls_identity *id)
{
	struct stat st;
	FILE *f = open_pem(r, TLS_FILE_KEY, &st);
	int result;

	if (f == NULL)
		return -1;
	result = read_key(r, f, id);
	fclose(f);
	if (result == 0 && (st.st_mode & (S_IROTH | S_IWOTH)))
		tell(r, TLS_FILE_KEY, TLS_DANGER, "chmod o= it",
		    "a private key that everybody on this machine can %s",
		    st.st_mode & S_IROTH ? "read" : "change");
	return result;
}

/* --- what cannot be used --- */

static bool
is_key_of_chain(const struct tls_identity *id)
{
	for (int i = 0; i < sk_X509_num(id->chain); i++)
		if (X509_check_private_key(sk_X509_value(id->chain, i), id->key) == 1)
			return true;
	return false;
}

static int
check_pair(const struct reading *r, const struct tls_identity *id)
{
	if (X509_check_private_key(id->leaf, id->key) == 1)
		return 0;
	if (is_key_of_chain(id))
		tell(r, TLS_FILE_CERT, TLS_BAD, "then the one that issued it, and so on upwards",
		    "the certificate of %s must be the first in the file", r->files->key);
	else
		tell(r, TLS_FILE_KEY, TLS_BAD,
		    "these must print the same: openssl x509 -noout -pubkey -in CERT; "
		    "openssl pkey -pubout -in KEY",
		    "this private key does not belong to the certificate %s", r->files->cert);
	return -1;
}

/* OpenSSL's security level refused. */
static void
tell_refusal(const struct reading *r, const struct tls_identity *id)
{
	unsigned long e = ERR_peek_error();
	int reason = ERR_GET_LIB(e) == ERR_LIB_SSL ? ERR_GET_REASON(e) : 0;
	char why[256];

	if (reason == SSL_R_EE_KEY_TOO_SMALL)
		tell(r, TLS_FILE_CERT, TLS_BAD,
		    "expected RSA of 2048 bits or more, or ECDSA (P-256)",
		    "its key, %s of %d bits, is too weak", EVP_PKEY_get0_type_name(id->key),
		    EVP_PKEY_get_bits(id->key));
	else if (reason == SSL_R_CA_KEY_TOO_SMALL)
		tell(r, TLS_FILE_CERT, TLS_BAD,
		    "expected RSA of 2048 bits or more, or ECDSA (P-256)",
		    "the key of a certificate above the first is too weak");
	else if (reason == SSL_R_CA_MD_TOO_WEAK)
		tell(r, TLS_FILE_CERT, TLS_BAD, "expected SHA-256 or better",
		    "a signature in it was made with a hash that is too weak");
	else
		tell(r, TLS_FILE_CERT, TLS_BAD, "", "%s", tls_complaint(why, sizeof(why)));
}

/* Whether OpenSSL will give it to clients. */
static int
check_strength(const struct reading *r, const struct tls_identity *id, SSL_CTX *ssl)
{
	SSL *trial = SSL_new(ssl);
	bool good;

	ERR_clear_error();
	good = trial != NULL && SSL_use_cert_and_key(trial, id->leaf, id->key, id->chain, 1) == 1;
	if (!good)
		tell_refusal(r, id);
	SSL_free(trial);
	return good ? 0 : -1;
}

/* --- dangers --- */

static int64_t
seconds_of(const ASN1_TIME *t)
{
	struct tm tm = {0};

	return ASN1_TIME_to_tm(t, &tm) == 1 ? (int64_t)timegm(&tm) : INT64_MAX;
}

static void
warn_of_dates(const struct reading *r, const struct tls_identity *id)
{
	const ASN1_TIME *from = X509_get0_notBefore(id->leaf), *to = X509_get0_notAfter(id->leaf);
	const ASN1_TIME *off = X509_cmp_current_time(to) < 0 ? to
	    : X509_cmp_current_time(from) > 0		     ? from
							     : NULL;
	time_t s = off == NULL ? 0 : (time_t)seconds_of(off);
	char date[32];
	struct tm tm;

	if (off == NULL || gmtime_r(&s, &tm) == NULL)
		return;
	strftime(date, sizeof(date), "%Y-%m-%d %H:%M:%S UTC", &tm);
	if (off == to)
		tell(r, TLS_FILE_CERT, TLS_DANGER, "clients refuse it until it is renewed",
		    "the certificate ran out on %s", date);
	else
		tell(r, TLS_FILE_CERT, TLS_DANGER, "clients refuse it until then",
		    "the certificate is not good before %s", date);
}

static bool
is_issued_by_chain(const struct tls_identity *id)
{
	for (int i = 0; i < sk_X509_num(id->chain); i++)
		if (X509_check_issued(sk_X509_value(id->chain, i), id->leaf) == X509_V_OK)
			return true;
	return false;
}

/* Whether this machine knows the issuer for an authority of its own: then clients may, too. */
static bool
is_issued_by_known(const struct tls_identity *id)
{
	X509_STORE *store = X509_STORE_new();
	X509_STORE_CTX *look = X509_STORE_CTX_new();
	X509 *issuer = NULL;
	bool found = store != NULL && look != NULL && X509_STORE_set_default_paths(store) == 1 &&
	    X509_STORE_CTX_init(look, store, id->leaf, id->chain) == 1 &&
	    X509_STORE_CTX_get1_issuer(&issuer, look, id->leaf) == 1;

	X509_free(issuer);
	X509_STORE_CTX_free(look);
	X509_STORE_free(store);
	return found;
}

/* It says where its issuer's certificate can be had, as those of public authorities do. One of a private authority that signs
 * by itself says nothing, and needs nothing above it. */
static bool
names_its_issuers_place(const struct tls_identity *id)
{
	AUTHORITY_INFO_ACCESS *all = X509_get_ext_d2i(id->leaf, NID_info_access, NULL, NULL);
	bool found = false;

	for (int i = 0; i < sk_ACCESS_DESCRIPTION_num(all); i++)
		found |=
		    OBJ_obj2nid(sk_ACCESS_DESCRIPTION_value(all, i)->method) == NID_ad_ca_issuers;
	AUTHORITY_INFO_ACCESS_free(all);
	return found;
}

/* Browsers may fetch what is missing or know it from elsewhere; curl, and most that are no browsers, refuse. */
static void
warn_of_gap(const struct reading *r, const struct tls_identity *id)
{
	char issuer[256];

	if (X509_check_issued(id->leaf, id->leaf) == X509_V_OK || is_issued_by_chain(id) ||
	    (sk_X509_num(id->chain) == 0 && !names_its_issuers_place(id)) || is_issued_by_known(id))
		return;
	if (X509_NAME_get_text_by_NID(
		X509_get_issuer_name(id->leaf), NID_commonName, issuer, sizeof(issuer)) < 0)
		snprintf(issuer, sizeof(issuer), "without a name");
	tell(r, TLS_FILE_CERT, TLS_DANGER,
	    "append the intermediate certificate to the file; of certbot's files take "
	    "fullchain.pem",
	    "the certificate of its issuer (%s) is not in the file: many clients will refuse it",
	    issuer);
}

/* --- the interface --- */

int
tls_identity_load(struct tls_identity *id, SSL_CTX *ssl, const struct tls_certificate *c,
    unsigned number, const struct tls_hearer *to)
{
	const struct reading r = {c, number, to};
	bool has_certificates, has_key;

	*id = (struct tls_identity){0};
	has_certificates = load_certificates(&r, id) == 0;
	has_key = load_key(&r, id) == 0;
	if (!has_certificates || !has_key || check_pair(&r, id) != 0 ||
	    check_strength(&r, id, ssl) != 0)
		return -1;
	warn_of_dates(&r, id);
	warn_of_gap(&r, id);
	ERR_clear_error();
	return 0;
}

void
tls_identity_fini(struct tls_identity *id)
{
	X509_free(id->leaf);
	sk_X509_pop_free(id->chain, X509_free);
	EVP_PKEY_free(id->key);
	*id = (struct tls_identity){0};
}

int64_t
tls_identity_expiry_s(const struct tls_identity *id)
{
	return seconds_of(X509_get0_notAfter(id->leaf));
}
