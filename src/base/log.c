#include "base/log.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <sys/uio.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/mem.h"

#define LINE_BYTES 2048
#define LINES_PER_S 20

_Atomic int log_level_now = LOG_LEVEL_INFO;

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static char *log_path;
static int log_fd = STDERR_FILENO;
static struct {
	int64_t second;
	unsigned written, dropped;
} pace[LOG_LEVEL_DEBUG + 1];

static const struct {
	const char *word;
	char journal; /* priority of sd-daemon(3) */
} levels[] = {
    [LOG_LEVEL_ERROR] = {"error", '3'},
    [LOG_LEVEL_WARN] = {"warning", '4'},
    [LOG_LEVEL_INFO] = {"info", '6'},
    [LOG_LEVEL_DEBUG] = {"debug", '7'},
};

/* Whether the line may be written now; tells how many were not since the last that was. */
static bool
pace_allows(enum log_level level, int64_t now_ms, unsigned *dropped_out)
{
	*dropped_out = 0;
	if (level == LOG_LEVEL_ERROR || level == LOG_LEVEL_DEBUG)
		return true;
	if (pace[level].second != now_ms / 1000) {
		*dropped_out = pace[level].dropped;
		pace[level].second = now_ms / 1000;
		pace[level].written = pace[level].dropped = 0;
	}
	if (pace[level].written >= LINES_PER_S) {
		pace[level].dropped++;
		return false;
	}
	pace[level].written++;
	return true;
}

static size_t
start_line(char *line, enum log_level level, int64_t now_ms)
{
	time_t s = now_ms / 1000;
	struct tm tm;
	size_t n;

	if (log_path == NULL && getenv("JOURNAL_STREAM") != NULL)
		return (size_t)sprintf(line, "<%c>", levels[level].journal);
	gmtime_r(&s, &tm);
	n = strftime(line, LINE_BYTES, "%Y-%m-%dT%H:%M:%S", &tm);
	return n +
	    (size_t)sprintf(line + n, ".%03dZ %s: ", (int)(now_ms % 1000), levels[level].word);
}

void
log_line(enum log_level level, const char *fmt, ...)
{
	char line[LINE_BYTES];
	int64_t now_ms = clock_wall_ms();
	unsigned dropped;
	size_t n, room;
	va_list ap;
	int len;

	if ((int)level > log_level_now)
		return;
	pthread_mutex_lock(&lock);
	if (!pace_allows(level, now_ms, &dropped)) {
		pthread_mutex_unlock(&lock);
		return;
	}
	n = start_line(line, level, now_ms);
	room = sizeof(line) - n - 40;
	va_start(ap, fmt);
	len = vsnprintf(line + n, room, fmt, ap);
	va_end(ap);
	n += len < 0 ? 0 : (size_t)len < room ? (size_t)len : room - 1;
	if (dropped > 0)
		n += (size_t)sprintf(line + n, " (%u more left out)", dropped);
	line[n++] = '\n';
	/* A log that cannot be written (disk full, reader gone) has nobody to complain to. */
	if (write(log_fd, line, n) < 0)
		pace[level].dropped++;
	pthread_mutex_unlock(&lock);
}

void
log_whole(const char *text)
{
	char start[LINE_BYTES];
	struct iovec parts[3] = {
	    {start, 0}, {(void *)(uintptr_t)text, strlen(text)}, {(void *)(uintptr_t) "\n", 1}};

	pthread_mutex_lock(&lock);
	parts[0].iov_len = start_line(start, LOG_LEVEL_INFO, clock_wall_ms());
	if (writev(log_fd, parts, 3) < 0)
		pace[LOG_LEVEL_INFO].dropped++;
	pthread_mutex_unlock(&lock);
}

void
log_set_level(enum log_level level)
{
	log_level_now = level;
}

static int
open_path(const char *path)
{
	return open(path, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0640);
}

int
log_set_path(const char *path)
{
	int fd = STDERR_FILENO;

	if (path != NULL && (fd = open_path(path)) < 0)
		return -1;
	pthread_mutex_lock(&lock);
	if (log_fd != STDERR_FILENO)
		close(log_fd);
	free(log_path);
	log_path = path == NULL ? NULL : must_strdup(path);
	log_fd = fd;
	pthread_mutex_unlock(&lock);
	return 0;
}

int
log_reopen(void)
{
	int fd, e;

	pthread_mutex_lock(&lock);
	fd = log_path == NULL ? STDERR_FILENO : open_path(log_path);
	e = errno;
	if (fd >= 0 && log_path != NULL) {
		close(log_fd);
		log_fd = fd;
	}
	pthread_mutex_unlock(&lock);
	errno = e;
	return fd < 0 ? -1 : 0;
}
