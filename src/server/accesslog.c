#include "server/accesslog.h"

#include <assert.h>
#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <time.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/log.h"
#include "base/mem.h"
#include "base/thread.h"
#include "server/accessfile.h"
#include "server/accessrecord.h"

#define GATHER_MS \
	100 /* a line is in the file after that at the latest, while the file takes lines */
#define RETRY_MS 1000 /* after a failure */
#define DROPS_SAID_MS 10000

/* What the log has of one worker. */
struct source {
	struct access_ring ring;
	/* the worker's */
	_Alignas(ACCESS_RING_LINE) _Atomic uint64_t lines, dropped;
	char *room; /* for texts that are cut */
	/* the writer's */
	_Alignas(ACCESS_RING_LINE) struct access_stamp stamp;
	uint64_t until; /* what this round writes */
};

struct accesslog {
	unsigned workers;
	struct source *sources;
	_Atomic int format;
	_Atomic bool asleep; /* the writer sleeps until it is woken: the next line does it */
	_Atomic bool urged;  /* a ring is half full, and the writer knows or is about to */
	_Atomic bool stop;
	int wake_fd;
	pthread_t writer;

	/* the writer's, but for its counts */
	struct accessfile file;
	uint64_t dropped_said;
	int64_t dropped_said_ms;

	/* Between the control thread and the writer, under lock */
	pthread_mutex_t lock;
	pthread_cond_t done;
	char *path;
	int next_fd; /* to be used from now on; -1: none */
	uint64_t flush_asked, flush_done;
	bool flush_failed;
};

/* The worker's side */

static void
wake(struct accesslog *a)
{
	const uint64_t one = 1;

	/* A full eventfd is one that wakes. */
	if (write(a->wake_fd, &one, sizeof(one)) < 0 && errno != EAGAIN)
		bug("eventfd: %s", strerror(errno));
}

static void
count(_Atomic uint64_t *c, uint64_t n)
{
	atomic_store_explicit(
	    c, atomic_load_explicit(c, memory_order_relaxed) + n, memory_order_relaxed);
}

void
accesslog_write(struct accesslog *a, unsigned worker, const struct outcome *out)
{
	struct source *s = &a->sources[worker];
	int format = atomic_load_explicit(&a->format, memory_order_relaxed);

	count(&s->lines, 1);
	if (!access_record_put(&s->ring, (enum access_format)format, out, s->room))
		count(&s->dropped, 1);
	else if (atomic_load(&a->asleep) && atomic_exchange(&a->asleep, false))
		wake(a);
	else if (access_ring_is_half_full(&s->ring) &&
	    !atomic_load_explicit(&a->urged, memory_order_relaxed) &&
	    !atomic_exchange(&a->urged, true))
		wake(a);
}

/* The writer's side */

static uint64_t
sum_dropped(struct accesslog *a)
{
	uint64_t sum = 0;

	for (unsigned i = 0; i < a->workers; i++)
		sum += atomic_load_explicit(&a->sources[i].dropped, memory_order_relaxed);
	return sum;
}

static void
say_drops(struct accesslog *a, int64_t now_ms, bool is_last)
{
	uint64_t dropped = sum_dropped(a);

	if (dropped == a->dropped_said ||
	    (!is_last && a->dropped_said > 0 && now_ms - a->dropped_said_ms < DROPS_SAID_MS))
		return;
	log_warn("access log: %llu lines lost, the file does not take them as fast as they come",
	    (unsigned long long)(dropped - a->dropped_said));
	a->dropped_said = dropped;
	a->dropped_said_ms = now_ms;
}

/* The lines that a worker has left since, as far as there is room for them. */
static bool
write_source(struct accesslog *a, struct source *s)
{
	const struct access_frame *f;
	struct outcome out = {0};

	while ((f = access_ring_first(&s->ring, s->until)) != NULL) {
		char *at = accessfile_room(&a->file);
		enum access_format format;

		if (at == NULL) {
			if (!accessfile_write(&a->file))
				return false;
			continue;
		}
		format = access_record_read(f, &out);
		accessfile_add(&a->file, access_line(at, format, &s->stamp, &out));
		access_ring_drop(&s->ring, f);
	}
	return true;
}

/* Writes what the rings hold now. False when the file did not take it all. */
static bool
write_round(struct accesslog *a)
{
	for (unsigned i = 0; i < a->workers; i++)
		a->sources[i].until = access_ring_until(&a->sources[i].ring);
	for (unsigned i = 0; i < a->workers; i++)
		if (!write_source(a, &a->sources[i]))
			return false;
	if (!accessfile_write(&a->file))
		return false;
	accessfile_is_well(&a->file);
	atomic_store_explicit(&a->urged, false, memory_order_relaxed);
	return true;
}

static bool
has_lines(struct accesslog *a)
{
	for (unsigned i = 0; i < a->workers; i++)
		if (!access_ring_is_empty(&a->sources[i].ring))
			return true;
	return !accessfile_is_empty(&a->file);
}

static bool
has_orders(struct accesslog *a)
{
	bool any;

	pthread_mutex_lock(&a->lock);
	any = a->next_fd >= 0 || a->flush_asked != a->flush_done;
	pthread_mutex_unlock(&a->lock);
	return any || atomic_load(&a->stop);
}

static void
rest(struct accesslog *a, int ms)
{
	struct pollfd p = {a->wake_fd, POLLIN, 0};
	uint64_t drained;

	if (poll(&p, 1, ms) > 0 && read(a->wake_fd, &drained, sizeof(drained)) < 0 &&
	    errno != EAGAIN)
		bug("eventfd: %s", strerror(errno));
}

/* Until there is something to write, and then a little longer, so that it becomes more. */
static void
await_work(struct accesslog *a)
{
	while (!has_lines(a) && !has_orders(a)) {
		atomic_store(&a->asleep, true);
		if (!has_lines(a) && !has_orders(a))
			rest(a, -1);
		atomic_store(&a->asleep, false);
	}
	if (has_orders(a))
		return;
	if (a->file.in_trouble)
		rest(a, RETRY_MS);
	else if (!atomic_load_explicit(&a->urged, memory_order_relaxed))
		rest(a, GATHER_MS);
}

/* What the control thread wants, taken before the round, so that the round holds every line handed over earlier. */
struct orders {
	uint64_t flush;
	int fd; /* -1: no other file */
};

static struct orders
take_orders(struct accesslog *a)
{
	struct orders o;

	pthread_mutex_lock(&a->lock);
	o = (struct orders){a->flush_asked, a->next_fd};
	a->next_fd = -1;
	pthread_mutex_unlock(&a->lock);
	return o;
}

static void
tell_flushed(struct accesslog *a, uint64_t flush, bool is_written)
{
	pthread_mutex_lock(&a->lock);
	a->flush_done = flush;
	a->flush_failed = !is_written;
	pthread_cond_broadcast(&a->done);
	pthread_mutex_unlock(&a->lock);
}

static void
work(struct accesslog *a)
{
	bool stop = atomic_load(&a->stop), is_written;
	struct orders o = take_orders(a);

	is_written = write_round(a);
	if (o.fd >= 0) {
		accessfile_use(&a->file, o.fd);
		if (!is_written) /* perhaps this one takes them */
			is_written = write_round(a);
	}
	tell_flushed(a, o.flush, is_written);
	say_drops(a, clock_mono_ms(), stop);
	if (stop && !is_written)
		log_warn("access log: the last lines could not be written");
}

static void *
writer_run(void *arg)
{
	struct accesslog *a = arg;
	bool stop;

	do {
		await_work(a);
		stop = atomic_load(&a->stop);
		work(a);
	} while (!stop);
	return NULL;
}

/* The control thread's side */

static void
sources_init(struct accesslog *a, size_t ring_bytes)
{
	a->sources = aligned_alloc(ACCESS_RING_LINE, a->workers * sizeof(*a->sources));
	if (a->sources == NULL)
		bug("no memory for the access log's rings");
	memset(a->sources, 0, a->workers * sizeof(*a->sources));
	for (unsigned i = 0; i < a->workers; i++) {
		access_ring_init(&a->sources[i].ring, ring_bytes);
		a->sources[i].room = must_malloc(ACCESS_RECORD_ROOM);
	}
}

static void
accesslog_destroy(struct accesslog *a)
{
	for (unsigned i = 0; i < a->workers; i++) {
		access_ring_fini(&a->sources[i].ring);
		free(a->sources[i].room);
	}
	free(a->sources);
	pthread_cond_destroy(&a->done);
	pthread_mutex_destroy(&a->lock);
	if (a->next_fd >= 0)
		close(a->next_fd);
	accessfile_fini(&a->file);
	if (a->wake_fd >= 0)
		close(a->wake_fd);
	free(a->path);
	free(a);
}

static void
locks_init(struct accesslog *a)
{
	pthread_condattr_t attr;

	pthread_mutex_init(&a->lock, NULL);
	pthread_condattr_init(&attr);
	pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
	pthread_cond_init(&a->done, &attr);
	pthread_condattr_destroy(&attr);
}

struct accesslog *
accesslog_new(const struct accesslog_conf *conf)
{
	size_t ring_bytes = conf->ring_bytes == 0 ? ACCESS_RING_BYTES : conf->ring_bytes;
	struct accesslog *a = must_calloc(1, sizeof(*a));
	int e, fd;

	a->workers = conf->workers;
	assert(ring_bytes >= 2 * ACCESS_RECORD_MAX);
	a->format = (int)conf->format;
	a->path = must_strdup(conf->path);
	a->next_fd = -1;
	a->wake_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	locks_init(a);
	sources_init(a, ring_bytes);
	accessfile_init(&a->file);
	fd = a->wake_fd < 0 ? -1 : accessfile_open(a->path);
	if (fd < 0)
		goto fail;
	accessfile_use(&a->file, fd);
	if (thread_start(&a->writer, "accesslog", THREAD_BEHIND, writer_run, a) < 0)
		goto fail;
	return a;
fail:
	e = errno;
	accesslog_destroy(a);
	errno = e;
	return NULL;
}

void
accesslog_free(struct accesslog **ap)
{
	struct accesslog *a = *ap;

	*ap = NULL;
	if (a == NULL)
		return;
	atomic_store(&a->stop, true);
	wake(a);
	pthread_join(a->writer, NULL);
	accesslog_destroy(a);
}

/* The writer is to use the file at path from the next round on. Under lock. */
static int
open_next(struct accesslog *a, const char *path)
{
	int fd = accessfile_open(path);

	if (fd < 0)
		return -1;
	if (a->next_fd >= 0)
		close(a->next_fd);
	a->next_fd = fd;
	return 0;
}

int
accesslog_reopen(struct accesslog *a)
{
	int result;

	pthread_mutex_lock(&a->lock);
	result = open_next(a, a->path);
	pthread_mutex_unlock(&a->lock);
	if (result == 0)
		wake(a);
	return result;
}

int
accesslog_change(struct accesslog *a, const char *path, enum access_format format)
{
	char *copy = must_strdup(path);
	int result = 0;

	pthread_mutex_lock(&a->lock);
	if (strcmp(path, a->path) != 0)
		result = open_next(a, path);
	if (result == 0) {
		free(a->path);
		a->path = copy;
	}
	pthread_mutex_unlock(&a->lock);
	if (result < 0) {
		free(copy);
		return -1;
	}
	atomic_store(&a->format, (int)format);
	wake(a);
	return 0;
}

int
accesslog_flush(struct accesslog *a, int64_t timeout_ms)
{
	struct timespec until;
	uint64_t mine;
	bool is_written;

	clock_gettime(CLOCK_MONOTONIC, &until);
	until.tv_sec += timeout_ms / 1000;
	until.tv_nsec += timeout_ms % 1000 * 1000000;
	if (until.tv_nsec >= 1000000000)
		until.tv_sec++, until.tv_nsec -= 1000000000;
	pthread_mutex_lock(&a->lock);
	mine = ++a->flush_asked;
	wake(a);
	while (a->flush_done < mine)
		if (pthread_cond_timedwait(&a->done, &a->lock, &until) == ETIMEDOUT)
			break;
	is_written = a->flush_done >= mine && !a->flush_failed;
	pthread_mutex_unlock(&a->lock);
	return is_written ? 0 : -1;
}

struct accesslog_counts
accesslog_counts(struct accesslog *a)
{
	struct accesslog_counts c = {0};

	for (unsigned i = 0; i < a->workers; i++)
		c.lines += atomic_load_explicit(&a->sources[i].lines, memory_order_relaxed);
	c.dropped = sum_dropped(a);
	c.bytes = atomic_load_explicit(&a->file.written, memory_order_relaxed);
	c.errors = atomic_load_explicit(&a->file.errors, memory_order_relaxed);
	return c;
}
