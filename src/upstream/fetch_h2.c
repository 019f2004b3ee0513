/* A fetch's exchange over HTTP/2: one call on a link that others share. */
#include "upstream/fetch_priv.h"
#include "upstream/health.h"

#define KEPT_MOST 16384 /* of an upload, for a server that does not look at the first try */
#define TURNED_AWAY_MOST 2

/* --- the request --- */

/* For a next try, by whichever version. */
static void
keep_pulled(struct fetch *f, struct slice bytes)
{
	if (f->upload_touched)
		return;
	if (f->kept.n + bytes.n > KEPT_MOST) {
		f->upload_touched = true;
		return;
	}
	buf_add_slice(&f->kept, bytes);
	f->kept_at = f->kept.n;
}

/* What the first try has sent. */
static size_t
pull_kept(struct fetch *f, char *to, size_t n)
{
	size_t left = f->kept.n - f->kept_at;

	n = n < left ? n : left;
	if (n > 0)
		memcpy(to, f->kept.p + f->kept_at, n);
	f->kept_at += n;
	return n;
}

static size_t
pull_upload(struct fetch *f, char *to, size_t n, bool *end_out)
{
	struct upload *u = f->plan.upload;
	struct iovec iov[8];
	size_t got = 0;
	int pieces;

	if (!f->upload_begun) {
		f->upload_begun = true;
		u->begin(u);
	}
	pieces = u->peek(u, iov, 8, end_out);
	for (int i = 0; i < pieces; i++) {
		size_t part = iov[i].iov_len < n - got ? iov[i].iov_len : n - got;

		memcpy(to + got, iov[i].iov_base, part);
		got += part;
		*end_out &= part == iov[i].iov_len;
	}
	if (got == 0)
		return 0;
	keep_pulled(f, slice_of(to, got));
	u->consume(u, got);
	return got;
}

/* Content that stands behind the head, as that of QUERY does. */
static size_t
pull_content(struct fetch *f, char *to, size_t n, bool *end_out)
{
	size_t left = f->request.n - f->head_sent;

	n = n < left ? n : left;
	memcpy(to, f->request.p + f->head_sent, n);
	f->head_sent += n;
	*end_out = n == left;
	return n;
}

size_t
fetch_h2_pull(void *arg, char *to, size_t n, bool *end_out, struct slice *trailers_out)
{
	struct fetch *f = arg;
	size_t got;

	if (f->plan.upload == NULL)
		return pull_content(f, to, n, end_out);
	got = pull_kept(f, to, n);
	if (got == 0 && !f->upload_read) {
		got = pull_upload(f, to, n, end_out);
		f->upload_read = *end_out;
	} else
		*end_out = f->upload_read && f->kept_at == f->kept.n;
	f->upload_done = *end_out;
	if (*end_out)
		*trailers_out = f->plan.upload->trailers;
	if (f->step == FETCH_EXCHANGING && (got > 0 || *end_out))
		fetch_arm_response(f);
	else if (f->step == FETCH_EXCHANGING)
		timer_disarm(&f->deadline); /* the client is late, not the server */
	return got;
}

void
fetch_h2_begin(struct fetch *f)
{
	const char *end = memmem(f->request.p, f->request.n, "\r\n\r\n", 4);
	size_t n = end == NULL ? f->request.n : (size_t)(end - f->request.p) + 4;
	const struct h2_call_start start = {.head = slice_of(f->request.p, n),
	    .is_https = f->plan.upstream->secure != NULL,
	    .has_body = f->plan.upload != NULL || n < f->request.n,
	    .head_limit = f->plan.head_limit};

	f->head_sent = n;
	f->held = 0;
	atomic_fetch_add_explicit(&f->attempt.server->requests_h2, 1, memory_order_relaxed);
	if (h2link_begin(f->attempt.h2, &f->attempt.call, &start) != 0)
		fetch_finish(f, FETCH_no_memory);
}

void
fetch_h2_upload_ready(struct fetch *f)
{
	h2_call_resume(&f->attempt.call);
	h2link_stir(f->attempt.h2);
}

/* --- the response --- */

void
fetch_h2_resume(struct fetch *f)
{
	h2_call_consumed(&f->attempt.call, f->held);
	f->held = 0;
	h2link_stir(f->attempt.h2);
}

/* It was not processed: again at the same server, where another connection may be had, then at another one. */
static void
on_turned_away(struct fetch *f)
{
	atomic_fetch_add_explicit(&f->attempt.server->turned_away, 1, memory_order_relaxed);
	if (f->upload_touched || f->turned_away++ == TURNED_AWAY_MOST) {
		fetch_failed(f, FETCH_turned_away);
		return;
	}
	fetch_begin_anew(f, FETCH_turned_away);
	if (f->turned_away == TURNED_AWAY_MOST && attempt_has_other(&f->attempt))
		attempt_elsewhere(&f->attempt);
	else
		attempt_again(&f->attempt);
}

/* Where both are offered; nobody has promised that nothing was done. */
static void
on_h1_wanted(struct fetch *f)
{
	if (fetch_conf(f)->protocol != PROTOCOL_auto || !f->plan.is_idempotent ||
	    f->upload_touched) {
		fetch_failed(f, FETCH_stream_reset);
		return;
	}
	fetch_begin_anew(f, FETCH_stream_reset);
	f->attempt.wants_h1 = true;
	attempt_again(&f->attempt);
}

static void
on_cut_off(struct fetch *f)
{
	server_failed(f->attempt.server, fetch_took_us(f), loop_now_ms(fetch_loop(f)));
	fetch_finish(f, FETCH_truncated);
}

/* The stream has ended, and the response had not. */
static void
on_call_end(struct fetch *f)
{
	enum h2_call_end end = f->attempt.call.end;

	if (f->step == FETCH_RECEIVING) {
		on_cut_off(f);
		return;
	}
	switch (end) {
	case H2_CALL_turned_away:
		on_turned_away(f);
		return;
	case H2_CALL_wants_h1:
		on_h1_wanted(f);
		return;
	case H2_CALL_reset:
		fetch_failed(f, FETCH_stream_reset);
		return;
	case H2_CALL_lost:
		fetch_broken(f, h2link_end(f->attempt.h2));
		return;
	case H2_CALL_not_h2:
		fetch_failed(f, FETCH_not_h2);
		return;
	case H2_CALL_too_large:
		fetch_failed(f, FETCH_head_too_large);
		return;
	case H2_CALL_open:
	case H2_CALL_done:
	case H2_CALL_bad:
	case H2_CALL_flood:
		fetch_failed(f, FETCH_response_bad);
		return;
	}
}

/* False: the fetch is gone. */
static bool
take_heads(struct fetch *f)
{
	struct h2_call *call = &f->attempt.call;

	if (call->heads.n == 0 || f->step != FETCH_EXCHANGING)
		return true;
	f->started_reading = true;
	buf_add_slice(&f->in, buf_slice(&call->heads));
	call->heads.n = 0;
	switch (fetch_read_heads(f)) {
	case FED_HEAD:
		f->in.n = 0;
		f->left = f->framing.length;
		if (!f->paused)
			fetch_arm_deadline(f, fetch_conf(f)->response_ms);
		return true;
	case FED_GONE:
		return false;
	case FED:
	case FED_DRY:
	case FED_WHOLE:
		break;
	}
	return true;
}

/* What is more than was announced, or should not be there, has been judged by the session; this is the second look. */
static bool
take_data(struct fetch *f)
{
	struct h2_call *call = &f->attempt.call;
	struct slice data = call->data;

	call->data = SLICE_NONE;
	if (data.n == 0)
		return true;
	if (f->step != FETCH_RECEIVING || f->framing.kind == FRAMING_NONE ||
	    (f->framing.kind == FRAMING_LENGTH && data.n > f->left)) {
		fetch_bad(f, FETCH_response_bad);
		return false;
	}
	if (body_append(f->body, data) != 0) {
		fetch_bad(f, FETCH_no_memory);
		return false;
	}
	f->left -= f->framing.kind == FRAMING_LENGTH ? data.n : 0;
	f->held += data.n;
	if (f->paused)
		return true;
	fetch_h2_resume(f);
	fetch_arm_deadline(f, fetch_conf(f)->response_ms);
	return true;
}

static void
on_whole(struct fetch *f)
{
	if (f->step != FETCH_RECEIVING)
		fetch_failed(f, FETCH_response_bad);
	else if (f->framing.kind == FRAMING_LENGTH && f->left > 0)
		on_cut_off(f);
	else {
		if (f->framing.kind == FRAMING_CLOSE) /* HTTP/1.1 sends none behind a length */
			buf_add_slice(&f->trailers, buf_slice(&f->attempt.call.trailers));
		fetch_complete(f);
	}
}

void
fetch_h2_news(void *arg)
{
	struct fetch *f = arg;
	bool has_data = f->attempt.call.data.n > 0;

	if (!take_heads(f) || !take_data(f))
		return;
	if (f->attempt.call.is_ended)
		on_whole(f);
	else if (f->attempt.call.end != H2_CALL_open)
		on_call_end(f);
	else if (has_data)
		f->handler->on_body(f->arg);
}
