#include "event/redisscout.h"

#include <stdio.h>
#include <stdlib.h>

#include "base/log.h"
#include "base/mem.h"

#define IN_FLIGHT_MAX 4
#define QUEUE_BYTES 4096
#define SILENT_MS 1000

struct redisscout {
	struct redisscout_conf conf;
	struct redisio *io; /* NULL: none is being asked, or listened to */
	struct redis_url at;
	bool is_asking, is_trying; /* waits for the answer of the server at hand */
	bool has_told;		   /* the log, since the last answer */
	unsigned next, tried;	   /* since it began to ask, or paused */
	struct timer date;	   /* the end of a try, or of a pause */
	struct task leave;	   /* the connection is closed outside of its own callbacks */
	char trouble[220];
};

static void
close_connection(struct redisscout *s)
{
	task_cancel(&s->leave);
	redisio_free(&s->io);
	redis_url_fini(&s->at);
}

static void
on_leave(void *arg)
{
	close_connection(arg);
}

static void
failed(struct redisscout *s, const char *why)
{
	if (!s->is_asking && s->conf.channel == NULL)
		return;
	s->is_trying = false;
	snprintf(s->trouble, sizeof(s->trouble), "%s: %.180s", s->at.shown, why);
	if (s->conf.logs && !s->has_told)
		log_warn("redis %s", s->trouble);
	s->has_told = true;
	if (s->is_asking)
		timer_arm(s->conf.loop, &s->date, loop_now_ms(s->conf.loop));
	else
		redisscout_go(s); /* what was listened to is lost */
}

static void
on_answer(void *arg, enum redisio_end end, const struct redis_reply *reply)
{
	struct redisscout *s = arg;

	if (!s->is_asking)
		return;
	if (end != REDISIO_ANSWERED) {
		failed(s, "no answer");
	} else if (reply->type == REPLY_ERROR) {
		char why[160];

		snprintf(why, sizeof(why), "%.*s", (int)(reply->text.n < 150 ? reply->text.n : 150),
		    reply->text.p);
		failed(s, why);
	} else if (!s->conf.on_answer(s->conf.arg, &s->at, reply)) {
		failed(s,
		    s->conf.channel != NULL ? "it does not know that master"
					    : "it has no map of a cluster");
	} else {
		s->is_asking = s->is_trying = s->has_told = false;
		s->trouble[0] = '\0';
		timer_disarm(&s->date);
		if (s->conf.channel == NULL)
			loop_later(s->conf.loop, &s->leave);
	}
}

static void
ask(struct redisscout *s, const struct slice *argv, unsigned argc,
    void (*done)(void *arg, enum redisio_end end, const struct redis_reply *reply))
{
	redisio_send(s->io,
	    &(struct redisio_command){
		.argv = argv, .argc = argc, .timeout_ms = SCOUT_TRY_MS, .done = done, .arg = s},
	    NULL);
}

static void
on_up(void *arg)
{
	struct redisscout *s = arg;
	const struct slice subscribe[2] = {SLICE_LIT("SUBSCRIBE"), slice_from(s->conf.channel)};

	ask(s, s->conf.question, s->conf.question_count, on_answer);
	if (s->conf.channel != NULL)
		ask(s, subscribe, 2, NULL);
}

static void
on_lost(void *arg, const char *why)
{
	failed(arg, why);
}

static void
on_push(void *arg, const struct redis_reply *message)
{
	struct redisscout *s = arg;

	if (s->conf.on_message != NULL)
		s->conf.on_message(s->conf.arg, message);
}

static const struct redisio_handler handler = {
    .on_up = on_up, .on_down = on_lost, .on_failed = on_lost, .on_push = on_push};

/* The next of them; after all of them a pause. */
static void
go_on(struct redisscout *s)
{
	struct redisio_conf conf = {.server = &s->at,
	    .connect_ms = SCOUT_TRY_MS,
	    .silent_ms = SILENT_MS,
	    .in_flight_max = IN_FLIGHT_MAX,
	    .queue_max_bytes = QUEUE_BYTES,
	    .reply_max_bytes = s->conf.reply_max_bytes};
	int64_t now_ms = loop_now_ms(s->conf.loop);
	const char *why;

	close_connection(s);
	if (s->tried >= s->conf.count(s->conf.arg)) {
		s->tried = 0;
		timer_arm(s->conf.loop, &s->date, now_ms + SCOUT_PAUSE_MS);
		return;
	}
	s->conf.place(s->conf.arg, s->next % s->conf.count(s->conf.arg), &s->at);
	s->is_trying = true;
	s->next++;
	s->tried++;
	s->io = redisio_new(s->conf.loop, s->conf.resolver, &conf, &handler, s, &why);
	timer_arm(s->conf.loop, &s->date, now_ms + SCOUT_TRY_MS);
}

static void
on_date(void *arg)
{
	struct redisscout *s = arg;

	if (s->is_trying)
		failed(s, "no answer in time");
	go_on(s);
}

void
redisscout_go(struct redisscout *s)
{
	if (s->is_asking)
		return;
	s->is_asking = true;
	s->tried = 0;
	timer_arm(s->conf.loop, &s->date, loop_now_ms(s->conf.loop));
}

struct redisscout *
redisscout_new(const struct redisscout_conf *conf)
{
	struct redisscout *s = must_calloc(1, sizeof(*s));

	s->conf = *conf;
	timer_init(&s->date, on_date, s);
	task_init(&s->leave, on_leave, s);
	return s;
}

void
redisscout_free(struct redisscout **sp)
{
	struct redisscout *s = *sp;

	*sp = NULL;
	if (s == NULL)
		return;
	timer_disarm(&s->date);
	close_connection(s);
	free(s);
}

const char *
redisscout_trouble(const struct redisscout *s)
{
	return s->trouble;
}
