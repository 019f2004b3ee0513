/* LINK: event/redisreply event/rediscluster cache/logscript cache/logbook policy/limitscript base/buf base/mem base/log base/clock base/hash */
/* Any bytes as what Redis answers, in one piece and byte by byte: the same replies are cut out of them, none larger than allowed, and
 * whoever reads replies (the purge log, shared limits, the map of a cluster) walks through them or says that they make no sense. */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "cache/logscript.h"
#include "event/rediscluster.h"
#include "event/redisreply.h"
#include "policy/limitscript.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);

#define REPLY_BYTES 65536

static volatile unsigned walked; /* what was read was not read in vain */

static unsigned
walk(struct slice s)
{
	unsigned sum = 0;

	for (size_t i = 0; i < s.n; i++)
		sum = sum * 31 + (unsigned char)s.p[i];
	return sum;
}

static void
read_as_log(const struct redis_reply *r)
{
	const struct redis_reply *entries = NULL;
	size_t count;
	struct log_hello hello;
	struct log_read e;
	uint64_t number;

	if (log_hello_of(r, &hello) && (hello.epoch == 0 || hello.first == 0))
		abort();
	if (log_answer_of(r, &number) != LOG_NONSENSE)
		walked += (unsigned)number + (unsigned)log_prev_last_of(r);
	if (!log_entries_of(r, &entries, &count))
		return;
	for (size_t i = 0; i < count; i++)
		if (log_read_of(&entries[i], &e))
			walked += walk(e.purge.what) + (unsigned)e.purge.kind;
}

static void
on_range(void *arg, const struct redis_range *range)
{
	if (range->first > range->last || range->last >= REDIS_SLOTS || range->port == 0)
		abort();
	walked += walk(range->host);
}

static void
read_as_others(const struct redis_reply *r)
{
	struct redis_redirect to;
	struct limit_grant g;

	redis_map_read(r, on_range, NULL);
	if (r->type == REPLY_ERROR && redis_redirect_read(r, &to)) {
		if (to.slot >= REDIS_SLOTS || to.port == 0)
			abort();
		walked += walk(to.host);
	}
	if (limit_grant_read(r, &g) && (g.now_ms < 0 || g.lease_ms < 0))
		abort();
}

/* A sum over all that the reply says. */
static unsigned
sum_of(const struct redis_reply *r)
{
	unsigned sum = (unsigned)r->type * 7 + (unsigned)r->integer + walk(r->text);

	for (size_t i = 0; i < r->count; i++)
		sum = sum * 33 + sum_of(&r->items[i]);
	return sum;
}

/* False: nothing more can be read. */
static bool
take(struct replies *from, unsigned *sum)
{
	struct redis_reply *r;
	enum replies_next next;

	while ((next = replies_next(from, &r)) == REPLIES_ONE) {
		read_as_log(r);
		read_as_others(r);
		*sum = *sum * 37 + sum_of(r);
		redis_reply_free(&r);
	}
	if (next == REPLIES_BAD)
		walked += walk(slice_from(replies_error(from)));
	return next == REPLIES_PARTIAL;
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
	struct replies *whole = replies_new(REPLY_BYTES), *pieces = replies_new(REPLY_BYTES);
	unsigned sums[2] = {0};
	bool goes_on = true;

	replies_feed(whole, data, n);
	take(whole, &sums[0]);
	for (size_t i = 0; i < n && goes_on; i++) {
		replies_feed(pieces, data + i, 1);
		goes_on = take(pieces, &sums[1]);
	}
	if (sums[0] != sums[1])
		abort();
	replies_free(&whole);
	replies_free(&pieces);
	return 0;
}
