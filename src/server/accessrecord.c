#include "server/accessrecord.h"

#include <assert.h>
#include <stddef.h>

enum access_text {
#define X(name, kind, share, least) TEXT_##name,
	ACCESS_TEXTS(X)
#undef X
	    TEXT_COUNT
};

/* The texts stand behind the last length, in the same order. */
struct access_record {
	struct access_frame frame;
	uint8_t format, cache_word, tier, end;
	int64_t started_wall_ms, total_us, wait_us, origin_us;
	uint64_t bytes_in, bytes_out;
	uint32_t tries;
	int32_t status;
	uint8_t version_major, version_minor;
	struct client_ip client;
	uint16_t lengths[]; /* of as many as the format has */
};

/* A string keeps its NUL. */
#define NUL_slice 0
#define NUL_url 0
#define NUL_string 1
#define TEXT_OF_slice(v) (v)
#define TEXT_OF_url(v) (v)
#define TEXT_OF_string(v) slice_from(v)

#define X(name, kind, share, least) +(share) + NUL_##kind
static_assert(sizeof(struct access_record) + TEXT_COUNT * sizeof(uint16_t) +
	    ACCESS_RING_ALIGN ACCESS_TEXTS(X) <=
	ACCESS_RECORD_MAX,
    "every record fits");
static_assert((0 ACCESS_TEXTS(X)) < UINT16_MAX, "a length fits");
#undef X

static unsigned
texts_of(enum access_format format)
{
	static const uint8_t counts[] = {[ACCESS_COMBINED] = TEXT_server,
	    [ACCESS_EXTENDED] = TEXT_request_id,
	    [ACCESS_JSON] = TEXT_COUNT};

	return counts[format];
}

/* What the texts of a record are, and how long together. */
struct measure {
	struct slice texts[TEXT_COUNT];
	size_t bytes;
	bool is_long; /* one is beyond its share */
};

static inline void
measure_text(struct measure *m, enum access_text which, struct slice s, size_t share, size_t nul)
{
	m->texts[which] = s;
	m->bytes += s.n + nul;
	m->is_long |= s.n > share;
}

static inline void
measure_texts(struct measure *m, enum access_format format, const struct outcome *out)
{
	m->bytes = 0;
	m->is_long = false;
#define X(name, kind, share, least) \
	if (format >= (least))      \
		measure_text(m, TEXT_##name, TEXT_OF_##kind(out->name), share, NUL_##kind);
	ACCESS_TEXTS(X)
#undef X
}

/* The first share bytes; more than a line takes of it, so that the line knows that there was more. */
static struct slice
cut_slice(struct slice s, size_t share, char **room)
{
	return slice_of(s.p, s.n < share ? s.n : share);
}

/* Without user and password, but with the @ behind them: the line makes of it what it makes of the whole. */
static struct slice
cut_url(struct slice s, size_t share, char **room)
{
	struct slice user = s.n <= share ? SLICE_NONE : access_url_user(s);
	size_t before, after;
	char *at = *room;

	if (user.n == 0)
		return cut_slice(s, share, room);
	before = (size_t)(user.p - s.p);
	after = s.n - before - user.n + 1;
	if (after > share - before)
		after = share - before;
	memcpy(at, s.p, before);
	memcpy(at + before, user.p + user.n - 1, after);
	*room = at + before + after;
	return slice_of(at, before + after);
}

/* Never in an ordinary request. A string that is cut lies in room with its NUL, or ends where it did. */
static void
cut_texts(struct measure *m, enum access_format format, char *room)
{
#define cut_string cut_slice
#define X(name, kind, share, least)                       \
	if (format >= (least)) {                          \
		struct slice *s = &m->texts[TEXT_##name]; \
                                                          \
		m->bytes -= s->n;                         \
		*s = cut_##kind(*s, share, &room);        \
		m->bytes += s->n;                         \
	}
	ACCESS_TEXTS(X)
#undef X
#undef cut_string
}

static inline char *
put_text(char *at, struct slice s, bool nul)
{
	if (s.n > 0)
		memcpy(at, s.p, s.n);
	if (nul)
		at[s.n] = '\0';
	return at + s.n + nul;
}

static void
write_texts(struct access_record *r, enum access_format format, const struct measure *m)
{
	char *at = (char *)&r->lengths[texts_of(format)];

#define X(name, kind, share, least)                                          \
	if (format >= (least)) {                                             \
		r->lengths[TEXT_##name] = (uint16_t)m->texts[TEXT_##name].n; \
		at = put_text(at, m->texts[TEXT_##name], NUL_##kind);        \
	}
	ACCESS_TEXTS(X)
#undef X
}

bool
access_record_put(
    struct access_ring *ring, enum access_format format, const struct outcome *out, char *room)
{
	struct access_record *r;
	struct measure m;
	size_t bytes;

	measure_texts(&m, format, out);
	if (m.is_long)
		cut_texts(&m, format, room);
	bytes = sizeof(*r) + texts_of(format) * sizeof(uint16_t) + m.bytes;
	bytes = (bytes + ACCESS_RING_ALIGN - 1) & ~(size_t)(ACCESS_RING_ALIGN - 1);
	if ((r = access_ring_reserve(ring, bytes)) == NULL)
		return false;
	r->format = (uint8_t)format;
	r->cache_word = (uint8_t)out->cache_word;
	r->tier = (uint8_t)out->tier;
	r->end = (uint8_t)out->end;
	r->started_wall_ms = out->started_wall_ms;
	r->total_us = out->total_us;
	r->wait_us = out->wait_us;
	r->origin_us = out->origin_us;
	r->bytes_in = out->bytes_in;
	r->bytes_out = out->bytes_out;
	r->tries = out->tries;
	r->status = out->status;
	r->version_major = (uint8_t)out->version_major;
	r->version_minor = (uint8_t)out->version_minor;
	r->client = out->client;
	write_texts(r, format, &m);
	access_ring_commit(ring);
	return true;
}

static void
read_texts(const struct access_record *r, enum access_format format, struct outcome *out)
{
	const char *at = (const char *)&r->lengths[texts_of(format)];

#define READ_slice(n) slice_of(at, n)
#define READ_url(n) slice_of(at, n)
#define READ_string(n) at
#define X(name, kind, share, least)                               \
	if (format >= (least)) {                                  \
		out->name = READ_##kind(r->lengths[TEXT_##name]); \
		at += r->lengths[TEXT_##name] + NUL_##kind;       \
	}
	ACCESS_TEXTS(X)
#undef X
}

enum access_format
access_record_read(const struct access_frame *f, struct outcome *out)
{
	const struct access_record *r = (const void *)f;
	enum access_format format = (enum access_format)r->format;

	out->cache_word = (enum cache_word)r->cache_word;
	out->tier = (enum tier)r->tier;
	out->end = (enum request_end)r->end;
	out->started_wall_ms = r->started_wall_ms;
	out->total_us = r->total_us;
	out->wait_us = r->wait_us;
	out->origin_us = r->origin_us;
	out->bytes_in = r->bytes_in;
	out->bytes_out = r->bytes_out;
	out->tries = r->tries;
	out->status = r->status;
	out->version_major = r->version_major;
	out->version_minor = r->version_minor;
	out->client = r->client;
	read_texts(r, format, out);
	return format;
}
