#include "server/accesslog.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <poll.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <time.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/log.h"
#include "base/mem.h"
#include "base/thread.h"

#define GATHER_MS \
	100 /* a line is in the file after that at the latest, while the file takes lines */
#define RETRY_MS 1000 /* after a failure */
#define READER_MS 100 /* how long a pipe's reader is waited for */
#define DROPS_SAID_MS 10000
#define LINE 64

/* One worker's lines. Positions only grow; position & (size - 1) is the place. */
struct ring {
	/* the worker's */
	_Alignas(LINE) _Atomic uint64_t tail; /* filled up to here */
	uint64_t head_seen;		      /* head when it was last looked at */
	_Atomic uint64_t lines, dropped;
	char *bytes;
	char *scratch; /* the line being made */
	struct access_stamp stamp;
	/* the writer's */
	_Alignas(LINE) _Atomic uint64_t head; /* written up to here */
	uint64_t until;			      /* what this round writes */
	bool is_cut;			      /* head stands within a line */
};

struct accesslog {
	unsigned workers;
	size_t ring_bytes;
	struct ring *rings;
	_Atomic int format;
	_Atomic bool asleep; /* the writer sleeps until it is woken: the next line does it */
	_Atomic bool urged;  /* a ring is half full, and the writer knows or is about to */
	_Atomic bool stop;
	int wake_fd;
	pthread_t writer;
	_Atomic uint64_t bytes, errors;

	/* the writer's */
	int fd;
	bool is_regular;
	bool in_trouble;
	unsigned first; /* ring the next round begins with */
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

/* How much of the ring is filled, as far as the worker needs to know: exact when n would not fit otherwise. */
static uint64_t
ring_used(struct accesslog *a, struct ring *r, uint64_t tail, size_t n)
{
	if (tail + n - r->head_seen > a->ring_bytes / 2)
		r->head_seen = atomic_load_explicit(&r->head, memory_order_acquire);
	return tail - r->head_seen;
}

static void
ring_fill(struct accesslog *a, struct ring *r, uint64_t at, const char *p, size_t n)
{
	size_t place = at & (a->ring_bytes - 1);
	size_t first = n < a->ring_bytes - place ? n : a->ring_bytes - place;

	memcpy(r->bytes + place, p, first);
	memcpy(r->bytes, p + first, n - first);
}

void
accesslog_write(struct accesslog *a, unsigned worker, const struct outcome *out)
{
	struct ring *r = &a->rings[worker];
	uint64_t tail = atomic_load_explicit(&r->tail, memory_order_relaxed), used;
	size_t n;

	n = access_line(r->scratch,
	    (enum access_format)atomic_load_explicit(&a->format, memory_order_relaxed), &r->stamp,
	    out);
	count(&r->lines, 1);
	used = ring_used(a, r, tail, n);
	if (used + n > a->ring_bytes) {
		count(&r->dropped, 1);
		return;
	}
	ring_fill(a, r, tail, r->scratch, n);
	/* Sequentially consistent with the writer's "asleep, then look": one of the two sees the other. */
	atomic_store(&r->tail, tail + n);
	if (atomic_load(&a->asleep) && atomic_exchange(&a->asleep, false))
		wake(a);
	else if (used + n > a->ring_bytes / 2 &&
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
		sum += atomic_load_explicit(&a->rings[i].dropped, memory_order_relaxed);
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

/* A line that an old file has the beginning of is of no use in the new one. */
static void
skip_cut_lines(struct accesslog *a)
{
	for (unsigned i = 0; i < a->workers; i++) {
		struct ring *r = &a->rings[i];
		uint64_t head = atomic_load_explicit(&r->head, memory_order_relaxed);

		while (r->is_cut)
			r->is_cut = r->bytes[head++ & (a->ring_bytes - 1)] != '\n';
		atomic_store_explicit(&r->head, head, memory_order_release);
	}
}

static void
use_fd(struct accesslog *a, int fd)
{
	struct stat st;

	if (a->fd >= 0)
		close(a->fd);
	a->fd = fd;
	a->is_regular = fstat(fd, &st) == 0 && S_ISREG(st.st_mode);
	skip_cut_lines(a);
}

static void
trouble(struct accesslog *a, const char *what)
{
	if (!a->in_trouble)
		log_error("access log: %s; lines are kept as far as there is room, and tried again",
		    what);
	a->in_trouble = true;
}

/* One write of what lies at head. False when the file takes nothing. */
static bool
write_some(struct accesslog *a, struct ring *r, uint64_t head)
{
	size_t place = head & (a->ring_bytes - 1), most = r->until - head;
	struct pollfd ready = {a->fd, POLLOUT, 0};
	struct iovec iov[2];
	size_t first;
	ssize_t n;

	/* A pipe that may be written takes PIPE_BUF bytes without blocking, whatever its flags. */
	if (!a->is_regular) {
		most = most < PIPE_BUF ? most : PIPE_BUF;
		if (poll(&ready, 1, READER_MS) == 0) {
			trouble(a, "nobody reads it");
			return false;
		}
	}
	first = most < a->ring_bytes - place ? most : a->ring_bytes - place;
	iov[0] = (struct iovec){r->bytes + place, first};
	iov[1] = (struct iovec){r->bytes, most - first};
	do {
		n = writev(a->fd, iov, most > first ? 2 : 1);
	} while (n < 0 && errno == EINTR);
	if (n <= 0) {
		count(&a->errors, 1);
		trouble(a, n < 0 ? strerror(errno) : "it takes nothing");
		return false;
	}
	count(&a->bytes, (uint64_t)n);
	head += (uint64_t)n;
	r->is_cut = r->bytes[(head - 1) & (a->ring_bytes - 1)] != '\n';
	atomic_store_explicit(&r->head, head, memory_order_release);
	return true;
}

static bool
write_ring(struct accesslog *a, struct ring *r)
{
	uint64_t head;

	while ((head = atomic_load_explicit(&r->head, memory_order_relaxed)) < r->until)
		if (!write_some(a, r, head))
			return false;
	return true;
}

/* Writes what the rings hold now. False when the file did not take it all. A ring whose line was cut comes first next
 * time, so that no other line gets in between. */
static bool
write_round(struct accesslog *a)
{
	for (unsigned i = 0; i < a->workers; i++)
		a->rings[i].until = atomic_load(&a->rings[i].tail);
	for (unsigned i = 0; i < a->workers; i++) {
		unsigned at = (a->first + i) % a->workers;

		if (!write_ring(a, &a->rings[at])) {
			a->first = at;
			return false;
		}
	}
	if (a->in_trouble)
		log_info("access log: lines are written again");
	a->in_trouble = false;
	atomic_store_explicit(&a->urged, false, memory_order_relaxed);
	return true;
}

static bool
has_lines(struct accesslog *a)
{
	for (unsigned i = 0; i < a->workers; i++)
		if (atomic_load(&a->rings[i].tail) != atomic_load(&a->rings[i].head))
			return true;
	return false;
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
	if (a->in_trouble)
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
		use_fd(a, o.fd);
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

static int
open_log(const char *path)
{
	/* /dev/stdout cannot be opened where it is a socket or another user's pipe. */
	if (strcmp(path, "-") == 0 || strcmp(path, "stdout") == 0 ||
	    strcmp(path, "/dev/stdout") == 0)
		return fcntl(STDOUT_FILENO, F_DUPFD_CLOEXEC, 3);
	/* Non-blocking is for a FIFO that nobody reads: it is refused instead of waited for. */
	return open(path, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC | O_NONBLOCK | O_NOCTTY, 0640);
}

static void
rings_init(struct accesslog *a)
{
	a->rings = aligned_alloc(LINE, a->workers * sizeof(*a->rings));
	if (a->rings == NULL)
		bug("no memory for the access log's rings");
	memset(a->rings, 0, a->workers * sizeof(*a->rings));
	for (unsigned i = 0; i < a->workers; i++) {
		a->rings[i].bytes = must_malloc(a->ring_bytes);
		a->rings[i].scratch = must_malloc(ACCESS_LINE_MAX);
	}
}

static void
accesslog_destroy(struct accesslog *a)
{
	for (unsigned i = 0; i < a->workers; i++) {
		free(a->rings[i].bytes);
		free(a->rings[i].scratch);
	}
	free(a->rings);
	pthread_cond_destroy(&a->done);
	pthread_mutex_destroy(&a->lock);
	if (a->next_fd >= 0)
		close(a->next_fd);
	if (a->fd >= 0)
		close(a->fd);
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
	struct accesslog *a = must_calloc(1, sizeof(*a));
	int e, fd;

	a->workers = conf->workers;
	a->ring_bytes = conf->ring_bytes == 0 ? ACCESS_RING_BYTES : conf->ring_bytes;
	assert((a->ring_bytes & (a->ring_bytes - 1)) == 0 &&
	    a->ring_bytes >= 2 * (size_t)ACCESS_LINE_MAX);
	a->format = (int)conf->format;
	a->path = must_strdup(conf->path);
	a->fd = a->next_fd = -1;
	a->wake_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	locks_init(a);
	rings_init(a);
	fd = a->wake_fd < 0 ? -1 : open_log(a->path);
	if (fd < 0)
		goto fail;
	use_fd(a, fd);
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
	int fd = open_log(path);

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
		c.lines += atomic_load_explicit(&a->rings[i].lines, memory_order_relaxed);
	c.dropped = sum_dropped(a);
	c.bytes = atomic_load_explicit(&a->bytes, memory_order_relaxed);
	c.errors = atomic_load_explicit(&a->errors, memory_order_relaxed);
	return c;
}
