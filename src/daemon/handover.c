#include "daemon/handover.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/log.h"
#include "base/mem.h"
#include "base/thread.h"
#include "cache/clerk.h"
#include "cache/key.h"
#include "cache/searchrules.h"
#include "cache/snapshot.h"
#include "cache/store.h"
#include "http/h1.h"
#include "http/searchrule.h"
#include "policy/recompress.h"

#define FD_NAME "forebay-cache"
#define FILE_NAME "cache.snapshot"
#define BARRIER_MS 5000	  /* for the service manager to take the descriptor */
#define PATIENCE_MS 30000 /* of the service manager, while the snapshot is written */
#define LOG_WAIT_MS 60000 /* for the purge log that instances share */
#define LOG_LOOK_US 10000
#define SPARED_DIVISOR 16 /* of the cache, that stays free for what is fetched meanwhile */
#define FULL_LOOK 64	  /* objects between two looks at whether anything is evicted for them */

static char *
path_in(const char *state_dir, const char *end)
{
	size_t n = strlen(state_dir) + strlen(end) + sizeof("/" FILE_NAME);
	char *path = must_malloc(n);

	snprintf(path, n, "%s/" FILE_NAME "%s", state_dir, end);
	return path;
}

static struct snapshot_clocks
clocks_now(void)
{
	struct snapshot_clocks now = {.wall_ms = clock_wall_ms(), .mono_ms = clock_mono_ms()};

	snapshot_boot(now.boot);
	return now;
}

static bool
has_shared_log(struct commons *c)
{
	struct clerk_status s;

	clerk_status(c->clerk, &s);
	return s.state != CLERK_off;
}

/* --- at the end --- */

struct leaving {
	struct object *o;
	uint32_t rank;
};

static uintptr_t
place_of(const struct object *o)
{
	return o->body != NULL ? (uintptr_t)o->body : (uintptr_t)o;
}

static int
by_place(const void *a, const void *b)
{
	uintptr_t x = place_of(((const struct leaving *)a)->o);
	uintptr_t y = place_of(((const struct leaving *)b)->o);

	return (x > y) - (x < y);
}

static bool
is_worth_leaving(struct commons *c, struct object *o, int64_t now_ms)
{
	return l2_value_life_ms(o, now_ms) > 0 && purgelog_judge(c->purges, o) != PURGE_GONE &&
	    (o->body == NULL || body_state(o->body) == BODY_WHOLE);
}

/* All that is worth it, in the order in which it lies in memory: then that is free again soonest. The rest is gone. */
static struct leaving *
list_leaving(struct commons *c, int64_t now_ms, size_t *count_out)
{
	size_t all_count, count = 0;
	struct object **all = store_all(c->store, &all_count);
	struct leaving *leaving = must_malloc((all_count + 1) * sizeof(*leaving));

	for (size_t i = 0; i < all_count; i++) {
		if (is_worth_leaving(c, all[i], now_ms)) {
			leaving[count] = (struct leaving){all[i], (uint32_t)count};
			count++;
			continue;
		}
		store_remove(c->store, all[i]);
		object_unref(&all[i]);
	}
	free(all);
	qsort(leaving, count, sizeof(*leaving), by_place);
	*count_out = count;
	return leaving;
}

/* Up to where the shared log is applied: what is valid in memory now is so by all of that. epoch 0: there is no such log. */
static struct l2_stamp
stamp_now(struct commons *c)
{
	return has_shared_log(c) ? sharedlog_place(clerk_log(c->clerk)) : (struct l2_stamp){0};
}

/* A stop takes as long as there is something to write: a time-out would leave nothing of it. */
static void
ask_for_patience(struct notify *n, int64_t *next_ms)
{
	int64_t now_ms = clock_mono_ms();

	if (now_ms < *next_ms)
		return;
	notify_stop_goes_on(n, PATIENCE_MS);
	*next_ms = now_ms + PATIENCE_MS / 10;
}

/* Returns how many were written; -1 (errno) when that failed. */
static int64_t
write_snapshot(struct commons *c, struct notify *n, int fd)
{
	struct snapshot_clocks now = clocks_now();
	struct l2_stamp stamp = stamp_now(c); /* before anything is judged */
	struct snapshot_writer *w = snapshot_begin(fd);
	size_t count;
	struct leaving *leaving = list_leaving(c, now.mono_ms, &count);
	int64_t next_ms = 0;

	for (size_t i = 0; i < count; i++) {
		struct object *o = leaving[i].o;

		ask_for_patience(n, &next_ms);
		/* A failure is told at the end. */
		(void)snapshot_add(w, o, leaving[i].rank, store_is_main(o));
		store_remove(c->store, o);
		object_unref(&o);
	}
	free(leaving);
	return snapshot_end(&w, &now, &stamp) == 0 ? (int64_t)count : -1;
}

static bool
save_to_manager(struct commons *c, struct notify *n)
{
	int64_t began_ms = clock_mono_ms(), count = -1;
	int fd = memfd_create(FD_NAME, MFD_CLOEXEC);

	if (fd == -1) {
		log_warn("no memory to hand the cache over in: %s", strerror(errno));
		return false;
	}
	count = write_snapshot(c, n, fd);
	if (count == -1 || notify_store_fd(n, FD_NAME, fd) != 0 ||
	    notify_barrier(n, BARRIER_MS) != 0)
		log_warn("the cache is not handed over: %s", strerror(errno));
	else
		log_info("%lld objects of the cache are left with the service manager, in %lld ms",
		    (long long)count, (long long)(clock_mono_ms() - began_ms));
	close(fd);
	return true;
}

static void
save_to_file(struct commons *c, struct notify *n, const char *state_dir)
{
	char *path = path_in(state_dir, ""), *new = path_in(state_dir, ".new");
	int64_t began_ms = clock_mono_ms(), count = -1;
	int fd;

	unlink(new); /* a new file, whatever lies there */
	fd = open(new, O_RDWR | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600);
	if (fd != -1)
		count = write_snapshot(c, n, fd);
	if (count == -1 || rename(new, path) != 0) {
		log_warn("the cache is not kept in %s: %s", path, strerror(errno));
		unlink(new);
	} else
		log_info("%lld objects of the cache are kept in %s, in %lld ms", (long long)count,
		    path, (long long)(clock_mono_ms() - began_ms));
	if (fd != -1)
		close(fd);
	free(new);
	free(path);
}

void
handover_save(struct commons *c, struct notify *n, const char *state_dir, bool in_file)
{
	if (store_usage(c->store).objects == 0)
		return;
	if (has_shared_log(c) && stamp_now(c).epoch == 0)
		log_info("the cache is not handed over: the purge log was never reached");
	else if (!in_file && n != NULL && save_to_manager(c, n))
		return;
	else if (state_dir != NULL)
		save_to_file(c, n, state_dir);
}

/* --- at the start --- */

/* One that was listed: no reference is held, so that it can leave as any other. */
struct arrived {
	const struct object *o;
	uint64_t hash;
	uint32_t rank;
};

struct handover {
	struct commons *commons;
	int fd;
	pthread_t thread;
	_Atomic bool is_over; /* the process stops */
	struct arrived *arrived;
	size_t count, cap;
	uint64_t purged, expired, flawed;
	bool is_full;
};

static int
by_rank(const void *a, const void *b)
{
	const struct arrived *x = a, *y = b;

	return (x->rank > y->rank) - (x->rank < y->rank);
}

/* Whether the log that instances share is read to its end, or there is none. */
static bool
await_log(struct handover *h, const struct l2_stamp *stamp)
{
	const struct sharedlog *log = clerk_log(h->commons->clerk);
	int64_t until_ms = clock_mono_ms() + LOG_WAIT_MS;

	if ((stamp->epoch != 0) != has_shared_log(h->commons)) {
		log_info(
		    "the cache of the process before is dropped: it heard of purges elsewhere");
		return false;
	}
	while (stamp->epoch != 0 && !sharedlog_is_current(log, clock_mono_ms())) {
		if (atomic_load(&h->is_over))
			return false;
		if (clock_mono_ms() > until_ms) {
			log_warn("the cache of the process before is dropped: the purge log cannot "
				 "be read");
			return false;
		}
		usleep(LOG_LOOK_US);
	}
	if (stamp->epoch == 0 || sharedlog_is_of_epoch(log, stamp))
		return true;
	log_info("the cache of the process before is dropped: the purge log has begun anew");
	return false;
}

/* Whether no purge since it was written is about it; *log_pos_out: from where on the local log still has to say. */
static bool
is_valid(struct handover *h, const struct l2_stamp *stamp, const struct snapshot_item *item,
    uint64_t *log_pos_out)
{
	const struct sharedlog *log = clerk_log(h->commons->clerk);

	*log_pos_out = 0; /* all purges this process has taken */
	return stamp->epoch == 0 ||
	    sharedlog_judge(log, stamp, item->key, item->tags, clock_mono_ms(), log_pos_out);
}

/* What its origin said of queries, unless it has said something since: else a look-up would not know of the key. */
static void
learn_search_rule(struct commons *c, const struct snapshot_item *item)
{
	struct slice url = cache_key_url(item->key);
	char known[SEARCH_RULE_MAX];
	struct buf rule = {0};
	struct head head;

	if (!cache_key_is_loose(item->key))
		return;
	url.n = slice_index(url, '?');
	if (searchrules_find(c->searches, url, known).n == 0 && head_of_stored(&head, item->head) &&
	    search_rule_read(&head, &rule))
		searchrules_learn(c->searches, url, buf_slice(&rule));
	buf_fini(&rule);
}

static void
restore_one(struct handover *h, const struct snapshot_reader *r, const struct l2_stamp *stamp,
    const struct snapshot_item *item)
{
	struct commons *c = h->commons;
	uint64_t log_pos;
	struct object *o;

	if (item->left_ms <= 0) {
		h->expired++;
		return;
	}
	if (!is_valid(h, stamp, item, &log_pos)) {
		h->purged++;
		return;
	}
	if ((o = snapshot_object(r, item, store_slab(c->store), log_pos)) == NULL) {
		h->flawed++;
		return;
	}
	if (purgelog_judge(c->purges, o) == PURGE_GONE)
		h->purged++;
	else if (store_restore(c->store, o, item->is_main)) {
		if (h->count == h->cap) {
			h->cap = h->cap == 0 ? 1024 : h->cap * 2;
			h->arrived = must_realloc(h->arrived, h->cap * sizeof(*h->arrived));
		}
		h->arrived[h->count++] = (struct arrived){o, o->hash, item->rank};
		learn_search_rule(c, item);
		if (o->variants != NULL)
			recompress_note(c->recompress, o);
	}
	object_unref(&o);
}

/* Those that come are put behind all others as they come; at last in the order they had. */
static void
put_in_order(struct handover *h)
{
	if (h->count == 0)
		return;
	qsort(h->arrived, h->count, sizeof(*h->arrived), by_rank);
	for (size_t i = 0; i < h->count; i++)
		store_move_last(h->commons->store, h->arrived[i].hash, h->arrived[i].o);
	free(h->arrived);
	h->arrived = NULL;
}

/* How many of the best ranked there is room for. */
static uint64_t
places(const struct handover *h, const struct snapshot_reader *r)
{
	uint64_t limit = store_usage(h->commons->store).limit_bytes;
	uint64_t room = limit - limit / SPARED_DIVISOR, count = snapshot_count(r);

	if (snapshot_bytes(r) <= room)
		return count;
	return (uint64_t)((double)count * (double)room / (double)snapshot_bytes(r));
}

/* Nothing is evicted for the sake of what was: where there is less room than there used to be, the least worth keeping is left out. */
static void
restore_all(struct handover *h, struct snapshot_reader *r)
{
	struct l2_stamp stamp = snapshot_stamp(r);
	uint64_t evictions = store_usage(h->commons->store).evictions, most = places(h, r);
	struct snapshot_item item;
	bool is_full = false;

	h->is_full = most < snapshot_count(r);
	for (uint64_t i = 0; !atomic_load(&h->is_over) && !is_full; i++) {
		if (!snapshot_next(r, true, &item))
			break;
		if (item.rank < most)
			restore_one(h, r, &stamp, &item);
		if (i % FULL_LOOK == 0)
			is_full = store_usage(h->commons->store).evictions != evictions;
	}
	h->is_full |= is_full;
	put_in_order(h);
}

static void
tell(const struct handover *h, uint64_t of, int64_t took_ms)
{
	log_info(
	    "%zu of %llu objects are in the cache again, in %lld ms (%llu expired, %llu purged "
	    "meanwhile%s)",
	    h->count, (unsigned long long)of, (long long)took_ms, (unsigned long long)h->expired,
	    (unsigned long long)h->purged, h->is_full ? "; there is no room for more" : "");
	if (h->flawed > 0)
		log_warn("%llu objects of the process before could not be used",
		    (unsigned long long)h->flawed);
}

/* Whoever else has the descriptor, its memory is free again. */
static void
give_up(int *fd)
{
	if (ftruncate(*fd, 0) != 0)
		log_warn("the cache of the process before still takes memory: %s", strerror(errno));
	close(*fd);
	*fd = -1;
}

static void
restore(struct handover *h)
{
	struct snapshot_clocks now = clocks_now();
	struct snapshot_reader *r = NULL;
	enum snapshot_flaw flaw = snapshot_open(h->fd, &now, &r);
	struct l2_stamp stamp;
	int64_t began_ms;

	if (flaw != SNAPSHOT_none) {
		log_warn(
		    "the cache of the process before is refused: %s", snapshot_flaw_texts[flaw]);
		return;
	}
	stamp = snapshot_stamp(r);
	if (snapshot_use_up(h->fd) != 0)
		log_warn("the cache of the process before is dropped: %s", strerror(errno));
	else if (await_log(h, &stamp)) {
		began_ms = now.mono_ms;
		restore_all(h, r);
		tell(h, snapshot_count(r), clock_mono_ms() - began_ms);
	}
	snapshot_close(&r);
}

static void *
restore_main(void *arg)
{
	struct handover *h = arg;

	restore(h);
	give_up(&h->fd);
	return NULL;
}

/* Whoever could have written it could say what every client is answered with. NULL: it is as we leave it. */
static const char *
why_not_ours(int fd)
{
	struct stat st;

	if (fstat(fd, &st) != 0)
		return strerror(errno);
	if (!S_ISREG(st.st_mode))
		return "it is no file";
	if (st.st_uid != geteuid())
		return "it is another user's";
	if ((st.st_mode & (S_IRWXG | S_IRWXO)) != 0)
		return "others may read or write it";
	return st.st_nlink != 1 ? "it has another name, too" : NULL;
}

/* What a stop that was cut short has left is nothing. */
static int
take_file(const char *state_dir)
{
	char *path = path_in(state_dir, ""), *new = path_in(state_dir, ".new");
	int fd = open(path, O_RDWR | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);
	const char *why = fd != -1 ? why_not_ours(fd) : errno != ENOENT ? strerror(errno) : NULL;

	/* Left there it would be used again and again, and each time be older. */
	if ((fd != -1 || why != NULL) && unlink(path) != 0)
		why = strerror(errno);
	if (why != NULL)
		log_warn("the cache kept in %s is not used: %s", path, why);
	if (why != NULL && fd != -1) {
		close(fd);
		fd = -1;
	}
	unlink(new);
	free(new);
	free(path);
	return fd;
}

static int
take_what_is_left(struct notify *n, const char *state_dir)
{
	int fd = notify_handed_fd(FD_NAME), file = -1;

	if (fd != -1)
		notify_drop_fd(n, FD_NAME);
	if (state_dir != NULL)
		file = take_file(state_dir);
	if (fd == -1)
		return file;
	if (file != -1)
		give_up(&file);
	return fd;
}

struct handover *
handover_begin(struct commons *c, struct notify *n, const char *state_dir, bool is_wanted)
{
	int fd = take_what_is_left(n, state_dir);
	struct handover *h;

	if (fd == -1)
		return NULL;
	h = must_calloc(1, sizeof(*h));
	h->commons = c;
	h->fd = fd;
	if (is_wanted && thread_start(&h->thread, "restore", THREAD_PROMPT, restore_main, h) == 0)
		return h;
	give_up(&fd);
	free(h);
	return NULL;
}

void
handover_end(struct handover **hp)
{
	struct handover *h = *hp;

	*hp = NULL;
	if (h == NULL)
		return;
	atomic_store(&h->is_over, true);
	pthread_join(h->thread, NULL);
	free(h);
}
