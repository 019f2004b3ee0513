#include "admin/warm.h"

#include <jansson.h>
#include <stdlib.h>
#include <string.h>

#include "admin/timestamp.h"
#include "server/audit.h"
#include "server/conf.h"
#include "server/handler.h"
#include "server/warm.h"

static const char *
state_text(enum warm_state s)
{
	static const char *const texts[] = {
#define X(state, text) [WARM_##state] = text,
	    WARM_STATES(X)
#undef X
	};

	return texts[s];
}

static void
answer(struct exchange *x, unsigned status)
{
	struct warm_progress p;
	json_t *o;
	char *text;

	warmer_read(exchange_worker(x)->commons->warmer, &p);
	o = json_pack("{s:s,s:s,s:o,s:f,s:s}", "state", warm_state_name(p.state), "text",
	    state_text(p.state), "began",
	    p.state == WARM_idle ? json_null() : json_timestamp(p.began_wall_ms), "took",
	    (double)p.took_ms / 1000, "trouble", p.trouble);
#define X(count, text) json_object_set_new(o, #count, json_integer((json_int_t)p.count));
	WARM_COUNTS(X)
#undef X
	text = json_dumps(o, JSON_COMPACT);
	exchange_answer(x, status, "application/json", slice_from(text));
	free(text);
	json_decref(o);
}

static void
refuse(struct exchange *x, unsigned status, const char *why)
{
	struct buf b = {0};

	buf_printf(&b, "{\"type\":\"about:blank\",\"title\":\"%s\",\"status\":%u}\n", why, status);
	exchange_answer(x, status, "application/problem+json", buf_slice(&b));
	buf_fini(&b);
}

/* --- a plan from the body --- */

/* False: a member that is there is no list of texts. */
static bool
add_list(const json_t *list, struct buf *out)
{
	for (size_t i = 0; i < json_array_size(list); i++) {
		const char *s = json_string_value(json_array_get(list, i));

		if (s == NULL)
			return false;
		warm_plan_add(out, slice_from(s));
	}
	return list == NULL || json_is_array(list);
}

static bool
read_number(const json_t *value, int64_t most, int64_t *out)
{
	if (value == NULL)
		return true;
	*out = (int64_t)json_integer_value(value);
	return json_is_integer(value) && *out >= 1 && *out <= most;
}

/* What the body leaves out, the configuration says. NULL: the body is wrong. */
static struct warm_plan *
read_plan(const json_t *body, const struct warm_conf *c)
{
	const char *base = json_string_value(json_object_get(body, "base"));
	struct warm_plan *p = warm_plan_new(base != NULL ? base : c->base);
	int64_t rate = c->rate, concurrency = c->concurrency, time_s = c->time / 1000;

	if (json_is_object(body) && add_list(json_object_get(body, "urls"), &p->pages) &&
	    add_list(json_object_get(body, "sitemaps"), &p->sitemaps) &&
	    read_number(json_object_get(body, "rate"), 10000, &rate) &&
	    read_number(json_object_get(body, "concurrency"), 256, &concurrency) &&
	    read_number(json_object_get(body, "time"), 86400, &time_s)) {
		p->rate = (unsigned)rate;
		p->concurrency = (unsigned)concurrency;
		p->time_ms = time_s * 1000;
		return p;
	}
	warm_plan_free(&p);
	return NULL;
}

static void
begin_named(struct exchange *x, const struct warm_conf *c, struct slice body)
{
	struct warmer *wm = exchange_worker(x)->commons->warmer;
	json_t *top = json_loadb(body.p, body.n, 0, NULL);
	struct warm_plan *plan = top == NULL ? NULL : read_plan(top, c);

	if (plan == NULL)
		refuse(x, 400,
		    "the body is not {urls: [...], sitemaps: [...], base, rate, concurrency, "
		    "time}");
	else if (!warmer_claim(wm))
		refuse(x, 409, "a run is under way");
	else {
		warmer_run(wm, &plan);
		audit_order("warm", "api", x);
		answer(x, 202);
	}
	warm_plan_free(&plan);
	json_decref(top);
}

/* The main thread reads the files that the configuration names. */
static void
begin_configured(struct exchange *x, const struct warm_conf *c)
{
	struct commons *commons = exchange_worker(x)->commons;

	if (c->conf.is_off)
		refuse(x, 404, "cache.warm names nothing");
	else if (!warmer_claim(commons->warmer))
		refuse(x, 409, "a run is under way");
	else {
		atomic_store(&commons->warming_asked, true);
		audit_order("warm", "api", x);
		answer(x, 202);
	}
}

void
warm_serve(struct exchange *x)
{
	struct worker *w = exchange_worker(x);
	const struct server_conf *conf = w->site->conf;
	struct slice body = exchange_body(x);

	switch (exchange_head(x)->method) {
	case METHOD_POST:
		if (conf->cache.conf.is_off)
			refuse(x, 404, "nothing is cached");
		else if (body.n > 0)
			begin_named(x, &conf->cache.warm, body);
		else
			begin_configured(x, &conf->cache.warm);
		break;
	case METHOD_DELETE:
		if (atomic_exchange(&w->commons->warming_asked, false))
			warmer_release(w->commons->warmer); /* it had not begun */
		warmer_stop(w->commons->warmer);
		audit_order("stop warming", "api", x);
		answer(x, 202);
		break;
	default:
		answer(x, 200);
		break;
	}
}
