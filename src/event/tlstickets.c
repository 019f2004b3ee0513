#include "event/tlstickets.h"

#include <errno.h>
#include <openssl/crypto.h>
#include <openssl/evp.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/hash.h"
#include "base/log.h"
#include "base/mem.h"
#include "event/fileprint.h"

#define ROTATE_MS ((int64_t)3600 * 1000)
#define OPEN_MS ((int64_t)TLS_TICKET_GOOD_S * 1000)
#define SECRET_BYTES 80
#define LINE_CHARS 108 /* SECRET_BYTES in base64 */

struct key_set {
	unsigned count;
	struct tls_ticket_key keys[TLS_TICKET_KEYS_MAX]; /* the first seals */
};

struct tls_tickets {
	_Atomic unsigned refs;
	char *path;		 /* NULL: of our own making */
	struct file_print print; /* of what is in use, or has been told to be bad */
	int64_t due_ms;		 /* own: when the next is made */
	pthread_mutex_t lock;	 /* of: */
	struct key_set set;
	struct tls_tickets *next; /* of all; under all_lock */
};

static pthread_mutex_t all_lock = PTHREAD_MUTEX_INITIALIZER;
static struct tls_tickets *all;
static struct tls_ticket_counts counts;

const struct tls_ticket_counts *
tls_tickets_counts(void)
{
	return &counts;
}

/* --- a file --- */

/* Only the characters of base64 are given. */
static bool
key_of_line(const char *line, size_t n, struct tls_ticket_key *out)
{
	unsigned char bytes[LINE_CHARS / 4 * 3];
	bool good = n == LINE_CHARS && line[n - 1] == '=' && line[n - 2] != '=' &&
	    EVP_DecodeBlock(bytes, (const unsigned char *)line, (int)n) == (int)sizeof(bytes);

	if (good) {
		memcpy(out->name, bytes, 16);
		memcpy(out->sign, bytes + 16, 32);
		memcpy(out->encrypt, bytes + 48, 32);
		out->until_ms = INT64_MAX;
	}
	OPENSSL_cleanse(bytes, sizeof(bytes));
	return good;
}

/* False: the line is bad, and problem says so. */
static bool
read_line(const char *line, struct key_set *set, char *problem, size_t cap)
{
	size_t n = strcspn(line, "\r\n");

	if (n == 0 || line[0] == '#')
		return true;
	if (set->count == TLS_TICKET_KEYS_MAX) {
		snprintf(problem, cap, "more than %d keys", TLS_TICKET_KEYS_MAX);
		return false;
	}
	if (key_of_line(line, n, &set->keys[set->count])) {
		set->count++;
		return true;
	}
	snprintf(problem, cap,
	    "expected a key of %d bytes in base64, which are %d characters (openssl rand 80 | "
	    "openssl base64 -A); there are %zu",
	    SECRET_BYTES, LINE_CHARS, n);
	return false;
}

static int
read_lines(FILE *f, const char *path, struct key_set *set, char *problem, size_t cap)
{
	char line[256], why[200];
	bool good = true;

	for (unsigned at = 1; good && fgets(line, sizeof(line), f) != NULL; at++) {
		good = read_line(line, set, why, sizeof(why));
		if (!good)
			snprintf(problem, cap, "%s:%u: %s", path, at, why);
	}
	OPENSSL_cleanse(line, sizeof(line));
	if (good && set->count == 0)
		snprintf(problem, cap, "%s: no key in it; one a line is expected", path);
	return good && set->count > 0 ? 0 : -1;
}

static int
read_file(const char *path, struct key_set *set, char *problem, size_t cap)
{
	FILE *f = fopen(path, "re");
	int r;

	*set = (struct key_set){0};
	if (f == NULL) {
		snprintf(problem, cap, "%s: %s", path, strerror(errno));
		return -1;
	}
	setvbuf(f, NULL, _IONBF, 0); /* no copy of the keys that nobody wipes */
	r = read_lines(f, path, set, problem, cap);
	if (r == 0 && ferror(f)) {
		snprintf(problem, cap, "%s: %s", path, strerror(errno));
		r = -1;
	}
	fclose(f);
	return r;
}

/* --- sets --- */

static bool
set_has(const struct key_set *s, const struct tls_ticket_key *key)
{
	for (unsigned i = 0; i < s->count; i++)
		if (memcmp(s->keys[i].name, key->name, sizeof(key->name)) == 0)
			return true;
	return false;
}

/* set is what is used from now on; what else was in use opens for a while, the newest as far as there is room. */
static void
replace(struct tls_tickets *t, struct key_set *set, int64_t now_ms)
{
	pthread_mutex_lock(&t->lock);
	for (unsigned i = 0; i < t->set.count && set->count < TLS_TICKET_KEYS_MAX; i++) {
		struct tls_ticket_key *old = &t->set.keys[i];

		if (old->until_ms == INT64_MAX)
			old->until_ms = now_ms + OPEN_MS;
		if (old->until_ms > now_ms && !set_has(set, old))
			set->keys[set->count++] = *old;
	}
	t->set = *set;
	pthread_mutex_unlock(&t->lock);
	OPENSSL_cleanse(set, sizeof(*set));
}

static void
make_own(struct tls_tickets *t, int64_t now_ms)
{
	struct key_set set = {.count = 1, .keys[0].until_ms = INT64_MAX};

	random_bytes(set.keys[0].name, sizeof(set.keys[0].name));
	random_bytes(set.keys[0].sign, sizeof(set.keys[0].sign));
	random_bytes(set.keys[0].encrypt, sizeof(set.keys[0].encrypt));
	replace(t, &set, now_ms);
	t->due_ms = now_ms + ROTATE_MS;
}

static int
load(struct tls_tickets *t, int64_t now_ms, char *problem, size_t cap)
{
	struct key_set set;
	int r;

	file_print_take(&t->print, t->path);
	r = read_file(t->path, &set, problem, cap);
	if (r == 0 && file_print_is_open_to_all(&t->print))
		log_warn("%s: ticket keys that every user of this machine may read; chmod o= it",
		    t->path);
	if (r == 0)
		replace(t, &set, now_ms);
	OPENSSL_cleanse(&set, sizeof(set));
	return r;
}

/* Keys whose time has come are forgotten, not only left aside. */
static void
forget_late(struct tls_tickets *t, int64_t now_ms)
{
	unsigned kept = 0;

	pthread_mutex_lock(&t->lock);
	for (unsigned i = 0; i < t->set.count; i++)
		if (t->set.keys[i].until_ms > now_ms)
			t->set.keys[kept++] = t->set.keys[i];
	OPENSSL_cleanse(&t->set.keys[kept], (TLS_TICKET_KEYS_MAX - kept) * sizeof(t->set.keys[0]));
	t->set.count = kept;
	pthread_mutex_unlock(&t->lock);
}

static void
look_at_file(struct tls_tickets *t, int64_t now_ms)
{
	struct file_print now;
	char problem[512];

	file_print_take(&now, t->path);
	if (file_print_is_same(&now, &t->print))
		return;
	if (load(t, now_ms, problem, sizeof(problem)) == 0) {
		atomic_fetch_add_explicit(&counts.rotations, 1, memory_order_relaxed);
		log_info("%s: ticket keys read anew", t->path);
		return;
	}
	atomic_fetch_add_explicit(&counts.failures, 1, memory_order_relaxed);
	log_error("%s; the ticket keys in use are kept", problem);
}

void
tls_tickets_tick(int64_t now_ms)
{
	pthread_mutex_lock(&all_lock);
	for (struct tls_tickets *t = all; t != NULL; t = t->next) {
		if (t->path != NULL)
			look_at_file(t, now_ms);
		else if (t->due_ms <= now_ms) {
			make_own(t, now_ms);
			atomic_fetch_add_explicit(&counts.rotations, 1, memory_order_relaxed);
		}
		forget_late(t, now_ms);
	}
	pthread_mutex_unlock(&all_lock);
}

/* --- holding --- */

static bool
is_of(const struct tls_tickets *t, const char *path)
{
	return path == NULL || t->path == NULL ? path == t->path : strcmp(path, t->path) == 0;
}

/* Under all_lock. */
static struct tls_tickets *
tickets_new(const char *path, int64_t now_ms, char *problem, size_t cap)
{
	struct tls_tickets *t = must_calloc(1, sizeof(*t));

	t->refs = 1;
	t->path = path == NULL ? NULL : must_strdup(path);
	pthread_mutex_init(&t->lock, NULL);
	if (path == NULL)
		make_own(t, now_ms);
	else if (load(t, now_ms, problem, cap) != 0) {
		pthread_mutex_destroy(&t->lock);
		free(t->path);
		free(t);
		return NULL;
	}
	t->next = all;
	all = t;
	return t;
}

struct tls_tickets *
tls_tickets_get(const char *path, int64_t now_ms, char *problem, size_t problem_cap)
{
	struct tls_tickets *t;

	pthread_mutex_lock(&all_lock);
	for (t = all; t != NULL && !is_of(t, path); t = t->next)
		;
	if (t != NULL)
		tls_tickets_ref(t);
	else
		t = tickets_new(path, now_ms, problem, problem_cap);
	pthread_mutex_unlock(&all_lock);
	return t;
}

struct tls_tickets *
tls_tickets_ref(struct tls_tickets *t)
{
	atomic_fetch_add_explicit(&t->refs, 1, memory_order_relaxed);
	return t;
}

/* Counted down under all_lock: whoever finds them in the list may still have them. */
void
tls_tickets_unref(struct tls_tickets **tp)
{
	struct tls_tickets *t = *tp, **at = &all;

	*tp = NULL;
	if (t == NULL)
		return;
	pthread_mutex_lock(&all_lock);
	if (atomic_fetch_sub_explicit(&t->refs, 1, memory_order_acq_rel) != 1) {
		pthread_mutex_unlock(&all_lock);
		return;
	}
	while (*at != t)
		at = &(*at)->next;
	*at = t->next;
	pthread_mutex_unlock(&all_lock);
	OPENSSL_cleanse(&t->set, sizeof(t->set));
	pthread_mutex_destroy(&t->lock);
	free(t->path);
	free(t);
}

/* --- use --- */

void
tls_tickets_newest(struct tls_tickets *t, struct tls_ticket_key *out)
{
	pthread_mutex_lock(&t->lock);
	*out = t->set.keys[0];
	pthread_mutex_unlock(&t->lock);
}

enum tls_ticket_found
tls_tickets_find(struct tls_tickets *t, const unsigned char name[16], struct tls_ticket_key *out)
{
	enum tls_ticket_found found = TLS_TICKET_UNKNOWN;

	pthread_mutex_lock(&t->lock);
	for (unsigned i = 0; i < t->set.count && found == TLS_TICKET_UNKNOWN; i++)
		if (memcmp(t->set.keys[i].name, name, sizeof(t->set.keys[i].name)) == 0) {
			*out = t->set.keys[i];
			found = i == 0 ? TLS_TICKET_NEWEST : TLS_TICKET_OLD;
		}
	pthread_mutex_unlock(&t->lock);
	return found;
}
