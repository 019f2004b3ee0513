/* LINK: http/h2client http/h2fields http/h1 http/head http/fields base/buf base/mem */
/* Any frames as a server's: windows hold, heads are bounded and what the parser of HTTP/1.1 takes, no call is told of twice after its
 * end, nothing is lost or freed twice. The first byte is the length of a step, the second says what the owner does between. */
#include <stdlib.h>

#include "http/h1.h"
#include "http/h2client.h"
#include "http/h2frame.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);

#define CALLS 4
#define HEAD_LIMIT 4096

struct owner {
	struct h2_client *client;
	struct h2_call calls[CALLS];
	size_t held[CALLS];
	bool drops;
};

static void
expect(bool holds)
{
	if (!holds)
		abort();
}

static struct owner owner;

/* Text that is whole must be a head, or be refused as one: never half of it. */
static void
judge(struct h2_call *call)
{
	const struct h1_limits limits = {.head_bytes = 4 * HEAD_LIMIT};
	struct h1_parser parser;
	static struct head head;

	if (call->heads.n == 0)
		return;
	h1_parser_init(&parser, H1_RESPONSE, &limits);
	if (h1_parse(&parser, &head, call->heads.p, call->heads.n) == H1_WHOLE)
		expect(head.status >= 100 && head.status <= 999);
	expect(call->heads.n <= 64 * HEAD_LIMIT);
	call->heads.n = 0;
}

static void
on_news(void *arg)
{
	struct h2_call *call = arg;
	size_t at = (size_t)(call - owner.calls);

	judge(call);
	owner.held[at] += call->data.n;
	expect(owner.held[at] <= H2_CLIENT_WINDOW + H2_PAYLOAD_MAX);
	call->data = SLICE_NONE;
	if (owner.drops && (call->is_ended || call->end != H2_CALL_open)) {
		h2_call_drop(call);
		owner.held[at] = 0;
	}
}

static size_t
on_pull(void *arg, char *to, size_t n, bool *end_out, struct slice *trailers_out)
{
	struct h2_call *call = arg;

	memset(to, 'u', n);
	*end_out = call->id % 4 == 1;
	*trailers_out = SLICE_LIT("X-Sum: 1\r\n");
	return n < 100 ? n : 100;
}

static const struct h2_call_owner ops = {on_pull, on_news};

static void
begin_all(void)
{
	const struct h2_call_start start = {.head = SLICE_LIT("POST / HTTP/1.1\r\nHost: h\r\n\r\n"),
	    .has_body = true,
	    .head_limit = HEAD_LIMIT};

	for (unsigned i = 0; i < CALLS; i++)
		if (owner.calls[i].client == NULL && h2_client_room(owner.client, CALLS) > 0) {
			owner.calls[i] = (struct h2_call){.owner = &ops, .arg = &owner.calls[i]};
			expect(h2_call_begin(&owner.calls[i], owner.client, &start) == 0);
		}
}

static size_t
send_all(void)
{
	const char *p;
	size_t n, total = 0;

	while (total < 1000000 && (n = h2_client_out(owner.client, &p)) > 0)
		total += n;
	return total;
}

static void
between(uint8_t how)
{
	for (unsigned i = 0; i < CALLS; i++) {
		if (how & 1) {
			h2_call_consumed(&owner.calls[i], owner.held[i]);
			owner.held[i] = 0;
		}
		if (how & 2)
			h2_call_resume(&owner.calls[i]);
	}
	if (how & 4)
		h2_client_ping(owner.client);
	begin_all();
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
	size_t step;
	uint8_t how;
	bool goes_on = true;

	if (n < 2)
		return 0;
	step = data[0] + 1u;
	how = data[1];
	data += 2;
	n -= 2;
	owner = (struct owner){.client = h2_client_new(HEAD_LIMIT), .drops = (how & 8) != 0};
	begin_all();
	send_all();
	if (how & 16)
		goes_on = h2_client_feed(
		    owner.client, "\0\0\0\x04\0\0\0\0\0\0\0\0\x04\x01\0\0\0\0", 18, 1);
	for (int64_t now_ms = 1; n > 0 && goes_on; now_ms += 7) {
		size_t some = n < step ? n : step;

		goes_on = h2_client_feed(owner.client, (const char *)data, some, now_ms);
		data += some;
		n -= some;
		send_all();
		goes_on = goes_on && h2_client_settle(owner.client);
		if (goes_on)
			between(how);
	}
	if (goes_on)
		h2_client_lost(owner.client, H2_CALL_lost);
	for (unsigned i = 0; i < CALLS; i++) {
		expect(owner.calls[i].client == NULL || owner.calls[i].end != H2_CALL_open);
		h2_call_drop(&owner.calls[i]);
	}
	h2_client_free(&owner.client);
	return 0;
}
