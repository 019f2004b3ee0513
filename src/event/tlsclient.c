#include "event/tlsclient.h"

#include <arpa/inet.h>
#include <errno.h>
#include <openssl/err.h>
#include <openssl/ssl.h>
#include <openssl/x509v3.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "base/mem.h"
#include "event/tls_priv.h"

#define FILES 3
#define CLIENTS_KEPT 8 /* that nobody uses at the moment */
#define ADDRESS_BYTES 64

/* Which state of a file was read. */
struct seen {
	char *path; /* NULL: no such file is named */
	struct timespec changed;
	off_t size;
	ino_t inode;
};

struct tls_client {
	struct tls_client *next;
	unsigned refs;
	struct seen files[FILES]; /* ca, cert, key */
	bool is_13_only;
	SSL_CTX *ssl;
};

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static struct tls_client *clients; /* the newest first */

/* --- files --- */

static bool
look_at(const char *path, struct seen *out)
{
	struct stat st;

	*out = (struct seen){0};
	if (path == NULL)
		return true;
	if (stat(path, &st) != 0)
		return false;
	out->changed = st.st_mtim;
	out->size = st.st_size;
	out->inode = st.st_ino;
	return true;
}

static bool
is_same_file(const struct seen *a, const struct seen *b, const char *b_path)
{
	if (a->path == NULL || b_path == NULL)
		return a->path == b_path;
	return strcmp(a->path, b_path) == 0 && a->changed.tv_sec == b->changed.tv_sec &&
	    a->changed.tv_nsec == b->changed.tv_nsec && a->size == b->size && a->inode == b->inode;
}

static void
client_free(struct tls_client *c)
{
	SSL_CTX_free(c->ssl);
	for (unsigned i = 0; i < FILES; i++)
		free(c->files[i].path);
	free(c);
}

/* --- making one --- */

static int
fail(const char *what, const char *path, char *problem, size_t cap)
{
	char why[160];

	snprintf(problem, cap, "%s %s: %s", what, path, tls_complaint(why, sizeof(why)));
	return -1;
}

static int
trust(SSL_CTX *ssl, const char *ca, char *problem, size_t cap)
{
	if (ca == NULL ? SSL_CTX_set_default_verify_paths(ssl) == 1
		       : SSL_CTX_load_verify_file(ssl, ca) == 1)
		return 0;
	return fail("authorities in", ca == NULL ? "the system's store" : ca, problem, cap);
}

static int
introduce(SSL_CTX *ssl, const struct tls_client_conf *conf, char *problem, size_t cap)
{
	if (conf->cert == NULL)
		return 0;
	if (SSL_CTX_use_certificate_chain_file(ssl, conf->cert) != 1)
		return fail("certificate in", conf->cert, problem, cap);
	if (SSL_CTX_use_PrivateKey_file(ssl, conf->key, SSL_FILETYPE_PEM) != 1)
		return fail("private key in", conf->key, problem, cap);
	if (SSL_CTX_check_private_key(ssl) != 1)
		return fail(
		    "private key does not belong to the certificate:", conf->key, problem, cap);
	return 0;
}

/* --- sessions --- */

static int session_slot = -1; /* of SSL's own data: where its session is kept */

static void
make_session_slot(void)
{
	session_slot = SSL_get_ex_new_index(0, NULL, NULL, NULL, NULL);
	if (session_slot < 0)
		bug("no memory for TLS sessions");
}

void
tls_session_free(struct tls_session **sp)
{
	SSL_SESSION_free((SSL_SESSION *)*sp);
	*sp = NULL;
}

/* A copy is kept: OpenSSL spoils a connection's own when that ends without a word, as HTTP's often do. */
static int
on_new_session(SSL *ssl, SSL_SESSION *session)
{
	struct tls_session **slot = SSL_get_ex_data(ssl, session_slot);

	if (slot == NULL)
		return 0;
	tls_session_free(slot);
	*slot = (struct tls_session *)SSL_SESSION_dup(session);
	return 0;
}

static bool
resume(SSL *ssl, struct tls_session **slot)
{
	if (slot == NULL)
		return true;
	if (SSL_set_ex_data(ssl, session_slot, slot) != 1)
		return false;
	if (*slot != NULL && SSL_set_session(ssl, (SSL_SESSION *)*slot) != 1)
		tls_session_free(slot); /* of another time: a whole handshake will do */
	return true;
}

static bool
offer(SSL *ssl, const char *protocols)
{
	unsigned char list[32];
	size_t n = protocols == NULL ? 0 : strlen(protocols), at = 0;

	if (n == 0 || n >= sizeof(list))
		return n == 0;
	memcpy(list + 1, protocols, n);
	for (size_t i = 1; i <= n + 1; i++) /* each has its length where the blank before it was */
		if (i == n + 1 || list[i] == ' ') {
			list[at] = (unsigned char)(i - at - 1);
			at = i;
		}
	return SSL_set_alpn_protos(ssl, list, (unsigned)n + 1) == 0;
}

static SSL_CTX *
ssl_new(const struct tls_client_conf *conf, char *problem, size_t cap)
{
	SSL_CTX *ssl = SSL_CTX_new(TLS_client_method());

	if (ssl == NULL ||
	    SSL_CTX_set_min_proto_version(
		ssl, conf->is_13_only ? TLS1_3_VERSION : TLS1_2_VERSION) != 1) {
		fail("OpenSSL", "", problem, cap);
		SSL_CTX_free(ssl);
		return NULL;
	}
	SSL_CTX_set_verify(ssl, SSL_VERIFY_PEER, NULL);
	SSL_CTX_set_options(ssl, SSL_OP_NO_RENEGOTIATION | SSL_OP_NO_COMPRESSION);
	SSL_CTX_set_mode(ssl,
	    SSL_MODE_RELEASE_BUFFERS | SSL_MODE_ENABLE_PARTIAL_WRITE |
		SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER);
	SSL_CTX_set_read_ahead(ssl, 1);
	SSL_CTX_set_session_cache_mode(ssl, SSL_SESS_CACHE_CLIENT | SSL_SESS_CACHE_NO_INTERNAL);
	SSL_CTX_sess_set_new_cb(ssl, on_new_session);
	if (trust(ssl, conf->ca, problem, cap) == 0 && introduce(ssl, conf, problem, cap) == 0) {
		ERR_clear_error();
		return ssl;
	}
	SSL_CTX_free(ssl);
	return NULL;
}

static struct tls_client *
client_new(const struct tls_client_conf *conf, const char *const paths[FILES],
    const struct seen seen[FILES], char *problem, size_t cap)
{
	SSL_CTX *ssl = ssl_new(conf, problem, cap);
	struct tls_client *c;

	if (ssl == NULL)
		return NULL;
	c = must_calloc(1, sizeof(*c));
	c->ssl = ssl;
	c->is_13_only = conf->is_13_only;
	for (unsigned i = 0; i < FILES; i++) {
		c->files[i] = seen[i];
		c->files[i].path = paths[i] == NULL ? NULL : must_strdup(paths[i]);
	}
	return c;
}

/* --- shared by all --- */

static struct tls_client *
find(const char *const paths[FILES], const struct seen seen[FILES], bool is_13_only)
{
	for (struct tls_client *c = clients; c != NULL; c = c->next) {
		unsigned same = 0;

		while (same < FILES && is_same_file(&c->files[same], &seen[same], paths[same]))
			same++;
		if (same == FILES && c->is_13_only == is_13_only)
			return c;
	}
	return NULL;
}

/* The oldest of those that nobody uses go. */
static void
forget_some(void)
{
	unsigned unused = 0;

	for (struct tls_client **at = &clients; *at != NULL;) {
		struct tls_client *c = *at;

		if (c->refs > 0 || ++unused <= CLIENTS_KEPT) {
			at = &c->next;
			continue;
		}
		*at = c->next;
		client_free(c);
	}
}

struct tls_client *
tls_client_get(const struct tls_client_conf *conf, char *problem, size_t cap)
{
	static pthread_once_t once = PTHREAD_ONCE_INIT;
	const char *const paths[FILES] = {conf->ca, conf->cert, conf->key};
	struct seen seen[FILES];
	struct tls_client *c;

	for (unsigned i = 0; i < FILES; i++)
		if (!look_at(paths[i], &seen[i])) {
			snprintf(problem, cap, "%s: %s", paths[i], strerror(errno));
			return NULL;
		}
	pthread_once(&once, make_session_slot);
	pthread_mutex_lock(&lock);
	c = find(paths, seen, conf->is_13_only);
	if (c == NULL) {
		c = client_new(conf, paths, seen, problem, cap);
		if (c != NULL) {
			c->next = clients;
			clients = c;
			forget_some();
		}
	}
	if (c != NULL)
		c->refs++;
	pthread_mutex_unlock(&lock);
	return c;
}

void
tls_client_unref(struct tls_client **cp)
{
	struct tls_client *c = *cp;

	*cp = NULL;
	if (c == NULL)
		return;
	pthread_mutex_lock(&lock);
	c->refs--;
	forget_some();
	pthread_mutex_unlock(&lock);
}

/* --- one connection --- */

/* Who the server must prove to be: an address by the addresses of its certificate (RFC 9525 section
 * 6.5), a name by its names, and then it is told which (SNI names no addresses). */
static bool
expect(SSL *ssl, const char *name)
{
	struct in6_addr address;
	char bare[ADDRESS_BYTES];
	size_t n = strlen(name);

	if (n > 2 && n < sizeof(bare) && name[0] == '[') {
		memcpy(bare, name + 1, n - 2);
		bare[n - 2] = '\0';
		name = bare;
	}
	if (inet_pton(AF_INET, name, &address) == 1 || inet_pton(AF_INET6, name, &address) == 1)
		return X509_VERIFY_PARAM_set1_ip_asc(SSL_get0_param(ssl), name) == 1;
	SSL_set_hostflags(ssl, X509_CHECK_FLAG_NO_PARTIAL_WILDCARDS);
	return SSL_set1_host(ssl, name) == 1 && SSL_set_tlsext_host_name(ssl, name) == 1;
}

int
stream_start_tls(struct stream *s, struct tls_client *c, const struct tls_opening *o)
{
	SSL *ssl = SSL_new(c->ssl);

	if (ssl == NULL || !expect(ssl, o->name) || !offer(ssl, o->protocols) ||
	    !resume(ssl, o->session)) {
		SSL_free(ssl);
		ERR_clear_error();
		errno = ENOMEM;
		return -1;
	}
	SSL_set_connect_state(ssl);
	return stream_attach_tls(s, ssl);
}
