#include "event/resolver.h"

#include <ares.h>
#include <arpa/inet.h>
#include <errno.h>
#include <event2/event.h>
#include <event2/event_struct.h>
#include <net/if.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "base/mem.h"
#include "event/srvanswer.h"

#define RESOLV_CONF "/etc/resolv.conf"
#define RESOLV_CONF_LOOK_MS 1000
#define TRY_MS 1000 /* for one server, before the next is asked; twice that in the next round */
#define TRIES 3
#define CLASS_IN 1
#define TYPE_SRV 33

/* Which resolv.conf the channel was made from. */
struct version {
	struct timespec mtime;
	ino_t inode;
	off_t size;
};

/* Those of the configuration, for all resolvers of the process. */
static struct {
	pthread_mutex_t lock;
	char *servers; /* NULL: the system's */
	_Atomic unsigned version;
} configured = {.lock = PTHREAD_MUTEX_INITIALIZER};

struct resolver {
	struct loop *loop;
	ares_channel channel;
	char *servers; /* this one's own; NULL: as configured, or the system's */
	struct version version;
	unsigned configured_version;
	bool is_system;	      /* the channel was made from resolv.conf */
	int64_t looked_ms;    /* when resolv.conf was last looked at */
	struct timer retry;   /* when c-ares wants to look at its own time-outs */
	struct link sockets;  /* struct dns_socket */
	struct link asked;    /* struct resolve: c-ares will call back */
	struct link answered; /* struct resolve: the end of the turn will */
	struct task deliver;
	unsigned count; /* in both lists */
	unsigned in_callback;
	bool closed; /* freed in a callback: gone when it returns */
};

/* A descriptor of c-ares and what it waits for. */
struct dns_socket {
	struct link link;
	struct event event;
	struct resolver *resolver;
	int fd;
};

struct resolve {
	struct link link;
	struct resolver *resolver;
	struct timer deadline;
	void (*done)(void *arg, const struct resolved *answer); /* NULL: nobody waits any more */
	void *arg;
	char *host;
	uint16_t port;
	sa_family_t family;
	struct srv_record *records; /* the answer to a question for SRV; NULL: none yet */
	bool is_srv;
	bool is_asked; /* c-ares still holds it */
	struct resolved answer;
	struct address addresses[RESOLVED_MAX];
};

/* --- c-ares on the loop --- */

/* c-ares' next date, if it has one. */
static void
arm_retry(struct resolver *r)
{
	struct timeval tv;

	if (ares_timeout(r->channel, NULL, &tv) == NULL)
		timer_disarm(&r->retry);
	else
		timer_arm(r->loop, &r->retry,
		    loop_now_ms(r->loop) + tv.tv_sec * 1000 + tv.tv_usec / 1000 + 1);
}

static void
on_retry(void *arg)
{
	struct resolver *r = arg;

	ares_process_fd(r->channel, ARES_SOCKET_BAD, ARES_SOCKET_BAD);
	arm_retry(r);
}

static void
on_dns_socket(evutil_socket_t fd, short what, void *arg)
{
	struct resolver *r = arg;

	ares_process_fd(r->channel, what & EV_READ ? fd : ARES_SOCKET_BAD,
	    what & EV_WRITE ? fd : ARES_SOCKET_BAD);
	arm_retry(r);
}

static struct dns_socket *
find_socket(struct resolver *r, int fd)
{
	LIST_EACH (s, &r->sockets, struct dns_socket, link)
		if (s->fd == fd)
			return s;
	return NULL;
}

/* c-ares tells what a descriptor of its own waits for; nothing: it is about to close it. */
static void
on_socket_state(void *arg, ares_socket_t fd, int readable, int writable)
{
	struct resolver *r = arg;
	struct dns_socket *s = find_socket(r, fd);
	short flags = (short)((readable ? EV_READ : 0) | (writable ? EV_WRITE : 0));

	if (s != NULL)
		event_del(&s->event);
	if (flags == 0) {
		if (s != NULL)
			list_leave(&s->link);
		free(s);
		return;
	}
	if (s == NULL) {
		s = must_calloc(1, sizeof(*s));
		s->fd = fd;
		list_push_back(&r->sockets, &s->link);
	}
	event_assign(&s->event, loop_base(r->loop), fd, flags | EV_PERSIST, on_dns_socket, r);
	if (event_add(&s->event, NULL) != 0)
		bug("event_add: %s", strerror(errno));
}

/* --- the channel --- */

static void
load_library(void)
{
	if (ares_library_init(ARES_LIB_INIT_ALL) != ARES_SUCCESS)
		bug("c-ares does not start");
}

/* All zero when the file is not there. */
static struct version
resolv_conf_version(void)
{
	struct version v = {0};
	struct stat st;

	if (stat(RESOLV_CONF, &st) == 0)
		v = (struct version){st.st_mtim, st.st_ino, st.st_size};
	return v;
}

/* A copy; NULL: the system's. */
static char *
servers_now(struct resolver *r)
{
	const char *servers;
	char *copy;

	pthread_mutex_lock(&configured.lock);
	r->configured_version = configured.version;
	servers = r->servers != NULL ? r->servers : configured.servers;
	copy = servers == NULL ? NULL : must_strdup(servers);
	pthread_mutex_unlock(&configured.lock);
	return copy;
}

static int
channel_open(struct resolver *r)
{
	struct ares_options options = {.timeout = TRY_MS,
	    .tries = TRIES,
	    .lookups = (char *)(uintptr_t) "fb", /* files, then DNS; only read */
	    .sock_state_cb = on_socket_state,
	    .sock_state_cb_data = r};

	char *servers = servers_now(r);
	int status;

	r->version = resolv_conf_version();
	r->is_system = servers == NULL;
	if (ares_init_options(&r->channel, &options,
		ARES_OPT_TIMEOUTMS | ARES_OPT_TRIES | ARES_OPT_LOOKUPS | ARES_OPT_SOCK_STATE_CB) !=
	    ARES_SUCCESS) {
		free(servers);
		return -1;
	}
	status = servers == NULL ? ARES_SUCCESS : ares_set_servers_ports_csv(r->channel, servers);
	free(servers);
	if (status == ARES_SUCCESS)
		return 0;
	ares_destroy(r->channel);
	return -1;
}

static bool
is_outdated(struct resolver *r)
{
	int64_t now_ms = loop_now_ms(r->loop);
	struct version now;

	if (r->servers != NULL)
		return false;
	if (atomic_load(&configured.version) != r->configured_version)
		return true;
	if (!r->is_system || now_ms < r->looked_ms + RESOLV_CONF_LOOK_MS)
		return false;
	r->looked_ms = now_ms;
	now = resolv_conf_version();
	return memcmp(&now, &r->version, sizeof(now)) != 0;
}

/* Servers that have changed take a new channel: c-ares 1.18 cannot change those of one with questions under way. They are
 * handed back by the old one, and asked anew (on_ares_answer). When the new channel cannot be had, the old one
 * serves on. */
static void
channel_refresh(struct resolver *r)
{
	ares_channel old = r->channel;

	if (!is_outdated(r))
		return;
	if (channel_open(r) == 0)
		ares_destroy(old);
	else
		r->channel = old;
}

/* --- answers --- */

static void
resolve_free(struct resolve *q)
{
	q->resolver->count--;
	list_leave(&q->link);
	timer_disarm(&q->deadline);
	free(q->host);
	free(q->records);
	free(q);
}

static void
resolver_destroy(struct resolver *r)
{
	LIST_EACH (q, &r->asked, struct resolve, link)
		q->done = NULL; /* c-ares hands each back in the next call */
	ares_destroy(r->channel);
	while (!list_is_empty(&r->answered))
		resolve_free(list_first(&r->answered, struct resolve, link));
	task_cancel(&r->deliver);
	timer_disarm(&r->retry);
	free(r->servers);
	free(r);
}

static void
leave_callback(struct resolver *r)
{
	if (--r->in_callback == 0 && r->closed)
		resolver_destroy(r);
}

/* Calls the asker; q is not touched afterwards but by c-ares, which may hold it. */
static void
answer(struct resolve *q)
{
	void (*done)(void *, const struct resolved *) = q->done;
	struct resolver *r = q->resolver;
	struct resolved said = q->answer;
	struct address addresses[RESOLVED_MAX];
	struct srv_record *records = q->records;
	void *arg = q->arg;

	memcpy(addresses, q->addresses, said.count * sizeof(addresses[0]));
	said.addresses = addresses;
	said.records = records;
	q->records = NULL;
	q->done = NULL;
	timer_disarm(&q->deadline);
	if (!q->is_asked)
		resolve_free(q);
	r->in_callback++;
	done(arg, &said);
	free(records);
	leave_callback(r);
}

static void
on_deliver(void *arg)
{
	struct resolver *r = arg;

	r->in_callback++;
	while (!r->closed && !list_is_empty(&r->answered))
		answer(list_first(&r->answered, struct resolve, link));
	leave_callback(r);
}

static void
on_resolve_deadline(void *arg)
{
	struct resolve *q = arg;

	q->answer = (struct resolved){.error = "no answer in time"};
	answer(q);
}

static void
deliver_later(struct resolve *q)
{
	list_leave(&q->link);
	list_push_back(&q->resolver->answered, &q->link);
	loop_later(q->resolver->loop, &q->resolver->deliver);
}

static void
take_addresses(struct resolve *q, const struct ares_addrinfo *found)
{
	int64_t ttl_s = RESOLVER_TTL_MAX_S;

	for (const struct ares_addrinfo_cname *c = found->cnames; c != NULL; c = c->next)
		ttl_s = c->ttl < ttl_s ? c->ttl : ttl_s;
	for (const struct ares_addrinfo_node *n = found->nodes; n != NULL; n = n->ai_next) {
		struct address *a = &q->addresses[q->answer.count];

		if (q->answer.count == RESOLVED_MAX || n->ai_addrlen > sizeof(a->u))
			continue;
		memcpy(&a->u, n->ai_addr, n->ai_addrlen);
		a->len = n->ai_addrlen;
		if (a->u.sa.sa_family == AF_INET6)
			a->u.in6.sin6_port = htons(q->port);
		else
			a->u.in4.sin_port = htons(q->port);
		q->answer.count++;
		ttl_s = n->ai_ttl < ttl_s ? n->ai_ttl : ttl_s;
	}
	q->answer.ttl_s = ttl_s < 1 ? 1 : (uint32_t)ttl_s;
}

static void on_ares_answer(void *arg, int status, int timeouts, struct ares_addrinfo *found);
static void on_srv_answer(void *arg, int status, int timeouts, unsigned char *message, int size);

static void
ask(struct resolve *q)
{
	const struct ares_addrinfo_hints hints = {
	    .ai_family = q->family, .ai_socktype = SOCK_STREAM};

	q->is_asked = true;
	if (q->is_srv) {
		ares_query(q->resolver->channel, q->host, CLASS_IN, TYPE_SRV, on_srv_answer, q);
		return;
	}
	ares_getaddrinfo(q->resolver->channel, q->host, NULL, &hints, on_ares_answer, q);
}

/* An answer has come. False: nobody waits for it, and the question is gone, or it has been asked once more. */
static bool
is_awaited(struct resolve *q, int status)
{
	if (status == ARES_EDESTRUCTION && q->done != NULL) {
		ask(q); /* its channel has been replaced */
		return false;
	}
	q->is_asked = false;
	if (q->done != NULL)
		return true;
	resolve_free(q);
	return false;
}

/* status: of ARES_*, as it came or as it was found to be. */
static void
conclude(struct resolve *q, int status)
{
	if (status != ARES_SUCCESS)
		q->answer.error = ares_strerror(status);
	q->answer.is_unknown = status == ARES_ENOTFOUND || status == ARES_ENODATA;
	deliver_later(q);
}

static void
on_ares_answer(void *arg, int status, int timeouts, struct ares_addrinfo *found)
{
	struct resolve *q = arg;

	if (is_awaited(q, status)) {
		if (status == ARES_SUCCESS)
			take_addresses(q, found);
		conclude(q, status == ARES_SUCCESS && q->answer.count == 0 ? ARES_ENODATA : status);
	}
	if (found != NULL)
		ares_freeaddrinfo(found);
}

/* What comes of it, of ARES_*. */
static int
take_records(struct resolve *q, const unsigned char *message, int size)
{
	uint32_t ttl_s;
	int n;

	q->records = must_calloc(SRV_RECORDS_MAX, sizeof(*q->records));
	n = srvanswer_parse(message, (size_t)size, q->records, &ttl_s);
	if (n <= 0)
		return n < 0 ? ARES_EBADRESP : ARES_ENODATA;
	q->answer.records_count = (unsigned)n;
	q->answer.ttl_s = ttl_s < 1 ? 1 : ttl_s > RESOLVER_TTL_MAX_S ? RESOLVER_TTL_MAX_S : ttl_s;
	return ARES_SUCCESS;
}

static void
on_srv_answer(void *arg, int status, int timeouts, unsigned char *message, int size)
{
	struct resolve *q = arg;

	if (is_awaited(q, status))
		conclude(q, status == ARES_SUCCESS ? take_records(q, message, size) : status);
}

/* --- the interface --- */

void
resolver_use(const char *servers)
{
	pthread_mutex_lock(&configured.lock);
	if (servers == NULL
		? configured.servers != NULL
		: configured.servers == NULL || strcmp(servers, configured.servers) != 0) {
		free(configured.servers);
		configured.servers = servers == NULL ? NULL : must_strdup(servers);
		atomic_fetch_add(&configured.version, 1);
	}
	pthread_mutex_unlock(&configured.lock);
}

struct resolver *
resolver_new(struct loop *l, const char *servers)
{
	static pthread_once_t once = PTHREAD_ONCE_INIT;
	struct resolver *r = must_calloc(1, sizeof(*r));

	pthread_once(&once, load_library);
	r->loop = l;
	r->servers = servers == NULL ? NULL : must_strdup(servers);
	list_init(&r->sockets);
	list_init(&r->asked);
	list_init(&r->answered);
	timer_init(&r->retry, on_retry, r);
	task_init(&r->deliver, on_deliver, r);
	if (channel_open(r) != 0) {
		free(r->servers);
		free(r);
		return NULL;
	}
	return r;
}

void
resolver_free(struct resolver **rp)
{
	struct resolver *r = *rp;

	*rp = NULL;
	if (r == NULL)
		return;
	r->closed = true;
	if (r->in_callback == 0)
		resolver_destroy(r);
}

struct resolve *
resolver_start(struct resolver *r, const char *host, uint16_t port, int64_t timeout_ms,
    void (*done)(void *arg, const struct resolved *answer), void *arg)
{
	return resolver_start_family(r, host, port, AF_UNSPEC, timeout_ms, done, arg);
}

/* NULL: too many are under way. */
static struct resolve *
resolve_new(struct resolver *r, void (*done)(void *arg, const struct resolved *answer), void *arg)
{
	struct resolve *q;

	if (r->count >= RESOLVES_MAX)
		return NULL;
	q = must_calloc(1, sizeof(*q));
	r->count++;
	q->resolver = r;
	q->done = done;
	q->arg = arg;
	list_init(&q->link);
	timer_init(&q->deadline, on_resolve_deadline, q);
	return q;
}

static void
resolve_begin(struct resolve *q, const char *host, int64_t timeout_ms)
{
	struct resolver *r = q->resolver;

	channel_refresh(r);
	list_push_back(&r->asked, &q->link);
	q->host = must_strdup(host);
	timer_arm(r->loop, &q->deadline, loop_now_ms(r->loop) + timeout_ms);
	ask(q);
	arm_retry(r);
}

struct resolve *
resolver_start_family(struct resolver *r, const char *host, uint16_t port, sa_family_t family,
    int64_t timeout_ms, void (*done)(void *arg, const struct resolved *answer), void *arg)
{
	struct resolve *q = resolve_new(r, done, arg);

	if (q == NULL)
		return NULL;
	q->port = port;
	q->family = family;
	if (address_of_literal(host, port, &q->addresses[0])) {
		q->answer = (struct resolved){.count = 1, .ttl_s = RESOLVER_TTL_MAX_S};
		deliver_later(q);
	} else
		resolve_begin(q, host, timeout_ms);
	return q;
}

struct resolve *
resolver_start_srv(struct resolver *r, const char *service, int64_t timeout_ms,
    void (*done)(void *arg, const struct resolved *answer), void *arg)
{
	struct resolve *q = resolve_new(r, done, arg);

	if (q == NULL)
		return NULL;
	q->is_srv = true;
	resolve_begin(q, service, timeout_ms);
	return q;
}

struct loop *
resolver_loop(const struct resolver *r)
{
	return r->loop;
}

void
resolver_cancel(struct resolve **qp)
{
	struct resolve *q = *qp;

	*qp = NULL;
	if (q == NULL)
		return;
	q->done = NULL;
	timer_disarm(&q->deadline);
	if (!q->is_asked)
		resolve_free(q);
}
