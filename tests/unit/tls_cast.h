/* Certificates of the test's own, in a directory that goes with it; a TLS client that speaks through
 * memory, so that a test says when each byte moves; and a loop that turns as often as it is told. */
#ifndef UNIT_TLS_CAST_H
#define UNIT_TLS_CAST_H

#include <errno.h>
#include <fcntl.h>
#include <openssl/err.h>
#include <openssl/pem.h>
#include <openssl/ssl.h>
#include <openssl/x509v3.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "event/loop.h"

#define PATIENCE_S 60 /* what does not happen until then is a failure */
#define DAY_S 86400

/* --- turns --- */

/* Whether it may still happen; *until_s is 0 at first. Turns are no measure: they take no time, and a busy machine's network does. */
static inline bool
is_patient(time_t *until_s)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	if (*until_s == 0)
		*until_s = now.tv_sec + PATIENCE_S;
	return now.tv_sec <= *until_s;
}

static inline void
on_turn_over(void *arg)
{
	loop_stop(arg);
}

/* One turn, without waiting for anything. */
static inline void
turn(struct loop *l)
{
	struct task over;

	task_init(&over, on_turn_over, l);
	loop_later(l, &over);
	loop_run(l);
}

/* --- certificates --- */

static char cast_dir[64];

static inline void
cast_dir_make(void)
{
	strcpy(cast_dir, "/tmp/forebay-tls-XXXXXX");
	if (mkdtemp(cast_dir) == NULL)
		abort();
}

static inline void
cast_dir_remove(void)
{
	char command[128];

	snprintf(command, sizeof(command), "rm -r %s", cast_dir);
	if (system(command) != 0)
		abort();
}

/* A path in the directory; good until the eighth next call. */
static inline const char *
cast_path(const char *name)
{
	static char paths[8][160];
	static unsigned next;
	char *path = paths[next++ % 8];

	snprintf(path, sizeof(paths[0]), "%s/%s", cast_dir, name);
	return path;
}

static inline EVP_PKEY *
make_key(const char *kind)
{
	return strcmp(kind, "rsa") == 0 ? EVP_RSA_gen(2048)
	    : strcmp(kind, "weak") == 0 ? EVP_RSA_gen(1024)
					: EVP_EC_gen("P-256");
}

struct cast_certificate {
	const char *kind; /* of key: rsa, ec, weak */
	const char *common_name;
	const char *alternative; /* "DNS:a,DNS:b"; NULL: none */
	long from_s, to_s;	 /* from now; both 0: a day from now */
	const char *issuer;	 /* of the pairs written before; NULL: itself */
	const char *access;	 /* "caIssuers;URI:http://..."; NULL: none */
};

static inline void
add_extension(X509 *x, int nid, const char *value)
{
	X509_EXTENSION *ext = value == NULL ? NULL : X509V3_EXT_conf_nid(NULL, NULL, nid, value);

	if (ext != NULL)
		X509_add_ext(x, ext, -1);
	X509_EXTENSION_free(ext);
}

/* Signed by the pair of that name, which becomes its issuer. */
static inline void
sign_by(X509 *x, const char *issuer)
{
	char file[64];
	EVP_PKEY *key;
	X509 *above;
	FILE *f;

	snprintf(file, sizeof(file), "%s.pem", issuer);
	f = fopen(cast_path(file), "r");
	above = PEM_read_X509(f, NULL, NULL, NULL);
	fclose(f);
	snprintf(file, sizeof(file), "%s.key", issuer);
	f = fopen(cast_path(file), "r");
	key = PEM_read_PrivateKey(f, NULL, NULL, NULL);
	fclose(f);
	X509_set_issuer_name(x, X509_get_subject_name(above));
	if (X509_sign(x, key, EVP_sha256()) == 0)
		abort();
	X509_free(above);
	EVP_PKEY_free(key);
}

static inline X509 *
make_certificate(const struct cast_certificate *c, EVP_PKEY *key)
{
	X509 *x = X509_new();

	X509_set_version(x, X509_VERSION_3);
	ASN1_INTEGER_set(X509_get_serialNumber(x), 1);
	X509_gmtime_adj(X509_getm_notBefore(x), c->from_s);
	X509_gmtime_adj(X509_getm_notAfter(x), c->to_s == 0 ? DAY_S : c->to_s);
	X509_set_pubkey(x, key);
	X509_NAME_add_entry_by_txt(X509_get_subject_name(x), "CN", MBSTRING_ASC,
	    (const unsigned char *)c->common_name, -1, -1, 0);
	X509_set_issuer_name(x, X509_get_subject_name(x));
	add_extension(x, NID_subject_alt_name, c->alternative);
	add_extension(x, NID_info_access, c->access);
	if (c->issuer != NULL)
		sign_by(x, c->issuer);
	else if (X509_sign(x, key, EVP_sha256()) == 0)
		abort();
	return x;
}

/* Writes name.pem and name.key. */
static inline void
write_pair(const char *name, const struct cast_certificate *c)
{
	EVP_PKEY *key = make_key(c->kind);
	X509 *x = make_certificate(c, key);
	char file[64];
	FILE *f;

	snprintf(file, sizeof(file), "%s.pem", name);
	f = fopen(cast_path(file), "w");
	PEM_write_X509(f, x);
	fclose(f);
	snprintf(file, sizeof(file), "%s.key", name);
	f = fopen(cast_path(file), "w");
	fchmod(fileno(f), 0600);
	PEM_write_PrivateKey(f, key, NULL, NULL, 0, NULL, NULL);
	fclose(f);
	X509_free(x);
	EVP_PKEY_free(key);
}

static inline void
write_text(const char *name, const char *text)
{
	FILE *f = fopen(cast_path(name), "w");

	fputs(text, f);
	fclose(f);
}

/* --- a client --- */

struct peer {
	SSL *ssl;
	BIO *in, *out; /* ciphertext for and from the client; belong to ssl */
	int fd;
	bool ended; /* the socket has */
	int error;  /* errno that the socket ended with */
};

static inline void
peer_init(struct peer *p, SSL_CTX *ctx, int fd, const char *server_name)
{
	*p = (struct peer){.ssl = SSL_new(ctx), .fd = fd};
	p->in = BIO_new(BIO_s_mem());
	p->out = BIO_new(BIO_s_mem());
	BIO_set_mem_eof_return(p->in, -1);
	SSL_set_bio(p->ssl, p->in, p->out);
	SSL_set_connect_state(p->ssl);
	if (server_name != NULL)
		SSL_set_tlsext_host_name(p->ssl, server_name);
	fcntl(fd, F_SETFL, fcntl(fd, F_GETFL) | O_NONBLOCK);
}

static inline void
peer_fini(struct peer *p)
{
	SSL_free(p->ssl);
	if (p->fd >= 0)
		close(p->fd);
	ERR_clear_error();
}

/* At most n bytes of ciphertext to the socket. */
static inline void
peer_push(struct peer *p, size_t n)
{
	char *at;
	size_t there = (size_t)BIO_get_mem_data(p->out, &at);
	char waste[4096];
	ssize_t sent;

	if (there == 0)
		return;
	sent = send(p->fd, at, n < there ? n : there, MSG_NOSIGNAL);
	while (sent > 0) {
		size_t some = (size_t)sent < sizeof(waste) ? (size_t)sent : sizeof(waste);

		sent -= BIO_read(p->out, waste, (int)some);
	}
}

/* At most n bytes of ciphertext from the socket. */
static inline void
peer_pull(struct peer *p, size_t n)
{
	char some[16384];
	ssize_t got;

	while (n > 0 && (got = recv(p->fd, some, n < sizeof(some) ? n : sizeof(some), 0)) > 0) {
		BIO_write(p->in, some, (int)got);
		n -= (size_t)got;
	}
	if (n > 0 && !p->ended && (got == 0 || errno != EAGAIN)) {
		p->ended = true;
		p->error = got == 0 ? 0 : errno;
	}
}

static inline void
peer_exchange(struct peer *p)
{
	peer_push(p, SIZE_MAX);
	peer_pull(p, SIZE_MAX);
}

/* Shakes hands while the loop turns. Whether it succeeded. */
static inline bool
peer_greet(struct peer *p, struct loop *l)
{
	time_t until_s = 0;

	while (is_patient(&until_s)) {
		int r, error;

		ERR_clear_error();
		r = SSL_do_handshake(p->ssl);
		error = SSL_get_error(p->ssl, r);
		peer_exchange(p);
		turn(l);
		if (r == 1)
			return true;
		if (error != SSL_ERROR_WANT_READ || (p->ended && BIO_pending(p->in) == 0))
			return false;
	}
	return false;
}

#endif
