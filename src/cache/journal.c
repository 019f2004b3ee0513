#include "cache/journal.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#define XXH_INLINE_ALL
#include <xxhash.h>

#include "base/buf.h"
#include "base/log.h"
#include "base/mem.h"
#include "cache/logbook.h"

#define FILE_MODE 0600
#define FACTS_BYTES 2	    /* kind and strength, before what is purged */
#define RECORD_MAX 0x100000 /* no record is longer */

struct journal {
	char *directory, *path, *path_new;
	int fd;
	size_t bytes; /* in the file, all records whole */
	struct buf added;
	bool is_all; /* what was added is too much: the file becomes one purge of everything */
};

struct record_head {
	uint32_t length;   /* of what follows */
	uint32_t opposite; /* ~length: where both agree, a record that is too short was cut */
	uint64_t sum;	   /* of what follows */
};

/* --- records --- */

static void
record_write(struct buf *out, const struct purge *p)
{
	uint32_t length = (uint32_t)(FACTS_BYTES + p->what.n);
	struct record_head head = {.length = length, .opposite = ~length};
	size_t at = out->n;
	char facts[FACTS_BYTES] = {log_kind_letter(p->kind), p->soft ? 's' : 'h'};

	buf_add(out, &head, sizeof(head));
	buf_add(out, facts, sizeof(facts));
	buf_add_slice(out, p->what);
	head.sum = XXH3_64bits(out->p + at + sizeof(head), head.length);
	memcpy(out->p + at, &head, sizeof(head));
}

enum record_next { RECORD_ONE, RECORD_END, RECORD_CUT, RECORD_BAD };

static enum record_next
record_read(struct slice *rest, struct purge *out)
{
	struct record_head head;
	struct slice body;

	if (rest->n == 0)
		return RECORD_END;
	if (rest->n < sizeof(head))
		return RECORD_CUT;
	memcpy(&head, rest->p, sizeof(head));
	if (head.length < FACTS_BYTES || head.length > RECORD_MAX || head.opposite != ~head.length)
		return RECORD_BAD;
	if (rest->n < sizeof(head) + head.length)
		return RECORD_CUT;
	body = slice_of(rest->p + sizeof(head), head.length);
	*out = (struct purge){.soft = body.p[1] == 's', .what = slice_skip(body, FACTS_BYTES)};
	if (XXH3_64bits(body.p, body.n) != head.sum || !log_kind_of(body.p[0], &out->kind))
		return RECORD_BAD;
	*rest = slice_skip(*rest, sizeof(head) + head.length);
	return RECORD_ONE;
}

/* --- the file --- */

static int
write_all(int fd, struct slice s)
{
	while (s.n > 0) {
		ssize_t n = write(fd, s.p, s.n);

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return -1;
		s = slice_skip(s, (size_t)n);
	}
	return 0;
}

/* A file that is new is there after a crash only when its directory is on the disk, too. */
static int
sync_directory(const struct journal *j)
{
	int fd = open(j->directory, O_RDONLY | O_DIRECTORY | O_CLOEXEC), r;

	if (fd < 0)
		return -1;
	r = fsync(fd);
	close(fd);
	return r;
}

/* The file becomes one purge of everything: a new one takes its place, so that there is always one of both. Once it has, it is
 * the journal, whether the disk knows of that already or (-1) may not. */
static int
replace_by_all(struct journal *j)
{
	int fd = open(j->path_new, O_RDWR | O_CREAT | O_TRUNC | O_APPEND | O_CLOEXEC, FILE_MODE);
	const struct purge all = {.kind = PURGE_ALL};
	struct buf b = {0};
	int r = -1;

	if (fd < 0)
		return -1;
	record_write(&b, &all);
	if (write_all(fd, buf_slice(&b)) == 0 && fsync(fd) == 0 &&
	    rename(j->path_new, j->path) == 0) {
		close(j->fd);
		j->fd = fd;
		j->bytes = b.n;
		r = sync_directory(j);
	} else
		close(fd);
	buf_fini(&b);
	return r;
}

static int
read_whole(int fd, struct buf *out)
{
	char bytes[65536];
	ssize_t n;

	while ((n = read(fd, bytes, sizeof(bytes))) != 0) {
		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return -1;
		buf_add(out, bytes, (size_t)n);
	}
	return 0;
}

static int
read_records(struct journal *j, void (*see)(void *arg, const struct purge *p), void *arg)
{
	const struct purge all = {.kind = PURGE_ALL};
	struct buf b = {0};
	struct slice rest;
	struct purge p;
	enum record_next next;
	int r = read_whole(j->fd, &b);

	rest = buf_slice(&b);
	while (r == 0 && (next = record_read(&rest, &p)) == RECORD_ONE)
		see(arg, &p);
	j->bytes = b.n - rest.n;
	if (r == 0 && next == RECORD_BAD) {
		log_error("%s is damaged: everything counts as purged", j->path);
		see(arg, &all);
		r = replace_by_all(j);
	} else if (r == 0 && next == RECORD_CUT)
		r = ftruncate(j->fd, (off_t)j->bytes);
	buf_fini(&b);
	return r;
}

static char *
path_of(const char *directory, const char *name)
{
	char *path;

	if (asprintf(&path, "%s/%s", directory, name) < 0)
		bug("no memory for a path");
	return path;
}

struct journal *
journal_open(const char *directory, void (*see)(void *arg, const struct purge *p), void *arg)
{
	struct journal *j = must_calloc(1, sizeof(*j));
	int e;

	j->directory = must_strdup(directory);
	j->path = path_of(directory, "purges.journal");
	j->path_new = path_of(directory, "purges.journal.new");
	j->fd = open(j->path, O_RDWR | O_CREAT | O_APPEND | O_CLOEXEC, FILE_MODE);
	if (j->fd >= 0 && sync_directory(j) == 0 && read_records(j, see, arg) == 0)
		return j;
	e = errno;
	journal_close(&j);
	errno = e;
	return NULL;
}

void
journal_close(struct journal **jp)
{
	struct journal *j = *jp;

	*jp = NULL;
	if (j == NULL)
		return;
	if (j->fd >= 0)
		close(j->fd);
	buf_fini(&j->added);
	free(j->directory);
	free(j->path);
	free(j->path_new);
	free(j);
}

void
journal_add(struct journal *j, const struct purge *p)
{
	if (j->bytes + j->added.n + p->what.n > JOURNAL_BYTES_MAX || p->what.n > RECORD_MAX / 2)
		j->is_all = true;
	if (!j->is_all)
		record_write(&j->added, p);
}

/* After a failure the file ends where it did before: half a record in its middle would damage it. Where it cannot be cut it is
 * replaced, the next time. */
int
journal_sync(struct journal *j)
{
	int e;

	if (j->is_all ? replace_by_all(j) == 0
		      : write_all(j->fd, buf_slice(&j->added)) == 0 && fdatasync(j->fd) == 0) {
		j->bytes += j->is_all ? 0 : j->added.n;
		j->added.n = 0;
		j->is_all = false;
		return 0;
	}
	e = errno;
	if (ftruncate(j->fd, (off_t)j->bytes) != 0) {
		log_error("%s cannot be cut: %s", j->path, strerror(errno));
		j->is_all = true;
	}
	j->added.n = 0;
	errno = e;
	return -1;
}

void
journal_empty(struct journal *j)
{
	j->added.n = 0;
	j->is_all = false;
	if (j->bytes > 0 && ftruncate(j->fd, 0) == 0)
		j->bytes = 0;
}

bool
journal_is_empty(const struct journal *j)
{
	return j->bytes == 0;
}

const char *
journal_path(const struct journal *j)
{
	return j->path;
}
