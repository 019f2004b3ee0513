#include "event/rediscluster.h"

/* CRC-16/XMODEM (polynomial 0x1021, begun with 0), which the specification of Redis Cluster names. */
static uint16_t
crc16(struct slice s)
{
	unsigned crc = 0;

	for (size_t i = 0; i < s.n; i++) {
		crc ^= (unsigned)(unsigned char)s.p[i] << 8;
		for (int bit = 0; bit < 8; bit++)
			crc = (crc & 0x8000) != 0 ? crc << 1 ^ 0x1021 : crc << 1;
		crc &= 0xffff;
	}
	return (uint16_t)crc;
}

unsigned
redis_slot(struct slice key)
{
	size_t open = slice_index(key, '{');

	if (open < key.n) {
		struct slice tag = slice_skip(key, open + 1);

		tag.n = slice_index(tag, '}');
		if (tag.n > 0 && open + 1 + tag.n < key.n)
			key = tag;
	}
	return crc16(key) % REDIS_SLOTS;
}

/* --- commands --- */

static bool
is_one_of(struct slice word, const char *const *words)
{
	while (*words != NULL && !slice_ieq(word, slice_from(*words)))
		words++;
	return *words != NULL;
}

struct slice
redis_command_key(const struct slice *argv, unsigned argc)
{
	static const char *const keyless[] = {"PING", "CONFIG", "SCRIPT", "CLUSTER", "INFO", "TIME",
	    "WAIT", "WAITAOF", "CLIENT", "ROLE", "MEMORY", "LATENCY", "PUBLISH", NULL};
	static const char *const scripts[] = {
	    "EVAL", "EVALSHA", "EVAL_RO", "EVALSHA_RO", "FCALL", "FCALL_RO", NULL};
	static const char *const streams[] = {"XREAD", "XREADGROUP", NULL};
	static const char *const second[] = {"XINFO", "XGROUP", "OBJECT", NULL};

	if (argc < 2 || is_one_of(argv[0], keyless))
		return SLICE_NONE;
	if (is_one_of(argv[0], scripts))
		return argc > 3 && !slice_eq(argv[2], SLICE_LIT("0")) ? argv[3] : SLICE_NONE;
	if (is_one_of(argv[0], second))
		return argc > 2 ? argv[2] : SLICE_NONE;
	if (!is_one_of(argv[0], streams))
		return argv[1];
	for (unsigned i = 1; i + 1 < argc; i++)
		if (slice_ieq(argv[i], SLICE_LIT("STREAMS")))
			return argv[i + 1];
	return SLICE_NONE;
}

/* --- redirections --- */

static bool
take_number(struct slice s, uint64_t most, uint64_t *out)
{
	return slice_to_u64(s, out) && *out <= most;
}

/* "host:port", the last colon between them; an IPv6 address has no brackets here. */
static bool
take_place(struct slice s, struct slice *host, uint16_t *port)
{
	const char *colon = s.n == 0 ? NULL : memrchr(s.p, ':', s.n);
	uint64_t n;

	if (colon == NULL)
		return false;
	*host = slice_of(s.p, (size_t)(colon - s.p));
	if (!take_number(slice_skip(s, host->n + 1), 65535, &n) || n == 0)
		return false;
	*port = (uint16_t)n;
	return true;
}

bool
redis_redirect_read(const struct redis_reply *reply, struct redis_redirect *out)
{
	struct slice rest = reply->text, slot;
	uint64_t n;

	out->is_ask = reply_is_error(reply, "ASK");
	if (!out->is_ask && !reply_is_error(reply, "MOVED"))
		return false;
	rest = slice_skip(rest, out->is_ask ? 3 : 5);
	if (rest.n == 0)
		return false;
	rest = slice_skip(rest, 1);
	slot = slice_of(rest.p, slice_index(rest, ' '));
	if (slot.n == rest.n || !take_number(slot, REDIS_SLOTS - 1, &n))
		return false;
	out->slot = (unsigned)n;
	return take_place(slice_skip(rest, slot.n + 1), &out->host, &out->port);
}

/* --- the map --- */

/* [first, last, [host, port, id, ...], replicas...]; host "" or nil: who was asked. */
static bool
take_range(const struct redis_reply *r, struct redis_range *out)
{
	const struct redis_reply *master;

	if (r->type != REPLY_ARRAY || r->count < 3 || r->items[0].type != REPLY_INTEGER ||
	    r->items[1].type != REPLY_INTEGER)
		return false;
	master = &r->items[2];
	if (master->type != REPLY_ARRAY || master->count < 2 ||
	    (master->items[0].type != REPLY_STRING && master->items[0].type != REPLY_NIL) ||
	    master->items[1].type != REPLY_INTEGER)
		return false;
	if (r->items[0].integer < 0 || r->items[0].integer > r->items[1].integer ||
	    r->items[1].integer >= REDIS_SLOTS || master->items[1].integer < 1 ||
	    master->items[1].integer > 65535)
		return false;
	out->first = (unsigned)r->items[0].integer;
	out->last = (unsigned)r->items[1].integer;
	out->host = master->items[0].text;
	if (master->items[0].type == REPLY_NIL || slice_eq(out->host, SLICE_LIT("?")))
		out->host = SLICE_NONE;
	out->port = (uint16_t)master->items[1].integer;
	return out->host.n <= 255;
}

bool
redis_map_read(const struct redis_reply *reply,
    void (*each)(void *arg, const struct redis_range *range), void *arg)
{
	struct redis_range range;

	if (reply->type != REPLY_ARRAY || reply->count == 0)
		return false;
	for (size_t i = 0; i < reply->count; i++)
		if (!take_range(&reply->items[i], &range))
			return false;
	for (size_t i = 0; i < reply->count && each != NULL; i++)
		if (take_range(&reply->items[i], &range))
			each(arg, &range);
	return true;
}
