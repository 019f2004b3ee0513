#include "server/audit.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/list.h"
#include "base/log.h"
#include "base/mem.h"
#include "base/thread.h"
#include "server/exchange_priv.h"

#define USER_BYTES_MAX 64

struct line {
	struct link link;
	char text[]; /* ends with NUL */
};

/* The file. */
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static char *path_now;
static _Atomic int fd_now = -1;

/* What waits for it, and who writes it. */
static struct {
	pthread_mutex_t lock;
	pthread_cond_t came;
	struct link lines; /* struct line, the oldest first */
	size_t bytes;
	pthread_t thread;
	bool is_running, is_over;
} writer = {.lock = PTHREAD_MUTEX_INITIALIZER, .came = PTHREAD_COND_INITIALIZER};

static int
open_path(const char *path)
{
	return open(path, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0640);
}

static void
tell_log(const char *text)
{
	struct buf line = {0};

	buf_printf(&line, "audit: %s", text);
	buf_add_char(&line, '\0');
	log_whole(line.p);
	buf_fini(&line);
}

static bool
write_line(char *text)
{
	size_t n = strlen(text);
	bool is_told = false;

	pthread_mutex_lock(&lock);
	if (fd_now != -1) {
		text[n] = '\n'; /* in place of its NUL */
		is_told = write(fd_now, text, n + 1) == (ssize_t)n + 1;
		text[n] = '\0';
	}
	pthread_mutex_unlock(&lock);
	return is_told;
}

static void *
write_lines(void *arg)
{
	pthread_mutex_lock(&writer.lock);
	for (;;) {
		struct line *l = list_first(&writer.lines, struct line, link);

		if (l == NULL && writer.is_over)
			break;
		if (l == NULL) {
			pthread_cond_wait(&writer.came, &writer.lock);
			continue;
		}
		list_leave(&l->link);
		writer.bytes -= strlen(l->text);
		pthread_mutex_unlock(&writer.lock);
		if (!write_line(l->text))
			tell_log(l->text);
		free(l);
		pthread_mutex_lock(&writer.lock);
	}
	pthread_mutex_unlock(&writer.lock);
	return NULL;
}

static int
writer_start(void)
{
	if (writer.is_running)
		return 0;
	list_init(&writer.lines);
	writer.is_over = false;
	if (thread_start(&writer.thread, "audit", THREAD_BEHIND, write_lines, NULL) != 0)
		return -1;
	writer.is_running = true;
	return 0;
}

/* False: nobody writes, or too much waits. */
static bool
give_to_writer(const char *text)
{
	size_t n = strlen(text);
	bool is_taken;

	pthread_mutex_lock(&writer.lock);
	is_taken = writer.is_running && !writer.is_over && writer.bytes + n <= AUDIT_WAITING_MOST;
	if (is_taken) {
		struct line *l = must_malloc(sizeof(*l) + n + 1);

		memcpy(l->text, text, n + 1);
		list_push_back(&writer.lines, &l->link);
		writer.bytes += n;
		pthread_cond_signal(&writer.came);
	}
	pthread_mutex_unlock(&writer.lock);
	return is_taken;
}

void
audit_stop(void)
{
	if (!writer.is_running)
		return;
	pthread_mutex_lock(&writer.lock);
	writer.is_over = true;
	pthread_cond_signal(&writer.came);
	pthread_mutex_unlock(&writer.lock);
	pthread_join(writer.thread, NULL);
	writer.is_running = false;
	audit_set_path(NULL);
}

int
audit_set_path(const char *path)
{
	int fd = path == NULL ? -1 : open_path(path), old;

	if (path != NULL && fd == -1)
		return -1;
	if (path != NULL && writer_start() != 0)
		goto fail;
	pthread_mutex_lock(&lock);
	old = fd_now;
	fd_now = fd;
	free(path_now);
	path_now = path == NULL ? NULL : must_strdup(path);
	pthread_mutex_unlock(&lock);
	if (old != -1)
		close(old);
	return 0;
fail:
	close(fd);
	return -1;
}

int
audit_reopen(void)
{
	char *path = path_now == NULL ? NULL : must_strdup(path_now);
	int r = path == NULL ? 0 : audit_set_path(path);

	free(path);
	return r;
}

bool
audit_has_file(void)
{
	return fd_now != -1;
}

json_t *
json_of_bytes(struct slice s)
{
	json_t *text = json_stringn(s.p == NULL ? "" : s.p, s.n);
	char *plain;

	if (text != NULL)
		return text;
	plain = must_strndup(s.p, s.n);
	for (size_t i = 0; i < s.n; i++)
		if (plain[i] < ' ')
			plain[i] = '?';
	text = json_stringn(plain, s.n);
	free(plain);
	return text;
}

static json_t *
now_text(void)
{
	int64_t ms = clock_wall_ms();
	time_t s = (time_t)(ms / 1000);
	char text[32];
	struct tm tm;

	strftime(text, sizeof(text), "%Y-%m-%dT%H:%M:%S", gmtime_r(&s, &tm));
	return json_sprintf("%s.%03dZ", text, (int)(ms % 1000));
}

json_t *
audit_entry(const char *action, const char *via, struct exchange *x)
{
	json_t *e = json_pack("{s:o,s:s}", "time", now_text(), "action", action);

	if (x != NULL) {
		const struct field *user = head_find_name(&x->head, SLICE_LIT("Forebay-User"));

		json_object_set_new(e, "by", json_of_bytes(exchange_client_ip(x)));
		json_object_set_new(e, "request_id", json_of_bytes(x->request_id));
		if (user != NULL && field_value(&x->head, user).n <= USER_BYTES_MAX)
			json_object_set_new(e, "user", json_of_bytes(field_value(&x->head, user)));
	}
	json_object_set_new(e, "via", json_string(via));
	return e;
}

void
audit_write(json_t **ep)
{
	char *text = json_dumps(*ep, JSON_COMPACT | JSON_ENSURE_ASCII);

	json_decref(*ep);
	*ep = NULL;
	if (!audit_has_file() || !give_to_writer(text))
		tell_log(text);
	free(text);
}

void
audit_order(const char *action, const char *via, struct exchange *x)
{
	json_t *e = audit_entry(action, via, x);

	audit_write(&e);
}
