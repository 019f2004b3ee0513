#include "server/challenge.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/mem.h"
#include "event/helpers.h"
#include "server/handler.h"

#define TOKEN_MAX 128

static const struct slice prefix = SLICE_LIT("/.well-known/acme-challenge/");

/* The helper's while it runs, else the loop's. */
struct reading {
	struct chore chore;
	struct later later;
	char *directory;
	char token[TOKEN_MAX + 1];
	char text[CHALLENGE_MAX_BYTES];
	size_t n;
	bool is_there;
};

static bool
is_token(struct slice s)
{
	if (s.n == 0 || s.n > TOKEN_MAX)
		return false;
	for (size_t i = 0; i < s.n; i++) {
		char c = s.p[i];

		if (!(c >= 'a' && c <= 'z') && !(c >= 'A' && c <= 'Z') && !(c >= '0' && c <= '9') &&
		    c != '-' && c != '_')
			return false;
	}
	return true;
}

/* --- on a helper's thread --- */

/* O_NONBLOCK: a pipe that lies there holds nobody up. */
static int
open_file(const struct reading *r)
{
	int dir = open(r->directory, O_PATH | O_DIRECTORY | O_CLOEXEC), fd;

	if (dir < 0)
		return -1;
	fd = openat(dir, r->token, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);
	close(dir);
	return fd;
}

/* The whole file, or nothing. */
static bool
read_whole(int fd, struct reading *r)
{
	struct stat st;
	ssize_t got;

	if (fstat(fd, &st) != 0 || !S_ISREG(st.st_mode) || st.st_size > CHALLENGE_MAX_BYTES)
		return false;
	while (r->n < sizeof(r->text)) {
		got = read(fd, r->text + r->n, sizeof(r->text) - r->n);
		if (got < 0 && errno == EINTR)
			continue;
		if (got <= 0)
			return got == 0;
		r->n += (size_t)got;
	}
	return true;
}

static void
reading_run(struct chore *c)
{
	struct reading *r = CONTAINER_OF(c, struct reading, chore);
	int fd = open_file(r);

	if (fd < 0)
		return;
	r->is_there = read_whole(fd, r);
	close(fd);
}

/* --- on the loop --- */

static void
reading_back(struct chore *c, bool was_run)
{
	struct reading *r = CONTAINER_OF(c, struct reading, chore);

	if (r->is_there)
		later_answer(&r->later, 200, "application/octet-stream", slice_of(r->text, r->n));
	else
		later_answer(&r->later, was_run ? 404 : 503, "text/plain; charset=utf-8",
		    was_run ? SLICE_LIT("no such challenge\n") : SLICE_LIT("too many at a time\n"));
	free(r->directory);
	free(r);
}

/* The chore is still under way: it comes back and finds nobody. */
static void
on_reading_over(struct later *l)
{
}

static enum exchange_next
read_challenge(struct exchange *x, struct slice token)
{
	struct worker *w = x->worker;
	struct reading *r = calloc(1, sizeof(*r));

	if (r == NULL)
		return exchange_own(x, 503, "no memory to read a challenge");
	memcpy(r->token, token.p, token.n);
	r->directory = must_strdup(x->site->challenges);
	r->chore = (struct chore){.run = reading_run,
	    .back = reading_back,
	    .reply_to = w->mailbox,
	    .held_bytes = sizeof(*r)};
	later_begin(&r->later, x, on_reading_over);
	x->step = STEP_respond;
	exchange_because(x, "challenge", "");
	buf_add_lit(&x->own_fields, "Cache-Control: no-store\r\n");
	if (!helpers_take(w->commons->readers, HELPERS_AWAITED, &r->chore)) {
		exchange_add_retry_after(x);
		reading_back(&r->chore, false);
	}
	return x->answer == ANSWER_NONE ? EXCHANGE_WAIT : EXCHANGE_GO;
}

bool
challenge_takes(struct exchange *x, enum exchange_next *next)
{
	struct slice path = x->url.path, token;

	if (x->site->challenges == NULL || x->is_dry || !slice_starts(path, prefix))
		return false;
	token = slice_skip(path, prefix.n);
	if (x->head.method != METHOD_GET && x->head.method != METHOD_HEAD) {
		buf_add_lit(&x->own_fields, "Allow: GET, HEAD\r\n");
		*next = exchange_own(x, 405, "a challenge is only read");
	} else if (!is_token(token))
		*next = exchange_own(x, 404, "no challenge has such a name");
	else
		*next = read_challenge(x, token);
	return true;
}
