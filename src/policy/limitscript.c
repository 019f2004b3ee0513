#include "policy/limitscript.h"

#include <openssl/evp.h>
#include <pthread.h>
#include <stdio.h>
#include <xxhash.h>

#include "base/mem.h"

#define SHA1_BYTES 20
#define NAME_MAX_BYTES 64
#define WOBBLE_MS "1000" /* clocks of a master and its successor may differ by so much */

/* A state is a row of numbers of six bytes. fixed: begin, used. log: the times, oldest first. segments, dotnet: origin,
 * current, used, then the counts. Times are Redis' clock; a key's time never runs backwards: it stands where that clock is a little
 * behind, and goes on from where it is where the clock was set back. */
static const char script[] =
    "local A = {} for i = 2, #ARGV do A[i] = tonumber(ARGV[i]) end\n"
    "local kind, limit, window, parts, offset = ARGV[1], A[2], A[3], A[4], A[5]\n"
    "local want, charge, all, slice, share, behind = A[6], A[7], A[8], A[9], A[10], A[11]\n"
    "local refund, taken = A[12], A[13]\n"
    "local fixed, log = kind == 'f' or kind == 'c', kind == 'l'\n"
    "local span = kind == 'd' and parts or parts + 1\n"
    "local floor, max, min = math.floor, math.max, math.min\n"
    "local t = redis.call('TIME')\n"
    "local now = t[1] * 1000 + floor(t[2] / 1000) + offset\n"
    "local v = redis.call('GET', KEYS[1]) or ''\n"
    "local n, a, used, h, dirty = #v / 6, {}, 0, 1, false\n"
    "if n > 0 and n == floor(n) and n <= 2000 and\n"
    "  ((fixed and n == 2) or (log and n <= limit) or (not fixed and not log and n == span + 3)) "
    "then\n"
    "  a = {struct.unpack('>' .. string.rep('I6', n), v)} a[n + 1] = nil\n"
    "end\n"
    "local function number(at) return floor((at - a[1]) * parts / window) end\n"
    "local function begin(i) return a[1] + floor((i * window + parts - 1) / parts) end\n"
    "local function slot(i) return 4 + i % span end\n"
    /* a clock that was set back: as if the newest had been taken now */
    "local ahead = #a == 0 and 0 or (fixed and a[1] or log and a[#a] or begin(a[2])) - now\n"
    "if ahead > " WOBBLE_MS " then\n"
    "  dirty = true\n"
    "  if kind == 'c' then a[1] = now - now % window\n"
    "  elseif log then for i = 1, #a do a[i] = a[i] - ahead end\n"
    "  else a[1] = a[1] - ahead end\n"
    "end\n"
    /* what is due */
    "if #a == 0 then\n"
    "elseif fixed then\n"
    "  now = max(now, a[1])\n"
    "  if now - a[1] < window then used = a[2] end\n"
    "elseif log then\n"
    "  now = max(now, a[#a])\n"
    "  while h <= #a and now - a[h] >= window do h = h + 1 end\n"
    "  used = #a - h + 1\n"
    "else\n"
    "  now = max(now, begin(a[2])) used = a[3]\n"
    "  local at = number(now)\n"
    "  if at - a[2] >= span then used = 0\n"
    "  else for i = a[2] + 1, at do\n"
    "    used = used - a[slot(i)] a[slot(i)] = 0\n"
    "  end a[2] = at end\n"
    "end\n"
    /* refund */
    "local function give()\n"
    "  if fixed then if taken >= a[1] then used = used - min(refund, used) end\n"
    "  elseif log then\n"
    "    local b, left = {}, refund\n"
    "    for i = h, #a do\n"
    "      if left > 0 and a[i] == taken then left = left - 1 else b[#b + 1] = a[i] end\n"
    "    end\n"
    "    a, h, used = b, 1, #b\n"
    "  elseif taken >= a[1] then\n"
    "    local i = number(taken)\n"
    "    if i <= a[2] and a[2] - i < span then\n"
    "      local k = min(refund, a[slot(i)])\n"
    "      a[slot(i)] = a[slot(i)] - k used = used - k\n"
    "    end\n"
    "  end\n"
    "end\n"
    "if refund > 0 and used > 0 then give() dirty = true end\n"
    /* take */
    "local function add(k)\n"
    "  if k <= 0 then return end\n"
    "  dirty = true\n"
    "  if log then\n"
    "    for i = 1, min(k, limit) do a[#a + 1] = now end\n"
    "    used = min(#a - h + 1, limit) h = #a - used + 1\n"
    "    return\n"
    "  end\n"
    "  k = min(used + k, 4294967295) - used\n"
    "  if used == 0 then\n"
    "    a = {kind == 'c' and now - now % window or now, 0}\n"
    "    if not fixed then for i = 3, span + 3 do a[i] = 0 end end\n"
    "  end\n"
    "  used = used + k\n"
    "  if not fixed then a[slot(a[2])] = a[slot(a[2])] + k end\n"
    "end\n"
    "add(charge)\n"
    "local granted = min(want, max(0, limit - used))\n"
    "add(granted)\n"
    "if all == 1 then add(want - granted) end\n"
    "local more = 0\n"
    "if granted == want then more = min(slice, floor(max(0, limit - used) / share)) add(more) end\n"
    /* when */
    "local function below(most)\n"
    "  local u, i = used, max(a[2] - span + 1, 0)\n"
    "  while i < a[2] do\n"
    "    u = u - a[slot(i)]\n"
    "    if u <= most then break end\n"
    "    i = i + 1\n"
    "  end\n"
    "  return begin(i + span)\n"
    "end\n"
    "local function wait(permits)\n"
    "  if permits == 0 then return 0 end\n"
    "  local rounds, at = floor((permits - 1) / limit), now\n"
    "  local most = limit - (permits - rounds * limit)\n"
    "  if used > most then\n"
    "    if fixed then at = a[1] + window\n"
    "    elseif log then at = a[h + used - most - 1] + window\n"
    "    else at = below(most) end\n"
    "  end\n"
    "  return at - now + min(rounds, 1000) * window\n"
    "end\n"
    "local life, lease = 0, 0\n"
    "if used > 0 then\n"
    "  if fixed then a[2] = used life = a[1] + window - now lease = life\n"
    "  elseif log then life = a[#a] + window - now\n"
    "  else a[3] = used life = begin(a[2] + span) - now lease = begin(a[2] + 1) - now end\n"
    "end\n"
    "if dirty and used == 0 then redis.call('DEL', KEYS[1])\n"
    "elseif dirty then\n"
    "  redis.call('SET', KEYS[1], struct.pack('>' .. string.rep('I6', #a - h + 1), unpack(a, h)),\n"
    "    'PX', string.format('%.0f', max(1, life)))\n"
    "end\n"
    "local left = max(0, limit - used)\n"
    "return {granted, more, left, left < limit and wait(left + 1) or 0, wait(behind), max(0, "
    "lease), now}\n";

static const char beat_script[] =
    "local t = redis.call('TIME') "
    "local now, life = t[1] * 1000 + math.floor(t[2] / 1000), tonumber(ARGV[2]) "
    "redis.call('ZADD', KEYS[1], string.format('%.0f', now), ARGV[1]) "
    "redis.call('ZREMRANGEBYSCORE', KEYS[1], '-inf', string.format('(%.0f', now - life)) "
    "redis.call('ZREMRANGEBYSCORE', KEYS[1], string.format('(%.0f', now + life), '+inf') "
    "redis.call('PEXPIRE', KEYS[1], life) "
    "return redis.call('ZCARD', KEYS[1])";

static char script_hash[2 * SHA1_BYTES + 1];

static void
hash_script(void)
{
	unsigned char sum[SHA1_BYTES];

	if (EVP_Digest(script, sizeof(script) - 1, sum, NULL, EVP_sha1(), NULL) != 1)
		bug("SHA-1 is not to be had from OpenSSL");
	for (int i = 0; i < SHA1_BYTES; i++)
		snprintf(script_hash + 2 * i, 3, "%02x", sum[i]);
}

static void
add_word(struct limit_words *w, struct slice word)
{
	w->argv[w->argc++] = word;
}

static void
add_number(struct limit_words *w, int64_t n)
{
	char *text = w->text[w->argc];

	add_word(
	    w, slice_of(text, (size_t)snprintf(text, sizeof(w->text[0]), "%lld", (long long)n)));
}

static struct slice
kind_word(const struct window_rule *r)
{
	switch (r->kind) {
	case WINDOW_FIXED:
		return r->align_clock ? SLICE_LIT("c") : SLICE_LIT("f");
	case WINDOW_LOG:
		return SLICE_LIT("l");
	case WINDOW_SEGMENTS:
		return SLICE_LIT("s");
	case WINDOW_DOTNET:
		return SLICE_LIT("d");
	}
	bug("no such kind of window");
}

struct slice
limit_script_key(struct slice prefix, const char *name, const struct window_rule *r,
    struct slice key, char out[LIMIT_SCRIPT_KEY_BYTES])
{
	char rule[96];
	int n = snprintf(rule, sizeof(rule), "%.*s %u %u %lld", SLICE_FMT(kind_word(r)), r->limit,
	    r->segments, (long long)r->window_ms);
	XXH64_hash_t seed = XXH3_64bits(rule, (size_t)n);
	XXH128_hash_t h = XXH3_128bits_withSeed(key.p, key.n, seed);

	if (prefix.n > NAME_MAX_BYTES)
		prefix.n = NAME_MAX_BYTES;
	n = snprintf(out, LIMIT_SCRIPT_KEY_BYTES, "{%.*s:rl:%.*s:%016llx%016llx}",
	    SLICE_FMT(prefix), NAME_MAX_BYTES, name, (unsigned long long)h.high64,
	    (unsigned long long)h.low64);
	return slice_of(out, (size_t)n);
}

void
limit_words_write(struct limit_words *w, bool whole, struct slice key, const struct window_rule *r,
    const struct limit_wish *wish, int64_t offset_ms)
{
	static pthread_once_t once = PTHREAD_ONCE_INIT;

	pthread_once(&once, hash_script);
	w->argc = 0;
	add_word(w, whole ? SLICE_LIT("EVAL") : SLICE_LIT("EVALSHA"));
	add_word(w, whole ? slice_of(script, sizeof(script) - 1) : slice_from(script_hash));
	add_word(w, SLICE_LIT("1"));
	add_word(w, key);
	add_word(w, kind_word(r));
	add_number(w, r->limit);
	add_number(w, r->window_ms);
	add_number(w, r->segments == 0 ? 1 : r->segments);
	add_number(w, offset_ms);
	add_number(w, wish->want);
	add_number(w, wish->charge);
	add_number(w, wish->charge_rest);
	add_number(w, wish->slice);
	add_number(w, wish->share == 0 ? 1 : wish->share);
	add_number(w, (int64_t)wish->behind);
	add_number(w, wish->refund);
	add_number(w, wish->refund_ms);
}

bool
limit_grant_read(const struct redis_reply *reply, struct limit_grant *out)
{
	if (reply->type != REPLY_ARRAY || reply->count != 7)
		return false;
	for (size_t i = 0; i < 7; i++)
		if (reply->items[i].type != REPLY_INTEGER || reply->items[i].integer < 0)
			return false;
	*out = (struct limit_grant){.granted = (uint32_t)reply->items[0].integer,
	    .slice = (uint32_t)reply->items[1].integer,
	    .remaining = (uint32_t)reply->items[2].integer,
	    .reset_ms = reply->items[3].integer,
	    .retry_ms = reply->items[4].integer,
	    .lease_ms = reply->items[5].integer,
	    .now_ms = reply->items[6].integer};
	return true;
}

void
limit_words_beat(struct limit_words *w, struct slice key, struct slice id, int64_t life_ms)
{
	w->argc = 0;
	add_word(w, SLICE_LIT("EVAL"));
	add_word(w, slice_of(beat_script, sizeof(beat_script) - 1));
	add_word(w, SLICE_LIT("1"));
	add_word(w, key);
	add_word(w, id);
	add_number(w, life_ms);
}
