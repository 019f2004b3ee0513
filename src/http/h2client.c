#include "http/h2client.h"

#include <nghttp2/nghttp2.h>
#include <stdlib.h>

#include "http/h1.h"
#include "http/h2fields.h"
#include "http/h2frame.h"

#define BLOCK_MOST (1024 * 1024) /* bytes of a request's fields */
#define PER_FIELD_BYTES 4	 /* ": " and CR LF */
#define BUDGET 1000		 /* frames that bring nothing forward */
#define BUDGET_PER_S 50
#define EARNED_BY_DATA 4
#define EARNED_BY_HEAD 5

struct h2_client {
	nghttp2_session *session;
	struct link calls, news;
	unsigned calls_count;
	bool has_settings, is_leaving, awaits_ping;
	bool is_paused; /* a piece of data is to be dealt with before what follows it */
	enum h2_call_end end;
	uint64_t moves;
	int64_t tokens; /* in thousandths */
	int64_t refilled_ms;
};

const char *
h2_call_end_text(enum h2_call_end end)
{
	static const char *const texts[] = {
#define X(name, text) [H2_CALL_##name] = (text),
	    H2_CALL_ENDS(X)
#undef X
	};

	return texts[end];
}

/* --- news --- */

static void
note(struct h2_call *call)
{
	if (!list_has(&call->news))
		list_push_back(&call->client->news, &call->news);
}

static void
tell_news(struct h2_client *c)
{
	struct h2_call *call;

	while ((call = list_first(&c->news, struct h2_call, news)) != NULL) {
		list_leave(&call->news);
		call->owner->on_news(call->arg);
	}
}

static void
close_call(struct h2_call *call, enum h2_call_end end)
{
	if (call->end != H2_CALL_open)
		return;
	call->end = end;
	note(call);
}

/* --- what frames cost --- */

static void
earn(struct h2_client *c, int64_t tokens)
{
	c->tokens += tokens * 1000;
	if (c->tokens > BUDGET * 1000)
		c->tokens = BUDGET * 1000;
}

static void
refill(struct h2_client *c, int64_t now_ms)
{
	if (c->refilled_ms != 0 && now_ms > c->refilled_ms) {
		int64_t ms = now_ms - c->refilled_ms;

		c->tokens += ms > BUDGET * 1000 ? BUDGET * 1000 : ms * BUDGET_PER_S;
		earn(c, 0);
	}
	c->refilled_ms = now_ms;
}

static int
on_begin_frame(nghttp2_session *session, const nghttp2_frame_hd *hd, void *arg)
{
	struct h2_client *c = arg;

	if (hd->type == NGHTTP2_PING && (hd->flags & NGHTTP2_FLAG_ACK) && c->awaits_ping)
		return 0;
	c->moves++;
	if (hd->type == NGHTTP2_HEADERS)
		earn(c, EARNED_BY_HEAD);
	else if (hd->type == NGHTTP2_DATA && hd->length > 0)
		earn(c, EARNED_BY_DATA);
	else if (!(hd->flags & NGHTTP2_FLAG_END_STREAM) || hd->type != NGHTTP2_DATA)
		c->tokens -= 1000;
	if (c->tokens >= 0)
		return 0;
	c->end = H2_CALL_flood;
	return NGHTTP2_ERR_CALLBACK_FAILURE;
}

static int
on_frame_sent(nghttp2_session *session, const nghttp2_frame *frame, void *arg)
{
	if (frame->hd.type == NGHTTP2_DATA)
		earn(arg, EARNED_BY_DATA);
	return 0;
}

/* --- what comes --- */

static struct h2_call *
call_of(nghttp2_session *session, int32_t id)
{
	return id == 0 ? NULL : nghttp2_session_get_stream_user_data(session, id);
}

static int
on_begin_headers(nghttp2_session *session, const nghttp2_frame *frame, void *arg)
{
	struct h2_call *call = call_of(session, frame->hd.stream_id);

	if (call == NULL)
		return 0;
	call->section_bytes = 0;
	call->length = UINT64_MAX;
	call->is_grpc = false;
	call->in_trailers = call->has_final;
	return 0;
}

static int
refuse_section(struct h2_call *call, enum h2_call_end end)
{
	close_call(call, end);
	return NGHTTP2_ERR_TEMPORAL_CALLBACK_FAILURE;
}

/* A status without a phrase; what it says is the parser's to judge. */
static void
take_status(struct h2_call *call, struct slice value)
{
	buf_add_lit(&call->heads, "HTTP/1.1 ");
	buf_add_slice(&call->heads, value);
	buf_add_lit(&call->heads, " \r\n");
	call->has_final = value.n > 0 && value.p[0] != '1';
}

static int
on_header(nghttp2_session *session, const nghttp2_frame *frame, const uint8_t *name_p,
    size_t name_n, const uint8_t *value_p, size_t value_n, uint8_t flags, void *arg)
{
	struct h2_call *call = call_of(session, frame->hd.stream_id);
	struct slice name = slice_of(name_p, name_n), value = slice_of(value_p, value_n);
	struct buf *to;

	if (call == NULL || call->end != H2_CALL_open)
		return NGHTTP2_ERR_TEMPORAL_CALLBACK_FAILURE;
	call->section_bytes += name.n + value.n + PER_FIELD_BYTES;
	if (call->section_bytes > (call->in_trailers ? H1_TRAILERS_MAX : call->head_limit))
		return refuse_section(call, H2_CALL_too_large);
	if (slice_eq(name, SLICE_LIT(":status"))) {
		take_status(call, value);
		return 0;
	}
	if (!h1_is_token(name) || slice_trim(value).n != value.n)
		return refuse_section(call, H2_CALL_bad);
	if (call->in_trailers && !h1_trailer_passes(field_id_of(name)))
		return 0;
	if (!call->in_trailers && slice_eq(name, SLICE_LIT("content-length")) &&
	    slice_to_u64(value, &call->length))
		return 0;
	if (slice_eq(name, SLICE_LIT("content-type")))
		call->is_grpc = slice_starts(value, SLICE_LIT("application/grpc"));
	to = call->in_trailers ? &call->trailers : &call->heads;
	buf_add_slice(to, name);
	buf_add_lit(to, ": ");
	buf_add_slice(to, value);
	buf_add_lit(to, "\r\n");
	return 0;
}

static int
on_invalid_header(nghttp2_session *session, const nghttp2_frame *frame, const uint8_t *name,
    size_t name_n, const uint8_t *value, size_t value_n, uint8_t flags, void *arg)
{
	struct h2_call *call = call_of(session, frame->hd.stream_id);

	return call == NULL ? NGHTTP2_ERR_TEMPORAL_CALLBACK_FAILURE
			    : refuse_section(call, H2_CALL_bad);
}

static void
take_stream_frame(struct h2_call *call, const nghttp2_frame *frame)
{
	if (frame->hd.type == NGHTTP2_RST_STREAM) {
		call->was_reset = true;
		return;
	}
	if (frame->hd.type == NGHTTP2_HEADERS && !call->in_trailers) {
		if (call->length != UINT64_MAX && !call->is_grpc)
			buf_printf(&call->heads, "content-length: %llu\r\n",
			    (unsigned long long)call->length);
		buf_add_lit(&call->heads, "\r\n");
		note(call);
	}
	if (frame->hd.type != NGHTTP2_HEADERS && frame->hd.type != NGHTTP2_DATA)
		return;
	if (frame->hd.flags & NGHTTP2_FLAG_END_STREAM) {
		call->is_ended = true;
		note(call);
	}
}

static int
on_frame(nghttp2_session *session, const nghttp2_frame *frame, void *arg)
{
	struct h2_client *c = arg;
	struct h2_call *call = call_of(session, frame->hd.stream_id);

	if (call != NULL && call->end == H2_CALL_open) {
		take_stream_frame(call, frame);
		return 0;
	}
	if (frame->hd.type == NGHTTP2_SETTINGS && !(frame->hd.flags & NGHTTP2_FLAG_ACK))
		c->has_settings = true;
	else if (frame->hd.type == NGHTTP2_GOAWAY)
		c->is_leaving = true;
	else if (frame->hd.type == NGHTTP2_PING && (frame->hd.flags & NGHTTP2_FLAG_ACK))
		c->awaits_ping = false;
	return 0;
}

/* The owner is to see these bytes where they lie: the session stops behind them. */
static int
on_data(nghttp2_session *session, uint8_t flags, int32_t id, const uint8_t *p, size_t n, void *arg)
{
	struct h2_client *c = arg;
	struct h2_call *call = call_of(session, id);

	nghttp2_session_consume_connection(session, n);
	if (call == NULL || call->end != H2_CALL_open)
		return 0;
	call->data = slice_of(p, n);
	note(call);
	c->is_paused = true;
	return NGHTTP2_ERR_PAUSE;
}

static enum h2_call_end
end_of(const struct h2_call *call, uint32_t code)
{
	if (code == NGHTTP2_REFUSED_STREAM)
		return H2_CALL_turned_away;
	if (code == NGHTTP2_HTTP_1_1_REQUIRED)
		return H2_CALL_wants_h1;
	if (call->was_reset)
		return H2_CALL_reset;
	return code == NGHTTP2_NO_ERROR ? H2_CALL_done : H2_CALL_bad;
}

static int
on_stream_close(nghttp2_session *session, int32_t id, uint32_t code, void *arg)
{
	struct h2_call *call = call_of(session, id);

	if (call != NULL)
		close_call(call, end_of(call, code));
	return 0;
}

/* --- the connection --- */

static nghttp2_session_callbacks *
callbacks_new(void)
{
	nghttp2_session_callbacks *cb;

	if (nghttp2_session_callbacks_new(&cb) != 0)
		return NULL;
	nghttp2_session_callbacks_set_on_begin_frame_callback(cb, on_begin_frame);
	nghttp2_session_callbacks_set_on_frame_send_callback(cb, on_frame_sent);
	nghttp2_session_callbacks_set_on_begin_headers_callback(cb, on_begin_headers);
	nghttp2_session_callbacks_set_on_header_callback(cb, on_header);
	nghttp2_session_callbacks_set_on_invalid_header_callback(cb, on_invalid_header);
	nghttp2_session_callbacks_set_on_frame_recv_callback(cb, on_frame);
	nghttp2_session_callbacks_set_on_data_chunk_recv_callback(cb, on_data);
	nghttp2_session_callbacks_set_on_stream_close_callback(cb, on_stream_close);
	return cb;
}

static nghttp2_session *
session_new(void *arg)
{
	nghttp2_session_callbacks *cb = callbacks_new();
	nghttp2_option *option;
	nghttp2_session *session = NULL;

	if (cb == NULL)
		return NULL;
	if (nghttp2_option_new(&option) == 0) {
		nghttp2_option_set_no_auto_window_update(option, 1);
		nghttp2_option_set_no_closed_streams(option, 1);
		nghttp2_option_set_max_send_header_block_length(option, BLOCK_MOST);
		if (nghttp2_session_client_new2(&session, cb, arg, option) != 0)
			session = NULL;
		nghttp2_option_del(option);
	}
	nghttp2_session_callbacks_del(cb);
	return session;
}

struct h2_client *
h2_client_new(size_t head_limit)
{
	const nghttp2_settings_entry settings[] = {
	    {NGHTTP2_SETTINGS_ENABLE_PUSH, 0},
	    {NGHTTP2_SETTINGS_INITIAL_WINDOW_SIZE, H2_CLIENT_WINDOW},
	    {NGHTTP2_SETTINGS_MAX_HEADER_LIST_SIZE, (uint32_t)head_limit},
	};
	struct h2_client *c = calloc(1, sizeof(*c));

	if (c == NULL)
		return NULL;
	list_init(&c->calls);
	list_init(&c->news);
	c->tokens = BUDGET * 1000;
	c->session = session_new(c);
	if (c->session == NULL ||
	    nghttp2_submit_settings(c->session, NGHTTP2_FLAG_NONE, settings,
		sizeof(settings) / sizeof(*settings)) != 0 ||
	    nghttp2_session_set_local_window_size(
		c->session, NGHTTP2_FLAG_NONE, 0, H2_CLIENT_CONNECTION_WINDOW) != 0)
		h2_client_free(&c);
	return c;
}

void
h2_client_free(struct h2_client **cp)
{
	nghttp2_session_del((*cp)->session);
	free(*cp);
	*cp = NULL;
}

void
h2_client_lost(struct h2_client *c, enum h2_call_end end)
{
	if (c->end == H2_CALL_open)
		c->end = end;
	c->is_leaving = true;
	LIST_EACH (call, &c->calls, struct h2_call, link)
		close_call(call, c->end);
	tell_news(c);
}

/* nghttp2 has prepared the GOAWAY that tells why, but for a flood, which it knows nothing of. */
static bool
fail(struct h2_client *c)
{
	if (c->end == H2_CALL_flood)
		nghttp2_session_terminate_session(c->session, NGHTTP2_ENHANCE_YOUR_CALM);
	h2_client_lost(c, c->has_settings ? H2_CALL_bad : H2_CALL_not_h2);
	return false;
}

/* nghttp2 has found a fault of the server's: it takes nothing in any more, and has said why or will. */
static bool
is_dead(const struct h2_client *c)
{
	if (!c->is_leaving && nghttp2_session_check_request_allowed(c->session) == 0)
		return nghttp2_session_get_next_stream_id(c->session) <= H2_ID_MAX;
	return c->calls_count > 0 && nghttp2_session_want_read(c->session) == 0;
}

bool
h2_client_settle(struct h2_client *c)
{
	tell_news(c);
	return is_dead(c) ? fail(c) : true;
}

bool
h2_client_feed(struct h2_client *c, const char *p, size_t n, int64_t now_ms)
{
	refill(c, now_ms);
	do {
		ssize_t used;

		c->is_paused = false;
		used = nghttp2_session_mem_recv(c->session, (const uint8_t *)p, n);
		if (used < 0)
			return fail(c);
		p += used;
		n -= (size_t)used;
		tell_news(c);
	} while (n > 0 || c->is_paused);
	return is_dead(c) ? fail(c) : true;
}

size_t
h2_client_out(struct h2_client *c, const char **p_out)
{
	const uint8_t *p;
	ssize_t n = nghttp2_session_mem_send(c->session, &p);

	*p_out = (const char *)p;
	return n > 0 ? (size_t)n : 0;
}

bool
h2_client_has_out(struct h2_client *c)
{
	return nghttp2_session_want_write(c->session) != 0;
}

unsigned
h2_client_calls(const struct h2_client *c)
{
	return c->calls_count;
}

unsigned
h2_client_room(const struct h2_client *c, unsigned most)
{
	uint32_t theirs = nghttp2_session_get_remote_settings(
	    c->session, NGHTTP2_SETTINGS_MAX_CONCURRENT_STREAMS);

	if (!c->has_settings)
		most = 1;
	else if (theirs < most)
		most = theirs;
	return h2_client_is_leaving(c) || c->calls_count >= most ? 0 : most - c->calls_count;
}

bool
h2_client_is_open(const struct h2_client *c)
{
	return c->has_settings;
}

bool
h2_client_is_leaving(const struct h2_client *c)
{
	return c->is_leaving || nghttp2_session_check_request_allowed(c->session) == 0;
}

void
h2_client_ping(struct h2_client *c)
{
	if (!c->awaits_ping && nghttp2_submit_ping(c->session, NGHTTP2_FLAG_NONE, NULL) == 0)
		c->awaits_ping = true;
}

uint64_t
h2_client_moves(const struct h2_client *c)
{
	return c->moves;
}

bool
h2_client_awaits_ping(const struct h2_client *c)
{
	return c->awaits_ping;
}

void
h2_client_leave(struct h2_client *c)
{
	nghttp2_session_terminate_session(c->session, NGHTTP2_NO_ERROR);
	c->is_leaving = true;
}

/* --- a call --- */

static void
send_trailers(struct h2_call *call, struct slice lines)
{
	struct h2_fields f;

	if (h2_fields_of_lines(&f, lines) != 0 ||
	    nghttp2_submit_trailer(call->client->session, call->id, f.nv, f.count) != 0)
		nghttp2_submit_rst_stream(
		    call->client->session, NGHTTP2_FLAG_NONE, call->id, NGHTTP2_INTERNAL_ERROR);
	h2_fields_fini(&f);
}

static ssize_t
on_read(nghttp2_session *session, int32_t id, uint8_t *to, size_t n, uint32_t *flags,
    nghttp2_data_source *source, void *arg)
{
	struct h2_call *call = call_of(session, id);
	struct slice trailers = SLICE_NONE;
	bool end = false;
	size_t got;

	if (call == NULL)
		return NGHTTP2_ERR_TEMPORAL_CALLBACK_FAILURE;
	got = call->owner->on_pull(call->arg, (char *)to, n, &end, &trailers);
	if (got == 0 && !end)
		return NGHTTP2_ERR_DEFERRED;
	if (!end)
		return (ssize_t)got;
	*flags |= NGHTTP2_DATA_FLAG_EOF;
	call->upload_ended = true;
	if (trailers.n > 0) {
		*flags |= NGHTTP2_DATA_FLAG_NO_END_STREAM;
		send_trailers(call, trailers);
	}
	return (ssize_t)got;
}

int
h2_call_begin(struct h2_call *call, struct h2_client *c, const struct h2_call_start *start)
{
	const nghttp2_data_provider body = {.read_callback = on_read};
	struct h2_fields f;

	call->id = -1;
	if (h2_fields_of_head(&f, start->head, start->is_https) == 0)
		call->id = nghttp2_submit_request(
		    c->session, NULL, f.nv, f.count, start->has_body ? &body : NULL, call);
	h2_fields_fini(&f);
	if (call->id < 0)
		return -1;
	call->client = c;
	call->head_limit = start->head_limit;
	call->upload_ended = !start->has_body;
	list_push_back(&c->calls, &call->link);
	list_init(&call->news);
	c->calls_count++;
	return 0;
}

void
h2_call_resume(struct h2_call *call)
{
	if (call->client != NULL && call->end == H2_CALL_open && !call->upload_ended)
		nghttp2_session_resume_data(call->client->session, call->id);
}

void
h2_call_consumed(struct h2_call *call, size_t n)
{
	if (call->client != NULL && call->end == H2_CALL_open && n > 0)
		nghttp2_session_consume_stream(call->client->session, call->id, n);
}

void
h2_call_drop(struct h2_call *call)
{
	struct h2_client *c = call->client;
	const struct h2_call_owner *owner = call->owner;
	void *arg = call->arg;

	if (c != NULL) {
		nghttp2_session_set_stream_user_data(c->session, call->id, NULL);
		if (call->end == H2_CALL_open)
			nghttp2_submit_rst_stream(
			    c->session, NGHTTP2_FLAG_NONE, call->id, NGHTTP2_CANCEL);
		list_leave(&call->link);
		list_leave(&call->news);
		c->calls_count--;
	}
	buf_fini(&call->heads);
	buf_fini(&call->trailers);
	*call = (struct h2_call){.owner = owner, .arg = arg};
}
