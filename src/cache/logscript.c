#include "cache/logscript.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define BASE_DIGITS 16
#define TEXT_OF(number) #number
#define TEXT(number) TEXT_OF(number)

/* clang-format off */
#define BEGIN \
	"if redis.replicate_commands then redis.replicate_commands() end " \
	"local t=redis.call('TIME') local now=t[1]*1000+math.floor(t[2]/1000) "
#define ADD(instance, serial, kind, what) \
	"last=last+1 redis.call('XADD',KEYS[1],'MAXLEN','~','" LOG_LENGTH "',string.format('%.0f-0',last)," \
	"'e',epoch,'c',chance,'i'," instance ",'s'," serial ",'k'," kind ",'w'," what ") "

/* Dates of the state that lie ahead. */
#define DRAW_UP(run_at, epoch_at) \
	"local ahead=math.max(tonumber(" run_at "),tonumber(" epoch_at "))-now " \
	"if ahead>0 then " \
	"  " run_at "=" run_at "-ahead " epoch_at "=" epoch_at "-ahead " \
	"  redis.call('HSET',KEYS[2],'run_at',string.format('%.0f'," run_at "),'epoch_at',string.format('%.0f'," epoch_at ")) " \
	"end "

/* KEYS log state applied; ARGV strict, my epoch, my number, its chance, an epoch to begin. Under strict coherence
 * an epoch does not outlive a run of Redis. */
static const char hello[] = BEGIN
	"local run=string.match(redis.call('INFO','server'),'run_id:(%w+)') or '-' "
	"local s=redis.call('HMGET',KEYS[2],'epoch','last','run','run_at','epoch_at','prev','prev_last','epoch_run','runs','bases') "
	"local epoch,last,mine=s[1],tonumber(s[2] or 0),tonumber(ARGV[3]) "
	"local runs,bases=tonumber(s[9] or 0),s[10] or '' "
	"local lost=not epoch "
	"if epoch==ARGV[2] then "
	"  if last<mine then lost=true "
	"  elseif mine>0 then "
	"    local e=redis.call('XRANGE',KEYS[1],ARGV[3]..'-0',ARGV[3]..'-0') "
	"    if e[1] and e[1][2][4]~=ARGV[4] then lost=true end "
	"  end "
	"end "
	"if run~=s[3] then "
	"  s[4]=now "
	"  runs=runs+1 bases=string.sub(bases..string.format('%0" TEXT(BASE_DIGITS) ".0f',last),-" TEXT(LOG_RUNS_KEPT) "*" TEXT(BASE_DIGITS) ") "
	"  redis.call('HSET',KEYS[2],'run',run,'run_at',now,'runs',runs,'bases',bases) "
	"end "
	"if ARGV[1]=='1' and s[8]~=run then lost=true end "
	"if lost then "
	"  s[6]=epoch or ARGV[2] "
	"  if s[6]~=ARGV[2] then s[7]=last else s[7]=math.max(last,mine) end "
	"  epoch=ARGV[5] last=0 s[5]=now runs=0 bases='' "
	"  redis.call('DEL',KEYS[1],KEYS[2],KEYS[3]) "
	"  redis.call('HSET',KEYS[2],'epoch',epoch,'last',0,'run',run,'run_at',s[4],'epoch_at',now,'epoch_run',run,'prev',s[6],'prev_last',s[7]) "
	"elseif s[6]==ARGV[2] and mine>tonumber(s[7]) then "
	"  s[7]=mine "
	"  redis.call('HSET',KEYS[2],'prev_last',mine) "
	"end "
	DRAW_UP("s[4]", "s[5]")
	"local f=redis.call('XRANGE',KEYS[1],'-','+','COUNT',1) "
	"local first=last+1 "
	"if f[1] then first=tonumber(string.match(f[1][1],'^%d+')) end "
	"return {epoch,last,first,now-s[4],now-s[5],s[6],tonumber(s[7]),lost and 1 or 0,runs,bases}";

/* KEYS log state; ARGV epoch, chance, then instance, serial, kind, what of each. */
static const char append[] = BEGIN
	"local epoch,chance=ARGV[1],ARGV[2] "
	"local s=redis.call('HMGET',KEYS[2],'epoch','last') "
	"if s[1]~=epoch then return {0,0} end "
	"local last=tonumber(s[2]) "
	"for i=3,#ARGV,4 do "
	"  local who,serial='s:'..ARGV[i],tonumber(ARGV[i+1]) "
	"  if serial==0 or serial>tonumber(redis.call('HGET',KEYS[2],who) or 0) then "
	     ADD("ARGV[i]", "ARGV[i+1]", "ARGV[i+2]", "ARGV[i+3]")
	"    if serial>0 then redis.call('HSET',KEYS[2],who,ARGV[i+1]) end "
	"  end "
	"end "
	"redis.call('HSET',KEYS[2],'last',last) "
	"return {1,last}";

/* KEYS log state leases applied; ARGV me, epoch, my number, its chance, key of intents without instance, a chance.
 * Who has been dead for a while has his intents carried out, by whoever comes first. */
static const char renew[] = BEGIN
	"local me,epoch,chance=ARGV[1],ARGV[2],ARGV[6] "
	"local s=redis.call('HMGET',KEYS[2],'epoch','last','run_at','epoch_at','prev_last') "
	"local last,mine=tonumber(s[2] or 0),tonumber(ARGV[3]) "
	"if s[1]~=epoch or last<mine then return {0,0} end "
	"if mine>0 then "
	"  local e=redis.call('XRANGE',KEYS[1],ARGV[3]..'-0',ARGV[3]..'-0') "
	"  if e[1] and e[1][2][4]~=ARGV[4] then return {0,0} end "
	"end "
	DRAW_UP("s[3]", "s[4]")
	"local latest=now+" TEXT(LEASE_MS) " "
	"for _,m in ipairs(redis.call('ZRANGEBYSCORE',KEYS[3],string.format('(%.0f',latest),'+inf')) do "
	"  redis.call('ZADD',KEYS[3],latest,m) "
	"end "
	"redis.call('ZADD',KEYS[3],latest,me) "
	"redis.call('HSET',KEYS[4],me,ARGV[3]) "
	"local dead=redis.call('ZRANGEBYSCORE',KEYS[3],'-inf',now-" LOG_DEAD_MS ",'LIMIT',0,64) "
	"for _,d in ipairs(dead) do "
	"  local who=string.reverse(d) "
	"  for i,v in ipairs(redis.call('HVALS',ARGV[5]..d)) do "
	"    local serial=string.format('%.0f',now*1000+i) "
	     ADD("who", "serial", "string.sub(v,1,2)", "string.sub(v,3)")
	"    redis.call('HSET',KEYS[2],'s:'..who,serial) "
	"  end "
	"  redis.call('DEL',ARGV[5]..d) "
	"  if tonumber(redis.call('ZSCORE',KEYS[3],d))<now-" LOG_GONE_MS " then "
	"    redis.call('ZREM',KEYS[3],d) redis.call('HDEL',KEYS[4],d) redis.call('HDEL',KEYS[2],'s:'..d,'s:'..who) "
	"  end "
	"end "
	"if last>tonumber(s[2]) then redis.call('HSET',KEYS[2],'last',last) end "
	"return {1,last,tonumber(s[5])}";

/* KEYS state leases applied; ARGV me, epoch. After a loss nobody knows who holds a lease: then all may. */
static const char waiting[] = BEGIN
	"local s=redis.call('HMGET',KEYS[1],'epoch','last','run_at','epoch_at') "
	"if s[1]~=ARGV[2] then return {0,0} end "
	"if now<math.max(tonumber(s[3]),tonumber(s[4]))+" TEXT(LEASE_MS) " then return {1,0} end "
	"local low=tonumber(s[2]) "
	"for _,m in ipairs(redis.call('ZRANGEBYSCORE',KEYS[2],string.format('(%.0f',now),'+inf')) do "
	"  if m~=ARGV[1] then low=math.min(low,tonumber(redis.call('HGET',KEYS[3],m) or 0)) end "
	"end "
	"return {1,low}";

/* KEYS state leases applied; ARGV me. */
static const char bye[] =
	"redis.call('ZREM',KEYS[2],ARGV[1]) redis.call('HDEL',KEYS[3],ARGV[1]) "
	"redis.call('HDEL',KEYS[1],'s:'..ARGV[1]) return {1,0}";
/* clang-format on */

void
log_keys_init(struct log_keys *k, const char *prefix)
{
	snprintf(k->log, sizeof(k->log), "{%.64s}:log", prefix);
	snprintf(k->state, sizeof(k->state), "{%.64s}:log:state", prefix);
	snprintf(k->leases, sizeof(k->leases), "{%.64s}:log:leases", prefix);
	snprintf(k->applied, sizeof(k->applied), "{%.64s}:log:applied", prefix);
	snprintf(k->intents, sizeof(k->intents), "{%.64s}:log:intents:", prefix);
}

/* --- saying --- */

static void
say(struct log_command *c, struct slice word)
{
	c->argv[c->argc++] = word;
}

static void __attribute__((format(printf, 2, 3)))
say_text(struct log_command *c, const char *fmt, ...)
{
	va_list ap;
	int n;

	va_start(ap, fmt);
	n = vsnprintf(c->text + c->used, sizeof(c->text) - c->used, fmt, ap);
	va_end(ap);
	say(c, slice_of(c->text + c->used, (size_t)n));
	c->used += (size_t)n + 1;
}

static void
say_hex(struct log_command *c, uint64_t v)
{
	say_text(c, "%016llx", (unsigned long long)v);
}

static void
say_number(struct log_command *c, uint64_t v)
{
	say_text(c, "%llu", (unsigned long long)v);
}

static void
begin(struct log_command *c)
{
	c->argc = 0;
	c->used = 0;
}

static void
begin_script(struct log_command *c, const char *script, const char *const *keys, unsigned count)
{
	begin(c);
	say(c, SLICE_LIT("EVAL"));
	say(c, slice_from(script));
	say_number(c, count);
	for (unsigned i = 0; i < count; i++)
		say(c, slice_from(keys[i]));
}

void
log_say_hello(struct log_command *c, const struct log_keys *k, const struct log_place *me,
    bool is_strict, uint64_t new_epoch)
{
	begin_script(c, hello, (const char *const[]){k->log, k->state, k->applied}, 3);
	say(c, is_strict ? SLICE_LIT("1") : SLICE_LIT("0"));
	say_hex(c, me->epoch);
	say_number(c, me->applied);
	say_hex(c, me->chance);
	say_hex(c, new_epoch);
}

static void
say_kind(struct log_command *c, const struct log_entry *e)
{
	say_text(c, "%c%c", log_kind_letter(e->kind), e->soft ? 's' : 'h');
}

void
log_say_append(struct log_command *c, const struct log_keys *k, const struct log_place *me,
    uint64_t chance, const struct logbook_batch *batch)
{
	begin_script(c, append, (const char *const[]){k->log, k->state}, 2);
	say_hex(c, me->epoch);
	say_hex(c, chance);
	for (unsigned i = 0; i < batch->count; i++) {
		const struct log_entry *e = batch->entries[i];

		say_hex(c, e->instance);
		say_number(c, e->serial);
		say_kind(c, e);
		say(c, slice_of(e->what, e->len));
	}
}

void
log_say_renew(
    struct log_command *c, const struct log_keys *k, const struct log_place *me, uint64_t chance)
{
	begin_script(c, renew, (const char *const[]){k->log, k->state, k->leases, k->applied}, 4);
	say_hex(c, me->instance);
	say_hex(c, me->epoch);
	say_number(c, me->applied);
	say_hex(c, me->chance);
	say(c, slice_from(k->intents));
	say_hex(c, chance);
}

void
log_say_waiting(struct log_command *c, const struct log_keys *k, const struct log_place *me)
{
	begin_script(c, waiting, (const char *const[]){k->state, k->leases, k->applied}, 3);
	say_hex(c, me->instance);
	say_hex(c, me->epoch);
}

void
log_say_bye(struct log_command *c, const struct log_keys *k, const struct log_place *me)
{
	begin_script(c, bye, (const char *const[]){k->state, k->leases, k->applied}, 3);
	say_hex(c, me->instance);
}

void
log_say_read(struct log_command *c, const struct log_keys *k, const struct log_place *me)
{
	static const struct slice words[] = {SLICE_LIT("XREAD"), SLICE_LIT("COUNT"),
	    SLICE_LIT(LOG_READ_MAX), SLICE_LIT("BLOCK"), SLICE_LIT(LOG_BLOCK_MS),
	    SLICE_LIT("STREAMS")};

	begin(c);
	for (size_t i = 0; i < sizeof(words) / sizeof(words[0]); i++)
		say(c, words[i]);
	say(c, slice_from(k->log));
	say_text(c, "%llu-0", (unsigned long long)me->applied);
}

struct slice
log_intents_key(const struct log_keys *k, uint64_t instance, char out[128])
{
	return slice_of(
	    out, (size_t)snprintf(out, 128, "%s%016llx", k->intents, (unsigned long long)instance));
}

static void
say_intent_field(struct log_command *c, uint64_t intent, unsigned i)
{
	say_text(c, "%llu.%u", (unsigned long long)intent, i);
}

/* Kind and strength, and what is purged, in one word. */
static void
say_intent_value(struct log_command *c, const struct log_entry *e)
{
	char *at = c->text + c->used;

	at[0] = log_kind_letter(e->kind);
	at[1] = e->soft ? 's' : 'h';
	memcpy(at + 2, e->what, e->len);
	say(c, slice_of(at, e->len + 2));
	c->used += e->len + 2;
}

unsigned
log_say_intent(struct log_command *c, struct slice key, uint64_t intent,
    struct log_entry *const *items, unsigned first, unsigned count)
{
	unsigned i = first;

	begin(c);
	say(c, SLICE_LIT("HSET"));
	say(c, key);
	for (; i < count && i - first < LOGBOOK_BATCH_MAX; i++) {
		const struct log_entry *e = items[i];

		if (c->used + e->len + 64 > sizeof(c->text))
			break;
		say_intent_field(c, intent, i);
		say_intent_value(c, e);
	}
	return i;
}

void
log_say_intent_life(struct log_command *c, struct slice key)
{
	begin(c);
	say(c, SLICE_LIT("EXPIRE"));
	say(c, key);
	say(c, SLICE_LIT(LOG_INTENT_LIFE_S));
}

void
log_say_intent_over(struct log_command *c, struct slice key, uint64_t intent, unsigned count)
{
	begin(c);
	say(c, SLICE_LIT("HDEL"));
	say(c, key);
	for (unsigned i = 0; i < count && i < LOGBOOK_BATCH_MAX; i++)
		say_intent_field(c, intent, i);
}

/* --- understanding --- */

static bool
hex_of(struct slice s, uint64_t *out)
{
	uint64_t v = 0;

	if (s.n == 0 || s.n > 16)
		return false;
	for (size_t i = 0; i < s.n; i++) {
		char ch = s.p[i];
		int digit = ch >= '0' && ch <= '9' ? ch - '0'
		    : ch >= 'a' && ch <= 'f'	   ? ch - 'a' + 10
						   : -1;
		if (digit < 0)
			return false;
		v = v << 4 | (unsigned)digit;
	}
	*out = v;
	return true;
}

static bool
is_integer(const struct redis_reply *r)
{
	return r->type == REPLY_INTEGER && r->integer >= 0;
}

/* The bases of the last runs, the newest at the end. */
static bool
runs_of(int64_t count, struct slice bases, struct log_runs *out)
{
	uint64_t kept = bases.n / BASE_DIGITS;

	*out = (struct log_runs){.count = (uint64_t)count};
	if (count < 0 || bases.n % BASE_DIGITS != 0 || kept > LOG_RUNS_KEPT || kept > out->count)
		return false;
	for (uint64_t i = 0; i < kept; i++) {
		uint64_t run = out->count - kept + 1 + i;

		if (!slice_to_u64(slice_of(bases.p + i * BASE_DIGITS, BASE_DIGITS),
			&out->base[run % LOG_RUNS_KEPT]))
			return false;
	}
	return true;
}

bool
log_hello_of(const struct redis_reply *r, struct log_hello *out)
{
	if (r->type != REPLY_ARRAY || r->count != 10 || !hex_of(r->items[0].text, &out->epoch) ||
	    !hex_of(r->items[5].text, &out->prev) || out->epoch == 0)
		return false;
	for (unsigned i = 1; i < 8; i++)
		if (i != 5 && r->items[i].type != REPLY_INTEGER)
			return false;
	if (!is_integer(&r->items[1]) || r->items[2].integer < 1 || !is_integer(&r->items[6]))
		return false;
	if (r->items[8].type != REPLY_INTEGER ||
	    !runs_of(r->items[8].integer, r->items[9].text, &out->runs))
		return false;
	out->last = (uint64_t)r->items[1].integer;
	out->first = (uint64_t)r->items[2].integer;
	out->run_age_ms = r->items[3].integer;
	out->epoch_age_ms = r->items[4].integer;
	out->prev_last = (uint64_t)r->items[6].integer;
	out->is_new = r->items[7].integer == 1;
	return true;
}

enum log_answer
log_answer_of(const struct redis_reply *r, uint64_t *number_out)
{
	if (r->type != REPLY_ARRAY || r->count < 2 || !is_integer(&r->items[0]) ||
	    !is_integer(&r->items[1]))
		return LOG_NONSENSE;
	*number_out = (uint64_t)r->items[1].integer;
	return r->items[0].integer == 1 ? LOG_YES : LOG_OTHER_EPOCH;
}

uint64_t
log_prev_last_of(const struct redis_reply *r)
{
	return r->count == 3 && is_integer(&r->items[2]) ? (uint64_t)r->items[2].integer : 0;
}

static bool
kind_of(struct slice s, struct purge *p)
{
	p->soft = s.n == 2 && s.p[1] == 's';
	return s.n == 2 && log_kind_of(s.p[0], &p->kind);
}

static bool
field_of(char name, struct slice value, struct log_read *out)
{
	switch (name) {
	case 'e':
		return hex_of(value, &out->epoch);
	case 'c':
		return hex_of(value, &out->chance);
	case 'i':
		return hex_of(value, &out->instance);
	case 's':
		return slice_to_u64(value, &out->serial);
	case 'k':
		return kind_of(value, &out->purge);
	case 'w':
		out->purge.what = value;
		return true;
	default:
		return true; /* of a later version */
	}
}

/* What cannot be understood is a purge all the same: of everything. */
bool
log_read_of(const struct redis_reply *entry, struct log_read *out)
{
	const struct redis_reply *fields;
	struct slice id;

	*out = (struct log_read){.purge.kind = PURGE_ALL};
	if (entry->type != REPLY_ARRAY || entry->count != 2 ||
	    entry->items[0].type != REPLY_STRING || entry->items[1].type != REPLY_ARRAY)
		return false;
	id = entry->items[0].text;
	if (!slice_to_u64(slice_of(id.p, slice_index(id, '-')), &out->number))
		return false;
	fields = &entry->items[1];
	for (size_t i = 0; i + 1 < fields->count; i += 2)
		if (fields->items[i].text.n == 1 &&
		    !field_of(fields->items[i].text.p[0], fields->items[i + 1].text, out))
			out->purge = (struct purge){.kind = PURGE_ALL};
	return true;
}

bool
log_entries_of(
    const struct redis_reply *r, const struct redis_reply **entries_out, size_t *count_out)
{
	const struct redis_reply *stream;

	*count_out = 0;
	if (r->type == REPLY_NIL)
		return true;
	if (r->type != REPLY_ARRAY || r->count != 1)
		return false;
	stream = &r->items[0];
	if (stream->type != REPLY_ARRAY || stream->count != 2 ||
	    stream->items[1].type != REPLY_ARRAY)
		return false;
	*entries_out = stream->items[1].items;
	*count_out = stream->items[1].count;
	return true;
}
