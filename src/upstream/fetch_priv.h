/* upstream/fetch_priv.h - what the files of a fetch share: fetch.c is its life (servers, tries, time, ends), fetch_h1.c the
 * exchange on a connection of its own, fetch_h2.c that on a shared one.
 */
#ifndef UPSTREAM_FETCH_PRIV_H
#define UPSTREAM_FETCH_PRIV_H

#include "http/chunker.h"
#include "upstream/attempt.h"
#include "upstream/fetch.h"

enum fetch_step {
	FETCH_REACHING,	  /* on the way to a connection */
	FETCH_EXCHANGING, /* sending, and reading the response's head */
	FETCH_RECEIVING,  /* the response's body */
};

struct fetch {
	struct fetch_plan plan;
	const struct fetch_handler *handler;
	void *arg;
	struct attempt attempt; /* the server and the connection to it */
	enum fetch_step step;	/* cleared from here on */
	bool is_retry;		/* a kept connection had died */
	unsigned retries;	/* times it went to another server */
	enum fetch_end first;	/* how the try before ended, when there was one */
	int64_t sent_us;	/* the request's beginning */
	int64_t head_us;	/* when the response's head had come */
	int64_t began_ms;	/* the fetch's */
	bool started_reading;	/* any byte of a response has come */
	struct timer deadline;
	struct timer whole; /* timeouts.total */
	int64_t asked_ms;   /* this try's request was sent to its end, or some of it */
	/* sending */
	struct slice request; /* plan.head, or own_head */
	struct buf own_head;  /* the same with the server's name as Host */
	size_t head_sent;
	bool upload_begun, upload_touched, send_broken;
	bool upload_read; /* its owner has given all of it */
	bool upload_done; /* and this try has sent it */
	struct buf kept;  /* of the upload, as it went out by HTTP/2 */
	size_t kept_at;	  /* this try is to send it from here on */
	unsigned turned_away;
	struct chunker chunker; /* of an upload without a known length */
	/* receiving */
	struct h1_parser parser;
	struct framing framing;
	struct h1_chunked chunked;
	struct buf in; /* head, or chunked bytes not yet decoded; the pool's while there are none */
	struct buf trailers;
	size_t head_bytes; /* in front of the body's first, in `in` */
	unsigned interims;
	struct body *body;
	uint64_t left;	     /* of a body with a length */
	uint32_t read_bytes; /* that the next read asks for */
	size_t held;	     /* of HTTP/2, not yet given back to the stream's window */
	bool paused, keep;
	/* Large, and not cleared */
	struct head head;
};

static inline struct loop *
fetch_loop(struct fetch *f)
{
	return pool_loop(f->attempt.pool);
}

static inline const struct upstream_conf *
fetch_conf(const struct fetch *f)
{
	return &f->plan.upstream->conf;
}

/* --- fetch.c --- */

void fetch_arm_deadline(struct fetch *f, int64_t after_ms);
/* For the response's head. */
void fetch_arm_response(struct fetch *f);
/* Since the request's beginning. */
int64_t fetch_took_us(struct fetch *f);

/* What became of some bytes. */
enum fed {
	FED,	  /* read on */
	FED_DRY,  /* nothing more for now */
	FED_HEAD, /* the final head was taken: f->framing, f->body; its head_bytes are still there */
	FED_WHOLE, /* the response is whole */
	FED_GONE,  /* the fetch is gone */
};
/* Takes heads off f->in, up to the final one. FED: more bytes are needed. */
enum fed fetch_read_heads(struct fetch *f);
/* What came is no response. FED_GONE. */
enum fed fetch_bad(struct fetch *f, enum fetch_end end);

/* Ready for another try, after that end of this one. */
void fetch_begin_anew(struct fetch *f, enum fetch_end end);
/* Each of these ends the fetch, or this try; the caller returns. */
/* The response is whole. */
void fetch_complete(struct fetch *f);
/* The server failed with this request: another one, or the end. */
void fetch_failed(struct fetch *f, enum fetch_end end);
/* The connection failed in mid-exchange. Once, where nothing can have been done twice, another one is tried. */
void fetch_broken(struct fetch *f, enum fetch_end end);
void fetch_finish(struct fetch *f, enum fetch_end end);

/* --- fetch_h1.c --- */

/* What is there of the request, as far as it goes. */
void fetch_h1_send(struct fetch *f);
void fetch_h1_readable(struct fetch *f);

/* --- fetch_h2.c --- */

void fetch_h2_begin(struct fetch *f);
void fetch_h2_upload_ready(struct fetch *f);
void fetch_h2_resume(struct fetch *f);
/* For struct h2_call_owner. */
size_t fetch_h2_pull(void *arg, char *to, size_t n, bool *end_out, struct slice *trailers_out);
void fetch_h2_news(void *arg);

#endif
