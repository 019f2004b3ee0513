#include "server/accessfile.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/log.h"
#include "base/mem.h"
#include "server/accessline.h"

#define GATHER_BYTES ((size_t)64 << 10)
#define READER_MS 100 /* how long a pipe's reader is waited for */

int
accessfile_open(const char *path)
{
	/* /dev/stdout cannot be opened where it is a socket or another user's pipe. */
	if (strcmp(path, "-") == 0 || strcmp(path, "stdout") == 0 ||
	    strcmp(path, "/dev/stdout") == 0)
		return fcntl(STDOUT_FILENO, F_DUPFD_CLOEXEC, 3);
	/* Non-blocking is for a FIFO that nobody reads: it is refused instead of waited for. */
	return open(path, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC | O_NONBLOCK | O_NOCTTY, 0640);
}

void
accessfile_init(struct accessfile *f)
{
	*f = (struct accessfile){.fd = -1, .bytes = must_malloc(GATHER_BYTES + ACCESS_LINE_MAX)};
}

void
accessfile_fini(struct accessfile *f)
{
	if (f->fd >= 0)
		close(f->fd);
	free(f->bytes);
}

void
accessfile_use(struct accessfile *f, int fd)
{
	struct stat st;

	if (f->fd >= 0)
		close(f->fd);
	f->fd = fd;
	f->is_regular = fstat(fd, &st) == 0 && S_ISREG(st.st_mode);
	/* A line that the old file has the beginning of is of no use in the new one. */
	while (f->is_cut)
		f->is_cut = f->bytes[f->from++] != '\n';
}

char *
accessfile_room(struct accessfile *f)
{
	return f->until < GATHER_BYTES ? f->bytes + f->until : NULL;
}

void
accessfile_add(struct accessfile *f, size_t n)
{
	f->until += n;
}

static void
count(_Atomic uint64_t *c, uint64_t n)
{
	atomic_store_explicit(
	    c, atomic_load_explicit(c, memory_order_relaxed) + n, memory_order_relaxed);
}

static void
trouble(struct accessfile *f, const char *what)
{
	if (!f->in_trouble)
		log_error("access log: %s; lines are kept as far as there is room, and tried again",
		    what);
	f->in_trouble = true;
}

void
accessfile_is_well(struct accessfile *f)
{
	if (f->in_trouble)
		log_info("access log: lines are written again");
	f->in_trouble = false;
}

/* False when the file takes nothing. */
static bool
write_some(struct accessfile *f)
{
	struct pollfd ready = {f->fd, POLLOUT, 0};
	size_t most = f->until - f->from;
	ssize_t n;

	/* A pipe that may be written takes PIPE_BUF bytes without blocking, whatever its flags. */
	if (!f->is_regular) {
		most = most < PIPE_BUF ? most : PIPE_BUF;
		if (poll(&ready, 1, READER_MS) == 0) {
			trouble(f, "nobody reads it");
			return false;
		}
	}
	do {
		n = write(f->fd, f->bytes + f->from, most);
	} while (n < 0 && errno == EINTR);
	if (n <= 0) {
		count(&f->errors, 1);
		trouble(f, n < 0 ? strerror(errno) : "it takes nothing");
		return false;
	}
	count(&f->written, (uint64_t)n);
	f->from += (size_t)n;
	f->is_cut = f->bytes[f->from - 1] != '\n';
	return true;
}

bool
accessfile_write(struct accessfile *f)
{
	while (f->from < f->until)
		if (!write_some(f))
			return false;
	f->from = f->until = 0;
	return true;
}
