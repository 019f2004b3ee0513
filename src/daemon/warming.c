#include "daemon/warming.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/log.h"
#include "base/mem.h"
#include "cache/popular.h"
#include "server/conf.h"
#include "server/warm.h"

#define SAVE_MS (10 * 60 * 1000)
#define AGAIN_MS 10000 /* at the start the application may not be there yet */
#define AGAIN_MAX 30
#define POPULAR_FILE "popular.urls"

struct warming {
	struct commons *commons;
	char *state_dir;
	const struct warm_conf *conf; /* NULL: none yet */
	struct arena mem;	      /* of the next: */
	const char *file;	      /* NULL: none */
	int64_t next_ms;	      /* of the schedule; 0: none */
	int64_t save_ms;
	bool is_starting; /* the run at the start has not come to anything yet */
	unsigned starts;
	int64_t since_ms; /* when a run was due last, or the schedule began; 0: there is none */
};

/* --- lists --- */

/* Lines of a file, blanks around them and those that begin with # taken off. Whatever is wrong is said, and the rest is warmed. */
static void
add_lines(const char *path, struct buf *out)
{
	FILE *f = fopen(path, "re");
	char line[8192];

	if (f == NULL) {
		log_warn("warming: %s: %s", path, strerror(errno));
		return;
	}
	while (fgets(line, sizeof(line), f) != NULL && out->n < WARM_BYTES_MAX) {
		struct slice s = slice_trim(slice_of(line, strcspn(line, "\r\n")));

		if (s.n > 0 && s.p[0] != '#')
			warm_plan_add(out, s);
	}
	if (ferror(f))
		log_warn("warming: %s: %s", path, strerror(errno));
	fclose(f);
}

static char *
popular_path(const struct warming *w, const char *end)
{
	size_t n = strlen(w->state_dir) + sizeof(POPULAR_FILE) + strlen(end) + 1;
	char *path = must_malloc(n);

	snprintf(path, n, "%s/" POPULAR_FILE "%s", w->state_dir, end);
	return path;
}

/* What this process has seen; at first, what the one before it had. */
static void
add_popular(const struct warming *w, struct buf *out)
{
	size_t before = out->n;
	char *path;

	popular_list(w->commons->store, (unsigned)w->conf->top, out);
	if (out->n > before || w->state_dir == NULL)
		return;
	path = popular_path(w, "");
	if (access(path, F_OK) == 0)
		add_lines(path, out);
	free(path);
}

static bool
write_list(const char *path, struct slice list)
{
	FILE *f = fopen(path, "we");
	bool is_good;

	if (f == NULL)
		return false;
	while (list.n > 0) {
		size_t n = slice_index(list, '\0');

		fprintf(f, "%.*s\n", (int)n, list.p);
		list = slice_skip(list, n + 1);
	}
	is_good = fflush(f) == 0 && fsync(fileno(f)) == 0;
	return fclose(f) == 0 && is_good;
}

/* The old list stays until the new one is whole. */
static void
save_popular(struct warming *w)
{
	struct buf list = {0};
	char *path, *fresh;

	if (w->state_dir == NULL || w->conf == NULL || w->conf->conf.is_off || w->conf->top == 0)
		return;
	popular_list(w->commons->store, (unsigned)w->conf->top, &list);
	path = popular_path(w, "");
	fresh = popular_path(w, ".new");
	if (list.n > 0 && (!write_list(fresh, buf_slice(&list)) || rename(fresh, path) != 0))
		log_warn("warming: %s: %s", path, strerror(errno));
	free(path);
	free(fresh);
	buf_fini(&list);
}

/* --- runs --- */

/* The run has been claimed. */
static void
begin(struct warming *w)
{
	const struct warm_conf *c = w->conf;
	struct warm_plan *plan = warm_plan_new(c->base);

	plan->rate = (unsigned)c->rate;
	plan->concurrency = (unsigned)c->concurrency;
	plan->time_ms = c->time;
	for (size_t i = 0; i < c->urls.count; i++)
		warm_plan_add(&plan->pages, slice_from(c->urls.items[i]));
	if (w->file != NULL)
		add_lines(w->file, &plan->pages);
	add_popular(w, &plan->pages);
	for (size_t i = 0; i < c->sitemaps.count; i++)
		warm_plan_add(&plan->sitemaps, slice_from(c->sitemaps.items[i]));
	warmer_run(w->commons->warmer, &plan);
}

static void
begin_unless_under_way(struct warming *w)
{
	if (warmer_claim(w->commons->warmer))
		begin(w);
	else
		log_info("warming: the run before is still under way");
}

/* Whether the run at the start has failed altogether, so that it is worth another. */
static bool
has_failed(struct warming *w)
{
	struct warm_progress p;

	warmer_read(w->commons->warmer, &p);
	return p.state == WARM_done && p.fetched + p.cached + p.passed == 0 &&
	    p.failed + p.sitemaps_failed > 0;
}

static bool
is_under_way(struct warming *w)
{
	struct warm_progress p;

	warmer_read(w->commons->warmer, &p);
	return p.state == WARM_starting || p.state == WARM_running;
}

static void
start_again(struct warming *w, int64_t now_ms)
{
	if (is_under_way(w) || now_ms < w->next_ms)
		return;
	w->is_starting = has_failed(w) && w->starts < AGAIN_MAX;
	if (w->is_starting) {
		w->starts++;
		begin_unless_under_way(w);
	}
	w->next_ms = w->is_starting ? now_ms + AGAIN_MS
	    : w->conf->every > 0    ? w->since_ms + w->conf->every
				    : 0;
}

void
warming_tick(struct warming *w, int64_t now_ms)
{
	bool is_asked = atomic_exchange(&w->commons->warming_asked, false);

	if (w->conf == NULL || w->conf->conf.is_off) {
		if (is_asked)
			warmer_release(w->commons->warmer);
		return;
	}
	if (w->starts == 0 && w->conf->at_start) {
		w->starts = 1;
		w->since_ms = now_ms;
		w->is_starting = true;
		w->next_ms = now_ms + AGAIN_MS;
		if (!is_asked)
			begin_unless_under_way(w);
	} else if (w->is_starting)
		start_again(w, now_ms);
	else if (w->next_ms != 0 && now_ms >= w->next_ms) {
		w->since_ms = now_ms;
		w->next_ms = now_ms + w->conf->every;
		begin_unless_under_way(w);
	}
	if (is_asked)
		begin(w);
	if (now_ms >= w->save_ms) {
		if (w->save_ms != 0)
			save_popular(w);
		w->save_ms = now_ms + SAVE_MS;
	}
}

void
warming_use(struct warming *w, const struct warm_conf *c)
{
	w->conf = c;
	arena_reset(&w->mem);
	w->file = c->file == NULL ? NULL : server_conf_path(&w->mem, &c->conf, c->file);
	if (c->conf.is_off || c->every == 0)
		w->since_ms = 0;
	else if (w->since_ms == 0)
		w->since_ms = clock_mono_ms();
	if (!w->is_starting)
		w->next_ms = w->since_ms == 0 ? 0 : w->since_ms + c->every;
}

struct warming *
warming_new(struct commons *c, const char *state_dir)
{
	struct warming *w = must_calloc(1, sizeof(*w));

	w->commons = c;
	if (state_dir != NULL)
		w->state_dir = must_strndup(state_dir, strlen(state_dir));
	return w;
}

void
warming_free(struct warming **wp)
{
	struct warming *w = *wp;

	*wp = NULL;
	if (w == NULL)
		return;
	save_popular(w);
	arena_fini(&w->mem);
	free(w->state_dir);
	free(w);
}
