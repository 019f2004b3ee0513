#include "daemon/serve.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

#include "admin/api.h"
#include "base/clock.h"
#include "base/hash.h"
#include "base/log.h"
#include "base/mem.h"
#include "base/version.h"
#include "cache/clerk.h"
#include "cli/options.h"
#include "conf/diagnostic.h"
#include "daemon/handover.h"
#include "daemon/instance.h"
#include "daemon/limits.h"
#include "daemon/notify.h"
#include "daemon/redisconf.h"
#include "daemon/warming.h"
#include "daemon/workers.h"
#include "event/nameserver.h"
#include "event/resolver.h"
#include "event/tlstickets.h"
#include "server/audit.h"
#include "server/accesslog.h"
#include "server/certificates.h"
#include "server/compile.h"

struct daemon {
	const char *path;
	struct arena path_mem;
	struct instance_lock *lock; /* NULL: no state directory was given */
	struct notify *notify;
	struct workers *workers;
	struct sockets *sockets;
	struct site *site, *admin_site;
	struct accesslog *access_log;
	struct buf l2_print;	/* what the workers' l2_conf was made from; empty: none */
	struct buf clerk_print; /* the same for the clerk */
	char *state_dir;	/* NULL: none */
	enum persist persist;	/* what becomes of the cache at the end */
	struct handover *handover;
	struct warming *warming;
	struct buf shared_print; /* likewise their shared_conf */
	unsigned workers_count, connections;
	bool is_serving; /* it came to that */
};

/* --- what is read from a configuration --- */

/* The diagnostics, to the terminal at start and to the log at a reload. */
static void
print_diag(struct conf_diag *diag)
{
	struct buf text = {0};

	conf_diag_text(diag, &text);
	if (text.n > 0)
		fwrite(text.p, 1, text.n, stderr);
	buf_fini(&text);
}

static const struct server_conf *
load(const struct daemon *d, struct arena *mem, struct conf_diag *diag)
{
	return server_conf_load(d->path, mem, diag);
}

static unsigned
route_slot(void *observations, const char *name)
{
	return observations_route_slot(observations, name);
}

/* Where all are answered from the cache it may be meant. */
static void
warn_of_connections(
    const struct daemon *d, const struct limits_conf *limits, struct conf_diag *diag)
{
	if (limits->connections == CONF_AUTO || limits->connections <= d->connections)
		return;
	conf_warning(diag, conf_place(&limits_table, limits, "connections"),
	    "so many connections need more open files than there may be: enough for %u",
	    d->connections);
	conf_hint(diag, "raise LimitNOFILE= in the unit, or ulimit -Hn");
}

static struct site *
compile(struct daemon *d, const struct server_conf *conf, struct arena *mem, struct conf_diag *diag)
{
	struct commons *c = workers_commons(d->workers);
	struct site_world world = {.mem = mem,
	    .previous = d->site,
	    .limits = c->limits,
	    .workers = d->workers_count,
	    .route_slot = route_slot,
	    .arg = c->observations};
	struct site *site = site_compile(conf, &world, diag);

	if (site == NULL)
		return NULL;
	if (conf->limits.connections == CONF_AUTO)
		site->connections = d->connections;
	warn_of_connections(d, &conf->limits, diag);
	site_judge(conf, site, diag);
	return site;
}

static int
apply_log(const struct log_conf *log)
{
	log_set_level((enum log_level)log->level);
	if (log_set_path(log->path) != 0) {
		log_error("log.path %s: %s", log->path, strerror(errno));
		return -1;
	}
	if (audit_set_path(log->audit) != 0) {
		log_error("log.audit %s: %s", log->audit, strerror(errno));
		return -1;
	}
	return 0;
}

static int
apply_access_log(struct daemon *d, const struct log_conf *log)
{
	const struct access_log_conf *a = &log->access;
	struct accesslog_conf conf = {
	    .path = a->path, .format = (enum access_format)a->format, .workers = d->workers_count};

	if (a->conf.is_off)
		return 0; /* the site says so; the file stays open for the next who wants it */
	if (d->access_log != NULL)
		return accesslog_change(d->access_log, conf.path, conf.format);
	d->access_log = accesslog_new(&conf);
	if (d->access_log == NULL) {
		log_error("log.access.path %s: %s", a->path, strerror(errno));
		return -1;
	}
	workers_commons(d->workers)->access_log = d->access_log;
	return 0;
}

/* -1: why says it, or diag. */
static int
open_listen(struct daemon *d, const struct listen_conf *l, struct conf_diag *diag, struct buf *why)
{
	struct tls_offer *tls = NULL;
	struct socket_set *set;

	if (!l->tls.conf.is_off && (tls = certificates_offer(l, diag)) == NULL)
		return -1;
	set = sockets_open(d->sockets, l->address, false, &tls, why);
	if (set == NULL)
		return -1;
	set->has_h2 = l->http2;
	return 0;
}

static int
open_sockets(
    struct daemon *d, const struct server_conf *conf, struct conf_diag *diag, struct buf *why)
{
	struct tls_offer *none = NULL;
	int r = 0;

	sockets_begin(d->sockets);
	for (size_t i = 0; i < conf->listen.count && r == 0; i++)
		r = open_listen(d, &conf->listen.items[i], diag, why);
	if (r == 0 && !conf->admin.conf.is_off &&
	    sockets_open(d->sockets, conf->admin.address, true, &none, why) == NULL)
		r = -1;
	return r;
}

static void
use_clerk(struct daemon *d, const struct server_conf *conf)
{
	struct clerk_conf c = redisconf_clerk(conf, d->state_dir);
	const char *why = "";
	struct buf print = {0};

	if (c.url != NULL)
		buf_printf(&print, "%s\n%s\n%d\n%lld", c.url, c.prefix, c.is_strict,
		    (long long)c.timeout_ms);
	if (slice_eq(buf_slice(&print), buf_slice(&d->clerk_print))) {
		buf_fini(&print);
		return;
	}
	if (clerk_use(workers_commons(d->workers)->clerk, &c, &why) != 0)
		log_error("cache.redis: %s", why);
	buf_fini(&d->clerk_print);
	d->clerk_print = print;
}

/* Whom the workers and the clerk ask for addresses. */
static void
use_resolver(const struct server_conf *conf)
{
	struct buf list = {0};

	for (size_t i = 0; i < conf->resolver.count; i++)
		if (!nameserver_add(&list, conf->resolver.items[i]))
			bug("resolver: an address that was checked is none");
	buf_add_char(&list, '\0');
	resolver_use(conf->resolver.count == 0 ? NULL : list.p);
	buf_fini(&list);
}

/* --- from one configuration to the next --- */

/* Publishes conf, compiled into site, with its sockets opened. Everything that can fail has been done before. */
static int
publish(struct daemon *d, const struct server_conf *conf, struct site *site, struct buf *why)
{
	struct site *admin = admin_site_new(workers_commons(d->workers), site, conf->admin.token);
	struct l2_conf l2;
	struct shared_conf shared;
	bool has_l2 = redisconf_l2(conf, &l2), has_shared = redisconf_shared(conf, &shared);
	struct buf print = has_l2 ? redisconf_l2_print(&l2) : (struct buf){0};
	struct buf shared_is = has_shared ? redisconf_shared_print(&shared) : (struct buf){0};
	struct redis_uses redis = {
	    .l2 = slice_eq(buf_slice(&print), buf_slice(&d->l2_print)) ? NULL : &l2,
	    .shared = slice_eq(buf_slice(&shared_is), buf_slice(&d->shared_print)) ? NULL : &shared,
	};
	int r;

	use_resolver(conf);
	use_clerk(d, conf); /* first: what the journal holds is purged before anybody asks */
	sockets_tell_certificates(d->sockets);
	r = workers_use(d->workers, site, admin, d->sockets, &redis, why);

	if (r != 0) {
		if (d->site != NULL)
			use_resolver(d->site->conf);
		site_unref(&admin);
		buf_fini(&print);
		buf_fini(&shared_is);
		return -1;
	}
	buf_fini(&d->l2_print);
	d->l2_print = print;
	buf_fini(&d->shared_print);
	d->shared_print = shared_is;
	sockets_sweep(d->sockets);
	if (d->site != NULL)
		site_unref(&d->site);
	if (d->admin_site != NULL)
		site_unref(&d->admin_site);
	d->site = site;
	d->admin_site = admin;
	warming_use(d->warming, &conf->cache.warm);
	d->persist = conf->cache.conf.is_off ? PERSIST_OFF : (enum persist)conf->cache.persist;
	return 0;
}

/* Whoever asked for a reload learns by this number that all of the new configuration is in use: last of all. */
static void
show_generation(struct daemon *d, const struct site *site)
{
	atomic_store(&workers_commons(d->workers)->generation, site->generation);
}

static const char *
no_change(struct daemon *d, struct arena *mem)
{
	atomic_fetch_add(&workers_commons(d->workers)->reloads_failed, 1);
	sockets_undo(d->sockets);
	arena_fini(mem);
	return "the running configuration is kept";
}

static void
apply_recompress(struct daemon *d, const struct server_conf *conf)
{
	struct recompress_rules rules = recompress_rules_from(&conf->recompress);

	recompress_rule(workers_commons(d->workers)->recompress, &rules);
}

/* SIGHUP. Whatever is wrong, nothing has changed then. */
static void
reload(struct daemon *d)
{
	struct conf_diag *diag = conf_diag_new();
	struct arena mem = {0};
	struct buf why = {0};
	const struct server_conf *conf;
	struct site *site = NULL;

	notify_reloading(d->notify);
	conf = load(d, &mem, diag);
	if (conf != NULL)
		site = compile(d, conf, &mem, diag);
	if (site == NULL) {
		print_diag(diag);
		log_error("reload of %s failed; %s", d->path, no_change(d, &mem));
	} else if (open_sockets(d, conf, diag, &why) != 0) {
		print_diag(diag);
		log_error("reload of %s failed%s%.*s; %s", d->path, why.n > 0 ? ": " : "",
		    SLICE_FMT(buf_slice(&why)), no_change(d, &mem));
		site_unref(&site);
	} else if (publish(d, conf, site, &why) != 0) {
		log_error(
		    "reload failed: %.*s; %s", SLICE_FMT(buf_slice(&why)), no_change(d, &mem));
		site_unref(&site);
	} else {
		print_diag(diag);
		apply_log(&conf->log);
		if (apply_access_log(d, &conf->log) != 0)
			log_error("log.access.path %s: %s; the old file is written on",
			    conf->log.access.path, strerror(errno));
		if (!conf->cache.conf.is_off &&
		    store_resize(workers_commons(d->workers)->store, (size_t)conf->cache.memory) !=
			0)
			log_warn("cache.memory cannot be changed to that without a restart: %s",
			    strerror(errno));
		apply_recompress(d, conf);
		show_generation(d, d->site);
		if (audit_has_file()) /* the log tells of it anyway */
			audit_order("reload", "signal", NULL);
		log_info(
		    "configuration of %s loaded (generation %u)", d->path, d->site->generation);
	}
	buf_fini(&why);
	conf_diag_free(&diag);
	notify_ready(d->notify);
}

static void
reopen_logs(struct daemon *d)
{
	if (log_reopen() != 0)
		log_error("the log cannot be opened again: %s; the old file is written on",
		    strerror(errno));
	if (audit_reopen() != 0)
		log_error("the audit log cannot be opened again: %s; the old file is written on",
		    strerror(errno));
	if (d->access_log != NULL && accesslog_reopen(d->access_log) != 0)
		log_error("the access log cannot be opened again: %s; the old file is written on",
		    strerror(errno));
	log_info("logs opened again");
}

/* --- start, run, stop --- */

/* The state directory, where there is one, is ours alone. STATE_DIRECTORY may name several, the first is for state. */
static int
lock_state(struct daemon *d, const struct server_conf *conf)
{
	const char *all = conf->state_dir != NULL ? conf->state_dir : getenv("STATE_DIRECTORY");
	struct buf why = {0};
	int r;

	if (all == NULL || *all == '\0')
		return 0;
	d->state_dir = must_strndup(all, conf->state_dir != NULL ? strlen(all) : strcspn(all, ":"));
	r = instance_lock(d->state_dir, &d->lock, &why);
	if (r != 0)
		log_error("%.*s", SLICE_FMT(buf_slice(&why)));
	buf_fini(&why);
	return r;
}

static int
start_with(
    struct daemon *d, const struct server_conf *conf, struct arena *mem, struct conf_diag *diag)
{
	struct buf why = {0};
	struct site *site;
	bool is_open;
	int r = -1;

	if (lock_state(d, conf) != 0)
		return -1;
	d->workers_count = server_conf_workers(conf);
	d->workers = workers_new(d->workers_count,
	    conf->cache.conf.is_off ? (size_t)1 << 20 : (size_t)conf->cache.memory,
	    (size_t)conf->limits.rate_table, &why);
	if (d->workers == NULL)
		goto out;
	d->sockets = sockets_new(d->workers_count);
	d->warming = warming_new(workers_commons(d->workers), d->state_dir);
	site = compile(d, conf, mem, diag);
	if (site == NULL) {
		print_diag(diag);
		goto out;
	}
	is_open = apply_log(&conf->log) == 0 && apply_access_log(d, &conf->log) == 0 &&
	    open_sockets(d, conf, diag, &why) == 0;
	print_diag(diag);
	/* Before the first worker serves: who asks then is shown a generation, and what he is sent may be hot soon. */
	apply_recompress(d, conf);
	show_generation(d, site);
	if (!is_open || publish(d, conf, site, &why) != 0) {
		site_unref(&site);
		goto out;
	}
	d->handover = handover_begin(
	    workers_commons(d->workers), d->notify, d->state_dir, d->persist != PERSIST_OFF);
	r = 0;
out:
	if (why.n > 0)
		log_error("%.*s", SLICE_FMT(buf_slice(&why)));
	buf_fini(&why);
	return r;
}

static int
start(struct daemon *d)
{
	struct conf_diag *diag = conf_diag_new();
	struct arena mem = {0};
	const struct server_conf *conf = load(d, &mem, diag);
	int r = -1;

	if (conf == NULL)
		print_diag(diag);
	else
		r = start_with(d, conf, &mem, diag);
	arena_fini(&mem);
	conf_diag_free(&diag);
	return r;
}

static void
stop(struct daemon *d)
{
	int64_t drain_ms = d->site == NULL ? 0 : d->site->drain_timeout_ms;

	if (d->workers != NULL) {
		workers_drain(d->workers, drain_ms);
		if (d->sockets != NULL)
			sockets_close_doors(d->sockets);
		workers_join(d->workers);
	}
	if (d->access_log != NULL) {
		accesslog_flush(d->access_log, 2000);
		accesslog_free(&d->access_log);
	}
	warming_free(&d->warming);
	handover_end(&d->handover);
	if (d->is_serving && d->persist != PERSIST_OFF)
		handover_save(workers_commons(d->workers), d->notify, d->state_dir,
		    d->persist == PERSIST_FILE);
	workers_free(&d->workers);
	audit_stop();
	if (d->site != NULL)
		site_unref(&d->site);
	if (d->admin_site != NULL)
		site_unref(&d->admin_site);
	sockets_free(&d->sockets);
	instance_unlock(&d->lock);
	free(d->state_dir);
	notify_free(&d->notify);
	buf_fini(&d->l2_print);
	buf_fini(&d->shared_print);
	buf_fini(&d->clerk_print);
	arena_fini(&d->path_mem);
}

static void
block_signals(sigset_t *set)
{
	sigemptyset(set);
	sigaddset(set, SIGTERM);
	sigaddset(set, SIGINT);
	sigaddset(set, SIGHUP);
	sigaddset(set, SIGUSR1);
	pthread_sigmask(SIG_BLOCK, set, NULL);
	signal(SIGPIPE, SIG_IGN);
}

/* Waits for a signal, at most a second: then the watchdog is fed and the housekeeping looked after. */
static int
next_signal(const struct daemon *d, const sigset_t *set)
{
	int64_t ms = notify_watchdog_ms(d->notify);
	struct timespec t = {.tv_sec = 1};

	if (ms > 0 && ms < 1000)
		t = (struct timespec){.tv_nsec = ms * 1000000};
	return sigtimedwait(set, NULL, &t);
}

/* Files that TLS reads are looked at here, where nobody waits. */
static void
keep_house(struct daemon *d)
{
	int64_t now_ms = clock_mono_ms();

	warming_tick(d->warming, now_ms);
	tls_tickets_tick(now_ms);
	if (sockets_look_at_certificates(d->sockets)) {
		workers_use_doors(d->workers, d->sockets);
		sockets_tell_renewed(d->sockets);
	}
}

static void
run(struct daemon *d, const sigset_t *set)
{
	for (;;) {
		switch (next_signal(d, set)) {
		case SIGHUP:
			reload(d);
			break;
		case SIGUSR1:
			reopen_logs(d);
			break;
		case SIGTERM:
		case SIGINT:
			log_info("stopping: finishing what runs, at most %lld s",
			    (long long)(d->site->drain_timeout_ms / 1000));
			notify_stopping(d->notify);
			return;
		default:
			notify_watchdog(d->notify);
			keep_house(d);
			break;
		}
	}
}

static const struct option_row rows[] = {
    OPTION_CONFIG(struct daemon, ""),
};

static const struct command command = {
    .name = "serve",
    .usage = "[-c FILE]",
    .purpose = "Serves with the configuration of FILE. SIGHUP reads it again, SIGUSR1 opens the "
	       "logs again, SIGTERM stops.",
    .rows = rows,
    .count = sizeof(rows) / sizeof(*rows),
    .examples = "  forebay serve -c conf/forebay.yaml\n",
};

int
daemon_serve(int argc, char **argv)
{
	struct daemon d = {0};
	sigset_t set;
	int code = options_read(&command, argc, argv, &d);

	if (code >= 0)
		return code;
	if (d.path == NULL)
		d.path = server_conf_default_path(&d.path_mem);
	block_signals(&set);
	hash_seed();
	d.notify = notify_new();
	d.connections = limits_connections(limits_raise_files());
	if (start(&d) != 0) {
		stop(&d);
		return 1;
	}
	log_info("forebay %s serves with %u workers, configuration %s", FOREBAY_VERSION,
	    d.workers_count, d.path);
	d.is_serving = true;
	notify_ready(d.notify);
	run(&d, &set);
	stop(&d);
	log_info("stopped");
	return 0;
}
