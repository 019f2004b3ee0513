#include "cache/l2marks.h"

#include <openssl/evp.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/hash.h"
#include "base/mem.h"
#include "cache/key.h"

#define SHA1_BYTES 20
#define NAME_HEX 20 /* of the 40 digits */
#define TEXT(n) TEXT_OF(n)
#define TEXT_OF(n) #n

struct l2_marks {
	_Atomic unsigned refs;
	uint64_t epoch;
	EVP_MD *sha1;
	char lookup_hash[2 * SHA1_BYTES + 1];
	pthread_mutex_t lock; /* of all below; nothing is called under it */
	uint64_t seq;	      /* the newest number seen; 0: none */
	unsigned falls, caught_up;
	struct {
		uint64_t seq, pos;
		char mark[L2_MARK_BYTES]; /* "": none yet */
	} told;				  /* the one of the highest position */
};

/* --- the scripts --- */

/* What both begin with. ARGV: the newest number seen, the number and the name of the mark told last.
 * Numbers stay below 2^53, so that Lua and scores hold them exactly. */
#define PRELUDE                                                                           \
	"local set, seen, told = KEYS[1], tonumber(ARGV[1]), tonumber(ARGV[2]) "          \
	"local function score(m) return tonumber(redis.call('ZSCORE', set, m) or 0) end " \
	"local seq, all = score('seq'), score('all') "                                    \
	"local lost = seq == 0 or seq < seen or math.max(all, score(ARGV[3])) < told "

static const char lookup_script[] = PRELUDE
    "if lost then return {0} end "
    "local v = redis.pcall('GETRANGE', KEYS[2], 0, ARGV[4]) "
    "if type(v) == 'table' then return v end "
    "local function number(at, n) "
    "local x = 0 for i = at + n, at + 1, -1 do x = x * 256 + v:byte(i) end return x end "
    "if #v >= " TEXT(L2_VALUE_HEAD_BYTES) " and number(" TEXT(
	L2_VALUE_KIND_AT) ", 1) == 0 then "
			  "local newest = math.max(all, score(ARGV[5]), score(ARGV[6])) "
			  "local at = " TEXT(L2_VALUE_HEAD_BYTES) " + number(" TEXT(
			      L2_VALUE_KEY_LEN_AT) ", 2)"
						   " + number(" TEXT(
						       L2_VALUE_VARY_LEN_AT) ", 2) "
									     "local tags = "
									     "v:sub(at + 1, at + "
									     "number(" TEXT(
										 L2_VALUE_TAGS_LEN_AT) ", 2)) "
												       "for tag in tags:gmatch('([^%z]*)%z') do "
												       "newest = math.max(newest, score('t' .. redis.sha1hex(tag):sub(1, " TEXT(
													   NAME_HEX) "))) end "
														     "if newest > number(" TEXT(
															 L2_VALUE_SEQ_AT) ", 8) then return {seq} end "
																	  "end "
																	  "return {seq, v}";

/* A number that was given out by what Redis has forgotten is never given out again: its clock counts
 * faster than purges come. */
static const char mark_script[] =
    PRELUDE "if KEYS[2] then redis.call('PSETEX', KEYS[2], 1000, 'x') end "
	    "if not lost and #ARGV < 4 then return seq end "
	    "if lost then local t = redis.call('TIME') "
	    "seq = math.max(seq, seen, t[1] * 1000000 + t[2]) end "
	    "seq = seq + 1 "
	    "local function mark(m, at) redis.call('ZADD', set, string.format('%.0f', at), m) end "
	    "mark('seq', seq) "
	    "if lost then mark('all', seq) end "
	    "for i = 4, #ARGV do mark(ARGV[i], seq) end "
	    "local over = redis.call('ZCARD', set) - " TEXT(
		L2_MARKS_MAX) " "
			      "if over > 0 then "
			      "local last = tonumber(redis.call('ZRANGE', set, over, over, "
			      "'WITHSCORES')[2]) "
			      "redis.call('ZREMRANGEBYRANK', set, 0, over) "
			      "mark('all', math.max(last, score('all'))) "
			      "end "
			      "return seq";

static void
hex_of(struct l2_marks *m, struct slice s, char out[2 * SHA1_BYTES + 1])
{
	unsigned char sum[SHA1_BYTES];

	if (EVP_Digest(s.p, s.n, sum, NULL, m->sha1, NULL) != 1)
		bug("SHA-1 is not to be had from OpenSSL");
	for (int i = 0; i < SHA1_BYTES; i++)
		snprintf(out + 2 * i, 3, "%02x", sum[i]);
}

void
l2_words_add(struct l2_words *w, struct slice word)
{
	if (w->argc == L2_WORDS_MAX)
		bug("a script has too many words");
	w->argv[w->argc++] = word;
}

static void
words_begin(
    struct l2_words *w, const char *command, const char *script, struct slice set, struct slice key)
{
	w->argc = 0;
	l2_words_add(w, slice_from(command));
	l2_words_add(w, slice_from(script));
	l2_words_add(w, key.n > 0 ? SLICE_LIT("2") : SLICE_LIT("1"));
	l2_words_add(w, set);
	if (key.n > 0)
		l2_words_add(w, key);
}

static void
words_add_seen(struct l2_words *w, struct l2_marks *m)
{
	uint64_t told;

	pthread_mutex_lock(&m->lock);
	w->seen = m->seq;
	told = m->told.seq;
	memcpy(w->told, m->told.mark, sizeof(w->told));
	pthread_mutex_unlock(&m->lock);
	snprintf(w->seen_text, sizeof(w->seen_text), "%llu", (unsigned long long)w->seen);
	snprintf(w->told_text, sizeof(w->told_text), "%llu", (unsigned long long)told);
	l2_words_add(w, slice_from(w->seen_text));
	l2_words_add(w, slice_from(w->told_text));
	l2_words_add(w, slice_from(w->told));
}

void
l2_words_lookup(
    struct l2_words *w, struct l2_marks *m, bool is_known, struct slice set, struct slice value)
{
	words_begin(w, is_known ? "EVALSHA" : "EVAL", is_known ? m->lookup_hash : lookup_script,
	    set, value);
	words_add_seen(w, m);
}

void
l2_words_mark(struct l2_words *w, struct l2_marks *m, struct slice set, struct slice probe)
{
	words_begin(w, "EVAL", mark_script, set, probe);
	words_add_seen(w, m);
}

/* --- what is known --- */

struct l2_marks *
l2_marks_new(bool is_behind)
{
	struct l2_marks *m = must_calloc(1, sizeof(*m));

	atomic_init(&m->refs, 1);
	while (m->epoch == 0)
		random_bytes(&m->epoch, sizeof(m->epoch));
	m->sha1 = EVP_MD_fetch(NULL, "SHA1", NULL);
	if (m->sha1 == NULL)
		bug("SHA-1 is not to be had from OpenSSL");
	hex_of(m, slice_from(lookup_script), m->lookup_hash);
	pthread_mutex_init(&m->lock, NULL);
	m->falls = is_behind;
	return m;
}

struct l2_marks *
l2_marks_ref(struct l2_marks *m)
{
	atomic_fetch_add_explicit(&m->refs, 1, memory_order_relaxed);
	return m;
}

void
l2_marks_unref(struct l2_marks **mp)
{
	struct l2_marks *m = *mp;

	*mp = NULL;
	if (m == NULL || atomic_fetch_sub_explicit(&m->refs, 1, memory_order_acq_rel) != 1)
		return;
	EVP_MD_free(m->sha1);
	pthread_mutex_destroy(&m->lock);
	free(m);
}

struct l2_stamp
l2_marks_stamp(struct l2_marks *m)
{
	struct l2_stamp stamp = {.epoch = m->epoch};

	pthread_mutex_lock(&m->lock);
	if (m->falls == m->caught_up)
		stamp.seq = m->seq;
	pthread_mutex_unlock(&m->lock);
	return stamp;
}

/* Whoever has heard of the number of a purge before his fetch began has begun it after that purge
 * was taken here, and so after all that were taken before. */
uint64_t
l2_marks_position(struct l2_marks *m, const struct l2_stamp *value, uint64_t log_pos)
{
	uint64_t pos = 0;

	if (value->epoch == m->epoch)
		return log_pos;
	pthread_mutex_lock(&m->lock);
	if (value->seq >= m->told.seq)
		pos = m->told.pos;
	pthread_mutex_unlock(&m->lock);
	return pos;
}

void
l2_marks_name(struct l2_marks *m, enum purge_kind kind, struct slice what, char out[L2_MARK_BYTES])
{
	char hex[2 * SHA1_BYTES + 1];

	if (kind != PURGE_EXACT && kind != PURGE_TAG) {
		memcpy(out, "all", 4);
		return;
	}
	hex_of(m, kind == PURGE_EXACT ? cache_key_name(what) : what, hex);
	snprintf(out, L2_MARK_BYTES, "%c%.*s", kind == PURGE_EXACT ? 'e' : 't', NAME_HEX, hex);
}

void
l2_marks_note(struct l2_marks *m, uint64_t seq)
{
	pthread_mutex_lock(&m->lock);
	if (seq > m->seq)
		m->seq = seq;
	pthread_mutex_unlock(&m->lock);
}

void
l2_marks_note_told(struct l2_marks *m, uint64_t seq, uint64_t pos, const char *mark)
{
	l2_marks_note(m, seq);
	pthread_mutex_lock(&m->lock);
	if (pos >= m->told.pos) {
		m->told.seq = seq;
		m->told.pos = pos;
		snprintf(m->told.mark, sizeof(m->told.mark), "%s", mark);
	}
	pthread_mutex_unlock(&m->lock);
}

void
l2_marks_fall_behind(struct l2_marks *m)
{
	pthread_mutex_lock(&m->lock);
	m->falls++;
	pthread_mutex_unlock(&m->lock);
}

unsigned
l2_marks_behind(struct l2_marks *m)
{
	unsigned behind;

	pthread_mutex_lock(&m->lock);
	behind = m->falls == m->caught_up ? 0 : m->falls;
	pthread_mutex_unlock(&m->lock);
	return behind;
}

void
l2_marks_caught_up(struct l2_marks *m, unsigned behind)
{
	pthread_mutex_lock(&m->lock);
	if (behind > m->caught_up)
		m->caught_up = behind;
	pthread_mutex_unlock(&m->lock);
}
