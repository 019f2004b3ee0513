#include "server/audit.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/log.h"
#include "base/mem.h"
#include "server/exchange_priv.h"

#define USER_BYTES_MAX 64

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static char *path_now;
static _Atomic int fd_now = -1;

static int
open_path(const char *path)
{
	return open(path, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0640);
}

int
audit_set_path(const char *path)
{
	int fd = path == NULL ? -1 : open_path(path), old;

	if (path != NULL && fd == -1)
		return -1;
	pthread_mutex_lock(&lock);
	old = fd_now;
	fd_now = fd;
	free(path_now);
	path_now = path == NULL ? NULL : must_strdup(path);
	pthread_mutex_unlock(&lock);
	if (old != -1)
		close(old);
	return 0;
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
	size_t n = strlen(text);
	struct buf line = {0};
	bool is_told = false;

	json_decref(*ep);
	*ep = NULL;
	pthread_mutex_lock(&lock);
	if (fd_now != -1) {
		text[n] = '\n'; /* in place of its NUL */
		is_told = write(fd_now, text, n + 1) == (ssize_t)n + 1;
		text[n] = '\0';
	}
	pthread_mutex_unlock(&lock);
	if (!is_told) {
		buf_printf(&line, "audit: %s", text);
		buf_add_char(&line, '\0');
		log_whole(line.p);
		buf_fini(&line);
	}
	free(text);
}

void
audit_order(const char *action, const char *via, struct exchange *x)
{
	json_t *e = audit_entry(action, via, x);

	audit_write(&e);
}
